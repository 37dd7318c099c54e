//! The outcomes of an hour, as they are written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::measure::outcome::Reason;

use super::bare;

pub(super) fn line(body: &mut String, hour: Wall, interval: &Interval) {
    let Interval { from, millis, first_ms, period_ms, outcomes, .. } = interval;
    let carrier = interval.reasons.get(&Reason::CARRIER.to_string()).copied().unwrap_or(0);
    let begins = from.nanos_since(hour) / 1_000_000;
    let _ = writeln!(body, "{begins} {millis} {first_ms} {period_ms} {carrier} {outcomes}");
}

/// Reads the wanted probes of a sheet; nothing where it is not what was written.
pub(super) fn read(
    body: &str,
    hour: Wall,
    all: &mut BTreeMap<String, Vec<Interval>>,
) -> Option<()> {
    let mut rest = body;
    while let Some(part) = rest.strip_prefix('=') {
        let (name, after) = part.split_once('\n')?;
        // No outcome and no number holds a `=`.
        let end = after.find("\n=").map_or(after.len(), |at| at + 1);
        let (lines, next) = after.split_at(end);
        if let Some(into) = all.get_mut(name) {
            for line in lines.lines() {
                into.push(interval(line, hour)?);
            }
        }
        rest = next;
    }
    rest.is_empty().then_some(())
}

pub(super) fn interval(line: &str, hour: Wall) -> Option<Interval> {
    let mut parts = line.splitn(6, ' ');
    let begins: i64 = parts.next()?.parse().ok()?;
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (millis, first_ms, period_ms, carrier) = (number()?, number()?, number()?, number()?);
    let outcomes = parts.next()?.parse().ok()?;
    let reasons = if carrier > 0 {
        BTreeMap::from([(Reason::CARRIER.to_string(), carrier)])
    } else {
        BTreeMap::new()
    };
    let from = hour.shifted(begins.checked_mul(1_000_000)?);
    Some(bare(Interval {
        from,
        millis,
        first_ms,
        period_ms,
        outcomes,
        reasons,
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: None,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    }))
}
