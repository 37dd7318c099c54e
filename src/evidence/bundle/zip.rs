//! The `.zip` around a bundle: written the same way for the same members, and read with bounds.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// A member is never longer, expanded.
const MEMBER_LIMIT: u64 = 64 * 1024 * 1024;
/// All members together are never longer, expanded.
const TOTAL_LIMIT: u64 = 2 * 1024 * 1024 * 1024;

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAZip {
    /// They are no zip, or a member cannot be read.
    #[error("it is not a zip that can be read: {0}")]
    Form(String),
    /// A name is there twice.
    #[error("a member is there twice")]
    Twice,
    /// It is too much.
    #[error("it is longer than any bundle when expanded")]
    TooLarge,
    /// A name leads out of the bundle.
    #[error("the member {0:?} has a name that leads elsewhere")]
    Name(String),
}

fn form(error: impl std::fmt::Display) -> NotAZip {
    NotAZip::Form(error.to_string())
}

/// Writes members in the order of their names, with neither times nor rights.
pub fn write(members: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, NotAZip> {
    let mut to = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, bytes) in members {
        to.start_file(name.as_str(), options).map_err(form)?;
        to.write_all(bytes).map_err(form)?;
    }
    Ok(to.finish().map_err(form)?.into_inner())
}

/// Reads all members.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, NotAZip> {
    // The directory's own count: the reader keeps one of several members of one name.
    let end = bytes.len().checked_sub(22).ok_or_else(|| form("it is too short"))?;
    let count =
        (bytes[end..].starts_with(b"PK\x05\x06")).then(|| u16::from_le_bytes([bytes[end + 10], bytes[end + 11]]));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(form)?;
    if count.is_some_and(|count| count != u16::MAX && usize::from(count) != archive.len()) {
        return Err(NotAZip::Twice);
    }
    let mut members = BTreeMap::new();
    let mut total = 0;
    for at in 0..archive.len() {
        let member = archive.by_index(at).map_err(form)?;
        if member.is_dir() {
            continue;
        }
        let name = member.name().map_err(form)?.into_owned();
        if name.starts_with('/') || name.contains('\\') || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(NotAZip::Name(name));
        }
        let mut plain = Vec::new();
        member.take(MEMBER_LIMIT + 1).read_to_end(&mut plain).map_err(form)?;
        total += plain.len() as u64;
        if plain.len() as u64 > MEMBER_LIMIT || total > TOTAL_LIMIT {
            return Err(NotAZip::TooLarge);
        }
        if members.insert(name, plain).is_some() {
            return Err(NotAZip::Twice);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_members_are_the_same_bytes_and_come_back() {
        let members = BTreeMap::from([("b/2".to_owned(), vec![0; 10_000]), ("a".to_owned(), b"x".to_vec())]);
        let bytes = write(&members).unwrap();
        assert_eq!(write(&members).unwrap(), bytes);
        assert_eq!(read(&bytes).unwrap(), members);
    }

    #[test]
    fn a_doubled_member_and_a_name_that_leads_elsewhere_are_refused() {
        let two = BTreeMap::from([("aaaa".to_owned(), b"1".to_vec()), ("bbbb".to_owned(), b"2".to_vec())]);
        let renamed = |to: &[u8; 4]| {
            let mut bytes = write(&two).unwrap();
            for at in 0..bytes.len() - 4 {
                if &bytes[at..at + 4] == b"bbbb" {
                    bytes[at..at + 4].copy_from_slice(to);
                }
            }
            read(&bytes)
        };
        assert_eq!(renamed(b"aaaa"), Err(NotAZip::Twice));
        assert_eq!(renamed(b"../x"), Err(NotAZip::Name("../x".to_owned())));
        assert_eq!(renamed(b"/etc"), Err(NotAZip::Name("/etc".to_owned())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let _ = read(&bytes);
            let mut changed = write(&BTreeMap::from([("a".to_owned(), bytes)])).unwrap();
            let at = at.index(changed.len());
            changed[at] = to;
            let _ = read(&changed);
        }
    }
}
