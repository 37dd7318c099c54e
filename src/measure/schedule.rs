//! When each probe is due. Targets are spread over their period by a hash of the probe's name, the
//! same from start to start, so that they are not fired together.
//!
//! # What was missed
//!
//! A send is made up for when it is late by at most half a second and by at most its period (but
//! always by up to 100 ms, which is how long a busy host may keep a process from its core).
//! Whatever is later than that was not observed; so is everything that was due while the process
//! stood still, so that after a suspend nothing is sent in a burst.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::base::time::{Mono, NANOS, Now, nanos_of};
use crate::measure::event::ProbeId;

/// No send is made up for that is later than this.
pub const LATEST: Duration = Duration::from_millis(500);
/// Every send is made up for that is no later than this.
pub const ALWAYS: Duration = Duration::from_millis(100);

/// The due times of all probes.
#[derive(Debug, Default)]
pub struct Schedule {
    slots: Vec<Slot>,
    queue: BinaryHeap<Reverse<(Mono, u32, u32)>>,
    /// Sends in a million seconds.
    rate: u128,
    /// No probe makes more sends than this.
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    period: Duration,
    next: u64,
    /// Tells the entries of the queue that belong to a probe that has been removed.
    generation: u32,
    active: bool,
}

/// A send that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which probe.
    pub probe: ProbeId,
    /// The running number of the send.
    pub send: u64,
    /// When it was due.
    pub at: Mono,
    /// Whether it can still be sent.
    pub chance: Chance,
}

/// Whether a send that is due can still be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// It is sent now.
    Punctual,
    /// It is too late for it.
    Missed,
}

/// The offset of a probe within its period, in whole milliseconds: FNV-1a over its name, finished
/// by splitmix64.
#[must_use]
pub fn phase(name: &str, period: Duration) -> Duration {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(hash % millis)
}

/// By how much a send may be late and is still sent.
#[must_use]
pub fn patience(period: Duration) -> Duration {
    period.clamp(ALWAYS, LATEST)
}

impl Schedule {
    /// Takes a probe in. Its first send is due at the first instant after `now` at which the wall
    /// clock is its phase after a multiple of its period; from there on the monotonic clock counts.
    pub fn add(&mut self, probe: ProbeId, name: &str, period: Duration, now: Now) {
        let period = period.max(Duration::from_millis(1));
        let into = now.wall.nanos().rem_euclid(nanos_of(period));
        let wait = (nanos_of(phase(name, period)) - into).rem_euclid(nanos_of(period));
        self.add_at(probe, period, now.mono + Duration::from_nanos(wait.unsigned_abs()));
    }

    /// Takes a probe in whose first send is due at `first`.
    pub fn add_at(&mut self, probe: ProbeId, period: Duration, first: Mono) {
        let index = probe.0 as usize;
        if self.slots.len() <= index {
            let empty = Slot { period: Duration::ZERO, next: 0, generation: 0, active: false };
            self.slots.resize(index + 1, empty);
        }
        let slot = &mut self.slots[index];
        let period = period.max(Duration::from_millis(1));
        let generation = slot.generation.wrapping_add(1);
        if slot.active {
            self.rate -= rate(slot.period);
        }
        *slot = Slot { period, next: 0, generation, active: true };
        self.rate += rate(period);
        self.queue.push(Reverse((first, probe.0, generation)));
    }

    /// Forgets a probe.
    pub fn remove(&mut self, probe: ProbeId) {
        if let Some(slot) = self.slots.get_mut(probe.0 as usize).filter(|slot| slot.active) {
            slot.active = false;
            self.rate -= rate(slot.period);
        }
    }

    /// Lets each probe make so many sends and no more.
    pub const fn limit(&mut self, sends: u64) {
        self.limit = Some(sends);
    }

    /// When the next send is due, or an instant before it.
    #[must_use]
    pub fn next(&self) -> Option<Mono> {
        if self.rate == 0 { None } else { self.queue.peek().map(|Reverse((at, _, _))| *at) }
    }

    /// The earliest send that is due at `now`, all probes in the order of time; what was due up to
    /// `unobserved` was missed.
    pub fn take(&mut self, now: Mono, unobserved: Option<Mono>) -> Option<Turn> {
        while let Some(mut top) = self.queue.peek_mut() {
            let Reverse((at, id, generation)) = *top;
            if at > now {
                return None;
            }
            let slot = &mut self.slots[id as usize];
            if !slot.active || slot.generation != generation {
                std::collections::binary_heap::PeekMut::pop(top);
                continue;
            }
            let send = slot.next;
            slot.next += 1;
            if self.limit == Some(slot.next) {
                slot.active = false;
                self.rate -= rate(slot.period);
            }
            *top = Reverse((at + slot.period, id, generation));
            let missed = now.since(at) > patience(slot.period)
                || unobserved.is_some_and(|until| at <= until);
            let chance = if missed { Chance::Missed } else { Chance::Punctual };
            return Some(Turn { probe: ProbeId(id), send, at, chance });
        }
        None
    }

    /// How many sends a second all probes together make, rounded up.
    #[must_use]
    pub fn rate(&self) -> u64 {
        u64::try_from(self.rate.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// Sends in a million seconds.
fn rate(period: Duration) -> u128 {
    u128::from(NANOS.unsigned_abs()) * 1_000_000 / period.as_nanos().max(1)
}

#[cfg(test)]
mod tests;
