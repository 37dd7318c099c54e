//! The prober in a world made by hand: a clock that is moved, a network that does as it is told.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;

use super::lane::{Kind, PLACES};
use super::sockets::IDENTS;
use super::*;
use crate::base::time::{Clock, NANOS, Wall};
use crate::measure::event::{Settled, Stamp};
use crate::measure::probe::{Circuit, Family as Wanted, Role, Test};
use crate::net::icmp::{
    self, Drained, Echo, Engine, Family, Heard, Means, OpenError, Port, Stamps, Unsent, Whose,
};
use crate::net::resolve::Resolver;
use crate::net::socket::Fault;

mod hostile;

const MS: Duration = Duration::from_millis(1);

/// The world's state, shared by clock, engine and test.
#[derive(Debug)]
struct Net {
    mono: Cell<u64>,
    offset: Cell<i64>,
    /// What becomes of each request: when it is answered, possibly several times.
    fate: Cell<fn(&Echo) -> &'static [u64]>,
    queue: RefCell<VecDeque<(u64, Arrival)>>,
    sent: RefCell<Vec<Echo>>,
    missing: Cell<bool>,
    opened: Cell<u32>,
    full: Cell<bool>,
    /// What is sent by the first so many ports is swallowed.
    dead: Cell<u32>,
}

/// The world as seen from one port; as clock and engine its number is nothing.
#[derive(Debug)]
struct Handle(Rc<Net>, u32);

impl Net {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            mono: Cell::new(1_000 * NANOS.unsigned_abs()),
            offset: Cell::new(1_700_000_000 * NANOS),
            fate: Cell::new(|_| &[24]),
            queue: RefCell::default(),
            sent: RefCell::default(),
            missing: Cell::new(false),
            opened: Cell::new(0),
            full: Cell::new(false),
            dead: Cell::new(0),
        })
    }

    fn wall(&self, mono: u64) -> Wall {
        Wall::from_nanos(i64::try_from(mono).unwrap() + self.offset.get())
    }
}

impl Clock for Handle {
    fn now(&self) -> Now {
        let mono = self.0.mono.get();
        Now { wall: self.0.wall(mono), mono: Mono::from_nanos(mono) }
    }
}

impl Engine for Handle {
    fn open(&self, _: Family, circuit: &Circuit, _: u16) -> Result<Box<dyn Port>, OpenError> {
        self.0.opened.set(self.0.opened.get() + 1);
        match &circuit.interface {
            Some(interface) if self.0.missing.get() => {
                Err(OpenError::Circuit(Fault::Interface(interface.clone())))
            }
            _ => Ok(Box::new(Self(Rc::clone(&self.0), self.0.opened.get()))),
        }
    }
}

impl Port for Handle {
    fn send(&mut self, batch: &[Echo], faults: &mut Vec<(usize, Unsent)>) {
        let now = self.0.mono.get();
        for (place, echo) in batch.iter().enumerate() {
            if self.0.full.get() {
                faults.push((place, Unsent::Buffer));
                continue;
            }
            self.0.sent.borrow_mut().push(*echo);
            let mut queue = self.0.queue.borrow_mut();
            queue.push_back((
                now + 5_000,
                Arrival::Departed { token: echo.token, at: self.0.wall(now + 5_000) },
            ));
            let fate = if self.1 <= self.0.dead.get() { &[] } else { (self.0.fate.get())(echo) };
            for after in fate {
                let at = now + 5_000 + after * 1_000_000;
                let heard = Heard::At(None);
                queue.push_back((
                    at,
                    Arrival::Reply {
                        token: echo.token,
                        heard,
                        ttl: Some(57),
                        bytes: 64,
                        from: echo.to,
                    },
                ));
            }
        }
    }

    fn drain(&mut self, arrivals: &mut Vec<Arrival>) -> Drained {
        let now = self.0.mono.get();
        let mut here: Vec<_> = Vec::new();
        self.0.queue.borrow_mut().retain(|entry| {
            let stays = entry.0 > now;
            if !stays {
                here.push(*entry);
            }
            stays
        });
        here.sort_by_key(|(at, arrival)| (!matches!(arrival, Arrival::Departed { .. }), *at));
        arrivals.extend(here.into_iter().map(|(at, arrival)| match arrival {
            // The kernel stamps by the wall clock as it stands at that moment.
            Arrival::Reply { token, ttl, bytes, from, .. } => {
                Arrival::Reply { token, heard: Heard::At(Some(self.0.wall(at))), ttl, bytes, from }
            }
            other => other,
        }));
        Drained::Dry
    }

    fn means(&self) -> Means {
        Means { socket: icmp::Kind::Raw, stamps: Stamps::Kernel }
    }

    fn room(&self) -> usize {
        1000
    }

    fn is_stale(&self) -> bool {
        false
    }
}

fn probe(name: &str, period: Duration) -> Probe {
    Probe {
        name: name.to_owned(),
        service: None,
        role: Role::Path,
        test: Test::Icmp { target: "10.99.1.1".to_owned(), size: 56 },
        family: Wanted::Any,
        period,
        timeout: MS * 2000,
        cutoff: MS * 1000,
        circuit: Circuit::default(),
    }
}

/// A prober and its world.
struct Fixture {
    net: Rc<Net>,
    prober: Prober,
    events: Vec<Event>,
    untils: Vec<Now>,
}

impl Fixture {
    fn new(probes: Vec<Probe>) -> Self {
        Self::within(Net::new(), probes)
    }

    fn within(net: Rc<Net>, probes: Vec<Probe>) -> Self {
        let world = World {
            engine: Box::new(Handle(Rc::clone(&net), 0)),
            resolver: Resolver::system(),
            clock: Box::new(Handle(Rc::clone(&net), 0)),
            pace: Pace::Thrifty,
        };
        Self {
            prober: Prober::new(probes.into_iter().map(Arc::new).collect(), world),
            net,
            events: Vec::new(),
            untils: Vec::new(),
        }
    }

    /// Lets time go on, waking the prober whenever it asked to be.
    fn run(&mut self, length: Duration) {
        let end = self.net.mono.get() + u64::try_from(length.as_nanos()).unwrap();
        while self.prober.wake.nanos() <= end {
            self.net.mono.set(self.net.mono.get().max(self.prober.wake.nanos()));
            self.pass();
        }
        self.net.mono.set(end);
    }

    /// Time goes on and the process does not.
    fn stall(&mut self, length: Duration) {
        self.net.mono.set(self.net.mono.get() + u64::try_from(length.as_nanos()).unwrap());
    }

    fn pass(&mut self) {
        let mut events = Vec::new();
        self.untils.push(self.prober.pass(&mut events));
        self.events.append(&mut events);
    }

    fn settled(&self) -> impl Iterator<Item = &Settled> {
        self.events.iter().filter_map(|event| match event {
            Event::Settled(settled) => Some(settled),
            _ => None,
        })
    }

    fn count(&self, reason: &str) -> usize {
        let named = |settled: &&Settled| {
            settled.reason.as_ref().is_some_and(|each| each.to_string() == reason)
        };
        self.settled().filter(named).count()
    }

    /// The promise: due in order without a hole, in the order of time, settled exactly once and
    /// after being due.
    fn check(&self) {
        let mut next: HashMap<ProbeId, u64> = HashMap::new();
        let mut open = HashSet::new();
        let mut last = Mono::default();
        for event in &self.events {
            match event {
                Event::Due { probe, send, at } => {
                    assert!(*at >= last, "{event:?} is due before {last:?}");
                    last = *at;
                    assert_eq!(*send, *next.entry(*probe).or_default());
                    next.insert(*probe, send + 1);
                    open.insert((*probe, *send));
                }
                Event::Settled(settled) => {
                    assert!(open.remove(&(settled.probe, settled.send)), "{settled:?}")
                }
                _ => {}
            }
        }
        assert_eq!(open.len(), self.prober.in_air(), "what is not settled is in the air: {open:?}");
        assert!(
            self.untils.is_sorted_by_key(|until| until.mono),
            "what is told goes forwards in time"
        );
    }
}

#[tokio::test]
async fn each_send_is_due_once_and_settled_once() {
    let probes = (0..40)
        .map(|index| probe(&format!("p{index}"), MS * (50 + index * 37)))
        .collect::<Vec<_>>();
    let net = Net::new();
    net.fate.set(|echo| match echo.token.send % 7 {
        0 => &[],
        1 => &[20, 25],
        2 => &[1500],
        3 => &[2500],
        _ => &[24],
    });
    let mut fixture = Fixture::within(net, probes);
    fixture.run(MS * 60_000);
    fixture.check();
    let outcomes: HashSet<_> = fixture.settled().map(|settled| settled.outcome.letter()).collect();
    assert_eq!(outcomes, HashSet::from(['a', 't', 'l']));
    for settled in fixture.settled().filter(|settled| settled.outcome.has_rtt()) {
        let expected = if settled.send % 7 == 1 { 20 } else { 24 };
        let expected = if settled.outcome == Outcome::Late { 1500 } else { expected };
        assert_eq!(
            (settled.rtt_ns, settled.stamp),
            (Some(expected * 1_000_000), Some(Stamp::Kernel))
        );
    }
    assert!(
        fixture
            .events
            .iter()
            .any(|event| matches!(event, Event::Duplicate { send, .. } if send % 7 == 1))
    );
    assert!(
        fixture
            .events
            .iter()
            .all(|event| !matches!(event, Event::Duplicate { send, .. } if send % 7 != 1))
    );
    let late = |event: &Event| matches!(event, Event::Lag { send, .. } if !send.is_zero());
    assert!(!fixture.events.iter().any(late), "it was never late");
}

#[tokio::test]
async fn a_target_that_answers_is_read_without_a_wake_up_of_its_own() {
    let mut fixture =
        Fixture::new((0..1000).map(|index| probe(&format!("p{index}"), MS * 1000)).collect());
    fixture.run(MS * 20_000);
    fixture.check();
    assert!(fixture.settled().all(|settled| settled.outcome == Outcome::Answered));
    assert!(fixture.untils.len() <= 20 * 52, "{} passes in 20 s", fixture.untils.len());
}

#[tokio::test]
async fn after_a_standstill_nothing_is_sent_in_a_burst_and_nothing_is_called_lost() {
    let net = Net::new();
    // Every third request is never answered, the others take 3 s at a time when the process stands
    // still.
    net.fate.set(|echo| if echo.token.send % 3 == 0 { &[] } else { &[700] });
    let mut fixture =
        Fixture::within(net, (0..20).map(|index| probe(&format!("p{index}"), MS * 1000)).collect());
    fixture.run(MS * 1300);
    fixture.check();
    let (sent, lost) = (fixture.net.sent.borrow().len(), fixture.count("lost/timeout"));
    fixture.stall(MS * 30_000);
    fixture.pass();
    assert_eq!(fixture.net.sent.borrow().len(), sent, "nothing is sent at once");
    fixture.check();
    assert_eq!(fixture.count("not-observed/late"), 600);
    assert!(fixture.count("not-observed/gap") > 0);
    assert_eq!(fixture.count("lost/timeout"), lost, "what nobody waited for is not lost");
    let answered: Vec<_> = fixture.settled().filter(|settled| settled.outcome.has_rtt()).collect();
    assert!(
        answered.iter().all(|settled| settled.rtt_ns == Some(700_000_000)),
        "the kernel stamped it meanwhile"
    );
    fixture.run(MS * 10_000);
    fixture.check();
    assert!(fixture.count("lost/timeout") > lost, "from here on it is observed again");
}

#[tokio::test]
async fn a_long_backlog_is_told_in_parts_and_in_order() {
    let mut fixture =
        Fixture::new((0..10).map(|index| probe(&format!("p{index}"), MS * 100)).collect());
    fixture.run(MS * 500);
    fixture.stall(MS * 600_000);
    let before = fixture.untils.len();
    fixture.run(MS * 2000);
    fixture.check();
    assert!(fixture.untils.len() > before + 10, "in parts");
    assert!(
        (60_000 - 100..=60_000).contains(&fixture.count("not-observed/late")),
        "{}",
        fixture.count("not-observed/late")
    );
}

#[tokio::test]
async fn a_clock_stepped_by_an_hour_changes_no_rtt() {
    for by in [3600 * NANOS, -3600 * NANOS] {
        let mut fixture =
            Fixture::new((0..50).map(|index| probe(&format!("p{index}"), MS * 100)).collect());
        for step in 0..20 {
            fixture.run(MS * 333);
            fixture.net.offset.set(fixture.net.offset.get() + if step % 2 == 0 { by } else { -by });
        }
        fixture.check();
        assert!(fixture.settled().count() > 3000);
        for settled in fixture.settled() {
            assert_eq!(
                (settled.outcome, settled.rtt_ns),
                (Outcome::Answered, Some(24_000_000)),
                "{settled:?}"
            );
        }
        assert!(fixture.settled().any(|settled| settled.stamp == Some(Stamp::User)));
    }
}

/// What a book holds of a probe: its outcomes, the sum of its RTTs, and how many of them lie where.
type Booked = (String, u64, Vec<(u64, u64)>);

/// What it holds of 50 probes after some seconds, the clock being set by so many nanoseconds after
/// each third of a second.
fn booked(steps: &[i64]) -> Vec<Booked> {
    use crate::measure::histogram::Histogram;
    use crate::measure::ledger::Ledger;
    let net = Net::new();
    // Many are in the air at any moment, some are lost, some late.
    net.fate.set(|echo| match echo.token.send % 9 {
        0 => &[],
        1 => &[1200],
        2 => &[333],
        3 => &[61, 700],
        _ => &[24],
    });
    let period = MS * 100;
    let mut fixture =
        Fixture::within(net, (0..50).map(|index| probe(&format!("p{index}"), period)).collect());
    let start = Handle(Rc::clone(&fixture.net), 0).now();
    let mut ledger = Ledger::new(vec![period; 50], Duration::from_secs(60), start);
    let mut seen = 0;
    for by in steps.iter().chain(&[0; 9]) {
        fixture.run(MS * 333);
        fixture.events[seen..].iter().for_each(|event| ledger.apply(event, &mut Vec::new()));
        seen = fixture.events.len();
        ledger.advance(Handle(Rc::clone(&fixture.net), 0).now());
        fixture.net.offset.set(fixture.net.offset.get() + by);
    }
    fixture.prober.stop_sending();
    fixture.run(MS * 3000);
    fixture.events[seen..].iter().for_each(|event| ledger.apply(event, &mut Vec::new()));
    ledger.close(Handle(Rc::clone(&fixture.net), 0).now());
    let mut all = vec![(String::new(), 0, Histogram::new()); 50];
    for closed in ledger.finished().into_iter().flatten() {
        let (outcomes, sum, rtts) = &mut all[closed.probe.0 as usize];
        outcomes.extend(closed.interval.outcomes.iter().map(Outcome::letter));
        let Some(rtt) = closed.interval.rtt else { continue };
        *sum += rtt.sum_ns;
        rtts.merge(&rtt.histogram.unpack().unwrap());
    }
    all.into_iter()
        .map(|(outcomes, sum, rtts)| (outcomes, sum, rtts.recorded().collect()))
        .collect()
}

#[tokio::test]
async fn a_clock_stepped_by_an_hour_during_waits_leaves_the_histograms_as_they_were() {
    let hour = 3600 * NANOS;
    let quiet = booked(&[0; 20]);
    assert!(
        quiet
            .iter()
            .all(|(outcomes, ..)| ['a', 't', 'l'].iter().all(|letter| outcomes.contains(*letter)))
    );
    let forwards_and_back: Vec<i64> =
        (0..20).map(|step| if step % 2 == 0 { hour } else { -hour }).collect();
    for steps in
        [&forwards_and_back[..], &[hour; 20], &[-hour; 20], &[0, 0, 250_000_000, 0, -250_000_000]]
    {
        let mut steps = steps.to_vec();
        steps.resize(20, 0);
        assert_eq!(booked(&steps), quiet, "{steps:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_slow_to_begin_leaves_no_send_before_its_interval() {
    use crate::measure::ledger::Ledger;
    let (minute, period) = (Duration::from_secs(60), Duration::from_secs(1));
    for begins_ms in [20, 500, 750, 850, 990] {
        let net = Net::new();
        net.mono.set(net.mono.get() + begins_ms * 1_000_000);
        let mut fixture = Fixture::within(
            net,
            (0..100).map(|index| probe(&format!("p{index}"), period)).collect(),
        );
        // Until the book is made, and longer.
        fixture.stall(MS * 300);
        let clock = Handle(Rc::clone(&fixture.net), 0);
        let mut ledger =
            Ledger::new(vec![period; 100], minute, clock.now().at(fixture.prober.begun()));
        fixture.run(minute * 2);
        fixture.events.iter().for_each(|event| ledger.apply(event, &mut Vec::new()));
        ledger.advance(clock.now());
        let closed: Vec<_> = ledger.finished().into_iter().flatten().collect();
        assert!(closed.len() >= 100, "{}", closed.len());
        for each in closed {
            let (count, millis) = (each.interval.outcomes.len(), u64::from(each.interval.millis));
            assert!(
                (count * 1000).abs_diff(millis) <= 1000,
                "{count} in {millis} ms, begun at {begins_ms} ms"
            );
        }
    }
}

#[tokio::test]
async fn an_overflow_makes_silence_unknown_and_a_full_buffer_is_not_sent() {
    let net = Net::new();
    net.fate.set(|echo| if echo.token.send % 2 == 0 { &[] } else { &[24] });
    let mut fixture = Fixture::within(net, vec![probe("p", MS * 300)]);
    fixture.run(MS * 650);
    fixture.net.queue.borrow_mut().push_back((0, Arrival::Overflow));
    fixture.run(MS * 4000);
    fixture.check();
    let overflown = fixture.count("not-observed/overflow");
    assert!((1..=2).contains(&overflown), "{overflown}");
    assert!(fixture.count("lost/timeout") > 0);
    fixture.net.full.set(true);
    fixture.run(MS * 3000);
    fixture.check();
    assert_eq!(fixture.count("not-sent/buffer"), 10);
}

#[tokio::test]
async fn the_link_is_looked_at_after_every_send_that_failed_and_after_no_other() {
    let trouble = |fixture: &Fixture| fixture.prober.lanes[0].as_ref().unwrap().trouble;
    let mut fixture = Fixture::new(vec![probe("p", MS * 300)]);
    fixture.run(MS * 1000);
    assert!(!trouble(&fixture));
    // It fails at once, in the same pass in which it is due, while nothing is in the air.
    fixture.net.full.set(true);
    fixture.run(MS * 600);
    assert_eq!(fixture.count("not-sent/buffer"), 2);
    assert!(trouble(&fixture));
    fixture.net.full.set(false);
    fixture.run(MS * 600);
    assert!(!trouble(&fixture));
}

#[tokio::test]
async fn a_missing_interface_is_tried_again_with_pauses_and_used_once_it_is_there() {
    let net = Net::new();
    net.missing.set(true);
    let mut one = probe("p", MS * 100);
    one.circuit.interface = Some("ppp0".to_owned());
    let mut fixture = Fixture::within(net, vec![one, probe("q", MS * 100)]);
    fixture.run(MS * 60_000);
    fixture.check();
    assert_eq!(fixture.count("not-sent/interface"), 600);
    assert!(fixture.net.opened.get() < 10, "{} tries", fixture.net.opened.get());
    assert!(matches!(&fixture.prober.ports()[0].state, Err(shut) if shut.why.contains("\"ppp0\"")));
    fixture.net.missing.set(false);
    fixture.run(MS * 31_000);
    fixture.check();
    let last = fixture.settled().filter(|settled| settled.probe == ProbeId(0)).last().unwrap();
    assert_eq!(last.outcome, Outcome::Answered);
}

#[tokio::test]
async fn after_a_run_of_losses_another_identifier_is_tried() {
    let net = Net::new();
    net.dead.set(1);
    let mut fixture = Fixture::within(net, vec![probe("p", MS * 500), probe("q", MS * 500)]);
    fixture.run(MS * 20_000);
    fixture.check();
    assert_eq!(fixture.net.opened.get(), 2, "both move to the same other port");
    let outcomes: String = fixture
        .settled()
        .filter(|each| each.probe.0 == 1)
        .map(|each| each.outcome.letter())
        .collect();
    let (lost, answered) = outcomes.split_at(outcomes.find('a').unwrap());
    assert!(
        lost.len() <= 15 && answered.chars().all(|letter| letter == 'a' || letter == 'l'),
        "{outcomes}"
    );
    assert!(outcomes.ends_with("aaaaaaaaaa"), "{outcomes}");
    fixture.net.dead.set(u32::MAX);
    fixture.run(MS * 120_000);
    fixture.check();
    assert_eq!(fixture.net.opened.get(), u32::from(IDENTS), "no more than so many");
}

#[tokio::test]
async fn at_the_end_what_is_in_the_air_is_waited_for_and_then_not_observed() {
    let net = Net::new();
    net.fate.set(|_| &[]);
    let mut fixture = Fixture::within(net, vec![probe("p", MS * 500)]);
    fixture.run(MS * 1200);
    assert!(fixture.prober.in_air() > 0);
    let sent = fixture.net.sent.borrow().len();
    let mut events = Vec::new();
    fixture.prober.part(Duration::ZERO, &mut events).await;
    fixture.events.append(&mut events);
    fixture.check();
    assert_eq!((fixture.prober.in_air(), fixture.net.sent.borrow().len()), (0, sent));
    assert!(fixture.count("not-observed/stopped") > 0);
    assert!(fixture.prober.is_done());
}

#[tokio::test]
async fn a_reload_keeps_what_is_unchanged_and_settles_what_is_gone() {
    let net = Net::new();
    net.fate.set(|_| &[900]);
    let mut fixture =
        Fixture::within(net, ["a", "b", "c"].map(|name| probe(name, MS * 500)).to_vec());
    fixture.run(MS * 1200);
    let mut changed = probe("b", MS * 500);
    changed.timeout = MS * 1000;
    let mut events = Vec::new();
    let probes = [probe("c", MS * 500), changed, probe("d", MS * 500)].map(Arc::new).to_vec();
    let ids = fixture.prober.reload(probes, |_| false, &mut events);
    assert_eq!(ids[0], ProbeId(2), "unchanged");
    assert_eq!(
        HashSet::from([ids[1], ids[2]]),
        HashSet::from([ProbeId(0), ProbeId(1)]),
        "places are given out again"
    );
    assert!(!events.is_empty(), "what was in the air of the others is settled");
    let removed = |event: &Event| {
        let Event::Settled(settled) = event else { return false };
        settled.outcome == Outcome::NotObserved
    };
    assert!(events.iter().all(removed), "{events:?}");
    fixture.events.clear();
    fixture.run(MS * 5000);
    // The sends of what has a place anew are numbered anew; replies to what was there before settle
    // nothing.
    let mut first = HashMap::new();
    for event in &fixture.events {
        if let Event::Due { probe, send, .. } = event {
            first.entry(*probe).or_insert(*send);
        }
    }
    assert!(first[&ProbeId(2)] > 0, "its numbers go on");
    assert_eq!((first[&ProbeId(0)], first[&ProbeId(1)]), (0, 0));
    assert!(fixture.settled().all(|settled| settled.rtt_ns == Some(900_000_000)));
}

#[tokio::test]
async fn a_probe_begins_at_the_eighth_of_the_numbers_that_the_fewest_of_its_target_begin_at() {
    let named = |names: Range<u32>| {
        names.map(|name| Arc::new(probe(&format!("p{name}"), MS * 500))).collect::<Vec<_>>()
    };
    let mut prober =
        Fixture::new(named(0..10).iter().map(|probe| Probe::clone(probe)).collect()).prober;
    let eighth = |prober: &Prober, id| match prober.lane(id).unwrap().kind {
        Kind::Echo { seq_base, .. } => seq_base >> 13,
        Kind::Request(_) => panic!("it is an echo"),
    };
    let eighths = |prober: &Prober, ids: &[ProbeId]| {
        ids.iter().map(|&id| eighth(prober, id)).collect::<Vec<_>>()
    };
    let ids: Vec<ProbeId> = (0..10).map(ProbeId).collect();
    assert_eq!(eighths(&prober, &ids), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    let ids = prober.reload([named(0..3), named(6..13)].concat(), |_| false, &mut Vec::new());
    assert_eq!(eighths(&prober, &ids), [0, 1, 2, 6, 7, 0, 1, 3, 4, 5]);
    let mut other = probe("elsewhere", MS * 500);
    other.test = Test::Icmp { target: "10.99.1.2".to_owned(), size: 56 };
    let ids =
        prober.reload([named(7..15), vec![Arc::new(other)]].concat(), |_| false, &mut Vec::new());
    assert_eq!(eighths(&prober, &ids), [7, 0, 1, 3, 4, 5, 2, 6, 0]);
}

#[tokio::test]
async fn an_error_that_quotes_only_a_sequence_number_finds_its_probe() {
    let net = Net::new();
    net.fate.set(|_| &[]);
    let mut fixture = Fixture::within(net, vec![probe("a", MS * 500), probe("b", MS * 500)]);
    fixture.run(MS * 1200);
    let sent = fixture.net.sent.borrow().clone();
    let ours: Vec<_> = sent.iter().filter(|echo| echo.token.lane & PLACES == 1).collect();
    let whose = Whose::Seq(ours[1].to, ours[1].seq);
    let router = Some(IpAddr::from([10, 98, 0, 1]));
    fixture
        .net
        .queue
        .borrow_mut()
        .push_back((0, Arrival::Refused { whose, kind: "ttl-exceeded", from: router }));
    fixture.run(MS * 200);
    fixture.check();
    let settled = fixture.settled().next().unwrap();
    assert_eq!((settled.probe, settled.send, settled.outcome), (ProbeId(1), 1, Outcome::Refused));
    assert_eq!(
        (settled.from, settled.reason.as_ref().unwrap().to_string()),
        (router, "refused/ttl-exceeded".to_owned())
    );
}
