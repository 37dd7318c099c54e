//! The agent's damaged database is set aside under its date, and what can be read of it is brought
//! over to the new one: what is small at once, minutes and summaries by and by. Every row is
//! checked before it is believed.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tracing::{info, warn};

use crate::base::time::Wall;
use crate::evidence::chain::Dropped;
use crate::store::damaged;
use crate::store::damaged::carve::Carver;
use crate::store::salvage::carving::Carving;
use crate::store::schema::PAGE;
use crate::store::{Store, StoreError};

mod aside;
mod carving;
mod reading;
mod scrub;
mod small;
mod step;

pub(in crate::store) use aside::set_aside;
pub use scrub::scrub;

use reading::{Reading, Rows};

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

/// How far one table was read.
#[derive(Debug)]
struct Scan {
    rows: Rows,
    /// All up to this number were seen.
    seen: i64,
    last: i64,
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
}
