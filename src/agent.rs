//! The edge program: probes, books what became of them, judges, records, signs, ships, and answers
//! who asks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tracing::{Level, debug, enabled, error, info, warn};

use crate::agent::changes::Changes;
use crate::agent::clock_trust::{ClockTrust, End, Since, Start};
use crate::agent::diagnosis::{Attribution, Diagnosis};
use crate::agent::hooks::Hooks;
use crate::agent::keys::{InUse, Keys, KeysFault};
use crate::agent::live::{Live, Window};
use crate::agent::liveness::Liveness;
use crate::agent::metrics::Metrics;
use crate::agent::outage_detector::{Every, Labels, News, OutageDetector, Past};
use crate::agent::outbox::Recorded;
use crate::agent::prober::{Pace, Prober, World};
use crate::agent::recorder::{Label, Recorder, Why};
use crate::agent::reload::{Reading, read};
use crate::agent::review::Judged;
use crate::agent::ship_task::ShipTask;
use crate::agent::summariser::{SpanState, Summariser};
use crate::agent::terms::Terms;
use crate::base::time::{Clock, Mono, Now, SystemClock, Wall};
use crate::config::agent::AgentConfig;
use crate::config::written::Faults;
use crate::evidence::key::Kid;
use crate::evidence::summary::{Clock as ClockPart, ClockState, ClockStep, LagPart, OwnLag};
use crate::measure::event::{Event, ProbeId, Settled};
use crate::measure::lag::Lag;
use crate::measure::ledger::{Ledger, SettledSend};
use crate::measure::probe::Probe;
use crate::net::clock::{Kept, health};
use crate::net::link::{self, Links};
use crate::net::privileges::{self, Keep};
use crate::store::journal::Noted;
use crate::store::provisional::{Doubt, NOT_SET};
use crate::store::{Found, Store, StoreError};

pub mod changes;
pub mod claims;
mod clock_trust;
pub mod diagnosis;
pub mod hooks;
pub mod keys;
pub mod live;
mod liveness;
pub mod metrics;
pub mod outage_detector;
pub mod outbox;
pub mod prober;
pub mod recorder;
mod reload;
pub mod review;
mod ship_task;
pub mod shipper;
pub mod summariser;
pub mod terms;
pub mod warnings;

/// A summary's span where no collector says another.
const EVERY: Duration = Duration::from_secs(300);
/// How long the last summary may take to be shipped on a stop; it is shipped at the next start
/// otherwise. And how long the hooks may then take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often a summary says how the services stand.
const HOUR: Duration = Duration::from_secs(3600);
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

/// Runs the agent until it is told to stop; it tells `init` how it stands. It needs a
/// current-thread runtime with a `LocalSet`, whose thread has started no other yet.
///
/// # Errors
/// When it cannot begin. What goes wrong later is an outcome, an event or a log line; measuring
/// goes on.
pub async fn run(
    config: AgentConfig,
    mut orders: mpsc::Receiver<Order>,
    init: impl Fn(Standing),
) -> Result<(), AgentError> {
    let mut session = Session::begin(config)?;
    init(Standing::Ready);
    info!(probes = session.config.probes.len(), site = session.config.site, "measuring");
    session.work(&mut orders, &init).await;
    init(Standing::Stopping);
    session.end().await
}

/// How the agent stands, for the system's service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
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
    judge: OutageDetector,
    diagnosis: Diagnosis,
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

impl Session {
    fn begin(config: AgentConfig) -> Result<Self, AgentError> {
        // Before anything is made.
        Terms::load(&config)?;
        let now = SystemClock.now();
        let (mut store, found) = Store::open(&config.data_dir, now.wall)?;
        if let Found::Damaged { aside, what } = &found {
            error!(aside = %aside.display(), what, "the database was damaged: it was set aside \
                and a new one begun");
        }
        let places: Vec<ProbeId> = (0..).map(ProbeId).take(config.probes.len()).collect();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .unwrap_or_default()
            .trim()
            .to_owned();
        let taken_up = match take_up(&config, &places, &mut store, &boot) {
            Err(error) if error.is_damage() => {
                let what = error.to_string();
                let aside = store.set_aside(now.wall, &what)?;
                error!(aside = %aside.display(), what, "the database was damaged: it was set \
                    aside and a new one begun");
                take_up(&config, &places, &mut store, &boot)?
            }
            taken_up => taken_up?,
        };
        let TakenUp { terms, keys, judge, clock_trust, labels } = taken_up;
        terms.notes.iter().for_each(|note| warn!("{note}"));
        let (agent, key) = (keys.agent, keys.shared());
        let live = Live::new(agent.to_string());
        let window =
            Window::open(&config.status_socket).map_err(|source| window_fault(&config, source))?;
        // Everything that may need a privilege is opened by now; whatever runs from here on has
        // none.
        let prober = Prober::new(terms.named().to_vec(), World::system(Pace::Thrifty));
        let mut diagnosis = Diagnosis::new(live.clone());
        diagnosis.open_ways(&config.probes);
        privileges::drop_all(kept_privileges(&config));
        let summariser = Summariser {
            keys,
            site: config.site.clone(),
            boot: boot.clone(),
            every: every(&config),
        };
        let (recorder, writer) = Recorder::start(store, summariser).map_err(|source| {
            let what = "the writer's thread cannot be started".to_owned();
            AgentError::System { what, source }
        })?;
        let contracts = Arc::new(Notify::new());
        let recorded = Recorded { recorder: recorder.clone(), contracts: Arc::clone(&contracts) };
        let ship_task =
            ShipTask::start(ShipTask::prepare(&config, agent, key.clone(), recorded)?, None);
        // The book begins when probing did, however long it took to come here.
        let now = clock_trust.now().at(prober.begun());
        let mut ledger = Ledger::new([], every(&config), now);
        if clock_trust.is_doubted() {
            warn!(says = %SystemClock.now().wall, "the clock is not set yet: what is measured is \
                labelled once it is");
            ledger.hold();
        }
        let mut session = Self {
            prober,
            places: Vec::new(),
            boot,
            clock_trust,
            ledger,
            judge,
            diagnosis,
            hooks: Hooks::start(&config.hooks),
            metrics: None,
            window: live.open(window),
            live,
            terms,
            recorder,
            writer,
            ship_task,
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
        for (boot, anchor, why) in labels {
            session.label(boot, anchor, why);
        }
        Ok(session)
    }

    /// Measures until it is told to stop.
    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>, init: &impl Fn(Standing)) {
        // The page is turned in time even when nothing happens.
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut events = Vec::new();
        let contracts = Arc::clone(&self.contracts);
        loop {
            tokio::select! {
                () = contracts.notified() => {
                    self.take_contracts().await;
                }
                order = orders.recv() => match order {
                    Some(Order::Reload(path)) => {
                        init(Standing::Reloading);
                        self.read_again(path);
                    }
                    Some(Order::Stop) | None => return,
                },
                read = read(&mut self.reading) => {
                    self.reading = None;
                    self.swap(read);
                    init(Standing::Ready);
                }
                now = self.prober.next(&mut events) => self.take(&mut events, now),
                found = self.diagnosis.next() => found.iter().for_each(|attribution| self.attribute(attribution)),
                _ = tick.tick() => {
                    let reading = SystemClock.now();
                    let now = self.clock_trust.read(reading);
                    self.live.clock(clock_word(health().kept), self.labels());
                    self.look_at_links(now);
                    self.tell_changes(now);
                    let interfaces = self.exits.iter().flatten().filter_map(|exit| exit.interface.as_deref());
                    let found = self.diagnosis.tick(now, interfaces);
                    found.iter().for_each(|attribution| self.attribute(attribution));
                    self.turn_page(reading);
                    if self.liveness.beats(now.mono) && !self.writer.is_finished() {
                        init(Standing::Alive);
                    }
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
        let now = SystemClock.now().mono;
        let shows_probes = enabled!(Level::DEBUG);
        for event in events.drain(..) {
            if shows_probes && let Event::Settled(settled) = &event {
                show(&self.live, settled);
            }
            self.ledger.apply(&event, &mut self.told);
            self.live.apply(&event);
            if let Some(metrics) = &self.metrics {
                metrics.apply(&event);
            }
            self.changes.take(&event);
            self.diagnosis.hear(&event);
            match event {
                Event::Address { probe, .. } => _ = self.moved.insert(probe.0 as usize),
                Event::Settled(settled) => self.liveness.settled(&settled, now),
                Event::Lag { send, receive } => {
                    self.late[0].add(send);
                    receive.into_iter().for_each(|receive| self.late[1].add(receive));
                }
                _ => {}
            }
        }
        let mut all = std::mem::take(&mut self.told);
        for told in all.drain(..) {
            self.diagnosis.take(&told);
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
                if self.clock_trust.is_doubted() {
                    outage.evidence["clock"] = NOT_SET.into();
                }
                let exit = self.exits.get(probe).and_then(Option::as_ref);
                self.diagnosis.opened(
                    key,
                    &mut outage,
                    exit.and_then(|exit| exit.interface.as_deref()),
                );
                let evidence = std::mem::take(&mut outage.evidence);
                outage.evidence = self.judge.attributed(key, &outage.side, evidence);
                self.changes.outage(&outage);
                self.hooks.tell(&outage);
                self.recorder.opened(key, outage);
            }
            News::Closed(key, mut outage, to) => {
                outage.to = Some(to);
                if let Some(found) = self.diagnosis.closed(key, &outage) {
                    self.attribute(&found);
                    (outage.side, outage.evidence) = (found.side, found.evidence);
                }
                // Whoever reads its end finds all that is known of it by then.
                self.recorder.closed(key, to);
                self.changes.outage(&outage);
                self.hooks.tell(&outage);
            }
            News::State(probe, state) => self.live.state(probe, state),
        }
    }

    /// Keeps whose side an outage is thought to lie on.
    fn attribute(&mut self, found: &Attribution) {
        let evidence = self.judge.attributed(found.key, &found.side, found.evidence.clone());
        self.recorder.attributed(found.key, &found.side, evidence);
    }

    /// Has why the sends of open outages failed written down, where it is another reason than
    /// before.
    fn write_reasons(&mut self, every: Every) {
        for (key, outage) in self.judge.reasons_anew(every) {
            self.recorder.attributed(key, &outage.side, outage.evidence);
        }
    }

    /// Turns the pages up to a reading of the clocks.
    fn turn_page(&mut self, reading: Now) {
        let before = self.clock_trust.read(reading).wall;
        if let Some(end) = self.clock_trust.look(reading, || health().kept) {
            self.rely_on_clock(reading, before, end);
        }
        let now = self.clock_trust.read(reading);
        if let Some(step) = self.ledger.advance(now) {
            warn!(by_ms = step.by_ns / 1_000_000, "the clock was stepped");
            self.recorder.note(
                step.at,
                Noted::ClockStep,
                format!("by {} ms", step.by_ns / 1_000_000),
            );
            self.steps.push(ClockStep { at: step.at, by_us: step.by_ns / 1000 });
            self.steps.drain(..self.steps.len().saturating_sub(STEPS));
            self.summarised = self.summarised.min(step.at);
        }
        self.hand_over();
    }

    /// Labels hold from this reading on, where they were provisional: what had them is moved to
    /// where it was.
    fn rely_on_clock(&mut self, reading: Now, before: Wall, end: End) {
        let by_ns = reading.wall.nanos_since(before);
        match end {
            End::Set => {
                info!(
                    by_ms = by_ns / 1_000_000,
                    "the clock was set: what was measured before is labelled by it"
                )
            }
            End::GivenUp => {
                warn!("nothing set the clock: what was measured is labelled by the clock as it is")
            }
        }
        self.ledger.label_by(reading);
        self.judge.shift(by_ns);
        self.diagnosis.shift(by_ns);
        self.links.shift(by_ns);
        self.recorder.end_doubt(by_ns, before);
        self.summarised = reading.wall;
        self.anchor = Some((reading, if end == End::Set { Why::Set } else { Why::GivenUp }));
        // Another day may have other versions of contracts.
        self.contracts.notify_one();
    }

    /// Whether labels are the clock's.
    const fn labels(&self) -> Labels {
        if self.clock_trust.is_doubted() { Labels::Provisional } else { Labels::Known }
    }

    /// Has what is held of a boot labelled.
    fn label(&self, boot: String, anchor: Now, why: Why) {
        let state = match why {
            Why::OtherBoot => ClockState::Unsynchronised,
            Why::Set | Why::GivenUp => clock_state(health().kept),
        };
        let span = SpanState {
            until: self.clock_trust.now().wall,
            clock: ClockPart { state, max_error_us: None, steps: Vec::new() },
            contracts: self.terms.references(),
            link: Vec::new(),
            judged: Vec::new(),
            own_lag_us: None,
        };
        self.recorder.label(Label { boot, anchor, why, span });
    }

    /// Notes what changed of the carriers. Which interfaces lead to the targets is looked for now
    /// and then: a route may change.
    fn look_at_links(&mut self, now: Now) {
        let all = self.looked.is_none_or(|looked| now.mono - looked >= WAYS);
        if all {
            self.looked = Some(now.mono);
            self.moved.extend(0..self.exits.len());
        }
        let addresses = link::Addresses::default();
        for at in std::mem::take(&mut self.moved) {
            let Some(Some(exit)) = self.exits.get_mut(at) else { continue };
            let towards =
                || addresses.interface_towards(&exit.probe.circuit, self.live.address(at)?);
            // Without a carrier the route may be gone; then the interface that is known is the one
            // to go on looking at.
            if let Some(name) = exit.probe.circuit.interface.clone().or_else(towards) {
                exit.interface = Some(name);
            }
        }
        let names: BTreeSet<&str> =
            self.exits.iter().flatten().filter_map(|exit| exit.interface.as_deref()).collect();
        for (interface, carrier) in self.links.look(names, now.wall) {
            self.diagnosis.carrier(&interface, carrier, now.wall);
            let carrier = format!("{carrier:?}").to_lowercase();
            warn!(interface, carrier, "the carrier changed");
            self.recorder.note(now.wall, Noted::Carrier, format!("{interface}: {carrier}"));
        }
    }

    /// Enters in the journal what changed on the paths.
    fn tell_changes(&mut self, now: Now) {
        let live = &self.live;
        let name = |probe: u32| live.name(probe as usize).unwrap_or_default();
        for (kind, detail) in self.changes.lines(now.mono, name) {
            // Outages are in the log already, one by one.
            if kind != Noted::Outage {
                info!(kind = kind.word(), detail, "a path changed");
            }
            self.recorder.note(now.wall, kind, detail);
        }
    }

    fn hand_over(&mut self) {
        let finished = self.ledger.finished();
        if !finished.is_empty() {
            // Beside a minute that is written anyway.
            self.write_reasons(Every::Change);
        }
        for set in finished {
            set.iter().for_each(|closed| self.live.closed(closed));
            let held: Vec<u64> = set
                .iter()
                .filter_map(|closed| Some(closed.provisional.as_ref()?.weight()))
                .collect();
            if held.is_empty() {
                self.label_held();
            }
            self.clock_trust.holds(held.iter().sum());
            self.recorder.siblings(set);
        }
        if self.clock_trust.is_doubted() || self.anchor.is_some() {
            return;
        }
        let complete = self.ledger.complete_until();
        let every = every(&self.config);
        if complete.floor(every) > self.summarised.floor(every) {
            self.summarise(complete);
        }
    }

    /// Has what is held labelled, all of which was handed over.
    fn label_held(&mut self) {
        if let Some((anchor, why)) = self.anchor.take() {
            self.label(self.boot.clone(), anchor, why);
        }
    }

    fn summarise(&mut self, until: Wall) {
        let health = health();
        let judged = self.hourly(until);
        let state = clock_state(health.kept);
        self.recorder.summarise(SpanState {
            until,
            clock: ClockPart {
                state,
                max_error_us: health.max_error_us,
                steps: self.steps.clone(),
            },
            contracts: self.terms.references(),
            link: self.links.cut(),
            judged,
            own_lag_us: own_lag(std::mem::take(&mut self.late)),
        });
        self.summarised = until;
        if let Some(ship_task) = &self.ship_task {
            ship_task.wake.notify_one();
        }
    }

    /// The contracts, once an hour: how the services stand is said in the first summary of each.
    fn hourly(&mut self, until: Wall) -> Vec<Judged> {
        let hour = until.floor(HOUR);
        if self.judged.replace(hour) == Some(hour) { Vec::new() } else { self.terms.judged() }
    }

    /// Ceases to send, waits for what is in the air, closes the books, signs, and ships what it
    /// can.
    async fn end(mut self) -> Result<(), AgentError> {
        let mut events = Vec::new();
        let now = self.prober.cease(&mut events);
        self.take(&mut events, now);
        self.ledger.close(self.clock_trust.read(now));
        self.prober.part(prober::PARTING, &mut events).await;
        self.book(&mut events);
        self.hand_over();
        self.write_reasons(Every::Count);
        self.changes.hurry();
        self.tell_changes(self.clock_trust.now());
        self.label_held();
        let now = self.clock_trust.now().wall;
        if !self.clock_trust.is_doubted() {
            self.summarise(now);
        }
        self.recorder.note(now, Noted::Stop, crate::SOFTWARE);
        if let Some(ship_task) = self.ship_task.take() {
            let recorder = self.recorder.clone();
            let shipped = async {
                while recorder.ask(|store| store.tally()).await.is_ok_and(|tally| tally.waiting > 0)
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let _ = tokio::time::timeout(FAREWELL, shipped).await;
            ship_task.end().await;
        }
        self.window.abort();
        if let Some(metrics) = self.metrics.take() {
            metrics.end().await;
        }
        self.recorder.stop();
        let writer = self.writer;
        // The writer's last commit may take a while on slow flash; other tasks need not run any
        // more.
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .map_err(|error| AgentError::Other(error.to_string()))?
            .map_err(|_| AgentError::Other("the writer's thread failed".to_owned()))?;
        self.hooks.end(FAREWELL).await;
        Ok(())
    }
}

/// What the probes need whenever they send.
fn kept_privileges(config: &AgentConfig) -> Keep {
    let marked = config.probes.iter().any(|probe| probe.circuit.mark.is_some());
    if marked { Keep::Marks } else { Keep::Nothing }
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

/// How late the agent was with sends and with replies, as a summary says it.
fn own_lag(late: [Lag; 2]) -> Option<OwnLag> {
    let micros = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    let [send, receive] =
        late.map(|lag| Some(LagPart { mean: micros(lag.mean()?), max: micros(lag.worst()) }));
    (send.is_some() || receive.is_some()).then_some(OwnLag { send, receive })
}

/// What a start finds.
struct TakenUp {
    terms: Terms,
    keys: Keys,
    judge: OutageDetector,
    clock_trust: ClockTrust,
    labels: Vec<HeldOf>,
}

/// What is held of a boot, a reading of its clocks that it is to be labelled by, and why.
type HeldOf = (String, Now, Why);

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
    let judge =
        OutageDetector::new(config, &terms, places, store, &Past { now, boot, labels: known })?;
    Ok(TakenUp { terms, keys, judge, clock_trust, labels })
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
        _ => ClockTrust::begin(now, health().kept, store.newest()?, within),
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

/// Logs what became of a send.
fn show(live: &Live, settled: &Settled) {
    let probe = live.name(settled.probe.0 as usize);
    let reason = settled.reason.as_ref().map(ToString::to_string);
    #[expect(clippy::cast_precision_loss, reason = "an RTT in nanoseconds is far below 2^53")]
    let rtt_us = settled.rtt_ns.map(|rtt| rtt as f64 / 1000.0);
    debug!(probe, send = settled.send, outcome = settled.outcome.word(), reason, rtt_us, "settled");
}

fn announce(news: &News) {
    match news {
        News::Opened(_, outage) => {
            let (service, reason) =
                (outage.service.as_deref().unwrap_or("-"), outage.reasons().first());
            warn!(
                service,
                probe = outage.probe,
                from = %outage.from,
                by = outage.definition,
                reason,
                "outage"
            );
        }
        News::Closed(_, outage, to) => {
            let (service, reason) =
                (outage.service.as_deref().unwrap_or("-"), outage.reasons().first());
            info!(
                service,
                probe = outage.probe,
                from = %outage.from,
                %to,
                by = outage.definition,
                reason,
                "outage over"
            );
        }
        News::State(..) => {}
    }
}

const fn clock_state(kept: Kept) -> ClockState {
    match kept {
        Kept::Synchronised => ClockState::Synchronised,
        Kept::Unsynchronised => ClockState::Unsynchronised,
        Kept::Unknown => ClockState::Unknown,
    }
}

fn clock_word(kept: Kept) -> &'static str {
    match kept {
        Kept::Synchronised => "synchronised",
        Kept::Unsynchronised => "unsynchronised",
        Kept::Unknown => "unknown",
    }
}
