//! The answer in a sentence: is it slower than it was, how many were lost.

use crate::base::time::Wall;
use crate::cli::print;
use crate::draw::axis::latency;
use crate::measure::histogram::Counts;
use crate::measure::history::{Bucket, merged};
use crate::measure::outcome::Outcome;

/// Fewer answers than this say nothing of a change.
const FEWEST: u64 = 20;
/// A change below this many microseconds, or below one part in so many, is none.
const LEAST_US: u64 = 50;
const LEAST_PART: u64 = 20;

/// How latencies are to what they were.
#[derive(Debug, PartialEq, Eq)]
enum Trend {
    /// There is too little to compare.
    Unknown,
    /// As fast as before.
    Same { p50: u64, p95: u64 },
    /// Slower or faster, by that figure.
    Other { slower: bool, name: &'static str, now: u64, then: u64 },
}

fn trend(now: &Counts, then: &Counts) -> Trend {
    if now.count().min(then.count()) < FEWEST {
        return Trend::Unknown;
    }
    let at = |of: &Counts, percent| of.value_at_us(percent, 100).unwrap_or(0);
    let [p50, p95] = [50, 95].map(|percent| at(now, percent));
    for (name, now, then) in [("p50", p50, at(then, 50)), ("p95", p95, at(then, 95))] {
        let change = now.abs_diff(then);
        if change >= LEAST_US && change.saturating_mul(LEAST_PART) >= then {
            return Trend::Other { slower: now > then, name, now, then };
        }
    }
    Trend::Same { p50, p95 }
}

/// The first line. Without another span to compare with, the last eighth of the time is compared
/// with what was before it.
pub(super) fn headline(
    probe: &str,
    buckets: &[Bucket],
    until: Wall,
    then: Option<&Bucket>,
) -> String {
    let whole = merged(buckets).unwrap_or_default();
    if buckets.iter().all(Bucket::is_hole) {
        return format!("{probe}: nothing was observed in that time");
    }
    let (trend, when, before) = match then {
        Some(then) => (trend(&whole.rtt, &then.rtt), String::new(), "then"),
        None => {
            let past = buckets.partition_point(|bucket| bucket.from < until);
            let past = buckets.get(..past).unwrap_or(buckets);
            let (early, late) = past.split_at(past.len() - past.len().div_ceil(8));
            let length = late.first().map_or(std::time::Duration::ZERO, |first| {
                let nanos = until.nanos_since(first.from);
                std::time::Duration::from_secs(
                    u64::try_from(nanos / 60_000_000_000).unwrap_or(0) * 60,
                )
            });
            let (early, late) =
                (merged(early).unwrap_or_default(), merged(late).unwrap_or_default());
            let when = format!(" in the last {}", print::length(length));
            (trend(&late.rtt, &early.rtt), when, "before")
        }
    };
    let speed = match trend {
        Trend::Unknown => match whole.rtt.value_at_us(50, 100) {
            Some(p50) => format!("p50 {}, too few answers to say if it is slower", latency(p50)),
            None => "no answer".to_owned(),
        },
        Trend::Same { p50, p95 } => {
            format!("not slower{when} than {before}: p50 {}, p95 {}", latency(p50), latency(p95))
        }
        Trend::Other { slower, name, now, then } => format!(
            "{}{when}: {name} {}, {} {before}, {}",
            if slower { "slower" } else { "faster" },
            latency(now),
            latency(then),
            change(now, then)
        ),
    };
    format!("{probe}: {speed}; {}", lost(&whole))
}

/// `+29%`, or how many times as long.
pub(super) fn change(now: u64, then: u64) -> String {
    let then = then.max(1);
    if now >= then * 3 {
        let tenths = (now * 10 + then / 2) / then;
        return format!("{}.{} times as long", tenths / 10, tenths % 10);
    }
    let percent = (now.abs_diff(then) * 100 + then / 2) / then;
    match percent {
        0 => "0%".to_owned(),
        percent => format!("{}{percent}%", if now < then { "-" } else { "+" }),
    }
}

/// How many were lost of those that were sent, and what else was not good.
fn lost(whole: &Bucket) -> String {
    let (failed, sent) = (whole.failed(), whole.sent());
    let mut said = match (failed, sent) {
        (_, 0) => "none was sent".to_owned(),
        (0, sent) => format!("none of {sent} lost"),
        (failed, sent) => format!("{failed} of {sent} lost ({})", percent(failed, sent)),
    };
    let late = whole.count(Outcome::Late);
    if late > 0 {
        said.push_str(&format!(", {late} late"));
    }
    said
}

/// A share in percent, with as many digits as tell it from none and from all.
pub(super) fn percent(some: u64, all: u64) -> String {
    let (some, all) = (u128::from(some), u128::from(all.max(1)));
    let at = |scale: u128| (some * 100 * scale + all / 2) / all;
    match at(1000) {
        0 if some > 0 => "<0.001%".to_owned(),
        0 => "0%".to_owned(),
        thousandths @ 1..1000 => format!("0.{thousandths:03}%"),
        1000..10_000 => format!("{}.{:02}%", at(100) / 100, at(100) % 100),
        _ if some < all && at(10) >= 1000 => ">99.9%".to_owned(),
        _ => format!("{}.{}%", at(10) / 10, at(10) % 10),
    }
}

/// The same span earlier, by percentile.
pub(super) fn against(now: &Bucket, then: &Bucket) -> String {
    let mut rows = vec![["", "NOW", "THEN", "CHANGE"].map(str::to_owned).to_vec()];
    let mut row = |name: &str, now: Option<u64>, then: Option<u64>| {
        let shown = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), latency);
        let by = now.zip(then).map_or_else(|| "-".to_owned(), |(now, then)| change(now, then));
        rows.push(vec![name.to_owned(), shown(now), shown(then), by]);
    };
    row("min", now.rtt.min_us(), then.rtt.min_us());
    for (name, part, of) in [("p50", 50, 100), ("p90", 90, 100), ("p95", 95, 100), ("p99", 99, 100)]
    {
        row(name, now.rtt.value_at_us(part, of), then.rtt.value_at_us(part, of));
    }
    row("max", now.rtt.max_us(), then.rtt.max_us());
    let lost = |of: &Bucket| format!("{} ({})", of.failed(), percent(of.failed(), of.sent()));
    rows.push(vec!["lost".to_owned(), lost(now), lost(then)]);
    let answers = |of: &Bucket| of.rtt.count().to_string();
    rows.push(vec!["answers".to_owned(), answers(now), answers(then)]);
    print::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram::{Board, Histogram};

    fn counts(values: &[(u64, usize)]) -> Counts {
        let mut all = Histogram::new();
        for (us, count) in values {
            (0..*count).for_each(|_| _ = all.record_us(*us));
        }
        let mut board = Board::default();
        all.pack().iter().for_each(|packed| board.add(packed).unwrap());
        board.take()
    }

    #[test]
    fn a_change_counts_from_a_twentieth_on_in_the_median_or_else_the_slowest() {
        let then = counts(&[(24_000, 90), (26_000, 10)]);
        let other = |slower, name, now, then| Trend::Other { slower, name, now, then };
        for (now, expected) in [
            (counts(&[(24_500, 90), (26_500, 10)]), Trend::Same { p50: 24_511, p95: 26_511 }),
            (counts(&[(31_000, 90), (32_000, 10)]), other(true, "p50", 31_007, 24_015)),
            (counts(&[(24_000, 90), (90_000, 10)]), other(true, "p95", 90_047, 26_015)),
            (counts(&[(20_000, 100)]), other(false, "p50", 20_015, 24_015)),
            (counts(&[(90_000, 19)]), Trend::Unknown),
        ] {
            assert_eq!(trend(&now, &then), expected);
        }
        // Some microseconds are none, however many percent they are.
        let (fast, slower) = (counts(&[(200, 50)]), counts(&[(240, 50)]));
        assert!(matches!(trend(&slower, &fast), Trend::Same { .. }));
    }

    #[test]
    fn a_share_is_never_rounded_to_none_or_to_all() {
        let all = [(0, 9), (1, 1_000_000), (12, 86_400), (1, 50), (1, 9), (9999, 10_000), (3, 3)];
        assert_eq!(
            all.map(|(some, all)| percent(some, all)).join(" | "),
            "0% | <0.001% | 0.014% | 2.00% | 11.1% | >99.9% | 100.0%"
        );
        assert_eq!(
            [change(130, 100), change(80, 100), change(450, 100)].join(" | "),
            "+30% | -20% | 4.5 times as long"
        );
    }
}
