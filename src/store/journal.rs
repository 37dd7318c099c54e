//! What happened to the agent itself, a line each: starts, clock steps, refusals, damage, what had to be dropped.

use rusqlite::params;

use crate::base::time::Wall;
use crate::store::{Store, StoreError};

/// The journal keeps this many lines.
const KEPT: i64 = 10_000;

/// Every kind of line that there is; `docs/operations.md` explains each.
pub const KINDS: [&str; 27] = [
    "start",
    "stop",
    "reload",
    "reload-refused",
    "clock-step",
    "clock-unset",
    "clock-set",
    "clock-guessed",
    "carrier",
    "address",
    "reply-ttl",
    "refused",
    "certificate",
    "outbox-full",
    "store-full",
    "key-changed",
    "identity-changed",
    "collector-key",
    "contract",
    "contracts",
    "contract-refused",
    "summary-refused",
    "summary-fault",
    "chain-conflict",
    "database-damaged",
    "database-salvaged",
    "disk",
];

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
    /// Adds a line, of one of the [`KINDS`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn note(&self, at: Wall, kind: &str, detail: &str) -> Result<(), StoreError> {
        debug_assert!(KINDS.contains(&kind), "{kind:?} is no kind of line that the manual explains");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_explains_every_kind_of_line_and_no_other() {
        let manual = include_str!("../../docs/operations.md");
        let rows = manual.lines().skip_while(|line| !line.starts_with("| event |")).skip(2);
        let mut explained: Vec<&str> = rows
            .take_while(|line| line.starts_with('|'))
            .filter_map(|row| row.split('|').nth(1))
            .flat_map(|kinds| kinds.split(','))
            .map(|kind| kind.trim().trim_matches('`'))
            .collect();
        let mut kinds = KINDS.to_vec();
        explained.sort_unstable();
        kinds.sort_unstable();
        assert_eq!(explained, kinds);
    }
}
