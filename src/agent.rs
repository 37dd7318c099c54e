//! The edge program: probes, books what became of them, judges, records, signs, ships, and answers
//! who asks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tracing::info;

use crate::agent::changes::Changes;
use crate::agent::clock_trust::ClockTrust;
use crate::agent::hooks::Hooks;
use crate::agent::keys::{InUse, KeysFault};
use crate::agent::live::Live;
use crate::agent::liveness::Liveness;
use crate::agent::metrics::Metrics;
use crate::agent::outages::Outages;
use crate::agent::prober::Prober;
use crate::agent::recorder::{Recorder, Why};
use crate::agent::reload::Reading;
use crate::agent::ship_task::ShipTask;
use crate::agent::terms::Terms;
use crate::base::time::{Mono, Now, Wall};
use crate::config::agent::AgentConfig;
use crate::config::written::Faults;
use crate::evidence::key::Kid;
use crate::evidence::summary::ClockStep;
use crate::measure::event::ProbeId;
use crate::measure::lag::Lag;
use crate::measure::ledger::{Ledger, SettledSend};
use crate::measure::probe::Probe;
use crate::net::link::Links;
use crate::store::StoreError;

pub mod changes;
pub mod claims;
mod clock_trust;
pub mod hooks;
pub mod keys;
mod labels;
pub mod live;
mod liveness;
pub mod metrics;
mod minutes;
pub mod outages;
pub mod outbox;
mod paths;
pub mod prober;
pub mod recorder;
mod reload;
mod report;
pub mod review;
mod run_loop;
mod ship_task;
pub mod shipper;
mod start;
mod stop;
pub mod summariser;
pub mod terms;
pub mod warnings;

/// A summary's span where no collector says another.
const EVERY: Duration = Duration::from_secs(300);
/// How long the last summary may take to be shipped on a stop; it is shipped at the next start
/// otherwise. And how long the hooks may then take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration or a contract has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key.
    #[error(transparent)]
    Keys(#[from] KeysFault),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl AgentError {
    /// Whether the database is damaged, so that setting it aside is the way on.
    fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) | Self::Keys(KeysFault::Store(error)) => error.is_damage(),
            _ => false,
        }
    }
}

/// What a running agent is told from outside.
#[derive(Clone, Debug)]
pub enum Order {
    /// Read this configuration again: parse, check, then swap.
    Reload(PathBuf),
    /// End cleanly.
    Stop,
}

/// Runs the agent until it is told to stop; it tells `init` how it stands. It needs a
/// current-thread runtime with a `LocalSet`, whose thread has started no other yet.
///
/// # Errors
/// When it cannot begin. What goes wrong later is an outcome, an event or a log line; measuring
/// goes on.
pub async fn run(
    config: AgentConfig,
    mut orders: mpsc::Receiver<Order>,
    init: impl Fn(ServiceState),
) -> Result<(), AgentError> {
    let mut session = Session::begin(config)?;
    init(ServiceState::Ready);
    info!(probes = session.config.probes.len(), site = session.config.site, "measuring");
    session.work(&mut orders, &init).await;
    init(ServiceState::Stopping);
    session.end().await
}

/// How the agent stands, for the system's service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It measures; once more after each reload.
    Ready,
    /// It reads its configuration again.
    Reloading,
    /// Sends were settled since the last time that this was told.
    Alive,
    /// It ends.
    Stopping,
}

/// Everything that a measuring agent has before it.
struct Session {
    config: AgentConfig,
    agent: Kid,
    key: InUse,
    prober: Prober,
    /// The places of the probes, in the configuration's order.
    places: Vec<ProbeId>,
    /// The kernel's boot id.
    boot: String,
    clock_trust: ClockTrust,
    ledger: Ledger,
    outages: Outages,
    hooks: Hooks,
    metrics: Option<Metrics>,
    live: Live,
    terms: Terms,
    recorder: Recorder,
    writer: std::thread::JoinHandle<()>,
    window: JoinHandle<()>,
    ship_task: Option<ShipTask>,
    /// Summaries were asked for up to here.
    summarised: Wall,
    /// The hour in which a summary last said how the services stand.
    judged: Option<Wall>,
    steps: Vec<ClockStep>,
    /// The clock that what is held is to be labelled by, once the last of it is there.
    anchor: Option<(Now, Why)>,
    told: Vec<SettledSend>,
    links: Links,
    changes: Changes,
    /// How late it was itself with sends and with replies, since the last summary.
    late: [Lag; 2],
    /// How each probe leaves this host, by its place.
    exits: Vec<Option<Exit>>,
    /// When the interfaces of all were looked for, and of which it must be done before that is due
    /// again.
    looked: Option<Mono>,
    moved: BTreeSet<usize>,
    /// A new configuration that is being read.
    reading: Option<JoinHandle<Reading>>,
    liveness: Liveness,
    /// Is told whenever the collector gave its contracts.
    contracts: Arc<Notify>,
}

/// By what way a probe leaves this host.
struct Exit {
    probe: Arc<Probe>,
    /// The interface, as far as it was found.
    interface: Option<String>,
}

/// A summary's span.
fn every(config: &AgentConfig) -> Duration {
    config.collector.as_ref().map_or(EVERY, |collector| collector.every)
}

fn window_fault(config: &AgentConfig, source: std::io::Error) -> AgentError {
    AgentError::System {
        what: format!("the status socket {} cannot be made", config.status_socket.display()),
        source,
    }
}
