//! The collector's own health: whether its database can be read and written, and whether it is
//! damaged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};

use crate::base::time::{Clock, Mono, SystemClock};
use crate::collector::Collector;
use crate::collector::archive::Ill;
use crate::collector::fault::Fault;
use crate::config::collector::Database;
use crate::store::damaged;

/// An answer holds for so long: anybody may ask, and each answer costs a write.
const FRESH: Duration = Duration::from_secs(1);
/// Where less than this is free the disk is full: a transaction may need as much.
const ROOM: u64 = 16 * 1024 * 1024;
/// How often a database that nobody suspects is read as a whole.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// A database that was suspected and is sound is not read again for so long.
const CALM: Duration = Duration::from_secs(600);

/// What is known of the database.
#[derive(Debug)]
pub struct Health {
    /// When it was tried out last, and what was wrong.
    last: Mutex<Option<(Mono, Result<(), String>)>>,
    /// Somebody was told that it is damaged.
    suspected: Notify,
    damaged: watch::Sender<bool>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            suspected: Notify::new(),
            damaged: watch::Sender::new(false),
        }
    }
}

impl Health {
    /// Takes note of what failed.
    pub fn note<T>(&self, done: &Result<T, Fault>) {
        if let Err(Fault { ill: Some(Ill::Damaged), .. }) = done {
            self.suspected.notify_one();
        }
    }
}

impl Collector {
    /// Waits until the database turns out to be damaged: then nothing but a new start helps, which
    /// salvages it.
    pub async fn damaged(&self) {
        let mut damaged = self.health.damaged.subscribe();
        if damaged.wait_for(|&damaged| damaged).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it can work: the database answers, was not found to be damaged, can be written, and
    /// there is room for more.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), Fault> {
        let mut last = self.health.last.lock().await;
        let said = match &*last {
            Some((at, said)) if SystemClock.now().mono.since(*at) < FRESH => said.clone(),
            _ => {
                let said = self.try_out().await.map_err(|fault| fault.detail().to_owned());
                *last = Some((SystemClock.now().mono, said.clone()));
                said
            }
        };
        said.map_err(|what| Fault::busy(&what))
    }

    async fn try_out(self: &Arc<Self>) -> Result<(), Fault> {
        if *self.health.damaged.borrow() {
            return Err(Fault::of(Ill::Damaged));
        }
        self.read(|archive| Ok(archive.ping()?)).await?;
        self.change(|archive| archive.try_write(SystemClock.now().wall)).await?;
        match &self.database {
            Database::Sqlite(path) if is_full(path) => Err(Fault::of(Ill::Full)),
            _ => Ok(()),
        }
    }
}

/// Whether the disk of a file has no room. A small write may yet find some where a large one does
/// not.
fn is_full(path: &Path) -> bool {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    nix::sys::statvfs::statvfs(parent)
        .is_ok_and(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()) < ROOM)
}

/// Reads SQLite's database as a whole every week, and when somebody was told that it is damaged,
/// until the collector stops or it is.
pub(super) async fn watch(collector: Arc<Collector>, mut stop: watch::Receiver<bool>) {
    let Database::Sqlite(path) = collector.database.clone() else { return };
    let mut pause = Duration::ZERO;
    loop {
        let due = async {
            tokio::time::sleep(pause).await;
            let _ = tokio::time::timeout(WEEK, collector.health.suspected.notified()).await;
        };
        tokio::select! {
            () = due => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
        pause = CALM;
        let path = path.clone();
        match tokio::task::spawn_blocking(move || damaged::find(&path)).await {
            Ok(Ok(None)) => tracing::info!("the database was checked, and is sound"),
            Ok(Ok(Some(what))) => {
                tracing::error!("the database is damaged: {what}");
                collector.health.damaged.send_replace(true);
                return;
            }
            Ok(Err(error)) => tracing::warn!("the database cannot be checked: {error}"),
            Err(error) => tracing::error!(
                "the check of the database failed by a fault of this program, which is worth a \
                    report: {error}"
            ),
        }
    }
}
