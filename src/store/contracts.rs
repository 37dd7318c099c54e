//! Contracts, each version kept for good.

use rusqlite::params;

use crate::store::{Store, StoreError};

/// A contract's file as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractFile {
    /// The agreement's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The lower-case hexadecimal SHA-256 of the file's bytes.
    pub sha256: String,
    /// The file.
    pub toml: String,
    /// From where: `file` or `collector`.
    pub source: String,
}

impl Store {
    /// Keeps a contract's file; the same one again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keep_contract(&self, file: &ContractFile) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO contract (id, version, sha256, toml, source) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![file.id, file.version, file.sha256, file.toml, file.source],
        )?;
        Ok(())
    }

    /// Every contract's file that was kept, by id and version.
    ///
    /// # Errors
    /// When the database fails.
    pub fn contract_files(&self) -> Result<Vec<ContractFile>, StoreError> {
        let mut all = self
            .db
            .prepare_cached("SELECT id, version, sha256, toml, source FROM contract ORDER BY id, version, sha256")?;
        let rows = all.query_map([], |row| {
            Ok(ContractFile {
                id: row.get(0)?,
                version: row.get(1)?,
                sha256: row.get(2)?,
                toml: row.get(3)?,
                source: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
