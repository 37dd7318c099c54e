//! What a judgement says: verdicts with their arithmetic, credit, deadlines, rights and duties. Its
//! JSON is the contract's printed form, key by key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::sla::as_text::{maybe, text, word};
use crate::sla::calendar::{Day, Period};
use crate::sla::deadline::Deadline;
use crate::sla::facts::Ticket;
use crate::sla::reader::words;
use crate::sla::span::Span;
use crate::sla::terms::{MeasuredBy, Op, Party, Unit};

words! {
    /// How an objective stands in a period.
    Outcome {
        /// The target was met.
        Met = "met",
        /// The target was missed.
        Breached = "breached",
        /// Too little is known.
        NotDetermined = "not_determined",
    }
}

/// How a service stands by a contract in a period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The agreement's id.
    pub contract: String,
    /// Its version.
    pub version: u32,
    /// The service.
    pub service: String,
    /// The period asked for.
    #[serde(serialize_with = "text::serialize")]
    pub period: Period,
    /// One verdict for each objective that holds for the service, in the contract's order.
    pub objectives: Vec<Verdict>,
    /// What is due for the period, after combination, caps and minimum, in the currency's minor
    /// unit.
    pub credit: String,
    /// The currency.
    pub currency: String,
    /// Until when the credit must be claimed.
    pub claim: ClaimState,
    /// Rights to terminate that accrued in the period.
    pub terminations: Vec<Right>,
    /// What the parties had to do.
    pub duties: Vec<DutyState>,
    /// The time zone data by which local days, and so the period's bounds, were found; absent in
    /// what was judged before it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tzdata: Option<String>,
    /// Whose figures bind.
    #[serde(skip)]
    pub measured_by: MeasuredBy,
    /// When the question was asked; absent where the facts do not say.
    #[serde(skip)]
    pub as_of: Option<Wall>,
    /// Where the period asked for ends.
    #[serde(skip)]
    pub ends: Wall,
    /// The first ticket that must be opened, for what may earn something here or in a later
    /// period's verdict.
    #[serde(skip)]
    pub ticket: Option<TicketDue>,
    /// Every day and instant by which something must be done, the earliest first.
    #[serde(skip)]
    pub deadlines: Vec<Deadline>,
}

/// One objective in one period, with its arithmetic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The objective.
    pub id: String,
    /// The version that judges it, where that is another than the report's: it was replaced within
    /// the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How it stands.
    #[serde(serialize_with = "word::serialize")]
    pub result: Outcome,
    /// Whether the period still runs; then the result is what is certain already.
    #[serde(skip_serializing_if = "is_final")]
    pub provisional: bool,
    /// The objective's own period, where it is another than the one asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe::serialize")]
    pub period: Option<Period>,
    /// What is compared: rounded where the contract says so. Absent when there is none.
    pub actual: Option<String>,
    /// The same, before rounding.
    pub exact: Option<String>,
    /// The target, as the contract writes it.
    pub target: String,
    /// Known time in percent of the time judged.
    pub coverage: String,
    /// Qualified downtime in seconds; for availability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_s: Option<String>,
    /// Downtime removed by exclusions, in seconds; for availability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded_s: Option<String>,
    /// How many events are beyond the target; for times to restore and to notify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// While the period runs: how much downtime the target allows, and what is left of it; for
    /// availability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What it earns by itself, before combination, caps and minimum.
    pub credit: String,
    /// How all this came about, in words.
    pub steps: Vec<String>,
    /// How the actual must stand to the target.
    #[serde(skip)]
    pub op: Op,
    /// In what target and actual are written.
    #[serde(skip)]
    pub unit: Unit,
    /// The outages that count, those that begin in the period first of all.
    #[serde(skip)]
    pub outages: Vec<Down>,
}

/// How much downtime a target allows in a period that still runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// All of it, in seconds.
    pub allowed_s: String,
    /// What is left of it, in seconds; negative once it is exceeded.
    pub left_s: String,
}

/// An outage that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// From where it began to where it ended, before anything was taken away.
    pub event: Span,
    /// The same of events alone; absent where it is made of unknown time that counts as down, which
    /// is no event.
    pub known: Option<Span>,
    /// Whether it still lasted when the question was asked.
    pub lasts: bool,
    /// What counts of it, in nanoseconds.
    pub counted: i128,
    /// Its tickets.
    pub tickets: Arc<[Arc<Ticket>]>,
    /// When the provider told of it.
    pub notified: Option<Wall>,
}

/// Until when a credit must be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimState {
    /// The last local day on which to claim; absent where no credit is due or none has to be
    /// claimed.
    #[serde(serialize_with = "maybe::serialize")]
    pub by: Option<Day>,
    /// Until when a ticket must be opened for the earliest event; absent where there is no event or
    /// no such term.
    pub ticket_by: Option<Wall>,
    /// Whether the claim is lost.
    pub lapsed: bool,
}

/// Until when a ticket must be opened for an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketDue {
    /// Until when.
    pub by: Wall,
    /// Whether it was opened by then, as far as the facts say; absent while there is none.
    pub kept: Option<bool>,
}

/// A right to terminate that accrued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Right {
    /// Which.
    pub id: String,
    /// The local day on which it accrued.
    #[serde(serialize_with = "text::serialize")]
    pub accrued: Day,
    /// The last local day on which it may be exercised.
    #[serde(serialize_with = "text::serialize")]
    pub exercise_by: Day,
    /// Who may.
    #[serde(skip)]
    pub by: Party,
    /// Why it accrued.
    #[serde(skip)]
    pub why: String,
}

/// What a party had to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DutyState {
    /// Which duty.
    pub id: String,
    /// Who must.
    #[serde(serialize_with = "word::serialize")]
    pub party: Party,
    /// By when.
    pub due: Wall,
    /// When it was done, as far as the facts say.
    pub done: Option<Wall>,
    /// Whether it was kept, as far as the facts say.
    pub kept: Option<bool>,
    /// What is to be done.
    #[serde(skip)]
    pub what: String,
}

impl Report {
    /// Whether any credit is due.
    #[must_use]
    pub fn is_credited(&self) -> bool {
        is_money(&self.credit)
    }

    /// Whether any objective is breached.
    #[must_use]
    pub fn is_breached(&self) -> bool {
        self.objectives.iter().any(|verdict| verdict.result == Outcome::Breached)
    }
}

impl Verdict {
    /// The objective, told apart from its other verdicts in the same report: by the version or the
    /// period that is its own.
    #[must_use]
    pub fn name(&self) -> String {
        let version = self.version.map(|version| format!("version {version}"));
        let own: Vec<String> =
            version.into_iter().chain(self.period.map(|period| period.to_string())).collect();
        if own.is_empty() { self.id.clone() } else { format!("{} ({})", self.id, own.join(", ")) }
    }

    /// Whether it earns anything by itself.
    #[must_use]
    pub fn is_credited(&self) -> bool {
        is_money(&self.credit)
    }
}

/// Whether an amount as it is written is more than nothing.
fn is_money(amount: &str) -> bool {
    amount.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_final(provisional: &bool) -> bool {
    !provisional
}
