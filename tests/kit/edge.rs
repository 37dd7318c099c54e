//! An agent's books on clocks that a test moves: its own ledger, recorder, summariser and database,
//! fed by a network that is made up from a seed. A day of it takes seconds, and writes to the disk
//! what the agent would.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use wanproof::agent::keys::Keys;
use wanproof::agent::recorder::{Recorder, Seat, Setup};
use wanproof::agent::summariser::{SpanState, Summariser};
use wanproof::base::time::{Clock, Mono, Now, Wall};
use wanproof::config::agent::Keep;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::summary::Clock as ClockPart;
use wanproof::measure::clock_state::ClockState;
use wanproof::measure::event::{Event, ProbeId, Settled, Stamp};
use wanproof::measure::ledger::Ledger;
use wanproof::measure::outcome::{Outcome, Reason};
use wanproof::measure::probe::{Circuit, Family, Probe, Role, Test};
use wanproof::store::{Store, StoreError};

/// Clocks that stand still until they are moved.
#[derive(Clone, Debug)]
pub struct Actor(Arc<Mutex<Now>>);

impl Clock for Actor {
    fn now(&self) -> Now {
        *self.0.lock().expect("nobody panics with it")
    }
}

impl Actor {
    fn pass(&self, length: Duration) -> Now {
        let mut now = self.0.lock().expect("nobody panics with it");
        *now = Now { wall: now.wall + length, mono: now.mono + length };
        *now
    }
}

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many probes.
    pub probes: u32,
    /// From one send of each to the next.
    pub period: Duration,
    /// A summary's span.
    pub every: Duration,
    /// What is kept.
    pub keep: Keep,
    /// When it begins.
    pub from: Wall,
}

/// A simulated agent.
pub struct Edge {
    pub clock: Actor,
    pub recorder: Recorder,
    pub plan: Plan,
    writer: JoinHandle<()>,
    ledger: Ledger,
    sent: u64,
    summarised: Wall,
    random: u64,
    calls: tokio::runtime::Runtime,
}

impl Edge {
    /// Begins, with the data directory that is there or is made.
    pub fn start(dir: &Path, plan: Plan) -> Self {
        let now = Now { wall: plan.from, mono: Mono::from_nanos(1_000_000_000_000) };
        let clock = Actor(Arc::new(Mutex::new(now)));
        let (store, _) = Store::open(dir, now.wall).expect("the directory is the test's own");
        let seats = (0..plan.probes).map(|number| {
            let probe = Arc::new(Probe {
                name: format!("site-{number:02}-icmp"),
                service: Some(format!("ckt-{number:04}")),
                role: Role::Path,
                test: Test::Icmp { target: format!("192.0.2.{}", number % 250 + 1), size: 56 },
                family: Family::Any,
                period: plan.period,
                timeout: Duration::from_secs(2),
                cutoff: Duration::from_secs(1),
                circuit: Circuit::default(),
            });
            Seat { place: ProbeId(number), probe: Arc::clone(&probe), named: probe }
        });
        let summariser = Summariser {
            keys: Keys::fixed(SecretKey::from_seed(&[7; 32])),
            site: "leeds-01".to_owned(),
            boot: "1f0c5c32-3a0e-4a8e-9a35-0d54a7a4a0c1".to_owned(),
            every: plan.every,
        };
        let (recorder, writer) =
            Recorder::start_by(clock.clone(), store, summariser).expect("there are threads");
        recorder.configure(Setup {
            site: "leeds-01".to_owned(),
            every: plan.every,
            keep: plan.keep,
            probes: seats.collect(),
            contracts: Vec::new(),
        });
        let ledger = Ledger::new((0..plan.probes).map(|_| plan.period), plan.every, now);
        let calls =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        Self {
            clock,
            recorder,
            plan,
            writer,
            ledger,
            sent: 0,
            summarised: now.wall,
            random: 0x9e37_79b9,
            calls,
        }
    }

    /// Lets a minute pass.
    pub fn minute(&mut self) {
        let steps = (60_000 / self.plan.period.as_millis()).max(1);
        for _ in 0..steps {
            let due = self.clock.now().mono + self.plan.period / 2;
            for probe in 0..self.plan.probes {
                let settled = self.fate(probe);
                let events = [
                    Event::Due { probe: ProbeId(probe), send: self.sent, at: due },
                    Event::Settled(settled),
                ];
                events.iter().for_each(|event| self.ledger.apply(event, &mut Vec::new()));
            }
            self.sent += 1;
            let now = self.clock.pass(self.plan.period);
            self.ledger.advance(now);
            self.hand_over();
        }
        // What is due is written before time goes on.
        self.ask(|_| Ok(()));
    }

    fn hand_over(&mut self) {
        let sets = self.ledger.finished();
        let handed = !sets.is_empty();
        sets.into_iter().for_each(|set| self.recorder.siblings(set));
        let until = self.ledger.complete_until();
        if until.floor(self.plan.every) > self.summarised.floor(self.plan.every) {
            self.recorder.summarise(SpanState {
                until,
                clock: ClockPart {
                    state: ClockState::Synchronised,
                    max_error_us: Some(1500),
                    steps: Vec::new(),
                },
                contracts: Vec::new(),
                link: Vec::new(),
                judged: Vec::new(),
                own_lag_us: None,
            });
            self.summarised = until;
        }
        // The writer takes it by the clock as it is now, not as it will be.
        if handed {
            self.ask(|_| Ok(()));
        }
    }

    /// Asks the writer, in turn.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.calls.block_on(self.recorder.ask(question)).expect("the writer answers")
    }

    /// Writes everything and ends.
    pub fn end(self) {
        self.recorder.stop();
        self.writer.join().expect("the writer ends cleanly");
    }

    /// What becomes of a probe: some milliseconds with a tail, as each circuit has its own, and one
    /// in a thousand is lost.
    fn fate(&mut self, probe: u32) -> Settled {
        let (base_us, jitter_us) =
            [(24_000, 300), (8_000, 80), (45_000, 1_500), (12_000, 30), (150_000, 4_000)]
                [usize::try_from(probe).expect("small") % 5];
        let lost = self.draw().is_multiple_of(1000);
        // An exponential tail from the leading zeros of a random number, and a uniform part.
        let tail = u64::from(self.draw().leading_zeros()) * jitter_us * 693 / 1000;
        let rtt_us = base_us + tail + self.draw() % jitter_us;
        Settled {
            probe: ProbeId(probe),
            send: self.sent,
            outcome: if lost { Outcome::Lost } else { Outcome::Answered },
            rtt_ns: (!lost).then(|| rtt_us * 1000 + self.random % 1000),
            stamp: (!lost).then_some(Stamp::Kernel),
            reason: lost.then_some(Reason::TIMEOUT),
            seq: None,
            ttl: None,
            bytes: None,
            from: None,
            phases: Vec::new(),
        }
    }

    /// Marsaglia's xorshift64: the same on every host.
    pub fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
