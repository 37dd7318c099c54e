//! How long to wait before the next try: doubled each time, with full jitter, so that ten thousand
//! agents do not come back in one instant.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);
/// Whatever the collector asks for, it is asked again within so long.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// How often it did not work in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// It did not: how long to wait, by a random number of the whole range, and at least as long as
    /// was asked for. A quarter of that is added at most, again lest all come at once.
    pub fn next(&mut self, random: u32, asked: Duration) -> Duration {
        let asked = asked.min(LONGEST_ASKED);
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let part = f64::from(random) / f64::from(u32::MAX);
        if asked.is_zero() {
            // Never at once: a collector that refuses connections is not asked a hundred times a
            // second.
            ceiling.mul_f64(part).max(Duration::from_millis(100))
        } else {
            asked + (asked / 4).mul_f64(part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_anywhere_below_a_ceiling_that_doubles_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<u64> =
            (0..10).map(|_| backoff.next(u32::MAX, Duration::ZERO).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.next(0, Duration::ZERO), Duration::from_millis(100));
        assert_eq!(backoff.next(u32::MAX / 2, Duration::ZERO).as_secs(), 149);
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX, Duration::ZERO).as_secs(), 2);
    }

    #[test]
    fn what_the_collector_asks_for_is_waited_and_little_more() {
        let mut backoff = Backoff::default();
        for random in [0, u32::MAX / 2, u32::MAX] {
            let wait = backoff.next(random, Duration::from_secs(40)).as_secs();
            assert!((40..=50).contains(&wait), "{wait}");
        }
        assert!(backoff.next(0, Duration::from_secs(1 << 40)) <= LONGEST_ASKED * 5 / 4);
    }
}
