//! Writes key files so that a crash loses none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::KeyFault;

/// The mode of a key file.
pub(super) const MODE: u32 = 0o600;

/// For whom a key file is made.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// For whoever runs this.
    Whoever,
    /// For another, which only root can do.
    Of { user: u32, group: u32 },
}

impl Owner {
    /// Whose a file is; whoever runs this, where there is none.
    pub(super) fn like(file: &Path) -> Result<Self, KeyFault> {
        match fs::metadata(file) {
            Ok(about) => Ok(Self::Of { user: about.uid(), group: about.gid() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Whoever),
            Err(error) => Err(KeyFault::io(file, "examined")(error)),
        }
    }
}

pub(super) fn put(path: &Path, jwk: &str, owner: Owner) -> Result<(), KeyFault> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new.{}", std::process::id()));
    let beside = directory.join(name);
    let written = write(&beside, jwk, owner).and_then(|()| {
        fs::hard_link(&beside, path).map_err(KeyFault::io(path, "made"))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(KeyFault::io(path, "synced"))
    });
    let _ = fs::remove_file(&beside);
    written
}

/// Puts a key that is already on the disk into the place of the one that it succeeds, which is gone
/// then; both names are in one directory. A crash leaves either.
///
/// # Errors
/// When the file cannot be renamed.
pub fn succeed(next: &Path, present: &Path) -> Result<(), KeyFault> {
    fs::rename(next, present).map_err(KeyFault::io(present, "replaced"))?;
    let directory =
        present.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(KeyFault::io(present, "synced"))
}

pub(super) fn write(path: &Path, jwk: &str, owner: Owner) -> Result<(), KeyFault> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map_err(KeyFault::io(path, "made"))?;
    if let Owner::Of { user, group } = owner
        && nix::unistd::geteuid().is_root()
    {
        std::os::unix::fs::fchown(&file, Some(user), Some(group))
            .map_err(KeyFault::io(path, "given to its user"))?;
    }
    file.write_all(jwk.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(KeyFault::io(path, "written"))
}
