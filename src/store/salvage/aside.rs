//! Sets a damaged database aside.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::base::time::Wall;
use crate::store::damaged::{self, SUFFIXES, with};
use crate::store::{FILE, StoreError};

/// Of the databases that were set aside, so many are kept: a failing disk must not be filled by
/// them.
const KEPT: usize = 2;

/// Renames the database's files; gives the new name. Older ones that were set aside are deleted.
pub(in crate::store) fn set_aside(path: &Path, now: Wall) -> Result<PathBuf, StoreError> {
    let failed = |source| {
        let advice = "a damaged database could not be set aside";
        StoreError::Directory { path: path.to_owned(), source, advice }
    };
    let aside = damaged::aside(path, now);
    damaged::set_aside(path, &aside).map_err(failed)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut old: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{FILE}{}", damaged::ASIDE))
                && !name.ends_with("-wal")
                && !name.ends_with("-shm")
        })
        .collect();
    old.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    old.retain(|path| *path != aside);
    for each in old.iter().rev().skip(KEPT - 1) {
        for suffix in SUFFIXES {
            if let Err(error) = std::fs::remove_file(with(each, suffix))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warn!(path = %each.display(), %error, "an old damaged database cannot be deleted");
            }
        }
    }
    Ok(aside)
}
