//! A report as it is printed and kept, read back: whoever keeps verdicts reads money, results and
//! deadlines from here, by name and type. What is no such report is refused; nothing in it has a
//! default.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::base::decimal::Exact;
use crate::base::time::Wall;
use crate::sla::as_text::{maybe, text, word};
use crate::sla::calendar::{Day, Period};
use crate::sla::report::{Budget, Outcome, Report};
use crate::sla::terms::Party;

/// A report: see [`Report`], whose JSON this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Printed {
    /// The agreement's id.
    pub contract: String,
    /// Its version.
    pub version: u32,
    /// The service.
    pub service: String,
    /// The period asked for.
    #[serde(with = "text")]
    pub period: Period,
    /// One verdict for each objective.
    pub objectives: Vec<PrintedVerdict>,
    /// What is due, as a decimal.
    #[serde(deserialize_with = "decimal")]
    pub credit: String,
    /// The currency.
    pub currency: String,
    /// Until when the credit must be claimed.
    pub claim: PrintedClaim,
    /// Rights to terminate that accrued in the period.
    pub terminations: Vec<PrintedRight>,
    /// What the parties had to do.
    pub duties: Vec<PrintedDuty>,
    /// The time zone data by which local days were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tzdata: Option<String>,
    /// What else it says, which nobody reads here.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// One objective in one period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrintedVerdict {
    /// The objective.
    pub id: String,
    /// The version that judges it, where that is not the report's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How it stands.
    #[serde(with = "word")]
    pub result: Outcome,
    /// Whether the period still runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// Its own period, where that is not the report's.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe")]
    pub period: Option<Period>,
    /// What is compared; absent where there is none.
    pub actual: Option<String>,
    /// The same, before rounding.
    pub exact: Option<String>,
    /// The target.
    pub target: String,
    /// Known time in percent.
    pub coverage: String,
    /// Qualified downtime in seconds; for availability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_s: Option<String>,
    /// Downtime removed by exclusions, in seconds; for availability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_s: Option<String>,
    /// How many events are beyond the target; for times to restore and to notify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// While the period runs, how much downtime the target allows; for availability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What it earns by itself, as a decimal.
    #[serde(deserialize_with = "decimal")]
    pub credit: String,
    /// How all this came about, in words.
    #[serde(default)]
    pub steps: Vec<String>,
    /// What else it says.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Until when a credit must be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedClaim {
    /// The last local day on which to claim.
    #[serde(with = "maybe")]
    pub by: Option<Day>,
    /// Until when a ticket must be opened.
    pub ticket_by: Option<Wall>,
    /// Whether the claim is lost.
    pub lapsed: bool,
}

/// A right to terminate that accrued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedRight {
    /// Which.
    pub id: String,
    /// The local day on which it accrued.
    #[serde(with = "text")]
    pub accrued: Day,
    /// The last local day on which it may be exercised.
    #[serde(with = "text")]
    pub exercise_by: Day,
}

/// What a party had to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedDuty {
    /// Which duty.
    pub id: String,
    /// Who must.
    #[serde(with = "word")]
    pub party: Party,
    /// By when.
    pub due: Wall,
    /// When it was done, as far as the facts say.
    pub done: Option<Wall>,
    /// Whether it was kept, as far as the facts say.
    pub kept: Option<bool>,
}

impl From<&Report> for Printed {
    fn from(report: &Report) -> Self {
        let value = serde_json::to_value(report).expect("a report can be written");
        serde_json::from_value(value).expect("this is the form that a report is written in")
    }
}

impl Printed {
    /// What is due.
    #[must_use]
    pub fn money(&self) -> Exact {
        amount(&self.credit)
    }

    /// Whether it says the same as another but for the words of its arithmetic.
    #[must_use]
    pub fn has_the_figures_of(&self, other: &Self) -> bool {
        self.without_words() == other.without_words()
    }

    /// What differs first, in words.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        let pairs = self.objectives.iter().zip(&other.objectives);
        let differs = pairs.filter(|(own, other)| {
            (own.result, &own.actual, &own.credit) != (other.result, &other.actual, &other.credit)
        });
        let said =
            |of: &PrintedVerdict| format!("{} {}", of.result, of.actual.as_deref().unwrap_or("-"));
        differs
            .map(|(own, other)| format!("{}: {} instead of {}", own.id, said(own), said(other)))
            .next()
    }

    /// Without the words of its arithmetic, and without the data by which local days were found.
    fn without_words(&self) -> Self {
        let mut bare = self.clone();
        bare.tzdata = None;
        bare.objectives.iter_mut().for_each(|verdict| verdict.steps.clear());
        bare
    }

    /// Whether any objective is breached.
    #[must_use]
    pub fn is_breached(&self) -> bool {
        self.objectives.iter().any(|verdict| verdict.result == Outcome::Breached)
    }
}

impl PrintedVerdict {
    /// Whether it earns anything by itself.
    #[must_use]
    pub fn is_credited(&self) -> bool {
        amount(&self.credit).is_positive()
    }
}

fn amount(text: &str) -> Exact {
    Exact::parse(text).expect("it was read as a decimal, or written as one")
}

/// A decimal, left as it is written.
fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Exact::parse(&text).map_err(|_| D::Error::custom(format_args!("{text:?} is no amount")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"contract":"T","version":1,"service":"s","period":"2026-11","objectives":[{"id":"a","result":"breached",
        "actual":"99.1","exact":"99.1","target":"99.9","coverage":"100.000000","credit":"5.00","steps":["one"]}],"credit":"5.00",
        "currency":"GBP","claim":{"by":"2026-12-30","ticket_by":null,"lapsed":false},"terminations":[],"duties":[]}"#;

    #[test]
    fn what_was_kept_is_read_as_it_was_written_and_what_is_no_verdict_is_refused() {
        let read: Printed = serde_json::from_str(TEXT).unwrap();
        let again: Value = serde_json::to_value(&read).unwrap();
        assert_eq!(
            again,
            serde_json::from_str::<Value>(TEXT).unwrap(),
            "nothing is lost, the steps neither"
        );
        assert!(read.is_breached() && read.money().is_positive());
        for (what, by) in [
            ("\"5.00\"", "\"five\""),
            ("\"5.00\"", "5"),
            ("breached", "broken"),
            ("2026-11\"", "soon\""),
        ] {
            assert!(
                serde_json::from_str::<Printed>(&TEXT.replace(what, by)).is_err(),
                "{what} as {by}"
            );
        }
        assert!(
            serde_json::from_str::<Printed>(&TEXT.replace("\"credit\"", "\"sum\"")).is_err(),
            "no credit is not 0"
        );
    }
}
