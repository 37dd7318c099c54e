//! The prober: sends every probe when it is due, reads what comes back, and tells what became of
//! each.
//!
//! One loop does it all. It wakes when a send is due or something may have come in, does everything
//! that is to be done in one pass without waiting for anything, and sleeps again; kernel stamps
//! make its punctuality irrelevant to what is measured. What it decides is decided by [`Schedule`]
//! and [`Flight`], which know no socket and no clock.
//!
//! # What it promises
//!
//! For each probe [`Event::Due`] comes in the order of the sends, without a hole, before its
//! [`Event::Settled`], which comes exactly once. Over all probes [`Event::Due`] comes in the order
//! of time. Nothing that fails here ends it: what cannot be sent is not sent, for a reason that is
//! told, and tried again when it is due again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::base::time::{Mono, Now};
use crate::measure::event::{Event, ProbeId};
use crate::measure::flight::{Doubt, Flight};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Attempt, Probe};
use crate::measure::rtt::{Reading, Timeline};
use crate::measure::schedule::{Schedule, Turn};
use crate::net::alarm::Alarm;
use crate::net::icmp::Arrival;

mod environment;
mod hops;
mod interfaces;
mod lane;
mod probes;
mod receiving;
mod sending;
mod sockets;
#[cfg(test)]
mod tests;
mod unsent;

pub use environment::{Pace, World};
pub use sockets::{OpenPort, Shut};

use hops::Hops;
use interfaces::Ways;
use lane::Lane;
use sockets::Outlets;
use unsent::settle;

/// A process that woke this much later than it had asked to did not observe what happened
/// meanwhile.
pub const STALL: Duration = Duration::from_millis(500);
/// How long what is in the air at the end is waited for.
pub const PARTING: Duration = Duration::from_secs(5);
/// Being late by less than this is not worth telling by itself.
const TOLD_LAG: Duration = Duration::from_millis(50);
/// The longest sleep: a suspend is noticed no later than this after it.
const LONGEST: Duration = Duration::from_secs(1);

/// Probes the network.
#[derive(Debug)]
pub struct Prober {
    world: World,
    lanes: Vec<Option<Lane>>,
    /// Places that are free again.
    free: Vec<usize>,
    /// The shortest period there ever was.
    shortest: Duration,
    outlets: Outlets,
    ways: Ways,
    hops: Hops,
    schedule: Schedule,
    flight: Flight,
    timeline: Timeline,
    /// Sends that are due and wait for the first answer of their name server.
    held: Vec<Turn>,
    tasks: JoinSet<Done>,
    done: Vec<Done>,
    arrivals: Vec<Arrival>,
    alarm: Alarm,
    /// When the probes that were last taken in began.
    begun: Mono,
    /// When it asked to be woken.
    wake: Mono,
    /// The last pause between two looks at what has come in; it grows while nothing does.
    quiet: Duration,
    sending: Sending,
    /// When the last send of this pass was handed over.
    handed: Option<Mono>,
    /// How many probes were ever taken in.
    born: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    On,
    Off,
}

/// A request that has ended.
#[derive(Debug)]
struct Done {
    wire: u32,
    probe: ProbeId,
    send: u64,
    attempt: Attempt,
}

impl Prober {
    /// Takes the probes in: each has the [`ProbeId`] of its place. ICMP ports are opened at once as
    /// far as they are known, so that privileges can be dropped afterwards; those that cannot be
    /// opened are tried again.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(probes: Vec<Arc<Probe>>, world: World) -> Self {
        let reading = Reading::take(&*world.clock);
        let mut prober = Self {
            world,
            lanes: Vec::with_capacity(probes.len()),
            free: Vec::new(),
            shortest: Duration::MAX,
            outlets: Outlets::default(),
            ways: Ways::default(),
            hops: Hops::default(),
            schedule: Schedule::default(),
            flight: Flight::default(),
            timeline: Timeline::new(reading),
            held: Vec::new(),
            tasks: JoinSet::new(),
            done: Vec::new(),
            arrivals: Vec::new(),
            alarm: Alarm::new(),
            begun: reading.now.mono,
            wake: reading.now.mono,
            quiet: Duration::ZERO,
            sending: Sending::On,
            handed: None,
            born: 0,
        };
        let places = prober.add_all(probes, |_| false);
        prober.open_known(reading.now.mono);
        prober.begin(&places);
        prober
    }

    /// When the probes that were last taken in began: their first sends are due within a period
    /// from then on, so their intervals begin there.
    #[must_use]
    pub const fn begun(&self) -> Mono {
        self.begun
    }

    /// Waits until something has happened and appends it to `events`. Gives the instant up to which
    /// everything that was due has been told: the present, or an earlier one when there is more to
    /// be told. It may be dropped while it waits; nothing is lost.
    pub async fn next(&mut self, events: &mut Vec<Event>) -> Now {
        loop {
            self.sleep().await;
            let until = self.pass(events);
            if !events.is_empty() {
                return until;
            }
        }
    }

    /// Sends what is due, and then nothing any more; gives the instant up to which everything that
    /// was due has been told. What is in the air is still waited for.
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

    /// Stops sending and waits for what is in the air, for `at_most` (an agent: [`PARTING`]); what
    /// is still open then is settled as not observed.
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

    /// How many sends are in the air.
    #[must_use]
    pub fn in_air(&self) -> usize {
        self.flight.in_air() + self.held.len()
    }

    /// How the ICMP ports stand.
    #[must_use]
    pub fn ports(&self) -> Vec<OpenPort> {
        self.outlets.standings()
    }

    fn now(&mut self) -> Now {
        self.timeline.observe(Reading::take(&*self.world.clock));
        self.timeline.now()
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
                self.certified(probe, attempt.certificate_until, events);
                self.flight.attempted(probe, send, attempt, events);
            }
        }
        self.expire(begun, events);
        let heard = events.len();
        self.learn(begun, &mut events[known..heard]);
        let until = self.send((begun, unobserved), known, events);
        // A send that fails at once is told here, and nowhere else.
        self.learn(begun, &mut events[heard..]);
        let send = self.handed.take().unwrap_or(begun).since(self.wake);
        if events.len() > known || send > TOLD_LAG {
            events.push(Event::Lag { send, receive });
        }
        self.plan(until);
        let now = self.timeline.now();
        until.map_or(now, |mono| now.at(mono))
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
}

fn id(index: usize) -> ProbeId {
    ProbeId(u32::try_from(index).expect("probes are numbered by u32"))
}

/// The first multiple of `grid` that is not before `at`.
fn ceil(at: Mono, grid: Duration) -> Mono {
    let grid = u64::try_from(grid.as_nanos()).unwrap_or(u64::MAX).max(1);
    Mono::from_nanos(at.nanos().div_ceil(grid).saturating_mul(grid))
}
