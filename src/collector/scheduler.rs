//! The collector's rounds: what came is folded, what it touches is judged anew, claims and rights
//! are followed, what is missing is looked for, and who listens is told. One replica at a time goes
//! round; the others take over when it stops. A round that is broken off loses nothing: each step
//! is a transaction, and the next round goes on from what is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::collector::agent_state::CLOCKS_DIFFER;
use crate::collector::alerts::{self, Setting};
use crate::collector::archive::Archive;
use crate::collector::archive::ledger::Page;
use crate::collector::ending::last_orders;
use crate::collector::fault::Fault;
use crate::collector::findings::finding::Finding;
use crate::collector::lease::watch::{LEASE, Watch};
use crate::collector::lease::{hold, holder, release};
use crate::collector::operations::agreements::Book;
use crate::collector::scheduler::did::Did;
use crate::collector::verdicts::Fleet;
use crate::collector::{Collector, findings, troubles};
use crate::evidence::key::Kid;

mod changes;
pub mod did;
mod fold;
mod judge;
mod repair;
mod restore;
mod sweep;

/// So long it is waited between two rounds when nothing is left to do.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked for what is missing.
const LOOK: Duration = Duration::from_secs(5);
/// And no more of the time is spent on that than one part in so many.
const LOOKING: u32 = 50;
/// How often it is looked for what the clock alone changes: periods that ended, services of which
/// nothing came.
const SWEEP: Duration = Duration::from_secs(300);

/// What a replica knows from one round to the next.
pub struct Rounds {
    clock: Arc<dyn Clock + Send + Sync>,
    holder: String,
    fleet: Option<Arc<Fleet>>,
    lease: Watch,
    /// When it was last taken or held.
    held: Option<Instant>,
    /// The agent that was looked at last.
    after: Option<Kid>,
    looked: Option<Wall>,
    look_again: Duration,
    swept: Option<Wall>,
    /// When the last round was, by the wall clock.
    last: Option<Wall>,
}

impl std::fmt::Debug for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rounds").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Default for Rounds {
    fn default() -> Self {
        Self::by(Arc::new(SystemClock))
    }
}

/// Goes round until the collector stops; the round that is under way then ends at its next step, or
/// is broken off: what it has not written yet, the next one works out again.
pub async fn run(collector: Arc<Collector>, mut stop: watch::Receiver<bool>) {
    let mut rounds = Rounds::default();
    while !*stop.borrow() {
        let went = tokio::select! {
            went = rounds.go(&collector) => went,
            () = last_orders(stop.clone()) => {
                tracing::warn!("the last round was broken off");
                break;
            }
        };
        let pause = match went {
            Ok(did) if did.more => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(fault) => {
                tracing::warn!("a round was broken off: {}", fault.detail());
                PAUSE * 5
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|&stop| stop) => {}
        }
    }
    release(&collector, "rounds", &rounds.holder).await;
}

impl Rounds {
    /// Rounds that go by a clock.
    #[must_use]
    pub fn by(clock: Arc<dyn Clock + Send + Sync>) -> Self {
        Self {
            clock,
            holder: holder(),
            fleet: None,
            lease: Watch::default(),
            held: None,
            after: None,
            looked: None,
            look_again: LOOK,
            swept: None,
            last: None,
        }
    }

    /// One round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn go(&mut self, collector: &Arc<Collector>) -> Result<Did, Fault> {
        if !self.lease(collector).await? {
            return Ok(Did::default());
        }
        let now = self.clock.now().wall;
        if self.is_behind(collector, now).await? {
            return Ok(Did::default());
        }
        if self.last.is_some_and(|last| now + CLOCKS_DIFFER < last) {
            // It was ahead: what it did meanwhile is put right, as at first.
            self.fleet = None;
        }
        self.last = Some(now);
        self.know(collector, now).await?;
        self.enter_register(collector).await?;
        let mut did = Did::default();
        self.fold(collector, &mut did).await?;
        // Much may have come, and the lease be near its end.
        if !self.lease(collector).await? {
            return Ok(did);
        }
        let due = |last: Option<Wall>, every: Duration| {
            last.is_none_or(|last| now >= last + every || now < last)
        };
        self.amend(collector, now, &mut did).await?;
        if due(self.swept, SWEEP) {
            self.sweep(collector, now).await?;
            self.swept = Some(now);
        }
        self.judge(collector, now, &mut did).await?;
        if due(self.looked, self.look_again) {
            let began = Instant::now();
            self.look(collector, now).await?;
            self.looked = Some(now);
            self.look_again = LOOK.max(began.elapsed() * LOOKING);
            collector.heartbeat.looked(SystemClock.now().mono, self.look_again);
        }
        collector.metrics.round(&did, now);
        collector.heartbeat.round(SystemClock.now().mono);
        Ok(did)
    }

    /// What each agent may speak for, as it is now: a hand may have changed it.
    async fn enter_register(&mut self, collector: &Arc<Collector>) -> Result<(), Fault> {
        let register = collector.read(|archive| Ok(archive.register()?)).await?;
        if let Some(fleet) = self.fleet.as_mut().filter(|fleet| *fleet.register() != register) {
            Arc::make_mut(fleet).enter(register);
        }
        Ok(())
    }

    /// Takes or holds the lease: only one replica goes round.
    async fn lease(&mut self, collector: &Arc<Collector>) -> Result<bool, Fault> {
        let leased =
            hold(collector, "rounds", &self.holder, &mut self.lease, self.clock.now()).await?;
        self.held = leased.then(Instant::now);
        if !leased {
            // Whoever goes round now changes what is known here.
            self.fleet = None;
            collector.heartbeat.gone();
        }
        Ok(leased)
    }

    /// Whether the lease is held still, after something that may have taken long.
    async fn holds_on(&mut self, collector: &Arc<Collector>) -> Result<bool, Fault> {
        match self.held {
            Some(held) if held.elapsed() < LEASE / 4 => Ok(true),
            _ => self.lease(collector).await,
        }
    }

    /// Holds the lease while something takes long.
    async fn lease_on(&self, collector: &Arc<Collector>) -> Result<(), Fault> {
        let (holder, now) = (self.holder.clone(), self.clock.now().wall);
        collector
            .change(move |archive| archive.lease("rounds", &holder, now + LEASE, now))
            .await
            .map(drop)
    }

    /// What every agent said last; at first, what a clock or a summary that is not taken any more
    /// left behind is put right.
    async fn know(&mut self, collector: &Arc<Collector>, now: Wall) -> Result<Arc<Fleet>, Fault> {
        if let Some(fleet) = &self.fleet {
            return Ok(Arc::clone(fleet));
        }
        if let Err(what) = collector.try_change(move |archive| repair::heal(archive, now)).await? {
            tracing::error!("what is stored could not be put right: {what}");
        }
        self.take_back(collector, now).await?;
        let fleet = collector.read(|archive| Ok(Arc::new(Fleet::load(archive)?))).await?;
        self.fleet = Some(Arc::clone(&fleet));
        Ok(fleet)
    }

    /// Whether the clock is behind what was received: then nothing is done by it but to say so.
    async fn is_behind(&mut self, collector: &Arc<Collector>, now: Wall) -> Result<bool, Fault> {
        let Some(found) =
            collector.read(move |archive| Ok(troubles::clock_is_behind(archive, now)?)).await?
        else {
            return Ok(false);
        };
        // What is known is asked for anew when the clock is right; another replica's may be.
        (self.fleet, self.held) = (None, None);
        collector.heartbeat.gone();
        let (detail, holder) = (found.detail.clone(), self.holder.clone());
        let write = move |archive: &Archive| {
            archive.release("rounds", &holder)?;
            alerts::begin(archive, &found, now)
        };
        if collector.change(write).await? {
            tracing::error!("{detail}");
            collector.news.notify_waiters();
        }
        Ok(true)
    }

    /// Looks for what is missing, and writes down what began and ended; who listens is told apart
    /// from this.
    async fn look(&self, collector: &Arc<Collector>, now: Wall) -> Result<(), Fault> {
        let (found, config) = (collector.findings(now).await?, collector.config());
        collector.metrics.found(&found);
        let set = Setting::of(&config.alerts, now);
        let open = collector.read(|archive| Ok(alerts::open(archive, Page::default())?)).await?;
        if alerts::changes(&open, &found, &set) {
            collector.change(move |archive| alerts::look(archive, &found, &set)).await?;
        }
        collector.news.notify_waiters();
        Ok(())
    }
}

impl Collector {
    /// Whether it is ending.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Every version of every contract.
    pub(super) async fn book(self: &Arc<Self>) -> Result<Arc<Book>, Fault> {
        let directory = self.config().contracts_dir.clone();
        self.read(move |archive| Ok(Arc::new(Book::load(archive, directory.as_deref())?))).await
    }

    /// What is missing now.
    pub(super) async fn findings(self: &Arc<Self>, now: Wall) -> Result<Vec<Finding>, Fault> {
        let config = self.config();
        self.read(move |archive| Ok(findings::all(archive, &config, now)?)).await
    }
}
