//! What goes out: what is due is launched, in batches, or settled at once where it cannot be.

use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::carrier::Carrier;
use crate::measure::event::{Event, ProbeId};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::schedule::{Chance, Turn, patience};
use crate::net::icmp::{Echo, Family, Token};
use crate::net::resolve::Resolution;

use super::hops::Stamped;
use super::lane::Kind;
use super::unsent::settle;
use super::{Done, Prober, Sending};

/// Events of one pass, beyond which the rest of a backlog is left to the next one.
const PASS: usize = 8192;
/// So many sends are gathered where that does not take long.
const GATHERED: u64 = 5;

impl Prober {
    /// Sends what is due. Gives the instant of the next one when more is due than one pass tells;
    /// `known` of the events were there before it.
    pub(super) fn send(
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
                let seen = self.timeline.seen();
                self.handed = Some(seen.at);
                self.outlets.flush(index, seen, &mut self.flight, events);
            }
        }
        until
    }

    /// An address that is not the one that was told last begins with the next send.
    fn tell_address(&mut self, probe: ProbeId, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let address = match lane.kind.watch().current() {
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
        let Some(lane) = self.lanes.get_mut(turn.probe.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        match &lane.kind {
            Kind::Echo { watch, size, seq_base } => match watch.current() {
                Resolution::Known(to) => {
                    let low = u32::try_from(turn.send & u64::from(u32::MAX)).expect("32 bits");
                    let seq = seq_base.wrapping_add(u16::try_from(low & 0xffff).expect("16 bits"));
                    let token = Token { lane: lane.wire, send: low };
                    let echo = Echo { token, to, seq, size: *size, timeout: lane.probe.timeout };
                    let world = (&*self.world.engine, now);
                    let what = (*size, lane.ident);
                    let outlet =
                        self.outlets.find(Family::of(to), &lane.probe.circuit, what, world);
                    lane.outlet = Some(u32::try_from(outlet).expect("outlets are numbered by u32"));
                    let way = self.ways.to(lane.way, &lane.probe.circuit, to, now);
                    if !way.is_like(lane.way) {
                        lane.stamped = Stamped::Unknown;
                    }
                    lane.way = Some(way);
                    if let Some(reason) = way.unsent() {
                        settle(turn, reason, events);
                    } else if lane.trouble && self.ways.carrier(way, now) == Carrier::Down {
                        settle(turn, Reason::CARRIER, events);
                    } else if let Err(reason) = self.outlets.queue(outlet, turn, echo) {
                        settle(turn, reason, events);
                    }
                }
                // The first look-up is under way: it is waited for as long as a send may be late.
                Resolution::Pending if now.since(turn.at) <= patience(lane.probe.period) => {
                    self.held.push(turn)
                }
                Resolution::Pending => settle(turn, Reason::NAME, events),
                Resolution::Failed(failure) => settle(turn, failure.reason(), events),
            },
            Kind::Request(request) => {
                let (requester, wire, probe, send) =
                    (Arc::clone(&request.requester), lane.wire, turn.probe, turn.send);
                self.flight.sent(probe, send, 0, self.timeline.seen());
                self.tasks.spawn(async move {
                    Done { wire, probe, send, attempt: requester.attempt().await }
                });
            }
        }
    }

    /// Sends are gathered over this time: some five of them while they are few, but never over more
    /// than a tenth of the shortest period; and never more than the ports' queues hold the replies
    /// of. Few enough, that is, not to queue up on a slow link and be measured there.
    pub(super) fn tick(&self) -> Duration {
        let rate = self.schedule.rate().max(1);
        let over = |packets: u64| Duration::from_micros(packets * 1_000_000 / rate);
        let (least, most) = self.world.pace.gathering();
        let room = u64::try_from(256.min(self.outlets.room() / 4).max(1)).expect("at most 256");
        let gathered = over(GATHERED).clamp(least, most);
        gathered.min(over(room)).min(self.shortest / 10).max(Duration::from_millis(1))
    }
}
