//! `wanproof collector findings`: what is missing or wrong now.

use crate::base::time::{Clock, SystemClock};
use crate::cli::collector::listing::Listing;
use crate::cli::{Exit, Failure};
use crate::collector::findings;
use crate::collector::findings::finding::Finding;

/// What is missing or wrong now.
pub(super) fn findings(listing: &Listing) -> Result<Exit, Failure> {
    let (config, archive) = listing.source.archive()?;
    let found = findings::all(&archive, &config, SystemClock.now().wall)?;
    let row = |finding: &Finding| vec![finding.kind.word().to_owned(), finding.detail.clone()];
    listing.show(&found, &["WHAT", "DETAIL"], row, "nothing is missing")?;
    Ok(Exit::Done)
}
