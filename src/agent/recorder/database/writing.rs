//! Writes what waits, within one transaction.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::outages::OutageKey;
use crate::base::text;
use crate::config::probe::settings_digest;
use crate::measure::ledger::FinishedInterval;
use crate::measure::probe::Probe;
use crate::store::intervals::{Series, SeriesId};
use crate::store::outages::OutageId;
use crate::store::{Store, StoreError};

use super::{Seats, Work};

/// What is written into, and what is known of it.
pub(super) struct Writing<'a> {
    pub(super) store: &'a Store,
    pub(super) series: SeriesOf<'a>,
    /// The kernel's boot id.
    pub(super) boot: &'a str,
    /// The numbers of outages that were opened before.
    pub(super) outages: &'a HashMap<OutageKey, OutageId>,
}

/// What the database calls the series of the probes at their places.
pub(super) struct SeriesOf<'a> {
    pub(super) seats: &'a Seats,
    pub(super) known: &'a mut Vec<Option<(Option<IpAddr>, SeriesId)>>,
}

impl Writing<'_> {
    /// Writes all in order; gives the numbers of the outages that were opened.
    pub(super) fn all<'w>(
        &mut self,
        waiting: impl IntoIterator<Item = &'w Work>,
    ) -> Result<Vec<(OutageKey, OutageId)>, StoreError> {
        let mut opened: Vec<(OutageKey, OutageId)> = Vec::new();
        for work in waiting {
            let id_of = |key: &OutageKey| match key {
                OutageKey::Stored(id) => Some(*id),
                OutageKey::New(_) => opened
                    .iter()
                    .find(|(of, _)| of == key)
                    .map(|&(_, id)| id)
                    .or_else(|| self.outages.get(key).copied()),
            };
            match work {
                Work::Siblings(then, set) => self.siblings(then, set)?,
                Work::EndDoubt { by_ns, until } => self.store.end_doubt(*by_ns, *until)?,
                Work::Opened(key, outage) => {
                    opened.push((*key, self.store.open_outage(outage)?));
                }
                Work::Closed(key, to) => {
                    if let Some(id) = id_of(key) {
                        self.store.close_outage(id, *to)?;
                    }
                }
                Work::Attributed(key, side, evidence) => {
                    if let Some(id) = id_of(key) {
                        self.store.attribute_outage(id, side, evidence)?;
                    }
                }
                Work::Note(at, kind, detail) => self.store.note(*at, *kind, detail)?,
                Work::Terms(site, contracts) => {
                    self.store.set_site(site)?;
                    contracts.iter().try_for_each(|one| self.store.keep_contract(one))?;
                }
            }
        }
        Ok(opened)
    }

    /// Writes a set of siblings, of the probes that had the places `then`.
    fn siblings(&mut self, then: &Seats, set: &[FinishedInterval]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(set.len());
        let mut held = Vec::new();
        for closed in set {
            let at = closed.probe.0 as usize;
            let Some(Some(seat)) = then.get(at) else { continue };
            let id = self.series.id(self.store, (at, seat), closed.address)?;
            match &closed.provisional {
                Some(provisional) => held.push((id, &**provisional)),
                None => rows.push((id, &closed.interval)),
            }
        }
        self.store.append_set(&rows)?;
        if !held.is_empty() {
            self.store.hold(self.boot, &held)?;
        }
        Ok(())
    }
}

impl SeriesOf<'_> {
    /// The series of what had this place, which is remembered while it still has it.
    fn id(
        &mut self,
        store: &Store,
        (at, seat): (usize, &[Arc<Probe>; 2]),
        address: Option<IpAddr>,
    ) -> Result<SeriesId, StoreError> {
        let stays = self.seats[at].as_ref() == Some(seat);
        let id = match self.known[at].filter(|(of, _)| stays && *of == address) {
            Some((_, id)) => id,
            None => store.series(&series(seat, address))?,
        };
        if stays {
            self.known[at] = Some((address, id));
        }
        Ok(id)
    }
}

/// What the intervals of a probe at one address have in common.
fn series([probe, named]: &[Arc<Probe>; 2], address: Option<IpAddr>) -> Series {
    let millis = |length: Duration| u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    Series {
        probe: probe.name.clone(),
        service: named.service.clone(),
        kind: probe.kind().to_owned(),
        target: text::shortened(&probe.target()),
        address,
        period_ms: probe.period_ms(),
        timeout_ms: millis(probe.timeout),
        cutoff_ms: millis(probe.cutoff),
        settings: settings_digest(probe),
    }
}
