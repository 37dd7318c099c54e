//! One span in several summaries, each of at most 1 MiB, and most of them far below that.

use crate::evidence::summary::{LIMIT, Malformed, ProbePart, Summary};

/// A payload of this many bytes is below [`LIMIT`] as a compact JWS: base64url makes four of three, and the header, the
/// signature, the digests and a `next_key` need less than 8 KiB.
const PAYLOAD: usize = (LIMIT - 8 * 1024) / 4 * 3;
/// A payload is no longer than this where it can be split: signing, sealing and shipping a summary takes several times its
/// length in memory, of which a router has little.
const HANDY: usize = 128 * 1024;

/// Where a span is cut into several summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// Where each summary after the first begins: at which probe, and at which of its intervals.
    at: Vec<(usize, usize)>,
}

impl Cuts {
    /// Looks where a span must be cut by probe, so that each part can be signed. A probe that is too much for one summary is
    /// itself cut, between its intervals.
    ///
    /// # Errors
    /// When one interval alone, or what is not of a probe, is too much for one summary.
    pub fn of(whole: &mut Summary) -> Result<Self, Malformed> {
        let probes = std::mem::take(&mut whole.probes);
        let cuts = Self::between(whole, &probes);
        whole.probes = probes;
        cuts
    }

    fn between(besides: &Summary, probes: &[ProbePart]) -> Result<Self, Malformed> {
        let bare = size(&bare(besides))?;
        let mut used = size(besides)?;
        if used >= PAYLOAD {
            return Err(Malformed::new("", "what it says beside its probes is too long for a summary"));
        }
        let mut at = Vec::new();
        let mut has_probes = false;
        for (place, probe) in probes.iter().enumerate() {
            let whole = size(probe)? + 1;
            if used + whole > HANDY && has_probes {
                at.push((place, 0));
                used = bare;
            }
            if used + whole <= HANDY {
                (used, has_probes) = (used + whole, true);
                continue;
            }
            let head = size(&head(probe))? + 1;
            used += head;
            for (index, interval) in probe.intervals.iter().enumerate() {
                let one = size(interval)? + 1;
                // A new part would have no more room for it than one that holds nothing else.
                if used + one > HANDY && used > bare + head {
                    at.push((place, index));
                    used = bare + head;
                }
                used += one;
                if used > PAYLOAD {
                    return Err(Malformed::new("", "an interval is too long for a summary"));
                }
            }
            has_probes = true;
        }
        Ok(Self { at })
    }

    /// Cuts; the parts have the same `from` and `to`. What is not of a probe goes with the first one.
    pub fn cut(self, mut whole: Summary) -> impl Iterator<Item = Summary> {
        let mut probes = std::mem::take(&mut whole.probes).into_iter().enumerate();
        let mut rest: Option<(usize, usize, ProbePart)> = None;
        let bare = bare(&whole);
        let mut ends = self.at.into_iter().map(Some).chain([None]);
        let mut next = Some(whole);
        std::iter::from_fn(move || {
            let end = ends.next()?;
            let mut part = next.replace(bare.clone())?;
            loop {
                // A probe, and how many of its intervals came before what is left of it.
                let of = rest.take().or_else(|| probes.next().map(|(place, probe)| (place, 0, probe)));
                let Some((place, before, mut probe)) = of else { return Some(part) };
                match end {
                    Some((until, 0)) if place == until => rest = Some((place, before, probe)),
                    Some((until, index)) if place == until => {
                        let intervals = probe.intervals.split_off(index - before);
                        rest = Some((place, index, ProbePart { intervals, ..head(&probe) }));
                        if !probe.intervals.is_empty() {
                            part.probes.push(probe);
                        }
                    }
                    _ => {
                        part.probes.push(probe);
                        continue;
                    }
                }
                return Some(part);
            }
        })
    }
}

/// What each part but the first says beside its probes.
fn bare(whole: &Summary) -> Summary {
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

/// A probe without its intervals.
fn head(probe: &ProbePart) -> ProbePart {
    let ProbePart { name, service, kind, target, address, settings, .. } = probe;
    ProbePart {
        name: name.clone(),
        service: service.clone(),
        kind: kind.clone(),
        target: target.clone(),
        address: address.clone(),
        settings: settings.clone(),
        intervals: Vec::new(),
        ..*probe
    }
}

/// How long the JSON of something is.
fn size<T: serde::Serialize>(of: &T) -> Result<usize, Malformed> {
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
    serde_json::to_writer(&mut counted, of).map_err(|error| Malformed::form(&error))?;
    Ok(counted.0)
}
