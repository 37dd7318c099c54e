//! The body of a request: its type, its encoding, its size, all bounded before work is done on them.

use std::cell::RefCell;
use std::io::Read;

use crate::evidence::problem::{Kind, Problem};

/// Expanded, a body is at most so long.
pub const EXPANDED: usize = 32 * 1024 * 1024;
/// A zstd frame may ask for a window of this many bytes, as a power of two: that of the largest body.
const WINDOW_LOG: u32 = 25;
/// A body that says that it becomes no longer than this is given that memory before it is expanded.
const AT_ONCE: usize = 256 * 1024;

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One compact JWS.
    Jose,
    /// Several, one a line.
    Ndjson,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Type {
    /// By the value of Content-Type, its parameters apart.
    ///
    /// # Errors
    /// `unsupported` for another, or none.
    pub fn of(header: Option<&[u8]>) -> Result<Self, Problem> {
        let value = header.map(|value| value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii());
        match value {
            Some(value) if value.eq_ignore_ascii_case(b"application/jose") => Ok(Self::Jose),
            Some(value) if value.eq_ignore_ascii_case(b"application/x-ndjson") => Ok(Self::Ndjson),
            _ => Err(Problem::new(Kind::Unsupported, "Content-Type is application/jose or application/x-ndjson")),
        }
    }
}

impl Encoding {
    /// By the values of Content-Encoding.
    ///
    /// # Errors
    /// `unsupported` for another, or several.
    pub fn of(mut headers: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Self, Problem> {
        let fault = || Problem::new(Kind::Unsupported, "Content-Encoding is zstd, gzip or none");
        let Some(header) = headers.next() else { return Ok(Self::None) };
        if headers.next().is_some() {
            return Err(fault());
        }
        match header.as_ref().trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" | b"none" => Ok(Self::None),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            _ => Err(fault()),
        }
    }
}

/// Expands a body, and stops as soon as it is too long.
///
/// # Errors
/// `too-large` above `limit` bytes; `malformed` when it does not expand.
pub fn expand(body: Vec<u8>, encoding: Encoding, limit: usize) -> Result<Vec<u8>, Problem> {
    let plain = match encoding {
        Encoding::None => body,
        Encoding::Gzip => bounded(flate2::bufread::MultiGzDecoder::new(body.as_slice()), limit)?,
        Encoding::Zstd => {
            if let Some(plain) = at_once(&body, limit) {
                return Ok(plain);
            }
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_slice()).map_err(broken)?;
            decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
            bounded(decoder, limit)?
        }
    };
    if plain.len() > limit {
        return Err(Problem::new(Kind::TooLarge, format_args!("it is more than {limit} bytes when expanded")));
    }
    Ok(plain)
}

/// Expands one frame that says how long it becomes, which needs no window and no buffers; nothing for any other body.
fn at_once(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let length = usize::try_from(zstd::zstd_safe::get_frame_content_size(body).ok()??).ok()?;
    if length > limit.min(AT_ONCE) {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = zstd::bulk::Decompressor::new().ok();
        }
        decompressor.as_mut()?.decompress(body, length).ok()
    })
}

fn bounded(from: impl Read, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut plain).map_err(broken)?;
    Ok(plain)
}

fn broken(error: std::io::Error) -> Problem {
    Problem::new(Kind::Malformed, format_args!("it does not expand: {error}"))
}

/// The summaries of a body: the whole of it, or its lines; one newline at the end belongs to none.
///
/// # Errors
/// `malformed` when there is nothing at all.
pub fn lines(body: &[u8], of: Type) -> Result<Vec<&[u8]>, Problem> {
    if body.iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
        return Err(Problem::new(Kind::Malformed, "it is empty"));
    }
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    Ok(match of {
        Type::Jose => vec![body],
        Type::Ndjson => body.split(|&byte| byte == b'\n').collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(plain).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn each_encoding_expands_to_what_was_compressed() {
        let plain = b"line one\nline two\n".repeat(1000);
        for (body, encoding) in [
            (plain.clone(), Encoding::None),
            (gzip(&plain), Encoding::Gzip),
            (zstd::bulk::compress(&plain, 19).unwrap(), Encoding::Zstd),
            (zstd::stream::encode_all(plain.as_slice(), 3).unwrap(), Encoding::Zstd),
        ] {
            assert_eq!(expand(body, encoding, EXPANDED).unwrap(), plain, "{encoding:?}");
        }
    }

    #[test]
    fn a_bomb_is_found_while_it_expands() {
        let plain = vec![0; 64 * 1024 * 1024];
        for (body, encoding) in
            [(gzip(&plain), Encoding::Gzip), (zstd::stream::encode_all(plain.as_slice(), 3).unwrap(), Encoding::Zstd)]
        {
            assert!(body.len() < 100_000);
            let problem = expand(body, encoding, EXPANDED).unwrap_err();
            assert_eq!(problem.kind(), Some(Kind::TooLarge), "{encoding:?}");
        }
    }

    #[test]
    fn a_body_cut_short_or_followed_by_something_does_not_expand() {
        let plain = b"line one\nline two\n".repeat(1000);
        for (whole, encoding) in
            [(gzip(&plain), Encoding::Gzip), (zstd::bulk::compress(&plain, 3).unwrap(), Encoding::Zstd)]
        {
            for body in [&whole[..whole.len() - 1], &whole[..10], &[whole.as_slice(), b"tail"].concat(), b"x"] {
                let problem = expand(body.to_vec(), encoding, EXPANDED).unwrap_err();
                assert_eq!(problem.kind(), Some(Kind::Malformed), "{encoding:?} {}", body.len());
            }
        }
    }

    #[test]
    fn a_window_larger_than_any_body_is_refused() {
        let mut to = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        to.window_log(27).unwrap();
        to.write_all(b"x").unwrap();
        let body = to.finish().unwrap();
        assert!(expand(body, Encoding::Zstd, EXPANDED).is_err());
    }

    #[test]
    fn types_and_encodings_are_told_apart() {
        assert_eq!(Type::of(Some(b"Application/JOSE")), Ok(Type::Jose));
        assert_eq!(Type::of(Some(b"application/x-ndjson; charset=utf-8")), Ok(Type::Ndjson));
        for other in [None, Some(&b""[..]), Some(b"application/json"), Some(b"application/josex")] {
            assert_eq!(Type::of(other).unwrap_err().status(), 415);
        }
        let of = |values: &[&str]| Encoding::of(values.iter());
        assert_eq!(of(&[]), Ok(Encoding::None));
        assert_eq!(of(&["ZSTD"]), Ok(Encoding::Zstd));
        for other in [&["br"][..], &["gzip, zstd"], &["gzip", "zstd"], &["deflate"]] {
            assert_eq!(of(other).unwrap_err().status(), 415, "{other:?}");
        }
    }

    #[test]
    fn a_body_is_split_into_lines_and_only_into_lines() {
        assert_eq!(lines(b"a\nb\n", Type::Ndjson).unwrap(), [b"a", b"b"]);
        assert_eq!(lines(b"a\n\nb", Type::Ndjson).unwrap(), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(b"a\r\nb", Type::Ndjson).unwrap(), [&b"a\r"[..], b"b"]);
        assert_eq!(lines(b"a\nb\n", Type::Jose).unwrap(), [b"a\nb"]);
        for empty in [&b""[..], b"\n", b"\r\n\n"] {
            assert!(lines(empty, Type::Ndjson).is_err());
            assert!(lines(empty, Type::Jose).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_body_expands_or_is_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), gz in any::<bool>()) {
            let _ = expand(body, if gz { Encoding::Gzip } else { Encoding::Zstd }, 1000);
        }
    }
}
