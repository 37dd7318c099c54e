//! The steps in which time is cut.

use std::str::FromStr;
use std::time::Duration;

use crate::base::time::Wall;

/// The length of a bucket; buckets begin at its multiples in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A minute, in which intervals are stored.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// A quarter of an hour.
    Quarter,
    /// An hour.
    Hour,
    /// Six hours.
    SixHours,
    /// A day.
    Day,
}

/// A text is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1m, 5m, 15m, 1h, 6h, 1d, or auto: the finest that gives at most {MOST} buckets")]
pub struct NotAStep;

/// As many buckets as a picture has room for.
const MOST: u128 = 200;

impl Step {
    /// All, the finest first.
    pub const ALL: [Self; 6] =
        [Self::Minute, Self::FiveMinutes, Self::Quarter, Self::Hour, Self::SixHours, Self::Day];

    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Quarter => 900,
            Self::Hour => 3600,
            Self::SixHours => 21_600,
            Self::Day => 86_400,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "1d",
        }
    }

    /// How many buckets it takes for the time from one instant to another.
    #[must_use]
    pub fn buckets(self, from: Wall, to: Wall) -> u128 {
        let step = i128::try_from(self.length().as_nanos()).unwrap_or(i128::MAX);
        let first = i128::from(from.nanos()).div_euclid(step);
        let end = -(-i128::from(to.nanos())).div_euclid(step);
        u128::try_from(end - first).unwrap_or(0)
    }

    /// The finest that gives at most 200 buckets; the coarsest where none does.
    #[must_use]
    pub fn auto(from: Wall, to: Wall) -> Self {
        Self::ALL.into_iter().find(|step| step.buckets(from, to) <= MOST).unwrap_or(Self::Day)
    }
}

impl FromStr for Step {
    type Err = NotAStep;

    fn from_str(text: &str) -> Result<Self, NotAStep> {
        Self::ALL.into_iter().find(|step| step.word() == text).ok_or(NotAStep)
    }
}
