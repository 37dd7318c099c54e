//! The earlier periods that judging one looks at: which they are, and what a later period needs to
//! know of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::decimal::Exact;
use crate::base::effort::Effort;
use crate::sla::as_text::text;
use crate::sla::calendar::{Day, Period};
use crate::sla::evaluate::{EvaluationRequest, Measurements};
use crate::sla::facts::{Event, Previous};
use crate::sla::judge::{InForce, Measured, judging};
use crate::sla::printed::Printed;
use crate::sla::reach;
use crate::sla::report::{Outcome, Report};

/// No earlier period is looked at that ended more days before the one that is asked for.
const LOOK_BACK: i64 = 800;

/// What a later period needs to know of one that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// Which.
    #[serde(serialize_with = "text::serialize")]
    pub period: Period,
    /// The objectives that were breached in it, each once.
    pub breached: BTreeSet<String>,
    /// What was paid for it: a decimal, as its report writes it.
    pub credit: String,
    /// The outages that were measured in it.
    #[serde(rename = "events")]
    pub outages: Vec<Measured>,
}

impl Earlier {
    /// By its report: what of its own was breached, and what was paid.
    #[must_use]
    pub fn of(report: &Report, outages: Vec<Measured>) -> Self {
        let verdicts = report
            .objectives
            .iter()
            .map(|each| (&each.id, each.result, each.period.is_none() && !each.provisional));
        Self::new(report.period, verdicts, &report.credit, outages)
    }

    /// As [`Self::of`], by a report that was kept.
    #[must_use]
    pub fn of_printed(report: &Printed, outages: Vec<Measured>) -> Self {
        let verdicts = report
            .objectives
            .iter()
            .map(|each| (&each.id, each.result, each.period.is_none() && !each.provisional));
        Self::new(report.period, verdicts, &report.credit, outages)
    }

    /// Of each verdict, the objective, the result, and whether it is final and the period's own.
    fn new<'a>(
        period: Period,
        verdicts: impl Iterator<Item = (&'a String, Outcome, bool)>,
        credit: &str,
        outages: Vec<Measured>,
    ) -> Self {
        let breached = verdicts.filter(|(_, result, own)| *own && *result == Outcome::Breached);
        let breached = breached.map(|(id, ..)| id.clone()).collect();
        Self { period, breached, credit: credit.to_owned(), outages }
    }

    /// As far as it matters for another period: objectives that the versions which judge that do
    /// not have are left out. What was paid for a period of another length is paid in those of this
    /// length already, and their outages are told there.
    fn among(&self, versions: &[InForce], asked: Period) -> Self {
        let mut own = self.clone();
        let has = |version: &InForce, id: &str| {
            version.contract.of(asked).unwrap_or(&version.contract).objective(id).is_some()
        };
        own.breached.retain(|id| judging(versions, asked).any(|version| has(version, id)));
        if std::mem::discriminant(&own.period.every(1)) != std::mem::discriminant(&asked.every(1)) {
            "0".clone_into(&mut own.credit);
            own.outages.clear();
        }
        own
    }

    /// The same as a fact.
    pub(super) fn fact(&self) -> Previous {
        let event = |outage: &Measured| Event {
            from: outage.span.from,
            to: Some(outage.span.to),
            side: Some(outage.side),
            severity: None,
            notified: None,
            ticket: None,
            service: None,
        };
        Previous {
            period: self.period,
            breached: self.breached.iter().cloned().collect(),
            credit: Exact::parse(&self.credit).expect("a report writes it as a decimal"),
            events: self.outages.iter().map(event).collect(),
        }
    }
}

/// For each service, the earlier periods that its terms look at, the earliest first. What the facts
/// say of one themselves holds instead.
pub(super) fn of<M: Measurements>(
    measurements: &mut M,
    asked: &EvaluationRequest<'_>,
    effort: &Effort<'_>,
) -> Result<Vec<Vec<Earlier>>, M::Error> {
    let EvaluationRequest { versions, services, period, facts } = *asked;
    let told: BTreeSet<Period> = facts.previous.iter().map(|previous| previous.period).collect();
    let mut wanted: Vec<BTreeSet<(Day, Period)>> = Vec::new();
    for service in services {
        wanted.push(by_terms(measurements, asked, service)?);
    }
    let mut known: BTreeMap<Period, BTreeMap<String, Earlier>> = BTreeMap::new();
    for (_, earlier) in wanted.iter().flatten().copied().collect::<BTreeSet<_>>() {
        if effort.is_spent() {
            break;
        }
        if !told.contains(&earlier) {
            known.insert(earlier, measurements.earlier(services, earlier)?);
        }
    }
    let of_service = |(service, wanted): (&String, BTreeSet<(Day, Period)>)| {
        let own = wanted.iter().filter_map(|(_, earlier)| known.get(earlier)?.get(service));
        own.map(|earlier| earlier.among(versions, period)).collect()
    };
    Ok(services.iter().zip(wanted).map(of_service).collect())
}

/// The earlier periods that a service's terms look at, as far as anything is kept of them.
fn by_terms<M: Measurements>(
    measurements: &mut M,
    asked: &EvaluationRequest<'_>,
    service: &str,
) -> Result<BTreeSet<(Day, Period)>, M::Error> {
    let mut wanted = BTreeSet::new();
    let mut zone = None;
    for version in judging(asked.versions, asked.period) {
        let earlier = reach::earlier(&version.contract, service, asked.period);
        wanted.extend(earlier.into_iter().map(|period| (period.last(), period)));
        zone = Some(&version.contract.agreement.timezone);
    }
    let Some(zone) = zone.filter(|_| !wanted.is_empty()) else { return Ok(wanted) };
    let Some(begun) = measurements.begun(service)? else { return Ok(BTreeSet::new()) };
    let first = zone.day(begun).max(asked.period.last().plus(-LOOK_BACK));
    wanted.retain(|(last, _)| *last >= first);
    Ok(wanted)
}
