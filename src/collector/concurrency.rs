//! Who is worked for at the same time. Whoever has shown who he is never waits behind strangers:
//! they have places of their own, and so can neither use up the processors nor the database's
//! connections. Of either kind's places, what takes long gets a part only.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::collector::connections::Repute;

/// How long a request waits for a place, before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many changes of strangers are with the one writer at once.
const CHANGES: usize = 8;

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It is done in an instant.
    Short,
    /// A body that is expanded piece by piece.
    Long,
}

/// The places.
#[derive(Debug)]
pub struct Processors {
    patience: Duration,
    known: Kind,
    strangers: Kind,
    /// Strangers' changes that wait for the disk: whoever is known waits behind no more of them.
    changes: Arc<Semaphore>,
}

#[derive(Debug)]
struct Kind {
    all: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _long: Option<OwnedSemaphorePermit>,
    _one: OwnedSemaphorePermit,
}

impl Kind {
    fn new(all: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            long: Arc::new(Semaphore::new((all / 2).max(1))),
        }
    }
}

impl Default for Processors {
    /// Twice as many as there are processors for those that are known, so that none stands still
    /// while the next is handed over, and as many as there are for strangers, but two at least.
    fn default() -> Self {
        let processors = available_parallelism().map_or(2, NonZero::get);
        Self::new(PATIENCE, Kind::new(2 * processors), Kind::new(processors.max(2)))
    }
}

impl Processors {
    fn new(patience: Duration, known: Kind, strangers: Kind) -> Self {
        Self { patience, known, strangers, changes: Arc::new(Semaphore::new(CHANGES)) }
    }

    /// A stranger's turn to change something, until it is dropped; nothing when that takes too
    /// long.
    pub async fn change(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.changes).acquire_owned();
        timeout_at(Instant::now() + self.patience, turn).await.ok()?.ok()
    }

    /// A place, as soon as there is one; nothing when that takes too long.
    pub async fn place(&self, of: Repute, work: Work) -> Option<Place> {
        let kind = match of {
            Repute::Known => &self.known,
            Repute::Stranger => &self.strangers,
        };
        let until = Instant::now() + self.patience;
        let acquire =
            |semaphore: &Arc<Semaphore>| timeout_at(until, Arc::clone(semaphore).acquire_owned());
        // What takes long waits for its turn first, so that it stands in nobody's way meanwhile.
        let long = match work {
            Work::Short => None,
            Work::Long => Some(acquire(&kind.long).await.ok()?.ok()?),
        };
        let one = acquire(&kind.all).await.ok()?.ok()?;
        Some(Place { _long: long, _one: one })
    }

    /// Whether every place of those that are known is taken.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.known.all.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> Processors {
        Processors::new(Duration::ZERO, Kind::new(2), Kind::new(2))
    }

    #[tokio::test]
    async fn strangers_wait_before_they_stand_in_the_writers_queue() {
        let places = both();
        let mut turns = Vec::new();
        while let Some(turn) = places.change().await {
            turns.push(turn);
        }
        assert_eq!(turns.len(), CHANGES);
        turns.pop();
        assert!(places.change().await.is_some());
    }

    #[tokio::test]
    async fn strangers_take_no_place_of_those_that_are_known_and_long_work_not_all() {
        let places = both();
        let long = places.place(Repute::Stranger, Work::Long).await.unwrap();
        assert!(places.place(Repute::Stranger, Work::Long).await.is_none());
        let short = places.place(Repute::Stranger, Work::Short).await.unwrap();
        assert!(places.place(Repute::Stranger, Work::Short).await.is_none());
        assert!(!places.is_busy());
        let known = [
            places.place(Repute::Known, Work::Long).await.unwrap(),
            places.place(Repute::Known, Work::Short).await.unwrap(),
        ];
        assert!(places.is_busy());
        drop((long, short, known));
        assert!(places.place(Repute::Stranger, Work::Long).await.is_some());
    }
}
