//! The claim's clock, and the parties' duties.

use std::collections::BTreeMap;

use crate::base::decimal::Exact;
use crate::base::time::Wall;
use crate::sla::calendar::{Day, business_days_after};
use crate::sla::judge::outages::{Happening, Outage};
use crate::sla::judge::{Evaluation, Judged};
use crate::sla::report::{ClaimState, DutyState, TicketDue};
use crate::sla::terms::{After, Claim, ClaimClock, ClaimUnit, CountedFrom, Duty};

/// Until when a ticket for an outage must be opened; absent where the contract sets no such time,
/// and for unknown time, which is no event.
fn ticket_by(evaluation: &Evaluation<'_>, outage: &Outage) -> Option<Wall> {
    Some(outage.known?.from + evaluation.contract.claim.as_ref()?.ticket_within?)
}

/// Whether an outage has a ticket that was opened in time.
pub(super) fn ticketed(evaluation: &Evaluation<'_>, outage: &Outage) -> bool {
    let latest = ticket_by(evaluation, outage);
    outage.opened().is_some_and(|opened| latest.is_none_or(|latest| opened <= latest))
}

/// Whether an outage's ticket is late, or missing after its deadline.
fn ticket_lapsed(evaluation: &Evaluation<'_>, outage: &Outage) -> bool {
    let Some(latest) = ticket_by(evaluation, outage) else { return false };
    let open = outage.tickets.is_empty() && evaluation.facts.as_of.is_some_and(|at| at <= latest);
    !ticketed(evaluation, outage) && !open
}

impl Judged<'_> {
    /// The events for which it earned its credit: by driver `event` those that did, else all that
    /// count; of those, where tickets are required, the ones that have theirs in time if any has.
    /// Unknown time is no event.
    fn events(&self, evaluation: &Evaluation<'_>) -> Vec<&Outage> {
        let all: Vec<&Outage> = match &self.earned {
            Some(earned) => earned.iter().filter_map(|at| self.matter.get(*at)).collect(),
            None => self.matter.iter().collect(),
        };
        let all: Vec<&Outage> = all.into_iter().filter(|outage| outage.known.is_some()).collect();
        let requires = self.objective.remedy.as_ref().is_some_and(|remedy| remedy.requires_ticket);
        let ticketed: Vec<&Outage> =
            all.iter().copied().filter(|outage| requires && ticketed(evaluation, outage)).collect();
        if ticketed.is_empty() { all } else { ticketed }
    }
}

/// Until when what is due must be claimed.
pub(super) fn state(
    evaluation: &Evaluation<'_>,
    judged: &[Judged<'_>],
    paid: &Exact,
) -> ClaimState {
    let none = ClaimState { by: None, ticket_by: None, lapsed: false };
    let Some(claim) = &evaluation.contract.claim else { return none };
    let due = judged
        .iter()
        .filter(|each| each.objective.remedy.is_some() && evaluation.is_due(&each.stretch));
    let (earning, idle): (Vec<&Judged<'_>>, Vec<_>) =
        due.partition(|each| each.credit.is_positive());
    let events: Vec<&Outage> = match earning.is_empty() {
        false => earning.iter().flat_map(|each| each.events(evaluation)).collect(),
        // Where nothing is earned yet, or for want of a ticket, all that count might.
        true => idle
            .iter()
            .flat_map(|each| &each.matter)
            .filter(|outage| outage.known.is_some())
            .collect(),
    };
    let by = if paid.is_positive() { claim_by(evaluation, claim, &events) } else { None };
    let late = !events.is_empty() && events.iter().all(|outage| ticket_lapsed(evaluation, outage));
    let past =
        by.is_some_and(|by| evaluation.facts.as_of.is_some_and(|at| evaluation.zone.day(at) > by));
    ClaimState {
        by,
        ticket_by: events.iter().filter_map(|outage| ticket_by(evaluation, outage)).min(),
        lapsed: late || past,
    }
}

/// The first ticket that must be opened, whether what it is for earns here or in a later period's
/// verdict.
pub(super) fn first_ticket(
    evaluation: &Evaluation<'_>,
    judged: &[Judged<'_>],
) -> Option<TicketDue> {
    let remedied = judged.iter().filter(|each| each.objective.remedy.is_some());
    let due = remedied.flat_map(|each| each.events(evaluation)).filter_map(|outage| {
        let by = ticket_by(evaluation, outage)?;
        Some(TicketDue { by, kept: outage.opened().map(|opened| opened <= by) })
    });
    due.min()
}

/// The earliest last day over the events that matter.
fn claim_by(evaluation: &Evaluation<'_>, claim: &Claim, events: &[&Outage]) -> Option<Day> {
    let clock = claim.clock?;
    let day = |at: Wall| evaluation.zone.day(at);
    let known = events.iter().filter_map(|outage| outage.known);
    let starts: Vec<Day> = match clock.counted_from {
        CountedFrom::PeriodEnd => vec![evaluation.asked.last],
        // What no event earned is counted from the period's end.
        _ if events.is_empty() => vec![evaluation.asked.last],
        CountedFrom::EventStart => known.map(|event| day(event.from)).collect(),
        CountedFrom::Restored => {
            let restored =
                events.iter().filter(|outage| !outage.lasts).filter_map(|outage| outage.known);
            restored.map(|event| day(event.to)).collect()
        }
        CountedFrom::TicketClosed => {
            events.iter().filter_map(|outage| outage.closed()).map(day).collect()
        }
    };
    starts.into_iter().min().map(|start| after(evaluation, start, clock))
}

fn after(evaluation: &Evaluation<'_>, start: Day, clock: ClaimClock) -> Day {
    match clock.unit {
        ClaimUnit::Days => start.plus(i64::from(clock.within)),
        ClaimUnit::BusinessDays => {
            business_days_after(start, clock.within, &evaluation.contract.agreement.holidays)
        }
    }
}

/// What the parties had to do: for each duty, for each event that begins in the period, or once at
/// the period's end.
pub(super) fn duties(evaluation: &Evaluation<'_>) -> Vec<DutyState> {
    let mut done: BTreeMap<(&str, Option<usize>), Wall> = BTreeMap::new();
    for said in &evaluation.facts.duties {
        if let Some(at) = said.done {
            let first = done.entry((said.duty.as_str(), said.event)).or_insert(at);
            *first = at.min(*first);
        }
    }
    let events = begun(evaluation);
    let mut all = Vec::new();
    for duty in &evaluation.contract.duties {
        let done = |event: Option<usize>| done.get(&(duty.id.as_str(), event)).copied();
        if duty.after == After::PeriodEnd {
            // It is a duty by the version that is in force at the period's end.
            if evaluation.version_span.span.to >= evaluation.asked.span.to {
                all.push(state_of(duty, evaluation.asked.span.to, done(None)));
            }
            continue;
        }
        for Begun { from, to, told } in &events {
            let after = if duty.after == After::EventStart { Some(*from) } else { *to };
            let done = told.iter().filter_map(|number| done(Some(*number))).min();
            all.extend(after.map(|after| state_of(duty, after, done)));
        }
    }
    all
}

/// What began in the period.
struct Begun {
    from: Wall,
    /// Absent while it lasts.
    to: Option<Wall>,
    /// The facts' events that are about it, by their numbers.
    told: Vec<usize>,
}

/// What began in the period: outages that were measured, and those of the facts' events that are
/// about none of them, since a ticket about an outage is no other outage.
fn begun(evaluation: &Evaluation<'_>) -> Vec<Begun> {
    let holds = |at: Wall| evaluation.asked.span.and(evaluation.version_span.span).holds(at);
    let mut seen = evaluation.measured_happenings();
    // Facts of earlier periods are among them; what was measured lies apart and in order.
    seen.retain(|each| each.span.to > evaluation.asked.span.from);
    let mut about: Vec<Vec<usize>> = vec![Vec::new(); seen.len()];
    let mut alone: Vec<Begun> = Vec::new();
    for (number, event) in evaluation.facts.events.iter().enumerate() {
        let told = Happening::of(event, evaluation.facts.as_of).span;
        // They have some time in common, be it an instant.
        let first = seen.partition_point(|each| each.span.to < told.from);
        let common = seen[first..].iter().take_while(|each| each.span.from <= told.to).count();
        about[first..first + common].iter_mut().for_each(|about| about.push(number));
        if common == 0 && holds(event.from) {
            alone.push(Begun { from: event.from, to: event.to, told: vec![number] });
        }
    }
    let measured = seen.iter().zip(about).filter(|(each, _)| holds(each.span.from));
    let measured = measured.map(|(each, told)| {
        // Where nobody saw it up again, its end is what the facts say.
        let said =
            || told.iter().filter_map(|number| evaluation.facts.events.get(*number)?.to).max();
        Begun {
            from: each.span.from,
            to: if each.lasts { said() } else { Some(each.span.to) },
            told,
        }
    });
    measured.chain(alone).collect()
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
