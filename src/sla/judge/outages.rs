//! Step 1: from what happened to the outages that count.
//!
//! What counts by side and severity is joined where it overlaps or touches; hours and exclusions are taken away, and what
//! remains of one outage is one outage; then it is split, qualified and shortened by its deductible.

use std::collections::BTreeSet;

use crate::base::time::{Wall, nanos_of};
use crate::sla::calendar::{Day, Zone};
use crate::sla::facts::{Event, Ticket};
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Contract, FirstIs, Qualify, Severity, Side, Split};

/// Something that happened, from facts or from measurement.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) span: Span,
    pub(super) lasts: bool,
    /// Absent for unknown time that the contract counts as down: it counts whatever the sides.
    pub(super) side: Option<Side>,
    pub(super) severity: Option<Severity>,
    pub(super) service: Option<String>,
    pub(super) notified: Option<Wall>,
    pub(super) tickets: Vec<Ticket>,
}

impl Happening {
    /// An event of the facts; one that lasts, lasts until `now`.
    pub(super) fn of(event: &Event, now: Option<Wall>) -> Self {
        let to = event.to.or(now).unwrap_or(event.from);
        Self {
            span: Span::new(event.from, to),
            lasts: event.to.is_none(),
            side: Some(event.side.unwrap_or(Side::Provider)),
            severity: Some(event.severity.unwrap_or(Severity::Total)),
            service: event.service.clone(),
            notified: event.notified,
            tickets: event.ticket.iter().cloned().collect(),
        }
    }

    /// Unknown time that counts as down.
    pub(super) fn unknown(span: Span) -> Self {
        Self { span, lasts: false, side: None, severity: None, service: None, notified: None, tickets: Vec::new() }
    }

    /// As it stands at an instant: what begins later has not happened, what ends later lasts.
    pub(super) fn cut(mut self, at: Option<Wall>) -> Option<Self> {
        let Some(at) = at else { return Some(self) };
        if self.span.from >= at {
            return None;
        }
        self.lasts |= self.span.to >= at;
        self.span.to = self.span.to.min(at);
        self.notified = self.notified.filter(|&told| told <= at);
        self.tickets.retain(|ticket| ticket.opened <= at);
        for ticket in &mut self.tickets {
            ticket.closed = ticket.closed.filter(|&closed| closed <= at);
        }
        Some(self)
    }
}

/// An outage: what is left of one or several happenings that overlap or touch.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// From where the event began to where it ended, before anything was taken away.
    pub(super) event: Span,
    pub(super) lasts: bool,
    /// What counts of it.
    pub(super) parts: Spans,
    /// Where what counts began, before the deductible.
    pub(super) began: Option<Wall>,
    pub(super) notified: Option<Wall>,
    pub(super) tickets: Vec<Ticket>,
}

impl Outage {
    /// Its length: the sum of its parts, in nanoseconds.
    pub(super) fn nanos(&self) -> i128 {
        self.parts.nanos()
    }

    /// Where what counts of it begins; a deductible does not move it.
    pub(super) fn begins(&self) -> Wall {
        self.began.unwrap_or_else(|| self.parts.hull().map_or(self.event.from, |hull| hull.from))
    }

    fn of(happening: &Happening, by_ticket: bool) -> Option<Self> {
        let (event, parts) = match (by_ticket, happening.side) {
            (true, Some(_)) => {
                let all: Vec<(Span, Spans)> =
                    happening.tickets.iter().map(|ticket| by(ticket, happening.span)).collect();
                let event =
                    all.iter().map(|(span, _)| *span).reduce(|a, b| Span::new(a.from.min(b.from), a.to.max(b.to)))?;
                (event, all.iter().flat_map(|(_, parts)| parts.iter()).collect())
            }
            _ => (happening.span, Spans::from(happening.span)),
        };
        let Happening { lasts, notified, .. } = *happening;
        Some(Self { event, lasts, parts, began: None, notified, tickets: happening.tickets.clone() })
    }
}

/// By a ticket: from its opening to the earlier of restored and closed, less the time waiting for the customer.
pub(super) fn by(ticket: &Ticket, event: Span) -> (Span, Spans) {
    let to = ticket.closed.map_or(event.to, |closed| closed.min(event.to));
    let span = Span::new(ticket.opened, to);
    (span, Spans::from(span).minus(&ticket.waiting.iter().copied().collect()))
}

/// What counts by itself.
#[derive(Clone, Debug)]
pub(super) struct Counting<'a> {
    pub(super) sides: &'a [Side],
    pub(super) severity: Option<Severity>,
    pub(super) by_ticket: bool,
}

impl Counting<'_> {
    fn takes(&self, happening: &Happening) -> bool {
        let side = happening.side.is_none_or(|side| self.sides.contains(&side));
        let severity = match (self.severity, happening.severity) {
            (Some(wanted), Some(is)) => wanted == is,
            _ => true,
        };
        side && severity
    }
}

/// The outages of a service, from what happened to it and to its members.
pub(super) fn joined(
    happenings: &[Happening],
    contract: &Contract,
    service: &str,
    counting: &Counting<'_>,
) -> Vec<Outage> {
    let taken: Vec<&Happening> = happenings.iter().filter(|each| counting.takes(each)).collect();
    of_service(&taken, contract, service, service, counting.by_ticket, 0)
}

fn of_service(
    happenings: &[&Happening],
    contract: &Contract,
    asked: &str,
    service: &str,
    by_ticket: bool,
    depth: usize,
) -> Vec<Outage> {
    let own = happenings.iter().filter(|each| each.service.as_deref().unwrap_or(asked) == service);
    let mut all: Vec<Outage> = own.filter_map(|each| Outage::of(each, by_ticket)).collect();
    let members = contract.service(service).map(|service| service.members.as_slice()).unwrap_or_default();
    if !members.is_empty() && depth <= contract.services.len() {
        let each: Vec<Vec<Outage>> =
            members.iter().map(|id| of_service(happenings, contract, asked, id, by_ticket, depth + 1)).collect();
        all.extend(while_all(&each));
    }
    join(all)
}

/// Down only while all of them are.
fn while_all(members: &[Vec<Outage>]) -> Vec<Outage> {
    let down = |outages: &Vec<Outage>| outages.iter().flat_map(|outage| outage.parts.iter()).collect::<Spans>();
    let common = members.iter().map(down).reduce(|a, b| a.and(&b)).unwrap_or_default();
    let outage = |span: Span| {
        let behind: Vec<&Outage> =
            members.iter().flatten().filter(|outage| !outage.parts.within(span).is_empty()).collect();
        Outage {
            event: span,
            lasts: behind.iter().any(|outage| outage.lasts && outage.event.to <= span.to),
            parts: span.into(),
            began: None,
            notified: behind.iter().filter_map(|outage| outage.notified).min(),
            tickets: behind.iter().flat_map(|outage| outage.tickets.iter().cloned()).collect(),
        }
    };
    common.iter().map(outage).collect()
}

/// Joins what overlaps or touches; the order does not matter.
fn join(mut all: Vec<Outage>) -> Vec<Outage> {
    all.sort_by_key(|outage| (outage.event.from, outage.event.to));
    let mut joined: Vec<Outage> = Vec::new();
    // What belongs to the outage that is open is put together once, when it is complete.
    let mut parts: Vec<Span> = Vec::new();
    let close = |joined: &mut Vec<Outage>, parts: &mut Vec<Span>| {
        if let Some(last) = joined.last_mut() {
            last.parts = parts.drain(..).collect();
            last.tickets.sort_by_key(|ticket| (ticket.opened, ticket.closed));
            last.tickets.dedup();
        }
    };
    for outage in all {
        match joined.last_mut() {
            Some(last) if outage.event.from <= last.event.to => {
                last.lasts = if outage.event.to > last.event.to { outage.lasts } else { last.lasts || outage.lasts };
                last.event.to = last.event.to.max(outage.event.to);
                last.notified = [last.notified, outage.notified].into_iter().flatten().min();
                last.tickets.extend(outage.tickets);
                parts.extend(outage.parts.iter());
            }
            _ => {
                close(&mut joined, &mut parts);
                parts.extend(outage.parts.iter());
                joined.push(outage);
            }
        }
    }
    close(&mut joined, &mut parts);
    joined
}

/// Keeps of each outage what lies in, or out of, a set of time; one of which nothing is left is gone.
pub(super) fn keep(outages: Vec<Outage>, of: impl Fn(&Spans) -> Spans) -> Vec<Outage> {
    outages
        .into_iter()
        .map(|mut outage| {
            outage.parts = of(&outage.parts);
            outage
        })
        .filter(|outage| !outage.parts.is_empty())
        .collect()
}

/// The outages that qualify, shortened by the deductible.
pub(super) fn qualified(outages: Vec<Outage>, terms: Option<&Qualify>, zone: &Zone) -> Vec<Outage> {
    let Some(terms) = terms else { return outages };
    let outages = match terms.split_at {
        Split::None => outages,
        Split::Day => outages.into_iter().flat_map(|outage| split(outage, zone)).collect(),
    };
    let outages = long_enough(outages, terms);
    let Some((first, first_is)) = terms.first else { return outages };
    let first = i128::from(nanos_of(first));
    match first_is {
        FirstIs::Subtracted => {
            let began = outages.into_iter().map(|outage| Outage { began: Some(outage.begins()), ..outage }).collect();
            keep(began, |parts| parts.without_earliest(first))
        }
        FirstIs::Waived => outages.into_iter().filter(|outage| outage.nanos() > first).collect(),
    }
}

/// Those strictly longer than the contract asks, or with enough downtime inside some window.
pub(super) fn long_enough(outages: Vec<Outage>, terms: &Qualify) -> Vec<Outage> {
    let Some(least) = terms.longer_than else { return outages };
    let least = i128::from(nanos_of(least));
    match terms.within {
        None => outages.into_iter().filter(|outage| outage.nanos() > least).collect(),
        Some(window) => dense(outages, least, nanos_of(window)),
    }
}

/// One outage for each local day.
fn split(outage: Outage, zone: &Zone) -> Vec<Outage> {
    let mut pieces: Vec<(Day, Vec<Span>)> = Vec::new();
    for mut part in outage.parts.iter() {
        while !part.is_empty() {
            let day = zone.day(part.from);
            let end = zone.midnight(day.plus(1)).min(part.to);
            // At the calendar's end there is no next midnight.
            let end = if end > part.from { end } else { part.to };
            let piece = Span::new(part.from, end);
            match pieces.last_mut() {
                Some((last, spans)) if *last == day => spans.push(piece),
                _ => pieces.push((day, vec![piece])),
            }
            part.from = end;
        }
    }
    pieces.into_iter().map(|(_, spans)| Outage { parts: spans.into_iter().collect(), ..outage.clone() }).collect()
}

/// The outages of which some part lies in a window of this length that holds at least so much downtime, whether in one
/// piece or several.
fn dense(outages: Vec<Outage>, least: i128, window: i64) -> Vec<Outage> {
    let down: Spans = outages.iter().flat_map(|outage| outage.parts.iter()).collect();
    // The downtime in a window changes its slope only where an edge enters or leaves it, so these windows are enough;
    // those a nanosecond beside them touch an outage that they would only meet.
    let edges: BTreeSet<i64> = down.iter().flat_map(|span| [span.from.nanos(), span.to.nanos()]).collect();
    let starts = edges.iter().flat_map(|&edge| [edge, edge.saturating_sub(window)]);
    let starts: BTreeSet<i64> = starts.flat_map(|at| [at.saturating_sub(1), at, at.saturating_add(1)]).collect();
    let holds = |&at: &i64| {
        let span = Span::new(Wall::from_nanos(at), Wall::from_nanos(at.saturating_add(window)));
        down.within(span).nanos() >= least
    };
    let full: Vec<i64> = starts.into_iter().filter(holds).collect();
    let meets = |part: Span| {
        let first = full.partition_point(|&at| at <= part.from.nanos().saturating_sub(window));
        full.get(first).is_some_and(|&at| at < part.to.nanos())
    };
    outages.into_iter().filter(|outage| outage.parts.iter().any(meets)).collect()
}
