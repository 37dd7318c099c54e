use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const PROBE: ProbeId = ProbeId(0);

fn at(ms: u64) -> Moment {
    Moment { at: Mono::from_nanos(1_000_000_000_000 + ms * 1_000_000), era: 0 }
}

fn reply(ms: u64) -> Answer {
    let time = Time::Stamps { rx: Some(at(ms)), seen: at(ms + 7) };
    Answer { time, ttl: Some(57), bytes: 64, from: IpAddr::from([127, 0, 0, 1]) }
}

/// A probe with a timeout of 2 s and a cut-off of 1 s.
#[derive(Default)]
struct Fixture {
    flight: Flight,
    events: Vec<Event>,
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self::default();
        fixture.flight.add(PROBE, Patience { timeout: 2 * SECOND, cutoff: SECOND });
        fixture
    }

    fn sent(&mut self, number: u64, ms: u64) {
        self.flight.sent(PROBE, number, u16::try_from(number & 0xffff).unwrap(), at(ms));
    }

    fn answer(&mut self, number: u64, ms: u64) {
        self.flight.answer(PROBE, number, &reply(ms), &mut self.events);
    }

    /// What happened since the last time: a letter and a number for each event.
    fn told(&mut self) -> String {
        let told = self.events.drain(..).map(|event| match event {
            Event::Settled(settled) => format!("{}{}", settled.outcome.letter(), settled.send),
            Event::Duplicate { send, .. } => format!("D{send}"),
            Event::Reordered { send, .. } => format!("R{send}"),
            Event::Straggler { send, .. } => format!("S{send}"),
            other => format!("{other:?}"),
        });
        told.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn an_answer_is_in_time_or_late_or_too_late_by_its_rtt() {
    let mut fixture = Fixture::new();
    (0..3).for_each(|number| fixture.sent(number, 0));
    fixture.answer(0, 1000);
    fixture.answer(1, 1001);
    fixture.answer(2, 2001);
    assert_eq!(fixture.told(), "a0 t1 l2 S2");
    assert_eq!(fixture.flight.in_air(), 0);
}

#[test]
fn the_transmit_stamp_counts_and_not_the_call() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.flight.departed(PROBE, 0, at(600));
    fixture.answer(0, 1500);
    let [Event::Settled(settled)] = &fixture.events[..] else { panic!("{:?}", fixture.events) };
    assert_eq!((settled.rtt_ns, settled.stamp), (Some(900_000_000), Some(Stamp::Kernel)));
    assert_eq!((settled.outcome, settled.ttl, settled.seq), (Outcome::Answered, Some(57), Some(0)));
}

#[test]
fn silence_is_loss_once_everything_that_came_in_time_was_read() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.sent(1, 500);
    assert_eq!(fixture.flight.next_deadline(), Some(at(2001).at));
    fixture.flight.expire(at(2000).at, |_, _| None, &mut fixture.events);
    assert_eq!(fixture.told(), "");
    fixture.flight.expire(at(2001).at, |_, _| None, &mut fixture.events);
    assert_eq!(fixture.told(), "l0");
    fixture.flight.expire(at(9000).at, |_, _| None, &mut fixture.events);
    assert_eq!(fixture.told(), "l1");
    assert_eq!((fixture.flight.in_air(), fixture.flight.next_deadline()), (0, None));
}

#[test]
fn what_never_left_this_host_may_have_another_reason_for_its_silence() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.sent(1, 0);
    fixture.flight.departed(PROBE, 1, at(1));
    let excuse =
        |_, silence: Silence| (silence.departure == Departure::Unseen).then_some(Reason::CARRIER);
    fixture.flight.expire(at(9000).at, excuse, &mut fixture.events);
    assert_eq!(fixture.told(), "n0 l1");
}

#[test]
fn a_late_reply_does_not_reopen_a_settled_probe() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.flight.expire(at(2001).at, |_, _| None, &mut fixture.events);
    fixture.answer(0, 2500);
    fixture.answer(0, 2501);
    assert_eq!(fixture.told(), "l0 S0 S0");
}

#[test]
fn a_second_answer_is_a_duplicate_whether_others_are_in_the_air_or_not() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.sent(1, 0);
    fixture.answer(1, 5);
    fixture.answer(1, 6);
    fixture.answer(0, 7);
    fixture.answer(1, 8);
    fixture.answer(0, 9);
    fixture.answer(77, 9);
    assert_eq!(fixture.told(), "a1 D1 a0 R0 D1 D0 S77");
}

#[test]
fn a_refusal_settles_and_an_answer_after_it_does_not() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    let router = Some(IpAddr::from([10, 0, 0, 1]));
    let reason = Reason::new(Outcome::Refused, "host-unreachable");
    fixture.flight.refuse(PROBE, 0, (reason.clone(), router), &mut fixture.events);
    fixture.flight.refuse(PROBE, 0, (reason.clone(), router), &mut fixture.events);
    let [Event::Settled(settled)] = &fixture.events[..] else { panic!("{:?}", fixture.events) };
    assert_eq!((settled.from, settled.reason.clone()), (router, Some(reason)));
    fixture.answer(0, 5);
    assert_eq!(fixture.told(), "u0 S0");
}

#[test]
fn what_was_in_the_air_while_nobody_looked_and_stays_unanswered_is_not_observed() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.sent(1, 0);
    fixture.flight.doubt_all(Doubt::Gap);
    fixture.flight.doubt_all(Doubt::Overflow);
    fixture.sent(2, 0);
    fixture.answer(1, 30);
    fixture.flight.expire(at(3000).at, |_, _| None, &mut fixture.events);
    let [Event::Settled(_), Event::Settled(gap), _] = &fixture.events[..] else {
        panic!("{:?}", fixture.events)
    };
    assert_eq!(gap.reason.as_ref().unwrap().to_string(), "not-observed/gap");
    assert_eq!(fixture.told(), "a1 x0 l2");
}

#[test]
fn what_is_in_the_air_at_the_end_is_not_observed() {
    let mut fixture = Fixture::new();
    fixture.sent(0, 0);
    fixture.sent(1, 0);
    fixture.answer(0, 4);
    fixture.flight.abandon(&Reason::new(Outcome::NotObserved, "stopped"), &mut fixture.events);
    fixture.answer(1, 5);
    fixture.flight.expire(at(9000).at, |_, _| None, &mut fixture.events);
    assert_eq!(fixture.told(), "a0 x1 S1");
}

#[test]
fn a_probe_that_takes_anothers_place_inherits_nothing() {
    let mut fixture = Fixture::new();
    fixture.sent(5, 0);
    fixture.flight.remove(
        PROBE,
        &Reason::new(Outcome::NotObserved, "removed"),
        &mut fixture.events,
    );
    fixture.flight.add(PROBE, Patience { timeout: 2 * SECOND, cutoff: SECOND });
    fixture.sent(5, 1000);
    fixture.flight.expire(at(2500).at, |_, _| None, &mut fixture.events);
    assert_eq!(fixture.told(), "x5");
    fixture.flight.expire(at(3001).at, |_, _| None, &mut fixture.events);
    assert_eq!(fixture.told(), "l5");
}

#[test]
fn a_number_of_32_bits_is_widened_to_the_nearest() {
    let mut fixture = Fixture::new();
    let number = (7u64 << 32) + 3;
    fixture.sent(number, 0);
    assert_eq!(fixture.flight.widen(PROBE, 3), Some(number));
    assert_eq!(fixture.flight.widen(PROBE, u32::MAX), Some((7 << 32) - 1));
    assert_eq!(fixture.flight.widen(PROBE, 9), Some(number + 6));
    assert_eq!(fixture.flight.widen(ProbeId(9), 9), None);
}

proptest! {
    /// However replies are shuffled, repeated, late or invented: each send is settled once, and
    /// what is counted as answered was answered.
    #[test]
    fn every_send_is_settled_exactly_once(
        script in prop::collection::vec((0u8..6, 0u64..40, 0u64..3000), 0..300)
    ) {
        let mut fixture = Fixture::new();
        let (mut next, mut clock) = (0u64, 0u64);
        for (what, number, ms) in script {
            match what {
                0 | 1 => {
                    fixture.sent(next, clock);
                    next += 1;
                }
                2 | 3 => fixture.answer(number, clock),
                4 => {
                    clock += ms;
                    fixture.flight.expire(at(clock).at, |_, _| None, &mut fixture.events);
                }
                _ => {
                    let reason = Reason::new(Outcome::Refused, "ttl-exceeded");
                    fixture.flight.refuse(PROBE, number, (reason, None), &mut fixture.events);
                }
            }
        }
        fixture.flight.abandon(&Reason::new(Outcome::NotObserved, "stopped"), &mut fixture.events);
        let mut settled = vec![0; usize::try_from(next).unwrap()];
        for event in &fixture.events {
            match event {
                Event::Settled(each) => settled[usize::try_from(each.send).unwrap()] += 1,
                Event::Duplicate { send, .. } | Event::Reordered { send, .. } => {
                    prop_assert!(*send < next)
                }
                _ => {}
            }
        }
        prop_assert!(settled.iter().all(|&count| count == 1), "{:?}", settled);
        prop_assert_eq!(fixture.flight.in_air(), 0);
    }
}
