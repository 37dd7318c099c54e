//! What was measured before the wall clock was set: held by the boot and its monotonic clock until
//! it can be labelled, and then entered as if it had been all along.
//!
//! Outages and the journal's lines are shown at once, so they are entered with provisional labels,
//! which are moved once the clock is set; minutes are not, since they would lie across the true
//! ones.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::params;
use serde_json::json;

use crate::base::time::{Now, Wall};
use crate::measure::interval::Interval;
use crate::measure::provisional::Provisional;
use crate::store::bytes::{self, Writer};
use crate::store::intervals::SeriesId;
use crate::store::{Store, StoreError};

mod form;

pub(in crate::store) use form::check;

use form::{VERSION, read, write};

/// Where the beginning of the doubt is kept.
const DOUBT: &str = "doubt";

/// What an outage's evidence says of its times under the name `clock`, before the clock was set and
/// afterwards.
pub const NOT_SET: &str = "not set yet";
/// See [`NOT_SET`].
pub const SET_LATER: &str = "set later";

/// The boot during which labels are provisional, and by what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The kernel's boot id.
    pub boot: String,
    /// What a provisional label is ahead of the monotonic clock, in nanoseconds.
    pub ahead_ns: i64,
}

/// What was labelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Sets of siblings.
    pub sets: u64,
    /// Those that were damaged, and so were not observed.
    pub lost: u64,
}

impl Store {
    /// When the newest of what is known happened: no right clock is before it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn newest(&self) -> Result<Option<Wall>, StoreError> {
        let newest: Option<i64> = self.db.query_row(
            "SELECT max(at) FROM (
                SELECT max(start_ms) * 1000000 AS at FROM block
                UNION ALL SELECT max(id) * 3600000000000 FROM hour
                UNION ALL SELECT max(id) * 86400000000000 FROM day
                UNION ALL SELECT max(at_ns) FROM event)",
            [],
            |row| row.get(0),
        )?;
        Ok(newest.map(Wall::from_nanos))
    }

    /// The doubt that holds, or held when the agent ended.
    ///
    /// # Errors
    /// When the database fails.
    pub fn doubt(&self) -> Result<Option<Doubt>, StoreError> {
        let Some(text) = self.meta(DOUBT)? else { return Ok(None) };
        let mut words = text.split(' ');
        let read = words.next().zip(words.next().and_then(|ahead| ahead.parse().ok()));
        let (boot, ahead_ns) = read.ok_or_else(|| {
            StoreError::Damaged("the doubt of the clock cannot be read".to_owned())
        })?;
        Ok(Some(Doubt { boot: boot.to_owned(), ahead_ns }))
    }

    /// Labels are provisional from here on.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_doubt(&self, doubt: &Doubt) -> Result<(), StoreError> {
        let next = |table: &str| -> Result<i64, StoreError> {
            let sql = format!("SELECT coalesce(max(id), 0) + 1 FROM {table}");
            Ok(self.db.query_row(&sql, [], |row| row.get(0))?)
        };
        let (outage, event) = (next("outage")?, next("event")?);
        self.set_meta(DOUBT, &format!("{} {} {outage} {event}", doubt.boot, doubt.ahead_ns))
    }

    /// Labels hold from here on: those of outages and of the journal's lines that were given
    /// provisionally, all of them up to `until`, are moved.
    ///
    /// # Errors
    /// When the database fails.
    pub fn end_doubt(&self, by_ns: i64, until: Wall) -> Result<(), StoreError> {
        let Some(text) = self.meta(DOUBT)? else { return Ok(()) };
        let mut words = text.split(' ').skip(2).map(|word| word.parse::<i64>().unwrap_or(i64::MAX));
        let (first_outage, first_event) =
            (words.next().unwrap_or(i64::MAX), words.next().unwrap_or(i64::MAX));
        self.move_outages(first_outage, by_ns, until, |evidence| {
            if let Some(members) = evidence.as_object_mut() {
                members.insert("clock".to_owned(), json!(SET_LATER));
            }
        })?;
        self.db.execute(
            "UPDATE event SET at_ns = at_ns + ?2 WHERE id >= ?1 AND at_ns <= ?3",
            params![first_event, by_ns, until.nanos()],
        )?;
        self.db.execute("DELETE FROM meta WHERE key = ?1", [DOUBT])?;
        Ok(())
    }

    /// Holds a whole set of siblings.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hold(&self, boot: &str, set: &[(SeriesId, &Provisional)]) -> Result<(), StoreError> {
        let mut body = Writer::default();
        for (series, one) in set {
            body.signed(series.number());
            body.part(|part| write(part, one));
        }
        let body = bytes::shut(VERSION, &body.finish(), &[]).map_err(StoreError::Unpacked)?;
        self.db
            .prepare_cached("INSERT INTO held (boot, body) VALUES (?1, ?2)")?
            .execute(params![boot, body])?;
        Ok(())
    }

    /// The boots of which something is held, in the order of their first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_boots(&self) -> Result<Vec<String>, StoreError> {
        let mut wanted = self.db.prepare("SELECT boot FROM held GROUP BY boot ORDER BY min(id)")?;
        let boots = wanted.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(boots)
    }

    /// The bytes that are held.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_bytes(&self) -> Result<u64, StoreError> {
        let bytes: i64 =
            self.db.query_row("SELECT coalesce(sum(length(body)), 0) FROM held", [], |row| {
                row.get(0)
            })?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Labels the oldest sets that are held of a boot, at most so many, by a reading of its clocks,
    /// and enters them. To be called within a transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn label_held(
        &self,
        boot: &str,
        anchor: Now,
        every: Duration,
        most: u32,
    ) -> Result<Labelled, StoreError> {
        let mut done = Labelled::default();
        let mut wanted = self
            .db
            .prepare_cached("SELECT id, body FROM held WHERE boot = ?1 ORDER BY id LIMIT ?2")?;
        let mut delete = self.db.prepare_cached("DELETE FROM held WHERE id = ?1")?;
        let rows = wanted.query_map(params![boot, most], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let rows: Vec<(i64, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
        for (id, body) in rows {
            match read(&body) {
                Ok(set) => {
                    done.sets += 1;
                    self.enter(&set, anchor, every)?;
                }
                Err(_) => done.lost += 1,
            }
            delete.execute([id])?;
        }
        Ok(done)
    }

    /// Enters a set, a block for each true minute that it touches.
    fn enter(
        &self,
        set: &[(SeriesId, Provisional)],
        anchor: Now,
        every: Duration,
    ) -> Result<(), StoreError> {
        let mut blocks: BTreeMap<Wall, Vec<(SeriesId, Interval)>> = BTreeMap::new();
        let cut = every.min(Duration::from_secs(60));
        for (series, one) in set {
            for interval in one.label(anchor, every) {
                blocks.entry(interval.from.floor(cut)).or_default().push((*series, interval));
            }
        }
        for block in blocks.values() {
            let rows: Vec<(SeriesId, &Interval)> =
                block.iter().map(|(series, interval)| (*series, interval)).collect();
            self.append_set(&rows)?;
        }
        Ok(())
    }

    /// What is held of a boot, labelled by this reading of its clocks, by the names of the probes:
    /// those intervals that end after `since`. What is damaged is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_intervals(
        &self,
        boot: &str,
        anchor: Now,
        since: Wall,
    ) -> Result<BTreeMap<String, Vec<Interval>>, StoreError> {
        let series = self.all_series()?;
        let since = anchor.mono_of(since);
        let mut all: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
        let mut wanted =
            self.db.prepare_cached("SELECT body FROM held WHERE boot = ?1 ORDER BY id")?;
        let mut rows = wanted.query([boot])?;
        while let Some(row) = rows.next()? {
            let set = read(row.get_ref(0)?.as_blob().unwrap_or_default()).unwrap_or_default();
            for (id, one) in set.into_iter().filter(|(_, one)| one.ended > since) {
                if let Some(series) = series.get(&id) {
                    let labelled = one.label(anchor, Duration::from_secs(60));
                    all.entry(series.probe.clone()).or_default().extend(labelled);
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
