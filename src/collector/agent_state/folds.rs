//! The intervals of an agent's summaries, folded by day.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::collector::agent_state::read;
use crate::collector::archive::folds::Depth;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::compaction::{self, Attribution, DAY, HOUR, NotPieces, Segment};
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

/// The intervals of a probe that lie within a span, as its agent's summaries hold them.
///
/// # Errors
/// When the database fails.
pub fn minutes(
    archive: &Archive,
    agent: Kid,
    probe: &str,
    span: Span,
) -> Result<Vec<Segment>, ArchiveError> {
    let mut all = Vec::new();
    for jws in archive.summaries_at(agent, day_of(span.from), span.from, span.to)? {
        let summary = read(&jws)?;
        let parts = summary.probes.iter().filter(|part| part.name == probe);
        let own = parts.flat_map(|part| pieces(&summary, part));
        all.extend(
            own.filter(|piece| piece.interval.from >= span.from && piece.interval.to() <= span.to),
        );
    }
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
    let mut new: BTreeMap<(&str, i64), Vec<Segment>> = BTreeMap::new();
    for summary in summaries {
        for probe in &summary.probes {
            for piece in pieces(summary, probe) {
                new.entry((&probe.name, day_of(piece.interval.from))).or_default().push(piece);
            }
        }
    }
    let mut all = Vec::new();
    for ((probe, day), mut pieces) in new {
        for folded in archive.folded_days(agent, probe, (day, day), Depth::Hours)? {
            pieces.extend(
                compaction::decode(folded.hours.as_deref().unwrap_or_default()).map_err(damaged)?,
            );
        }
        all.push(Fold::of(probe, day, pieces)?);
    }
    Ok(all)
}

pub(super) fn damaged(fault: NotPieces) -> ArchiveError {
    ArchiveError::Damaged(format!("a folded day: {fault}"))
}

impl Fold {
    /// A probe's day, of all that came of it.
    pub(super) fn of(probe: &str, day: i64, pieces: Vec<Segment>) -> Result<Self, ArchiveError> {
        let hours = compaction::merge(pieces, HOUR);
        let whole = compaction::merge(hours.clone(), DAY);
        let written = |pieces: &[Segment]| compaction::encode(pieces).map_err(damaged);
        Ok(Self { probe: probe.to_owned(), day, whole: written(&whole)?, hours: written(&hours)? })
    }
}
