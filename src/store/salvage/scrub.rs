//! Reads a whole database and checks it.

use std::path::Path;

use crate::base::time::Wall;
use crate::store::{Store, StoreError, block, provisional};

/// Reads a whole database and checks all that can be checked, without holding up whoever writes.
///
/// # Errors
/// When something is damaged, or it cannot be read.
pub fn scrub(dir: &Path) -> Result<(), StoreError> {
    let store = Store::read(dir)?;
    let told: String = store.db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if told != "ok" {
        return Err(StoreError::Damaged(told));
    }
    store.head()?;
    store.dropped()?;
    store.all_series()?;
    store.outages(Wall::from_nanos(i64::MIN), Wall::from_nanos(i64::MAX))?;
    store.summaries()?;
    let check = |table: &str, start: &str| -> Result<(), StoreError> {
        let mut wanted =
            store.db.prepare(&format!("SELECT id, {start}, body FROM {table} ORDER BY id"))?;
        let mut rows = wanted.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            block::read(row.get(1)?, row.get_ref(2)?.as_blob().unwrap_or_default(), |_| false)
                .map_err(|error| StoreError::Damaged(format!("{table} {id}: {error}")))?;
        }
        Ok(())
    };
    check("block", "start_ms")?;
    check("hour", "id * 3600000")?;
    check("day", "id * 86400000")?;
    let mut wanted = store.db.prepare("SELECT id, body FROM held")?;
    let mut rows = wanted.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        provisional::check(row.get_ref(1)?.as_blob().unwrap_or_default())
            .map_err(|error| StoreError::Damaged(format!("held {id}: {error}")))?;
    }
    Ok(())
}
