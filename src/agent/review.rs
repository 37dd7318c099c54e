//! What the edge database says of a contract's services: stored minutes and outages, judged by the
//! contract.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::evidence::summary::VerdictPart;
use crate::measure::interval::Interval;
use crate::sla::calendar::{Day, Every, Period};
use crate::sla::contract::{self, Written};
use crate::sla::facts::{Facts, Previous};
use crate::sla::fault::Fault;
use crate::sla::judge::{self, InForce};
use crate::sla::observed::{Observed, Seen};
use crate::sla::reach::{self, needed};
use crate::sla::report::Report;
use crate::sla::span::Span;
use crate::sla::terms::{Contract, Side};
use crate::store::contracts::ContractFile;
use crate::store::outages::Outage;
use crate::store::{Store, StoreError};

/// No earlier period is looked at that ended so many days before the last thing that is stored.
const LOOK_BACK: i64 = 800;

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
                take_in(&mut contract, &measured);
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

/// Adds to a contract's services the probes that name them.
fn take_in(contract: &mut Contract, measured: &BTreeSet<(String, String)>) {
    contract.each_service(|service| {
        for (_, probe) in measured.iter().filter(|(of, _)| *of == service.id) {
            if !service.probes.contains(probe) {
                service.probes.push(probe.clone());
            }
        }
    });
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
    for services in services.chunks(TOGETHER) {
        let mut stock = observe(store, &judged.versions, services, month)?;
        for service in services {
            all.push(judge_one(store, &mut stock, &judged.versions, service, month, &facts)?);
        }
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
    /// No earlier day is looked at.
    begun: Day,
    known: BTreeMap<(Period, String), Previous>,
}

impl<'a> History<'a> {
    /// A history; of the facts hold for earlier periods what says when it happened: events,
    /// exclusions, unknown time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &'a Store, judged: &'a Judged, facts: &Facts) -> Result<Self, StoreError> {
        let zone = &judged.contract.agreement.timezone;
        let (first, last) = store.extent()?.unwrap_or_default();
        let begun = zone.day(first).max(zone.day(last).plus(-LOOK_BACK));
        let facts = Facts {
            values: BTreeMap::new(),
            counts: BTreeMap::new(),
            mrc: None,
            usage: None,
            ..facts.clone()
        };
        Ok(Self {
            store,
            judged,
            facts: Facts { duties: Vec::new(), ..facts },
            begun,
            known: BTreeMap::new(),
        })
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
        let versions = &self.judged.versions;
        let mut earlier: BTreeSet<(Day, Period)> = BTreeSet::new();
        for service in services {
            for version in judge::judging(versions, period) {
                let needed = reach::earlier(&version.contract, service, period);
                earlier.extend(needed.into_iter().map(|period| (period.last(), period)));
            }
        }
        // What the facts say of an earlier period holds for the service that they are about, which
        // is judged alone then.
        let told: BTreeSet<Period> =
            facts.previous.iter().map(|previous| previous.period).collect();
        earlier.retain(|(last, period)| *last >= self.begun && !told.contains(period));
        for (_, period) in &earlier {
            self.look_at(services, *period)?;
        }
        let mut stock = observe(self.store, versions, services, period)?;
        let mut all = Vec::new();
        for service in services {
            let mut facts = facts.clone();
            let known = earlier
                .iter()
                .filter_map(|(_, earlier)| self.known.get(&(*earlier, service.clone())));
            facts.previous.extend(known.map(|previous| previous.among(versions, period)));
            all.push(judge_one(self.store, &mut stock, versions, service, period, &facts)?);
        }
        Ok(all)
    }

    /// Judges an earlier period, unless that was done.
    fn look_at(&mut self, services: &[String], period: Period) -> Result<(), ReviewError> {
        let unknown = |service: &&String| !self.known.contains_key(&(period, (*service).clone()));
        let services: Vec<String> = services.iter().filter(unknown).cloned().collect();
        if services.is_empty() {
            return Ok(());
        }
        let mut facts = self.facts.clone();
        facts.previous.retain(|previous| previous.period.last() < period.last());
        for report in self.reports(&services, period, &facts)? {
            self.known.insert((period, report.service.clone()), Previous::of(&report));
        }
        Ok(())
    }
}

/// What is stored of some services.
struct Stock {
    observed: Observed,
    outages: Vec<Outage>,
    /// How far it reaches.
    span: Span,
}

fn judge_one(
    store: &Store,
    stock: &mut Stock,
    versions: &[InForce],
    service: &str,
    period: Period,
    facts: &Facts,
) -> Result<Report, ReviewError> {
    let own = stock.outages.iter().filter(|outage| outage.service.as_deref() == Some(service));
    let sides = own.map(|outage| {
        let side = match outage.side.as_str() {
            "provider" => Side::Provider,
            "customer" => Side::Customer,
            _ => Side::Unknown,
        };
        (Span::new(outage.from, outage.to.unwrap_or(stock.span.to)), side)
    });
    stock.observed.sides = sides.collect();
    let merged = |seen: &Seen| seen.merged.is_some();
    if stock.observed.probes.values().any(merged)
        // What is wrong with the facts, judging tells.
        && let Ok(surveyed) = judge::survey_by(versions, service, period, &stock.observed, facts)
    {
        let probes: BTreeSet<&str> = probes_of(versions, service).collect();
        for (probe, seen) in
            stock.observed.probes.iter_mut().filter(|(probe, _)| probes.contains(probe.as_str()))
        {
            if let Some(merged) = &mut seen.merged {
                refine(store, probe, merged, &surveyed.boundaries)?;
            }
        }
    }
    judge::judge_by(versions, service, period, Some(&stock.observed), facts)
        .map_err(ReviewError::Faults)
}

/// The probes of a service and its members, by any of the versions.
fn probes_of<'a>(versions: &'a [InForce], service: &'a str) -> impl Iterator<Item = &'a str> {
    let members = versions
        .iter()
        .flat_map(|version| version.contract.members_of(service).unwrap_or_default());
    members.flat_map(|each| each.probes.iter().map(String::as_str))
}

/// Reads the minutes of what was merged over a boundary, as far as they are kept.
fn refine(
    store: &Store,
    probe: &str,
    merged: &mut Vec<Interval>,
    boundaries: &BTreeSet<Wall>,
) -> Result<(), StoreError> {
    use std::ops::Bound::Excluded;
    let is_cut = |piece: &Interval| {
        let (from, to) = (piece.from, piece.to().max(piece.from.shifted(1)));
        piece.millis > MINUTE_MS
            && boundaries.range((Excluded(from), Excluded(to))).next().is_some()
    };
    if !merged.iter().any(is_cut) {
        return Ok(());
    }
    let (cut, mut all): (Vec<Interval>, Vec<Interval>) =
        std::mem::take(merged).into_iter().partition(is_cut);
    for piece in cut {
        let minutes = store.intervals(probe, piece.from, piece.to())?.into_iter();
        all.extend(minutes.filter(|minute| minute.from >= piece.from && minute.from < piece.to()));
    }
    all.sort_by_key(|interval| interval.from);
    *merged = all;
    Ok(())
}

/// What is no longer than this was not merged.
const MINUTE_MS: u32 = 60_000;

/// Reads all that judging some services in a period looks at: outcomes, and histograms only of
/// probes of which a figure is asked.
fn observe(
    store: &Store,
    versions: &[InForce],
    services: &[String],
    period: Period,
) -> Result<Stock, StoreError> {
    let contracts: Vec<&Contract> =
        judge::judging(versions, period).map(|version| &version.contract).collect();
    let whole = |recorded: &[Span]| {
        let spans =
            contracts.iter().map(|contract| needed(contract, period, recorded.iter().copied()));
        let all =
            spans.reduce(|one, other| Span::new(one.from.min(other.from), one.to.max(other.to)));
        all.unwrap_or_else(|| Span::new(Wall::default(), Wall::default()))
    };
    let least = whole(&[]);
    let of_them = |outage: &Outage| outage.service.as_ref().is_some_and(|of| services.contains(of));
    let recorded =
        store.outages(least.from, least.to)?.into_iter().map(|(_, outage)| outage).filter(of_them);
    let recorded: Vec<Span> =
        recorded.map(|outage| Span::new(outage.from, outage.to.unwrap_or(least.to))).collect();
    let span = whole(&recorded);
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut figured: BTreeSet<&str> = BTreeSet::new();
    for (service, contract) in
        services.iter().flat_map(|service| contracts.iter().map(move |each| (service, *each)))
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
    let all = store.outcomes(&wanted, span.from, span.to)?;
    let mut merged = if figured.is_empty() {
        BTreeMap::new()
    } else {
        store.figures(&figured, span.from, span.to)?
    };
    // Which sends were not made for want of a carrier, this agent's intervals count themselves.
    let seen = |(probe, intervals)| {
        let merged = merged.remove(&probe);
        (probe, Seen { intervals, merged, ..Seen::default() })
    };
    let observed = Observed { probes: all.into_iter().map(seen).collect(), sides: Vec::new() };
    let outages = store
        .outages(span.from, span.to)?
        .into_iter()
        .map(|(_, outage)| outage)
        .filter(of_them)
        .collect();
    Ok(Stock { observed, outages, span })
}
