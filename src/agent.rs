//! The edge program: probes, books what became of them, judges, records, signs, ships, and answers who asks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::agent::changes::Changes;
use crate::agent::hooks::Hooks;
use crate::agent::inquest::{Attribution, Inquest};
use crate::agent::judge::{Judge, News};
use crate::agent::keys::{InUse, Keys, KeysFault};
use crate::agent::live::{Live, Window};
use crate::agent::metrics::Metrics;
use crate::agent::outbox::Recorded;
use crate::agent::prober::{Pace, Prober, World};
use crate::agent::recorder::Recorder;
use crate::agent::shipper::{Shipper, Shipping};
use crate::agent::summariser::{SpanState, Summariser};
use crate::agent::terms::Terms;
use crate::base::time::{Clock, Mono, Now, SystemClock, Wall};
use crate::config::agent::AgentConfig;
use crate::config::probe::settings_digest;
use crate::config::written::Faults;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::summary::{Clock as ClockPart, ClockState, ClockStep, LagPart, OwnLag};
use crate::measure::event::Event;
use crate::measure::lag::Lag;
use crate::measure::ledger::{Ledger, Told};
use crate::measure::probe::Probe;
use crate::net::clock::{Kept, health};
use crate::net::link::{self, Links};
use crate::store::intervals::Series;
use crate::store::{Found, Store, StoreError};

pub mod changes;
pub mod claims;
pub mod hooks;
pub mod inquest;
pub mod judge;
pub mod keys;
pub mod live;
pub mod metrics;
pub mod outbox;
pub mod prober;
pub mod recorder;
pub mod review;
pub mod shipper;
pub mod summariser;
pub mod terms;

/// A summary's span where no collector says another.
const EVERY: Duration = Duration::from_secs(300);
/// How long the last summary may take to be shipped on a stop; it is shipped at the next start otherwise. And how long the
/// hooks may then take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often the interfaces that lead to the targets are looked for.
const WAYS: Duration = Duration::from_secs(30);
/// Clock steps that are kept for the next summaries.
const STEPS: usize = 100;

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

/// Runs the agent until it is told to stop; `ready` is called once it measures. It needs a current-thread runtime with a
/// `LocalSet`.
///
/// # Errors
/// When it cannot begin. What goes wrong later is an outcome, an event or a log line; measuring goes on.
pub async fn run(
    mut config: AgentConfig,
    mut orders: mpsc::Receiver<Order>,
    ready: impl FnOnce(),
) -> Result<(), AgentError> {
    let mut ready = Some(ready);
    loop {
        let mut session = Session::begin(&config)?;
        if let Some(ready) = ready.take() {
            ready();
        }
        info!(probes = config.probes.len(), site = config.site, "measuring");
        let next = session.work(&mut orders).await;
        let hooks = session.end().await?;
        match next {
            // Whoever was to be told by the old configuration still is, meanwhile.
            Some(new) => config = *new,
            None => {
                hooks.end(FAREWELL).await;
                return Ok(());
            }
        }
    }
}

/// Everything that a measuring agent has before it.
struct Session {
    prober: Prober,
    ledger: Ledger,
    judge: Judge,
    inquest: Inquest,
    hooks: Hooks,
    metrics: Option<Metrics>,
    live: Live,
    terms: Terms,
    recorder: Recorder,
    writer: std::thread::JoinHandle<()>,
    window: JoinHandle<()>,
    courier: Option<Courier>,
    every: Duration,
    /// Summaries were asked for up to here.
    summarised: Wall,
    steps: Vec<ClockStep>,
    told: Vec<Told>,
    links: Links,
    changes: Changes,
    /// How late it was itself with sends and with replies, since the last summary.
    late: [Lag; 2],
    /// The interface that each probe leaves by, as far as it was found.
    ways: Vec<Option<String>>,
    /// When they were all looked for, and which must be looked for before they all are again.
    looked: Option<Mono>,
    moved: BTreeSet<usize>,
    probes: Vec<Probe>,
    config: AgentConfig,
    /// Is told whenever the collector gave its contracts.
    contracts: Arc<Notify>,
}

/// The task that ships, and how it is spoken to.
struct Courier {
    task: JoinHandle<()>,
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
}

impl Session {
    fn begin(config: &AgentConfig) -> Result<Self, AgentError> {
        // Before anything is made.
        Terms::load(config)?;
        let now = SystemClock.now();
        let (mut store, found) = Store::open(&config.data_dir, now.wall)?;
        if let Found::Damaged { aside, what } = &found {
            error!(aside = %aside.display(), what, "the database was damaged: it was set aside and a new one begun");
        }
        let (terms, keys, judge) = match take_up(config, &mut store, now.wall) {
            Err(error) if error.is_damage() => {
                let what = error.to_string();
                let aside = store.set_aside(now.wall, &what)?;
                error!(aside = %aside.display(), what, "the database was damaged: it was set aside and a new one begun");
                take_up(config, &mut store, now.wall)?
            }
            taken_up => taken_up?,
        };
        for note in &terms.notes {
            warn!("{note}");
        }
        let (agent, in_use) = (keys.agent, keys.shared());
        let every = config.collector.as_ref().map_or(EVERY, |collector| collector.every);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let summariser = Summariser { keys, site: config.site.clone(), boot, every };
        let services: Vec<Option<String>> = (0..config.probes.len()).map(|probe| terms.service_of(probe)).collect();
        let series = config.probes.iter().zip(&services).map(|(probe, service)| Series {
            probe: probe.name.clone(),
            service: service.clone(),
            kind: probe.kind().to_owned(),
            target: probe.target(),
            address: None,
            period_ms: probe.period_ms(),
            timeout_ms: u32::try_from(probe.timeout.as_millis()).unwrap_or(u32::MAX),
            cutoff_ms: u32::try_from(probe.cutoff.as_millis()).unwrap_or(u32::MAX),
            settings: settings_digest(probe),
        });
        let system = |what: &str| {
            let what = what.to_owned();
            move |source| AgentError::System { what, source }
        };
        let (recorder, writer) = Recorder::start(store, series.collect(), config.keep, summariser)
            .map_err(system("the writer's thread cannot be started"))?;
        let live = Live::new(agent.to_string(), config.site.clone(), &config.probes, &services);
        let window = Window::open(&config.status_socket)
            .map_err(system(&format!("the status socket {} cannot be made", config.status_socket.display())))?;
        let shown = live.clone();
        let window = tokio::task::spawn_local(async move { window.serve(&shown).await });
        let contracts = Arc::new(Notify::new());
        let recorded = Recorded { recorder: recorder.clone(), contracts: Arc::clone(&contracts) };
        let courier = Courier::send_off(config, agent, in_use, recorded)?;
        let shown = |listen| Metrics::start(listen, config.probes.len(), live.clone(), recorder.clone());
        let metrics = config.metrics.map(shown);
        let inquest = Inquest::new(&config.probes, live.clone());
        let prober = Prober::new(config.probes.clone(), World::system(Pace::Thrifty));
        // The book begins when probing does.
        let now = SystemClock.now();
        let ledger = Ledger::new(config.probes.iter().map(|probe| probe.period), every, now);
        Ok(Self {
            prober,
            ledger,
            judge,
            inquest,
            hooks: Hooks::start(&config.hooks),
            metrics,
            live,
            terms,
            recorder,
            writer,
            window,
            courier,
            every,
            summarised: now.wall,
            steps: Vec::new(),
            told: Vec::new(),
            links: Links::default(),
            changes: Changes::default(),
            late: [Lag::default(); 2],
            ways: vec![None; config.probes.len()],
            looked: None,
            moved: BTreeSet::new(),
            probes: config.probes.clone(),
            config: config.clone(),
            contracts,
        })
    }

    /// Measures until it is told to stop ([`None`]) or has a new configuration to go on with.
    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>) -> Option<Box<AgentConfig>> {
        // The page is turned in time even when nothing happens.
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut events = Vec::new();
        let contracts = Arc::clone(&self.contracts);
        loop {
            tokio::select! {
                () = contracts.notified() => {
                    if self.other_terms().await {
                        return Some(Box::new(self.config.clone()));
                    }
                }
                order = orders.recv() => match order {
                    Some(Order::Reload(path)) => {
                        if let Some(config) = self.reload(&path) {
                            return Some(Box::new(config));
                        }
                    }
                    Some(Order::Stop) | None => return None,
                },
                now = self.prober.next(&mut events) => self.take(&mut events, now),
                found = self.inquest.next() => found.iter().for_each(|attribution| self.attribute(attribution)),
                _ = tick.tick() => {
                    let now = SystemClock.now();
                    self.live.clock(clock_word(health().kept));
                    self.look_at_links(now);
                    self.tell_changes(now);
                    self.inquest.tick(now, self.ways.iter().flatten().map(String::as_str));
                    self.turn_page(now);
                }
            }
        }
    }

    /// Books the events up to `now` and hands over what is finished.
    fn take(&mut self, events: &mut Vec<Event>, now: Now) {
        self.book(events);
        self.turn_page(now);
    }

    /// Books events, and judges what they settle.
    fn book(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            self.ledger.apply(&event, &mut self.told);
            self.live.apply(&event);
            if let Some(metrics) = &self.metrics {
                metrics.apply(&event);
            }
            self.changes.take(&event);
            self.inquest.hear(&event);
            match event {
                Event::Address { probe, .. } => _ = self.moved.insert(probe.0 as usize),
                Event::Lag { send, receive } => {
                    self.late[0].add(send);
                    receive.into_iter().for_each(|receive| self.late[1].add(receive));
                }
                _ => {}
            }
        }
        let mut all = std::mem::take(&mut self.told);
        for told in all.drain(..) {
            self.inquest.take(&told);
            for news in self.judge.take(&told) {
                self.tell(told.probe.0 as usize, news);
            }
        }
        self.told = all;
    }

    /// Passes on what the judge has to tell of a probe.
    fn tell(&mut self, probe: usize, news: News) {
        announce(&news);
        match news {
            News::Opened(key, mut outage) => {
                self.inquest.opened(key, &mut outage, self.ways.get(probe).and_then(Option::as_deref));
                self.judge.attributed(key, &outage.side, &outage.evidence);
                self.hooks.tell(&outage);
                self.recorder.opened(key, outage);
            }
            News::Closed(key, mut outage, to) => {
                outage.to = Some(to);
                self.recorder.closed(key, to);
                if let Some(found) = self.inquest.closed(key, &outage) {
                    self.attribute(&found);
                    (outage.side, outage.evidence) = (found.side, found.evidence);
                }
                self.hooks.tell(&outage);
            }
            News::State(probe, state) => self.live.state(probe, state),
        }
    }

    /// Keeps whose side an outage is thought to lie on.
    fn attribute(&mut self, found: &Attribution) {
        self.judge.attributed(found.key, &found.side, &found.evidence);
        self.recorder.attributed(found.key, &found.side, found.evidence.clone());
    }

    fn turn_page(&mut self, now: Now) {
        if let Some(step) = self.ledger.advance(now) {
            warn!(by_ms = step.by_ns / 1_000_000, "the clock was stepped");
            self.recorder.note(step.at, "clock-step", format!("by {} ms", step.by_ns / 1_000_000));
            self.steps.push(ClockStep { at: step.at, by_us: step.by_ns / 1000 });
            self.steps.drain(..self.steps.len().saturating_sub(STEPS));
            self.summarised = self.summarised.min(step.at);
        }
        self.hand_over();
    }

    /// Notes what changed of the carriers. Which interfaces lead to the targets is looked for now and then: a route may
    /// change.
    fn look_at_links(&mut self, now: Now) {
        let all = self.looked.is_none_or(|looked| now.mono - looked >= WAYS);
        if all {
            self.looked = Some(now.mono);
            self.moved.extend(0..self.probes.len());
        }
        let addresses = link::Addresses::default();
        for at in std::mem::take(&mut self.moved) {
            let circuit = &self.probes[at].circuit;
            let towards = || addresses.interface_towards(circuit, self.live.address(at)?);
            // Without a carrier the route may be gone; then the interface that is known is the one to go on looking at.
            if let Some(name) = circuit.interface.clone().or_else(towards) {
                self.ways[at] = Some(name);
            }
        }
        let names: BTreeSet<&str> = self.ways.iter().flatten().map(String::as_str).collect();
        for (interface, carrier) in self.links.look(names, now.wall) {
            self.inquest.carrier(&interface, carrier, now.wall);
            let carrier = format!("{carrier:?}").to_lowercase();
            warn!(interface, carrier, "the carrier changed");
            self.recorder.note(now.wall, "carrier", format!("{interface}: {carrier}"));
        }
    }

    /// Enters in the journal what changed on the paths.
    fn tell_changes(&mut self, now: Now) {
        let probes = &self.probes;
        let name = |probe: u32| probes.get(probe as usize).map_or_else(String::new, |probe| probe.name.clone());
        for (kind, detail) in self.changes.lines(now.mono, name) {
            info!(kind, detail, "a path changed");
            self.recorder.note(now.wall, kind, detail);
        }
    }

    fn hand_over(&mut self) {
        for set in self.ledger.finished() {
            set.iter().for_each(|closed| self.live.closed(closed));
            self.recorder.siblings(set);
        }
        let complete = self.ledger.complete_until();
        if complete.floor(self.every) > self.summarised.floor(self.every) {
            self.summarise(complete);
        }
    }

    fn summarise(&mut self, until: Wall) {
        let health = health();
        let state = match health.kept {
            Kept::Synchronised => ClockState::Synchronised,
            Kept::Unsynchronised => ClockState::Unsynchronised,
            Kept::Unknown => ClockState::Unknown,
        };
        self.recorder.summarise(SpanState {
            until,
            clock: ClockPart { state, max_error_us: health.max_error_us, steps: self.steps.clone() },
            contracts: self.terms.references(),
            link: self.links.cut(),
            verdicts: Vec::new(),
            own_lag_us: own_lag(std::mem::take(&mut self.late)),
        });
        self.summarised = until;
        if let Some(courier) = &self.courier {
            courier.wake.notify_one();
        }
    }

    /// Reads the configuration again; a fault keeps the old one.
    fn reload(&self, path: &Path) -> Option<AgentConfig> {
        let new = crate::config::agent::load(path).and_then(|config| Terms::load(&config).map(|_| config));
        match new {
            Ok(config) => {
                info!(path = %path.display(), "the configuration was read again");
                self.recorder.note(SystemClock.now().wall, "reload", "the configuration was read again");
                Some(config)
            }
            Err(faults) => {
                warn!(%faults, "the new configuration has faults: the old one holds");
                self.recorder.note(SystemClock.now().wall, "reload-refused", faults.to_string());
                self.live.fault(Some(faults.to_string()));
                None
            }
        }
    }

    /// Whether the contracts that are kept, those of the collector among them, are others than those that are judged by.
    async fn other_terms(&self) -> bool {
        let Ok(kept) = self.recorder.ask(|store| store.contract_files()).await else { return false };
        let now = SystemClock.now().wall;
        let Ok(terms) = Terms::with_received(&self.config, &kept, now) else { return false };
        let other = terms.references() != self.terms.references();
        if other {
            let named: Vec<String> =
                terms.references().iter().map(|one| format!("{} version {}", one.id, one.version)).collect();
            let named = named.join(", ");
            info!(contracts = named, "other contracts hold: measuring goes on by them");
            self.recorder.note(now, "contracts", format!("judged by from now on: {named}"));
        }
        other
    }

    /// Ceases to send, waits for what is in the air, closes the books, signs, and ships what it can.
    /// Those who are told of outages may not have been told of the last ones yet.
    async fn end(mut self) -> Result<Hooks, AgentError> {
        let mut events = Vec::new();
        let now = self.prober.cease(&mut events);
        self.take(&mut events, now);
        self.ledger.close(now);
        self.prober.part(prober::PARTING, &mut events).await;
        self.book(&mut events);
        self.hand_over();
        self.summarise(SystemClock.now().wall);
        self.recorder.note(SystemClock.now().wall, "stop", crate::SOFTWARE);
        if let Some(courier) = self.courier.take() {
            let recorder = self.recorder.clone();
            let shipped = async {
                while recorder.ask(|store| store.tally()).await.is_ok_and(|tally| tally.waiting > 0) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let _ = tokio::time::timeout(FAREWELL, shipped).await;
            courier.end().await;
        }
        self.window.abort();
        if let Some(metrics) = self.metrics.take() {
            metrics.end().await;
        }
        self.recorder.stop();
        let writer = self.writer;
        // The writer's last commit may take a while on slow flash; other tasks need not run any more.
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .map_err(|error| AgentError::Other(error.to_string()))?
            .map_err(|_| AgentError::Other("the writer's thread failed".to_owned()))?;
        Ok(self.hooks)
    }
}

impl Courier {
    fn send_off(config: &AgentConfig, agent: Kid, key: InUse, outbox: Recorded) -> Result<Option<Self>, AgentError> {
        let Some(collector) = &config.collector else { return Ok(None) };
        let pinned = match &collector.key {
            Some(text) => Some(
                PublicKey::from_jwk(text)
                    .map_err(|error| AgentError::Other(format!("[collector]: key is no public key: {error}")))?,
            ),
            None => None,
        };
        let shipping = Shipping {
            url: collector.url.clone(),
            ca: collector.ca.clone(),
            agent,
            key,
            site: config.site.clone(),
            token: collector.token.as_ref().map(|token| token.0.clone()),
            collector: pinned,
        };
        let shipper = Shipper::new(outbox, shipping).map_err(|error| AgentError::Other(error.to_string()))?;
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::task::spawn_local(shipper.run(Arc::clone(&wake), stopped));
        Ok(Some(Self { task, wake, stop }))
    }

    async fn end(self) {
        let _ = self.stop.send(true);
        if self.task.await.is_err() {
            error!("the shipping task failed");
        }
    }
}

/// How late the agent was with sends and with replies, as a summary says it.
fn own_lag(late: [Lag; 2]) -> Option<OwnLag> {
    let micros = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    let [send, receive] = late.map(|lag| Some(LagPart { mean: micros(lag.mean()?), max: micros(lag.worst()) }));
    (send.is_some() || receive.is_some()).then_some(OwnLag { send, receive })
}

/// Takes up what the database knows, and writes what is new at a start.
fn take_up(config: &AgentConfig, store: &mut Store, now: Wall) -> Result<(Terms, Keys, Judge), AgentError> {
    let terms = Terms::with_received(config, &store.contract_files()?, now)?;
    let keys = Keys::open(&config.data_dir, store, now)?;
    store.set_site(&config.site)?;
    store.note(now, "start", crate::SOFTWARE)?;
    for contract in &terms.contracts {
        store.keep_contract(&contract.file)?;
    }
    let judge = Judge::new(config, &terms, store, now)?;
    Ok((terms, keys, judge))
}

fn announce(news: &News) {
    match news {
        News::Opened(_, outage) => {
            let service = outage.service.as_deref().unwrap_or("-");
            warn!(service, probe = outage.probe, from = %outage.from, by = outage.definition, "outage");
        }
        News::Closed(_, outage, to) => {
            let service = outage.service.as_deref().unwrap_or("-");
            info!(service, probe = outage.probe, from = %outage.from, %to, by = outage.definition, "outage over");
        }
        News::State(..) => {}
    }
}

fn clock_word(kept: Kept) -> &'static str {
    match kept {
        Kept::Synchronised => "synchronised",
        Kept::Unsynchronised => "unsynchronised",
        Kept::Unknown => "unknown",
    }
}
