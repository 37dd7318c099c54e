//! Times to restore and to notify: each outage belongs whole to the period in which it begins.

use crate::base::decimal::Exact;
use crate::base::time::Wall;
use crate::sla::calendar::Stretch;
use crate::sla::judge::outages::{self, Happening, Outage};
use crate::sla::judge::{Evaluation, Ground, Grown, Growth, Judged, compare, coverage, grown};
use crate::sla::report::Outcome;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{EventStatistic, Metric, Objective, Op, Unit};
use crate::sla::words;

pub(super) fn judge<'a>(
    evaluation: &Evaluation<'_>,
    objective: &'a Objective,
    stretch: Stretch,
    window: Span,
) -> Judged<'a> {
    let all = evaluation.service_happenings();
    let ground = evaluation.ground(objective, &stretch, window, &all);
    let now = evaluation.now(window);
    let happened: Vec<Happening> = all.into_iter().filter_map(|each| each.cut(now)).collect();
    let outages = counted(evaluation, objective, &ground, window, &happened);
    let times: Vec<Option<i128>> =
        outages.iter().map(|outage| time(objective, outage, &ground)).collect();
    let unknown = evaluation.unknown(None, &ground, &happened, now);
    let coverage = coverage(&ground.base, &unknown);
    let mut judged = Judged {
        coverage,
        provisional: now.is_some(),
        ..Judged::nothing(objective, stretch, String::new())
    };
    judged.steps.clear();
    judged.growth = growth(evaluation, objective, &outages, &times);
    let known: Vec<Exact> =
        times.iter().flatten().map(|&nanos| in_unit(nanos, objective.unit)).collect();
    let beyond =
        known.iter().filter(|time| !objective.op.holds(time, &objective.target.value)).count();
    judged.beyond = Some(beyond as u64);
    judged.growth.count = Exact::from(beyond as u64);
    judged.matter = outages;

    if given_or_none(evaluation, objective, now, &mut judged) {
        return judged;
    }
    let verb = if objective.metric == Metric::TimeToRestore { "restored" } else { "notified" };
    let lengths = words::lengths(times.iter().flatten().copied());
    judged.steps.push(format!("{} {verb}, after {lengths}", words::counted(known.len(), "outage")));
    if known.len() < times.len() {
        let missing = words::counted(times.len() - known.len(), "event");
        judged.steps.push(format!("{missing} without a notice: {}", Outcome::NotDetermined));
        return judged;
    }
    by_times(objective, (&known, beyond), now, &mut judged);
    judged
}

/// Judges by the value that the facts give, or what needs none since nothing happened; false where
/// the times decide.
fn given_or_none(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    now: Option<Wall>,
    judged: &mut Judged<'_>,
) -> bool {
    if let Some(value) = evaluation.facts.values.get(&objective.id) {
        judged.steps.push(format!("the facts give {} {}", value.written, objective.unit));
        let compared = compare(objective, &value.value);
        judged.steps.extend(compared.steps);
        judged.exact = Some(value.written.clone());
        judged.actual = Some(compared.actual);
        judged.outcome = if now.is_some() { Outcome::NotDetermined } else { compared.outcome };
        return true;
    }
    if judged.matter.is_empty() {
        judged.steps.push("nothing happened".to_owned());
        judged.exact = Some("0".to_owned());
        judged.actual = Some(Exact::zero());
        judged.outcome = if now.is_some() { Outcome::NotDetermined } else { Outcome::Met };
        judged.steps.push(format!("0 {}: {}", objective.unit, judged.outcome));
        return true;
    }
    false
}

/// Judges by how long each took, in the objective's unit; there is one at least, and so many are
/// beyond the target.
fn by_times(
    objective: &Objective,
    (known, beyond): (&[Exact], usize),
    now: Option<Wall>,
    judged: &mut Judged<'_>,
) {
    let statistic = objective.aggregate.statistic.unwrap_or(EventStatistic::Each);
    let exact = match statistic {
        EventStatistic::Mean => {
            let sum: Exact = known.iter().cloned().sum();
            sum.over(&Exact::from(known.len() as u64)).expect("there is one at least")
        }
        EventStatistic::Max | EventStatistic::Each => {
            known.iter().max().cloned().expect("there is one at least")
        }
    };
    let text = exact.trimmed(6);
    let what = match statistic {
        EventStatistic::Mean => "their mean",
        EventStatistic::Max => "the longest",
        EventStatistic::Each => "each counts, and the worst",
    };
    judged.steps.push(format!(
        "{what} is {text} {}; beyond the target: {}",
        objective.unit,
        words::number(beyond)
    ));
    let compared = compare(objective, &exact);
    judged.steps.extend(compared.steps);
    judged.exact = Some(text);
    judged.actual = Some(compared.actual);
    judged.outcome = compared.outcome;
    let lasts = judged.matter.iter().any(|outage| outage.lasts);
    if now.is_some() || lasts {
        // What lasts only grows; a mean may still fall with what is to come.
        let grows = matches!(objective.op, Op::AtMost | Op::Below);
        let certain = grows && (now.is_none() || statistic != EventStatistic::Mean);
        judged.outcome = match compared.outcome {
            Outcome::Breached if certain => Outcome::Breached,
            _ => Outcome::NotDetermined,
        };
        let why = now.map_or("an outage still lasts".to_owned(), |now| {
            format!("the period still runs at {now}")
        });
        judged.steps.push(format!("{why}: {}", judged.outcome));
    }
}

/// The outages of the provider's or of nobody's side that begin in the window, are not excluded
/// whole, touch the hours, and are long enough.
fn counted(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    ground: &Ground,
    window: Span,
    happened: &[Happening],
) -> Vec<Outage> {
    let joined = evaluation.provider_outages(happened, Some(objective));
    let kept = joined.into_iter().filter(|outage| {
        let whole = Spans::from(outage.event);
        let whole = ground.hours.as_ref().map_or(whole.clone(), |hours| whole.and(hours));
        let instant = outage.event.is_empty();
        let excluded = !whole.is_empty() && whole.minus(&ground.excluded.downtime).is_empty();
        let inside = !whole.is_empty() || (instant && ground.hours.is_none());
        !excluded && inside && window.holds(outage.event.from) && evaluation.owns(outage)
    });
    match &objective.qualify {
        Some(terms) => outages::long_enough(kept.collect(), terms),
        None => kept.collect(),
    }
}

/// How long it took, in nanoseconds; absent where nobody was told.
fn time(objective: &Objective, outage: &Outage, ground: &Ground) -> Option<i128> {
    let parts = match objective.metric {
        Metric::TimeToNotify => Spans::from(Span::new(outage.event.from, outage.notified?)),
        _ => outage.by_ticket().unwrap_or_else(|| outage.event.into()),
    };
    Some(ground.hours.as_ref().map_or(parts.clone(), |hours| parts.and(hours)).nanos())
}

fn in_unit(nanos: i128, unit: Unit) -> Exact {
    let seconds = Exact::seconds(nanos);
    if unit == Unit::Ms { &seconds * &Exact::from(1000) } else { seconds }
}

fn growth(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    outages: &[Outage],
    times: &[Option<i128>],
) -> Growth {
    let mut days: Vec<_> =
        outages.iter().map(|outage| evaluation.zone.day(outage.event.from)).collect();
    days.sort_unstable();
    days.dedup();
    let each = outages.iter().zip(times).enumerate();
    let events: Vec<Grown> =
        each.map(|(at, (outage, time))| grown(evaluation, at, outage, time.unwrap_or(0))).collect();
    Growth {
        downtime: events.iter().map(|each| each.length.clone()).sum(),
        excess: Exact::zero(),
        ticketed: events.iter().any(|each| each.ticketed),
        events,
        days,
        count: evaluation.count(objective),
    }
}
