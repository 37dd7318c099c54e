//! The collector's database: what was received, from whom, and what is missing. Every SQL string of
//! the collector is in this room.
//!
//! [`Archive`] is a connection to SQLite or PostgreSQL, used by one thread. Its methods are written
//! once for both:
//!
//! ```ignore
//! impl Archive {
//!     pub fn site_of(&self, agent: Kid) -> Result<Option<String>, ArchiveError> {
//!         self.db.one("SELECT site FROM agent WHERE agent = ?1", args![&agent], |row| row.get(0))
//!     }
//! }
//! ```
//!
//! - **A query**: `self.db.execute`, `one`, `all` or `each`, with `args![…]`, in the SQL that both
//!   share: see [`db`].
//! - **A table**: a step at the end of `STEPS` in `schema.rs`, in the DDL of each. What grows has
//!   the agent first in its key, and on PostgreSQL is kept in parts of a month by a time in
//!   nanoseconds: name it in `PARTED` as well.
//! - **A change** is made within [`Archive::write`], by the one writer of a replica. On SQLite that
//!   excludes all others; on PostgreSQL another replica may be doing the same: what is read,
//!   decided upon and then written is read after [`Archive::lock`] of what it is about (an agent's
//!   identifier, a token's digest), which lasts as long as the transaction.
//! - **A test** of it stands in `tests/archive.rs`, which runs each on both.
//!
//! SQLite is in WAL mode: one writer, any number of readers, in this process and in others; the
//! operator's commands work whether the collector runs or not, on either.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use rusqlite::{Connection, OpenFlags};

use crate::base::time::Wall;
use crate::collector::archive::db::Db;
use crate::collector::archive::postgres::Postgres;
use crate::collector::archive::value::args;
use crate::collector::compaction::NotPieces;
use crate::config::collector::{Address, Database};
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};

pub mod accept;
pub mod agents;
pub mod audit;
mod backup;
pub mod conflicts;
mod db;
pub mod folds;
pub mod gaps;
mod granted;
pub mod late;
pub mod ledger;
pub mod packed;
mod parts;
pub mod pending;
mod postgres;
pub mod quarantine;
mod query;
pub mod salvage;
mod schema;
pub mod summaries;
mod value;

pub use postgres::fault::Fault as PostgresFault;

/// How long a command waits while another process writes.
const BUSY: Duration = Duration::from_secs(10);
/// So many statements are kept prepared: more than there are.
const STATEMENTS: usize = 128;

/// What can go wrong with the collector's database.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The directory cannot be made.
    #[error(
        "{path}: {source}: make it, and give it to the user that the collector runs as",
        path = .path.display()
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no database where one is to be read.
    #[error(
        "{0}: there is no collector's database here: has `wanproof collector serve` run with this \
            configuration?"
    )]
    NoDatabase(Database),
    /// A file is where a directory is meant.
    #[error("{0} is a file, and a directory is meant: name the one that it lies in")]
    File(PathBuf),
    /// It was written by a later version of this program.
    #[error(
        "the collector's database has schema {found}, this program knows {known}: install the \
            version that wrote it, or a later one",
        known = schema::VERSION
    )]
    Later {
        /// Its schema.
        found: i64,
    },
    /// It belongs to another key.
    #[error(
        "the key file holds {found}, but the receipts in this database are by {expected}: give \
         the collector its own key file again (a backup of it, or that of another replica); with \
         another key no agent would believe it"
    )]
    OtherKey {
        /// The key that the database belongs to.
        expected: Kid,
        /// The key that was found.
        found: Kid,
    },
    /// Its key is lost.
    #[error(
        "the receipts in this database are by {expected}, but the key file is missing: put it \
         back from a backup or from another replica; a new key is not made, since no agent would \
         believe it"
    )]
    NoKey {
        /// The key that the database belongs to.
        expected: Kid,
    },
    /// A row is not as it was written.
    #[error("the collector's database is damaged: {0}")]
    Damaged(String),
    /// What an agent ships is more than is kept of it.
    #[error("what came is more than is kept of it: {0}")]
    TooMuch(String),
    /// It is of an earlier version, which only the collector itself brings up to date.
    #[error("the collector's database has schema {found}, this program knows {known}: start \
        `wanproof collector serve` once, which brings it up to date", known = schema::VERSION)]
    Earlier {
        /// Its schema.
        found: i64,
    },
    /// SQLite failed.
    #[error("the collector's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL failed, or cannot be reached.
    #[error("the collector's database: {0}")]
    Postgres(PostgresFault),
    /// The server cannot be reached, or lets nobody in.
    #[error(
        "the collector's database {at} cannot be used: {fault}: is the server there, and may this \
            user use this database?"
    )]
    Unreachable {
        /// Which.
        at: Address,
        /// What it says.
        fault: PostgresFault,
    },
    /// Its address, or what it says of encryption, cannot be used.
    #[error("the collector's database {at}: {what}: correct `database`")]
    Address {
        /// Which.
        at: Address,
        /// What is wrong with it.
        what: String,
    },
    /// The system gives no thread or socket.
    #[error("the collector's database: {0}")]
    System(#[from] std::io::Error),
}

/// Why a database cannot be used, as anybody may know it: it names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// It is damaged.
    Damaged,
    /// Its disk, or what it may use of it, is full.
    Full,
    /// It can only be read.
    ReadOnly,
    /// Another program keeps it from being written.
    Locked,
    /// It does not answer.
    Away,
}

impl Ill {
    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Damaged => "the collector's database is damaged",
            Self::Full => "the disk of the collector's database is full",
            Self::ReadOnly => "the collector's database can only be read",
            Self::Locked => "another program keeps the collector's database from being written",
            Self::Away => "the collector's database does not answer",
        }
    }
}

impl From<NotPieces> for ArchiveError {
    fn from(fault: NotPieces) -> Self {
        match fault {
            NotPieces::TooMuch | NotPieces::TooMany => Self::TooMuch(fault.to_string()),
            NotPieces::Zstd(_) | NotPieces::Form(_) => {
                Self::Damaged(format!("a folded day: {fault}"))
            }
        }
    }
}

impl ArchiveError {
    /// Why the database cannot be used.
    #[must_use]
    pub fn ill(&self) -> Ill {
        use rusqlite::ErrorCode;
        match self {
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Ill::Damaged,
                Some(ErrorCode::DiskFull) => Ill::Full,
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Ill::ReadOnly,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ill::Locked,
                _ => Ill::Away,
            },
            Self::Postgres(fault) => fault.ill(),
            _ => Ill::Away,
        }
    }

    /// Whether what went wrong lies with what is stored, or was to be stored, and not with the
    /// database as a whole: doing the same with other rows may well work.
    #[must_use]
    pub fn is_of_a_row(&self) -> bool {
        use rusqlite::{Error, ErrorCode};
        match self {
            Self::Damaged(_) | Self::TooMuch(_) => true,
            Self::Sqlite(Error::SqliteFailure(failure, _)) => {
                matches!(
                    failure.code,
                    ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch
                )
            }
            Self::Sqlite(
                Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::Utf8Error(..)
                | Error::NulError(_)
                | Error::InvalidColumnType(..)
                | Error::ToSqlConversionFailure(_),
            ) => true,
            Self::Postgres(fault) => fault.is_of_a_row(),
            _ => false,
        }
    }
}

/// The database, opened by one thread.
#[derive(Debug)]
pub struct Archive {
    db: Db,
    at: Database,
    /// The months whose parts are known to be there.
    parts: BTreeSet<Date>,
}

/// Whether a database's address can be one; nothing is asked of it.
///
/// # Errors
/// When it cannot.
pub fn check_address(at: &Database) -> Result<(), ArchiveError> {
    match at {
        Database::Sqlite(_) => Ok(()),
        Database::Postgres(address) => postgres::settings(address).map(drop),
    }
}

impl Archive {
    /// Opens the database to write, makes its tables if they are missing, and brings them up to
    /// date. SQLite's file is made too, and its directory, if only that is missing.
    ///
    /// # Errors
    /// When it cannot be opened, or is of a later version.
    pub fn open(at: &Database) -> Result<Self, ArchiveError> {
        let db = match at {
            Database::Sqlite(path) => {
                if let Some(directory) =
                    path.parent().filter(|parent| !parent.as_os_str().is_empty())
                {
                    make_directory(directory)?;
                }
                let db = Connection::open(path)?;
                db.busy_timeout(BUSY)?;
                db.set_prepared_statement_cache_capacity(STATEMENTS);
                db.pragma_update(None, "journal_mode", "wal")?;
                // A receipt is given for what is durable: each commit waits for the disk.
                db.pragma_update(None, "synchronous", "full")?;
                Db::Sqlite(db)
            }
            Database::Postgres(address) => Db::Postgres(Postgres::connect(address)?),
        };
        let mut archive = Self { db, at: at.clone(), parts: BTreeSet::new() };
        schema::prepare(&mut archive)?;
        Ok(archive)
    }

    /// Opens a database that is there, for a command or a reader; it can be written, in short
    /// transactions.
    ///
    /// # Errors
    /// When there is none, it cannot be opened, or is of another version.
    pub fn open_existing(at: &Database) -> Result<Self, ArchiveError> {
        let db = match at {
            Database::Sqlite(path) => {
                if !path.exists() {
                    return Err(ArchiveError::NoDatabase(at.clone()));
                }
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let db = Connection::open_with_flags(path, flags)?;
                db.busy_timeout(BUSY)?;
                db.set_prepared_statement_cache_capacity(STATEMENTS);
                db.pragma_update(None, "synchronous", "full")?;
                Db::Sqlite(db)
            }
            Database::Postgres(address) => Db::Postgres(Postgres::connect(address)?),
        };
        match schema::version(&db)? {
            schema::VERSION => Ok(Self { db, at: at.clone(), parts: BTreeSet::new() }),
            0 => Err(ArchiveError::NoDatabase(at.clone())),
            found if found < schema::VERSION => Err(ArchiveError::Earlier { found }),
            found => Err(ArchiveError::Later { found }),
        }
    }

    /// Does something in one transaction, which is undone when it fails. A lost connection to
    /// PostgreSQL is made again before.
    ///
    /// # Errors
    /// What `act` returns, or when the transaction cannot be begun or committed.
    pub fn write<T, E: From<ArchiveError>>(
        &mut self,
        act: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin()?;
        let done = act(self).and_then(|value| match self.db.batch("COMMIT") {
            Ok(()) => Ok(value),
            Err(error) => Err(error.into()),
        });
        if done.is_err() {
            let _ = self.db.batch("ROLLBACK");
        }
        done
    }

    fn begin(&mut self) -> Result<(), ArchiveError> {
        let Database::Postgres(address) = &self.at else { return self.db.batch("BEGIN IMMEDIATE") };
        match self.db.batch("BEGIN") {
            Err(_) if self.is_lost() => {
                self.db = Db::Postgres(Postgres::connect(address)?);
                self.db.batch("BEGIN")
            }
            begun => begun,
        }
    }

    /// Whether the connection to its server is lost, so that another has to be opened.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match &self.db {
            Db::Sqlite(_) => false,
            Db::Postgres(db) => db.is_closed(),
        }
    }

    /// Whether other replicas may write to it at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.at, Database::Postgres(_))
    }

    /// Does something within a transaction that others share; when it fails, only it is undone.
    ///
    /// # Errors
    /// What `act` returns, or when the database fails.
    pub fn part<T>(
        &self,
        act: impl FnOnce(&Self) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        self.db.batch("SAVEPOINT part")?;
        let done = act(self);
        let end = if done.is_ok() { "RELEASE part" } else { "ROLLBACK TO part; RELEASE part" };
        self.db.batch(end)?;
        done
    }

    /// Keeps every other replica from changing what is about this (an agent's identifier, a token's
    /// digest) until the transaction ends. On SQLite a transaction that writes excludes all others
    /// anyway.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lock(&self, about: &[u8]) -> Result<(), ArchiveError> {
        match &self.db {
            Db::Sqlite(_) => Ok(()),
            Db::Postgres(db) => {
                db.execute("SELECT pg_advisory_xact_lock(?1)", args![lock_of(about)]).map(drop)
            }
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&self) -> Result<(), ArchiveError> {
        self.db.one("SELECT count(*) FROM meta", args![], |_| Ok(())).map(drop)
    }

    /// Writes something that says nothing, so that it is known that the database can be written.
    ///
    /// # Errors
    /// When it cannot.
    pub fn try_write(&self, now: Wall) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO meta (key, value) VALUES ('written', ?1)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.db.execute(sql, args![&now.to_string()]).map(drop)
    }

    /// Which collector's key the database belongs to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn collector(&self) -> Result<Option<Kid>, ArchiveError> {
        let sql = "SELECT value FROM meta WHERE key = 'collector'";
        match self.db.one(sql, args![], |row| row.get::<String>(0))? {
            Some(kid) => kid
                .parse()
                .map(Some)
                .map_err(|_| ArchiveError::Damaged(format!("its key is {kid:?}"))),
            None => Ok(None),
        }
    }

    /// Makes the database that of the key that follows its own; whoever did it before has done it.
    ///
    /// # Errors
    /// When it is neither's.
    pub fn change_key(&self, from: &PublicKey, to: &PublicKey) -> Result<(), ArchiveError> {
        let sql = "UPDATE meta SET value = ?1 WHERE key = 'collector' AND value = ?2";
        if self.db.execute(sql, args![&to.kid().to_string(), &from.kid().to_string()])? == 0 {
            return self.belong_to(to.kid());
        }
        let mut former = self.former_keys()?;
        former.push(*from);
        let text = serde_json::to_string(&former).expect("keys are JSON");
        let sql = "INSERT INTO meta (key, value) VALUES ('former_keys', ?1)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.db.execute(sql, args![&text]).map(drop)
    }

    /// The keys that it had before, whose receipts are in it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn former_keys(&self) -> Result<Vec<PublicKey>, ArchiveError> {
        let sql = "SELECT value FROM meta WHERE key = 'former_keys'";
        let text = self.db.one(sql, args![], |row| row.get::<String>(0))?;
        let read = |text: String| serde_json::from_str(&text);
        text.map_or_else(|| Ok(Vec::new()), read)
            .map_err(|fault| ArchiveError::Damaged(format!("its former keys: {fault}")))
    }

    /// Makes the database that of a key, once; and checks it ever after.
    ///
    /// # Errors
    /// When it is another key's.
    pub fn belong_to(&self, found: Kid) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO meta (key, value) VALUES ('collector', ?1) ON CONFLICT DO NOTHING";
        self.db.execute(sql, args![&found.to_string()])?;
        match self.collector()? {
            Some(expected) if expected != found => Err(ArchiveError::OtherKey { expected, found }),
            _ => Ok(()),
        }
    }
}

/// The advisory lock of something, out of 2^64: two that share one wait for each other, and that is
/// all.
fn lock_of(about: &[u8]) -> i64 {
    let digest = Digest::of(about);
    let first: [u8; 8] = std::array::from_fn(|at| digest.bytes()[at]);
    i64::from_be_bytes(first)
}

/// Makes a directory for its owner alone, if only it is missing.
pub fn make_directory(path: &Path) -> Result<(), ArchiveError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return Err(ArchiveError::File(path.to_owned()));
    }
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| ArchiveError::Directory { path: path.to_owned(), source })
}
