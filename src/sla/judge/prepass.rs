//! What was measured of a service as it stands before it is judged: its outages by themselves, for
//! laying another party's log beside them, and the instants across which stored intervals may not
//! be merged.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::time::Wall;
use crate::sla::as_text::word;
use crate::sla::calendar::Stretch;
use crate::sla::fault::Fault;
use crate::sla::judge::evaluation::{Evaluation, Measurement};
use crate::sla::judge::{InForce, Prepared, Question, VersionSpan, check};
use crate::sla::observed::Observed;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::Side;

/// An outage that was measured, before exclusions and qualification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// Whose side failed.
    #[serde(serialize_with = "word::serialize")]
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

impl Prepared<'_> {
    /// Looks at what was measured: outages by the last of the versions, the boundaries of all. A
    /// version that cannot be judged by adds nothing: judging tells what is wrong. Once the effort
    /// is spent, what this gives is not to be believed.
    #[must_use]
    pub fn survey(&self, observed: &Observed) -> Survey {
        let mut whole = Survey::default();
        for (version, timelines) in &self.versions {
            let measured = Measurement { observed: Some(observed), timelines };
            if let Ok(Survey { outages, boundaries }) = survey(version, self.question, measured) {
                whole.outages = outages;
                whole.boundaries.extend(boundaries);
            }
        }
        whole
    }
}

fn survey(
    version: &InForce,
    question: Question<'_>,
    measured: Measurement<'_>,
) -> Result<Survey, Vec<Fault>> {
    let contract = version.contract.of(question.period)?;
    let service = check(contract, question, true)?;
    let version_span = VersionSpan::default();
    let evaluation = Evaluation::new(contract, service, question, measured, &version_span);
    let happenings = evaluation.service_happenings();
    let mut survey = Survey::default();
    for each in happenings.iter().filter(|each| !each.span.and(evaluation.asked.span).is_empty()) {
        survey.outages.push(Measured { span: each.span, side: each.side.unwrap_or(Side::Unknown) });
    }
    let mut edges = |spans: &Spans| {
        survey.boundaries.extend(spans.iter().flat_map(|span| [span.from, span.to]))
    };
    edges(&evaluation.downtime());
    for objective in contract.objectives_of(&service.id).filter(|each| each.samples()) {
        let stretch =
            Stretch::holding(objective.aggregate.every, evaluation.asked.last, evaluation.zone);
        let window = stretch.span.and(evaluation.scope);
        edges(&evaluation.ground(objective, &stretch, window, &happenings).base);
    }
    survey.boundaries.extend(question.facts.as_of);
    survey.boundaries.extend([version.span.from, version.span.to]);
    Ok(survey)
}
