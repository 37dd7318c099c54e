//! What a running agent says of itself, asked over its socket.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::agent::live::Snapshot;

/// Asks the running agent; [`None`] when none answers within a second.
pub(super) fn ask(socket: &Path) -> Option<Snapshot> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
