//! Whoever is asked to end ends: also where a thread waits for a file, a disk or a database that
//! never answers.

use std::process::exit;
use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Failure;
use crate::net::privileges;

/// An end that nothing holds up takes some twelve seconds at most; systemd kills after twenty
/// (systemd/*.service).
const LIMIT: Duration = Duration::from_secs(15);
/// What must be written is written: so long a thread that still works may take, one that never
/// returns does not.
const THREADS: Duration = Duration::from_secs(1);
/// Standard error may be what holds everything up.
const WORDS: Duration = Duration::from_secs(1);

/// From here on SIGTERM and SIGINT end this process within [`LIMIT`], with exit code 3 where it did
/// not end by itself. A thread of its own sees to it: the one that everything else runs on may be
/// what is held up. It has no capabilities.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn bound() -> Result<(), Failure> {
    let watch = || {
        privileges::drop_of_this_thread();
        let asked = super::runtime().ok().and_then(|runtime| runtime.block_on(asked()).ok());
        if asked.is_some() {
            std::thread::sleep(LIMIT);
            give_up();
        }
    };
    let thread = Builder::new().name("ending".to_owned()).spawn(watch);
    thread.map(drop).map_err(|error| Failure::Could(format!("the system gives no thread: {error}")))
}

/// Ends the runtime of a process that has done all it must.
pub(super) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(THREADS);
}

async fn asked() -> std::io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

#[expect(clippy::exit, reason = "what should have ended by itself did not")]
fn give_up() {
    let (told, telling) = mpsc::channel::<()>();
    let tell = move || {
        tracing::error!(
            "it was to end {} s ago and something holds it up, such as a disk or a file that does \
             not answer: it ends now, and what was not written yet is lost",
            LIMIT.as_secs()
        );
        drop(told);
    };
    if Builder::new().spawn(tell).is_ok() {
        let _ = telling.recv_timeout(WORDS);
    }
    exit(3);
}
