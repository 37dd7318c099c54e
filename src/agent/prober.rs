//! The prober: sends every probe when it is due, reads what comes back, and tells what became of each.
//!
//! One loop does it all. It wakes when a send is due or something may have come in, does everything that is to be done in
//! one pass without waiting for anything, and sleeps again; kernel stamps make its punctuality irrelevant to what is
//! measured. What it decides is decided by [`Schedule`] and [`Flight`], which know no socket and no clock.
//!
//! # What it promises
//!
//! For each probe [`Event::Due`] comes in the order of the sends, without a hole, before its [`Event::Settled`], which comes
//! exactly once. Over all probes [`Event::Due`] comes in the order of time. Nothing that fails here ends it: what cannot be
//! sent is not sent, for a reason that is told, and tried again when it is due again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::base::time::{Clock, Mono, Now, SystemClock};
use crate::evidence::summary::Carrier;
use crate::measure::event::{Event, ProbeId, Settled};
use crate::measure::flight::{Answer, Departure, Doubt, Flight, Patience, Time};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Attempt, Circuit, Family as Wanted, Probe, Test};
use crate::measure::rtt::{Reading, Timeline};
use crate::measure::schedule::{Chance, Schedule, Turn, patience};
use crate::net::alarm::Alarm;
use crate::net::icmp::{self, Arrival, Best, Drained, Echo, Engine, Family, Heard, Means, Token, Whose};
use crate::net::requests::Requester;
use crate::net::resolve::{Resolution, Resolver, Watch};

mod outlet;
#[cfg(test)]
mod tests;
mod ways;

use outlet::{IDENTS, Outlets};
use ways::{Way, Ways};

/// A process that woke this much later than it had asked to did not observe what happened meanwhile.
pub const STALL: Duration = Duration::from_millis(500);
/// How long what is in the air at the end is waited for.
pub const PARTING: Duration = Duration::from_secs(5);
/// Being late by less than this is not worth telling.
const TOLD_LAG: Duration = Duration::from_millis(50);
/// Events of one pass, beyond which the rest of a backlog is left to the next one.
const PASS: usize = 8192;
/// Readings of one port in one pass.
const READS: usize = 64;
/// The longest sleep: a suspend is noticed no later than this after it.
const LONGEST: Duration = Duration::from_secs(1);
/// So many sends are gathered where that does not take long.
const GATHERED: u64 = 5;
/// After so many losses in a row a probe's identifier is changed.
const SILENT: u32 = 10;
/// The time between the first sends to two targets, for somebody who watches.
const CLOSE: Duration = Duration::from_millis(10);
/// The places that a packet can name; see [`Lane::wire`].
const PLACES: u32 = 0x00ff_ffff;

/// How soon what has come in is looked at. It changes no figure: the kernel's stamps do not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pace {
    /// For an agent: in batches, with as few wake-ups as can be.
    #[default]
    Thrifty,
    /// For somebody who watches: within some milliseconds.
    Prompt,
}

impl Pace {
    /// The first and the longest pause between two looks at what has come in.
    const fn listening(self) -> (Duration, Duration) {
        match self {
            Self::Thrifty => (Duration::from_millis(100), Duration::from_millis(100)),
            Self::Prompt => (Duration::from_millis(1), Duration::from_millis(20)),
        }
    }

    /// The shortest and the longest time over which sends are gathered, unless they are very many.
    const fn gathering(self) -> (Duration, Duration) {
        match self {
            Self::Thrifty => (Duration::from_millis(20), Duration::from_millis(100)),
            Self::Prompt => (Duration::from_millis(1), Duration::from_millis(5)),
        }
    }

    /// Deadlines are kept to a grid of this.
    const fn grid(self) -> Duration {
        match self {
            Self::Thrifty => Duration::from_millis(50),
            Self::Prompt => Duration::from_millis(1),
        }
    }
}

/// Probes the network.
#[derive(Debug)]
pub struct Prober {
    world: World,
    lanes: Vec<Option<Lane>>,
    /// Places that are free again.
    free: Vec<usize>,
    /// How many ICMP probes each target has.
    targets: HashMap<String, u16>,
    /// The shortest period there ever was.
    shortest: Duration,
    outlets: Outlets,
    ways: Ways,
    schedule: Schedule,
    flight: Flight,
    timeline: Timeline,
    /// Sends that are due and wait for the first answer of their name server.
    held: Vec<Turn>,
    tasks: JoinSet<Done>,
    done: Vec<Done>,
    arrivals: Vec<Arrival>,
    alarm: Alarm,
    /// When it asked to be woken.
    wake: Mono,
    /// The last pause between two looks at what has come in; it grows while nothing does.
    quiet: Duration,
    sending: Sending,
    behind: bool,
    /// How many probes were ever taken in.
    born: u32,
}

/// What a prober needs of the world.
pub struct World {
    /// Opens ICMP ports.
    pub engine: Box<dyn Engine>,
    /// Resolves names.
    pub resolver: Resolver,
    /// Tells the time.
    pub clock: Box<dyn Clock>,
    /// How soon what has come in is looked at.
    pub pace: Pace,
}

impl World {
    /// This host: its best engine, its name servers, its clocks.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn system(pace: Pace) -> Self {
        Self { engine: Box::new(Best::default()), resolver: Resolver::system(), clock: Box::new(SystemClock), pace }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("pace", &self.pace).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    On,
    Off,
}

/// One probe.
#[derive(Debug)]
struct Lane {
    probe: Probe,
    /// What its packets call it: its place, and a count that keeps it from being taken for another that had the place.
    wire: u32,
    kind: Kind,
    /// The address that was told last; the outer [`None`] until the first was.
    address: Option<Option<IpAddr>>,
    ttl: Option<u8>,
    /// The way out that it last took.
    outlet: Option<usize>,
    /// The interface that it leaves by.
    way: Option<Way>,
    /// Which of its circuit's identifiers it sends with.
    ident: u8,
    /// How many sends in a row were lost.
    silent: u32,
    /// Whether the last one was not answered: then its link is looked at before the next.
    trouble: bool,
}

#[derive(Debug)]
enum Kind {
    Echo { watch: Watch, size: u16, seq_base: u16 },
    Request { requester: Arc<Requester>, watch: Watch },
}

/// A request that has ended.
#[derive(Debug)]
struct Done {
    wire: u32,
    probe: ProbeId,
    send: u64,
    attempt: Attempt,
}

/// A port and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its family.
    pub family: Family,
    /// The circuit that it leaves by.
    pub circuit: Circuit,
    /// By what means it works, or why it does not.
    pub state: Result<Means, Shut>,
}

/// Why a port is not open at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    /// As it is counted.
    pub reason: Reason,
    /// In words for people, with what to do.
    pub why: String,
}

impl Prober {
    /// Takes the probes in: each has the [`ProbeId`] of its place. ICMP ports are opened at once as far as they are known,
    /// so that privileges can be dropped afterwards; those that cannot be opened are tried again.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(probes: Vec<Probe>, world: World) -> Self {
        let reading = Reading::take(&*world.clock);
        let mut prober = Self {
            world,
            lanes: Vec::new(),
            free: Vec::new(),
            targets: HashMap::new(),
            shortest: Duration::MAX,
            outlets: Outlets::default(),
            ways: Ways::default(),
            schedule: Schedule::default(),
            flight: Flight::default(),
            timeline: Timeline::new(reading),
            held: Vec::new(),
            tasks: JoinSet::new(),
            done: Vec::new(),
            arrivals: Vec::new(),
            alarm: Alarm::new(),
            wake: reading.now.mono,
            quiet: Duration::ZERO,
            sending: Sending::On,
            behind: false,
            born: 0,
        };
        let places: Vec<_> = probes.into_iter().map(|probe| prober.add(probe)).collect();
        prober.open_known(reading.now.mono);
        prober.begin(&places);
        prober
    }

    /// Waits until something has happened and appends it to `events`. Gives the instant up to which everything that was
    /// due has been told: the present, or an earlier one when there is more to be told. It may be dropped while it waits;
    /// nothing is lost.
    pub async fn next(&mut self, events: &mut Vec<Event>) -> Now {
        loop {
            self.sleep().await;
            let until = self.pass(events);
            if !events.is_empty() {
                return until;
            }
        }
    }

    /// Sends what is due, and then nothing any more; gives the instant up to which everything that was due has been told.
    /// What is in the air is still waited for.
    pub fn cease(&mut self, events: &mut Vec<Event>) -> Now {
        let end = self.now().mono;
        loop {
            let until = self.pass(events);
            if until.mono >= end {
                self.stop_sending();
                return until;
            }
        }
    }

    /// Sends nothing any more. What is in the air is still waited for.
    pub fn stop_sending(&mut self) {
        self.sending = Sending::Off;
    }

    /// Stops sending and waits for what is in the air, for `at_most` (an agent: [`PARTING`]); what is still open then is
    /// settled as not observed.
    pub async fn part(&mut self, at_most: Duration, events: &mut Vec<Event>) -> Now {
        self.stop_sending();
        let end = self.now().mono + at_most;
        loop {
            let until = self.pass(events);
            if self.in_air() == 0 {
                return until;
            }
            if until.mono >= end {
                self.tasks.abort_all();
                let stopped = Reason::new(Outcome::NotObserved, "stopped");
                for turn in std::mem::take(&mut self.held) {
                    settle(turn, stopped.clone(), events);
                }
                self.flight.abandon(&stopped, events);
                return until;
            }
            self.wake = self.wake.min(end);
            self.sleep().await;
        }
    }

    /// Lets each probe make so many sends and no more.
    pub fn limit(&mut self, sends: u64) {
        self.schedule.limit(sends);
    }

    /// Whether nothing is in the air and nothing will be due any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.in_air() == 0 && (self.sending == Sending::Off || self.schedule.next().is_none())
    }

    /// Whether more was due than has been told yet: what [`Self::next`] gave last is then before the present.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    /// How many sends are in the air.
    #[must_use]
    pub fn in_air(&self) -> usize {
        self.flight.in_air() + self.held.len()
    }

    /// How the ICMP ports stand.
    #[must_use]
    pub fn ports(&self) -> Vec<Standing> {
        self.outlets.standings()
    }

    /// Probes these from now on. A probe that is exactly as before keeps its [`ProbeId`], its numbers, its due times and what
    /// it has in the air; what any other had in the air is settled as not observed. Gives the [`ProbeId`] of each probe, in
    /// their order; those of probes that are gone are given out again.
    pub fn reload(&mut self, probes: Vec<Probe>, events: &mut Vec<Event>) -> Vec<ProbeId> {
        let now = self.now();
        let mut gone: HashMap<&str, ProbeId> = HashMap::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            gone.extend(lane.as_ref().map(|lane| (lane.probe.name.as_str(), id(index))));
        }
        let mut kept: Vec<Option<ProbeId>> = Vec::with_capacity(probes.len());
        for probe in &probes {
            let same = gone.get(&*probe.name).copied();
            let same = same.filter(|&id| self.lane(id).is_some_and(|lane| lane.probe == *probe));
            if same.is_some() {
                gone.remove(&*probe.name);
            }
            kept.push(same);
        }
        let mut gone: Vec<ProbeId> = gone.into_values().collect();
        gone.sort();
        gone.into_iter().for_each(|id| self.remove(id, events));
        let mut new = Vec::new();
        let ids = probes.into_iter().zip(kept).map(|(probe, kept)| {
            kept.unwrap_or_else(|| {
                let place = self.add(probe);
                new.push(place);
                place
            })
        });
        let ids = ids.collect();
        self.open_known(now.mono);
        self.begin(&new);
        self.wake = now.mono;
        ids
    }

    fn now(&mut self) -> Now {
        self.timeline.observe(Reading::take(&*self.world.clock));
        self.timeline.now()
    }

    fn lane(&self, probe: ProbeId) -> Option<&Lane> {
        self.lanes.get(probe.0 as usize)?.as_ref()
    }

    fn add(&mut self, probe: Probe) -> ProbeId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        });
        let place = id(index);
        let watch = self.world.resolver.watch(&probe.host(), probe.family);
        let (kind, timeout) = match &probe.test {
            Test::Icmp { target, size } => {
                // ICMP errors may quote no more than the sequence number: probes of one target do not share them.
                let others = self.targets.entry(target.clone()).or_default();
                let seq_base = others.wrapping_shl(13);
                *others = others.wrapping_add(1);
                let size = (*size).max(u16::try_from(icmp::packet::RECORD).expect("24"));
                (Kind::Echo { watch, size, seq_base }, probe.timeout)
            }
            Test::Http(_) | Test::Tcp { .. } | Test::Dns { .. } => {
                let requester = Arc::new(Requester::new(&probe, &self.world.resolver));
                // The task settles it; this is for one that fails to. While its name is looked up for the first time a
                // request may take twice its timeout.
                (Kind::Request { requester, watch }, probe.timeout * 2 + LONGEST)
            }
        };
        self.flight.add(place, Patience { timeout, cutoff: probe.cutoff });
        self.shortest = self.shortest.min(probe.period);
        self.born = self.born.wrapping_add(1);
        let wire = (self.born << 24) | (place.0 & PLACES);
        self.lanes[index] = Some(Lane {
            probe,
            wire,
            kind,
            address: None,
            ttl: None,
            outlet: None,
            way: None,
            ident: 0,
            silent: 0,
            trouble: true,
        });
        place
    }

    /// Lets probes that were taken in begin.
    fn begin(&mut self, places: &[ProbeId]) {
        let now = self.now();
        let count = u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
        let mut first = now.mono;
        for &place in places {
            let Some(lane) = self.lanes.get(place.0 as usize).and_then(Option::as_ref) else { continue };
            let period = lane.probe.period;
            match self.world.pace {
                Pace::Thrifty => self.schedule.add(place, &lane.probe.name, period, now),
                // Who watches wants to see something at once; the targets follow one another closely.
                Pace::Prompt => self.schedule.add_at(place, period, first),
            }
            first = first + (period / count).min(CLOSE);
        }
        self.wake = now.mono;
    }

    fn remove(&mut self, probe: ProbeId, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::take) else { return };
        self.free.push(probe.0 as usize);
        if let Test::Icmp { target, .. } = &lane.probe.test
            && let Some(others) = self.targets.get_mut(target)
        {
            *others = others.saturating_sub(1);
            if *others == 0 {
                self.targets.remove(target);
            }
        }
        let reason = Reason::new(Outcome::NotObserved, "removed");
        self.held.retain(|turn| {
            let stays = turn.probe != probe;
            if !stays {
                settle(*turn, reason.clone(), events);
            }
            stays
        });
        self.outlets.moved(probe, lane.address.flatten(), None);
        self.flight.remove(probe, &reason, events);
        self.schedule.remove(probe);
    }

    /// Opens the ports that probes of known addresses need; for a name of any family, IPv4's.
    fn open_known(&mut self, now: Mono) {
        for lane in self.lanes.iter().flatten() {
            let Kind::Echo { watch, size, .. } = &lane.kind else { continue };
            let family = match (watch.current(), lane.probe.family) {
                (Resolution::Known(address), _) => Family::of(address),
                (_, Wanted::V6) => Family::V6,
                (_, Wanted::V4 | Wanted::Any) => Family::V4,
            };
            self.outlets.find(family, &lane.probe.circuit, (*size, 0), (&*self.world.engine, now));
        }
    }

    async fn sleep(&mut self) {
        let now = self.world.clock.now().mono;
        tokio::select! {
            () = self.alarm.ring(self.wake, now) => {}
            Some(done) = self.tasks.join_next() => {
                // A task that panicked settles nothing; its send's deadline does.
                self.done.extend(done.ok());
                while let Some(done) = self.tasks.try_join_next() {
                    self.done.extend(done.ok());
                }
            }
        }
    }

    /// Does everything that is to be done now.
    fn pass(&mut self, events: &mut Vec<Event>) -> Now {
        let known = events.len();
        let begun = self.now().mono;
        let late = begun.since(self.wake);
        let unobserved = (late > STALL).then_some(begun);
        if unobserved.is_some() {
            self.flight.doubt_all(Doubt::Gap);
        }
        let receive = self.listen(begun, events);
        for Done { wire, probe, send, attempt } in std::mem::take(&mut self.done) {
            if self.lane(probe).is_some_and(|lane| lane.wire == wire) {
                self.flight.attempted(probe, send, attempt, events);
            }
        }
        self.expire(begun, events);
        self.learn(&events[known..]);
        let until = self.send((begun, unobserved), known, events);
        if late > TOLD_LAG {
            events.push(Event::Lag { send: late, receive });
        }
        self.behind = until.is_some();
        self.plan(until);
        let now = self.timeline.now();
        until.map_or(now, |mono| Now { wall: now.wall_of(mono), mono })
    }

    /// Reads all ports; gives how long the oldest reply lay there.
    fn listen(&mut self, begun: Mono, events: &mut Vec<Event>) -> Duration {
        let mut oldest = Duration::ZERO;
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for index in 0..self.outlets.len() {
            for _ in 0..READS {
                let Some(drained) = self.outlets.drain(index, &mut arrivals) else { break };
                if !arrivals.is_empty() {
                    self.quiet = Duration::ZERO;
                    self.now();
                }
                let since = self.outlets.dry_since(index);
                for arrival in arrivals.drain(..) {
                    let lag = self.arrived(index, since, arrival, events);
                    oldest = oldest.max(lag.unwrap_or_default());
                }
                if drained == Drained::Dry {
                    self.outlets.is_dry(index, begun);
                    break;
                }
            }
        }
        self.arrivals = arrivals;
        oldest
    }

    fn arrived(&mut self, outlet: usize, since: Mono, arrival: Arrival, events: &mut Vec<Event>) -> Option<Duration> {
        match arrival {
            Arrival::Departed { token, at } => {
                let (probe, send) = self.whose(token)?;
                self.flight.departed(probe, send, self.timeline.place(at, since)?);
            }
            Arrival::Reply { token, heard, ttl, bytes, from } => {
                let (probe, send) = self.whose(token)?;
                let seen = self.timeline.seen();
                let (time, lag) = match heard {
                    Heard::At(stamp) => {
                        let rx = stamp.and_then(|stamp| self.timeline.place(stamp, since));
                        (Time::Stamps { rx, seen }, rx.map(|rx| seen.at.since(rx.at)))
                    }
                    Heard::After(rtt) => (Time::Measured(rtt), None),
                };
                self.flight.answer(probe, send, &Answer { time, ttl, bytes, from }, events);
                self.hops(probe, ttl, events);
                return lag;
            }
            Arrival::Refused { whose, kind, from } => {
                let (probe, send) = match whose {
                    Whose::Token(token) => self.whose(token)?,
                    Whose::Seq(to, seq) => self.outlets.by_seq(to, seq, &self.flight)?,
                };
                self.flight.refuse(probe, send, (Reason::new(Outcome::Refused, kind), from), events);
            }
            Arrival::Unsent { token, why } => {
                let (probe, send) = self.whose(token)?;
                self.flight.refuse(probe, send, (why.reason(), None), events);
            }
            Arrival::Overflow => {
                for (index, lane) in self.lanes.iter().enumerate() {
                    if lane.as_ref().is_some_and(|lane| lane.outlet == Some(outlet)) {
                        self.flight.doubt(id(index), Doubt::Overflow);
                    }
                }
            }
        }
        None
    }

    /// Gives up what was waited for long enough. What did not leave this host while its link has no carrier was not sent.
    fn expire(&mut self, now: Mono, events: &mut Vec<Event>) {
        let heard = self.outlets.heard(now);
        let (lanes, ways) = (&self.lanes, &mut self.ways);
        let excuse = |probe: ProbeId, departure: Departure| {
            let way = lanes.get(probe.0 as usize)?.as_ref()?.way?;
            let down = departure == Departure::Unseen && ways.carrier(way, now) == Carrier::Down;
            down.then_some(Reason::CARRIER)
        };
        self.flight.expire(heard, excuse, events);
    }

    /// Takes note of who answers, and moves probes that nobody answers to another identifier.
    fn learn(&mut self, events: &[Event]) {
        for event in events {
            let Event::Settled(settled) = event else { continue };
            let Some(lane) = self.lanes.get_mut(settled.probe.0 as usize).and_then(Option::as_mut) else { continue };
            lane.trouble = !settled.outcome.has_rtt();
            match settled.outcome {
                Outcome::Lost => lane.silent += 1,
                Outcome::Answered | Outcome::Late => lane.silent = 0,
                Outcome::Refused | Outcome::NotSent | Outcome::NotObserved => {}
            }
            if lane.silent >= SILENT && matches!(lane.kind, Kind::Echo { .. }) {
                (lane.silent, lane.ident) = (0, (lane.ident + 1) % IDENTS);
                tracing::debug!(probe = lane.probe.name, ident = lane.ident, "no answers: another identifier is tried");
            }
        }
    }

    fn whose(&self, token: Token) -> Option<(ProbeId, u64)> {
        let probe = ProbeId(token.lane & PLACES);
        self.lane(probe).filter(|lane| lane.wire == token.lane)?;
        Some((probe, self.flight.widen(probe, token.send)?))
    }

    fn hops(&mut self, probe: ProbeId, ttl: Option<u8>, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::as_mut) else { return };
        if let (Some(before), Some(now)) = (lane.ttl, ttl)
            && before != now
        {
            events.push(Event::Hops { probe, before, now });
        }
        lane.ttl = ttl.or(lane.ttl);
    }

    /// Sends what is due. Gives the instant of the next one when more is due than one pass tells; `known` of the events
    /// were there before it.
    fn send(
        &mut self,
        (begun, unobserved): (Mono, Option<Mono>),
        known: usize,
        events: &mut Vec<Event>,
    ) -> Option<Mono> {
        for turn in std::mem::take(&mut self.held) {
            self.launch(turn, begun, events);
        }
        let mut until = None;
        while self.sending == Sending::On {
            if events.len() - known >= PASS {
                until = self.schedule.next().filter(|&at| at <= begun);
                break;
            }
            let Some(turn) = self.schedule.take(begun, unobserved) else { break };
            self.tell_address(turn.probe, events);
            events.push(Event::Due { probe: turn.probe, send: turn.send, at: turn.at });
            match turn.chance {
                Chance::Punctual => self.launch(turn, begun, events),
                Chance::Missed => settle(turn, Reason::new(Outcome::NotObserved, "late"), events),
            }
        }
        for index in 0..self.outlets.len() {
            while self.outlets.has_queued(index) {
                self.quiet = Duration::ZERO;
                self.now();
                self.outlets.flush(index, self.timeline.seen(), &mut self.flight, events);
            }
        }
        until
    }

    /// An address that is not the one that was told last begins with the next send.
    fn tell_address(&mut self, probe: ProbeId, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::as_mut) else { return };
        let (Kind::Echo { watch, .. } | Kind::Request { watch, .. }) = &lane.kind;
        let address = match watch.current() {
            Resolution::Known(address) => Some(address),
            Resolution::Pending => return,
            Resolution::Failed(_) => None,
        };
        if lane.address != Some(address) {
            self.outlets.moved(probe, lane.address.flatten(), address);
            lane.address = Some(address);
            lane.ttl = None;
            events.push(Event::Address { probe, address });
        }
    }

    fn launch(&mut self, turn: Turn, now: Mono, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(turn.probe.0 as usize).and_then(Option::as_mut) else { return };
        match &lane.kind {
            Kind::Echo { watch, size, seq_base } => match watch.current() {
                Resolution::Known(to) => {
                    let low = u32::try_from(turn.send & u64::from(u32::MAX)).expect("32 bits");
                    let seq = seq_base.wrapping_add(u16::try_from(low & 0xffff).expect("16 bits"));
                    let token = Token { lane: lane.wire, send: low };
                    let echo = Echo { token, to, seq, size: *size, timeout: lane.probe.timeout };
                    let world = (&*self.world.engine, now);
                    let what = (*size, lane.ident);
                    let outlet = self.outlets.find(Family::of(to), &lane.probe.circuit, what, world);
                    lane.outlet = Some(outlet);
                    let way = self.ways.to(lane.way, &lane.probe.circuit, to, now);
                    lane.way = Some(way);
                    if lane.trouble && self.ways.carrier(way, now) == Carrier::Down {
                        settle(turn, Reason::CARRIER, events);
                    } else if let Err(reason) = self.outlets.queue(outlet, turn, echo) {
                        settle(turn, reason, events);
                    }
                }
                // The first look-up is under way: it is waited for as long as a send may be late.
                Resolution::Pending if now.since(turn.at) <= patience(lane.probe.period) => self.held.push(turn),
                Resolution::Pending | Resolution::Failed(_) => settle(turn, Reason::NAME, events),
            },
            Kind::Request { requester, .. } => {
                let (requester, wire, probe, send) = (Arc::clone(requester), lane.wire, turn.probe, turn.send);
                self.flight.sent(probe, send, 0, self.timeline.seen());
                self.tasks.spawn(async move { Done { wire, probe, send, attempt: requester.attempt().await } });
            }
        }
    }

    /// Decides when to wake; at once while a backlog is left.
    fn plan(&mut self, backlog: Option<Mono>) {
        let now = self.timeline.seen().at;
        let tick = self.tick();
        let mut wake = now + LONGEST;
        if self.sending == Sending::On
            && let Some(due) = self.schedule.next()
        {
            wake = wake.min(ceil(due, tick));
        }
        if let Some(deadline) = self.flight.next_deadline() {
            wake = wake.min(ceil(deadline, tick.max(self.world.pace.grid())));
        }
        if self.flight.in_air() > 0 {
            let (first, last) = self.world.pace.listening();
            self.quiet = (self.quiet * 2).clamp(first, last);
            wake = wake.min(ceil(now + self.quiet, tick));
        }
        if !self.held.is_empty() {
            wake = wake.min(now + Duration::from_millis(20));
        }
        // What is already due is not held against the next pass as its own delay.
        self.wake = if backlog.is_some() { now } else { wake.max(now) };
    }

    /// Sends are gathered over this time: some five of them while they are few, but never over more than a tenth of the
    /// shortest period; and never more than the ports' queues hold the replies of. Few enough, that is, not to queue up on
    /// a slow link and be measured there.
    fn tick(&self) -> Duration {
        let rate = self.schedule.rate().max(1);
        let over = |packets: u64| Duration::from_micros(packets * 1_000_000 / rate);
        let (least, most) = self.world.pace.gathering();
        let room = u64::try_from(256.min(self.outlets.room() / 4).max(1)).expect("at most 256");
        let gathered = over(GATHERED).clamp(least, most);
        gathered.min(over(room)).min(self.shortest / 10).max(Duration::from_millis(1))
    }
}

fn id(index: usize) -> ProbeId {
    ProbeId(u32::try_from(index).expect("probes are numbered by u32"))
}

/// The first multiple of `grid` that is not before `at`.
fn ceil(at: Mono, grid: Duration) -> Mono {
    let grid = u64::try_from(grid.as_nanos()).unwrap_or(u64::MAX).max(1);
    Mono::from_nanos(at.nanos().div_ceil(grid).saturating_mul(grid))
}

/// Settles a send that never was in the air.
fn settle(turn: Turn, reason: Reason, events: &mut Vec<Event>) {
    events.push(Event::Settled(Settled {
        probe: turn.probe,
        send: turn.send,
        outcome: reason.outcome,
        rtt_ns: None,
        stamp: None,
        reason: Some(reason),
        seq: None,
        ttl: None,
        bytes: None,
        from: None,
        phases: Vec::new(),
    }));
}
