//! The central program: it lets agents in, takes their summaries, keeps them, and counter-signs
//! what it keeps.
//!
//! The way of a request: [`http`] reads it, [`body`] expands and splits it, [`ingest`] verifies
//! each summary by the keys in the [`archive`], [`limits`] counts it, and the one [`writer`] stores
//! it with its receipt in one transaction, after which it is answered.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::base::time::{Clock, SystemClock};
use crate::collector::alerts::heartbeat::Heartbeat;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::concurrency::{Processors, Work};
use crate::collector::connections::{Bounds, Connections, Repute};
use crate::collector::fault::Fault;
use crate::collector::health::Health;
use crate::collector::ingest::KeyCache;
use crate::collector::keys::{next_key, open_both};
use crate::collector::limits::{Counted, Limiter};
use crate::collector::memory_budget::{MemoryBudget, Shares};
use crate::collector::metrics::Metrics;
use crate::collector::rounds_thread::RoundsThread;
use crate::collector::writer::Writer;
use crate::config::collector::{CollectorConfig, Database};
use crate::evidence::key::{Kid, PublicKey, SecretKey};
use crate::evidence::problem::{Kind, Problem};
use crate::store::keyfile::KeyFault;

pub mod agent_state;
pub mod alerts;
pub mod amend;
pub mod api;
pub mod archive;
pub mod body;
mod caller;
pub mod compaction;
mod concurrency;
mod connections;
mod contracts;
mod ending;
pub mod enrolment;
pub mod fault;
pub mod findings;
pub mod fleet;
mod handing_out;
pub mod health;
mod http;
mod ingest;
mod keys;
mod lateness;
pub mod lease;
pub mod left_behind;
mod limits;
pub mod listener;
pub mod loopback;
pub mod marks;
mod memory_budget;
pub mod metrics;
pub mod operations;
mod operators;
pub mod periods;
pub mod removed_months;
mod rounds_thread;
pub mod scheduler;
mod serve;
mod summaries;
mod throttle;
mod troubles;
pub mod verdicts;
mod writer;

pub use contracts::all as all_contracts;
pub use keys::{CREDENTIAL, next_key_file};
pub use loopback::{Central, on_loopback};
pub use serve::serve;

/// All requests together hold at most so much memory: strangers two thirds of it, one address a
/// little less, which is more than the greatest body needs.
const MEMORY: Shares = Shares { all: 96 * MIB, strangers: 64 * MIB, each: 56 * MIB };
const MIB: usize = 1024 * 1024;

/// Why a collector does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// Its database.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its TLS.
    #[error("[tls]: {0}")]
    Tls(#[from] listener::TlsFault),
    /// The system.
    #[error("the collector cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    key: SecretKey,
    /// The key that is to follow it, as `GET /v1/keys` announces it.
    next: RwLock<Option<PublicKey>>,
    database: Database,
    config: RwLock<Arc<CollectorConfig>>,
    tls: watch::Sender<Option<Arc<rustls::ServerConfig>>>,
    /// [`None`] only while it is dropped.
    writer: Option<Writer>,
    thread: Option<JoinHandle<()>>,
    rounds: RoundsThread,
    readers: Mutex<Vec<Archive>>,
    memory: Arc<MemoryBudget>,
    connections: Arc<Connections>,
    processors: Processors,
    limiter: Limiter,
    guesses: throttle::All,
    keys: KeyCache,
    metrics: Metrics,
    /// What is known of the database.
    health: Health,
    /// Whether rounds go on.
    heartbeat: Heartbeat,
    /// A round wrote what began and ended: somebody may have to be told.
    news: Notify,
    /// Whether it is ending: what is being worked out then is given up.
    stopping: AtomicBool,
}

impl Collector {
    /// Opens the database and the key, and makes them when both are missing.
    ///
    /// # Errors
    /// When one cannot be opened, or they do not belong together.
    pub fn open(config: CollectorConfig) -> Result<Arc<Self>, StartError> {
        archive::make_directory(&config.data_dir)?;
        let tls = config.tls.as_ref().map(listener::tls).transpose()?;
        let (archive, key) = open_both(&config)?;
        let (writer, thread) = Writer::start(archive)?;
        let bounds = Bounds::of(&config.limits);
        let next = RwLock::new(next_key(&config)?);
        Ok(Arc::new(Self {
            key,
            next,
            database: config.database.clone(),
            config: RwLock::new(Arc::new(config)),
            tls: watch::Sender::new(tls),
            writer: Some(writer),
            thread: Some(thread),
            rounds: RoundsThread::start()?,
            readers: Mutex::default(),
            memory: MemoryBudget::new(MEMORY),
            connections: Connections::new(bounds),
            processors: Processors::default(),
            limiter: Limiter::default(),
            guesses: throttle::All::default(),
            keys: KeyCache::default(),
            metrics: Metrics::default(),
            health: Health::default(),
            heartbeat: Heartbeat::default(),
            news: Notify::new(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Its public key, which agents pin.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        self.key.public()
    }

    fn config(&self) -> Arc<CollectorConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on by another configuration: enrolment, limits, administration, alerts, contracts, and
    /// the certificates, which are read again. Where it listens, its database and its key stay
    /// until the next start.
    ///
    /// # Errors
    /// When the certificates cannot be used; then everything stays as it was.
    pub fn reload(&self, config: CollectorConfig) -> Result<(), StartError> {
        let now = self.config();
        if (config.listen, &config.database, &config.key_file)
            != (now.listen, &now.database, &now.key_file)
        {
            tracing::warn!("listen, database and key_file change only at the next start");
        }
        let next = next_key(&config)?;
        self.connections.bound(Bounds::of(&config.limits));
        self.tls.send_replace(config.tls.as_ref().map(listener::tls).transpose()?);
        *self.next.write().unwrap_or_else(PoisonError::into_inner) = next;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    fn writer(&self) -> Result<&Writer, Fault> {
        self.writer.as_ref().ok_or_else(|| Fault::busy("the collector is stopping"))
    }

    /// Does something with a reading connection for somebody who is known, on a thread where it may
    /// take its time.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Archive) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.read_for(Repute::Known, Work::Short, act).await
    }

    /// Does something with a reading connection, on a thread where it may take its time; so many at
    /// once as there are places.
    async fn read_for<T: Send + 'static>(
        self: &Arc<Self>,
        of: Repute,
        work: Work,
        act: impl FnOnce(&Archive) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let Some(processor) = self.processors.place(of, work).await else {
            return Err(Fault::busy("too many requests at once"));
        };
        let collector = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _processor = processor;
            collector.reading(act)
        });
        let done = done.await.unwrap_or_else(|error| {
            tracing::error!(
                "a request failed by a fault of this program, which is worth a report: {error}"
            );
            Err(Problem::new(Kind::Internal, "the collector could not do it").into())
        });
        self.health.note(&done);
        done
    }

    /// Does something with a reading connection, on this thread.
    fn reading<T, E: From<ArchiveError>>(
        &self,
        act: impl FnOnce(&Archive) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let archive = match idle.filter(|archive| !archive.is_lost()) {
            Some(archive) => archive,
            None => Archive::open_existing(&self.database)?,
        };
        let done = act(&archive);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(archive);
        done
    }

    /// Counts a request.
    fn count(&self, agent: Kid, what: Counted) -> Result<(), Fault> {
        let (rate, now) = (self.config().limits.per_agent, SystemClock.now().mono);
        let counted = self.limiter.count(agent, (1, what), rate, now);
        counted.map_err(|wait| Fault::too_much(format!("{agent} asked too often"), wait))
    }

    /// Whether it still does its work, for a watchdog: what has to be written comes to whoever
    /// writes, and is answered. An answer may say that the database is away: whoever ships is told
    /// so, and starting anew would mend nothing.
    pub async fn works(self: &Arc<Self>) -> bool {
        let _ = self.ready().await;
        self.thread.as_ref().is_some_and(|writer| !writer.is_finished())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // The writer's thread ends once nobody can ask it for anything.
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these values can be written")
}
