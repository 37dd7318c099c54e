//! Memory for the bodies of requests: so much in all, taken as the bytes come. Where it runs short, those that have been arriving
//! longest make room for others, so that a slow or stalled client costs a connection and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A body that comes in this time is not taken for a slow one.
const BRISK: Duration = Duration::from_secs(2);
/// How long a body waits for room, before whoever sends it is told to come again, …
const PATIENCE: Duration = Duration::from_secs(5);
/// … and how often it looks who has become slow meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The room for all bodies together.
#[derive(Debug)]
pub struct Room {
    limit: usize,
    brisk: Duration,
    patience: Duration,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    next: u64,
    /// The bodies that are arriving, the oldest first.
    arriving: BTreeMap<u64, Arriving>,
}

#[derive(Debug)]
struct Arriving {
    since: Instant,
    leave: Arc<Notify>,
}

/// A body's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    number: u64,
    bytes: usize,
    leave: Arc<Notify>,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Self::of(limit, BRISK, PATIENCE)
    }

    fn of(limit: usize, brisk: Duration, patience: Duration) -> Arc<Self> {
        Arc::new(Self { limit, brisk, patience, state: Mutex::default(), freed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a body that begins to arrive; it takes nothing yet.
    #[must_use]
    pub fn place(self: &Arc<Self>) -> Place {
        let leave = Arc::new(Notify::new());
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.arriving.insert(number, Arriving { since: Instant::now(), leave: Arc::clone(&leave) });
        Place { room: Arc::clone(self), number, bytes: 0, leave }
    }

    /// Takes bytes if there are so many; else asks the slowest of the others to leave.
    fn try_take(&self, number: u64, bytes: usize) -> bool {
        let mut state = self.state();
        if state.used + bytes <= self.limit {
            state.used += bytes;
            return true;
        }
        let slowest =
            state.arriving.iter().find(|(other, arriving)| **other != number && arriving.since.elapsed() >= self.brisk);
        if let Some(slowest) = slowest.map(|(other, _)| *other)
            && let Some(arriving) = state.arriving.remove(&slowest)
        {
            arriving.leave.notify_one();
        }
        false
    }
}

impl Place {
    /// Takes room for more bytes; waits a little where there is none, for those that are slower to leave.
    ///
    /// # Errors
    /// When there is none.
    pub async fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let until = Instant::now() + self.room.patience;
        loop {
            let freed = self.room.freed.notified();
            if self.room.try_take(self.number, bytes) {
                self.bytes += bytes;
                return Ok(());
            }
            // Looked at again now and then: who is slow becomes so by the clock.
            let next = (Instant::now() + LOOK).min(until);
            if timeout_at(next, freed).await.is_err() && Instant::now() >= until {
                return Err(Full);
            }
        }
    }

    /// Returns when this body is too slow, and others need its room.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// The body is there: it is worked on now, and not asked to leave.
    pub fn arrived(&mut self) {
        self.room.state().arriving.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.arriving.remove(&self.number);
        state.used -= self.bytes;
        drop(state);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn who_is_slow_makes_room_for_others() {
        let room = Room::of(100, Duration::ZERO, LONG);
        let mut slow = room.place();
        slow.take(60).await.unwrap();
        let leaving = tokio::spawn(async move {
            slow.asked_to_leave().await;
            drop(slow);
        });
        room.place().take(60).await.unwrap();
        leaving.await.unwrap();
    }

    #[tokio::test]
    async fn who_is_worked_on_or_brisk_stays_and_others_come_again() {
        for (brisk, arrived) in [(Duration::ZERO, true), (LONG, false)] {
            let room = Room::of(100, brisk, Duration::ZERO);
            let mut place = room.place();
            place.take(60).await.unwrap();
            if arrived {
                place.arrived();
            }
            assert_eq!(room.place().take(50).await, Err(Full));
            room.place().take(40).await.unwrap();
            let left = tokio::select! {
                biased;
                () = place.asked_to_leave() => true,
                () = std::future::ready(()) => false,
            };
            assert!(!left);
            drop(place);
            room.place().take(100).await.unwrap();
        }
    }
}
