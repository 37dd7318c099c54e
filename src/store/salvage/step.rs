//! Brings over minutes, hours, days and summaries, some in each step.

use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use crate::evidence::chain::Dropped;
use crate::store::damaged::{self, AT_ONCE};
use crate::store::outbox::{self, State};
use crate::store::tier::Tier;
use crate::store::{Store, StoreError, block};

use super::reading::Rows;
use super::{Salvage, UNDER_WAY};

impl Salvage {
    /// Reads on; whether all was read.
    pub(super) fn step(&mut self, store: &Store) -> Result<bool, StoreError> {
        let Some(scan) = self.stages.last() else {
            let found = match &mut self.carving {
                // A free page may hold what was deleted, so it is looked at only where something is
                // missing.
                Some(carving) if self.lost > 0 || carving.has_begun() => carving.step(store)?,
                _ => None,
            };
            if let Some(found) = found {
                self.kept += found;
                self.lost = self.lost.saturating_sub(found);
                return Ok(false);
            }
            store.remember_dropped(&self.dropped)?;
            store.db.execute("DELETE FROM meta WHERE key = ?1", [UNDER_WAY])?;
            return Ok(true);
        };
        let (rows, seen, last) = (scan.rows, scan.seen, scan.last);
        let (ids, damage) = damaged::numbers(&self.old, rows.table(), seen, last);
        for &id in &ids {
            match rows {
                Rows::Blocks => self.block(store, id)?,
                Rows::Hours => self.rolled(store, Tier::Hours, id)?,
                Rows::Days => self.rolled(store, Tier::Days, id)?,
                Rows::Summaries => self.summary(store, id)?,
            }
        }
        let mut seen = ids.last().copied().unwrap_or(seen);
        if damage {
            let next = damaged::beyond(&self.old, rows.table(), seen, last);
            // What is read by itself but not in its turn is passed by, lest this never end.
            seen = match next {
                Some(next) if next - 1 > seen || !ids.is_empty() => next - 1,
                Some(next) => next,
                None => last,
            };
            self.lost += 1;
        }
        match self.stages.last_mut() {
            Some(scan) if (damage || ids.len() == AT_ONCE) && seen < last => scan.seen = seen,
            _ => {
                self.stages.pop();
            }
        }
        Ok(false)
    }

    pub(super) fn block(&mut self, store: &Store, id: i64) -> Result<(), StoreError> {
        let row: Option<(i64, Vec<u8>)> = self
            .old
            .query_row("SELECT start_ms, body FROM block WHERE id = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .ok();
        match row {
            Some((start_ms, body)) if block::read(start_ms, &body, |_| true).is_ok() => {
                store.db.execute(
                    "INSERT OR IGNORE INTO block (id, start_ms, body) VALUES (?1, ?2, ?3)",
                    params![id, start_ms, body],
                )?;
                self.kept += 1;
            }
            _ => self.lost += 1,
        }
        Ok(())
    }

    fn rolled(&mut self, store: &Store, tier: Tier, id: i64) -> Result<(), StoreError> {
        let table = tier.table();
        let body: Option<Vec<u8>> = self
            .old
            .query_row(&format!("SELECT body FROM {table} WHERE id = ?1"), [id], |row| row.get(0))
            .ok();
        match body {
            Some(body)
                if block::read(id.saturating_mul(tier.millis()), &body, |_| true).is_ok() =>
            {
                let sql = format!("INSERT OR IGNORE INTO {table} (id, body) VALUES (?1, ?2)");
                store.db.execute(&sql, params![id, body])?;
                self.kept += 1;
            }
            _ => self.lost += 1,
        }
        Ok(())
    }

    fn summary(&mut self, store: &Store, id: i64) -> Result<(), StoreError> {
        const COLUMNS: &str = outbox::COLUMNS;
        let read = |from: &str| -> Result<(outbox::Entry, Vec<Value>), StoreError> {
            let sql = format!("SELECT {COLUMNS}, weight, told FROM {from} WHERE id = ?1");
            let mut wanted = self.old.prepare_cached(&sql)?;
            let mut rows = wanted.query([id])?;
            let Some(row) = rows.next()? else {
                return Err(StoreError::Damaged("a row is gone".to_owned()));
            };
            let columns = (0..16).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()?;
            Ok((outbox::read(row)?, columns))
        };
        // Where its answer cannot be read, it waits, and is answered again.
        let Ok((entry, columns)) = read("outbox").or_else(|_| read("summary")) else {
            self.lost += 1;
            return Ok(());
        };
        let sql = format!(
            "INSERT OR IGNORE INTO summary ({COLUMNS}, weight, told, id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
        );
        let is_new = store
            .db
            .execute(&sql, params_from_iter(columns.into_iter().chain([Value::from(id)])))?
            > 0;
        if is_new && entry.state == State::Waiting {
            store.db.execute("INSERT OR IGNORE INTO waiting (id) VALUES (?1)", [id])?;
        }
        if store.summary_jws(&entry).is_ok() {
            self.kept += 1;
            return Ok(());
        }
        store.db.execute("DELETE FROM summary WHERE id = ?1", [id])?;
        self.lost += 1;
        if entry.state == State::Waiting {
            self.dropped.push(Dropped {
                chain: entry.chain,
                from_seq: entry.seq,
                to_seq: entry.seq,
            });
        }
        Ok(())
    }
}
