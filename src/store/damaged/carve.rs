//! Rows of a damaged database that its trees do not lead to any more: each page of the file is
//! looked at by itself. What is found there may be of a page that was free, so it is believed only
//! under its own checksum.
//!
//! Source: SQLite's "Database File Format", sections 1.5 (cell payload overflow), 1.6 (B-tree
//! pages) and 2.1 (record format).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::types::Value;

/// The first byte of a page that is a leaf of a table.
const LEAF: u8 = 0x0d;
/// The database's own header before what is on its first page.
const HEADER: usize = 100;
/// A row that is longer was not written here.
const LONGEST: usize = 64 << 20;
/// Columns of the widest table, with some to spare.
const COLUMNS: usize = 32;

/// A database's file, looked at page by page.
#[derive(Debug)]
pub struct Carver {
    file: File,
    page: usize,
    pages: u64,
}

/// A row as it was found: its number, and its columns, of which the one that is its number is null.
pub type Row = (i64, Vec<Value>);

impl Carver {
    /// Opens a database's file, whose pages are of so many bytes where its header does not tell.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path, usual: u32) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut header = [0; HEADER];
        let told = match file.read_exact_at(&mut header, 0) {
            Ok(()) if header.starts_with(b"SQLite format 3\0") => {
                u32::from(u16::from_be_bytes([header[16], header[17]]))
            }
            _ => usual,
        };
        let page =
            if told.is_power_of_two() && (512..=32_768).contains(&told) { told } else { usual };
        let pages = file.metadata()?.len() / u64::from(page);
        Ok(Self { file, page: page as usize, pages })
    }

    /// How many whole pages there are.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// The rows of a page, counted from 0, as far as they can be read; none where it is no leaf of
    /// a table.
    pub fn rows(&self, number: u64) -> Vec<Row> {
        let Some(page) = self.read(number) else { return Vec::new() };
        let start = if number == 0 { HEADER } else { 0 };
        if page.get(start) != Some(&LEAF) {
            return Vec::new();
        }
        let count = short(&page, start + 3).unwrap_or(0);
        let cells = (0..count).filter_map(|cell| short(&page, start + 8 + 2 * cell));
        cells.filter_map(|at| self.cell(page.get(at..)?)).collect()
    }

    fn read(&self, number: u64) -> Option<Vec<u8>> {
        let mut page = vec![0; self.page];
        self.file.read_exact_at(&mut page, number.checked_mul(self.page as u64)?).ok()?;
        Some(page)
    }

    /// A leaf's cell: the payload's length, the row's number, and the payload, the rest of which
    /// may be on other pages.
    fn cell(&self, mut cell: &[u8]) -> Option<Row> {
        let length =
            usize::try_from(varint(&mut cell)?).ok().filter(|length| *length <= LONGEST)?;
        let id = varint(&mut cell)?.cast_signed();
        let usable = self.page;
        let most = usable - 35;
        let local = if length <= most {
            length
        } else {
            let least = (usable - 12) * 32 / 255 - 23;
            let rest = least + (length - least) % (usable - 4);
            if rest <= most { rest } else { least }
        };
        let mut payload = cell.get(..local)?.to_vec();
        let mut next = if local < length { long(cell, local)? } else { 0 };
        while payload.len() < length {
            let page = self.read(u64::from(next.checked_sub(1)?))?;
            next = long(&page, 0)?;
            let part = (length - payload.len()).min(usable - 4);
            payload.extend_from_slice(page.get(4..4 + part)?);
        }
        Some((id, record(&payload)?))
    }
}

/// The columns of a record.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let mut header = payload;
    let length = usize::try_from(varint(&mut header)?).ok()?;
    let before = payload.len() - header.len();
    let mut types = header.get(..length.checked_sub(before)?)?;
    let mut body = payload.get(length..)?;
    let mut columns = Vec::new();
    while !types.is_empty() && columns.len() < COLUMNS {
        let mut take = |length: usize| {
            let (taken, rest) = body.split_at_checked(length)?;
            body = rest;
            Some(taken)
        };
        columns.push(match varint(&mut types)? {
            0 => Value::Null,
            number @ 1..=6 => Value::Integer(integer(take(
                [1, 2, 3, 4, 6, 8][usize::try_from(number - 1).ok()?],
            )?)),
            7 => Value::Real(f64::from_be_bytes(take(8)?.try_into().ok()?)),
            constant @ 8..=9 => Value::Integer(i64::from(constant == 9)),
            10 | 11 => return None,
            blob if blob % 2 == 0 => {
                Value::Blob(take(usize::try_from((blob - 12) / 2).ok()?)?.to_vec())
            }
            text => Value::Text(
                String::from_utf8(take(usize::try_from((text - 13) / 2).ok()?)?.to_vec()).ok()?,
            ),
        });
    }
    Some(columns)
}

fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes
        .iter()
        .fold(if negative { -1 } else { 0 }, |number, byte| (number << 8) | i64::from(*byte))
}

/// SQLite's own: big-endian, seven bits a byte, the ninth whole.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for at in 0..9 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if at == 8 {
            return Some((number << 8) | u64::from(byte));
        }
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            (-300i64..300).prop_map(Value::Integer),
            any::<f64>()
                .prop_filter("SQLite has none", |number| !number.is_nan() && number.fract() != 0.0)
                .prop_map(Value::Real),
            "[a-zäöü]{0,40}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..5000).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn every_row_is_found_as_it_was_written(
            rows in prop::collection::btree_map(
                any::<i64>(),
                (values(), values(), values()),
                1..40,
            ),
            page in prop_oneof![Just(512u32), Just(1024), Just(4096)],
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("db");
            let db = Connection::open(&path).unwrap();
            db.pragma_update(None, "page_size", page).unwrap();
            db.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)").unwrap();
            for (id, (a, b, c)) in &rows {
                db.execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4)", rusqlite::params![id, a, b, c])
                    .unwrap();
            }
            drop(db);
            let carver = Carver::open(&path, 1024).unwrap();
            // The first page has the schema.
            let found: std::collections::BTreeMap<i64, _> =
                (1..carver.pages()).flat_map(|page| carver.rows(page)).collect();
            let wanted =
                rows.into_iter().map(|(id, (a, b, c))| (id, vec![Value::Null, a, b, c])).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn any_page_is_read_or_passed_by_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 1024..4096),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("db");
            let leaf: Vec<u8> =
                bytes.chunks(1024).flat_map(|page| [&[LEAF], &page[1..]].concat()).collect();
            std::fs::write(&path, leaf).unwrap();
            let carver = Carver::open(&path, 1024).unwrap();
            (0..carver.pages()).for_each(|page| drop(carver.rows(page)));
        }
    }
}
