//! `wanproof claim`: what may be claimed and until when, drafts of ticket and letter, the claim's
//! own life, and the evidence bundle behind it.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::base::bounded;
use crate::cli::life::Written;
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};
use crate::evidence::bundle::{self, BundleFault, Material, Which};
use crate::sla::Fault;
use crate::store::keyfile;

mod local;
use local::{GivenFacts, Paper, Which as WhichClaim};

/// What is claimed.
#[derive(Clone, Debug, clap::Args)]
pub struct Claimed {
    /// The contract's id
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    contract: String,
    /// The contract's version [default: the highest that is here]
    #[arg(long, value_name = "N")]
    contract_version: Option<u64>,
    /// The service
    #[arg(long, allow_hyphen_values = true)]
    service: String,
    /// The period, such as 2026-11
    #[arg(long)]
    period: String,
    /// What does not come from measurement, as for `contract evaluate`: exclusions, tickets,
    /// earlier periods
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Where the bundle is written
    #[arg(long, value_name = "FILE.zip")]
    out: PathBuf,
}

impl Claimed {
    /// Makes the bundle of all that is at hand, and writes it. `contracts` are versions with their
    /// text.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn write(
        &self,
        mut material: Material,
        contracts: &[(String, u64, String)],
    ) -> Result<Exit, Failure> {
        let own = contracts
            .iter()
            .filter(|(id, ..)| *id == self.contract)
            .map(|(_, version, _)| *version);
        let texts: Vec<String> = contracts.iter().map(|(_, _, toml)| toml.clone()).collect();
        let judging = self
            .period
            .parse()
            .ok()
            .and_then(|period| bundle::judging_version(&self.contract, period, &texts));
        let version = self.contract_version.or(judging).or_else(|| own.max()).ok_or_else(|| {
            let ids: Vec<&str> = contracts.iter().map(|(id, ..)| id.as_str()).collect();
            Failure::Usage(format!(
                "the contract {} is not here; there are: {}",
                self.contract,
                ids.join(", ")
            ))
        })?;
        material.contracts = texts;
        material.facts = match &self.facts {
            Some(path) => bounded::read_text(path).map_err(|error| {
                Failure::Usage(format!("{} cannot be read: {error}", path.display()))
            })?,
            None => {
                let as_of = bundle::last(&material);
                json!({"period": self.period, "service": self.service, "as_of": as_of}).to_string()
            }
        };
        let which = Which { id: self.contract.clone(), version };
        let bytes = bundle::make(&which, &material).map_err(|fault| self.failure(&fault))?;
        fs::write(&self.out, &bytes).map_err(|error| {
            Failure::Could(format!("{} cannot be written: {error}", self.out.display()))
        })?;
        print::line(format_args!(
            "{}: {}; the other side checks it with `wanproof verify --key AGENT.jwk --key \
                COLLECTOR.jwk {}`",
            self.out.display(),
            print::bytes(bytes.len() as u64),
            self.out.display()
        ))?;
        Ok(Exit::Done)
    }

    /// Whether what was asked for is wrong, or what is at hand does not suffice. Faults of the
    /// facts name where they were given.
    fn failure(&self, fault: &BundleFault) -> Failure {
        let BundleFault::Faults(faults) = fault else { return Failure::Could(fault.to_string()) };
        let told = |fault: &Fault| match &self.facts {
            _ if fault.file != "facts.json" => fault.to_string(),
            Some(path) => Fault { file: path.display().to_string(), ..fault.clone() }.to_string(),
            None => format!("--{}: {}", fault.place, fault.what),
        };
        Failure::Usage(faults.iter().map(told).collect::<Vec<_>>().join("\n"))
    }
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What may be claimed, how it stands, and until when
    List {
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Draft the trouble ticket for the first outage that has none
    Ticket {
        #[command(flatten)]
        which: WhichClaim,
        #[command(flatten)]
        told: GivenFacts,
        #[command(flatten)]
        source: Source,
    },
    /// Draft the letter that claims the credit
    Letter {
        #[command(flatten)]
        which: WhichClaim,
        #[command(flatten)]
        told: GivenFacts,
        #[command(flatten)]
        source: Source,
    },
    /// Record what was done with a claim: submit, acknowledge, accept, accept_partly, reject,
    /// credit, reconcile, dispute, lapse, waive
    Move {
        /// What was done
        action: String,
        #[command(flatten)]
        which: WhichClaim,
        #[command(flatten)]
        written: Written,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What was done with claims, when, by whom, and by which evidence
    Log {
        #[command(flatten)]
        which: WhichClaim,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the evidence behind a claim: summaries, receipts, contract, facts, verdict and a
    /// report, in one .zip
    Bundle {
        #[command(flatten)]
        claimed: Claimed,
        #[command(flatten)]
        source: Source,
    },
}

/// Runs it.
///
/// # Errors
/// Says what could not be done.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::List { source, json } => local::list(source, *json),
        Command::Ticket { which, told, source } => local::draft(Paper::Ticket, which, told, source),
        Command::Letter { which, told, source } => local::draft(Paper::Letter, which, told, source),
        Command::Move { action, which, written, source, json } => {
            local::step(action, which, written, source, *json)
        }
        Command::Log { which, source, json } => local::log(which, source, *json),
        Command::Bundle { claimed, source } => write_bundle(claimed, source),
    }
}

fn write_bundle(claimed: &Claimed, source: &Source) -> Result<Exit, Failure> {
    let could = |error: &dyn std::fmt::Display| Failure::Could(error.to_string());
    let store = source.store()?;
    let mut material = Material::default();
    for entry in store.summaries().map_err(|error| could(&error))? {
        material.summaries.push(store.summary_jws(&entry).map_err(|error| could(&error))?);
        material.receipts.extend(entry.receipt);
    }
    match store.identity().map_err(|error| could(&error))? {
        Some(known) => {
            // Summaries that name keys show whose the later ones are; the outbox may have let them
            // go since.
            let missing = known
                .namings()
                .filter(|jws| !material.summaries.contains(jws))
                .cloned()
                .collect::<Vec<_>>();
            material.summaries.extend(missing);
            material.keys.extend(known.keys.into_iter().map(|signer| signer.jwk));
        }
        None => {
            let key = keyfile::load(&source.data_dir()?.join(keyfile::AGENT))
                .map_err(|fault| could(&fault))?;
            material.keys.push(*key.public());
        }
    }
    let collector = store.collector_keys().map_err(|error| could(&error))?;
    material.keys.extend(collector.present.into_iter().chain(collector.former));
    let files = store.contract_files().map_err(|error| could(&error))?;
    let contracts: Vec<(String, u64, String)> =
        files.into_iter().map(|file| (file.id, u64::from(file.version), file.toml)).collect();
    claimed.write(material, &contracts)
}
