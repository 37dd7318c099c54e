//! What can be read of a damaged database.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::store::contracts::ContractFile;

/// Which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Blocks,
    Hours,
    Days,
    Summaries,
}

impl Rows {
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Blocks => "block",
            Self::Hours => "hour",
            Self::Days => "day",
            Self::Summaries => "summary",
        }
    }
}

/// What can be read of a damaged database.
pub(super) struct Reading<'a>(pub(super) &'a Connection);

impl Reading<'_> {
    /// The rows of a small table: up to the first that cannot be read, and from the end back to the
    /// last such one.
    pub(super) fn all(&self, table: &str, columns: &str) -> Vec<Vec<Value>> {
        let mut all: Vec<Vec<Value>> = Vec::new();
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT {columns} FROM {table} ORDER BY id {order}");
            let Ok(mut wanted) = self.0.prepare(&sql) else { continue };
            let count = wanted.column_count();
            let read = wanted.query_map([], |row| {
                (0..count).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()
            });
            let Ok(rows) = read else { continue };
            let mut whole = true;
            for row in rows {
                match row {
                    Ok(row) => all.push(row),
                    Err(_) => whole = false,
                }
                if !whole {
                    break;
                }
            }
            if whole {
                break;
            }
        }
        all
    }

    pub(super) fn contracts(&self) -> Vec<ContractFile> {
        use sha2::Digest as _;
        let mut all = Vec::new();
        for order in ["ASC", "DESC"] {
            let sql = format!(
                "SELECT id, version, sha256, toml, source FROM contract ORDER BY id {order}, \
                    version {order}, sha256 {order}"
            );
            let Ok(mut wanted) = self.0.prepare(&sql) else { continue };
            let read = wanted.query_map([], |row| {
                Ok(ContractFile {
                    id: row.get(0)?,
                    version: row.get(1)?,
                    sha256: row.get(2)?,
                    toml: row.get(3)?,
                    source: row.get(4)?,
                })
            });
            let Ok(rows) = read else { continue };
            all.extend(rows.map_while(Result::ok));
        }
        all.retain(|file| {
            let digest = sha2::Sha256::digest(file.toml.as_bytes());
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == file.sha256
        });
        all
    }

    /// All numbers of a table after one, up to the first that cannot be read.
    pub(super) fn after(&self, rows: Rows, after: i64) -> Vec<i64> {
        let sql = format!("SELECT id FROM {} WHERE id > ?1 ORDER BY id", rows.table());
        let Ok(mut wanted) = self.0.prepare(&sql) else { return Vec::new() };
        let Ok(found) = wanted.query_map([after], |row| row.get(0)) else { return Vec::new() };
        found.map_while(Result::ok).collect()
    }
}
