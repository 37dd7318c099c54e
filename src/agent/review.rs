//! What the edge database says of a contract's services: stored minutes and outages, judged by the contract.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::sla::calendar::{Every, Period};
use crate::sla::contract::{self, Written};
use crate::sla::facts::Facts;
use crate::sla::fault::Fault;
use crate::sla::judge::judge;
use crate::sla::observed::{Observed, Seen};
use crate::sla::reach::needed;
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
    /// The contract.
    pub contract: Contract,
    /// The services.
    pub services: Vec<String>,
}

/// The contracts that the database keeps, of each the highest version that holds `now`, with the services that its probes
/// measured.
///
/// # Errors
/// When the database cannot be read. A contract of which no version can be read is told in `faults`.
pub fn stored(store: &Store, now: Wall, faults: &mut Vec<String>) -> Result<Vec<Judged>, StoreError> {
    let files = store.contract_files()?;
    let named = |file: &ContractFile| format!("{} version {}", file.id, file.version);
    let written: Vec<Written> = files.iter().filter_map(|file| Written::read(&file.toml, &named(file)).ok()).collect();
    let mut contracts: BTreeMap<&str, Contract> = BTreeMap::new();
    let mut unread: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // In the order of their versions: a later one that holds replaces an earlier one.
    for file in &files {
        match Written::read(&file.toml, &named(file)).and_then(|own| contract::resolve(&own, &written)) {
            Ok(contract) if contract.agreement.effective_from <= now || !contracts.contains_key(file.id.as_str()) => {
                contracts.insert(&file.id, contract);
            }
            Ok(_) => {}
            Err(found) => unread.entry(&file.id).or_default().extend(found.iter().map(ToString::to_string)),
        }
    }
    unread.retain(|id, _| !contracts.contains_key(id));
    faults.extend(unread.into_values().flatten());
    let measured: BTreeSet<(String, String)> =
        store.all_series()?.into_values().filter_map(|series| Some((series.service?, series.probe))).collect();
    let judged = contracts.into_values().map(|mut contract| {
        for service in &mut contract.services {
            let own = measured.iter().filter(|(of, _)| *of == service.id).map(|(_, probe)| probe);
            for probe in own {
                if !service.probes.contains(probe) {
                    service.probes.push(probe.clone());
                }
            }
        }
        let here = |id: &String| measured.iter().any(|(of, _)| of == id);
        let services = contract.services.iter().map(|service| service.id.clone()).filter(here).collect();
        Judged { contract, services }
    });
    Ok(judged.collect())
}

/// The month of an instant, in a contract's zone.
#[must_use]
pub fn month_of(contract: &Contract, at: Wall) -> Period {
    Every::Month.holding(contract.agreement.timezone.day(at))
}

/// Judges what is stored of a service in a period.
///
/// # Errors
/// When the database cannot be read, or the facts do not fit the contract.
pub fn review(
    store: &Store,
    contract: &Contract,
    service: &str,
    period: Period,
    facts: &Facts,
) -> Result<Report, ReviewError> {
    let mut stock = observe(store, contract, &[service], period)?;
    judge_one(&mut stock, contract, service, period, facts)
}

/// Judges what is stored of several services of a contract in a period; it costs hardly more to read than one.
///
/// # Errors
/// When the database cannot be read, or the facts do not fit the contract.
pub fn review_all(
    store: &Store,
    Judged { contract, services }: &Judged,
    period: Period,
    facts: &Facts,
) -> Result<Vec<Report>, ReviewError> {
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let mut stock = observe(store, contract, &services, period)?;
    services.iter().map(|service| judge_one(&mut stock, contract, service, period, facts)).collect()
}

/// What is stored of some services.
struct Stock {
    observed: Observed,
    outages: Vec<Outage>,
    /// How far it reaches.
    span: Span,
}

fn judge_one(
    stock: &mut Stock,
    contract: &Contract,
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
    judge(contract, service, period, &stock.observed, facts).map_err(ReviewError::Faults)
}

/// Reads all that judging some services in a period looks at: outcomes alone, and whole intervals only of probes of which a
/// figure is asked.
fn observe(store: &Store, contract: &Contract, services: &[&str], period: Period) -> Result<Stock, StoreError> {
    let least = needed(contract, period, []);
    let of_them = |outage: &Outage| outage.service.as_deref().is_some_and(|of| services.contains(&of));
    let recorded = store.outages(least.from, least.to)?.into_iter().map(|(_, outage)| outage).filter(of_them);
    let recorded = recorded.map(|outage| Span::new(outage.from, outage.to.unwrap_or(least.to)));
    let span = needed(contract, period, recorded);
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut figured: BTreeSet<&str> = BTreeSet::new();
    for service in services {
        let members = contract.members_of(service).unwrap_or_default();
        let probes = members.iter().flat_map(|each| each.probes.iter().map(String::as_str));
        let sampled = contract.objectives_of(service).filter(|objective| objective.samples());
        let sampled: BTreeSet<&str> = sampled
            .flat_map(|objective| &objective.measure)
            .flat_map(|measure| &measure.probes)
            .map(String::as_str)
            .collect();
        for probe in probes {
            if sampled.contains(probe) {
                figured.insert(probe)
            } else {
                wanted.insert(probe)
            };
        }
    }
    wanted.retain(|probe| !figured.contains(probe));
    let mut all = store.outcomes(&wanted, span.from, span.to)?;
    for probe in figured {
        all.insert(probe.to_owned(), store.intervals(probe, span.from, span.to)?);
    }
    // Which sends were not made for want of a carrier, this agent's intervals count themselves.
    let seen = |(probe, intervals)| (probe, Seen { intervals, ..Seen::default() });
    let observed = Observed { probes: all.into_iter().map(seen).collect(), sides: Vec::new() };
    let outages = store.outages(span.from, span.to)?.into_iter().map(|(_, outage)| outage).filter(of_them).collect();
    Ok(Stock { observed, outages, span })
}
