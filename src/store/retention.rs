//! What is kept, by age and by bytes: detail goes before summaries that wait, the oldest first, and
//! what went is told.
//!
//! Every step is one short transaction. Pages that become free are used again, so a database at its
//! limit stays at it; it is never vacuumed as a whole.

use crate::base::time::Wall;
use crate::evidence::chain::Dropped;
use crate::store::schema::PAGE;
use crate::store::{Store, StoreError};

/// Of the limit, what hours, days and sheets may take while minutes need the room.
const HOURS_SHARE: u64 = 4;
const DAYS_SHARE: u64 = 10;
const SHEETS_SHARE: u64 = 10;
/// Free pages that are given back to the file system in one step, where a limit was lowered.
const GIVEN_BACK: u32 = 256;

/// What may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Minutes that ended before this are rolled up to hours; [`None`] where they stay for good.
    pub minutes: Option<Wall>,
    /// Hours that ended before this are rolled up to days.
    pub hours: Option<Wall>,
    /// Days that ended before this are deleted, and the outages that ended before it.
    pub days: Option<Wall>,
    /// The bytes of the database's files.
    pub bytes: u64,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Minutes up to this instant are hours now.
    Minutes(Wall, Why),
    /// Hours up to this instant are days now.
    Hours(Wall, Why),
    /// Days up to this instant are gone.
    Days(Wall, Why),
    /// Sheets of hours up to this instant are gone; what they say is in hours and days too, which
    /// are slower to judge from.
    Sheets(Wall),
    /// A summary was dropped before it was shipped, so that its minutes may go.
    Summary(Dropped),
    /// Free pages were given back.
    GivenBack,
}

/// Why it had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was as old as it is kept.
    Age,
    /// The room was needed for what is newer.
    Room,
}

impl Store {
    /// Takes one step towards the limits, within one transaction; nothing when they hold.
    ///
    /// # Errors
    /// When the database fails, or what has to be rolled up is damaged.
    pub fn tidy(&self, limits: &Limits) -> Result<Option<Step>, StoreError> {
        if let Some(before) = limits.days
            && let Some(until) = self.forget_day(before)?
        {
            self.forget_outages(before)?;
            return Ok(Some(Step::Days(until, Why::Age)));
        }
        if let Some(before) = limits.hours
            && let Some(until) = self.roll_up_hours(before)?
        {
            return Ok(Some(Step::Hours(until, Why::Age)));
        }
        if let Some(before) = limits.minutes
            && let Some(until) = self.roll_up_minutes(before)?
        {
            return Ok(Some(Step::Minutes(until, Why::Age)));
        }
        let room = limits.bytes.saturating_sub(log_room(limits.bytes));
        let (used, whole) = (self.bytes()?, self.file_bytes()?);
        if used > room {
            return self.make_room(room);
        }
        if whole > room && used < whole {
            self.db.execute_batch(&format!("PRAGMA incremental_vacuum({GIVEN_BACK})"))?;
            return Ok((self.file_bytes()? < whole).then_some(Step::GivenBack));
        }
        Ok(None)
    }

    /// Lets the log grow as long as a limit has room for, and no longer: the longer it is, the more
    /// of what is written again and again is taken to its place once. One transaction may come on
    /// top of it, which is a third of it at most.
    ///
    /// # Errors
    /// When the database fails.
    pub fn limit_log(&self, limit: u64) -> Result<(), StoreError> {
        let room = i64::try_from(log_room(limit)).unwrap_or(i64::MAX);
        self.db.pragma_update(None, "wal_autocheckpoint", room / 3 * 2 / i64::from(PAGE))?;
        self.db.pragma_update(None, "journal_size_limit", room)?;
        Ok(())
    }

    /// The oldest detail goes; rolled up as long as that is small beside the rest.
    fn make_room(&self, room: u64) -> Result<Option<Step>, StoreError> {
        const ANY: Wall = Wall::from_nanos(i64::MAX);
        let (hours, days) = (self.body_bytes("hour")?, self.body_bytes("day")?);
        if self.body_bytes("sheet")? > room / SHEETS_SHARE
            && let Some(until) = self.forget_oldest_sheets()?
        {
            return Ok(Some(Step::Sheets(until)));
        }
        if days > room / DAYS_SHARE
            && let Some(until) = self.forget_day(ANY)?
        {
            return Ok(Some(Step::Days(until, Why::Room)));
        }
        if hours > room / HOURS_SHARE
            && let Some(until) = self.roll_up_hours(ANY)?
        {
            return Ok(Some(Step::Hours(until, Why::Room)));
        }
        if let Some(until) = self.roll_up_minutes(ANY)? {
            return Ok(Some(Step::Minutes(until, Why::Room)));
        }
        if let Some(until) = self.roll_up_hours(ANY)? {
            return Ok(Some(Step::Hours(until, Why::Room)));
        }
        if let Some((dropped, _)) = self.drop_oldest_waiting()? {
            return Ok(Some(Step::Summary(dropped)));
        }
        if let Some(until) = self.forget_day(ANY)? {
            return Ok(Some(Step::Days(until, Why::Room)));
        }
        Ok(self.forget_oldest_sheets()?.map(Step::Sheets))
    }

    fn body_bytes(&self, table: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT coalesce(sum(length(body)), 0) FROM {table}");
        let bytes: i64 = self.db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Bytes of the database's own file, free pages included.
    pub(in crate::store) fn file_bytes(&self) -> Result<u64, StoreError> {
        let pragma = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok(u64::try_from(pragma("page_count")? * pragma("page_size")?).unwrap_or(0))
    }
}

/// Of a limit, what is left for the log beside the database, which is part of what was allowed: it
/// is taken to its place before it is so long.
#[must_use]
pub fn log_room(limit: u64) -> u64 {
    (limit / 4).min(4 << 20)
}

/// What hours and days may take of a limit while minutes need the room.
#[must_use]
pub fn shares(limit: u64) -> (u64, u64) {
    let room = limit - log_room(limit);
    (room / HOURS_SHARE, room / DAYS_SHARE)
}

/// How much is written: bytes in the database for each day of minutes, of hours and for a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// A day's minutes, with the summaries that sign them.
    pub minutes: u64,
    /// A day's hours; [`None`] where none were rolled up yet.
    pub hours: Option<u64>,
    /// One day; [`None`] where none was rolled up yet.
    pub day: Option<u64>,
}

impl Store {
    /// What the last day of measuring took in the database; [`None`] before there was an hour of
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rates(&self) -> Result<Option<Rates>, StoreError> {
        let (count, bytes, first, last): (i64, i64, Option<i64>, Option<i64>) = self.db.query_row(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(start_ms), max(start_ms) FROM
             (SELECT start_ms, body FROM block ORDER BY id DESC LIMIT 1440)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        let millis = last.zip(first).map_or(0, |(last, first)| last - first);
        if count < 60 || millis <= 0 {
            return Ok(None);
        }
        let (summaries, own): (i64, i64) = self.db.query_row(
            "SELECT count(*), coalesce(sum(length(jws) + coalesce(length(receipt), 0)), 0) FROM
             (SELECT jws, receipt FROM outbox WHERE from_ns >= ?1 * 1000000 ORDER BY id DESC \
                LIMIT 1440)",
            [first],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let average = |table: &str| -> Result<Option<u64>, StoreError> {
            let sql = format!(
                "SELECT avg(length(body)) FROM (SELECT body FROM {table} ORDER BY id DESC LIMIT 48)"
            );
            let bytes: Option<f64> = self.db.query_row(&sql, [], |row| row.get(0))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an estimate of some kilobytes"
            )]
            Ok(bytes.map(|bytes| bytes as u64 + PAGES))
        };
        let whole = bytes + own + (count + summaries) * i64::try_from(PAGES).unwrap_or(0);
        let a_day = i128::from(whole) * 86_400_000 * i128::from(count - 1)
            / i128::from(count)
            / i128::from(millis);
        Ok(Some(Rates {
            minutes: u64::try_from(a_day).unwrap_or(0),
            hours: average("hour")?.map(|hour| hour * 24),
            day: average("day")?,
        }))
    }
}

/// What a row costs in pages beyond its body: half a page that is not full, and its place in the
/// tree.
const PAGES: u64 = 600;
