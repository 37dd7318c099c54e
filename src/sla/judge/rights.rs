//! Rights to terminate: when their conditions came to be fulfilled.
//!
//! A right accrues on the day on which its condition comes to be fulfilled; while it stays
//! fulfilled it does not accrue again. For outages count the sides provider and unknown, after
//! exclusions and before they have to qualify.

use std::time::Duration;

use crate::base::time::{Wall, nanos_of};
use crate::sla::calendar::{Day, Stretch};
use crate::sla::judge::outages::{self, Happening, Outage};
use crate::sla::judge::{Evaluation, Judged, exclusions};
use crate::sla::report::Right;
use crate::sla::terms::{Condition, SpanWord};
use crate::sla::words;

/// The rights that accrued in the period asked for, each once, at its earliest accrual.
pub(super) fn accrued(evaluation: &Evaluation<'_>, judged: &[Judged<'_>]) -> Vec<Right> {
    if evaluation.contract.terminations.is_empty() {
        return Vec::new();
    }
    let outages = outages(evaluation);
    let mut rights = Vec::new();
    for termination in &evaluation.contract.terminations {
        let all = termination
            .any
            .iter()
            .flat_map(|condition| accruals(evaluation, judged, &outages, condition));
        let inside = all.filter(|(day, _)| {
            evaluation.asked.first <= *day
                && *day <= evaluation.asked.last
                && evaluation.is_past(*day)
        });
        let Some((accrued, why)) = inside.min_by_key(|(day, _)| *day) else { continue };
        rights.push(Right {
            id: termination.id.clone(),
            accrued,
            exercise_by: accrued.plus(i64::from(termination.exercise_within_days)),
            by: termination.by,
            why,
        });
    }
    rights
}

impl Evaluation<'_> {
    /// Whether a day has come, as far as the facts say when they are from.
    fn is_past(&self, day: Day) -> bool {
        self.facts.as_of.is_none_or(|at| day <= self.zone.day(at))
    }
}

fn outages(evaluation: &Evaluation<'_>) -> Vec<Outage> {
    let now = evaluation.facts.as_of;
    let happened: Vec<Happening> =
        evaluation.service_happenings().into_iter().filter_map(|each| each.cut(now)).collect();
    let excluded =
        exclusions::excluded(&evaluation.claimed, None, &evaluation.asked, evaluation.zone);
    let left = outages::keep(evaluation.provider_outages(&happened, None), |parts| {
        parts.minus(&excluded.downtime)
    });
    left.into_iter()
        .filter(|outage| evaluation.owns(outage) && evaluation.scope.holds(outage.begins()))
        .collect()
}

/// The days on which so many outages that were longer than a time came to lie within so many days.
fn frequent(
    evaluation: &Evaluation<'_>,
    outages: &[Outage],
    (count, longer_than, within_days): (usize, Duration, u32),
) -> Vec<(Day, String)> {
    let least = i128::from(nanos_of(longer_than));
    let long: Vec<&Outage> =
        outages.iter().filter(|outage| !outage.lasts && outage.nanos() > least).collect();
    let begins = |at: usize| evaluation.zone.day(long[at].begins());
    let fulfilled = |end: usize| {
        let Some(start) = (end + 1).checked_sub(count) else { return false };
        begins(end).since(begins(start)) < i64::from(within_days)
    };
    let came = (0..long.len())
        .filter(|&end| fulfilled(end) && (end == 0 || count == 1 || !fulfilled(end - 1)));
    let (told, least) = (words::counted(count, "outage"), words::seconds(least));
    let why = format!("{told} longer than {least} within {within_days} days");
    came.map(|end| {
        let day = long[end].parts.hull().map_or(long[end].event.to, |hull| hull.to);
        (evaluation.zone.day(day), why.clone())
    })
    .collect()
}

/// The days on which a condition came to be fulfilled, and why.
fn accruals(
    evaluation: &Evaluation<'_>,
    judged: &[Judged<'_>],
    outages: &[Outage],
    condition: &Condition,
) -> Vec<(Day, String)> {
    match condition {
        Condition::Events { events, longer_than, within_days } => {
            let of = (*events as usize, *longer_than, *within_days);
            frequent(evaluation, outages, of)
        }
        Condition::DowntimeOver { limit, period } => {
            passed(evaluation, outages, i128::from(nanos_of(*limit)), *period)
        }
        Condition::Consecutive { objective, consecutive } => breached(
            evaluation,
            judged,
            objective,
            |evaluation, judged| {
                evaluation.breached_in_a_row(&judged.stretch, objective) + 1
                    == *consecutive as usize
            },
            &format!("{consecutive} breached periods of {objective:?} in a row"),
        ),
        Condition::Times { objective, times, of_periods } => breached(
            evaluation,
            judged,
            objective,
            |evaluation, judged| {
                let of = *of_periods as usize;
                let held: Vec<bool> = evaluation
                    .earlier(&judged.stretch)
                    .take(of)
                    .map(|period| evaluation.was_breached(period, objective))
                    .collect();
                let count = |held: &[bool]| held.iter().filter(|held| **held).count();
                // With this period, and without it as of the one before.
                count(&held[..of - 1]) + 1 >= *times as usize && count(&held) < *times as usize
            },
            &format!("{times} breached periods of {objective:?} among {of_periods}"),
        ),
    }
}

/// The last day of the period that an objective is judged on, when it is breached, has ended, and
/// the condition holds.
fn breached(
    evaluation: &Evaluation<'_>,
    judged: &[Judged<'_>],
    objective: &str,
    holds: impl Fn(&Evaluation<'_>, &Judged<'_>) -> bool,
    why: &str,
) -> Vec<(Day, String)> {
    let all = judged
        .iter()
        .filter(|each| each.objective.id == objective && each.is_breached() && !each.provisional);
    all.filter(|each| holds(evaluation, each))
        .map(|each| (each.stretch.last, why.to_owned()))
        .collect()
}

/// The local day on which a period's downtime passed a limit, for each of the periods that the one
/// asked for touches.
fn passed(
    evaluation: &Evaluation<'_>,
    outages: &[Outage],
    limit: i128,
    period: SpanWord,
) -> Vec<(Day, String)> {
    let mut days = Vec::new();
    let mut day = evaluation.asked.first;
    while day <= evaluation.asked.last {
        let stretch = Stretch::holding(period.every(), day, evaluation.zone);
        let window = stretch.span.and(evaluation.scope);
        let mut so_far = 0i128;
        let mut passed: Option<Wall> = None;
        for span in outages.iter().flat_map(|outage| outage.parts.iter()) {
            let inside = span.and(window);
            if inside.is_empty() || passed.is_some() {
                continue;
            }
            let room = limit - so_far;
            so_far += inside.nanos();
            if so_far > limit {
                passed = Some(inside.from.shifted(i64::try_from(room).unwrap_or(i64::MAX)));
            }
        }
        if let Some(at) = passed {
            days.push((
                evaluation.zone.day(at),
                format!("downtime of {} above {}", stretch.name, words::seconds(limit)),
            ));
        }
        if stretch.last < day {
            break;
        }
        day = stretch.last.plus(1);
        if day == stretch.last {
            break;
        }
    }
    days
}
