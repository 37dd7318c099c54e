//! What comes in: replies, stamps and errors find the send that they belong to, and what nothing
//! came for is given up.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::measure::carrier::Carrier;
use crate::measure::event::{Event, ProbeId};
use crate::measure::flight::{Answer, Departure, Doubt, Silence, Time};
use crate::measure::outcome::{Outcome, Reason};
use crate::net::icmp::{Arrival, Drained, Heard, Token, Unsent, Whose};

use super::hops::Stamped;
use super::lane::{Kind, PLACES};
use super::sockets::IDENTS;
use super::{Prober, id};

/// Readings of one port in one pass.
const READS: usize = 64;
/// After so many losses in a row a probe's identifier is changed.
const SILENT: u32 = 10;

impl Prober {
    /// Reads all ports; gives how long the oldest reply lay there, as far as stamps tell.
    pub(super) fn listen(&mut self, begun: Mono, events: &mut Vec<Event>) -> Option<Duration> {
        let mut oldest = None;
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
                    oldest = oldest.max(lag);
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

    fn arrived(
        &mut self,
        outlet: usize,
        since: Mono,
        arrival: Arrival,
        events: &mut Vec<Event>,
    ) -> Option<Duration> {
        match arrival {
            Arrival::Departed { token, at } => {
                let (probe, send) = self.whose(token)?;
                if let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::as_mut) {
                    lane.stamped = Stamped::Yes;
                }
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
                let refusal = self.refusal(probe, kind, from)?;
                self.flight.refuse(probe, send, refusal, events);
            }
            Arrival::Unsent { token, why } => {
                let (probe, send) = self.whose(token)?;
                self.flight.refuse(probe, send, (why.reason(), None), events);
            }
            Arrival::Overflow => {
                for (index, lane) in self.lanes.iter().enumerate() {
                    if lane
                        .as_ref()
                        .and_then(|lane| lane.outlet)
                        .is_some_and(|own| own as usize == outlet)
                    {
                        self.flight.doubt(id(index), Doubt::Overflow);
                    }
                }
            }
        }
        None
    }

    /// Why a send was refused, and by whom. This very host's word of its own packet counts as its
    /// own: nobody on the path has said anything.
    fn refusal(
        &mut self,
        probe: ProbeId,
        kind: &'static str,
        from: Option<IpAddr>,
    ) -> Option<(Reason, Option<IpAddr>)> {
        let now = self.timeline.seen().at;
        let target = self.lane(probe).and_then(|lane| lane.address.flatten());
        match from.filter(|from| Some(*from) != target) {
            Some(from) if self.hops.is_own(from, now) => {
                let Some(why) = Unsent::said_by_this_host(kind) else {
                    self.hops.is_silent(probe, now);
                    return None;
                };
                Some((why.reason(), None))
            }
            _ => Some((Reason::new(Outcome::Refused, kind), from)),
        }
    }

    /// Gives up what was waited for long enough. What did not leave this host was not sent: its
    /// link has no carrier, no route leads there, or this host held it back. What waited for the
    /// next hop's hardware address in vain is lost on the link.
    pub(super) fn expire(&mut self, now: Mono, events: &mut Vec<Event>) {
        let heard = self.outlets.heard(now);
        let (lanes, ways, hops) = (&self.lanes, &mut self.ways, &mut self.hops);
        let excuse = |probe: ProbeId, Silence { departure, sent }: Silence| {
            let lane = lanes.get(probe.0 as usize)?.as_ref()?;
            if departure == Departure::Seen {
                return None;
            }
            if ways.carrier(lane.way?, now) == Carrier::Down {
                return Some(Reason::CARRIER);
            }
            hops.reason(
                probe,
                (&lane.probe.circuit, lane.address.flatten()?),
                lane.stamped,
                (sent, now),
            )
        };
        self.flight.expire(heard, excuse, events);
    }

    /// Takes note of who answers, and moves probes that nobody answers to another identifier. What
    /// could not be sent while its link has no carrier was not sent for want of it: a route, a
    /// source and a name server go with the carrier.
    pub(super) fn learn(&mut self, now: Mono, events: &mut [Event]) {
        for event in events {
            let Event::Settled(settled) = event else { continue };
            let Some(lane) = self.lanes.get_mut(settled.probe.0 as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            lane.trouble = !settled.outcome.has_rtt();
            if settled.reason.as_ref().is_some_and(Reason::may_be_carrier)
                && lane.way.is_some_and(|way| self.ways.carrier(way, now) == Carrier::Down)
            {
                settled.reason = Some(Reason::CARRIER);
            }
            match settled.outcome {
                Outcome::Lost => lane.silent += 1,
                Outcome::Answered | Outcome::Late => {
                    lane.silent = 0;
                    self.hops.forget(settled.probe);
                }
                Outcome::Refused | Outcome::NotSent | Outcome::NotObserved => {}
            }
            if lane.silent >= SILENT && matches!(lane.kind, Kind::Echo { .. }) {
                (lane.silent, lane.ident) = (0, (lane.ident + 1) % IDENTS);
                tracing::debug!(
                    probe = lane.probe.name,
                    ident = lane.ident,
                    "no answers: another identifier is tried"
                );
            }
        }
    }

    fn whose(&self, token: Token) -> Option<(ProbeId, u64)> {
        let probe = ProbeId(token.lane & PLACES);
        self.lane(probe).filter(|lane| lane.wire == token.lane)?;
        Some((probe, self.flight.widen(probe, token.send)?))
    }

    pub(super) fn certified(
        &mut self,
        probe: ProbeId,
        until: Option<Wall>,
        events: &mut Vec<Event>,
    ) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        if let (Some(until), Kind::Request(request)) = (until, &mut lane.kind)
            && request.certificate.replace(until) != Some(until)
        {
            events.push(Event::Certificate { probe, until });
        }
    }

    fn hops(&mut self, probe: ProbeId, ttl: Option<u8>, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        if let (Some(before), Some(now)) = (lane.ttl, ttl)
            && before != now
        {
            events.push(Event::Hops { probe, before, now });
        }
        lane.ttl = ttl.or(lane.ttl);
    }
}
