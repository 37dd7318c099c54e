//! Bytes written a day, as the kernel accounts them to the process (`/proc/self/io`,
//! `write_bytes`): pages that it made dirty, whether by itself or again.
//!
//! The day is simulated: the agent's own ledger, recorder, summariser and database, on clocks that
//! are moved by hand, with a receipt for each summary. Only sockets and shipping are left out,
//! which write nothing else to the disk.

use std::path::Path;
use std::time::Duration;

use wanproof::base::time::Wall;
use wanproof::base::time::parse_duration;
use wanproof::config::agent::{Keep, Term};

use crate::kit::edge::{Edge, Plan};
use crate::tools::{heading, note, row};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many probes, each once a second
    #[arg(long, default_value_t = 20)]
    probes: u32,
    /// How long a closed interval may wait for the disk
    #[arg(long, value_delimiter = ',', default_value = "1m,5m")]
    commit: Vec<String>,
    /// How many minutes make the day; the figures are scaled from fewer
    #[arg(long, default_value_t = 1440)]
    minutes: u32,
    /// Where to write: a directory on a real file system
    #[arg(long, default_value = "target")]
    on: std::path::PathBuf,
}

/// Measures and prints.
pub fn run(args: &Args) {
    heading(&[
        "bytes written a day, probes at 1 Hz",
        "commit",
        "the first day",
        "a day of rolling up",
        "database, bytes",
    ]);
    for commit in &args.commit {
        note(&format!("commit {commit}"));
        let keep = Keep {
            commit: parse_duration(commit).expect("a duration such as 5m"),
            minutes: Term::For(Duration::from_secs(60 * u64::from(args.minutes))),
            ..Keep::default()
        };
        let dir = tempfile::tempdir_in(&args.on).expect("a directory can be made");
        let [first, second, bytes] = days(dir.path(), args, keep);
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        row(&[&args.probes.to_string(), commit, &mb(first), &mb(second), &bytes.to_string()]);
    }
}

fn days(dir: &Path, args: &Args, keep: Keep) -> [u64; 3] {
    let every = Duration::from_secs(300);
    let period = Duration::from_secs(1);
    let plan = Plan {
        probes: args.probes,
        period,
        every,
        keep,
        from: Wall::from_secs(1_790_000_000 / 3600 * 3600),
    };
    let mut edge = Edge::start(dir, plan);
    let mut written = [0; 2];
    for day in &mut written {
        let before = write_bytes();
        for minute in 0..args.minutes {
            edge.minute();
            if minute % 5 == 1 {
                receipts(&mut edge);
            }
        }
        *day = (write_bytes() - before) * 1440 / u64::from(args.minutes);
    }
    let bytes = edge.ask(|store| store.bytes());
    edge.end();
    let [first, second] = written;
    [first, second, bytes]
}

/// The collector's answer: a receipt as long as they are, which does not compress.
fn receipts(edge: &mut Edge) {
    let receipt: String = (0..27).map(|_| format!("{:016x}", edge.draw())).collect();
    edge.ask(move |store| {
        store.together(|store| {
            for (entry, _) in store.waiting(64, 1 << 20)? {
                store.accepted(
                    (entry.chain, entry.seq, entry.digest),
                    &receipt,
                    "2026-11-25T10:05:02Z",
                )?;
            }
            Ok(())
        })
    });
}

fn write_bytes() -> u64 {
    let told =
        std::fs::read_to_string("/proc/self/io").expect("the kernel accounts for input and output");
    let bytes = told.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
    bytes.expect("it tells the bytes written")
}
