//! The edge database: its schema, its migrations, and every SQL string of the agent.
//!
//! One file, `agent.db`, in the data directory; SQLite in WAL mode, one writer, any number of
//! readers. What is written together is written in one transaction.

use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use rusqlite::{Connection, OptionalExtension};

use crate::store::salvage::Salvage;

mod block;
mod bytes;
pub mod contracts;
pub mod damaged;
mod error;
pub mod following;
mod history;
pub mod hourly_histograms;
pub mod hourly_outcomes;
pub mod intervals;
pub mod journal;
pub mod keyfile;
pub mod keys;
pub mod lifecycle_log;
mod merge_boundaries;
mod open;
mod open_read_only;
pub mod outages;
pub mod outbox;
pub mod packed_summary;
pub mod provisional;
pub mod retention;
pub mod rollup;
pub mod salvage;
mod schema;
mod tier;

pub use error::StoreError;
pub use open::{Found, make_dir};
pub use tier::Grain;

/// The name of the database's file in the data directory.
pub const FILE: &str = "agent.db";

/// The edge database, open.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Held for as long as this one writes.
    _lock: Option<Flock<std::fs::File>>,
    /// Numbers of new rows are above this: below it there is room for what is salvaged.
    base: i64,
    /// What is still to be brought over from a damaged database.
    salvage: Option<Box<Salvage>>,
}

/// Which file a database is, whatever its name is by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// The file that has this name now.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).ok().map(|found| Self(found.dev(), found.ino()))
    }
}

impl Store {
    /// Runs what belongs together in one transaction.
    ///
    /// # Errors
    /// When the work or the commit fails; then nothing of it is there.
    pub fn together<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from)?;
        match work(self) {
            Ok(value) => match self.db.execute_batch("COMMIT") {
                Ok(()) => Ok(value),
                Err(error) => {
                    self.roll_back();
                    Err(StoreError::from(error).into())
                }
            },
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    fn roll_back(&self) {
        if let Err(error) = self.db.execute_batch("ROLLBACK") {
            tracing::debug!(%error, "nothing to roll back");
        }
    }

    /// Bytes in use by the database, free pages not counted.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let pragma = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let used = (pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?;
        Ok(u64::try_from(used).unwrap_or(0))
    }

    /// Which file it is.
    #[must_use]
    pub fn file(&self) -> Option<FileId> {
        FileId::of(&self.path)
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The site's name, as the agent last said it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn site(&self) -> Result<Option<String>, StoreError> {
        self.meta("site")
    }

    /// Remembers the site's name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_site(&self, site: &str) -> Result<(), StoreError> {
        self.set_meta("site", site)
    }

    pub(in crate::store) fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let found = self
            .db
            .prepare_cached("SELECT value, sum FROM meta WHERE key = ?1")?
            .query_row([key], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<u32>>(1)?)))
            .optional()?;
        match found {
            Some((value, sum))
                if sum.is_some_and(|sum| sum != bytes::sum([key.as_bytes(), value.as_bytes()])) =>
            {
                Err(StoreError::Damaged(format!("{key} is not what was written")))
            }
            found => Ok(found.map(|(value, _)| value)),
        }
    }

    pub(in crate::store) fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let mut set = self.db.prepare_cached(
            "INSERT INTO meta (key, value, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
        )?;
        set.execute(rusqlite::params![key, value, bytes::sum([key.as_bytes(), value.as_bytes()])])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
