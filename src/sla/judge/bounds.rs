//! What judging would cost, before it is begun: a file from somebody else can make it long, but not
//! endless.

use std::collections::BTreeSet;

use crate::base::time::Wall;
use crate::sla::facts::Facts;
use crate::sla::fault::Fault;
use crate::sla::span::Span;
use crate::sla::terms::{After, Contract};

/// The most steps that are taken: some seconds. A hundred thousand events, with as many exclusions,
/// are judged by a hundred objectives within it.
const STEPS: u64 = 25_000_000;
/// The most duties that are listed.
const DUTIES: u64 = 1_000_000;

/// What of some facts is too much to be judged, if anything is.
pub(super) fn check(contract: &Contract, service: &str, facts: &Facts) -> Option<Fault> {
    let fault = |place: &str, what: String| Some(Fault::new(&facts.file, place, what));
    let events = count(facts.events.len())
        + facts.previous.iter().map(|each| count(each.events.len())).sum::<u64>();
    let all = events + count(facts.excluded.len() + facts.unknown.len() + facts.previous.len());
    let members = contract.members_of(service).map_or(1, |members| count(members.len()));
    let conditions = contract.terminations.iter().map(|each| count(each.any.len())).sum::<u64>();
    let (mut objectives, mut with_hours) = (0, 0);
    for objective in contract.objectives_of(service) {
        objectives += 1;
        with_hours += u64::from(objective.aggregate.hours.is_some());
    }
    let judged = (objectives + conditions + 1)
        .saturating_mul(all)
        .saturating_add(members.saturating_mul(events));
    if judged > STEPS {
        let what = format!(
            "{all} events, exclusions and other stretches by {objectives} objectives, \
             {conditions} conditions and {members} services are too much to be judged at once: \
             split the file by period or by service"
        );
        return fault("events", what);
    }
    let days = days_in_windows(contract, facts)
        .saturating_add(with_hours.saturating_mul(days(reach(facts))));
    if days > STEPS {
        return fault(
            "excluded",
            format!("windows and hours on {days} days are too much to be judged at once"),
        );
    }
    let due = contract.duties.iter().filter(|duty| duty.after != After::PeriodEnd).count();
    let due = count(due).saturating_mul(count(facts.events.len()));
    (due > DUTIES)
        .then(|| {
            fault("events", format!("{due} duties would be due, and at most {DUTIES} are listed"))
        })
        .flatten()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Days that a stretch touches, and those beside it.
fn days(span: Span) -> u64 {
    const DAY: i128 = 86_400_000_000_000;
    u64::try_from(span.nanos() / DAY).unwrap_or(u64::MAX).saturating_add(3)
}

/// On how many days the windows of exclusions are looked at.
fn days_in_windows(contract: &Contract, facts: &Facts) -> u64 {
    let windowed: BTreeSet<&str> = contract
        .exclusions
        .iter()
        .filter(|each| each.window.is_some())
        .map(|each| each.id.as_str())
        .collect();
    let claimed = facts.excluded.iter().filter(|each| windowed.contains(each.exclusion.as_str()));
    claimed.map(|each| days(each.span)).fold(0, u64::saturating_add)
}

/// From the first to the last that the facts tell of.
fn reach(facts: &Facts) -> Span {
    let previous = facts.previous.iter().flat_map(|previous| &previous.events);
    let events = facts
        .events
        .iter()
        .chain(previous)
        .map(|event| (event.from, event.to.unwrap_or(event.from)));
    events
        .reduce(|(from, to), (begun, ended)| (from.min(begun), to.max(ended)))
        .map_or(Span::new(Wall::default(), Wall::default()), |(from, to)| Span::new(from, to))
}
