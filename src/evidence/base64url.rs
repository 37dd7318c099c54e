//! Base64url as RFC 7515 means it: no padding, no bits left over, no other characters.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, URL_SAFE_NO_PAD};
use base64::write::EncoderStringWriter;

/// A text is not strict base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not base64url without padding, left-over bits or other characters")]
pub struct NotBase64Url;

/// Writes bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Writes bytes to the end of a text.
pub fn append(to: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, to);
}

/// Writes to the end of a text whatever `write` writes, which is not kept anywhere else.
///
/// # Errors
/// What `write` says.
pub fn append_written<E>(
    to: &mut String,
    write: impl FnOnce(&mut EncoderStringWriter<'static, GeneralPurpose, &mut String>) -> Result<(), E>,
) -> Result<(), E> {
    let mut encoder = EncoderStringWriter::from_consumer(to, &URL_SAFE_NO_PAD);
    write(&mut encoder)?;
    encoder.into_inner();
    Ok(())
}

/// Reads bytes.
///
/// # Errors
/// When the text is padded, has bits left over in its last character, or holds any other character.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, NotBase64Url> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64Url)
}

/// Reads a text of exactly `N` bytes.
///
/// # Errors
/// As [`decode`], and when the length is another.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], NotBase64Url> {
    decode(text.as_bytes())?.try_into().map_err(|_| NotBase64Url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_left_over_bits_and_foreign_characters_are_refused() {
        assert_eq!(decode(b"AAE").unwrap(), [0, 1]);
        for text in ["AAE=", "AAF", "AA E", "AA+E", "AA/E", "A", "AAE\n", "\u{e9}A"] {
            assert_eq!(decode(text.as_bytes()), Err(NotBase64Url), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[-_A-Za-z0-9=+/ ]{0,20}") {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()).unwrap(), bytes);
            if let Ok(read) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&read), text);
            }
        }
    }
}
