//! The plot itself: latency upwards.

use std::fmt::Write as _;

use super::text::Px;
use super::{Across, BOTTOM, LEFT, Loss, RIGHT, Smoke, TOP};
use crate::draw::axis;
use crate::draw::scale::log2;
use crate::measure::history::{Bucket, merged};

/// Where latencies are on the picture.
#[derive(Clone, Debug)]
struct Up {
    low: u64,
    high: u64,
    logarithmic: bool,
    ticks: Vec<u64>,
}

/// Steps that people count in, and what ends them.
const ROUND: [u64; 3] = [1, 2, 5];

impl Up {
    /// From the lowest latency to what 99 % of each bucket stay below: by its logarithm where that
    /// is more than fivefold.
    fn of(buckets: &[Bucket]) -> Option<Self> {
        let low = buckets.iter().filter_map(|bucket| bucket.rtt.min_us()).min()?.max(1);
        let high = buckets.iter().filter_map(|bucket| bucket.rtt.value_at_us(99, 100)).max()?;
        if high > low * 5 {
            let ladder: Vec<u64> =
                (0..9u32).flat_map(|digits| ROUND.map(|each| each * 10u64.pow(digits))).collect();
            let first = ladder.iter().rposition(|each| *each <= low).unwrap_or(0);
            let last = ladder.iter().position(|each| *each >= high).unwrap_or(ladder.len() - 1);
            let ticks = ladder.get(first..=last)?.to_vec();
            return Some(Self { low: ladder[first], high: ladder[last], logarithmic: true, ticks });
        }
        let room = (high - low).max(low / 20).max(10);
        let steps = (0..9u32).flat_map(|digits| ROUND.map(|each| each * 10u64.pow(digits)));
        let step = steps.into_iter().find(|step| room.div_ceil(*step) <= 5)?;
        let first = low / step * step;
        let last = (low + room).max(high).div_ceil(step) * step;
        let ticks = (0..=(last - first) / step).map(|number| first + number * step).collect();
        Some(Self { low: first, high: last, logarithmic: false, ticks })
    }

    fn y(&self, us: u64) -> Px {
        let us = us.clamp(self.low, self.high);
        let of = |us: u64| if self.logarithmic { log2(us) } else { us };
        let whole = (of(self.high) - of(self.low)).max(1);
        let part = u128::from(of(us) - of(self.low))
            * u128::try_from((BOTTOM - TOP) * 10).unwrap_or(0)
            / u128::from(whole);
        Px(BOTTOM * 10 - i64::try_from(part).unwrap_or(0))
    }
}

pub(super) fn draw(to: &mut String, smoke: &Smoke<'_>, across: Across) {
    let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
    let _ = writeln!(
        to,
        "<rect class=\"smoke-p\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\"/>"
    );
    for (class, bands) in [("x", smoke.excluded), ("o", smoke.outages)] {
        for band in bands.iter().filter(|band| band.to > across.from && band.from < across.to) {
            let (from, wide) = wide(across, band.from, band.to);
            let fill = if class == "x" {
                format!(" fill=\"url(#{}e)\"", smoke.key)
            } else {
                String::new()
            };
            let _ = writeln!(
                to,
                "<rect class=\"smoke-{class}\" x=\"{from}\" y=\"{TOP}\" width=\"{wide}\" \
                 height=\"{height}\"{fill}/>"
            );
        }
    }
    holes(to, smoke, across);
    let Some(up) = Up::of(smoke.buckets) else {
        let (x, y) = ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2);
        let _ = writeln!(
            to,
            "<text class=\"smoke-s smoke-mid\" x=\"{x}\" y=\"{y}\">no answer in this time</text>"
        );
        return;
    };
    grid(to, &up);
    bands(to, smoke, across, &up);
    above(to, smoke, across, &up);
}

/// Where a stretch begins, and how wide it is: enough to be seen.
pub(super) fn wide(
    across: Across,
    from: crate::base::time::Wall,
    to: crate::base::time::Wall,
) -> (Px, Px) {
    let (from, to) = (across.x(from), across.x(to));
    (from, Px((to.0 - from.0).max(15)))
}

fn holes(to: &mut String, smoke: &Smoke<'_>, across: Across) {
    let mut runs: Vec<(crate::base::time::Wall, crate::base::time::Wall)> = Vec::new();
    for bucket in smoke.buckets.iter().filter(|each| each.is_hole() && each.from < smoke.until) {
        let end = bucket.to().min(smoke.until);
        match runs.last_mut() {
            Some(last) if last.1 == bucket.from => last.1 = end,
            _ => runs.push((bucket.from, end)),
        }
    }
    let (key, height) = (smoke.key, BOTTOM - TOP);
    for (from, end) in runs {
        let (x, wide) = wide(across, from, end);
        let _ = writeln!(
            to,
            "<rect x=\"{x}\" y=\"{TOP}\" width=\"{wide}\" height=\"{height}\" \
             fill=\"url(#{key}h)\"/>"
        );
        if wide.0 > 760 {
            let (middle, y) = (Px(x.0 + wide.0 / 2), (TOP + BOTTOM) / 2);
            let _ = writeln!(
                to,
                "<text class=\"smoke-s smoke-mid smoke-halo\" x=\"{middle}\" y=\"{y}\">not \
                 observed</text>"
            );
        }
    }
}

fn grid(to: &mut String, up: &Up) {
    for tick in &up.ticks {
        let y = up.y(*tick);
        let label = Px(y.0 + 40);
        let _ = writeln!(
            to,
            "<path class=\"smoke-g\" d=\"M{LEFT} {y}H{RIGHT}\"/><text class=\"smoke-s \
             smoke-end\" x=\"{}\" y=\"{label}\">{}</text>",
            LEFT - 8,
            axis::latency(*tick)
        );
    }
}

/// The bands of neighbouring buckets with answers, and the median over them.
fn bands(to: &mut String, smoke: &Smoke<'_>, across: Across, up: &Up) {
    let runs = smoke.buckets.chunk_by(|one, next| !one.rtt.is_empty() && !next.rtt.is_empty());
    let runs: Vec<&[Bucket]> = runs.filter(|run| !run[0].rtt.is_empty()).collect();
    for (class, low, high) in [("w1", 0, 100), ("w2", 10, 90), ("w3", 25, 75)] {
        let mut path = String::new();
        for run in &runs {
            let at = |bucket: &Bucket, percent| match percent {
                0 => bucket.rtt.min_us().unwrap_or(0),
                percent => bucket.rtt.value_at_us(percent, 100).unwrap_or(0),
            };
            let mut there =
                run.iter().map(|bucket| (bucket.from, bucket.to(), up.y(at(bucket, high))));
            if let Some((from, end, y)) = there.next() {
                let _ = write!(path, "M{} {y}H{}", across.x(from), across.x(end));
            }
            there.for_each(|(_, end, y)| _ = write!(path, "V{y}H{}", across.x(end)));
            for bucket in run.iter().rev() {
                let _ = write!(path, "V{}H{}", up.y(at(bucket, low)), across.x(bucket.from));
            }
            path.push('Z');
        }
        let _ = writeln!(to, "<path class=\"smoke-{class}\" d=\"{path}\"/>");
    }
    let median = |bucket: &Bucket| up.y(bucket.rtt.value_at_us(1, 2).unwrap_or(0));
    let mut path = String::new();
    for run in &runs {
        let mut pen = 'M';
        for bucket in *run {
            let (x, y, end) = (across.x(bucket.from), median(bucket), across.x(bucket.to()));
            if pen == 'M' {
                let _ = write!(path, "M{x} {y}H{end}");
            } else {
                let _ = write!(path, "V{y}H{end}");
            }
            pen = 'V';
        }
    }
    let _ = writeln!(to, "<path class=\"smoke-t\" d=\"{path}\"/>");
    for loss in Loss::ALL {
        let mut path = String::new();
        for bucket in runs.iter().copied().flatten() {
            if Loss::of(bucket.failed(), bucket.sent()) == loss {
                let (x, end) = (across.x(bucket.from), across.x(bucket.to()));
                let _ = write!(path, "M{x} {}H{end}", median(bucket));
            }
        }
        if !path.is_empty() {
            let _ = writeln!(to, "<path class=\"smoke-m {}\" d=\"{path}\"/>", loss.class().0);
        }
    }
}

/// Marks where answers were slower than the plot is high, and how slow.
fn above(to: &mut String, smoke: &Smoke<'_>, across: Across, up: &Up) {
    let mut path = String::new();
    for bucket in smoke.buckets.iter().filter(|each| each.rtt.max_us() > Some(up.high)) {
        let middle = Px(across.x(bucket.from).0.midpoint(across.x(bucket.to()).0));
        let _ = write!(path, "M{middle} {}l3 5h-6Z", TOP + 1);
    }
    if path.is_empty() {
        return;
    }
    let slowest = merged(smoke.buckets).and_then(|whole| whole.rtt.max_us()).unwrap_or(0);
    let _ = writeln!(
        to,
        "<path class=\"smoke-up\" d=\"{path}\"/><text class=\"smoke-s smoke-end\" \
         x=\"{RIGHT}\" y=\"{}\">▲ slower than shown, up to {}</text>",
        TOP - 5,
        axis::latency(slowest)
    );
}
