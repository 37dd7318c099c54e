//! The commands: one file for each, one place for what they print to people.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use crate::sla::calendar::TZDATA;

#[cfg(feature = "agent")]
pub mod check;
#[cfg(feature = "agent")]
pub mod claim;
#[cfg(feature = "collector")]
pub mod collector;
pub mod color;
pub mod contract;
#[cfg(any(feature = "agent", feature = "collector"))]
mod ending;
#[cfg(feature = "agent")]
mod estimate;
mod failure;
#[cfg(any(feature = "agent", feature = "collector"))]
mod given;
#[cfg(feature = "agent")]
pub mod histogram;
#[cfg(feature = "agent")]
pub mod history;
#[cfg(feature = "agent")]
pub mod identity;
#[cfg(feature = "agent")]
pub mod init;
#[cfg(feature = "agent")]
pub mod journal;
#[cfg(feature = "agent")]
pub mod life;
pub mod manual;
#[cfg(feature = "agent")]
pub mod outages;
#[cfg(feature = "agent")]
pub mod outbox;
#[cfg(feature = "agent")]
pub mod ping;
pub mod print;
#[cfg(all(feature = "agent", feature = "collector"))]
pub mod quickstart;
#[cfg(feature = "agent")]
pub mod report;
#[cfg(feature = "agent")]
pub mod run;
#[cfg(feature = "agent")]
mod snapshot;
#[cfg(feature = "agent")]
pub mod source;
#[cfg(feature = "agent")]
pub mod status;
#[cfg(feature = "agent")]
pub mod tail;
#[cfg(feature = "agent")]
pub mod top;
#[cfg(all(feature = "agent", any(target_os = "linux", target_os = "android")))]
pub mod trace;
pub mod verdict;
pub mod verify;
#[cfg(feature = "agent")]
mod watch;

/// What `--version` says: this program's version, and that of the time zone data by which it
/// judges.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (tzdata {TZDATA})", env!("CARGO_PKG_VERSION")));

/// Proves, with evidence that both sides of a contract can check, whether a WAN service met its
/// SLA.
#[derive(Debug, Parser)]
#[command(name = "wanproof", version = VERSION.as_str(), max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Whether to show colours, which only repeat what is said without them
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|always|never"
    )]
    color: color::Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See it work: agent, collector and an example contract on loopback, with a scripted outage
    #[cfg(all(feature = "agent", feature = "collector"))]
    Quickstart(quickstart::Args),
    /// Ping hosts with the agent's engine, without configuration
    #[cfg(feature = "agent")]
    Ping(ping::Args),
    /// The path to a host, with loss and percentiles of each hop
    #[cfg(all(feature = "agent", any(target_os = "linux", target_os = "android")))]
    Trace(trace::Args),
    /// Write a commented starter configuration and a key
    #[cfg(feature = "agent")]
    Init(init::Args),
    /// Check configuration and contracts, all faults at once
    #[cfg(feature = "agent")]
    Check(check::Args),
    /// Run the agent
    #[cfg(feature = "agent")]
    Run(run::Args),
    /// What is measured now, what waits to be shipped, and the verdicts so far
    #[cfg(feature = "agent")]
    Status(status::Args),
    /// Every probe now, what is down and what is due: live on a terminal, or once as text
    #[cfg(feature = "agent")]
    Top(top::Args),
    /// Verdicts with their arithmetic, credits and deadlines
    #[cfg(feature = "agent")]
    Report(report::Args),
    /// When was the line bad? Outages with side and definition
    #[cfg(feature = "agent")]
    Outages(outages::Args),
    /// Outages, the journal and claims as they come, a line each, until Ctrl-C
    #[cfg(feature = "agent")]
    Tail(tail::Args),
    /// What happened to the agent itself and to the paths: clock steps, carriers, addresses,
    /// refusals, outages
    #[cfg(feature = "agent")]
    Journal(journal::Args),
    /// The percentiles of a probe's RTT, and their picture
    #[cfg(feature = "agent")]
    Histogram(histogram::Args),
    /// When was it slow? Time against latency: a heat map, JSON or CSV
    #[cfg(feature = "agent")]
    History(history::Args),
    /// What waits to be shipped to the collector
    #[cfg(feature = "agent")]
    Outbox(outbox::Args),
    /// This device's public key and fingerprint
    #[cfg(feature = "agent")]
    Identity(identity::Args),
    /// The collector: run it, see its agents, export what it keeps
    #[cfg(feature = "collector")]
    Collector(collector::Args),
    /// What may be claimed and until when, drafts, the claim's own life, and the evidence behind it
    #[cfg(feature = "agent")]
    Claim(claim::Args),
    /// Check contracts, and judge facts by them
    Contract(contract::Args),
    /// Check summaries, chains, receipts and claim bundles offline
    Verify(verify::Args),
    /// What a shell has to know to complete the commands
    Completions(manual::CompletionsArgs),
    /// Write the manual pages
    Man(manual::ManArgs),
}

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Done, and the answer is bad: breached with `--exit-code`, or a verification that failed.
    Bad,
}

/// Why a command did not do its work: what happened, what it means, and what to do, in words for
/// people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong usage, configuration, contract or facts; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could not be done; exit code 3.
    #[error("{0}")]
    Could(String),
    /// Whoever read the output went away, as `head` does; nothing is to be said.
    #[error("")]
    Unread,
}

/// Runs the command of the arguments and gives the exit code: 0 done; 1 done, and the answer is
/// bad; 2 wrong usage or configuration; 3 could not do it.
pub fn run(cli: Cli) -> ExitCode {
    color::choose(cli.color);
    let result = match cli.command {
        #[cfg(all(feature = "agent", feature = "collector"))]
        Command::Quickstart(args) => quickstart::run(&args),
        #[cfg(feature = "agent")]
        Command::Ping(args) => ping::run(&args),
        #[cfg(all(feature = "agent", any(target_os = "linux", target_os = "android")))]
        Command::Trace(args) => trace::run(&args),
        #[cfg(feature = "agent")]
        Command::Init(args) => init::run(&args),
        #[cfg(feature = "agent")]
        Command::Outbox(args) => outbox::run(&args),
        #[cfg(feature = "agent")]
        Command::Identity(args) => identity::run(&args),
        #[cfg(feature = "agent")]
        Command::Check(args) => check::run(&args),
        #[cfg(feature = "agent")]
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "agent")]
        Command::Status(args) => status::run(&args),
        #[cfg(feature = "agent")]
        Command::Report(args) => report::run(&args),
        #[cfg(feature = "agent")]
        Command::Outages(args) => outages::run(&args),
        #[cfg(feature = "agent")]
        Command::Top(args) => top::run(&args),
        #[cfg(feature = "agent")]
        Command::Tail(args) => tail::run(&args),
        #[cfg(feature = "agent")]
        Command::Journal(args) => journal::run(&args),
        #[cfg(feature = "agent")]
        Command::Histogram(args) => histogram::run(&args),
        #[cfg(feature = "agent")]
        Command::History(args) => history::run(&args),
        #[cfg(feature = "collector")]
        Command::Collector(args) => collector::run(&args),
        #[cfg(feature = "agent")]
        Command::Claim(args) => claim::run(&args),
        Command::Contract(args) => contract::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Completions(args) => manual::complete(&args),
        Command::Man(args) => manual::man(&args),
    };
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Bad) => ExitCode::from(1),
        Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(failure) => {
            #[expect(
                clippy::print_stderr,
                reason = "the one place where a command's failure is told"
            )]
            {
                eprintln!("{}", print::lines(&failure.to_string()));
            }
            ExitCode::from(match failure {
                Failure::Usage(_) => 2,
                Failure::Could(_) | Failure::Unread => 3,
            })
        }
    }
}

/// Logs to standard error, as RUST_LOG says, changes of state without it. systemd's journal brings
/// its own times.
#[cfg(any(feature = "agent", feature = "collector"))]
pub(crate) fn log_to_stderr() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};
    let said = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let asked = said.as_deref().map(str::parse::<Targets>);
    let filter = match &asked {
        Some(Ok(targets)) => targets.clone(),
        _ => Targets::new().with_default(LevelFilter::INFO),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Lines(std::io::stderr()))
        .with_target(false)
        .with_ansi(false);
    let log = tracing_subscriber::registry().with(filter);
    // A second call, as the tests make it, changes nothing.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.with(lines.without_time()).try_init()
    } else {
        log.with(lines).try_init()
    };
    if let Some(Err(fault)) = asked {
        tracing::warn!("RUST_LOG cannot be read ({fault}), so it counts for nothing");
    }
}

/// A log of which each record is one line, whatever others have put into what is told: `logger` and
/// whoever reads the log line by line would else take the rest of it for a record of its own.
/// Records come one a write.
#[cfg(any(feature = "agent", feature = "collector"))]
struct Lines<W>(W);

#[cfg(any(feature = "agent", feature = "collector"))]
impl<W: std::io::Write> std::io::Write for Lines<W> {
    fn write(&mut self, record: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(print::is_odd) {
            self.0.write_all(format!("{}\n", print::one(line)).as_bytes())?;
        } else {
            self.0.write_all(record)?;
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// One thread for everything that waits; what works hard has threads of its own.
#[cfg(any(feature = "agent", feature = "collector"))]
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Could(format!("the runtime cannot be made: {error}")))
}

#[cfg(all(test, any(feature = "agent", feature = "collector")))]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// What names a thing that others named: an agent's identifier begins with a hyphen once in 64,
    /// a site or a probe as its owner likes.
    const NAMES: [&str; 12] = [
        "agent", "site", "probe", "service", "contract", "id", "name", "who", "ticket", "text",
        "evidence", "chain",
    ];

    fn each(command: &clap::Command, see: &mut impl FnMut(&clap::Command, &clap::Arg)) {
        command.get_arguments().for_each(|arg| see(command, arg));
        command.get_subcommands().for_each(|sub| each(sub, see));
    }

    #[test]
    fn a_name_may_begin_with_a_hyphen_on_every_command_line() {
        let mut seen = 0;
        each(&Cli::command(), &mut |command, arg| {
            let is_file = arg
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| name.contains("FILE")));
            if NAMES.contains(&arg.get_id().as_str()) && arg.get_action().takes_values() && !is_file
            {
                seen += 1;
                let (command, arg_id) = (command.get_name(), arg.get_id());
                assert!(
                    arg.is_allow_hyphen_values_set(),
                    "{command}: {arg_id} takes no name that begins with a hyphen"
                );
            }
        });
        assert!(seen > 5, "{seen}");
    }

    #[cfg(all(feature = "agent", feature = "collector"))]
    #[test]
    fn names_with_hyphens_are_taken_and_flags_stay_flags() {
        for line in [
            &["histogram", "--gre-tunnel", "--json"][..],
            &["histogram", "-name"],
            &["report", "--contract", "--x", "--json"],
            &["collector", "assign", "--kid8901234567890123456789012345678901234567890", "-site"],
            &["collector", "contracts", "move", "sign", "-ID", "3", "--who", "-me", "--json"],
            &["collector", "report", "--service", "-s", "--contract", "--c"],
            &["collector", "tokens", "make", "-grafana", "--scope", "read"],
        ] {
            let read = Cli::try_parse_from(std::iter::once(&"wanproof").chain(line));
            if let Err(error) = read {
                assert!(error.to_string().contains("invalid value '--kid89"), "{line:?}: {error}");
            }
        }
    }

    #[test]
    fn a_record_of_the_log_is_one_line_whatever_is_in_it() {
        use std::io::Write as _;
        let mut written = Vec::new();
        let mut log = Lines(&mut written);
        for record in ["INFO it measures site=\"köln\"\n", "WARN it says\nINFO forged\u{1b}[2J\r\n"]
        {
            log.write_all(record.as_bytes()).unwrap();
        }
        let expected = "INFO it measures site=\"köln\"\nWARN it says\\nINFO forged\\u{1b}[2J\\r\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
