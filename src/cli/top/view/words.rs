//! The words that only the full screen shows.

use crate::cli::print;
use crate::cli::top::history::{Loss, Minute};
use crate::cli::top::model::Row;
use crate::cli::top::words::WIDTHS;
use crate::measure::outcome::Outcome;

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
