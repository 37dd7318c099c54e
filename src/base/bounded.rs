//! Files that others made, read as far as they can be what they should be: what is longer is refused, and not read.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// A contract, facts, a key set: none is longer, in bytes.
pub const TEXT: usize = 4 * 1024 * 1024;

/// What is judged by hand may be larger: a hundred thousand events with their tickets have some twenty million bytes.
pub const JUDGED: usize = 64 * 1024 * 1024;

/// The bytes of a file of at most so many.
///
/// # Errors
/// When it cannot be read, or is longer.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
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
    String::from_utf8(read(path, limit)?).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_its_limit_and_an_endless_one_no_further() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("a");
        std::fs::write(&path, vec![b'a'; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap().len(), 10);
        assert_eq!(read(&path, 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(read_text(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than"));
    }
}
