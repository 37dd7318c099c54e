//! Time against latency: what a probe saw, cut into buckets at the multiples of a step in UTC.
//! Outcomes are counted, histograms merged. What nobody observed is an empty bucket, never a good
//! one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::Wall;
use crate::measure::histogram::{Board, Counts, NotAHistogram, Packed};
use crate::measure::interval::Interval;
use crate::measure::outcome::{Outcome, Outcomes};

mod step;

pub use step::{NotAStep, Step};

/// A label may be beside a boundary by so much: a clock that is slewed moves it.
const AMISS: Duration = Duration::from_millis(100);

/// What a probe saw in one stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub from: Wall,
    /// How long it is, whether or not all of it was observed.
    pub length: Duration,
    /// For how much of it there are intervals.
    pub covered: Duration,
    /// How many sends of each outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 6],
    /// The RTTs, in microseconds.
    pub rtt: Counts,
    /// Their exact sum, in nanoseconds.
    pub rtt_sum_ns: u128,
    /// The differences of neighbouring RTTs, in microseconds.
    pub ipdv: Counts,
    /// Their exact sum, in nanoseconds.
    pub ipdv_sum_ns: u128,
}

impl Bucket {
    /// Where it ends.
    #[must_use]
    pub fn to(&self) -> Wall {
        self.from + self.length
    }

    /// How many sends have an outcome.
    #[must_use]
    pub fn count(&self, of: Outcome) -> u64 {
        Outcome::ALL.iter().zip(self.outcomes).find(|(each, _)| **each == of).map_or(0, |(_, n)| n)
    }

    /// How many sends were due, as far as anybody knows.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How many were sent, and watched: those that can have been lost.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.due() - self.count(Outcome::NotSent) - self.count(Outcome::NotObserved)
    }

    /// How many of those that were sent got no answer that is one: lost or refused.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.count(Outcome::Lost) + self.count(Outcome::Refused)
    }

    /// Whether nothing is known of it: no interval, or only sends that nobody watched.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.covered.is_zero() || (self.due() > 0 && self.due() == self.count(Outcome::NotObserved))
    }

    /// How much of its time between two instants is not known, and how much time that is, in
    /// milliseconds: where there is no interval, and of the intervals as much as of their sends.
    #[must_use]
    pub fn unseen(&self, from: Wall, until: Wall) -> (u64, u64) {
        let passed = self.to().min(until).nanos_since(self.from.max(from));
        let whole = u64::try_from(passed / 1_000_000).unwrap_or(0);
        if self.is_hole() {
            return (whole, whole);
        }
        let covered = u64::try_from(self.covered.as_millis()).unwrap_or(whole).min(whole);
        // Ends of intervals are some milliseconds beside the minute's.
        let absent = if whole - covered <= 1000 { 0 } else { whole - covered };
        let unseen = u128::from(covered) * u128::from(self.count(Outcome::NotObserved))
            / u128::from(self.due().max(1));
        (absent + u64::try_from(unseen).unwrap_or(0), whole)
    }

    /// The mean RTT in microseconds, by the exact sum.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        mean(self.rtt_sum_ns, &self.rtt)
    }

    /// The mean difference of neighbouring RTTs in microseconds, by the exact sum.
    #[must_use]
    pub fn ipdv_mean_us(&self) -> Option<f64> {
        mean(self.ipdv_sum_ns, &self.ipdv)
    }

    fn count_all(&mut self, outcomes: &Outcomes) {
        for (count, outcome) in outcomes.runs() {
            let at = Outcome::ALL.iter().position(|each| *each == outcome);
            if let Some(all) = at.and_then(|at| self.outcomes.get_mut(at)) {
                *all = all.saturating_add(count.into());
            }
        }
    }

    /// Adds what another saw, but for the histograms.
    fn add_figures(&mut self, other: &Self) {
        self.covered = self.covered.saturating_add(other.covered);
        for (all, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *all = all.saturating_add(more);
        }
        self.rtt_sum_ns = self.rtt_sum_ns.saturating_add(other.rtt_sum_ns);
        self.ipdv_sum_ns = self.ipdv_sum_ns.saturating_add(other.ipdv_sum_ns);
    }
}

#[expect(clippy::cast_precision_loss, reason = "fifteen digits are enough for a mean")]
fn mean(sum_ns: u128, counts: &Counts) -> Option<f64> {
    let count = counts.count();
    (count > 0).then(|| sum_ns as f64 / (count as f64 * 1000.0))
}

/// What one interval says, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Where it begins.
    pub from: Wall,
    /// Its length in milliseconds.
    pub millis: u32,
    /// Its sends.
    pub outcomes: &'a Outcomes,
    /// RTTs and their exact sum in nanoseconds.
    pub rtt: Option<(&'a Packed, u64)>,
    /// Differences of neighbouring RTTs and their exact sum in nanoseconds.
    pub ipdv: Option<(&'a Packed, u64)>,
}

impl<'a> From<&'a Interval> for Part<'a> {
    fn from(interval: &'a Interval) -> Self {
        Self {
            from: interval.from,
            millis: interval.millis,
            outcomes: &interval.outcomes,
            rtt: interval.rtt.as_ref().map(|rtt| (&rtt.histogram, rtt.sum_ns)),
            ipdv: interval.ipdv.as_ref().map(|ipdv| (&ipdv.histogram, ipdv.sum_ns)),
        }
    }
}

/// Buckets that are being filled, by intervals in any order; in the order of time it takes least.
#[derive(Debug)]
pub struct History {
    from: Wall,
    to: Wall,
    step: Duration,
    done: BTreeMap<Wall, Bucket>,
    /// The one that is filled now; its histograms are on the boards.
    open: Option<Bucket>,
    rtt: Board,
    ipdv: Board,
}

impl History {
    /// Buckets of a step for the time from one instant to another, which is widened to whole ones.
    #[must_use]
    pub fn new(from: Wall, to: Wall, step: Step) -> Self {
        let step = step.length();
        let (from, to) = (from.floor(step), ceil(to, step));
        let (rtt, ipdv) = (Board::default(), Board::default());
        Self { from, to, step, done: BTreeMap::new(), open: None, rtt, ipdv }
    }

    /// The time that its buckets are of.
    #[must_use]
    pub fn span(&self) -> (Wall, Wall) {
        (self.from, self.to)
    }

    /// Adds what an interval saw. Where it is longer than the step, its bucket is as long as the
    /// hour or the day in which it lies.
    ///
    /// # Errors
    /// When a histogram cannot be read; then some of its values may have been added.
    pub fn add(&mut self, part: Part<'_>) -> Result<(), NotAHistogram> {
        let bucket = self.bucket_of(&part);
        bucket.covered += Duration::from_millis(part.millis.into());
        bucket.count_all(part.outcomes);
        if let Some((packed, sum_ns)) = part.rtt {
            bucket.rtt_sum_ns = bucket.rtt_sum_ns.saturating_add(sum_ns.into());
            self.rtt.add(packed)?;
        }
        if let Some((packed, sum_ns)) = part.ipdv {
            let all = self.open.as_mut().map(|bucket| &mut bucket.ipdv_sum_ns);
            all.into_iter().for_each(|all| *all = all.saturating_add(sum_ns.into()));
            self.ipdv.add(packed)?;
        }
        Ok(())
    }

    /// Opens the bucket of an interval.
    fn bucket_of(&mut self, part: &Part<'_>) -> &mut Bucket {
        let (begin, length) = self.place(part);
        let middle = part.from + Duration::from_millis(u64::from(part.millis) / 2);
        let is_open = self
            .open
            .as_ref()
            .is_some_and(|open| open.from <= middle && middle < open.to() && open.length >= length);
        if !is_open {
            self.shut();
            let before = self.done.range(..=middle).next_back().map(|(_, bucket)| bucket);
            let wider = before.filter(|last| middle < last.to() && last.length >= length);
            let (from, length) = wider.map_or((begin, length), |wider| (wider.from, wider.length));
            // Those that lie within it are a part of it now.
            let within: Vec<Wall> =
                self.done.range(from..from + length).map(|(from, _)| *from).collect();
            let mut open = Bucket { from, length, ..Bucket::default() };
            for known in within.iter().filter_map(|from| self.done.remove(from)) {
                open.add_figures(&known);
                self.rtt.add_counts(&known.rtt);
                self.ipdv.add_counts(&known.ipdv);
            }
            self.open = Some(open);
        }
        self.open.get_or_insert_default()
    }

    /// Where the bucket of an interval begins, and how long it is.
    fn place(&self, part: &Part<'_>) -> (Wall, Duration) {
        let length = Duration::from_millis(part.millis.into());
        let middle = part.from + length / 2;
        let day = Step::Day.length();
        let lengths = [self.step, Step::Hour.length(), day];
        let mut fitting = lengths.into_iter().filter(|each| *each >= self.step).filter(|each| {
            let begin = middle.floor(*each);
            part.from + AMISS >= begin && part.from + length <= begin + *each + AMISS
        });
        let length = fitting.next().unwrap_or(day.max(self.step));
        (middle.floor(length), length)
    }

    fn shut(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.rtt = self.rtt.take();
            open.ipdv = self.ipdv.take();
            self.done.insert(open.from, open);
        }
    }

    /// The buckets, in the order of time and without a gap: where nothing was observed they are
    /// empty.
    #[must_use]
    pub fn buckets(mut self) -> Vec<Bucket> {
        self.shut();
        let mut all = Vec::new();
        let mut next =
            self.done.first_key_value().map_or(self.from, |(first, _)| self.from.min(*first));
        let step = self.step;
        let empty = |from: Wall| Bucket { from, length: step, ..Bucket::default() };
        for (from, bucket) in self.done {
            while next < from {
                all.push(empty(next));
                next = next + step;
            }
            next = bucket.to();
            all.push(bucket);
        }
        while next < self.to {
            all.push(empty(next));
            next = next + step;
        }
        all
    }
}

/// Several buckets as one; [`None`] of none.
#[must_use]
pub fn merged(buckets: &[Bucket]) -> Option<Bucket> {
    let (first, last) = (buckets.first()?, buckets.last()?);
    let nanos = last.to().nanos_since(first.from);
    let mut all = Bucket {
        from: first.from,
        length: Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)),
        ..Bucket::default()
    };
    let (mut rtt, mut ipdv) = (Board::default(), Board::default());
    for bucket in buckets {
        all.add_figures(bucket);
        rtt.add_counts(&bucket.rtt);
        ipdv.add_counts(&bucket.ipdv);
    }
    (all.rtt, all.ipdv) = (rtt.take(), ipdv.take());
    Some(all)
}

/// What was not yet written when it was read is no hole: minutes are written once they are settled.
const YOUNG: Duration = Duration::from_secs(300);

/// Up to when buckets can have anything, of which all up to an instant is asked for: what is newest
/// is still to be written.
#[must_use]
pub fn settled_until(buckets: &[Bucket], until: Wall) -> Wall {
    let last = buckets.iter().rev().find(|bucket| !bucket.covered.is_zero());
    let newest = last.map(|last| (last.from + last.covered).min(last.to()));
    newest.filter(|newest| *newest + YOUNG >= until).map_or(until, |newest| newest.min(until))
}

fn ceil(at: Wall, step: Duration) -> Wall {
    let floor = at.floor(step);
    if floor < at { floor + step } else { at }
}

#[cfg(test)]
mod tests;
