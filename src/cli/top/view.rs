//! Draws the screen into a buffer.

use ratatui::Frame as Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget as _};

use crate::cli::print;
use crate::cli::top::model::{Detail, Frame, Row};
use crate::cli::top::screen::{Page, Screen};
use crate::cli::top::words::{HEADINGS, below, cells, headline};
use crate::draw::heat::{self, Glyphs, Heat, Tone};
use crate::measure::history::Bucket;
use crate::measure::outcome::Outcome;

mod words;

use words::{HELP, MINUTES, mark, minute, placed, strip, widths};

/// Whether there are colours. They never say what no letter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// There are.
    Colours,
    /// There are none: `NO_COLOR`.
    None,
}

/// What the terminal shows.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// Its colours.
    pub paint: Paint,
    /// Its characters.
    pub glyphs: Glyphs,
}

impl Paint {
    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Answered => self.style(Color::Cyan),
            Tone::Bad => self.style(Color::Red),
            Tone::Late => self.style(Color::Yellow),
            Tone::NotSent => self.style(Color::Magenta),
            Tone::Unseen => self.style(Color::DarkGray),
            Tone::Excluded => self.style(Color::Blue),
        }
    }

    fn style(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::None => Style::new(),
        }
    }

    fn outcome(self, outcome: Outcome) -> Style {
        match outcome {
            Outcome::Answered => self.style(Color::Green),
            Outcome::Late => self.style(Color::Yellow),
            Outcome::Lost | Outcome::Refused => self.style(Color::Red),
            Outcome::NotSent | Outcome::NotObserved => self.style(Color::Blue),
        }
    }

    fn state(self, row: &Row) -> Style {
        match row.state.as_str() {
            "down" => self.style(Color::Red).add_modifier(Modifier::BOLD),
            "up" => self.style(Color::Green),
            _ => self.style(Color::Yellow),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// Rows of latency of a heat map.
const ROWS: usize = 7;
/// The lines below the table take so many rows at most.
const BELOW: u16 = 8;

/// Draws all of it.
pub fn draw(screen: &mut Screen, frame: &Frame, means: Means, buffer: &mut Buffer<'_>) {
    let paint = means.paint;
    let area = buffer.area();
    let [top, middle, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    let head = if frame.running { BOLD } else { BOLD.patch(paint.style(Color::Red)) };
    let time = print::instant(frame.now.floor(std::time::Duration::from_secs(1)));
    let head_room = usize::from(area.width).saturating_sub(time.len() + 1);
    let said = placed(&headline(frame), 0, head_room);
    Line::from(vec![Span::styled(said, head), Span::raw(format!(" {time}"))])
        .render(top, buffer.buffer_mut());
    match (screen.page, &frame.detail) {
        (Page::Help, _) => Paragraph::new(HELP).render(middle, buffer.buffer_mut()),
        (Page::Probe, Some(detail)) => probe(screen, detail, means, middle, buffer),
        (Page::Probe, None) => Paragraph::new("…").render(middle, buffer.buffer_mut()),
        (Page::Table | Page::Filter, _) => table(screen, frame, paint, middle, buffer),
    }
    let said = match screen.page {
        Page::Filter => format!("show only: {}_   Enter keeps it, Esc ends it", screen.filter),
        Page::Help => "any key goes back".to_owned(),
        Page::Probe => "q back  up down scroll  ? help".to_owned(),
        Page::Table => {
            let filter = if screen.filter.is_empty() {
                String::new()
            } else {
                format!("  only \"{}\" (Esc: all)", print::one(&screen.filter))
            };
            let turned = if screen.reversed { ", turned" } else { "" };
            let by = screen.sort.word();
            format!("q leave  ? help  Enter open  / filter  s sort: {by}{turned}{filter}")
        }
    };
    Line::styled(said, Style::new().add_modifier(Modifier::REVERSED))
        .render(keys, buffer.buffer_mut());
}

fn table(screen: &mut Screen, frame: &Frame, paint: Paint, area: Rect, buffer: &mut Buffer<'_>) {
    let columns = usize::from(area.width);
    let most = if area.height >= 20 { 3 } else { 1 };
    let mut under = below(frame, most);
    under.truncate(usize::from(BELOW));
    let lines = u16::try_from(under.len()).unwrap_or(BELOW);
    let [heading, body, rest] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(lines)])
            .areas(area);
    let (widths, room) = widths(columns, &frame.rows);
    let each = HEADINGS.iter().enumerate();
    let mut head: Vec<String> = each.map(|(at, name)| placed(name, at, widths[at])).collect();
    head.push(format!("{:>room$}", "LAST SENDS"));
    Line::styled(head.join(" "), BOLD).render(heading, buffer.buffer_mut());

    let rows = screen.rows(frame);
    screen.fit(&rows, usize::from(body.height));
    let place = screen.place(&rows);
    if rows.is_empty() {
        let why = if frame.rows.is_empty() {
            "nothing was measured yet"
        } else {
            "no probe holds that text; Esc shows all"
        };
        Line::raw(why).render(body, buffer.buffer_mut());
    }
    let seen = rows.iter().enumerate().skip(screen.first).zip(body.rows());
    for ((at, row), area) in seen {
        let mut line = line(row, &widths, room, paint);
        if at == place {
            line = line.patch_style(Style::new().add_modifier(Modifier::REVERSED));
        }
        line.render(area, buffer.buffer_mut());
    }
    for (text, area) in under.iter().zip(rest.rows()) {
        let is_bad = !frame.outages.is_empty() && text.starts_with("outages");
        let style = if is_bad { paint.style(Color::Red) } else { Style::new() };
        Line::styled(placed(text, 0, columns), style).render(area, buffer.buffer_mut());
    }
}

fn line(row: &Row, widths: &[usize; 9], room: usize, paint: Paint) -> Line<'static> {
    let cells = cells(row);
    let bad = |is: bool| if is { paint.style(Color::Red) } else { Style::new() };
    let mut spans = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let style = match at {
            1 => paint.state(row),
            5 => bad(row.minute.lost > 0),
            6 => bad(row.hour.lost > 0),
            8 => bad(row.budget.as_ref().is_some_and(|left| left.seconds < 0)),
            _ => Style::new(),
        };
        spans.push(Span::styled(placed(cell, at, widths[at]), style));
        spans.push(Span::raw(" "));
    }
    let strip = strip(row, room);
    spans.push(Span::raw(" ".repeat(room.saturating_sub(strip.len()))));
    for run in strip.chunk_by(|a, b| a == b) {
        let text: String = run.iter().map(|&outcome| mark(outcome)).collect();
        spans.push(Span::styled(text, paint.outcome(run[0])));
    }
    Line::from(spans)
}

fn probe(screen: &mut Screen, detail: &Detail, means: Means, area: Rect, buffer: &mut Buffer<'_>) {
    let mut lines = vec![
        Line::styled(print::one(&detail.name).into_owned(), BOLD),
        Line::raw(print::one(&detail.target).into_owned()),
        Line::raw(""),
    ];
    if !detail.buckets.iter().all(Bucket::is_hole) {
        lines.extend(map(detail, means, usize::from(area.width)));
        lines.push(Line::raw(""));
    }
    lines.push(Line::styled("OUTAGES of 30 days", BOLD));
    if detail.outages.is_empty() {
        lines.push(Line::raw("none"));
    }
    lines.extend(detail.outages.iter().map(|said| Line::raw(print::one(said).into_owned())));
    lines.extend([Line::raw(""), Line::styled(MINUTES, BOLD)]);
    if detail.minutes.is_empty() {
        lines.push(Line::raw("nothing of the last hour is written yet"));
    }
    lines.extend(detail.minutes.iter().map(|of| Line::raw(minute(of))));
    screen.room = usize::from(area.height);
    screen.first = screen.first.min(lines.len().saturating_sub(screen.room));
    let first = u16::try_from(screen.first).unwrap_or(u16::MAX);
    Paragraph::new(lines).scroll((first, 0)).render(area, buffer.buffer_mut());
}

/// The heat map of the last hour.
fn map(detail: &Detail, means: Means, width: usize) -> Vec<Line<'static>> {
    let heat = Heat {
        buckets: &detail.buckets,
        until: detail.until,
        outages: &detail.bands,
        excluded: &[],
        width,
        rows: ROWS,
        glyphs: means.glyphs,
    };
    let line = |pieces: heat::Line| {
        let span = |piece: heat::Piece| {
            Span::styled(print::one(&piece.text).into_owned(), means.paint.tone(piece.tone))
        };
        Line::from(pieces.into_iter().map(span).collect::<Vec<_>>())
    };
    heat::draw(&heat).into_iter().map(line).collect()
}

#[cfg(test)]
mod tests;
