//! `wanproof collector serve`: runs the collector.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::cli::collector::limits;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, ending, log_to_stderr, runtime};
use crate::collector::{self, Collector};
use crate::config::collector::CollectorConfig;
use crate::config::written::Faults;
use crate::net::privileges;

/// Runs the collector until SIGTERM or SIGINT; SIGHUP reads the configuration again.
pub(super) fn serve(source: &Source) -> Result<(), Failure> {
    let config = source.load()?;
    log_to_stderr();
    let runtime = runtime()?;
    let ended = runtime.block_on(serve_by(config, &source.config));
    ending::end(runtime);
    ended
}

async fn serve_by(config: CollectorConfig, path: &Path) -> Result<(), Failure> {
    let listen = config.listen;
    // A port below 1024 may need a privilege; nothing else does, and no thread runs yet that had
    // one.
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| Failure::Could(format!("{listen} cannot be listened on: {error}")))?;
    privileges::drop_for_good();
    limits::of_the_process();
    let collector = Collector::open(config)?;
    let address = listener.local_addr().map_err(cannot_run)?;
    let mut signals = Signals::take().map_err(cannot_run)?;
    ending::bound()?;
    let (stop, mut stopped) = watch::channel(false);
    let stopping = async move {
        let _ = stopped.wait_for(|&stop| stop).await;
    };
    let serving = tokio::spawn(collector::serve(listener, Arc::clone(&collector), stopping));
    let kid = collector.key().kid();
    tracing::info!(
        %address, key = %kid, fingerprint = kid.fingerprint(), "the collector is listening"
    );
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    if let Some(within) = sd_notify::watchdog_enabled() {
        tokio::spawn(feed(within / 3, Arc::clone(&collector), serving.abort_handle()));
    }
    let ended = until_told(&mut signals, &collector, path).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("the collector is stopping");
    let _ = stop.send(true);
    match serving.await {
        Ok(served) => served.map_err(cannot_run).and(ended),
        Err(error) => Err(Failure::Could(format!(
            "the collector ended by a fault of this program, which is worth a report: {error}"
        ))),
    }
}

fn cannot_run(error: std::io::Error) -> Failure {
    Failure::Could(format!("the collector cannot run: {error}"))
}

/// The signals that the collector acts on.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}

/// Waits until the collector is to end, and reads its configuration whenever it is told to; a
/// failure where it ends since its database is damaged.
async fn until_told(
    signals: &mut Signals,
    collector: &Collector,
    path: &Path,
) -> Result<(), Failure> {
    let mut reading = None;
    loop {
        tokio::select! {
            _ = signals.term.recv() => return Ok(()),
            _ = signals.int.recv() => return Ok(()),
            _ = signals.hup.recv() => {
                // Another thread reads it; only the last reading counts.
                let path = path.to_owned();
                reading = Some(tokio::task::spawn_blocking(move || CollectorConfig::load(&path)));
            }
            read = read(&mut reading) => {
                reading = None;
                swap(read, collector);
            }
            () = collector.damaged() => return Err(Failure::Could(
                "the collector's database is damaged, and the collector ends: its next start \
                 salvages it; systemd starts it again by itself"
                    .to_owned(),
            )),
        }
    }
}

/// Feeds systemd's watchdog while the collector takes connections and works.
async fn feed(every: Duration, collector: Arc<Collector>, serving: AbortHandle) {
    let mut turn = tokio::time::interval(every);
    while !serving.is_finished() {
        turn.tick().await;
        if collector.works().await && !serving.is_finished() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// What reading a configuration gives.
type Reading = Result<CollectorConfig, Faults>;

/// Waits for a configuration that is being read; for ever, when none is.
async fn read(reading: &mut Option<JoinHandle<Reading>>) -> Reading {
    match reading {
        Some(reading) => reading
            .await
            .unwrap_or_else(|error| Err(Faults(vec![format!("it could not be read: {error}")]))),
        None => std::future::pending().await,
    }
}

/// Goes on by what was read; a fault changes nothing.
fn swap(read: Reading, collector: &Collector) {
    let reloaded = match read {
        Ok(config) => collector.reload(config).map_err(|error| error.to_string()),
        Err(faults) => Err(faults.in_a_line()),
    };
    match reloaded {
        Ok(()) => tracing::info!("the configuration was read again"),
        Err(what) => tracing::error!("the configuration stays as it was: {what}"),
    }
}
