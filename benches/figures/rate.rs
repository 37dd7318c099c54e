//! Probes a second, by the whole agent on one core, and how many of them it called lost although
//! the network answered every one in time.

use std::time::Duration;

use serde_json::Value;

use crate::kit::log::What;
use crate::kit::process::Running;
use crate::kit::summaries::{array, chained, exported, letters};
use crate::tools::{Tool, heading, note, row, spinning, targets};
use crate::weight::{agent, pause};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long it runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Probes a second; a thousand targets share them
    #[arg(long, value_delimiter = ',', default_value = "10000,25000,50000")]
    rate: Vec<u64>,
}

const NETWORK: &str = "[[address]]\nat = '10.99.0.0/16'\ndelay = '5ms'\n";

/// Measures and prints.
pub fn run(args: &Args) {
    heading(&[
        "whole agent, 1000 targets, one core",
        "due a second",
        "a second on the wire",
        "false losses",
        "n",
        "x",
    ]);
    for rate in &args.rate {
        note(&format!("{rate} a second"));
        let Some(cells) = once(*rate, args.seconds) else { return };
        row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn once(rate: u64, seconds: u64) -> Option<[String; 6]> {
    let wan = spinning(NETWORK)?;
    let period = (1_000_000 / rate).max(1);
    std::fs::write(wan.path("agent.toml"), agent(&wan, &targets(1000), period))
        .expect("the directory is ours");
    let config = wan.path("agent.toml").display().to_string();
    let mut running =
        Running::start(Tool::Wanproof.command(&wan).args(["run", "--config", &config]));
    pause(Duration::from_secs(seconds));
    running.terminate();
    let export = wan.path("kept").display().to_string();
    let exporting =
        wan.output(Tool::Wanproof.program(), &["outbox", "--export", &export, "--config", &config]);
    assert!(
        exporting.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&exporting.stderr),
        running.told()
    );
    let identity = wan.told(Tool::Wanproof.program(), &["identity", "--json", "--config", &config]);
    let identity: Value = serde_json::from_str(&identity).expect("an identity is JSON");
    let mut count = [0_u64; 3];
    for summary in chained(&exported(&wan.path("kept")), &identity) {
        for interval in
            array(&summary.body["probes"]).iter().flat_map(|probe| array(&probe["intervals"]))
        {
            let letters = letters(interval["outcomes"].as_str().unwrap_or(""));
            for (place, letter) in ['l', 'n', 'x'].into_iter().enumerate() {
                count[place] += letters.matches(letter).count() as u64;
            }
        }
    }
    let truth = wan.end();
    let answered = truth.lines.iter().filter(|line| line.what == What::Answered).count() as u64;
    let [lost, unsent, unobserved] = count.map(|count| count.to_string());
    Some([
        "wanproof".to_owned(),
        (1_000_000 / period).to_string(),
        (answered / seconds).to_string(),
        lost,
        unsent,
        unobserved,
    ])
}
