//! Starts the agent: opens what it needs, takes up what its database knows, and drops privileges.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{error, warn};

use crate::agent::changes::Changes;
use crate::agent::clock_trust::{self, ClockTrust, Labels, Since, Start};
use crate::agent::hooks::Hooks;
use crate::agent::keys::Keys;
use crate::agent::live::{Live, Window};
use crate::agent::liveness::Liveness;
use crate::agent::outages::{OutageDetector, Outages, Past};
use crate::agent::outbox::Recorded;
use crate::agent::prober::{Pace, Prober, World};
use crate::agent::recorder::{Recorder, Why};
use crate::agent::ship_task::ShipTask;
use crate::agent::summariser::Summariser;
use crate::agent::terms::Terms;
use crate::base::time::{Clock, Mono, Now, SystemClock, Wall};
use crate::config::agent::AgentConfig;
use crate::measure::event::ProbeId;
use crate::measure::lag::Lag;
use crate::measure::ledger::Ledger;
use crate::net::clock::health;
use crate::net::link::Links;
use crate::net::privileges::{self, Keep};
use crate::store::journal::Noted;
use crate::store::provisional::Doubt;
use crate::store::{Found, Store, StoreError};

use super::{AgentError, Session, every, window_fault};

/// What a start finds.
struct TakenUp {
    terms: Terms,
    keys: Keys,
    detector: OutageDetector,
    clock_trust: ClockTrust,
    labels: Vec<HeldOf>,
}

/// What is held of a boot, a reading of its clocks that it is to be labelled by, and why.
type HeldOf = (String, Now, Why);

impl Session {
    /// Everything that a measuring agent has before it. What needs a privilege comes first.
    pub(super) fn begin(config: AgentConfig) -> Result<Self, AgentError> {
        // Before anything is made.
        Terms::load(&config)?;
        let places: Vec<ProbeId> = (0..).map(ProbeId).take(config.probes.len()).collect();
        let boot = boot_id();
        let (store, taken_up) = open_store(&config, &places, &boot)?;
        let TakenUp { terms, keys, detector, clock_trust, labels } = taken_up;
        terms.notes.iter().for_each(|note| warn!("{note}"));
        let (agent, key) = (keys.agent, keys.shared());
        let live = Live::new(agent.to_string());
        let window =
            Window::open(&config.status_socket).map_err(|source| window_fault(&config, source))?;
        // Everything that may need a privilege is opened by now; whatever runs from here on has
        // none.
        let prober = Prober::new(terms.named().to_vec(), World::system(Pace::Thrifty));
        let outages = Outages::new(detector, &config.probes, live.clone());
        privileges::drop_all(kept_privileges(&config));
        let (recorder, writer) = start_recorder(&config, store, keys, &boot)?;
        let contracts = Arc::new(Notify::new());
        let outbox = Recorded { recorder: recorder.clone(), contracts: Arc::clone(&contracts) };
        let shipper = ShipTask::prepare(&config, agent, key.clone(), outbox)?;
        // The ledger begins when probing did, however long it took to come here.
        let now = clock_trust.now().at(prober.begun());
        let mut session = Self {
            ledger: begin_ledger(&config, &clock_trust, now),
            prober,
            places: Vec::new(),
            boot,
            clock_trust,
            outages,
            hooks: Hooks::start(&config.hooks),
            metrics: None,
            window: live.open(window),
            live,
            terms,
            recorder,
            writer,
            ship_task: ShipTask::start(shipper, None),
            summarised: now.wall,
            judged: None,
            steps: Vec::new(),
            anchor: None,
            told: Vec::new(),
            links: Links::default(),
            changes: Changes::default(),
            late: [Lag::default(); 2],
            exits: Vec::new(),
            looked: None,
            moved: BTreeSet::new(),
            reading: None,
            liveness: Liveness::new(now.mono),
            contracts,
            agent,
            key,
            config,
        };
        session.seat(places, now);
        labels.into_iter().for_each(|(boot, anchor, why)| session.label(boot, anchor, why));
        Ok(session)
    }
}

/// The kernel's name for this boot; empty where it has none.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Opens the database and takes up what it knows; one that is damaged is set aside.
fn open_store(
    config: &AgentConfig,
    places: &[ProbeId],
    boot: &str,
) -> Result<(Store, TakenUp), AgentError> {
    let now = SystemClock.now();
    let (mut store, found) = Store::open(&config.data_dir, now.wall)?;
    if let Found::Damaged { aside, what } = &found {
        error!(aside = %aside.display(), what, "the database was damaged: it was set aside \
            and a new one begun");
    }
    let taken_up = match take_up(config, places, &mut store, boot) {
        Err(error) if error.is_damage() => {
            let what = error.to_string();
            let aside = store.set_aside(now.wall, &what)?;
            error!(aside = %aside.display(), what, "the database was damaged: it was set \
                aside and a new one begun");
            take_up(config, places, &mut store, boot)?
        }
        taken_up => taken_up?,
    };
    Ok((store, taken_up))
}

fn start_recorder(
    config: &AgentConfig,
    store: Store,
    keys: Keys,
    boot: &str,
) -> Result<(Recorder, std::thread::JoinHandle<()>), AgentError> {
    let (site, boot) = (config.site.clone(), boot.to_owned());
    let summariser = Summariser { keys, site, boot, every: every(config) };
    Recorder::start(store, summariser).map_err(|source| {
        let what = "the writer's thread cannot be started".to_owned();
        AgentError::System { what, source }
    })
}

fn begin_ledger(config: &AgentConfig, clock_trust: &ClockTrust, now: Now) -> Ledger {
    let mut ledger = Ledger::new([], every(config), now);
    if clock_trust.is_doubted() {
        warn!(says = %SystemClock.now().wall, "the clock is not set yet: what is measured is \
            labelled once it is");
        ledger.hold();
    }
    ledger
}

/// Takes up what the database knows, and writes what is new at a start.
fn take_up(
    config: &AgentConfig,
    places: &[ProbeId],
    store: &mut Store,
    boot: &str,
) -> Result<TakenUp, AgentError> {
    let (clock_trust, labels) = store.together(|store| look_at_clock(config, store, boot))?;
    let now = clock_trust.now();
    let terms = Terms::with_received(config, &store.contract_files()?, clock_trust.at_least())?;
    let keys = Keys::open(&config.data_dir, store, now.wall)?;
    store.note(now.wall, Noted::Start, crate::SOFTWARE)?;
    let known = if clock_trust.is_doubted() { Labels::Provisional } else { Labels::Known };
    let detector =
        OutageDetector::new(config, &terms, places, store, &Past { now, boot, labels: known })?;
    Ok(TakenUp { terms, keys, detector, clock_trust, labels })
}

/// Whether the clock is set, and what is held that can be labelled now.
fn look_at_clock(
    config: &AgentConfig,
    store: &Store,
    boot: &str,
) -> Result<(ClockTrust, Vec<HeldOf>), StoreError> {
    let now = SystemClock.now();
    let before = store.doubt()?;
    let within = before.as_ref().filter(|doubt| doubt.boot == boot);
    let (mut clock_trust, start) = match boot {
        // Without a name for this boot nothing could be told to be of it.
        "" => (ClockTrust::default(), Start::Relied),
        _ => ClockTrust::begin(now, health().discipline, store.newest()?, within),
    };
    if let Some(doubt) = &before
        && start != Start::Doubted(Since::Before)
    {
        // Of a boot that is over, what was shown as it happened is labelled as what is held is.
        let ahead_ns = if doubt.boot == boot { clock_trust::ahead(now) } else { 0 };
        store.end_doubt(ahead_ns.saturating_sub(doubt.ahead_ns), Wall::from_nanos(i64::MAX))?;
    }
    if let (Start::Doubted(Since::Now), Some(ahead_ns)) = (&start, clock_trust.ahead_ns()) {
        store.begin_doubt(&Doubt { boot: boot.to_owned(), ahead_ns })?;
        store.note(
            clock_trust.read(now).wall,
            Noted::ClockUnset,
            "the clock is not set yet: what is measured is labelled once it is",
        )?;
    }
    clock_trust.limit(store.held_bytes()?, config.keep.max_bytes);
    let mut labels = Vec::new();
    for held in store.held_boots()? {
        if held != boot {
            labels.push((
                held,
                Now { wall: Wall::default(), mono: Mono::default() },
                Why::OtherBoot,
            ));
        } else if !clock_trust.is_doubted() {
            labels.push((held, now, Why::Set));
        }
    }
    Ok((clock_trust, labels))
}

/// What the probes need whenever they send.
fn kept_privileges(config: &AgentConfig) -> Keep {
    let marked = config.probes.iter().any(|probe| probe.circuit.mark.is_some());
    if marked { Keep::Marks } else { Keep::Nothing }
}
