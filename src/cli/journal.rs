//! `wanproof journal`: what happened to the agent itself and to the paths that it measures, a line
//! each.

use serde_json::json;

use crate::base::time::Wall;
use crate::cli::given::since;
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};
use crate::store::journal::Entry;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// How far back to look: how long ago, such as 24h or 30d, or since a time or a day in UTC,
    /// such as 2026-06-03
    #[arg(long, default_value = "7d", value_name = "WHEN", value_parser = since)]
    since: Wall,
    /// Only lines of this kind, such as clock-step; may be given several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// One JSON array instead of lines
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let from = args.since;
    let store = args.source.store()?;
    let mut all = store.journal(u32::MAX)?;
    all.retain(|entry| {
        entry.at >= from && (args.kind.is_empty() || args.kind.contains(&entry.kind))
    });
    if args.json {
        let each =
            |entry: &Entry| json!({"at": entry.at, "kind": entry.kind, "detail": entry.detail});
        print::json(&all.iter().map(each).collect::<Vec<_>>())?;
    } else if all.is_empty() {
        print::line(format_args!("nothing was noted since {}", print::instant(from)))?;
    }
    let widest = |of: fn(&Entry) -> usize| all.iter().map(of).max().unwrap_or(0);
    let widths = (
        widest(|entry| print::instant(entry.at).len()),
        widest(|entry| entry.kind.chars().count()),
    );
    for entry in all.iter().filter(|_| !args.json) {
        print::line(shown(print::width(), entry, widths))?;
    }
    Ok(Exit::Done)
}

/// Words that have fewer columns than this under the others begin at the left instead.
const ROOM: usize = 24;

/// A line of so many columns, its time and kind as wide as these; words that find no room in it go
/// below, under the others.
fn shown(columns: usize, entry: &Entry, (at, kind): (usize, usize)) -> String {
    let head = format!("{:at$}  {:kind$}", print::instant(entry.at), entry.kind);
    let mut column = head.chars().count();
    let under = column + 2;
    let indent = if under + ROOM <= columns { under } else { 4 };
    let mut text = head;
    for (place, word) in entry.detail.split_whitespace().map(print::one).enumerate() {
        let length = word.chars().count();
        if place == 0 {
            text.push_str("  ");
            column += 2;
        } else if column + 1 + length > columns {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += length;
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;

    #[test]
    fn a_line_says_its_zone_on_every_terminal() {
        let at = Wall::from_nanos(1_700_000_000_412_000_000);
        let detail =
            "hq: replies come with TTL 57, 58 before; dc: replies come with TTL 57, 58 before"
                .to_owned();
        for columns in [40, 60, 80] {
            let text = shown(
                columns,
                &Entry { at, kind: "reply-ttl".to_owned(), detail: detail.clone() },
                (24, 10),
            );
            assert_eq!(print::times_without_zone(&text), [""; 0], "{text}");
            assert!(text.lines().skip(1).all(|line| line.chars().count() <= columns), "{text}");
            assert_eq!(text.split_whitespace().skip(3).collect::<Vec<_>>().join(" "), detail);
        }
    }

    #[test]
    fn a_long_line_goes_on_below_itself_within_80_columns() {
        let at = Wall::from_secs(1_700_000_000);
        let detail =
            "hq: replies come with TTL 57, 58 before; dc: replies come with TTL 57, 58 before"
                .to_owned();
        let text = shown(80, &Entry { at, kind: "reply-ttl".to_owned(), detail }, (20, 10));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "2023-11-14 22:13:20Z  reply-ttl   hq: replies come with TTL 57, 58 before; dc:"
        );
        assert_eq!(lines[1], format!("{:34}replies come with TTL 57, 58 before", ""));
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        let bare = Entry { at, kind: "stop".to_owned(), detail: String::new() };
        assert_eq!(shown(80, &bare, (20, 10)), "2023-11-14 22:13:20Z  stop");
        assert_eq!(
            shown(80, &bare, (24, 4)),
            "2023-11-14 22:13:20Z      stop",
            "beside times with milliseconds"
        );
    }
}
