//! How reports and contracts are written for people: as text, and as comma-separated values.

use std::fmt::Write as _;

use crate::base::decimal::Exact;
use crate::base::time::format_duration;
use crate::cli::print;
use crate::sla::calendar::Weekly;
use crate::sla::report::{Report, Verdict};
use crate::sla::terms::{Contract, MeasuredBy, Objective, Service, Unit};

/// A report as text: a table of verdicts, then how each came about, then deadlines, rights and duties.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let by = match report.measured_by {
        MeasuredBy::Joint => "both parties".to_owned(),
        party => format!("the {party}"),
    };
    let Report { contract, version, service, period, .. } = report;
    let _ = writeln!(text, "{contract} version {version}, service {service}, {period}; the figures of {by} bind\n");
    let heading = ["objective", "result", "actual", "target", "coverage", "credit"].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    rows.extend(report.objectives.iter().map(|verdict| row(verdict, &report.currency).to_vec()));
    let _ = writeln!(text, "{}", print::table(&rows));
    for verdict in &report.objectives {
        let _ = writeln!(text, "\n{}", verdict.id);
        for step in &verdict.steps {
            wrap(&mut text, "  - ", "    ", step);
        }
    }
    let _ = writeln!(text, "\ncredit {} {}", report.credit, report.currency);
    if let Some(by) = report.claim.by {
        let _ = writeln!(text, "claim by {by}");
    }
    if let Some(by) = report.claim.ticket_by {
        let _ = writeln!(text, "ticket by {by}");
    }
    if report.claim.lapsed {
        let _ = writeln!(text, "the claim has lapsed");
    }
    for right in &report.terminations {
        let (id, accrued, until) = (&right.id, right.accrued, right.exercise_by);
        let line = format!("the {} may leave; accrued {accrued}, {}; exercise by {until}", right.by, right.why);
        wrap(&mut text, &format!("termination {id}: "), "  ", &line);
    }
    for duty in &report.duties {
        let state = match (duty.done, duty.kept) {
            (Some(done), Some(true)) => format!("done {done}, kept"),
            (Some(done), _) => format!("done {done}, too late"),
            (None, _) => "nothing is known of it".to_owned(),
        };
        let line = format!("the {} must {} by {}: {state}", duty.party, duty.what, duty.due);
        wrap(&mut text, &format!("duty {}: ", duty.id), "  ", &line);
    }
    text
}

fn row(verdict: &Verdict, currency: &str) -> [String; 6] {
    let running = if verdict.provisional { " so far" } else { "" };
    let unit = match verdict.unit {
        Unit::Percent => " %",
        Unit::Ms => " ms",
        Unit::S => " s",
        Unit::Ratio | Unit::Count => "",
    };
    // Three decimals of coverage are enough for people.
    let coverage = verdict.coverage.get(..verdict.coverage.len().saturating_sub(3)).unwrap_or(&verdict.coverage);
    [
        verdict.id.clone(),
        format!("{}{running}", verdict.result),
        verdict.actual.as_ref().map_or_else(|| "-".to_owned(), |actual| format!("{actual}{unit}")),
        format!("{} {}{unit}", verdict.op, verdict.target),
        format!("{coverage} %"),
        format!("{} {currency}", verdict.credit),
    ]
}

/// Writes a text in lines of at most 80 characters, where its words allow it.
fn wrap(text: &mut String, first: &str, other: &str, words: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > 80 {
            let _ = writeln!(text, "{line}");
            line = other.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

/// Reports as comma-separated values (RFC 4180), one line for each verdict; the last line is not ended.
#[must_use]
pub fn csv(reports: &[Report]) -> String {
    let mut text = String::from(
        "contract,version,service,period,objective,result,provisional,actual,exact,target,unit,coverage,downtime_s,excluded_s,credit,currency\r\n",
    );
    for report in reports {
        for verdict in &report.objectives {
            let or_empty = |cell: &Option<String>| cell.clone().unwrap_or_default();
            let cells = [
                report.contract.clone(),
                report.version.to_string(),
                report.service.clone(),
                verdict.period.unwrap_or(report.period).to_string(),
                verdict.id.clone(),
                verdict.result.to_string(),
                verdict.provisional.to_string(),
                or_empty(&verdict.actual),
                or_empty(&verdict.exact),
                verdict.target.clone(),
                verdict.unit.to_string(),
                verdict.coverage.clone(),
                or_empty(&verdict.downtime_s),
                or_empty(&verdict.excluded_s),
                verdict.credit.clone(),
                report.currency.clone(),
            ];
            let _ = write!(text, "{}\r\n", cells.map(|cell| quoted(&cell)).join(","));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// A cell, in quotes where it needs them; one that a spreadsheet would take for a formula is told apart by an apostrophe.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '@']) || (cell.starts_with('-') && cell.parse::<i64>().is_err());
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// The terms of one section of a contract, one line each.
#[must_use]
pub fn terms(contract: &Contract, section: &str) -> Vec<String> {
    let agreement = &contract.agreement;
    let currency = &agreement.currency.code;
    match section {
        "agreement" => {
            let until = agreement.effective_to.map_or("open end".to_owned(), |to| to.to_string());
            vec![
                format!(
                    "level {}, between {} and {}",
                    agreement.level, agreement.provider.name, agreement.customer.name
                ),
                format!(
                    "signed {}, from {} to {until}, renewal {}",
                    agreement.signed, agreement.effective_from, agreement.renewal
                ),
                format!(
                    "times in {}, money in {currency}, measured by {}",
                    agreement.timezone.name(),
                    agreement.measured_by
                ),
            ]
        }
        "service" => contract.services.iter().map(|each| service(each, currency)).collect(),
        "exclusion" => contract
            .exclusions
            .iter()
            .map(|each| {
                let mut line = format!("{}: {}, removes {}", each.id, each.kind, each.removes);
                each.notice.into_iter().for_each(|notice| {
                    let _ = write!(line, ", notice {}", format_duration(notice));
                });
                each.window.iter().for_each(|window| {
                    let _ = write!(line, ", only {}", weekly(window));
                });
                each.at_most.into_iter().for_each(|most| {
                    let _ = write!(line, ", at most {}", format_duration(most));
                });
                line
            })
            .collect(),
        "objective" => contract.objectives.iter().map(objective).collect(),
        "combine" => {
            contract.combines.iter().map(|each| format!("{} of {}", each.rule, each.objectives.join(", "))).collect()
        }
        "cap" => contract.caps.iter().map(|each| format!("{} per {}", each.written, each.per)).collect(),
        "claim" => contract
            .claim
            .iter()
            .map(|claim| {
                let clock = claim.clock.map_or(String::new(), |clock| {
                    format!(", within {} {} of {}", clock.within, clock.unit, clock.counted_from)
                });
                format!("{}{clock}, rounded {}, settled by {}", claim.mode, claim.rounding, claim.settled)
            })
            .collect(),
        "termination" => contract
            .terminations
            .iter()
            .map(|each| format!("{}: the {} may leave, within {} days", each.id, each.by, each.exercise_within_days))
            .collect(),
        "duty" => contract
            .duties
            .iter()
            .map(|each| {
                let within = format_duration(each.within);
                format!("{}: the {} must {} within {within} of {}", each.id, each.party, each.what, each.after)
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn service(service: &Service, currency: &str) -> String {
    let mut line = format!(
        "{} at {}: {} {currency} a month, in service from {}, measured by {}",
        service.id,
        service.site,
        money(&service.mrc),
        service.in_service_from,
        if service.probes.is_empty() { "no probe".to_owned() } else { service.probes.join(", ") }
    );
    if !service.members.is_empty() {
        let _ = write!(line, ", down only while all of {} are", service.members.join(", "));
    }
    line
}

fn objective(objective: &Objective) -> String {
    let Objective { id, metric, op, target, unit, aggregate, .. } = objective;
    let mut line = format!("{id}: {metric} {op} {} {unit} per {}", target.written, aggregate.every.word());
    if let Some(services) = &objective.services {
        let _ = write!(line, ", for {}", services.join(", "));
    }
    if let Some(hours) = &aggregate.hours {
        let _ = write!(line, ", only {}", weekly(hours));
    }
    if let Some(remedy) = &objective.remedy {
        let _ = write!(line, ", credit by {}", remedy.driver);
    }
    line
}

fn weekly(hours: &Weekly) -> String {
    const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let days: Vec<&str> = NAMES.iter().zip(hours.days).filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    format!("{} {}–{}", days.join(" "), clock(hours.from), clock(hours.to))
}

fn money(amount: &Exact) -> String {
    amount.trimmed(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_step_is_wrapped_between_words_and_none_is_lost() {
        let words =
            "driver downtime: 13950; tier over 2700 upto 14400: 10% of the monthly charge, 4000.00 GBP = 400.00 GBP";
        let mut text = String::new();
        wrap(&mut text, "  - ", "    ", words);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.split_whitespace().skip(1).collect::<Vec<_>>().join(" "), words);
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_or_split_is_quoted() {
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!((quoted("99.9").as_str(), quoted("-5").as_str()), ("99.9", "-5"));
    }
}
