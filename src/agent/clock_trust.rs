//! Whether the wall clock can be relied on. One that is known to be wrong, since it was not set
//! yet, labels nothing: until it is set, the agent goes by a dial of its own, which runs on from
//! where the clock stood by the monotonic clock.
//!
//! A clock that is wrong and says a time that may be right cannot be told from a right one.

use std::time::Duration;

use crate::base::time::{Clock, Mono, Now, SystemClock, Wall};
use crate::measure::ledger::STEP;
use crate::net::clock::ClockDiscipline;
use crate::store::provisional::Doubt;

/// No clock is right that says less: this program was not made yet.
pub const MADE: Wall = Wall::from_secs(1_793_491_200);
/// A clock may be set back by so much without being doubted at the next start.
const MARGIN: Duration = Duration::from_secs(60);
/// A clock that says a time after [`MADE`] is doubted no longer than this, though nothing sets it.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Of the database's limit, what is held may take so much.
const SHARE: u64 = 16;

/// Whether labels of before and those of now are by one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// They are.
    Known,
    /// Those of now are provisional.
    Provisional,
}

/// What time it is, as far as that is known.
#[derive(Debug, Default)]
pub struct ClockTrust {
    doubted: Option<Doubted>,
}

#[derive(Debug)]
struct Doubted {
    /// What labels are ahead of the monotonic clock.
    ahead_ns: i64,
    /// What the wall clock was ahead of it at the last look.
    seen_ns: i64,
    /// The newest of what is known.
    floor: Wall,
    since: Mono,
    held: u64,
    room: u64,
}

/// Why labels hold again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The clock was set.
    Set,
    /// Nothing set it for too long, or too much is held: what there is is labelled by the clock as
    /// it is.
    GivenUp,
}

/// How a start goes on with what a run before it did not know the time of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The clock is as good as any.
    Relied,
    /// It is in doubt; whether that is new.
    Doubted(Since),
}

/// Since when the clock is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Since this start.
    Now,
    /// Since a start before, in this boot.
    Before,
}

impl ClockTrust {
    /// At a start, by both clocks, what the kernel says of the wall clock, and what the database
    /// knows: when its newest thing happened, and the doubt of a run before, if it was within this
    /// boot.
    #[must_use]
    pub fn begin(
        now: Now,
        discipline: ClockDiscipline,
        newest: Option<Wall>,
        before: Option<&Doubt>,
    ) -> (Self, Start) {
        let seen_ns = ahead(now);
        let floor = newest.unwrap_or(MADE).max(MADE);
        let since = match before {
            Some(doubt) => {
                let stepped = doubt.ahead_ns.abs_diff(seen_ns) >= step();
                (!is_set(now.wall, discipline, floor, stepped)).then_some(Since::Before)
            }
            None => is_wrong(now.wall, discipline, floor).then_some(Since::Now),
        };
        let Some(since) = since else { return (Self::default(), Start::Relied) };
        let ahead_ns = before.map_or(seen_ns, |doubt| doubt.ahead_ns);
        let doubted =
            Doubted { ahead_ns, seen_ns, floor, since: now.mono, held: 0, room: u64::MAX };
        (Self { doubted: Some(doubted) }, Start::Doubted(since))
    }

    /// So much is held already, and so much the database may take.
    pub fn limit(&mut self, held: u64, max_bytes: u64) {
        if let Some(doubted) = &mut self.doubted {
            (doubted.held, doubted.room) = (held, max_bytes / SHARE);
        }
    }

    /// So much more is held.
    pub fn holds(&mut self, bytes: u64) {
        if let Some(doubted) = &mut self.doubted {
            doubted.held = doubted.held.saturating_add(bytes);
        }
    }

    /// Whether labels are provisional.
    #[must_use]
    pub const fn is_doubted(&self) -> bool {
        self.doubted.is_some()
    }

    /// What the labels are ahead of the monotonic clock, while they are provisional.
    #[must_use]
    pub fn ahead_ns(&self) -> Option<i64> {
        self.doubted.as_ref().map(|doubted| doubted.ahead_ns)
    }

    /// Both clocks now, the wall clock as labels go.
    #[must_use]
    pub fn now(&self) -> Now {
        self.read(SystemClock.now())
    }

    /// A reading, the wall clock as labels go.
    #[must_use]
    pub fn read(&self, now: Now) -> Now {
        match &self.doubted {
            Some(doubted) => Now { wall: by(doubted.ahead_ns, now.mono), mono: now.mono },
            None => now,
        }
    }

    /// The latest that it can be known to be: for what depends on the day.
    #[must_use]
    pub fn at_least(&self) -> Wall {
        let now = SystemClock.now().wall;
        self.doubted.as_ref().map_or(now, |doubted| now.max(doubted.floor))
    }

    /// Looks at the clock, and tells when the doubt ends; from then on labels are its. To be called
    /// often: a step is seen between two looks.
    pub fn look(&mut self, now: Now, discipline: impl FnOnce() -> ClockDiscipline) -> Option<End> {
        let doubted = self.doubted.as_mut()?;
        let seen_ns = ahead(now);
        let stepped = std::mem::replace(&mut doubted.seen_ns, seen_ns).abs_diff(seen_ns) >= step();
        let end = if is_set(now.wall, discipline(), doubted.floor, stepped) {
            End::Set
        } else if doubted.held > doubted.room
            || (now.wall >= MADE && now.mono - doubted.since > LONGEST)
        {
            End::GivenUp
        } else {
            return None;
        };
        self.doubted = None;
        Some(end)
    }
}

/// A wall clock that is so much ahead of the monotonic one, at this instant.
#[must_use]
pub fn by(ahead_ns: i64, at: Mono) -> Wall {
    Wall::from_nanos(ahead_ns).shifted(i64::try_from(at.nanos()).unwrap_or(i64::MAX))
}

/// What the wall clock is ahead of the monotonic one.
#[must_use]
pub fn ahead(now: Now) -> i64 {
    now.wall.nanos().saturating_sub(i64::try_from(now.mono.nanos()).unwrap_or(i64::MAX))
}

fn step() -> u64 {
    u64::try_from(STEP.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether a clock that nobody doubted must be wrong.
fn is_wrong(wall: Wall, discipline: ClockDiscipline, floor: Wall) -> bool {
    wall < MADE || (discipline != ClockDiscipline::Synchronised && wall + MARGIN < floor)
}

/// Whether a clock that was in doubt is set: somebody keeps it, or it was just stepped, to where it
/// may be right. That it reaches that by itself says nothing.
fn is_set(wall: Wall, discipline: ClockDiscipline, floor: Wall, stepped: bool) -> bool {
    wall >= MADE
        && (discipline == ClockDiscipline::Synchronised || (stepped && wall + MARGIN >= floor))
}

#[cfg(test)]
mod tests;
