//! The ticks of the axes: times and latencies that a person would choose.

use std::time::Duration;

use crate::base::time::Wall;

/// A place on an axis, with what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick<T> {
    /// Where it is.
    pub at: T,
    /// What it is called.
    pub label: String,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// From one tick to the next, in seconds; what is longer is counted in months.
const APART: [u64; 13] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Ticks of a time axis in UTC, as many as there may be at most. The first of a day says the day
/// where the others say the hour.
#[must_use]
pub fn times(from: Wall, to: Wall, most: u64) -> Vec<Tick<Wall>> {
    let seconds = u64::try_from(to.nanos_since(from) / 1_000_000_000).unwrap_or(0);
    let room = |apart: u64| seconds / apart.max(1) <= most.max(1);
    if let Some(apart) = APART.into_iter().find(|apart| room(*apart)) {
        return every(from, to, apart, |_| true, apart >= DAY);
    }
    if room(7 * DAY) {
        // Monday is the first day of a week.
        return every(from, to, DAY, |at| (at.secs() / 86_400).rem_euclid(7) == 4, true);
    }
    let months = [1, 3, 6, 12].into_iter().find(|months| room(months * 30 * DAY)).unwrap_or(12);
    let first = |at: Wall| {
        let (_, month, day) = date(at);
        day == 1 && u64::try_from(month - 1).is_ok_and(|month| month % months == 0)
    };
    let mut all = every(from, to, DAY, first, true);
    for tick in &mut all {
        let (year, month, _) = date(tick.at);
        let name = MONTHS[month - 1];
        tick.label = if month == 1 { year.to_string() } else { name.to_owned() };
    }
    all
}

fn every(
    from: Wall,
    to: Wall,
    apart: u64,
    wanted: impl Fn(Wall) -> bool,
    days: bool,
) -> Vec<Tick<Wall>> {
    let apart = Duration::from_secs(apart);
    let first = from.floor(apart);
    let first = if first < from { first + apart } else { first };
    let all = std::iter::successors(Some(first), |at| Some(*at + apart)).take_while(|at| *at <= to);
    all.filter(|at| wanted(*at))
        .map(|at| {
            let midnight = at.secs().rem_euclid(86_400) == 0;
            Tick { at, label: if days || midnight { day(at) } else { clock(at) } }
        })
        .collect()
}

/// Year, month and day in UTC.
fn date(at: Wall) -> (i64, usize, u32) {
    let text = at.to_string();
    let mut parts = text.splitn(3, '-');
    let year = parts.next().and_then(|year| year.parse().ok()).unwrap_or(1970);
    let month = parts.next().and_then(|month| month.parse().ok()).unwrap_or(1);
    let day = parts.next().and_then(|rest| rest.get(..2)?.parse().ok()).unwrap_or(1);
    (year, usize::clamp(month, 1, 12), day)
}

/// `30 Nov`.
#[must_use]
pub fn day(at: Wall) -> String {
    let (_, month, day) = date(at);
    format!("{day} {}", MONTHS[month - 1])
}

/// `08:45`.
#[must_use]
pub fn clock(at: Wall) -> String {
    let minutes = at.secs().div_euclid(60);
    format!("{:02}:{:02}", minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60))
}

/// A length of time in microseconds, as short as it is exact to three digits: `250 µs`, `24 ms`,
/// `1.5 s`. It is rounded up at a half.
#[must_use]
pub fn latency(us: u64) -> String {
    let (unit, name) = match us {
        0..1000 => (1, "µs"),
        1000..1_000_000 => (1000, "ms"),
        _ => (1_000_000, "s"),
    };
    let whole = us / unit;
    // Three digits in all; those after the point are at most three.
    let places = match whole {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    if unit == 1 {
        return format!("{us} {name}");
    }
    let scale = 10u64.pow(places);
    let parts = (us * scale + unit / 2) / unit;
    let (whole, part) = (parts / scale, parts % scale);
    if part == 0 {
        return format!("{whole} {name}");
    }
    let width = usize::try_from(places).unwrap_or(0);
    let digits = format!("{part:0width$}");
    format!("{whole}.{} {name}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(from: &str, to: &str, most: u64) -> String {
        let all = times(from.parse().unwrap(), to.parse().unwrap(), most);
        all.into_iter().map(|tick| tick.label).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn times_are_round_and_a_new_day_says_its_date() {
        assert_eq!(
            labels("2026-11-29T08:45:00Z", "2026-11-30T08:45:00Z", 8),
            "09:00 | 12:00 | 15:00 | 18:00 | 21:00 | 30 Nov | 03:00 | 06:00"
        );
        assert_eq!(
            labels("2026-11-30T08:15:00Z", "2026-11-30T08:45:00Z", 6),
            "08:15 | 08:20 | 08:25 | 08:30 | 08:35 | 08:40 | 08:45"
        );
        assert_eq!(
            labels("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 5),
            "2 Nov | 9 Nov | 16 Nov | 23 Nov | 30 Nov"
        );
        assert_eq!(
            labels("2025-11-30T00:00:00Z", "2026-11-30T00:00:00Z", 7),
            "2026 | Apr | Jul | Oct"
        );
        assert_eq!(labels("2026-11-30T08:00:10Z", "2026-11-30T08:00:20Z", 5), "");
    }

    #[test]
    fn latencies_are_short_and_exact_to_three_digits() {
        let all = [0, 250, 1000, 1500, 9994, 9995, 24_000, 24_049, 24_050, 150_000, 1_234_000];
        assert_eq!(
            all.map(latency).join(" | "),
            "0 µs | 250 µs | 1 ms | 1.5 ms | 9.99 ms | 10 ms | 24 ms | 24 ms | 24.1 ms | 150 ms | 1.23 s"
        );
    }
}
