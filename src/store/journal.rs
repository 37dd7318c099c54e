//! What happened to the agent itself, a line each: starts, clock steps, refusals, damage, what had
//! to be dropped.

use rusqlite::params;

use crate::base::time::Wall;
use crate::store::{Store, StoreError};

/// The journal keeps this many lines.
const KEPT: i64 = 10_000;

macro_rules! noted {
    ($($what:literal $name:ident $word:literal,)*) => {
        /// Every kind of line that there is; `docs/operations.md` explains each. There is no other
        /// way to write one, so that none can be without its explanation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Noted {
            $(#[doc = $what] $name,)*
        }

        impl Noted {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

noted! {
    "The agent began." Start "start",
    "It ended." Stop "stop",
    "The configuration was read again." Reload "reload",
    "It was to be, and had faults." ReloadRefused "reload-refused",
    "The clock was stepped." ClockStep "clock-step",
    "The clock is not set yet." ClockUnset "clock-unset",
    "It was set: what was held has its times." ClockSet "clock-set",
    "Nothing set it: what was held has the times that it said." ClockGuessed "clock-guessed",
    "An interface's carrier came or went." Carrier "carrier",
    "A probe's target has another address." Address "address",
    "Replies come over another path." ReplyTtl "reply-ttl",
    "A target began or ceased to refuse." Refused "refused",
    "An outage began or ended." Outage "outage",
    "A server shows another certificate." Certificate "certificate",
    "Summaries are dropped unshipped." OutboxFull "outbox-full",
    "The database is at its limit." StoreFull "store-full",
    "The agent's key was exchanged." KeyChanged "key-changed",
    "The key is another one, without an exchange." IdentityChanged "identity-changed",
    "The collector's key is another one, or another is announced." CollectorKey "collector-key",
    "A contract came." Contract "contract",
    "Judging goes by other contracts." Contracts "contracts",
    "A contract came that cannot be taken." ContractRefused "contract-refused",
    "The collector refused a summary." SummaryRefused "summary-refused",
    "A summary could not be made." SummaryFault "summary-fault",
    "The chain was continued by another." ChainConflict "chain-conflict",
    "The database was damaged, and set aside." DatabaseDamaged "database-damaged",
    "What could be read of it was brought over." DatabaseSalvaged "database-salvaged",
    "The disk could not be written, or can again." Disk "disk",
}

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
    pub fn note(&self, at: Wall, kind: Noted, detail: &str) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO event (at_ns, kind, detail) VALUES (?1, ?2, ?3)",
            params![at.nanos(), kind.word(), detail],
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
        let mut wanted = self
            .db
            .prepare_cached("SELECT at_ns, kind, detail FROM event ORDER BY id DESC LIMIT ?1")?;
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
        let mut kinds: Vec<&str> = Noted::ALL.iter().map(|kind| kind.word()).collect();
        explained.sort_unstable();
        kinds.sort_unstable();
        assert_eq!(explained, kinds);
    }
}
