//! Drafts for people: the trouble ticket for an outage, and the letter that claims a credit. They
//! say what the contract and the verdict say, with each outage's length by our clock and by the
//! provider's.

use std::fmt::Write as _;

use serde::Serialize;

use crate::base::time::{Wall, format_duration};
use crate::sla::deadline;
use crate::sla::facts::{Event, Facts, Ticket};
use crate::sla::reader::Word;
use crate::sla::report::{Down, Outcome, Report, Verdict};
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Claim, Contract, Definition, Objective, PartyTerms, Remedy};
use crate::sla::words;

/// A letter to be looked over and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// Who it goes to: the provider, with its contact.
    pub to: String,
    /// Who it is from: the customer, with its contact.
    pub from: String,
    /// What it is about, in a line.
    pub subject: String,
    /// The letter, its lines ended by `\n`; paragraphs are not wrapped.
    pub text: String,
}

/// Why there is nothing to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLetter {
    /// The report is of another contract.
    #[error("the report is of {report}, and the contract is {contract}")]
    Another {
        /// What the report names.
        report: String,
        /// What the contract is.
        contract: String,
    },
    /// No credit is due.
    #[error("no credit is due for {service} in {period}, so there is nothing to claim")]
    NoCredit {
        /// The service.
        service: String,
        /// The period.
        period: String,
    },
    /// No outage counts.
    #[error("no outage of {service} counts in {period}, so there is nothing to open a ticket for")]
    NoOutage {
        /// The service.
        service: String,
        /// The period.
        period: String,
    },
}

/// Drafts the letter that claims a report's credit. `facts` are those that it was judged with:
/// where they tell of an outage too, its length by the provider's clock stands beside ours.
///
/// # Errors
/// When no credit is due, or the report is of another contract.
pub fn claim(contract: &Contract, report: &Report, facts: &Facts) -> Result<Draft, NoLetter> {
    let contract = contract.of(report.period).unwrap_or(contract);
    let parts = parts(contract, report)?;
    let earning: Vec<&Verdict> =
        report.objectives.iter().filter(|verdict| verdict.is_credited()).collect();
    if !report.is_credited() {
        let (service, period) = (report.service.clone(), report.period.to_string());
        return Err(NoLetter::NoCredit { service, period });
    }
    let Report { contract: id, version, service, period, credit, currency, .. } = report;
    let agreement = &contract.agreement;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Under agreement {id} version {version}, signed {}, we claim a credit of {credit} \
         {currency} for circuit {service}{} in {period}.",
        agreement.signed, parts.site
    );
    for verdict in &earning {
        text.push('\n');
        objective(&mut text, contract, verdict, facts);
    }
    if earning.len() > 1 || earning.iter().all(|verdict| verdict.credit != *credit) {
        let _ = writeln!(
            text,
            "\nCombined, capped and rounded as the agreement says, that is {credit} {currency}."
        );
    }
    if let Some(terms) = &contract.claim {
        text.push('\n');
        claiming(&mut text, terms, report);
    }
    text.push_str(
        "\nThe arithmetic, step by step, and the signed measurements behind it are in the \
            evidence bundle, which you can \
         check offline. Please confirm that you received this claim, and tell us on which invoice \
            the credit will stand.\n",
    );
    let subject = format!(
        "Claim of {credit} {currency}: agreement {id} version {version}, circuit {service}, \
            {period}"
    );
    Ok(parts.draft(subject, text))
}

/// Drafts the trouble ticket for an outage: the first that has none yet, else the last.
///
/// # Errors
/// When no outage counts, or the report is of another contract.
pub fn ticket(contract: &Contract, report: &Report) -> Result<Draft, NoLetter> {
    let contract = contract.of(report.period).unwrap_or(contract);
    let parts = parts(contract, report)?;
    let Some((verdict, outage)) = to_report(report) else {
        let (service, period) = (report.service.clone(), report.period.to_string());
        return Err(NoLetter::NoOutage { service, period });
    };
    let Report { contract: id, version, service, .. } = report;
    let from = outage.known.unwrap_or(outage.event).from;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Circuit {service}{} is reported down under agreement {id} version {version}.\n",
        parts.site
    );
    when(&mut text, outage);
    agreed(&mut text, contract, report, verdict, from);
    text.push_str(
        "\nPlease tell us the ticket's number and when it was opened, and keep us informed until \
            it is closed.\n",
    );
    let still = if outage.lasts { "down since" } else { "was down from" };
    let subject = format!("Outage of circuit {service}: {still} {from}");
    Ok(parts.draft(subject, text))
}

/// The outage that a ticket is to be opened for: the first that has none, else the last. Nobody
/// opens one for time of which nothing is known.
fn to_report(report: &Report) -> Option<(&Verdict, &Down)> {
    let all = || {
        report
            .objectives
            .iter()
            .flat_map(|verdict| verdict.outages.iter().map(move |outage| (verdict, outage)))
            .filter(|(_, outage)| outage.known.is_some())
    };
    let open = all().filter(|(_, outage)| outage.tickets.is_empty());
    open.min_by_key(|(_, outage)| outage.event.from)
        .or_else(|| all().max_by_key(|(_, outage)| outage.event.from))
}

/// When the outage began and ended, as far as it is known, and how long it is.
fn when(text: &mut String, outage: &Down) {
    let Span { from, to } = outage.known.unwrap_or(outage.event);
    let _ = writeln!(text, "Began:   {from}");
    match outage.lasts {
        true => {
            let _ = writeln!(
                text,
                "Ended:   not yet; {} so far by our clock, at {to}",
                lasted(outage.event)
            );
        }
        false => {
            let _ = writeln!(text, "Ended:   {to}, after {} by our clock", lasted(outage.event));
        }
    }
}

/// What the contract says of the outage, and by when it wants a ticket.
fn agreed(text: &mut String, contract: &Contract, report: &Report, verdict: &Verdict, from: Wall) {
    if let Some(objective) = contract.objective(&verdict.id) {
        let _ = writeln!(text, "Clause:  {}", clause(objective));
        if let Some(how) = definition(objective) {
            let _ = writeln!(text, "Down is: {how}");
        }
    }
    if let Some(within) = contract.claim.as_ref().and_then(|claim| claim.ticket_within) {
        let by = from + within;
        let _ = writeln!(
            text,
            "Ticket:  due within {} of its beginning, by {by}{}",
            format_duration(within),
            counted_down(by, report.as_of)
        );
    }
}

/// Who writes to whom, and about what.
struct Parts {
    to: String,
    from: String,
    /// ` at site leeds-01`.
    site: String,
}

impl Parts {
    fn draft(self, subject: String, text: String) -> Draft {
        Draft { to: self.to, from: self.from, subject, text }
    }
}

fn parts(contract: &Contract, report: &Report) -> Result<Parts, NoLetter> {
    let agreement = &contract.agreement;
    if (report.contract.as_str(), report.version) != (contract.id(), contract.version()) {
        let named = |id: &str, version: u32| format!("{id} version {version}");
        let (report, contract) =
            (named(&report.contract, report.version), named(contract.id(), contract.version()));
        return Err(NoLetter::Another { report, contract });
    }
    let address = |party: &PartyTerms| format!("{} <{}>", display_name(&party.name), party.contact);
    let site = contract
        .service(&report.service)
        .map_or(String::new(), |service| format!(" at site {}", service.site));
    Ok(Parts { to: address(&agreement.provider), from: address(&agreement.customer), site })
}

/// A name before an address (RFC 5322, section 3.2.4): in quotes where something in it would end
/// it, or begin another address.
fn display_name(name: &str) -> String {
    if !name.contains(['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"']) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn objective(text: &mut String, contract: &Contract, verdict: &Verdict, facts: &Facts) {
    let Verdict { op, target, unit, result, .. } = verdict;
    let Some(terms) = contract.objective(&verdict.id) else { return };
    let actual = verdict.actual.as_deref().unwrap_or("unknown");
    let stands = match result {
        Outcome::Breached => "breached",
        Outcome::Met => "met, and a credit is due all the same",
        Outcome::NotDetermined => "not determined",
    };
    let _ = writeln!(text, "Clause: {}", clause(terms));
    let _ = writeln!(text, "Promised {op} {target} {unit}, actual {actual} {unit}: {stands}.");
    if let Some(remedy) = &terms.remedy {
        let _ = writeln!(
            text,
            "Remedy: {}; credit {} {}.",
            grows(remedy),
            verdict.credit,
            currency(contract)
        );
    }
    for (outage, number) in verdict.outages.iter().zip(1..) {
        outage_line(text, outage, number, facts);
    }
}

fn currency(contract: &Contract) -> &str {
    &contract.agreement.currency.code
}

/// One outage: its begin and end, and its length by our clock and by theirs.
fn outage_line(text: &mut String, outage: &Down, number: usize, facts: &Facts) {
    let Span { from, to } = outage.event;
    let until = if outage.lasts { format!("still down at {to}") } else { format!("to {to}") };
    let _ = writeln!(text, "  {number}. from {from} {until}");
    let _ = write!(text, "     by our clock {}", lasted(outage.event));
    match outage.event.nanos() == outage.counted {
        true => text.push_str(", which counts whole\n"),
        false => {
            let _ = writeln!(
                text,
                ", of which {} count by the agreement",
                words::seconds(outage.counted)
            );
        }
    }
    let told = facts.events.iter().filter(|event| tells_of(event, outage.event));
    for event in told.filter(|event| Span::new(event.from, event.to.unwrap_or(to)) != outage.event)
    {
        let span = Span::new(event.from, event.to.unwrap_or(to));
        let _ =
            writeln!(text, "     by your log from {} to {}: {}", span.from, span.to, lasted(span));
    }
    for ticket in outage.tickets.iter() {
        let _ = writeln!(text, "     {}", by_ticket(ticket, outage.event));
    }
    if outage.tickets.is_empty() {
        text.push_str("     no ticket of yours is known to us\n");
    }
}

fn tells_of(event: &Event, outage: Span) -> bool {
    let span = Span::new(event.from, event.to.unwrap_or(outage.to));
    !span.and(outage).is_empty()
}

/// A ticket's own time: from its opening to the earlier of restored and closed, less waiting for
/// the customer.
fn by_ticket(ticket: &Ticket, outage: Span) -> String {
    let id = ticket.id.as_deref().unwrap_or("without a number");
    let to = ticket.closed.map_or(outage.to, |closed| closed.min(outage.to));
    let span = Span::new(ticket.opened, to);
    let left = Spans::from(span).minus(&ticket.waiting.iter().copied().collect());
    let closed = ticket.closed.map_or("not closed".to_owned(), |closed| format!("closed {closed}"));
    let waited = match span.nanos() - left.nanos() {
        0 => String::new(),
        waited => format!(", less {} waiting for us", words::seconds(waited)),
    };
    let after = ticket.opened.nanos_since(outage.from).max(0);
    format!(
        "by your ticket {id}, opened {} ({} after the beginning), {closed}: {}{waited}",
        ticket.opened,
        words::seconds(i128::from(after)),
        words::seconds(left.nanos())
    )
}

/// An objective as a clause: `objective "avail", availability >= 99.9 percent each month`.
fn clause(objective: &Objective) -> String {
    let Objective { id, metric, op, target, unit, aggregate, .. } = objective;
    format!(
        "objective {id:?}, {metric} {op} {} {unit} each {}",
        target.written,
        aggregate.every.word()
    )
}

fn definition(objective: &Objective) -> Option<String> {
    Some(match &objective.outage.as_ref()?.definition {
        Definition::Misses { misses, answers } => {
            format!(
                "from the first of {misses} failed probes in a row until the first of {answers} \
                    answered in a row"
            )
        }
        Definition::LossRatio { interval, threshold } => {
            format!(
                "an interval of {} with a loss ratio above {threshold}",
                format_duration(*interval)
            )
        }
        Definition::Mef { dt, n, threshold } => format!(
            "from the first of {n} intervals in a row of {} with a loss ratio above {threshold} \
             until the first of {n} that are not (MEF 10.4)",
            format_duration(*dt)
        ),
        Definition::TotalLoss { interval } => {
            format!("an interval of {} in which nothing was answered", format_duration(*interval))
        }
        Definition::Ticket => return None,
    })
}

/// A word of the contract as people write it.
fn spoken(word: impl Word) -> String {
    word.word().replace('_', " ")
}

fn grows(remedy: &Remedy) -> String {
    let ticket =
        if remedy.requires_ticket { ", for outages with a ticket opened in time" } else { "" };
    format!("by {}{ticket}", spoken(remedy.driver))
}

fn claiming(text: &mut String, terms: &Claim, report: &Report) {
    let clock = terms.clock.map_or(String::new(), |clock| {
        format!(
            ", to be claimed within {} {} of the {}",
            clock.within,
            spoken(clock.unit),
            spoken(clock.counted_from)
        )
    });
    let _ = write!(
        text,
        "The credit is {}{clock}, and settled by {}.",
        spoken(terms.mode),
        spoken(terms.settled)
    );
    if let Some(by) = report.claim.by {
        let ends = report.deadlines.iter().find(|each| each.kind == deadline::DeadlineKind::Claim);
        let left = ends.map_or(String::new(), |each| counted_down(each.ends, report.as_of));
        let _ = write!(text, " The last day to claim it is {by}{left}.");
    }
    text.push('\n');
    if report.claim.lapsed {
        text.push_str("By the agreement's own clock this claim has lapsed.\n");
    }
}

fn counted_down(ends: Wall, as_of: Option<Wall>) -> String {
    as_of.map_or(String::new(), |now| format!(" ({})", deadline::left(ends, now)))
}

/// A length for people and exactly: `1 h 40 min (6000 s)`; seconds alone below a minute.
fn lasted(span: Span) -> String {
    let exact = words::seconds(span.nanos());
    let minutes = span.nanos() / 60_000_000_000;
    match minutes {
        0 => exact,
        1..60 => format!("{minutes} min ({exact})"),
        1440.. => {
            format!("{} d {} h {} min ({exact})", minutes / 1440, minutes % 1440 / 60, minutes % 60)
        }
        _ => format!("{} h {} min ({exact})", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partys_name_ends_no_address_and_begins_no_other() {
        assert_eq!(display_name("Example Carrier"), "Example Carrier");
        assert_eq!(display_name("ACME, Ltd"), "\"ACME, Ltd\"");
        assert_eq!(
            display_name("x\" <evil@example.net>, \"y"),
            "\"x\\\" <evil@example.net>, \\\"y\""
        );
    }
}
