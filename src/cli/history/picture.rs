//! History on a terminal.

use std::path::Path;
use std::time::Duration;

use super::{Shown, words};
use crate::base::time::{Wall, format_duration};
use crate::cli::{Failure, color, print};
use crate::draw::Band;
use crate::draw::heat::{self, Glyphs, Heat};
use crate::draw::smoke::{self, Smoke};
use crate::measure::history::{merged, settled_until};
use crate::sla::facts::{Excluded, Facts};
use crate::store::outages::Outage;

/// Rows of latency of one probe alone, and of each of several.
const ROWS: [usize; 2] = [12, 7];
/// What is the same for all probes.
pub(super) struct Screen {
    /// What is later than this is still to come.
    pub until: Wall,
    /// How much earlier is what it is compared with.
    pub by: Option<Duration>,
    /// What is excluded.
    pub excluded: Vec<Band>,
}

/// The exclusions that facts claim.
pub(super) fn excluded(facts: &Facts) -> Vec<Band> {
    let band = |one: &Excluded| Band {
        from: one.span.from,
        to: one.span.to,
        label: one.exclusion.clone(),
    };
    facts.excluded.iter().map(band).collect()
}

fn glyphs() -> Glyphs {
    if color::has_unicode() { Glyphs::Unicode } else { Glyphs::Ascii }
}

impl Screen {
    /// Draws all probes into a file.
    pub fn draw(&self, all: &[Shown], file: &Path) -> Result<(), Failure> {
        let bands: Vec<(Wall, Vec<Band>)> = all
            .iter()
            .map(|shown| {
                let until = settled_until(&shown.buckets, self.until);
                (until, outages(shown, until))
            })
            .collect();
        let keys: Vec<String> = (1..=all.len()).map(|number| format!("s{number}")).collect();
        let graphs: Vec<Smoke<'_>> = all
            .iter()
            .zip(&bands)
            .zip(&keys)
            .map(|((shown, (until, outages)), key)| Smoke {
                name: &shown.probe,
                key,
                buckets: &shown.buckets,
                from: shown.from,
                to: shown.to,
                until: *until,
                outages,
                excluded: &self.excluded,
            })
            .collect();
        let text = smoke::file(&graphs);
        if file == Path::new("-") {
            return print::line(text.trim_end());
        }
        std::fs::write(file, text).map_err(|error| {
            Failure::Could(format!("{}: it cannot be written: {error}", file.display()))
        })
    }

    /// Shows one probe of so many.
    pub fn show(&self, shown: &Shown, then: Option<&Shown>, of: usize) -> Result<(), Failure> {
        let then = then.and_then(|then| merged(&then.buckets));
        let until = settled_until(&shown.buckets, self.until);
        let mut text = String::new();
        let said = words::headline(&shown.probe, &shown.buckets, until, then.as_ref());
        print::wrap(&mut text, "", "  ", &said);
        let outages = outages(shown, until);
        let heat = Heat {
            buckets: &shown.buckets,
            until,
            outages: &outages,
            excluded: &self.excluded,
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

fn outages(shown: &Shown, until: Wall) -> Vec<Band> {
    let band = |outage: &Outage| Band {
        from: outage.from,
        to: outage.to.unwrap_or(until),
        label: outage.side.clone(),
    };
    shown.outages.iter().map(band).collect()
}

/// What the signs mean.
pub(super) fn legend() -> Result<(), Failure> {
    print::line("")?;
    print::line(heat::legend(glyphs()).join("\n"))
}
