//! What minutes are rolled up to: hours, then days.

use std::time::Duration;

/// What minutes are rolled up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Of hours, by UTC.
    Hours,
    /// Of days, by UTC.
    Days,
}

impl Tier {
    pub(in crate::store) const fn table(self) -> &'static str {
        match self {
            Self::Hours => "hour",
            Self::Days => "day",
        }
    }

    pub(in crate::store) const fn length(self) -> Duration {
        match self {
            Self::Hours => Duration::from_secs(3600),
            Self::Days => Duration::from_secs(86_400),
        }
    }

    pub(in crate::store) const fn millis(self) -> i64 {
        match self {
            Self::Hours => 3_600_000,
            Self::Days => 86_400_000,
        }
    }
}

/// How fine what is read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// As it is stored.
    Stored,
    /// To the hour: where the minutes of an hour were merged beside them, that alone is read. It
    /// has no phases.
    Hours,
}
