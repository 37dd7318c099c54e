//! Claims and rights whose day has passed lapse; what a clock that was ahead let lapse comes back.

use serde_json::json;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::claims::{StoredClaim, step_on, waits};
use crate::collector::operations::logs::{by_clock, replay, today};
use crate::collector::operations::rights::{self, KeptRight};
use crate::evidence::digest::Digest;
use crate::sla::calendar::Day;
use crate::sla::lifecycle::{CLOCK, Claim, Cycle, Entry, Log, RightState, TerminationRight};
use crate::sla::reader::Word as _;

/// Lets claims and rights lapse whose day has passed.
///
/// # Errors
/// When the database fails.
pub fn lapse(archive: &Archive, now: Wall) -> Result<(), ArchiveError> {
    for record in archive.records::<StoredClaim>(Kind::Claim, Page::default())? {
        let by = record.body.by.as_deref().and_then(|by| by.parse::<Day>().ok());
        let past = by.zip(today(&record.body.timezone, now)).is_some_and(|(by, today)| today > by);
        let mut log = replay::<Claim>(archive, Kind::Claim, &record.id)?;
        let entry = log.in_order(by_clock("lapse", now));
        if past && !record.body.automatic && waits(log.state()) && log.append(entry.clone()).is_ok()
        {
            step_on(archive, &record.id, &log, &entry, now)?;
        }
    }
    for right in rights::all(archive, Page::default(), now)? {
        if right.state == RightState::Accrued.word() && right.days_left.is_some_and(|left| left < 0)
        {
            let log = replay::<TerminationRight>(archive, Kind::Right, &right.id)?;
            archive.append(Kind::Right, &right.id, &log.in_order(by_clock("lapse", now)), now)?;
        }
    }
    Ok(())
}

/// What came back that had lapsed too early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reinstated {
    /// The claims: contract, service and period.
    pub claims: Vec<(String, String, String)>,
    /// How many rights to terminate.
    pub rights: usize,
}

/// Reinstates what the collector's clock let lapse at a time later than `after`, which has not
/// come: that clock was ahead. The log keeps both; the evidence is the digest of the entry that is
/// undone.
///
/// # Errors
/// When the database fails.
pub fn reinstate(archive: &Archive, after: Wall, now: Wall) -> Result<Reinstated, ArchiveError> {
    let mut all = Reinstated::default();
    for record in archive.records::<StoredClaim>(Kind::Claim, Page::default())? {
        let mut log = replay::<Claim>(archive, Kind::Claim, &record.id)?;
        let Some(undo) = undo_lapse(&log, after, now) else { continue };
        let was_claimable = log
            .entries()
            .iter()
            .rev()
            .nth(1)
            .is_some_and(|before| before.action == "become_claimable");
        let steps =
            [undo].into_iter().chain(was_claimable.then(|| by_clock("become_claimable", now)));
        for step in steps {
            let entry = log.in_order(step);
            if log.append(entry.clone()).is_ok() {
                archive.append(Kind::Claim, &record.id, &entry, now)?;
            }
        }
        // It follows its verdict again.
        let kept = StoredClaim { ruling: None, lapsed: false, ..record.body };
        archive.put_record(Kind::Claim, &record.id, &kept, now)?;
        all.claims.push((kept.contract, kept.service, kept.period));
    }
    for record in archive.records::<KeptRight>(Kind::Right, Page::default())? {
        let log = replay::<TerminationRight>(archive, Kind::Right, &record.id)?;
        if let Some(undo) = undo_lapse(&log, after, now) {
            archive.append(Kind::Right, &record.id, &log.in_order(undo), now)?;
            all.rights += 1;
        }
    }
    Ok(all)
}

/// The entry that undoes the last one, where that is a lapse by the collector's clock at a later
/// time.
fn undo_lapse<C: Cycle>(log: &Log<C>, after: Wall, now: Wall) -> Option<Entry> {
    let last = log
        .entries()
        .last()
        .filter(|last| last.action == "lapse" && last.who == CLOCK && last.at > after)?;
    let evidence = Some(Digest::of(json!(last).to_string().as_bytes()).hex());
    Some(Entry { evidence, ..by_clock("reinstate", now) })
}
