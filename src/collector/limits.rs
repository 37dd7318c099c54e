//! What one agent may ask for in a while. A request counts only once a signature in it was
//! verified, so that nobody can use up another's share; and one that brings nothing but what is
//! stored already counts by itself, since whoever holds copies of summaries, as the other party of
//! a contract does, could send those.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::time::Mono;
use crate::config::collector::Rate;
use crate::evidence::key::Kid;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// A request that brings something that is not stored yet, or that reads.
    New,
    /// A request that brings only what is stored.
    Stored,
    /// A byte that is to be stored.
    Byte,
    /// A summary that names a next key.
    Rotation,
}

/// So often an agent changes its key: a request that names more has the share of a day.
pub const ROTATIONS: Rate = Rate { count: 16, per: Duration::from_secs(86_400) };

/// Who asked how often. There is an entry for each agent that is enrolled, at most.
#[derive(Debug, Default)]
pub struct Limiter {
    /// When each one's share will be whole again.
    full: Mutex<HashMap<(Kid, Counted), Mono>>,
}

impl Limiter {
    /// Counts so many.
    ///
    /// # Errors
    /// When they are too many: how long to wait until they are not.
    pub fn count(
        &self,
        agent: Kid,
        (many, what): (u32, Counted),
        rate: Rate,
        now: Mono,
    ) -> Result<(), Duration> {
        let mut all = self.full.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let full = all.entry((agent, what)).or_insert(now);
        let was = (*full).max(now);
        // The share is `per` long, and each takes its part of it for as long. What is more than a
        // whole share waits for a whole one.
        let would = was + (each(rate) * many).min(rate.per);
        let over = would.since(now + rate.per);
        if over.is_zero() {
            *full = would;
            Ok(())
        } else {
            Err(over)
        }
    }

    /// Takes back that so many were counted.
    pub fn give_back(&self, agent: Kid, (many, what): (u32, Counted), rate: Rate) {
        let part = u64::try_from((each(rate) * many).min(rate.per).as_nanos()).unwrap_or(u64::MAX);
        let mut all = self.full.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(full) = all.get_mut(&(agent, what)) {
            *full = Mono::from_nanos(full.nanos().saturating_sub(part));
        }
    }
}

/// For how long one takes its part of the share.
fn each(rate: Rate) -> Duration {
    rate.per / rate.count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::key::SecretKey;

    #[test]
    fn a_share_is_used_up_at_once_and_comes_back_over_its_time() {
        let limiter = Limiter::default();
        let rate = Rate { count: 3, per: Duration::from_secs(60) };
        let (one, two) =
            (SecretKey::from_seed(&[1; 32]).kid(), SecretKey::from_seed(&[2; 32]).kid());
        let at = |secs: u64| Mono::from_nanos(secs * 1_000_000_000);
        for _ in 0..3 {
            limiter.count(one, (1, Counted::New), rate, at(100)).unwrap();
        }
        assert_eq!(
            limiter.count(one, (1, Counted::New), rate, at(100)),
            Err(Duration::from_secs(20))
        );
        assert_eq!(
            limiter.count(one, (1, Counted::New), rate, at(119)),
            Err(Duration::from_secs(1))
        );
        limiter.count(one, (1, Counted::Stored), rate, at(100)).unwrap();
        limiter.count(two, (1, Counted::New), rate, at(100)).unwrap();
        limiter.give_back(two, (1, Counted::New), rate);
        for _ in 0..3 {
            limiter.count(two, (1, Counted::New), rate, at(100)).unwrap();
        }
        assert!(
            limiter.count(two, (1, Counted::New), rate, at(100)).is_err(),
            "what was given back is counted once more only"
        );
        limiter.count(one, (1, Counted::New), rate, at(120)).unwrap();
        assert!(limiter.count(one, (1, Counted::New), rate, at(120)).is_err());
        for _ in 0..3 {
            limiter.count(one, (1, Counted::New), rate, at(1000)).unwrap();
        }
    }
    #[test]
    fn bytes_are_counted_by_the_day_and_by_themselves() {
        let limiter = Limiter::default();
        let day = Rate { count: 1 << 30, per: Duration::from_secs(86_400) };
        let agent = SecretKey::from_seed(&[1; 32]).kid();
        let at = |secs: u64| Mono::from_nanos(secs * 1_000_000_000);
        let half = (1 << 29, Counted::Byte);
        limiter.count(agent, half, day, at(100)).unwrap();
        limiter.count(agent, half, day, at(100)).unwrap();
        let wait = limiter.count(agent, half, day, at(100)).unwrap_err();
        assert!(
            wait > Duration::from_secs(43_000) && wait <= Duration::from_secs(43_200),
            "half a day: {wait:?}"
        );
        limiter.count(agent, (1, Counted::New), day, at(100)).unwrap();
        limiter.give_back(agent, half, day);
        limiter.count(agent, half, day, at(100)).unwrap();
        // More than a day's share at once is not refused for ever.
        limiter.count(agent, (u32::MAX, Counted::Byte), day, at(200_000)).unwrap();
    }
}
