//! zlib streams in memory. A summary holds dozens of histograms of a hundred bytes each, and to
//! make a coder costs more than to use it: each thread keeps one of either kind.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::NotAHistogram;

/// Most histograms expand to less.
const USUAL: usize = 512;

thread_local! {
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(true));
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), true));
}

/// Expands a whole stream, which nothing may follow, to at most `limit` bytes.
pub(super) fn expand(stream: &[u8], limit: usize) -> Result<Vec<u8>, NotAHistogram> {
    const BROKEN: NotAHistogram = NotAHistogram::Form("it does not expand");
    INFLATE.with_borrow_mut(|zlib| {
        zlib.reset(true);
        let mut plain = Vec::with_capacity(USUAL.min(limit + 1));
        loop {
            let read = usize::try_from(zlib.total_in()).map_err(|_| BROKEN)?;
            let before = (read, plain.len());
            let status = zlib
                .decompress_vec(&stream[read..], &mut plain, FlushDecompress::None)
                .map_err(|_| BROKEN)?;
            if plain.len() > limit {
                return Err(NotAHistogram::TooLarge);
            }
            let read = usize::try_from(zlib.total_in()).map_err(|_| BROKEN)?;
            match status {
                Status::StreamEnd if read < stream.len() => {
                    return Err(NotAHistogram::Form("something follows it"));
                }
                Status::StreamEnd => return Ok(plain),
                Status::Ok | Status::BufError if plain.len() == plain.capacity() => {
                    plain.reserve((plain.len() * 3).clamp(1, limit + 1 - plain.len()));
                }
                // There was room, and nothing came of it: it is cut short.
                Status::Ok | Status::BufError if (read, plain.len()) == before => {
                    return Err(BROKEN);
                }
                Status::Ok | Status::BufError => {}
            }
        }
    })
}

/// Appends the stream of `plain`. The same bytes give the same stream.
pub(super) fn compress(plain: &[u8], to: &mut Vec<u8>) {
    DEFLATE.with_borrow_mut(|zlib| {
        zlib.reset();
        loop {
            let read = usize::try_from(zlib.total_in()).expect("no more than there is");
            to.reserve(plain.len() / 2 + 64);
            let status = zlib.compress_vec(&plain[read..], to, FlushCompress::Finish);
            if status.expect("a stream that is written whole") == Status::StreamEnd {
                return;
            }
        }
    });
}

/// A length that the stream of so many bytes does not exceed: bytes that cannot be compressed are
/// stored, with five more for each block and six for the whole (RFC 1950, RFC 1951).
pub(super) const fn at_most(plain: usize) -> usize {
    plain + plain / 4096 * 5 + 5 + 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_compressed_expands_to_itself_and_not_when_it_is_cut_or_followed_or_too_large(
            plain in prop::collection::vec(prop_oneof![4 => Just(0u8), 1 => any::<u8>()], 0..5000),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut stream = Vec::new();
            compress(&plain, &mut stream);
            let mut again = Vec::new();
            compress(&plain, &mut again);
            prop_assert_eq!(&again, &stream);
            prop_assert!(stream.len() <= at_most(plain.len()));
            prop_assert_eq!(expand(&stream, 5000), Ok(plain.clone()));
            prop_assert_eq!(expand(&stream, plain.len()), Ok(plain.clone()));
            if let Some(less) = plain.len().checked_sub(1) {
                prop_assert_eq!(expand(&stream, less), Err(NotAHistogram::TooLarge));
            }
            prop_assert_eq!(
                expand(&stream[..cut.index(stream.len())], 5000),
                Err(NotAHistogram::Form("it does not expand"))
            );
            stream.push(0);
            prop_assert_eq!(
                expand(&stream, 5000),
                Err(NotAHistogram::Form("something follows it"))
            );
        }

        #[test]
        fn what_cannot_be_compressed_becomes_hardly_longer(
            plain in prop::collection::vec(any::<u8>(), 0..60_000),
        ) {
            let mut stream = Vec::new();
            compress(&plain, &mut stream);
            prop_assert!(stream.len() <= at_most(plain.len()));
        }

        #[test]
        fn foreign_bytes_never_expand_beyond_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(plain) = expand(&bytes, 1000) {
                prop_assert!(plain.len() <= 1000);
            }
        }
    }
}
