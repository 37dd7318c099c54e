//! What does not come from measurement, or is judged instead of it: the provider's own log, a
//! what-if, a dispute.

use std::collections::BTreeMap;

use crate::base::decimal::Exact;
use crate::base::json;
use crate::base::time::Wall;
use crate::sla::calendar::Period;
use crate::sla::fault::Fault;
use crate::sla::reader::{self, Faults, Figure, Need, Node, Reader};
use crate::sla::span::Span;
use crate::sla::terms::{Severity, Side};

/// What is judged: a service in a period, and the facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The period.
    pub period: Period,
    /// The service.
    pub service: String,
    /// The facts.
    pub facts: Facts,
}

/// Facts about one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What faults call the file.
    pub file: String,
    /// The instant at which the question is asked; absent when the period has ended.
    pub as_of: Option<Wall>,
    /// What was charged, where it is not what the contract says: monthly recurring charge.
    pub mrc: Option<Exact>,
    /// What was charged for usage.
    pub usage: Option<Exact>,
    /// What happened.
    pub events: Vec<Event>,
    /// Stretches for which an exclusion is claimed.
    pub excluded: Vec<Excluded>,
    /// Time of which nothing is known.
    pub unknown: Vec<Span>,
    /// Actual values by objective.
    pub values: BTreeMap<String, Figure>,
    /// Counts by objective.
    pub counts: BTreeMap<String, Exact>,
    /// Duties that were done.
    pub duties: Vec<Done>,
    /// Earlier periods.
    pub previous: Vec<Previous>,
}

/// Something that happened to the service, or to a member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it began.
    pub from: Wall,
    /// When it ended; absent while it lasts.
    pub to: Option<Wall>,
    /// Whose side failed, where it is said; the provider's else.
    pub side: Option<Side>,
    /// How badly, where it is said; totally else.
    pub severity: Option<Severity>,
    /// When the provider told of it.
    pub notified: Option<Wall>,
    /// The ticket opened for it.
    pub ticket: Option<Ticket>,
    /// The member that it happened to; absent for the service itself.
    pub service: Option<String>,
}

/// A trouble ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its name.
    pub id: Option<String>,
    /// When it was opened.
    pub opened: Wall,
    /// When it was closed.
    pub closed: Option<Wall>,
    /// When it waited for the customer.
    pub waiting: Vec<Span>,
}

/// A stretch for which an exclusion is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Which exclusion of the contract.
    pub exclusion: String,
    /// When.
    pub span: Span,
    /// When it was announced.
    pub notified: Option<Wall>,
}

/// A duty that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which duty of the contract.
    pub duty: String,
    /// For which event, counted from 0; absent for a duty of the whole period.
    pub event: Option<usize>,
    /// When.
    pub done: Option<Wall>,
}

/// An earlier period.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous {
    /// Which.
    pub period: Period,
    /// The objectives that were breached in it.
    pub breached: Vec<String>,
    /// What was paid for it.
    pub credit: Exact,
    /// What happened in it.
    pub events: Vec<Event>,
}

/// Reads a facts file; `file` is what faults call it. Whether the names in it are the contract's,
/// judging finds out.
///
/// # Errors
/// All its faults.
pub fn parse(text: &str, file: &str) -> Result<Case, Vec<Fault>> {
    let text = json::unmarked(text);
    let broken = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        // It names the place once more itself.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        vec![Fault::new(file, place, format!("not JSON: {what}"))]
    };
    let twice = json::twice(text).map_err(broken)?;
    if !twice.is_empty() {
        let told = |place| Fault::new(file, place, "is there twice: keep the one that is meant");
        return Err(twice.into_iter().map(told).collect());
    }
    let node = Node::from(serde_json::from_str::<serde_json::Value>(text).map_err(broken)?);
    let Node::Table(table) = node else {
        return Err(vec![Fault::new(file, "", "expected a JSON object with period and service")]);
    };
    let faults = Faults::default();
    let case = read(Reader::top(&table, file, &faults).counting_from_zero(), file);
    let faults = faults.into_inner();
    match case {
        Some(case) if faults.is_empty() => Ok(case),
        _ => Err(faults),
    }
}

fn read(top: Reader<'_>, file: &str) -> Option<Case> {
    let need = || Need::By("every facts file".to_owned());
    let period = top.get("period", need(), period);
    let service = top.get("service", need(), reader::text);
    let as_of = top.get("as_of", Need::Optional, reader::instant);
    let (mut mrc, mut usage) = (None, None);
    if let Some(charges) = top.table("charges", Need::Optional) {
        mrc = charges.get("mrc", Need::Optional, reader::unsigned).map(|figure| figure.value);
        usage = charges.get("usage", Need::Optional, reader::unsigned).map(|figure| figure.value);
        charges.done();
    }
    // One that cannot be read is there all the same.
    let ended = Need::when(!top.gives("as_of"), "without as_of every event has ended, and");
    let events = all(&top, "events", |table| event(table, &ended));
    let excluded = all(&top, "excluded", |table| {
        let exclusion = table.get("exclusion", Need::By("every element".to_owned()), reader::text);
        let span = span(table);
        let notified = table.get("notified", Need::Optional, reader::instant);
        Some(Excluded { exclusion: exclusion?, span: span?, notified })
    });
    let unknown = all(&top, "unknown", span);
    let values = figures(&top, "values", reader::unsigned);
    let counts = figures(&top, "counts", |node| reader::unsigned(node).map(|figure| figure.value));
    let duties = all(&top, "duties", |table| {
        let duty = table.get("duty", Need::By("every element".to_owned()), reader::text);
        let event = table.get("event", Need::Optional, |node| {
            reader::whole(0, 1_000_000)(node).map(|event| usize::try_from(event).unwrap_or(0))
        });
        let done = table.get("done", Need::Optional, reader::instant);
        Some(Done { duty: duty?, event, done })
    });
    let previous = all(&top, "previous", |table| {
        let period = table.get("period", Need::By("every element".to_owned()), self::period);
        let breached = table.list("breached", Need::Optional, reader::text).unwrap_or_default();
        let credit = table.get("credit", Need::Optional, reader::unsigned);
        let credit = credit.map_or_else(Exact::zero, |figure| figure.value);
        let events = all(table, "events", |table| event(table, &ended));
        Some(Previous { period: period?, breached, credit, events })
    });
    top.done();
    let file = file.to_owned();
    let facts = Facts {
        file,
        as_of,
        mrc,
        usage,
        events,
        excluded,
        unknown,
        values,
        counts,
        duties,
        previous,
    };
    Some(Case { period: period?, service: service?, facts })
}

/// Every table of an array that can be read.
fn all<T>(
    table: &Reader<'_>,
    key: &'static str,
    read: impl Fn(&Reader<'_>) -> Option<T>,
) -> Vec<T> {
    let mut all = Vec::new();
    for each in table.tables(key, Need::Optional).unwrap_or_default() {
        all.extend(read(&each));
        each.done();
    }
    all
}

fn figures<T>(
    top: &Reader<'_>,
    key: &'static str,
    read: impl Fn(&Node) -> Result<T, String>,
) -> BTreeMap<String, T> {
    let Some(table) = top.table(key, Need::Optional) else { return BTreeMap::new() };
    let keys = table.keys();
    keys.into_iter()
        .filter_map(|key| Some((key.to_owned(), table.get(key, Need::Optional, &read)?)))
        .collect()
}

fn period(node: &Node) -> Result<Period, String> {
    reader::text(node)?.parse().map_err(|fault: crate::sla::calendar::NotAPeriod| fault.to_string())
}

fn span(table: &Reader<'_>) -> Option<Span> {
    let need = || Need::By("every element".to_owned());
    let from = table.get("from", need(), reader::instant);
    let to = table.get("to", need(), reader::instant);
    let (from, to) = (from?, to?);
    ordered(table, "to", from, to).then(|| Span::new(from, to))
}

/// Whether one instant is not before another; a fault where it is.
fn ordered(table: &Reader<'_>, key: &str, from: Wall, to: Wall) -> bool {
    if to < from {
        table.fault(key, format!("{to} is before {from}"));
    }
    to >= from
}

fn event(table: &Reader<'_>, ended: &Need) -> Option<Event> {
    let from = table.get("from", Need::By("every event".to_owned()), reader::instant);
    let to = table.get("to", ended.clone(), reader::instant);
    let side = table.get("side", Need::Optional, reader::word);
    let severity = table.get("severity", Need::Optional, reader::word);
    let notified = table.get("notified", Need::Optional, reader::instant);
    let service = table.get("service", Need::Optional, reader::text);
    let ticket = table.table("ticket", Need::Optional).map(ticket);
    if let (Some(from), Some(to)) = (from, to) {
        ordered(table, "to", from, to);
    }
    let ticket = match ticket {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Event { from: from?, to, side, severity, notified, ticket, service })
}

fn ticket(table: Reader<'_>) -> Option<Ticket> {
    let id = table.get("id", Need::Optional, reader::text);
    let opened = table.get("opened", Need::By("every ticket".to_owned()), reader::instant);
    let closed = table.get("closed", Need::Optional, reader::instant);
    if let (Some(opened), Some(closed)) = (opened, closed) {
        ordered(&table, "closed", opened, closed);
    }
    let waiting = all(&table, "waiting_for_customer", span);
    table.done();
    Some(Ticket { id, opened: opened?, closed, waiting })
}
