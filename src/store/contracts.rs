//! Contracts, each version kept for good.

use rusqlite::{OptionalExtension, params};

use crate::store::{Store, StoreError};

/// The source of a contract that was configured.
pub const FILE: &str = "file";
/// The source of a contract that came from the collector.
pub const COLLECTOR: &str = "collector";

/// What became of a contract from the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is new here, and kept for good.
    New,
    /// It is here already.
    Known,
    /// Another text of this version is here, and stays: a version is immutable.
    Other,
}

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
    /// From where: [`FILE`] or [`COLLECTOR`].
    pub source: String,
}

impl Store {
    /// Keeps a contract's file; the same one again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keep_contract(&self, file: &ContractFile) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO contract (id, version, sha256, toml, source) VALUES (?1, ?2, ?3, ?4, ?5) \
                ON CONFLICT DO NOTHING",
            params![file.id, file.version, file.sha256, file.toml, file.source],
        )?;
        Ok(())
    }

    /// Keeps a contract from the collector, unless another text of its version came from there
    /// before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn receive_contract(&self, file: &ContractFile) -> Result<Received, StoreError> {
        let sql = "SELECT sha256 FROM contract WHERE id = ?1 AND version = ?2 AND source = ?3";
        let kept: Option<String> = self
            .db
            .prepare_cached(sql)?
            .query_row(params![file.id, file.version, COLLECTOR], |row| row.get(0))
            .optional()?;
        match kept {
            Some(kept) if kept == file.sha256 => Ok(Received::Known),
            Some(_) => Ok(Received::Other),
            None => {
                // The same text may be configured here as well; then it is the collector's too from
                // now on.
                self.db.execute(
                    "INSERT INTO contract (id, version, sha256, toml, source) VALUES (?1, ?2, ?3, \
                        ?4, ?5)
                     ON CONFLICT DO UPDATE SET source = excluded.source",
                    params![file.id, file.version, file.sha256, file.toml, COLLECTOR],
                )?;
                Ok(Received::New)
            }
        }
    }

    /// Every contract's file that was kept, by id and version.
    ///
    /// # Errors
    /// When the database fails.
    pub fn contract_files(&self) -> Result<Vec<ContractFile>, StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT id, version, sha256, toml, source FROM contract ORDER BY id, version, sha256",
        )?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;

    #[test]
    fn a_version_from_the_collector_is_kept_for_good_and_never_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Wall::from_secs(1)).unwrap();
        let file = |sha256: &str, source: &str| ContractFile {
            id: "A".to_owned(),
            version: 1,
            sha256: sha256.to_owned(),
            toml: format!("text {sha256}"),
            source: source.to_owned(),
        };
        store.keep_contract(&file("aa", FILE)).unwrap();
        assert_eq!(store.receive_contract(&file("aa", COLLECTOR)).unwrap(), Received::New);
        assert_eq!(store.receive_contract(&file("aa", COLLECTOR)).unwrap(), Received::Known);
        assert_eq!(store.receive_contract(&file("bb", COLLECTOR)).unwrap(), Received::Other);
        assert_eq!(store.contract_files().unwrap(), [file("aa", COLLECTOR)]);
    }
}
