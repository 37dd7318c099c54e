//! Brings over what the trees of a damaged database do not lead to: probes, minutes, hours and days
//! that lie whole in some page. Each has a checksum that tells what it is. Summaries and outages
//! are left: what became of them since cannot be told.

use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use crate::store::damaged::carve::{Carver, Row};
use crate::store::tier::Tier;
use crate::store::{Store, StoreError, block};

/// Pages that are looked at in one transaction.
const AT_ONCE: u64 = 2048;
/// Columns of a probe's row.
const SERIES: usize = 11;

/// How far the pages were looked at, and for what.
#[derive(Debug)]
pub struct Carving {
    carver: Carver,
    looking_for: Wanted,
    next: u64,
}

/// What minutes were rolled up to is looked for before them: a page that is free may still hold
/// those minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    SeriesAndDays,
    Hours,
    Minutes,
}

impl Carving {
    pub const fn new(carver: Carver) -> Self {
        Self { carver, looking_for: Wanted::SeriesAndDays, next: 0 }
    }

    pub const fn has_begun(&self) -> bool {
        self.next > 0 || !matches!(self.looking_for, Wanted::SeriesAndDays)
    }

    /// Looks at some more pages: how much was found there that was missing; nothing once all were
    /// looked at.
    pub fn step(&mut self, store: &Store) -> Result<Option<u64>, StoreError> {
        if self.next >= self.carver.pages() {
            self.looking_for = match self.looking_for {
                Wanted::SeriesAndDays => Wanted::Hours,
                Wanted::Hours => Wanted::Minutes,
                Wanted::Minutes => return Ok(None),
            };
            self.next = 0;
        }
        let upto = (self.next + AT_ONCE).min(self.carver.pages());
        let mut found = 0;
        for page in self.next..upto {
            for row in self.carver.rows(page) {
                found += self.bring_over(store, row)? as u64;
            }
        }
        self.next = upto;
        Ok(Some(found))
    }

    fn bring_over(&self, store: &Store, (id, mut columns): Row) -> Result<usize, StoreError> {
        match (self.looking_for, columns.as_slice()) {
            (Wanted::SeriesAndDays, [Value::Null, Value::Text(_), ..])
                if columns.len() == SERIES =>
            {
                columns[0] = Value::Integer(id);
                store.salvage_series(columns)?;
                Ok(0)
            }
            (Wanted::SeriesAndDays, [Value::Null, Value::Blob(body)]) => {
                rolled(store, Tier::Days, id, body)
            }
            (Wanted::Hours, [Value::Null, Value::Blob(body)])
                if !has(store, Tier::Days, id.div_euclid(24))? =>
            {
                rolled(store, Tier::Hours, id, body)
            }
            (Wanted::Minutes, [Value::Null, Value::Integer(start_ms), Value::Blob(body)]) => {
                let of = |tier: Tier| start_ms.div_euclid(tier.millis());
                if has(store, Tier::Hours, of(Tier::Hours))?
                    || has(store, Tier::Days, of(Tier::Days))?
                    || block::read(*start_ms, body, |_| true).is_err()
                {
                    return Ok(0);
                }
                let sql = "INSERT OR IGNORE INTO block (id, start_ms, body) VALUES (?1, ?2, ?3)";
                Ok(store.db.execute(sql, params![id, start_ms, body])?)
            }
            _ => Ok(0),
        }
    }
}

/// The body tells when it begins, so that an hour is not taken for a day.
fn rolled(store: &Store, tier: Tier, id: i64, body: &[u8]) -> Result<usize, StoreError> {
    if id
        .checked_mul(tier.millis())
        .is_none_or(|start_ms| block::read(start_ms, body, |_| true).is_err())
    {
        return Ok(0);
    }
    let sql = format!("INSERT OR IGNORE INTO {} (id, body) VALUES (?1, ?2)", tier.table());
    Ok(store.db.execute(&sql, params![id, body])?)
}

fn has(store: &Store, tier: Tier, id: i64) -> Result<bool, StoreError> {
    let mut wanted =
        store.db.prepare_cached(&format!("SELECT 1 FROM {} WHERE id = ?1", tier.table()))?;
    Ok(wanted.exists([id])?)
}

impl Store {
    /// Takes a probe's row over as it is, where its checksum holds and its number is not taken.
    pub(in crate::store) fn salvage_series(&self, row: Vec<Value>) -> Result<(), StoreError> {
        let id = match row.first() {
            Some(Value::Integer(id)) => *id,
            _ => return Ok(()),
        };
        let sql =
            "INSERT OR IGNORE INTO series (id, probe, service, kind, target, address, period_ms, \
                timeout_ms, cutoff_ms,
                   settings, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        // What is no such row at all is refused by its columns' constraints.
        let entered = match self.db.execute(sql, params_from_iter(row)) {
            Ok(entered) => entered,
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                0
            }
            Err(error) => return Err(error.into()),
        };
        if entered > 0 && self.all_series().is_err() {
            self.db.execute("DELETE FROM series WHERE id = ?1", [id])?;
        }
        self.write_series_again(id)
    }
}
