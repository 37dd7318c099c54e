//! Files that hold secrets, as their users make them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writes a file that only its owner can read.
pub fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
    std::fs::write(&path, text).expect("it can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}
