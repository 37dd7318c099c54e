//! Minutes joined to longer intervals: outcomes stay exact, in order and in time; histograms are
//! merged; sums add up.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::nanos_of;
use crate::measure::histogram::{Histogram, NotAHistogram, Packed};
use crate::measure::interval::{Interval, Phase, Spread};
use crate::measure::outcome::{Outcome, Outcomes, Reason};

/// By how much a send may have been due beside where the one before lets it be expected, to go on
/// in the same run: a clock that is slewed moves the labels by some milliseconds a minute. An
/// outage's edges move by no more.
const AMISS: Duration = Duration::from_millis(10);

/// Joins the intervals of one probe with one set of settings, which must be in the order of time,
/// wherever one goes on where the one before ends and both may go `together`. Where it does not,
/// another begins: time that nobody observed stays apart.
///
/// # Errors
/// When a histogram cannot be read.
pub fn join(
    all: impl IntoIterator<Item = Interval>,
    together: impl Fn(&Interval, &Interval) -> bool,
) -> Result<Vec<Interval>, NotAHistogram> {
    let mut joined: Vec<Interval> = Vec::new();
    let mut open: Option<Open> = None;
    for interval in all {
        match &mut open {
            Some(open) if goes_on(&open.joined, &interval) && together(&open.joined, &interval) => {
                open.add(interval)?
            }
            _ => joined.extend(open.replace(Open::new(interval)).map(Open::close)),
        }
    }
    joined.extend(open.map(Open::close));
    Ok(joined)
}

/// Cuts an interval at the multiples of `length` in UTC. A histogram cannot be cut, so the parts
/// have outcomes alone, and what tells loss of carrier; an interval that lies between two such
/// instants stays whole.
#[must_use]
pub fn cut(interval: Interval, length: Duration) -> Vec<Interval> {
    if interval.from.floor(length) + length >= interval.to() {
        return vec![interval];
    }
    parts(&interval, length).collect()
}

/// What an interval holds between each two multiples of `length` in UTC, one at a time: outcomes
/// alone, and what tells loss of carrier.
pub fn parts(interval: &Interval, length: Duration) -> impl Iterator<Item = Interval> + '_ {
    let end = interval.to();
    let mut lost = interval.reasons.get(&Reason::CARRIER.to_string()).copied().unwrap_or(0);
    let mut runs = interval.outcomes.runs();
    let mut rest = None;
    let (mut begin, mut sends) = (interval.from, 0);
    std::iter::from_fn(move || {
        if begin >= end {
            return None;
        }
        let to = (begin.floor(length) + length).min(end);
        // The first send that is due at `to` or later belongs to the next part.
        let into = to.nanos_since(interval.due(0)).max(0).unsigned_abs();
        let before = into.div_ceil(u64::from(interval.period_ms.max(1)) * 1_000_000);
        let upto =
            if to == end { interval.outcomes.len() } else { before.min(interval.outcomes.len()) };
        let mut part = Interval {
            from: begin,
            millis: u32::try_from(to.nanos_since(begin) / 1_000_000).unwrap_or(0),
            first_ms: 0,
            period_ms: interval.period_ms,
            outcomes: Outcomes::default(),
            reasons: BTreeMap::new(),
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt: None,
            ipdv: None,
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        };
        if upto > sends {
            let first = interval.due(sends).nanos_since(begin) / 1_000_000;
            part.first_ms = u32::try_from(first).unwrap_or(0);
        }
        while sends < upto
            && let Some((count, outcome)) = rest.take().or_else(|| runs.next())
        {
            let taken = u32::try_from(upto - sends).unwrap_or(u32::MAX).min(count);
            part.outcomes.push_run(taken, outcome);
            sends += u64::from(taken);
            rest = (count > taken).then(|| (count - taken, outcome));
        }
        let unsent =
            u32::try_from(part.outcomes.count(Outcome::NotSent)).unwrap_or(u32::MAX).min(lost);
        if unsent > 0 {
            lost -= unsent;
            part.reasons.insert(Reason::CARRIER.to_string(), unsent);
        }
        begin = to;
        Some(part)
    })
}

/// Whether `next` goes on where `last` ends, with its sends in step.
fn goes_on(last: &Interval, next: &Interval) -> bool {
    let near = |nanos: i64| nanos.unsigned_abs() <= nanos_of(AMISS).unsigned_abs();
    let in_step = || {
        last.outcomes.is_empty()
            || next.outcomes.is_empty()
            || near(next.due(0).nanos_since(last.due(last.outcomes.len())))
    };
    let long = next.to().nanos_since(last.from) / 1_000_000;
    last.period_ms == next.period_ms
        && near(next.from.nanos_since(last.to()))
        && u32::try_from(long).is_ok()
        && in_step()
        && carriers(last).go_together(carriers(next))
}

/// Which of an interval's unsent ones are owed to the carrier. That is counted, and not told of
/// each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carriers {
    Unasked,
    All,
    None,
    Some,
}

fn carriers(interval: &Interval) -> Carriers {
    let unsent = interval.outcomes.count(Outcome::NotSent);
    let lost = interval.reasons.get(&Reason::CARRIER.to_string()).copied().unwrap_or(0);
    match lost {
        _ if unsent == 0 => Carriers::Unasked,
        0 => Carriers::None,
        lost if u64::from(lost) >= unsent => Carriers::All,
        _ => Carriers::Some,
    }
}

impl Carriers {
    /// Whether the counts can be added and still say the same of each.
    fn go_together(self, other: Self) -> bool {
        self == Self::Unasked || other == Self::Unasked || (self == other && self != Self::Some)
    }
}

/// What is being joined; histograms are merged once there is a second one.
struct Open {
    joined: Interval,
    rtt: Option<Merged>,
    ipdv: Option<Merged>,
    phases: BTreeMap<Phase, Histogram>,
}

/// Boxed by the histogram itself: it is some 150 kB.
struct Merged {
    histogram: Histogram,
    sum_ns: u64,
}

impl Open {
    fn new(interval: Interval) -> Self {
        Self { joined: interval, rtt: None, ipdv: None, phases: BTreeMap::new() }
    }

    fn add(&mut self, next: Interval) -> Result<(), NotAHistogram> {
        let joined = &mut self.joined;
        if joined.outcomes.is_empty() && !next.outcomes.is_empty() {
            let first = next.due(0).nanos_since(joined.from) / 1_000_000;
            joined.first_ms = u32::try_from(first).unwrap_or(0);
        }
        let long = next.to().nanos_since(joined.from) / 1_000_000;
        joined.millis = u32::try_from(long).unwrap_or(joined.millis);
        next.outcomes.runs().for_each(|(count, outcome)| joined.outcomes.push_run(count, outcome));
        for (reason, count) in next.reasons {
            let all = joined.reasons.entry(reason).or_default();
            *all = all.saturating_add(count);
        }
        joined.duplicates = joined.duplicates.saturating_add(next.duplicates);
        joined.reordered = joined.reordered.saturating_add(next.reordered);
        joined.kernel_stamped = joined.kernel_stamped.saturating_add(next.kernel_stamped);
        joined.rfc3550_max_ns = joined.rfc3550_max_ns.max(next.rfc3550_max_ns);
        merge(&mut self.rtt, &mut joined.rtt, next.rtt)?;
        merge(&mut self.ipdv, &mut joined.ipdv, next.ipdv)?;
        for (phase, packed) in next.phases {
            let all = self.phases.entry(phase).or_default();
            // What the first interval has of it is still there.
            joined.phases.remove(&phase).map_or(Ok(()), |first| all.add(&first))?;
            all.add(&packed)?;
        }
        Ok(())
    }

    fn close(mut self) -> Interval {
        let pack = |merged: Merged| {
            let Merged { histogram, sum_ns } = merged;
            histogram.pack().map(|histogram| Spread { histogram, sum_ns })
        };
        if let Some(rtt) = self.rtt.and_then(pack) {
            self.joined.rtt = Some(rtt);
        }
        if let Some(ipdv) = self.ipdv.and_then(pack) {
            self.joined.ipdv = Some(ipdv);
        }
        let packed = self.phases.into_iter().filter_map(|(phase, all)| Some((phase, all.pack()?)));
        self.joined.phases.extend::<Vec<(Phase, Packed)>>(packed.collect());
        self.joined
    }
}

/// Adds a spread; the first one stays as it is until there is another.
fn merge(
    merged: &mut Option<Merged>,
    first: &mut Option<Spread>,
    next: Option<Spread>,
) -> Result<(), NotAHistogram> {
    let Some(next) = next else { return Ok(()) };
    if merged.is_none() {
        let Some(first) = first.take() else {
            *first = Some(next);
            return Ok(());
        };
        let mut histogram = Histogram::new();
        histogram.add(&first.histogram)?;
        *merged = Some(Merged { histogram, sum_ns: first.sum_ns });
    }
    if let Some(merged) = merged {
        merged.histogram.add(&next.histogram)?;
        merged.sum_ns = merged.sum_ns.saturating_add(next.sum_ns);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
