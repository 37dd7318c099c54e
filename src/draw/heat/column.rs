//! One column of the map: the buckets that it has room for, as one.

use std::time::Duration;

use super::Part;
use crate::base::time::Wall;
use crate::measure::history::{Bucket, merged};
use crate::measure::outcome::Outcome;

/// What is drawn in one column.
#[derive(Debug)]
pub(super) struct Column {
    /// Where it begins.
    pub from: Wall,
    /// Where it ends.
    pub to: Wall,
    all: Bucket,
    /// How much of its time has passed, of the buckets that it shows.
    passed: Duration,
}

impl Column {
    /// The buckets that touch its time. One that is longer than the column is in each that it
    /// covers.
    pub fn of(buckets: &[Bucket], (from, to): (Wall, Wall), until: Wall) -> Self {
        let first = buckets.partition_point(|bucket| bucket.to() <= from);
        let end = buckets.partition_point(|bucket| bucket.from < to);
        let all = merged(buckets.get(first..end).unwrap_or_default()).unwrap_or_default();
        let passed = all.to().min(until).nanos_since(all.from);
        let passed = Duration::from_nanos(u64::try_from(passed).unwrap_or(0));
        Self { from, to, all, passed }
    }

    /// Whether nothing is known of it.
    pub fn is_hole(&self) -> bool {
        self.all.is_hole() && !self.is_to_come()
    }

    fn is_to_come(&self) -> bool {
        self.passed.is_zero()
    }

    fn part(&self, some: u64, all: u64) -> Part {
        match self.is_hole() {
            true => Part::Unknown,
            false if self.is_to_come() && all == 0 => Part::ToCome,
            false => Part::Of(some.into(), all.into()),
        }
    }

    pub fn lost(&self) -> Part {
        self.part(self.all.failed(), self.all.sent())
    }

    pub fn late(&self) -> Part {
        self.part(self.all.count(Outcome::Late), self.all.sent())
    }

    pub fn unsent(&self) -> Part {
        self.part(self.all.count(Outcome::NotSent), self.all.due())
    }

    /// The share of its time of which nothing is known.
    pub fn unseen(&self) -> Part {
        if self.is_to_come() {
            return Part::ToCome;
        }
        if self.is_hole() {
            return Part::Unknown;
        }
        let (unseen, whole) = self.all.unseen(self.all.from, self.all.from + self.passed);
        Part::Of(unseen.into(), whole.into())
    }

    pub fn min_us(&self) -> Option<u64> {
        self.all.rtt.recorded().next().map(|(us, _)| us)
    }

    pub fn max_us(&self) -> Option<u64> {
        self.all.rtt.max_us()
    }

    pub fn at_us(&self, part: u64, of: u64) -> Option<u64> {
        self.all.rtt.value_at_us(part, of)
    }

    /// How many answers took from one latency up to and without another, and how many there are.
    pub fn share(&self, from: u64, to: u64) -> (u64, u64) {
        let within = self.all.rtt.recorded().filter(|(us, _)| (from..to).contains(us));
        (within.map(|(_, count)| count).sum(), self.all.rtt.count())
    }
}
