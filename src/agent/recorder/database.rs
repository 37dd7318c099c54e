//! The writer thread's side of the database: it takes whole sets of sibling intervals, outages and
//! notes, and writes them in few transactions. What it cannot write it keeps, tries again, and says
//! so once. A database that turns out to be damaged is set aside, and what was not written yet goes
//! into the new one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tracing::{error, warn};

use crate::agent::outages::OutageKey;
use crate::agent::recorder::{Job, Label, Seat, Setup};
use crate::agent::summariser::{SpanState, Summariser};
use crate::base::time::{Clock, Mono, Wall};
use crate::config::agent::Keep;
use crate::measure::event::ProbeId;
use crate::measure::ledger::FinishedInterval;
use crate::measure::probe::Probe;
use crate::store::Store;
use crate::store::contracts::ContractFile;
use crate::store::intervals::SeriesId;
use crate::store::journal::Noted;
use crate::store::outages::{Outage, OutageId};
use crate::store::provisional::Labelled;

mod commit;
mod label;
mod tidy;
mod writing;

/// How soon it is tried again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How often what is too old or too much is looked for.
const TIDY: Duration = Duration::from_secs(60);
/// A commit is not put off to where the next set of siblings would come too late for it.
const SET: Duration = Duration::from_secs(60);
/// How long a set waits for the summary that is made of it, or for its siblings of a change: one
/// transaction instead of two.
const TOGETHER: Duration = Duration::from_millis(500);

/// What the writer's thread has before it.
pub struct Database {
    clock: Box<dyn Clock + Send>,
    store: Store,
    seats: Arc<Seats>,
    /// By the place: the last address of the probe there, and what the database calls its series.
    known: Vec<Option<(Option<IpAddr>, SeriesId)>>,
    keep: Keep,
    summariser: Summariser,
    outages: HashMap<OutageKey, OutageId>,
    waiting: VecDeque<Work>,
    spans: Vec<SpanState>,
    /// What is held and can be labelled, each with what was done of it.
    labels: VecDeque<(Label, Labelled)>,
    commit_by: Option<Mono>,
    failing: bool,
    /// Sets that had to be thrown away while the disk could not be written.
    thrown: u64,
    /// Whether the outbox had to drop something the last time, and when the database last had to.
    full: bool,
    pressed: Option<Mono>,
    tidied: Mono,
    /// Its end tells others that the writer is gone.
    _present: Sender<()>,
}

/// The last probe that had each place, as it is configured and with the service that it measures.
type Seats = Vec<Option<[Arc<Probe>; 2]>>;

/// What waits to be written, in order.
enum Work {
    /// With the probes that had the places then.
    Siblings(Arc<Seats>, Vec<FinishedInterval>),
    Opened(OutageKey, Outage),
    Closed(OutageKey, Wall),
    Attributed(OutageKey, String, serde_json::Value),
    Note(Wall, Noted, String),
    EndDoubt {
        by_ns: i64,
        until: Wall,
    },
    Terms(String, Vec<ContractFile>),
}

impl Database {
    pub fn new(
        clock: Box<dyn Clock + Send>,
        store: Store,
        summariser: Summariser,
        present: Sender<()>,
    ) -> Self {
        let tidied = clock.now().mono;
        Self {
            clock,
            store,
            seats: Arc::default(),
            known: Vec::new(),
            keep: Keep::default(),
            summariser,
            outages: HashMap::new(),
            waiting: VecDeque::new(),
            spans: Vec::new(),
            labels: VecDeque::new(),
            commit_by: None,
            failing: false,
            thrown: 0,
            full: false,
            pressed: None,
            tidied,
            _present: present,
        }
    }

    pub fn run(mut self, inbox: &Receiver<Job>) {
        loop {
            match inbox.recv_timeout(self.patience()) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.commit_if_due();
            self.label();
            self.salvage();
            self.tidy_if_due();
        }
        self.commit();
    }

    fn mono(&self) -> Mono {
        self.clock.now().mono
    }

    fn patience(&self) -> Duration {
        if self.store.is_salvaging() && !self.failing {
            return Duration::ZERO;
        }
        match self.commit_by {
            Some(by) => by - self.mono(),
            None => TIDY,
        }
    }

    fn commit_if_due(&mut self) {
        if self.commit_by.is_some_and(|by| by <= self.mono()) {
            self.commit();
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Siblings(mut set) => {
                set.shrink_to_fit();
                self.waiting.push_back(Work::Siblings(Arc::clone(&self.seats), set));
                let now = self.mono();
                let by = *self.commit_by.get_or_insert(now + self.keep.commit);
                if by - now <= SET {
                    self.within(TOGETHER);
                }
            }
            Job::Opened(key, outage) => self.at_once(Work::Opened(key, outage)),
            Job::Closed(key, to) => self.at_once(Work::Closed(key, to)),
            Job::Attributed(key, side, evidence) => {
                self.at_once(Work::Attributed(key, side, evidence))
            }
            Job::Note(at, kind, detail) => self.at_once(Work::Note(at, kind, detail)),
            Job::Summarise(span) => {
                self.spans.push(*span);
                self.within(Duration::ZERO);
            }
            Job::EndDoubt { by_ns, until } => self.at_once(Work::EndDoubt { by_ns, until }),
            Job::Label(label) => self.labels.push_back((*label, Labelled::default())),
            Job::Reconfigure(setup) => self.configure(*setup),
            Job::Ask(question) => {
                if let Some(damage) = question(&mut self.store) {
                    self.set_aside(&damage);
                }
            }
            // What was checked may have been set aside meanwhile.
            Job::Damaged { what, file } if self.store.file() == Some(file) => {
                self.set_aside(&what);
            }
            Job::Damaged { .. } => {}
            Job::Stop => {}
        }
    }

    fn configure(&mut self, setup: Setup) {
        // What waits goes on by the seats that it came with.
        let mut seats = Seats::clone(&self.seats);
        let count = ProbeId::rows(setup.probes.iter().map(|seat| &seat.place)).max(seats.len());
        seats.resize(count, None);
        self.known.resize(count, None);
        for Seat { place, probe, named } in setup.probes {
            let (at, seat) = (place.0 as usize, Some([probe, named]));
            if seats[at] != seat {
                self.known[at] = None;
            }
            seats[at] = seat;
        }
        self.seats = Arc::new(seats);
        self.keep = setup.keep;
        self.limit_log();
        self.summariser.every = setup.every;
        self.summariser.site.clone_from(&setup.site);
        self.at_once(Work::Terms(setup.site, setup.contracts));
    }

    fn limit_log(&self) {
        if let Err(error) = self.store.limit_log(self.keep.max_bytes) {
            warn!(%error, "the database's log stays as short as it is");
        }
    }

    /// What is told at once: an outage is on the disk when it is shown.
    fn at_once(&mut self, work: Work) {
        self.waiting.push_back(work);
        self.within(Duration::ZERO);
    }

    /// Commits within so long; while the disk cannot be written, when it is tried again.
    fn within(&mut self, length: Duration) {
        if !self.failing || self.commit_by.is_none() {
            let by = self.mono() + length;
            self.commit_by = Some(self.commit_by.map_or(by, |before| before.min(by)));
        }
    }

    /// Begins a new database in the place of a damaged one; whether it could.
    fn set_aside(&mut self, what: &str) -> bool {
        self.known.fill(None);
        match self.store.set_aside(self.clock.now().wall, what) {
            Ok(aside) => {
                self.limit_log();
                error!(aside = %aside.display(), what, "the database was damaged: it was set \
                    aside and a new one begun");
                true
            }
            Err(error) => {
                error!(%error, what, "the database is damaged, and no new one can be begun; it is \
                    tried again");
                false
            }
        }
    }

    fn salvage(&mut self) {
        if !self.store.is_salvaging() || self.failing {
            return;
        }
        match self.store.salvage() {
            Ok(None) => {}
            Ok(Some(done)) => {
                let detail = format!(
                    "{} rows of the damaged database were brought over, {} could not be read; it \
                        is kept as {}",
                    done.kept,
                    done.lost,
                    done.aside.display()
                );
                self.at_once(Work::Note(self.clock.now().wall, Noted::DatabaseSalvaged, detail));
            }
            Err(error) => {
                warn!(%error, "what is left of the damaged database cannot be written; it is \
                    tried again");
                self.failing = true;
                self.commit_by = Some(self.mono() + RETRY);
            }
        }
    }
}

#[cfg(test)]
mod tests;
