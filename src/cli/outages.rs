//! `wanproof outages`: when was the line bad?

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::source::{Source, since};
use crate::cli::{Exit, Failure, print};
use crate::store::outages::{Outage, Shown};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// How far back to look: how long ago, or a time
    #[arg(long, default_value = "30d", value_name = "WHEN")]
    since: String,
    /// One JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let from = since(&args.since)?;
    let store = args.source.store()?;
    let all = store.outages(from, Wall::from_nanos(i64::MAX)).map_err(|error| Failure::Could(error.to_string()))?;
    let all: Vec<Outage> = all.into_iter().map(|(_, outage)| outage).collect();
    if args.json {
        print::json(&all.iter().map(Shown::from).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        print::line(format_args!("no outage since {}", print::instant(from)))?;
        return Ok(Exit::Done);
    }
    print::line(shown(&all, SystemClock.now().wall))?;
    Ok(Exit::Done)
}

/// Outages as a table for people.
#[must_use]
pub fn shown(all: &[Outage], now: Wall) -> String {
    let heading = ["FROM (UTC)", "LASTED", "SERVICE", "PROBE", "SIDE", "BY"].map(str::to_owned);
    let rows = all.iter().map(|outage| {
        let until = outage.to.unwrap_or(now);
        let lasted =
            print::length(std::time::Duration::from_nanos(u64::try_from(until.nanos_since(outage.from)).unwrap_or(0)));
        vec![
            print::instant(outage.from).trim_end_matches('Z').to_owned(),
            if outage.to.is_some() { lasted } else { format!("{lasted}, still down") },
            outage.service.clone().unwrap_or_else(|| "-".to_owned()),
            outage.probe.clone(),
            outage.side.clone(),
            outage.definition.clone(),
        ]
    });
    print::fitted(&heading, &rows.collect::<Vec<_>>())
}
