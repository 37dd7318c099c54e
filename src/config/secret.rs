//! Files that hold a secret: a token, a password, a private key. One that everybody on the host can
//! read, or that others than its owner can change, is no secret, and is refused. Its group may read
//! it: that is how root gives it to a service's user.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::written::Section;

/// Reading by everybody, writing by anybody but the owner.
const TOO_MUCH: u32 = 0o027;
/// A secret's file is never larger.
const LIMIT: u64 = 1 << 20;

/// Why a secret is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no file.
    #[error("{0}: this is not a regular file, so it is not taken as a secret")]
    NotAFile(PathBuf),
    /// Others have access.
    #[error(
        "{path}: everybody on this host can read it, or others can change it (mode {mode:04o}), \
         so it may be no secret any more: `chmod 640` it, with the group of whoever runs this, or \
         600; replace what is in it if somebody had access",
        path = .path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

fn open(path: &Path) -> Result<File, NoSecret> {
    let unreadable = |source| NoSecret::Unreadable { path: path.to_owned(), source };
    // A FIFO would block here, were it opened to wait.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    // Of the opened file, not of the path: it cannot be exchanged in between.
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(NoSecret::NotAFile(path.to_owned()));
    }
    if about.mode() & TOO_MUCH != 0 {
        return Err(NoSecret::Exposed { path: path.to_owned(), mode: about.mode() & 0o7777 });
    }
    Ok(file)
}

/// The text of a file that holds a secret.
///
/// # Errors
/// When it cannot be read, or others can read or change it.
pub fn read(path: &Path) -> Result<String, NoSecret> {
    let mut text = String::new();
    let unreadable = |source| NoSecret::Unreadable { path: path.to_owned(), source };
    open(path)?.take(LIMIT).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// A key that names a file with a secret, which must be there and be one.
#[cfg(feature = "collector")]
pub(super) fn named<'a>(section: &Section<'a>, key: &'a str, beside: &Path) -> Option<PathBuf> {
    let path = beside.join(section.needed_text(key)?);
    match open(&path) {
        Ok(_) => Some(path),
        Err(why) => {
            section.fault(format_args!("{key}: {why}"));
            None
        }
    }
}

/// The text of a file with a secret that a key names; the caller has asked for the key.
#[cfg(feature = "agent")]
pub(super) fn text_of(section: &Section<'_>, key: &str, path: &Path) -> Option<String> {
    match read(path) {
        Ok(text) => Some(text),
        Err(why) => {
            section.fault(format_args!("{key}: {why}"));
            None
        }
    }
}

/// Tells in words what is too open about a file that holds a secret among other things, such as a
/// configuration.
#[cfg(feature = "collector")]
pub(super) fn exposed(path: &Path) -> Option<NoSecret> {
    open(path).err().filter(|why| matches!(why, NoSecret::Exposed { .. }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_everybody_can_read_or_others_can_change_is_no_secret() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("token");
        std::fs::write(&path, "secret").unwrap();
        for mode in [0o644, 0o604, 0o660, 0o620, 0o602, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let why = read(&path).unwrap_err();
            assert!(matches!(why, NoSecret::Exposed { .. }), "{mode:o}");
            assert!(why.to_string().contains("chmod 640"), "{why}");
        }
        for mode in [0o600, 0o400, 0o640, 0o440] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).unwrap(), "secret", "{mode:o}");
        }
        assert!(matches!(read(at.path()), Err(NoSecret::NotAFile(_))));
        assert!(matches!(read(&at.path().join("none")), Err(NoSecret::Unreadable { .. })));
    }
}
