//! `wanproof report`: verdicts with their arithmetic, credits and deadlines.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use crate::agent::claims::{self, Due};
use crate::agent::review::{self, Judged, ReviewError};
use crate::agent::terms::Terms;
use crate::base::bounded;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::source::Source;
use crate::cli::watch::Watch;
use crate::cli::{Exit, Failure, print, snapshot, verdict};
use crate::config::agent::AgentConfig;
use crate::sla::calendar::Period;
use crate::sla::deadline::Deadline;
use crate::sla::facts::{self, Case, Facts};
use crate::sla::report::Report;
use crate::store::Store;

mod page;
mod so_far;

pub use so_far::{SoFar, left as budget_left};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    watch: Watch,
    /// Only this contract
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
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
    /// One page for a browser or a printer, which needs nothing from elsewhere
    Html,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read, or contract or facts have faults.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    args.watch.run(|| once(args))
}

fn once(args: &Args) -> Result<Exit, Failure> {
    let config = args.source.configured()?;
    let store = args.source.store()?;
    let now = Wall::from_secs(SystemClock.now().wall.secs());
    let mut judged = contracts(&store, config.as_ref(), now)?;
    if let Some(id) = &args.contract {
        judged.retain(|judged| judged.contract.id() == id);
        if judged.is_empty() {
            return Err(Failure::Usage(format!(
                "no contract {id:?} is known here: without --contract, all that are known are shown"
            )));
        }
    }
    let period: Option<Period> = match &args.period {
        Some(text) => Some(text.parse().map_err(|error: crate::sla::calendar::NotAPeriod| {
            Failure::Usage(error.to_string())
        })?),
        None => None,
    };
    tell_end(args, &store)?;
    let given = given(args, now)?;
    let mut reports = Vec::new();
    let mut contracts = Vec::new();
    for Judged { contract, versions, services } in &judged {
        let only = |service: &&String| given.service.as_ref().is_none_or(|only| only == *service);
        let services: Vec<String> = services.iter().filter(only).cloned().collect();
        let period = period.or(given.period).unwrap_or_else(|| review::month_of(contract, now));
        let judged = Judged { contract: contract.clone(), versions: versions.clone(), services };
        reports.extend(
            review::review_all(&store, &judged, period, &given.facts)
                .map_err(|error| failure(&error))?,
        );
        contracts.resize(reports.len(), contract);
    }
    match if args.json { Format::Json } else { args.format } {
        Format::Json => print::json(&json!({"reports": reports}))?,
        Format::Csv => print::csv(&verdict::csv(&reports))?,
        Format::Html => {
            let all = reports.iter().zip(contracts);
            print::line(page::page(&store, all, &given.facts)?.trim_end())?;
        }
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

/// Says where what is stored ends, when nobody goes on with it and an outage has no end.
fn tell_end(args: &Args, store: &Store) -> Result<(), Failure> {
    let could = |error: crate::store::StoreError| Failure::Could(error.to_string());
    let open = store.open_outages().map_err(could)?;
    let mut last = None;
    for (_, outage) in &open {
        last = last.max(store.observed_until(&outage.probe).map_err(could)?);
    }
    if let Some(last) = last
        && snapshot::ask(&args.source.found()?.places.status_socket).is_none()
    {
        let last = print::instant(last);
        print::note(format_args!(
            "no agent runs here: an outage without an end counts up to {last}, when it was last \
                observed"
        ));
    }
    Ok(())
}

/// What the facts file says, if one was named.
struct Given {
    facts: Facts,
    period: Option<Period>,
    service: Option<String>,
}

fn given(args: &Args, now: Wall) -> Result<Given, Failure> {
    let Some(path) = &args.facts else {
        return Ok(Given {
            facts: Facts { as_of: Some(now), ..Facts::default() },
            period: None,
            service: None,
        });
    };
    let case = facts_of(path)?;
    let mut facts = case.facts;
    facts.as_of.get_or_insert(now);
    Ok(Given { facts, period: Some(case.period), service: Some(case.service) })
}

/// What a facts file says.
///
/// # Errors
/// When it cannot be read, or has faults.
pub fn facts_of(path: &Path) -> Result<Case, Failure> {
    let name = path.display().to_string();
    let text = bounded::read_text(path)
        .map_err(|error| Failure::Usage(format!("{name}: it cannot be read: {error}")))?;
    facts::parse(&text, &name).map_err(|faults| {
        Failure::Usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// The contracts, and which of their services are measured here: by the configuration where there
/// is one, else as the database keeps them.
///
/// # Errors
/// When the database cannot be read, or a contract that is configured here has faults. One that the
/// collector handed out, or that is kept, is left out then, and said.
pub fn contracts(
    store: &Store,
    config: Option<&AgentConfig>,
    now: Wall,
) -> Result<Vec<Judged>, Failure> {
    contracts_noting(store, config, now, &mut |note| print::note(note))
}

fn contracts_noting(
    store: &Store,
    config: Option<&AgentConfig>,
    now: Wall,
    note: &mut impl FnMut(&str),
) -> Result<Vec<Judged>, Failure> {
    if let Some(config) = config {
        let kept = store.contract_files().map_err(|error| Failure::Could(error.to_string()))?;
        let terms = Terms::with_received(config, &kept, now)
            .map_err(|faults| Failure::Usage(faults.to_string()))?;
        terms.left_out().for_each(|left_out| note(left_out));
        return Ok(terms.judged());
    }
    let mut faults = Vec::new();
    let judged = review::stored(store, now, &mut faults)
        .map_err(|error| Failure::Could(error.to_string()))?;
    for fault in faults {
        note(&format!("left out, since it cannot be judged by: {fault}"));
    }
    Ok(judged)
}

fn failure(error: &ReviewError) -> Failure {
    match error {
        ReviewError::Store(_) => Failure::Could(error.to_string()),
        ReviewError::Faults(_) => Failure::Usage(error.to_string()),
    }
}

/// The verdicts of the running month and of those whose time to claim still runs, for `status`.
///
/// # Errors
/// When the data cannot be read, or a contract has faults.
pub fn due(store: &Store, config: Option<&AgentConfig>, now: Wall) -> Result<Vec<Due>, Failure> {
    due_noting(store, config, now, |note| print::note(note))
}

/// As [`due`]; what keeps a contract from being judged by is told to `note`.
///
/// # Errors
/// As [`due`].
pub fn due_noting(
    store: &Store,
    config: Option<&AgentConfig>,
    now: Wall,
    mut note: impl FnMut(&str),
) -> Result<Vec<Due>, Failure> {
    let judged = contracts_noting(store, config, now, &mut note)?;
    due_of_noting(store, &judged, now, &mut note)
}

/// As [`due`], of some contracts. One that cannot be judged by is left out, and said: it keeps
/// nobody from the others.
///
/// # Errors
/// When the data cannot be read.
pub fn due_of(store: &Store, judged: &[Judged], now: Wall) -> Result<Vec<Due>, Failure> {
    due_of_noting(store, judged, now, &mut |note| print::note(note))
}

fn due_of_noting(
    store: &Store,
    judged: &[Judged],
    now: Wall,
    note: &mut impl FnMut(&str),
) -> Result<Vec<Due>, Failure> {
    let mut all = Vec::new();
    for one in judged {
        match claims::due(store, std::slice::from_ref(one), now) {
            Ok(due) => all.extend(due),
            Err(error @ ReviewError::Faults(_)) => {
                let id = one.contract.id();
                note(&format!(
                    "{id} is left out, since it cannot be judged by: {}",
                    error.to_string().replace('\n', "; ")
                ));
            }
            Err(error) => return Err(failure(&error)),
        }
    }
    Ok(all)
}

/// What must still be done, the most urgent first.
#[must_use]
pub fn deadlines(all: &[Due], now: Wall) -> Vec<(&Due, &Deadline)> {
    let mut open: Vec<(&Due, &Deadline)> = all
        .iter()
        .flat_map(|due| due.deadlines(now).map(move |deadline| (due, deadline)))
        .collect();
    open.sort_by_key(|(_, deadline)| deadline.ends);
    open
}

/// The most urgent deadlines for people.
#[must_use]
pub fn deadlines_text(all: &[(&Due, &Deadline)], now: Wall) -> String {
    const SHOWN: usize = 8;
    let mut text = String::from("deadlines\n");
    for (_, deadline) in all.iter().take(SHOWN) {
        print::wrap(
            &mut text,
            "  ",
            "    ",
            &format!("{} ({}): {}", deadline.by, deadline.left(now), deadline.what),
        );
    }
    if all.len() > SHOWN {
        text.push_str(&format!("  and {} more: wanproof report\n", all.len() - SHOWN));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contracts::{COLLECTOR, ContractFile};

    #[test]
    fn a_bad_contract_from_the_collector_keeps_nobody_from_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let now = Wall::from_secs(1_780_000_000);
        let (store, _) = Store::open(dir.path(), Wall::from_secs(1)).unwrap();
        let sound = include_str!("../../tests/testdata/contracts/page.toml");
        for (id, version, toml) in
            [("ACME-MPLS-2026", 3, sound), ("BROKEN", 1, "[agreement]\nid = \"BROKEN\"\n")]
        {
            let (id, sha256) = (id.to_owned(), format!("{version:064}"));
            let file = ContractFile {
                id,
                version,
                sha256,
                toml: toml.to_owned(),
                source: COLLECTOR.to_owned(),
            };
            store.receive_contract(&file).unwrap();
        }
        let judged = contracts(&store, None, now).unwrap();
        assert_eq!(
            judged.iter().map(|judged| judged.contract.id()).collect::<Vec<_>>(),
            ["ACME-MPLS-2026"]
        );
        assert!(due(&store, None, now).is_ok());
    }
}
