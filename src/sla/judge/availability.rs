//! Availability: 1 − qualified downtime / the period.

use crate::base::decimal::{Exact, Rounding};
use crate::base::time::Wall;
use crate::sla::calendar::Stretch;
use crate::sla::judge::outages::{self, Counting, Happening, Outage};
use crate::sla::judge::{
    Compared, Evaluation, Ground, Growth, Judged, claims, compare, coverage, grown,
};
use crate::sla::reader::Figure;
use crate::sla::report::{Budget, Outcome};
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Definition, Objective, OutageTerms, Unit, UnknownIs};
use crate::sla::words;

/// What is left of what happened once everything that does not count is taken away.
struct Tally {
    outages: Vec<Outage>,
    /// Qualified downtime in the window, in nanoseconds.
    downtime: i128,
    /// Downtime in the window that exclusions removed.
    removed: i128,
    /// How many outages there were before they had to qualify.
    before: usize,
}

pub(super) fn judge<'a>(
    evaluation: &Evaluation<'_>,
    objective: &'a Objective,
    stretch: Stretch,
    window: Span,
) -> Judged<'a> {
    let Some(terms) = &objective.outage else {
        return Judged::nothing(objective, stretch, "no outage is defined".to_owned());
    };
    let mut steps = Vec::new();
    let seen = seen(evaluation, objective, terms, &stretch, window, &mut steps);
    let Seen { ground, now, happened, coverage } = &seen;
    let tally = tally(evaluation, objective, terms, ground, window, happened);
    tell(&tally, ground, window, &mut steps);

    let Some(length) = length(objective, ground) else {
        let why = "exclusions and hours leave nothing of the period".to_owned();
        let nothing = Judged::nothing(objective, stretch, why);
        return Judged { provisional: now.is_some(), ..nothing };
    };
    let given = evaluation.facts.values.get(&objective.id);
    let (exact, text) = match given {
        Some(value) => taken(value, objective, &mut steps),
        None => worked_out(&tally, &length, &stretch, objective, &mut steps),
    };
    let given = given.is_some();
    let compared = compare(objective, &exact);
    steps.extend(compared.steps.iter().cloned());
    let at_worst =
        if given { None } else { worst(evaluation, objective, terms, window, &seen, &length) };
    let least = objective.measure.as_ref().map(|measure| &measure.min_coverage);
    let enough = least.is_none_or(|least| coverage >= least);
    let outcome = settle(&compared, &Certain { now: *now, given, at_worst, enough }, &mut steps);
    if let Some(least) = least.filter(|_| !enough) {
        steps.push(too_little(coverage, least, outcome));
    }
    let budget =
        (now.is_some() && !given).then(|| budget(objective, &length, tally.downtime, &mut steps));
    let growth =
        growth(evaluation, objective, window, &tally, &length, given.then_some(&compared.actual));
    Judged {
        objective,
        stretch,
        outcome,
        provisional: now.is_some(),
        actual: Some(compared.actual),
        exact: Some(text),
        coverage: seen.coverage,
        downtime: Some(tally.downtime),
        excluded: Some(tally.removed),
        beyond: None,
        growth,
        budget,
        matter: tally.outages,
        earned: None,
        credit: Exact::zero(),
        steps,
    }
}

/// What was seen up to now.
struct Seen {
    ground: Ground,
    /// While the period runs: where it stands.
    now: Option<Wall>,
    happened: Vec<Happening>,
    /// Known time in percent.
    coverage: Exact,
}

fn seen(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    terms: &OutageTerms,
    stretch: &Stretch,
    window: Span,
    steps: &mut Vec<String>,
) -> Seen {
    let all = evaluation.happenings(objective);
    let ground = evaluation.ground(objective, stretch, window, &all);
    let now = evaluation.now(window);
    let mut happened: Vec<Happening> = all.into_iter().filter_map(|each| each.cut(now)).collect();
    let known = evaluation.timelines.get(objective).map(super::Timeline::known);
    let unknown = evaluation.unknown(known.as_ref(), &ground, &happened, now);
    let unknown = still_unknown(terms, unknown, &mut happened, steps);
    let coverage = coverage(&ground.base, &unknown);
    Seen { ground, now, happened, coverage }
}

/// The actual that the facts give, and as it is written there.
fn taken(value: &Figure, objective: &Objective, steps: &mut Vec<String>) -> (Exact, String) {
    let Figure { value, written } = value;
    steps.push(format!("the facts give {written} {}, which wins over the events", objective.unit));
    (value.clone(), written.clone())
}

/// The actual that the downtime gives, and as text.
fn worked_out(
    tally: &Tally,
    length: &Exact,
    stretch: &Stretch,
    objective: &Objective,
    steps: &mut Vec<String>,
) -> (Exact, String) {
    let computed = share_up(tally.downtime, length, objective.unit);
    let text = computed.fixed(6, Rounding::Down);
    steps.push(arithmetic(tally, length, stretch, objective, &text));
    (computed, text)
}

/// What of the unknown time stays unknown, where the contract does not say that it counts as up or
/// as down.
fn still_unknown(
    terms: &OutageTerms,
    unknown: Spans,
    happened: &mut Vec<Happening>,
    steps: &mut Vec<String>,
) -> Spans {
    if unknown.is_empty() || terms.unknown_is == UnknownIs::Unknown {
        return unknown;
    }
    let length = words::seconds(unknown.nanos());
    steps.push(format!("{length} are unknown and count as {}", terms.unknown_is));
    if terms.unknown_is == UnknownIs::Down {
        happened.extend(unknown.iter().map(Happening::unknown));
    }
    Spans::none()
}

/// That less is known than the contract asks for.
fn too_little(coverage: &Exact, least: &Exact, outcome: Outcome) -> String {
    let coverage = coverage.fixed(6, Rounding::Down);
    match outcome {
        Outcome::Breached => {
            format!("coverage is {coverage} %, below {least} %; the target is missed all the same")
        }
        _ => format!("coverage is {coverage} %, below {least} %: {outcome}"),
    }
}

/// How much downtime the target allows, and how much of it is left.
fn budget(
    objective: &Objective,
    length: &Exact,
    downtime: i128,
    steps: &mut Vec<String>,
) -> Budget {
    let target = &objective.target.value;
    let up = if objective.unit == Unit::Percent { target.hundredth() } else { target.clone() };
    let allowed = &(&Exact::one() - &up) * length;
    let left = &allowed - &Exact::seconds(downtime);
    steps.push(match left.is_negative() {
        true => format!(
            "the target allows {allowed} s of downtime, which is exceeded by {} s",
            left.abs()
        ),
        false => format!("the target allows {allowed} s of downtime, of which {left} s are left"),
    });
    Budget { allowed_s: allowed.trimmed(6), left_s: left.trimmed(6) }
}

/// What is certain, and what is not.
struct Certain {
    /// While the period runs: where it stands.
    now: Option<Wall>,
    /// Whether the actual is given, not worked out.
    given: bool,
    /// While it runs: how it ends if all that is to come is bad.
    at_worst: Option<Outcome>,
    /// Whether enough is known.
    enough: bool,
}

fn settle(compared: &Compared, certain: &Certain, steps: &mut Vec<String>) -> Outcome {
    let Some(now) = certain.now else {
        return if compared.outcome == Outcome::Met && !certain.enough {
            Outcome::NotDetermined
        } else {
            compared.outcome
        };
    };
    if certain.given {
        steps.push(format!(
            "the period still runs at {now}, so a given value is not final: not_determined"
        ));
        return Outcome::NotDetermined;
    }
    match (compared.outcome, certain.at_worst) {
        (Outcome::Breached, _) => {
            steps.push(format!(
                "the period still runs at {now}; even if all that is to come is good: breached"
            ));
            Outcome::Breached
        }
        (_, Some(Outcome::Met)) if certain.enough => {
            steps.push(format!(
                "the period still runs at {now}; even if all that is to come is bad: met"
            ));
            Outcome::Met
        }
        _ => {
            steps.push(format!(
                "the period still runs at {now}, and nothing is certain yet: not_determined"
            ));
            Outcome::NotDetermined
        }
    }
}

fn tally(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    terms: &OutageTerms,
    ground: &Ground,
    window: Span,
    happened: &[Happening],
) -> Tally {
    let by_ticket = terms.definition == Definition::Ticket;
    let counting = Counting { sides: &terms.sides, severity: objective.severity, by_ticket };
    let joined = outages::joined(happened, evaluation.contract, &evaluation.service.id, &counting);
    let owned = |outage: Outage| {
        if evaluation.owns(&outage) { Some(outage) } else { outage.without_events() }
    };
    let joined: Vec<Outage> = joined.into_iter().filter_map(owned).collect();
    let inside = match &ground.hours {
        Some(hours) => outages::keep(joined, |parts| parts.and(hours)),
        None => outages::keep(joined, Clone::clone),
    };
    let removed = inside
        .iter()
        .map(|outage| outage.parts.and(&ground.excluded.downtime).within(window).nanos())
        .sum();
    let left = outages::keep(inside, |parts| parts.minus(&ground.excluded.downtime));
    let in_window =
        |outage: &Outage| !outage.parts.within(window).is_empty() || window.holds(outage.begins());
    let before = left.iter().filter(|outage| in_window(outage)).count();
    let mut outages = outages::qualified(left, objective.qualify.as_ref(), evaluation.zone);
    outages.retain(in_window);
    let downtime = outages.iter().map(|outage| outage.parts.within(window).nanos()).sum();
    Tally { outages, downtime, removed, before }
}

/// While the period runs: how it ends if everything from now on is bad.
fn worst(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    terms: &OutageTerms,
    window: Span,
    seen: &Seen,
    length: &Exact,
) -> Option<Outcome> {
    let rest = Happening::unknown(Span::new(seen.now?.max(window.from), window.to));
    let all: Vec<Happening> = seen.happened.iter().cloned().chain([rest]).collect();
    let downtime = tally(evaluation, objective, terms, &seen.ground, window, &all).downtime;
    Some(compare(objective, &share_up(downtime, length, objective.unit)).outcome)
}

/// What availability is a share of, in seconds; absent when that is nothing.
fn length(objective: &Objective, ground: &Ground) -> Option<Exact> {
    let length = match &objective.aggregate.fixed_minutes {
        Some(minutes) => minutes * &Exact::from(60),
        None => Exact::seconds(ground.base.nanos()),
    };
    (length.is_positive() && !ground.base.is_empty()).then_some(length)
}

/// The share of time that was not down, in percent or as a ratio; never below none.
fn share_up(downtime: i128, length: &Exact, unit: Unit) -> Exact {
    let down = Exact::seconds(downtime).over(length).expect("there is time to judge");
    let up = (&Exact::one() - &down).max(Exact::zero());
    if unit == Unit::Percent { &up * &Exact::hundred() } else { up }
}

fn arithmetic(
    tally: &Tally,
    length: &Exact,
    stretch: &Stretch,
    objective: &Objective,
    text: &str,
) -> String {
    let of = match &objective.aggregate.fixed_minutes {
        Some(minutes) => format!("an agreed {minutes} minutes"),
        None => stretch.name.to_string(),
    };
    let down = words::seconds(tally.downtime);
    format!(
        "downtime is {down} of {length} s ({of}): 1 − {down} / {length} s = {text} {}",
        objective.unit
    )
}

fn tell(tally: &Tally, ground: &Ground, window: Span, steps: &mut Vec<String>) {
    let excluded = ground.excluded.each.iter().flat_map(|(id, _, spans, notes)| {
        let inside = spans.within(window).nanos();
        let holds =
            (inside > 0).then(|| format!("exclusion {id:?} holds for {}", words::seconds(inside)));
        holds
            .into_iter()
            .chain(notes.iter().map(move |note| format!("exclusion {id:?}: {note}, and so count")))
    });
    words::some(steps, &excluded.collect::<Vec<_>>(), String::clone);
    if tally.removed > 0 {
        steps.push(format!("{} of downtime are excluded", words::seconds(tally.removed)));
    }
    if tally.before > 0 && tally.outages.is_empty() {
        steps.push(format!("of {} none qualifies", words::counted(tally.before, "outage")));
    }
    let lengths = words::lengths(tally.outages.iter().map(Outage::nanos));
    steps.push(match tally.outages.len() {
        0 => "no outage counts".to_owned(),
        1 => format!("one outage qualifies: {lengths}"),
        many => format!("{} outages qualify: {lengths}", words::number(many)),
    });
    words::some(steps, &tally.outages, told);
}

/// One outage: when, how long, and by which tickets.
fn told(outage: &Outage) -> String {
    let parts = outage.parts.hull().unwrap_or(outage.event);
    let pieces = if outage.parts.len() > 1 {
        format!(" in {} pieces", words::number(outage.parts.len()))
    } else {
        String::new()
    };
    let tickets: Vec<String> =
        outage.tickets.iter().filter_map(|ticket| ticket.id.clone()).collect();
    let tickets = if tickets.is_empty() {
        String::new()
    } else {
        format!(", ticket {}", words::list(&tickets))
    };
    format!(
        "down from {} to {}: {}{pieces}{tickets}",
        parts.from,
        parts.to,
        words::seconds(outage.nanos())
    )
}

fn growth(
    evaluation: &Evaluation<'_>,
    objective: &Objective,
    window: Span,
    tally: &Tally,
    length: &Exact,
    given: Option<&Exact>,
) -> Growth {
    let begun =
        tally.outages.iter().enumerate().filter(|(_, outage)| window.holds(outage.begins()));
    let begun: Vec<(usize, &Outage)> = begun.collect();
    let share = |value: &Exact| match objective.unit {
        Unit::Percent => value.hundredth(),
        _ => value.clone(),
    };
    let down_at = |value: &Exact| &(&Exact::one() - &share(value)) * length;
    let downtime = Exact::seconds(tally.downtime);
    let excess =
        &given.map_or_else(|| downtime.clone(), down_at) - &down_at(&objective.target.value);
    let mut days: Vec<_> =
        begun.iter().map(|(_, outage)| evaluation.zone.day(outage.begins())).collect();
    days.sort_unstable();
    days.dedup();
    Growth {
        downtime,
        excess: excess.max(Exact::zero()),
        events: begun
            .into_iter()
            .map(|(at, outage)| grown(evaluation, at, outage, outage.nanos()))
            .collect(),
        days,
        count: evaluation.count(objective),
        ticketed: tally.outages.iter().any(|outage| claims::ticketed(evaluation, outage)),
    }
}
