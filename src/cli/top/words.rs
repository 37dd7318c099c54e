//! The screen in words: the cells of its table, and the lines around it.

use std::time::Duration;

use crate::base::time::Wall;
use crate::cli::print;
use crate::cli::top::history::{Loss, Minute};
use crate::cli::top::model::{Budget, Frame, Row};
use crate::measure::outcome::Outcome;

/// The columns of the table, without the strip of the last outcomes.
pub const HEADINGS: [&str; 9] =
    ["PROBE", "STATE", "LAST", "P50", "P95", "1m%", "1h%", "JITTER", "LEFT"];
/// How wide each is; the first takes what names need, within [`NAMES`].
const WIDTHS: [usize; 9] = [0, 5, 7, 7, 7, 4, 4, 7, 7];
/// A name takes so many columns at least, and at most.
const NAMES: (usize, usize) = (10, 32);
/// The strip has so many columns at least.
const STRIP: usize = 8;

/// How wide the columns are, and the strip after them.
#[must_use]
pub fn widths(columns: usize, rows: &[Row]) -> ([usize; 9], usize) {
    let longest = rows.iter().map(|row| print::one(&row.name).chars().count()).max().unwrap_or(0);
    let others: usize = WIDTHS.iter().map(|width| width + 1).sum();
    let most = columns.saturating_sub(others + STRIP).clamp(NAMES.0, NAMES.1);
    let mut widths = WIDTHS;
    widths[0] = longest.clamp(NAMES.0, most);
    (widths, columns.saturating_sub(others + widths[0]))
}

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

/// A cell in its column: names to the left, figures to the right; what is too long is cut.
#[must_use]
pub fn placed(cell: &str, at: usize, width: usize) -> String {
    let length = cell.chars().count();
    if length > width {
        let cut: String = cell.chars().take(width.saturating_sub(1)).collect();
        return format!("{cut}…");
    }
    if at < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
}

/// What an outcome is in a strip: a dot where it was answered, else its letter.
#[must_use]
pub const fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Answered => '.',
        other => other.letter(),
    }
}

/// The last outcomes, the last one rightmost.
#[must_use]
pub fn strip(row: &Row, width: usize) -> Vec<Outcome> {
    let all: Vec<Outcome> = row.recent.iter().collect();
    all[all.len().saturating_sub(width)..].to_vec()
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

/// A minute of a probe.
#[must_use]
pub fn minute(minute: &Minute) -> String {
    #[expect(clippy::cast_precision_loss, reason = "an RTT in microseconds is far below 2^53")]
    let micros = |us: u64| print::micros(us as f64);
    let [p50, p95, max] =
        minute.rtt_us.map_or_else(|| ["-", "-", "-"].map(str::to_owned), |all| all.map(micros));
    let loss = Loss::of(&minute.outcomes).percent();
    let from = print::instant(minute.from);
    format!("{from:24} {loss:>5} {p50:>8} {p95:>8} {max:>8}  {}", minute.outcomes)
}

/// What stands above the minutes.
pub const MINUTES: &str = "FROM                     LOSS%      P50      P95      MAX  OUTCOMES";

/// How long an outage lasts already.
#[must_use]
pub fn since(from: Wall, now: Wall) -> String {
    print::length(Duration::from_secs(
        u64::try_from(now.nanos_since(from) / 1_000_000_000).unwrap_or(0),
    ))
}

/// What the keys do, and what the table means.
pub const HELP: &str = "\
up down PgUp PgDn Home End   choose a probe (also j k g G)
Enter       open it: its last hour, minute by minute, and its outages
s S         sort by the next or the one before: configuration, name, state,
            last, p95, loss, jitter, budget;  r turns it round
/           show only probes whose name, service, state or kind holds a text;
            Enter keeps it, Esc ends it
Ctrl-L      draw anew;  Ctrl-Z  stop until fg
q           back, or leave;  ? this page

LAST        RTT of the last answer;  P50 P95 JITTER  of the last hour
1m% 1h%     lost or refused, of what is known: last whole minute, hour
LEFT        of the downtime that the contract allows in this period
strip       the last sends, the newest at the right:
            . answered   t late   l lost   u refused
            n not sent   x not observed";
