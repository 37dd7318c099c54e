//! The body of a request: its type, its encoding, its size and its lines, all bounded before work
//! is done on them.
//!
//! A body that says how long it becomes, and is short, is expanded at once. Any other is expanded
//! piece by piece, and given away line by line, so that a thousand bytes which become millions
//! never lie in memory together.

use std::cell::RefCell;
use std::io::{BufReader, Read};

use crate::evidence::digest::{Digest, Digester};
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::summary::LIMIT;

/// Expanded, a body is at most so long.
pub const EXPANDED: usize = 32 * 1024 * 1024;
/// A body has at most so many lines (docs/wire.md).
pub const LINES: usize = 256;
/// A zstd frame may ask for a window of this many bytes, as a power of two: that of the largest
/// body.
const WINDOW_LOG: u32 = 25;
/// A body that says that it becomes no longer than this is given that memory before it is expanded.
const AT_ONCE: usize = 256 * 1024;
/// What is expanded at a time, where it is not at once.
const PIECE: usize = 32 * 1024;
/// What a decoder needs beside its window.
const DECODER: usize = 256 * 1024;

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
        let value = header
            .map(|value| value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii());
        match value {
            Some(value) if value.eq_ignore_ascii_case(b"application/jose") => Ok(Self::Jose),
            Some(value) if value.eq_ignore_ascii_case(b"application/x-ndjson") => Ok(Self::Ndjson),
            _ => Err(Problem::new(
                Kind::Unsupported,
                "Content-Type is application/jose or application/x-ndjson",
            )),
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

/// How a body is worked on, which says what memory that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is short, or it is not compressed: so many bytes in all.
    AtOnce(usize),
    /// Piece by piece, which needs so many bytes beside the line that is read.
    ByPieces(usize),
}

impl Plan {
    /// For a body, by what its first bytes say.
    #[must_use]
    pub fn of(body: &[u8], encoding: Encoding) -> Self {
        match encoding {
            Encoding::None => Self::AtOnce(body.len()),
            Encoding::Gzip => Self::ByPieces(DECODER),
            Encoding::Zstd => match short(body, AT_ONCE) {
                Some(length) => Self::AtOnce(length),
                None => Self::ByPieces(DECODER + window(body)),
            },
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
        Encoding::Gzip => bounded(&body, encoding, limit)?,
        Encoding::Zstd => match at_once(&body, limit) {
            Some(plain) => return Ok(plain),
            None => bounded(&body, encoding, limit)?,
        },
    };
    if plain.len() > limit {
        return Err(too_long(limit));
    }
    Ok(plain)
}

fn bounded(body: &[u8], encoding: Encoding, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    pieces(body, encoding)?.take(limit as u64 + 1).read_to_end(&mut plain).map_err(broken)?;
    Ok(plain)
}

fn pieces(body: &[u8], encoding: Encoding) -> Result<Box<dyn Read + '_>, Problem> {
    Ok(match encoding {
        Encoding::None => Box::new(body),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(body)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
            // Not more than was reserved for it.
            let log = window(body).next_power_of_two().ilog2().clamp(10, WINDOW_LOG);
            decoder.window_log_max(log).map_err(broken)?;
            Box::new(decoder)
        }
    })
}

fn too_long(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format_args!("it is more than {limit} bytes when expanded"))
}

/// How long one zstd frame becomes, if it says so and that is short.
fn short(body: &[u8], limit: usize) -> Option<usize> {
    let length = usize::try_from(zstd::zstd_safe::get_frame_content_size(body).ok()??).ok()?;
    let whole = zstd::zstd_safe::find_frame_compressed_size(body).ok()? == body.len();
    (whole && length <= limit.min(AT_ONCE)).then_some(length)
}

/// Expands one frame that says how long it becomes, which needs no window and no buffers; nothing
/// for any other body.
fn at_once(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
            const { RefCell::new(None) };
    }
    let length = short(body, limit)?;
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = zstd::bulk::Decompressor::new().ok();
        }
        decompressor.as_mut()?.decompress(body, length).ok()
    })
}

/// The widest window that the frames of a body ask for (RFC 8878, 3.1.1.1), at most the widest that
/// is granted.
fn window(mut body: &[u8]) -> usize {
    let mut widest = 1 << 10;
    while let Some(own) = frame_window(body) {
        widest = widest.max(own.min(1 << WINDOW_LOG));
        match zstd::zstd_safe::find_frame_compressed_size(body) {
            Ok(length) if length > 0 && length < body.len() => body = &body[length..],
            _ => break,
        }
    }
    widest
}

/// The window of one frame; that of one that can be skipped is nothing.
fn frame_window(frame: &[u8]) -> Option<usize> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    if !frame.starts_with(&MAGIC) {
        return (frame.len() > 4 && frame[1..4] == [0x2a, 0x4d, 0x18]).then_some(0);
    }
    let single_segment = frame.get(4)? & 0x20 != 0;
    if single_segment {
        let length = zstd::zstd_safe::get_frame_content_size(frame).ok()??;
        return usize::try_from(length).ok();
    }
    let said = frame.get(5)?;
    let base = 1_usize.checked_shl(10 + u32::from(said >> 3))?;
    Some(base.saturating_add(base / 8 * usize::from(said & 7)))
}

fn broken(error: std::io::Error) -> Problem {
    Problem::new(Kind::Malformed, format_args!("it does not expand: {error}"))
}

/// The summaries of a body: the whole of it, or its lines; one newline at the end belongs to none.
///
/// # Errors
/// `malformed` when there is nothing at all, `too-large` when there are more than [`LINES`].
pub fn lines(body: &[u8], of: Type) -> Result<Vec<&[u8]>, Problem> {
    if body.iter().all(is_end) {
        return Err(empty());
    }
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let split: Vec<&[u8]> = match of {
        Type::Jose => vec![body],
        Type::Ndjson => body.split(|&byte| byte == b'\n').take(LINES + 1).collect(),
    };
    if split.len() > LINES { Err(too_many()) } else { Ok(split) }
}

fn is_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn empty() -> Problem {
    Problem::new(Kind::Malformed, "it is empty")
}

fn too_many() -> Problem {
    Problem::new(
        Kind::TooLarge,
        format_args!("it has more than {LINES} lines: send them in several requests"),
    )
}

/// A line as it is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// It can be a summary.
    Whole(&'a [u8]),
    /// It is longer than any summary, and was not kept: its digest and its length.
    TooLong(Digest, usize),
}

/// Expands a body piece by piece, and gives each of its lines to `take`. What is more than
/// [`LINES`] or [`EXPANDED`] is not read: the whole is refused then, whatever `take` did with the
/// lines before.
///
/// # Errors
/// As [`expand`] and [`lines`]; or what `take` returns.
pub fn each_line<E: From<Problem>>(
    body: &[u8],
    encoding: Encoding,
    of: Type,
    mut take: impl FnMut(Line<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut from = BufReader::with_capacity(PIECE, pieces(body, encoding)?);
    let (mut reading, mut said, mut count, mut length) = (Reading::default(), Said::Nothing, 0, 0);
    loop {
        let piece = std::io::BufRead::fill_buf(&mut from).map_err(broken)?;
        if piece.is_empty() {
            break;
        }
        let read = piece.len();
        length += read;
        if length > EXPANDED {
            return Err(too_long(EXPANDED).into());
        }
        if !piece.iter().all(is_end) {
            said = Said::Something;
        }
        let mut rest = piece;
        while let Some(at) = end_of_line(rest, of) {
            reading.push(&rest[..at]);
            count += 1;
            if count > LINES {
                return Err(too_many().into());
            }
            take(reading.line())?;
            reading = Reading { kept: reading.emptied(), ..Reading::default() };
            rest = &rest[at + 1..];
        }
        reading.push(rest);
        std::io::BufRead::consume(&mut from, read);
    }
    if said == Said::Nothing {
        return Err(empty().into());
    }
    reading.end(of);
    if reading.length > 0 {
        if count == LINES {
            return Err(too_many().into());
        }
        take(reading.line())?;
    }
    Ok(())
}

/// Whether anything but ends of lines was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Something,
}

fn end_of_line(piece: &[u8], of: Type) -> Option<usize> {
    match of {
        Type::Jose => None,
        Type::Ndjson => piece.iter().position(|&byte| byte == b'\n'),
    }
}

/// The line that is being read: kept as long as it can be a summary, with one newline more; then
/// only its digest goes on.
#[derive(Default)]
struct Reading {
    kept: Vec<u8>,
    length: usize,
    /// Of a line that is too long: of all but the last byte, which may be the newline at the body's
    /// end, and that byte.
    beyond: Option<(Digester, u8)>,
}

impl Reading {
    fn push(&mut self, piece: &[u8]) {
        self.length += piece.len();
        if self.beyond.is_none() && self.length <= LIMIT + 1 {
            self.kept.extend_from_slice(piece);
            return;
        }
        let Some((&last, piece)) = piece.split_last() else { return };
        let (digester, held) = self.beyond.get_or_insert_with(|| {
            let mut digester = Digester::default();
            // It is longer than the limit, so there is a last byte.
            let (&held, before) = self.kept.split_last().unwrap_or((&0, &[]));
            digester.push(before);
            (digester, held)
        });
        digester.push(&[*held]);
        digester.push(piece);
        *held = last;
    }

    /// One newline at the end of the body is no part of its only line.
    fn end(&mut self, of: Type) {
        if of != Type::Jose {
            return;
        }
        match &mut self.beyond {
            None if self.kept.last() == Some(&b'\n') => {
                self.kept.pop();
                self.length -= 1;
            }
            Some((_, held)) if *held == b'\n' => self.length -= 1,
            _ => {}
        }
    }

    fn line(&self) -> Line<'_> {
        match &self.beyond {
            None => Line::Whole(&self.kept),
            Some((digester, held)) => {
                let mut digester = digester.clone();
                if *held != b'\n' {
                    digester.push(&[*held]);
                }
                Line::TooLong(digester.digest(), self.length)
            }
        }
    }

    /// Its memory, for the next line.
    fn emptied(&mut self) -> Vec<u8> {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        kept
    }
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
        for (body, encoding) in [
            (gzip(&plain), Encoding::Gzip),
            (zstd::stream::encode_all(plain.as_slice(), 3).unwrap(), Encoding::Zstd),
        ] {
            assert!(body.len() < 100_000);
            let problem = expand(body, encoding, EXPANDED).unwrap_err();
            assert_eq!(problem.kind(), Some(Kind::TooLarge), "{encoding:?}");
        }
    }

    #[test]
    fn a_body_cut_short_or_followed_by_something_does_not_expand() {
        let plain = b"line one\nline two\n".repeat(1000);
        for (whole, encoding) in [
            (gzip(&plain), Encoding::Gzip),
            (zstd::bulk::compress(&plain, 3).unwrap(), Encoding::Zstd),
        ] {
            for body in [
                &whole[..whole.len() - 1],
                &whole[..10],
                &[whole.as_slice(), b"tail"].concat(),
                b"x",
            ] {
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

    /// A line, or the digest and the length of one that is too long.
    type Read = Result<Vec<u8>, (Digest, usize)>;

    /// What a body's lines are, read piece by piece.
    fn by_pieces(body: &[u8], encoding: Encoding, of: Type) -> Result<Vec<Read>, Problem> {
        let mut all = Vec::new();
        each_line(body, encoding, of, |line| {
            all.push(match line {
                Line::Whole(line) => Ok(line.to_vec()),
                Line::TooLong(digest, length) => Err((digest, length)),
            });
            Ok::<(), Problem>(())
        })?;
        Ok(all)
    }

    #[test]
    fn the_257th_line_refuses_the_whole_and_the_rest_is_not_read() {
        let many = |lines: usize| "x\n".repeat(lines);
        assert_eq!(lines(many(LINES).as_bytes(), Type::Ndjson).unwrap().len(), LINES);
        assert_eq!(
            by_pieces(many(LINES).as_bytes(), Encoding::None, Type::Ndjson).unwrap().len(),
            LINES
        );
        // The last line need not end in a newline.
        for body in [many(LINES + 1), many(LINES) + "x", "\n".repeat(LINES + 1) + "x\n"] {
            assert_eq!(
                lines(body.as_bytes(), Type::Ndjson).unwrap_err().kind(),
                Some(Kind::TooLarge)
            );
            let problem = by_pieces(body.as_bytes(), Encoding::None, Type::Ndjson).unwrap_err();
            assert_eq!(problem.kind(), Some(Kind::TooLarge));
        }
        // What follows would not even expand.
        let mut broken = zstd::stream::encode_all(many(PIECE).as_bytes(), 3).unwrap();
        broken.extend(b"no frame");
        let problem = by_pieces(&broken, Encoding::Zstd, Type::Ndjson).unwrap_err();
        assert_eq!(problem.kind(), Some(Kind::TooLarge));
        assert_eq!(
            lines(many(LINES + 1).as_bytes(), Type::Jose).unwrap().len(),
            1,
            "one JWS has no lines"
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_has_its_digest() {
        let long = vec![b'a'; 3 * LIMIT];
        for (body, of) in [
            ([&b"one\n"[..], &long, b"\ntwo\n"].concat(), Type::Ndjson),
            (long.clone(), Type::Jose),
            ([&long[..], b"\n"].concat(), Type::Jose),
        ] {
            let body = zstd::stream::encode_all(body.as_slice(), 3).unwrap();
            let all = by_pieces(&body, Encoding::Zstd, of).unwrap();
            let too_long = all.iter().find_map(|line| line.as_ref().err()).unwrap();
            assert_eq!(*too_long, (Digest::of(&long), long.len()));
        }
    }

    #[test]
    fn the_memory_that_a_body_needs_is_known_before_it_is_expanded() {
        let plain = b"line\n".repeat(1000);
        let sized = zstd::bulk::compress(&plain, 3).unwrap();
        assert_eq!(Plan::of(&sized, Encoding::Zstd), Plan::AtOnce(plain.len()));
        assert_eq!(Plan::of(&plain, Encoding::None), Plan::AtOnce(plain.len()));
        let wide = |log: u32| {
            let mut to = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            to.window_log(log).unwrap();
            to.write_all(&plain).unwrap();
            to.finish().unwrap()
        };
        for log in [15, 20, 25] {
            assert_eq!(
                Plan::of(&wide(log), Encoding::Zstd),
                Plan::ByPieces(DECODER + (1 << log)),
                "2^{log}"
            );
        }
        // The widest of several frames counts, wherever it is.
        let two = [wide(15), wide(22), wide(12)].concat();
        assert_eq!(Plan::of(&two, Encoding::Zstd), Plan::ByPieces(DECODER + (1 << 22)));
        assert_eq!(expand(two, Encoding::Zstd, EXPANDED).unwrap(), plain.repeat(3));
        let large = zstd::bulk::compress(&vec![0; EXPANDED], 3).unwrap();
        assert_eq!(Plan::of(&large, Encoding::Zstd), Plan::ByPieces(DECODER + window(&large)));
        assert!(window(&large) <= EXPANDED);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_at_once_and_piece_by_piece(
            parts in prop::collection::vec("[a\\r\\n]{0,4}", 0..60),
            ndjson: bool,
        ) {
            let (body, of) =
                (parts.concat().into_bytes(), if ndjson { Type::Ndjson } else { Type::Jose });
            let at_once = lines(&body, of)
                .map(|lines| lines.into_iter().map(|line| Ok(line.to_vec())).collect::<Vec<_>>());
            let packed = zstd::stream::encode_all(body.as_slice(), 1).unwrap();
            prop_assert_eq!(&by_pieces(&packed, Encoding::Zstd, of), &at_once);
            prop_assert_eq!(&by_pieces(&gzip(&body), Encoding::Gzip, of), &at_once);
        }

        #[test]
        fn any_body_is_planned_without_a_panic(
            mut body in prop::collection::vec(any::<u8>(), 0..60),
            zstd: bool,
        ) {
            if zstd {
                body.splice(0..0, [0x28, 0xb5, 0x2f, 0xfd]);
            }
            let _ =
                (Plan::of(&body, Encoding::Zstd), by_pieces(&body, Encoding::Zstd, Type::Ndjson));
        }

        #[test]
        fn any_body_expands_or_is_refused_without_a_panic(
            body in prop::collection::vec(any::<u8>(), 0..200),
            gz in any::<bool>(),
        ) {
            let _ = expand(body, if gz { Encoding::Gzip } else { Encoding::Zstd }, 1000);
        }
    }
}
