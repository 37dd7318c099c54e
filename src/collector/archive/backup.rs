//! A copy of the database, made while it is written to.

use std::path::Path;

use crate::collector::archive::db::Db;
use crate::collector::archive::{Archive, ArchiveError};

impl Archive {
    /// Writes a whole copy, as it stands at one instant, into a file that is not there yet, and
    /// checks it; false on PostgreSQL, whose own tools do that. Whoever writes meanwhile is not
    /// waited for, nor waits.
    ///
    /// # Errors
    /// When it cannot be written, or the copy is damaged.
    pub fn copy_to(&self, path: &Path) -> Result<bool, ArchiveError> {
        let Db::Sqlite(db) = &self.db else { return Ok(false) };
        let Some(name) = path.to_str() else {
            return Err(ArchiveError::Damaged(format!(
                "{} is no name that SQLite can write",
                path.display()
            )));
        };
        db.execute("VACUUM INTO ?1", [name])?;
        let copy = rusqlite::Connection::open_with_flags(
            path,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        )?;
        let found: String = copy.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
        if found == "ok" {
            Ok(true)
        } else {
            Err(ArchiveError::Damaged(format!("the copy: {found}")))
        }
    }
}
