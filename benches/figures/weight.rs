//! CPU for each probe and peak memory of whole programs that go on by themselves, at 1 Hz: the
//! agent with histograms, database and summaries; fping, which keeps nothing;
//! prometheus-smokeping-prober with its histograms.

use std::time::{Duration, Instant};

use wanproof::base::time::{Clock as _, SystemClock};

use crate::kit::log::Truth;
use crate::kit::process::Running;
use crate::kit::wan::Wan;
use crate::tools::{NETWORK_CORE, Tool, heading, note, row, targets};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long CPU time is counted, after ten seconds of warming up
    #[arg(long, default_value_t = 70)]
    seconds: u64,
    /// How many targets
    #[arg(long, value_delimiter = ',', default_value = "20,1000")]
    targets: Vec<usize>,
    /// Which tools
    #[arg(long, value_delimiter = ',', default_value = "wanproof,fping,smokeping")]
    tools: Vec<Tool>,
}

const NETWORK: &str = "[[address]]\nat = '10.99.0.0/16'\ndelay = '20ms'\njitter = '2ms'\n";

/// Measures and prints.
pub fn run(args: &Args) {
    heading(&["whole program, 1 Hz", "targets", "CPU for each probe (µs)", "peak memory (MB)"]);
    for how_many in &args.targets {
        for tool in args.tools.iter().filter(|tool| tool.is_here()) {
            note(&format!("{} with {how_many} targets", tool.name()));
            let Some((cpu, memory)) = once(*tool, *how_many, args.seconds) else { continue };
            row(&[
                tool.name(),
                &how_many.to_string(),
                &format!("{cpu:.1}"),
                &format!("{memory:.1}"),
            ]);
        }
    }
}

/// µs of CPU for each probe, and peak memory in MB.
fn once(tool: Tool, how_many: usize, seconds: u64) -> Option<(f64, f64)> {
    let wan = Wan::start_with(NETWORK, &["--cpu", NETWORK_CORE])?;
    let targets = targets(how_many);
    let mut command = tool.command(&wan);
    match tool {
        Tool::Wanproof | Tool::Portable => {
            std::fs::write(wan.path("agent.toml"), agent(&wan, &targets, 1000))
                .expect("the directory is ours");
            command.args(["run", "--config"]).arg(wan.path("agent.toml"));
        }
        Tool::Fping => {
            // Spread over half the second, since it is late by the rest when the core is shared.
            // (In a loop, -l, it is never quiet.)
            let count = (seconds + 30).to_string();
            command.args([
                "-q",
                "-c",
                &count,
                "-p",
                "1000",
                "-i",
                &format!("{:.3}", 500.0 / targets.len() as f64),
            ]);
            command.args(&targets);
        }
        Tool::Ping | Tool::Blackbox => {
            note(&format!("{} does not go on by itself with {how_many} targets", tool.name()));
            return None;
        }
        Tool::Smokeping => {
            let hosts: String = targets.iter().map(|target| format!("  - {target}\n")).collect();
            let config = format!(
                "targets:\n- hosts:\n{hosts}  interval: 1s\n  network: ip4\n  protocol: icmp\n"
            );
            std::fs::write(wan.path("smokeping.yml"), config).expect("the directory is ours");
            command.args(["--privileged", "--web.listen-address=127.0.0.1:9374", "--config.file"]);
            command.arg(wan.path("smokeping.yml"));
        }
    }
    let mut running = Running::start(&mut command);
    pause(Duration::from_secs(10));
    let (from, before) = (SystemClock.now(), cpu_nanos(&running));
    pause(Duration::from_secs(seconds));
    let (to, after) = (SystemClock.now(), cpu_nanos(&running));
    let Some(memory) = peak_kib(&running) else {
        note(&format!("{} has ended by itself: {}", tool.name(), running.told()));
        return None;
    };
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.wait();
    let truth = wan.end();
    let probes = sent(&truth, from.mono.nanos()..to.mono.nanos());
    let due = u64::try_from(how_many).expect("targets are few") * seconds;
    assert!(probes * 2 >= due, "{} sent {probes} of {due}: {}", tool.name(), running.told());
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (cpu, memory) =
        ((after - before) as f64 / 1000.0 / probes as f64, memory as f64 * 1.024 / 1000.0);
    Some((cpu, memory))
}

/// The whole agent's configuration: a collector that is not there, so that summaries are made and
/// kept.
pub fn agent(wan: &Wan, targets: &[String], period_ms: u64) -> String {
    let data = wan.path("agent");
    let mut text = format!(
        "site = \"bench\"\ndata_dir = {data:?}\n[collector]\nurl = \"http://127.0.0.1:9\"\nevery \
            = \"1m\"\n\
         [defaults]\ntimeout = \"2s\"\nperiod = \"{period_ms}ms\"\n"
    );
    for (place, target) in targets.iter().enumerate() {
        text +=
            &format!("[[probe]]\nname = \"p{place}\"\nkind = \"icmp\"\ntarget = \"{target}\"\n");
    }
    text
}

/// The measurement's own length, which nothing can stand in for.
pub fn pause(length: Duration) {
    let until = Instant::now() + length;
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
}

fn sent(truth: &Truth, within: std::ops::Range<u64>) -> u64 {
    let echo = |line: &&crate::kit::log::Line| line.kind == crate::kit::log::Kind::Icmp4;
    truth.lines.iter().filter(echo).filter(|line| within.contains(&line.mono)).count() as u64
}

/// The CPU time of all threads that run, in nanoseconds (Documentation/scheduler/sched-stats.rst).
fn cpu_nanos(running: &Running) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.pid())).expect("it runs");
    let schedstat = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default()
    };
    tasks
        .flatten()
        .map(schedstat)
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The most memory that it had resident, in KiB; [`None`] when it has ended.
fn peak_kib(running: &Running) -> Option<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok())
}
