//! Memory for requests: one budget for all that those under way hold, their headers, their bodies
//! as they come and expanded, their lines, what is read out of them, and the answers. It is
//! reserved before the work is done. One address, and all strangers together, may only have a part
//! of it. Where it runs short, those bodies that have been arriving longest make room, so that a
//! slow or stalled client costs a connection and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::collector::connections::{Repute, Source};

/// A body that comes in this time is not taken for a slow one.
const BRISK: Duration = Duration::from_secs(2);
/// How long a request waits for memory, before whoever sends it is told to come again, …
const PATIENCE: Duration = Duration::from_secs(5);
/// … and how often it looks who has become slow meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// There is no memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Not now: others have it.
    Now,
    /// It is more than one request gets, whoever else is there.
    Ever,
}

/// How many bytes may be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// In all.
    pub all: usize,
    /// By strangers together.
    pub strangers: usize,
    /// By one address.
    pub each: usize,
}

/// Who reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Where he is.
    pub source: Source,
    /// Whether he has shown who he is.
    pub repute: Repute,
}

/// The memory of all requests together.
#[derive(Debug)]
pub struct MemoryBudget {
    shares: Shares,
    brisk: Duration,
    patience: Duration,
    state: Mutex<State>,
    freed: [Notify; 2],
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    by_strangers: usize,
    by_source: HashMap<Source, usize>,
    next: u64,
    /// The bodies that are arriving, the oldest first.
    arriving: BTreeMap<u64, Arriving>,
}

#[derive(Debug)]
struct Arriving {
    holder: Holder,
    since: Instant,
    leave: Arc<Notify>,
}

/// Why there is no memory: who has to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    Anybody,
    Strangers,
    Source(Source),
}

impl State {
    fn of_source(&self, source: Source) -> usize {
        self.by_source.get(&source).copied().unwrap_or(0)
    }

    fn short(&self, shares: Shares, holder: Holder, bytes: usize) -> Option<Short> {
        if self.of_source(holder.source) + bytes > shares.each {
            Some(Short::Source(holder.source))
        } else if holder.repute == Repute::Stranger && self.by_strangers + bytes > shares.strangers
        {
            Some(Short::Strangers)
        } else if self.used + bytes > shares.all {
            Some(Short::Anybody)
        } else {
            None
        }
    }

    fn add(&mut self, holder: Holder, bytes: usize) {
        self.used += bytes;
        *self.by_source.entry(holder.source).or_default() += bytes;
        if holder.repute == Repute::Stranger {
            self.by_strangers += bytes;
        }
    }

    fn subtract(&mut self, holder: Holder, bytes: usize) {
        self.used -= bytes;
        if holder.repute == Repute::Stranger {
            self.by_strangers -= bytes;
        }
        if let Some(own) = self.by_source.get_mut(&holder.source) {
            *own -= bytes;
            if *own == 0 {
                self.by_source.remove(&holder.source);
            }
        }
    }
}

/// What a request has reserved, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    holder: Holder,
    number: u64,
    bytes: usize,
    leave: Arc<Notify>,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(shares: Shares) -> Arc<Self> {
        Self::of(shares, BRISK, PATIENCE)
    }

    fn of(shares: Shares, brisk: Duration, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            shares,
            brisk,
            patience,
            state: Mutex::default(),
            freed: Default::default(),
        })
    }

    fn freed_for(&self, repute: Repute) -> &Notify {
        match repute {
            Repute::Stranger => &self.freed[0],
            Repute::Known => &self.freed[1],
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is reserved, in bytes.
    #[cfg(test)]
    fn used(&self) -> usize {
        self.state().used
    }

    /// A reservation of nothing yet, for a request that begins.
    #[must_use]
    pub fn reservation(self: &Arc<Self>, holder: Holder) -> Reservation {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        Reservation {
            budget: Arc::clone(self),
            holder,
            number,
            bytes: 0,
            leave: Arc::new(Notify::new()),
        }
    }

    /// Takes bytes if there are so many; else asks the slowest of those that stand in the way to
    /// leave.
    fn try_take(&self, holder: Holder, number: u64, bytes: usize) -> Result<(), Full> {
        let mut state = self.state();
        let Some(short) = state.short(self.shares, holder, bytes) else {
            state.add(holder, bytes);
            return Ok(());
        };
        let in_the_way = |other: &Arriving| match short {
            Short::Anybody => true,
            Short::Strangers => other.holder.repute == Repute::Stranger,
            Short::Source(source) => other.holder.source == source,
        };
        // They lie in the order in which they came: where the first is brisk, all are.
        let oldest = state
            .arriving
            .iter()
            .find(|(other, arriving)| **other != number && in_the_way(arriving));
        let slowest = oldest.filter(|(_, arriving)| arriving.since.elapsed() >= self.brisk);
        if let Some(slowest) = slowest.map(|(other, _)| *other)
            && let Some(arriving) = state.arriving.remove(&slowest)
        {
            arriving.leave.notify_one();
        }
        Err(Full::Now)
    }
}

impl Reservation {
    /// Reserves more bytes; waits a little where there are none, for those that are slower to
    /// leave.
    ///
    /// # Errors
    /// When there are none.
    pub async fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let until = Instant::now() + self.budget.patience;
        loop {
            let budget = Arc::clone(&self.budget);
            let freed = budget.freed_for(self.holder.repute).notified();
            match self.try_take(bytes) {
                Err(Full::Now) => {}
                done => {
                    // One is woken at a time, and wakes the next as long as there is some left.
                    budget.freed_for(self.holder.repute).notify_one();
                    return done;
                }
            }
            // Looked at again now and then: who is slow becomes so by the clock.
            let next = (Instant::now() + LOOK).min(until);
            if timeout_at(next, freed).await.is_err() && Instant::now() >= until {
                return Err(Full::Now);
            }
        }
    }

    /// Reserves more bytes at once, for work that cannot wait.
    ///
    /// # Errors
    /// When there are none.
    pub fn try_take(&mut self, bytes: usize) -> Result<(), Full> {
        let Shares { strangers, each, .. } = self.budget.shares;
        let most = if self.holder.repute == Repute::Stranger { each.min(strangers) } else { each };
        if self.bytes + bytes > most {
            return Err(Full::Ever);
        }
        self.budget.try_take(self.holder, self.number, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all but so many bytes.
    pub fn keep_only(&mut self, bytes: usize) {
        let bytes = self.bytes.saturating_sub(bytes);
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        self.budget.state().subtract(self.holder, bytes);
        self.budget.freed.iter().for_each(Notify::notify_one);
    }

    /// The body begins to arrive: where memory is short and it is slow, it may be asked to leave.
    pub fn arrives(&mut self) {
        let arriving =
            Arriving { holder: self.holder, since: Instant::now(), leave: Arc::clone(&self.leave) };
        self.budget.state().arriving.insert(self.number, arriving);
    }

    /// Returns when this body is too slow, and others need its memory.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// The body is there: it is worked on now, and not asked to leave.
    pub fn arrived(&mut self) {
        self.budget.state().arriving.remove(&self.number);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.arrived();
        self.keep_only(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const LONG: Duration = Duration::from_secs(600);
    const SHARES: Shares = Shares { all: 100, strangers: 80, each: 60 };

    fn of(host: u8, repute: Repute) -> Holder {
        Holder { source: Source::of(IpAddr::from([192, 0, 2, host])), repute }
    }

    fn stranger(host: u8) -> Holder {
        of(host, Repute::Stranger)
    }

    #[tokio::test]
    async fn who_is_slow_makes_room_for_others() {
        let budget = MemoryBudget::of(SHARES, Duration::ZERO, LONG);
        let mut slow = budget.reservation(stranger(1));
        slow.arrives();
        slow.take(60).await.unwrap();
        let leaving = tokio::spawn(async move {
            slow.asked_to_leave().await;
            drop(slow);
        });
        budget.reservation(stranger(2)).take(60).await.unwrap();
        leaving.await.unwrap();
    }

    #[tokio::test]
    async fn who_is_worked_on_or_brisk_stays_and_others_come_again() {
        for (brisk, arrived) in [(Duration::ZERO, true), (LONG, false)] {
            let budget = MemoryBudget::of(SHARES, brisk, Duration::ZERO);
            let mut held = budget.reservation(stranger(1));
            held.arrives();
            held.take(60).await.unwrap();
            if arrived {
                held.arrived();
            }
            assert_eq!(budget.reservation(stranger(2)).take(50).await, Err(Full::Now));
            budget.reservation(stranger(2)).take(20).await.unwrap();
            let left = tokio::select! {
                biased;
                () = held.asked_to_leave() => true,
                () = std::future::ready(()) => false,
            };
            assert!(!left);
            drop(held);
            budget.reservation(stranger(2)).take(60).await.unwrap();
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn one_address_and_all_strangers_together_have_a_part_of_it() {
        let budget = MemoryBudget::new(SHARES);
        let mut one = budget.reservation(stranger(1));
        assert_eq!(one.try_take(61), Err(Full::Ever));
        one.try_take(60).unwrap();
        let mut other = budget.reservation(stranger(1));
        assert_eq!(other.try_take(1), Err(Full::Now), "the address has its part");
        let mut two = budget.reservation(stranger(2));
        assert_eq!(two.try_take(21), Err(Full::Now), "strangers have theirs");
        two.try_take(20).unwrap();
        let mut known = budget.reservation(of(3, Repute::Known));
        known.try_take(20).unwrap();
        assert_eq!(known.try_take(1), Err(Full::Now), "that was all");
        one.keep_only(1);
        known.try_take(30).unwrap();
        assert_eq!(budget.used(), 71);
        drop((one, two, known));
        assert_eq!(budget.used(), 0);
        assert!(budget.state().by_source.is_empty());
    }
}
