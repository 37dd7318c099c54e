//! A compact JWS as it lies in the database: its parts out of base64, compressed. Strict base64url
//! is written in one way only, so that what comes out is what went in, to the byte.

use std::cell::RefCell;

use zstd::zstd_safe::{CParameter, ParamSwitch};

use crate::collector::archive::ArchiveError;
use crate::evidence::base64url;
use crate::evidence::summary::LIMIT;

/// How a zstd frame begins; a compact JWS begins with other bytes.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's level, a quick one: the histograms within are compressed already, and what repeats beside
/// them, the names of members, is found by any.
const LEVEL: i32 = -5;

/// Compresses; what is no strict compact JWS stays as it is.
#[must_use]
pub fn pack(jws: &str) -> Vec<u8> {
    match jws.split('.').nth(1).map(|payload| base64url::decode(payload.as_bytes())) {
        Some(Ok(payload)) => pack_read(jws, &payload),
        _ => jws.as_bytes().to_vec(),
    }
}

/// Compresses a strict compact JWS of which the payload was read already.
#[must_use]
pub fn pack_read(jws: &str, payload: &[u8]) -> Vec<u8> {
    parts(jws, payload)
        .and_then(|plain| compress(&plain))
        .unwrap_or_else(|| jws.as_bytes().to_vec())
}

/// Both lengths, the header, the signature, the payload.
fn parts(jws: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = jws.split_once('.')?;
    let (_, signature) = rest.split_once('.')?;
    let decoded = |part: &str| base64url::decode(part.as_bytes()).ok();
    let (header, signature) = (decoded(header)?, decoded(signature)?);
    let (long, short) = (u16::try_from(header.len()).ok()?, u16::try_from(signature.len()).ok()?);
    Some([&long.to_be_bytes()[..], &short.to_be_bytes(), &header, &signature, payload].concat())
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        // Its tables are made once for each thread, not for each summary.
        static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
            const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = zstd::bulk::Compressor::new(LEVEL).ok().and_then(|mut compressor| {
                // Base64 has no repetitions, but only 64 letters: a quick level would leave them as
                // they are.
                compressor
                    .set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))
                    .ok()?;
                Some(compressor)
            });
        }
        compressor.as_mut()?.compress(plain).ok()
    })
}

/// The compact JWS again.
///
/// # Errors
/// When the bytes are not as they were written.
pub fn unpack(bytes: Vec<u8>) -> Result<String, ArchiveError> {
    let damaged = || ArchiveError::Damaged("a summary does not expand".to_owned());
    if !bytes.starts_with(&MAGIC) {
        return String::from_utf8(bytes).map_err(|_| damaged());
    }
    let plain = zstd::bulk::decompress(&bytes, LIMIT).map_err(|_| damaged())?;
    let (lengths, rest) = plain.split_at_checked(4).ok_or_else(damaged)?;
    let length = |at: usize| usize::from(u16::from_be_bytes([lengths[at], lengths[at + 1]]));
    let (header, rest) = rest.split_at_checked(length(0)).ok_or_else(damaged)?;
    let (signature, payload) = rest.split_at_checked(length(2)).ok_or_else(damaged)?;
    Ok([base64url::encode(header), base64url::encode(payload), base64url::encode(signature)]
        .join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_comes_out_the_same(
            header in prop::collection::vec(any::<u8>(), 1..80),
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            other in "[ -~]{0,50}",
        ) {
            let jws =
                [&header, &payload, &vec![7; 64]].map(|part| base64url::encode(part)).join(".");
            let packed = pack(&jws);
            prop_assert_eq!(&pack_read(&jws, &payload), &packed);
            prop_assert!(packed.starts_with(&MAGIC));
            prop_assert_eq!(unpack(packed).unwrap(), jws);
            prop_assert_eq!(unpack(pack(&other)).unwrap(), other);
        }

        #[test]
        fn damaged_bytes_are_no_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            packed in any::<bool>(),
        ) {
            if packed {
                bytes = compress(&bytes).unwrap();
            }
            let _ = unpack(bytes);
        }
    }
}
