//! How reports and contracts are written for people: as text, and as comma-separated values.

use std::fmt::Write as _;

use crate::cli::print::{self, wrap};
use crate::sla::deadline::DeadlineKind;
use crate::sla::report::{Report, Verdict};
use crate::sla::terms::{MeasuredBy, Unit};

/// A report as text: a table of verdicts, then how each came about, then deadlines, rights and
/// duties.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let by = match report.measured_by {
        MeasuredBy::Joint => "both parties".to_owned(),
        party => format!("the {party}"),
    };
    let Report { contract, version, service, period, tzdata, .. } = report;
    let tzdata =
        tzdata.as_ref().map_or(String::new(), |tzdata| format!("; local days by tzdata {tzdata}"));
    let head = format!(
        "{contract} version {version}, service {service}, {period}; the figures of {by} \
            bind{tzdata}"
    );
    wrap(&mut text, "", "", &head);
    let heading = ["objective", "result", "actual", "target", "coverage", "credit"]
        .map(str::to_owned)
        .to_vec();
    let rows: Vec<Vec<String>> =
        report.objectives.iter().map(|verdict| row(verdict, &report.currency).to_vec()).collect();
    let _ = writeln!(text, "\n{}", print::fitted(&heading, &rows));
    for verdict in &report.objectives {
        let _ = writeln!(text, "\n{}", verdict.name());
        for step in &verdict.steps {
            wrap(&mut text, "  - ", "    ", step);
        }
    }
    let _ = writeln!(text, "\ncredit {} {}", report.credit, report.currency);
    if report.claim.lapsed {
        let _ = writeln!(text, "the claim has lapsed");
    }
    for deadline in &report.deadlines {
        let state = match (deadline.kept, report.as_of) {
            (Some(true), _) => ": kept".to_owned(),
            (Some(false), _) => ": too late".to_owned(),
            (None, Some(now)) => format!(" ({})", deadline.left(now)),
            (None, None) => String::new(),
        };
        let kind = match deadline.kind {
            DeadlineKind::Ticket | DeadlineKind::Claim => String::new(),
            DeadlineKind::Exercise => format!("right {}: ", deadline.id),
            DeadlineKind::Duty => format!("duty {}: ", deadline.id),
        };
        wrap(&mut text, "by ", "   ", &format!("{}{state}: {kind}{}", deadline.by, deadline.what));
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
    let coverage = verdict
        .coverage
        .get(..verdict.coverage.len().saturating_sub(3))
        .unwrap_or(&verdict.coverage);
    [
        verdict.name(),
        format!("{}{running}", verdict.result),
        verdict.actual.as_ref().map_or_else(|| "-".to_owned(), |actual| format!("{actual}{unit}")),
        format!("{} {}{unit}", verdict.op, verdict.target),
        format!("{coverage} %"),
        format!("{} {currency}", verdict.credit),
    ]
}

/// Reports as comma-separated values (RFC 4180), one line for each verdict; the last line is not
/// ended.
#[must_use]
pub fn csv(reports: &[Report]) -> String {
    let mut text = String::from(
        "contract,version,service,period,objective,result,provisional,actual,exact,target,unit,\
         coverage,downtime_s,excluded_s,credit,currency\r\n",
    );
    for report in reports {
        for verdict in &report.objectives {
            let or_empty = |cell: &Option<String>| cell.clone().unwrap_or_default();
            let cells = [
                report.contract.clone(),
                verdict.version.unwrap_or(report.version).to_string(),
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
            let _ = write!(text, "{}\r\n", cells.map(|cell| print::cell(&cell)).join(","));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_or_split_is_quoted() {
        assert_eq!(print::cell("=1+1"), "'=1+1");
        assert_eq!(print::cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!((print::cell("99.9").as_str(), print::cell("-5").as_str()), ("99.9", "-5"));
        assert_eq!(
            (print::cell("-5.25").as_str(), print::cell("-2+3").as_str()),
            ("-5.25", "'-2+3")
        );
        assert_eq!(
            (print::cell("@SUM(A1)").as_str(), print::cell("\t=1").as_str()),
            ("'@SUM(A1)", "'\t=1")
        );
    }
}
