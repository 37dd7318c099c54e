//! What readers that stay look at again and again: whether anything was written, and what is new.
//!
//! A reader asks for what has a higher number than what it has seen, so that a look costs what is
//! new and no more.

use rusqlite::params;

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::store::intervals::{RowId, SeriesId};
use crate::store::journal::Entry;
use crate::store::{Store, StoreError, block};

/// A mark of what was committed: another commit has another mark. It compares with those of the
/// same open database only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(i64);

/// The number of a line of the journal; they rise in the order of writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(i64);

impl Store {
    /// The mark of what others have committed so far. It reads no page.
    ///
    /// # Errors
    /// When the database fails.
    pub fn mark(&self) -> Result<Mark, StoreError> {
        Ok(Mark(self.db.pragma_query_value(None, "data_version", |row| row.get(0))?))
    }

    /// The lines of the journal after this one, oldest first, each with its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn journal_after(&self, after: EntryId) -> Result<Vec<(EntryId, Entry)>, StoreError> {
        let mut wanted = self.db.prepare_cached(
            "SELECT id, at_ns, kind, detail FROM event WHERE id > ?1 ORDER BY id",
        )?;
        let rows = wanted.query_map([after.0], |row| {
            let at = Wall::from_nanos(row.get(1)?);
            Ok((EntryId(row.get(0)?), Entry { at, kind: row.get(2)?, detail: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Gives the intervals of the blocks after this one that begin after an instant to `take`, in
    /// the order of writing; and the number of the last block that there is. What is damaged is left
    /// out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn intervals_after(
        &self,
        after: Option<RowId>,
        since: Wall,
        mut take: impl FnMut(SeriesId, Interval),
    ) -> Result<Option<RowId>, StoreError> {
        let mut blocks = self.db.prepare_cached(
            "SELECT id, start_ms, body FROM block WHERE id > ?1 AND start_ms >= ?2 ORDER BY id",
        )?;
        let mut rows = blocks.query(params![after.map_or(0, |id| id.0), since.millis()])?;
        let mut last = after;
        while let Some(row) = rows.next()? {
            last = Some(RowId(row.get(0)?));
            let body = row.get_ref(2)?.as_blob().unwrap_or_default();
            if let Ok(all) = block::read(row.get(1)?, body, |_| true) {
                all.into_iter().for_each(|(id, interval)| take(SeriesId::new(id), interval));
            }
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Noted;

    #[test]
    fn a_reader_sees_what_was_committed_since_its_last_look_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, _) = Store::open(dir.path(), Wall::from_secs(1)).unwrap();
        writer.note(Wall::from_secs(2), Noted::Start, "one").unwrap();
        let reader = Store::read(dir.path()).unwrap();
        let mark = reader.mark().unwrap();
        let seen = reader.journal_after(EntryId::default()).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(reader.mark().unwrap(), mark, "nothing was written");
        writer.note(Wall::from_secs(3), Noted::Stop, "two").unwrap();
        assert_ne!(reader.mark().unwrap(), mark);
        let new = reader.journal_after(seen[0].0).unwrap();
        assert_eq!(new.iter().map(|(_, entry)| entry.detail.as_str()).collect::<Vec<_>>(), ["two"]);
    }
}
