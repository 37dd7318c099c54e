//! `wanproof outbox`: what waits to be shipped, and what was answered.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::time::Wall;
use crate::cli::source::Source;
use crate::cli::watch::Watch;
use crate::cli::{Exit, Failure, print};
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::store::Store;
use crate::store::outbox::{Entry, State};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    watch: Watch,
    /// Write the kept summaries as DIR/<chain>/<seq>.jws, with their receipts beside them
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// One JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    chain: ChainId,
    seq: u64,
    from: Wall,
    to: Wall,
    bytes: u64,
    state: State,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read, or the files cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    args.watch.run(|| once(args))
}

fn once(args: &Args) -> Result<Exit, Failure> {
    let store = args.source.store()?;
    let all = store.summaries()?;
    if let Some(dir) = &args.export {
        export(&store, dir)?;
    }
    if args.json {
        let shown = all.iter().map(|entry| Shown {
            chain: entry.chain,
            seq: entry.seq,
            from: entry.from,
            to: entry.to,
            bytes: entry.bytes,
            state: entry.state,
            digest: entry.digest,
            problem: entry.problem.as_deref(),
        });
        print::json(&shown.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if let Some(dir) = &args.export {
        let receipts = all.iter().filter(|entry| entry.receipt.is_some()).count();
        print::line(format_args!(
            "{}: {} summaries and {receipts} receipts",
            dir.display(),
            all.len()
        ))?;
        return Ok(Exit::Done);
    }
    let count = |state| all.iter().filter(|entry| entry.state == state).count();
    let (waiting, accepted, refused) =
        (count(State::Waiting), count(State::Accepted), count(State::Refused));
    print::line(format_args!("{waiting} waiting, {accepted} accepted, {refused} refused"))?;
    let wanted: Vec<&Entry> = all.iter().filter(|entry| entry.state != State::Accepted).collect();
    if !wanted.is_empty() {
        print::line(table(print::width(), &wanted))?;
    }
    Ok(Exit::Done)
}

/// What was not accepted, as a table for people of so many columns.
fn table(columns: usize, wanted: &[&Entry]) -> String {
    let heading = ["SEQ", "FROM", "BYTES", "STATE", "WHY"].map(str::to_owned);
    let rows = wanted.iter().map(|entry| {
        let state = if entry.state == State::Waiting { "waiting" } else { "refused" };
        vec![
            entry.seq.to_string(),
            print::instant(entry.from),
            entry.bytes.to_string(),
            state.to_owned(),
            entry.problem.clone().unwrap_or_default(),
        ]
    });
    print::fitted_to(columns, &heading, &rows.collect::<Vec<_>>())
}

/// Writes the kept summaries as `<chain>/<seq>.jws`, with their receipts beside them as
/// `<seq>.receipt.jws`.
///
/// # Errors
/// When the data cannot be read, or the files cannot be written.
pub fn export(store: &Store, dir: &Path) -> Result<(), Failure> {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text)
            .map_err(|error| Failure::Could(format!("{}: {error}", path.display())))
    };
    for entry in &store.summaries()? {
        let chain = dir.join(entry.chain.to_string());
        std::fs::create_dir_all(&chain)
            .map_err(|error| Failure::Could(format!("{}: {error}", chain.display())))?;
        let jws = store.summary_jws(entry)?;
        write(&chain.join(format!("{}.jws", entry.seq)), &jws)?;
        if let Some(receipt) = &entry.receipt {
            write(&chain.join(format!("{}.receipt.jws", entry.seq)), receipt)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_says_its_zone_however_narrow_the_terminal_is() {
        let chain = "0".repeat(32).parse().unwrap();
        let entry = |problem: Option<&str>| Entry {
            chain,
            seq: 17,
            from: Wall::from_secs(1_700_000_000),
            to: Wall::from_secs(1_700_000_300),
            digest: Digest::of(b""),
            bytes: 4711,
            state: State::Refused,
            problem: problem.map(str::to_owned),
            receipt: None,
            received: None,
        };
        for columns in [40, 60, 80] {
            for entry in [
                entry(None),
                entry(Some("unknown-agent: nobody here knows this agent; it has to be let in")),
            ] {
                let text = table(columns, &[&entry]);
                assert_eq!(print::times_without_zone(&text), [""; 0], "{text}");
                assert!(text.contains("22:13:20Z"), "{text}");
            }
        }
    }
}
