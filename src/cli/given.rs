//! Times and agents as they are given on a command line.

use crate::base::time::Wall;
#[cfg(feature = "agent")]
use crate::base::time::{Clock, SystemClock, parse_duration};
#[cfg(feature = "collector")]
use crate::evidence::key::Kid;

/// What stands for a time in a command's help.
pub const TIME: &str = "TIME|DAY";

const EXPECTED: &str = "a time such as 2026-06-03T01:00:00Z, or a day such as 2026-06-03, which \
    begins at midnight UTC";

/// An instant, or a day alone: its beginning in UTC.
///
/// # Errors
/// When it is neither, with what is expected.
pub fn instant(text: &str) -> Result<Wall, String> {
    let is_day = text.len() == 10 && !text.contains('T');
    let whole = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| format!("expected {EXPECTED}"))
}

/// An agent's identifier.
///
/// # Errors
/// When it is none, with what is expected.
#[cfg(feature = "collector")]
pub fn agent(text: &str) -> Result<Kid, String> {
    let expected = "expected an agent's identifier as `wanproof collector agents` shows it: 43 \
        letters, digits, - and _";
    text.parse().map_err(|_| expected.to_owned())
}

/// An instant, a day alone, or how long ago.
///
/// # Errors
/// When it is none of them, with what is expected.
#[cfg(feature = "agent")]
pub fn since(text: &str) -> Result<Wall, String> {
    match parse_duration(text) {
        Ok(length) => Ok(SystemClock.now().wall - length),
        Err(_) => instant(text)
            .map_err(|_| format!("expected how long ago, such as 24h or 30d; {EXPECTED}")),
    }
}

/// A time that was given by itself, or by how long it is before another.
#[cfg(feature = "agent")]
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// So long before.
    Before(std::time::Duration),
    /// Then.
    At(Wall),
}

#[cfg(feature = "agent")]
impl When {
    /// The time, where it is counted back from an end.
    #[must_use]
    pub fn before(self, end: Wall) -> Wall {
        match self {
            Self::Before(length) => end - length,
            Self::At(at) => at,
        }
    }
}

/// An instant, a day alone, or how long before another time.
///
/// # Errors
/// When it is none of them, with what is expected.
#[cfg(feature = "agent")]
pub fn when(text: &str) -> Result<When, String> {
    match parse_duration(text) {
        Ok(length) => Ok(When::Before(length)),
        Err(_) => since(text).map(When::At),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_alone_is_its_midnight_in_utc() {
        let midnight: Wall = "2026-11-29T00:00:00Z".parse().unwrap();
        assert_eq!(instant("2026-11-29"), Ok(midnight));
        assert_eq!(instant("2026-11-29T01:00:00+01:00"), Ok(midnight));
        for wrong in [
            "2026-11-31",
            "2026-11",
            "29.11.2026",
            "11/29/2026",
            "2026-11-29T00:00:00",
            "yesterday",
            "",
        ] {
            let said = instant(wrong).unwrap_err();
            assert!(said.contains("or a day such as 2026-06-03"), "{wrong}: {said}");
        }
    }

    #[cfg(feature = "agent")]
    #[test]
    fn how_long_ago_is_counted_from_now() {
        let ago = SystemClock.now().wall - std::time::Duration::from_secs(86_400);
        let given = since("24h").unwrap();
        assert!(ago <= given && given <= SystemClock.now().wall);
        assert_eq!(since("2026-11-29"), instant("2026-11-29"));
        assert!(
            since("30 days")
                .unwrap_err()
                .starts_with("expected how long ago, such as 24h or 30d; ")
        );
    }
}
