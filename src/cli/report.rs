//! `wanproof report`: verdicts with their arithmetic, credits and deadlines.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::agent::review::{self, Judged, ReviewError};
use crate::agent::terms::Terms;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print, verdict};
use crate::config::agent::AgentConfig;
use crate::sla::calendar::Period;
use crate::sla::facts::{self, Facts};
use crate::sla::report::Report;
use crate::store::Store;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Only this contract
    #[arg(long, value_name = "ID")]
    contract: Option<String>,
    /// The period: 2026-11, 2026-Q4, 2026, or a rolling one's last day [default: this month]
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
    /// What does not come from measurement: exclusions, tickets, charges, earlier periods
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long)]
    json: bool,
    /// Exit with 1 when anything is breached
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read, or contract or facts have faults.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.source.configured()?;
    let store = args.source.store()?;
    let now = Wall::from_secs(SystemClock.now().wall.secs());
    let mut judged = contracts(&store, config.as_ref(), now)?;
    if let Some(id) = &args.contract {
        judged.retain(|judged| judged.contract.id() == id);
        if judged.is_empty() {
            return Err(Failure::Usage(format!("no contract {id:?} is known here")));
        }
    }
    let period: Option<Period> = match &args.period {
        Some(text) => {
            Some(text.parse().map_err(|error: crate::sla::calendar::NotAPeriod| Failure::Usage(error.to_string()))?)
        }
        None => None,
    };
    let given = given(args, now)?;
    let mut reports = Vec::new();
    for Judged { contract, services } in &judged {
        for service in services {
            if given.service.as_ref().is_some_and(|only| only != service) {
                continue;
            }
            let period = period.or(given.period).unwrap_or_else(|| review::month_of(contract, now));
            let report =
                review::review(&store, contract, service, period, &given.facts).map_err(|error| failure(&error))?;
            reports.push(report);
        }
    }
    match if args.json { Format::Json } else { args.format } {
        Format::Json => print::json(&json!({"reports": reports}))?,
        Format::Csv => print::line(verdict::csv(&reports))?,
        Format::Text if reports.is_empty() => print::line(
            "no contract judges what is measured here: name one in the configuration\n\
             (contracts = [\"…\"]) whose [[service]] has this site and these probes",
        )?,
        Format::Text => {
            for report in &reports {
                print::line(verdict::text(report))?;
            }
        }
    }
    let breached = reports.iter().any(Report::is_breached);
    Ok(if args.exit_code && breached { Exit::Bad } else { Exit::Done })
}

/// What the facts file says, if one was named.
struct Given {
    facts: Facts,
    period: Option<Period>,
    service: Option<String>,
}

fn given(args: &Args, now: Wall) -> Result<Given, Failure> {
    let Some(path) = &args.facts else {
        return Ok(Given { facts: Facts { as_of: Some(now), ..Facts::default() }, period: None, service: None });
    };
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{name}: it cannot be read: {error}")))?;
    let case = facts::parse(&text, &name)
        .map_err(|faults| Failure::Usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let mut facts = case.facts;
    facts.as_of.get_or_insert(now);
    Ok(Given { facts, period: Some(case.period), service: Some(case.service) })
}

/// The contracts, and which of their services are measured here: by the configuration where there is one, else as the
/// database keeps them.
fn contracts(store: &Store, config: Option<&AgentConfig>, now: Wall) -> Result<Vec<Judged>, Failure> {
    if let Some(config) = config {
        let kept = store.contract_files().map_err(|error| Failure::Could(error.to_string()))?;
        let terms = Terms::with_received(config, &kept, now).map_err(|faults| Failure::Usage(faults.to_string()))?;
        return Ok(terms.judged());
    }
    let mut faults = Vec::new();
    let judged = review::stored(store, now, &mut faults).map_err(|error| Failure::Could(error.to_string()))?;
    if faults.is_empty() { Ok(judged) } else { Err(Failure::Usage(faults.join("\n"))) }
}

fn failure(error: &ReviewError) -> Failure {
    match error {
        ReviewError::Store(_) => Failure::Could(error.to_string()),
        ReviewError::Faults(_) => Failure::Usage(error.to_string()),
    }
}

/// A verdict of the running month.
#[derive(Clone, Debug)]
pub struct SoFar {
    report: Report,
}

/// The verdicts of the running month, for `status`.
///
/// # Errors
/// When the data cannot be read, or a contract has faults.
pub fn verdicts_so_far(store: &Store, config: Option<&AgentConfig>, now: Wall) -> Result<Vec<SoFar>, Failure> {
    let facts = Facts { as_of: Some(now), ..Facts::default() };
    let mut all = Vec::new();
    for Judged { contract, services } in contracts(store, config, now)? {
        for service in services {
            let period = review::month_of(&contract, now);
            let report = review::review(store, &contract, &service, period, &facts).map_err(|error| failure(&error))?;
            all.push(SoFar { report });
        }
    }
    Ok(all)
}

impl SoFar {
    /// Its objectives as JSON shows them in `status`.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let report = &self.report;
        let shown = serde_json::to_value(report).unwrap_or_default();
        let objectives = shown["objectives"].as_array().cloned().unwrap_or_default();
        let verdict = |objective: Value| {
            let mut verdict = json!({
                "contract": shown["contract"], "version": shown["version"], "service": shown["service"],
                "objective": objective["id"], "period": shown["period"], "result": objective["result"],
                "actual": objective["actual"], "target": objective["target"], "coverage": objective["coverage"],
            });
            if objective["provisional"] == json!(true) {
                verdict["provisional"] = json!(true);
            }
            verdict
        };
        objectives.into_iter().map(verdict).collect()
    }
}

/// Verdicts as a table for people.
#[must_use]
pub fn so_far(all: &[SoFar]) -> String {
    let heading =
        ["SERVICE", "OBJECTIVE", "PERIOD", "SO FAR", "ACTUAL", "TARGET", "COVERAGE"].map(str::to_owned).to_vec();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = all.iter().flat_map(SoFar::json).map(|verdict| {
        let result = text(&verdict["result"]).replace('_', " ");
        vec![
            text(&verdict["service"]),
            text(&verdict["objective"]),
            text(&verdict["period"]),
            result,
            text(&verdict["actual"]),
            text(&verdict["target"]),
            text(&verdict["coverage"]),
        ]
    });
    print::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}
