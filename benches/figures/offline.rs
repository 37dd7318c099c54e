//! Weeks without a collector, simulated: what waits, what the database's files take, and the
//! memory, at the end of each day; then the collector is back, and what waits is taken in order.

use std::collections::BTreeSet;
use std::time::Duration;

use wanproof::base::time::Wall;
use wanproof::config::agent::Keep;
use wanproof::store::FILE;

use crate::kit::edge::{Edge, Plan};
use crate::tools::{heading, row};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many days
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// How many probes
    #[arg(long, default_value_t = 5)]
    probes: u32,
    /// From one send of each to the next, in seconds
    #[arg(long, default_value_t = 10)]
    period: u64,
    /// The outbox's limit in bytes
    #[arg(long, default_value_t = 2 << 20)]
    outbox: u64,
    /// The database's limit in bytes
    #[arg(long, default_value_t = 8 << 20)]
    limit: u64,
    /// Where to write
    #[arg(long, default_value = "target")]
    on: std::path::PathBuf,
}

/// Simulates and prints.
pub fn run(args: &Args) {
    let keep = Keep {
        commit: Duration::from_secs(300),
        max_bytes: args.limit,
        outbox_bytes: args.outbox,
        ..Keep::default()
    };
    let dir = tempfile::tempdir_in(&args.on).expect("a directory can be made");
    let plan = Plan {
        probes: args.probes,
        period: Duration::from_secs(args.period),
        every: Duration::from_secs(300),
        keep,
        from: Wall::from_secs(1_790_000_000 / 86_400 * 86_400),
    };
    let mut edge = Edge::start(dir.path(), plan);
    heading(&[
        "day",
        "summaries that wait",
        "their bytes",
        "bytes of the files, at most",
        "resident, kB",
    ]);
    let mut settled = None;
    for day in 1..=args.days {
        let mut most = 0;
        for _ in 0..1440 {
            edge.minute();
            let size = |suffix: &str| {
                std::fs::metadata(dir.path().join(format!("{FILE}{suffix}")))
                    .map_or(0, |file| file.len())
            };
            most = most.max(size("") + size("-wal"));
        }
        let tally = edge.ask(|store| store.tally());
        assert!(
            tally.bytes <= args.outbox && most <= args.limit,
            "beyond a limit: {tally:?}, {most}"
        );
        // Until the outbox is full its list grows, and the database's cache.
        if tally.bytes > args.outbox / 10 * 9 {
            let before = *settled.get_or_insert(resident());
            assert!(
                resident() <= before + 512,
                "memory grew from {before} kB to {} kB",
                resident()
            );
        }
        let cells = [u64::from(day), tally.waiting, tally.bytes, most, resident()]
            .map(|number| number.to_string());
        row(&cells.each_ref().map(String::as_str));
    }
    let (mut taken, mut told) = (Vec::new(), BTreeSet::new());
    drain(&edge, &mut taken, &mut told);
    // What was dropped last is told by the next one.
    (0..6).for_each(|_| edge.minute());
    drain(&edge, &mut taken, &mut told);
    edge.end();
    assert!(taken.is_sorted_by(|a, b| a < b), "in order, and nothing twice");
    let last = *taken.last().expect("something waits");
    let missing: BTreeSet<u64> =
        (0..=last).filter(|seq| taken.binary_search(seq).is_err()).collect();
    assert_eq!(missing, told, "what is missing is told");
    println!(
        "{} were taken, in order and nothing twice; {} were dropped, and each is told",
        taken.len(),
        missing.len()
    );
}

/// Takes what waits: its numbers, and the numbers that it says were dropped.
fn drain(edge: &Edge, taken: &mut Vec<u64>, told: &mut BTreeSet<u64>) {
    loop {
        let batch = edge.ask(|store| store.waiting(64, 64 * 1024));
        if batch.is_empty() {
            return;
        }
        for (entry, jws) in batch {
            use base64::Engine as _;
            let payload = jws.split('.').nth(1).expect("a JWS has three parts");
            let payload =
                base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).expect("it is base64url");
            let body: serde_json::Value =
                serde_json::from_slice(&payload).expect("a payload is JSON");
            for gap in body["dropped"].as_array().into_iter().flatten() {
                let number = |name: &str| gap[name].as_u64().expect("a gap has its ends");
                told.extend(number("from_seq")..=number("to_seq"));
            }
            taken.push(entry.seq);
            edge.ask(move |store| {
                store.accepted((entry.chain, entry.seq, entry.digest), "r", "2026-11-25T10:05:02Z")
            });
        }
    }
}

fn resident() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").expect("the kernel tells of processes");
    let line =
        told.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells the memory");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
