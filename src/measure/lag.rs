//! How late this program itself was, and when that bounds what it says of the network.
//!
//! Kernel stamps do not wait for this program, so that being late costs an RTT between two of them
//! nothing. What it does cost: sends that were not made in time and answers that the queue had no
//! room for, which are not observed, and RTTs that this program stamped itself, which contain its
//! own delay. Such sends are counted in an interval's reasons as [`LIMITED`], so that nobody takes
//! this host for the network.

use std::time::Duration;

use crate::measure::outcome::{Outcome, Reason};

/// An interval's reason that counts the sends of which this host, and not the network, limited what
/// is known.
pub const LIMITED: &str = "own/limited";

/// While this program was late by so much or more, the RTTs that it stamped itself are its own as
/// much as the network's. An idle host is late by some hundred microseconds.
pub const LIMIT: Duration = Duration::from_millis(5);

/// Whether a send was not observed for want of this program's own doing.
#[must_use]
pub fn is_own(reason: &Reason) -> bool {
    reason.outcome == Outcome::NotObserved
        && matches!(&*reason.kind, "late" | "gap" | "overflow" | "stalled")
}

/// How late a program was over some time: the worst, and enough for a mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    worst: Duration,
    sum: Duration,
    count: u32,
}

impl Lag {
    /// Takes one more delay.
    pub fn add(&mut self, late: Duration) {
        self.worst = self.worst.max(late);
        self.sum = self.sum.saturating_add(late);
        self.count = self.count.saturating_add(1);
    }

    /// The longest delay.
    #[must_use]
    pub const fn worst(&self) -> Duration {
        self.worst
    }

    /// The mean delay; [`None`] when there was none to measure.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum.checked_div(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_host_missed_is_its_own_doing_and_what_was_stopped_or_removed_is_not() {
        let own = ["late", "gap", "overflow", "stalled"]
            .map(|kind| is_own(&Reason::new(Outcome::NotObserved, kind)));
        assert_eq!(own, [true; 4]);
        let not =
            ["stopped", "removed"].map(|kind| is_own(&Reason::new(Outcome::NotObserved, kind)));
        assert_eq!(not, [false; 2]);
        assert!(!is_own(&Reason::new(Outcome::NotSent, "buffer")) && !is_own(&Reason::TIMEOUT));
    }

    #[test]
    fn a_lag_is_told_by_its_worst_and_its_mean() {
        let mut lag = Lag::default();
        assert_eq!((lag.worst(), lag.mean()), (Duration::ZERO, None));
        [1, 2, 9].into_iter().for_each(|ms| lag.add(Duration::from_millis(ms)));
        assert_eq!(
            (lag.worst(), lag.mean()),
            (Duration::from_millis(9), Some(Duration::from_millis(4)))
        );
    }
}
