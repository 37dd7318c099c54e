//! What may be a mistake in a sound configuration: it keeps nothing from working, but what is
//! worked out may not be what is meant.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::review::{Judged, ReviewError, month_alone, month_of};
use crate::agent::terms::Terms;
use crate::base::decimal::Exact;
use crate::base::time::{Wall, format_duration};
use crate::config::agent::AgentConfig;
use crate::sla::calendar::{Every, Period};
use crate::sla::contract::{self, Written};
use crate::sla::terms::{Definition, Objective};
use crate::store::Store;

/// So many whole months in a row below its minimum make a coverage no accident.
const MONTHS: usize = 3;

/// What may be a mistake in the contracts that a configuration names, and between them and its
/// probes.
#[must_use]
pub fn of_terms(config: &AgentConfig, terms: &Terms) -> Vec<String> {
    let read = |text: &str, id: &str| Written::read(text, &format!("contract {id}")).ok();
    let written: Vec<Written> = terms
        .contracts
        .iter()
        .filter_map(|loaded| read(&loaded.file.toml, &loaded.file.id))
        .collect();
    let mut all: Vec<String> = Vec::new();
    for own in &written {
        all.extend(contract::warnings(own, &written).iter().map(ToString::to_string));
    }
    for contract in terms.contracts.iter().map(|loaded| &loaded.contract) {
        for objective in &contract.objectives {
            let probes = objective.measure.iter().flat_map(|measure| &measure.probes);
            let own =
                probes.filter_map(|name| config.probes.iter().find(|probe| probe.name == *name));
            all.extend(own.filter_map(|probe| {
                let unseen = unseen(objective, probe.period)?;
                Some(format!(
                    "probe {:?} is sent every {}, and objective {:?} of {} {unseen}: shorten its \
                        period",
                    probe.name,
                    format_duration(probe.period),
                    objective.id,
                    contract.id()
                ))
            }));
        }
    }
    all
}

/// What of an objective's outages a probe of a period does not see.
fn unseen(objective: &Objective, period: Duration) -> Option<String> {
    let longer_than = objective.qualify.as_ref().and_then(|qualify| qualify.longer_than);
    match objective.outage.as_ref()?.definition {
        Definition::Misses { misses, .. } => {
            let sure = period * misses;
            let counts = longer_than.filter(|counts| *counts < sure)?;
            let (counts, sure) = (format_duration(counts), format_duration(sure));
            Some(format!(
                "counts outages longer than {counts}, of which it sees those of {sure} for sure"
            ))
        }
        Definition::LossRatio { interval, .. }
        | Definition::TotalLoss { interval }
        | Definition::Mef { dt: interval, .. } => (interval < period).then(|| {
            format!(
                "looks at intervals of {}, in most of which nothing is sent",
                format_duration(interval)
            )
        }),
        Definition::Ticket => None,
    }
}

/// Objectives whose coverage was below their minimum in each of the last three whole months, as far
/// as the agent had begun before them and their service was in service: until that is mended they
/// are never determined.
///
/// # Errors
/// When the database cannot be read, or a contract cannot be judged by.
pub fn of_coverage(store: &Store, all: &[Judged], now: Wall) -> Result<Vec<String>, ReviewError> {
    let Some((begun, _)) = store.extent()? else { return Ok(Vec::new()) };
    let mut warnings = Vec::new();
    for judged in all {
        let contract = &judged.contract;
        let zone = &contract.agreement.timezone;
        let months: Vec<Period> =
            std::iter::successors(Some(month_of(contract, now).before(1)), |month| {
                Some(month.before(1))
            })
            .take(MONTHS)
            .collect();
        let first = months[MONTHS - 1].first(1);
        if zone.day(begun) > first {
            continue;
        }
        let in_service = |service: &&String| {
            let since = contract.service(service).map(|service| service.in_service_from);
            since.is_some_and(|since| {
                zone.day(since.max(contract.agreement.effective_from)) <= first
            })
        };
        let services: Vec<String> = judged.services.iter().filter(in_service).cloned().collect();
        let mut coverage: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for month in &months {
            for report in month_alone(store, judged, &services, *month, now)? {
                for verdict in report.objectives {
                    coverage
                        .entry((report.service.clone(), verdict.id))
                        .or_default()
                        .push(verdict.coverage);
                }
            }
        }
        for ((service, objective), had) in coverage {
            let own =
                contract.objective(&objective).filter(|own| own.aggregate.every == Every::Month);
            let Some(measure) = own.and_then(|own| own.measure.as_ref()) else { continue };
            let is_below =
                |had: &String| Exact::parse(had).is_ok_and(|had| had < measure.min_coverage);
            if had.len() == MONTHS && had.iter().all(is_below) {
                let told =
                    months.iter().zip(&had).rev().map(|(month, had)| format!("{had} % in {month}"));
                warnings.push(format!(
                    "objective {objective:?} of {} for {service} needs {} % of the time known, \
                     and had {}: until more is measured, it is not determined",
                    contract.id(),
                    measure.min_coverage.trimmed(3),
                    told.collect::<Vec<_>>().join(", "),
                ));
            }
        }
    }
    Ok(warnings)
}
