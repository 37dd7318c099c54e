//! Error of the RTT against the truth: each tool in turn pings the same targets from the same core,
//! alone on it or beside two busy loops. The true RTT lies around 0.7 ms, where fping prints whole
//! microseconds.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use serde_json::Value;

use crate::kit::log::{Truth, What};
use crate::kit::process::Running;
use crate::kit::wan::Wan;
use crate::tools::{Tool, busy, heading, median, note, on_the_core, row, spinning, targets};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long each run lasts; one ping to each target a second
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// How many runs each tool has
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many targets
    #[arg(long, default_value_t = 50)]
    targets: usize,
    /// Which tools
    #[arg(long, value_delimiter = ',', default_value = "wanproof,fping,ping,blackbox,portable")]
    tools: Vec<Tool>,
}

/// One process for each target; each writes a file of its own, `$0` being the directory and `$1`
/// the count.
const PINGS: &str = r#"count=$1; shift; for target; do ping -n -i 1 -c "$count" "$target" > "$0/$target.ping" & done; wait"#;

/// All targets are asked for once a second, one after the other at equal distances; answers go to a
/// file for each target.
const ASKING: &str = r#"
count=$1; shift
ask() { exec 3<> /dev/tcp/127.0.0.1/9115 || return
    printf 'GET /probe?module=icmp&target=%s HTTP/1.0\r\n\r\n' "$1" >&3
    grep -h '^probe_icmp_duration_seconds{phase="rtt"}' <&3 >> "$2/$1.blackbox" || echo - >> "$2/$1.blackbox"; }
until (exec 3<> /dev/tcp/127.0.0.1/9115) 2> /dev/null; do sleep 0.1; done
gap=$(awk "BEGIN { print 1 / $# }")
for ((round = 0; round < count; round++)); do
    for target; do ask "$target" "$0" & sleep "$gap"; done
done
wait"#;

const BLACKBOX: &str = "modules:\n  icmp:\n    prober: icmp\n    timeout: 2s\n    icmp:\n      \
    preferred_ip_protocol: ip4\n";

const NETWORK: &str = "[[address]]\nat = '10.99.0.0/16'\ndelay = '700us'\njitter = '250us'\n";

/// What is measured in tens of microseconds is compared with a truth that is known to twenty: a
/// packet that may have lain unread in the network for longer, in nanoseconds, is left out for
/// every tool alike.
const UNREAD: u64 = 20_000;

/// RTTs in µs by target, in the order of sending; [`None`] where the tool has none.
type Measured = BTreeMap<String, Vec<Option<f64>>>;

/// Measures and prints.
pub fn run(args: &Args) {
    let tools: Vec<Tool> = args.tools.iter().copied().filter(|tool| tool.is_here()).collect();
    let mut errors = BTreeMap::<(usize, usize), Vec<[f64; 4]>>::new();
    for round in 0..args.runs {
        for loops in [2, 0] {
            for (place, tool) in tools.iter().enumerate() {
                note(&format!(
                    "run {} of {}: {} beside {loops} busy loops",
                    round + 1,
                    args.runs,
                    tool.name()
                ));
                let Some(found) = once(*tool, loops, args) else { return };
                errors.entry((loops, place)).or_default().push(found);
            }
        }
    }
    let targets = args.targets;
    heading(&[
        &format!("RTT error in µs, {targets} targets at 1 Hz"),
        "core",
        "p50",
        "p90",
        "p99",
        "compared",
    ]);
    for ((loops, place), runs) in errors.iter().rev() {
        let figure =
            |which: usize| format!("{:.1}", median(runs.iter().map(|run| run[which]).collect()));
        let core = if *loops == 0 { "idle" } else { "with two busy loops" };
        let compared = format!("{:.0}", runs.iter().map(|run| run[3]).sum::<f64>());
        row(&[tools[*place].name(), core, &figure(0), &figure(1), &figure(2), &compared]);
    }
}

/// p50, p90 and p99 of the error in µs, and how many packets were compared.
fn once(tool: Tool, loops: usize, args: &Args) -> Option<[f64; 4]> {
    let wan = spinning(NETWORK)?;
    let targets = targets(args.targets);
    let busy = busy(loops);
    let count = args.seconds.to_string();
    let run = |command: &mut Command| command.args(&targets).output().expect("`env` is everywhere");
    let (measured, output) = match tool {
        Tool::Fping => {
            let output = run(tool.command(&wan).args(["-q", "-C", &count, "-p", "1000"]));
            (by_fping(&output), output)
        }
        Tool::Wanproof | Tool::Smokeping => {
            let output = run(tool.command(&wan).args(["ping", "--json", "-i", "1s", "-c", &count]));
            (by_wanproof(&output), output)
        }
        Tool::Portable => {
            let output = run(tool
                .command(&wan)
                .args(["ping", "--json", "--engine", "portable", "-i", "1s", "-c", &count]));
            (by_wanproof(&output), output)
        }
        Tool::Ping => {
            let output = run(on_the_core(&wan, "sh").args([
                "-c",
                PINGS,
                &wan.path("").to_string_lossy(),
                &count,
            ]));
            (by_ping(&wan, &targets), output)
        }
        Tool::Blackbox => {
            std::fs::write(wan.path("blackbox.yml"), BLACKBOX).expect("the directory is ours");
            let mut command = tool.command(&wan);
            command
                .arg("--web.listen-address=127.0.0.1:9115")
                .arg("--config.file")
                .arg(wan.path("blackbox.yml"));
            let exporter = Running::start(&mut command);
            let output = run(on_the_core(&wan, "bash").args([
                "-c",
                ASKING,
                &wan.path("").to_string_lossy(),
                &count,
            ]));
            exporter.signal(nix::sys::signal::Signal::SIGTERM);
            (by_blackbox(&wan, &targets), output)
        }
    };
    drop(busy);
    let mut errors = compared(&wan.end(), &measured);
    let due = targets.len() * args.seconds;
    let (name, said) = (tool.name(), String::from_utf8_lossy(&output.stderr));
    assert!(
        errors.len() > due / 5,
        "{name}: {} of {due} RTTs could be compared: {said}",
        errors.len()
    );
    errors.sort_by(f64::total_cmp);
    let percentile = |percent: usize| errors[(errors.len() * percent).div_ceil(100) - 1];
    #[expect(clippy::cast_precision_loss, reason = "a count of packets is exact in an f64")]
    let count = errors.len() as f64;
    Some([percentile(50), percentile(90), percentile(99), count])
}

/// What is off, in µs; packets that the network itself delayed are left out. A packet came some
/// time between the network's last look that found nothing and the reading of it; it is taken to
/// have come in the middle, for every tool alike.
fn compared(truth: &Truth, measured: &Measured) -> Vec<f64> {
    let mut errors = Vec::new();
    for (target, rtts) in measured {
        for (line, rtt) in truth.echoes(target).iter().zip(rtts) {
            let known = !line.late && line.unread.is_some_and(|unread| unread <= UNREAD);
            if let (Some(held), Some(rtt), What::Answered, true) =
                (line.held, rtt, line.what, known)
            {
                let true_ns = held + line.unread.unwrap_or(0) / 2;
                let true_us =
                    f64::from(u32::try_from(true_ns).expect("below four seconds")) / 1000.0;
                errors.push((rtt - true_us).abs());
            }
        }
    }
    errors
}

/// `10.99.1.1 : 0.712 0.655 -`, in ms.
fn by_fping(output: &Output) -> Measured {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once(" : "));
    let rtts = |rest: &str| {
        rest.split_whitespace().map(|rtt| rtt.parse::<f64>().ok().map(|ms| ms * 1000.0)).collect()
    };
    lines.map(|(target, rest)| (target.trim().to_owned(), rtts(rest))).collect()
}

/// `64 bytes from 10.99.1.1: icmp_seq=1 ttl=64 time=0.712 ms`.
fn by_ping(wan: &Wan, targets: &[String]) -> Measured {
    let of = |target: &String| {
        let text = std::fs::read_to_string(wan.path(&format!("{target}.ping"))).unwrap_or_default();
        let mut rtts = Vec::new();
        for line in text.lines() {
            let after = |word: &str| line.split_once(word)?.1.split(' ').next();
            let (seq, ms) = (
                after("icmp_seq=").map(str::parse::<usize>),
                after("time=").map(str::parse::<f64>),
            );
            if let (Some(Ok(seq @ 1..)), Some(Ok(ms))) = (seq, ms) {
                rtts.resize(rtts.len().max(seq), None);
                rtts[seq - 1] = Some(ms * 1000.0);
            }
        }
        (target.clone(), rtts)
    };
    targets.iter().map(of).collect()
}

/// `probe_icmp_duration_seconds{phase="rtt"} 0.000712`, or `-` where there was no such line.
fn by_blackbox(wan: &Wan, targets: &[String]) -> Measured {
    let of = |target: &String| {
        let text =
            std::fs::read_to_string(wan.path(&format!("{target}.blackbox"))).unwrap_or_default();
        let rtt =
            |line: &str| line.split_once(' ')?.1.parse::<f64>().ok().map(|seconds| seconds * 1e6);
        (target.clone(), text.lines().map(rtt).collect())
    };
    targets.iter().map(of).collect()
}

fn by_wanproof(output: &Output) -> Measured {
    let mut measured = Measured::new();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count =
        |member: &str, word: &str| text.matches(&format!("\"{member}\":\"{word}\"")).count();
    let outcomes = ["a", "t", "l", "u", "n", "x"]
        .map(|letter| format!("{}{letter}", count("outcome", letter)));
    let (kernel, user) = (count("stamp", "kernel"), count("stamp", "user"));
    note(&format!(
        "  {}; {kernel} stamps by the kernel, {user} by the program",
        outcomes.join(" ")
    ));
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if let (Some(target), Some(seq), true) =
            (line["target"].as_str(), line["seq"].as_u64(), line["outcome"].is_string())
        {
            let rtts = measured.entry(target.to_owned()).or_default();
            let place = usize::try_from(seq).expect("a sequence number has 16 bits");
            rtts.resize(rtts.len().max(place + 1), None);
            rtts[place] = line["rtt_us"].as_f64();
        }
    }
    measured
}
