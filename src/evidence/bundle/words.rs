//! What summaries say of a service, as a judge takes it. A probe measures a service when the
//! contract names it and its agent's site is the service's, or when it names the service itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::evidence::key::Kid;
use crate::evidence::summary::Summary;
use crate::evidence::told::{self, CarrierDown, OutageSaid, Places};
use crate::measure::interval::Interval;
use crate::sla::facts::Case;
use crate::sla::fault::Fault;
use crate::sla::judge::{InForce, judge_by};
use crate::sla::observed::Observed;
use crate::sla::report::Report;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::Contract;

/// How much of the summaries is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// All of them.
    AtAll,
    /// The UTC days that judging may look at, as a collector does.
    ByDay,
}

/// Judges a service by the intervals and outages of summaries.
pub(super) fn judged(
    versions: &[InForce],
    case: &Case,
    summaries: &[Summary],
    looked: Looked,
) -> Result<Report, Vec<Fault>> {
    let with_names: Vec<InForce> = versions
        .iter()
        .map(|version| InForce {
            contract: with_probes(&version.contract, summaries),
            span: version.span,
        })
        .collect();
    let mut observed = observed(&with_names, case, summaries);
    if looked == Looked::ByDay {
        let (first, last) = told::days(told::reach(versions, case.period, &observed.sides));
        for seen in observed.probes.values_mut() {
            seen.intervals.retain(|interval| (first..=last).contains(&told::day_of(interval.from)));
        }
    }
    judge_by(&with_names, &case.service, case.period, Some(&observed), &case.facts)
}

/// The contract, with the probes that name its services in the summaries.
fn with_probes(contract: &Contract, summaries: &[Summary]) -> Contract {
    let mut contract = contract.clone();
    for probe in summaries.iter().flat_map(|summary| &summary.probes) {
        let Some(of) = &probe.service else { continue };
        contract.each_service(|service| {
            if service.id == *of && !service.probes.contains(&probe.name) {
                service.probes.push(probe.name.clone());
            }
        });
    }
    contract
}

/// What the summaries say of a service and its members.
fn observed(versions: &[InForce], case: &Case, summaries: &[Summary]) -> Observed {
    let service = case.service.as_str();
    let contracts = || versions.iter().map(|version| &version.contract);
    let wanted: BTreeSet<(&str, &str)> = contracts()
        .flat_map(|contract| {
            contract
                .service(service)
                .into_iter()
                .chain(contract.members_of(service).unwrap_or_default())
        })
        .flat_map(|each| each.probes.iter().map(|probe| (probe.as_str(), each.site.as_str())))
        .collect();
    let mut observed = Observed::default();
    let mut said: BTreeMap<Kid, (Vec<OutageSaid>, Places)> = BTreeMap::new();
    let mut without_carrier: BTreeMap<Kid, CarrierDown> = BTreeMap::new();
    for summary in summaries {
        without_carrier.entry(summary.agent).or_default().add(summary);
    }
    let without_carrier: BTreeMap<Kid, Spans> =
        without_carrier.into_iter().map(|(agent, down)| (agent, down.spans())).collect();
    for summary in summaries {
        let carrier_down = &without_carrier[&summary.agent];
        for probe in &summary.probes {
            let named = probe.service.as_deref();
            let of_service =
                named.is_some_and(|of| contracts().any(|contract| contract.service(of).is_some()));
            if wanted.contains(&(probe.name.as_str(), summary.site.as_str()))
                || (of_service && wanted.iter().any(|(name, _)| *name == probe.name))
            {
                let seen = observed.probes.entry(probe.name.clone()).or_default();
                let intervals: Vec<Interval> = probe.intervals().filter_map(Result::ok).collect();
                if !carrier_down.is_empty() {
                    let own: Spans =
                        intervals.iter().map(|each| Span::new(each.from, each.to())).collect();
                    seen.carrier_down = seen.carrier_down.or(&carrier_down.and(&own));
                }
                seen.intervals.extend(intervals);
            }
        }
        let (known, places) = said.entry(summary.agent).or_default();
        let own =
            OutageSaid::of(summary).filter(|outage| outage.service.as_deref() == Some(service));
        own.for_each(|outage| outage.enter(known, places));
    }
    for seen in observed.probes.values_mut() {
        seen.intervals.sort_by_key(|interval| interval.from);
    }
    let end = summaries.iter().map(|summary| summary.to).max().unwrap_or_default();
    let as_of: Wall = case.facts.as_of.unwrap_or(end);
    observed.sides = told::in_order(
        said.values()
            .flat_map(|(known, _)| known)
            .map(|each| (each.span(as_of), each.side()))
            .collect(),
    );
    observed
}
