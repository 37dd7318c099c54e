//! What the edge database says of a contract's services: stored minutes and outages, judged by the
//! contract.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::evidence::summary::VerdictPart;
use crate::measure::interval::Interval;
use crate::sla;
use crate::sla::calendar::{Every, Period};
use crate::sla::contract::{self, Written};
use crate::sla::evaluate::{Earlier, Evaluated, EvaluationRequest, Measurements};
use crate::sla::facts::Facts;
use crate::sla::fault::Fault;
use crate::sla::judge::{self, InForce};
use crate::sla::observed::{Seen, is_cut};
use crate::sla::report::Report;
use crate::sla::span::Span;
use crate::sla::terms::{Contract, Side};
use crate::store::contracts::ContractFile;
use crate::store::outages::Outage;
use crate::store::{Store, StoreError};

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The contract or the facts.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

/// A contract and those of its services that are measured here.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The version that is in force now.
    pub contract: Contract,
    /// Every version that is known, this one among them, and when each was in force.
    pub versions: Vec<InForce>,
    /// The services.
    pub services: Vec<String>,
}

impl Judged {
    /// A contract that judges all that is stored, whatever other versions say.
    #[must_use]
    pub fn alone(contract: Contract, services: Vec<String>) -> Self {
        Self { versions: vec![InForce::alone(contract.clone())], contract, services }
    }

    /// A contract with other versions of it, each for the time in which it was in force.
    #[must_use]
    pub fn among(contract: Contract, mut others: Vec<Contract>, services: Vec<String>) -> Self {
        others.retain(|other| other.agreement.version != contract.agreement.version);
        others.push(contract.clone());
        Self { contract, versions: InForce::by_their_terms(others), services }
    }
}

/// The contracts that the database keeps, of each the highest version that holds `now`, with the
/// services that its probes measured.
///
/// # Errors
/// When the database cannot be read. A contract of which no version can be read is told in
/// `faults`.
pub fn stored(
    store: &Store,
    now: Wall,
    faults: &mut Vec<String>,
) -> Result<Vec<Judged>, StoreError> {
    let files = store.contract_files()?;
    let named = |file: &ContractFile| format!("{} version {}", file.id, file.version);
    let written: Vec<Written> =
        files.iter().filter_map(|file| Written::read(&file.toml, &named(file)).ok()).collect();
    let mut contracts: BTreeMap<&str, Contract> = BTreeMap::new();
    let mut versions: BTreeMap<&str, Vec<Contract>> = BTreeMap::new();
    let mut unread: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let measured: BTreeSet<(String, String)> = store
        .all_series()?
        .into_values()
        .filter_map(|series| Some((series.service?, series.probe)))
        .collect();
    // In the order of their versions: a later one that holds replaces an earlier one.
    for file in &files {
        match Written::read(&file.toml, &named(file))
            .and_then(|own| contract::resolve(&own, &written))
        {
            Ok(mut contract) => {
                measured.iter().for_each(|(service, probe)| contract.add_probe(service, probe));
                versions.entry(&file.id).or_default().push(contract.clone());
                if contract.agreement.effective_from <= now
                    || !contracts.contains_key(file.id.as_str())
                {
                    contracts.insert(&file.id, contract);
                }
            }
            Err(found) => {
                unread.entry(&file.id).or_default().extend(found.iter().map(ToString::to_string))
            }
        }
    }
    unread.retain(|id, _| !contracts.contains_key(id));
    faults.extend(unread.into_values().flatten());
    let judged = contracts.into_iter().map(|(id, contract)| {
        let here = |id: &String| measured.iter().any(|(of, _)| of == id);
        let all = versions.remove(id).unwrap_or_default();
        let services = services_of(&all, here);
        Judged::among(contract, all, services)
    });
    Ok(judged.collect())
}

/// The services of some versions of a contract, each once.
pub(super) fn services_of(versions: &[Contract], here: impl Fn(&String) -> bool) -> Vec<String> {
    let mut services: Vec<String> = Vec::new();
    for service in versions
        .iter()
        .rev()
        .flat_map(|contract| &contract.services)
        .filter(|service| here(&service.id))
    {
        if !services.contains(&service.id) {
            services.push(service.id.clone());
        }
    }
    services
}

/// The month of an instant, in a contract's zone.
#[must_use]
pub fn month_of(contract: &Contract, at: Wall) -> Period {
    Every::Month.holding(contract.agreement.timezone.day(at))
}

/// Judges what is stored of a service in a period, and before it what its terms look at of earlier
/// periods.
///
/// # Errors
/// When the database cannot be read, or the facts do not fit the contract.
pub fn review(
    store: &Store,
    judged: &Judged,
    service: &str,
    period: Period,
    facts: &Facts,
) -> Result<Report, ReviewError> {
    let one = Judged { services: vec![service.to_owned()], ..judged.clone() };
    let mut all = review_all(store, &one, period, facts)?;
    Ok(all.pop().expect("there is a report for each service"))
}

/// Judges what is stored of several services of a contract in a period; it costs hardly more to
/// read than one.
///
/// # Errors
/// When the database cannot be read, or the facts do not fit the contract.
pub fn review_all(
    store: &Store,
    judged: &Judged,
    period: Period,
    facts: &Facts,
) -> Result<Vec<Report>, ReviewError> {
    History::new(store, judged, facts)?.reports(&judged.services, period, facts)
}

/// No summary says more verdicts than these: it is bounded.
const MOST_SAID: usize = 1000;
/// So many services' outcomes are in memory at once where nobody waits for the answer.
const TOGETHER: usize = 16;

/// How the contracts' services stand by themselves in the months that run at an instant or ended
/// within a day before it, as a summary says it: without what earlier periods may add to a credit.
///
/// # Errors
/// When the database cannot be read, or a contract has faults.
pub fn said(store: &Store, all: &[Judged], at: Wall) -> Result<Vec<VerdictPart>, ReviewError> {
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    let mut said = Vec::new();
    for judged in all {
        let months =
            BTreeSet::from([month_of(&judged.contract, at - DAY), month_of(&judged.contract, at)]);
        for month in months {
            said.extend(
                month_alone(store, judged, &judged.services, month, at)?
                    .into_iter()
                    .flat_map(parts),
            );
        }
    }
    said.truncate(MOST_SAID);
    Ok(said)
}

/// Judges what is stored of several services in a month by itself: without what earlier periods may
/// add to a credit.
///
/// # Errors
/// When the database cannot be read, or a contract has faults.
pub fn month_alone(
    store: &Store,
    judged: &Judged,
    services: &[String],
    month: Period,
    at: Wall,
) -> Result<Vec<Report>, ReviewError> {
    let facts = Facts { as_of: Some(at), ..Facts::default() };
    let mut all = Vec::new();
    let mut history = History { begun: None, ..History::new(store, judged, &facts)? };
    for services in services.chunks(TOGETHER) {
        all.extend(history.reports(services, month, &facts)?);
    }
    Ok(all)
}

/// A report's verdicts as a summary holds them.
fn parts(report: Report) -> impl Iterator<Item = VerdictPart> {
    let Report { contract, version, service, period, objectives, .. } = report;
    objectives.into_iter().map(move |verdict| VerdictPart {
        contract: contract.clone(),
        version: u64::from(verdict.version.unwrap_or(version)),
        service: service.clone(),
        objective: verdict.id,
        period: verdict.period.unwrap_or(period).to_string(),
        result: verdict.result.to_string(),
        actual: verdict.actual,
        target: verdict.target,
        coverage: Some(verdict.coverage),
    })
}

/// What is stored of a contract's services, judged a period at a time. What a verdict needs of
/// earlier periods is judged before it, each of them once.
#[derive(Debug)]
pub struct History<'a> {
    store: &'a Store,
    judged: &'a Judged,
    /// What earlier periods are judged with.
    facts: Facts,
    /// The first instant of which anything is stored; absent where no earlier period is looked at.
    begun: Option<Wall>,
    known: BTreeMap<(Period, String), Earlier>,
    /// The outages that touch a span, as they were read last.
    outages: Option<(Span, Vec<Outage>)>,
}

impl<'a> History<'a> {
    /// A history; of the facts hold for earlier periods what says when it happened: events,
    /// exclusions, unknown time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &'a Store, judged: &'a Judged, facts: &Facts) -> Result<Self, StoreError> {
        let (first, _) = store.extent()?.unwrap_or_default();
        let facts = Facts {
            values: BTreeMap::new(),
            counts: BTreeMap::new(),
            mrc: None,
            usage: None,
            duties: Vec::new(),
            ..facts.clone()
        };
        Ok(Self { store, judged, facts, begun: Some(first), known: BTreeMap::new(), outages: None })
    }

    /// Judges some of the services in a period.
    ///
    /// # Errors
    /// When the database cannot be read, or the facts do not fit the contract.
    pub fn reports(
        &mut self,
        services: &[String],
        period: Period,
        facts: &Facts,
    ) -> Result<Vec<Report>, ReviewError> {
        let all = self.evaluated(services, period, facts)?.into_iter();
        all.map(|each| each.report.map_err(ReviewError::Faults)).collect()
    }

    fn evaluated(
        &mut self,
        services: &[String],
        period: Period,
        facts: &Facts,
    ) -> Result<Vec<Evaluated>, ReviewError> {
        let asked = EvaluationRequest { versions: &self.judged.versions, services, period, facts };
        sla::evaluate(self, &asked, &Effort::unlimited())
    }
}

impl Measurements for History<'_> {
    type Error = ReviewError;

    fn begun(&mut self, _service: &str) -> Result<Option<Wall>, ReviewError> {
        Ok(self.begun)
    }

    fn earlier(
        &mut self,
        services: &[String],
        period: Period,
    ) -> Result<BTreeMap<String, Earlier>, ReviewError> {
        let unknown = |service: &&String| !self.known.contains_key(&(period, (*service).clone()));
        let unknown: Vec<String> = services.iter().filter(unknown).cloned().collect();
        if !unknown.is_empty() {
            let mut facts = self.facts.clone();
            facts.previous.retain(|previous| previous.period.last() < period.last());
            for each in self.evaluated(&unknown, period, &facts)? {
                let report = each.report.map_err(ReviewError::Faults)?;
                let key = (period, report.service.clone());
                self.known.insert(key, Earlier::of(&report, each.outages));
            }
        }
        let known = services.iter().filter_map(|service| {
            Some((service.clone(), self.known.get(&(period, service.clone()))?.clone()))
        });
        Ok(known.collect())
    }

    fn outages(&mut self, service: &str, span: Span) -> Result<Vec<(Span, Side)>, ReviewError> {
        let outages = match self.outages.take() {
            Some((of, outages)) if of == span => outages,
            _ => {
                let all = self.store.outages(span.from, span.to)?.into_iter();
                all.map(|(_, outage)| outage).collect()
            }
        };
        let (_, outages) = self.outages.insert((span, outages));
        let own = outages.iter().filter(|outage| outage.service.as_deref() == Some(service));
        Ok(own.map(|outage| sided(outage, span)).collect())
    }

    fn observe(
        &mut self,
        asked: &EvaluationRequest<'_>,
        span: Span,
    ) -> Result<BTreeMap<String, Seen>, ReviewError> {
        let (wanted, figured) = wanted(asked);
        let all = self.store.outcomes(&wanted, span.from, span.to)?;
        let mut merged = if figured.is_empty() {
            BTreeMap::new()
        } else {
            self.store.figures(&figured, span.from, span.to)?
        };
        // Which sends were not made for want of a carrier, this agent's intervals count themselves.
        let seen = |(probe, intervals)| {
            let merged = merged.remove(&probe).map(shared);
            (probe, Seen { intervals: shared(intervals), merged, ..Seen::default() })
        };
        Ok(all.into_iter().map(seen).collect())
    }

    fn refine(
        &mut self,
        (versions, service): (&[InForce], &str),
        boundaries: &BTreeSet<Wall>,
        seen: &mut BTreeMap<String, Seen>,
    ) -> Result<(), ReviewError> {
        if seen.values().all(|seen| seen.merged.is_none()) {
            return Ok(());
        }
        for probe in probes_of(versions, service).collect::<BTreeSet<&str>>() {
            if let Some(merged) = seen.get_mut(probe).and_then(|seen| seen.merged.as_mut()) {
                refine(self.store, probe, merged, boundaries)?;
            }
        }
        Ok(())
    }
}

/// A stored outage with its side; one that lasts goes on for all of a span.
fn sided(outage: &Outage, span: Span) -> (Span, Side) {
    (Span::new(outage.from, outage.to.unwrap_or(span.to)), outage.side())
}

/// The probes of a service and its members, by any of the versions.
fn probes_of<'a>(versions: &'a [InForce], service: &'a str) -> impl Iterator<Item = &'a str> {
    let members = versions
        .iter()
        .flat_map(|version| version.contract.members_of(service).unwrap_or_default());
    members.flat_map(|each| each.probes.iter().map(String::as_str))
}

fn shared(intervals: Vec<Interval>) -> Vec<Arc<Interval>> {
    intervals.into_iter().map(Arc::new).collect()
}

/// Reads the minutes of what was merged over a boundary, as far as they are kept.
fn refine(
    store: &Store,
    probe: &str,
    merged: &mut Vec<Arc<Interval>>,
    boundaries: &BTreeSet<Wall>,
) -> Result<(), StoreError> {
    if !merged.iter().any(|piece| is_cut(piece, boundaries)) {
        return Ok(());
    }
    let (cut, mut all): (Vec<Arc<Interval>>, Vec<Arc<Interval>>) =
        std::mem::take(merged).into_iter().partition(|piece| is_cut(piece, boundaries));
    for piece in cut {
        let minutes = store.intervals(probe, piece.from, piece.to())?.into_iter();
        let within = minutes.filter(|minute| minute.from >= piece.from && minute.from < piece.to());
        all.extend(within.map(Arc::new));
    }
    all.sort_by_key(|interval| interval.from);
    *merged = all;
    Ok(())
}

/// The probes of the services, and those of them of which a figure is asked: the others' outcomes
/// are enough.
fn wanted<'a>(asked: &EvaluationRequest<'a>) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let (mut wanted, mut figured) = (BTreeSet::new(), BTreeSet::new());
    let contracts: Vec<&Contract> =
        judge::judging(asked.versions, asked.period).map(|version| &version.contract).collect();
    for (service, contract) in
        asked.services.iter().flat_map(|service| contracts.iter().map(move |each| (service, *each)))
    {
        let members = contract.members_of(service).unwrap_or_default();
        let probes = members.iter().flat_map(|each| each.probes.iter().map(String::as_str));
        let sampled = contract.objectives_of(service).filter(|objective| objective.samples());
        let sampled: BTreeSet<&str> = sampled
            .flat_map(|objective| &objective.measure)
            .flat_map(|measure| &measure.probes)
            .map(String::as_str)
            .collect();
        for probe in probes {
            wanted.insert(probe);
            figured.extend(Some(probe).filter(|probe| sampled.contains(probe)));
        }
    }
    (wanted, figured)
}
