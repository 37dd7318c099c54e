//! `wanproof run`: the agent.

use std::path::PathBuf;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::agent::{self, AgentError, Order};
use crate::cli::source::USUAL;
use crate::cli::{Exit, Failure};
use crate::config::agent::load;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's configuration
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,
}

/// Runs it until SIGTERM or SIGINT; SIGHUP reads the configuration again.
///
/// # Errors
/// When it cannot begin.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = load(&args.config).map_err(|faults| Failure::Usage(faults.to_string()))?;
    super::log_to_stderr();
    let runtime = super::runtime()?;
    let path = args.config.clone();
    LocalSet::new().block_on(&runtime, async move {
        let (orders, inbox) = mpsc::channel(8);
        listen(orders, path)?;
        agent::run(config, inbox, || notify(&[NotifyState::Ready])).await.map_err(failure)?;
        Ok(Exit::Done)
    })
}

/// Turns signals into orders.
fn listen(orders: mpsc::Sender<Order>, path: PathBuf) -> Result<(), Failure> {
    let on = |kind| signal(kind).map_err(|error| Failure::Could(format!("signals cannot be caught: {error}")));
    let (mut term, mut int, mut hup) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?);
    tokio::task::spawn_local(async move {
        loop {
            let order = tokio::select! {
                _ = term.recv() => Order::Stop,
                _ = int.recv() => Order::Stop,
                _ = hup.recv() => Order::Reload(path.clone()),
            };
            if matches!(order, Order::Stop) {
                notify(&[NotifyState::Stopping]);
            }
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
