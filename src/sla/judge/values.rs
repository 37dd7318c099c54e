//! Objectives whose actual is a figure: delay, loss, delivery, jitter, score, and plain counts.

use crate::base::decimal::{Exact, Rounding};
use crate::base::time::Wall;
use crate::sla::calendar::Stretch;
use crate::sla::judge::outages::{Happening, Outage};
use crate::sla::judge::{Evaluation, Ground, Growth, Judged, claims, compare, coverage};
use crate::sla::observed;
use crate::sla::report::Outcome;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Metric, Objective, Op, Severity, Statistic};

/// Delay, loss, delivery, jitter or score: as the facts give it, else as it was measured.
pub(super) fn judge<'a>(
    evaluation: &Evaluation<'_>,
    objective: &'a Objective,
    stretch: Stretch,
    window: Span,
) -> Judged<'a> {
    let happenings = evaluation.service_happenings();
    let ground = evaluation.ground(objective, &stretch, window, &happenings);
    let now = evaluation.now(window);
    let happened: Vec<Happening> =
        happenings.into_iter().filter_map(|each| each.cut(now)).collect();
    let known = measured_time(evaluation, objective);
    let unknown = evaluation.unknown(known.as_ref(), &ground, &happened, now);
    let coverage = coverage(&ground.base, &unknown);
    let mut judged = Judged {
        coverage,
        provisional: now.is_some(),
        ..Judged::nothing(objective, stretch, String::new())
    };
    judged.steps.clear();
    (judged.growth, judged.matter) = growth(evaluation, objective, window, now);
    if !actual(evaluation, objective, &ground, now, &mut judged) {
        judged.steps.push(format!("no value is known: {}", judged.outcome));
        return judged;
    }
    let least =
        objective.measure.as_ref().map_or_else(Exact::zero, |measure| measure.min_coverage.clone());
    let text = judged.coverage.fixed(6, Rounding::Down);
    if judged.coverage < least {
        judged.outcome = Outcome::NotDetermined;
        judged.steps.push(format!("coverage is {text} %, below {least} %: {}", judged.outcome));
    } else if let Some(now) = now {
        // Only what cannot fall again is certain before the end.
        let statistic = objective.measure.as_ref().and_then(|measure| measure.statistic);
        let highest = matches!(statistic, Some(Statistic::Max | Statistic::Rfc3550Max));
        let certain =
            highest && matches!(objective.op, Op::AtMost | Op::Below) && judged.is_breached();
        judged.outcome = if certain { Outcome::Breached } else { Outcome::NotDetermined };
        judged.steps.push(format!("the period still runs at {now}: {}", judged.outcome));
    }
    judged
}

/// When the objective's probes know anything; absent where nothing is measured.
fn measured_time(evaluation: &Evaluation<'_>, objective: &Objective) -> Option<Spans> {
    let (observed, measure) = (evaluation.observed?, objective.measure.as_ref()?);
    if evaluation.facts.values.contains_key(&objective.id) {
        return None;
    }
    let (service, rule) = (&evaluation.service.id, observed::knowing());
    Some(
        observed::timeline(
            observed,
            evaluation.contract,
            service,
            &measure.probes,
            &rule,
            evaluation.effort,
        )
        .known(),
    )
}

/// Finds and compares the actual; false when there is none.
fn actual(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    ground: &Ground,
    now: Option<Wall>,
    judged: &mut Judged<'_>,
) -> bool {
    let (exact, text) = if let Some(value) = evaluation.facts.values.get(&objective.id) {
        judged.steps.push(format!("the facts give {} {}", value.written, objective.unit));
        (value.value.clone(), value.written.clone())
    } else {
        let Some(observed) = evaluation.observed else { return false };
        let only = objective.measure.as_ref().is_some_and(|measure| measure.only_while_available);
        let down = if only { evaluation.downtime() } else { Spans::none() };
        let until =
            Span::new(Wall::from_nanos(i64::MIN), now.unwrap_or(Wall::from_nanos(i64::MAX)));
        let base = ground.base.within(until);
        let service = &evaluation.service.id;
        let Some(figure) = observed::figure(
            observed,
            evaluation.contract,
            service,
            objective,
            (&base, &down),
            evaluation.effort,
        ) else {
            return false;
        };
        let text = match objective.metric {
            Metric::Loss | Metric::Delivery => figure.exact.fixed(6, Rounding::Down),
            Metric::Rtt if shares(objective) => figure.exact.fixed(6, Rounding::Down),
            _ => figure.exact.trimmed(6),
        };
        if only && !down.is_empty() {
            judged
                .steps
                .push("intervals that touch the service's downtime are left out whole".to_owned());
        }
        judged.steps.push(format!("{}: {text} {}", figure.step, objective.unit));
        (figure.exact, text)
    };
    let compared = compare(objective, &exact);
    judged.steps.extend(compared.steps);
    judged.outcome = compared.outcome;
    judged.actual = Some(compared.actual);
    judged.exact = Some(text);
    true
}

fn shares(objective: &Objective) -> bool {
    objective
        .measure
        .as_ref()
        .is_some_and(|measure| measure.statistic == Some(Statistic::ShareOver))
}

/// A count is what the facts say.
pub(super) fn count<'a>(
    evaluation: &Evaluation<'_>,
    objective: &'a Objective,
    stretch: Stretch,
    window: Span,
) -> Judged<'a> {
    let now = evaluation.now(window);
    let mut judged =
        Judged { provisional: now.is_some(), ..Judged::nothing(objective, stretch, String::new()) };
    judged.coverage = Exact::hundred();
    judged.steps.clear();
    (judged.growth, judged.matter) = growth(evaluation, objective, window, now);
    let given =
        evaluation.facts.counts.get(&objective.id).map(|count| (count.clone(), count.trimmed(6)));
    let given = given.or_else(|| {
        evaluation
            .facts
            .values
            .get(&objective.id)
            .map(|value| (value.value.clone(), value.written.clone()))
    });
    let Some((exact, text)) = given else {
        judged.steps.push(format!("the facts give no count: {}", judged.outcome));
        return judged;
    };
    judged.steps.push(format!("the facts count {text}"));
    judged.growth.count = exact.clone();
    let compared = compare(objective, &exact);
    judged.steps.extend(compared.steps);
    judged.outcome = compared.outcome;
    judged.actual = Some(compared.actual);
    judged.exact = Some(text);
    if let Some(now) = now {
        // A count only rises.
        let at_most = matches!(objective.op, Op::AtMost | Op::Below);
        let certain = at_most == judged.is_breached();
        judged.outcome = if certain { judged.outcome } else { Outcome::NotDetermined };
        judged.steps.push(format!("the period still runs at {now}: {}", judged.outcome));
    }
    judged
}

/// What a remedy may grow with, and the events that matter for its claim: where a ticket is
/// required, all that may bring one, else those that are told as degraded, since an outage by
/// itself says nothing of delay, loss or jitter.
fn growth(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    window: Span,
    now: Option<Wall>,
) -> (Growth, Vec<Outage>) {
    let requires = objective.remedy.as_ref().is_some_and(|remedy| remedy.requires_ticket);
    let of = |severity: Option<Severity>| {
        let happened = evaluation.all_happenings().into_iter();
        let happened = happened.filter(|each| severity.is_none() || each.severity == severity);
        let happened: Vec<Happening> = happened.filter_map(|each| each.cut(now)).collect();
        let mut outages = evaluation.provider_outages(&happened, Some(objective));
        outages.retain(|outage| !outage.event.and(window).is_empty() && evaluation.owns(outage));
        outages
    };
    let matter = if requires { of(None) } else { of(Some(Severity::Degraded)) };
    let growth = Growth {
        count: evaluation.count(objective),
        ticketed: matter.iter().any(|outage| claims::ticketed(evaluation, outage)),
        ..Growth::default()
    };
    (growth, matter)
}

impl Evaluation<'_> {
    /// When the service was down by any of its objectives' definitions.
    pub(super) fn downtime(&self) -> Spans {
        match self.timelines.is_empty() {
            true => self.told().iter().map(|each| each.span).collect(),
            false => self.timelines.down(),
        }
    }
}
