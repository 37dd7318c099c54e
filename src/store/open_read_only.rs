//! Opening a database for reading, wherever it lies: all of it, its log (`agent.db-wal`) included,
//! or not at all.
//!
//! SQLite reads a log by shared memory beside it. On a medium that cannot be written there is no
//! room for that, and `immutable` passes the log over without a word. So such a copy is read from a
//! private copy in the directory for temporary files, which is gone as soon as it is open.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::{FILE, StoreError};

/// How often a copy is made of what somebody writes to elsewhere.
const TRIES: u8 = 5;

/// Opens a database for reading, whether an agent writes to it, has died, or it is a copy.
///
/// # Errors
/// When it cannot be read, or not all of it.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    match in_place(path) {
        Err(error) if !is_for_want_of_room(&error) => Err(error),
        // What is in the file is all there is: nobody writes there.
        Err(_) if !has_log(path) => immutable(path),
        Err(_) => by_copy(path),
        opened => opened,
    }
}

/// Whether SQLite could make no shared memory beside the database.
fn is_for_want_of_room(error: &StoreError) -> bool {
    let StoreError::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = error else {
        return false;
    };
    matches!(
        failure.code,
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied
    )
}

/// The log that SQLite keeps beside a database.
#[must_use]
pub fn log_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-wal");
    name.into()
}

/// Whether there is something in its log, as far as one may look.
#[must_use]
pub fn has_log(path: &Path) -> bool {
    match std::fs::metadata(log_of(path)) {
        Ok(log) => log.len() > 0,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn in_place(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(Duration::from_secs(5))?;
    glance(&db)?;
    Ok(db)
}

fn immutable(path: &Path) -> Result<Connection, StoreError> {
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{name}?immutable=1");
    let db = Connection::open_with_flags(
        uri,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    )?;
    glance(&db)?;
    Ok(db)
}

fn by_copy(path: &Path) -> Result<Connection, StoreError> {
    let room = std::env::temp_dir();
    let unread = |source: io::Error| StoreError::Unread {
        path: path.to_owned(),
        room: room.clone(),
        source,
    };
    let dir = nix::unistd::mkdtemp(&room.join("wanproof-XXXXXX"))
        .map_err(|errno| unread(errno.into()))?;
    let copied = dir.join(FILE);
    let opened = copy(path, &copied).map_err(unread).and_then(|()| {
        let db = Connection::open(&copied)?;
        glance(&db)?;
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    });
    // It goes on from the files that are open.
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        tracing::debug!(%error, dir = %dir.display(), "a private copy is left");
    }
    opened
}

/// Copies a database and its log, as they are at one time.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let stamp = || -> io::Result<_> {
        let of =
            |path: &Path| std::fs::metadata(path).and_then(|of| Ok((of.len(), of.modified()?)));
        Ok((of(from)?, of(&log_of(from))?))
    };
    for _ in 0..TRIES {
        let before = stamp()?;
        std::fs::copy(from, to)?;
        std::fs::copy(log_of(from), log_of(to))?;
        if stamp()? == before {
            return Ok(());
        }
    }
    Err(io::Error::other("it is being written to all the while"))
}

/// Reads as little as shows that it can be read, log and all.
fn glance(db: &Connection) -> Result<(), StoreError> {
    Ok(db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map(drop)?)
}
