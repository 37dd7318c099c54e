//! What is stored of some probes, given out one interval after the other, so that a year of it need
//! not be in memory at once. Each row is read once.

use std::collections::BTreeMap;

use rusqlite::params;
use tracing::warn;

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::store::intervals::SeriesId;
use crate::store::tier::{Grain, Tier};
use crate::store::{Store, StoreError, block};

/// No interval is longer than a minute, so a block that touches a span begins at most this long
/// before it.
const LONGEST_MS: i64 = 60_000;

impl Store {
    /// Gives the intervals of some probes that touch `from..to`, each with its probe's name: days,
    /// then hours, then minutes, each in the order of writing. What is damaged is left out, and so
    /// was not observed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn each_of(
        &self,
        probes: &[&str],
        (from, to): (Wall, Wall),
        grain: Grain,
        mut take: impl FnMut(&str, Interval),
    ) -> Result<(), StoreError> {
        let mut names: BTreeMap<i64, String> = BTreeMap::new();
        self.each_series(
            |_| true,
            |SeriesId(id), series| {
                if probes.contains(&series.probe.as_str()) {
                    names.insert(id, series.probe);
                }
            },
        )?;
        let mut give = |start_ms: i64, body: &[u8], wanted: &dyn Fn(&Interval) -> bool| {
            let mine = |id| names.contains_key(&id);
            let read = block::each(start_ms, body, mine, |id, interval| {
                if interval.from < to
                    && interval.to() > from
                    && wanted(&interval)
                    && let Some(probe) = names.get(&id)
                {
                    take(probe, interval);
                }
            });
            if let Err(error) = &read {
                let from = Wall::from_millis(start_ms);
                warn!(%from, %error, "a block is damaged and left out");
            }
            read.is_ok()
        };
        let (from_ms, to_ms) = (from.millis(), to.millis());
        for tier in [Tier::Days, Tier::Hours] {
            let (table, length) = (tier.table(), tier.millis());
            let mut rolled = self.db.prepare_cached(&format!(
                "SELECT id, body FROM {table} WHERE id >= ?1 AND id * {length} < ?2 ORDER BY id"
            ))?;
            let mut rows = rolled.query(params![from_ms.div_euclid(length), to_ms])?;
            while let Some(row) = rows.next()? {
                let start_ms = row.get::<_, i64>(0)?.saturating_mul(length);
                give(start_ms, row.get_ref(1)?.as_blob().unwrap_or_default(), &|_| true);
            }
        }
        let merged = match grain {
            Grain::Stored => Vec::new(),
            Grain::Hours => self.merged_hours((from, to), &mut give)?,
        };
        // The minutes of an hour that was given are not read: those of a block begin within one
        // minute of UTC.
        let hour = |ms: i64| ms.div_euclid(Tier::Hours.millis());
        let is_merged = |ms: i64| merged.binary_search(&hour(ms)).is_ok();
        let mut blocks = self.db.prepare_cached(
            "SELECT start_ms, body FROM block WHERE start_ms > ?1 AND start_ms < ?2 ORDER BY \
                start_ms, id",
        )?;
        let mut next = from_ms.saturating_sub(LONGEST_MS);
        let ends = merged.iter().map(|hour| hour.saturating_mul(Tier::Hours.millis()));
        for end in ends.chain([to_ms]) {
            let mut rows = blocks.query(params![next, end.min(to_ms)])?;
            while let Some(row) = rows.next()? {
                let body = row.get_ref(1)?.as_blob().unwrap_or_default();
                give(row.get(0)?, body, &|interval| !is_merged(interval.from.millis()));
            }
            // A block of the hour's last minute may hold what begins in the next one.
            next = next.max(end.saturating_add(Tier::Hours.millis() - LONGEST_MS));
        }
        Ok(())
    }

    /// Gives the hours that were merged, and says which these are.
    fn merged_hours(
        &self,
        (from, to): (Wall, Wall),
        give: &mut impl FnMut(i64, &[u8], &dyn Fn(&Interval) -> bool) -> bool,
    ) -> Result<Vec<i64>, StoreError> {
        let mut all = Vec::new();
        if !self.has_table("figure")? {
            return Ok(all);
        }
        let length = Tier::Hours.millis();
        let mut hours = self.db.prepare_cached(
            "SELECT hour, body FROM figure WHERE hour >= ?1 AND hour * 3600000 < ?2 ORDER BY hour",
        )?;
        let mut rows = hours.query(params![from.millis().div_euclid(length), to.millis()])?;
        while let Some(row) = rows.next()? {
            let hour: i64 = row.get(0)?;
            let body = row.get_ref(1)?.as_blob().unwrap_or_default();
            // What is damaged here is in the minutes still.
            if give(hour.saturating_mul(length), body, &|_| true) {
                all.push(hour);
            }
        }
        Ok(all)
    }
}
