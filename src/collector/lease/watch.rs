//! Who goes round where several replicas could. A lease names its holder and the instant until
//! which it is believed to; whoever sees that instant pass takes over. Wall clocks are wrong now
//! and then: a lease of one that was ahead would hold for years. Hence one that was not renewed for
//! as long as a lease lasts, by the monotonic clock of whoever looks, is over too. Pure.

use std::time::Duration;

use crate::base::time::{Mono, Wall};

/// A replica that goes round is believed to for so long without a sign.
pub const LEASE: Duration = Duration::from_secs(60);

/// A lease, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it.
    pub holder: String,
    /// Until when.
    pub until: Wall,
}

/// What was seen of a lease that another holds.
#[derive(Debug, Default)]
pub struct Watch(Option<(LeaseRecord, Mono)>);

impl Watch {
    /// Whether it has stood unchanged for as long as a lease lasts.
    pub fn is_over(&mut self, held: LeaseRecord, now: Mono) -> bool {
        match &self.0 {
            Some((seen, since)) if *seen == held => now.since(*since) > LEASE,
            _ => {
                self.0 = Some((held, now));
                false
            }
        }
    }
}

/// What is to be said of a lease that was taken over before it ended by its own word.
#[must_use]
pub fn was_ahead(held: &LeaseRecord, now: Wall) -> Option<Duration> {
    let ahead = held.until.nanos_since(now + LEASE);
    u64::try_from(ahead).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(until: i64) -> LeaseRecord {
        LeaseRecord { holder: "a".to_owned(), until: Wall::from_secs(until) }
    }

    fn at(secs: u64) -> Mono {
        Mono::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_lease_that_is_renewed_is_never_over_and_one_that_is_not_is_whatever_the_clock_says() {
        let mut watch = Watch::default();
        assert!(
            !(0..100)
                .any(|turn| watch.is_over(held(i64::try_from(turn).unwrap() * 20), at(turn * 20)))
        );
        // In the year 2100.
        assert!(
            !watch.is_over(held(4_102_444_800), at(2000))
                && !watch.is_over(held(4_102_444_800), at(2060))
        );
        assert!(watch.is_over(held(4_102_444_800), at(2061)));
    }

    #[test]
    fn only_a_lease_that_no_right_clock_writes_was_ahead() {
        let now = Wall::from_secs(1_000);
        assert_eq!(was_ahead(&held(1_060), now), None);
        assert_eq!(was_ahead(&held(1_000_060), now), Some(Duration::from_secs(999_000)));
    }
}
