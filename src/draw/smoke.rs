//! The smoke graph: percentile bands around the median over time, loss by colour and by mark,
//! outages and exclusions as bands, what was not observed as a hatched hole. It is SVG that needs
//! nothing from elsewhere, for light and dark pages, and for printers without colours.
//!
//! It is written by hand: a crate that plots has neither classes by which a page chooses its
//! colours, nor patterns, nor titles for those who listen, and reckons in floating-point numbers.

use std::fmt::Write as _;

use crate::base::time::Wall;
use crate::draw::{Band, axis};
use crate::measure::history::{Bucket, merged};
use crate::measure::outcome::Outcome;

mod lanes;
mod plot;
mod rows;
mod text;

pub use rows::rows;
use text::{Px, esc};

/// How it looks; a page that holds graphs has it once. Its classes begin with `smoke`.
pub const STYLE: &str = include_str!("smoke/style.css");

/// One graph.
#[derive(Clone, Copy, Debug)]
pub struct Smoke<'a> {
    /// The probe's name.
    pub name: &'a str,
    /// What tells its parts from those of other graphs on the page: letters and digits.
    pub key: &'a str,
    /// In the order of time, without a gap.
    pub buckets: &'a [Bucket],
    /// Where the time axis begins; a bucket may begin before it.
    pub from: Wall,
    /// Where it ends.
    pub to: Wall,
    /// What is later than this is still to come, and no hole.
    pub until: Wall,
    /// Its outages.
    pub outages: &'a [Band],
    /// What is excluded.
    pub excluded: &'a [Band],
}

/// The picture's width, and where the plot lies in it, in pixels.
const WIDTH: i64 = 960;
const LEFT: i64 = 92;
const RIGHT: i64 = 944;
const TOP: i64 = 66;
const BOTTOM: i64 = 306;

/// Where instants are on the picture.
#[derive(Clone, Copy, Debug)]
struct Across {
    from: Wall,
    to: Wall,
}

impl Across {
    fn x(&self, at: Wall) -> Px {
        let at = at.clamp(self.from, self.to);
        let of = |nanos: i64| i128::from(nanos.max(0));
        let whole = of(self.to.nanos_since(self.from)).max(1);
        let part = of(at.nanos_since(self.from)) * i128::from((RIGHT - LEFT) * 10) / whole;
        Px(LEFT * 10 + i64::try_from(part).unwrap_or(0))
    }
}

/// How much of what was sent was lost, in the classes that have a colour and a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    None,
    Some,
    Tenth,
    Half,
    Most,
}

impl Loss {
    const ALL: [Self; 5] = [Self::None, Self::Some, Self::Tenth, Self::Half, Self::Most];

    fn of(some: u64, all: u64) -> Self {
        let (some, all) = (u128::from(some), u128::from(all));
        match some {
            0 => Self::None,
            _ if some * 100 < all => Self::Some,
            _ if some * 10 < all => Self::Tenth,
            _ if some * 2 < all => Self::Half,
            _ => Self::Most,
        }
    }

    /// The class of its colour, and how many quarters its mark is high.
    const fn class(self) -> (&'static str, i64) {
        match self {
            Self::None => ("smoke-l0", 0),
            Self::Some => ("smoke-l1", 1),
            Self::Tenth => ("smoke-l2", 2),
            Self::Half => ("smoke-l3", 3),
            Self::Most => ("smoke-l4", 4),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::None => "none lost",
            Self::Some => "below 1 %",
            Self::Tenth => "10 %",
            Self::Half => "50 %",
            Self::Most => "more",
        }
    }
}

/// A file of its own with some graphs, one below the other, each with its figures.
#[must_use]
pub fn file(all: &[Smoke<'_>]) -> String {
    let heights: Vec<i64> = all.iter().map(|smoke| lanes::height(smoke) + rows::HEIGHT).collect();
    let height: i64 = heights.iter().sum::<i64>() + 8;
    let names: Vec<String> = all.iter().map(|smoke| esc(smoke.name)).collect();
    let mut to = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"smoke\" width=\"{WIDTH}\" \
         height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n<title>Round-trip times of \
         {}</title>\n<style>{STYLE}</style>\n<rect class=\"smoke-bg\" width=\"{WIDTH}\" \
         height=\"{height}\"/>\n",
        names.join(", ")
    );
    let mut y = 0;
    for (smoke, height) in all.iter().zip(heights) {
        let _ = writeln!(to, "<g transform=\"translate(0 {y})\">");
        let _ = writeln!(to, "<title>{}</title>\n<desc>{}</desc>", title(smoke), describe(smoke));
        body(&mut to, smoke);
        rows::draw(&mut to, smoke, lanes::height(smoke));
        to.push_str("</g>\n");
        y += height;
    }
    to.push_str("</svg>\n");
    to
}

/// A graph as a part of a page that has the [`STYLE`].
#[must_use]
pub fn figure(smoke: &Smoke<'_>) -> String {
    let (key, height) = (smoke.key, lanes::height(smoke));
    let mut to = format!(
        "<svg class=\"smoke\" role=\"img\" aria-labelledby=\"{key}t {key}d\" viewBox=\"0 0 {WIDTH} \
         {height}\">\n<title id=\"{key}t\">{}</title>\n<desc id=\"{key}d\">{}</desc>\n",
        title(smoke),
        describe(smoke)
    );
    body(&mut to, smoke);
    to.push_str("</svg>\n");
    to
}

fn span(smoke: &Smoke<'_>) -> Across {
    Across { from: smoke.from, to: smoke.to.max(smoke.from) }
}

fn title(smoke: &Smoke<'_>) -> String {
    format!("Round-trip times of {}", esc(smoke.name))
}

/// What the picture shows, for those who do not see it.
fn describe(smoke: &Smoke<'_>) -> String {
    let (across, whole) = (span(smoke), merged(smoke.buckets).unwrap_or_default());
    let mut said = format!("From {} to {}: ", words(across.from), words(across.to));
    match (whole.rtt.value_at_us(1, 2), whole.rtt.value_at_us(99, 100)) {
        (Some(p50), Some(p99)) => {
            let (p50, p99) = (axis::latency(p50), axis::latency(p99));
            let _ = write!(said, "half of the answers took at most {p50}, 99 % at most {p99}. ");
        }
        _ => said.push_str("there was no answer. "),
    }
    let _ = write!(said, "Lost or refused were {} of {}", whole.failed(), whole.sent());
    let _ = write!(said, ", late {}. ", whole.count(Outcome::Late));
    let outages = smoke.outages.len();
    let _ = write!(said, "{outages} {}.", if outages == 1 { "outage" } else { "outages" });
    let holes = smoke.buckets.iter().filter(|each| each.is_hole() && each.from < smoke.until);
    let holes = holes.count();
    if holes > 0 {
        let _ = write!(said, " {holes} of {} steps were not observed.", smoke.buckets.len());
    }
    said
}

/// An instant for people, to the minute.
fn words(at: Wall) -> String {
    let text = at.to_string();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), axis::clock(at))
}

fn body(to: &mut String, smoke: &Smoke<'_>) {
    let across = span(smoke);
    heading(to, smoke, across);
    patterns(to, smoke.key);
    plot::draw(to, smoke, across);
    lanes::draw(to, smoke, across);
}

/// Hatches: they tell apart in grey what colours tell apart else.
fn patterns(to: &mut String, key: &str) {
    for (name, line, apart) in
        [("h", "M-2 2L2 -2M0 8L8 0M6 10L10 6", 8), ("e", "M-2 6L2 10M0 0L8 8M6 -2L10 2", 8)]
    {
        let _ = writeln!(
            to,
            "<pattern id=\"{key}{name}\" class=\"smoke-{name}\" width=\"{apart}\" \
             height=\"{apart}\" patternUnits=\"userSpaceOnUse\"><path d=\"{line}\"/></pattern>"
        );
    }
}

fn heading(to: &mut String, smoke: &Smoke<'_>, across: Across) {
    let step = smoke.buckets.iter().map(|bucket| bucket.length).min().unwrap_or_default();
    let _ = writeln!(to, "<text class=\"smoke-name\" x=\"12\" y=\"22\">{}</text>", esc(smoke.name));
    let _ = writeln!(
        to,
        "<text class=\"smoke-s\" x=\"12\" y=\"42\">round-trip time, {} to {}, by {}</text>",
        words(across.from).trim_end_matches(" UTC"),
        words(across.to),
        crate::base::time::format_duration(step)
    );
    // What the smoke is, from the lightest on.
    let mut x = 632;
    for (class, name) in [("w1", "min–max"), ("w2", "p10–p90"), ("w3", "p25–p75")] {
        let _ = writeln!(
            to,
            "<rect class=\"smoke-key smoke-{class}\" x=\"{x}\" y=\"13\" width=\"14\" \
             height=\"10\"/><text class=\"smoke-s\" x=\"{}\" y=\"22\">{name}</text>",
            x + 18
        );
        x += 82;
    }
    let _ = writeln!(
        to,
        "<path class=\"smoke-m smoke-l0\" d=\"M{x} 18h14\"/><text class=\"smoke-s\" x=\"{}\" \
         y=\"22\">median</text>",
        x + 18
    );
    let mut x = 526;
    let _ = writeln!(to, "<text class=\"smoke-s\" x=\"{x}\" y=\"42\">its colour:</text>");
    x += 66;
    for loss in Loss::ALL {
        let (class, quarters) = loss.class();
        let high = 3 * quarters;
        let _ = writeln!(
            to,
            "<path class=\"smoke-m {class}\" d=\"M{x} 40h12\"/><rect class=\"smoke-f {class}\" \
             x=\"{}\" y=\"{}\" width=\"4\" height=\"{high}\"/><text class=\"smoke-s\" x=\"{}\" \
             y=\"42\">{}</text>",
            x + 4,
            40 - high,
            x + 16,
            loss.words()
        );
        x += 30 + 7 * i64::try_from(loss.words().len()).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests;
