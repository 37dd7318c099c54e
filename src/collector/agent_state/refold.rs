//! What came of a revoked agent, folded anew without what is left out: each UTC day that it touches
//! from its summaries, and the outages that were told since.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::collector::agent_state::folds::{Fold, by_probe, of_day, read_hours};
use crate::collector::agent_state::outages::month_of;
use crate::collector::agent_state::read;
use crate::collector::agent_state::unfolded::BYTES_AT_ONCE;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::key::Kid;
use crate::evidence::summary::Summary;
use crate::evidence::told::{OutageSaid, Places, day_of, span_of};

/// The UTC days that have something of what came from an instant on; absent while not all that came
/// is folded.
///
/// # Errors
/// When the database fails.
pub fn days(
    archive: &Archive,
    agent: Kid,
    since: Wall,
) -> Result<Option<BTreeSet<i64>>, ArchiveError> {
    if !archive.is_folded(agent)? {
        return Ok(None);
    }
    let (days, spans) = (archive.days_of(agent)?, archive.spans_since(agent, since)?);
    // However long a summary says that its span is, it touches no more days than something was
    // folded into.
    Ok(Some(
        spans
            .into_iter()
            .flat_map(|(from, to)| days.range(day_of(from)..=day_of(to.max(from))))
            .copied()
            .collect(),
    ))
}

/// A UTC day of an agent's probes, from what counts of its summaries.
#[derive(Debug)]
pub struct Day {
    agent: Kid,
    day: i64,
    folds: Vec<Fold>,
}

/// Folds a UTC day anew.
///
/// # Errors
/// When the database fails.
pub fn day(archive: &Archive, agent: Kid, day: i64) -> Result<Day, ArchiveError> {
    let mut folds: BTreeMap<String, Fold> = BTreeMap::new();
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    archive.each_at(agent, day, span_of((day, day)), |jws| {
        waiting.push(read(jws)?);
        bytes += jws.len();
        if bytes >= BYTES_AT_ONCE {
            add(&mut folds, day, &waiting)?;
            (waiting, bytes) = (Vec::new(), 0);
        }
        Ok(())
    })?;
    add(&mut folds, day, &waiting)?;
    Ok(Day { agent, day, folds: folds.into_values().collect() })
}

/// Adds what some summaries have of a day to what others had.
fn add(
    folds: &mut BTreeMap<String, Fold>,
    day: i64,
    summaries: &[Summary],
) -> Result<(), ArchiveError> {
    for (probe, parts) in by_probe(summaries) {
        let mut pieces = of_day(&parts, day);
        if pieces.is_empty() {
            continue;
        }
        if let Some(before) = folds.get(probe) {
            pieces.extend(read_hours(&before.hours)?);
        }
        folds.insert(probe.to_owned(), Fold::of(probe, day, pieces)?);
    }
    Ok(())
}

impl Day {
    /// Writes it in the place of what was folded of that day.
    ///
    /// # Errors
    /// When the database fails.
    pub fn write(&self, archive: &Archive) -> Result<(), ArchiveError> {
        archive.drop_folds(self.agent, self.day)?;
        for Fold { probe, day, whole, hours } in &self.folds {
            archive.put_fold(self.agent, probe, *day, whole, hours)?;
        }
        Ok(())
    }
}

/// The outages that an agent told of, by month, as far as they began in the month of an instant or
/// later.
///
/// # Errors
/// When the database fails.
pub fn outages(
    archive: &Archive,
    agent: Kid,
    since: Wall,
) -> Result<BTreeMap<String, Vec<OutageSaid>>, ArchiveError> {
    let first = month_of(since);
    let mut months: BTreeMap<String, Vec<OutageSaid>> = BTreeMap::new();
    // What was told before and is not told any more goes.
    for record in
        archive.records::<Vec<OutageSaid>>(Kind::Outages, Page::of(&format!("{agent}/")))?
    {
        let month = record.id.rsplit('/').next().unwrap_or_default().to_owned();
        if month >= first {
            months.insert(month, Vec::new());
        }
    }
    let mut places: BTreeMap<String, Places> = BTreeMap::new();
    let begin = format!("{first}-01T00:00:00Z").parse().unwrap_or(since);
    archive.each_after(agent, begin, |jws| {
        let summary = read(jws)?;
        for said in OutageSaid::of(&summary).filter(|said| month_of(said.from) >= first) {
            let month = month_of(said.from);
            let places = places.entry(month.clone()).or_default();
            said.enter(months.entry(month).or_default(), places);
        }
        Ok(())
    })?;
    Ok(months)
}

/// Writes the outages of an agent, by month.
///
/// # Errors
/// When the database fails.
pub fn write_outages(
    archive: &Archive,
    agent: Kid,
    months: &BTreeMap<String, Vec<OutageSaid>>,
    now: Wall,
) -> Result<(), ArchiveError> {
    for (month, said) in months {
        archive.put_record(Kind::Outages, &format!("{agent}/{month}"), said, now)?;
    }
    Ok(())
}
