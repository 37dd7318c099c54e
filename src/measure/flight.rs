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
use crate::measure::rtt::{Moment, Rtt};

mod answer;
mod lane;
mod send;

pub use answer::{Answer, Departure, Doubt, Patience, Silence, Time};

use lane::Lane;
use send::{Send, State};

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

#[cfg(test)]
mod tests;
