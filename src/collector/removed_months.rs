//! Months whose summaries were let go: what was judged of them stays as it was, and says so;
//! nothing is judged anew without them.

use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::bundle::Numbers;
use crate::evidence::key::Kid;

/// How many of some numbers are not stored any more.
///
/// # Errors
/// When the database fails.
pub fn missing(archive: &Archive, numbers: &[Numbers]) -> Result<u64, ArchiveError> {
    let mut missing = 0u64;
    for each in numbers {
        missing = missing.saturating_add(each.count().saturating_sub(archive.count_stored(each)?));
    }
    Ok(missing)
}

/// How many summaries of some agents that were folded into some UTC days, both included, are not
/// stored any more.
///
/// # Errors
/// When the database fails.
pub fn missing_of(
    archive: &Archive,
    agents: &[Kid],
    days: (i64, i64),
) -> Result<u64, ArchiveError> {
    let mut all = 0u64;
    for agent in agents {
        all = all.saturating_add(missing(archive, &archive.folded_numbers(*agent, days)?)?);
    }
    Ok(all)
}

/// Why a verdict is not worked out anew.
#[must_use]
pub fn words(missing: u64) -> String {
    format!(
        "{missing} of the summaries that it rests on were let go: what was judged stays as it \
         was, and nothing is judged anew without them"
    )
}
