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
    let span = reach(store, contract, service, period)?;
    let mut observed = Observed::default();
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let members = contract.members_of(service).unwrap_or_default();
    for each in contract.service(service).into_iter().chain(members) {
        wanted.extend(each.probes.iter().map(String::as_str));
    }
    for probe in wanted {
        let intervals = store.intervals(probe, span.from, span.to)?;
        // Which sends were not made for want of a carrier, this agent's intervals count themselves.
        observed.probes.insert(probe.to_owned(), Seen { intervals, ..Seen::default() });
    }
    for (_, outage) in store.outages(span.from, span.to)? {
        if outage.service.as_deref() == Some(service) {
            let side = match outage.side.as_str() {
                "provider" => Side::Provider,
                "customer" => Side::Customer,
                _ => Side::Unknown,
            };
            observed.sides.push((Span::new(outage.from, outage.to.unwrap_or(span.to)), side));
        }
    }
    judge(contract, service, period, &observed, facts).map_err(ReviewError::Faults)
}

/// All the time that judging a period looks at, by what was recorded as it happened.
fn reach(store: &Store, contract: &Contract, service: &str, period: Period) -> Result<Span, StoreError> {
    let least = needed(contract, period, []);
    let recorded = store.outages(least.from, least.to)?.into_iter().filter_map(|(_, outage)| {
        let of_service = outage.service.as_deref() == Some(service);
        of_service.then(|| Span::new(outage.from, outage.to.unwrap_or(least.to)))
    });
    Ok(needed(contract, period, recorded))
}
