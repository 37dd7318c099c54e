//! History on a terminal.

use std::time::Duration;

use super::{Shown, words};
use crate::base::time::{Wall, format_duration};
use crate::cli::{Failure, color, print};
use crate::draw::Band;
use crate::draw::heat::{self, Glyphs, Heat};
use crate::measure::history::merged;

/// Rows of latency of one probe alone, and of each of several.
const ROWS: [usize; 2] = [12, 7];
/// What was not yet written when it was read is no hole: minutes are written once they are settled.
const YOUNG: Duration = Duration::from_secs(300);

/// What is the same for all probes.
pub(super) struct Screen {
    /// What is later than this is still to come.
    pub until: Wall,
    /// How much earlier is what it is compared with.
    pub by: Option<Duration>,
}

fn glyphs() -> Glyphs {
    if color::has_unicode() { Glyphs::Unicode } else { Glyphs::Ascii }
}

impl Screen {
    /// Shows one probe of so many.
    pub fn show(&self, shown: &Shown, then: Option<&Shown>, of: usize) -> Result<(), Failure> {
        let then = then.and_then(|then| merged(&then.buckets));
        // What is newest is still to be written.
        let seen = shown.buckets.iter().rev().find(|bucket| !bucket.covered.is_zero());
        let newest =
            seen.map_or(shown.from, |bucket| (bucket.from + bucket.covered).min(bucket.to()));
        let until = if newest + YOUNG >= self.until { newest.min(self.until) } else { self.until };
        let mut text = String::new();
        let said = words::headline(&shown.probe, &shown.buckets, until, then.as_ref());
        print::wrap(&mut text, "", "  ", &said);
        let outages: Vec<Band> = shown
            .outages
            .iter()
            .map(|outage| Band {
                from: outage.from,
                to: outage.to.unwrap_or(until),
                label: outage.side.clone(),
            })
            .collect();
        let heat = Heat {
            buckets: &shown.buckets,
            until,
            outages: &outages,
            excluded: &[],
            width: print::width().min(200),
            rows: ROWS[usize::from(of > 1)],
            glyphs: glyphs(),
        };
        let (from, to) = (print::instant(shown.from), print::instant(shown.to));
        let column = format_duration(heat::column_length(&heat).max(shown.step.length()));
        print::wrap(&mut text, "", "  ", &format!("{from} to {to}, by {column}"));
        print::line(text.trim_end())?;
        print::picture(&heat::draw(&heat))?;
        if let (Some(by), Some(then)) = (self.by, then) {
            let now = merged(&shown.buckets).unwrap_or_default();
            print::line(format_args!("\nagainst the same span {} earlier", format_duration(by)))?;
            print::line(words::against(&now, &then))?;
        }
        Ok(())
    }
}

/// What the signs mean.
pub(super) fn legend() -> Result<(), Failure> {
    print::line("")?;
    print::line(heat::legend(glyphs()).join("\n"))
}
