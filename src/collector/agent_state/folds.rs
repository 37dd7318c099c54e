//! The intervals of an agent's summaries, folded by day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::collector::agent_state::read;
use crate::collector::archive::folds::Depth;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::compaction::{self, Attribution, DAY, HOUR, MOST_PIECES, Segment};
use crate::evidence::key::Kid;
use crate::evidence::summary::{ProbePart, Summary};
use crate::evidence::told::day_of;
use crate::sla::span::Span;

pub(super) fn pieces<'a>(
    summary: &'a Summary,
    probe: &'a ProbePart,
) -> impl Iterator<Item = Segment> + 'a {
    // Each histogram was read when the summary was checked.
    let intervals = probe.intervals().filter_map(Result::ok);
    let told = Arc::new(Attribution { site: summary.site.clone(), service: probe.service.clone() });
    let settings: Arc<str> = probe.settings.as_str().into();
    intervals.map(move |interval| Segment {
        settings: Arc::clone(&settings),
        told: Some(Arc::clone(&told)),
        interval,
    })
}

/// The intervals of a probe that lie within an hour or less, as its agent's summaries hold them.
///
/// # Errors
/// When the database fails, or they are more than are kept of a day.
pub fn minutes(
    archive: &Archive,
    agent: Kid,
    probe: &str,
    span: Span,
) -> Result<Vec<Segment>, ArchiveError> {
    let mut all = Vec::new();
    archive.each_at(agent, day_of(span.from), span, |jws| {
        let summary = read(jws)?;
        let parts = summary.probes.iter().filter(|part| part.name == probe);
        let own = parts.flat_map(|part| pieces(&summary, part));
        all.extend(
            own.filter(|piece| piece.interval.from >= span.from && piece.interval.to() <= span.to),
        );
        if all.len() > MOST_PIECES {
            let what = format!("probe {probe} has more than {MOST_PIECES} intervals in an hour");
            return Err(ArchiveError::TooMuch(what));
        }
        Ok(())
    })?;
    Ok(all)
}

/// A folded day of a probe, as it is to be written.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) probe: String,
    pub(super) day: i64,
    pub(super) whole: Vec<u8>,
    pub(super) hours: Vec<u8>,
}

/// The folded days that some summaries change.
pub(super) fn fold(
    archive: &Archive,
    agent: Kid,
    summaries: &[&Summary],
) -> Result<Vec<Fold>, ArchiveError> {
    let mut all = Vec::new();
    for (probe, parts) in by_probe(summaries.iter().copied()) {
        let days = parts.iter().flat_map(|(_, part)| &part.intervals).map(|each| day_of(each.from));
        // One day after the other: those of all probes together may be far more.
        for day in days.collect::<BTreeSet<i64>>() {
            let mut pieces = of_day(&parts, day);
            for folded in archive.folded_days(agent, probe, (day, day), Depth::Hours)? {
                pieces.extend(read_hours(folded.hours.as_deref().unwrap_or_default())?);
            }
            all.push(Fold::of(probe, day, pieces)?);
        }
    }
    Ok(all)
}

/// A probe's part of a summary, with that.
type Part<'a> = (&'a Summary, &'a ProbePart);

pub(super) fn by_probe<'a>(
    summaries: impl IntoIterator<Item = &'a Summary>,
) -> BTreeMap<&'a str, Vec<Part<'a>>> {
    let mut all: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
    for summary in summaries {
        for part in &summary.probes {
            all.entry(&part.name).or_default().push((summary, part));
        }
    }
    all
}

/// What of a probe's parts lies in a UTC day.
pub(super) fn of_day(parts: &[Part<'_>], day: i64) -> Vec<Segment> {
    let all = parts.iter().flat_map(|(summary, part)| pieces(summary, part));
    all.filter(|piece| day_of(piece.interval.from) == day).collect()
}

/// Reads the hours of a folded day.
///
/// # Errors
/// When they cannot be read.
pub(super) fn read_hours(bytes: &[u8]) -> Result<Vec<Segment>, ArchiveError> {
    Ok(compaction::decode(bytes)?)
}

impl Fold {
    /// A probe's day, of all that came of it.
    pub(super) fn of(probe: &str, day: i64, pieces: Vec<Segment>) -> Result<Self, ArchiveError> {
        let hours = compaction::merge(pieces, HOUR);
        let whole = compaction::merge(hours.clone(), DAY);
        let (whole, hours) = (compaction::encode(&whole)?, compaction::encode(&hours)?);
        Ok(Self { probe: probe.to_owned(), day, whole, hours })
    }
}
