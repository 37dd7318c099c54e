//! What can go wrong with the edge database.

use std::path::PathBuf;

use rusqlite::ErrorCode;

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
         or ran last, is of an earlier version; start the agent of this version on it first"
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
         agent.db-wal beside it: if this is a copy, copy agent.db and agent.db-wal together; if \
         it is the agent's own, its agent is of an earlier version: start the agent of this \
         version on it first"
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
         copy agent.db and agent.db-wal together, or agent.db alone once the agent has stopped"
    )]
    Empty(PathBuf),
    /// It lies where nothing can be written, with a log beside it, and there is no room to read the
    /// two together.
    #[error(
        "{path}: the newest of it is in agent.db-wal beside it, and both can only be read \
         together from a private copy, for which there is no room in {room} ({source}): name \
         another place with TMPDIR, or copy both files to where they can be written"
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
