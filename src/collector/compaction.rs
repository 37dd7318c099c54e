//! Many intervals as few, without losing what a verdict needs: outcomes stay exact and in order,
//! histograms are merged, sums are added. What may not be merged (time that nobody saw, another
//! setting, a step) stays apart, so that a contract judges the merged intervals of a month as it
//! would judge its minutes. Pure: it reads and writes nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _, Serialize, Serializer as _};

use crate::base::time::Wall;
use crate::measure::histogram::{Histogram, Packed};
use crate::measure::interval::{Interval, Spread};
use crate::measure::outcome::{Outcome, Outcomes, Reason};

/// A day of one probe is never more, in bytes before it is compressed: a probe each 10 ms of which
/// every second send is lost at random makes 9 MB.
const MOST: usize = 16 * 1024 * 1024;
/// Nor is it ever in more pieces: an agent that starts anew every ten seconds makes 8,640.
pub const MOST_PIECES: usize = 10_000;
/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// A day, in UTC.
pub const DAY: Duration = Duration::from_secs(86_400);

/// An interval, with the digest of its probe's settings: what was measured by others is not merged
/// with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The digest of the settings; opaque. Pieces share it, and what was told.
    pub settings: Arc<str>,
    /// What its summary said that it is about; absent of what was folded before that was kept.
    pub told: Option<Arc<Attribution>>,
    /// The interval; merged, it may be as long as a day.
    pub interval: Interval,
}

/// What a summary says that an interval is about. Whether it may say so, the register knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attribution {
    /// The site.
    pub site: String,
    /// The service that the probe names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Why bytes are no pieces.
#[derive(Debug, thiserror::Error)]
pub enum NotPieces {
    /// They do not expand.
    #[error("it does not expand: {0}")]
    Zstd(#[from] std::io::Error),
    /// They are more than is kept of a day.
    #[error("a day of one probe is more than {MOST} bytes: its outcomes change too often")]
    TooMuch,
    /// They are more pieces than are kept of a day.
    #[error("a day of one probe is in more than {MOST_PIECES} pieces that do not merge")]
    TooMany,
    /// They are not of the form.
    #[error("it is not of the form: {0}")]
    Form(#[from] serde_json::Error),
}

/// As a piece is written. The parts of an HTTP exchange are not: no contract judges by them.
#[derive(Serialize)]
struct Written<'a> {
    settings: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<&'a Attribution>,
    from: i64,
    millis: u32,
    first: u32,
    period: u32,
    outcomes: &'a Outcomes,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reasons: &'a BTreeMap<String, u32>,
    counts: (u32, u32, u32),
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<(&'a Packed, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipdv: Option<(&'a Packed, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<u64>,
}

impl<'a> Written<'a> {
    fn of(Segment { settings, told, interval }: &'a Segment) -> Self {
        let spread = |of: &'a Option<Spread>| of.as_ref().map(|of| (&of.histogram, of.sum_ns));
        Self {
            settings,
            told: told.as_deref(),
            from: interval.from.nanos(),
            millis: interval.millis,
            first: interval.first_ms,
            period: interval.period_ms,
            outcomes: &interval.outcomes,
            reasons: &interval.reasons,
            counts: (interval.duplicates, interval.reordered, interval.kernel_stamped),
            rtt: spread(&interval.rtt),
            ipdv: spread(&interval.ipdv),
            jitter: interval.rfc3550_max_ns,
        }
    }
}

/// As a piece is read.
#[derive(Deserialize)]
struct StoredSegment<'a> {
    #[serde(borrow)]
    settings: Cow<'a, str>,
    told: Option<StoredAttribution<'a>>,
    from: i64,
    millis: u32,
    first: u32,
    period: u32,
    outcomes: Outcomes,
    #[serde(default)]
    reasons: BTreeMap<String, u32>,
    #[serde(default)]
    counts: (u32, u32, u32),
    rtt: Option<(Packed, u64)>,
    ipdv: Option<(Packed, u64)>,
    jitter: Option<u64>,
}

#[derive(Deserialize)]
struct StoredAttribution<'a> {
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    service: Option<Cow<'a, str>>,
}

/// What neighbouring pieces share.
struct Shared {
    settings: Arc<str>,
    told: Option<Arc<Attribution>>,
}

impl Shared {
    fn segment(&mut self, stored: StoredSegment<'_>) -> Segment {
        if *self.settings != *stored.settings {
            self.settings = stored.settings.into();
        }
        let told = stored.told.map(|told| match &self.told {
            Some(last) if told.is(last) => Arc::clone(last),
            _ => Arc::clone(self.told.insert(Arc::new(told.owned()))),
        });
        let spread =
            |of: Option<(Packed, u64)>| of.map(|(histogram, sum_ns)| Spread { histogram, sum_ns });
        let interval = Interval {
            from: Wall::from_nanos(stored.from),
            millis: stored.millis,
            first_ms: stored.first,
            period_ms: stored.period,
            outcomes: stored.outcomes,
            reasons: stored.reasons,
            duplicates: stored.counts.0,
            reordered: stored.counts.1,
            kernel_stamped: stored.counts.2,
            rtt: spread(stored.rtt),
            ipdv: spread(stored.ipdv),
            rfc3550_max_ns: stored.jitter,
            phases: BTreeMap::new(),
        };
        Segment { settings: Arc::clone(&self.settings), told, interval }
    }
}

impl StoredAttribution<'_> {
    fn is(&self, told: &Attribution) -> bool {
        self.site == told.site && self.service.as_deref() == told.service.as_deref()
    }

    fn owned(self) -> Attribution {
        Attribution { site: self.site.into_owned(), service: self.service.map(Cow::into_owned) }
    }
}

/// Reads a list of pieces, each of which becomes something else at once.
struct Each<F>(F);

impl<'de, T, F: FnMut(Segment) -> T> Visitor<'de> for Each<F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pieces")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut shared = Shared { settings: Arc::from(""), told: None };
        let mut all = Vec::new();
        while let Some(stored) = list.next_element::<StoredSegment<'de>>()? {
            all.push(self.0(shared.segment(stored)));
        }
        Ok(all)
    }
}

/// A text that ends where a day's would be too long.
#[derive(Default)]
struct Day(Vec<u8>);

impl std::io::Write for Day {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes pieces.
///
/// # Errors
/// When they are more than is kept of a day.
pub fn encode(pieces: &[Segment]) -> Result<Vec<u8>, NotPieces> {
    if pieces.len() > MOST_PIECES {
        return Err(NotPieces::TooMany);
    }
    let mut day = Day::default();
    serde_json::Serializer::new(&mut day)
        .collect_seq(pieces.iter().map(Written::of))
        .map_err(|fault| if fault.is_io() { NotPieces::TooMuch } else { fault.into() })?;
    let mut packed = zstd::bulk::compress(&day.0, 1)?;
    // It was made with room for a text that does not compress.
    packed.shrink_to_fit();
    Ok(packed)
}

/// Reads pieces.
///
/// # Errors
/// When the bytes are none.
pub fn decode(bytes: &[u8]) -> Result<Vec<Segment>, NotPieces> {
    decode_as(bytes, |segment| segment)
}

/// Reads pieces, each of which becomes something else before the next one is read: what is let go
/// of each leaves no holes among what is kept of all.
///
/// # Errors
/// When the bytes are none.
pub fn decode_as<T>(
    bytes: &[u8],
    become_other: impl FnMut(Segment) -> T,
) -> Result<Vec<T>, NotPieces> {
    let mut text = Vec::new();
    zstd::stream::Decoder::new(bytes)?.take(MOST as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MOST {
        return Err(NotPieces::TooMuch);
    }
    let mut json = serde_json::Deserializer::from_slice(&text);
    let all = json.deserialize_seq(Each(become_other))?;
    json.end()?;
    Ok(all)
}

/// Merges pieces that follow on each other within the same `cell` of time since the epoch; in order
/// of time.
#[must_use]
pub fn merge(mut pieces: Vec<Segment>, cell: Duration) -> Vec<Segment> {
    pieces.sort_by_key(|piece| piece.interval.from);
    let mut merged: Vec<Merging> = Vec::new();
    for piece in pieces {
        match merged.last_mut() {
            Some(last) if last.takes(&piece, cell) => last.add(piece.interval),
            _ => merged.push(Merging::begin(piece)),
        }
    }
    merged.into_iter().map(Merging::end).collect()
}

/// Pieces that become one.
struct Merging {
    piece: Segment,
    rtt: Summing,
    ipdv: Summing,
}

/// Histograms that become one; a single one is left as it is.
#[derive(Default)]
struct Summing {
    merged: Option<Histogram>,
    parts: Vec<Spread>,
}

impl Summing {
    fn add(&mut self, spread: Option<Spread>) {
        self.parts.extend(spread);
    }

    fn end(mut self) -> Option<Spread> {
        if self.parts.len() < 2 {
            return self.parts.pop();
        }
        let sum_ns = self.parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.sum_ns));
        let merged = self.merged.get_or_insert_with(Histogram::new);
        for part in &self.parts {
            // Each was read when its summary was checked.
            if let Ok(histogram) = part.histogram.unpack() {
                merged.merge(&histogram);
            }
        }
        Some(Spread { histogram: merged.pack()?, sum_ns })
    }
}

impl Merging {
    fn begin(mut piece: Segment) -> Self {
        let (mut rtt, mut ipdv) = (Summing::default(), Summing::default());
        rtt.add(piece.interval.rtt.take());
        ipdv.add(piece.interval.ipdv.take());
        Self { piece, rtt, ipdv }
    }

    fn takes(&self, next: &Segment, cell: Duration) -> bool {
        let (own, other) = (&self.piece.interval, &next.interval);
        own.from.floor(cell) == other.from.floor(cell)
            && self.piece.settings == next.settings
            && self.piece.told == next.told
            && own.period_ms == other.period_ms
            && own.to() == other.from
            && own.due(own.outcomes.len()) == other.due(0)
            && kin(own, other)
    }

    fn add(&mut self, next: Interval) {
        let own = &mut self.piece.interval;
        own.millis = own.millis.saturating_add(next.millis);
        next.outcomes.runs().for_each(|(count, outcome)| own.outcomes.push_run(count, outcome));
        for (reason, count) in next.reasons {
            let sum = own.reasons.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
        own.duplicates = own.duplicates.saturating_add(next.duplicates);
        own.reordered = own.reordered.saturating_add(next.reordered);
        own.kernel_stamped = own.kernel_stamped.saturating_add(next.kernel_stamped);
        own.rfc3550_max_ns = own.rfc3550_max_ns.max(next.rfc3550_max_ns);
        self.rtt.add(next.rtt);
        self.ipdv.add(next.ipdv);
    }

    fn end(self) -> Segment {
        let mut piece = self.piece;
        piece.interval.rtt = self.rtt.end();
        piece.interval.ipdv = self.ipdv.end();
        piece
    }
}

/// What became of the sends of an interval that did not leave the host: which of them for want of a
/// carrier is told by their number only, the first of them, so that intervals are merged only where
/// that says the same afterwards.
fn kin(one: &Interval, two: &Interval) -> bool {
    let carrier =
        |of: &Interval| of.reasons.get(&Reason::CARRIER.to_string()).copied().map_or(0, u64::from);
    let unsent = |of: &Interval| of.outcomes.count(Outcome::NotSent);
    let all = |of: &Interval| carrier(of) >= unsent(of);
    let none = |of: &Interval| carrier(of) == 0;
    (all(one) && all(two)) || (none(one) && none(two))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A minute of sends each second, which took so many microseconds.
    fn minute(number: i64, outcomes: &str, micros: u64) -> Segment {
        let outcomes: Outcomes = outcomes.parse().unwrap();
        let mut histogram = Histogram::new();
        (0..outcomes.with_rtt()).for_each(|_| {
            histogram.record_us(micros);
        });
        let sum_ns = outcomes.with_rtt() * micros * 1000;
        let rtt = histogram.pack().map(|histogram| Spread { histogram, sum_ns });
        let interval = Interval {
            from: Wall::from_secs(number * 60),
            millis: 60_000,
            first_ms: 250,
            period_ms: 1000,
            outcomes,
            reasons: BTreeMap::new(),
            duplicates: 1,
            reordered: 0,
            kernel_stamped: 2,
            ipdv: rtt.clone(),
            rtt,
            rfc3550_max_ns: Some(micros),
            phases: BTreeMap::new(),
        };
        let told = Some(Arc::new(Attribution { site: "x".to_owned(), service: None }));
        Segment { settings: "s".into(), told, interval }
    }

    #[test]
    fn a_day_of_a_bad_line_at_the_shortest_period_is_kept_and_one_in_splinters_is_not() {
        let mut day = minute(0, &"2a1l".repeat(2_880_000), 1000);
        (day.interval.millis, day.interval.period_ms) = (86_400_000, 10);
        let read = decode(&encode(std::slice::from_ref(&day)).unwrap()).unwrap();
        assert!(read == [day]);
        let splinters = vec![minute(0, "1l", 1000); MOST_PIECES + 1];
        assert!(matches!(encode(&splinters), Err(NotPieces::TooMany)));
        assert!(encode(&splinters[1..]).is_ok());
    }

    #[test]
    fn minutes_that_follow_on_each_other_become_an_hour_and_nothing_is_lost() {
        let minutes: Vec<Segment> = (0..120)
            .map(|number| minute(number, "57a2l1a", 1000 + number.unsigned_abs()))
            .collect();
        let merged = merge(minutes, HOUR);
        assert_eq!(merged.len(), 2);
        let first = &merged[0].interval;
        assert_eq!((first.millis, first.outcomes.len(), first.duplicates), (3_600_000, 3600, 60));
        assert_eq!(first.outcomes.count(Outcome::Lost), 120);
        let rtt = first.rtt.as_ref().unwrap();
        assert_eq!(rtt.histogram.unpack().unwrap().count(), 58 * 60);
        assert_eq!(rtt.sum_ns, (0..60).map(|number| 58 * (1000 + number) * 1000).sum::<u64>());
        assert_eq!(first.rfc3550_max_ns, Some(1059));
        let again = decode(&encode(&merged).unwrap()).unwrap();
        assert_eq!(again, merged);
        assert!(
            Arc::ptr_eq(&again[0].settings, &again[1].settings),
            "a name is there once, however many pieces have it"
        );
        assert_eq!(merge(again, DAY).len(), 1);
    }

    #[test]
    fn what_nobody_saw_or_was_measured_otherwise_stays_apart() {
        let whole = |pieces: Vec<Segment>| merge(pieces, HOUR).len();
        assert_eq!(whole(vec![minute(0, "60a", 1), minute(2, "60a", 1)]), 2, "a minute is missing");
        let mut other = minute(1, "60a", 1);
        other.settings = "t".into();
        assert_eq!(whole(vec![minute(0, "60a", 1), other]), 2);
        let mut moved = minute(1, "60a", 1);
        moved.told = Some(Arc::new(Attribution { site: "y".to_owned(), service: None }));
        assert_eq!(
            whole(vec![minute(0, "60a", 1), moved]),
            2,
            "it says that it is at another site"
        );
        let mut shifted = minute(1, "60a", 1);
        shifted.interval.first_ms = 251;
        assert_eq!(whole(vec![minute(0, "60a", 1), shifted]), 2);
        let mut unsent = minute(1, "60n", 1);
        assert_eq!(whole(vec![minute(0, "60a", 1), unsent.clone()]), 1);
        unsent.interval.reasons.insert(Reason::CARRIER.to_string(), 60);
        assert_eq!(
            whole(vec![minute(0, "60n", 1), unsent.clone()]),
            2,
            "one for want of a carrier, one not"
        );
        unsent.interval.reasons.insert(Reason::CARRIER.to_string(), 7);
        assert_eq!(whole(vec![minute(0, "60a", 1), unsent]), 2);
    }

    proptest! {
        #[test]
        fn in_which_order_they_came_and_how_often_they_were_merged_changes_nothing(
            // Over the end of an hour.
            order in Just((48..72i64).collect::<Vec<_>>()).prop_shuffle(), cut in 0usize..24,
        ) {
            let pieces: Vec<Segment> = order
                .iter()
                .map(|&number| minute(number, "40a1l19a", 500 + number.unsigned_abs()))
                .collect();
            let at_once = merge(pieces.clone(), DAY);
            let mut in_turn = merge(pieces[..cut].to_vec(), HOUR);
            in_turn.extend(pieces[cut..].to_vec());
            prop_assert_eq!(merge(merge(in_turn, HOUR), DAY), at_once);
        }
    }
}
