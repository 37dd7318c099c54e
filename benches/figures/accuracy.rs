//! Error of the RTT against the truth: each tool in turn pings the same targets from the same core, alone on it or beside
//! two busy loops. The true RTT lies around 0.7 ms, where fping prints whole microseconds.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::common::log::{Truth, What};
use crate::tools::{Tool, busy, heading, median, note, row, spinning, targets};

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
    #[arg(long, value_delimiter = ',', default_value = "wanproof,fping,portable")]
    tools: Vec<Tool>,
}

const NETWORK: &str = "[[address]]\nat = '10.99.0.0/16'\ndelay = '700us'\njitter = '250us'\n";

/// RTTs in µs by target, in the order of sending; [`None`] where the tool has none.
type Measured = BTreeMap<String, Vec<Option<f64>>>;

/// Measures and prints.
pub fn run(args: &Args) {
    let tools: Vec<Tool> = args.tools.iter().copied().filter(|tool| tool.is_here()).collect();
    let mut errors = BTreeMap::<(usize, usize), Vec<[f64; 4]>>::new();
    for round in 0..args.runs {
        for loops in [2, 0] {
            for (place, tool) in tools.iter().enumerate() {
                note(&format!("run {} of {}: {} beside {loops} busy loops", round + 1, args.runs, tool.name()));
                let Some(found) = once(*tool, loops, args) else { return };
                errors.entry((loops, place)).or_default().push(found);
            }
        }
    }
    let targets = args.targets;
    heading(&[&format!("RTT error in µs, {targets} targets at 1 Hz"), "core", "p50", "p90", "p99", "compared"]);
    for ((loops, place), runs) in errors.iter().rev() {
        let figure = |which: usize| format!("{:.1}", median(runs.iter().map(|run| run[which]).collect()));
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
    let mut command = tool.command(&wan);
    let count = args.seconds.to_string();
    match tool {
        Tool::Fping => command.args(["-q", "-C", &count, "-p", "1000"]),
        Tool::Portable => command.args(["ping", "--json", "--engine", "portable", "-i", "1s", "-c", &count]),
        Tool::Wanproof | Tool::Smokeping => command.args(["ping", "--json", "-i", "1s", "-c", &count]),
    };
    let output = command.args(&targets).output().expect("`env` is everywhere");
    drop(busy);
    let measured = if tool == Tool::Fping { by_fping(&output) } else { by_wanproof(&output) };
    let mut errors = compared(&wan.end(), &measured);
    let due = targets.len() * args.seconds;
    let (name, said) = (tool.name(), String::from_utf8_lossy(&output.stderr));
    assert!(errors.len() > due / 5, "{name}: {} of {due} RTTs could be compared: {said}", errors.len());
    errors.sort_by(f64::total_cmp);
    let percentile = |percent: usize| errors[(errors.len() * percent).div_ceil(100) - 1];
    #[expect(clippy::cast_precision_loss, reason = "a count of packets is exact in an f64")]
    let count = errors.len() as f64;
    Some([percentile(50), percentile(90), percentile(99), count])
}

/// What is off, in µs; packets that the network itself delayed are left out.
fn compared(truth: &Truth, measured: &Measured) -> Vec<f64> {
    let mut errors = Vec::new();
    for (target, rtts) in measured {
        for (line, rtt) in truth.echoes(target).iter().zip(rtts) {
            if let (Some(held), Some(rtt), What::Answered, false) = (line.held, rtt, line.what, line.late) {
                let held = f64::from(u32::try_from(held).expect("below four seconds")) / 1000.0;
                errors.push((rtt - held).abs());
            }
        }
    }
    errors
}

/// `10.99.1.1 : 0.712 0.655 -`, in ms.
fn by_fping(output: &Output) -> Measured {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once(" : "));
    let rtts = |rest: &str| rest.split_whitespace().map(|rtt| rtt.parse::<f64>().ok().map(|ms| ms * 1000.0)).collect();
    lines.map(|(target, rest)| (target.trim().to_owned(), rtts(rest))).collect()
}

fn by_wanproof(output: &Output) -> Measured {
    let mut measured = Measured::new();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = |member: &str, word: &str| text.matches(&format!("\"{member}\":\"{word}\"")).count();
    let outcomes = ["a", "t", "l", "u", "n", "x"].map(|letter| format!("{}{letter}", count("outcome", letter)));
    let (kernel, user) = (count("stamp", "kernel"), count("stamp", "user"));
    note(&format!("  {}; {kernel} stamps by the kernel, {user} by the program", outcomes.join(" ")));
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
