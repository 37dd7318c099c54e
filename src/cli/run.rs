//! `wanproof run`: the agent.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::agent::{self, AgentError, Order, ServiceState};
use crate::cli::source::named_or_usual;
use crate::cli::{Exit, Failure, ending};
use crate::config::agent::load;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's configuration [default: /etc/wanproof/agent.toml, else ./agent.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs it until SIGTERM or SIGINT; SIGHUP reads the configuration again.
///
/// # Errors
/// When it cannot begin.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let path = named_or_usual(args.config.as_deref());
    let config = load(&path).map_err(|faults| Failure::Usage(faults.to_string()))?;
    super::log_to_stderr();
    let runtime = super::runtime()?;
    let ended = LocalSet::new().block_on(&runtime, async move {
        let (orders, inbox) = mpsc::channel(8);
        listen(orders, path)?;
        ending::bound()?;
        let watchdog = Watchdog::new();
        agent::run(config, inbox, |standing| watchdog.tell(standing)).await.map_err(failure)?;
        Ok(Exit::Done)
    });
    ending::end(runtime);
    ended
}

/// What systemd is told of the agent, its watchdog no more often than it wants.
struct Watchdog {
    every: Option<Duration>,
    fed: Cell<Option<Instant>>,
}

impl Watchdog {
    fn new() -> Self {
        // Twice within the time after which it would bite, and some.
        Self { every: sd_notify::watchdog_enabled().map(|within| within / 3), fed: Cell::new(None) }
    }

    fn tell(&self, standing: ServiceState) {
        match standing {
            ServiceState::Ready => notify(&[NotifyState::Ready]),
            ServiceState::Stopping => notify(&[NotifyState::Stopping]),
            ServiceState::Reloading => match NotifyState::monotonic_usec_now() {
                Ok(now) => notify(&[NotifyState::Reloading, now]),
                Err(_) => notify(&[NotifyState::Reloading]),
            },
            ServiceState::Alive => {
                if let Some(every) = self.every
                    && self.fed.get().is_none_or(|fed| fed.elapsed() >= every)
                {
                    self.fed.set(Some(Instant::now()));
                    notify(&[NotifyState::Watchdog]);
                }
            }
        }
    }
}

/// Turns signals into orders.
fn listen(orders: mpsc::Sender<Order>, path: PathBuf) -> Result<(), Failure> {
    let on = |kind| {
        signal(kind).map_err(|error| Failure::Could(format!("signals cannot be caught: {error}")))
    };
    let (mut term, mut int, mut hup) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?);
    tokio::task::spawn_local(async move {
        loop {
            let order = tokio::select! {
                _ = term.recv() => Order::Stop,
                _ = int.recv() => Order::Stop,
                _ = hup.recv() => Order::Reload(path.clone()),
            };
            if orders.send(order).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Tells systemd; nothing happens where it does not listen.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// What a failure of the agent means for the exit code.
#[must_use]
pub fn failure(error: AgentError) -> Failure {
    match error {
        AgentError::Faults(faults) => Failure::Usage(faults.to_string()),
        error => Failure::Could(error.to_string()),
    }
}
