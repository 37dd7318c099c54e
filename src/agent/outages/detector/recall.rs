//! What the detector knew before the agent was started again.

use std::time::Duration;

use serde_json::json;

use crate::agent::clock_trust::Labels;
use crate::agent::outages::key::OutageKey;
use crate::base::time::Now;
use crate::measure::carrier::Carrier;
use crate::measure::outcome::{Outcome, Reason};
use crate::store::{Store, StoreError};

use super::watch::{Open, Seen, Watching};
use super::{OutageDetector, name_of};

/// What a detector recalls at a start.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Both clocks, the wall clock as labels go.
    pub now: Now,
    /// The kernel's boot id: what is held of this boot is recalled.
    pub boot: &'a str,
    /// Whether what has labels is recalled too.
    pub labels: Labels,
}

/// How far back the last intervals are read again at a start, so that what was down still is.
const RECALL: Duration = Duration::from_secs(900);

impl OutageDetector {
    /// Feeds the last stored outcomes to the detectors, and takes up the outages that were open.
    pub(super) fn recall(&mut self, store: &Store, past: &Past<'_>) -> Result<(), StoreError> {
        let now = past.now.wall;
        let open = store.open_outages()?;
        let from =
            open.iter().map(|(_, outage)| outage.from).min().unwrap_or(now).min(now - RECALL);
        let held = store.held_intervals(past.boot, past.now, from)?;
        for at in 0..self.probes.len() {
            let Some(probe) = self.probe(at) else { continue };
            let mut intervals = match past.labels {
                Labels::Known => store.intervals(&probe.probe.name, from, now)?,
                Labels::Provisional => Vec::new(),
            };
            intervals.extend(held.get(&probe.probe.name).into_iter().flatten().cloned());
            for interval in intervals {
                let carrier = interval.reasons.contains_key(&Reason::CARRIER.to_string());
                for (due, outcome) in interval.sends() {
                    let carrier = if carrier && outcome == Outcome::NotSent {
                        Carrier::Down
                    } else {
                        Carrier::Up
                    };
                    // An interval does not say which of its sends had which reason.
                    self.feed(at, &Seen { due, outcome, carrier, reason: None });
                }
            }
        }
        for (id, outage) in open {
            let same = |watch: &&mut Watching| {
                watch.standard.service == outage.service
                    && watch.standard.definition == outage.definition
                    && watch
                        .detectors
                        .iter()
                        .any(|of| name_of(&self.probes, of.place) == outage.probe)
            };
            let watch = self.watches.iter_mut().find(same);
            match watch {
                Some(watch) if watch.is_down() => {
                    let (key, reasons) = (OutageKey::Stored(id), outage.reasons());
                    watch.open = Some(Box::new(Open { key, outage, reasons }));
                }
                // Nobody saw its end: it is given the end of what was seen of it.
                _ => {
                    let last = held.get(&outage.probe).and_then(|all| all.last()).cloned();
                    let last = last.map_or_else(
                        || store.last_interval(&outage.probe),
                        |last| Ok(Some(last)),
                    )?;
                    let seen = last.map_or(outage.from, |interval| interval.to());
                    store.close_outage(id, seen.max(outage.from))?;
                    let mut evidence = outage.evidence;
                    evidence["end"] = json!("not observed: the agent was not running");
                    store.attribute_outage(id, &outage.side, &evidence)?;
                }
            }
        }
        Ok(())
    }
}
