//! The screen as text, once: for a pipe, and for who has it read aloud.

use crate::cli::print;
use crate::cli::top::model::Frame;
use crate::cli::top::words::{HEADINGS, below, cells, headline};

/// Of each kind of line below the table so many are printed.
const MOST: usize = 20;

/// All of it, for so many columns.
#[must_use]
pub fn text(frame: &Frame, columns: usize) -> String {
    let heading: Vec<String> =
        HEADINGS.iter().chain(&["RECENT"]).map(|&name| name.to_owned()).collect();
    let rows: Vec<Vec<String>> = frame
        .rows
        .iter()
        .map(|row| {
            let mut cells = cells(row).to_vec();
            let recent = row.recent.to_string();
            cells.push(if recent.is_empty() { "-".to_owned() } else { recent });
            cells
        })
        .collect();
    let mut text = headline(frame);
    text.push_str("\n\n");
    text.push_str(&print::fitted_to(columns, &heading, &rows));
    text.push('\n');
    for line in below(frame, MOST) {
        let (what, words) = line.split_at(10.min(line.len()));
        text.push('\n');
        let mut wrapped = String::new();
        print::wrap_to(columns, &mut wrapped, what, "          ", words);
        text.push_str(wrapped.trim_end());
    }
    text
}
