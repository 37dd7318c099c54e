//! One line for each target on a terminal, drawn again as it changes.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::base::time::Mono;
use crate::cli::{Failure, print};

use super::tally::Tally;

/// The lines are drawn no more often than this.
const OFTEN: Duration = Duration::from_millis(250);

/// The lines, as they stand on the terminal.
#[derive(Debug)]
pub(super) struct Live {
    drawn: Option<(Mono, usize)>,
    width: usize,
}

impl Live {
    /// For so many targets; [`None`] where standard output is no terminal, or has too few rows.
    pub(super) fn on_terminal(targets: usize) -> Option<Self> {
        let out = std::io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(&out).ok()?;
        (targets + 3 <= usize::from(size.ws_row))
            .then(|| Self { drawn: None, width: usize::from(size.ws_col) })
    }

    /// Draws the lines, unless that was done just now.
    pub(super) fn draw(&mut self, tallies: &[Tally], now: Mono) -> Result<(), Failure> {
        if self.drawn.is_some_and(|(at, _)| now - at < OFTEN) {
            return Ok(());
        }
        self.draw_now(tallies, now)
    }

    pub(super) fn draw_now(&mut self, tallies: &[Tally], now: Mono) -> Result<(), Failure> {
        let lines = lines(tallies, self.width);
        let mut out = std::io::stdout().lock();
        let mut text = String::new();
        if let Some((_, count)) = self.drawn {
            text.push_str(&format!("\x1b[{count}A"));
        }
        for line in &lines {
            // Up to the end of the row what was there before is cleared.
            text.push_str(&format!("{line}\x1b[K\n"));
        }
        self.drawn = Some((now, lines.len()));
        let failed = |error| Failure::Could(format!("standard output cannot be written: {error}"));
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
    }
}

/// A heading and a line for each target, none wider than `width`.
fn lines(tallies: &[Tally], width: usize) -> Vec<String> {
    let heading = ["TARGET", "SENT", "LOST %", "LAST ms", "MIN", "MEAN", "MAX", "LAST OUTCOMES"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(tallies.iter().map(Tally::row));
    let cut = |line: &str| line.chars().take(width).collect();
    print::table(&rows).lines().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_wider_than_the_terminal() {
        let tallies = [
            Tally::new("a-rather-long-name-of-a-host.example.net".to_owned()),
            Tally::new("b".to_owned()),
        ];
        assert_eq!(lines(&tallies, 30).iter().map(|line| line.chars().count()).max(), Some(30));
        assert_eq!(lines(&tallies, 200).len(), 3);
    }
}
