//! The figures of docs/benchmarks.md, measured side by side with the peers on the fake WAN;
//! `benches/run` starts it.

mod accuracy;
mod bounds;
mod flash;
mod judge;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod offline;
mod rate;
mod soak;
mod tools;
mod weight;

use clap::Parser;

/// One figure.
#[derive(Debug, Parser)]
enum Figure {
    /// Error of the RTT against the truth, on an idle core and on one shared with two busy loops
    Accuracy(accuracy::Args),
    /// Judging a period of many services from an edge database of thirteen months
    Judge(judge::Args),
    /// Judging as many events, exclusions, duties and members as a file may hold
    Bounds(bounds::Args),
    /// CPU for each probe, and peak memory
    Weight(weight::Args),
    /// Probes a second without a false loss
    Rate(rate::Args),
    /// Memory over an hour's traffic at sixtyfold speed
    Soak(soak::Args),
    /// Bytes written a day
    Flash(flash::Args),
    /// Weeks without a collector
    Offline(offline::Args),
}

fn main() {
    // Cargo adds `--bench`.
    let words = std::env::args().filter(|word| word != "--bench");
    match Figure::parse_from(words) {
        Figure::Accuracy(args) => accuracy::run(&args),
        Figure::Judge(args) => judge::run(&args),
        Figure::Bounds(args) => bounds::run(&args),
        Figure::Weight(args) => weight::run(&args),
        Figure::Rate(args) => rate::run(&args),
        Figure::Soak(args) => soak::run(&args),
        Figure::Flash(args) => flash::run(&args),
        Figure::Offline(args) => offline::run(&args),
    }
}
