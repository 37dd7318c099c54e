//! `wanproof collector reject` and `audit`: who is turned away, and what operators did.

use serde_json::Value;

use crate::cli::collector::listing::{Listing, actor};
use crate::cli::{Failure, print};
use crate::collector::archive::audit::Audited;
use crate::collector::operations::pending::{self, RejectWanted};

/// `collector reject`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reject {
    /// A pattern of the site that they say: * is anything, ? one character
    #[arg(long, allow_hyphen_values = true, value_name = "PATTERN")]
    site: Option<String>,
    /// A pattern of the address that they asked from, as `collector agents` shows it
    #[arg(long, value_name = "PATTERN")]
    from: Option<String>,
    /// Only say who it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    listing: Listing,
}

/// Turns away agents that wait.
pub(super) fn reject(args: &Reject) -> Result<(), Failure> {
    let dry_run = Some(args.dry_run);
    let wanted = RejectWanted { site: args.site.clone(), from: args.from.clone(), dry_run };
    let rejected = args.listing.change(|archive| pending::reject(archive, &wanted, &actor()))?;
    if args.listing.is_json() {
        return print::json(&rejected);
    }
    for agent in &rejected.agents {
        print::line(agent)?;
    }
    let done = if args.dry_run {
        "would be turned away"
    } else {
        "are turned away; one that asks again waits again"
    };
    print::note(format_args!("{} that waited {done}", rejected.agents.len()));
    Ok(())
}

/// `collector audit`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Audit {
    /// How many entries, the last ones
    #[arg(long, default_value_t = 50)]
    last: u32,
    /// Those before the entry of this number
    #[arg(long, value_name = "N")]
    before: Option<u64>,
    #[command(flatten)]
    listing: Listing,
}

/// Shows what operators did, the last at the end, where it is read first.
pub(super) fn audit(args: &Audit) -> Result<(), Failure> {
    let mut all = args.listing.archive()?.audit(args.before, args.last)?;
    all.reverse();
    let row = |each: &Audited| {
        let detail: Vec<String> = each
            .detail
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            })
            .collect();
        let who = format!("{} ({})", each.who, each.via.word());
        let (number, at) = (each.n.to_string(), print::instant(each.at));
        vec![number, at, who, each.action.clone(), each.subject.clone(), detail.join(" ")]
    };
    let heading = ["N", "AT", "WHO", "ACTION", "SUBJECT", "DETAIL"];
    args.listing.show(
        &all,
        &heading,
        row,
        "no operator did anything yet, since this is written down",
    )
}
