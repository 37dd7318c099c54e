//! The two clocks. [`Mono`] orders events and gives lengths; [`Wall`] only labels them.
//!
//! The types keep them apart: a difference of two [`Mono`] is a duration, a [`Wall`] can be shifted
//! by one, and nothing turns one into the other but a reading of both at once ([`Now`]).

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod duration;

pub use duration::{NotADuration, format_duration, nanos_of, parse_duration};

/// Nanoseconds in a second.
pub const NANOS: i64 = 1_000_000_000;

/// An instant on the wall clock: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
/// It covers the years 1678 to 2262. Written as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

impl Wall {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch; what does not fit is held at the range's ends.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(NANOS))
    }

    /// From milliseconds since the epoch; what does not fit is held at the range's ends.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(NANOS)
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The last multiple of `step` since the epoch that is not after this instant; `step` is not
    /// zero.
    #[must_use]
    pub fn floor(self, step: Duration) -> Self {
        let step = nanos_of(step).max(1);
        Self(self.0.div_euclid(step).saturating_mul(step))
    }

    /// Nanoseconds from `earlier` to this instant, negative when it is before it.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved by a signed number of nanoseconds.
    #[must_use]
    pub const fn shifted(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// As jiff's instant, for calendars.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.0))
            .expect("every i64 of nanoseconds is within jiff's range")
    }
}

impl From<Timestamp> for Wall {
    fn from(at: Timestamp) -> Self {
        let nanos = at.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Self(i64::try_from(nanos).expect("clamped to the range"))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(length)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Self;
    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(length)))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: expected RFC 3339, such as 2026-06-03T01:00:00Z")]
pub struct NotATime(pub String);

impl FromStr for Wall {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        text.parse::<Timestamp>().map(Self::from).map_err(|_| NotATime(text.to_owned()))
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An instant on the monotonic clock of this boot, in nanoseconds; it goes on during a suspend
/// (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(u64);

impl Mono {
    /// From nanoseconds since the boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the boot.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero when it is before it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Mono {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What the wall clock says.
    pub wall: Wall,
    /// What the monotonic clock says.
    pub mono: Mono,
}

impl Now {
    /// What both clocks said, or will say, at a monotonic instant, by this reading.
    #[must_use]
    pub fn at(&self, mono: Mono) -> Self {
        Self { wall: self.wall_of(mono), mono }
    }

    /// The wall time of a monotonic instant, by this reading.
    #[must_use]
    pub fn wall_of(&self, at: Mono) -> Wall {
        let ahead = i128::from(at.nanos()) - i128::from(self.mono.nanos());
        let ahead = ahead.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        self.wall.shifted(i64::try_from(ahead).expect("clamped to the range"))
    }

    /// The monotonic instant of a wall time, by this reading; what was before the boot is the boot.
    #[must_use]
    pub fn mono_of(&self, at: Wall) -> Mono {
        let nanos = i128::from(self.mono.nanos()) + i128::from(at.nanos_since(self.wall));
        Mono(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// Where the time comes from: the system, or a test's hand.
pub trait Clock {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The clocks of this host.
///
/// No call reads both at once, and a process may lose its processor between two calls: a pair of
/// readings that lie 200 ms apart looks like a clock that was set. Hence the wall clock is read
/// between two readings of the monotonic one, again when these lie apart, and the closest pair is
/// given.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// Two readings of the monotonic clock that lie no further apart are close enough; it takes less
/// than a microsecond.
const CLOSE_NANOS: u64 = 5_000;
/// Pairs that are tried for a close one.
const PAIRS: usize = 4;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        use nix::time::{ClockId, clock_gettime};
        let read = |clock| {
            let at = clock_gettime(clock).expect("the kernel has had these clocks since 2.6.39");
            at.tv_sec().saturating_mul(NANOS).saturating_add(at.tv_nsec())
        };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let mono = || read(ClockId::CLOCK_BOOTTIME);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let mono = || read(ClockId::CLOCK_MONOTONIC);
        closest(|| Mono(u64::try_from(mono()).unwrap_or(0)), || Wall(read(ClockId::CLOCK_REALTIME)))
    }
}

/// The closest of some pairs of readings. The monotonic one is that before the wall clock's: what
/// is seen afterwards, such as a stamp, is never before it.
fn closest(mut mono: impl FnMut() -> Mono, mut wall: impl FnMut() -> Wall) -> Now {
    let mut before = mono();
    let (mut best, mut apart) = (None, u64::MAX);
    for _ in 0..PAIRS {
        let wall = wall();
        let after = mono();
        let width = after.0.saturating_sub(before.0);
        if width < apart || best.is_none() {
            (best, apart) = (Some(Now { wall, mono: before }), width);
        }
        if width <= CLOSE_NANOS {
            break;
        }
        before = after;
    }
    best.expect("one pair is read at least")
}

#[cfg(test)]
mod tests;
