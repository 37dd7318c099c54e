//! `wanproof collector facts`: events and tickets that a service is judged by.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::base::json::unmarked;
use crate::cli::collector::listing::{Listing, actor};
use crate::cli::collector::step::read;
use crate::cli::{Failure, print};
use crate::collector::marks;
use crate::collector::operations::facts::{self, Source as FactSource};

/// `collector facts`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FactsArgs {
    /// Whose they are: customer (they go into the verdict) or provider (its own log, laid beside)
    of: String,
    /// The contract's id
    #[arg(allow_hyphen_values = true)]
    contract: String,
    /// The service
    #[arg(allow_hyphen_values = true)]
    service: String,
    /// The facts as `contract evaluate` takes them; they replace those that are here
    file: PathBuf,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn import_facts(args: &FactsArgs) -> Result<(), Failure> {
    let source: FactSource = args.of.parse().map_err(Failure::Usage)?;
    let name = args.file.display();
    let written: Map<String, Value> = serde_json::from_str(unmarked(&read(&args.file)?))
        .map_err(|error| Failure::Usage(format!("{name}: not a JSON object: {error}")))?;
    let (_, book) = args.listing.book()?;
    let kept = args.listing.change(|archive| {
        let actor = actor();
        let kept = facts::import(
            archive,
            &book,
            (&args.contract, &args.service, source),
            written,
            &actor,
        )?;
        marks::mark_all(archive, &args.contract, &args.service, actor.now)?;
        Ok(kept)
    })?;
    let events = kept.facts.get("events").and_then(Value::as_array).map_or(0, Vec::len);
    print::line(format_args!(
        "{} events of {} are here, sha256 {}",
        events, args.service, kept.digest
    ))
}
