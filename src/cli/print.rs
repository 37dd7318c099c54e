//! What the commands print: tables for people, JSON for programs.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::base::time::Wall;
use crate::cli::{Failure, color};
use crate::draw::heat::{Line, Tone};

/// Whether a character is none that others may put onto somebody's terminal: it moves the cursor,
/// begins an escape sequence, or changes the direction or the order in which what follows is read
/// (Unicode's bidirectional formatting characters, UAX 9, its separators of lines and paragraphs,
/// and its tags).
#[must_use]
pub fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A text as it may stand on a terminal whoever wrote it: what is odd is told as what it is,
/// `\u{1b}`. `kept` stays.
fn shown<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let odd = |c: char| is_odd(c) && !kept.contains(&c);
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let each = |c: char| match c {
        '\n' | '\r' | '\t' if odd(c) => c.escape_default().to_string(),
        c if odd(c) => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    Cow::Owned(text.chars().map(each).collect())
}

/// A text of others within a line: it stays one line, whatever is in it.
#[must_use]
pub fn one(text: &str) -> Cow<'_, str> {
    shown(text, &[])
}

/// Lines for people, of which each may hold what others wrote.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    shown(text, &['\n', '\t'])
}

/// Writes a line for people, or several, to standard output: everything that is no JSON passes
/// here, and what could steer a terminal is escaped. A reader that went away (`| head`) ends the
/// command quietly.
///
/// # Errors
/// When standard output cannot be written.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    write(&lines(&text.to_string()))
}

/// Writes a picture for people, in colours where they are shown.
///
/// # Errors
/// When standard output cannot be written.
pub fn picture(all: &[Line]) -> Result<(), Failure> {
    let mut text = String::new();
    for line in all {
        for piece in line {
            let shown = one(&piece.text);
            match code(piece.tone).filter(|_| color::is_shown()) {
                Some(code) => _ = write!(text, "\x1b[{code}m{shown}\x1b[0m"),
                None => text.push_str(&shown),
            }
        }
        text.push('\n');
    }
    write(text.trim_end_matches('\n'))
}

/// The colour of a tone, by ECMA-48.
const fn code(tone: Tone) -> Option<u8> {
    match tone {
        Tone::Plain => None,
        Tone::Answered => Some(36),
        Tone::Bad => Some(31),
        Tone::Late => Some(33),
        Tone::NotSent => Some(35),
        Tone::Unseen => Some(90),
        Tone::Excluded => Some(34),
    }
}

/// Writes lines again, over so many that were drawn before; standard output is a terminal.
///
/// # Errors
/// When standard output cannot be written.
pub fn again(drawn: usize, text: &str) -> Result<(), Failure> {
    write(&format!("\x1b[{drawn}A\x1b[J{}", lines(text)))
}

/// Writes comma-separated values, whose lines end with `\r\n`.
///
/// # Errors
/// When standard output cannot be written.
pub fn csv(text: &str) -> Result<(), Failure> {
    let all: Vec<Cow<'_, str>> = text.split("\r\n").map(lines).collect();
    write(&all.join("\r\n"))
}

/// A cell of comma-separated values, in quotes where it needs them; one that a spreadsheet would take for a formula is told
/// apart by an apostrophe.
#[must_use]
pub fn cell(cell: &str) -> String {
    let is_number =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let negative = cell.strip_prefix('-').is_some_and(is_number);
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && !negative;
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

thread_local! {
    /// What is written while it is kept.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does something, and keeps what it would have written.
pub fn kept<T>(work: impl FnOnce() -> T) -> (T, String) {
    KEPT.with(|kept| *kept.borrow_mut() = Some(String::new()));
    let done = work();
    (done, KEPT.with(RefCell::take).unwrap_or_default())
}

/// Puts a text aside where it is kept.
fn keep(text: &str) -> bool {
    KEPT.with(|kept| match kept.borrow_mut().as_mut() {
        Some(all) => {
            all.push_str(text);
            all.push('\n');
            true
        }
        None => false,
    })
}

/// Writes a whole screen that was kept: on a terminal over the one before, as many lines of it as
/// there is room for.
///
/// # Errors
/// When standard output cannot be written.
pub fn in_place(text: &str, first: bool) -> Result<(), Failure> {
    let Some(rows) = rows() else { return write(text.trim_end_matches('\n')) };
    // The first time what stood there before stays in the terminal's history.
    let mut screen = if first { "\n".repeat(rows) } else { String::new() };
    screen.push_str("\x1b[H");
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(2).max(1);
    let shown = if lines.len() > room + 1 { room } else { lines.len() };
    for line in lines.iter().take(shown) {
        let _ = writeln!(screen, "{line}\x1b[K");
    }
    if shown < lines.len() {
        let _ = writeln!(screen, "({} more lines)\x1b[K", lines.len() - shown);
    }
    screen.push_str("\x1b[J");
    let mut out = std::io::stdout().lock();
    written(out.write_all(screen.as_bytes()).and_then(|()| out.flush()))
}

/// The lines of the terminal; none where there is none.
fn rows() -> Option<usize> {
    #[cfg(any(feature = "agent", feature = "collector"))]
    if std::io::IsTerminal::is_terminal(&std::io::stdout())
        && let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout())
        && size.ws_row > 2
    {
        return Some(usize::from(size.ws_row));
    }
    None
}

fn write(text: &str) -> Result<(), Failure> {
    if keep(text) {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Unread),
        Err(error) => Err(Failure::Could(format!("standard output cannot be written: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Tells something that belongs to no answer: on standard error, out of what programs read.
#[expect(
    clippy::print_stderr,
    reason = "what is no answer stays out of the output that programs read"
)]
pub fn note(text: impl std::fmt::Display) {
    let text = text.to_string();
    let text = lines(&text);
    // A screen that is drawn in place has room for it, and the terminal has not.
    if !(rows().is_some() && keep(&text)) {
        eprintln!("{text}");
    }
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(value).map_err(|error| Failure::Could(format!("JSON: {error}")))?;
    write(&as_json(text))
}

/// JSON escapes what is below a space; the other odd characters, which only its strings can hold,
/// are escaped here.
fn as_json(text: String) -> String {
    if !text.contains(is_odd) {
        return text;
    }
    let mut units = [0; 2];
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_odd(c) {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A table: columns as wide as they need to be, two spaces between them, no trailing space. The
/// first row is the heading.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| one(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut written = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            written.push_str(cell);
            written.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Words are written in lines that are no wider than this, in characters; so are tables, where
/// there is no terminal.
const WORDS: usize = 80;
/// On a terminal that is narrower than this, lines are longer than it.
const NARROWEST: usize = 40;

/// The columns that a table for people may have: those of the terminal.
#[must_use]
pub fn width() -> usize {
    #[cfg(any(feature = "agent", feature = "collector"))]
    if std::io::IsTerminal::is_terminal(&std::io::stdout())
        && let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout())
        && size.ws_col > 0
    {
        return usize::from(size.ws_col).max(NARROWEST);
    }
    WORDS
}

/// A table where it fits into the columns that there are; else each row as a paragraph: its first
/// cell, then the others by their headings. What the first column is called is not said there, so
/// its cells must tell it: a time has its zone.
#[must_use]
pub fn fitted(heading: &[String], rows: &[Vec<String>]) -> String {
    fitted_to(width(), heading, rows)
}

/// As [`fitted`], for so many columns.
#[must_use]
pub fn fitted_to(width: usize, heading: &[String], rows: &[Vec<String>]) -> String {
    let all: Vec<Vec<String>> =
        std::iter::once(heading.to_vec()).chain(rows.iter().cloned()).collect();
    let whole = table(&all);
    if whole.lines().all(|line| line.chars().count() <= width) {
        return whole;
    }
    let mut text = String::new();
    for row in rows {
        let Some((first, others)) = row.split_first() else { continue };
        let named = heading
            .iter()
            .skip(1)
            .zip(others)
            .map(|(name, cell)| format!("{} {cell}", name.to_lowercase()));
        wrap_to(
            width,
            &mut text,
            &format!("{}: ", one(first)),
            "  ",
            &named.collect::<Vec<_>>().join(", "),
        );
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Writes a text in lines of at most 80 characters, or as many as the terminal has, where its words
/// allow it; `first` begins the first, `other` the others.
pub fn wrap(text: &mut String, first: &str, other: &str, words: &str) {
    wrap_to(width(), text, first, other, words);
}

/// As [`wrap`], for so many columns.
pub fn wrap_to(width: usize, text: &mut String, first: &str, other: &str, words: &str) {
    let width = width.min(WORDS);
    let mut line = first.to_owned();
    let mut empty = true;
    for word in one(words).split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(text, "{line}");
            line = other.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

/// An instant for people: to the second where it is one, else to the millisecond; in UTC.
#[must_use]
pub fn instant(at: Wall) -> String {
    let step = if at.nanos() % 1_000_000_000 == 0 {
        Duration::from_secs(1)
    } else {
        Duration::from_millis(1)
    };
    at.floor(step).to_string().replace('T', " ")
}

/// A length for people: `3d 4h`, `2h 5m`, `12m 30s`, `7.4s`, `350ms`.
#[must_use]
pub fn length(of: Duration) -> String {
    let seconds = of.as_secs();
    let pair = |large: u64, unit: &str, small: u64, below: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{below}") }
    };
    match seconds {
        86_400.. => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
        3600.. => pair(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        60.. => pair(seconds / 60, "m", seconds % 60, "s"),
        1.. if of.subsec_millis() < 50 => format!("{seconds}s"),
        1.. => format!("{:.1}s", of.as_secs_f64()),
        0 => format!("{}ms", of.as_millis()),
    }
}

/// Microseconds for people: `24.0 ms`, `350 µs`, `1.20 s`. The figure must not have been rounded
/// before; a half goes up.
#[must_use]
pub fn micros(us: f64) -> String {
    // What is shown is rounded as a whole number: to divide by a thousand first would move a half
    // to either side.
    match us {
        us if us >= 1_000_000.0 => format!("{:.2} s", (us / 1e4).round() / 100.0),
        us if us >= 10_000.0 => format!("{:.1} ms", (us / 100.0).round() / 10.0),
        us if us >= 1_000.0 => format!("{:.2} ms", (us / 10.0).round() / 100.0),
        us => format!("{} µs", us.round()),
    }
}

/// Bytes for people: `512 B`, `3.4 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let size = count as f64;
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", size / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", size / 1_048_576.0),
        _ => format!("{:.1} GiB", size / 1_073_741_824.0),
    }
}

/// The times of day in a text that do not say that they are in UTC.
#[cfg(test)]
pub(super) fn times_without_zone(text: &str) -> Vec<String> {
    let is_time =
        |word: &str| word.len() >= 8 && word.bytes().filter(|&byte| byte == b':').count() >= 2;
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    text.split_whitespace().map(bare).filter(|word| is_time(word) && !word.ends_with('Z')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_they_hold() {
        let rows = [["a", "bb", "c"], ["µµµ", "b", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a    bb  c\nµµµ  b");
    }

    /// What an attacker who names a site or a probe would like to print.
    const EVIL: [&str; 7] = [
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "up\nleeds-01  approved  now",
        "\r overwritten",
        "\u{9b}31m",
        "\u{202e}desrever\u{2066}",
        "\u{2028}next",
        "\u{7f}\u{8}\u{e0041}",
    ];

    #[test]
    fn nothing_that_others_wrote_steers_a_terminal_or_makes_a_line_of_its_own() {
        let heading = ["SITE", "STATE"].map(str::to_owned);
        for evil in EVIL {
            let row = vec![evil.to_owned(), format!("a{evil}")];
            let wide = vec![evil.to_owned(), format!("{evil}{}", "x".repeat(80))];
            for text in [
                table(std::slice::from_ref(&row)),
                fitted(&heading, &[row]),
                fitted(&heading, &[wide]),
            ] {
                assert!(!text.contains(|c| is_odd(c) && c != '\n'), "{text:?}");
                assert!(!text.contains("\nleeds-01  approved"), "{text:?}");
            }
            let said = lines(evil);
            assert!(!said.contains(|c| is_odd(c) && c != '\n'), "{said:?}");
            let mut text = String::new();
            wrap(&mut text, "  ", "  ", evil);
            assert!(!text.trim_end().contains(is_odd), "{text:?}");
            // JSON says the same, and a reader gets what was there.
            let json = as_json(serde_json::to_string(evil).unwrap());
            assert!(!json.contains(is_odd), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), evil);
        }
        assert_eq!(one("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(one("köln\u{20}µs\u{1f1ec}"), "köln µs\u{1f1ec}");
    }

    #[test]
    fn a_time_is_rounded_once_and_a_half_goes_up() {
        let all =
            [999.4, 1_004.999, 1_005.0, 9_994.999, 24_049.96, 24_050.0, 1_234_999.999, 1_235_000.0]
                .map(micros);
        assert_eq!(
            all,
            ["999 µs", "1.00 ms", "1.01 ms", "9.99 ms", "24.0 ms", "24.1 ms", "1.23 s", "1.24 s"]
                .map(str::to_owned)
        );
    }

    #[test]
    fn lengths_are_short_and_true() {
        let of = |ms| length(Duration::from_millis(ms));
        assert_eq!(
            [of(350), of(7_400), of(7_000), of(750_000), of(7_500_000), of(273_600_000)],
            ["350ms", "7.4s", "7s", "12m 30s", "2h 5m", "3d 4h"]
        );
    }

    #[test]
    fn a_long_step_is_wrapped_between_words_and_none_is_lost() {
        let words = "driver downtime: 13950; tier over 2700 upto 14400: 10% of the monthly \
            charge, 4000.00 GBP = 400.00 GBP";
        let mut text = String::new();
        wrap(&mut text, "  - ", "    ", words);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.split_whitespace().skip(1).collect::<Vec<_>>().join(" "), words);
    }

    #[test]
    fn a_table_that_is_too_wide_becomes_paragraphs() {
        let heading = ["NAME", "STATE"].map(str::to_owned);
        let row = |name: &str| vec![name.to_owned(), "breached so far".to_owned()];
        assert_eq!(fitted(&heading, &[row("a")]), "NAME  STATE\na     breached so far");
        let long = "x".repeat(70);
        assert_eq!(fitted(&heading, &[row(&long)]), format!("{long}: state\n  breached so far"));
        assert_eq!(fitted_to(20, &heading, &[row("a")]), "a: state breached so\n  far");
        // A wide terminal has room for wide tables, and words stay in lines that can be read.
        assert_eq!(
            fitted_to(100, &heading, &[row(&long)]).lines().nth(1),
            Some(&*format!("{long}  breached so far"))
        );
        assert!(
            fitted_to(86, &heading, &[row(&long)]).lines().all(|line| line.chars().count() <= 80)
        );
    }
}
