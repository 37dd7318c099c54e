//! The collector's rounds: what came is folded, what it touches is judged anew, claims and rights are followed, what is missing is
//! looked for, and who listens is told. One replica at a time goes round; the others take over when it stops. A round that is
//! broken off loses nothing: each step is a transaction, and the next round goes on from what is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::collector::alerts::Setting;
use crate::collector::archive::folds::Progress;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError, salvage};
use crate::collector::desk::agreements::Book;
use crate::collector::desk::{claims, key};
use crate::collector::missing::{Finding, Look};
use crate::collector::verdicts::{Bench, Fleet, Judgement, SETTLED, id_of, outcome};
use crate::collector::{Collector, Fault, alerts, amend, fleet, missing, statement};
use crate::config::collector::{CollectorConfig, Database};
use crate::evidence::base64url;
use crate::sla::calendar::{Every, Period, Stretch};
use crate::sla::lifecycle::{Entry, Log, ObjectivePeriod, PeriodState};

/// So long it is waited between two rounds when nothing is left to do.
const PAUSE: Duration = Duration::from_secs(1);
/// So many chains are looked at in a round.
const CHAINS: u32 = 256;
/// So many services are judged in a round.
const CASES: u32 = 256;
/// So many months after one whose verdict changed are judged again.
const LATER: usize = 12;
/// A replica that goes round is believed to for so long without a sign.
const LEASE: Duration = Duration::from_secs(60);
/// While others wait for a processor, so much longer than it works it leaves it to them.
const YIELD: u32 = 4;
/// How often it is looked for what is missing.
const LOOK: Duration = Duration::from_secs(5);
/// And no more of the time is spent on that than one part in so many.
const LOOKING: u32 = 50;
/// How often it is looked for what the clock alone changes: periods that ended, services of which nothing came.
const SWEEP: Duration = Duration::from_secs(300);

mod amending;

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
}

/// Says that a service in a period has to be judged again, by whoever goes round next.
///
/// # Errors
/// When the database fails.
pub fn mark(archive: &Archive, contract: &str, service: &str, period: &str, now: Wall) -> Result<(), ArchiveError> {
    let id = key(&[contract, service, period]);
    // Why it was said before is not forgotten.
    let why = archive.record::<Case>(Kind::Dirty, &id)?.and_then(|case| case.why);
    put_case(archive, (contract, service, period), why, now)
}

/// As [`mark`], for what a hand changed: where the verdict is frozen, it stays, and is told of.
///
/// # Errors
/// When the database fails.
pub fn mark_because(archive: &Archive, of: (&str, &str, &str), why: &str, now: Wall) -> Result<(), ArchiveError> {
    put_case(archive, of, Some(why.to_owned()), now)
}

fn put_case(archive: &Archive, of: (&str, &str, &str), why: Option<String>, now: Wall) -> Result<(), ArchiveError> {
    let (contract, service, period) = of;
    let id = key(&[contract, service, period]);
    let of = |part: &str| part.to_owned();
    let case = Case { contract: of(contract), service: of(service), period: of(period), marked: now, why };
    archive.put_record(Kind::Dirty, &id, &case, now)
}

/// Says that a service has to be judged again in every month of the last thirteen that it was judged in, and in this one.
///
/// # Errors
/// When the database fails.
pub fn mark_all(archive: &Archive, contract: &str, service: &str, now: Wall) -> Result<(), ArchiveError> {
    let Some(utc) = crate::sla::calendar::Zone::get("UTC") else { return Ok(()) };
    let mut month = Every::Month.holding(utc.day(now + Duration::from_secs(86_400)));
    for number in 0..14 {
        let judged = archive.record::<serde_json::Value>(Kind::Verdict, &id_of(month, contract, service))?.is_some();
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
#[derive(Debug)]
pub struct Rounds {
    holder: String,
    fleet: Option<Arc<Fleet>>,
    looked: Option<Wall>,
    look_again: Duration,
    swept: Option<Wall>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { holder: holder(), fleet: None, looked: None, look_again: LOOK, swept: None }
    }
}

/// A name by which a replica holds a lease.
pub(super) fn holder() -> String {
    let mut bytes = [0; 12];
    // Where the system gives no random numbers there is nothing to tell replicas apart by but the process.
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

/// Goes round until the collector stops; the round that is under way then ends at its next step.
pub async fn run(collector: Arc<Collector>, mut stop: watch::Receiver<bool>) {
    let mut rounds = Rounds::default();
    while !*stop.borrow() {
        let pause = match rounds.go(&collector).await {
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

impl Rounds {
    /// One round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn go(&mut self, collector: &Arc<Collector>) -> Result<Did, Fault> {
        if !self.lease(collector).await? {
            return Ok(Did::default());
        }
        let now = SystemClock.now().wall;
        if self.fleet.is_none() {
            self.fleet = Some(collector.read(|archive| Ok(Arc::new(Fleet::load(archive)?))).await?);
        }
        self.enter_register(collector).await?;
        let mut did = Did::default();
        self.fold(collector, &mut did).await?;
        // Much may have come, and the lease be near its end.
        if !self.lease(collector).await? {
            return Ok(did);
        }
        let due = |last: Option<Wall>, every: Duration| last.is_none_or(|last| now >= last + every || now < last);
        if !did.more {
            self.amend(collector, now, &mut did).await?;
        }
        if due(self.swept, SWEEP) {
            self.sweep(collector, now).await?;
            self.swept = Some(now);
        }
        self.judge(collector, now, &mut did).await?;
        if due(self.looked, self.look_again) && !did.more {
            let began = std::time::Instant::now();
            self.look(collector, now).await?;
            self.looked = Some(now);
            self.look_again = LOOK.max(began.elapsed() * LOOKING);
            collector.pulse.looked(SystemClock.now().mono, self.look_again);
        }
        collector.metrics.round(&did, now);
        collector.pulse.round(SystemClock.now().mono);
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
        let (holder, now) = (self.holder.clone(), SystemClock.now().wall);
        let leased = collector.change(move |archive| archive.lease("rounds", &holder, now + LEASE, now)).await?;
        if !leased {
            // Whoever goes round now changes what is known here.
            self.fleet = None;
            collector.pulse.gone();
        }
        Ok(leased)
    }

    /// Holds the lease while something takes long.
    async fn lease_on(&self, collector: &Arc<Collector>) -> Result<(), Fault> {
        let (holder, now) = (self.holder.clone(), SystemClock.now().wall);
        collector.change(move |archive| archive.lease("rounds", &holder, now + LEASE, now)).await.map(drop)
    }

    /// Folds what came, and marks in the same transaction what has to be judged for it.
    async fn fold(&mut self, collector: &Arc<Collector>, did: &mut Did) -> Result<(), Fault> {
        let chains = collector.read(|archive| Ok(archive.unfolded(CHAINS)?)).await?;
        if chains.is_empty() {
            return Ok(());
        }
        did.more = chains.len() >= CHAINS as usize;
        let book = collector.book().await?;
        let mut rest = chains.as_slice();
        while let Some(first) = rest.first() {
            let own = rest.iter().take_while(|chain| chain.agent == first.agent).count();
            let (these, others) = rest.split_at(own);
            rest = others;
            // The last agent's chains may be cut off by the limit: they are all there in the next round.
            if rest.is_empty() && did.more && own < chains.len() {
                break;
            }
            let these: Vec<Progress> = these.to_vec();
            let began = std::time::Instant::now();
            let news = collector.read(move |archive| Ok(statement::gather(archive, &these)?)).await?;
            let Some(news) = news else { continue };
            let now = SystemClock.now().wall;
            let touched = match &mut self.fleet {
                Some(fleet) if news.count > 0 => {
                    Arc::make_mut(fleet).put(news.agent, news.statement.clone());
                    touched(&book, fleet, &news)
                }
                _ => Vec::new(),
            };
            (did.folded, did.more) = (did.folded + news.count, did.more | news.goes_on());
            let write = move |archive: &Archive| {
                if statement::write(archive, &news, now)? {
                    let mut all = touched.iter();
                    all.try_for_each(|(contract, service, month)| mark(archive, contract, service, month, now))?;
                }
                Ok(())
            };
            collector.change(write).await?;
            if collector.is_busy() {
                // Who ships is answered first: what waits to be judged waits a little longer.
                tokio::time::sleep(began.elapsed() * YIELD).await;
            }
        }
        Ok(())
    }

    /// What the clock alone changes: periods that ended since they were judged, services that nothing was judged of yet.
    async fn sweep(&self, collector: &Arc<Collector>, now: Wall) -> Result<(), Fault> {
        let book = collector.book().await?;
        let cases = collector
            .read(move |archive| {
                let mut cases = BTreeSet::new();
                for (agreed, contract) in book.in_force(now) {
                    let this = Every::Month.holding(contract.agreement.timezone.day(now));
                    for month in [this.before(1), this] {
                        let span = Stretch::holding(Every::Month, month.last(), &contract.agreement.timezone).span;
                        for service in &contract.services {
                            let id = id_of(month, &agreed.kept.id, &service.id);
                            let kept = archive.record::<Ended>(Kind::Verdict, &id)?;
                            let over = now >= span.to + SETTLED;
                            let stale = match kept {
                                None => {
                                    service.in_service_from < span.to
                                        && agreed.holds(span.from.max(agreed_from(agreed)))
                                }
                                Some(kept) => over && !kept.ended,
                            };
                            if stale {
                                let (contract, service) = (agreed.kept.id.clone(), service.id.clone());
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
            all.try_for_each(|(contract, service, month)| mark(archive, contract, service, month, now))?;
            claims::lapse(archive, now)
        };
        collector.change(write).await
    }

    /// Judges, and follows claims and rights.
    async fn judge(&self, collector: &Arc<Collector>, now: Wall, did: &mut Did) -> Result<(), Fault> {
        let page = Page { limit: Some(CASES), ..Page::default() };
        let marked = collector.read(move |archive| Ok(archive.records::<Case>(Kind::Dirty, page)?)).await?;
        if marked.is_empty() {
            return Ok(());
        }
        did.more |= marked.len() >= CASES as usize;
        let (book, fleet) = (collector.book().await?, self.fleet.clone().unwrap_or_default());
        for record in marked {
            let (book, fleet, case) = (Arc::clone(&book), Arc::clone(&fleet), record.body.clone());
            let judged = collector
                .read(move |archive| {
                    let Ok(month) = case.period.parse::<Period>() else { return Ok(None) };
                    let id = id_of(month, &case.contract, &case.service);
                    let frozen = is_frozen(archive, &id)?;
                    if frozen && case.why.is_none() {
                        return Ok(None);
                    }
                    let bench = Bench { archive, book: &book, fleet: &fleet };
                    let judged = bench.judge(&case.contract, &case.service, month, now)?;
                    Ok(judged.map(|judged| (id, book, judged, case.why.filter(|_| frozen))))
                })
                .await?;
            did.judged += u64::from(judged.is_some());
            let write = move |archive: &Archive| {
                match &judged {
                    Some((id, _, judged, Some(why))) => amend::undermine(archive, id, judged, why, now)?,
                    Some((id, book, judged, None)) => write_judged(archive, book, id, judged, now)?,
                    None => {}
                }
                // What was marked again meanwhile stays.
                archive.drop_record_as(Kind::Dirty, &record.id, &record.body)
            };
            collector.change(write).await?;
        }
        Ok(())
    }

    /// Looks for what is missing, and writes down what began and ended; who listens is told apart from this.
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

/// What news of an agent touch: contract, service and month.
fn touched(book: &Book, fleet: &Fleet, news: &statement::News) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for contract in book.all.iter().filter_map(|agreed| agreed.contract.as_ref().ok()) {
        for service in fleet.services_of(news.agent, contract, news.span) {
            let months = months(contract, news.span).into_iter();
            all.extend(months.map(|month| (contract.id().to_owned(), service.to_owned(), month.to_string())));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn agreed_from(agreed: &crate::collector::desk::agreements::Agreed) -> Wall {
    agreed.in_force.map_or(Wall::default(), |(from, _)| from)
}

/// The months of a contract that a span touches.
pub(super) fn months(contract: &crate::sla::Contract, span: crate::sla::span::Span) -> BTreeSet<Period> {
    let zone = &contract.agreement.timezone;
    let (mut month, last) =
        (Every::Month.holding(zone.day(span.from)), Every::Month.holding(zone.day(span.to.shifted(-1))));
    let mut all: BTreeSet<Period> = [month].into();
    while month.last() < last.last() {
        month = Every::Month.holding(month.last().plus(1));
        all.insert(month);
    }
    all
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
    Log::replay(entries).map_err(|refused| ArchiveError::Damaged(format!("the log of {id}: {refused}")))
}

fn write_judged(archive: &Archive, book: &Book, id: &str, judged: &Judgement, now: Wall) -> Result<(), ArchiveError> {
    let before = archive.record::<Outcome>(Kind::Verdict, id)?.map(|kept| outcome(&kept.report));
    archive.put_record(Kind::Verdict, id, judged, now)?;
    if before.is_some_and(|before| before != outcome(&judged.report)) {
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

/// A verdict, as far as later periods may need it.
#[derive(Deserialize)]
struct Outcome {
    report: serde_json::Value,
}

/// What a month's verdict says may change those of the months after it: caps, rising credits and rights look back.
fn mark_later(archive: &Archive, judged: &Judgement, now: Wall) -> Result<(), ArchiveError> {
    let Ok(mut month) = judged.period.parse::<Period>() else { return Ok(()) };
    for _ in 0..LATER {
        month = month.every(1).holding(month.last().plus(1));
        let id = id_of(month, &judged.contract, &judged.service);
        if archive.record::<Ended>(Kind::Verdict, &id)?.is_some() {
            mark(archive, &judged.contract, &judged.service, &month.to_string(), now)?;
        }
    }
    Ok(())
}

impl Collector {
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
pub fn findings(archive: &Archive, config: &CollectorConfig, now: Wall) -> Result<Vec<Finding>, ArchiveError> {
    let book = Book::load(archive, config.contracts_dir.as_deref())?;
    let agents = fleet::all(archive, config.alerts.silent_after, now)?;
    let fleet = Fleet::load(archive)?;
    let verdicts = recent(archive, now)?;
    let claims = claims::all(archive, Page::default(), now)?;
    let rights = claims::rights(archive, Page::default(), now)?;
    let duties = claims::duties(&verdicts, now);
    let salvaged = match &config.database {
        // It is over once the damaged file was moved away.
        Database::Sqlite(path) => salvage::last(archive)?.filter(|last| salvage::file_of(last, path).is_some()),
        Database::Postgres(_) => None,
    };
    let listening = alerts::telling::listening(&config.alerts).into_iter();
    let receivers: Result<Vec<_>, ArchiveError> =
        listening.map(|whom| Ok((whom, alerts::receiver(archive, whom)?))).collect();
    let undermined = amend::undermined(archive)?;
    Ok(missing::find(&Look {
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
        near_days: i64::from(config.alerts.claim_days),
        now,
    }))
}

/// The verdicts of this month and the one before, in UTC, and of the one after where it has begun somewhere.
fn recent(archive: &Archive, now: Wall) -> Result<Vec<Judgement>, ArchiveError> {
    let Some(utc) = crate::sla::calendar::Zone::get("UTC") else { return Ok(Vec::new()) };
    let this = Every::Month.holding(utc.day(now));
    let next = Every::Month.holding(this.last().plus(1));
    let mut all = Vec::new();
    for month in [this.before(1), this, next] {
        let prefix = format!("{month}/");
        all.extend(
            archive.records::<Judgement>(Kind::Verdict, Page::of(&prefix))?.into_iter().map(|record| record.body),
        );
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
        let objective = json!({"id": "avail", "result": result, "period": null, "credit": credit, "steps": [step]});
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
            report: json!({"objectives": [objective], "credit": credit, "currency": "GBP"}),
            by_provider: None,
            letter: None,
            outages: Vec::new(),
            agents: Vec::new(),
            witnesses: Vec::new(),
            differs: Vec::new(),
            histograms: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn a_month_whose_outcome_changes_has_the_later_judged_ones_judged_again_and_no_others() {
        let at = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap();
        let mut write = |judged: &Judgement| -> Vec<String> {
            let marked = archive.write(|archive| {
                let id = id_of(judged.period.parse().unwrap(), "T", "s");
                write_judged(archive, &Book::default(), &id, judged, Wall::from_secs(1_800_000_000))?;
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
            assert_eq!(write(&judged(month, "met", "0.00", "one")), [""; 0], "{month} is judged for the first time");
        }
        assert_eq!(write(&judged("2026-10", "met", "0.00", "another")), [""; 0], "no later month needs its arithmetic");
        assert_eq!(write(&judged("2026-10", "breached", "0.00", "one")), ["2026-11", "2027-01"]);
        assert_eq!(write(&judged("2026-10", "breached", "5.00", "one")), ["2026-11", "2027-01"]);
        assert_eq!(write(&judged("2026-10", "breached", "5.00", "one")), [""; 0]);
    }
}
