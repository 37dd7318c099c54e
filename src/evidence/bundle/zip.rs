//! The `.zip` around a bundle: written the same way for the same members, and read with bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::evidence::summary::LIMIT;

/// There are never more members: a year's summaries of two agents, one every five minutes, with
/// their receipts.
const MEMBERS: usize = 500_000;
/// A member is never longer, expanded; …
const MEMBER_LIMIT: usize = 64 * 1024 * 1024;
/// … a receipt, a key or a name is much shorter.
const SHORT: usize = 64 * 1024;
const NAME: usize = 4096;
/// All members together are never longer, expanded: so much in any case, …
const TOTAL_AT_LEAST: usize = 32 * 1024 * 1024;
/// … and so many times the archive, since signatures and histograms, of which a bundle is full,
/// compress badly.
const TIMES: usize = 10;
/// An archive is never longer.
pub const ARCHIVE: usize = 1024 * 1024 * 1024;

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAZip {
    /// They are no zip, or a member cannot be read.
    #[error("it is not a zip that can be read: {0}")]
    Form(String),
    /// A name is there twice.
    #[error("the member {0:?} is there twice")]
    Twice(String),
    /// It is too much.
    #[error("it is no bundle, since it is too large: {0}; nothing more of it was read")]
    TooLarge(String),
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

/// The names in a zip's directory, in its order and each as often as it is there (APPNOTE.TXT,
/// 4.3.12 to 4.3.16).
fn directory(bytes: &[u8]) -> Option<Vec<String>> {
    let number = |at: usize, length: usize| {
        let little = bytes.get(at..at.checked_add(length)?)?.iter().rev();
        usize::try_from(little.fold(0u64, |number, &byte| number << 8 | u64::from(byte))).ok()
    };
    let is = |at: usize, mark: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(mark));
    // A comment of up to 64 KiB may follow the end's record.
    let last = bytes.len().checked_sub(22)?;
    let end = (last.saturating_sub(0xffff)..=last).rev().find(|&at| is(at, b"PK\x05\x06"))?;
    let (mut count, mut at) = (number(end + 10, 2)?, number(end + 16, 4)?);
    if let Some(locator) = end.checked_sub(20).filter(|&locator| is(locator, b"PK\x06\x07")) {
        let large = number(locator + 8, 8).filter(|&large| is(large, b"PK\x06\x06"))?;
        (count, at) = (number(large + 32, 8)?, number(large + 48, 8)?);
    }
    let mut names = Vec::new();
    // One more than there may be shows that there are too many.
    for _ in 0..count.min(MEMBERS + 1) {
        if !is(at, b"PK\x01\x02") {
            return None;
        }
        let (name, extra, comment) =
            (number(at + 28, 2)?, number(at + 30, 2)?, number(at + 32, 2)?);
        names.push(String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name)?).into_owned());
        at += 46 + name + extra + comment;
    }
    Some(names)
}

/// The first member that does not lie in the order of the names, in which [`write`] puts them.
#[must_use]
pub fn out_of_order(bytes: &[u8]) -> Option<String> {
    let names = directory(bytes)?;
    names.windows(2).find(|two| two[0] > two[1]).map(|two| two[1].clone())
}

/// How long a member of this name may be.
fn limit_of(name: &str) -> usize {
    match name.split('/').next() {
        Some("summaries") => LIMIT + 1,
        Some("receipts" | "keys") => SHORT,
        _ => MEMBER_LIMIT,
    }
}

/// Reads all members.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, NotAZip> {
    if bytes.len() > ARCHIVE {
        return Err(NotAZip::TooLarge(format!(
            "it is {} bytes, of at most {ARCHIVE}",
            bytes.len()
        )));
    }
    // The reader keeps one of several members of one name; the directory has them all.
    let names = directory(bytes).ok_or_else(|| form("its directory cannot be read"))?;
    if names.len() > MEMBERS {
        return Err(NotAZip::TooLarge(format!("it has more than {MEMBERS} members")));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(NotAZip::Twice(twice.clone()));
    }
    drop(names);
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(form)?;
    let mut members = BTreeMap::new();
    let total_limit = TOTAL_AT_LEAST + TIMES * bytes.len();
    let mut left = total_limit;
    for at in 0..archive.len() {
        let member = archive.by_index(at).map_err(form)?;
        if member.is_dir() {
            continue;
        }
        let name = member.name().map_err(form)?.into_owned();
        if name.len() > NAME
            || name.starts_with('/')
            || name.contains('\\')
            || name.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return Err(NotAZip::Name(name.chars().take(100).collect()));
        }
        let limit = limit_of(&name);
        let mut plain = Vec::new();
        member.take(limit.min(left) as u64 + 1).read_to_end(&mut plain).map_err(form)?;
        if plain.len() > limit {
            return Err(NotAZip::TooLarge(format!(
                "{name} is more than {limit} bytes when expanded"
            )));
        }
        left = left.checked_sub(plain.len()).ok_or_else(|| {
            NotAZip::TooLarge(format!(
                "all members together are more than {total_limit} bytes when expanded"
            ))
        })?;
        plain.shrink_to_fit();
        if members.insert(name.clone(), plain).is_some() {
            return Err(NotAZip::Twice(name));
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
        let members =
            BTreeMap::from([("b/2".to_owned(), vec![0; 10_000]), ("a".to_owned(), b"x".to_vec())]);
        let bytes = write(&members).unwrap();
        assert_eq!(write(&members).unwrap(), bytes);
        assert_eq!(read(&bytes).unwrap(), members);
        assert_eq!(out_of_order(&bytes), None);
    }

    #[test]
    fn what_a_small_archive_becomes_is_bounded_in_each_member_and_in_all() {
        let of = |members: &[(&str, usize)]| {
            let all = members.iter().map(|(name, length)| ((*name).to_owned(), vec![0; *length]));
            let bytes = write(&all.collect()).unwrap();
            assert!(bytes.len() < 1_000_000);
            read(&bytes).map(|members| members.len())
        };
        assert_eq!(
            of(&[("a", TOTAL_AT_LEAST - 2 * LIMIT), ("summaries/1", LIMIT + 1), ("keys/k", SHORT)]),
            Ok(3)
        );
        for (too_large, what) in [
            (vec![("a", MEMBER_LIMIT + 1)], "all members"),
            (vec![("a", TOTAL_AT_LEAST), ("b", 2 * 1024 * 1024)], "all members"),
            (vec![("summaries/1", LIMIT + 2)], "summaries/1"),
            (vec![("receipts/1", SHORT + 1)], "receipts/1"),
            (vec![("keys/k", SHORT + 1)], "keys/k"),
        ] {
            let fault = of(&too_large).unwrap_err();
            assert!(matches!(&fault, NotAZip::TooLarge(said) if said.contains(what)), "{fault}");
        }
    }

    #[test]
    fn an_archive_of_too_many_members_is_refused_by_its_directory() {
        let mut entry = [0; 46];
        entry[..4].copy_from_slice(b"PK\x01\x02");
        let mut bytes = entry.repeat(MEMBERS + 1);
        let end = bytes.len();
        // The end's record says at most 65,535; that of a zip64 says how many there are.
        let mut large = vec![0; 56];
        large[..4].copy_from_slice(b"PK\x06\x06");
        large[32..40].copy_from_slice(&(MEMBERS as u64 + 1).to_le_bytes());
        bytes.extend(large);
        let mut locator = vec![0; 20];
        locator[..4].copy_from_slice(b"PK\x06\x07");
        locator[8..16].copy_from_slice(&(end as u64).to_le_bytes());
        bytes.extend(locator);
        bytes.extend([b"PK\x05\x06".as_slice(), &[0xff; 18]].concat());
        assert!(matches!(read(&bytes), Err(NotAZip::TooLarge(_))));
    }

    #[test]
    fn a_comment_hides_no_doubled_member_and_the_order_is_seen() {
        let two =
            BTreeMap::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())]);
        let with = |names: &[(&str, &str)], comment: &str| {
            let mut bytes = write(&two).unwrap();
            for (from, to) in names {
                let place =
                    |mark: &[u8]| bytes.windows(mark.len()).rposition(|part| part == mark).unwrap();
                // In the directory, where the name is the last part of its entry.
                let at = (0..bytes.len())
                    .rev()
                    .find(|&at| bytes[at..].starts_with(from.as_bytes()))
                    .unwrap();
                assert!(at > place(b"PK\x03\x04"));
                bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
            let at = bytes.len() - 2;
            bytes[at..].copy_from_slice(&u16::try_from(comment.len()).unwrap().to_le_bytes());
            [bytes, comment.as_bytes().to_vec()].concat()
        };
        assert_eq!(read(&with(&[("b", "a")], "a comment")), Err(NotAZip::Twice("a".to_owned())));
        assert_eq!(out_of_order(&with(&[("a", "c")], "")), Some("b".to_owned()));
    }

    #[test]
    fn a_doubled_member_and_a_name_that_leads_elsewhere_are_refused() {
        let two = BTreeMap::from([
            ("aaaa".to_owned(), b"1".to_vec()),
            ("bbbb".to_owned(), b"2".to_vec()),
        ]);
        let renamed = |to: &[u8; 4]| {
            let mut bytes = write(&two).unwrap();
            for at in 0..bytes.len() - 4 {
                if &bytes[at..at + 4] == b"bbbb" {
                    bytes[at..at + 4].copy_from_slice(to);
                }
            }
            read(&bytes)
        };
        assert_eq!(renamed(b"aaaa"), Err(NotAZip::Twice("aaaa".to_owned())));
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
