//! Old minutes are rolled up to hours, and old hours to days; the oldest first, one at a time, so
//! that no transaction is long.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::measure::rollup::join;
use crate::store::intervals::SeriesId;
use crate::store::tier::Tier;
use crate::store::{Store, StoreError, block};

impl Store {
    /// Rolls the oldest hour of minutes up, when it ended by `before` and no summary that waits to
    /// be shipped is made of it; summaries that were answered go with the minutes that they sign.
    /// Gives the hour's end, or nothing when there is none.
    ///
    /// # Errors
    /// When the database fails, or a block is damaged.
    pub fn roll_up_minutes(&self, before: Wall) -> Result<Option<Wall>, StoreError> {
        let free = self.free_up_to()?;
        let oldest = self
            .db
            .prepare_cached("SELECT start_ms, id FROM block ORDER BY start_ms, id LIMIT 1")?
            .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        let length = Tier::Hours.millis();
        let Some((hour, _)) =
            oldest.map(|(start_ms, id)| (start_ms.div_euclid(length), id)).filter(|&(hour, id)| {
                id <= free && (hour + 1).saturating_mul(length) <= before.millis()
            })
        else {
            return Ok(None);
        };
        let (from, to) = (hour * length, (hour + 1) * length);
        let mut rows = Vec::new();
        let mut ids = Vec::new();
        let mut blocks = self.db.prepare_cached(
            "SELECT id, start_ms, body FROM block WHERE start_ms >= ?1 AND start_ms < ?2 AND id \
                <= ?3
             ORDER BY start_ms, id",
        )?;
        let mut found = blocks.query(params![from, to, free])?;
        while let Some(row) = found.next()? {
            let (id, start_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
            let read =
                block::read(start_ms, row.get_ref(2)?.as_blob().unwrap_or_default(), |_| true);
            rows.extend(read.map_err(|error| StoreError::Damaged(format!("block {id}: {error}")))?);
            ids.push(id);
        }
        drop(found);
        self.add_rolled(Tier::Hours, hour, rows)?;
        self.forget_figures(hour)?;
        let mut delete = self.db.prepare_cached("DELETE FROM block WHERE id = ?1")?;
        for id in &ids {
            delete.execute([id])?;
        }
        if let Some(last) = ids.iter().max() {
            self.forget_answered(*last)?;
        }
        Ok(Some(Wall::from_millis(to)))
    }

    /// Rolls the oldest day of hours up, when it ended by `before` and no minutes of it are left.
    /// Gives the day's end.
    ///
    /// # Errors
    /// When the database fails, or an hour is damaged.
    pub fn roll_up_hours(&self, before: Wall) -> Result<Option<Wall>, StoreError> {
        let oldest: Option<i64> =
            self.db.query_row("SELECT min(id) FROM hour", [], |row| row.get(0))?;
        let Some(day) = oldest.map(|hour| hour.div_euclid(24)) else { return Ok(None) };
        let to = (day + 1).saturating_mul(Tier::Days.millis());
        let minutes: Option<i64> =
            self.db.query_row("SELECT min(start_ms) FROM block", [], |row| row.get(0))?;
        if to > before.millis() || minutes.is_some_and(|minutes| minutes < to) {
            return Ok(None);
        }
        let mut rows = Vec::new();
        let mut hours =
            self.db.prepare_cached("SELECT id, body FROM hour WHERE id < ?1 ORDER BY id")?;
        let mut found = hours.query([(day + 1) * 24])?;
        while let Some(row) = found.next()? {
            let id: i64 = row.get(0)?;
            rows.extend(rolled(Tier::Hours, id, row.get_ref(1)?.as_blob().unwrap_or_default())?);
        }
        drop(found);
        self.add_rolled(Tier::Days, day, rows)?;
        self.db.execute("DELETE FROM hour WHERE id < ?1", [(day + 1) * 24])?;
        Ok(Some(Wall::from_millis(to)))
    }

    /// Deletes the oldest day, when it ended by `before`; gives its end.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_day(&self, before: Wall) -> Result<Option<Wall>, StoreError> {
        let oldest: Option<i64> =
            self.db.query_row("SELECT min(id) FROM day", [], |row| row.get(0))?;
        let end = |day: i64| (day + 1).saturating_mul(Tier::Days.millis());
        let Some(day) = oldest.filter(|&day| end(day) <= before.millis()) else { return Ok(None) };
        self.db.execute("DELETE FROM day WHERE id = ?1", [day])?;
        Ok(Some(Wall::from_millis(end(day))))
    }

    /// Joins intervals with those that are there of that hour or day: after a clock that was set
    /// back there may be some.
    fn add_rolled(&self, tier: Tier, id: i64, rows: Vec<block::Row>) -> Result<(), StoreError> {
        let table = tier.table();
        let known: Option<Vec<u8>> = self
            .db
            .query_row(&format!("SELECT body FROM {table} WHERE id = ?1"), [id], |row| row.get(0))
            .optional()?;
        let mut all: BTreeMap<i64, Vec<Interval>> = BTreeMap::new();
        let known = known.map(|body| rolled(tier, id, &body)).transpose()?.unwrap_or_default();
        for (series, interval) in known.into_iter().chain(rows) {
            all.entry(series).or_default().push(interval);
        }
        let mut joined = Vec::new();
        let from = Wall::from_millis(id.saturating_mul(tier.millis()));
        let (apart, known) = (self.apart(from, from + tier.length())?, self.all_series()?);
        for (series, mut intervals) in all {
            intervals.sort_by_key(|interval| interval.from);
            let boundaries = apart.of(known.get(&SeriesId(series)));
            let one = join(intervals, |last, next| boundaries.lets_join(last, next))
                .map_err(|error| StoreError::Damaged(error.to_string()))?;
            joined.extend(one.into_iter().map(|interval| (series, interval)));
        }
        let start_ms = id.saturating_mul(tier.millis());
        let body =
            block::write(start_ms, joined.iter().map(|(series, interval)| (*series, interval)))
                .map_err(StoreError::Unpacked)?;
        self.db.execute(
            &format!("INSERT OR REPLACE INTO {table} (id, body) VALUES (?1, ?2)"),
            params![id, body],
        )?;
        Ok(())
    }
}

fn rolled(tier: Tier, id: i64, body: &[u8]) -> Result<Vec<block::Row>, StoreError> {
    block::read(id.saturating_mul(tier.millis()), body, |_| true)
        .map_err(|error| StoreError::Damaged(format!("{} {id}: {error}", tier.table())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::block;
    use crate::store::intervals::Series;
    use proptest::strategy::{Strategy as _, ValueTree as _};
    use proptest::test_runner::TestRunner;

    #[test]
    fn what_is_measured_after_everything_was_rolled_up_is_in_a_summary_too() {
        let dir = tempfile::tempdir().unwrap();
        let begin = Wall::from_secs(1_780_002_000);
        let (store, _) = Store::open(dir.path(), begin).unwrap();
        let series = Series {
            probe: "p".to_owned(),
            service: None,
            kind: "icmp".to_owned(),
            target: "192.0.2.1".to_owned(),
            address: None,
            period_ms: 1000,
            timeout_ms: 1000,
            cutoff_ms: 1000,
            settings: String::new(),
        };
        let id = store.series(&series).unwrap();
        let mut one =
            block::tests::intervals().new_tree(&mut TestRunner::deterministic()).unwrap().current();
        for minute in 0..3 {
            one.from = begin + Duration::from_secs(60 * minute);
            store.append(id, &one).unwrap();
        }
        let last = store.unsummarised().unwrap().pop().unwrap().0;
        store.set_summarised(last).unwrap();
        assert!(store.roll_up_minutes(Wall::from_nanos(i64::MAX)).unwrap().is_some());
        assert_eq!(store.unsummarised().unwrap(), []);
        one.from = begin + Duration::from_secs(180);
        store.append(id, &one).unwrap();
        assert_eq!(store.unsummarised().unwrap().len(), 1);
    }
}
