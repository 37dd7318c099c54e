//! The agent's damaged database is set aside under its date, and what can be read of it is brought
//! over to the new one: what is small at once, minutes and summaries by and by. Every row is
//! checked before it is believed.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tracing::{info, warn};

use crate::base::time::Wall;
use crate::evidence::chain::Dropped;
use crate::store::contracts::ContractFile;
use crate::store::damaged::carve::Carver;
use crate::store::damaged::{self, AT_ONCE, SUFFIXES, with};
use crate::store::outbox::{self, ENDED, State};
use crate::store::salvage::carving::Carving;
use crate::store::schema::PAGE;
use crate::store::tier::Tier;
use crate::store::{FILE, Store, StoreError, block, bytes, outages, provisional};

mod carving;

/// Of the databases that were set aside, so many are kept: a failing disk must not be filled by
/// them.
const KEPT: usize = 2;
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

/// What is still to be brought over.
#[derive(Debug)]
pub struct Salvage {
    old: Connection,
    aside: PathBuf,
    stages: Vec<Scan>,
    carving: Option<Carving>,
    kept: u64,
    lost: u64,
    /// Summaries that waited and cannot be put together any more.
    dropped: Vec<Dropped>,
}

/// What came of a salvage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Where the damaged database is.
    pub aside: PathBuf,
    /// Rows that were brought over: minutes, hours, days and summaries.
    pub kept: u64,
    /// Rows that were there and could not be read.
    pub lost: u64,
}

/// Which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    Blocks,
    Hours,
    Days,
    Summaries,
}

impl Rows {
    const fn table(self) -> &'static str {
        match self {
            Self::Blocks => "block",
            Self::Hours => "hour",
            Self::Days => "day",
            Self::Summaries => "summary",
        }
    }
}

/// How far one table was read.
#[derive(Debug)]
struct Scan {
    rows: Rows,
    /// All up to this number were seen.
    seen: i64,
    last: i64,
}

/// Renames the database's files; gives the new name. Older ones that were set aside are deleted.
pub(in crate::store) fn set_aside(path: &Path, now: Wall) -> Result<PathBuf, StoreError> {
    let failed = |source| {
        let advice = "a damaged database could not be set aside";
        StoreError::Directory { path: path.to_owned(), source, advice }
    };
    let aside = damaged::aside(path, now);
    damaged::set_aside(path, &aside).map_err(failed)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut old: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{FILE}{}", damaged::ASIDE))
                && !name.ends_with("-wal")
                && !name.ends_with("-shm")
        })
        .collect();
    old.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    old.retain(|path| *path != aside);
    for each in old.iter().rev().skip(KEPT - 1) {
        for suffix in SUFFIXES {
            if let Err(error) = std::fs::remove_file(with(each, suffix))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warn!(path = %each.display(), %error, "an old damaged database cannot be deleted");
            }
        }
    }
    Ok(aside)
}

/// Brings over what is small, and gives what is left to do.
pub(in crate::store) fn begin(
    store: &mut Store,
    aside: &Path,
    now: Wall,
) -> Result<Box<Salvage>, StoreError> {
    // Room for the numbers of all old rows, even where they cannot be told: far more than one a
    // second.
    let base = now.secs().max(0).saturating_mul(256);
    let old = match damaged::open(aside) {
        Ok(old) => old,
        Err(error) => {
            warn!(%error, "the damaged database cannot be opened any more; its pages are looked \
                at one by one");
            Connection::open_in_memory()?
        }
    };
    let known = [Rows::Blocks, Rows::Summaries]
        .into_iter()
        .filter_map(|rows| last(&old, rows))
        .max()
        .unwrap_or(0);
    store.base = base.max(known);
    let mut salvage = Box::new(Salvage::of(old, aside, store.base));
    store.together(|store| {
        store.set_meta("base", &store.base.to_string())?;
        let name = aside.file_name().unwrap_or_default().to_string_lossy();
        store.set_meta(UNDER_WAY, &name)?;
        salvage.small(store)?;
        // What no summary has yet must be there before the next one is made.
        let summarised = salvage.summarised(store)?;
        for id in Reading(&salvage.old).after(Rows::Blocks, summarised) {
            salvage.block(store, id)?;
        }
        if let Some(scan) = salvage.stages.last_mut() {
            scan.last = scan.last.min(summarised);
        }
        Ok::<(), StoreError>(())
    })?;
    Ok(salvage)
}

/// Goes on with what a run before this one did not come to the end of; what it brought over is
/// passed by.
pub(in crate::store) fn resume(store: &Store) -> Result<Option<Box<Salvage>>, StoreError> {
    let Some(aside) = store.meta(UNDER_WAY)?.map(|name| store.path.with_file_name(name)) else {
        return Ok(None);
    };
    let old = match damaged::open(&aside) {
        Ok(old) => old,
        Err(_) => Connection::open_in_memory()?,
    };
    Ok(Some(Box::new(Salvage::of(old, &aside, store.base))))
}

/// Kept while something is still to be brought over: the name of the file that it is in.
const UNDER_WAY: &str = "salvaging";

/// The last number of a table, where it can be told.
fn last(old: &Connection, rows: Rows) -> Option<i64> {
    let sql = format!("SELECT max(id) FROM {}", rows.table());
    old.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten()
}

impl Store {
    /// Whether something of a damaged database is still to be brought over.
    #[must_use]
    pub const fn is_salvaging(&self) -> bool {
        self.salvage.is_some()
    }

    /// Brings over some more of the damaged database, in one short transaction; tells when it was
    /// the last.
    ///
    /// # Errors
    /// When the new database cannot be written.
    pub fn salvage(&mut self) -> Result<Option<Salvaged>, StoreError> {
        let Some(mut salvage) = self.salvage.take() else { return Ok(None) };
        let done = self.together(|store| salvage.step(store));
        match done {
            Ok(false) => {
                self.salvage = Some(salvage);
                Ok(None)
            }
            Ok(true) => {
                let Salvage { aside, kept, lost, .. } = *salvage;
                info!(kept, lost, aside = %aside.display(), "the damaged database was salvaged");
                Ok(Some(Salvaged { aside, kept, lost }))
            }
            Err(error) => {
                self.salvage = Some(salvage);
                Err(error)
            }
        }
    }
}

impl Salvage {
    fn of(old: Connection, aside: &Path, base: i64) -> Self {
        // Of the order of writing, but that summaries need their blocks.
        let stages = [Rows::Summaries, Rows::Days, Rows::Hours, Rows::Blocks].map(|rows| Scan {
            rows,
            seen: 0,
            last: last(&old, rows).unwrap_or(base),
        });
        // What is in the log only is looked at in its place.
        if let Err(error) = old.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            info!(%error, "the damaged database's log cannot be taken to its place");
        }
        let carving = Carver::open(aside, PAGE)
            .inspect_err(|error| warn!(%error, "its pages cannot be read"))
            .ok();
        let carving = carving.map(Carving::new);
        Self {
            old,
            aside: aside.to_owned(),
            stages: stages.into(),
            carving,
            kept: 0,
            lost: 0,
            dropped: Vec::new(),
        }
    }

    /// What is small: what the agent knows of itself, its probes, its contracts, outages and
    /// journal.
    fn small(&mut self, store: &Store) -> Result<(), StoreError> {
        let old = Reading(&self.old);
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
        store.set_meta(ENDED, "1")?;
        // The rows are taken as they are; each is checked again where it is read, so those that do
        // not hold stay behind.
        let columns = "id, probe, service, kind, target, address, period_ms, timeout_ms, \
            cutoff_ms, settings, sum";
        for row in ["series", "series_again"].iter().flat_map(|table| old.all(table, columns)) {
            store.salvage_series(row)?;
        }
        for row in old.all("outage", outages::COLUMNS) {
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

    /// The number of the last block that is in a summary. Where the old database does not tell it
    /// any more, nothing that may have been signed is signed again.
    fn summarised(&self, store: &Store) -> Result<i64, StoreError> {
        let known = store.summarised()?;
        if known > 0 {
            return Ok(known);
        }
        let told = self.old.query_row("SELECT count(*), max(last_block) FROM summary", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
        });
        let signed = match told {
            Ok((0, _)) => 0,
            Ok((_, Some(last))) => last,
            _ => store.base,
        };
        store.set_meta("summarised", &signed.to_string())?;
        Ok(signed)
    }

    /// Reads on; whether all was read.
    fn step(&mut self, store: &Store) -> Result<bool, StoreError> {
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

    fn block(&mut self, store: &Store, id: i64) -> Result<(), StoreError> {
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

/// What can be read of a damaged database.
struct Reading<'a>(&'a Connection);

impl Reading<'_> {
    /// The rows of a small table: up to the first that cannot be read, and from the end back to the
    /// last such one.
    fn all(&self, table: &str, columns: &str) -> Vec<Vec<Value>> {
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

    fn contracts(&self) -> Vec<ContractFile> {
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
    fn after(&self, rows: Rows, after: i64) -> Vec<i64> {
        let sql = format!("SELECT id FROM {} WHERE id > ?1 ORDER BY id", rows.table());
        let Ok(mut wanted) = self.0.prepare(&sql) else { return Vec::new() };
        let Ok(found) = wanted.query_map([after], |row| row.get(0)) else { return Vec::new() };
        found.map_while(Result::ok).collect()
    }
}

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
