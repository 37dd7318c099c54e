//! Contracts and facts in a few words, for tests.

use wanproof::sla::report::{Outcome, Report, Verdict};
use wanproof::sla::{Contract, contract, facts, judge_facts};

/// A contract: the head and one service, then what the test is about.
pub struct Terms {
    pub mrc: &'static str,
    pub currency: &'static str,
    pub timezone: &'static str,
    /// Keys of `[agreement]` beyond the usual.
    pub agreement: &'static str,
    /// Further sections.
    pub rest: String,
}

impl Terms {
    pub fn new(mrc: &'static str, rest: impl Into<String>) -> Self {
        Self { mrc, currency: "GBP", timezone: "Europe/London", agreement: "", rest: rest.into() }
    }

    pub fn text(&self) -> String {
        let Self { mrc, currency, timezone, agreement, rest } = self;
        let from = if agreement.contains("effective_from") {
            ""
        } else {
            "effective_from = \"2020-01-01T00:00:00Z\""
        };
        let renewal =
            if agreement.contains("renewal") { "" } else { "renewal = \"month_to_month\"" };
        let claim = if rest.contains("[claim]") { "" } else { CLAIM };
        let service = if rest.contains("[[service]]") { String::new() } else { service(mrc, "") };
        format!(
            r#"schema = "wanproof.contract/1"
[agreement]
id = "T"
version = 1
level = "service"
provider = {{ name = "Example Carrier", contact = "noc@carrier.example" }}
customer = {{ name = "ACME Ltd", contact = "network@acme.example" }}
signed = "2020-01-01"
timezone = "{timezone}"
currency = "{currency}"
measured_by = "joint"
{from}
{renewal}
{agreement}
{service}
{claim}
{rest}
"#
        )
    }

    pub fn parse(&self) -> Contract {
        let text = self.text();
        contract::parse(&text, "t.toml").unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"))
    }

    pub fn judge(&self, facts: &str) -> Report {
        judge(&self.parse(), facts)
    }
}

pub fn service(mrc: &str, extra: &str) -> String {
    format!(
        r#"[[service]]
id = "s"
site = "leeds-01"
mrc = "{mrc}"
probes = ["p"]
in_service_from = "2020-01-01T00:00:00Z"
sla_from = "acceptance"
{extra}
"#
    )
}

pub const CLAIM: &str = r#"[claim]
mode = "automatic"
rounding = "half_up"
settled = "next_invoice"
"#;

pub fn judge(contract: &Contract, text: &str) -> Report {
    let case =
        facts::parse(text, "facts.json").unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    judge_facts(contract, &case).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// An availability objective by single misses; `target`, `more` for `[objective.aggregate]`, and
/// the tables that follow.
pub fn availability(target: &str, aggregate: &str, rest: &str) -> String {
    let denominator =
        if aggregate.contains("denominator") { "" } else { "denominator = \"actual\"" };
    let period = if aggregate.contains("rolling") || aggregate.contains("period") {
        ""
    } else {
        "period = \"month\""
    };
    format!(
        r#"[[objective]]
id = "avail"
metric = "availability"
unit = "percent"
op = ">="
target = "{target}"
[objective.measure]
probes = ["p"]
late_is = "failed"
min_coverage = "95"
[objective.outage]
definition = "misses"
misses = 3
answers = 3
carrier_loss_is = "down"
unknown_is = "unknown"
sides = ["provider", "unknown"]
[objective.aggregate]
{period}
{denominator}
{aggregate}
{rest}
"#
    )
}

/// An RTT objective whose value the facts give.
pub fn delay(target: &str, aggregate: &str, rest: &str) -> String {
    format!(
        r#"[[objective]]
id = "delay"
metric = "rtt"
unit = "ms"
op = "<="
target = "{target}"
[objective.measure]
probes = ["p"]
late_is = "good"
min_coverage = "90"
statistic = "mean"
only_while_available = false
[objective.aggregate]
period = "month"
{aggregate}
{rest}
"#
    )
}

/// A time-to-restore objective.
pub fn restore(target: &str, statistic: &str, rest: &str) -> String {
    format!(
        r#"[[objective]]
id = "mttr"
metric = "time_to_restore"
unit = "s"
op = "<="
target = "{target}"
[objective.aggregate]
period = "month"
statistic = "{statistic}"
{rest}
"#
    )
}

pub fn remedy(driver: &str, form: &str) -> String {
    format!(
        "[objective.remedy]\ndriver = \"{driver}\"\nbase = \"mrc\"\n{form}\nrequires_ticket = \
            false\n"
    )
}

/// Facts of June 2026 with these events, each `(from, to)`.
pub fn june(events: &[(&str, &str)]) -> String {
    month("2026-06", events)
}

pub fn month(period: &str, events: &[(&str, &str)]) -> String {
    let events: Vec<String> = events
        .iter()
        .map(|(from, to)| format!("{{\"from\": \"{from}\", \"to\": \"{to}\"}}"))
        .collect();
    format!("{{\"period\": \"{period}\", \"service\": \"s\", \"events\": [{}]}}", events.join(","))
}

/// Facts of June 2026 with the value of one objective.
pub fn value(objective: &str, value: &str) -> String {
    format!(
        "{{\"period\": \"2026-06\", \"service\": \"s\", \"values\": {{\"{objective}\": \"{value}\"}}}}"
    )
}

pub fn verdict<'a>(report: &'a Report, id: &str) -> &'a Verdict {
    report
        .objectives
        .iter()
        .find(|verdict| verdict.id == id)
        .unwrap_or_else(|| panic!("no {id} in {report:#?}"))
}

/// Result, exact value and credit of one objective.
pub fn stands(report: &Report, id: &str) -> (Outcome, Option<String>, String) {
    let verdict = verdict(report, id);
    (verdict.result, verdict.exact.clone(), verdict.credit.clone())
}
