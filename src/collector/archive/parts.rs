//! The parts of a month each that PostgreSQL keeps the tables of [`schema::PARTED`](super::schema)
//! in: made when a month's first row comes, and detached or dropped by whoever keeps the database
//! (docs/operations.md). Times that no clock should say lie in the part that has the rest. SQLite
//! has no such parts.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use crate::base::time::Wall;
use crate::collector::archive::db::Db;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError, schema};
use crate::sla::calendar::Period;
use crate::sla::span::Span;

/// No part is made for what was before.
const FIRST: Date = date(2020, 1, 1);
/// No part is made for what is further ahead: a clock that is wrong by more fills the rest.
const AHEAD: Duration = Duration::from_secs(40 * 86_400);

/// A month, by its first day.
type Month = Date;

impl Archive {
    /// Makes the parts that rows of these times lie in, where they are not there yet; each is a
    /// transaction of its own.
    ///
    /// # Errors
    /// When the database fails. The rows then lie with the rest, until the next time that this part
    /// is asked for.
    pub fn make_parts(
        &mut self,
        times: impl Iterator<Item = Wall>,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        if !self.is_shared() {
            return Ok(());
        }
        let last = month_of(now + AHEAD);
        let months: BTreeSet<Month> = times
            .map(month_of)
            .filter(|month| (FIRST..=last).contains(month) && !self.parts.contains(month))
            .collect();
        for month in months {
            self.write(|archive| archive.make_part(month))?;
            self.parts.insert(month);
        }
        Ok(())
    }

    fn make_part(&self, month: Month) -> Result<(), ArchiveError> {
        schema::lock(&self.db)?;
        let (from, to) = (nanos_at(month), nanos_at(month.saturating_add(1.month())));
        for (table, column) in schema::PARTED {
            let part = format!("{table}_{:04}_{:02}", month.year(), month.month());
            let there = "SELECT count(*) FROM information_schema.tables
                         WHERE table_schema = current_schema() AND table_name = ?1";
            if self.db.one(there, args![&part], |row| row.get::<i64>(0))? == Some(1) {
                continue;
            }
            self.db.batch(&format!(
                "LOCK TABLE {table}_rest IN ACCESS EXCLUSIVE MODE;
                 CREATE TABLE {part} (LIKE {table} INCLUDING ALL);
                 WITH late AS (DELETE FROM {table}_rest WHERE {column} >= {from} AND {column} < \
                    {to} RETURNING *)
                 INSERT INTO {part} SELECT * FROM late;
                 ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({from}) TO ({to})"
            ))?;
            tracing::info!(part, "PostgreSQL keeps another month");
        }
        Ok(())
    }

    /// Takes the summaries away whose spans begin in a month: on PostgreSQL the month's part is
    /// detached, and stays as a table by itself; on SQLite they are deleted. Says how many there
    /// were.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_summaries(&self, month: Period, span: Span) -> Result<u64, ArchiveError> {
        let sql = "SELECT count(*) FROM summary WHERE from_ns >= ?1 AND from_ns < ?2";
        let count = self.db.one(sql, args![span.from, span.to], |row| row.get(0))?.unwrap_or(0);
        let part = format!("summary_{}", month.to_string().replace('-', "_"));
        if self.parts_of("summary")?.contains(&part) {
            schema::lock(&self.db)?;
            self.db.batch(&format!("ALTER TABLE summary DETACH PARTITION {part}"))?;
        } else {
            self.db.execute(
                "DELETE FROM summary WHERE from_ns >= ?1 AND from_ns < ?2",
                args![span.from, span.to],
            )?;
        }
        Ok(count)
    }

    /// The parts that a table has, by name; none on SQLite.
    ///
    /// # Errors
    /// When the database fails.
    pub fn parts_of(&self, table: &str) -> Result<Vec<String>, ArchiveError> {
        match &self.db {
            Db::Sqlite(_) => Ok(Vec::new()),
            db @ Db::Postgres(_) => {
                let sql = "SELECT CAST(c.relname AS TEXT) FROM pg_inherits i JOIN pg_class c ON \
                    c.oid = i.inhrelid
                           JOIN pg_class p ON p.oid = i.inhparent
                           WHERE p.relname = CAST(?1 AS TEXT) AND p.relnamespace = \
                    CAST(current_schema() AS regnamespace)
                           ORDER BY 1";
                db.all(sql, args![table], |row| row.get(0))
            }
        }
    }
}

fn month_of(time: Wall) -> Month {
    TimeZone::UTC.to_datetime(time.timestamp()).date().first_of_month()
}

/// Its beginning in UTC, in nanoseconds.
fn nanos_at(month: Month) -> i64 {
    let start = TimeZone::UTC.to_timestamp(month.at(0, 0, 0, 0));
    // A month beyond the last that has nanoseconds ends with them.
    start.map_or(i64::MAX, |start| Wall::from(start).nanos())
}
