//! The body of a block: what all probes saw over one stretch, written together, since together they
//! are a third as large.
//!
//! It is exact: what is read is what was written, and histograms give back their very bytes. Its
//! form is the database's own and never leaves it.

use std::collections::BTreeMap;

use crate::base::time::Wall;
use crate::measure::histogram::Packed;
use crate::measure::interval::{Interval, Phase, Spread};
use crate::measure::outcome::{Outcome, Outcomes};
use crate::store::bytes::{self, Reader, Unreadable, Writer};

/// The version of this form.
const VERSION: u8 = 1;

const RTT: u64 = 1;
const IPDV: u64 = 2;
const RFC3550: u64 = 4;
const REASONS: u64 = 8;
const COUNTS: u64 = 16;
const PHASES: u64 = 32;

/// An interval and the number of its series. The interval's period is its series'.
pub type Row = (i64, Interval);

/// Writes a block that begins at `start_ms`.
///
/// # Errors
/// When there is no memory to compress it.
pub fn write<'a>(
    start_ms: i64,
    rows: impl IntoIterator<Item = (i64, &'a Interval)>,
) -> std::io::Result<Vec<u8>> {
    let mut body = Writer::default();
    // Once more, under the checksum: a minute must not be displaced unseen.
    body.signed(start_ms);
    for (series, interval) in rows {
        body.signed(series);
        body.part(|part| one(part, start_ms, interval));
    }
    bytes::shut(VERSION, &body.finish(), &[])
}

fn one(to: &mut Writer, start_ms: i64, interval: &Interval) {
    let Interval {
        from, millis, first_ms, period_ms, duplicates, reordered, kernel_stamped, ..
    } = *interval;
    to.signed(from.millis() - start_ms);
    to.number(millis.into());
    to.number(first_ms.into());
    to.number(period_ms.into());
    to.number(interval.outcomes.runs().len() as u64);
    for (count, outcome) in interval.outcomes.runs() {
        to.number(u64::from(count) * 6 + code(outcome));
    }
    to.number(kernel_stamped.into());
    let flags = [
        (RTT, interval.rtt.is_some()),
        (IPDV, interval.ipdv.is_some()),
        (RFC3550, interval.rfc3550_max_ns.is_some()),
        (REASONS, !interval.reasons.is_empty()),
        (COUNTS, duplicates != 0 || reordered != 0),
        (PHASES, !interval.phases.is_empty()),
    ];
    to.number(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum());
    if duplicates != 0 || reordered != 0 {
        to.number(duplicates.into());
        to.number(reordered.into());
    }
    if !interval.reasons.is_empty() {
        to.number(interval.reasons.len() as u64);
        for (reason, count) in &interval.reasons {
            to.bytes(reason.as_bytes());
            to.number(u64::from(*count));
        }
    }
    if let Some(nanos) = interval.rfc3550_max_ns {
        to.number(nanos);
    }
    for spread in interval.rtt.iter().chain(&interval.ipdv) {
        to.number(spread.sum_ns);
        histogram(to, &spread.histogram);
    }
    if !interval.phases.is_empty() {
        to.number(interval.phases.len() as u64);
        for (phase, packed) in &interval.phases {
            to.bytes(phase.word().as_bytes());
            histogram(to, packed);
        }
    }
}

/// A slot that holds one value, as most do in a minute, is one number.
fn histogram(to: &mut Writer, packed: &Packed) {
    let mut runs = 0;
    // What cannot be read as one of ours was never recorded here.
    let readable = packed.each_run(|_, _| runs += 1).is_ok();
    if !readable {
        return to.number(0);
    }
    to.number(runs);
    _ = packed.each_run(|empty, count| {
        to.number(empty * 2 + u64::from(count > 1));
        if count > 1 {
            to.number(count - 2);
        }
    });
}

/// Reads a block: the intervals of those series that are `wanted`, in the order in which they were
/// written.
///
/// # Errors
/// When it is damaged.
pub fn read(
    start_ms: i64,
    body: &[u8],
    wanted: impl FnMut(i64) -> bool,
) -> Result<Vec<Row>, Unreadable> {
    let mut rows = Vec::new();
    each(start_ms, body, wanted, |series, interval| rows.push((series, interval)))?;
    Ok(rows)
}

/// As [`read`], one after the other, so that they need not be in memory together.
///
/// # Errors
/// When it is damaged; some may have been given by then.
pub fn each(
    start_ms: i64,
    body: &[u8],
    mut wanted: impl FnMut(i64) -> bool,
    mut take: impl FnMut(i64, Interval),
) -> Result<(), Unreadable> {
    let (version, plain) = bytes::open(body, &[])?;
    if version != VERSION {
        return Err(Unreadable("version"));
    }
    let mut reader = Reader::new(&plain);
    if reader.signed()? != start_ms {
        return Err(Unreadable("time"));
    }
    while !reader.is_empty() {
        let series = reader.signed()?;
        let mut part = Reader::new(reader.bytes()?);
        if wanted(series) {
            take(series, back(&mut part, start_ms)?);
        }
    }
    Ok(())
}

fn back(from: &mut Reader<'_>, start_ms: i64) -> Result<Interval, Unreadable> {
    let begin = start_ms.checked_add(from.signed()?).ok_or(Unreadable("time"))?;
    let (millis, first_ms, period_ms) = (from.narrow()?, from.narrow()?, from.narrow()?);
    let mut outcomes = Outcomes::default();
    for _ in 0..from.number()? {
        let run = from.number()?;
        let count = u32::try_from(run / 6).map_err(|_| Unreadable("outcomes"))?;
        outcomes.push_run(count, outcome(run % 6));
    }
    let kernel_stamped = from.narrow()?;
    let flags = from.number()?;
    let has = |flag| flags & flag != 0;
    let (duplicates, reordered) =
        if has(COUNTS) { (from.narrow()?, from.narrow()?) } else { (0, 0) };
    let mut reasons = BTreeMap::new();
    if has(REASONS) {
        for _ in 0..from.number()? {
            reasons.insert(from.text()?.to_owned(), from.narrow()?);
        }
    }
    let rfc3550_max_ns = if has(RFC3550) { Some(from.number()?) } else { None };
    let rtt = if has(RTT) { Some(spread(from)?) } else { None };
    let ipdv = if has(IPDV) { Some(spread(from)?) } else { None };
    let mut phases = BTreeMap::new();
    if has(PHASES) {
        for _ in 0..from.number()? {
            let word = from.text()?;
            let phase = Phase::ALL
                .into_iter()
                .find(|phase| phase.word() == word)
                .ok_or(Unreadable("phase"))?;
            phases.insert(phase, packed(from)?);
        }
    }
    let from = Wall::from_millis(begin);
    Ok(Interval {
        from,
        millis,
        first_ms,
        period_ms,
        outcomes,
        reasons,
        duplicates,
        reordered,
        kernel_stamped,
        rtt,
        ipdv,
        rfc3550_max_ns,
        phases,
    })
}

fn spread(from: &mut Reader<'_>) -> Result<Spread, Unreadable> {
    let sum_ns = from.number()?;
    Ok(Spread { histogram: packed(from)?, sum_ns })
}

fn packed(from: &mut Reader<'_>) -> Result<Packed, Unreadable> {
    let runs = from.number()?;
    Packed::try_from_runs((0..runs).map(|_| {
        let run = from.number()?;
        let count = if run % 2 == 1 { from.number()?.saturating_add(2) } else { 1 };
        Ok((run / 2, count))
    }))
}

const fn code(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Answered => 0,
        Outcome::Late => 1,
        Outcome::Lost => 2,
        Outcome::Refused => 3,
        Outcome::NotSent => 4,
        Outcome::NotObserved => 5,
    }
}

const fn outcome(code: u64) -> Outcome {
    match code {
        0 => Outcome::Answered,
        1 => Outcome::Late,
        2 => Outcome::Lost,
        3 => Outcome::Refused,
        4 => Outcome::NotSent,
        _ => Outcome::NotObserved,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::measure::histogram::Histogram;
    use proptest::prelude::*;

    fn packing(values: &[u64]) -> Option<Packed> {
        let mut all = Histogram::new();
        values.iter().for_each(|&value| {
            all.record_us(value);
        });
        all.pack()
    }

    /// Any interval that a ledger might make, and some that it would not.
    pub fn intervals() -> impl Strategy<Value = Interval> {
        let values = || prop::collection::vec(0u64..70_000_000, 0..70);
        let head = (0i64..4_000_000_000_000, 0u32..60_001, 0u32..100_000, 1u32..100_000);
        let counts = (any::<u32>(), 0u32..3, 0u32..3, proptest::option::of(any::<u64>()));
        let reasons = prop::collection::btree_map("[a-z]{1,9}/[a-z-]{1,9}", any::<u32>(), 0..3);
        (head, "[atlunx]{0,70}", counts, reasons, (values(), values(), values()), any::<u64>())
            .prop_map(
                |(
                    (from, millis, first_ms, period_ms),
                    letters,
                    counts,
                    reasons,
                    (rtt, ipdv, body),
                    sum_ns,
                )| Interval {
                    from: Wall::from_millis(from),
                    millis,
                    first_ms,
                    period_ms,
                    outcomes: letters.chars().filter_map(Outcome::from_letter).collect(),
                    reasons,
                    duplicates: counts.1,
                    reordered: counts.2,
                    kernel_stamped: counts.0,
                    rtt: packing(&rtt).map(|histogram| Spread { histogram, sum_ns }),
                    ipdv: packing(&ipdv).map(|histogram| Spread { histogram, sum_ns: sum_ns / 3 }),
                    rfc3550_max_ns: counts.3,
                    phases: packing(&body)
                        .map(|packed| (Phase::Body, packed))
                        .into_iter()
                        .collect(),
                },
            )
    }

    proptest! {
        #[test]
        fn a_block_gives_back_what_was_written_to_the_byte(
            all in prop::collection::vec((any::<i64>(), intervals()), 0..5),
            start in 0i64..4_000_000_000_000,
        ) {
            let body =
                write(start, all.iter().map(|(series, interval)| (*series, interval))).unwrap();
            let back = read(start, &body, |_| true).unwrap();
            prop_assert_eq!(&back, &all);
            for ((_, written), (_, read)) in all.iter().zip(&back) {
                let bytes = |interval: &Interval| {
                    interval.rtt.as_ref().map(|rtt| rtt.histogram.bytes().into_owned())
                };
                prop_assert_eq!(bytes(written), bytes(read));
            }
            let one = all.first().map(|(series, _)| *series).unwrap_or_default();
            let some = read(start, &body, |series| series == one).unwrap();
            prop_assert!(some.iter().all(|(series, _)| *series == one));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let body = bytes::shut(VERSION, &[&[0], &bytes[..]].concat(), &[]).unwrap();
            let _ = read(0, &body, |_| true);
        }
    }
}
