//! Gives out the intervals between two cuts once all of them are finished.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::Wall;
use crate::measure::event::ProbeId;

use super::interval::{EndedInterval, OpenInterval};
use super::per_probe::ProbeIntervals;
use super::{FinishedInterval, Ledger};

impl Ledger {
    /// Takes out the intervals whose siblings are all finished, oldest first. Each element is a
    /// whole set of siblings.
    pub fn finished(&mut self) -> Vec<Vec<FinishedInterval>> {
        if !std::mem::take(&mut self.ripe) {
            return Vec::new();
        }
        let Self { probes, late, scratch, finished, .. } = self;
        let siblings = probes.len();
        for (number, intervals) in probes.iter_mut().enumerate() {
            let Some(intervals) = intervals else { continue };
            let probe = ProbeId(u32::try_from(number).expect("fewer than 2^32 probes"));
            while let Some(ended) = intervals.take_ripe() {
                let EndedInterval { open, at, address } = &ended;
                // A cut just where another was: nothing was observed between the two.
                if open.slots.is_empty() && *at == open.begun {
                    continue;
                }
                let late = late
                    .iter()
                    .find(|(span, _)| *span == open.span)
                    .map_or(Duration::ZERO, |(_, worst)| *worst);
                let closed = FinishedInterval {
                    probe,
                    address: *address,
                    interval: ended.finish(intervals.period, late, scratch),
                    provisional: ended.provisional(intervals.period, late),
                };
                finished
                    .entry(open.span)
                    .or_insert_with(|| Vec::with_capacity(siblings))
                    .push(closed);
            }
        }
        let waits_for = self.fronts().map(|open| open.span).min();
        let later = match waits_for {
            Some(number) => {
                self.late.retain(|(span, _)| *span >= number);
                self.finished.split_off(&number)
            }
            None => BTreeMap::new(),
        };
        self.complete = self.fronts().map(|open| open.from).min().unwrap_or(self.stretch.from);
        let complete = std::mem::replace(&mut self.finished, later).into_values().collect();
        self.clear();
        complete
    }

    /// Frees the places of probes that were removed and whose intervals were all given out.
    fn clear(&mut self) {
        for (place, intervals) in self.probes.iter_mut().enumerate() {
            let leaves = |intervals: &ProbeIntervals| {
                intervals.filling.is_none() && intervals.ended.is_empty()
            };
            let waits =
                || self.finished.values().flatten().any(|closed| closed.probe.0 as usize == place);
            if intervals.as_ref().is_some_and(leaves) && !waits() {
                *intervals = None;
            }
        }
    }

    /// Up to when all intervals have been given out by [`Self::finished`].
    #[must_use]
    pub const fn complete_until(&self) -> Wall {
        self.complete
    }

    /// The oldest interval of each probe that has not been given out.
    fn fronts(&self) -> impl Iterator<Item = &OpenInterval> {
        self.probes.iter().flatten().filter_map(|intervals| intervals.all().next())
    }
}
