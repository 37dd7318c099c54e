//! A provider's network with known truth, for tests and benchmarks: a TUN device in a network
//! namespace of its own, and behind it every address that a scenario names, each with its delay,
//! jitter, loss, duplicates, reordering, outages and routers. `fakewan/scenario.rs` tells how a
//! scenario is written, `fakewan/log.rs` how the truth of every packet is.
//!
//! ```text
//! fakewan run --scenario FILE [--log FILE] [--for 60s] [--spin] [--cpu N] [-- COMMAND…]
//! fakewan truth LOG
//! ```
//!
//! It prints one line of JSON when the network can be used; `enter` in it are the words before a
//! command that run it in the namespace. It ends, with a whole log, after `--for`, on SIGTERM or
//! SIGINT, when COMMAND ended (and then with its exit code), or, with `--while-stdin`, when its
//! standard input closes. It needs root or an unprivileged user namespace; where neither is to be
//! had it says so and exits with 77.

mod http;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod network;
mod packet;
mod place;
mod recorder;
mod table;

use kit::fate;
use kit::log;
use kit::scenario;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use wanproof::base::time::{nanos_of, parse_duration};

use network::{Manner, Network, Wait};
use place::Place;
use recorder::Recorder;
use scenario::Scenario;

/// A provider's network with known truth, in a network namespace of its own.
#[derive(Debug, Parser)]
enum Args {
    /// Make the network
    Run(Run),
    /// Print what a log says of each address
    Truth {
        /// The log
        log: PathBuf,
    },
}

#[derive(Debug, Parser)]
struct Run {
    /// The scenario (TOML)
    #[arg(long)]
    scenario: PathBuf,
    /// Where the truth is written
    #[arg(long)]
    log: Option<PathBuf>,
    /// When it ends at the latest
    #[arg(long = "for", default_value = "10m", value_parser = length)]
    lasting: Duration,
    /// Never sleep: punctual to microseconds, and a core is busy
    #[arg(long)]
    spin: bool,
    /// Run on this core
    #[arg(long)]
    cpu: Option<usize>,
    /// Packets that the network itself delayed by more than this are marked in the log; else 50us
    /// with --spin, 2ms without
    #[arg(long, value_parser = length)]
    late_over: Option<Duration>,
    /// Use the namespace that it was started in, which may not be the host's
    #[arg(long)]
    here: bool,
    /// Make a user namespace too, even as root
    #[arg(long, conflicts_with = "here")]
    user_namespace: bool,
    /// End when the standard input closes
    #[arg(long)]
    while_stdin: bool,
    /// Run this inside, and end with it
    #[arg(last = true)]
    command: Vec<String>,
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|fault| fault.to_string())
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// This host lets nobody make one; tests are skipped then.
    #[error("{0}")]
    Place(String),
    #[error("{0}")]
    Other(String),
}

impl From<String> for Fault {
    fn from(fault: String) -> Self {
        Self::Other(fault)
    }
}

fn main() -> ExitCode {
    let done = match Args::parse() {
        Args::Run(args) => run(&args),
        Args::Truth { log } => table::print(&log).map(|()| ExitCode::SUCCESS).map_err(Fault::Other),
    };
    done.unwrap_or_else(|fault| {
        #[expect(clippy::print_stderr, reason = "the one place where a failure is told")]
        {
            eprintln!("fakewan: {fault}");
        }
        ExitCode::from(match fault {
            Fault::Place(_) => 77,
            Fault::Other(_) => 3,
        })
    })
}

fn run(args: &Run) -> Result<ExitCode, Fault> {
    let text = std::fs::read_to_string(&args.scenario);
    let text = text.map_err(|fault| format!("{}: {fault}", args.scenario.display()))?;
    let scenario =
        Scenario::parse(&text).map_err(|fault| format!("{}: {fault}", args.scenario.display()))?;
    let signals = signals()?;
    let user = place::enter(match args {
        Run { here: true, .. } => Place::Here,
        Run { user_namespace: true, .. } => Place::NewUser,
        _ => Place::New,
    })
    .map_err(Fault::Place)?;
    let device = place::device(&scenario.device).map_err(Fault::Place)?;
    place::set_up(&scenario)?;
    let serves = scenario.rules.iter().any(|rules| rules.http.is_some());
    let http =
        serves.then(http::serve).transpose().map_err(|fault| format!("no HTTP server: {fault}"))?;
    let recorder = Recorder::new(args.log.as_deref())?;
    // Threads and children that were started before keep their cores.
    settle(args.cpu)?;

    let wait = if args.spin { Wait::Spin } else { Wait::Sleep };
    let late_over =
        args.late_over.unwrap_or(Duration::from_micros(if args.spin { 50 } else { 2000 }));
    let late_over = nanos_of(late_over).unsigned_abs();
    let mut network = Network::new(&scenario, &device, Manner { wait, late_over, http }, recorder);
    let start = network.start();
    let (wall, mono) = (start.wall.nanos(), start.mono.nanos());
    network.recorder().remark(&format!("fakewan 1 start {wall} {mono} seed {}", scenario.seed));
    network.recorder().remark(log::FIELDS);
    ready(&serde_json::json!({
        "ready": true, "pid": std::process::id(), "device": scenario.device, "local": scenario.local, "http": http,
        "addresses": scenario.rules.iter().flat_map(|rules| &rules.at).map(ToString::to_string).collect::<Vec<_>>(),
        "start": {"wall": wall, "mono": mono}, "log": args.log, "enter": place::entry(user),
    }));
    let mut child = match &args.command[..] {
        [] => None,
        [program, rest @ ..] => {
            let child = Command::new(program).args(rest).spawn();
            Some(child.map_err(|fault| format!("{program}: {fault}"))?)
        }
    };
    let stdin = std::io::stdin();
    let mut wake = vec![signals.as_fd()];
    if args.while_stdin {
        wake.push(stdin.as_fd());
    }
    let mut ended = None;
    let until = mono.saturating_add(nanos_of(args.lasting).unsigned_abs());
    let ran = network.run(until, &wake, || {
        ended = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        ended.is_some() || readable(signals.as_fd()) || args.while_stdin && closed(stdin.as_fd())
    });
    if let (Some(child), None) = (&mut child, ended) {
        // It is ours, and the network is going away.
        _ = child.kill().and_then(|()| child.wait());
    }
    let now = wanproof::base::time::Clock::now(&wanproof::base::time::SystemClock);
    let (packets, overrun) = (network.packets, place::overrun(&scenario.device));
    let (wall, mono) = (now.wall.nanos(), now.mono.nanos());
    network.recorder().remark(&format!("end {wall} {mono} packets {packets} overrun {overrun}"));
    network.finish()?;
    ran?;
    let code = ended.map_or(0, |status| status.code().unwrap_or(1));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn ready(line: &serde_json::Value) {
    // Nobody may be reading, which is no reason to stop.
    _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// SIGTERM and SIGINT as a descriptor; children get their usual ones back.
fn signals() -> Result<SignalFd, String> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGINT);
    let cannot = |fault: nix::Error| format!("signals cannot be taken: {fault}");
    ends.thread_block().map_err(cannot)?;
    SignalFd::with_flags(&ends, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(cannot)
}

/// Takes the core for this thread, and timers that are as exact as the kernel can.
fn settle(cpu: Option<usize>) -> Result<(), String> {
    // Without it the kernel may wake a sleeper 50 µs late.
    nix::sys::prctl::set_timerslack(1)
        .map_err(|fault| format!("the timer slack cannot be set: {fault}"))?;
    let Some(cpu) = cpu else { return Ok(()) };
    let mut cpus = CpuSet::new();
    let taken = cpus.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cpus));
    taken.map_err(|fault| format!("core {cpu} cannot be taken: {fault}"))
}

fn readable(fd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn closed(fd: BorrowedFd<'_>) -> bool {
    readable(fd) && nix::unistd::read(fd, &mut [0; 64]).unwrap_or(0) == 0
}
