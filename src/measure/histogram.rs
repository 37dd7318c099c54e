//! Histograms of microseconds, and their portable form: HdrHistogram V2, compressed.
//!
//! All have the same shape (1 to 60,000,000 µs, 3 significant digits), so any two can be merged
//! without loss. A percentile is HdrHistogram's highest equivalent value; a mean is never read from
//! a histogram where the exact sum is at hand.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Deserializer as From, Serialize, Serializer as To};

mod counts;
mod figures;
mod runs;
mod values;
mod zlib;

pub use counts::{Board, Counts};
pub use figures::Figures;
pub use values::Values;

use figures::HEADER;

/// The largest value kept exactly, in microseconds; what is above is recorded as this and counted
/// as clamped.
pub const HIGHEST_US: u64 = 60_000_000;
/// Significant decimal digits kept of each value.
pub const DIGITS: u8 = 3;
/// An expanded histogram of this shape is never larger: 17 rows of 1,024 counts, each at most 9
/// bytes, and the header.
const EXPANDED_LIMIT: usize = 40 + 20_480 * 9;
/// A compressed histogram that is larger than this is refused unread.
const PACKED_LIMIT: usize = 200 * 1024;

/// Counts of microsecond values.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

/// Whether a value was recorded as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Within the range.
    Exactly,
    /// Beyond the range; recorded as its end.
    Clamped,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self(
            hdrhistogram::Histogram::new_with_bounds(1, HIGHEST_US, DIGITS)
                .expect("these bounds are valid"),
        )
    }

    /// Records a value given in nanoseconds, rounded to the nearest microsecond.
    pub fn record_ns(&mut self, nanos: u64) -> Recorded {
        self.record_us(nanos.saturating_add(500) / 1000)
    }

    /// Records a value in microseconds.
    pub fn record_us(&mut self, micros: u64) -> Recorded {
        self.0.saturating_record(micros.min(HIGHEST_US));
        if micros > HIGHEST_US { Recorded::Clamped } else { Recorded::Exactly }
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How many values it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The smallest value in microseconds, to the histogram's precision; zero when it is empty.
    #[must_use]
    pub fn min_us(&self) -> u64 {
        self.0.min()
    }

    /// The largest value in microseconds, to the histogram's precision; zero when it is empty.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    /// The value at a percentile from 0 to 100, in microseconds: HdrHistogram's highest equivalent
    /// value.
    #[must_use]
    pub fn percentile_us(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile)
    }

    /// The value at the smallest rank that is at least `numerator / denominator` of the count, in
    /// microseconds: the same as [`Self::percentile_us`] without a float on the way. Zero when it
    /// is empty.
    #[must_use]
    pub fn value_at_us(&self, numerator: u64, denominator: u64) -> u64 {
        let wanted = (u128::from(self.count()) * u128::from(numerator))
            .div_ceil(u128::from(denominator.max(1)))
            .max(1);
        let mut seen = 0u128;
        for value in self.0.iter_recorded() {
            seen += u128::from(value.count_at_value());
            if seen >= wanted {
                return self.0.highest_equivalent(value.value_iterated_to());
            }
        }
        0
    }

    /// How many values are above `micros`, by the histogram's buckets: those whose lowest
    /// equivalent value is above it.
    #[must_use]
    pub fn count_above_us(&self, micros: u64) -> u64 {
        self.0
            .iter_recorded()
            .filter(|value| self.0.lowest_equivalent(value.value_iterated_to()) > micros)
            .map(|value| value.count_at_value())
            .sum()
    }

    /// The recorded values in rising order: the highest equivalent value in microseconds, and how
    /// many.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|value| {
            (self.0.highest_equivalent(value.value_iterated_to()), value.count_at_value())
        })
    }

    /// The portable form; absent when it is empty.
    #[must_use]
    pub fn pack(&self) -> Option<Packed> {
        if self.0.is_empty() {
            return None;
        }
        let mut plain = Vec::new();
        V2Serializer::new()
            .serialize(&self.0, &mut plain)
            .expect("writing to memory does not fail");
        Some(Packed(Form::Counts(plain[HEADER..].into(), None)))
    }
}

/// A histogram as it is kept and shipped: HdrHistogram V2, compressed. Its text form is base64
/// (`HISTFAAA…`). What was recorded here is compressed only where somebody wants the bytes.
#[derive(Clone)]
pub struct Packed(Form);

/// The two ways in which a histogram is held.
#[derive(Clone)]
enum Form {
    /// The whole compressed form, as it came; nothing of it was checked.
    Compressed(Box<[u8]>),
    /// The counts alone, as the uncompressed form has them after its header, which all histograms
    /// of this shape share; and the compressed form, where it will be wanted more than once.
    Counts(Box<[u8]>, Option<Box<[u8]>>),
}

/// Why bytes are no histogram of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAHistogram {
    /// The text is not base64.
    #[error("a histogram is not base64")]
    Base64,
    /// The bytes are not an HdrHistogram in V2 compressed form, or are cut short or followed by
    /// others.
    #[error("a histogram is not HdrHistogram V2, compressed: {0}")]
    Form(&'static str),
    /// It has other bounds or precision than every histogram here.
    #[error("a histogram is not of 1 to 60,000,000 µs with 3 significant digits")]
    Shape,
    /// It is larger than any of this shape can be.
    #[error("a histogram is too large")]
    TooLarge,
}

impl Packed {
    /// Takes the bytes as they are; [`Self::unpack`] checks them.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Form::Compressed(bytes.into()))
    }

    /// The compressed form. The same values give the same bytes in every version of this program:
    /// summaries at rest are put together again from counts, and their digests must hold.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Form::Compressed(bytes) | Form::Counts(_, Some(bytes)) => Cow::Borrowed(bytes),
            Form::Counts(counts, None) => Cow::Owned(compressed(&with_header(counts))),
        }
    }

    /// Compresses it now, and keeps what came of it: for one whose bytes are wanted more than once.
    pub fn keep_compressed(&mut self) {
        if let Form::Counts(counts, kept @ None) = &mut self.0 {
            *kept = Some(compressed(&with_header(counts)).into());
        }
    }

    /// A length that its base64 does not exceed, told without compressing it.
    #[must_use]
    pub fn base64_at_most(&self) -> usize {
        let bytes = match &self.0 {
            Form::Compressed(bytes) | Form::Counts(_, Some(bytes)) => bytes.len(),
            Form::Counts(counts, None) => 8 + zlib::at_most(HEADER + counts.len()),
        };
        bytes.div_ceil(3) * 4
    }

    /// From base64 (the standard alphabet, padded), as HdrHistogram's own logs write it.
    ///
    /// # Errors
    /// When the text is not base64 or is too large.
    pub fn from_base64(text: &str) -> Result<Self, NotAHistogram> {
        if text.len() > PACKED_LIMIT / 3 * 4 {
            return Err(NotAHistogram::TooLarge);
        }
        STANDARD.decode(text).map(Self::from_bytes).map_err(|_| NotAHistogram::Base64)
    }

    /// As base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.bytes())
    }

    /// What the histogram holds, read without building it: what a reader of many needs to check
    /// them.
    ///
    /// # Errors
    /// As [`Self::unpack`].
    pub fn figures(&self) -> Result<Figures, NotAHistogram> {
        Figures::of(&self.plain()?)
    }

    /// The uncompressed form, its header checked.
    fn plain(&self) -> Result<Vec<u8>, NotAHistogram> {
        let packed = match &self.0 {
            Form::Compressed(packed) => packed,
            Form::Counts(counts, _) => return Ok(with_header(counts)),
        };
        if packed.len() > PACKED_LIMIT {
            return Err(NotAHistogram::TooLarge);
        }
        let word = |bytes: &[u8], at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
        };
        let long = |bytes: &[u8], at: usize| -> Option<u64> {
            Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
        };
        if word(packed, 0) != Some(COMPRESSED) {
            return Err(NotAHistogram::Form("another beginning"));
        }
        let length = word(packed, 4).ok_or(NotAHistogram::Form("cut short"))?;
        let body = &packed[8..];
        if u32::try_from(body.len()) != Ok(length) {
            return Err(NotAHistogram::Form("its length is not what it says"));
        }
        let plain = zlib::expand(body, EXPANDED_LIMIT)?;
        if word(&plain, 0) != Some(PLAIN) {
            return Err(NotAHistogram::Form("another beginning inside"));
        }
        let counts = word(&plain, 4).ok_or(NotAHistogram::Form("cut short"))?;
        if plain.len() < 40 || plain.len() - 40 != counts as usize {
            return Err(NotAHistogram::Form("its counts are not as long as it says"));
        }
        // Bytes 8..12 are the normalising offset, which is zero; 32..40 the ratio to integers,
        // which is one.
        let shape = (
            word(&plain, 8),
            word(&plain, 12),
            long(&plain, 16),
            long(&plain, 24),
            long(&plain, 32),
        );
        let ours =
            (Some(0), Some(u32::from(DIGITS)), Some(1), Some(HIGHEST_US), Some(1f64.to_bits()));
        if shape != ours {
            return Err(NotAHistogram::Shape);
        }
        Ok(plain)
    }

    /// Reads the histogram. The header is checked before anything is allocated by what it says, and
    /// the expanded form is bounded, so foreign bytes cost no more than a histogram of ours.
    ///
    /// # Errors
    /// When the bytes are of another form or shape, cut short, or followed by others.
    pub fn unpack(&self) -> Result<Histogram, NotAHistogram> {
        let plain = self.plain()?;
        // The library is given only what can be read, so that nothing foreign reaches an overflow
        // in it.
        Figures::of(&plain)?;
        let read: hdrhistogram::Histogram<u64> = Deserializer::new()
            .deserialize(&mut plain.as_slice())
            .map_err(|_| NotAHistogram::Form("its counts cannot be read"))?;
        Ok(Histogram(read))
    }
}

/// How the compressed and the uncompressed form begin.
const COMPRESSED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;

/// The uncompressed form of counts.
fn with_header(counts: &[u8]) -> Vec<u8> {
    let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
    let mut plain = Vec::with_capacity(HEADER + counts.len());
    plain.extend_from_slice(&PLAIN.to_be_bytes());
    plain.extend_from_slice(&length.to_be_bytes());
    // The normalising offset.
    plain.extend_from_slice(&0u32.to_be_bytes());
    plain.extend_from_slice(&u32::from(DIGITS).to_be_bytes());
    plain.extend_from_slice(&1u64.to_be_bytes());
    plain.extend_from_slice(&HIGHEST_US.to_be_bytes());
    // The ratio to integers.
    plain.extend_from_slice(&1f64.to_bits().to_be_bytes());
    plain.extend_from_slice(counts);
    plain
}

/// The compressed form of the uncompressed one.
fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut bytes = COMPRESSED.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    zlib::compress(plain, &mut bytes);
    let length = u32::try_from(bytes.len() - 8).expect("far below 4 GiB");
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Two are equal when they hold the same, however each is held.
impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        let known = match (&self.0, &other.0) {
            (Form::Counts(a, _), Form::Counts(b, _))
            | (Form::Compressed(a), Form::Compressed(b)) => a == b,
            _ => false,
        };
        known || matches!((self.plain(), other.plain()), (Ok(a), Ok(b)) if a == b)
    }
}

impl Eq for Packed {}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl Serialize for Packed {
    fn serialize<S: To>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: From<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(from)?;
        Self::from_base64(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
