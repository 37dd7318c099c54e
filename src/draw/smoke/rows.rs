//! The figures beside a graph.

use std::fmt::Write as _;

use super::text::esc;
use super::{LEFT, Smoke};
use crate::draw::axis;
use crate::measure::history::merged;
use crate::measure::outcome::Outcome;

/// How high they are below a graph of a file.
pub(super) const HEIGHT: i64 = 52;

/// The figures of all the time: what each is called, and how it is written.
#[must_use]
pub fn rows(smoke: &Smoke<'_>) -> Vec<(&'static str, String)> {
    let whole = merged(smoke.buckets).unwrap_or_default();
    let latency = |us: Option<u64>| us.map_or_else(|| "–".to_owned(), axis::latency);
    let at = |part, of| latency(whole.rtt.value_at_us(part, of));
    let lost = match whole.failed() {
        0 => "0".to_owned(),
        failed => format!("{failed} ({})", share(failed, whole.sent())),
    };
    let unseen = smoke.buckets.iter().filter(|bucket| bucket.from < smoke.until);
    let (mut some, mut all) = (0, 0);
    for (unseen, whole) in unseen.map(|bucket| bucket.unseen(smoke.from, smoke.until)) {
        some += unseen;
        all += whole;
    }
    vec![
        ("answers", whole.rtt.count().to_string()),
        ("min", latency(whole.rtt.min_us())),
        ("p50", at(1, 2)),
        ("p90", at(9, 10)),
        ("p99", at(99, 100)),
        ("max", latency(whole.rtt.max_us())),
        ("lost", lost),
        ("late", whole.count(Outcome::Late).to_string()),
        ("not sent", whole.count(Outcome::NotSent).to_string()),
        ("not observed", share(some, all)),
    ]
}

/// A share in percent, never rounded to none.
fn share(some: u64, all: u64) -> String {
    let (some, all) = (u128::from(some), u128::from(all.max(1)));
    match (some * 100_000 + all / 2) / all {
        0 if some > 0 => "<0.001 %".to_owned(),
        0 => "0 %".to_owned(),
        parts if parts < 1000 => format!("0.{parts:03} %"),
        parts => format!("{}.{} %", parts / 1000, parts / 100 % 10),
    }
}

pub(super) fn draw(to: &mut String, smoke: &Smoke<'_>, y: i64) {
    let mut x = LEFT;
    for (name, figure) in rows(smoke) {
        let _ = writeln!(
            to,
            "<text class=\"smoke-s\" x=\"{x}\" y=\"{}\">{name}</text><text class=\"smoke-n\" \
             x=\"{x}\" y=\"{}\">{}</text>",
            y + 16,
            y + 33,
            esc(&figure)
        );
        x += if name == "lost" { 122 } else { 81 };
    }
}
