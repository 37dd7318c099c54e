//! What stands under the plot on the same time axis: loss, late, not sent, not observed, outages,
//! exclusions; and the axis.

use std::fmt::Write as _;

use super::plot::wide;
use super::text::{Px, esc};
use super::{Across, BOTTOM, LEFT, Loss, RIGHT, Smoke, TOP};
use crate::base::time::{Wall, format_duration};
use crate::draw::{Band, axis};
use crate::measure::history::Bucket;
use crate::measure::outcome::Outcome;

/// From one lane to the next, and how high a mark may be.
const LANE: i64 = 20;
const MARK: i64 = 16;
/// Below the plot.
const FIRST: i64 = BOTTOM + 8;
/// What a letter is wide, at most and about, in tenths of a pixel.
const LETTER: i64 = 62;

/// What a lane counts of a bucket: some, of all.
type Share = fn(&Bucket) -> (u64, u64);
/// Its name, its class, and what it counts.
type Lane = (&'static str, &'static str, Share);

const SHARES: [Lane; 3] = [
    ("lost", "", |bucket| (bucket.failed(), bucket.sent())),
    ("late", "smoke-late", |bucket| (bucket.count(Outcome::Late), bucket.sent())),
    ("not sent", "smoke-unsent", |bucket| (bucket.count(Outcome::NotSent), bucket.due())),
];

/// The lanes of shares that have anything to show; the first is always there.
fn shares(smoke: &Smoke<'_>) -> impl Iterator<Item = Lane> {
    let any = |of: Share| smoke.buckets.iter().any(|each| of(each).0 > 0);
    SHARES.into_iter().filter(move |(name, _, of)| *name == "lost" || any(*of))
}

fn count(smoke: &Smoke<'_>) -> i64 {
    let lanes = shares(smoke).count() + 2 + usize::from(!smoke.excluded.is_empty());
    i64::try_from(lanes).unwrap_or(0)
}

/// How high the whole picture is.
pub(super) fn height(smoke: &Smoke<'_>) -> i64 {
    FIRST + LANE * count(smoke) + 30
}

pub(super) fn draw(to: &mut String, smoke: &Smoke<'_>, across: Across) {
    let end = FIRST + LANE * count(smoke);
    times(to, across, end);
    let mut y = FIRST;
    for (name, class, of) in shares(smoke) {
        label(to, name, y);
        marks(to, smoke, across, y, (class, of));
        y += LANE;
    }
    label(to, "not observed", y);
    unseen(to, smoke, across, y);
    y += LANE;
    label(to, "outages", y);
    bands(to, across, y, smoke.outages, "class=\"smoke-ob\"");
    y += LANE;
    if !smoke.excluded.is_empty() {
        label(to, "excluded", y);
        let look = format!("class=\"smoke-xb\" fill=\"url(#{}e)\"", smoke.key);
        bands(to, across, y, smoke.excluded, &look);
    }
}

fn label(to: &mut String, name: &str, y: i64) {
    let _ = writeln!(
        to,
        "<path class=\"smoke-g\" d=\"M{LEFT} {base}H{RIGHT}\"/><text class=\"smoke-s smoke-end\" \
         x=\"{}\" y=\"{base}\">{name}</text>",
        LEFT - 8,
        base = y + MARK,
    );
}

/// Marks that rise with the share; those of loss have its colour too.
fn marks(to: &mut String, smoke: &Smoke<'_>, across: Across, y: i64, (class, of): (&str, Share)) {
    for loss in Loss::ALL {
        let (own, quarters) = loss.class();
        let mut path = String::new();
        for bucket in smoke.buckets {
            let (some, all) = of(bucket);
            if some > 0 && Loss::of(some, all) == loss {
                let (x, wide) = wide(across, bucket.from, bucket.to());
                let high = MARK * quarters / 4;
                let _ = write!(path, "M{x} {}h{wide}v-{high}h-{wide}Z", y + MARK);
            }
        }
        if !path.is_empty() {
            let class = if class.is_empty() { own } else { class };
            let _ = writeln!(to, "<path class=\"smoke-f {class}\" d=\"{path}\"/>");
        }
    }
}

/// What of each bucket was not observed, as marks that rise with the share.
fn unseen(to: &mut String, smoke: &Smoke<'_>, across: Across, y: i64) {
    let mut path = String::new();
    for bucket in smoke.buckets.iter().filter(|bucket| bucket.from < smoke.until) {
        let (some, all) = bucket.unseen(smoke.from, smoke.until);
        let quarters = Loss::of(some, all).class().1;
        if quarters > 0 {
            let (x, wide) = wide(across, bucket.from, bucket.to().min(smoke.until));
            let high = MARK * quarters / 4;
            let _ = write!(path, "M{x} {}h{wide}v-{high}h-{wide}Z", y + MARK);
        }
    }
    if !path.is_empty() {
        let _ =
            writeln!(to, "<path class=\"smoke-ub\" fill=\"url(#{}h)\" d=\"{path}\"/>", smoke.key);
    }
}

/// Stretches with a meaning, each with what it is where there is room beside it.
fn bands(to: &mut String, across: Across, y: i64, bands: &[Band], look: &str) {
    let shown: Vec<&Band> =
        bands.iter().filter(|band| band.to > across.from && band.from < across.to).collect();
    let mut free = LEFT * 10;
    for (at, band) in shown.iter().enumerate() {
        let (x, wide) = wide(across, band.from, band.to);
        let _ = writeln!(
            to,
            "<rect {look} x=\"{x}\" y=\"{}\" width=\"{wide}\" height=\"{}\"/>",
            y + 3,
            MARK - 3
        );
        let said = said(band);
        let long = i64::try_from(said.chars().count()).unwrap_or(0) * LETTER;
        let next = shown.get(at + 1).map_or(RIGHT * 10, |next| across.x(next.from).0);
        let (after, before) = (x.0 + wide.0 + 50, x.0 - 50);
        let place = if after + long <= next {
            Some(("", after))
        } else if before - long >= free {
            Some((" smoke-end", before))
        } else {
            None
        };
        free = x.0 + wide.0 + 50;
        if let Some((end, x)) = place {
            if end.is_empty() {
                free = x + long;
            }
            let _ = writeln!(
                to,
                "<text class=\"smoke-s{end}\" x=\"{}\" y=\"{}\">{}</text>",
                Px(x),
                y + MARK - 2,
                esc(&said)
            );
        }
    }
}

/// What it is, and how long it was.
fn said(band: &Band) -> String {
    let seconds = u64::try_from(band.to.nanos_since(band.from) / 1_000_000_000).unwrap_or(0);
    let step = match seconds {
        0..600 => 1,
        600..86_400 => 60,
        _ => 3600,
    };
    let length = format_duration(std::time::Duration::from_secs(seconds / step * step));
    if band.label.is_empty() { length } else { format!("{length} {}", band.label) }
}

/// The time axis, below everything, and its lines up through all.
fn times(to: &mut String, across: Across, y: i64) {
    let _ = writeln!(to, "<text class=\"smoke-s\" x=\"12\" y=\"{}\">UTC</text>", y + 18);
    for tick in axis::times(across.from, across.to, 9) {
        let x = across.x(tick.at);
        let _ = writeln!(to, "<path class=\"smoke-g smoke-v\" d=\"M{x} {TOP}V{}\"/>", y + 5);
        let day = if is_midnight(tick.at) { " smoke-day" } else { "" };
        // What would reach over the picture's end is left out.
        if x.0 < (RIGHT + 8) * 10 {
            let _ = writeln!(
                to,
                "<text class=\"smoke-s smoke-mid{day}\" x=\"{x}\" y=\"{}\">{}</text>",
                y + 18,
                tick.label
            );
        }
    }
}

fn is_midnight(at: Wall) -> bool {
    at.secs().rem_euclid(86_400) == 0
}
