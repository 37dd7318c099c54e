//! Intervals: appended a minute at a time, read by probe and time.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use tracing::warn;

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::store::tier::{Grain, Tier};
use crate::store::{Store, StoreError, block};

mod series;

pub use series::{Series, SeriesId};

/// The number of the block that holds a stored interval; they rise in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub(in crate::store) i64);

/// No interval is longer than a minute, so a block that touches a span begins at most this long
/// before it.
const LONGEST_MS: i64 = 60_000;
/// How far back the last interval of a probe is looked for: about a week of minutes.
const RECENT: u32 = 10_000;

impl Store {
    /// Writes a series once more, to another page: without it no minute can be told to be of its
    /// probe.
    pub(in crate::store) fn write_series_again(&self, id: i64) -> Result<(), StoreError> {
        let again = "INSERT OR REPLACE INTO series_again SELECT * FROM series WHERE id = ?1";
        self.db.prepare_cached(again)?.execute([id])?;
        Ok(())
    }

    /// Appends a whole set of siblings as one block.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append_set(&self, set: &[(SeriesId, &Interval)]) -> Result<(), StoreError> {
        let Some(start_ms) = set.iter().map(|(_, interval)| interval.from.millis()).min() else {
            return Ok(());
        };
        let rows = set.iter().map(|(series, interval)| (series.0, *interval));
        let body = block::write(start_ms, rows).map_err(StoreError::Unpacked)?;
        self.db
            .prepare_cached(
                "INSERT INTO block (id, start_ms, body)
                 VALUES (max((SELECT coalesce(max(id), 0) FROM block), ?1) + 1, ?2, ?3)",
            )?
            // Above what is signed too: all minutes may have been rolled up.
            .execute(params![self.base.max(self.summarised()?), start_ms, body])?;
        let hour = |interval: &Interval| interval.from.floor(Tier::Hours.length());
        let hours: BTreeSet<Wall> = set.iter().map(|(_, interval)| hour(interval)).collect();
        hours.into_iter().try_for_each(|hour| self.sheet_grows_stale(hour))
    }

    /// Appends an interval that has no siblings.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, series: SeriesId, interval: &Interval) -> Result<(), StoreError> {
        self.append_set(&[(series, interval)])
    }

    /// The intervals of a probe that touch `from..to`, in the order of time. Where minutes were
    /// rolled up they are as long as an hour or a day. What is damaged is left out, and so was not
    /// observed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn intervals(
        &self,
        probe: &str,
        from: Wall,
        to: Wall,
    ) -> Result<Vec<Interval>, StoreError> {
        Ok(self.intervals_of(&[probe], from, to)?.remove(probe).unwrap_or_default())
    }

    /// As [`Self::intervals`], of several probes at once, which costs hardly more than one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn intervals_of(
        &self,
        probes: &[&str],
        from: Wall,
        to: Wall,
    ) -> Result<BTreeMap<String, Vec<Interval>>, StoreError> {
        let mut all: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
        self.each_of(probes, (from, to), Grain::Stored, |probe, interval| {
            match all.get_mut(probe) {
                Some(known) => known.push(interval),
                None => drop(all.insert(probe.to_owned(), vec![interval])),
            }
        })?;
        // A clock that was set back wrote what is later in time first.
        all.values_mut().for_each(|intervals| intervals.sort_by_key(|interval| interval.from));
        Ok(all)
    }

    /// The minutes of all series that begin in `from..to`, in the order of time, each with its
    /// series' number.
    pub(in crate::store) fn minutes_begun(
        &self,
        from: Wall,
        to: Wall,
    ) -> Result<Vec<block::Row>, StoreError> {
        let mut all = Vec::new();
        let mut blocks = self.db.prepare_cached(
            "SELECT start_ms, body FROM block WHERE start_ms > ?1 AND start_ms < ?2 ORDER BY \
                start_ms, id",
        )?;
        let mut rows =
            blocks.query(params![from.millis().saturating_sub(LONGEST_MS), to.millis()])?;
        while let Some(row) = rows.next()? {
            let start_ms = row.get(0)?;
            match block::read(start_ms, row.get_ref(1)?.as_blob().unwrap_or_default(), |_| true) {
                Ok(read) => all
                    .extend(read.into_iter().filter(|(_, one)| one.from >= from && one.from < to)),
                Err(error) => {
                    warn!(
                        from = %Wall::from_millis(start_ms),
                        %error,
                        "a block is damaged and left out"
                    )
                }
            }
        }
        all.sort_by_key(|(_, interval)| interval.from);
        Ok(all)
    }

    /// The last interval of a probe that was written, of the last week's.
    ///
    /// # Errors
    /// When the database fails.
    pub fn last_interval(&self, probe: &str) -> Result<Option<Interval>, StoreError> {
        let series = self.all_series()?;
        let wanted = |id| series.get(&SeriesId(id)).is_some_and(|series| series.probe == probe);
        let mut blocks =
            self.db.prepare_cached("SELECT start_ms, body FROM block ORDER BY id DESC LIMIT ?1")?;
        let mut rows = blocks.query([RECENT])?;
        while let Some(row) = rows.next()? {
            let read =
                block::read(row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default(), wanted);
            if let Some((_, last)) = read.ok().and_then(|mut all| all.pop()) {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    /// When the first and the last interval of any probe begin.
    ///
    /// # Errors
    /// When the database fails.
    pub fn extent(&self) -> Result<Option<(Wall, Wall)>, StoreError> {
        let (first, last) = self.db.query_row(
            "SELECT min(first), max(last) FROM (
                SELECT min(start_ms) AS first, max(start_ms) AS last FROM block
                UNION ALL SELECT min(id) * 3600000, max(id) * 3600000 FROM hour
                UNION ALL SELECT min(id) * 86400000, max(id) * 86400000 FROM day)",
            [],
            |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)),
        )?;
        Ok(first.zip(last).map(|(first, last)| (Wall::from_millis(first), Wall::from_millis(last))))
    }

    /// The blocks that no summary holds yet, in the order of writing, each with when its first
    /// interval begins.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unsummarised(&self) -> Result<Vec<(RowId, Wall)>, StoreError> {
        let mut wanted =
            self.db.prepare_cached("SELECT id, start_ms FROM block WHERE id > ?1 ORDER BY id")?;
        let blocks = wanted.query_map([self.summarised()?], |row| {
            Ok((RowId(row.get(0)?), Wall::from_millis(row.get(1)?)))
        })?;
        Ok(blocks.collect::<Result<_, _>>()?)
    }

    /// Gives the intervals that some series have in the blocks `first..=last` to `take`, in the
    /// order of writing, so that they need not be in memory together.
    ///
    /// # Errors
    /// When the database fails, or a block cannot be read.
    pub fn each_interval(
        &self,
        (first, last): (RowId, RowId),
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut take: impl FnMut(SeriesId, Interval),
    ) -> Result<(), StoreError> {
        let mut blocks = self.db.prepare_cached(
            "SELECT id, start_ms, body FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        )?;
        let mut rows = blocks.query([first.0, last.0])?;
        while let Some(row) = rows.next()? {
            let (start_ms, body) = (row.get(1)?, row.get_ref(2)?.as_blob().unwrap_or_default());
            let (wanted, take) =
                (|id| wanted(SeriesId(id)), |id, interval| take(SeriesId(id), interval));
            if let Err(error) = block::each(start_ms, body, wanted, take) {
                return Err(StoreError::Damaged(format!(
                    "block {}: {error}",
                    row.get::<_, i64>(0)?
                )));
            }
        }
        Ok(())
    }

    /// The number of the last block that is in a summary.
    pub(in crate::store) fn summarised(&self) -> Result<i64, StoreError> {
        Ok(self.meta("summarised")?.and_then(|id| id.parse().ok()).unwrap_or(0))
    }

    /// Remembers that all intervals up to this one are in a summary.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_summarised(&self, up_to: RowId) -> Result<(), StoreError> {
        self.set_meta("summarised", &up_to.0.to_string())
    }
}
