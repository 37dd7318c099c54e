//! A connection to either database, and what both understand of a query: the values that go in, and
//! the rows that come out.
//!
//! A query is written once, in the SQL that SQLite and PostgreSQL share, with parameters `?1`,
//! `?2`, … of type integer (64 bits), text or blob. What to keep to, so that both take it:
//!
//! - `ON CONFLICT (columns) DO UPDATE` names its columns; `ON CONFLICT DO NOTHING` need not;
//! - a sum is `CAST(sum(x) AS BIGINT)`, a literal that is selected is cast too, and there are no
//!   booleans: PostgreSQL's other types are not read here;
//! - no `rowid`, no `INSERT OR …`, no `LIKE` (it differs in case), no `max(a, b)` of two columns.

use rusqlite::OptionalExtension as _;
use tokio_postgres::types::FromSql;

use crate::base::time::Wall;
use crate::collector::archive::ArchiveError;
use crate::collector::archive::postgres::Postgres;
use crate::collector::archive::postgres::fault::fault;
use crate::collector::archive::value::Value;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::Kid;

/// A connection.
#[derive(Debug)]
pub enum Db {
    /// To a file.
    Sqlite(rusqlite::Connection),
    /// To a server.
    Postgres(Postgres),
}

/// A row of an answer.
#[derive(Debug)]
pub enum Row<'a> {
    /// Of SQLite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// Of PostgreSQL.
    Postgres(&'a tokio_postgres::Row),
}

/// What a column can be read as.
pub trait Column: Sized {
    /// As both databases give it.
    type Raw: rusqlite::types::FromSql + for<'a> FromSql<'a>;

    /// From that.
    ///
    /// # Errors
    /// When it is not as it was written.
    fn of(raw: Self::Raw) -> Result<Self, ArchiveError>;
}

impl Row<'_> {
    /// A column, by its place.
    ///
    /// # Errors
    /// When it is of another type, or not as it was written.
    pub fn get<T: Column>(&self, at: usize) -> Result<T, ArchiveError> {
        T::of(match self {
            Self::Sqlite(row) => row.get(at)?,
            Self::Postgres(row) => row.try_get(at).map_err(fault)?,
        })
    }
}

macro_rules! columns {
    ($($of:ty, $raw:ty, $value:ident => $made:expr;)*) => {
        $(impl Column for $of {
            type Raw = $raw;
            fn of($value: $raw) -> Result<Self, ArchiveError> { $made }
        })*
    };
}

columns! {
    i64, i64, value => Ok(value);
    u64, i64, value => u64::try_from(value)
        .map_err(|_| ArchiveError::Damaged(format!("{value} where a count is")));
    String, String, value => Ok(value);
    Vec<u8>, Vec<u8>, value => Ok(value);
    Kid, Vec<u8>, value => Ok(Self::from_bytes(bytes(&value)?));
    Digest, Vec<u8>, value => Ok(Self::from_bytes(bytes(&value)?));
    ChainId, Vec<u8>, value => Ok(Self::from_bytes(bytes(&value)?));
    Wall, i64, value => Ok(Self::from_nanos(value));
}

impl<const N: usize> Column for [u8; N] {
    type Raw = Vec<u8>;
    fn of(raw: Vec<u8>) -> Result<Self, ArchiveError> {
        bytes(&raw)
    }
}

impl<T: Column> Column for Option<T> {
    type Raw = Option<T::Raw>;
    fn of(raw: Self::Raw) -> Result<Self, ArchiveError> {
        raw.map(T::of).transpose()
    }
}

/// The bytes of a digest, a key's identifier or a chain.
fn bytes<const N: usize>(column: &[u8]) -> Result<[u8; N], ArchiveError> {
    column
        .try_into()
        .map_err(|_| ArchiveError::Damaged(format!("{} bytes where {N} are", column.len())))
}

impl Db {
    /// Does something; gives how many rows it touched.
    ///
    /// # Errors
    /// When the database fails.
    pub fn execute(&self, sql: &str, args: &[Value<'_>]) -> Result<u64, ArchiveError> {
        match self {
            Self::Sqlite(db) => {
                let touched = db.prepare_cached(sql)?.execute(rusqlite::params_from_iter(args))?;
                Ok(touched as u64)
            }
            Self::Postgres(db) => db.execute(sql, args),
        }
    }

    /// Does what takes no parameters: several statements, or the beginning and the end of a
    /// transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn batch(&self, sql: &str) -> Result<(), ArchiveError> {
        match self {
            Self::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Self::Postgres(db) => db.batch(sql),
        }
    }

    /// The first row of an answer, if there is one.
    ///
    /// # Errors
    /// When the database fails, or what `read` returns.
    pub fn one<T>(
        &self,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, ArchiveError>,
    ) -> Result<Option<T>, ArchiveError> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                let read = statement
                    .query_row(rusqlite::params_from_iter(args), |row| Ok(read(&Row::Sqlite(row))))
                    .optional()?;
                read.transpose()
            }
            Self::Postgres(db) => {
                db.query(sql, args)?.first().map(|row| read(&Row::Postgres(row))).transpose()
            }
        }
    }

    /// All rows of an answer.
    ///
    /// # Errors
    /// When the database fails, or what `read` returns.
    pub fn all<T>(
        &self,
        sql: &str,
        args: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, ArchiveError>,
    ) -> Result<Vec<T>, ArchiveError> {
        let mut all = Vec::new();
        self.each(sql, args, |row| {
            all.push(read(row)?);
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }

    /// Gives each row of an answer to `take` as it comes, so that any number of them needs the
    /// memory of a few. `take` asks this connection for nothing else: on PostgreSQL that would wait
    /// for the rows before it.
    ///
    /// # Errors
    /// When the database fails, or what `take` returns.
    pub fn each<E: From<ArchiveError>>(
        &self,
        sql: &str,
        args: &[Value<'_>],
        mut take: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(db) => {
                let failed = |error: rusqlite::Error| E::from(ArchiveError::from(error));
                let mut statement = db.prepare_cached(sql).map_err(failed)?;
                let mut rows = statement.query(rusqlite::params_from_iter(args)).map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    take(&Row::Sqlite(row))?;
                }
                Ok(())
            }
            Self::Postgres(db) => db.each(sql, args, |row| take(&Row::Postgres(row))),
        }
    }
}
