//! `wanproof collector contracts`: versions, their lives, and the agents that judge by others.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use crate::base::json::unmarked;
use crate::base::time::{Clock, SystemClock};
use crate::cli::collector::listing::{Listing, actor};
use crate::cli::collector::step::{StepArgs, read};
use crate::cli::{Failure, print};
use crate::collector::marks;
use crate::collector::operations::agreements::{self, AgreementView, PartySignature, Step};
use crate::collector::verdicts::Fleet;
use crate::evidence::key::{Kid, PublicKey};

/// `collector contracts`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Contracts {
    #[command(subcommand)]
    command: Option<ContractsCommand>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
enum ContractsCommand {
    /// Take a version as a draft, after it was checked
    Import {
        /// The contract's file
        file: PathBuf,
    },
    /// Move a version: propose, counter, sign, take_effect, supersede, end, withdraw, reject, void
    Move {
        /// What is done
        action: String,
        /// The contract's id
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// Its version
        version: u32,
        #[command(flatten)]
        step: StepArgs,
        /// With sign: both parties' signatures, as `wanproof contract sign` and `countersign` write
        /// them
        #[arg(long, value_name = "FILE")]
        signature: Vec<PathBuf>,
        /// With sign: the public key of each party, in the order of the signatures
        #[arg(long, value_name = "JWK_FILE")]
        key: Vec<PathBuf>,
    },
    /// The agents that do not judge by the contracts in force, by the digests that they report
    Differences,
}

pub(super) fn contracts(args: &Contracts) -> Result<(), Failure> {
    let listing = &args.listing;
    match &args.command {
        None => list(listing),
        Some(ContractsCommand::Import { file }) => import(listing, file),
        Some(ContractsCommand::Move { action, id, version, step, signature, key }) => {
            let step = Step { signatures: signatures(signature, key)?, ..step.step() };
            act(listing, action, (id, *version), &step)
        }
        Some(ContractsCommand::Differences) => differences(listing),
    }
}

fn list(listing: &Listing) -> Result<(), Failure> {
    let (_, book) = listing.book()?;
    let all: Vec<AgreementView> = book.all.iter().map(agreements::Agreed::view).collect();
    let row = |view: &AgreementView| {
        vec![
            view.id.clone(),
            view.version.to_string(),
            view.state.clone(),
            view.in_force_from.map_or_else(|| "-".to_owned(), print::instant),
            view.services.len().to_string(),
            view.provider.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let heading = ["CONTRACT", "VERSION", "STATE", "IN FORCE FROM", "SERVICES", "PROVIDER"];
    listing.show(
        &all,
        &heading,
        row,
        "there is no contract yet: `wanproof collector contracts import FILE`",
    )
}

fn import(listing: &Listing, file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let (config, _) = listing.source.archive()?;
    let imported = listing.change(|archive| {
        agreements::import(archive, config.contracts_dir.as_deref(), &text, &actor())
    });
    let (id, version) = imported.map_err(|failure| match failure {
        // Faults name the file as it was given.
        Failure::Usage(what) => {
            Failure::Usage(what.replace("contract: ", &format!("{}: ", file.display())))
        }
        other => other,
    })?;
    print::line(format_args!(
        "{id} version {version} is here; next: `wanproof collector contracts move propose {id} \
         {version}`"
    ))
}

/// Moves a version; what it may change is judged anew.
fn act(
    listing: &Listing,
    action: &str,
    (id, version): (&str, u32),
    step: &Step,
) -> Result<(), Failure> {
    let (_, book) = listing.book()?;
    let (config, _) = listing.source.archive()?;
    let state = listing.change(|archive| {
        let (actor, directory) = (actor(), config.contracts_dir.as_deref());
        let state =
            agreements::act_beside(archive, directory, (id, version), action, step, &actor)?;
        let contract = book.version(id, version).and_then(|agreed| agreed.contract.as_ref().ok());
        for service in contract.map(|contract| contract.services.as_slice()).unwrap_or_default() {
            marks::mark_all(archive, id, &service.id, actor.now)?;
        }
        Ok(state)
    })?;
    let since = in_force_from(listing, id, version)?
        .map_or_else(String::new, |from| format!(" from {from}"));
    print::line(format_args!("{id} version {version} is {state}{since}"))?;
    if action == "sign" {
        print::note(if step.signatures.is_some() {
            "both parties' signatures were verified, and are kept"
        } else {
            "that it was signed is your word: --signature and --key take both parties' \
             signatures, which prove it"
        });
    }
    Ok(())
}

/// Both parties' signatures with their keys; [`None`] where none is given.
fn signatures(
    signatures: &[PathBuf],
    keys: &[PathBuf],
) -> Result<Option<Vec<PartySignature>>, Failure> {
    if signatures.len() != keys.len() {
        let counts = format!("{} and {}", signatures.len(), keys.len());
        return Err(Failure::Usage(format!(
            "--signature and --key belong together, and there are {counts}"
        )));
    }
    let mut all = Vec::new();
    for (signature, key) in signatures.iter().zip(keys) {
        let jwk = PublicKey::from_jwk(unmarked(&read(key)?).trim())
            .map_err(|error| Failure::Usage(format!("{}: {error}", key.display())))?;
        all.push(PartySignature { jws: read(signature)?.trim_end_matches('\n').to_owned(), jwk });
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

/// Since when a version is in force, as it stands after it was moved; [`None`] where it is not.
fn in_force_from(listing: &Listing, id: &str, version: u32) -> Result<Option<String>, Failure> {
    let (_, book) = listing.book()?;
    let view = book
        .version(id, version)
        .map(agreements::Agreed::view)
        .filter(|view| view.state == "in_force");
    Ok(view.and_then(|view| view.in_force_from).map(print::instant))
}

fn differences(listing: &Listing) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row {
        agent: Kid,
        site: String,
        #[serde(flatten)]
        difference: agreements::Difference,
    }
    let (archive, book) = listing.book()?;
    let (fleet, now) = (Fleet::load(&archive)?, SystemClock.now().wall);
    let mut all = Vec::new();
    let served = agreements::Served::at(&book, now);
    for (agent, said) in fleet.iter() {
        let site = fleet
            .register()
            .get(agent)
            .and_then(|enrolled| enrolled.site_at(now))
            .unwrap_or(&said.site);
        for difference in served.differences(site, &said.contracts) {
            all.push(Row { agent, site: site.to_owned(), difference });
        }
    }
    let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let row = |row: &Row| {
        let of = &row.difference;
        let (due, has) = (
            of.version.map(|version| version.to_string()),
            of.reported.map(|version| version.to_string()),
        );
        vec![
            row.site.clone(),
            of.contract.clone(),
            number(due),
            number(has),
            of.what.clone(),
            row.agent.to_string(),
        ]
    };
    let heading = ["SITE", "CONTRACT", "IN FORCE", "REPORTED", "WHAT", "AGENT"];
    listing.show(&all, &heading, row, "every agent that reported judges by the contracts in force")
}
