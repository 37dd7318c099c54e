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
    let objectives =
        contract.objectives.iter().map(|objective| (objective.id.as_str(), objective)).collect();
    let mut check = Check { contract, facts, objectives, faults: Vec::new() };
    check.services(service);
    check.previous(period);
    check.exclusions();
    check.values();
    check.counts();
    check.duties();
    check.faults
}

/// The names of one file of facts, held against a contract.
struct Check<'a> {
    contract: &'a Contract,
    facts: &'a Facts,
    objectives: BTreeMap<&'a str, &'a Objective>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, place: String, what: String) {
        self.faults.push(Fault::new(&self.facts.file, place, what));
    }

    fn no_objective(&mut self, place: String, named: &str) {
        let what = format!("{named:?} is no objective of contract {:?}", self.contract.id());
        self.fault(place, what);
    }

    /// The service that is judged is the contract's, and events are of it or of its members.
    fn services(&mut self, service: &str) {
        let (contract, facts) = (self.contract, self.facts);
        if contract.service(service).is_none() {
            let what = format!("{service:?} is no service of contract {:?}", contract.id());
            self.fault("service".to_owned(), what);
            return;
        }
        let members = contract.members_of(service).unwrap_or_default();
        let members: BTreeSet<&str> = members.into_iter().map(|each| each.id.as_str()).collect();
        // Where members form a ring, nobody knows who they are.
        if members.is_empty() {
            return;
        }
        self.events(&facts.events, "", service, &members);
        for (number, previous) in facts.previous.iter().enumerate() {
            self.events(&previous.events, &format!("previous[{number}]."), service, &members);
        }
    }

    fn events(&mut self, events: &[Event], place: &str, service: &str, members: &BTreeSet<&str>) {
        for (number, event) in events.iter().enumerate() {
            if let Some(named) = &event.service
                && !members.contains(named.as_str())
            {
                let what = format!("{named:?} is neither {service:?} nor a member of it");
                self.fault(format!("{place}events[{number}].service"), what);
            }
        }
    }

    /// Earlier periods are earlier, each is told of once, and what they breached is known.
    fn previous(&mut self, period: Period) {
        let mut periods = BTreeSet::new();
        for (number, previous) in self.facts.previous.iter().enumerate() {
            let earlier = previous.period;
            let wrong = if earlier == period {
                Some(format!("{period} is the period that is judged, not an earlier one"))
            } else if earlier.last() >= period.last() {
                Some(format!("{earlier} is not before the period that is judged, {period}"))
            } else if !periods.insert(earlier) {
                Some(format!("{earlier} is there twice: tell of it once"))
            } else {
                None
            };
            if let Some(what) = wrong {
                self.fault(format!("previous[{number}].period"), what);
            }
            for objective in &previous.breached {
                if !self.objectives.contains_key(objective.as_str()) {
                    self.no_objective(format!("previous[{number}].breached"), objective);
                }
            }
        }
    }

    fn exclusions(&mut self) {
        let exclusions: BTreeSet<&str> =
            self.contract.exclusions.iter().map(|exclusion| exclusion.id.as_str()).collect();
        for (number, excluded) in self.facts.excluded.iter().enumerate() {
            if !exclusions.contains(excluded.exclusion.as_str()) {
                let (named, id) = (&excluded.exclusion, self.contract.id());
                let what = format!("{named:?} is no exclusion of contract {id:?}");
                self.fault(format!("excluded[{number}].exclusion"), what);
            }
        }
    }

    /// A value is of an objective, and within what its unit allows.
    fn values(&mut self) {
        for (key, value) in &self.facts.values {
            let place = format!("values.{key}");
            let Some(objective) = self.objectives.get(key.as_str()) else {
                self.no_objective(place, key);
                continue;
            };
            if let Some(highest) = highest(objective).filter(|highest| value.value > *highest) {
                let what = format!(
                    "{} is not from 0 to {highest}, as a value in {} is",
                    value.written, objective.unit
                );
                self.fault(place, what);
            }
        }
    }

    /// A count is of an objective that asks for one.
    fn counts(&mut self) {
        for key in self.facts.counts.keys() {
            let place = format!("counts.{key}");
            match self.objectives.get(key.as_str()) {
                None => self.no_objective(place, key),
                Some(objective) if !is_counted(objective) => {
                    let what = format!(
                        "objective {key:?} has no count: neither its metric nor its driver is \
                            \"count\""
                    );
                    self.fault(place, what);
                }
                Some(_) => {}
            }
        }
    }

    /// What was done is a duty, and names the event that the duty runs from.
    fn duties(&mut self) {
        let (contract, facts) = (self.contract, self.facts);
        let duties: BTreeMap<&str, &Duty> =
            contract.duties.iter().map(|duty| (duty.id.as_str(), duty)).collect();
        for (number, done) in facts.duties.iter().enumerate() {
            let place = |key: &str| format!("duties[{number}].{key}");
            let Some(duty) = duties.get(done.duty.as_str()) else {
                let what = format!("{:?} is no duty of contract {:?}", done.duty, contract.id());
                self.fault(place("duty"), what);
                continue;
            };
            let there = facts.events.len();
            match done.event {
                Some(event) if event >= there => {
                    let what =
                        format!("there is no event {event}; there are {there}, counted from 0");
                    self.fault(place("event"), what);
                }
                None if duty.after != After::PeriodEnd => {
                    let what = format!("missing: duty {:?} runs from an event", duty.id);
                    self.fault(place("event"), what);
                }
                _ => {}
            }
        }
    }
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
