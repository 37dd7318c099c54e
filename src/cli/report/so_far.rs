//! How objectives stand in periods that still run, as `status` shows them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::agent::claims::Due;
use crate::base::decimal::Exact;
use crate::base::time::Wall;
use crate::cli::print;
use crate::sla::Report;
use crate::sla::as_text::{text, word};
use crate::sla::calendar::Period;
use crate::sla::report::{Budget, Outcome, Verdict};

/// A verdict of a running period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SoFar {
    contract: String,
    version: u32,
    service: String,
    objective: String,
    #[serde(serialize_with = "text::serialize")]
    period: Period,
    #[serde(serialize_with = "word::serialize")]
    result: Outcome,
    actual: Option<String>,
    target: String,
    coverage: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    provisional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Budget>,
}

impl SoFar {
    /// The verdicts of those of the reports whose period still runs.
    #[must_use]
    pub fn of(all: &[Due], now: Wall) -> Vec<Self> {
        let running = all.iter().map(|due| &due.report).filter(|report| report.ends > now);
        running
            .flat_map(|report| report.objectives.iter().map(move |own| Self::one(report, own)))
            .collect()
    }

    /// An objective may have a version and a period of its own.
    fn one(report: &Report, own: &Verdict) -> Self {
        Self {
            contract: report.contract.clone(),
            version: own.version.unwrap_or(report.version),
            service: report.service.clone(),
            objective: own.id.clone(),
            period: own.period.unwrap_or(report.period),
            result: own.result,
            actual: own.actual.clone(),
            target: own.target.clone(),
            coverage: own.coverage.clone(),
            provisional: own.provisional,
            budget: own.budget.clone(),
        }
    }

    /// The same as a table for people, a period at a time.
    #[must_use]
    pub fn text(all: &[Self]) -> String {
        let heading = ["SERVICE", "OBJECTIVE", "SO FAR", "ACTUAL", "TARGET", "COVERAGE", "LEFT"]
            .map(str::to_owned);
        let periods: BTreeSet<String> = all.iter().map(|own| own.period.to_string()).collect();
        let mut shown = Vec::new();
        for period in periods {
            let own = all.iter().filter(|own| own.period.to_string() == period);
            let rows: Vec<Vec<String>> = own.map(Self::row).collect();
            shown.push(format!("{period}, so far\n{}", print::fitted(&heading, &rows)));
        }
        shown.join("\n\n")
    }

    fn row(&self) -> Vec<String> {
        // Three decimals are enough for people.
        let coverage = self.coverage.get(..self.coverage.len().saturating_sub(3));
        vec![
            self.service.clone(),
            self.objective.clone(),
            self.result.to_string().replace('_', " "),
            self.actual.clone().unwrap_or_else(|| "-".to_owned()),
            self.target.clone(),
            coverage.unwrap_or(&self.coverage).to_owned(),
            self.budget.as_ref().map_or_else(|| "-".to_owned(), left),
        ]
    }
}

/// What is left of the downtime that the target allows: `42m 30s`; `-3m 5s` once it is exceeded.
pub fn left(budget: &Budget) -> String {
    let left = Exact::parse(&budget.left_s).expect("a report writes it as a decimal");
    let sign = if left.is_negative() { "-" } else { "" };
    let seconds = left.abs().floor().whole().and_then(|whole| u64::try_from(whole).ok());
    let seconds = seconds.unwrap_or(u64::MAX);
    format!("{sign}{}", print::length(std::time::Duration::from_secs(seconds)))
}
