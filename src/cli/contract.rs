//! `wanproof contract`: check contracts, show what one comes to, judge facts by one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::bounded;
use crate::cli::{Exit, Failure, print, verdict};
use crate::config::contracts::parents_beside;
use crate::sla::contract::{self, Section, Written, resolve};
use crate::sla::{Contract, Fault, facts};

#[cfg(feature = "agent")]
mod moves;
#[cfg(feature = "agent")]
mod replay;
mod sign;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check contracts: all faults at once, each with its place
    Check {
        /// Contract files; parents are also looked for by id beside them
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Take what may be a mistake for a fault
        #[arg(long)]
        strict: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the terms of a contract, and which contract of its line each comes from
    Show {
        /// The contract, then its parents; parents are also looked for by id beside it
        #[arg(required = true)]
        contracts: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Judge facts from a file by a contract
    Evaluate {
        /// The contract that judges, then its parents; parents are also looked for by id beside it
        #[arg(required = true)]
        contracts: Vec<PathBuf>,
        /// The facts, as JSON
        #[arg(long)]
        facts: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Exit with 1 when an objective is breached
        #[arg(long)]
        exit_code: bool,
    },
    /// Sign a version for one party: its digest, and those of the contracts that it inherits from
    Sign(sign::Sign),
    /// Sign what the other party has signed, once it is shown to be the very same
    Countersign(sign::Countersign),
    /// Prove that both parties signed this version
    Signatures(sign::Signatures),
    /// Record what became of a version, agreement, service, period or right
    #[cfg(feature = "agent")]
    Move(moves::Move),
    /// What was recorded of versions, agreements, services, periods and rights
    #[cfg(feature = "agent")]
    Log {
        /// Only of this contract
        #[arg(long, allow_hyphen_values = true, value_name = "ID")]
        contract: Option<String>,
        #[command(flatten)]
        source: crate::cli::source::Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Judge stored history by another contract or version
    #[cfg(feature = "agent")]
    Replay(replay::Args),
}

/// Runs it.
///
/// # Errors
/// Says what could not be done.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.action {
        Action::Check { files, strict, json } => {
            check(files, if *strict { Doubts::AreFaults } else { Doubts::AreTold }, *json)
        }
        Action::Show { contracts, json } => show(contracts, *json),
        Action::Evaluate { contracts, facts, json, exit_code } => {
            let report = evaluate(contracts, facts)?;
            if *json {
                print::json(&report)?;
            } else {
                print::line(verdict::text(&report).trim_end())?;
            }
            Ok(if *exit_code && report.is_breached() { Exit::Bad } else { Exit::Done })
        }
        Action::Sign(args) => sign::sign(args),
        Action::Countersign(args) => sign::countersign(args),
        Action::Signatures(args) => sign::signatures(args),
        #[cfg(feature = "agent")]
        Action::Move(args) => moves::run(args),
        #[cfg(feature = "agent")]
        Action::Log { contract, source, json } => moves::log(contract.as_deref(), source, *json),
        #[cfg(feature = "agent")]
        Action::Replay(args) => replay::run(args, judging(&args.contracts)?.contract),
    }
}

fn evaluate(contracts: &[PathBuf], facts: &Path) -> Result<crate::sla::Report, Failure> {
    // Faults of both files are told together.
    let contract = judging(contracts);
    let case = read(facts)
        .and_then(|text| facts::parse(&text, &shown(facts)).map_err(|faults| told(&faults)));
    let (contract, case) = match (contract, case) {
        (Ok(judging), Ok(case)) => (judging.contract, case),
        (Err(Failure::Usage(one)), Err(Failure::Usage(other))) => {
            return Err(Failure::Usage(format!("{one}\n{other}")));
        }
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    crate::sla::judge_facts(&contract, &case).map_err(|faults| told(&faults))
}

/// A contract that judges, with where it comes from.
struct Judging {
    own: Loaded,
    /// Those given beside it, and those of its line that lie in its directory.
    others: Vec<Written>,
    contract: Contract,
}

/// The contract of the first file, with the others and those beside it as its parents.
fn judging(files: &[PathBuf]) -> Result<Judging, Failure> {
    let mut loaded =
        files.iter().map(|file| Loaded::read(file)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some(own) = loaded.next() else {
        return Err(Failure::Usage("no contract was named".to_owned()));
    };
    let others = with_beside(&own, loaded.map(|other| other.written).collect());
    let contract = resolve(&own.written, &others).map_err(|faults| told(&faults))?;
    Ok(Judging { own, others, contract })
}

/// A contract file, read.
struct Loaded {
    path: PathBuf,
    written: Written,
    sha256: String,
}

impl Loaded {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = read(path)?;
        let written = Written::read(&text, &shown(path)).map_err(|faults| told(&faults))?;
        let digest = Sha256::digest(text.as_bytes());
        let sha256 = digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Ok(Self { path: path.to_owned(), written, sha256 })
    }
}

/// Those given, and where one of a contract's line is still missing, those in its directory.
fn with_beside(own: &Loaded, mut others: Vec<Written>) -> Vec<Written> {
    let beside = parents_beside(&own.path, &own.written, &others);
    others.extend(beside.into_iter().map(|(written, _)| written));
    others
}

/// A contract that is right.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    id: String,
    version: u32,
    sha256: String,
    services: Vec<String>,
    objectives: Vec<String>,
    /// What may be a mistake.
    warnings: Vec<String>,
}

/// What becomes of what may be a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubts {
    /// It is told, and the contract is right.
    AreTold,
    /// The contract is not right.
    AreFaults,
}

fn check(files: &[PathBuf], strict: Doubts, json: bool) -> Result<Exit, Failure> {
    let mut faults: Vec<String> = Vec::new();
    let mut loaded = Vec::new();
    for file in files {
        match Loaded::read(file) {
            Ok(read) => loaded.push(read),
            Err(Failure::Usage(what)) => faults.push(what),
            Err(other) => return Err(other),
        }
    }
    let all: Vec<Written> = loaded.iter().map(|each| each.written.clone()).collect();
    let mut checked = Vec::new();
    for own in &loaded {
        let others: Vec<Written> =
            all.iter().filter(|other| other.file() != own.written.file()).cloned().collect();
        let others = with_beside(own, others);
        let doubts: Vec<String> =
            contract::warnings(&own.written, &others).iter().map(ToString::to_string).collect();
        match resolve(&own.written, &others) {
            Ok(_) if strict == Doubts::AreFaults && !doubts.is_empty() => faults.extend(doubts),
            Ok(contract) => checked.push(Checked {
                warnings: doubts,
                file: shown(&own.path),
                id: contract.agreement.id.clone(),
                version: contract.agreement.version,
                sha256: own.sha256.clone(),
                services: contract.services.iter().map(|service| service.id.clone()).collect(),
                objectives: contract
                    .objectives
                    .iter()
                    .map(|objective| objective.id.clone())
                    .collect(),
            }),
            Err(found) => faults.extend(found.iter().map(ToString::to_string)),
        }
    }
    if !faults.is_empty() {
        // A parent's faults show once, however many inherit from it.
        let mut seen = BTreeSet::new();
        faults.retain(|fault| seen.insert(fault.clone()));
        return Err(Failure::Usage(faults.join("\n")));
    }
    let mut told = BTreeSet::new();
    for warning in
        checked.iter().flat_map(|checked| &checked.warnings).filter(|warning| told.insert(*warning))
    {
        print::note(format!("warning: {warning}"));
    }
    if json {
        print::json(&checked)?
    } else {
        tell(&checked)?
    }
    Ok(Exit::Done)
}

fn tell(all: &[Checked]) -> Result<(), Failure> {
    let mut text = String::new();
    for Checked { file, id, version, services, objectives, .. } in all {
        let (services, objectives) = (list_or_none(services), list_or_none(objectives));
        let what = format!(
            "{id} version {version} is right; services: {services}; objectives: {objectives}"
        );
        print::wrap(&mut text, &format!("{file}: "), "  ", &what);
    }
    print::line(text.trim_end())
}

fn list_or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A contract, resolved.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    version: u32,
    sha256: String,
    sections: Vec<Section>,
}

fn show(files: &[PathBuf], json: bool) -> Result<Exit, Failure> {
    let Judging { own, others, contract } = judging(files)?;
    let sections = contract::shown(&own.written, &others);
    let (id, version) = (contract.agreement.id.clone(), contract.agreement.version);
    let shown = Shown { id, version, sha256: own.sha256, sections };
    if json {
        print::json(&shown)?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{} version {}\nsha256 {}\n", shown.id, shown.version, shown.sha256);
    for section in &shown.sections {
        let replaces = match section.replaces.is_empty() {
            true => String::new(),
            false => format!("; replaces that of {}", section.replaces.join(", ")),
        };
        let _ = writeln!(
            text,
            "\n{} (from {}, {}{replaces})",
            section.section, section.from, section.file
        );
        let mut of = None;
        for term in &section.terms {
            if term.of.is_some() && term.of != of {
                of.clone_from(&term.of);
                let _ = writeln!(
                    text,
                    "  {} {}",
                    section.section,
                    term.of.as_deref().unwrap_or_default()
                );
            }
            let indent = if term.of.is_some() { "    " } else { "  " };
            print::wrap(
                &mut text,
                &format!("{indent}{} = ", term.key),
                &format!("{indent}  "),
                &term.value,
            );
        }
    }
    print::line(text.trim_end())?;
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<String, Failure> {
    let fault = |error| Failure::Usage(format!("{}: cannot be read: {error}", shown(path)));
    bounded::read_text_within(path, bounded::JUDGED).map_err(fault)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn told(faults: &[Fault]) -> Failure {
    Failure::Usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
