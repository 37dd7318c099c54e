//! How busy this host and its lines are: read now and then, so that an outage's beginning can be
//! told with the load of the seconds before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::time::{Clock, Mono, SystemClock};
use crate::evidence::side::Traffic;
use crate::net::link::{Counters, Cpu};

/// The load is told over this time and up to twice as long.
const OVER: Duration = Duration::from_secs(5);

/// What was read: each time the older and the newer reading.
#[derive(Debug, Default)]
pub(super) struct Load {
    cpu: Option<(Mono, [Cpu; 2])>,
    traffic: [(Mono, BTreeMap<String, Counters>); 2],
}

impl Load {
    /// Reads what was not read for a while.
    pub(super) fn look<'a>(&mut self, now: Mono, interfaces: impl IntoIterator<Item = &'a str>) {
        if self.traffic[1].1.is_empty() || now - self.traffic[1].0 >= OVER {
            // Many probes leave by one interface.
            let interfaces: BTreeSet<&str> = interfaces.into_iter().collect();
            let counted = interfaces
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), Counters::read(name)?)));
            let counted = counted.collect();
            let [older, newer] = &mut self.traffic;
            *older = std::mem::replace(newer, (now, counted));
        }
        match &mut self.cpu {
            Some((at, _)) if now - *at < OVER => {}
            Some((at, [older, newer])) => {
                if let Some(read) = Cpu::read() {
                    (*at, *older, *newer) = (now, *newer, read);
                }
            }
            None => self.cpu = Cpu::read().map(|read| (now, [read; 2])),
        }
    }

    /// How busy the processors were lately, of 100.
    pub(super) fn cpu_percent(&self) -> Option<f64> {
        self.cpu.and_then(|(_, [older, _])| Cpu::read()?.busy_since(older))
    }

    /// What an interface carried lately.
    pub(super) fn carried(&self, interface: &str) -> Option<Traffic> {
        let readings = self.traffic.iter().filter_map(|(at, all)| Some((*at, all.get(interface)?)));
        let (since, before) = readings.min_by_key(|(at, _)| *at)?;
        let counted = Counters::read(interface)?.since(Some(*before));
        let length = SystemClock.now().mono - since;
        let millis = u64::try_from(length.as_millis()).ok().filter(|&millis| millis > 0)?;
        Some(Traffic {
            interface: interface.to_owned(),
            millis,
            bytes: [counted.rx_bytes, counted.tx_bytes],
            lost: [counted.rx_errors + counted.rx_dropped, counted.tx_errors + counted.tx_dropped],
        })
    }
}
