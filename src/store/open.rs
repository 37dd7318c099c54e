//! Opens the edge database; one that is damaged is set aside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::base::time::Wall;
use crate::store::journal::Noted;

use super::error::StoreError;
use super::{FILE, Store, open_read_only, salvage, schema};

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
}
