//! One span in several summaries, each of at most 1 MiB.

use crate::evidence::summary::{LIMIT, Malformed, ProbePart, Summary};

/// A payload of this many bytes is below [`LIMIT`] as a compact JWS: base64url makes four of three, and the header, the
/// signature, the digests and a `next_key` need less than 8 KiB.
const PAYLOAD: usize = (LIMIT - 8 * 1024) / 4 * 3;

/// Splits a span by probe, so that each part can be signed; the parts have the same `from` and `to`. What is not of a
/// probe goes with the first one. A probe that is too much for one summary is itself split, between its intervals.
///
/// # Errors
/// When one interval alone, or what is not of a probe, is too much for one summary.
pub fn split(mut whole: Summary) -> Result<Vec<Summary>, Malformed> {
    let probes = std::mem::take(&mut whole.probes);
    let bare = Summary {
        dropped: Vec::new(),
        contracts: whole.contracts.clone(),
        link: Vec::new(),
        outages: Vec::new(),
        verdicts: Vec::new(),
        follows: None,
        own_lag_us: None,
        next_key: None,
        ..whole.clone()
    };
    let bare_size = size(&bare)?;
    let mut left = PAYLOAD.saturating_sub(size(&whole)?);
    if left == 0 {
        return Err(Malformed::new("", "what it says beside its probes is too long for a summary"));
    }
    let mut parts = Vec::new();
    let mut open = whole;
    let mut next_part = |open: &mut Summary, left: &mut usize| {
        parts.push(std::mem::replace(open, bare.clone()));
        *left = PAYLOAD.saturating_sub(bare_size);
    };
    for probe in probes {
        let whole_size = size(&probe)? + 1;
        if whole_size > left && !open.probes.is_empty() {
            next_part(&mut open, &mut left);
        }
        if whole_size <= left {
            left -= whole_size;
            open.probes.push(probe);
            continue;
        }
        let head = ProbePart { intervals: Vec::new(), ..probe.clone() };
        let head_size = size(&head)? + 1;
        let mut piece = head.clone();
        left = left.saturating_sub(head_size);
        for interval in probe.intervals {
            let interval_size = size(&interval)? + 1;
            if interval_size > left {
                if !piece.intervals.is_empty() {
                    open.probes.push(std::mem::replace(&mut piece, head.clone()));
                }
                next_part(&mut open, &mut left);
                left = left.saturating_sub(head_size);
            }
            left = left
                .checked_sub(interval_size)
                .ok_or_else(|| Malformed::new("", "an interval is too long for a summary"))?;
            piece.intervals.push(interval);
        }
        open.probes.push(piece);
    }
    parts.push(open);
    Ok(parts)
}

/// How long the JSON of something is.
fn size<T: serde::Serialize>(of: &T) -> Result<usize, Malformed> {
    serde_json::to_vec(of).map(|bytes| bytes.len()).map_err(|error| Malformed::form(&error))
}
