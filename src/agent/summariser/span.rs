//! The intervals of one span, as a summary holds them.

use std::collections::BTreeMap;

use crate::base::time::Wall;
use crate::evidence::summary::{self, IntervalPart, Lengths, Piece, ProbePart};
use crate::measure::interval::Interval;
use crate::store::intervals::{RowId, Series, SeriesId};
use crate::store::packed_summary::{Gathered, Made};
use crate::store::{Store, StoreError};

/// The intervals of one span, as far as they must be known before any is signed.
pub(super) struct Span {
    /// The first and the last block that holds them.
    pub(super) blocks: (RowId, RowId),
    /// Where the first begins and the last ends.
    pub(super) extent: Option<(Wall, Wall)>,
    /// The series that have any, and how long what is said of each is at most.
    pub(super) probes: Vec<(SeriesId, Lengths)>,
}

impl Span {
    /// Looks at all intervals of these blocks, one after the other: together they may be more than
    /// a router has memory for.
    pub(super) fn of(store: &Store, blocks: (RowId, RowId)) -> Result<Self, StoreError> {
        let mut extent: Option<(Wall, Wall)> = None;
        let mut intervals: BTreeMap<SeriesId, Vec<usize>> = BTreeMap::new();
        let take = |series, interval: Interval| {
            let (from, to) = (interval.from, interval.to());
            extent =
                Some(extent.map_or((from, to), |(first, last)| (first.min(from), last.max(to))));
            // Mostly it is one, and room for four is what a vector begins with.
            intervals
                .entry(series)
                .or_insert_with(|| Vec::with_capacity(1))
                .push(IntervalPart::length_at_most(interval));
        };
        store.each_interval(blocks, |_| true, take)?;
        let mut probes = Vec::with_capacity(intervals.len());
        let mut heads = BTreeMap::new();
        let head = |id, series| heads.extend([(id, summary::length(&part_of(series, Vec::new())))]);
        store.each_series(|series| intervals.contains_key(&series), head)?;
        for (series, intervals) in intervals {
            probes.extend(heads.get(&series).map(|&head| (series, Lengths { head, intervals })));
        }
        Ok(Self { blocks, extent, probes })
    }

    /// What a summary says of its probes, and what it is made of.
    pub(super) fn read(
        &self,
        store: &Store,
        pieces: &[Piece],
    ) -> Result<(Vec<ProbePart>, Made), StoreError> {
        let of = |piece: &Piece| self.probes[piece.probe].0;
        let (Gathered { mut series, mut intervals }, made) =
            store.gather(self.blocks, pieces.iter().map(of).collect())?;
        let part = |piece: &Piece| {
            let mut intervals = intervals.remove(&of(piece))?;
            intervals.truncate(piece.intervals.end);
            let intervals =
                intervals.into_iter().skip(piece.intervals.start).map(IntervalPart::from).collect();
            Some(part_of(series.remove(&of(piece))?, intervals))
        };
        Ok((pieces.iter().filter_map(part).collect(), made))
    }
}

/// What a summary says of a series.
fn part_of(series: Series, intervals: Vec<IntervalPart>) -> ProbePart {
    ProbePart {
        name: series.probe,
        service: series.service,
        kind: series.kind,
        target: series.target,
        address: series.address.map(|address| address.to_string()),
        period_ms: series.period_ms,
        timeout_ms: series.timeout_ms,
        cutoff_ms: series.cutoff_ms,
        settings: series.settings,
        intervals,
    }
}
