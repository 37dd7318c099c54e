//! Step 1: from what happened to the outages that count.
//!
//! What counts by side and severity is joined where it overlaps or touches; hours and exclusions
//! are taken away, and what remains of one outage is one outage; then it is split, qualified and
//! shortened by its deductible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::time::{Wall, nanos_of};
use crate::sla::calendar::{Day, Zone};
use crate::sla::facts::{Event, Ticket};
use crate::sla::span::{self, Span, Spans};
use crate::sla::terms::{Contract, FirstIs, Qualify, Severity, Side, Split};

/// Something that happened, from facts or from measurement.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) span: Span,
    pub(super) lasts: bool,
    /// Absent for unknown time that the contract counts as down: it counts whatever the sides, and
    /// is no event.
    pub(super) side: Option<Side>,
    pub(super) severity: Option<Severity>,
    pub(super) service: Option<String>,
    pub(super) notified: Option<Wall>,
    pub(super) tickets: Vec<Arc<Ticket>>,
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
            tickets: event.ticket.iter().map(|ticket| Arc::new(ticket.clone())).collect(),
        }
    }

    /// Unknown time that counts as down.
    pub(super) fn unknown(span: Span) -> Self {
        Self {
            span,
            lasts: false,
            side: None,
            severity: None,
            service: None,
            notified: None,
            tickets: Vec::new(),
        }
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
        for ticket in
            self.tickets.iter_mut().filter(|ticket| ticket.closed.is_some_and(|closed| closed > at))
        {
            Arc::make_mut(ticket).closed = None;
        }
        Some(self)
    }
}

/// An outage: what is left of one or several happenings that overlap or touch.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// From where what happened began to where it ended, before anything was taken away. What
    /// counts may begin before it, by a ticket that was opened earlier.
    pub(super) event: Span,
    /// The same of events alone; absent where it is made of unknown time, which is no event.
    pub(super) known: Option<Span>,
    pub(super) lasts: bool,
    /// What counts of it.
    pub(super) parts: Spans,
    /// Where what counts began, before the deductible.
    pub(super) began: Option<Wall>,
    /// When the provider told of it, at the earliest.
    pub(super) notified: Option<Wall>,
    /// The tickets of all that was joined, each once, in the order in which they were opened.
    pub(super) tickets: Arc<[Arc<Ticket>]>,
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

    /// When its ticket was opened: the earliest of several.
    pub(super) fn opened(&self) -> Option<Wall> {
        self.tickets.iter().map(|ticket| ticket.opened).min()
    }

    /// When its tickets were closed: the latest; absent while one of them is open.
    pub(super) fn closed(&self) -> Option<Wall> {
        let closed: Option<Vec<Wall>> = self.tickets.iter().map(|ticket| ticket.closed).collect();
        closed.and_then(|all| all.into_iter().max())
    }

    /// By its tickets: from the earliest opening to the earlier of restored and closed, less
    /// waiting for the customer. Absent without a ticket.
    pub(super) fn by_ticket(&self) -> Option<Spans> {
        let restored = self.known.unwrap_or(self.event).to;
        let to = self.closed().map_or(restored, |closed| closed.min(restored));
        let waiting: Spans =
            self.tickets.iter().flat_map(|ticket| ticket.waiting.iter().copied()).collect();
        Some(Spans::from(Span::new(self.opened()?, to)).minus(&waiting))
    }

    /// What is left of it without its events: the unknown time that was joined to them; absent
    /// where that is nothing.
    pub(super) fn without_events(self) -> Option<Self> {
        let parts = self.parts.minus(&self.known.map_or_else(Spans::none, Spans::from));
        let event = parts.hull()?;
        Some(Self {
            event,
            known: None,
            lasts: false,
            parts,
            began: None,
            notified: None,
            tickets: Arc::new([]),
        })
    }

    fn of(happening: &Happening, by_ticket: bool) -> Self {
        let Happening { span, side, lasts, notified, .. } = *happening;
        // What counts by a ticket is known only once all tickets of what is joined are.
        let parts = if by_ticket && side.is_some() { Spans::none() } else { span.into() };
        let tickets = happening.tickets.as_slice().into();
        Self {
            event: span,
            known: side.map(|_| span),
            lasts,
            parts,
            began: None,
            notified,
            tickets,
        }
    }
}

/// What counts by itself.
#[derive(Clone, Debug)]
pub(super) struct Counting<'a> {
    pub(super) sides: &'a [Side],
    pub(super) severity: Option<Severity>,
    pub(super) by_ticket: bool,
}

impl Counting<'_> {
    /// All that happened, whoever's fault it is, and however bad.
    pub(super) const ALL: Counting<'static> = Counting {
        sides: &[Side::Provider, Side::Customer, Side::ThirdParty, Side::Unknown],
        severity: None,
        by_ticket: false,
    };

    fn takes(&self, happening: &Happening) -> bool {
        let side = happening.side.is_none_or(|side| self.sides.contains(&side));
        let severity = match (self.severity, happening.severity) {
            (Some(wanted), Some(is)) => wanted == is,
            _ => true,
        };
        side && severity
    }
}

/// The outages of a service, from what happened to it and to its members. Each service of its graph
/// is looked at once.
pub(super) fn joined(
    happenings: &[Happening],
    contract: &Contract,
    service: &str,
    counting: &Counting<'_>,
) -> Vec<Outage> {
    let mut own: BTreeMap<&str, Vec<Outage>> = BTreeMap::new();
    for each in happenings.iter().filter(|each| counting.takes(each)) {
        let of = each.service.as_deref().unwrap_or(service);
        own.entry(of).or_default().push(Outage::of(each, counting.by_ticket));
    }
    let mut known: BTreeMap<&str, Vec<Outage>> = BTreeMap::new();
    // Members come before what they are members of.
    for each in contract.members_of(service).unwrap_or_default() {
        let mut all = join(own.remove(each.id.as_str()).unwrap_or_default());
        if counting.by_ticket {
            all = all.into_iter().filter_map(timed_by_ticket).collect();
        }
        let members: Vec<&[Outage]> = each
            .members
            .iter()
            .map(|id| known.get(id.as_str()).map_or(&[][..], Vec::as_slice))
            .collect();
        let common = while_all(&members);
        if !common.is_empty() {
            all.extend(common);
            all = join(all);
        }
        known.insert(&each.id, all);
    }
    known.remove(service).unwrap_or_default()
}

/// What counts of an outage by its tickets; absent without any, unless unknown time counts of it.
fn timed_by_ticket(mut outage: Outage) -> Option<Outage> {
    if let Some(parts) = outage.by_ticket().filter(|_| outage.known.is_some()) {
        outage.parts = outage.parts.or(&parts);
    }
    Some(outage).filter(|outage| !outage.parts.is_empty())
}

/// Down only while all of them are.
fn while_all(members: &[&[Outage]]) -> Vec<Outage> {
    let down = |outages: &&[Outage]| {
        outages.iter().flat_map(|outage| outage.parts.iter()).collect::<Spans>()
    };
    let common = members.iter().map(down).reduce(|a, b| a.and(&b)).unwrap_or_default();
    let common: Vec<Span> = common.iter().collect();
    let mut behind: Vec<Vec<&Outage>> = vec![Vec::new(); common.len()];
    for outage in members.iter().copied().flatten() {
        for part in outage.parts.iter() {
            let first = common.partition_point(|span| span.to <= part.from);
            for (span, behind) in common.iter().zip(&mut behind).skip(first) {
                if span.from >= part.to {
                    break;
                }
                // One whose parts lie in pieces is behind a stretch once.
                if behind.last().is_none_or(|last| !std::ptr::eq(*last, outage)) {
                    behind.push(outage);
                }
            }
        }
    }
    common.into_iter().zip(behind).map(|(span, behind)| of_all(span, &behind)).collect()
}

/// The outage of a stretch in which all members were down, by these outages of theirs.
fn of_all(span: Span, behind: &[&Outage]) -> Outage {
    let begun = behind.iter().filter_map(|outage| outage.known).map(|known| known.from).max();
    let known = (behind.iter().any(|outage| outage.known.is_some()))
        .then(|| Span::new(begun.unwrap_or(span.from).min(span.from), span.to));
    Outage {
        event: span,
        known,
        lasts: behind.iter().any(|outage| outage.lasts && outage.event.to <= span.to),
        parts: span.into(),
        began: None,
        notified: behind.iter().filter_map(|outage| outage.notified).min(),
        tickets: each_once(
            behind.iter().flat_map(|outage| outage.tickets.iter().cloned()).collect(),
        ),
    }
}

fn each_once(mut tickets: Vec<Arc<Ticket>>) -> Arc<[Arc<Ticket>]> {
    tickets.sort_by(|a, b| {
        (a.opened, a.closed, &a.id, &a.waiting).cmp(&(b.opened, b.closed, &b.id, &b.waiting))
    });
    tickets.dedup();
    tickets.into()
}

/// What belongs to the outage that is open while others are joined to it: it is put together once,
/// when it is complete.
#[derive(Default)]
struct Open {
    parts: Vec<Span>,
    tickets: Vec<Arc<Ticket>>,
    count: usize,
}

impl Open {
    fn add(&mut self, outage: &Outage) {
        self.parts.extend(outage.parts.iter());
        self.tickets.extend(outage.tickets.iter().cloned());
        self.count += 1;
    }

    fn close(&mut self, last: Option<&mut Outage>) {
        let Self { parts, tickets, count } = std::mem::take(self);
        if let Some(last) = last.filter(|_| count > 1) {
            last.parts = parts.into_iter().collect();
            last.tickets = each_once(tickets);
        }
    }
}

/// Joins what overlaps or touches; the order does not matter.
fn join(mut all: Vec<Outage>) -> Vec<Outage> {
    all.sort_by_key(|outage| (outage.event.from, outage.event.to));
    let mut joined: Vec<Outage> = Vec::with_capacity(all.len());
    let mut open = Open::default();
    for outage in all {
        match joined.last_mut() {
            Some(last) if outage.event.from <= last.event.to => {
                open.add(&outage);
                last.lasts = if outage.event.to > last.event.to {
                    outage.lasts
                } else {
                    last.lasts || outage.lasts
                };
                last.event.to = last.event.to.max(outage.event.to);
                last.known = hull([last.known, outage.known]);
                last.notified = [last.notified, outage.notified].into_iter().flatten().min();
            }
            _ => {
                open.close(joined.last_mut());
                open.add(&outage);
                joined.push(outage);
            }
        }
    }
    open.close(joined.last_mut());
    joined
}

/// From the first of some stretches to the end of the last.
fn hull(spans: [Option<Span>; 2]) -> Option<Span> {
    spans.into_iter().flatten().reduce(|a, b| Span::new(a.from.min(b.from), a.to.max(b.to)))
}

/// Keeps of each outage what lies in, or out of, a set of time; one of which nothing is left is
/// gone.
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
            let began = outages
                .into_iter()
                .map(|outage| Outage { began: Some(outage.begins()), ..outage })
                .collect();
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
    pieces
        .into_iter()
        .map(|(_, spans)| Outage { parts: spans.into_iter().collect(), ..outage.clone() })
        .collect()
}

/// The outages of which some part lies in a window of this length that holds at least so much
/// downtime, whether in one piece or several.
fn dense(outages: Vec<Outage>, least: i128, window: i64) -> Vec<Outage> {
    let down: Spans = outages.iter().flat_map(|outage| outage.parts.iter()).collect();
    let down = span::Measured::new(&down);
    // The downtime in a window changes its slope only where an edge enters or leaves it, and one
    // outage may begin where another ends: so these windows are enough. Those a nanosecond beside
    // them touch an outage that they would only meet.
    let parts = outages.iter().flat_map(|outage| outage.parts.iter());
    let edges: BTreeSet<i64> =
        parts.flat_map(|span| [span.from.nanos(), span.to.nanos()]).collect();
    let starts = edges.iter().flat_map(|&edge| [edge, edge.saturating_sub(window)]);
    let starts: BTreeSet<i64> =
        starts.flat_map(|at| [at.saturating_sub(1), at, at.saturating_add(1)]).collect();
    let holds = |&at: &i64| {
        let span = Span::new(Wall::from_nanos(at), Wall::from_nanos(at.saturating_add(window)));
        down.within(span) >= least
    };
    let full: Vec<i64> = starts.into_iter().filter(holds).collect();
    let meets = |part: Span| {
        let first = full.partition_point(|&at| at <= part.from.nanos().saturating_sub(window));
        full.get(first).is_some_and(|&at| at < part.to.nanos())
    };
    outages.into_iter().filter(|outage| outage.parts.iter().any(meets)).collect()
}
