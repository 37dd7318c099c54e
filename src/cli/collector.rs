//! `wanproof collector`: the centre.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::given::{TIME, agent, instant};
use crate::cli::{Exit, Failure, ending, print};
use crate::collector::archive::agents::Standing;
use crate::collector::archive::conflicts::Conflict;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::months;
use crate::collector::operations::sites::{self, Revocation};
use crate::collector::{self, Collector, StartError, fleet};
use crate::config::collector::CollectorConfig;
use crate::config::written::Faults;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::Kid;
use crate::net::privileges;
use crate::sla::calendar::Period;

mod bundle;
mod keys;
mod late;
mod limits;
mod operate;
mod oversee;

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
    Assign(operate::Assign),
    /// Turn away agents that wait, by a pattern of their sites or addresses
    Reject(oversee::Reject),
    /// What operators did: who, when, with what
    Audit(oversee::Audit),
    /// Put an agent to a site, or label it: what its contracts are handed out by, what you sort by
    Label(operate::Label),
    /// Contracts: imported, checked, proposed, signed, in force, amended, ended
    Contracts(operate::Contracts),
    /// Facts about a service: the customer's tickets and exclusions, or the provider's own outage
    /// log
    Facts(operate::FactsArgs),
    /// The fleet's verdicts of a month, by service, site, contract, provider or level
    Report(operate::Report),
    /// Claims: how each stands, how long there is left; rights to terminate, duties, invoices
    Claims(operate::Claims),
    /// What is missing or wrong now: silent agents, gaps, conflicts, clocks, outdated contracts,
    /// deadlines
    Findings(operate::Listing),
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
    Tokens(operate::Tokens),
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
        #[arg(long, requires = "change", conflicts_with = "anyway", value_name = TIME, value_parser = instant)]
        not_heard_since: Option<Wall>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Named {
    /// The agent: its identifier, as `collector agents` shows it
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true, value_parser = agent)]
    agent: Kid,
}

#[derive(Clone, Debug, clap::Args)]
struct Source {
    /// The collector's configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/wanproof/collector.toml"
    )]
    config: PathBuf,
}

impl Source {
    fn load(&self) -> Result<CollectorConfig, Failure> {
        CollectorConfig::load(&self.config).map_err(|faults| Failure::Usage(faults.to_string()))
    }

    fn archive(&self) -> Result<(CollectorConfig, Archive), Failure> {
        let config = self.load()?;
        let archive = Archive::open_existing(&config.database)?;
        Ok((config, archive))
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Could(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Could(error.to_string())
    }
}

/// Runs it.
///
/// # Errors
/// Says what could not be done.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Serve(source) => serve(source)?,
        Command::Agents { source, json } => agents(source, *json)?,
        Command::Approve { named, source } => approve(source, named.agent)?,
        Command::Revoke { named, since, source } => revoke(source, named.agent, *since)?,
        Command::Assign(args) => operate::assign(args)?,
        Command::Reject(args) => oversee::reject(args)?,
        Command::Audit(args) => oversee::audit(args)?,
        Command::Label(args) => operate::label(args)?,
        Command::Contracts(args) => operate::contracts(args)?,
        Command::Facts(args) => operate::import_facts(args)?,
        Command::Report(args) => return operate::report(args),
        Command::Claims(args) => operate::claims(args)?,
        Command::Findings(args) => return operate::findings(args),
        Command::Accept(args) => late::accept(args)?,
        Command::LetGo { month, source } => let_go(*month, source)?,
        Command::Tokens(args) => operate::tokens(args)?,
        Command::Backup { dir, source } => operate::backup(source, dir)?,
        Command::Export { dir, source } => export(source, dir)?,
        Command::Conflicts { source, export, json } => conflicts(source, export.as_deref(), *json)?,
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

/// Runs the collector until SIGTERM or SIGINT; SIGHUP reads the configuration again.
fn serve(source: &Source) -> Result<(), Failure> {
    let config = source.load()?;
    let system =
        |error: std::io::Error| Failure::Could(format!("the collector cannot run: {error}"));
    super::log_to_stderr();
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        let listen = config.listen;
        // A port below 1024 may need a privilege; nothing else does, and no thread runs yet that
        // had one.
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::Could(format!("{listen} cannot be listened on: {error}")))?;
        privileges::drop_for_good();
        limits::of_the_process();
        let collector = Collector::open(config)?;
        let address = listener.local_addr().map_err(system)?;
        let (mut term, mut int, mut hup) = (
            signal(SignalKind::terminate()).map_err(system)?,
            signal(SignalKind::interrupt()).map_err(system)?,
            signal(SignalKind::hangup()).map_err(system)?,
        );
        ending::bound()?;
        let (stop, mut stopped) = watch::channel(false);
        let stopping = async move {
            let _ = stopped.wait_for(|&stop| stop).await;
        };
        let serving = tokio::spawn(collector::serve(listener, Arc::clone(&collector), stopping));
        let kid = collector.key().kid();
        tracing::info!(
            %address, key = %kid, fingerprint = kid.fingerprint(), "the collector is listening"
        );
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        if let Some(within) = sd_notify::watchdog_enabled() {
            tokio::spawn(feed(within / 3, Arc::clone(&collector), serving.abort_handle()));
        }
        let (mut ended, mut reading) = (Ok(()), None);
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => {
                    // Another thread reads it; only the last reading counts.
                    let path = source.config.clone();
                    reading = Some(tokio::task::spawn_blocking(move || CollectorConfig::load(&path)));
                }
                read = read(&mut reading) => {
                    reading = None;
                    swap(read, &collector);
                }
                () = collector.damaged() => {
                    ended = Err(Failure::Could(
                        "the collector's database is damaged, and the collector ends: its next \
                            start salvages it; systemd starts it again by itself"
                            .to_owned(),
                    ));
                    break;
                }
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        tracing::info!("the collector is stopping");
        let _ = stop.send(true);
        match serving.await {
            Ok(served) => served.map_err(system).and(ended),
            Err(error) => Err(Failure::Could(format!("the collector ended by a fault of this \
                program, which is worth a report: {error}"))),
        }
    });
    ending::end(runtime);
    ended
}

/// Feeds systemd's watchdog while the collector takes connections and works.
async fn feed(every: Duration, collector: Arc<Collector>, serving: AbortHandle) {
    let mut turn = tokio::time::interval(every);
    while !serving.is_finished() {
        turn.tick().await;
        if collector.works().await && !serving.is_finished() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// What reading a configuration gives.
type Reading = Result<CollectorConfig, Faults>;

/// Waits for a configuration that is being read; for ever, when none is.
async fn read(reading: &mut Option<JoinHandle<Reading>>) -> Reading {
    match reading {
        Some(reading) => reading
            .await
            .unwrap_or_else(|error| Err(Faults(vec![format!("it could not be read: {error}")]))),
        None => std::future::pending().await,
    }
}

/// Goes on by what was read; a fault changes nothing.
fn swap(read: Reading, collector: &Collector) {
    let reloaded = match read {
        Ok(config) => collector.reload(config).map_err(|error| error.to_string()),
        Err(faults) => Err(faults.in_a_line()),
    };
    match reloaded {
        Ok(()) => tracing::info!("the configuration was read again"),
        Err(what) => tracing::error!("the configuration stays as it was: {what}"),
    }
}

fn agents(source: &Source, as_json: bool) -> Result<(), Failure> {
    let (config, archive) = source.archive()?;
    let now = SystemClock.now().wall;
    let all = fleet::all(&archive, config.alerts.silent_after, now)?;
    if as_json {
        return print::json(&all);
    }
    if all.is_empty() {
        return print::line("no agent is known yet: one enrols by itself at its first contact");
    }
    let heading = ["SITE", "STATE", "LAST", "MISSING", "CONFLICTS", "AGENT"].map(str::to_owned);
    let mut rows = Vec::new();
    for agent in &all {
        let mut state = match &agent.asked_from {
            Some(from) if agent.state == Standing::Pending.word() => {
                format!("{} (from {from})", agent.state)
            }
            _ => agent.state.to_owned(),
        };
        if agent.silent {
            state.push_str(", silent");
        }
        rows.push(vec![
            agent.site.clone(),
            state,
            agent
                .last
                .as_ref()
                .map_or_else(|| "never".to_owned(), |last| print::instant(last.received)),
            agent.missing.to_string(),
            agent.conflicts.to_string(),
            agent.agent.to_string(),
        ]);
    }
    print::line(print::fitted(&heading, &rows))
}

fn approve(source: &Source, agent: Kid) -> Result<(), Failure> {
    let (_, mut archive) = source.archive()?;
    archive.write(|archive| {
        sites::set_standing(archive, agent, Standing::Approved, &operate::actor())
    })?;
    print::line(format_args!("{agent} is approved"))
}

fn revoke(source: &Source, agent: Kid, since: Option<Wall>) -> Result<(), Failure> {
    let (_, mut archive) = source.archive()?;
    archive
        .write(|archive| sites::revoke(archive, agent, &Revocation { since }, &operate::actor()))?;
    match since {
        None => {
            print::line(format_args!("{agent} is revoked; what it said so far goes on counting"))
        }
        Some(since) => print::line(format_args!(
            "{agent} is revoked; what it said from {} on is left out, and what that touches is \
                judged anew by the running \
             collector",
            print::instant(since)
        )),
    }
}

fn export(source: &Source, dir: &Path) -> Result<(), Failure> {
    let (_, archive) = source.archive()?;
    let mut written = 0u64;
    archive.each_summary(|stored| {
        let of = &stored.subject;
        let beside = dir.join(of.agent.to_string()).join(of.chain.to_string());
        let failed = |error: std::io::Error| {
            Failure::Could(format!("{} cannot be written: {error}", beside.display()))
        };
        fs::create_dir_all(&beside).map_err(failed)?;
        fs::write(beside.join(format!("{}.jws", of.seq)), &stored.jws).map_err(failed)?;
        fs::write(beside.join(format!("{}.receipt.jws", of.seq)), &stored.receipt)
            .map_err(failed)?;
        written += 1;
        Ok::<(), Failure>(())
    })?;
    print::line(format_args!("{written} summaries with their receipts are in {}", dir.display()))
}

fn let_go(month: Period, source: &Source) -> Result<(), Failure> {
    let (_, mut archive) = source.archive()?;
    let count = archive.write(|archive| months::let_go(archive, month, &operate::actor()))?;
    print::line(format_args!(
        "{count} summaries of {month} are let go; what was judged of it stays as it was"
    ))
}

fn conflicts(source: &Source, export: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        agent: Kid,
        chain: ChainId,
        seq: u64,
        digest: Digest,
        received: Wall,
        why: &'a str,
    }
    let all = source.archive()?.1.kept_aside()?;
    if let Some(dir) = export {
        for Conflict { subject: of, jws, .. } in &all {
            let beside = dir.join(of.agent.to_string()).join(of.chain.to_string());
            let path = beside.join(format!("{}.{}.jws", of.seq, of.digest));
            fs::create_dir_all(&beside).and_then(|()| fs::write(&path, jws)).map_err(|error| {
                Failure::Could(format!("{} cannot be written: {error}", path.display()))
            })?;
        }
    }
    if as_json {
        let shown = all.iter().map(|Conflict { subject: of, received, why, .. }| Shown {
            agent: of.agent,
            chain: of.chain,
            seq: of.seq,
            digest: of.digest,
            received: *received,
            why,
        });
        return print::json(&shown.collect::<Vec<_>>());
    }
    if all.is_empty() {
        return print::line("none: every summary fitted into its chain");
    }
    for Conflict { subject: of, received, why, .. } in &all {
        print::line(format_args!("number {} of chain {}: {}", of.seq, of.chain, print::one(why)))?;
        print::line(format_args!("  agent {}, received {}", of.agent, print::instant(*received)))?;
    }
    print::line(
        "two agents with one key write so, or one whose database was put back: see \
            docs/operations.md",
    )
}
