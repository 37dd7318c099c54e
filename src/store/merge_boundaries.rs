//! Where minutes may not be joined when they are rolled up, so that a verdict of what was rolled up
//! is that of its minutes: a histogram is taken whole or left out, and cannot be cut.

use std::collections::BTreeSet;

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::sla::contract::{self, Written};
use crate::sla::reach;
use crate::sla::span::{Span, Spans};
use crate::store::intervals::Series;
use crate::store::outages::Outage;
use crate::store::{Store, StoreError};

/// What keeps the minutes of a stretch apart.
pub(in crate::store) struct Apart {
    outages: Vec<Outage>,
    boundaries: BTreeSet<Wall>,
    to: Wall,
}

/// The same for one series.
pub(in crate::store) struct Seams<'a> {
    /// A minute that touches one of them stays by itself: a contract may leave out just those.
    down: Spans,
    all: &'a BTreeSet<Wall>,
}

impl Store {
    /// What keeps the minutes of a stretch apart, by the outages that were recorded and the
    /// contracts that are kept.
    pub(in crate::store) fn apart(&self, from: Wall, to: Wall) -> Result<Apart, StoreError> {
        let outages = self.outages(from, to)?.into_iter().map(|(_, outage)| outage).collect();
        let kept = self.contract_files()?;
        let read = kept.iter().filter_map(|file| Written::read(&file.toml, &file.id).ok());
        let written: Vec<Written> = read.collect();
        // By what cannot be resolved nothing is judged.
        let contracts = written.iter().filter_map(|own| contract::resolve(own, &written).ok());
        let boundaries = contracts
            .flat_map(|contract| reach::boundaries(&contract, Span::new(from, to)))
            .collect();
        Ok(Apart { outages, boundaries, to })
    }
}

impl Apart {
    /// What keeps the minutes of a series apart; of one that is not known, nothing but the
    /// contracts.
    pub(in crate::store) fn of(&self, series: Option<&Series>) -> Seams<'_> {
        let own = |outage: &&Outage| {
            series.is_some_and(|series| {
                outage.probe == series.probe
                    || (outage.service.is_some() && outage.service == series.service)
            })
        };
        let spans = self
            .outages
            .iter()
            .filter(own)
            .map(|outage| Span::new(outage.from, outage.to.unwrap_or(self.to)));
        Seams { down: spans.collect(), all: &self.boundaries }
    }
}

impl Seams<'_> {
    /// Whether an interval and the one that goes on after it may become one.
    pub(in crate::store) fn lets_join(&self, last: &Interval, next: &Interval) -> bool {
        use std::ops::Bound::Excluded;
        let is_down =
            |interval: &Interval| self.down.touches(Span::new(interval.from, interval.to()));
        let crossed = || {
            self.all
                .range((Excluded(last.from), Excluded(next.to().max(last.from.shifted(1)))))
                .next()
        };
        !is_down(last) && !is_down(next) && crossed().is_none()
    }
}
