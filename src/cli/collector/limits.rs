//! What the system lets the collector's process have.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How glibc is told into how many arenas it may divide what it allocates (mallopt(3)).
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// What it is told: two arenas; what is larger than a mebibyte goes back to the system as soon as it
/// is freed, and so does more than four at the end of the heap. By itself glibc raises both bounds
/// after the first large body.
const ALLOCATOR: [(&str, &str); 3] =
    [(ARENAS, "2"), ("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "4194304")];

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

/// Starts this process anew, with its number and its arguments, where nothing says how many arenas
/// glibc may have: it reads that once, before any of this program runs. By itself it takes eight
/// for each processor, and each keeps what one burst of work once took.
pub fn of_the_allocator() {
    if std::env::var_os(ARENAS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only where it fails; then this process goes on as it is.
    let _ = again.args(arguments).envs(ALLOCATOR).exec();
}
