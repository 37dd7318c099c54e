//! The probes in the air, and what became of each: every send is settled exactly once.
//!
//! What settles a send is the RTT that was measured, not the moment at which the program got round
//! to reading the reply: a reply that was in the socket's queue in time is in time. Hence a send is
//! given up only when everything that had arrived by its deadline has been read
//! ([`Flight::expire`]).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::{Event, ProbeId, Settled, Stamp};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Attempt;
use crate::measure::rtt::{Moment, Rtt, Wait};

/// The kernel puts a packet into the socket's queue within this time of stamping it.
const QUEUED: Duration = Duration::from_millis(1);

/// All that is in the air.
#[derive(Debug, Default)]
pub struct Flight {
    lanes: Vec<Option<Lane>>,
    /// One queue for each waiting time, each in the order of sending, hence of deadlines.
    deadlines: Vec<(Duration, VecDeque<Deadline>)>,
    open: usize,
}

/// When a probe's send is given up whose number has these low 32 bits.
type Deadline = (Mono, ProbeId, u32);

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// What has not come by then is lost.
    pub timeout: Duration,
    /// What has not come by then is late.
    pub cutoff: Duration,
}

/// Whether the kernel said that a send left this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It gave a transmit stamp.
    Seen,
    /// It gave none; it may have none to give.
    Unseen,
}

/// A send that nothing came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Whether the kernel said that it left.
    pub departure: Departure,
    /// When it was handed to the kernel.
    pub sent: Mono,
}

/// Why silence says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The socket's receive queue overflowed.
    Overflow,
    /// The process stood still.
    Gap,
}

impl Doubt {
    const fn reason(self) -> Reason {
        Reason::new(
            Outcome::NotObserved,
            match self {
                Self::Overflow => "overflow",
                Self::Gap => "gap",
            },
        )
    }
}

/// One probe's sends.
#[derive(Debug)]
struct Lane {
    patience: Patience,
    /// In the order of sending; the first one is open.
    sends: VecDeque<Send>,
    /// What was answered has lower numbers.
    furthest: u64,
    /// Whether sends that have left `sends` were answered: bit *i* is for send `recent_end` − 1 −
    /// *i*.
    recent: u64,
    recent_end: u64,
}

/// A send. It is small, since each probe has room for one.
#[derive(Clone, Copy, Debug)]
struct Send {
    number: u64,
    sent: Mono,
    /// The kernel's transmit stamp, where it gave one.
    tx: Mono,
    sent_era: u32,
    tx_era: u32,
    seq: u16,
    state: State,
    departure: Departure,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Answered,
    Closed,
}

/// An answer to an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How long it took.
    pub time: Time,
    /// The TTL (hop limit) that it came with.
    pub ttl: Option<u8>,
    /// Its ICMP header and payload, in bytes.
    pub bytes: u32,
    /// Who sent it.
    pub from: IpAddr,
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It was received then.
    Stamps {
        /// The kernel's receive stamp.
        rx: Option<Moment>,
        /// When it was read.
        seen: Moment,
    },
    /// It was measured elsewhere, by this program's own stamps.
    Measured(Duration),
}

impl Flight {
    /// Takes a probe in; what was in the air under this number is forgotten.
    pub fn add(&mut self, probe: ProbeId, patience: Patience) {
        let index = probe.0 as usize;
        if self.lanes.len() <= index {
            self.lanes.resize_with(index + 1, || None);
        }
        let lane = Lane {
            patience,
            sends: VecDeque::with_capacity(1),
            furthest: 0,
            recent: 0,
            recent_end: 0,
        };
        if let Some(old) = self.lanes[index].replace(lane) {
            self.open -= old.sends.iter().filter(|send| send.state == State::Open).count();
        }
    }

    /// Lets a probe go; what it has in the air is settled as not observed.
    pub fn remove(&mut self, probe: ProbeId, reason: &Reason, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::take) else {
            return;
        };
        for send in lane.sends.iter().filter(|send| send.state == State::Open) {
            self.open -= 1;
            events.push(Event::Settled(send.closed(probe, reason.clone(), None)));
        }
    }

    /// A send is on its way. Numbers rise; `seq` is what identifies it in an ICMP header.
    pub fn sent(&mut self, probe: ProbeId, number: u64, seq: u16, sent: Moment) {
        let Some(lane) = lane_of(&mut self.lanes, probe) else { return };
        lane.sends.push_back(Send::new(number, seq, sent));
        self.open += 1;
        let timeout = lane.patience.timeout;
        let entry = (sent.at + timeout, probe, low_bits(number));
        match self.deadlines.iter_mut().find(|(each, _)| *each == timeout) {
            Some((_, queue)) => queue.push_back(entry),
            None => self.deadlines.push((timeout, VecDeque::from([entry]))),
        }
    }

    /// The kernel says when a send left.
    pub fn departed(&mut self, probe: ProbeId, number: u64, tx: Moment) {
        if let Some(send) = lane_of(&mut self.lanes, probe).and_then(|lane| lane.find(number)) {
            send.departed(tx);
        }
    }

    /// The number of a probe's newest send in the air with this ICMP sequence number.
    #[must_use]
    pub fn by_seq(&self, probe: ProbeId, seq: u16) -> Option<u64> {
        let lane = self.lanes.get(probe.0 as usize)?.as_ref()?;
        lane.sends.iter().rev().find(|send| send.seq == seq).map(|send| send.number)
    }

    /// The full number of a send of which only the low 32 bits are known: the one nearest to what
    /// is in the air.
    #[must_use]
    pub fn widen(&self, probe: ProbeId, low: u32) -> Option<u64> {
        self.lanes.get(probe.0 as usize)?.as_ref()?.widen(low)
    }

    /// A reply came.
    pub fn answer(
        &mut self,
        probe: ProbeId,
        number: u64,
        answer: &Answer,
        events: &mut Vec<Event>,
    ) {
        let Some(lane) = lane_of(&mut self.lanes, probe) else { return };
        let patience = lane.patience;
        let overtaken = number.saturating_add(1) < lane.furthest;
        let answered_before = lane.was_answered(number);
        let Some(send) = lane.find(number) else {
            events.push(match answered_before {
                true => Event::Duplicate { probe, send: number },
                false => Event::Straggler { probe, send: number },
            });
            return;
        };
        match send.state {
            State::Answered => return events.push(Event::Duplicate { probe, send: number }),
            State::Closed => return events.push(Event::Straggler { probe, send: number }),
            State::Open => {}
        }
        let Rtt { ns, stamp } = match answer.time {
            Time::Stamps { rx, seen } => send.wait(rx, seen).rtt(),
            Time::Measured(rtt) => {
                Rtt { ns: rtt.as_nanos().try_into().unwrap_or(u64::MAX), stamp: Stamp::User }
            }
        };
        let took = Duration::from_nanos(ns);
        self.open -= 1;
        if took > patience.timeout {
            send.state = State::Closed;
            events.push(Event::Settled(send.closed(probe, Reason::TIMEOUT, None)));
            events.push(Event::Straggler { probe, send: number });
        } else {
            send.state = State::Answered;
            let outcome = if took <= patience.cutoff { Outcome::Answered } else { Outcome::Late };
            events.push(Event::Settled(Settled {
                probe,
                send: number,
                outcome,
                rtt_ns: Some(ns),
                stamp: Some(stamp),
                reason: None,
                seq: Some(send.seq),
                ttl: answer.ttl,
                bytes: Some(answer.bytes),
                from: Some(answer.from),
                phases: Vec::new(),
            }));
            if overtaken {
                events.push(Event::Reordered { probe, send: number });
            }
            lane.furthest = lane.furthest.max(number + 1);
        }
        lane.tidy();
    }

    /// A send was refused, or it turned out that it was not sent.
    pub fn refuse(
        &mut self,
        probe: ProbeId,
        number: u64,
        (reason, from): (Reason, Option<IpAddr>),
        events: &mut Vec<Event>,
    ) {
        let Some(lane) = lane_of(&mut self.lanes, probe) else { return };
        let Some(send) = lane.find(number).filter(|send| send.state == State::Open) else { return };
        send.state = State::Closed;
        events.push(Event::Settled(send.closed(probe, reason, from)));
        self.open -= 1;
        lane.tidy();
    }

    /// A request of a connection-oriented probe has ended.
    pub fn attempted(
        &mut self,
        probe: ProbeId,
        number: u64,
        attempt: Attempt,
        events: &mut Vec<Event>,
    ) {
        let Some(lane) = lane_of(&mut self.lanes, probe) else { return };
        let Some(send) = lane.find(number).filter(|send| send.state == State::Open) else { return };
        let answered = attempt.outcome.has_rtt();
        send.state = if answered { State::Answered } else { State::Closed };
        // What ran into its timeout while the process stood still was not given its time.
        let (outcome, reason) = match (attempt.outcome, send.doubt) {
            (Outcome::Lost, Some(doubt)) => (Outcome::NotObserved, Some(doubt.reason())),
            (outcome, _) => (outcome, attempt.reason),
        };
        let by_icmp = reason.as_ref().is_some_and(Reason::is_by_icmp);
        let from = if by_icmp { attempt.refused_by } else { attempt.address };
        events.push(Event::Settled(Settled {
            probe,
            send: number,
            outcome,
            rtt_ns: attempt.rtt_ns,
            stamp: answered.then_some(Stamp::User),
            reason,
            seq: None,
            ttl: None,
            bytes: attempt.bytes,
            from,
            phases: attempt.phases,
        }));
        self.open -= 1;
        lane.tidy();
    }

    /// Silence says nothing about what a probe has in the air now.
    pub fn doubt(&mut self, probe: ProbeId, doubt: Doubt) {
        if let Some(lane) = lane_of(&mut self.lanes, probe) {
            lane.sends.iter_mut().filter(|send| send.state == State::Open).for_each(|send| {
                send.doubt.get_or_insert(doubt);
            });
        }
    }

    /// The same for everything that is in the air now.
    pub fn doubt_all(&mut self, doubt: Doubt) {
        for index in 0..self.lanes.len() {
            self.doubt(ProbeId(u32::try_from(index).expect("probes are numbered by u32")), doubt);
        }
    }

    /// Gives up what was waited for long enough. `heard` is a moment by which everything that had
    /// arrived was read; `excuse` may know another reason for the silence than the path, told what
    /// is known of the send.
    pub fn expire(
        &mut self,
        heard: Mono,
        mut excuse: impl FnMut(ProbeId, Silence) -> Option<Reason>,
        events: &mut Vec<Event>,
    ) {
        for (timeout, queue) in &mut self.deadlines {
            while let Some(&(deadline, probe, low)) = queue.front() {
                // The place may be another probe's by now; its sends have other deadlines.
                let open = |send: &&mut Send| {
                    send.state == State::Open && send.sent + *timeout == deadline
                };
                let lane = lane_of(&mut self.lanes, probe);
                let Some((lane, send)) = lane.and_then(|lane| {
                    let index = lane.index(lane.widen(low)?)?;
                    let send = lane.sends.get_mut(index).filter(open).map(|send| *send)?;
                    Some((lane, send))
                }) else {
                    queue.pop_front();
                    continue;
                };
                if deadline + QUEUED > heard {
                    break;
                }
                queue.pop_front();
                let reason = match send.doubt {
                    Some(doubt) => doubt.reason(),
                    None => {
                        let silence = Silence { departure: send.departure, sent: send.sent };
                        excuse(probe, silence).unwrap_or(Reason::TIMEOUT)
                    }
                };
                events.push(Event::Settled(send.closed(probe, reason, None)));
                self.open -= 1;
                if let Some(send) = lane.find(send.number) {
                    send.state = State::Closed;
                }
                lane.tidy();
            }
        }
        self.deadlines.retain(|(_, queue)| !queue.is_empty());
    }

    /// Settles everything that is in the air as not observed, for this reason.
    pub fn abandon(&mut self, reason: &Reason, events: &mut Vec<Event>) {
        for index in 0..self.lanes.len() {
            let probe = ProbeId(u32::try_from(index).expect("probes are numbered by u32"));
            let Some(lane) = lane_of(&mut self.lanes, probe) else { continue };
            for send in lane.sends.iter_mut().filter(|send| send.state == State::Open) {
                send.state = State::Closed;
                events.push(Event::Settled(send.closed(probe, reason.clone(), None)));
                self.open -= 1;
            }
            lane.tidy();
        }
    }

    /// When the next send has to be given up, should nothing come.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines
            .iter()
            .filter_map(|(_, queue)| queue.front())
            .map(|&(at, _, _)| at + QUEUED)
            .min()
    }

    /// How many sends are in the air.
    #[must_use]
    pub const fn in_air(&self) -> usize {
        self.open
    }
}

fn lane_of(lanes: &mut [Option<Lane>], probe: ProbeId) -> Option<&mut Lane> {
    lanes.get_mut(probe.0 as usize)?.as_mut()
}

fn low_bits(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("32 bits")
}

impl Send {
    const fn new(number: u64, seq: u16, Moment { at: sent, era: sent_era }: Moment) -> Self {
        let (tx, tx_era, departure) = (sent, sent_era, Departure::Unseen);
        Self { number, sent, tx, sent_era, tx_era, seq, state: State::Open, departure, doubt: None }
    }

    /// The first transmit stamp counts.
    fn departed(&mut self, tx: Moment) {
        if self.departure == Departure::Unseen {
            (self.tx, self.tx_era, self.departure) = (tx.at, tx.era, Departure::Seen);
        }
    }

    /// The wait for an answer that was received at `rx` and read at `seen`.
    fn wait(&self, rx: Option<Moment>, seen: Moment) -> Wait {
        let sent = Moment { at: self.sent, era: self.sent_era };
        let tx =
            (self.departure == Departure::Seen).then_some(Moment { at: self.tx, era: self.tx_era });
        Wait { sent, tx, rx, seen }
    }

    /// This send, settled without an answer.
    fn closed(&self, probe: ProbeId, reason: Reason, from: Option<IpAddr>) -> Settled {
        Settled {
            probe,
            send: self.number,
            outcome: reason.outcome,
            rtt_ns: None,
            stamp: None,
            reason: Some(reason),
            seq: Some(self.seq),
            ttl: None,
            bytes: None,
            from,
            phases: Vec::new(),
        }
    }
}

impl Lane {
    /// As [`Flight::widen`].
    fn widen(&self, low: u32) -> Option<u64> {
        let near = self.sends.back().map_or(self.recent_end, |send| send.number);
        let ahead = i64::from(low.wrapping_sub(low_bits(near)).cast_signed());
        near.checked_add_signed(ahead)
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.sends.binary_search_by_key(&number, |send| send.number).ok()
    }

    fn find(&mut self, number: u64) -> Option<&mut Send> {
        let index = self.index(number)?;
        self.sends.get_mut(index)
    }

    fn was_answered(&self, number: u64) -> bool {
        let behind = self.recent_end.checked_sub(number.saturating_add(1));
        behind.is_some_and(|behind| behind < 64 && self.recent >> behind & 1 == 1)
    }

    /// Lets go of what is settled at the front; of that, only whether it was answered is remembered
    /// for a while.
    fn tidy(&mut self) {
        while let Some(send) = self.sends.front().filter(|send| send.state != State::Open) {
            let ahead = send.number + 1 - self.recent_end.min(send.number + 1);
            self.recent = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.recent.checked_shl(ahead))
                .unwrap_or(0);
            self.recent |= u64::from(send.state == State::Answered);
            self.recent_end = send.number + 1;
            self.sends.pop_front();
        }
        if self.sends.capacity() > 64 && self.sends.len() * 8 < self.sends.capacity() {
            self.sends.shrink_to(self.sends.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
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
    struct Desk {
        flight: Flight,
        events: Vec<Event>,
    }

    impl Desk {
        fn new() -> Self {
            let mut desk = Self::default();
            desk.flight.add(PROBE, Patience { timeout: 2 * SECOND, cutoff: SECOND });
            desk
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
        let mut desk = Desk::new();
        (0..3).for_each(|number| desk.sent(number, 0));
        desk.answer(0, 1000);
        desk.answer(1, 1001);
        desk.answer(2, 2001);
        assert_eq!(desk.told(), "a0 t1 l2 S2");
        assert_eq!(desk.flight.in_air(), 0);
    }

    #[test]
    fn the_transmit_stamp_counts_and_not_the_call() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.flight.departed(PROBE, 0, at(600));
        desk.answer(0, 1500);
        let [Event::Settled(settled)] = &desk.events[..] else { panic!("{:?}", desk.events) };
        assert_eq!((settled.rtt_ns, settled.stamp), (Some(900_000_000), Some(Stamp::Kernel)));
        assert_eq!(
            (settled.outcome, settled.ttl, settled.seq),
            (Outcome::Answered, Some(57), Some(0))
        );
    }

    #[test]
    fn silence_is_loss_once_everything_that_came_in_time_was_read() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.sent(1, 500);
        assert_eq!(desk.flight.next_deadline(), Some(at(2001).at));
        desk.flight.expire(at(2000).at, |_, _| None, &mut desk.events);
        assert_eq!(desk.told(), "");
        desk.flight.expire(at(2001).at, |_, _| None, &mut desk.events);
        assert_eq!(desk.told(), "l0");
        desk.flight.expire(at(9000).at, |_, _| None, &mut desk.events);
        assert_eq!(desk.told(), "l1");
        assert_eq!((desk.flight.in_air(), desk.flight.next_deadline()), (0, None));
    }

    #[test]
    fn what_never_left_this_host_may_have_another_reason_for_its_silence() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.sent(1, 0);
        desk.flight.departed(PROBE, 1, at(1));
        let excuse = |_, silence: Silence| {
            (silence.departure == Departure::Unseen).then_some(Reason::CARRIER)
        };
        desk.flight.expire(at(9000).at, excuse, &mut desk.events);
        assert_eq!(desk.told(), "n0 l1");
    }

    #[test]
    fn a_late_reply_does_not_reopen_a_settled_probe() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.flight.expire(at(2001).at, |_, _| None, &mut desk.events);
        desk.answer(0, 2500);
        desk.answer(0, 2501);
        assert_eq!(desk.told(), "l0 S0 S0");
    }

    #[test]
    fn a_second_answer_is_a_duplicate_whether_others_are_in_the_air_or_not() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.sent(1, 0);
        desk.answer(1, 5);
        desk.answer(1, 6);
        desk.answer(0, 7);
        desk.answer(1, 8);
        desk.answer(0, 9);
        desk.answer(77, 9);
        assert_eq!(desk.told(), "a1 D1 a0 R0 D1 D0 S77");
    }

    #[test]
    fn a_refusal_settles_and_an_answer_after_it_does_not() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        let router = Some(IpAddr::from([10, 0, 0, 1]));
        let reason = Reason::new(Outcome::Refused, "host-unreachable");
        desk.flight.refuse(PROBE, 0, (reason.clone(), router), &mut desk.events);
        desk.flight.refuse(PROBE, 0, (reason.clone(), router), &mut desk.events);
        let [Event::Settled(settled)] = &desk.events[..] else { panic!("{:?}", desk.events) };
        assert_eq!((settled.from, settled.reason.clone()), (router, Some(reason)));
        desk.answer(0, 5);
        assert_eq!(desk.told(), "u0 S0");
    }

    #[test]
    fn what_was_in_the_air_while_nobody_looked_and_stays_unanswered_is_not_observed() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.sent(1, 0);
        desk.flight.doubt_all(Doubt::Gap);
        desk.flight.doubt_all(Doubt::Overflow);
        desk.sent(2, 0);
        desk.answer(1, 30);
        desk.flight.expire(at(3000).at, |_, _| None, &mut desk.events);
        let [Event::Settled(_), Event::Settled(gap), _] = &desk.events[..] else {
            panic!("{:?}", desk.events)
        };
        assert_eq!(gap.reason.as_ref().unwrap().to_string(), "not-observed/gap");
        assert_eq!(desk.told(), "a1 x0 l2");
    }

    #[test]
    fn what_is_in_the_air_at_the_end_is_not_observed() {
        let mut desk = Desk::new();
        desk.sent(0, 0);
        desk.sent(1, 0);
        desk.answer(0, 4);
        desk.flight.abandon(&Reason::new(Outcome::NotObserved, "stopped"), &mut desk.events);
        desk.answer(1, 5);
        desk.flight.expire(at(9000).at, |_, _| None, &mut desk.events);
        assert_eq!(desk.told(), "a0 x1 S1");
    }

    #[test]
    fn a_probe_that_takes_anothers_place_inherits_nothing() {
        let mut desk = Desk::new();
        desk.sent(5, 0);
        desk.flight.remove(PROBE, &Reason::new(Outcome::NotObserved, "removed"), &mut desk.events);
        desk.flight.add(PROBE, Patience { timeout: 2 * SECOND, cutoff: SECOND });
        desk.sent(5, 1000);
        desk.flight.expire(at(2500).at, |_, _| None, &mut desk.events);
        assert_eq!(desk.told(), "x5");
        desk.flight.expire(at(3001).at, |_, _| None, &mut desk.events);
        assert_eq!(desk.told(), "l5");
    }

    #[test]
    fn a_number_of_32_bits_is_widened_to_the_nearest() {
        let mut desk = Desk::new();
        let number = (7u64 << 32) + 3;
        desk.sent(number, 0);
        assert_eq!(desk.flight.widen(PROBE, 3), Some(number));
        assert_eq!(desk.flight.widen(PROBE, u32::MAX), Some((7 << 32) - 1));
        assert_eq!(desk.flight.widen(PROBE, 9), Some(number + 6));
        assert_eq!(desk.flight.widen(ProbeId(9), 9), None);
    }

    proptest! {
        /// However replies are shuffled, repeated, late or invented: each send is settled once, and
        /// what is counted as answered was answered.
        #[test]
        fn every_send_is_settled_exactly_once(
            script in prop::collection::vec((0u8..6, 0u64..40, 0u64..3000), 0..300)
        ) {
            let mut desk = Desk::new();
            let (mut next, mut clock) = (0u64, 0u64);
            for (what, number, ms) in script {
                match what {
                    0 | 1 => { desk.sent(next, clock); next += 1; }
                    2 | 3 => desk.answer(number, clock),
                    4 => { clock += ms; desk.flight.expire(at(clock).at, |_, _| None, &mut desk.events); }
                    _ => {
                        let reason = Reason::new(Outcome::Refused, "ttl-exceeded");
                        desk.flight.refuse(PROBE, number, (reason, None), &mut desk.events);
                    }
                }
            }
            desk.flight.abandon(&Reason::new(Outcome::NotObserved, "stopped"), &mut desk.events);
            let mut settled = vec![0; usize::try_from(next).unwrap()];
            for event in &desk.events {
                match event {
                    Event::Settled(each) => settled[usize::try_from(each.send).unwrap()] += 1,
                    Event::Duplicate { send, .. } | Event::Reordered { send, .. } => prop_assert!(*send < next),
                    _ => {}
                }
            }
            prop_assert!(settled.iter().all(|&count| count == 1), "{:?}", settled);
            prop_assert_eq!(desk.flight.in_air(), 0);
        }
    }
}
