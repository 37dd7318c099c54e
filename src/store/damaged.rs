//! What is done with a damaged SQLite database, whosever it is, the agent's or the collector's: it
//! is told that it is damaged, it is set aside under its date, and what can still be read of it is
//! read, table by table or page by page. Nothing here deletes it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params_from_iter};

use crate::base::time::Wall;

pub mod carve;

/// Rows that are asked for at once.
pub const AT_ONCE: usize = 256;

/// What SQLite keeps beside a database's file.
pub const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// A file that belongs to a database's.
#[must_use]
pub fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What is in the name of a database that was set aside, after that of the database.
pub const ASIDE: &str = ".damaged-";

/// The name that a database is to be set aside under: no file has it yet.
#[must_use]
pub fn aside(path: &Path, now: Wall) -> PathBuf {
    let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = |number: u32| match number {
        0 => with(path, &format!("{ASIDE}{stamp}")),
        number => with(path, &format!("{ASIDE}{stamp}-{number}")),
    };
    let free = (0..).map(name).find(|name| !name.exists());
    free.expect("some number is free")
}

/// Renames a database's files.
///
/// # Errors
/// When one cannot be renamed.
pub fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    for suffix in SUFFIXES {
        match std::fs::rename(with(path, suffix), with(aside, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an error says that the file is no sound database.
#[must_use]
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Reads a whole database, and tells what is wrong with its structure; nothing where it is sound,
/// or not there.
///
/// # Errors
/// When it cannot be read for another reason than damage.
pub fn find(path: &Path) -> rusqlite::Result<Option<String>> {
    if !std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    let check = || -> rusqlite::Result<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    match check() {
        Ok(told) if told == "ok" => Ok(None),
        Ok(told) => Ok(Some(told.replace('\n', " "))),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Opens a damaged database, to read what can be read of it.
///
/// # Errors
/// When nothing can.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let old = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    old.busy_timeout(Duration::from_secs(5))?;
    // Without it SQLite reads nothing of a file that is shorter than its header says.
    old.execute_batch("PRAGMA writable_schema = ON")?;
    old.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(old)
}

/// The next numbers of a table's rows, and whether they end because something cannot be read.
#[must_use]
pub fn numbers(old: &Connection, table: &str, seen: i64, last: i64) -> (Vec<i64>, bool) {
    let sql = format!(
        "SELECT rowid FROM {table} NOT INDEXED WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid \
            LIMIT {AT_ONCE}"
    );
    let Ok(mut wanted) = old.prepare(&sql) else { return (Vec::new(), true) };
    let Ok(rows) = wanted.query_map([seen, last], |row| row.get::<_, i64>(0)) else {
        return (Vec::new(), true);
    };
    let (mut ids, mut before) = (Vec::new(), seen);
    for row in rows {
        match row {
            // Out of order is damage too, and would never end.
            Ok(id) if id > before => {
                before = id;
                ids.push(id);
            }
            _ => return (ids, true),
        }
    }
    (ids, false)
}

/// The first number beyond `seen` from which on something can be read again.
#[must_use]
pub fn beyond(old: &Connection, table: &str, seen: i64, last: i64) -> Option<i64> {
    let sql = format!(
        "SELECT rowid FROM {table} NOT INDEXED WHERE rowid >= ?1 AND rowid <= ?2 ORDER BY rowid \
            LIMIT 1"
    );
    let mut wanted = old.prepare(&sql).ok()?;
    let mut at =
        |from: i64| wanted.query_row([from, last], |row| row.get::<_, i64>(0)).optional().ok();
    // Wider and wider, then back to where it begins.
    let (mut bad, mut step) = (seen, 1i64);
    let mut good = loop {
        let from = bad.checked_add(step).filter(|&from| from <= last)?;
        if at(from).is_some() {
            break from;
        }
        (bad, step) = (from, step.saturating_mul(2));
    };
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if at(middle).is_some() {
            good = middle;
        } else {
            bad = middle;
        }
    }
    at(good).flatten().map(|id| id.max(good))
}

/// Whether everything was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// It was.
    All,
    /// Something could not be, nobody can tell how much.
    Part,
}

/// Gives the rows of a table that has row numbers, each as far as it can be read; what cannot be is
/// passed by.
pub fn by_number(
    old: &Connection,
    table: &str,
    columns: &str,
    mut take: impl FnMut(Option<Vec<Value>>),
) -> Read {
    let last =
        old.query_row(&format!("SELECT max(rowid) FROM {table} NOT INDEXED"), [], |row| row.get(0));
    let last: i64 = match last {
        Ok(Some(last)) => last,
        Ok(None) => return Read::All,
        // No table of this program has more.
        Err(_) => 1 << 40,
    };
    let sql = format!("SELECT {columns} FROM {table} NOT INDEXED WHERE rowid = ?1");
    let Ok(mut wanted) = old.prepare(&sql) else { return Read::Part };
    let count = wanted.column_count();
    let (mut read, mut seen) = (Read::All, 0);
    while seen < last {
        let (ids, damage) = numbers(old, table, seen, last);
        for id in &ids {
            let row = wanted.query_row([id], |row| {
                (0..count).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()
            });
            take(row.ok());
        }
        let before = seen;
        seen = ids.last().copied().unwrap_or(seen);
        if damage {
            read = Read::Part;
            // What is read by itself but not in its turn is passed by, lest this never end.
            seen = match beyond(old, table, seen, last) {
                Some(next) if next - 1 > before => next - 1,
                Some(next) => next,
                None => last,
            };
        } else if ids.len() < AT_ONCE {
            break;
        }
    }
    read
}

/// Gives the rows of a table in the order of its key: up to the first that cannot be read, and from
/// the end back to the last such one. Some may come twice. With a `first` only those whose key
/// begins so.
pub fn by_key(
    old: &Connection,
    table: &str,
    (columns, key): (&str, &[String]),
    first: Option<&Value>,
    mut take: impl FnMut(Vec<Value>),
) -> Read {
    for order in ["ASC", "DESC"] {
        let by: Vec<String> = key.iter().map(|column| format!("{column} {order}")).collect();
        let only = match (first, key.first()) {
            (Some(_), Some(column)) => format!("WHERE {column} = ?1"),
            _ => String::new(),
        };
        let sql = format!("SELECT {columns} FROM {table} {only} ORDER BY {}", by.join(", "));
        let Ok(mut wanted) = old.prepare(&sql) else { return Read::Part };
        let count = wanted.column_count();
        let Ok(mut rows) = wanted.query(params_from_iter(first)) else { return Read::Part };
        loop {
            let row = rows.next().and_then(|row| {
                row.map(|row| (0..count).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>())
                    .transpose()
            });
            match row {
                Ok(Some(row)) => take(row),
                Ok(None) if order == "ASC" => return Read::All,
                Ok(None) => return Read::Part,
                Err(_) => break,
            }
        }
    }
    Read::Part
}
