//! Writes all that waits in one transaction; what cannot be written waits on.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::agent::outages::OutageKey;
use crate::base::time::Wall;
use crate::store::journal::Noted;
use crate::store::outages::OutageId;
use crate::store::{Store, StoreError};

use super::writing::{SeriesOf, Writing};
use super::{Database, RETRY, Work};

/// Sets of siblings that may wait while the disk cannot be written: a day of minutes.
const MOST_WAITING: usize = 1440;

/// Makes the outbox fit; it is told when that begins to drop something.
pub(super) fn fit_outbox(
    store: &Store,
    limit: u64,
    full: &mut bool,
    now: Wall,
) -> Result<(), StoreError> {
    let dropped = store.fit_outbox(limit)?;
    if let Some(first) = dropped.first().filter(|_| !*full) {
        let (chain, from) = (first.chain, first.from_seq);
        warn!(%chain, from, "the outbox is full: its oldest summaries are dropped from now on");
        let detail =
            format!("the outbox is full: from summary {from} on the oldest are dropped unshipped");
        store.note(now, Noted::OutboxFull, &detail)?;
    }
    *full = !dropped.is_empty();
    Ok(())
}

impl Database {
    /// Writes all that waits, and the summaries that are due, in one transaction.
    pub(super) fn commit(&mut self) {
        self.commit_by = None;
        if self.waiting.is_empty() && self.spans.is_empty() {
            return;
        }
        match self.write() {
            Ok(opened) => {
                self.outages.extend(opened);
                self.waiting.clear();
                self.spans.clear();
                if std::mem::take(&mut self.failing) {
                    self.recovered();
                }
            }
            Err(error) if error.is_damage() && self.set_aside(&error.to_string()) => {
                self.within(Duration::ZERO)
            }
            Err(error) => {
                // Whatever was cached may have been rolled back.
                self.known.fill(None);
                if !std::mem::replace(&mut self.failing, true) {
                    error!(%error, "the database cannot be written; measuring goes on, and \
                        writing is tried again");
                }
                self.commit_by = Some(self.mono() + RETRY);
                while self.waiting.len() > MOST_WAITING {
                    self.waiting.pop_front();
                    self.thrown += 1;
                }
            }
        }
    }

    fn recovered(&mut self) {
        info!("the database can be written again");
        let mut detail = "the database can be written again".to_owned();
        match std::mem::take(&mut self.thrown) {
            0 => {}
            thrown => detail.push_str(&format!("; {thrown} of what waited had to be thrown away")),
        }
        self.waiting.push_back(Work::Note(self.clock.now().wall, Noted::Disk, detail));
        self.within(RETRY);
    }

    fn write(&mut self) -> Result<Vec<(OutageKey, OutageId)>, StoreError> {
        let Self { store, seats, known, waiting, spans, outages, .. } = self;
        let Self { summariser, keep, full, clock, .. } = self;
        let mut keys = summariser.keys.clone();
        let written = store.together(|store| {
            let series = SeriesOf { seats, known };
            let mut writing = Writing { store, series, boot: &summariser.boot, outages };
            let opened = writing.all(waiting.iter())?;
            for span in spans.iter() {
                summariser.summarise(store, span, &mut keys)?;
            }
            if !spans.is_empty() {
                fit_outbox(store, keep.outbox_bytes, full, clock.now().wall)?;
            }
            Ok(opened)
        });
        if written.is_ok() {
            summariser.keys.committed(keys);
        }
        written
    }
}
