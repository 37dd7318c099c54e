//! The one writer: a thread of its own, so that probing never waits for the disk.
//!
//! It takes whole sets of sibling intervals, outages and notes, and writes them in few transactions. What it cannot write it
//! keeps, tries again, and says so once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::agent::summariser::{SpanState, Summariser};
use crate::base::time::{Clock, SystemClock, Wall};
use crate::config::agent::{Keep, Term};
use crate::measure::ledger::Closed;
use crate::store::intervals::{Series, SeriesId};
use crate::store::outages::{Outage, OutageId};
use crate::store::{Store, StoreError};

/// Sets of siblings that may wait while the disk cannot be written: a day of minutes.
const MOST_WAITING: usize = 1440;
/// How soon it is tried again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How often what is too old or too much is deleted.
const TIDY: Duration = Duration::from_secs(600);
/// Sheets that are written at once: one an hour where all goes well, more after a while without.
const SHEETS: usize = 6;
/// A commit is not put off to where the next set of siblings would come too late for it.
const SET: Duration = Duration::from_secs(60);

/// The recorder's door.
#[derive(Clone, Debug)]
pub struct Recorder {
    jobs: Sender<Job>,
}

/// An outage's number between the judge and the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutageKey {
    /// It began in this run.
    New(u64),
    /// It was open in the database when this run began.
    Stored(OutageId),
}

enum Job {
    Siblings(Vec<Closed>),
    Opened(OutageKey, Outage),
    Closed(OutageKey, Wall),
    Attributed(OutageKey, String, serde_json::Value),
    Note(Wall, String, String),
    Summarise(Box<SpanState>),
    Reconfigure(Vec<Series>, Keep),
    Ask(Question),
    Stop,
}

type Question = Box<dyn FnOnce(&mut Store) + Send>;

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
    /// Starts the writer. `series` is what the intervals of each probe have in common, in the order of the probes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Store,
        series: Vec<Series>,
        keep: Keep,
        summariser: Summariser,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::channel();
        let desk = Desk {
            store,
            series,
            keep,
            summariser,
            known: HashMap::new(),
            outages: HashMap::new(),
            waiting: Vec::new(),
            spans: Vec::new(),
            commit_by: None,
            failing: false,
            full: false,
            tidied: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || desk.run(&inbox))?;
        Ok((Self { jobs }, thread))
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            error!("the recorder has ended; nothing is written any more");
        }
    }

    /// Hands over a whole set of siblings.
    pub fn siblings(&self, set: Vec<Closed>) {
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
    pub fn attributed(&self, key: OutageKey, side: &str, evidence: serde_json::Value) {
        self.send(Job::Attributed(key, side.to_owned(), evidence));
    }

    /// Adds a line to the journal.
    pub fn note(&self, at: Wall, kind: &str, detail: impl Into<String>) {
        self.send(Job::Note(at, kind.to_owned(), detail.into()));
    }

    /// Makes the summaries of a span whose intervals were all handed over.
    pub fn summarise(&self, span: SpanState) {
        self.send(Job::Summarise(Box::new(span)));
    }

    /// Takes another list of probes, once all intervals of the old one were handed over.
    pub fn reconfigure(&self, series: Vec<Series>, keep: Keep) {
        self.send(Job::Reconfigure(series, keep));
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
            // Nobody waits for the answer any more: nothing to be done.
            let _ = answer.send(question(store));
        });
        self.jobs.send(Job::Ask(question)).map_err(|_| Unanswered::Gone)?;
        Ok(answered.await.map_err(|_| Unanswered::Gone)??)
    }

    /// Writes everything and ends the thread.
    pub fn stop(&self) {
        self.send(Job::Stop);
    }
}

/// What the writer's thread has before it.
struct Desk {
    store: Store,
    series: Vec<Series>,
    keep: Keep,
    summariser: Summariser,
    known: HashMap<(u32, Option<IpAddr>), SeriesId>,
    outages: HashMap<OutageKey, OutageId>,
    waiting: Vec<Work>,
    spans: Vec<SpanState>,
    commit_by: Option<Instant>,
    failing: bool,
    /// Whether the outbox had to drop summaries the last time.
    full: bool,
    tidied: Instant,
}

/// What waits to be written, in order.
enum Work {
    Siblings(Vec<Closed>),
    Opened(OutageKey, Outage),
    Closed(OutageKey, Wall),
    Attributed(OutageKey, String, serde_json::Value),
    Note(Wall, String, String),
}

impl Desk {
    fn run(mut self, inbox: &Receiver<Job>) {
        loop {
            let patience = match self.commit_by {
                Some(by) => by.saturating_duration_since(Instant::now()),
                None => TIDY,
            };
            match inbox.recv_timeout(patience) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => self.commit(),
            }
            if self.tidied.elapsed() >= TIDY {
                self.tidied = Instant::now();
                self.tidy();
            }
        }
        self.commit();
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Siblings(set) => {
                self.waiting.push(Work::Siblings(set));
                let by = *self.commit_by.get_or_insert_with(|| Instant::now() + self.keep.commit);
                if by.saturating_duration_since(Instant::now()) <= SET && !self.failing {
                    self.commit();
                }
            }
            Job::Opened(key, outage) => self.at_once(Work::Opened(key, outage)),
            Job::Closed(key, to) => self.at_once(Work::Closed(key, to)),
            Job::Attributed(key, side, evidence) => self.at_once(Work::Attributed(key, side, evidence)),
            Job::Note(at, kind, detail) => self.at_once(Work::Note(at, kind, detail)),
            Job::Summarise(span) => {
                self.spans.push(*span);
                self.commit();
            }
            Job::Reconfigure(series, keep) => {
                self.commit();
                self.series = series;
                self.keep = keep;
                self.known.clear();
            }
            Job::Ask(question) => question(&mut self.store),
            Job::Stop => {}
        }
    }

    /// What is told at once: an outage is on the disk when it is shown.
    fn at_once(&mut self, work: Work) {
        self.waiting.push(work);
        if !self.failing {
            self.commit();
        }
    }

    /// Writes all that waits, and the summaries that are due, in one transaction.
    fn commit(&mut self) {
        self.commit_by = None;
        if self.waiting.is_empty() && self.spans.is_empty() {
            return;
        }
        match self.write() {
            Ok(opened) => {
                self.outages.extend(opened);
                self.waiting.clear();
                self.spans.clear();
                if std::mem::take(&mut self.failing) {
                    info!("the database can be written again");
                    let now = SystemClock.now().wall;
                    self.waiting.push(Work::Note(
                        now,
                        "disk".to_owned(),
                        "the database can be written again".to_owned(),
                    ));
                    self.commit_by = Some(Instant::now() + RETRY);
                }
            }
            Err(error) => {
                // Whatever was cached may have been rolled back.
                self.known.clear();
                if !std::mem::replace(&mut self.failing, true) {
                    error!(%error, "the database cannot be written; measuring goes on, and writing is tried again");
                }
                self.commit_by = Some(Instant::now() + RETRY);
                while self.waiting.len() > MOST_WAITING {
                    self.waiting.remove(0);
                }
            }
        }
    }

    fn write(&mut self) -> Result<Vec<(OutageKey, OutageId)>, StoreError> {
        let Self { store, series, known, waiting, spans, outages, summariser, keep, full, .. } = self;
        let mut opened: Vec<(OutageKey, OutageId)> = Vec::new();
        let mut keys = summariser.keys.clone();
        let written = store.together(|store| {
            for work in waiting.iter() {
                let id_of = |key: &OutageKey| match key {
                    OutageKey::Stored(id) => Some(*id),
                    OutageKey::New(_) => {
                        opened.iter().find(|(of, _)| of == key).map(|&(_, id)| id).or_else(|| outages.get(key).copied())
                    }
                };
                match work {
                    Work::Siblings(set) => {
                        for closed in set {
                            let key = (closed.probe.0, closed.address);
                            let id = match known.get(&key) {
                                Some(id) => *id,
                                None => {
                                    let Some(series) = series.get(closed.probe.0 as usize) else { continue };
                                    let id = store.series(&Series { address: closed.address, ..series.clone() })?;
                                    known.insert(key, id);
                                    id
                                }
                            };
                            store.append(id, &closed.interval)?;
                        }
                    }
                    Work::Opened(key, outage) => opened.push((*key, store.open_outage(outage)?)),
                    Work::Closed(key, to) => {
                        if let Some(id) = id_of(key) {
                            store.close_outage(id, *to)?;
                        }
                    }
                    Work::Attributed(key, side, evidence) => {
                        if let Some(id) = id_of(key) {
                            store.attribute_outage(id, side, evidence)?;
                        }
                    }
                    Work::Note(at, kind, detail) => store.note(*at, kind, detail)?,
                }
            }
            for span in spans.iter() {
                summariser.summarise(store, span, &mut keys)?;
            }
            if !spans.is_empty() {
                let dropped = store.fit_outbox(keep.outbox_bytes)?;
                if let Some(first) = dropped.first().filter(|_| !*full) {
                    let (chain, from) = (first.chain, first.from_seq);
                    warn!(%chain, from, "the outbox is full: its oldest summaries are dropped from now on");
                    let detail = format!("the outbox is full: from summary {from} on the oldest are dropped unshipped");
                    store.note(SystemClock.now().wall, "outbox-full", &detail)?;
                }
                *full = !dropped.is_empty();
            }
            Ok(opened)
        });
        if written.is_ok() {
            summariser.keys.committed(keys);
        }
        written
    }

    /// Deletes what is too old, and then the oldest of what is too much.
    fn tidy(&mut self) {
        let keep = self.keep;
        let now = SystemClock.now().wall;
        let sheets = self.store.together(|store| {
            if let Term::For(length) = keep.hours {
                store.forget_sheets(now - length)?;
            }
            store.write_sheets(now, SHEETS)
        });
        if let Err(error) = sheets {
            warn!(%error, "the sheets of hours that are over could not be written; it is tried again");
        }
        let done: Result<(), StoreError> = self.store.together(|store| {
            if let Term::For(length) = keep.minutes {
                store.forget_intervals(now - length)?;
            }
            let mut newest = None;
            while store.bytes()? > keep.max_bytes {
                match store.forget_oldest(1000)? {
                    Some(begin) => newest = Some(begin),
                    None => break,
                }
            }
            if let Some(begin) = newest {
                warn!(until = %begin, "the database is at its limit: the oldest intervals were deleted");
                let detail = format!("the database is at its limit: intervals up to {begin} were deleted");
                store.note(SystemClock.now().wall, "store-full", &detail)?;
            }
            Ok(())
        });
        if let Err(error) = done {
            warn!(%error, "old data could not be deleted; it is tried again");
        }
    }
}
