//! What one agent may ask for in a while. A request counts only once a signature in it was verified, so that nobody can use
//! up another's share; and one that brings nothing but what is stored already counts by itself, since whoever holds copies
//! of summaries, as the other party of a contract does, could send those.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::time::Mono;
use crate::config::collector::Rate;
use crate::evidence::key::Kid;

/// What a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Brings {
    /// Something that is not stored yet, or it reads.
    New,
    /// Only what is stored.
    Stored,
}

/// Who asked how often. There is an entry for each agent that is enrolled, at most.
#[derive(Debug, Default)]
pub struct Limiter {
    /// When each one's share will be whole again.
    full: Mutex<HashMap<(Kid, Brings), Mono>>,
}

impl Limiter {
    /// Counts a request.
    ///
    /// # Errors
    /// When it is one too many: how long to wait until it is not.
    pub fn count(&self, agent: Kid, brings: Brings, rate: Rate, now: Mono) -> Result<(), Duration> {
        let each = rate.per / rate.count.max(1);
        let mut all = self.full.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let full = all.entry((agent, brings)).or_insert(now);
        // The share is `per` long, and each request takes `each` of it for as long.
        let would = (*full).max(now) + each;
        let over = would.since(now + rate.per);
        if over.is_zero() {
            *full = would;
            Ok(())
        } else {
            Err(over)
        }
    }

    /// Takes back that a request was counted.
    pub fn give_back(&self, agent: Kid, brings: Brings, rate: Rate) {
        let each = rate.per / rate.count.max(1);
        let mut all = self.full.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(full) = all.get_mut(&(agent, brings)) {
            *full = Mono::from_nanos(full.nanos().saturating_sub(u64::try_from(each.as_nanos()).unwrap_or(u64::MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::key::SecretKey;

    #[test]
    fn a_share_is_used_up_at_once_and_comes_back_over_its_time() {
        let limiter = Limiter::default();
        let rate = Rate { count: 3, per: Duration::from_secs(60) };
        let (one, two) = (SecretKey::from_seed(&[1; 32]).kid(), SecretKey::from_seed(&[2; 32]).kid());
        let at = |secs: u64| Mono::from_nanos(secs * 1_000_000_000);
        for _ in 0..3 {
            limiter.count(one, Brings::New, rate, at(100)).unwrap();
        }
        assert_eq!(limiter.count(one, Brings::New, rate, at(100)), Err(Duration::from_secs(20)));
        assert_eq!(limiter.count(one, Brings::New, rate, at(119)), Err(Duration::from_secs(1)));
        limiter.count(one, Brings::Stored, rate, at(100)).unwrap();
        limiter.count(two, Brings::New, rate, at(100)).unwrap();
        limiter.give_back(two, Brings::New, rate);
        for _ in 0..3 {
            limiter.count(two, Brings::New, rate, at(100)).unwrap();
        }
        assert!(
            limiter.count(two, Brings::New, rate, at(100)).is_err(),
            "what was given back is counted once more only"
        );
        limiter.count(one, Brings::New, rate, at(120)).unwrap();
        assert!(limiter.count(one, Brings::New, rate, at(120)).is_err());
        for _ in 0..3 {
            limiter.count(one, Brings::New, rate, at(1000)).unwrap();
        }
    }
}
