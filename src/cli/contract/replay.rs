//! `wanproof contract replay`: stored history, judged by another contract or version: which minutes
//! its rules match, and what its clauses would have paid.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use crate::agent::review::{self, Judged, ReviewError};
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print, verdict};
use crate::sla::calendar::{NotAPeriod, Period};
use crate::sla::facts::{self, Facts};
use crate::sla::{Contract, Report};
use crate::store::Store;
use crate::store::intervals::Series;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The contract that judges, then its parents; parents are also looked for by id beside it
    #[arg(required = true)]
    pub(super) contracts: Vec<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// Only this service [default: all of the contract's that were measured]
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    service: Option<String>,
    /// The period: 2026-11, 2026-Q4, 2026, or a rolling one's last day [default: this month]
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
    /// What does not come from measurement: exclusions, tickets, charges, earlier periods
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 when an objective is breached
    #[arg(long)]
    exit_code: bool,
}

/// Judges what is stored by a contract from a file.
///
/// # Errors
/// When the data cannot be read, or contract or facts have faults.
pub(super) fn run(args: &Args, mut contract: Contract) -> Result<Exit, Failure> {
    let store = args.source.store()?;
    let now = Wall::from_secs(SystemClock.now().wall.secs());
    let services = measured(&store, &mut contract, args.service.as_deref())?;
    let (facts, told) = match &args.facts {
        None => (Facts { as_of: Some(now), ..Facts::default() }, None),
        Some(path) => {
            let case = facts::parse(&super::read(path)?, &super::shown(path))
                .map_err(|faults| super::told(&faults))?;
            let mut facts = case.facts;
            facts.as_of.get_or_insert(now);
            (facts, Some((case.period, case.service)))
        }
    };
    let period = match &args.period {
        Some(text) => {
            Some(text.parse().map_err(|error: NotAPeriod| Failure::Usage(error.to_string()))?)
        }
        None => told.as_ref().map(|(period, _)| *period),
    };
    let period: Period = period.unwrap_or_else(|| review::month_of(&contract, now));
    let mut reports: Vec<Report> = Vec::new();
    let judged = Judged::alone(contract, services);
    for service in &judged.services {
        if told.as_ref().is_none_or(|(_, only)| only == service) {
            let report =
                review::review(&store, &judged, service, period, &facts).map_err(|error| {
                    match error {
                        ReviewError::Store(error) => error.into(),
                        ReviewError::Faults(faults) => super::told(&faults),
                    }
                })?;
            reports.push(report);
        }
    }
    if args.json {
        print::json(&json!({"reports": reports}))?;
    } else {
        let texts: Vec<String> = reports.iter().map(verdict::text).collect();
        print::line(texts.join("\n").trim_end())?;
    }
    Ok(if args.exit_code && reports.iter().any(Report::is_breached) {
        Exit::Bad
    } else {
        Exit::Done
    })
}

/// The contract's services that the stored probes measured: the contract names the probe and the
/// site is the service's, or the probe named the service. A probe that named one is added to it.
fn measured(
    store: &Store,
    contract: &mut Contract,
    only: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let series: Vec<_> = store.all_series()?.into_values().collect();
    let site = store.site()?;
    for seen in &series {
        if let Some(service) = &seen.service {
            contract.add_probe(service, &seen.probe);
        }
    }
    let here = |service: &&crate::sla::terms::Service| {
        let named = series.iter().any(|seen| seen.service.as_deref() == Some(service.id.as_str()));
        let ours = site.as_ref().is_none_or(|site| *site == service.site);
        named || (ours && series.iter().any(|seen| service.probes.contains(&seen.probe)))
    };
    let of = |id: &String| {
        let members = contract.members_of(id).unwrap_or_default();
        members.iter().any(here)
    };
    let mut services: Vec<String> =
        contract.services.iter().map(|service| service.id.clone()).filter(of).collect();
    match only {
        None if services.is_empty() => {
            Err(Failure::Usage(nothing_measured(contract, site.as_deref(), &series)))
        }
        None => Ok(services),
        Some(id) if contract.service(id).is_none() => {
            Err(Failure::Usage(format!("{id:?} is no service of contract {:?}", contract.id())))
        }
        Some(id) => {
            services.retain(|service| service == id);
            if services.is_empty() {
                return Err(Failure::Usage(format!("nothing stored here measures service {id:?}")));
            }
            Ok(services)
        }
    }
}

/// That nothing stored measures a service of the contract, and what would.
fn nothing_measured(contract: &Contract, site: Option<&str>, series: &[Series]) -> String {
    let names: Vec<&str> = contract.services.iter().map(|service| service.id.as_str()).collect();
    let probes: BTreeSet<&str> = series.iter().map(|seen| seen.probe.as_str()).collect();
    format!(
        "nothing stored here measures a service of contract {:?} ({}): its [[service]] must have \
         this site{} and name these probes: {}",
        contract.id(),
        names.join(", "),
        site.map_or(String::new(), |site| format!(", {site:?},")),
        probes.into_iter().collect::<Vec<_>>().join(", ")
    )
}
