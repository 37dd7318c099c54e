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
    let check = Check { parts, files, faults };
    let graph = Members::new(&parts.services.all);
    let rings = graph.rings();
    check.services();
    check.members(&graph, &rings);
    if parts.judged {
        for objective in &parts.objectives.all {
            check.objective(objective, &graph, !rings.is_empty());
        }
    }
    check.combines();
    check.terminations();
}

struct Check<'a> {
    parts: &'a Parts<'a>,
    files: &'a Files<'a>,
    faults: &'a Faults,
}

impl Check<'_> {
    fn fault(&self, section: &str, place: String, what: String) {
        let file =
            self.files.iter().find(|(name, _)| *name == section).map_or("", |(_, file)| file);
        self.faults.add(Fault::new(file, place, what));
    }

    fn no_service(&self, name: &String) -> bool {
        self.parts.services.complete && !self.parts.services.ids.contains(name)
    }

    fn no_objective(&self, name: &String) -> bool {
        self.parts.objectives.complete && !self.parts.objectives.ids.contains(name)
    }

    /// Members are services, and a service names each of its probes once.
    fn services(&self) {
        for service in &self.parts.services.all {
            let place = |key: &str| format!("service {:?}: {key}", service.id);
            for member in service.members.iter().filter(|member| self.no_service(member)) {
                self.fault("service", place("members"), format!("{member:?} is no service here"));
            }
            if let Some(twice) = twice(&service.probes) {
                self.fault("service", place("probes"), format!("{twice:?} is named twice"));
            }
        }
    }

    /// No service is a member of itself, and not too many hang together.
    fn members(&self, graph: &Members<'_>, rings: &[&Service]) {
        let place = |service: &str| format!("service {service:?}: members");
        for service in rings {
            self.fault("service", place(&service.id), "it is a member of itself".to_owned());
        }
        for (service, size) in graph.too_large() {
            let what = format!(
                "it and those that it hangs together with are {size}: at most {MEMBERS_AT_MOST} \
                    may be"
            );
            self.fault("service", place(&service.id), what);
        }
    }

    /// An objective names services that are here, and probes of theirs, each once.
    fn objective(&self, objective: &Objective, graph: &Members<'_>, has_rings: bool) {
        let fault = |key: &str, what: String| {
            self.fault("objective", format!("objective {:?}: {key}", objective.id), what);
        };
        let Parts { services, .. } = self.parts;
        let named = || objective.services.iter().flatten();
        for service in named().filter(|service| self.no_service(service)) {
            fault("service", format!("{service:?} is no service here"));
        }
        // Where a service could not be read, or is not there, its probes are not known either.
        let all_read = services.complete && services.all.len() >= services.ids.len();
        if !all_read || has_rings || !named().all(|id| services.ids.contains(id)) {
            return;
        }
        let Some(measure) = &objective.measure else { return };
        let of = match &objective.services {
            Some(ids) => graph.of(ids.iter().map(String::as_str)),
            None => graph.of(services.all.iter().map(|service| service.id.as_str())),
        };
        let of = of.unwrap_or_default().into_iter();
        let probes: BTreeSet<&str> =
            of.flat_map(|service| service.probes.iter().map(String::as_str)).collect();
        for probe in measure.probes.iter().filter(|probe| !probes.contains(probe.as_str())) {
            fault("measure.probes", format!("{probe:?} is no probe of its services"));
        }
        if let Some(twice) = twice(&measure.probes) {
            fault("measure.probes", format!("{twice:?} is named twice"));
        }
    }

    /// Combined are objectives, each once.
    fn combines(&self) {
        let mut combined = BTreeSet::new();
        for (number, combine) in (1..).zip(self.parts.combines) {
            for objective in &combine.objectives {
                let fault =
                    |what| self.fault("combine", format!("combine {number}: objectives"), what);
                if self.no_objective(objective) {
                    fault(format!("{objective:?} is no objective here"));
                }
                if !combined.insert(objective) {
                    fault(format!("{objective:?} is combined twice"));
                }
            }
        }
    }

    /// What counts towards a termination is an objective.
    fn terminations(&self) {
        for termination in self.parts.terminations {
            for (number, condition) in (1..).zip(&termination.any) {
                let (Condition::Consecutive { objective, .. } | Condition::Times { objective, .. }) =
                    condition
                else {
                    continue;
                };
                if self.no_objective(objective) {
                    let place = format!("termination {:?}: any[{number}].breached", termination.id);
                    let what = format!("{objective:?} is no objective here");
                    self.fault("termination", place, what);
                }
            }
        }
    }
}

/// The first name that stands in a list twice.
fn twice(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}
