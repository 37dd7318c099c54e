//! Verdicts as one self-contained page for people who do not read JSON: `report.html` of a claim
//! bundle, and what `wanproof report --format html` prints. It says what the verdicts rest on, and
//! needs nothing from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use crate::base::time::{Wall, format_duration};
use crate::draw::smoke;
use crate::evidence::summary::{OutagePart, Summary};
use crate::measure::clock_state::ClockState;
use crate::measure::history::{Bucket, History, Part, Step, merged};
use crate::measure::outcome::Outcome;
use crate::sla::calendar::{Every, Period, Stretch};
use crate::sla::deadline::DeadlineKind;
use crate::sla::facts::Facts;
use crate::sla::report::{Outcome as Result, Report};
use crate::sla::span::Span;
use crate::sla::terms::{Contract, MeasuredBy, Op, Unit};

mod graphs;

const STYLE: &str = include_str!("report_page/style.css");

/// What a page shows of one service in one period.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// The facts that were given.
    pub facts: &'a Facts,
    /// The verdicts.
    pub report: &'a Report,
    /// What was measured.
    pub seen: &'a Seen,
}

/// What was measured of a service in a period, as far as people are shown it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its outages.
    pub outages: Vec<OutagePart>,
    /// How many summaries there are, and of how many the clock was known to be synchronised; absent
    /// where nobody counted.
    pub clocks: Option<(usize, usize)>,
    /// When the clock was set, and by how much.
    pub steps: Vec<(Wall, String)>,
    /// What each probe saw, in the order of time.
    pub probes: BTreeMap<String, Vec<Bucket>>,
}

/// What probes saw in a period, as it is added up.
#[derive(Debug)]
pub struct Measuring {
    span: Span,
    step: Step,
    probes: BTreeMap<String, History>,
}

impl Measuring {
    /// Of a period; what begins outside of it does not count.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self { span, step: Step::auto(span.from, span.to), probes: BTreeMap::new() }
    }

    /// Adds what a probe saw in an interval.
    pub fn add(&mut self, probe: &str, part: Part<'_>) {
        if !self.probes.contains_key(probe) {
            let history = History::new(self.span.from, self.span.to, self.step);
            self.probes.insert(probe.to_owned(), history);
        }
        if let Some(history) = self.probes.get_mut(probe)
            && self.span.holds(part.from)
        {
            // A histogram that cannot be read is told by who verifies, and has no values.
            let _ = history.add(part);
        }
    }

    /// The buckets of each probe.
    #[must_use]
    pub fn probes(self) -> BTreeMap<String, Vec<Bucket>> {
        self.probes.into_iter().map(|(name, history)| (name, history.buckets())).collect()
    }
}

impl Seen {
    /// What summaries say of a service in the time that a report is about.
    #[must_use]
    pub fn of(contract: &Contract, report: &Report, summaries: &[Summary]) -> Self {
        let wrong = summaries
            .iter()
            .filter(|summary| summary.clock.state != ClockState::Synchronised)
            .count();
        let steps = summaries.iter().flat_map(|summary| &summary.clock.steps);
        let own = |outage: &&OutagePart| outage.service.as_deref() == Some(report.service.as_str());
        let mut seen = Self {
            outages: summaries
                .iter()
                .flat_map(|summary| &summary.outages)
                .filter(own)
                .cloned()
                .collect(),
            clocks: Some((summaries.len(), summaries.len() - wrong)),
            steps: steps.map(|step| (step.at, format!("by {} µs", step.by_us))).collect(),
            probes: BTreeMap::new(),
        };
        let names = probes_of(contract, &report.service);
        let mut measuring = Measuring::new(span(contract, report.period));
        for probe in summaries.iter().flat_map(|summary| &summary.probes) {
            if !names.contains(probe.name.as_str())
                && probe.service.as_deref() != Some(report.service.as_str())
            {
                continue;
            }
            for interval in &probe.intervals {
                let rtt = interval.rtt_us.as_ref().zip(interval.rtt_sum_ns);
                let part = Part {
                    from: interval.from,
                    millis: interval.millis,
                    outcomes: &interval.outcomes,
                    rtt,
                    ipdv: None,
                };
                measuring.add(&probe.name, part);
            }
        }
        seen.probes = measuring.probes();
        seen
    }
}

/// The probes that measure a service or one of its members, by name.
#[must_use]
pub fn probes_of<'a>(contract: &'a Contract, service: &str) -> BTreeSet<&'a str> {
    let members = contract.members_of(service).unwrap_or_default();
    members.into_iter().flat_map(|each| each.probes.iter().map(String::as_str)).collect()
}

/// The time that a page about a period tells of.
#[must_use]
pub fn span(contract: &Contract, period: Period) -> Span {
    let rolling =
        contract.objectives.iter().filter_map(|objective| match objective.aggregate.every {
            Every::Rolling(days) => Some(days),
            _ => None,
        });
    Stretch::holding(
        period.every(rolling.max().unwrap_or(1)),
        period.last(),
        &contract.agreement.timezone,
    )
    .span
}

/// The page that goes into a claim bundle.
#[must_use]
pub fn of_bundle(shown: &Shown<'_>) -> String {
    let (service, period) = (&shown.report.service, shown.report.period);
    let mut to = head(&format!("{service}, {period}"));
    section(&mut to, 1, shown);
    to.push_str(WORDS);
    to.push_str(
        "<h2>How to check this</h2>\n<p>This page is for people. What it says follows from the \
            signed summaries beside it \
         in the bundle: <code>wanproof verify --key AGENT.jwk --key COLLECTOR.jwk \
            BUNDLE.zip</code> recomputes all of it, \
         this page too, and says what it could not prove.</p>\n",
    );
    let _ = writeln!(to, "{}</body></html>", written_by(crate::SOFTWARE));
    to
}

/// A page of several reports, an overview first where there is more than one.
#[must_use]
pub fn of_reports(all: &[Shown<'_>]) -> String {
    let periods: BTreeSet<String> =
        all.iter().map(|shown| shown.report.period.to_string()).collect();
    let mut to =
        head(&format!("Service levels, {}", periods.into_iter().collect::<Vec<_>>().join(", ")));
    if all.is_empty() {
        to.push_str("<p>No contract judges what is measured here.</p>\n");
    }
    if all.len() > 1 {
        overview(&mut to, all);
    }
    for (number, shown) in (1..).zip(all) {
        let _ = writeln!(to, "<section id=\"r{number}\">");
        section(&mut to, number, shown);
        to.push_str("</section>\n");
    }
    to.push_str(WORDS);
    to.push_str(
        "<h2>How this came about</h2>\n<p>It was worked out from what the measuring device has \
            stored, and is a report, not \
         evidence: <code>wanproof claim bundle</code> makes what the other party can check by \
            itself.</p>\n",
    );
    let _ = writeln!(to, "{}</body></html>", written_by(crate::SOFTWARE));
    to
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
            content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}{}</style></head><body>\n",
        esc(title),
        smoke::STYLE
    )
}

fn overview(to: &mut String, all: &[Shown<'_>]) {
    to.push_str(
        "<h1>All services</h1>\n<table><tr><th>Service<th>Period<th>Contract<th>Missed<th>Not \
            determined\
         <th class=\"n\">Credit<th>Claim by</tr>\n",
    );
    for (number, Shown { report, .. }) in (1..).zip(all) {
        let missed = named(report, Result::Breached);
        let class = if missed.is_empty() { "" } else { " class=\"breached\"" };
        let _ = writeln!(
            to,
            "<tr><td><a href=\"#r{number}\">{}</a><td>{}<td>{} version \
                {}<td{class}>{missed}<td>{}<td class=\"n\">{} {}<td>{}</tr>",
            esc(&report.service),
            report.period,
            esc(&report.contract),
            report.version,
            named(report, Result::NotDetermined),
            esc(&report.credit),
            esc(&report.currency),
            report.claim.by.map(|by| by.to_string()).unwrap_or_default(),
        );
    }
    to.push_str("</table>\n");
}

/// All about one service in one period; the number tells it from the others of the page.
fn section(to: &mut String, number: usize, shown: &Shown<'_>) {
    let Shown { contract, facts, report, seen } = *shown;
    let agreement = &contract.agreement;
    let _ = write!(
        to,
        "<h1>Service {} in {}</h1>\n\
         <p class=\"lead\">How this service stood by the contract <strong>{} version {}</strong> \
            between {} (provider) and {} \
         (customer). {}</p>\n<p>Times are in UTC. Periods, days and deadlines are local to {}, as \
            the contract says; by it \
         {}.</p>\n",
        esc(&report.service),
        report.period,
        esc(&report.contract),
        report.version,
        esc(&agreement.provider.name),
        esc(&agreement.customer.name),
        conclusion(report),
        esc(agreement.timezone.name()),
        match report.measured_by {
            MeasuredBy::Provider =>
                "the provider's figures bind, and these are the customer's own measurements \
                    beside them",
            MeasuredBy::Customer => "the customer's figures bind",
            MeasuredBy::Joint => "those figures bind that both parties hold",
        },
    );
    graphs::draw(to, number, shown);
    verdicts(to, report);
    deadlines(to, report);
    outages(to, seen);
    measured(to, seen);
    clock(to, seen);
    excluded(to, facts);
}

/// What must be done still, and what should have been.
fn deadlines(to: &mut String, report: &Report) {
    if report.deadlines.is_empty() {
        return;
    }
    to.push_str(
        "<h2>What is due, and by when</h2>\n<table><tr><th>By<th>What<th>How it stands</tr>\n",
    );
    for deadline in &report.deadlines {
        let kind = match deadline.kind {
            DeadlineKind::Ticket | DeadlineKind::Claim => String::new(),
            DeadlineKind::Exercise => format!("right {}: ", deadline.id),
            DeadlineKind::Duty => format!("duty {}: ", deadline.id),
        };
        let state = match (deadline.kept, report.as_of) {
            (Some(true), _) => "kept".to_owned(),
            (Some(false), _) => "too late".to_owned(),
            (None, Some(now)) => deadline.left(now),
            (None, None) => String::new(),
        };
        let what = esc(&format!("{kind}{}", deadline.what));
        let _ = writeln!(to, "<tr><td>{}<td>{what}<td>{state}</tr>", esc(&deadline.by));
    }
    to.push_str("</table>\n");
}

/// The objectives that stand so, by name.
fn named(report: &Report, result: Result) -> String {
    let of = report.objectives.iter().filter(|verdict| verdict.result == result);
    of.map(|verdict| esc(&verdict.name())).collect::<Vec<_>>().join(", ")
}

/// What the page comes to, in a sentence or two.
fn conclusion(report: &Report) -> String {
    let (breached, open) = (named(report, Result::Breached), named(report, Result::NotDetermined));
    let mut said = match (breached.is_empty(), open.is_empty()) {
        (false, _) => format!("Missed: <strong>{breached}</strong>."),
        (true, true) => "Every objective was met.".to_owned(),
        (true, false) => "No objective is known to have been missed.".to_owned(),
    };
    if !open.is_empty() {
        let _ = write!(said, " Not determined: {open}.");
    }
    if report.objectives.iter().any(|verdict| verdict.provisional) {
        said.push_str(" The period was not over; this is what was certain by then.");
    }
    let _ = write!(
        said,
        " Credit due: <strong>{} {}</strong>.{}{}",
        esc(&report.credit),
        esc(&report.currency),
        report.claim.by.map(|by| format!(" It is to be claimed by {by}.")).unwrap_or_default(),
        if report.claim.lapsed { " The claim has lapsed." } else { "" },
    );
    said
}

/// What the words of the tables mean.
const WORDS: &str = "<h2>Words</h2>\n<dl>\
<dt>answered</dt><dd>the answer came in time</dd>\
<dt>late</dt><dd>it came after the cut-off, while it was still waited for; the contract says what \
    that counts as</dd>\
<dt>lost</dt><dd>nothing came in the whole waiting time</dd>\
<dt>refused</dt><dd>the network or the service said no: unreachable, reset, an error</dd>\
<dt>not sent</dt><dd>the measuring device had no way to send it: no route, no carrier, no name; \
    never counted as the network's loss</dd>\
<dt>not observed</dt><dd>nobody was measuring; unknown, and never counted as good</dd>\
<dt>observed</dt><dd>the part of the time judged of which something is known</dd>\
<dt>side</dt><dd>whose side the measuring device takes an outage to lie on, by what it saw at \
    that time</dd></dl>\n";

/// An instant for people.
fn instant(at: Wall) -> String {
    at.to_string().replace('T', " ").replace('Z', "")
}

/// A length for people, to the second where it is that long.
fn length(from: Wall, to: Wall) -> String {
    let nanos = u64::try_from(to.nanos_since(from)).unwrap_or(0);
    let step = if nanos < 60_000_000_000 { 1_000_000 } else { 1_000_000_000 };
    format_duration(Duration::from_nanos(nanos / step * step))
}

/// By which the page says what wrote it.
pub fn written_by(software: &str) -> String {
    format!("<p><small>Written by {}.</small></p>\n", esc(software))
}

fn esc(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn verdicts(to: &mut String, report: &Report) {
    to.push_str(
        "<h2>Verdicts</h2>\n<table><tr><th>Objective<th>Result<th class=\"n\">Actual<th \
            class=\"n\">Promised\
         <th class=\"n\">Observed<th class=\"n\">Earns</tr>\n",
    );
    for verdict in &report.objectives {
        let class = match verdict.result {
            Result::Met => "met",
            Result::Breached => "breached",
            Result::NotDetermined => "open",
        };
        let unit = match verdict.unit {
            Unit::Percent => " %",
            Unit::Ms => " ms",
            Unit::S => " s",
            Unit::Ratio | Unit::Count => "",
        };
        let promised = match verdict.op {
            Op::AtLeast => "at least",
            Op::AtMost => "at most",
            Op::Above => "above",
            Op::Below => "below",
        };
        let _ = writeln!(
            to,
            "<tr><td>{}<td class=\"{class}\">{}{}<td class=\"n\">{}<td class=\"n\">{promised} \
             {}{unit}<td class=\"n\">{} %<td class=\"n\">{} {}</tr>",
            esc(&verdict.name()),
            class.replace("open", "not determined").replace("breached", "missed"),
            if verdict.provisional { " so far" } else { "" },
            verdict
                .actual
                .as_ref()
                .map_or_else(|| "–".to_owned(), |actual| format!("{}{unit}", esc(actual))),
            esc(&verdict.target),
            esc(&verdict.coverage),
            esc(&verdict.credit),
            esc(&report.currency),
        );
    }
    to.push_str("</table>\n<h2>Arithmetic</h2>\n");
    for verdict in &report.objectives {
        let _ = writeln!(to, "<h3>{}</h3>\n<ol>", esc(&verdict.name()));
        for step in &verdict.steps {
            let _ = writeln!(to, "<li>{}</li>", esc(step));
        }
        to.push_str("</ol>\n");
    }
}

fn outages(to: &mut String, seen: &Seen) {
    // Later summaries know more of an outage than earlier ones.
    let all: BTreeMap<(Wall, &str, &str), &OutagePart> = seen
        .outages
        .iter()
        .map(|outage| ((outage.from, outage.definition.as_str(), outage.probe.as_str()), outage))
        .collect();
    to.push_str("<h2>Outages</h2>\n");
    if all.is_empty() {
        to.push_str("<p>None was recorded.</p>\n");
        return;
    }
    to.push_str(
        "<table><tr><th>From<th>To<th class=\"n\">Lasted<th>By the definition<th>Shown \
            by<th>Side<th>What was seen</tr>\n",
    );
    for outage in all.values() {
        let side = outage.side;
        let _ = writeln!(
            to,
            "<tr><td>{}<td>{}<td class=\"n\">{}<td>{}<td>{}<td>{side}<td><small>{}</small></tr>",
            instant(outage.from),
            outage.to.map_or_else(|| "lasting".to_owned(), instant),
            outage.to.map_or_else(|| "–".to_owned(), |to| length(outage.from, to)),
            esc(&outage.definition),
            esc(&outage.probe),
            around(&outage.evidence),
        );
    }
    to.push_str("</table>\n");
}

/// What was seen around an outage, a line for each thing.
fn around(evidence: &serde_json::Map<String, serde_json::Value>) -> String {
    use serde_json::Value;
    let plain = |value: &Value| match value {
        Value::String(text) => esc(text),
        other => esc(&other
            .to_string()
            .replace(['{', '}', '"'], "")
            .replace(',', ", ")
            .replace('_', " ")),
    };
    let line = |(name, value): (&String, &Value)| {
        let what = match value {
            Value::Array(lines) => lines.iter().map(plain).collect::<Vec<_>>().join("<br>"),
            other => plain(other),
        };
        format!("{}: {what}", esc(&name.replace('_', " ")))
    };
    evidence.iter().map(line).collect::<Vec<_>>().join("<br>")
}

fn measured(to: &mut String, seen: &Seen) {
    let sum = |buckets: &Vec<Bucket>| merged(buckets).unwrap_or_default();
    let sums: Vec<(&String, Bucket)> =
        seen.probes.iter().map(|(name, buckets)| (name, sum(buckets))).collect();
    to.push_str(
        "<h2>What was measured in the period</h2>\n<table><tr><th>Probe<th \
        class=\"n\">Measured for",
    );
    for outcome in Outcome::ALL {
        let _ = write!(to, "<th class=\"n\">{}", outcome.word().replace('-', " "));
    }
    to.push_str("</tr>\n");
    for (name, sum) in &sums {
        let _ = write!(
            to,
            "<tr><td>{}<td class=\"n\">{}",
            esc(name),
            format_duration(Duration::from_secs(sum.covered.as_secs()))
        );
        for outcome in Outcome::ALL {
            let _ = write!(to, "<td class=\"n\">{}", sum.count(outcome));
        }
        to.push_str("</tr>\n");
    }
    to.push_str("</table>\n");
    for (name, sum) in sums.iter().filter(|(_, sum)| sum.rtt.count() > 0) {
        let _ = write!(
            to,
            "<h3>Round-trip times of {}</h3>\n<table><tr><th class=\"n\">Of all answers<th \
                class=\"n\">took at most<th></tr>\n",
            esc(name)
        );
        let at = |part, of| sum.rtt.value_at_us(part, of).unwrap_or(0);
        let highest = at(1, 1).max(1);
        for (part, of, label) in [
            (1, 2, "50%"),
            (9, 10, "90%"),
            (95, 100, "95%"),
            (99, 100, "99%"),
            (999, 1000, "99.9%"),
            (1, 1, "100%"),
        ] {
            let value = at(part, of);
            let _ = writeln!(
                to,
                "<tr><td class=\"n\">{label}<td class=\"n\">{}.{:03} ms<td \
                    style=\"width:60%\"><span class=\"bar\" style=\"width:{}%\"></span></tr>",
                value / 1000,
                value % 1000,
                (value * 100).div_ceil(highest),
            );
        }
        to.push_str("</table>\n");
    }
}

fn clock(to: &mut String, seen: &Seen) {
    if seen.clocks.is_none() && seen.steps.is_empty() {
        return;
    }
    to.push_str("<h2>The clock</h2>\n");
    if let Some((all, right)) = seen.clocks {
        let _ = writeln!(
            to,
            "<p>The measuring device's clock was known to be synchronised in {right} of {all} \
                summaries.{}</p>",
            if right < all {
                " For the others only the collector's receipts bound the time."
            } else {
                ""
            },
        );
    }
    if !seen.steps.is_empty() {
        let steps: Vec<String> = seen
            .steps
            .iter()
            .map(|(at, by)| format!("<li>at {} {}</li>", instant(*at), esc(by)))
            .collect();
        let _ = write!(to, "<p>It was set:</p>\n<ul>{}</ul>\n", steps.join("\n"));
    }
}

fn excluded(to: &mut String, facts: &Facts) {
    to.push_str("<h2>What was excluded, and other facts</h2>\n");
    if facts.excluded.is_empty() {
        to.push_str("<p>No exclusion is claimed.</p>\n");
    } else {
        to.push_str(
            "<p>Claimed, and taken on trust; the arithmetic above says what each \
            removed.</p>\n<ul>\n",
        );
        for one in &facts.excluded {
            let (from, until) = (instant(one.span.from), instant(one.span.to));
            let _ = writeln!(
                to,
                "<li>{}: {from} to {until}, {}</li>",
                esc(&one.exclusion),
                length(one.span.from, one.span.to)
            );
        }
        to.push_str("</ul>\n");
    }
    if !facts.events.is_empty() {
        to.push_str("<p>Events that were told, not measured, and are taken on trust:</p>\n<ul>\n");
        for event in &facts.events {
            let ticket = event.ticket.as_ref().map(|ticket| {
                let name = ticket.id.as_ref().map(|id| format!(" {}", esc(id))).unwrap_or_default();
                format!("; ticket{name}, opened {}", instant(ticket.opened))
            });
            let until = event.to.map_or_else(|| "lasting".to_owned(), instant);
            let _ = writeln!(
                to,
                "<li>{} to {until}{}</li>",
                instant(event.from),
                ticket.unwrap_or_default()
            );
        }
        to.push_str("</ul>\n");
    }
    if !facts.previous.is_empty() {
        let _ = writeln!(
            to,
            "<p>Earlier periods that are taken on trust: {}.</p>",
            facts.previous.len()
        );
    }
}
