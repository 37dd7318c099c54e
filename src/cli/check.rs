//! `wanproof check`: a configuration of the agent, with its contracts, or of the collector; all
//! faults at once.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::agent::terms::Terms;
use crate::agent::warnings;
use crate::base::time::{Clock, SystemClock};
use crate::cli::estimate::{self, Estimate};
use crate::cli::source::named_or_usual;
use crate::cli::{Exit, Failure, print};
use crate::config::agent::{self, AgentConfig};
use crate::config::written::Faults;
use crate::measure::address_kind::AddressKind;
use crate::net::hop;
use crate::store::Store;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's configuration, or the collector's [default: /etc/wanproof/agent.toml, else
    /// ./agent.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take what may be a mistake for a fault
    #[arg(long)]
    strict: bool,
    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// All faults of the configuration and of the contracts that it names.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let path = named_or_usual(args.config.as_deref());
    #[cfg(feature = "collector")]
    if is_collectors(&path) {
        return check_collector(args, &path);
    }
    let (config, terms) = match checked(&path) {
        Ok(checked) => checked,
        Err(faults) => {
            if args.json {
                print::json(&json!({"ok": false, "faults": faults.0}))?;
            }
            return Err(Failure::Usage(faults.to_string()));
        }
    };
    let warnings = warnings(&config, &terms);
    if args.strict && !warnings.is_empty() {
        if args.json {
            print::json(&json!({"ok": false, "faults": warnings}))?;
        }
        return Err(Failure::Usage(warnings.join("\n")));
    }
    if args.json {
        print::json(&shown(&config, &terms, &warnings))?;
    } else {
        print::line(format_args!("{}: sound", path.display()))?;
        tell(&config, &terms, &warnings)?;
    }
    Ok(Exit::Done)
}

/// The configuration and its contracts, or all their faults.
fn checked(path: &Path) -> Result<(AgentConfig, Terms), Faults> {
    let config = agent::load(path)?;
    let terms = Terms::load(&config)?;
    match of_this_host(path, &config) {
        faults if faults.is_empty() => Ok((config, terms)),
        faults => Err(Faults(faults)),
    }
}

fn contracts(terms: &Terms) -> Vec<String> {
    let all = terms.contracts.iter();
    all.map(|loaded| format!("{} version {}", loaded.file.id, loaded.file.version)).collect()
}

fn notes(config: &AgentConfig, terms: &Terms, estimate: &Estimate) -> Vec<String> {
    let all = terms.notes.iter().cloned().chain(estimate.note(&config.keep));
    all.chain(no_directory(&config.data_dir)).collect()
}

fn shown(config: &AgentConfig, terms: &Terms, warnings: &[String]) -> Value {
    let estimate = estimate::planned(config);
    let mut store = estimate.json();
    store["max_bytes"] = json!(config.keep.max_bytes);
    json!({
        "ok": true,
        "site": config.site,
        "probes": config.probes.len(),
        "contracts": contracts(terms),
        "store": store,
        "notes": notes(config, terms, &estimate),
        "warnings": warnings,
    })
}

fn tell(config: &AgentConfig, terms: &Terms, warnings: &[String]) -> Result<(), Failure> {
    for (at, probe) in config.probes.iter().enumerate() {
        let measures = match terms.service_of(at) {
            Some(service) => format!("measures {service}"),
            None => "measures no service of a contract".to_owned(),
        };
        print::line(format_args!("  probe {probe}: {measures}"))?;
    }
    for contract in contracts(terms) {
        print::line(format_args!("  contract {contract}"))?;
    }
    let estimate = estimate::planned(config);
    let [a_day, kept] = estimate.words();
    print::line(format_args!("  store: {a_day}\n    {kept}"))?;
    for note in notes(config, terms, &estimate) {
        print::line(format_args!("  note: {note}"))?;
    }
    for warning in warnings {
        print::line(format_args!("  warning: {warning}"))?;
    }
    Ok(())
}

/// What may be a mistake in the contracts and the probes; and what the agent's database, where
/// there is one that can be read, shows of coverage.
fn warnings(config: &AgentConfig, terms: &Terms) -> Vec<String> {
    let mut all = warnings::of_terms(config, terms);
    if let Ok(store) = Store::read(&config.data_dir)
        && let Ok(found) = warnings::of_coverage(&store, &terms.judged(), SystemClock.now().wall)
    {
        all.extend(found);
    }
    all
}

/// Targets that are addresses of the very host that this runs on: it would answer itself.
fn of_this_host(path: &Path, config: &AgentConfig) -> Vec<String> {
    let own = config.probes.iter().filter_map(|probe| {
        let address = probe
            .literal()
            .filter(|&address| hop::place_by(&probe.circuit, address) == AddressKind::Own)?;
        Some(format!(
            "{}: probe {:?}: the target {address} is an address of this host, which would answer \
             itself: name the host at the other end",
            path.display(),
            probe.name,
        ))
    });
    own.collect()
}

/// What is not a fault of the configuration, but would keep the agent from its start on this host.
fn no_directory(data_dir: &Path) -> Option<String> {
    if data_dir.is_file() {
        return Some(format!(
            "data_dir: {} is a file: name a directory, which the agent makes",
            data_dir.display()
        ));
    }
    let parent = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty())?;
    (!data_dir.exists() && !parent.exists()).then(|| {
        format!("data_dir: {} is not there: make it before the agent starts", parent.display())
    })
}

/// A collector's configuration names its database, which an agent's never does.
#[cfg(feature = "collector")]
fn is_collectors(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("database"))
}

#[cfg(feature = "collector")]
fn check_collector(args: &Args, path: &Path) -> Result<Exit, Failure> {
    let checked = crate::config::collector::CollectorConfig::load(path).and_then(|config| {
        let address = crate::collector::archive::check_address(&config.database);
        address
            .map_err(|fault| Faults(vec![format!("{}: {fault}", path.display())]))
            .map(|()| config)
    });
    match checked {
        Ok(config) if args.json => print::json(&json!({"ok": true, "listen": config.listen}))?,
        Ok(config) => {
            print::line(format_args!("{}: sound; it listens on {}", path.display(), config.listen))?
        }
        Err(faults) => {
            if args.json {
                print::json(&json!({"ok": false, "faults": faults.0}))?;
            }
            return Err(Failure::Usage(faults.to_string()));
        }
    }
    Ok(Exit::Done)
}
