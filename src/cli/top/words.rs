//! A frame in words: the cells of its table, and the lines around it.

use std::time::Duration;

use crate::base::time::Wall;
use crate::cli::print;
use crate::cli::top::model::{Budget, Frame, Row};

/// The columns of the table, without the strip of the last outcomes.
pub const HEADINGS: [&str; 9] =
    ["PROBE", "STATE", "LAST", "P50", "P95", "1m%", "1h%", "JITTER", "LEFT"];
/// How wide each is; the first takes what names need.
pub const WIDTHS: [usize; 9] = [0, 5, 7, 7, 7, 4, 4, 7, 7];
/// The cells of a row.
#[must_use]
pub fn cells(row: &Row) -> [String; 9] {
    let micros = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), print::micros);
    #[expect(clippy::cast_precision_loss, reason = "an RTT in microseconds is far below 2^53")]
    let whole = |us: Option<u64>| micros(us.map(|us| us as f64));
    [
        print::one(&row.name).into_owned(),
        state(&row.state).to_owned(),
        micros(row.last_us),
        whole(row.p50_us),
        whole(row.p95_us),
        row.minute.percent(),
        row.hour.percent(),
        micros(row.jitter_us),
        row.budget.as_ref().map_or_else(|| "-".to_owned(), left),
    ]
}

/// What takes no more than its column: `3d 4h` does, and of more the first part says most.
fn left(left: &Budget) -> String {
    let words = if left.seconds == 0 { "0s" } else { left.words.as_str() };
    if words.chars().count() <= WIDTHS[8] {
        return words.to_owned();
    }
    words.split(' ').next().unwrap_or(words).to_owned()
}

fn state(state: &str) -> &str {
    match state {
        "down" => "DOWN",
        "unknown" => "?",
        other => other,
    }
}

/// Who measures, since when it does not, and by what clock.
#[must_use]
pub fn headline(frame: &Frame) -> String {
    let site = print::one(&frame.site).into_owned();
    if frame.running {
        return format!("{site}  {}  running  clock {}", frame.software, frame.clock);
    }
    let until = match frame.observed_until {
        Some(last) => {
            format!("recorded until {}", print::instant(last.floor(Duration::from_secs(1))))
        }
        None => "nothing was recorded".to_owned(),
    };
    format!("NOT RUNNING, {until}  {site}")
}

/// What stands below the table: outages under way, deadlines, the outbox, notes; so many of each.
#[must_use]
pub fn below(frame: &Frame, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut some = |what: &str, none: &str, all: &[String]| match all {
        [] => lines.extend((!none.is_empty()).then(|| format!("{what:9} {none}"))),
        all => {
            for (at, words) in all.iter().take(most).enumerate() {
                let more = all.len() - most.min(all.len());
                let more = if at + 1 == most && more > 0 {
                    format!(" (and {more} more)")
                } else {
                    String::new()
                };
                let what = if at == 0 { what } else { "" };
                lines.push(print::one(&format!("{what:9} {words}{more}")).into_owned());
            }
        }
    };
    some("outages", "none under way", &frame.outages);
    some("deadlines", "", &frame.deadlines);
    some("outbox", "", std::slice::from_ref(&frame.outbox));
    some("note", "", &frame.notes);
    lines
}

/// How long an outage lasts already.
#[must_use]
pub fn since(from: Wall, now: Wall) -> String {
    print::length(Duration::from_secs(
        u64::try_from(now.nanos_since(from) / 1_000_000_000).unwrap_or(0),
    ))
}
