//! A summary at rest. What it signs is in the blocks already, so its own body holds only what they
//! do not: it is compressed beside a text that is made of the blocks again when it is read. The
//! very bytes come back, and their digest is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::evidence::base64url;
use crate::evidence::digest::Digest;
use crate::measure::histogram::Packed;
use crate::measure::interval::{Interval, Phase, Spread};
use crate::store::bytes::{self, Reader, Unreadable, Writer};
use crate::store::intervals::{RowId, Series, SeriesId};
use crate::store::{Store, StoreError};

/// The version of this form.
const VERSION: u8 = 1;
/// Beside a longer text than this a summary is not compressed: it would cost more memory than a
/// router has to spare.
const LONGEST: usize = 8 << 20;

/// What a summary is made of.
#[derive(Debug)]
pub struct Made {
    /// The first and the last of its blocks.
    blocks: (RowId, RowId),
    /// The series of theirs that it has.
    series: BTreeSet<SeriesId>,
    /// How many series they have.
    of: u64,
    /// The text beside which it is compressed.
    reference: Vec<u8>,
}

/// What some blocks have of some series.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The series.
    pub series: BTreeMap<SeriesId, Series>,
    /// Their intervals.
    pub intervals: BTreeMap<SeriesId, Vec<Interval>>,
}

/// A body, and the blocks that it cannot be read without.
#[derive(Debug)]
pub(in crate::store) struct Sealed {
    pub body: Vec<u8>,
    pub blocks: Option<(i64, i64)>,
    /// The bytes kept for its sake.
    pub weight: u64,
}

impl Store {
    /// A summary's body.
    pub(in crate::store) fn seal(
        &self,
        jws: &str,
        made: Option<&Made>,
    ) -> Result<Sealed, StoreError> {
        let failed = StoreError::Unpacked;
        if let (Some(made), Some(plain)) = (made, taken_apart(jws)) {
            let Made { blocks: (first, last), series, of, reference } = made;
            if reference.len() <= LONGEST && !reference.is_empty() {
                let mut body = Writer::default();
                body.number(series.len() as u64);
                series.iter().for_each(|series| body.signed(series.number()));
                let mut body = body.finish();
                let shut = bytes::shut(VERSION, &plain, reference).map_err(failed)?;
                let back = bytes::open(&shut, reference).ok().filter(|(_, back)| *back == plain);
                if back.is_some_and(|(_, back)| put_together(&back).is_ok_and(|back| back == jws)) {
                    body.extend(shut);
                    let of_blocks =
                        self.block_bytes(first.0, last.0)? * series.len() as u64 / (*of).max(1);
                    let weight = body.len() as u64 + of_blocks;
                    return Ok(Sealed { body, blocks: Some((first.0, last.0)), weight });
                }
            }
        }
        let body = zstd::bulk::compress(jws.as_bytes(), 6).map_err(failed)?;
        let weight = body.len() as u64;
        Ok(Sealed { body, blocks: None, weight })
    }

    /// The compact JWS of a body of `length` bytes when expanded, whose digest must be `digest`.
    pub(in crate::store) fn unsealed(
        &self,
        body: &[u8],
        blocks: Option<(i64, i64)>,
        length: u64,
        digest: Digest,
    ) -> Result<String, StoreError> {
        let jws = match blocks {
            Some(_) => self.unseal(body, blocks)?,
            None => {
                let length = usize::try_from(length).unwrap_or(0).min(LONGEST);
                zstd::bulk::decompress(body, length)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| StoreError::Damaged("a summary cannot be expanded".to_owned()))?
            }
        };
        if Digest::of(jws.as_bytes()) == digest {
            Ok(jws)
        } else {
            Err(StoreError::Damaged("a summary is not what was signed".to_owned()))
        }
    }

    fn unseal(&self, body: &[u8], blocks: Option<(i64, i64)>) -> Result<String, StoreError> {
        let damaged =
            |Unreadable(what)| StoreError::Damaged(format!("a summary's {what} cannot be read"));
        let (first, last) = blocks.unwrap_or_default();
        let mut reader = Reader::new(body);
        let mut series = BTreeSet::new();
        for _ in 0..reader.number().map_err(damaged)? {
            series.insert(SeriesId::new(reader.signed().map_err(damaged)?));
        }
        let (gathered, _) = self.read_gathered((RowId(first), RowId(last)), &series, |_| ())?;
        let reference = reference(&gathered, &series);
        let (version, plain) = bytes::open(reader.rest(), &reference).map_err(damaged)?;
        if version != VERSION {
            return Err(damaged(Unreadable("version")));
        }
        put_together(&plain).map_err(damaged)
    }

    /// What these blocks have of these series, and what a summary of it is made of.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn gather(
        &self,
        blocks: (RowId, RowId),
        series: BTreeSet<SeriesId>,
    ) -> Result<(Gathered, Made), StoreError> {
        // The signed text and the one beside which it is compressed both have the compressed form.
        let keep =
            |interval: &mut Interval| interval.histograms_mut().for_each(Packed::keep_compressed);
        let (gathered, of) = self.read_gathered(blocks, &series, keep)?;
        let reference = reference(&gathered, &series);
        Ok((gathered, Made { blocks, series, of, reference }))
    }

    /// As [`Self::gather`], with how many series the blocks have.
    fn read_gathered(
        &self,
        blocks: (RowId, RowId),
        wanted: &BTreeSet<SeriesId>,
        mut change: impl FnMut(&mut Interval),
    ) -> Result<(Gathered, u64), StoreError> {
        let mut all = BTreeSet::new();
        let mut gathered = Gathered { series: self.series_of(wanted)?, ..Gathered::default() };
        let is_wanted = |id| {
            all.insert(id);
            wanted.contains(&id)
        };
        let take = |id, mut interval: Interval| {
            change(&mut interval);
            // Mostly it is one, and room for four is what a vector begins with.
            gathered.intervals.entry(id).or_insert_with(|| Vec::with_capacity(1)).push(interval);
        };
        self.each_interval(blocks, is_wanted, take)?;
        Ok((gathered, all.len() as u64))
    }

    fn block_bytes(&self, first: i64, last: i64) -> Result<u64, StoreError> {
        let bytes: i64 = self
            .db
            .prepare_cached(
                "SELECT coalesce(sum(length(body)), 0) FROM block WHERE id BETWEEN ?1 AND ?2",
            )?
            .query_row([first, last], |row| row.get(0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

/// The three parts of a compact JWS without their base64url; [`None`] where they are not strictly
/// that.
fn taken_apart(jws: &str) -> Option<Vec<u8>> {
    let mut plain = Writer::with_room(jws.len() / 4 * 3 + 16);
    let mut parts = 0;
    for part in jws.split('.') {
        plain.bytes(&base64url::decode(part.as_bytes()).ok()?);
        parts += 1;
    }
    (parts == 3).then(|| plain.finish())
}

fn put_together(plain: &[u8]) -> Result<String, Unreadable> {
    let mut reader = Reader::new(plain);
    let parts = [reader.bytes()?, reader.bytes()?, reader.bytes()?];
    let mut jws = String::with_capacity(plain.len() / 3 * 4 + 8);
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            jws.push('.');
        }
        base64url::append(&mut jws, part);
    }
    Ok(jws)
}

/// What a summary of these blocks says of its probes, as near as that can be told. It must never be
/// changed: summaries at rest can be read only beside the very text that they were compressed
/// beside. When the wire says more some day, it is simply compressed less well.
fn reference(gathered: &Gathered, wanted: &BTreeSet<SeriesId>) -> Vec<u8> {
    let mut text = String::new();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    for id in wanted {
        if let Some(series) = gathered.series.get(id) {
            put(&mut text, format_args!("{{\"name\":{}", quoted(&series.probe)));
            if let Some(service) = &series.service {
                put(&mut text, format_args!(",\"service\":{}", quoted(service)));
            }
            put(
                &mut text,
                format_args!(
                    ",\"kind\":{},\"target\":{}",
                    quoted(&series.kind),
                    quoted(&series.target)
                ),
            );
            if let Some(address) = &series.address {
                put(&mut text, format_args!(",\"address\":\"{address}\""));
            }
            let Series { period_ms, timeout_ms, cutoff_ms, .. } = series;
            put(
                &mut text,
                format_args!(
                    ",\"period_ms\":{period_ms},\"timeout_ms\":{timeout_ms},\
                     \"cutoff_ms\":{cutoff_ms},\"settings\":{},\"intervals\":[",
                    quoted(&series.settings)
                ),
            );
        }
        for (at, interval) in gathered.intervals.get(id).into_iter().flatten().enumerate() {
            if at > 0 {
                text.push(',');
            }
            one(&mut text, interval);
        }
        text.push_str("]},");
    }
    text.into_bytes()
}

fn one(text: &mut String, interval: &Interval) {
    let Interval { from, millis, first_ms, duplicates, reordered, kernel_stamped, .. } = interval;
    put(text, format_args!("{{\"from\":\"{from}\",\"seconds\":"));
    match (millis / 1000, millis % 1000) {
        (seconds, 0) => put(text, format_args!("{seconds}")),
        (seconds, rest) => {
            let decimals = format!("{rest:03}");
            put(text, format_args!("{seconds}.{}", decimals.trim_end_matches('0')));
        }
    }
    let reasons = serde_json::to_string(&interval.reasons).expect("maps with text keys are JSON");
    put(
        text,
        format_args!(
            ",\"first_ms\":{first_ms},\"outcomes\":\"{}\",\"reasons\":{reasons},\
             \"duplicates\":{duplicates},\"reordered\":{reordered},\
             \"kernel_stamped\":{kernel_stamped}",
            interval.outcomes
        ),
    );
    let mut spread = |name: &str, spread: &Option<Spread>| {
        if let Some(Spread { histogram, sum_ns }) = spread {
            let histogram = histogram.to_base64();
            put(text, format_args!(",\"{name}_us\":\"{histogram}\",\"{name}_sum_ns\":{sum_ns}"));
        }
    };
    spread("rtt", &interval.rtt);
    spread("ipdv", &interval.ipdv);
    if let Some(nanos) = interval.rfc3550_max_ns {
        put(text, format_args!(",\"rfc3550_max_ns\":{nanos}"));
    }
    let phases = Phase::ALL.iter().filter_map(|phase| Some((phase, interval.phases.get(phase)?)));
    for (at, (phase, packed)) in phases.enumerate() {
        let before = if at == 0 { ",\"phases_us\":{" } else { "," };
        put(text, format_args!("{before}\"{}\":\"{}\"", phase.word(), packed.to_base64()));
    }
    if !interval.phases.is_empty() {
        text.push('}');
    }
    text.push('}');
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to memory does not fail");
}
