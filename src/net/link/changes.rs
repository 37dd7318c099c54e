//! The links that probes leave by, and what changed of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::evidence::summary::{CarrierChange, LinkPart};
use crate::measure::carrier::Carrier;

use super::carrier;
use super::counters::{Counters, Cpu};

/// What is told of links in a summary: looked at often, cut at each span's end.
#[derive(Debug, Default)]
pub struct Links {
    kept: BTreeMap<String, LinkHistory>,
    cpu: Option<Cpu>,
}

#[derive(Debug)]
struct LinkHistory {
    pub(super) carrier: Carrier,
    pub(super) changes: Vec<CarrierChange>,
    pub(super) counters: Option<Counters>,
}

/// More changes of one interface in a span are not told one by one; a flapping link shows by as
/// many.
const MOST_CHANGES: usize = 100;

impl Links {
    /// Looks at these interfaces and notes what changed; gives the changes. Interfaces that are not
    /// named any more are forgotten.
    pub fn look<'a>(
        &mut self,
        interfaces: impl IntoIterator<Item = &'a str>,
        at: Wall,
    ) -> Vec<(String, Carrier)> {
        let wanted: BTreeSet<&str> = interfaces.into_iter().collect();
        self.kept.retain(|name, _| wanted.contains(name.as_str()));
        self.cpu = self.cpu.or_else(Cpu::read);
        wanted.into_iter().filter_map(|name| self.note(name, carrier(name), at)).collect()
    }

    pub(super) fn note(
        &mut self,
        name: &str,
        carrier: Carrier,
        at: Wall,
    ) -> Option<(String, Carrier)> {
        let Some(kept) = self.kept.get_mut(name) else {
            let kept = LinkHistory { carrier, changes: Vec::new(), counters: Counters::read(name) };
            self.kept.insert(name.to_owned(), kept);
            return None;
        };
        if kept.carrier == carrier {
            return None;
        }
        kept.carrier = carrier;
        if kept.changes.len() < MOST_CHANGES {
            kept.changes.push(CarrierChange { at, carrier });
        }
        Some((name.to_owned(), carrier))
    }

    /// What changed did so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        for change in self.kept.values_mut().flat_map(|kept| &mut kept.changes) {
            change.at = change.at.shifted(by_ns);
        }
    }

    /// Ends a span: what happened since the last one ended, one part for each interface.
    pub fn cut(&mut self) -> Vec<LinkPart> {
        let cpu = Cpu::read();
        let cpu_percent = self.cpu.zip(cpu).and_then(|(before, now)| now.busy_since(before));
        self.cpu = cpu;
        let part = |(name, kept): (&String, &mut LinkHistory)| {
            let now = Counters::read(name);
            let moved = now.map(|now| now.since(kept.counters));
            kept.counters = now;
            LinkPart {
                interface: name.clone(),
                carrier: kept.carrier,
                changes: std::mem::take(&mut kept.changes),
                rx_bytes: moved.map_or(0, |moved| moved.rx_bytes),
                tx_bytes: moved.map_or(0, |moved| moved.tx_bytes),
                cpu_percent,
            }
        };
        self.kept.iter_mut().map(part).collect()
    }
}
