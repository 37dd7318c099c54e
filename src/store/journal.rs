//! What happened to the agent itself, a line each: starts, clock steps, refusals, damage, what had to be dropped.

use rusqlite::params;

use crate::base::time::Wall;
use crate::store::{Store, StoreError};

/// The journal keeps this many lines.
const KEPT: i64 = 10_000;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Wall,
    /// What kind: `start`, `stop`, `clock-step`, `summary-refused`, … .
    pub kind: String,
    /// In words.
    pub detail: String,
}

impl Store {
    /// Adds a line.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note(&self, at: Wall, kind: &str, detail: &str) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO event (at_ns, kind, detail) VALUES (?1, ?2, ?3)",
            params![at.nanos(), kind, detail],
        )?;
        let last = self.db.last_insert_rowid();
        self.db.execute("DELETE FROM event WHERE id <= ?1", [last - KEPT])?;
        Ok(())
    }

    /// The last lines, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn journal(&self, most: u32) -> Result<Vec<Entry>, StoreError> {
        let mut wanted = self.db.prepare_cached("SELECT at_ns, kind, detail FROM event ORDER BY id DESC LIMIT ?1")?;
        let rows = wanted.query_map([most], |row| {
            Ok(Entry { at: Wall::from_nanos(row.get(0)?), kind: row.get(1)?, detail: row.get(2)? })
        })?;
        let mut all = rows.collect::<Result<Vec<_>, _>>()?;
        all.reverse();
        Ok(all)
    }
}
