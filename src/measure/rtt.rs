//! What a round-trip time is: the difference of two kernel stamps where they can be believed, else
//! the monotonic figure.
//!
//! The kernel stamps packets by the wall clock, which may be stepped at any moment. Every pass of
//! the prober therefore reads both clocks ([`Timeline::observe`]): as long as wall minus monotonic
//! stays the same, a stamp has one place on the monotonic clock ([`Timeline::address_kind`]);
//! across a step it has at most one that is possible. Both clocks of Linux are slewed together, so
//! that difference changes by steps only.

use std::time::Duration;

use crate::base::time::{Clock, Mono, Now, Wall};
use crate::measure::event::Stamp;

/// Two offsets that differ by no more than this, beside what their readings leave open, are the
/// same. It is more than two readings of an undisturbed clock differ by, and less than the error
/// that anyone would see in an RTT.
const TOLERANCE_NS: i128 = 2_000;
/// A stamp may lie this much outside the readings around it: they were taken by two calls, not by
/// one.
const SLACK: Duration = Duration::from_micros(20);
/// Readings of both clocks that took no longer than this are not taken again.
const TIGHT: Duration = Duration::from_micros(5);

/// Both clocks, and how far apart they may have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What they said.
    pub now: Now,
    /// The wall clock was read within this time after the monotonic one.
    pub width: Duration,
}

impl Reading {
    /// Reads both clocks, again (at most four times) when the process was interrupted in between.
    pub fn take(clock: &(impl Clock + ?Sized)) -> Self {
        let mut best = Self::once(clock);
        for _ in 0..3 {
            if best.width <= TIGHT {
                break;
            }
            let next = Self::once(clock);
            if next.width < best.width {
                best = next;
            }
        }
        best
    }

    fn once(clock: &(impl Clock + ?Sized)) -> Self {
        let now = clock.now();
        Self { now, width: clock.now().mono.since(now.mono) }
    }

    /// Wall minus monotonic.
    fn offset(&self) -> i128 {
        i128::from(self.now.wall.nanos()) - i128::from(self.now.mono.nanos())
    }
}

/// An instant, and the span between two steps of the wall clock in which it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, by the monotonic clock.
    pub at: Mono,
    /// The number of steps seen before it.
    pub era: u32,
}

/// The wall clock was set while this program watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it was noticed.
    pub at: Mono,
    /// By how much, in nanoseconds; positive is forwards.
    pub by_ns: i64,
}

/// Where the wall clock stood against the monotonic one, as far as it was watched.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    last: Mono,
    offset: i128,
    width: Duration,
    era: u32,
    /// The offset before the last step, and the readings between which that happened.
    before: Option<(i128, Mono, Mono)>,
}

impl Timeline {
    /// Begins to watch.
    #[must_use]
    pub fn new(first: Reading) -> Self {
        Self {
            last: first.now.mono,
            offset: first.offset(),
            width: first.width,
            era: 0,
            before: None,
        }
    }

    /// Takes one more reading; gives the step that it shows, if any. Readings come in the order in
    /// which they were taken.
    pub fn observe(&mut self, reading: Reading) -> Option<Step> {
        let (offset, earlier) = (reading.offset(), self.last);
        self.last = reading.now.mono;
        let open = i128::try_from((self.width + reading.width).as_nanos()).unwrap_or(i128::MAX);
        let by = offset - self.offset;
        if by.abs() <= TOLERANCE_NS + open {
            if reading.width < self.width {
                (self.offset, self.width) = (offset, reading.width);
            }
            return None;
        }
        self.before = Some((self.offset, earlier, self.last));
        (self.offset, self.width) = (offset, reading.width);
        self.era = self.era.wrapping_add(1);
        let by_ns = i64::try_from(by.clamp(i128::from(i64::MIN), i128::from(i64::MAX)))
            .expect("clamped to the range");
        Some(Step { at: self.last, by_ns })
    }

    /// The latest reading as a moment.
    #[must_use]
    pub const fn seen(&self) -> Moment {
        Moment { at: self.last, era: self.era }
    }

    /// The latest reading as both clocks said it.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall: wall_at(self.offset, self.last), mono: self.last }
    }

    /// Where a kernel stamp lies that was made after `since` (a moment at which everything older
    /// had been read) and before the latest reading. [`None`] when it lies nowhere in between, or
    /// when a step leaves two places open.
    #[must_use]
    pub fn place(&self, stamp: Wall, since: Mono) -> Option<Moment> {
        let at = |offset: i128| {
            u64::try_from(i128::from(stamp.nanos()) - offset).ok().map(Mono::from_nanos)
        };
        let within = |at: Mono, from: Mono, to: Mono| at + SLACK >= from && at <= to + SLACK;
        let step = self.before.filter(|&(_, _, after)| after >= since);
        let from = step.map_or(since, |(_, before, _)| before.max(since));
        let here = at(self.offset)
            .filter(|&at| within(at, from, self.last))
            .map(|at| Moment { at, era: self.era });
        let there = step.and_then(|(offset, _, after)| {
            at(offset)
                .filter(|&at| within(at, since, after))
                .map(|at| Moment { at, era: self.era.wrapping_sub(1) })
        });
        match (here, there) {
            (Some(moment), None) | (None, Some(moment)) => Some(moment),
            _ => None,
        }
    }
}

fn wall_at(offset: i128, at: Mono) -> Wall {
    let nanos = (i128::from(at.nanos()) + offset).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Wall::from_nanos(i64::try_from(nanos).expect("clamped to the range"))
}

/// A round-trip time and who measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// In nanoseconds.
    pub ns: u64,
    /// Whose stamps.
    pub stamp: Stamp,
}

/// What is known of one wait, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Read before the packet was handed to the kernel.
    pub sent: Moment,
    /// The kernel's transmit stamp.
    pub tx: Option<Moment>,
    /// The kernel's receive stamp.
    pub rx: Option<Moment>,
    /// Read after the reply was taken from the kernel.
    pub seen: Moment,
}

impl Wait {
    /// The round-trip time. Kernel stamps are believed when no step of the clock was seen over the
    /// whole wait and `sent ≤ tx ≤ rx ≤ seen`; else it is monotonic, from the latest certain
    /// beginning to the earliest certain end.
    #[must_use]
    pub fn rtt(&self) -> Rtt {
        let in_order = |earlier: Mono, later: Mono| earlier <= later + SLACK;
        if let (Some(tx), Some(rx)) = (self.tx, self.rx)
            && [tx.era, rx.era, self.seen.era].iter().all(|&era| era == self.sent.era)
            && in_order(self.sent.at, tx.at)
            && tx.at <= rx.at
            && in_order(rx.at, self.seen.at)
        {
            return Rtt { ns: nanos(tx.at, rx.at), stamp: Stamp::Kernel };
        }
        let certain = |at: &Mono| *at >= self.sent.at && *at <= self.seen.at;
        let begin = self.tx.map(|tx| tx.at).filter(certain).unwrap_or(self.sent.at);
        let end = self
            .rx
            .map(|rx| rx.at)
            .filter(certain)
            .filter(|&rx| rx >= begin)
            .unwrap_or(self.seen.at);
        Rtt { ns: nanos(begin, end), stamp: Stamp::User }
    }
}

fn nanos(from: Mono, to: Mono) -> u64 {
    to.nanos().saturating_sub(from.nanos())
}

#[cfg(test)]
mod tests;
