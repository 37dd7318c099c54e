//! The collector's rounds: what came is folded, what it touches is judged anew, claims and rights
//! are followed, what is missing is looked for, and who listens is told. One replica at a time goes
//! round; the others take over when it stops. A round that is broken off loses nothing: each step
//! is a transaction, and the next round goes on from what is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::base::effort::Effort;
use crate::base::time::{Clock, Now, SystemClock, Wall, format_duration};
use crate::collector::agent_state::CLOCKS_DIFFER;
use crate::collector::alerts::Setting;
use crate::collector::archive::ledger::{Kind, Page, Record};
use crate::collector::archive::{Archive, ArchiveError, salvage};
use crate::collector::findings::{Finding, FindingKind, Look};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::{claims, key, late};
use crate::collector::scheduler::lease::LEASE;
use crate::collector::verdicts::{Evaluator, Fleet, Judgement, SETTLED, id_of, outcome};
use crate::collector::{
    Collector, Fault, agent_state, alerts, amend, findings, fleet, last_orders, left_behind,
    removed_months, troubles,
};
use crate::config::collector::{CollectorConfig, Database};
use crate::evidence::base64url;
use crate::evidence::key::Kid;
use crate::sla::calendar::{Every, Period, Stretch};
use crate::sla::lifecycle::{Entry, Log, ObjectivePeriod, PeriodState};
use crate::sla::reach::AROUND;
use crate::sla::span::Span;

pub(super) mod lease;
mod repair;

/// So long it is waited between two rounds when nothing is left to do.
const PAUSE: Duration = Duration::from_secs(1);
/// So many agents are looked at in a round, each once, …
const AGENTS: u32 = 128;
/// … in so many of its chains.
const CHAINS: u32 = 64;
/// So many services are judged in a round.
const CASES: u32 = 256;
/// So many months after one whose verdict changed are judged again.
const LATER: usize = 12;
/// While others wait for a processor, so much longer than it works it leaves it to them.
const YIELD: u32 = 4;
/// But no longer than this at once.
const LONGEST_YIELD: Duration = Duration::from_secs(1);
/// How often it is looked for what is missing.
const LOOK: Duration = Duration::from_secs(5);
/// And no more of the time is spent on that than one part in so many.
const LOOKING: u32 = 50;
/// How often it is looked for what the clock alone changes: periods that ended, services of which
/// nothing came.
const SWEEP: Duration = Duration::from_secs(300);

mod changes;
mod restore;

/// A service in a period that has to be judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Case {
    contract: String,
    service: String,
    period: String,
    /// When this was said; said again, it is another.
    marked: Wall,
    /// What was done that makes it judged again although it may be frozen; then that is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Whether somebody asked for a new revision of it. Left out where nobody did: so an earlier
    /// version of this program wrote it, and what is done with is found by how it is written.
    #[serde(default, skip_serializing_if = "Asked::is_nothing")]
    asked: Asked,
}

/// Whether a new revision was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    /// No: what is frozen stays.
    #[default]
    Nothing,
    /// Yes.
    Revision,
}

impl Asked {
    fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// Says that a service in a period has to be judged again, by whoever goes round next.
///
/// # Errors
/// When the database fails.
pub fn mark(
    archive: &Archive,
    contract: &str,
    service: &str,
    period: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    let id = key(&[contract, service, period]);
    // Why it was said before is not forgotten.
    let (why, asked) = archive
        .record::<Case>(Kind::Dirty, &id)?
        .map_or((None, Asked::Nothing), |case| (case.why, case.asked));
    put_case(archive, (contract, service, period), (why, asked), now)
}

/// As [`mark`], for what a hand changed: where the verdict is frozen, it stays, and is told of.
///
/// # Errors
/// When the database fails.
pub fn mark_because(
    archive: &Archive,
    of: (&str, &str, &str),
    why: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    put_case(archive, of, (Some(why.to_owned()), Asked::Nothing), now)
}

/// Says that a service in a period is to be judged again although its verdict is frozen: a new
/// revision.
///
/// # Errors
/// When the database fails.
pub fn revise(
    archive: &Archive,
    contract: &str,
    service: &str,
    period: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    put_case(archive, (contract, service, period), (None, Asked::Revision), now)
}

fn put_case(
    archive: &Archive,
    of: (&str, &str, &str),
    (why, asked): (Option<String>, Asked),
    now: Wall,
) -> Result<(), ArchiveError> {
    let (contract, service, period) = of;
    let id = key(&[contract, service, period]);
    let of = |part: &str| part.to_owned();
    let case = Case {
        contract: of(contract),
        service: of(service),
        period: of(period),
        marked: now,
        why,
        asked,
    };
    archive.put_record(Kind::Dirty, &id, &case, now)
}

/// Says that a service has to be judged again in every month of the last thirteen that it was
/// judged in, and in this one.
///
/// # Errors
/// When the database fails.
pub fn mark_all(
    archive: &Archive,
    contract: &str,
    service: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    let Some(utc) = crate::sla::calendar::Zone::get("UTC") else { return Ok(()) };
    let mut month = Every::Month.holding(utc.day(now + Duration::from_secs(86_400)));
    for number in 0..14 {
        let judged = archive
            .record::<serde_json::Value>(Kind::Verdict, &id_of(month, contract, service))?
            .is_some();
        if number < 2 || judged {
            mark(archive, contract, service, &month.to_string(), now)?;
        }
        month = month.before(1);
    }
    Ok(())
}

/// A verdict, as far as it is looked at to see whether the clock alone changes it.
#[derive(Deserialize)]
struct Ended {
    ended: bool,
}

/// What a replica knows from one round to the next.
pub struct Rounds {
    clock: Arc<dyn Clock + Send + Sync>,
    holder: String,
    fleet: Option<Arc<Fleet>>,
    lease: lease::Watch,
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

/// A name by which a replica holds a lease.
pub(super) fn holder() -> String {
    let mut bytes = [0; 12];
    // Where the system gives no random numbers there is nothing to tell replicas apart by but the
    // process.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    }
    base64url::encode(&bytes)
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Did {
    /// Summaries folded.
    pub folded: u64,
    /// Services judged.
    pub judged: u64,
    /// Whether there is more to do at once.
    pub more: bool,
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

/// Lets go of a lease at the end, so that whoever comes next need not wait for it to expire.
pub(super) async fn release(collector: &Collector, name: &str, holder: &str) {
    let (name, holder) = (name.to_owned(), holder.to_owned());
    if let Err(fault) = collector.change(move |archive| archive.release(&name, &holder)).await {
        tracing::warn!("a lease was not let go, and will expire: {}", fault.detail());
    }
}

/// Takes or holds a lease; from a holder who does not renew it, it is taken over, and where a clock
/// was wrong, that is said.
pub(super) async fn hold(
    collector: &Collector,
    name: &str,
    holder: &str,
    watch: &mut lease::Watch,
    now: Now,
) -> Result<bool, Fault> {
    let (name, holder, wall) = (name.to_owned(), holder.to_owned(), now.wall);
    let (own, by) = (name.clone(), holder.clone());
    let asked = move |archive: &Archive| {
        let leased = archive.lease(&own, &by, wall + LEASE, wall)?;
        Ok((leased, if leased { None } else { archive.leased(&own)? }))
    };
    let (leased, other) = collector.change(asked).await?;
    let Some((other, until)) = other else { return Ok(leased) };
    let held = lease::Held { holder: other, until };
    if !watch.is_over(held.clone(), now.mono) {
        return Ok(false);
    }
    collector
        .change(move |archive| {
            let taken =
                archive.take_lease(&name, &holder, wall + LEASE, (&held.holder, held.until))?;
            if let Some(ahead) = lease::was_ahead(&held, wall).filter(|_| taken) {
                repair::told_of_clock(archive, ahead, wall)?;
            }
            Ok(taken)
        })
        .await
}

impl Rounds {
    /// Rounds that go by a clock.
    #[must_use]
    pub fn by(clock: Arc<dyn Clock + Send + Sync>) -> Self {
        Self {
            clock,
            holder: holder(),
            fleet: None,
            lease: lease::Watch::default(),
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
            collector.read(move |archive| Ok(repair::clock_is_behind(archive, now)?)).await?
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

    /// Folds what came, and marks in the same transaction what has to be judged for it: of each
    /// agent some, in turn.
    async fn fold(&mut self, collector: &Arc<Collector>, did: &mut Did) -> Result<(), Fault> {
        let after = self.after;
        let agents =
            collector.read(move |archive| Ok(archive.unfolded_agents(after, AGENTS)?)).await?;
        self.after = agents.last().copied().filter(|_| agents.len() >= AGENTS as usize);
        did.more = self.after.is_some() || (after.is_some() && !agents.is_empty());
        if agents.is_empty() {
            return Ok(());
        }
        let book = collector.book().await?;
        let troubles = collector.read(|archive| Ok(troubles::all(archive)?)).await?;
        for agent in agents {
            let now = self.clock.now().wall;
            if troubles.get(&troubles::of_agent(agent)).is_some_and(|trouble| trouble.waits(now)) {
                continue;
            }
            let began = Instant::now();
            let folded = self.fold_agent(collector, &book, agent).await?;
            (did.folded, did.more) = (did.folded + folded.count, did.more | folded.goes_on);
            if collector.is_busy() {
                // Who ships is answered first: what waits to be judged waits a little longer.
                tokio::time::sleep((began.elapsed() * YIELD).min(LONGEST_YIELD)).await;
            }
            if collector.is_stopping() || !self.holds_on(collector).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Folds what came of an agent. Where something of it cannot be folded, it is folded one by
    /// one, and that is left out.
    async fn fold_agent(
        &mut self,
        collector: &Arc<Collector>,
        book: &Arc<Book>,
        agent: Kid,
    ) -> Result<Folded, Fault> {
        let now = self.clock.now().wall;
        for at_most in [agent_state::AT_ONCE, 1] {
            match self.fold_some(collector, book, agent, at_most).await? {
                Ok(folded) => return Ok(folded),
                Err(why) => tracing::warn!(%agent, at_most, "what came cannot be folded: {why}"),
            }
        }
        let why = "it cannot be folded into what was measured";
        let left_out = move |archive: &Archive| {
            let chains = archive.unfolded_of(agent, CHAINS)?;
            let Some((chain, seq)) = agent_state::first(archive, &chains)? else {
                return Ok(false);
            };
            archive.quarantine((agent, chain), seq, why, now)?;
            Ok(true)
        };
        if collector.try_change(left_out).await? == Ok(true) {
            return Ok(Folded { count: 0, goes_on: true });
        }
        let detail = format!(
            "nothing of what agent {agent} measured can be taken in; it is tried again every hour"
        );
        let finding = Finding {
            kind: FindingKind::Quarantined,
            subject: agent.to_string(),
            site: None,
            detail,
        };
        collector
            .change(move |archive| troubles::put(archive, &troubles::of_agent(agent), finding, now))
            .await?;
        Ok(Folded::default())
    }

    async fn fold_some(
        &mut self,
        collector: &Arc<Collector>,
        book: &Arc<Book>,
        agent: Kid,
        at_most: u32,
    ) -> Result<Result<Folded, String>, Fault> {
        let now = self.clock.now().wall;
        // The only one that knows it: it is changed where it is, and comes back.
        drop(self.know(collector, now).await?);
        let (Some(mut fleet), book) = (self.fleet.take(), Arc::clone(book)) else {
            return Ok(Ok(Folded::default()));
        };
        let late_after = collector.config().evidence.late_after;
        let read = move |archive: &Archive| {
            let chains = archive.unfolded_of(agent, CHAINS)?;
            let news = match agent_state::gather_some(archive, &chains, at_most, (now, late_after))
            {
                Ok(news) => news,
                Err(error) if error.is_of_a_row() => return Ok((fleet, Err(error.to_string()))),
                Err(error) => return Err(error),
            };
            let news = news.map(|news| {
                let mut all = Vec::new();
                if news.count > 0 {
                    Arc::make_mut(&mut fleet).put(news.agent, news.state.clone());
                    all = touched(&book, &fleet, &news);
                }
                (news, all)
            });
            Ok((fleet, Ok(news)))
        };
        let (fleet, news) = match collector.try_read(read).await? {
            Ok(read) => read,
            Err(why) => return Ok(Err(why)),
        };
        let (news, touched) = match news {
            Ok(Some(news)) => news,
            Ok(None) => {
                self.fleet = Some(fleet);
                return Ok(Ok(Folded::default()));
            }
            Err(why) => {
                self.fleet = Some(fleet);
                return Ok(Err(why));
            }
        };
        let folded = Folded { count: news.count, goes_on: news.goes_on() };
        let write = move |archive: &Archive| {
            if agent_state::write(archive, &news, now)? {
                let mut all = touched.iter();
                all.try_for_each(|(contract, service, month)| {
                    mark(archive, contract, service, month, now)
                })?;
                troubles::clear(archive, &troubles::of_agent(agent))?;
            }
            Ok(())
        };
        Ok(match collector.try_change(write).await? {
            Ok(()) => {
                self.fleet = Some(fleet);
                Ok(folded)
            }
            // What was entered is not stored: it is read again.
            Err(why) => Err(why),
        })
    }

    /// What the clock alone changes: periods that ended since they were judged, services that
    /// nothing was judged of yet.
    async fn sweep(&self, collector: &Arc<Collector>, now: Wall) -> Result<(), Fault> {
        let book = collector.book().await?;
        let cases = collector
            .read(move |archive| {
                let mut cases = BTreeSet::new();
                for (agreed, contract) in book.in_force(now) {
                    let this = Every::Month.holding(contract.agreement.timezone.day(now));
                    for month in [this.before(1), this] {
                        let span = Stretch::holding(
                            Every::Month,
                            month.last(),
                            &contract.agreement.timezone,
                        )
                        .span;
                        for service in &contract.services {
                            let id = id_of(month, &agreed.kept.id, &service.id);
                            let kept = archive.sound_record::<Ended>(Kind::Verdict, &id)?;
                            let over = now >= span.to + SETTLED;
                            let stale = match kept {
                                None => {
                                    service.in_service_from < span.to
                                        && agreed.holds(span.from.max(agreed_from(agreed)))
                                }
                                // One of an earlier version of this program does not say what it
                                // rests on.
                                Some(kept) => (over && !kept.ended) || !rests(archive, &id)?,
                            };
                            if stale {
                                let (contract, service) =
                                    (agreed.kept.id.clone(), service.id.clone());
                                cases.insert((contract, service, month.to_string()));
                            }
                        }
                    }
                }
                Ok(cases)
            })
            .await?;
        let write = move |archive: &Archive| {
            let mut all = cases.iter();
            all.try_for_each(|(contract, service, month)| {
                mark(archive, contract, service, month, now)
            })?;
            removed_months::look(archive, now)?;
            claims::lapse(archive, now)
        };
        collector.change(write).await
    }

    /// Judges, and follows claims and rights. What cannot be judged, or not in time, is said, stays
    /// marked, and is tried again later.
    async fn judge(
        &mut self,
        collector: &Arc<Collector>,
        now: Wall,
        did: &mut Did,
    ) -> Result<(), Fault> {
        let (marked, more) = collector.read(move |archive| Ok(due(archive, now)?)).await?;
        did.more |= more;
        if marked.is_empty() {
            return Ok(());
        }
        let book = collector.book().await?;
        for record in marked {
            let fleet = self.know(collector, now).await?;
            did.judged += u64::from(judge_one(collector, &book, fleet, record, now).await?);
            if collector.is_stopping() || !self.holds_on(collector).await? {
                return Ok(());
            }
        }
        Ok(())
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

/// What was folded of an agent.
#[derive(Clone, Copy, Debug, Default)]
struct Folded {
    count: u64,
    goes_on: bool,
}

/// What is to be judged now, and whether there is more: what nothing kept from being judged comes
/// first, and of what something did, one, if its time has come. What is marked for no month that
/// can be judged is left out.
fn due(archive: &Archive, now: Wall) -> Result<(Vec<Record<Case>>, bool), ArchiveError> {
    let troubles = troubles::all(archive)?;
    let (mut fresh, mut tried): (Vec<Record<Case>>, Option<Record<Case>>) = (Vec::new(), None);
    let mut after: Option<String> = None;
    while fresh.len() < CASES as usize {
        let page = Page { prefix: "", after: after.as_deref(), limit: Some(CASES) };
        let all = archive.sound_records::<Case>(Kind::Dirty, page)?;
        let Some(last) = all.last().map(|record| record.id.clone()) else { break };
        for Record { id, body } in all {
            let trouble =
                troubles.get(&troubles::of_service(&body.contract, &body.service, &body.period));
            let record = Record { id, body };
            match trouble {
                None => fresh.push(record),
                Some(trouble) if tried.is_none() && !trouble.waits(now) => tried = Some(record),
                Some(_) => {}
            }
        }
        after = Some(last);
    }
    let more = fresh.len() >= CASES as usize;
    fresh.extend(tried);
    Ok((fresh, more))
}

/// What came of one that was to be judged.
enum Judged {
    /// There is a verdict, and why it may undermine a frozen one; or there is none to be had.
    Done(Option<Box<(String, Judgement, Option<String>)>>),
    /// It took longer than it may.
    TooLong,
}

/// Judges one service in one period, in the time that it may take; true when there is a new
/// verdict.
async fn judge_one(
    collector: &Arc<Collector>,
    book: &Arc<Book>,
    fleet: Arc<Fleet>,
    record: Record<Case>,
    now: Wall,
) -> Result<bool, Fault> {
    let limit = collector.config().limits.judging;
    let (ending, case, terms) = (Arc::clone(collector), record.body.clone(), Arc::clone(book));
    let judged = collector
        .try_read(move |archive| {
            let Some(month) =
                case.period.parse::<Period>().ok().filter(|month| has_begun(*month, now))
            else {
                return Ok(Judged::Done(None));
            };
            let id = id_of(month, &case.contract, &case.service);
            let frozen = case.asked == Asked::Nothing && is_frozen(archive, &id)?;
            if frozen && case.why.is_none() {
                return Ok(Judged::Done(None));
            }
            let began = Instant::now();
            let is_enough = || began.elapsed() >= limit || ending.is_stopping();
            let effort = Effort::until(&is_enough);
            let evaluator = Evaluator { archive, book: &terms, fleet: &fleet };
            let judged =
                evaluator.judge_within(&case.contract, &case.service, month, now, &effort)?;
            // What is not judged to its end is nothing.
            Ok(if effort.is_spent() {
                Judged::TooLong
            } else {
                Judged::Done(
                    judged.map(|judged| Box::new((id, judged, case.why.filter(|_| frozen)))),
                )
            })
        })
        .await?;
    if collector.is_stopping() {
        return Ok(false);
    }
    let Case { contract, service, period, .. } = record.body.clone();
    let trouble = troubles::of_service(&contract, &service, &period);
    let why = match judged {
        Ok(Judged::Done(judged)) => {
            let (book, id, is_new) = (Arc::clone(book), trouble.clone(), judged.is_some());
            let write = move |archive: &Archive| {
                match judged.as_deref() {
                    Some((id, judged, Some(why))) => {
                        amend::undermine(archive, id, judged, why, now)?
                    }
                    Some((id, judged, None)) => write_judged(archive, &book, id, judged, now)?,
                    None => {}
                }
                troubles::clear(archive, &id)?;
                // What was marked again meanwhile stays.
                archive.drop_record_as(Kind::Dirty, &record.id, &record.body)
            };
            match collector.try_change(write).await? {
                Ok(()) => return Ok(is_new),
                Err(why) => why,
            }
        }
        Ok(Judged::TooLong) => format!(
            "it took longer than {}, and was given up: what agents measured of it is more than \
                can be, or its facts and \
             exclusions are; [limits] judging says how long it may take",
            format_duration(limit)
        ),
        Err(why) => why,
    };
    let subject = format!("{contract}/{service}/{period}");
    let detail = format!(
        "{service} cannot be judged in {period}: {why}; its last verdict stands, and it is tried \
            again every hour"
    );
    let finding = Finding { kind: FindingKind::NotJudged, subject, site: None, detail };
    collector.change(move |archive| troubles::put(archive, &trouble, finding, now)).await?;
    Ok(false)
}

/// Whether a month has begun somewhere on earth, or is about to: what is marked for a later one was
/// marked by a clock that was wrong.
fn has_begun(month: Period, now: Wall) -> bool {
    let utc = crate::sla::calendar::Zone::get("UTC");
    utc.is_some_and(|utc| month.first(1) <= utc.day(now).plus(3))
}

/// Whether it is kept what a verdict rests on.
fn rests(archive: &Archive, id: &str) -> Result<bool, ArchiveError> {
    Ok(archive.record::<serde::de::IgnoredAny>(Kind::Grounds, id)?.is_some())
}

/// What news of an agent touch: contract, service and month.
fn touched(book: &Book, fleet: &Fleet, news: &agent_state::News) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for contract in book.all.iter().filter_map(|agreed| agreed.contract.as_ref().ok()) {
        let months = months_in(contract, &news.spans);
        let all_spans = news.spans.iter().fold(None, |all: Option<Span>, span| {
            Some(all.map_or(*span, |all| Span::new(all.from.min(span.from), all.to.max(span.to))))
        });
        let Some(whole) = all_spans else { return Vec::new() };
        for service in fleet.services_of(news.agent, contract, whole) {
            let months = months.iter();
            all.extend(
                months
                    .map(|month| (contract.id().to_owned(), service.to_owned(), month.to_string())),
            );
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn agreed_from(agreed: &crate::collector::operations::agreements::Agreed) -> Wall {
    agreed.in_force.map_or(Wall::default(), |(from, _)| from)
}

/// The months of a contract that what was measured in a span says something of: those that it
/// touches, and the one that ended so shortly before that an outage over its end is still told of;
/// none after the calendar's end.
pub(super) fn months(contract: &crate::sla::Contract, span: Span) -> BTreeSet<Period> {
    let zone = &contract.agreement.timezone;
    let (mut month, last) = (
        Every::Month.holding(zone.day(span.from - AROUND)),
        Every::Month.holding(zone.day(span.to.shifted(-1))),
    );
    let mut all: BTreeSet<Period> = [month].into();
    while month.last() < last.last() {
        month = Every::Month.holding(month.last().plus(1));
        if !all.insert(month) {
            break;
        }
    }
    all
}

/// The same of some spans, each no longer than an hour.
fn months_in(contract: &crate::sla::Contract, spans: &BTreeSet<Span>) -> BTreeSet<Period> {
    let zone = &contract.agreement.timezone;
    let ends = spans
        .iter()
        .flat_map(|span| [span.from - AROUND, span.from, span.to.shifted(-1).max(span.from)]);
    ends.map(|at| Every::Month.holding(zone.day(at))).collect()
}

/// Whether late data is no longer taken for a verdict.
///
/// # Errors
/// When the database fails.
pub(super) fn is_frozen(archive: &Archive, id: &str) -> Result<bool, ArchiveError> {
    Ok(matches!(period_log(archive, id)?.state(), PeriodState::Frozen | PeriodState::Final))
}

/// The log of a verdict's period.
///
/// # Errors
/// When the database fails.
pub fn period_log(archive: &Archive, id: &str) -> Result<Log<ObjectivePeriod>, ArchiveError> {
    let entries: Vec<Entry> = archive.log(Kind::Period, id)?;
    Log::replay(entries)
        .map_err(|refused| ArchiveError::Damaged(format!("the log of {id}: {refused}")))
}

fn write_judged(
    archive: &Archive,
    book: &Book,
    id: &str,
    judged: &Judgement,
    now: Wall,
) -> Result<(), ArchiveError> {
    if let Some(why) = &judged.gone {
        return removed_months::keep(archive, id, judged, why, now);
    }
    let before = archive
        .sound_record::<Judgement>(Kind::Verdict, id)?
        .map(|kept| kept.report.as_ref().map(outcome));
    archive.put_record(Kind::Verdict, id, judged, now)?;
    archive.put_record(Kind::Grounds, id, &judged.grounds, now)?;
    if before.is_some_and(|before| before != judged.report.as_ref().map(outcome)) {
        mark_later(archive, judged, now)?;
    }
    archive.put_record(Kind::Histograms, id, &judged.histograms, now)?;
    if period_log(archive, id)?.state() == PeriodState::Open {
        let entry = Entry {
            action: "judge".to_owned(),
            at: now,
            recorded: now,
            who: "the collector's clock".to_owned(),
            evidence: None,
            said: None,
        };
        archive.append(Kind::Period, id, &entry, now)?;
    }
    let version = book.version(&judged.contract, judged.version);
    match version.and_then(|agreed| agreed.contract.as_ref().ok()) {
        Some(contract) => claims::follow(archive, contract, judged, now),
        None => Ok(()),
    }
}

/// What a month's verdict says may change those of the months after it: caps, rising credits and
/// rights look back.
fn mark_later(archive: &Archive, judged: &Judgement, now: Wall) -> Result<(), ArchiveError> {
    let Ok(mut month) = judged.period.parse::<Period>() else { return Ok(()) };
    for _ in 0..LATER {
        month = month.every(1).holding(month.last().plus(1));
        let id = id_of(month, &judged.contract, &judged.service);
        if archive.sound_record::<Ended>(Kind::Verdict, &id)?.is_some() {
            mark(archive, &judged.contract, &judged.service, &month.to_string(), now)?;
        }
    }
    Ok(())
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
        self.read(move |archive| Ok(findings(archive, &config, now)?)).await
    }
}

/// What is missing or wrong, by what the database says now.
///
/// # Errors
/// When the database fails.
pub fn findings(
    archive: &Archive,
    config: &CollectorConfig,
    now: Wall,
) -> Result<Vec<Finding>, ArchiveError> {
    let book = Book::load(archive, config.contracts_dir.as_deref())?;
    let agents = fleet::all(archive, config.alerts.silent_after, now)?;
    let fleet = Fleet::load(archive)?;
    let verdicts = recent(archive, now)?;
    let claims = claims::all(archive, Page::default(), now)?;
    let rights = claims::rights(archive, Page::default(), now)?;
    let duties = claims::duties(&verdicts, now);
    let salvaged = match &config.database {
        // It is over once the damaged file was moved away.
        Database::Sqlite(path) => {
            salvage::last(archive)?.filter(|last| salvage::file_of(last, path).is_some())
        }
        Database::Postgres(_) => None,
    };
    let listening = alerts::delivery::listening(&config.alerts).into_iter();
    let receivers: Result<Vec<_>, ArchiveError> =
        listening.map(|whom| Ok((whom, alerts::receiver(archive, whom)?))).collect();
    let undermined = amend::undermined(archive)?;
    let mut found = findings::find(&Look {
        agents: &agents,
        fleet: &fleet,
        book: &book,
        verdicts: &verdicts,
        claims: &claims,
        rights: &rights,
        duties: &duties,
        receivers: &receivers?,
        salvaged: salvaged.as_ref(),
        undermined: &undermined,
        left_behind: &left_behind::all(archive, &agents)?,
        late: &late::all(archive)?,
        near_days: i64::from(config.alerts.claim_days),
        now,
    });
    found.extend(troubles::findings(archive, &agents, &fleet, now)?);
    found.extend(repair::clock_is_behind(archive, now)?);
    found.sort_by(|one, two| (one.kind, &one.subject).cmp(&(two.kind, &two.subject)));
    found.dedup_by(|one, two| (one.kind, &one.subject) == (two.kind, &two.subject));
    Ok(found)
}

/// The verdicts of this month and the one before, in UTC, and of the one after where it has begun
/// somewhere.
fn recent(archive: &Archive, now: Wall) -> Result<Vec<Judgement>, ArchiveError> {
    let Some(utc) = crate::sla::calendar::Zone::get("UTC") else { return Ok(Vec::new()) };
    let this = Every::Month.holding(utc.day(now));
    let next = Every::Month.holding(this.last().plus(1));
    let mut all = Vec::new();
    for month in [this.before(1), this, next] {
        let prefix = format!("{month}/");
        let own = archive.sound_records::<Judgement>(Kind::Verdict, Page::of(&prefix))?;
        all.extend(own.into_iter().map(|record| record.body));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    /// A verdict of a month, with a step of its arithmetic.
    fn judged(period: &str, result: &str, credit: &str, step: &str) -> Judgement {
        let objective = json!({"id": "avail", "result": result, "actual": null, "target": "99.9", "coverage": "100", "credit": credit,
            "steps": [step]});
        let report = json!({"contract": "T", "version": 1, "service": "s", "period": period, "objectives": [objective], "credit": credit,
            "currency": "GBP", "claim": {"by": null, "ticket_by": null, "lapsed": false}, "terminations": [], "duties": []});
        Judgement {
            contract: "T".to_owned(),
            version: 1,
            level: "service".to_owned(),
            provider: "P".to_owned(),
            customer: "C".to_owned(),
            measured_by: "joint".to_owned(),
            service: "s".to_owned(),
            site: "x".to_owned(),
            period: period.to_owned(),
            as_of: Wall::default(),
            ended: true,
            report: serde_json::from_value(report).unwrap(),
            by_provider: None,
            letter: None,
            outages: Vec::new(),
            agents: Vec::new(),
            witnesses: Vec::new(),
            differs: Vec::new(),
            histograms: BTreeMap::new(),
            faults: Vec::new(),
            gone: None,
            grounds: crate::collector::verdicts::Grounds::default(),
        }
    }

    #[test]
    fn a_month_whose_outcome_changes_has_the_later_judged_ones_judged_again_and_no_others() {
        let at = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap();
        let mut write = |judged: &Judgement| -> Vec<String> {
            let marked = archive.write(|archive| {
                let id = id_of(judged.period.parse().unwrap(), "T", "s");
                write_judged(
                    archive,
                    &Book::default(),
                    &id,
                    judged,
                    Wall::from_secs(1_800_000_000),
                )?;
                let marked = archive.records::<Case>(Kind::Dirty, Page::default())?;
                for record in &marked {
                    archive.drop_record_as(Kind::Dirty, &record.id, &record.body)?;
                }
                Ok::<_, ArchiveError>(marked)
            });
            marked.unwrap().into_iter().map(|record| record.body.period).collect()
        };
        // Nobody ever judged December.
        for month in ["2026-09", "2026-11", "2027-01", "2027-11", "2026-10"] {
            assert_eq!(
                write(&judged(month, "met", "0.00", "one")),
                [""; 0],
                "{month} is judged for the first time"
            );
        }
        assert_eq!(
            write(&judged("2026-10", "met", "0.00", "another")),
            [""; 0],
            "no later month needs its arithmetic"
        );
        assert_eq!(write(&judged("2026-10", "breached", "0.00", "one")), ["2026-11", "2027-01"]);
        assert_eq!(write(&judged("2026-10", "breached", "5.00", "one")), ["2026-11", "2027-01"]);
        assert_eq!(write(&judged("2026-10", "breached", "5.00", "one")), [""; 0]);
    }
}
