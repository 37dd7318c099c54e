//! Brings over what is small, at once.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};

use crate::store::outbox::ENDED;
use crate::store::{Store, StoreError, bytes, outages, provisional};

use super::Salvage;
use super::reading::Reading;

/// What is remembered of the old database besides its rows.
const REMEMBERED: [&str; 12] = [
    "chain",
    "next_seq",
    "prev",
    "follows",
    "dropped",
    "site",
    "collector_key",
    "collector_keys",
    "summarised",
    "agent",
    "keys",
    "doubt",
];

impl Salvage {
    /// What is small: what the agent knows of itself, its probes, its contracts, outages and
    /// journal. The rows are taken as they are; each is checked again where it is read, so those
    /// that do not hold stay behind.
    pub(super) fn small(&mut self, store: &Store) -> Result<(), StoreError> {
        self.remembered(store)?;
        let old = Reading(&self.old);
        let columns = "id, probe, service, kind, target, address, period_ms, timeout_ms, \
            cutoff_ms, settings, sum";
        for row in ["series", "series_again"].iter().flat_map(|table| old.all(table, columns)) {
            store.salvage_series(row)?;
        }
        self.outages(store)?;
        for row in old.all("event", "id, at_ns, kind, detail") {
            store.db.execute(
                "INSERT OR IGNORE INTO event (id, at_ns, kind, detail) VALUES (?1, ?2, ?3, ?4)",
                params_from_iter(row),
            )?;
        }
        let life = "id, cycle, contract, service, period, item, action, at_ns, recorded_ns, who, \
            evidence, paper";
        for row in old.all("life", life) {
            store.db.execute(
                &format!(
                    "INSERT OR IGNORE INTO life ({life}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, \
                        ?9, ?10, ?11, ?12)"
                ),
                params_from_iter(row),
            )?;
        }
        for row in old.all("held", "id, boot, body") {
            if matches!(row.last(), Some(Value::Blob(body)) if provisional::check(body).is_ok()) {
                let sql = "INSERT OR IGNORE INTO held (id, boot, body) VALUES (?1, ?2, ?3)";
                store.db.execute(sql, params_from_iter(row))?;
            }
        }
        for file in old.contracts() {
            store.keep_contract(&file)?;
        }
        Ok(())
    }

    /// What the agent knows of itself; its chain has ended.
    fn remembered(&self, store: &Store) -> Result<(), StoreError> {
        for key in REMEMBERED {
            let known: Option<(String, Option<u32>)> = self
                .old
                .query_row("SELECT value, sum FROM meta WHERE key = ?1", [key], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()
                .ok()
                .flatten();
            if let Some((value, sum)) = known
                && sum.is_none_or(|sum| sum == bytes::sum([key.as_bytes(), value.as_bytes()]))
            {
                store.set_meta(key, &value)?;
            }
        }
        store.set_meta(ENDED, "1")
    }

    /// The outages that are sound.
    pub(super) fn outages(&self, store: &Store) -> Result<(), StoreError> {
        for row in Reading(&self.old).all("outage", outages::COLUMNS) {
            let sql = format!(
                "INSERT OR IGNORE INTO outage ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                outages::COLUMNS
            );
            store.db.execute(&sql, params_from_iter(row))?;
            let id = store.db.last_insert_rowid();
            let sound = store.db.query_row(
                &format!("SELECT {} FROM outage WHERE id = ?1", outages::COLUMNS),
                [id],
                |row| Ok(outages::read(row).is_ok()),
            )?;
            if !sound {
                store.db.execute("DELETE FROM outage WHERE id = ?1", [id])?;
            }
        }
        Ok(())
    }
}
