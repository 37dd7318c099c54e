//! What facts name must be the contract's.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::decimal::Exact;
use crate::sla::calendar::Period;
use crate::sla::facts::{Event, Facts};
use crate::sla::fault::Fault;
use crate::sla::terms::{After, Contract, Driver, Duty, Metric, Objective, Unit};

/// All that the facts name and the contract has not.
pub(super) fn check(
    contract: &Contract,
    service: &str,
    period: Period,
    facts: &Facts,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |place: String, what: String| faults.push(Fault::new(&facts.file, place, what));
    let id = contract.id();
    let members: BTreeSet<&str> = match contract.service(service) {
        None => {
            fault("service".to_owned(), format!("{service:?} is no service of contract {id:?}"));
            BTreeSet::new()
        }
        Some(_) => contract
            .members_of(service)
            .unwrap_or_default()
            .into_iter()
            .map(|each| each.id.as_str())
            .collect(),
    };
    let mut events = |events: &[Event], place: &str| {
        for (number, event) in events.iter().enumerate() {
            if let Some(named) = &event.service
                && !members.is_empty()
                && !members.contains(named.as_str())
            {
                let what = format!("{named:?} is neither {service:?} nor a member of it");
                fault(format!("{place}events[{number}].service"), what);
            }
        }
    };
    events(&facts.events, "");
    for (number, previous) in facts.previous.iter().enumerate() {
        events(&previous.events, &format!("previous[{number}]."));
    }
    let objectives: BTreeMap<&str, &Objective> =
        contract.objectives.iter().map(|objective| (objective.id.as_str(), objective)).collect();
    let mut periods = BTreeSet::new();
    for (number, previous) in facts.previous.iter().enumerate() {
        let place = || format!("previous[{number}].period");
        if previous.period == period {
            fault(place(), format!("{period} is the period that is judged, not an earlier one"));
        } else if previous.period.last() >= period.last() {
            fault(
                place(),
                format!("{} is not before the period that is judged, {period}", previous.period),
            );
        } else if !periods.insert(previous.period) {
            fault(place(), format!("{} is there twice: tell of it once", previous.period));
        }
        for objective in previous
            .breached
            .iter()
            .filter(|objective| !objectives.contains_key(objective.as_str()))
        {
            let what = format!("{objective:?} is no objective of contract {id:?}");
            fault(format!("previous[{number}].breached"), what);
        }
    }
    let exclusions: BTreeSet<&str> =
        contract.exclusions.iter().map(|exclusion| exclusion.id.as_str()).collect();
    for (number, excluded) in facts.excluded.iter().enumerate() {
        if !exclusions.contains(excluded.exclusion.as_str()) {
            let what = format!("{:?} is no exclusion of contract {id:?}", excluded.exclusion);
            fault(format!("excluded[{number}].exclusion"), what);
        }
    }
    let unknown = |key: &String| format!("{key:?} is no objective of contract {id:?}");
    for (key, value) in &facts.values {
        let Some(objective) = objectives.get(key.as_str()) else {
            fault(format!("values.{key}"), unknown(key));
            continue;
        };
        if let Some(highest) = highest(objective).filter(|highest| value.value > *highest) {
            let what = format!(
                "{} is not from 0 to {highest}, as a value in {} is",
                value.written, objective.unit
            );
            fault(format!("values.{key}"), what);
        }
    }
    for key in facts.counts.keys() {
        match objectives.get(key.as_str()) {
            None => fault(format!("counts.{key}"), unknown(key)),
            Some(objective) if !is_counted(objective) => {
                let what = format!(
                    "objective {key:?} has no count: neither its metric nor its driver is \"count\""
                );
                fault(format!("counts.{key}"), what);
            }
            Some(_) => {}
        }
    }
    let duties: BTreeMap<&str, &Duty> =
        contract.duties.iter().map(|duty| (duty.id.as_str(), duty)).collect();
    for (number, done) in facts.duties.iter().enumerate() {
        let place = |key: &str| format!("duties[{number}].{key}");
        let Some(duty) = duties.get(done.duty.as_str()) else {
            fault(place("duty"), format!("{:?} is no duty of contract {id:?}", done.duty));
            continue;
        };
        match done.event {
            Some(event) if event >= facts.events.len() => {
                let what = format!(
                    "there is no event {event}; there are {}, counted from 0",
                    facts.events.len()
                );
                fault(place("event"), what);
            }
            None if duty.after != After::PeriodEnd => {
                fault(place("event"), format!("missing: duty {:?} runs from an event", duty.id));
            }
            _ => {}
        }
    }
    faults
}

/// The highest value that an objective's unit allows; absent where there is none.
fn highest(objective: &Objective) -> Option<Exact> {
    match objective.unit {
        Unit::Percent => Some(Exact::hundred()),
        Unit::Ratio if objective.metric != Metric::Mos => Some(Exact::one()),
        _ => None,
    }
}

/// Whether a count of the facts is asked for; that of times to restore and to notify is worked out.
fn is_counted(objective: &Objective) -> bool {
    let is_time = matches!(objective.metric, Metric::TimeToRestore | Metric::TimeToNotify);
    let by_count = objective.remedy.as_ref().is_some_and(|remedy| remedy.driver == Driver::Count);
    objective.metric == Metric::Count || by_count && !is_time
}
