//! The central program: it lets agents in, takes their summaries, keeps them, and counter-signs
//! what it keeps.
//!
//! The way of a request: [`http`] reads it, [`body`] expands and splits it, [`ingest`] verifies
//! each summary by the keys in the [`archive`], [`limits`] counts it, and the one [`writer`] stores
//! it with its receipt in one transaction, after which it is answered.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::base::time::{Clock, SystemClock};
use crate::collector::alerts::delivery;
use crate::collector::alerts::heartbeat::{self, Heartbeat};
use crate::collector::archive::accept::{Accepted, Arrival};
use crate::collector::archive::agents::Standing;
use crate::collector::archive::{Archive, ArchiveError, Ill, salvage};
use crate::collector::body::{Encoding, Type};
use crate::collector::caller::Caller;
use crate::collector::concurrency::{Processors, Work};
use crate::collector::connections::{Bounds, Connections, Repute};
use crate::collector::health::Health;
use crate::collector::ingest::{ANSWER, Examined, KeyCache, PARSED};
use crate::collector::limits::{Counted, Limiter, ROTATIONS};
use crate::collector::memory_budget::{Full, MemoryBudget, Reservation, Shares};
use crate::collector::metrics::Metrics;
use crate::collector::operations::agreements::Book;
use crate::collector::writer::{NotWritten, Writer};
use crate::config::collector::{CollectorConfig, Database, Limits};
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey, SecretKey};
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::request::{self, Asked, NotGranted};
use crate::evidence::{answer, request::Request};
use crate::store::keyfile::{self, KeyFault};

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
pub mod enrolment;
pub mod findings;
pub mod fleet;
pub mod health;
mod http;
mod ingest;
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
pub mod scheduler;
mod throttle;
mod troubles;
pub mod verdicts;
mod writer;

pub use contracts::all as all_contracts;
pub use loopback::{Central, on_loopback};

/// All requests together hold at most so much memory: strangers two thirds of it, one address a
/// little less, which is more than the greatest body needs.
const MEMORY: Shares = Shares { all: 96 * MIB, strangers: 64 * MIB, each: 56 * MIB };
const MIB: usize = 1024 * 1024;
/// When to come again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the requests that are under way are waited for at the end.
const LAST_ORDERS: Duration = Duration::from_secs(5);
/// And then, so that leases are let go.
const LETTING_GO: Duration = Duration::from_secs(1);
/// The systemd credential that is taken instead of the key file.
pub const CREDENTIAL: &str = "collector.key";

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

/// What a request is answered when it is not done.
#[derive(Debug)]
pub struct Fault {
    problem: Problem,
    retry_after: Option<Duration>,
    /// Why the database could not be used.
    ill: Option<Ill>,
}

impl Fault {
    fn busy(detail: &str) -> Self {
        Self { problem: Problem::new(Kind::Busy, detail), retry_after: Some(AGAIN), ill: None }
    }

    fn of(ill: Ill) -> Self {
        Self { ill: Some(ill), ..Self::busy(ill.word()) }
    }

    /// One agent asks for more than its share, and is to come again in so long.
    fn too_much(detail: impl std::fmt::Display, wait: Duration) -> Self {
        Self {
            problem: Problem::new(Kind::Busy, detail).with_status(429),
            retry_after: Some(wait),
            ill: None,
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let retry_after = (problem.kind() == Some(Kind::Busy)).then_some(AGAIN);
        Self { problem, retry_after, ill: None }
    }
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        // The text can hold paths; it is for the log. Whoever asked can only come again.
        tracing::error!("{error}");
        Self::of(error.ill())
    }
}

impl From<Full> for Fault {
    fn from(full: Full) -> Self {
        match full {
            Full::Now => Self::busy("too many requests at once"),
            Full::Ever => Problem::new(
                Kind::TooLarge,
                "it needs more memory than one request gets: send less at once",
            )
            .into(),
        }
    }
}

impl From<NotWritten> for Fault {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Busy => Self::busy("too much waits to be stored"),
            NotWritten::Archive(error) => error.into(),
            NotWritten::Undone(_, ill) => Self::of(ill),
        }
    }
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

    /// Takes the summaries of a body, and gives the answer: a line for each, with what is reserved
    /// for it.
    async fn take(
        self: &Arc<Self>,
        body: Vec<u8>,
        of: Type,
        encoding: Encoding,
        caller: &Caller,
        memory: Reservation,
    ) -> Result<(String, Reservation), Fault> {
        let received = SystemClock.now().wall.floor(Duration::from_millis(1));
        let (mut examined, mut memory) =
            self.examine(body, (of, encoding), (caller, received), memory).await?;
        if examined.iter().any(|each| each.counts.is_some()) {
            caller.peer.authenticated();
        }
        let sign = |summary| Arrival::new(summary, received, &self.key);
        let arrivals: Vec<Arrival> =
            examined.iter_mut().filter_map(Examined::take).map(sign).collect();
        let (counted, arrivals) = self.count_all(&examined, arrivals).await?;
        // Nothing to store costs no wait for the disk.
        let accepted =
            if arrivals.is_empty() { Vec::new() } else { self.writer()?.store(arrivals).await? };
        let mut accepted = accepted.into_iter();
        let mut again = Again::default();
        let results: Vec<(Digest, Result<String, Problem>)> = examined
            .into_iter()
            .map(|each| {
                let said = match each.refused {
                    Some(problem) => Accepted::Refused(problem),
                    None => accepted.next().expect("the writer answers for each"),
                };
                again.note(each.counts, &said);
                if let (Accepted::Refused(_), Some(kid)) = (&said, each.kid) {
                    self.keys.forget(kid);
                }
                (each.digest, said.said())
            })
            .collect();
        // What brought only what was stored is counted as that; what was counted before is given
        // back.
        for (agent, brings) in counted.into_iter().filter(|(agent, _)| again.only(*agent)) {
            let Limits { per_agent, bytes_per_agent, .. } = self.config().limits;
            self.limiter.give_back(agent, (1, Counted::New), per_agent);
            self.limiter.give_back(agent, (brings.bytes, Counted::Byte), bytes_per_agent);
            self.limiter.give_back(agent, (brings.rotations, Counted::Rotation), ROTATIONS);
            self.count(agent, Counted::Stored)?;
        }
        for (_, said) in &results {
            let kind = said.as_ref().err().and_then(Problem::kind);
            self.metrics.summary(if said.is_ok() {
                "receipt"
            } else {
                kind.map_or("other", Kind::word)
            });
        }
        memory.keep_only(ANSWER * results.len());
        Ok((results.into_iter().map(|(digest, said)| result_line(digest, said)).collect(), memory))
    }

    /// Counts a request, and the bytes that it would store, for each agent of which a signature was
    /// verified, before anything is stored; gives those that were counted as bringing something
    /// new, with what. Where a share is used up, only what is stored already may still be asked
    /// for.
    async fn count_all(
        self: &Arc<Self>,
        examined: &[Examined],
        arrivals: Vec<Arrival>,
    ) -> Result<(Vec<(Kid, Brings)>, Vec<Arrival>), Fault> {
        let agents: BTreeSet<Kid> = examined.iter().filter_map(|each| each.counts).collect();
        let refused: BTreeSet<Kid> = examined
            .iter()
            .filter(|each| each.refused.is_some())
            .filter_map(|each| each.counts)
            .collect();
        let (mut counted, mut arrivals) = (Vec::new(), arrivals);
        for agent in agents {
            let own = arrivals.iter().filter(|each| each.summary.subject.agent == agent);
            let brings = own.fold(Brings::default(), |all, each| Brings {
                bytes: all
                    .bytes
                    .saturating_add(u32::try_from(each.summary.packed.len()).unwrap_or(u32::MAX)),
                rotations: all.rotations + u32::from(each.summary.next_key.is_some()),
            });
            let too_much = match self.count_new(agent, brings) {
                Ok(()) => {
                    counted.push((agent, brings));
                    continue;
                }
                Err(too_much) => too_much,
            };
            let stored;
            (stored, arrivals) = self
                .read(move |archive| {
                    let mut own =
                        arrivals.iter().filter(|each| each.summary.subject.agent == agent);
                    let stored = own.try_fold(true, |all, each| {
                        Ok::<bool, ArchiveError>(all && archive.has(&each.summary.subject)?)
                    })?;
                    Ok((stored, arrivals))
                })
                .await?;
            if refused.contains(&agent) || !stored {
                return Err(too_much);
            }
            self.count(agent, Counted::Stored)?;
        }
        Ok((counted, arrivals))
    }

    /// Counts a request that brings something new, and what of it is to be stored.
    fn count_new(&self, agent: Kid, brings: Brings) -> Result<(), Fault> {
        self.count(agent, Counted::New)?;
        let (Limits { per_agent, bytes_per_agent: rate, .. }, now) =
            (self.config().limits, SystemClock.now().mono);
        let rotations = (brings.rotations, Counted::Rotation);
        self.limiter.count(agent, rotations, ROTATIONS, now).map_err(|wait| {
            self.limiter.give_back(agent, (1, Counted::New), per_agent);
            let what =
                format!("agent {agent} changed its key {} times within a day", ROTATIONS.count);
            tracing::warn!("{what}; it is told to come again");
            Fault::too_much(what, wait)
        })?;
        self.limiter.count(agent, (brings.bytes, Counted::Byte), rate, now).map_err(|wait| {
            self.limiter.give_back(agent, (1, Counted::New), per_agent);
            self.limiter.give_back(agent, rotations, ROTATIONS);
            let what = format!(
                "agent {agent} had {} MiB stored within a day, all that [limits] bytes_per_agent \
                    lets one agent have",
                rate.count >> 20
            );
            tracing::warn!("{what}; it is told to come again");
            Fault::too_much(what, wait)
        })
    }

    /// Counts a request.
    fn count(&self, agent: Kid, what: Counted) -> Result<(), Fault> {
        let (rate, now) = (self.config().limits.per_agent, SystemClock.now().mono);
        let counted = self.limiter.count(agent, (1, what), rate, now);
        counted.map_err(|wait| Fault::too_much(format!("{agent} asked too often"), wait))
    }

    /// The collector's keys, signed.
    fn keys(&self) -> String {
        let next = *self.next.read().unwrap_or_else(PoisonError::into_inner);
        answer::sign_keys(next, &self.key)
    }

    /// The contracts that concern the agent that asks, signed.
    async fn contracts(
        self: &Arc<Self>,
        bearer: String,
        method: &str,
        path: &str,
        caller: &Caller,
    ) -> Result<String, Fault> {
        let (collector, method, path) = (Arc::clone(self), method.to_owned(), path.to_owned());
        let admitting = self.read_for(caller.repute(), Work::Short, move |archive| {
            let asked = Asked { collector: collector.key.kid(), method: &method, path: &path };
            collector.admit(archive, bearer.as_bytes(), asked)
        });
        let (site, Request { agent, jti, exp, .. }) = admitting.await?;
        caller.peer.authenticated();
        // All replicas know what was granted: a request is good once, whichever it is sent to.
        let now = SystemClock.now().wall;
        if !self.writer()?.write(move |archive| archive.grant(agent, &jti, exp, now)).await? {
            return Err(Problem::new(Kind::Unauthorized, "its jti was used before").into());
        }
        let collector = Arc::clone(self);
        self.read(move |archive| {
            let contracts =
                Book::load(archive, collector.config().contracts_dir.as_deref())?.of_site(&site);
            Ok(answer::sign_contracts(contracts, &collector.key))
        })
        .await
    }

    /// Whether an agent may read, if it did not do so by this very request before; gives its site.
    fn admit(
        &self,
        archive: &Archive,
        bearer: &[u8],
        asked: Asked<'_>,
    ) -> Result<(String, Request), Fault> {
        let now = SystemClock.now();
        let refused = |fault: NotGranted| {
            let kind = match fault {
                NotGranted::Jws(_) | NotGranted::Form(_) => Kind::Malformed,
                NotGranted::Signature(_) => Kind::BadSignature,
                NotGranted::Other | NotGranted::Time => Kind::Unauthorized,
            };
            Problem::new(kind, fault)
        };
        let kid = request::signer(bearer).map_err(refused)?;
        let known = archive.key(kid)?.filter(|known| known.last.is_none());
        let known = known.ok_or_else(|| {
            Problem::new(Kind::UnknownAgent, format_args!("no agent has the key {kid}"))
        })?;
        match known.standing {
            Standing::Approved => {}
            Standing::Pending => {
                return Err(
                    Problem::new(Kind::Pending, "an operator has to approve it first").into()
                );
            }
            Standing::Revoked => {
                return Err(Problem::new(Kind::Revoked, "this agent was revoked").into());
            }
        }
        let request = request::verify(bearer, &known.key, asked, now.wall).map_err(refused)?;
        if request.agent != known.agent {
            return Err(Problem::new(
                Kind::BadSignature,
                "its agent is not the one whose key signed it",
            )
            .into());
        }
        self.count(request.agent, Counted::New)?;
        Ok((known.site, request))
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

/// Where the key lies that is to follow a collector's present one.
#[must_use]
pub fn next_key_file(config: &CollectorConfig) -> PathBuf {
    let mut name = config.key_file.clone().into_os_string();
    name.push(".next");
    name.into()
}

fn next_key(config: &CollectorConfig) -> Result<Option<PublicKey>, KeyFault> {
    match keyfile::load(&next_key_file(config)) {
        Ok(next) => Ok(Some(*next.public())),
        Err(KeyFault::Missing(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The database and the key that it belongs to. Where the database has a key, no other is made.
fn open_both(config: &CollectorConfig) -> Result<(Archive, SecretKey), StartError> {
    let key = match keyfile::credential(CREDENTIAL)? {
        Some(key) => Some(key),
        None => match keyfile::load(&config.key_file) {
            Ok(key) => Some(key),
            Err(KeyFault::Missing(_)) => None,
            Err(fault) => return Err(fault.into()),
        },
    };
    if let Database::Sqlite(path) = &config.database {
        salvage::mend(path, key.as_ref(), SystemClock.now().wall)?;
    }
    let mut archive = Archive::open(&config.database)?;
    let key = match (key, archive.collector()?) {
        (Some(key), _) => key,
        (None, Some(expected)) => return Err(ArchiveError::NoKey { expected }.into()),
        (None, None) => keyfile::load_or_create(&config.key_file)?.0,
    };
    let kid = key.kid();
    archive.write(|archive| archive.belong_to(kid))?;
    Ok((archive, key))
}

/// What of an agent a request brings.
#[derive(Clone, Copy, Debug, Default)]
struct Brings {
    /// So many bytes to store.
    bytes: u32,
    /// So many changes of its key.
    rotations: u32,
}

/// Whether a request brought nothing of an agent but what was stored before.
#[derive(Default)]
struct Again(HashMap<Kid, bool>);

impl Again {
    fn note(&mut self, agent: Option<Kid>, said: &Accepted) {
        if let Some(agent) = agent {
            *self.0.entry(agent).or_insert(true) &= matches!(said, Accepted::Again(_));
        }
    }

    fn only(&self, agent: Kid) -> bool {
        self.0.get(&agent).is_some_and(|only| *only)
    }
}

/// A line of the answer.
fn result_line(digest: Digest, said: Result<String, Problem>) -> String {
    #[derive(Serialize)]
    struct Line {
        digest: Digest,
        #[serde(skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Problem>,
    }
    let (receipt, error) = match said {
        Ok(receipt) => (Some(receipt), None),
        Err(problem) => (None, Some(problem)),
    };
    json(&Line { digest, receipt, error }) + "\n"
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these values can be written")
}

/// Serves until `stop` is done, then lets the requests that are under way end.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    socket: TcpListener,
    collector: Arc<Collector>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = listener::Listener {
        connections: Arc::clone(&collector.connections),
        tls: collector.tls.subscribe(),
        router: http::router(Arc::clone(&collector)),
    };
    let (stopping, stopped) = watch::channel(false);
    let rounds = tokio::spawn(scheduler::run(Arc::clone(&collector), stopped.clone()));
    let mut telling = JoinSet::new();
    for whom in delivery::ALL {
        telling.spawn(delivery::run(Arc::clone(&collector), whom, stopped.clone()));
    }
    telling.spawn(heartbeat::run(Arc::clone(&collector), stopped.clone()));
    telling.spawn(health::watch(Arc::clone(&collector), stopped.clone()));
    let renewing =
        tokio::spawn(operators::renew_certificates(Arc::clone(&collector), stopped.clone()));
    let ending = Arc::clone(&collector);
    let graceful = async move {
        stop.await;
        ending.stopping.store(true, Ordering::Relaxed);
        let _ = stopping.send(true);
    };
    let served = listener.serve(socket, graceful);
    tokio::select! {
        () = served => {}
        () = last_orders(stopped) => {}
    }
    renewing.abort();
    let ends = async { while telling.join_next().await.is_some() {} };
    let at_most = LAST_ORDERS + LETTING_GO;
    let (round, told) =
        tokio::join!(tokio::time::timeout(at_most, rounds), tokio::time::timeout(at_most, ends));
    if round.is_err() || told.is_err() {
        tracing::warn!("a lease was not let go, and will expire");
    }
    Ok(())
}

/// Is over when what was under way at the end had its time.
async fn last_orders(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
    tokio::time::sleep(LAST_ORDERS).await;
}
