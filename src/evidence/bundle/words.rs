//! What summaries say of a service, as a judge takes it. A probe measures a service when the
//! contract names it and its agent's site is the service's, or when it names the service itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use crate::base::effort::Effort;
use crate::evidence::key::Kid;
use crate::evidence::summary::Summary;
use crate::evidence::told::{self, CarrierDown, OutageSaid, Places};
use crate::measure::interval::Interval;
use crate::sla;
use crate::sla::evaluate::{EvaluationRequest, Measurements};
use crate::sla::facts::Case;
use crate::sla::fault::Fault;
use crate::sla::judge::InForce;
use crate::sla::observed::Seen;
use crate::sla::report::Report;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::Side;

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
    let mut words = Words { summaries, outages: outages(case, summaries), looked };
    let services = [case.service.clone()];
    let asked = EvaluationRequest {
        versions,
        services: &services,
        period: case.period,
        facts: &case.facts,
    };
    let Ok(mut evaluated) = sla::evaluate(&mut words, &asked, &Effort::unlimited());
    evaluated.pop().expect("one service was asked for").report
}

/// The summaries, and what they tell of the service's outages.
struct Words<'a> {
    summaries: &'a [Summary],
    outages: Vec<(Span, Side)>,
    looked: Looked,
}

impl Measurements for Words<'_> {
    type Error = Infallible;

    fn outages(&mut self, _service: &str, _span: Span) -> Result<Vec<(Span, Side)>, Infallible> {
        Ok(self.outages.clone())
    }

    fn naming(&mut self, service: &str, _span: Span) -> Result<BTreeSet<String>, Infallible> {
        let all = self.summaries.iter().flat_map(|summary| &summary.probes);
        let naming = all.filter(|probe| probe.service.as_deref() == Some(service));
        Ok(naming.map(|probe| probe.name.clone()).collect())
    }

    fn observe(
        &mut self,
        asked: &EvaluationRequest<'_>,
        span: Span,
    ) -> Result<BTreeMap<String, Seen>, Infallible> {
        let mut all = observed(asked, self.summaries);
        if self.looked == Looked::ByDay {
            let (first, last) = told::days(span);
            for seen in all.values_mut() {
                seen.intervals
                    .retain(|interval| (first..=last).contains(&told::day_of(interval.from)));
            }
        }
        Ok(all)
    }
}

/// What the summaries say of the service's outages; of one whose end nobody told, until the
/// question is asked.
fn outages(case: &Case, summaries: &[Summary]) -> Vec<(Span, Side)> {
    let mut said: BTreeMap<Kid, (Vec<OutageSaid>, Places)> = BTreeMap::new();
    for summary in summaries {
        let (known, places) = said.entry(summary.agent).or_default();
        let of_service = |outage: &OutageSaid| outage.service.as_ref() == Some(&case.service);
        OutageSaid::of(summary).filter(of_service).for_each(|each| each.enter(known, places));
    }
    let end = summaries.iter().map(|summary| summary.to).max().unwrap_or_default();
    let as_of = case.facts.as_of.unwrap_or(end);
    let all = said.values().flat_map(|(known, _)| known);
    told::in_order(all.map(|each| (each.span(as_of), each.side)).collect())
}

/// What the summaries say of the services and their members.
fn observed(asked: &EvaluationRequest<'_>, summaries: &[Summary]) -> BTreeMap<String, Seen> {
    let contracts = || asked.versions.iter().map(|version| &version.contract);
    let wanted: BTreeSet<(&str, &str)> = asked
        .services
        .iter()
        .flat_map(|service| contracts().map(move |contract| (service, contract)))
        .flat_map(|(service, contract)| {
            let members = contract.members_of(service).unwrap_or_default();
            contract.service(service).into_iter().chain(members)
        })
        .flat_map(|each| each.probes.iter().map(|probe| (probe.as_str(), each.site.as_str())))
        .collect();
    let without_carrier = without_carrier(summaries);
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for summary in summaries {
        let carrier_down = &without_carrier[&summary.agent];
        for probe in &summary.probes {
            let named = probe.service.as_deref();
            let of_service =
                named.is_some_and(|of| contracts().any(|contract| contract.service(of).is_some()));
            if wanted.contains(&(probe.name.as_str(), summary.site.as_str()))
                || (of_service && wanted.iter().any(|(name, _)| *name == probe.name))
            {
                let seen = all.entry(probe.name.clone()).or_default();
                let intervals: Vec<Interval> = probe.intervals().filter_map(Result::ok).collect();
                if !carrier_down.is_empty() {
                    let own: Spans =
                        intervals.iter().map(|each| Span::new(each.from, each.to())).collect();
                    seen.carrier_down = seen.carrier_down.or(&carrier_down.and(&own));
                }
                seen.intervals.extend(intervals.into_iter().map(Arc::new));
            }
        }
    }
    for seen in all.values_mut() {
        seen.intervals.sort_by_key(|interval| interval.from);
    }
    all
}

/// When the links of each agent had no carrier.
fn without_carrier(summaries: &[Summary]) -> BTreeMap<Kid, Spans> {
    let mut all: BTreeMap<Kid, CarrierDown> = BTreeMap::new();
    for summary in summaries {
        all.entry(summary.agent).or_default().add(summary);
    }
    all.into_iter().map(|(agent, down)| (agent, down.spans())).collect()
}
