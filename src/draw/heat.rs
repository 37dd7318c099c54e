//! A heat map for a terminal: time across, latency up by its logarithm, the share of a column's
//! answers as shade; under it what was lost, late, not sent and not observed, outages and
//! exclusions, on the same time axis. Colour only repeats what the characters say.

use std::time::Duration;

use crate::base::time::Wall;
use crate::draw::axis::{self, Tick};
use crate::draw::{Band, scale};
use crate::measure::history::{Bucket, merged};
use crate::measure::outcome::Outcome;

mod column;

use column::Column;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Heat<'a> {
    /// In the order of time, without a gap.
    pub buckets: &'a [Bucket],
    /// What is later than this is still to come, and no hole.
    pub until: Wall,
    /// Its outages.
    pub outages: &'a [Band],
    /// What is excluded.
    pub excluded: &'a [Band],
    /// Columns of the terminal.
    pub width: usize,
    /// Rows of latency.
    pub rows: usize,
    /// The characters that the terminal has.
    pub glyphs: Glyphs,
}

/// The characters that a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Those of ASCII.
    Ascii,
    /// Blocks and shades of Unicode.
    Unicode,
}

/// What a piece of a line is about, so that a terminal with colours can repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Axes and words.
    Plain,
    /// Answers.
    Answered,
    /// Lost or refused, and outages.
    Bad,
    /// Late.
    Late,
    /// Not sent.
    NotSent,
    /// Not observed.
    Unseen,
    /// Excluded.
    Excluded,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is about.
    pub tone: Tone,
    /// Its characters.
    pub text: String,
}

/// A line of the picture.
pub type Line = Vec<Piece>;

/// The columns before the map, and those after it.
const BEFORE: usize = 13;
const AFTER: usize = 8;

impl Glyphs {
    /// The sign of a share of a column's answers, from a tenth of them, a quarter, a half on.
    const fn shades(self) -> [char; 4] {
        match self {
            Self::Ascii => ['.', ':', '*', '#'],
            Self::Unicode => ['░', '▒', '▓', '█'],
        }
    }

    const fn hole(self) -> char {
        match self {
            Self::Ascii => '/',
            Self::Unicode => '╱',
        }
    }

    const fn side(self) -> [char; 2] {
        match self {
            Self::Ascii => ['|', '+'],
            Self::Unicode => ['│', '┤'],
        }
    }

    const fn floor(self) -> [char; 3] {
        match self {
            Self::Ascii => ['+', '-', '+'],
            Self::Unicode => ['└', '─', '┬'],
        }
    }

    fn latency(self, us: u64) -> String {
        let text = axis::latency(us);
        if self == Self::Ascii { text.replace('µ', "u") } else { text }
    }
}

/// The signs of a share that should be none: below 1 %, 10 %, 50 %, and more.
const PARTS: [char; 4] = ['-', '+', '*', '#'];

/// Draws it; what of the buckets no column has room for is merged. Lines have no trailing spaces.
#[must_use]
pub fn draw(heat: &Heat<'_>) -> Vec<Line> {
    let columns = columns(heat);
    let mut lines = map(heat, &columns);
    lines.push(floor(heat, &columns));
    lines.push(times(heat, &columns));
    let total = merged(heat.buckets).unwrap_or_default();
    for (name, tone, share, count) in [
        ("lost", Tone::Bad, Column::lost as fn(&Column) -> Part, total.failed()),
        ("late", Tone::Late, Column::late, total.count(Outcome::Late)),
        ("not sent", Tone::NotSent, Column::unsent, total.count(Outcome::NotSent)),
    ] {
        let strip = columns.iter().map(|column| share(column).sign(heat.glyphs)).collect();
        lines.push(strip_line(name, tone, strip, &count.to_string()));
    }
    let unseen = columns.iter().map(|column| column.unseen().sign(heat.glyphs)).collect();
    lines.push(strip_line("not observed", Tone::Unseen, unseen, &unseen_share(heat, &columns)));
    lines.push(bands("outages", Tone::Bad, heat.outages, &columns));
    if !heat.excluded.is_empty() {
        lines.push(bands("excluded", Tone::Excluded, heat.excluded, &columns));
    }
    lines.into_iter().map(trimmed).collect()
}

/// What the signs mean, in lines of at most 80 columns.
#[must_use]
pub fn legend(glyphs: Glyphs) -> [String; 2] {
    let [a, b, c, d] = glyphs.shades();
    let [e, f, g, h] = PARTS;
    let hole = glyphs.hole();
    [
        format!(
            "answers of a column: {a} below 10 %  {b} 25 %  {c} 50 %  {d} more  {hole} nothing observed"
        ),
        format!(
            "under it, of what was due: {e} below 1 %  {f} 10 %  {g} 50 %  {h} more  = all along"
        ),
    ]
}

/// How long a column is.
#[must_use]
pub fn column_length(heat: &Heat<'_>) -> Duration {
    let step = heat.buckets.iter().map(|bucket| bucket.length).min().unwrap_or(Duration::ZERO);
    let room = heat.width.saturating_sub(BEFORE + AFTER).max(10);
    let span = span(heat);
    let fits = |each: &u32| {
        let length = step * *each;
        let nanos = u128::try_from(span.1.nanos_since(span.0.floor(length))).unwrap_or(0);
        nanos.div_ceil(length.as_nanos().max(1)) <= room as u128
    };
    // Where there are few buckets, each has several columns.
    let split = [6, 5, 4, 3, 2].into_iter().find(|parts| {
        let steps =
            span.1.nanos_since(span.0).unsigned_abs() / step.as_secs().max(1) / 1_000_000_000;
        u128::from(steps) * u128::from(*parts) <= room as u128
    });
    if let Some(parts) = split {
        return step / parts;
    }
    // Lengths of which an hour and a day are multiples, as far as there are such.
    let round = [1, 2, 3, 4, 6, 8, 12, 24, 48, 72, 96];
    let each = round.into_iter().find(fits).or_else(|| (100..).step_by(20).find(fits));
    step * each.unwrap_or(1)
}

fn span(heat: &Heat<'_>) -> (Wall, Wall) {
    let (first, last) = (heat.buckets.first(), heat.buckets.last());
    (first.map_or(heat.until, |one| one.from), last.map_or(heat.until, Bucket::to))
}

fn columns(heat: &Heat<'_>) -> Vec<Column> {
    let length = column_length(heat);
    let (from, to) = span(heat);
    // At its multiples too, so that the ticks of the axis begin columns.
    let first = from.floor(length);
    let begins = std::iter::successors(Some(first), |at| Some(*at + length));
    begins
        .take_while(|at| *at < to && !length.is_zero())
        .map(|begin| Column::of(heat.buckets, (begin, begin + length), heat.until))
        .collect()
}

/// A share that is counted out of a whole.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Nothing is known of it.
    Unknown,
    /// Not yet.
    ToCome,
    /// Of the second, the first.
    Of(u128, u128),
}

impl Part {
    fn sign(self, glyphs: Glyphs) -> char {
        match self {
            Self::Unknown => glyphs.hole(),
            Self::ToCome | Self::Of(0, _) => ' ',
            Self::Of(some, all) if some * 100 < all => PARTS[0],
            Self::Of(some, all) if some * 10 < all => PARTS[1],
            Self::Of(some, all) if some * 2 < all => PARTS[2],
            Self::Of(..) => PARTS[3],
        }
    }
}

fn map(heat: &Heat<'_>, columns: &[Column]) -> Vec<Line> {
    let Some((low, high)) = range(columns) else {
        return nothing(heat, columns);
    };
    let bounds = scale::bounds(low, high, heat.rows);
    let top = bounds.last().copied().unwrap_or(u64::MAX);
    let mut rows: Vec<(String, u64, u64)> =
        bounds.windows(2).map(|two| (heat.glyphs.latency(two[0]), two[0], two[1])).collect();
    let is_above = |column: &Column| column.max_us().is_some_and(|max| max >= top);
    let is_below = |column: &Column| column.min_us().is_some_and(|min| min < bounds[0]);
    if columns.iter().any(is_above) {
        rows.push((format!("> {}", heat.glyphs.latency(top)), top, u64::MAX));
    }
    if columns.iter().any(is_below) {
        rows.insert(0, (format!("< {}", heat.glyphs.latency(bounds[0])), 0, bounds[0]));
    }
    let every = if rows.len() > 8 { 2 } else { 1 };
    let count = rows.len();
    let labelled = |row: usize, text: &str| {
        row.is_multiple_of(every) || row + 1 == count || text.starts_with(['<', '>'])
    };
    let [side, tick] = heat.glyphs.side();
    let line = |(row, (label, from, to)): (usize, &(String, u64, u64))| {
        let is_labelled = labelled(row, label);
        let (label, side) = if is_labelled { (label.as_str(), tick) } else { ("", side) };
        let mut line = vec![plain(format!("{label:>width$} {side}", width = BEFORE - 2))];
        for column in columns {
            let (tone, sign) = cell(heat.glyphs, column, (*from, *to));
            push(&mut line, tone, sign);
        }
        line
    };
    rows.iter().enumerate().rev().map(line).collect()
}

/// Where no column has an answer, so that there is no latency to be shown.
fn nothing(heat: &Heat<'_>, columns: &[Column]) -> Vec<Line> {
    let mut line = vec![plain(format!(
        "{:>width$} {}",
        "no answer",
        heat.glyphs.side()[0],
        width = BEFORE - 2
    ))];
    for column in columns {
        let (tone, sign) = cell(heat.glyphs, column, (0, 0));
        push(&mut line, tone, sign);
    }
    vec![line]
}

/// From the lowest latency to the highest that all but the slowest twentieth of a column has.
fn range(columns: &[Column]) -> Option<(u64, u64)> {
    let low = columns.iter().filter_map(|column| column.at_us(1, 100)).min()?;
    let high = columns.iter().filter_map(|column| column.at_us(95, 100)).max()?;
    Some((low, high))
}

fn cell(glyphs: Glyphs, column: &Column, (from, to): (u64, u64)) -> (Tone, char) {
    if column.is_hole() {
        return (Tone::Unseen, glyphs.hole());
    }
    let (some, all) = column.share(from, to);
    let [a, b, c, d] = glyphs.shades();
    let sign = match some {
        0 => ' ',
        some if some * 10 < all => a,
        some if some * 4 < all => b,
        some if some * 2 < all => c,
        _ => d,
    };
    (Tone::Answered, sign)
}

fn floor(heat: &Heat<'_>, columns: &[Column]) -> Line {
    let [corner, flat, tick] = heat.glyphs.floor();
    let at = places(heat, columns);
    let line: String = (0..columns.len())
        .map(|column| if at.iter().any(|(place, _)| *place == column) { tick } else { flat })
        .collect();
    vec![plain(format!("{:>width$}{corner}{line}", "", width = BEFORE - 1))]
}

/// The ticks of the time axis, each with its column.
fn places(heat: &Heat<'_>, columns: &[Column]) -> Vec<(usize, Tick<Wall>)> {
    let (_, to) = span(heat);
    let from = columns.first().map_or(to, |first| first.from);
    let most = u64::try_from(columns.len() / 9).unwrap_or(1);
    let column = |at: Wall| columns.iter().position(|column| column.from <= at && at < column.to);
    let ticks = axis::times(from, to, most).into_iter();
    ticks.filter_map(|tick| Some((column(tick.at)?, tick))).collect()
}

fn times(heat: &Heat<'_>, columns: &[Column]) -> Line {
    let mut text = format!("{:>width$} ", "UTC", width = BEFORE - 1);
    let mut free = 0;
    for (column, tick) in places(heat, columns) {
        let at = BEFORE + column;
        let now = text.chars().count();
        if at >= free && at >= now {
            text.extend(std::iter::repeat_n(' ', at - now));
            text.push_str(&tick.label);
            free = at + tick.label.len() + 1;
        }
    }
    vec![plain(text)]
}

fn strip_line(name: &str, tone: Tone, strip: String, total: &str) -> Line {
    let mut line = vec![plain(format!("{name:>width$} ", width = BEFORE - 1))];
    strip.chars().for_each(|sign| push(&mut line, tone, sign));
    line.push(plain(format!(" {total}")));
    line
}

/// How much of the time was not observed, in percent; a little is never nothing.
fn unseen_share(heat: &Heat<'_>, columns: &[Column]) -> String {
    let (mut some, mut all) = (0u128, 0u128);
    for column in columns.iter().filter(|column| column.from < heat.until) {
        match column.unseen() {
            // Each column is the same time.
            Part::Of(unseen, whole) if whole > 0 => some += unseen * 1_000_000 / whole,
            Part::Unknown => some += 1_000_000,
            Part::ToCome | Part::Of(..) => {}
        }
        all += 1_000_000;
    }
    match some * 1000 / all.max(1) {
        0 if some > 0 => "<0.1 %".to_owned(),
        0 => "0 %".to_owned(),
        mills => format!("{}.{} %", mills / 10, mills % 10),
    }
}

fn bands(name: &str, tone: Tone, bands: &[Band], columns: &[Column]) -> Line {
    let touched = |column: &Column, band: &Band| band.from < column.to && band.to > column.from;
    let covered = |column: &Column, band: &Band| band.from <= column.from && band.to >= column.to;
    let sign = |column: &Column| match bands {
        all if all.iter().any(|band| covered(column, band)) => '=',
        all if all.iter().any(|band| touched(column, band)) => '+',
        _ => ' ',
    };
    strip_line(name, tone, columns.iter().map(sign).collect(), &bands.len().to_string())
}

fn plain(text: String) -> Piece {
    Piece { tone: Tone::Plain, text }
}

fn push(line: &mut Line, tone: Tone, sign: char) {
    match line.last_mut() {
        Some(last) if last.tone == tone => last.text.push(sign),
        _ => line.push(Piece { tone, text: sign.to_string() }),
    }
}

fn trimmed(mut line: Line) -> Line {
    while let Some(last) = line.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests;
