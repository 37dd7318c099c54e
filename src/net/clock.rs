//! What the kernel says of its own clock: whether something keeps it true, and how far off it may
//! be.

use rtime_clock::adjtime::{Timex, adjtimex};

/// The state of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockHealth {
    /// Whether a time daemon keeps it.
    pub discipline: ClockDiscipline,
    /// The kernel's bound on its error, in microseconds, while it is kept.
    pub max_error_us: Option<u64>,
}

/// Whether a time daemon keeps the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDiscipline {
    /// The kernel was told that it is synchronised.
    Synchronised,
    /// It was not, or not lately.
    Unsynchronised,
    /// The kernel would not say.
    Unknown,
}

/// Asks the kernel (`adjtimex(2)`, read only; it needs no privilege).
#[must_use]
pub fn health() -> ClockHealth {
    /// The clock is not synchronised: `STA_UNSYNC` in `<linux/timex.h>`.
    const STA_UNSYNC: i32 = 0x40;
    /// What `adjtimex` answers when the clock is not synchronised: `TIME_ERROR`.
    const TIME_ERROR: i32 = 5;
    let mut timex = Timex::new();
    match adjtimex(&mut timex) {
        Err(_) => ClockHealth { discipline: ClockDiscipline::Unknown, max_error_us: None },
        Ok(state) if state == TIME_ERROR || timex.0.status & STA_UNSYNC != 0 => {
            ClockHealth { discipline: ClockDiscipline::Unsynchronised, max_error_us: None }
        }
        Ok(_) => ClockHealth {
            discipline: ClockDiscipline::Synchronised,
            max_error_us: u64::try_from(timex.0.maxerror).ok(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_its_clock_is_kept() {
        let health = health();
        assert_eq!(
            health.discipline == ClockDiscipline::Synchronised,
            health.max_error_us.is_some(),
            "{health:?}"
        );
    }
}
