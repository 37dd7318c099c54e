//! `wanproof collector backup`: a copy of the database and of the key.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::cli::collector::keys::own;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::store::keyfile;

/// Writes a whole copy of database and key.
pub(super) fn backup(source: &Source, dir: &Path) -> Result<(), Failure> {
    let (config, archive) = source.archive()?;
    let failed = |error: std::io::Error| {
        Failure::Could(format!("{} cannot be written: {error}", dir.display()))
    };
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Could(format!(
            "{} is there already: name a directory that is not, which is made",
            dir.display()
        )),
        _ => failed(error),
    })?;
    if !archive.copy_to(&dir.join("collector.db"))? {
        let _ = fs::remove_dir(dir);
        return Err(Failure::Could(
            "the database is PostgreSQL's: copy it by pg_dump or pg_basebackup, and the key file \
                beside it"
                .to_owned(),
        ));
    }
    // The database is of no use without the key that its receipts are by.
    keyfile::save(&dir.join("collector.key"), &own(&config)?)?;
    print::line(format_args!(
        "{}: collector.db and collector.key; to restore, put both where `database` and `key_file` \
            say while no collector runs",
        dir.display()
    ))
}
