//! `wanproof outbox`: what waits to be shipped, and what was answered.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::time::Wall;
use crate::cli::source::Source;
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
    let store = args.source.store()?;
    let all = store.summaries().map_err(|error| Failure::Could(error.to_string()))?;
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
        print::line(format_args!("{}: {} summaries and {receipts} receipts", dir.display(), all.len()))?;
        return Ok(Exit::Done);
    }
    let count = |state| all.iter().filter(|entry| entry.state == state).count();
    let (waiting, accepted, refused) = (count(State::Waiting), count(State::Accepted), count(State::Refused));
    print::line(format_args!("{waiting} waiting, {accepted} accepted, {refused} refused"))?;
    let wanted: Vec<&Entry> = all.iter().filter(|entry| entry.state != State::Accepted).collect();
    if !wanted.is_empty() {
        let heading = ["SEQ", "FROM (UTC)", "BYTES", "STATE", "WHY"].map(str::to_owned);
        let rows = wanted.iter().map(|entry| {
            let state = if entry.state == State::Waiting { "waiting" } else { "refused" };
            vec![
                entry.seq.to_string(),
                print::instant(entry.from).trim_end_matches('Z').to_owned(),
                entry.bytes.to_string(),
                state.to_owned(),
                entry.problem.clone().unwrap_or_default(),
            ]
        });
        print::line(print::fitted(&heading, &rows.collect::<Vec<_>>()))?;
    }
    Ok(Exit::Done)
}

/// Writes the kept summaries as `<chain>/<seq>.jws`, with their receipts beside them as `<seq>.receipt.jws`.
///
/// # Errors
/// When the data cannot be read, or the files cannot be written.
pub fn export(store: &Store, dir: &Path) -> Result<(), Failure> {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|error| Failure::Could(format!("{}: {error}", path.display())))
    };
    for entry in &store.summaries().map_err(|error| Failure::Could(error.to_string()))? {
        let chain = dir.join(entry.chain.to_string());
        std::fs::create_dir_all(&chain).map_err(|error| Failure::Could(format!("{}: {error}", chain.display())))?;
        let jws = store.summary_jws(entry).map_err(|error| Failure::Could(error.to_string()))?;
        write(&chain.join(format!("{}.jws", entry.seq)), &jws)?;
        if let Some(receipt) = &entry.receipt {
            write(&chain.join(format!("{}.receipt.jws", entry.seq)), receipt)?;
        }
    }
    Ok(())
}
