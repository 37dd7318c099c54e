//! `wanproof collector`: the centre.

use std::path::PathBuf;

use clap::Subcommand;

use crate::base::time::Wall;
use crate::cli::collector::listing::Listing;
use crate::cli::collector::source::{Named, Source};
use crate::cli::given::{TIME, instant};
use crate::cli::{Exit, Failure};
use crate::sla::calendar::Period;

mod agents;
mod backup;
mod bundle;
mod claims;
mod conflicts;
mod contracts;
mod export;
mod facts;
mod findings;
mod keys;
mod label;
mod late;
mod limits;
mod listing;
mod oversee;
mod ready;
mod report;
mod serve;
mod source;
mod step;
mod tokens;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the collector
    Serve(Source),
    /// Whether the collector of this configuration is ready, as its /readyz says: for what watches
    /// it without a program of its own, such as a container's health check
    Ready(Source),
    /// The agents: who is let in, who fell silent, what is missing
    Agents {
        #[command(flatten)]
        source: Source,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let an agent ship that waits for it
    Approve {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        source: Source,
    },
    /// Take nothing from an agent any more, for good
    Revoke {
        #[command(flatten)]
        named: Named,
        /// Leave out all that it said from this instant on, in UTC, and judge anew what that
        /// touches: since its key was stolen, say; also of one that is revoked already [default:
        /// what came so far goes on counting]
        #[arg(long, value_name = TIME, value_parser = instant)]
        since: Option<Wall>,
        #[command(flatten)]
        source: Source,
    },
    /// Put an agent to a site, now or from an instant on: whose contracts it is handed, and which
    /// it may speak for
    Assign(label::Assign),
    /// Turn away agents that wait, by a pattern of their sites or addresses
    Reject(oversee::Reject),
    /// What operators did: who, when, with what
    Audit(oversee::Audit),
    /// Put an agent to a site, or label it: what its contracts are handed out by, what you sort by
    Label(label::Label),
    /// Contracts: imported, checked, proposed, signed, in force, amended, ended
    Contracts(contracts::Contracts),
    /// Facts about a service: the customer's tickets and exclusions, or the provider's own outage
    /// log
    Facts(facts::FactsArgs),
    /// The fleet's verdicts of a month, by service, site, contract, provider or level
    Report(report::Report),
    /// Claims: how each stands, how long there is left; rights to terminate, duties, invoices
    Claims(claims::Claims),
    /// What is missing or wrong now: silent agents, gaps, conflicts, clocks, outdated contracts,
    /// deadlines
    Findings(Listing),
    /// Let evidence count that came too late, and say why: `collector findings` names it
    Accept(late::Args),
    /// Let the summaries of an old month go: what was judged of it stays, and is not judged anew
    LetGo {
        /// The month in UTC, such as 2024-11
        month: Period,
        #[command(flatten)]
        source: Source,
    },
    /// Tokens of the API
    Tokens(tokens::Tokens),
    /// Write a whole copy of database and key into a new directory, while the collector works
    Backup {
        /// The directory; it must not be there yet
        dir: PathBuf,
        #[command(flatten)]
        source: Source,
    },
    /// Write every summary and receipt that is stored into a directory
    Export {
        /// The directory; files are written as AGENT/CHAIN/SEQ.jws and SEQ.receipt.jws
        dir: PathBuf,
        #[command(flatten)]
        source: Source,
    },
    /// Summaries that did not fit into their chain: a reused number, a wrong link; kept aside as
    /// evidence of a fault
    Conflicts {
        #[command(flatten)]
        source: Source,
        /// Write them as DIR/AGENT/CHAIN/SEQ.DIGEST.jws, beside which `verify` shows what is wrong
        #[arg(long, value_name = "DIR")]
        export: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the evidence behind a claim: summaries, receipts, contract, facts, verdict and a
    /// report, in one .zip
    Bundle {
        #[command(flatten)]
        wanted: bundle::Wanted,
        #[command(flatten)]
        source: Source,
    },
    /// The collector's public key and fingerprint, for `[collector] key` of the agents and for
    /// `verify --key`
    Key {
        #[command(flatten)]
        source: Source,
        /// The key that is to follow, made if there is none yet; the collector announces it once it
        /// was reloaded
        #[arg(long)]
        next: bool,
        /// Let the key that was announced follow now; the collector signs with it from its next
        /// start
        #[arg(long, conflicts_with = "next")]
        change: bool,
        /// Even where agents cannot have heard of it: they ship nothing until it is given to them
        /// by hand
        #[arg(long, requires = "change")]
        anyway: bool,
        /// Without the agents that were not heard of since then, in UTC, such as 2026-11-30
        #[arg(
            long,
            requires = "change",
            conflicts_with = "anyway",
            value_name = TIME,
            value_parser = instant
        )]
        not_heard_since: Option<Wall>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
///
/// # Errors
/// Says what could not be done.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Serve(source) => serve::serve(source)?,
        Command::Ready(source) => return ready::ready(source),
        Command::Agents { source, json } => agents::agents(source, *json)?,
        Command::Approve { named, source } => agents::approve(source, named.agent)?,
        Command::Revoke { named, since, source } => agents::revoke(source, named.agent, *since)?,
        Command::Assign(args) => label::assign(args)?,
        Command::Reject(args) => oversee::reject(args)?,
        Command::Audit(args) => oversee::audit(args)?,
        Command::Label(args) => label::label(args)?,
        Command::Contracts(args) => contracts::contracts(args)?,
        Command::Facts(args) => facts::import_facts(args)?,
        Command::Report(args) => return report::report(args),
        Command::Claims(args) => claims::claims(args)?,
        Command::Findings(args) => return findings::findings(args),
        Command::Accept(args) => late::accept(args)?,
        Command::LetGo { month, source } => export::let_go(*month, source)?,
        Command::Tokens(args) => tokens::tokens(args)?,
        Command::Backup { dir, source } => backup::backup(source, dir)?,
        Command::Export { dir, source } => export::export(source, dir)?,
        Command::Conflicts { source, export, json } => {
            conflicts::conflicts(source, export.as_deref(), *json)?
        }
        Command::Bundle { wanted, source } => bundle::write(wanted, source)?,
        Command::Key { source, next: true, json, .. } => {
            keys::show(source, keys::Which::Next, *json)?
        }
        Command::Key { source, change: true, anyway, not_heard_since, json, .. } => {
            let anybody = if *anyway { keys::Whom::Anybody } else { keys::Whom::Nobody };
            keys::change(
                source,
                not_heard_since.map_or(anybody, keys::Whom::NotHeardSince),
                *json,
            )?;
        }
        Command::Key { source, json, .. } => keys::show(source, keys::Which::Present, *json)?,
    }
    Ok(Exit::Done)
}
