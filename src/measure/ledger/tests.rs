use super::*;
use crate::measure::event::{Settled, Stamp};
use crate::measure::outcome::{Outcome, Reason};

const SECOND: Duration = Duration::from_secs(1);

/// A book of probes with a period of a second, begun at the second `from` of an hour; the
/// monotonic clock is at 1000 s.
struct Fixture {
    ledger: Ledger,
    start: Now,
    told: Vec<SettledSend>,
}

impl Fixture {
    fn new(probes: usize, from: i64) -> Self {
        let start = Now {
            wall: Wall::from_secs(360_000 + from),
            mono: Mono::from_nanos(1_000_000_000_000),
        };
        Self { ledger: Ledger::new(vec![SECOND; probes], MINUTE, start), start, told: Vec::new() }
    }

    fn mono(&self, ms: u64) -> Mono {
        self.start.mono + Duration::from_millis(ms)
    }

    fn due(&mut self, probe: u32, send: u64, ms: u64) {
        let at = self.mono(ms);
        self.ledger.apply(&Event::Due { probe: ProbeId(probe), send, at }, &mut self.told);
    }

    fn settled(probe: u32, send: u64, outcome: Outcome, rtt_ms: Option<u64>) -> Settled {
        Settled {
            probe: ProbeId(probe),
            send,
            outcome,
            rtt_ns: rtt_ms.map(|ms| ms * 1_000_000),
            stamp: rtt_ms.map(|_| Stamp::Kernel),
            reason: (outcome == Outcome::Lost).then_some(Reason::TIMEOUT),
            seq: None,
            ttl: None,
            bytes: None,
            from: None,
            phases: Vec::new(),
        }
    }

    fn settle(&mut self, probe: u32, send: u64, outcome: Outcome, rtt_ms: Option<u64>) {
        let settled = Self::settled(probe, send, outcome, rtt_ms);
        self.ledger.apply(&Event::Settled(settled), &mut self.told);
    }

    fn advance(&mut self, ms: u64) -> Option<Step> {
        let mono = self.mono(ms);
        self.ledger.advance(self.start.at(mono))
    }

    fn told(&mut self) -> String {
        self.told.drain(..).map(|told| told.outcome.letter()).collect()
    }
}

#[test]
fn a_minute_is_given_out_once_every_send_of_every_probe_is_settled() {
    let mut book = Fixture::new(2, 58);
    for probe in 0..2 {
        book.due(probe, 0, 200);
        book.due(probe, 1, 1200);
        book.due(probe, 2, 2200);
    }
    book.settle(0, 0, Outcome::Answered, Some(10));
    book.settle(0, 1, Outcome::Answered, Some(14));
    book.settle(1, 0, Outcome::Answered, Some(10));
    book.advance(3500);
    assert_eq!(book.ledger.finished(), Vec::<Vec<FinishedInterval>>::new());
    assert_eq!(book.ledger.complete_until(), book.start.wall);
    book.settle(1, 1, Outcome::Lost, None);
    let given = book.ledger.finished();
    assert_eq!(given.len(), 1);
    assert_eq!(book.ledger.complete_until(), Wall::from_secs(360_060));
    let [first, second] = &given[0][..] else { panic!("{given:?}") };
    assert_eq!(
        (first.interval.millis, first.interval.first_ms, first.interval.kernel_stamped),
        (2000, 200, 2)
    );
    assert_eq!(first.interval.outcomes.to_string(), "2a");
    assert_eq!(first.interval.rtt.as_ref().unwrap().sum_ns, 24_000_000);
    assert_eq!(first.interval.ipdv.as_ref().unwrap().sum_ns, 4_000_000);
    assert_eq!(first.interval.rfc3550_max_ns, Some(250_000));
    assert_eq!(second.interval.outcomes.to_string(), "1a1l");
    assert_eq!(second.interval.reasons, BTreeMap::from([("lost/timeout".to_owned(), 1)]));
    assert_eq!(second.interval.ipdv, None);
}

#[test]
fn outcomes_are_told_in_the_order_of_their_sends_across_a_minutes_end() {
    let mut book = Fixture::new(1, 58);
    (0..4).for_each(|send| book.due(0, send, 500 + 1000 * send));
    book.settle(0, 1, Outcome::Answered, Some(1));
    book.settle(0, 2, Outcome::Late, Some(1));
    assert_eq!(book.told(), "");
    book.settle(0, 0, Outcome::Lost, None);
    assert_eq!(
        book.told.iter().map(|told| told.due.millis() - 360_058_000).collect::<Vec<_>>(),
        [500, 1500, 2500]
    );
    assert_eq!(
        book.told.iter().map(|told| told.reason.clone()).collect::<Vec<_>>(),
        [Some(Reason::TIMEOUT), None, None]
    );
    assert_eq!(book.told(), "lat");
    book.settle(0, 3, Outcome::Answered, Some(1));
    assert_eq!(book.told(), "a");
    assert_eq!(
        book.ledger.finished().len(),
        1,
        "the first minute; the second is still being filled"
    );
}

#[test]
fn each_send_is_told_with_its_own_reason_and_mark_in_whatever_order_they_are_settled() {
    let target = IpAddr::from([192, 0, 2, 1]);
    let status =
        |code: u16| Reason { outcome: Outcome::Refused, kind: format!("status-{code}").into() };
    let reasons = [
        status(503),
        Reason::TIMEOUT,
        Reason::new(Outcome::Refused, "prohibited"),
        Reason::CARRIER,
        Reason::new(Outcome::NotSent, "no-route"),
        status(502),
        status(503),
        Reason::new(Outcome::NotObserved, "gap"),
    ];
    let mut book = Fixture::new(1, 10);
    let address = Event::Address { probe: ProbeId(0), address: Some(target) };
    book.ledger.apply(&address, &mut book.told);
    (0..8).for_each(|send| book.due(0, send, 100 + 1000 * send));
    for send in [7, 3, 5, 1, 0, 6, 4, 2u8] {
        let reason = reasons[usize::from(send)].clone();
        let mut settled = Fixture::settled(0, send.into(), reason.outcome, None);
        settled.reason = Some(reason);
        book.ledger.apply(&Event::Settled(settled), &mut book.told);
    }
    assert_eq!(
        book.told.iter().map(|told| told.reason.clone().unwrap()).collect::<Vec<_>>(),
        reasons
    );
    let (given, none) = (TargetWord::Given, TargetWord::None);
    let words: Vec<_> = book.told.iter().map(|told| told.word).collect();
    assert_eq!(words, [given, none, none, none, none, given, given, none]);
    let carriers: Vec<_> = book.told.iter().map(|told| told.carrier == CarrierLoss::Yes).collect();
    assert_eq!(carriers, [false, false, false, true, false, false, false, false]);
}

#[test]
fn a_book_closed_just_after_a_minutes_end_is_cut_there_too() {
    let mut book = Fixture::new(1, 58);
    book.due(0, 0, 500);
    book.settle(0, 0, Outcome::Answered, Some(1));
    book.advance(2400);
    let mono = book.mono(2500);
    book.ledger.close(book.start.at(mono));
    let given = book.ledger.finished();
    let spans = given
        .iter()
        .map(|set| (set[0].interval.from.millis() - 360_000_000, set[0].interval.millis));
    assert_eq!(spans.collect::<Vec<_>>(), [(58_000, 2000), (60_000, 500)]);
}

#[test]
fn a_send_is_settled_once_and_a_late_answer_reopens_nothing() {
    let mut book = Fixture::new(1, 58);
    book.due(0, 0, 100);
    book.settle(0, 0, Outcome::Lost, None);
    book.settle(0, 0, Outcome::Answered, Some(3));
    book.settle(0, 7, Outcome::Answered, Some(3));
    book.advance(3100);
    let given = book.ledger.finished();
    assert_eq!(given[0][0].interval.outcomes.to_string(), "1l");
    assert_eq!(given[0][0].interval.rtt, None);
    book.settle(0, 0, Outcome::Answered, Some(3));
    assert_eq!(book.told(), "l");
}

#[test]
fn a_probe_with_a_long_period_has_empty_intervals() {
    let start = Now { wall: Wall::from_secs(360_000), mono: Mono::from_nanos(0) };
    let mut ledger = Ledger::new([Duration::from_secs(150)], MINUTE, start);
    let mut told = Vec::new();
    ledger.apply(
        &Event::Due { probe: ProbeId(0), send: 0, at: Mono::from_nanos(5_000_000_000) },
        &mut told,
    );
    let settled = Settled {
        probe: ProbeId(0),
        send: 0,
        outcome: Outcome::NotSent,
        rtt_ns: None,
        stamp: None,
        reason: Some(Reason::CARRIER),
        seq: None,
        ttl: None,
        bytes: None,
        from: None,
        phases: Vec::new(),
    };
    ledger.apply(&Event::Settled(settled), &mut told);
    assert_eq!(told[0].carrier, CarrierLoss::Yes);
    let mono = Mono::from_nanos(130_000_000_000);
    ledger.advance(start.at(mono));
    let outcomes: Vec<_> = ledger
        .finished()
        .into_iter()
        .flatten()
        .map(|each| each.interval.outcomes.to_string())
        .collect();
    assert_eq!(outcomes, ["1n", ""]);
}

#[test]
fn a_stepped_clock_ends_the_intervals_and_is_told() {
    for by_ns in [3_600_000_000_000, -3_600_000_000_000] {
        let mut book = Fixture::new(1, 10);
        book.due(0, 0, 100);
        book.settle(0, 0, Outcome::Answered, Some(3));
        let mono = book.mono(700);
        let wall = book.start.wall_of(mono).shifted(by_ns);
        let step = book.ledger.advance(Now { wall, mono }).unwrap();
        assert_eq!(step, Step { at: wall, by_ns });
        book.due(0, 1, 1100);
        book.settle(0, 1, Outcome::Answered, Some(3));
        let given = book.ledger.finished();
        assert_eq!(
            (given[0][0].interval.millis, given[0][0].interval.rtt.as_ref().unwrap().sum_ns),
            (700, 3_000_000)
        );
        book.ledger.close(Now { wall: wall + SECOND, mono: mono + SECOND });
        let given = book.ledger.finished();
        assert_eq!((given[0][0].interval.from, given[0][0].interval.first_ms), (wall, 400));
    }
}

#[test]
fn a_slewed_clock_is_followed_without_a_cut() {
    let mut book = Fixture::new(1, 0);
    let mono = book.mono(20_000);
    assert_eq!(
        book.ledger.advance(Now { wall: book.start.wall_of(mono).shifted(9_000_000), mono }),
        None
    );
    book.due(0, 0, 60_000);
    book.settle(0, 0, Outcome::Answered, Some(3));
    let given = book.ledger.finished();
    assert_eq!((given[0][0].interval.millis, given[0][0].interval.outcomes.len()), (59_991, 0));
}

#[test]
fn another_address_begins_another_interval() {
    let mut book = Fixture::new(1, 10);
    let first = Some(IpAddr::from([127, 0, 0, 1]));
    let second = Some(IpAddr::from([127, 0, 0, 2]));
    book.ledger.apply(&Event::Address { probe: ProbeId(0), address: first }, &mut Vec::new());
    book.due(0, 0, 100);
    book.settle(0, 0, Outcome::Answered, Some(3));
    book.ledger.apply(&Event::Address { probe: ProbeId(0), address: second }, &mut Vec::new());
    book.due(0, 1, 1100);
    book.settle(0, 1, Outcome::Lost, None);
    let mono = book.mono(2000);
    book.ledger.close(book.start.at(mono));
    let given: Vec<_> = book.ledger.finished().into_iter().flatten().collect();
    assert_eq!(given.iter().map(|each| each.address).collect::<Vec<_>>(), [first, second]);
    assert_eq!(given.iter().map(|each| each.interval.millis).collect::<Vec<_>>(), [1100, 900]);
    assert_eq!(given[1].interval.first_ms, 0);
    assert_eq!(book.told(), "al");
}

#[test]
fn sends_that_this_host_limited_are_counted_in_the_interval_in_which_it_was_late() {
    let mut book = Fixture::new(1, 57);
    let lag = |send| Event::Lag { send: Duration::from_micros(send), receive: None };
    let stamped = |book: &mut Fixture, send, stamp| {
        let mut settled = Fixture::settled(0, send, Outcome::Answered, Some(3));
        settled.stamp = Some(stamp);
        book.ledger.apply(&Event::Settled(settled), &mut book.told);
    };
    (0..3).for_each(|send| book.due(0, send, 100 + 1000 * send));
    stamped(&mut book, 0, Stamp::User);
    book.ledger.apply(&lag(5000), &mut book.told);
    book.ledger.apply(&lag(300), &mut book.told);
    stamped(&mut book, 1, Stamp::Kernel);
    let mut missed = Fixture::settled(0, 2, Outcome::NotObserved, None);
    missed.reason = Some(Reason::new(Outcome::NotObserved, "late"));
    book.ledger.apply(&Event::Settled(missed), &mut book.told);
    // In the next minute it is not late enough.
    (3..5).for_each(|send| book.due(0, send, 100 + 1000 * send));
    book.ledger.apply(&lag(4999), &mut book.told);
    stamped(&mut book, 3, Stamp::User);
    stamped(&mut book, 4, Stamp::User);
    let mono = book.mono(5000);
    book.ledger.close(book.start.at(mono));
    let given: Vec<_> = book.ledger.finished().into_iter().flatten().collect();
    assert_eq!(given[0].interval.limited(), 2, "one stamped by this program, one missed");
    assert_eq!((given[1].interval.limited(), &given[1].interval.reasons), (0, &BTreeMap::new()));
}

#[test]
fn what_took_more_than_a_minute_is_clamped_in_the_histogram_and_exact_in_the_sum() {
    let mut book = Fixture::new(1, 0);
    book.due(0, 0, 100);
    book.settle(0, 0, Outcome::Late, Some(61_000));
    book.advance(62_000);
    let given = book.ledger.finished();
    assert_eq!(given[0][0].interval.reasons["rtt/clamped"], 1);
    assert_eq!(given[0][0].interval.rtt.as_ref().unwrap().sum_ns, 61_000_000_000);
}
