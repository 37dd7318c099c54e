//! The one writer: a thread of its own, so that probing never waits for the disk.
//!
//! This is the handle of its callers; the thread's work is in [`database`]. What is handed in is
//! written in order, soon, and told of no more: it waits there until the disk takes it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::agent::outages::OutageKey;
use crate::agent::summariser::{SpanState, Summariser};
use crate::base::time::{Clock, Now, SystemClock, Wall};
use crate::config::agent::Keep;
use crate::measure::event::ProbeId;
use crate::measure::ledger::FinishedInterval;
use crate::measure::probe::Probe;
use crate::store::contracts::ContractFile;
use crate::store::journal::Noted;
use crate::store::outages::Outage;
use crate::store::{FILE, FileId, Store, StoreError, salvage};

mod database;

use database::Database;

/// How often the whole database is read and checked, besides at every start.
const SCRUB: Duration = Duration::from_secs(86_400);

/// A handle to the writer thread.
#[derive(Clone, Debug)]
pub struct Recorder {
    jobs: Sender<Job>,
}

enum Job {
    Siblings(Vec<FinishedInterval>),
    Opened(OutageKey, Outage),
    Closed(OutageKey, Wall),
    Attributed(OutageKey, String, serde_json::Value),
    Note(Wall, Noted, String),
    Summarise(Box<SpanState>),
    EndDoubt {
        by_ns: i64,
        until: Wall,
    },
    Label(Box<Label>),
    Reconfigure(Box<Setup>),
    Ask(Question),
    /// This file was found to be damaged.
    Damaged {
        what: String,
        file: FileId,
    },
    Stop,
}

/// How what is held of a boot is labelled.
#[derive(Clone, Debug)]
pub struct Label {
    /// The kernel's boot id.
    pub boot: String,
    /// A reading of both clocks of that boot.
    pub anchor: Now,
    /// Why it can be, or must be.
    pub why: Why,
    /// What the summaries of it say.
    pub span: SpanState,
}

/// Why what is held is labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The clock was set.
    Set,
    /// Nothing set it, and there is no more room or patience: it is labelled by the clock as it is.
    GivenUp,
    /// That boot is over and nobody knows when it was: it is labelled by the time since it, as if
    /// it had been in 1970.
    OtherBoot,
}

/// What is asked of the database; it gives what it found to be damaged.
type Question = Box<dyn FnOnce(&mut Store) -> Option<String> + Send>;

/// What the recorder goes by.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The site's name.
    pub site: String,
    /// A summary's span.
    pub every: Duration,
    /// What is kept, and how much of it.
    pub keep: Keep,
    /// The probes. A place may be given anew once all intervals of the probe that had it were
    /// handed over.
    pub probes: Vec<Seat>,
    /// The contracts that are judged by.
    pub contracts: Vec<ContractFile>,
}

/// A probe and its place.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Its place.
    pub place: ProbeId,
    /// As it is configured: its settings.
    pub probe: Arc<Probe>,
    /// The same with the service that it measures.
    pub named: Arc<Probe>,
}

/// The recorder has ended.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Its thread is gone.
    #[error("the recorder has ended")]
    Gone,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorder {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: Store, summariser: Summariser) -> std::io::Result<(Self, JoinHandle<()>)> {
        Self::start_by(SystemClock, store, summariser)
    }

    /// As [`Self::start`], by another clock than the system's.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_by(
        clock: impl Clock + Send + 'static,
        store: Store,
        summariser: Summariser,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::channel();
        let dir = store.path().parent().unwrap_or(Path::new(".")).to_owned();
        let (present, gone) = mpsc::channel();
        let database = Database::new(Box::new(clock), store, summariser, present);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || database.run(&inbox))?;
        let found = jobs.clone();
        std::thread::Builder::new()
            .name("scrubber".to_owned())
            .spawn(move || scrub(&dir, &found, &gone))?;
        Ok((Self { jobs }, thread))
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            error!("the recorder has ended; nothing is written any more");
        }
    }

    /// Hands over a whole set of siblings.
    pub fn siblings(&self, set: Vec<FinishedInterval>) {
        self.send(Job::Siblings(set));
    }

    /// Enters an outage.
    pub fn opened(&self, key: OutageKey, outage: Outage) {
        self.send(Job::Opened(key, outage));
    }

    /// Enters its end.
    pub fn closed(&self, key: OutageKey, to: Wall) {
        self.send(Job::Closed(key, to));
    }

    /// Enters whose side failed, and why it is thought so.
    pub fn attributed(&self, key: OutageKey, side: String, evidence: serde_json::Value) {
        self.send(Job::Attributed(key, side, evidence));
    }

    /// Adds a line to the journal.
    pub fn note(&self, at: Wall, kind: Noted, detail: impl Into<String>) {
        self.send(Job::Note(at, kind, detail.into()));
    }

    /// Makes the summaries of a span whose intervals were all handed over.
    pub fn summarise(&self, span: SpanState) {
        self.send(Job::Summarise(Box::new(span)));
    }

    /// Labels hold from here on: those of outages and notes that were provisional, all of them up
    /// to `until`, are moved.
    pub fn end_doubt(&self, by_ns: i64, until: Wall) {
        self.send(Job::EndDoubt { by_ns, until });
    }

    /// Labels what is held of a boot.
    pub fn label(&self, label: Label) {
        self.send(Job::Label(Box::new(label)));
    }

    /// Goes by this from now on.
    pub fn configure(&self, setup: Setup) {
        self.send(Job::Reconfigure(Box::new(setup)));
    }

    /// Asks something of the database, in turn with what is written.
    ///
    /// # Errors
    /// When the database fails, or the recorder has ended.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |store| {
            let answered = question(store);
            let damage =
                answered.as_ref().err().filter(|error| error.is_damage()).map(ToString::to_string);
            // Where nobody waits for the answer any more there is nothing to be done.
            let _ = answer.send(answered);
            damage
        });
        self.jobs.send(Job::Ask(question)).map_err(|_| Unanswered::Gone)?;
        Ok(answered.await.map_err(|_| Unanswered::Gone)??)
    }

    /// Writes everything and ends the thread.
    pub fn stop(&self) {
        self.send(Job::Stop);
    }
}

/// Reads the database now and then and tells when it is damaged; it ends when the writer is gone.
/// It only reads, so it holds up nobody.
fn scrub(dir: &Path, found: &Sender<Job>, gone: &Receiver<()>) {
    loop {
        let file = FileId::of(&dir.join(FILE));
        match salvage::scrub(dir) {
            Err(error) if error.is_damage() => {
                let Some(file) = file else { return };
                if found.send(Job::Damaged { what: error.to_string(), file }).is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "the database cannot be checked; it is tried again in a day")
            }
            Ok(()) => {}
        }
        if !matches!(gone.recv_timeout(SCRUB), Err(mpsc::RecvTimeoutError::Timeout)) {
            return;
        }
    }
}
