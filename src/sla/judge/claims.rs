//! The claim's clock, and the parties' duties.

use crate::base::decimal::Exact;
use crate::base::time::Wall;
use crate::sla::calendar::{Day, business_days_after};
use crate::sla::judge::outages::{Happening, Outage};
use crate::sla::judge::{Court, Judged};
use crate::sla::report::{ClaimState, DutyState};
use crate::sla::span::Span;
use crate::sla::terms::{After, Claim, ClaimClock, ClaimUnit, CountedFrom, Duty};

/// Until when a ticket for an outage must be opened; absent where the contract sets no such time.
fn ticket_by(court: &Court<'_>, outage: &Outage) -> Option<Wall> {
    Some(outage.event.from + court.contract.claim.as_ref()?.ticket_within?)
}

/// Whether an outage has a ticket that was opened in time.
pub(super) fn ticketed(court: &Court<'_>, outage: &Outage) -> bool {
    let latest = ticket_by(court, outage);
    outage.tickets.iter().any(|ticket| latest.is_none_or(|latest| ticket.opened <= latest))
}

/// Whether an outage's ticket is late, or missing after its deadline.
fn ticket_lapsed(court: &Court<'_>, outage: &Outage) -> bool {
    let Some(latest) = ticket_by(court, outage) else { return false };
    let open = outage.tickets.is_empty() && court.facts.as_of.is_some_and(|at| at <= latest);
    !ticketed(court, outage) && !open
}

/// Until when what is due must be claimed.
pub(super) fn state(court: &Court<'_>, judged: &[Judged<'_>], paid: &Exact) -> ClaimState {
    let none = ClaimState { by: None, ticket_by: None, lapsed: false };
    let Some(claim) = &court.contract.claim else { return none };
    let remedied: Vec<&Judged<'_>> = judged.iter().filter(|each| each.objective.remedy.is_some()).collect();
    let events: Vec<&Outage> = remedied.iter().flat_map(|each| &each.matter).collect();
    // The clock runs for what earned the credit.
    let earning: Vec<&Outage> =
        remedied.iter().filter(|each| each.credit.is_positive()).flat_map(|each| &each.matter).collect();
    let by = if paid.is_positive() { claim_by(court, claim, &earning) } else { None };
    let late = !events.is_empty() && events.iter().all(|outage| ticket_lapsed(court, outage));
    let past = by.is_some_and(|by| court.facts.as_of.is_some_and(|at| court.zone.day(at) > by));
    ClaimState {
        by,
        ticket_by: events.iter().filter_map(|outage| ticket_by(court, outage)).min(),
        lapsed: late || past,
    }
}

/// The earliest last day over the events that matter.
fn claim_by(court: &Court<'_>, claim: &Claim, events: &[&Outage]) -> Option<Day> {
    let clock = claim.clock?;
    let day = |at: Wall| court.zone.day(at);
    let starts: Vec<Day> = match clock.counted_from {
        CountedFrom::PeriodEnd => vec![court.asked.last],
        // What no event earned is counted from the period's end.
        _ if events.is_empty() => vec![court.asked.last],
        CountedFrom::EventStart => events.iter().map(|outage| day(outage.event.from)).collect(),
        CountedFrom::Restored => {
            events.iter().filter(|outage| !outage.lasts).map(|outage| day(outage.event.to)).collect()
        }
        CountedFrom::TicketClosed => events
            .iter()
            .filter_map(|outage| outage.tickets.iter().filter_map(|ticket| ticket.closed).max())
            .map(day)
            .collect(),
    };
    starts.into_iter().min().map(|start| after(court, start, clock))
}

fn after(court: &Court<'_>, start: Day, clock: ClaimClock) -> Day {
    match clock.unit {
        ClaimUnit::Days => start.plus(i64::from(clock.within)),
        ClaimUnit::BusinessDays => business_days_after(start, clock.within, &court.contract.agreement.holidays),
    }
}

/// What the parties had to do: for each duty, for each event that begins in the period, or once at the period's end.
pub(super) fn duties(court: &Court<'_>) -> Vec<DutyState> {
    let mut all = Vec::new();
    let seen = court.measured_happenings();
    let told: Vec<Span> = court.facts.events.iter().map(|event| Happening::of(event, court.facts.as_of).span).collect();
    let is_seen: Vec<bool> = told.iter().map(|told| seen.iter().any(|each| is_about(*told, each))).collect();
    for duty in &court.contract.duties {
        if duty.after == After::PeriodEnd {
            // It is a duty by the version that is in force at the period's end.
            if court.reign.span.to < court.asked.span.to {
                continue;
            }
            let done = done(court, duty, None);
            all.push(state_of(duty, court.asked.span.to, done));
            continue;
        }
        all.extend(seen_duties(court, duty, &seen, &told));
        // What was measured too is a duty already: a ticket about an outage is no other outage.
        for (number, event) in court.facts.events.iter().enumerate().filter(|(number, _)| !is_seen[*number]) {
            let from = match duty.after {
                After::EventStart => Some(event.from),
                _ => event.to,
            };
            if let Some(from) = from.filter(|_| court.asked.span.and(court.reign.span).holds(event.from)) {
                all.push(state_of(duty, from, done(court, duty, Some(number))));
            }
        }
    }
    all
}

/// A duty for each outage that was measured, done when the facts say so of an event that is about it.
fn seen_duties(court: &Court<'_>, duty: &Duty, seen: &[Happening], told: &[Span]) -> Vec<DutyState> {
    let within = court.asked.span.and(court.reign.span);
    let mut all = Vec::new();
    for each in seen.iter().filter(|each| within.holds(each.span.from)) {
        let about = || told.iter().enumerate().filter(|(_, told)| is_about(**told, each));
        // Where nobody saw it up again, its end is what the facts say.
        let said = || about().filter_map(|(number, _)| court.facts.events.get(number)?.to).max();
        let from = match duty.after {
            After::EventStart => Some(each.span.from),
            _ if each.lasts => said(),
            _ => Some(each.span.to),
        };
        let Some(from) = from else { continue };
        let done = about().filter_map(|(number, _)| done(court, duty, Some(number))).min();
        all.push(state_of(duty, from, done));
    }
    all
}

/// Whether an event of the facts and what happened have any time in common, be it an instant.
fn is_about(told: Span, seen: &Happening) -> bool {
    told.from <= seen.span.to && seen.span.from <= told.to
}

fn done(court: &Court<'_>, duty: &Duty, event: Option<usize>) -> Option<Wall> {
    let said = court.facts.duties.iter().filter(|done| done.duty == duty.id && done.event == event);
    said.filter_map(|done| done.done).min()
}

fn state_of(duty: &Duty, from: Wall, done: Option<Wall>) -> DutyState {
    let due = from + duty.within;
    DutyState {
        id: duty.id.clone(),
        party: duty.party,
        due,
        done,
        kept: done.map(|done| done <= due),
        what: duty.what.clone(),
    }
}
