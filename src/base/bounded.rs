//! Files that others made, read as far as they can be what they should be: what is longer is
//! refused, and not read.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// A contract, facts, a key set: none is longer, in bytes.
pub const TEXT: usize = 4 * 1024 * 1024;

/// What is judged by hand may be larger: a hundred thousand events with their tickets have some
/// twenty million bytes.
pub const JUDGED: usize = 64 * 1024 * 1024;

/// The bytes of a file of at most so many.
///
/// # Errors
/// When it cannot be read, or is longer.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(
        |error| match error.kind() {
            ErrorKind::IsADirectory => {
                Error::new(ErrorKind::IsADirectory, "it is a directory, and a file is meant")
            }
            _ => error,
        },
    )?;
    if bytes.len() > limit {
        let what = format!("it is more than {limit} bytes, which nothing of its kind is");
        return Err(Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The text of a file of at most [`TEXT`] bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    read_text_within(path, TEXT)
}

/// The text of a file of at most so many bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub fn read_text_within(path: &Path, limit: usize) -> Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|error| Error::new(ErrorKind::InvalidData, not_utf8(error.as_bytes())))
}

/// Where some bytes cease to be UTF-8, and what to do.
fn not_utf8(bytes: &[u8]) -> String {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "it is UTF-16, as some editors write it: save it as UTF-8".to_owned();
    }
    let good = std::str::from_utf8(bytes).err().map_or(bytes.len(), |error| error.valid_up_to());
    let line = bytes[..good].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let byte = bytes.get(good).copied().unwrap_or_default();
    format!(
        "it is not UTF-8: in line {line}, byte {} of the file is 0x{byte:02x}; save it as UTF-8",
        good + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_its_limit_and_what_is_no_text_says_where() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("a");
        std::fs::write(&path, vec![b'a'; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap().len(), 10);
        assert_eq!(read(&path, 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        for (bytes, what) in [
            (
                &b"a\nb\n# caf\xe9 \n"[..],
                "it is not UTF-8: in line 3, byte 10 of the file is 0xe9; save it as UTF-8",
            ),
            (
                b"a\nb \xc3",
                "it is not UTF-8: in line 2, byte 5 of the file is 0xc3; save it as UTF-8",
            ),
            (b"\xff\xfea\0", "it is UTF-16, as some editors write it: save it as UTF-8"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_text(&path).unwrap_err().to_string(), what);
        }
        assert!(read_text(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than"));
    }
}
