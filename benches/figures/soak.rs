//! An hour's traffic in a minute, and whether the agent holds more memory at its end than after its
//! first tenth.

use crate::kit::soak::soak;
use crate::tools::{Tool, heading, note, row};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long: each second is a minute's traffic, sixty probes to each target and an interval of
    /// each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many targets
    #[arg(long, default_value_t = 20)]
    targets: usize,
}

/// Measures and prints.
pub fn run(args: &Args) {
    note(&format!("{} targets, {} minutes' traffic", args.targets, args.seconds));
    let agent = |wan: &crate::kit::wan::Wan, config: &str| {
        let mut command = Tool::Wanproof.command(wan);
        command.args(["run", "--config", config]);
        command
    };
    let Some(soak) = soak(args.targets, args.seconds, agent) else { return };
    note(&format!("{} probes, {} intervals", soak.probes, soak.intervals));
    heading(&[
        "minutes' traffic",
        "the agent's own memory (KiB)",
        "its database (KiB), of which up to 2048 are cached",
    ]);
    let tenth = (soak.held.len() / 10).max(1);
    for held in soak.held.iter().skip(tenth - 1).step_by(tenth) {
        row(&[held.second, held.memory, held.database]
            .map(|figure| figure.to_string())
            .each_ref()
            .map(String::as_str));
    }
}
