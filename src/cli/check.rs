//! `wanproof check`: configuration and contracts, all faults at once.

use std::path::PathBuf;

use serde_json::json;

use crate::agent::terms::Terms;
use crate::cli::source::USUAL;
use crate::cli::{Exit, Failure, print};
use crate::config::agent;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's configuration
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
    if args.json {
        print::json(&json!({"ok": true, "site": config.site, "probes": config.probes.len(), "contracts": contracts}))?;
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
    Ok(Exit::Done)
}
