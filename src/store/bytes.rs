//! Numbers and texts in few bytes, as the bodies of stored rows have them: LEB128, zigzag for what
//! may be negative.
//!
//! A body at rest is its version, its length when expanded, and a zstd frame with a checksum, so
//! that a changed bit is found and never read as a measurement.

use std::cell::RefCell;

use zstd::bulk::Decompressor;
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

/// A body that is longer than this when expanded was not written here.
const LONGEST: u64 = 64 << 20;
/// Small first: a body is written once and read seldom. Higher levels gain nothing on some
/// kilobytes.
const LEVEL: i32 = 12;
/// Beside a reference nearly all is found in it by long matches, which have a small table of their
/// own: the other finds what lies near, and may be small too (its entries, as a power of two).
const LEVEL_BESIDE: i32 = 1;
const NEAR: u32 = 12;
/// A long match is looked for at one of so many places, as a power of two: a line of some hundred
/// bytes has several.
const FAR: u32 = 4;
/// Above so many bytes the tables of [`LEVEL`] are kept to this many entries, as a power of two:
/// with a thousand probes they would take five megabytes, and save half of a hundredth.
const LONG: (usize, u32) = (32 << 10, 14);

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {0} cannot be read")]
pub struct Unreadable(pub &'static str);

/// Puts numbers and texts together.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// With room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// What `write` writes, after its length.
    pub fn part(&mut self, write: impl FnOnce(&mut Self)) {
        let mut part = Self::default();
        write(&mut part);
        self.bytes(&part.0);
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes them apart again.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What was not taken yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn number(&mut self) -> Result<u64, Unreadable> {
        const SHORT: Unreadable = Unreadable("number");
        let mut number = 0u64;
        for at in 0..10 {
            let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(7 * at).ok_or(SHORT)?;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(SHORT)
    }

    pub fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, Unreadable> {
        T::try_from(self.number()?).map_err(|_| Unreadable("number"))
    }

    pub fn signed(&mut self) -> Result<i64, Unreadable> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length: usize = self.narrow()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Unreadable("length"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable("text"))
    }
}

/// The body of a row: `version`, and what was written, compressed by itself or beside `reference`,
/// which is needed again to read it.
pub fn shut(version: u8, plain: &[u8], reference: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut body = Writer::default();
    body.0.push(version);
    body.number(plain.len() as u64);
    body.0.extend_from_slice(&pressed(plain, reference)?);
    Ok(body.0)
}

/// A zstd frame with a checksum. The reference is its prefix, which costs no copy of it.
fn pressed(plain: &[u8], reference: &[u8]) -> std::io::Result<Vec<u8>> {
    let failed = |code| std::io::Error::other(zstd_safe::get_error_name(code));
    let mut press = CCtx::try_create().ok_or(std::io::ErrorKind::OutOfMemory)?;
    let reach = plain.len() + reference.len();
    let mut how = vec![
        CParameter::CompressionLevel(if reference.is_empty() { LEVEL } else { LEVEL_BESIDE }),
        CParameter::ChecksumFlag(true),
        CParameter::ContentSizeFlag(false),
    ];
    if reference.is_empty() && plain.len() > LONG.0 {
        how.extend([CParameter::HashLog(LONG.1), CParameter::ChainLog(LONG.1)]);
    }
    if !reference.is_empty() {
        how.extend([
            CParameter::WindowLog(reach.next_power_of_two().ilog2().clamp(10, 27)),
            CParameter::HashLog(NEAR),
            CParameter::EnableLongDistanceMatching(true),
            CParameter::LdmHashRateLog(FAR),
        ]);
    }
    for parameter in how {
        press.set_parameter(parameter).map_err(failed)?;
    }
    press.ref_prefix(reference).map_err(failed)?;
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    press.compress2(&mut frame, plain).map_err(failed)?;
    Ok(frame)
}

/// What such a body holds, its checksum verified: the version, and the bytes.
pub fn open(body: &[u8], reference: &[u8]) -> Result<(u8, Vec<u8>), Unreadable> {
    thread_local! {
        /// Made once: it is asked for many small bodies in a row.
        static PRESS: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    const BODY: Unreadable = Unreadable("compressed body");
    let (&version, rest) = body.split_first().ok_or(BODY)?;
    let mut rest = Reader(rest);
    let length = rest.number()?;
    if length > LONGEST {
        return Err(BODY);
    }
    let length = usize::try_from(length).map_err(|_| BODY)?;
    let plain = if reference.is_empty() {
        PRESS.with_borrow_mut(|press| {
            if press.is_none() {
                *press = Some(Decompressor::new().map_err(|_| BODY)?);
            }
            press.as_mut().expect("just made").decompress(rest.0, length).map_err(|_| BODY)
        })?
    } else {
        let mut press = DCtx::try_create().ok_or(BODY)?;
        press.ref_prefix(reference).map_err(|_| BODY)?;
        let mut plain = Vec::with_capacity(length);
        press.decompress(&mut plain, rest.0).map_err(|_| BODY)?;
        plain
    };
    if plain.len() == length { Ok((version, plain)) } else { Err(BODY) }
}

/// A checksum over the columns of a row that no body protects, so that a changed bit is found.
pub fn sum<const N: usize>(columns: [&[u8]; N]) -> u32 {
    // At once: a checksum of many short pieces takes eight times as long.
    let mut all = Vec::with_capacity(columns.iter().map(|column| column.len() + 8).sum());
    for column in columns {
        // The length too: what moves from one column to the next is a change.
        all.extend_from_slice(&(column.len() as u64).to_le_bytes());
        all.extend_from_slice(column);
    }
    let mut crc = flate2::Crc::new();
    crc.update(&all);
    crc.sum()
}

#[cfg(test)]
mod tests;
