//! Months whose summaries an operator lets go, or took away by hand: what was judged of them stays
//! as it was, and says so.

use std::collections::BTreeSet;

use serde_json::json;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::marks;
use crate::collector::operations::{Actor, DeskError};
use crate::collector::verdicts::Judgement;
use crate::sla::calendar::{Every, Period, Stretch, Zone};

/// A month is let go no earlier: until then an agent that was offline may still bring what it
/// measured in it.
const DAYS: i64 = 35;

/// Writes down that a verdict stays as it was, since what it rests on is gone. Where there was
/// none, why there is none.
///
/// # Errors
/// When the database fails.
pub fn keep(
    archive: &Archive,
    id: &str,
    judged: &Judgement,
    why: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    let kept: Option<Judgement> = archive.record(Kind::Verdict, id)?;
    let stays = match kept.filter(|kept| kept.report.is_some()) {
        Some(kept) if kept.gone.is_some() => return Ok(()),
        Some(kept) => Judgement { gone: Some(why.to_owned()), ended: judged.ended, ..kept },
        None => Judgement { faults: vec![why.to_owned()], ..judged.clone() },
    };
    tracing::warn!(verdict = id, "a verdict is not worked out anew: {why}");
    archive.put_record(Kind::Verdict, id, &stays, now)
}

/// Lets the summaries of a month (in UTC) go, and says how many there were. What rests on them is
/// looked at in the next round, and says so.
///
/// # Errors
/// When it is no month, or did not end long enough ago.
pub fn let_go(archive: &Archive, month: Period, actor: &Actor) -> Result<u64, DeskError> {
    let utc = Zone::get("UTC")
        .ok_or_else(|| DeskError::Invalid(vec!["there are no time zones".to_owned()]))?;
    if month.every(1) != Every::Month {
        return Err(DeskError::Invalid(vec![format!(
            "{month}: expected a month, such as 2024-11"
        )]));
    }
    if month.last().plus(DAYS) >= utc.day(actor.now) {
        return Err(DeskError::Conflict(format!(
            "{month} ended less than {DAYS} days ago: agents that were offline may still bring \
                what they measured in it"
        )));
    }
    let span = Stretch::holding(Every::Month, month.last(), &utc).span;
    let count = archive.drop_summaries(month, span)?;
    mark(archive, month, actor.now)?;
    actor.did(archive, "month.let-go", &month.to_string(), json!({"summaries": count}))?;
    Ok(count)
}

/// Marks whatever was judged of a month in UTC, or of one beside it, which may reach into it by its
/// zone.
fn mark(archive: &Archive, month: Period, now: Wall) -> Result<(), ArchiveError> {
    for near in [month.before(1), month, Every::Month.holding(month.last().plus(1))] {
        for record in archive.records::<Judgement>(Kind::Verdict, Page::of(&format!("{near}/")))? {
            let Judgement { contract, service, period, gone, .. } = record.body;
            if gone.is_none() {
                marks::mark(archive, &contract, &service, &period, now)?;
            }
        }
    }
    Ok(())
}

/// Looks whether somebody took a month's part away by hand since it was looked last, and marks what
/// rests on it.
///
/// # Errors
/// When the database fails.
pub fn look(archive: &Archive, now: Wall) -> Result<(), ArchiveError> {
    let parts: BTreeSet<String> = archive.parts_of("summary")?.into_iter().collect();
    let known: BTreeSet<String> = archive.record(Kind::Parts, "summary")?.unwrap_or_default();
    for gone in known.difference(&parts) {
        let month = gone.strip_prefix("summary_").map(|month| month.replace('_', "-"));
        if let Some(month) = month.and_then(|month| month.parse::<Period>().ok()) {
            tracing::info!(part = gone, "a month's part is gone");
            mark(archive, month, now)?;
        }
    }
    if parts != known {
        archive.put_record(Kind::Parts, "summary", &parts, now)?;
    }
    Ok(())
}
