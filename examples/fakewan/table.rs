//! What a log says of each address, as a table for people.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

use crate::log::{Kind, Truth, What};

#[derive(Default)]
struct Row {
    counts: BTreeMap<What, usize>,
    rtts: Vec<u64>,
    late: usize,
}

/// Prints it.
pub fn print(path: &Path) -> Result<(), String> {
    let truth = Truth::read(path)?;
    let mut rows = BTreeMap::<(IpAddr, Kind), Row>::new();
    for line in &truth.lines {
        let row = rows.entry((line.to, line.kind)).or_default();
        *row.counts.entry(line.what).or_default() += 1;
        row.late += usize::from(line.late);
        if line.what == What::Answered {
            row.rtts.extend(line.held);
        }
    }
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").map_err(|fault| fault.to_string());
    for ((to, kind), mut row) in rows {
        row.rtts.sort_unstable();
        let counts: Vec<String> =
            row.counts.iter().map(|(what, count)| format!("{count} {}", what.word())).collect();
        let percentile = |percent: usize| {
            row.rtts.get((row.rtts.len() * percent).div_ceil(100).saturating_sub(1))
        };
        let rtts = [50, 95, 99]
            .map(|percent| format!("p{percent} {}", milliseconds(percentile(percent).copied())));
        let rtts =
            if row.rtts.is_empty() { String::new() } else { format!("; RTT {}", rtts.join(" ")) };
        say(format!("{to} {}: {}; {} late{rtts}", kind.word(), counts.join(", "), row.late))?;
    }
    match truth.overrun {
        Some(0) => Ok(()),
        Some(overrun) => {
            say(format!("not the whole truth: {overrun} packets were not read in time"))
        }
        None => say("the network runs still, or ended badly".to_owned()),
    }
}

fn milliseconds(nanos: Option<u64>) -> String {
    nanos.map_or("-".to_owned(), |nanos| {
        format!("{}.{:06} ms", nanos / 1_000_000, nanos % 1_000_000)
    })
}
