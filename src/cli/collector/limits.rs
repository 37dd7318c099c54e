//! What the system lets the collector's process have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More is never needed: there are at most 65,536 connections.
const FILES: u64 = 131_072;

/// As many files open as it may have, since a connection is one; and no core, which would hold the
/// private key.
pub fn of_the_process() {
    let files = getrlimit(Resource::RLIMIT_NOFILE);
    if let Err(error) = files.and_then(|(soft, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(FILES)), hard)
    }) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!("a core may be left, which would hold the private key: {error}");
    }
}
