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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn reading(mono: u64, offset: i64) -> Reading {
        let wall = Wall::from_nanos(i64::try_from(mono).unwrap() + offset);
        Reading { now: Now { wall, mono: Mono::from_nanos(mono) }, width: Duration::ZERO }
    }

    fn stamp(mono: u64, offset: i64) -> Wall {
        Wall::from_nanos(i64::try_from(mono).unwrap() + offset)
    }

    const OFFSET: i64 = 1_700_000_000_000_000_000;
    const BOOT: u64 = 100_000_000_000_000;

    #[test]
    fn two_kernel_stamps_under_a_quiet_clock_are_the_rtt() {
        let mut line = Timeline::new(reading(BOOT, OFFSET));
        let sent = line.seen();
        assert_eq!(line.observe(reading(BOOT + 30_000_000, OFFSET)), None);
        let tx = line.place(stamp(BOOT + 7_000, OFFSET), sent.at);
        let rx = line.place(stamp(BOOT + 24_019_400, OFFSET), sent.at);
        assert_eq!(
            Wait { sent, tx, rx, seen: line.seen() }.rtt(),
            Rtt { ns: 24_012_400, stamp: Stamp::Kernel }
        );
    }

    #[test]
    fn without_a_transmit_stamp_the_wait_begins_at_the_call_and_ends_at_the_receive_stamp() {
        let mut line = Timeline::new(reading(BOOT, OFFSET));
        let sent = line.seen();
        line.observe(reading(BOOT + 90_000_000, OFFSET));
        let rx = line.place(stamp(BOOT + 24_000_000, OFFSET), sent.at);
        assert_eq!(
            Wait { sent, tx: None, rx, seen: line.seen() }.rtt(),
            Rtt { ns: 24_000_000, stamp: Stamp::User }
        );
        let bare = Wait { sent, tx: None, rx: None, seen: line.seen() };
        assert_eq!(bare.rtt(), Rtt { ns: 90_000_000, stamp: Stamp::User });
    }

    #[test]
    fn stamps_out_of_order_are_not_believed() {
        let line = Timeline::new(reading(BOOT, OFFSET));
        let moment =
            |ms: u64| Moment { at: Mono::from_nanos(BOOT + ms * 1_000_000), era: line.era };
        let wait = |tx, rx| Wait {
            sent: moment(10),
            tx: Some(moment(tx)),
            rx: Some(moment(rx)),
            seen: moment(50),
        };
        assert_eq!(wait(11, 40).rtt(), Rtt { ns: 29_000_000, stamp: Stamp::Kernel });
        assert_eq!(wait(5, 40).rtt(), Rtt { ns: 30_000_000, stamp: Stamp::User });
        assert_eq!(wait(40, 11).rtt(), Rtt { ns: 10_000_000, stamp: Stamp::User });
        assert_eq!(wait(11, 60).rtt(), Rtt { ns: 39_000_000, stamp: Stamp::User });
    }

    #[test]
    fn a_step_that_came_and_went_during_the_wait_is_remembered() {
        let mut line = Timeline::new(reading(BOOT, OFFSET));
        let sent = line.seen();
        assert_eq!(
            line.observe(reading(BOOT + 10_000_000, OFFSET + HOUR)).map(|step| step.by_ns),
            Some(HOUR)
        );
        assert_eq!(
            line.observe(reading(BOOT + 20_000_000, OFFSET)).map(|step| step.by_ns),
            Some(-HOUR)
        );
        line.observe(reading(BOOT + 30_000_000, OFFSET));
        let rx = line.place(stamp(BOOT + 25_000_000, OFFSET), Mono::from_nanos(BOOT + 20_000_000));
        let wait = Wait { sent, tx: None, rx, seen: line.seen() };
        assert_eq!(wait.rtt(), Rtt { ns: 25_000_000, stamp: Stamp::User });
    }

    #[test]
    fn a_reading_that_was_interrupted_is_no_step() {
        let mut line = Timeline::new(reading(BOOT, OFFSET));
        let late = Reading {
            width: Duration::from_millis(3),
            ..reading(BOOT + 1_000_000, OFFSET + 2_900_000)
        };
        assert_eq!(line.observe(late), None);
        assert_eq!(line.observe(reading(BOOT + 5_000_000, OFFSET)), None);
    }

    proptest! {
        /// Whatever moment the clock is stepped at, forwards or backwards, the RTT is as it was.
        #[test]
        fn a_stepped_clock_never_reaches_a_figure(
            step in prop_oneof![Just(HOUR), Just(-HOUR), 200_000_000i64..HOUR, -HOUR..-200_000_000],
            stepped in 0u64..60_000_000,
            tick in 1_000_000u64..20_000_000,
            rtt in 100_000u64..50_000_000,
        ) {
            let offset = |mono: u64| if mono >= BOOT + stepped { OFFSET + step } else { OFFSET };
            let mut line = Timeline::new(reading(BOOT - 1, offset(BOOT - 1)));
            line.observe(reading(BOOT, offset(BOOT)));
            let sent = line.seen();
            let (tx_at, rx_at) = (BOOT + 5_000, BOOT + 5_000 + rtt);
            let (mut tx, mut rx) = (None, None);
            for pass in 1u64.. {
                let (since, now) = (BOOT + (pass - 1) * tick, BOOT + pass * tick);
                line.observe(reading(now, offset(now)));
                let since = Mono::from_nanos(since);
                let heard = |at: u64| since.nanos() <= at && at < now;
                if heard(tx_at) {
                    tx = line.place(stamp(tx_at, offset(tx_at)), since);
                }
                if heard(rx_at) {
                    rx = line.place(stamp(rx_at, offset(rx_at)), since);
                    break;
                }
            }
            let measured = Wait { sent, tx, rx, seen: line.seen() }.rtt();
            prop_assert_eq!(measured.ns, rtt);
            let quiet = sent.era == line.seen().era;
            prop_assert_eq!(measured.stamp == Stamp::Kernel, quiet, "{:?}", measured);
        }
    }
}
