//! The collector's database: what was received, from whom, and what is missing. Every SQL string of the collector is in
//! this room.
//!
//! SQLite in WAL mode, one writer, any number of readers, in this process and in others: the operator's commands work
//! whether the collector runs or not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::evidence::key::Kid;

pub mod agents;
pub mod gaps;
pub mod summaries;

/// How long a command waits while another process writes.
const BUSY: Duration = Duration::from_secs(10);
/// The schema's version, in `user_version`.
const SCHEMA: i64 = 1;

/// What can go wrong with the collector's database.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The directory cannot be made.
    #[error("{path}: {source}: make it, and give it to the user that the collector runs as", path = .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no database where one is to be read.
    #[error("{}: there is no collector's database here: has `wanproof collector serve` run with this configuration?", .0.display())]
    NoDatabase(PathBuf),
    /// It was written by a later version of this program.
    #[error(
        "the collector's database has schema {found}, this program knows {SCHEMA}: install the version that wrote it, or a later one"
    )]
    Later {
        /// Its schema.
        found: i64,
    },
    /// It belongs to another key.
    #[error(
        "the key file holds {found}, but the receipts in this database are by {expected}: give the collector its own key file \
         again (a backup of it, or that of another replica); with another key no agent would believe it"
    )]
    OtherKey {
        /// The key that the database belongs to.
        expected: Kid,
        /// The key that was found.
        found: Kid,
    },
    /// Its key is lost.
    #[error(
        "the receipts in this database are by {expected}, but the key file is missing: put it back from a backup or from another \
         replica; a new key is not made, since no agent would believe it"
    )]
    NoKey {
        /// The key that the database belongs to.
        expected: Kid,
    },
    /// A row is not as it was written.
    #[error("the collector's database is damaged: {0}")]
    Damaged(String),
    /// SQLite failed.
    #[error("the collector's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    -- An agent is the thumbprint of its first key; state is pending, approved or revoked.
    CREATE TABLE agent (
        agent BLOB PRIMARY KEY, site TEXT NOT NULL, state TEXT NOT NULL, enrolled_ns INTEGER NOT NULL
    ) WITHOUT ROWID;

    -- The keys of agents. One that was replaced signs nothing after the summary that named its successor.
    CREATE TABLE agent_key (
        kid BLOB PRIMARY KEY, agent BLOB NOT NULL, x BLOB NOT NULL, place INTEGER NOT NULL, last_chain BLOB, last_seq INTEGER
    ) WITHOUT ROWID;

    CREATE TABLE token (digest BLOB PRIMARY KEY, agent BLOB NOT NULL, used_ns INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE chain (
        agent BLOB NOT NULL, chain BLOB NOT NULL, last_seq INTEGER NOT NULL, received_ns INTEGER NOT NULL,
        follows_chain BLOB, follows_seq INTEGER, follows_digest BLOB, PRIMARY KEY (agent, chain)
    ) WITHOUT ROWID;

    CREATE TABLE summary (
        agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, prev BLOB,
        from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL,
        jws TEXT NOT NULL, receipt TEXT NOT NULL
    );
    CREATE UNIQUE INDEX summary_number ON summary (agent, chain, seq);

    -- What is missing, and what the agent said that it dropped; both ends included.
    CREATE TABLE gap (
        agent BLOB NOT NULL, chain BLOB NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
        PRIMARY KEY (agent, chain, from_seq)
    ) WITHOUT ROWID;
    CREATE TABLE dropped (
        agent BLOB NOT NULL, chain BLOB NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
        PRIMARY KEY (agent, chain, from_seq, to_seq)
    ) WITHOUT ROWID;

    -- What did not fit into its chain: evidence of a fault.
    CREATE TABLE conflict (
        agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, received_ns INTEGER NOT NULL,
        why TEXT NOT NULL, jws TEXT NOT NULL
    );
    CREATE UNIQUE INDEX conflict_number ON conflict (agent, chain, seq, digest);
";

/// The database, opened by one thread.
#[derive(Debug)]
pub struct Archive {
    db: Connection,
}

impl Archive {
    /// Opens the database to write, and makes it if it is missing; and its directory, if only that is.
    ///
    /// # Errors
    /// When it cannot be opened, or is of a later version.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(directory) = directory {
            make_directory(directory)?;
        }
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "journal_mode", "wal")?;
        // A receipt is given for what is durable: each commit waits for the disk.
        db.pragma_update(None, "synchronous", "full")?;
        let mut archive = Self { db };
        archive.prepare()?;
        Ok(archive)
    }

    /// Opens a database that is there, for a command or a reader; it can be written, in short transactions.
    ///
    /// # Errors
    /// When there is none, it cannot be opened, or is of a later version.
    pub fn open_existing(path: &Path) -> Result<Self, ArchiveError> {
        if !path.exists() {
            return Err(ArchiveError::NoDatabase(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "synchronous", "full")?;
        match db.pragma_query_value(None, "user_version", |row| row.get(0))? {
            SCHEMA => Ok(Self { db }),
            0 => Err(ArchiveError::NoDatabase(path.to_owned())),
            found => Err(ArchiveError::Later { found }),
        }
    }

    fn prepare(&mut self) -> Result<(), ArchiveError> {
        self.write(|archive| match archive.db.pragma_query_value(None, "user_version", |row| row.get(0))? {
            SCHEMA => Ok(()),
            0 => {
                archive.db.execute_batch(TABLES)?;
                Ok(archive.db.pragma_update(None, "user_version", SCHEMA)?)
            }
            found => Err(ArchiveError::Later { found }),
        })
    }

    /// Does something in one transaction, which is undone when it fails.
    ///
    /// # Errors
    /// What `act` returns, or when the transaction cannot be begun or committed.
    pub fn write<T, E: From<ArchiveError>>(&mut self, act: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        let failed = |error: rusqlite::Error| E::from(ArchiveError::from(error));
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        let done = act(self).and_then(|value| match self.db.execute_batch("COMMIT") {
            Ok(()) => Ok(value),
            Err(error) => Err(failed(error)),
        });
        if done.is_err() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
        done
    }

    /// Does something within a transaction that others share; when it fails, only it is undone.
    ///
    /// # Errors
    /// What `act` returns, or when SQLite fails.
    pub fn part<T>(&self, act: impl FnOnce(&Self) -> Result<T, ArchiveError>) -> Result<T, ArchiveError> {
        self.db.execute_batch("SAVEPOINT part")?;
        let done = act(self);
        let end = if done.is_ok() { "RELEASE part" } else { "ROLLBACK TO part; RELEASE part" };
        self.db.execute_batch(end)?;
        done
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&self) -> Result<(), ArchiveError> {
        Ok(self.db.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?)
    }

    /// Which collector's key the database belongs to.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn collector(&self) -> Result<Option<Kid>, ArchiveError> {
        let kid: Option<String> =
            self.db.query_row("SELECT value FROM meta WHERE key = 'collector'", [], |row| row.get(0)).optional()?;
        match kid {
            Some(kid) => kid.parse().map(Some).map_err(|_| ArchiveError::Damaged(format!("its key is {kid:?}"))),
            None => Ok(None),
        }
    }

    /// Makes the database that of a key, once; and checks it ever after.
    ///
    /// # Errors
    /// When it is another key's.
    pub fn belong_to(&self, found: Kid) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO meta (key, value) VALUES ('collector', ?1) ON CONFLICT DO NOTHING";
        self.db.execute(sql, params![found.to_string()])?;
        match self.collector()? {
            Some(expected) if expected != found => Err(ArchiveError::OtherKey { expected, found }),
            _ => Ok(()),
        }
    }
}

/// Makes a directory for its owner alone, if only it is missing.
pub fn make_directory(path: &Path) -> Result<(), ArchiveError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| ArchiveError::Directory { path: path.to_owned(), source })
}

/// The bytes of a digest, a key's identifier or a chain, as a column holds them.
fn bytes<const N: usize>(column: &[u8]) -> Result<[u8; N], ArchiveError> {
    column.try_into().map_err(|_| ArchiveError::Damaged(format!("{} bytes where {N} are", column.len())))
}

/// A sequence number as SQLite holds it; the wire format keeps them below 2^53.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A column that is a number or a count.
fn unsigned(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(at)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
}
