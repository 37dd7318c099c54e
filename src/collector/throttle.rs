//! Who tries what may be tried only so often: tokens that are wrong, for one. What counts is the
//! network that asks, of which there are as many as an attacker has addresses; so what is
//! remembered is bounded, and where there are too many they share one place.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::Mono;
use crate::collector::connections::Source;
use crate::config::collector::Rate;
use crate::evidence::digest::Digest;

/// So many networks are told apart.
const NETWORKS: usize = 16_384;
/// A network's wrong tokens: after so many it has to wait.
const WRONG: Rate = Rate { count: 10, per: Duration::from_secs(60) };
/// A network's new agents that ask to be let in by an operator.
const ASKING: Rate = Rate { count: 120, per: Duration::from_secs(60) };

/// A token that was good is remembered for so long.
const GOOD: Duration = Duration::from_secs(3600);
/// So many of them are.
const KNOWN: usize = 4096;

/// What is guessed at the collector, each by itself.
#[derive(Debug)]
pub struct All {
    /// Tokens of the API.
    pub tokens: Guesses,
    /// Tokens that let an agent in.
    pub enrolment: Guesses,
    /// Agents that ask to be let in, and wait then.
    pub waiting: Guesses,
    good: Mutex<HashMap<(Source, Digest), Mono>>,
}

impl Default for All {
    fn default() -> Self {
        let [tokens, enrolment, waiting] = [WRONG, WRONG, ASKING].map(Guesses::new);
        Self { tokens, enrolment, waiting, good: Mutex::default() }
    }
}

impl All {
    /// Remembers a network's token that was good.
    pub fn good(&self, token: (Source, Digest), now: Mono) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= KNOWN && !good.contains_key(&token) {
            good.retain(|_, until| *until > now);
        }
        if good.len() < KNOWN || good.contains_key(&token) {
            good.insert(token, now + GOOD);
        }
    }

    /// Whether a network's token was good lately. Whether it still is, is looked up all the same.
    pub fn was_good(&self, token: &(Source, Digest), now: Mono) -> bool {
        self.good
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .is_some_and(|until| *until > now)
    }
}

/// How often each network tried in a while.
#[derive(Debug)]
pub struct Guesses {
    rate: Rate,
    all: Mutex<Tried>,
}

#[derive(Debug, Default)]
struct Tried {
    /// When each network's share will be whole again; [`None`] is those that found no place.
    whole: HashMap<Option<Source>, Mono>,
}

impl Guesses {
    /// None yet.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, all: Mutex::default() }
    }

    /// Counts a try, before it is looked at: any number at once are not more than may be. One that
    /// was right is given back.
    ///
    /// # Errors
    /// How long to wait until one may try again; then nothing is counted.
    pub fn count(&self, from: Source, now: Mono) -> Result<(), Duration> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.place(from, now);
        let would = self.would(all.whole.get(&place).copied(), now);
        let over = would.since(now + self.rate.per);
        if !over.is_zero() {
            return Err(over);
        }
        all.whole.insert(place, would);
        Ok(())
    }

    /// Takes back that a try was counted: it was no guess.
    pub fn give_back(&self, from: Source, now: Mono) {
        let each = self.rate.per / self.rate.count.max(1);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let place = if all.whole.contains_key(&Some(from)) { Some(from) } else { None };
        if let Some(whole) = all.whole.get_mut(&place) {
            *whole = Mono::from_nanos(
                whole.nanos().saturating_sub(u64::try_from(each.as_nanos()).unwrap_or(u64::MAX)),
            );
            if *whole <= now {
                all.whole.remove(&place);
            }
        }
    }

    fn would(&self, whole: Option<Mono>, now: Mono) -> Mono {
        whole.unwrap_or(now).max(now) + self.rate.per / self.rate.count.max(1)
    }
}

impl Tried {
    fn place(&mut self, from: Source, now: Mono) -> Option<Source> {
        let place = Some(from);
        if self.whole.contains_key(&place) || self.whole.len() < NETWORKS {
            return place;
        }
        self.whole.retain(|_, whole| *whole > now);
        if self.whole.len() < NETWORKS { place } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Mono {
        Mono::from_nanos(secs * 1_000_000_000)
    }

    fn source(number: u32) -> Source {
        Source::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn whoever_guesses_waits_and_nobody_else_does() {
        let guesses = Guesses::new(Rate { count: 3, per: Duration::from_secs(60) });
        for _ in 0..3 {
            guesses.count(source(1), at(100)).unwrap();
        }
        assert_eq!(guesses.count(source(1), at(100)), Err(Duration::from_secs(20)));
        guesses.count(source(2), at(100)).unwrap();
        guesses.count(source(1), at(120)).unwrap();
        assert!(guesses.count(source(1), at(120)).is_err());
    }

    #[test]
    fn what_was_right_is_no_guess_and_any_number_at_once_are_counted() {
        let guesses = Guesses::new(Rate { count: 3, per: Duration::from_secs(60) });
        for _ in 0..100 {
            guesses.count(source(1), at(100)).unwrap();
            guesses.give_back(source(1), at(100));
        }
        let under_way = (0..100).filter(|_| guesses.count(source(1), at(100)).is_ok()).count();
        assert_eq!(under_way, 3, "they are counted before any is answered");
    }

    #[test]
    fn any_number_of_networks_takes_the_memory_of_so_many() {
        let guesses = Guesses::new(Rate { count: 3, per: Duration::from_secs(60) });
        let taken =
            (0..40_000).filter(|&number| guesses.count(source(number), at(100)).is_ok()).count();
        assert!(guesses.all.lock().unwrap().whole.len() <= NETWORKS + 1);
        assert_eq!(taken, NETWORKS + 3, "those without a place of their own share one");
        guesses.count(source(5), at(100)).unwrap();
        guesses.count(source(1_000_001), at(161)).unwrap();
    }
}
