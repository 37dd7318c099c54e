//! What must add up in a summary. Each rule is one sentence of docs/wire.md; what is plausible but
//! not said there is not asked for.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::base::time::Wall;
use crate::evidence::chain::{LAST_SEQ, MOST_DROPPED};
use crate::evidence::json::NotRead;
use crate::evidence::rotation;
use crate::evidence::summary::texts::check_texts;
use crate::evidence::summary::{IntervalPart, LinkPart, Phases, ProbePart, Summary};
use crate::measure::histogram::Packed;
use crate::measure::outcome::Outcome;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// A list has at most so many: of probes, each some 200 bytes, a summary holds fewer.
const LIST_LIMIT: usize = 4096;
/// What was seen around an outage has at most so many values: a trace has some tens of hops.
const EVIDENCE_LIMIT: usize = 1024;

/// A summary does not add up, or is not of the page: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    at: String,
    what: String,
}

impl Malformed {
    /// A fault at a place of the payload, such as `probes[0].intervals[3]`; empty for the whole.
    pub(super) fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }

    /// What serde found.
    pub(super) fn form(error: &serde_json::Error) -> Self {
        Self::new("", error.to_string())
    }

    fn within(mut self, outer: fmt::Arguments<'_>) -> Self {
        self.at =
            if self.at.is_empty() { outer.to_string() } else { format!("{outer}.{}", self.at) };
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.at, self.what)
        }
    }
}

impl std::error::Error for Malformed {}

impl From<NotRead> for Malformed {
    fn from(fault: NotRead) -> Self {
        Self::new("", fault.to_string())
    }
}

/// A rule: nothing when it holds, else what is wrong at this place.
fn rule(holds: bool, at: &str, what: impl FnOnce() -> String) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed::new(at, what())) }
}

/// Checks all that must add up in a summary.
///
/// # Errors
/// Says the first rule that does not hold, and where.
pub fn check(summary: &Summary) -> Result<(), Malformed> {
    lists(summary)?;
    numbers(summary)?;
    span(summary)?;
    check_texts(summary)?;
    digests(summary)?;
    for (index, probe) in summary.probes.iter().enumerate() {
        check_probe(probe, summary)
            .map_err(|fault| fault.within(format_args!("probes[{index}]")))?;
    }
    for (index, link) in summary.link.iter().enumerate() {
        check_link(link).map_err(|fault| fault.within(format_args!("link[{index}]")))?;
    }
    for (index, outage) in summary.outages.iter().enumerate() {
        let at = || format!("outages[{index}]");
        rule(outage.to.is_none_or(|to| to >= outage.from), "to", || {
            "it is before \"from\"".to_owned()
        })
        .map_err(|fault| fault.within(format_args!("{}", at())))?;
    }
    if let Some(consent) = &summary.next_key {
        rotation::verify(consent, summary.agent, summary.chain, summary.seq)
            .map_err(|fault| Malformed::new("", fault.to_string()))?;
    }
    Ok(())
}

/// No list is longer than any that a summary of the greatest length can hold in earnest, whatever
/// else it could be filled with.
fn lists(summary: &Summary) -> Result<(), Malformed> {
    let at_most = |at: &str, count: usize, most: usize| {
        rule(count <= most, at, || format!("there are {count}, of at most {most}"))
    };
    let few = |at: &str, count: usize| at_most(at, count, LIST_LIMIT);
    at_most("dropped", summary.dropped.len(), MOST_DROPPED)?;
    few("clock.steps", summary.clock.steps.len())?;
    few("contracts", summary.contracts.len())?;
    few("probes", summary.probes.len())?;
    few("link", summary.link.len())?;
    few("outages", summary.outages.len())?;
    few("verdicts", summary.verdicts.len())?;
    for probe in &summary.probes {
        few("probes.intervals", probe.intervals.len())?;
        probe
            .intervals
            .iter()
            .try_for_each(|interval| few("probes.intervals.reasons", interval.reasons.len()))?;
    }
    summary.link.iter().try_for_each(|link| few("link.changes", link.changes.len()))?;
    summary.outages.iter().try_for_each(|outage| {
        let values = outage.evidence.values().map(count_values).sum::<usize>();
        rule(values <= EVIDENCE_LIMIT, "outages.evidence", || {
            format!("there are {values} values, of at most {EVIDENCE_LIMIT}")
        })
    })
}

/// How many values there are in one, itself among them; how deep they lie is bounded by the reader.
fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(count_values).sum(),
        Value::Object(all) => all.values().map(count_values).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The chain's numbers.
fn numbers(summary: &Summary) -> Result<(), Malformed> {
    rule(summary.seq <= LAST_SEQ, "seq", || "it is above 2^53 - 1".to_owned())?;
    rule(summary.prev.is_none() == (summary.seq == 0), "prev", || {
        "it is null for number 0, and the digest of the one before for every other".to_owned()
    })?;
    if let Some(follows) = &summary.follows {
        rule(summary.seq == 0, "follows", || "only number 0 has it".to_owned())?;
        rule(follows.chain != summary.chain, "follows", || {
            "a chain does not follow itself".to_owned()
        })?;
        rule(follows.seq <= LAST_SEQ, "follows.seq", || "it is above 2^53 - 1".to_owned())?;
    }
    for dropped in &summary.dropped {
        rule(dropped.from_seq <= dropped.to_seq && dropped.to_seq <= LAST_SEQ, "dropped", || {
            format!("{} to {} are no numbers in order", dropped.from_seq, dropped.to_seq)
        })?;
        rule(dropped.chain != summary.chain || dropped.to_seq < summary.seq, "dropped", || {
            "what comes later cannot have been dropped yet".to_owned()
        })?;
    }
    Ok(())
}

/// The summary's span: cut at the multiples of something that divides an hour, so within one hour
/// of UTC.
fn span(summary: &Summary) -> Result<(), Malformed> {
    rule(summary.from <= summary.to, "to", || "it is before \"from\"".to_owned())?;
    rule(summary.to <= summary.from.floor(HOUR) + HOUR, "to", || {
        format!(
            "{} to {} is not within one hour of UTC, as every span is",
            summary.from, summary.to
        )
    })
}

/// Digests are digests.
fn digests(summary: &Summary) -> Result<(), Malformed> {
    for contract in &summary.contracts {
        let hex = contract.sha256.len() == 64
            && contract.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        rule(hex, "contracts", || "\"sha256\" is 64 lowercase hexadecimal digits".to_owned())?;
    }
    Ok(())
}

fn check_link(link: &LinkPart) -> Result<(), Malformed> {
    rule(link.cpu_percent.is_none_or(|percent| percent >= 0.0), "cpu_percent", || {
        "it is negative".to_owned()
    })
}

fn check_probe(probe: &ProbePart, summary: &Summary) -> Result<(), Malformed> {
    rule(probe.period_ms > 0, "period_ms", || "it is zero".to_owned())?;
    for (index, interval) in probe.intervals.iter().enumerate() {
        check_interval(interval, probe, summary)
            .map_err(|fault| fault.within(format_args!("intervals[{index}]")))?;
    }
    Ok(())
}

fn check_interval(
    interval: &IntervalPart,
    probe: &ProbePart,
    summary: &Summary,
) -> Result<(), Malformed> {
    place(interval, summary)?;
    sends(interval, probe.period_ms)?;
    let with_rtt = interval.outcomes.with_rtt();
    rule(u64::from(interval.kernel_stamped) <= with_rtt, "kernel_stamped", || {
        format!("it is {}, but only {with_rtt} were answered", interval.kernel_stamped)
    })?;
    reasons(interval)?;
    // A clamped value is above all that the histogram can hold; its sum is exact.
    let clamped = interval.reasons.get("rtt/clamped").is_some_and(|&count| count > 0);
    spread("rtt_us", interval.rtt_us.as_ref(), interval.rtt_sum_ns, with_rtt, clamped)?;
    let pairs = pairs(interval);
    spread("ipdv_us", interval.ipdv_us.as_ref(), interval.ipdv_sum_ns, pairs, clamped)?;
    phases(interval.phases_us.as_ref())
}

/// An interval lies within one minute of UTC and within the summary. Lengths have a resolution of
/// one millisecond, so finer digits of an instant do not count.
fn place(interval: &IntervalPart, summary: &Summary) -> Result<(), Malformed> {
    let floor = |at: Wall| at.floor(Duration::from_millis(1));
    let (from, to) = (
        floor(interval.from),
        floor(interval.from) + Duration::from_millis(u64::from(interval.millis)),
    );
    rule(to <= from.floor(MINUTE) + MINUTE, "seconds", || {
        format!("{from} and {} ms are not within one minute of UTC", interval.millis)
    })?;
    rule(
        from >= floor(summary.from) && to <= floor(summary.to) + roundup(summary.to),
        "from",
        || {
            format!(
                "{from} to {to} is not within the summary's span, {} to {}",
                summary.from, summary.to
            )
        },
    )
}

/// A millisecond where an instant has digits finer than that.
fn roundup(at: Wall) -> Duration {
    Duration::from_millis(u64::from(at.nanos().rem_euclid(1_000_000) != 0))
}

/// The outcomes are within one of what was due, and the sends lie where they can.
fn sends(interval: &IntervalPart, period_ms: u32) -> Result<(), Malformed> {
    let (count, millis) = (interval.outcomes.len(), u64::from(interval.millis));
    let (period, first) = (u64::from(period_ms), u64::from(interval.first_ms));
    // |count − millis / period| ≤ 1, in whole numbers.
    let adds_up = count.saturating_mul(period).abs_diff(millis) <= period;
    rule(adds_up, "outcomes", || {
        format!("there are {count}, in {millis} ms with one every {period} ms")
    })?;
    let last = first.saturating_add(count.saturating_sub(1).saturating_mul(period));
    rule(
        count == 0 || (first <= millis && last <= millis.saturating_add(period)),
        "first_ms",
        || {
            format!(
                "the last send would be due {last} ms after the beginning of an interval of \
                    {millis} ms"
            )
        },
    )
}

/// No outcome has more reasons than there are sends with it. Words that are not known here are let
/// through.
fn reasons(interval: &IntervalPart) -> Result<(), Malformed> {
    for outcome in Outcome::ALL {
        let said: u64 = interval
            .reasons
            .iter()
            .filter(|(word, _)| word.split('/').next() == Some(outcome.word()))
            .map(|(_, &count)| u64::from(count))
            .sum();
        let were = interval.outcomes.count(outcome);
        rule(said <= were, "reasons", || {
            format!("{said} for {}, of which there were {were}", outcome.word())
        })?;
    }
    let clamped = interval.reasons.get("rtt/clamped").copied().unwrap_or(0);
    let with_rtt = interval.outcomes.with_rtt();
    rule(u64::from(clamped) <= with_rtt, "reasons", || {
        format!("{clamped} were clamped, of {with_rtt} with an RTT")
    })
}

/// How many neighbouring sends were both answered.
fn pairs(interval: &IntervalPart) -> u64 {
    let mut pairs = 0;
    let mut run = 0u64;
    for (count, outcome) in interval.outcomes.runs() {
        if outcome.has_rtt() {
            run += u64::from(count);
        } else {
            pairs += run.saturating_sub(1);
            run = 0;
        }
    }
    pairs + run.saturating_sub(1)
}

/// A histogram holds as many values as it must, and the sum beside it is one that these values can
/// have.
fn spread(
    at: &str,
    packed: Option<&Packed>,
    sum_ns: Option<u64>,
    expected: u64,
    clamped: bool,
) -> Result<(), Malformed> {
    let figures = packed
        .map(Packed::figures)
        .transpose()
        .map_err(|fault| Malformed::new(at, fault.to_string()))?;
    let figures = figures.unwrap_or_default();
    rule(figures.count == expected, at, || {
        format!("the histogram holds {} values, the outcomes give {expected}", figures.count)
    })?;
    let Some(sum) = sum_ns.map(u128::from) else { return Ok(()) };
    // Each value was somewhere in its bucket, and rounded to a microsecond, to whichever side.
    let count = u128::from(figures.count);
    let (lowest, highest) =
        (figures.lowest_us.saturating_sub(count) * 1000, (figures.highest_us + count) * 1000);
    rule(sum >= lowest && (clamped || sum <= highest), at, || {
        format!("a sum of {sum} ns is not one of the histogram's values, {lowest} to {highest} ns")
    })
}

fn phases(phases: Option<&Phases>) -> Result<(), Malformed> {
    let Some(phases) = phases else { return Ok(()) };
    for (name, packed) in phases.all() {
        if let Some(packed) = packed {
            packed
                .figures()
                .map_err(|fault| Malformed::new(format!("phases_us.{name}"), fault.to_string()))?;
        }
    }
    Ok(())
}
