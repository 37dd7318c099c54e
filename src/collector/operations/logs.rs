//! Logs of claims and rights, replayed; and steps that the collector's clock does.

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::sla::calendar::{Day, Zone};
use crate::sla::lifecycle::{CLOCK, Cycle, Entry, Log};

pub(super) fn replay<C: Cycle>(
    archive: &Archive,
    kind: Kind,
    id: &str,
) -> Result<Log<C>, ArchiveError> {
    let entries: Vec<Entry> = archive.log(kind, id)?;
    Log::replay(entries)
        .map_err(|refused| ArchiveError::Damaged(format!("the log of {id}: {refused}")))
}

/// The local day of an instant in a zone by its name.
pub(super) fn today(zone: &str, now: Wall) -> Option<Day> {
    Zone::get(zone).map(|zone| zone.day(now))
}

pub(super) fn by_clock(action: &str, now: Wall) -> Entry {
    Entry {
        action: action.to_owned(),
        at: now,
        recorded: now,
        who: CLOCK.to_owned(),
        evidence: None,
        said: None,
    }
}
