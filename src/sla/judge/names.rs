//! What facts name must be the contract's.

use crate::sla::calendar::Period;
use crate::sla::facts::{Event, Facts};
use crate::sla::fault::Fault;
use crate::sla::terms::{After, Contract};

/// All that the facts name and the contract has not.
pub(super) fn check(contract: &Contract, service: &str, period: Period, facts: &Facts) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |place: String, what: String| faults.push(Fault::new(&facts.file, place, what));
    let id = contract.id();
    let members: Vec<&str> = match contract.service(service) {
        None => {
            fault("service".to_owned(), format!("{service:?} is no service of contract {id:?}"));
            Vec::new()
        }
        Some(_) => contract.members_of(service).unwrap_or_default().into_iter().map(|each| each.id.as_str()).collect(),
    };
    let mut events = |events: &[Event], place: &str| {
        for (number, event) in events.iter().enumerate() {
            if let Some(named) = &event.service
                && !members.is_empty()
                && !members.contains(&named.as_str())
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
    for (number, previous) in facts.previous.iter().enumerate() {
        if previous.period == period {
            let what = format!("{period} is the period that is judged, not an earlier one");
            fault(format!("previous[{number}].period"), what);
        }
        for objective in previous.breached.iter().filter(|objective| contract.objective(objective).is_none()) {
            let what = format!("{objective:?} is no objective of contract {id:?}");
            fault(format!("previous[{number}].breached"), what);
        }
    }
    for (number, excluded) in facts.excluded.iter().enumerate() {
        if !contract.exclusions.iter().any(|exclusion| exclusion.id == excluded.exclusion) {
            let what = format!("{:?} is no exclusion of contract {id:?}", excluded.exclusion);
            fault(format!("excluded[{number}].exclusion"), what);
        }
    }
    for (place, key) in
        facts.values.keys().map(|key| ("values", key)).chain(facts.counts.keys().map(|key| ("counts", key)))
    {
        if contract.objective(key).is_none() {
            fault(format!("{place}.{key}"), format!("{key:?} is no objective of contract {id:?}"));
        }
    }
    for (number, done) in facts.duties.iter().enumerate() {
        let place = |key: &str| format!("duties[{number}].{key}");
        let Some(duty) = contract.duties.iter().find(|duty| duty.id == done.duty) else {
            fault(place("duty"), format!("{:?} is no duty of contract {id:?}", done.duty));
            continue;
        };
        match done.event {
            Some(event) if event >= facts.events.len() => {
                let what = format!("there is no event {event}; there are {}, counted from 0", facts.events.len());
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
