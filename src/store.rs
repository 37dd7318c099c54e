//! The edge database: its schema, its migrations, and every SQL string of the agent.
//!
//! One file, `agent.db`, in the data directory; SQLite in WAL mode, one writer, any number of
//! readers. What is written together is written in one transaction.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::base::time::Wall;
use crate::store::journal::Noted;
use crate::store::salvage::Salvage;

mod block;
mod bytes;
pub mod contracts;
pub mod damaged;
pub mod hourly_histograms;
pub mod hourly_outcomes;
pub mod intervals;
pub mod journal;
pub mod keyfile;
pub mod keys;
pub mod lifecycle_log;
mod merge_boundaries;
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

/// The name of the database's file in the data directory.
pub const FILE: &str = "agent.db";

/// What can go wrong with the edge database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory is not there, or not readable or writable.
    #[error("{path}: {source}: {advice}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A file is where a directory is meant.
    #[error("{0} is a file: data_dir, as --data, names the directory that agent.db lies in")]
    File(PathBuf),
    /// There is no database where one is to be read.
    #[error(
        "{0} is not there: no agent has run with this data directory; name another with --data \
            DIR or --config FILE"
    )]
    NoDatabase(PathBuf),
    /// Another agent writes to it.
    #[error(
        "{0} is in use: another wanproof agent runs with this data directory; stop it first, or \
            give this one its own"
    )]
    InUse(PathBuf),
    /// It was written by a later version of this program.
    #[error(
        "the database has schema {found}, this program knows {known}: it was written by a later \
            version; install that one"
    )]
    Newer {
        /// The schema's number found.
        found: i64,
        /// The highest that this program knows.
        known: i64,
    },
    /// It is of an earlier version of this program, and only that one's agent, or this one's, may
    /// change it.
    #[error(
        "the database has schema {found}, this program needs {known}: the agent that runs on it, \
            or ran last, is of an earlier \
         version; start the agent of this version on it first"
    )]
    Older {
        /// The schema's number found.
        found: i64,
        /// The one that this program knows.
        known: i64,
    },
    /// It is of an earlier version, or a copy that lacks what was written last.
    #[error(
        "{path}: the database has schema {found}, this program needs {known}, and there is no \
            agent.db-wal beside it: if this is \
         a copy, copy agent.db and agent.db-wal together; if it is the agent's own, its agent is \
            of an earlier version: \
         start the agent of this version on it first"
    )]
    Behind {
        /// Which.
        path: PathBuf,
        /// The schema's number found.
        found: i64,
        /// The one that this program knows.
        known: i64,
    },
    /// There is nothing in it, since what was written is in a log that is not there.
    #[error(
        "{0} is empty: what its agent wrote is still in agent.db-wal, which is not beside it: \
            copy agent.db and agent.db-wal \
         together, or agent.db alone once the agent has stopped"
    )]
    Empty(PathBuf),
    /// It lies where nothing can be written, with a log beside it, and there is no room to read the
    /// two together.
    #[error(
        "{path}: the newest of it is in agent.db-wal beside it, and both can only be read \
            together from a private copy, for which \
         there is no room in {room} ({source}): name another place with TMPDIR, or copy both \
            files to where they can be written"
    )]
    Unread {
        /// Which.
        path: PathBuf,
        /// Where there is no room.
        room: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What was to be written cannot be packed: memory was short. What is in the database is as it
    /// was.
    #[error("what was to be written to the database cannot be packed: {0}")]
    Unpacked(#[source] std::io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// A summary is not the next one of its chain: two wrote at once.
    #[error("summary {0} is not the next of its chain")]
    NotNext(u64),
    /// A row cannot be what this program wrote.
    #[error("the database holds what cannot be read: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether the file is no sound database, so that setting it aside is the way on.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            // Every statement is constant and was tested: what is unknown to it, or of another
            // type, was not left so.
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => {
                matches!(
                    failure.code,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown
                )
            }
            Self::Sqlite(
                rusqlite::Error::SqlInputError { .. }
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..),
            )
            | Self::Damaged(_) => true,
            _ => false,
        }
    }
}

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

/// What opening for writing found.
#[derive(Debug)]
pub enum Found {
    /// A sound database, or none, and a new one was begun.
    Sound,
    /// A damaged one; it was set aside under this name and a new one begun.
    Damaged {
        /// Where the damaged file is now.
        aside: PathBuf,
        /// What was wrong.
        what: String,
    },
}

impl Store {
    /// Opens the database of a data directory for writing; makes the directory (mode 0700) if only
    /// it is missing, and the database. A damaged database is set aside, and a new one begun.
    ///
    /// # Errors
    /// When the directory cannot be made or written, another agent has it, or it is of a later
    /// version.
    pub fn open(dir: &Path, now: Wall) -> Result<(Self, Found), StoreError> {
        make_dir(dir)?;
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let with = |db, lock| Self { db, path: path.clone(), _lock: lock, base: 0, salvage: None };
        let opened = open_file(&path).and_then(|db| {
            let mut store = with(db, None);
            store.glance()?;
            store.salvage = salvage::resume(&store)?;
            Ok(store)
        });
        match opened {
            Ok(mut store) => {
                store._lock = Some(lock);
                Ok((store, Found::Sound))
            }
            Err(error) if error.is_damage() || is_wrongly_shut(&error, &path) => {
                let mut store = with(Connection::open_in_memory()?, Some(lock));
                let what = error.to_string();
                let aside = store.set_aside(now, &what)?;
                Ok((store, Found::Damaged { aside, what }))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the database of a data directory for adding to its logs, whether an agent runs on it
    /// or not: the two take turns at writing.
    ///
    /// # Errors
    /// When there is none, it cannot be written, or a running agent of another version keeps it as
    /// that version does.
    pub fn add(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(StoreError::NoDatabase(path));
        }
        match lock(dir) {
            Ok(lock) => {
                Ok(Self { db: open_file(&path)?, path, _lock: Some(lock), base: 0, salvage: None })
            }
            Err(StoreError::InUse(_)) => {
                let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
                db.busy_timeout(Duration::from_secs(5))?;
                match schema::check(&db)? {
                    found if found == schema::known() => {
                        Ok(Self { db, path, _lock: None, base: 0, salvage: None })
                    }
                    found => Err(StoreError::Older { found, known: schema::known() }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what is read at every start, so that damage there is found before anything relies on
    /// it.
    fn glance(&mut self) -> Result<(), StoreError> {
        self.base = self.meta("base")?.and_then(|base| base.parse().ok()).unwrap_or(0);
        let unsummarised = self.unsummarised()?;
        self.site()?;
        self.identity()?;
        self.head()?;
        self.dropped()?;
        self.each_series(|_| true, |_, _| ())?;
        self.open_outages()?;
        self.journal(1)?;
        if let (Some((first, _)), Some((last, _))) = (unsummarised.first(), unsummarised.last()) {
            self.each_interval((*first, *last), |_| true, |_, _| ())?;
        }
        self.tally().map(drop)
    }

    /// Sets the database aside, which turned out to be damaged, and begins a new one. What is small
    /// is brought over at once, the rest by [`Self::salvage`]; measuring never waits for it. Gives
    /// the name that the old one has now.
    ///
    /// # Errors
    /// When it cannot be renamed, or no new one be made.
    pub fn set_aside(&mut self, now: Wall, what: &str) -> Result<PathBuf, StoreError> {
        // Closed first: an open file would be written to under its new name.
        drop(std::mem::replace(&mut self.db, Connection::open_in_memory()?));
        self.salvage = None;
        let aside = salvage::set_aside(&self.path, now)?;
        self.db = open_file(&self.path)?;
        self.salvage = Some(salvage::begin(self, &aside, now)?);
        self.note(
            now,
            Noted::DatabaseDamaged,
            &format!("{what}; set aside as {}", aside.display()),
        )?;
        Ok(aside)
    }

    /// Opens the database of a data directory for reading, whether an agent runs on it, has died,
    /// or the directory is a copy.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        match std::fs::metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NoDatabase(path));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(StoreError::File(dir.to_owned()));
            }
            Err(source) => {
                let advice = "the agent's data belongs to its own user; try again with sudo";
                return Err(StoreError::Directory { path, source, advice });
            }
        }
        let db = open_read_only::open(&path)?;
        let (found, known) = (schema::check(&db)?, schema::known());
        match found {
            // An agent's first act is to make its schema, and it is in the log until that is
            // brought over.
            0 => return Err(StoreError::Empty(path)),
            found if found < known && !open_read_only::has_log(&path) => {
                return Err(StoreError::Behind { path, found, known });
            }
            found if found < known => return Err(StoreError::Older { found, known }),
            _ => {}
        }
        Ok(Self { db, path, _lock: None, base: 0, salvage: None })
    }

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

/// Makes a directory with mode 0700 if only it is missing.
///
/// # Errors
/// When its parent is missing or may not be written.
pub fn make_dir(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    if dir.exists() {
        return Err(StoreError::File(dir.to_owned()));
    }
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(|source| {
        let advice = match source.kind() {
            std::io::ErrorKind::NotFound => {
                "its parent directory is missing; make it first, or correct data_dir"
            }
            std::io::ErrorKind::PermissionDenied => {
                "this user may not make it; make it first and give it to this user"
            }
            _ => "data_dir must be a directory that this user may write",
        };
        StoreError::Directory { path: dir.to_owned(), source, advice }
    })
}

fn lock(dir: &Path) -> Result<Flock<std::fs::File>, StoreError> {
    let path = dir.join("lock");
    let file =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(
            |source| {
                let advice = "the data directory must be writable by the agent's user";
                StoreError::Directory { path, source, advice }
            },
        )?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| StoreError::InUse(dir.to_owned()))
}

fn open_file(path: &Path) -> Result<Connection, StoreError> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    schema::prepare(&mut db)?;
    Ok(db)
}

/// Whether SQLite holds the database for read-only though its file can be written: that is a
/// changed byte in its header.
fn is_wrongly_shut(error: &StoreError, path: &Path) -> bool {
    let StoreError::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = error else {
        return false;
    };
    failure.code == ErrorCode::ReadOnly
        && std::fs::OpenOptions::new().append(true).open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::from_secs(1_700_000_000);

    #[test]
    fn a_second_agent_on_the_same_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (_first, _) = Store::open(dir.path(), NOW).unwrap();
        assert!(matches!(Store::open(dir.path(), NOW), Err(StoreError::InUse(_))));
        Store::read(dir.path()).unwrap();
    }

    #[test]
    fn what_says_nothing_of_the_file_does_not_have_it_set_aside() {
        let short = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        for error in [
            StoreError::Random("no entropy".to_owned()),
            StoreError::Unpacked(short()),
            StoreError::NotNext(7),
        ] {
            assert!(!error.is_damage(), "{error}");
        }
        assert!(StoreError::Damaged("a row".to_owned()).is_damage());
    }

    #[test]
    fn a_damaged_database_is_set_aside_and_a_new_one_begun() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), vec![7u8; 8192]).unwrap();
        let (store, found) = Store::open(dir.path(), NOW).unwrap();
        let Found::Damaged { aside, .. } = found else { panic!("{found:?}") };
        assert_eq!(std::fs::read(aside).unwrap(), vec![7u8; 8192]);
        assert!(store.bytes().unwrap() > 0);
    }

    #[test]
    fn only_the_directory_itself_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let error = Store::open(&dir.path().join("a/b"), NOW).unwrap_err();
        assert!(error.to_string().contains("its parent directory is missing"), "{error}");
        Store::open(&dir.path().join("a"), NOW).unwrap();
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(dir.path().join("a").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_without_a_database_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = Store::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("--data DIR"), "{error}");
    }

    #[test]
    fn work_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path(), NOW).unwrap();
        let failed: Result<(), StoreError> = store.together(|store| {
            store.set_meta("k", "v")?;
            Err(StoreError::Damaged("so".to_owned()))
        });
        assert!(failed.is_err());
        assert_eq!(store.meta("k").unwrap(), None);
    }
}
