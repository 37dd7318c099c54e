//! `report.html`: one self-contained file for people who do not read JSON. It says what the verdict rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::base::time::Wall;
use crate::evidence::bundle::SOFTWARE;
use crate::evidence::summary::{ClockState, OutagePart, Side, Summary};
use crate::measure::histogram::Histogram;
use crate::measure::outcome::Outcome;
use crate::sla::facts::Case;
use crate::sla::report::{Outcome as Result, Report};
use crate::sla::terms::Contract;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;width:100%;margin:1em 0}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;\
vertical-align:top}th{border-color:#888}.n{text-align:right;font-variant-numeric:tabular-nums}.met{color:#060}.breached{color:#a00}\
.bar{background:#57a;height:.8em;display:inline-block}small{color:#666}";

/// What a probe saw in all.
#[derive(Default)]
struct Sum {
    counts: BTreeMap<char, u64>,
    rtt: Histogram,
    minutes: u64,
}

/// The page.
pub fn page(contract: &Contract, case: &Case, report: &Report, summaries: &[Summary]) -> String {
    let mut to = String::new();
    let title = format!("{} version {}, {}, {}", report.contract, report.version, report.service, report.period);
    let _ = write!(
        to,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style></head><body>\n\
         <h1>{0}</h1>\n<p>Provider: {1}. Customer: {2}. Times are in UTC.</p>\n",
        esc(&title),
        esc(&contract.agreement.provider.name),
        esc(&contract.agreement.customer.name),
    );
    verdicts(&mut to, report);
    outages(&mut to, &report.service, summaries);
    let zone = &contract.agreement.timezone;
    let days = zone.days(case.period.first(1), case.period.last());
    measured(&mut to, report, contract, summaries, (days.from, days.to));
    clock(&mut to, summaries);
    excluded(&mut to, case);
    to.push_str(
        "<h2>How to check this</h2>\n<p>This page is for people. What it says follows from the signed summaries beside it \
         in the bundle: <code>wanproof verify --key AGENT.jwk --key COLLECTOR.jwk BUNDLE.zip</code> recomputes all of it.</p>\n",
    );
    let _ = writeln!(to, "{}</body></html>", written_by(SOFTWARE));
    to
}

/// By which the page says what wrote it.
pub fn written_by(software: &str) -> String {
    format!("<p><small>Written by {}.</small></p>\n", esc(software))
}

fn esc(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn verdicts(to: &mut String, report: &Report) {
    let _ = write!(
        to,
        "<h2>Verdict</h2>\n<p>Credit due: <strong>{} {}</strong>.{}{}</p>\n<table><tr><th>Objective<th>Result<th>Actual\
         <th>Target<th>Observed</tr>\n",
        esc(&report.credit),
        esc(&report.currency),
        report.claim.by.map(|by| format!(" To be claimed by {by}.")).unwrap_or_default(),
        if report.claim.lapsed { " The claim has lapsed." } else { "" },
    );
    for verdict in &report.objectives {
        let class = match verdict.result {
            Result::Met => "met",
            Result::Breached => "breached",
            Result::NotDetermined => "open",
        };
        let _ = writeln!(
            to,
            "<tr><td>{}<td class=\"{class}\">{}{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}%</tr>",
            esc(&verdict.id),
            class.replace("open", "not determined"),
            if verdict.provisional { " so far" } else { "" },
            esc(verdict.actual.as_deref().unwrap_or("–")),
            esc(&verdict.target),
            esc(&verdict.coverage),
        );
    }
    to.push_str("</table>\n<h2>Arithmetic</h2>\n");
    for verdict in &report.objectives {
        let _ = writeln!(to, "<h3>{}</h3>\n<ol>", esc(&verdict.id));
        for step in &verdict.steps {
            let _ = writeln!(to, "<li>{}</li>", esc(step));
        }
        to.push_str("</ol>\n");
    }
}

fn outages(to: &mut String, service: &str, summaries: &[Summary]) {
    let mut all: BTreeMap<(Wall, &str, &str), &OutagePart> = BTreeMap::new();
    for outage in summaries.iter().flat_map(|summary| &summary.outages) {
        if outage.service.as_deref() == Some(service) {
            all.insert((outage.from, &outage.definition, &outage.probe), outage);
        }
    }
    to.push_str("<h2>Outages</h2>\n");
    if all.is_empty() {
        to.push_str("<p>None was recorded.</p>\n");
        return;
    }
    to.push_str("<table><tr><th>From<th>To<th>By the definition<th>Shown by<th>Side<th>What was seen</tr>\n");
    for outage in all.values() {
        let side = match outage.side {
            Side::Provider => "provider",
            Side::Customer => "customer",
            Side::Unknown => "unknown",
        };
        let seen = serde_json::to_string(&outage.evidence).unwrap_or_default();
        let _ = writeln!(
            to,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{side}<td><small>{}</small></tr>",
            outage.from,
            outage.to.map_or_else(|| "lasting".to_owned(), |to| to.to_string()),
            esc(&outage.definition),
            esc(&outage.probe),
            esc(&seen),
        );
    }
    to.push_str("</table>\n");
}

fn measured(to: &mut String, report: &Report, contract: &Contract, summaries: &[Summary], span: (Wall, Wall)) {
    let own: BTreeSet<&str> = contract
        .service(&report.service)
        .into_iter()
        .flat_map(|service| service.probes.iter().map(String::as_str))
        .collect();
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for probe in summaries.iter().flat_map(|summary| &summary.probes) {
        if !own.contains(probe.name.as_str()) && probe.service.as_deref() != Some(report.service.as_str()) {
            continue;
        }
        let sum = sums.entry(&probe.name).or_default();
        for interval in probe.intervals.iter().filter(|interval| interval.from >= span.0 && interval.from < span.1) {
            sum.minutes += u64::from(interval.millis);
            for outcome in Outcome::ALL {
                *sum.counts.entry(outcome.letter()).or_default() += interval.outcomes.count(outcome);
            }
            if let Some(Ok(histogram)) = interval.rtt_us.as_ref().map(crate::measure::histogram::Packed::unpack) {
                sum.rtt.merge(&histogram);
            }
        }
    }
    to.push_str("<h2>What was measured in the period</h2>\n<table><tr><th>Probe<th>Minutes");
    for outcome in Outcome::ALL {
        let _ = write!(to, "<th>{}", outcome.word().replace('-', " "));
    }
    to.push_str("</tr>\n");
    for (name, sum) in &sums {
        let _ = write!(to, "<tr><td>{}<td class=\"n\">{}", esc(name), sum.minutes / 60_000);
        for outcome in Outcome::ALL {
            let _ = write!(to, "<td class=\"n\">{}", sum.counts.get(&outcome.letter()).copied().unwrap_or(0));
        }
        to.push_str("</tr>\n");
    }
    to.push_str("</table>\n");
    for (name, sum) in sums.iter().filter(|(_, sum)| sum.rtt.count() > 0) {
        let _ = write!(
            to,
            "<h3>Round-trip times of {}</h3>\n<table><tr><th>Of all answers<th>took at most<th></tr>\n",
            esc(name)
        );
        let highest = sum.rtt.value_at_us(1, 1).max(1);
        for (part, of, label) in
            [(1, 2, "50%"), (9, 10, "90%"), (95, 100, "95%"), (99, 100, "99%"), (999, 1000, "99.9%"), (1, 1, "100%")]
        {
            let value = sum.rtt.value_at_us(part, of);
            let _ = writeln!(
                to,
                "<tr><td class=\"n\">{label}<td class=\"n\">{}.{:03} ms<td style=\"width:60%\"><span class=\"bar\" style=\"width:{}%\"></span></tr>",
                value / 1000,
                value % 1000,
                (value * 100).div_ceil(highest),
            );
        }
        to.push_str("</table>\n");
    }
}

fn clock(to: &mut String, summaries: &[Summary]) {
    let wrong = summaries.iter().filter(|summary| summary.clock.state != ClockState::Synchronised).count();
    let steps: Vec<String> = summaries
        .iter()
        .flat_map(|summary| &summary.clock.steps)
        .map(|step| format!("<li>at {} by {} µs</li>", step.at, step.by_us))
        .collect();
    let _ = write!(
        to,
        "<h2>The clock</h2>\n<p>It was known to be synchronised in {} of {} summaries.</p>\n",
        summaries.len() - wrong,
        summaries.len()
    );
    if !steps.is_empty() {
        let _ = write!(to, "<p>It was set:</p>\n<ul>{}</ul>\n", steps.join("\n"));
    }
}

fn excluded(to: &mut String, case: &Case) {
    to.push_str("<h2>What was excluded, and other facts</h2>\n");
    let facts = &case.facts;
    if facts.excluded.is_empty() {
        to.push_str("<p>No exclusion is claimed.</p>\n");
    } else {
        to.push_str("<p>Claimed, and taken on trust; the arithmetic above says what each removed.</p>\n<ul>\n");
        for one in &facts.excluded {
            let _ = writeln!(to, "<li>{}: {} to {}</li>", esc(&one.exclusion), one.span.from, one.span.to);
        }
        to.push_str("</ul>\n");
    }
    if !facts.events.is_empty() || !facts.previous.is_empty() {
        let _ = writeln!(
            to,
            "<p>Also taken on trust: {} events or tickets, {} earlier periods.</p>",
            facts.events.len(),
            facts.previous.len()
        );
    }
}
