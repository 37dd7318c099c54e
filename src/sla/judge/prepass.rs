//! What was measured of a service as it stands before it is judged: its outages by themselves, for
//! laying another party's log beside them, and the instants across which stored intervals may not
//! be merged.

use std::collections::BTreeSet;

use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::sla::calendar::{Period, Stretch};
use crate::sla::facts::Facts;
use crate::sla::fault::Fault;
use crate::sla::judge::evaluation::Evaluation;
use crate::sla::judge::{InForce, VersionSpan, bounds, names};
use crate::sla::observed::Observed;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Contract, Metric, Side};

/// An outage that was measured, before exclusions and qualification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// When.
    pub span: Span,
    /// Whose side failed.
    pub side: Side,
}

/// A service in a period, before it is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What touches the period of the outages, by the first objective that looks at outcomes; in
    /// order.
    pub outages: Vec<Measured>,
    /// Where the time that some objective's figure is taken from begins or ends. An interval that
    /// has none of these strictly inside may stand for the minutes that it was merged of: they are
    /// all taken or all left out.
    pub boundaries: BTreeSet<Wall>,
}

/// Looks at what was measured of a service in a period.
///
/// # Errors
/// When the service is not the contract's, or the facts name what the contract has not; all at
/// once.
pub fn survey(
    contract: &Contract,
    service: &str,
    period: Period,
    observed: &Observed,
    facts: &Facts,
) -> Result<Survey, Vec<Fault>> {
    survey_one(contract, service, period, observed, facts, &Effort::unlimited())
}

fn survey_one(
    contract: &Contract,
    service: &str,
    period: Period,
    observed: &Observed,
    facts: &Facts,
    effort: &Effort<'_>,
) -> Result<Survey, Vec<Fault>> {
    let contract = contract.of(period)?;
    let faults = names::check(contract, service, period, facts);
    let Some(service) = contract.service(service).filter(|_| faults.is_empty()) else {
        return Err(faults);
    };
    if let Some(fault) = bounds::check(contract, &service.id, facts) {
        return Err(vec![fault]);
    }
    let version_span = VersionSpan::default();
    let evaluation =
        Evaluation::new(contract, service, period, Some(observed), facts, &version_span, effort);
    let happenings = evaluation.service_happenings();
    let mut survey = Survey::default();
    for each in happenings.iter().filter(|each| !each.span.and(evaluation.asked.span).is_empty()) {
        survey.outages.push(Measured { span: each.span, side: each.side.unwrap_or(Side::Unknown) });
    }
    let mut edges = |spans: &Spans| {
        survey.boundaries.extend(spans.iter().flat_map(|span| [span.from, span.to]))
    };
    edges(&evaluation.downtime());
    for objective in contract.objectives_of(&service.id) {
        let sampled = matches!(
            objective.metric,
            Metric::Rtt | Metric::Loss | Metric::Delivery | Metric::Jitter | Metric::Mos
        );
        if sampled {
            let stretch =
                Stretch::holding(objective.aggregate.every, evaluation.asked.last, evaluation.zone);
            let window = stretch.span.and(evaluation.scope);
            edges(&evaluation.ground(objective, &stretch, window, &happenings).base);
        }
    }
    survey.boundaries.extend(facts.as_of);
    Ok(survey)
}

/// The same by several versions: outages by the last of them, and the boundaries of all.
///
/// # Errors
/// When none of them can be judged by.
pub fn survey_by(
    versions: &[InForce],
    service: &str,
    period: Period,
    observed: &Observed,
    facts: &Facts,
) -> Result<Survey, Vec<Fault>> {
    survey_within(versions, service, period, observed, facts, &Effort::unlimited())
}

/// As [`survey_by`], as long as it may take; once the effort is spent, what this gives is not to be
/// believed.
///
/// # Errors
/// As there.
pub fn survey_within(
    versions: &[InForce],
    service: &str,
    period: Period,
    observed: &Observed,
    facts: &Facts,
    effort: &Effort<'_>,
) -> Result<Survey, Vec<Fault>> {
    let mut whole: Option<Survey> = None;
    let mut faults = Vec::new();
    for version in versions {
        match survey_one(&version.contract, service, period, observed, facts, effort) {
            Ok(mut surveyed) => {
                surveyed
                    .boundaries
                    .extend(whole.map(|earlier| earlier.boundaries).unwrap_or_default());
                surveyed.boundaries.extend([version.span.from, version.span.to]);
                whole = Some(surveyed);
            }
            // Facts may name what only another version has; judging finds out whether none has it.
            Err(found) => faults.extend(found),
        }
    }
    whole.ok_or(faults)
}
