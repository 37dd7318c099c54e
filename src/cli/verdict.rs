//! A report, written for people and as CSV.

use crate::sla::report::Report;

/// A report as text.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = format!("{} version {}, {}, {}\n", report.contract, report.version, report.service, report.period);
    for verdict in &report.objectives {
        for step in &verdict.steps {
            text.push_str(&format!("  {}: {step}\n", verdict.id));
        }
    }
    text
}

/// Reports as CSV, a line for each objective.
#[must_use]
pub fn csv(reports: &[Report]) -> String {
    let mut text = String::from("contract,version,service,period,objective,actual,target,coverage,credit");
    for report in reports {
        for verdict in &report.objectives {
            let actual = verdict.actual.as_deref().unwrap_or("");
            text.push_str(&format!(
                "\n{},{},{},{},{},{actual},{},{},{}",
                report.contract,
                report.version,
                report.service,
                report.period,
                verdict.id,
                verdict.target,
                verdict.coverage,
                verdict.credit
            ));
        }
    }
    text
}
