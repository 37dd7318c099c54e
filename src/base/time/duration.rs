//! Durations in words: 30s, 5m, 1h.

use std::time::Duration;

/// A duration in nanoseconds, held at the end of the range (292 years).
#[must_use]
pub fn nanos_of(length: Duration) -> i64 {
    i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)
}

/// A text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a duration: expected a whole number and a unit (ns, us, ms, s, m, h, d), such \
        as 30s"
)]
pub struct NotADuration(pub String);

/// Reads a duration as configurations write it: `20ms`, `30s`, `5m`, `1h30m`, `90d`; parts add up,
/// a day is 24 hours.
///
/// # Errors
/// When the text is empty, has no unit, an unknown unit, or does not fit.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let fault = || NotADuration(text.to_owned());
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
        let number: u64 = rest[..digits].parse().map_err(|_| fault())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
        let part = match &rest[..letters] {
            "ns" => Some(Duration::from_nanos(number)),
            "us" | "µs" => Some(Duration::from_micros(number)),
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" | "min" => seconds(60),
            "h" => seconds(3600),
            "d" => seconds(86_400),
            _ => None,
        };
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(fault)?;
        rest = &rest[letters..];
    }
    Ok(total)
}

/// Writes a duration as [`parse_duration`] reads it, in the largest units that are exact: `1m30s`,
/// `20ms`, `0s`.
#[must_use]
pub fn format_duration(length: Duration) -> String {
    let mut nanos = length.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let units: [(u128, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut text = String::new();
    for (size, unit) in units {
        if nanos >= size {
            text.push_str(&format!("{}{unit}", nanos / size));
            nanos %= size;
        }
    }
    text
}
