//! One span in several summaries, each of at most 1 MiB, and most of them far below that.

use std::ops::Range;

use crate::evidence::summary::{IntervalPart, LIMIT, Malformed, Summary};
use crate::measure::histogram::Packed;
use crate::measure::interval::Interval;

/// A payload of this many bytes is below [`LIMIT`] as a compact JWS: base64url makes four of three,
/// and the header, the signature, the digests and a `next_key` need less than 8 KiB.
const PAYLOAD: usize = (LIMIT - 8 * 1024) / 4 * 3;
/// A payload is no longer than this where it can be split: signing, sealing and shipping a summary
/// takes several times its length in memory, of which a router has little.
const HANDY: usize = 128 * 1024;

/// How long what a summary says of one probe is at most, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Of the probe without its intervals.
    pub head: usize,
    /// Of each of its intervals.
    pub intervals: Vec<usize>,
}

/// What a summary has of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The probe, by its place among those of the span.
    pub probe: usize,
    /// Which of its intervals.
    pub intervals: Range<usize>,
}

/// A span, laid out on as many summaries as it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What each summary has. The first has what is not of a probe too, and may have nothing else.
    pub parts: Vec<Vec<Piece>>,
    /// The probes that are in none, by their places, and why.
    pub left_out: Vec<(usize, Malformed)>,
}

impl Layout {
    /// Lays a span out by probe, so that each part can be signed. A probe that is too much for one
    /// summary is itself cut, between its intervals; one of which a single interval is too much is
    /// left out. `besides` is what the span says beside its probes.
    ///
    /// # Errors
    /// When what is not of a probe is too much for one summary.
    pub fn of(
        besides: &Summary,
        probes: impl IntoIterator<Item = Lengths>,
    ) -> Result<Self, Malformed> {
        let bare = length(&bare(besides));
        let mut used = length(besides);
        if used >= PAYLOAD {
            return Err(Malformed::new(
                "",
                "what it says beside its probes is too long for a summary",
            ));
        }
        let (mut parts, mut part, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (probe, Lengths { head, intervals }) in probes.into_iter().enumerate() {
            // With the commas after them.
            let head = head + 1;
            let all: usize = intervals.iter().map(|one| one + 1).sum();
            if intervals.iter().any(|one| bare + head + one + 1 > PAYLOAD) {
                left_out.push((probe, Malformed::new("", "an interval is too long for a summary")));
                continue;
            }
            if used + head + all > HANDY && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                used = bare;
            }
            used += head;
            let mut first = 0;
            for (index, one) in intervals.iter().enumerate() {
                // A new part would have no more room for it than one that holds nothing else.
                if used + one + 1 > HANDY && used > bare + head {
                    if index > first {
                        part.push(Piece { probe, intervals: first..index });
                    }
                    parts.push(std::mem::take(&mut part));
                    (used, first) = (bare + head, index);
                }
                used += one + 1;
            }
            part.push(Piece { probe, intervals: first..intervals.len() });
        }
        parts.push(part);
        Ok(Self { parts, left_out })
    }
}

/// What each part but the first says beside its probes; the parts have the same `from` and `to`.
#[must_use]
pub fn bare(whole: &Summary) -> Summary {
    Summary {
        dropped: Vec::new(),
        link: Vec::new(),
        outages: Vec::new(),
        verdicts: Vec::new(),
        follows: None,
        own_lag_us: None,
        next_key: None,
        probes: Vec::new(),
        ..whole.clone()
    }
}

impl IntervalPart {
    /// A length that the JSON of an interval does not exceed: that of a histogram is told without
    /// compressing it, which costs more than all else of a summary. Where it is much, it is the
    /// very length.
    #[must_use]
    pub fn length_at_most(mut interval: Interval) -> usize {
        let nothing = || Packed::from_bytes(Vec::new());
        let histograms: Vec<Packed> = interval
            .histograms_mut()
            .map(|histogram| std::mem::replace(histogram, nothing()))
            .collect();
        let besides = length(&Self::from(interval));
        let at_most = besides + histograms.iter().map(Packed::base64_at_most).sum::<usize>();
        if at_most <= HANDY {
            at_most
        } else {
            besides + histograms.iter().map(|one| one.to_base64().len()).sum::<usize>()
        }
    }
}

/// How long the JSON of something is.
///
/// # Panics
/// When it has no JSON; whatever is in a summary has.
pub fn length<T: serde::Serialize>(of: &T) -> usize {
    /// Counts what is written.
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, of).expect("what is in a summary can be written");
    counted.0
}
