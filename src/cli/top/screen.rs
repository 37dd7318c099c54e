//! The full screen's state, and what keys make of it: pure, so that it is tested without a terminal.

use std::cmp::Ordering;

use crate::cli::top::model::{Frame, Row};

/// By what the rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As the configuration has them.
    #[default]
    Configured,
    /// By name.
    Name,
    /// What is down first.
    State,
    /// The slowest first, by the last RTT.
    Last,
    /// The slowest first, by the 95th percentile.
    P95,
    /// The most lossy first, by the last minute.
    Minute,
    /// The most lossy first, by the last hour.
    Hour,
    /// The most jitter first.
    Jitter,
    /// The least budget first.
    Budget,
}

impl Sort {
    const ALL: [Self; 9] = [
        Self::Configured,
        Self::Name,
        Self::State,
        Self::Last,
        Self::P95,
        Self::Minute,
        Self::Hour,
        Self::Jitter,
        Self::Budget,
    ];

    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configured => "configuration",
            Self::Name => "name",
            Self::State => "state",
            Self::Last => "last",
            Self::P95 => "p95",
            Self::Minute => "loss of 1 min",
            Self::Hour => "loss of 1 h",
            Self::Jitter => "jitter",
            Self::Budget => "budget",
        }
    }

    fn next(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|of| *of == self).unwrap_or(0);
        Self::ALL[(place + by) % Self::ALL.len()]
    }

    fn order(self, a: &Row, b: &Row) -> Ordering {
        let float = |a: Option<f64>, b: Option<f64>| b.partial_cmp(&a).unwrap_or(Ordering::Equal);
        let state = |row: &Row| match row.state.as_str() {
            "down" => 0,
            "up" => 2,
            _ => 1,
        };
        match self {
            Self::Configured => Ordering::Equal,
            Self::Name => a.name.cmp(&b.name),
            Self::State => state(a).cmp(&state(b)),
            Self::Last => float(a.last_us, b.last_us),
            Self::P95 => b.p95_us.cmp(&a.p95_us),
            Self::Minute => b.minute.parts().cmp(&a.minute.parts()),
            Self::Hour => b.hour.parts().cmp(&a.hour.parts()),
            Self::Jitter => float(a.jitter_us, b.jitter_us),
            Self::Budget => {
                let left = |row: &Row| row.budget.as_ref().map_or(i64::MAX, |left| left.seconds);
                left(a).cmp(&left(b))
            }
        }
    }
}

/// What the screen is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// All probes.
    #[default]
    Table,
    /// The same, while a filter is written.
    Filter,
    /// One probe.
    Probe,
    /// What the keys do.
    Help,
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// One up.
    Up,
    /// One down.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
}

/// What a key asks the terminal for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To draw.
    Draw,
    /// To draw all of it, whatever is there.
    Redraw,
    /// To leave.
    Leave,
    /// To stop until it is continued.
    Suspend,
}

/// The screen's own state.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    /// What it is about.
    pub page: Page,
    /// By what the rows are sorted.
    pub sort: Sort,
    /// Whether the other way round.
    pub reversed: bool,
    /// What a row must hold to be shown.
    pub filter: String,
    /// The name of the chosen row.
    chosen: Option<String>,
    /// The first row that is seen, of the table or of the probe's page.
    pub first: usize,
    /// The rows that there is room for, as they were drawn last.
    pub room: usize,
}

impl Screen {
    /// The rows that are shown, in their order.
    #[must_use]
    pub fn rows<'a>(&self, frame: &'a Frame) -> Vec<&'a Row> {
        let wanted = self.filter.to_lowercase();
        let is_wanted = |row: &&Row| {
            let service = row.service.as_deref().unwrap_or_default();
            let texts = [row.name.as_str(), service, &row.state, &row.kind];
            texts.iter().any(|text| text.to_lowercase().contains(&wanted))
        };
        let mut rows: Vec<&Row> = frame.rows.iter().filter(is_wanted).collect();
        rows.sort_by(|a, b| self.sort.order(a, b));
        if self.reversed {
            rows.reverse();
        }
        rows
    }

    /// The place of the chosen row among those that are shown.
    #[must_use]
    pub fn place(&self, rows: &[&Row]) -> usize {
        let chosen = self.chosen.as_deref();
        rows.iter().position(|row| Some(row.name.as_str()) == chosen).unwrap_or(0)
    }

    /// The probe that is open.
    #[must_use]
    pub fn open(&self) -> Option<&str> {
        self.chosen.as_deref().filter(|_| self.page == Page::Probe)
    }

    /// Keeps the chosen row within the room that there is.
    pub fn fit(&mut self, rows: &[&Row], room: usize) {
        self.room = room;
        let place = self.place(rows);
        if self.first > place {
            self.first = place;
        } else if place >= self.first + room {
            self.first = place + 1 - room.min(place + 1);
        }
        self.first = self.first.min(rows.len().saturating_sub(room));
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key, frame: &Frame) -> Asked {
        match (key, self.page) {
            (Key::Interrupt, _) => return Asked::Leave,
            (Key::Suspend, _) => return Asked::Suspend,
            (Key::Redraw, _) => return Asked::Redraw,
            (key, Page::Filter) => self.write_filter(key),
            (Key::Char('q'), Page::Table) => return Asked::Leave,
            (_, Page::Help) => self.page = Page::Table,
            (Key::Char('?' | 'h'), _) => self.page = Page::Help,
            (Key::Char('q') | Key::Escape | Key::Enter | Key::Backspace, Page::Probe) => {
                self.page = Page::Table;
                self.first = 0;
            }
            (key, Page::Probe) => self.scroll(key),
            (key, Page::Table) => self.choose(key, frame),
        }
        Asked::Draw
    }

    fn write_filter(&mut self, key: Key) {
        match key {
            Key::Char(letter) => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Escape => {
                self.filter.clear();
                self.page = Page::Table;
            }
            Key::Enter => self.page = Page::Table,
            _ => {}
        }
    }

    fn scroll(&mut self, key: Key) {
        let page = self.room.max(1);
        self.first = match key {
            Key::Up | Key::Char('k') => self.first.saturating_sub(1),
            Key::Down | Key::Char('j') => self.first.saturating_add(1),
            Key::PageUp => self.first.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => self.first.saturating_add(page),
            Key::Home | Key::Char('g') => 0,
            // As far as there are lines is seen when it is drawn.
            Key::End | Key::Char('G') => usize::MAX,
            _ => self.first,
        };
    }

    fn choose(&mut self, key: Key, frame: &Frame) {
        match key {
            Key::Char('s') => self.sort = self.sort.next(1),
            Key::Char('S') => self.sort = self.sort.next(Sort::ALL.len() - 1),
            Key::Char('r') => self.reversed = !self.reversed,
            Key::Char('/' | 'f') => self.page = Page::Filter,
            Key::Escape => self.filter.clear(),
            _ => {}
        }
        let rows = self.rows(frame);
        let (place, page) = (self.place(&rows), self.room.max(1));
        let to = match key {
            Key::Up | Key::Char('k') => place.saturating_sub(1),
            Key::Down | Key::Char('j') => place + 1,
            Key::PageUp => place.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => place + page,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => usize::MAX,
            _ => place,
        };
        if let Some(row) = rows.get(to.min(rows.len().saturating_sub(1))) {
            self.chosen = Some(row.name.clone());
            if key == Key::Enter {
                (self.page, self.first) = (Page::Probe, 0);
            }
        }
    }
}
