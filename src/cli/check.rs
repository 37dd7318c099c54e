//! `wanproof check`: a configuration of the agent, with its contracts, or of the collector; all faults at once.

use std::path::PathBuf;

use serde_json::json;

use crate::agent::terms::Terms;
use crate::cli::source::USUAL;
use crate::cli::{Exit, Failure, print};
use crate::config::agent::{self, AgentConfig, Keep};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's configuration, or the collector's
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,
    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// All faults of the configuration and of the contracts that it names.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    #[cfg(feature = "collector")]
    if is_collectors(&args.config) {
        return check_collector(args);
    }
    let checked = agent::load(&args.config).and_then(|config| Terms::load(&config).map(|terms| (config, terms)));
    let (config, terms) = match checked {
        Ok(checked) => checked,
        Err(faults) => {
            if args.json {
                print::json(&json!({"ok": false, "faults": faults.0}))?;
            }
            return Err(Failure::Usage(faults.to_string()));
        }
    };
    let contracts: Vec<String> =
        terms.contracts.iter().map(|loaded| format!("{} version {}", loaded.file.id, loaded.file.version)).collect();
    let notes: Vec<String> = notes(&config).into_iter().map(str::to_owned).chain(terms.notes.clone()).collect();
    if args.json {
        let (site, probes) = (&config.site, config.probes.len());
        print::json(&json!({"ok": true, "site": site, "probes": probes, "contracts": contracts, "notes": notes}))?;
        return Ok(Exit::Done);
    }
    print::line(format_args!("{}: sound", args.config.display()))?;
    for (at, probe) in config.probes.iter().enumerate() {
        let measures = match terms.service_of(at) {
            Some(service) => format!("measures {service}"),
            None => "measures no service of a contract".to_owned(),
        };
        print::line(format_args!("  probe {probe}: {measures}"))?;
    }
    for contract in contracts {
        print::line(format_args!("  contract {contract}"))?;
    }
    for note in &notes {
        print::line(format_args!("  note: {note}"))?;
    }
    Ok(Exit::Done)
}

/// What a configuration asks for and does not get from this version.
fn notes(config: &AgentConfig) -> Vec<&'static str> {
    let usual = Keep::default();
    let rolls_up = config.keep.hours != usual.hours || config.keep.days != usual.days;
    let note = "keep_hours and keep_days are read, but this version rolls nothing up yet";
    rolls_up.then_some(note).into_iter().collect()
}

/// A collector's configuration names its database, which an agent's never does.
#[cfg(feature = "collector")]
fn is_collectors(path: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("database"))
}

#[cfg(feature = "collector")]
fn check_collector(args: &Args) -> Result<Exit, Failure> {
    match crate::config::collector::CollectorConfig::load(&args.config) {
        Ok(config) if args.json => print::json(&json!({"ok": true, "listen": config.listen}))?,
        Ok(config) => print::line(format_args!("{}: sound; it listens on {}", args.config.display(), config.listen))?,
        Err(faults) => {
            if args.json {
                print::json(&json!({"ok": false, "faults": faults.0}))?;
            }
            return Err(Failure::Usage(faults.to_string()));
        }
    }
    Ok(Exit::Done)
}
