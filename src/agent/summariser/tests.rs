use super::*;
use crate::base::time::{Mono, Now};
use crate::evidence::chain::Dropped;
use crate::evidence::summary::ClockStep;
use crate::measure::clock_state::ClockState;
use crate::measure::event::{Event, ProbeId, Settled};
use crate::measure::interval::Interval;
use crate::measure::ledger::Ledger;
use crate::measure::outcome::Outcome;
use crate::store::intervals::{Series, SeriesId};

const SECOND: Duration = Duration::from_secs(1);
/// So many long words are longer than a summary may be.
const LONG_WORDS: usize = 4096;

/// A probe a second that is always answered, its book and its database, on clocks that a test
/// moves.
struct Fixture {
    _dir: tempfile::TempDir,
    store: Store,
    summariser: Summariser,
    ledger: Ledger,
    now: Now,
    sent: u64,
    steps: Vec<ClockStep>,
}

impl Fixture {
    fn new(at: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Now { wall: Wall::from_secs(at), mono: Mono::from_nanos(1_000_000_000_000) };
        let (store, _) = Store::open(dir.path(), now.wall).unwrap();
        let keys = Keys::fixed(SecretKey::from_seed(&[7; 32]));
        let every = Duration::from_secs(300);
        let summariser = Summariser { keys, site: "s".to_owned(), boot: String::new(), every };
        let ledger = Ledger::new([SECOND], every, now);
        Self { _dir: dir, store, summariser, ledger, now, sent: 0, steps: Vec::new() }
    }

    /// Lets time pass, a probe a second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let (probe, send) = (ProbeId(0), self.sent);
            let settled = Settled {
                probe,
                send,
                outcome: Outcome::Answered,
                rtt_ns: Some(5_000_000),
                stamp: None,
                reason: None,
                seq: None,
                ttl: None,
                bytes: None,
                from: None,
                phases: Vec::new(),
            };
            let due = Event::Due { probe, send, at: self.now.mono + SECOND / 2 };
            for event in [due, Event::Settled(settled)] {
                self.ledger.apply(&event, &mut Vec::new());
            }
            self.sent += 1;
            self.now = Now { wall: self.now.wall + SECOND, mono: self.now.mono + SECOND };
            self.turn();
        }
    }

    fn turn(&mut self) {
        if let Some(step) = self.ledger.advance(self.now) {
            self.steps.push(ClockStep { at: step.at, by_us: step.by_ns / 1000 });
        }
        let id = self.series("p");
        for closed in self.ledger.finished().into_iter().flatten() {
            self.store.append(id, &closed.interval).unwrap();
        }
    }

    fn series(&self, probe: &str) -> SeriesId {
        let series = Series {
            probe: probe.to_owned(),
            service: None,
            kind: "icmp".to_owned(),
            target: "127.0.0.1".to_owned(),
            address: None,
            period_ms: 1000,
            timeout_ms: 1000,
            cutoff_ms: 1000,
            settings: "x".to_owned(),
        };
        self.store.series(&series).unwrap()
    }

    /// Signs what there is; gives the spans, outcomes counted.
    fn summarise(&mut self) -> Vec<(i64, i64, u64)> {
        self.ledger.close(self.now);
        self.turn();
        let summaries = self.sign();
        assert_eq!(self.store.journal(10).unwrap(), [], "no fault was told");
        let outcomes = |summary: &Summary| {
            summary
                .probes
                .iter()
                .flat_map(|probe| &probe.intervals)
                .map(|one| one.outcomes.len())
                .sum()
        };
        summaries
            .iter()
            .map(|summary| (summary.from.secs(), summary.to.secs(), outcomes(summary)))
            .collect()
    }

    fn sign(&self) -> Vec<Summary> {
        let state = SpanState {
            until: self.now.wall,
            clock: Clock {
                state: ClockState::Unknown,
                max_error_us: None,
                steps: self.steps.clone(),
            },
            contracts: Vec::new(),
            link: Vec::new(),
            judged: Vec::new(),
            own_lag_us: None,
        };
        self.summariser.summarise(&self.store, &state, &mut self.summariser.keys.clone()).unwrap();
        let read = |(_, jws): (_, String)| {
            let payload =
                crate::evidence::jws::parse(jws.as_bytes(), crate::evidence::jws::Typ::Summary)
                    .unwrap();
            summary::read(payload.unverified_payload()).unwrap()
        };
        self.store.waiting(100, 1 << 30).unwrap().into_iter().map(read).collect()
    }
}

#[test]
fn what_no_collector_would_take_is_left_out_and_told_and_the_rest_is_signed() {
    let mut fixture = Fixture::new(3_000_000);
    fixture.pass(63);
    let (first, _) = fixture.store.unsummarised().unwrap()[0];
    let mut all = Vec::new();
    fixture
        .store
        .each_interval((first, first), |_| true, |_, interval| all.push(interval))
        .unwrap();
    let sound = all.pop().unwrap();
    let wrong = Interval { kernel_stamped: 61, ..sound.clone() };
    let words = (0..LONG_WORDS).map(|number| (format!("lost/{number:0>250}"), 0));
    let long = Interval { reasons: words.collect(), ..sound.clone() };
    let set = [("sound", &sound), ("wrong", &wrong), ("long", &long)];
    let set: Vec<_> = set.map(|(probe, interval)| (fixture.series(probe), interval)).into();
    fixture.store.append_set(&set).unwrap();
    let probes = |summary: &Summary| {
        summary.probes.iter().map(|probe| probe.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(fixture.sign().iter().map(probes).collect::<Vec<_>>(), [["p", "sound"]]);
    let told: Vec<String> =
        fixture.store.journal(10).unwrap().into_iter().map(|line| line.detail).collect();
    assert_eq!(told.len(), 2);
    for (probe, fault) in [("wrong", "kernel_stamped"), ("long", "too long")] {
        let of = format!("for probe {probe}: ");
        assert!(
            told.iter().any(|detail| detail.contains(&of) && detail.contains(fault)),
            "{told:?}"
        );
    }
    assert_eq!(fixture.store.unsummarised().unwrap(), []);
}

#[test]
fn what_was_dropped_is_told_by_as_many_summaries_as_that_needs() {
    let mut fixture = Fixture::new(3_000_000);
    let chain = ChainId::from_bytes([9; 16]);
    let all: Vec<Dropped> =
        (0..100).map(|n| Dropped { chain, from_seq: 2 * n, to_seq: 2 * n }).collect();
    fixture.store.remember_dropped(&all).unwrap();
    fixture.pass(600);
    fixture.ledger.close(fixture.now);
    fixture.turn();
    let told: Vec<Vec<Dropped>> =
        fixture.sign().into_iter().map(|summary| summary.dropped).collect();
    assert_eq!(told.concat(), all);
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [64, 36]);
}

#[test]
fn spans_are_cut_at_the_multiples_of_every() {
    let mut fixture = Fixture::new(3_000_200);
    fixture.pass(700);
    assert_eq!(
        fixture.summarise(),
        [(3_000_200, 3_000_300, 100), (3_000_300, 3_000_600, 300), (3_000_600, 3_000_900, 300)]
    );
    assert_eq!(fixture.store.unsummarised().unwrap(), []);
}

#[test]
fn every_outcome_is_in_a_summary_though_the_clock_was_set_back_and_forth() {
    for by in [-40, 40, -7200, 7200] {
        let mut fixture = Fixture::new(3_000_200);
        fixture.pass(130);
        fixture.now.wall = fixture.now.wall.shifted(by * 1_000_000_000);
        fixture.turn();
        fixture.pass(130);
        let total: u64 = fixture.summarise().iter().map(|(_, _, outcomes)| outcomes).sum();
        assert_eq!((total, fixture.steps.len()), (260, 1), "{by} s");
    }
}
