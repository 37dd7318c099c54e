//! What a contract's parts say of each other: every name that is used must be there.

use std::collections::BTreeSet;

use crate::sla::contract::Named;
use crate::sla::fault::Fault;
use crate::sla::reader::Faults;
use crate::sla::terms::{
    Combine, Condition, MEMBERS_AT_MOST, Members, Objective, Service, Termination,
};

/// Where each section comes from.
type Files<'a> = [(&'static str, &'a str); 9];

/// The parts that speak of each other.
pub(super) struct Parts<'a> {
    pub(super) services: &'a Named<Service>,
    pub(super) objectives: &'a Named<Objective>,
    pub(super) combines: &'a [Combine],
    pub(super) terminations: &'a [Termination],
    /// Whether there are services to judge; a template above them may name services that only those
    /// below it have.
    pub(super) judged: bool,
}

/// Checks all references.
pub(super) fn check(parts: &Parts<'_>, files: &Files<'_>, faults: &Faults) {
    let file = |section: &str| {
        files.iter().find(|(name, _)| *name == section).map_or("", |(_, file)| file)
    };
    let fault = |section: &str, place: String, what: String| {
        faults.add(Fault::new(file(section), place, what))
    };
    let services = &parts.services.ids;
    let objectives = &parts.objectives.ids;

    for service in &parts.services.all {
        for member in &service.members {
            if parts.services.complete && !services.contains(member) {
                fault(
                    "service",
                    format!("service {:?}: members", service.id),
                    format!("{member:?} is no service here"),
                );
            }
        }
        if let Some(twice) = twice(&service.probes) {
            fault(
                "service",
                format!("service {:?}: probes", service.id),
                format!("{twice:?} is named twice"),
            );
        }
    }
    let graph = Members::new(&parts.services.all);
    let rings = graph.rings();
    for service in &rings {
        fault(
            "service",
            format!("service {:?}: members", service.id),
            "it is a member of itself".to_owned(),
        );
    }
    for (service, size) in graph.too_large() {
        let what = format!(
            "it and those that it hangs together with are {size}: at most {MEMBERS_AT_MOST} may be"
        );
        fault("service", format!("service {:?}: members", service.id), what);
    }
    if parts.judged {
        for objective in &parts.objectives.all {
            let place = |key: &str| format!("objective {:?}: {key}", objective.id);
            for service in objective.services.iter().flatten() {
                if parts.services.complete && !services.contains(service) {
                    fault("objective", place("service"), format!("{service:?} is no service here"));
                }
            }
            // Where a service could not be read, or is not there, its probes are not known either.
            let all = &parts.services.all;
            let named = objective.services.iter().flatten().all(|id| services.contains(id));
            if !parts.services.complete || all.len() < services.len() || !named || !rings.is_empty()
            {
                continue;
            }
            let of = match &objective.services {
                Some(ids) => graph.of(ids.iter().map(String::as_str)),
                None => graph.of(all.iter().map(|service| service.id.as_str())),
            };
            let of = of.unwrap_or_default().into_iter();
            let probes: BTreeSet<&str> =
                of.flat_map(|service| service.probes.iter().map(String::as_str)).collect();
            for probe in objective.measure.iter().flat_map(|measure| &measure.probes) {
                if !probes.contains(probe.as_str()) {
                    fault(
                        "objective",
                        place("measure.probes"),
                        format!("{probe:?} is no probe of its services"),
                    );
                }
            }
            if let Some(twice) =
                objective.measure.as_ref().and_then(|measure| twice(&measure.probes))
            {
                fault("objective", place("measure.probes"), format!("{twice:?} is named twice"));
            }
        }
    }
    let mut combined = BTreeSet::new();
    for (number, combine) in (1..).zip(parts.combines) {
        for objective in &combine.objectives {
            let place = || format!("combine {number}: objectives");
            if !objectives.contains(objective) && parts.objectives.complete {
                fault("combine", place(), format!("{objective:?} is no objective here"));
            }
            if !combined.insert(objective) {
                fault("combine", place(), format!("{objective:?} is combined twice"));
            }
        }
    }
    for termination in parts.terminations {
        for (number, condition) in (1..).zip(&termination.any) {
            let (Condition::Consecutive { objective, .. } | Condition::Times { objective, .. }) =
                condition
            else {
                continue;
            };
            if !objectives.contains(objective) && parts.objectives.complete {
                let place = format!("termination {:?}: any[{number}].breached", termination.id);
                fault("termination", place, format!("{objective:?} is no objective here"));
            }
        }
    }
}

/// The first name that stands in a list twice.
fn twice(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}
