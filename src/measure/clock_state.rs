//! Whether the wall clock is synchronised.

use serde::{Deserialize, Serialize};

/// Whether the wall clock is synchronised, by `adjtimex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// It is.
    Synchronised,
    /// It is not.
    Unsynchronised,
    /// The system does not say.
    Unknown,
}

impl ClockState {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Unsynchronised => "unsynchronised",
            Self::Unknown => "unknown",
        }
    }
}
