//! The ways out of this host that ICMP probes share: one port for each family and circuit, opened
//! when it is first needed, and again after it could not be.
//!
//! A firewall may hold a dead session for an identifier and go on dropping what belongs to it.
//! Hence there are up to [`IDENTS`] ports with an identifier each, and a probe that nobody answers
//! is moved to the next one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::{Event, ProbeId};
use crate::measure::flight::Flight;
use crate::measure::outcome::Reason;
use crate::measure::probe::Circuit;
use crate::measure::rtt::Moment;
use crate::measure::schedule::Turn;
use crate::net::icmp::{Arrival, Drained, Echo, Engine, Family, Means, Port, Unsent};

use super::unsent::settle;

/// Requests handed over with one reading of the clocks.
const BATCH: usize = 64;
/// The first and the longest pause before a port that could not be opened is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A port and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPort {
    /// Its family.
    pub family: Family,
    /// The circuit that it leaves by.
    pub circuit: Circuit,
    /// By what means it works, or why it does not.
    pub state: Result<Means, Shut>,
}

/// Why a port is not open at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    /// As it is counted.
    pub reason: Reason,
    /// In words for people, with what to do.
    pub why: String,
}

/// Identifiers, hence sockets, of one family and circuit at most.
pub(super) const IDENTS: u8 = 4;

/// All ports.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    all: Vec<Outlet>,
    /// Which probes have an address, for ICMP errors that name nothing else.
    by_address: BTreeSet<(IpAddr, ProbeId)>,
    faults: Vec<(usize, Unsent)>,
}

#[derive(Debug)]
struct Outlet {
    family: Family,
    circuit: Circuit,
    ident: u8,
    largest: u16,
    state: State,
    told: LastReport,
    /// Everything that had come by then has been read.
    dry: Mono,
    turns: Vec<Turn>,
    batch: Vec<Echo>,
}

/// What was said last of a port: only what is new is said, however often the port is opened anew.
#[derive(Debug, Default)]
struct LastReport(Option<Result<Means, String>>);

impl LastReport {
    fn is_new(&mut self, state: Result<Means, String>) -> bool {
        let is_new = self.0.as_ref() != Some(&state);
        self.0 = Some(state);
        is_new
    }
}

#[derive(Debug)]
enum State {
    Open(Box<dyn Port>),
    Shut { reason: Reason, why: String, again: Mono, pause: Duration },
}

impl Outlets {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn standings(&self) -> Vec<OpenPort> {
        let standing = |outlet: &Outlet| OpenPort {
            family: outlet.family,
            circuit: outlet.circuit.clone(),
            state: match &outlet.state {
                State::Open(port) => Ok(port.means()),
                State::Shut { reason, why, .. } => {
                    Err(Shut { reason: reason.clone(), why: why.clone() })
                }
            },
        };
        self.all.iter().map(standing).collect()
    }

    /// The smallest number of replies that a port's queue holds.
    pub(super) fn room(&self) -> usize {
        let rooms = self.all.iter().filter_map(|outlet| match &outlet.state {
            State::Open(port) => Some(port.room()),
            State::Shut { .. } => None,
        });
        rooms.min().unwrap_or(usize::MAX)
    }

    /// The outlet of this family, circuit and identifier, opened if that has not been tried lately.
    /// The first identifier's stands in for another that cannot be had.
    pub(super) fn find(
        &mut self,
        family: Family,
        circuit: &Circuit,
        (size, ident): (u16, u8),
        (engine, now): (&dyn Engine, Mono),
    ) -> usize {
        let fits = |outlet: &Outlet| {
            outlet.family == family && outlet.ident == ident && outlet.circuit == *circuit
        };
        let index = self.all.iter().position(fits).unwrap_or_else(|| {
            let reason = Unsent::NoRoute.reason();
            self.all.push(Outlet {
                family,
                circuit: circuit.clone(),
                ident,
                largest: size,
                state: State::Shut {
                    reason,
                    why: String::new(),
                    again: now,
                    pause: Duration::ZERO,
                },
                told: LastReport::default(),
                dry: now,
                turns: Vec::new(),
                batch: Vec::new(),
            });
            self.all.len() - 1
        });
        self.all[index].ensure(size, engine, now);
        if ident > 0 && matches!(self.all[index].state, State::Shut { .. }) {
            return self.find(family, circuit, (size, 0), (engine, now));
        }
        index
    }

    pub(super) fn queue(&mut self, index: usize, turn: Turn, echo: Echo) -> Result<(), Reason> {
        let outlet = &mut self.all[index];
        if let State::Shut { reason, .. } = &outlet.state {
            return Err(reason.clone());
        }
        outlet.turns.push(turn);
        outlet.batch.push(echo);
        Ok(())
    }

    pub(super) fn has_queued(&self, index: usize) -> bool {
        !self.all[index].batch.is_empty()
    }

    /// Hands over the first of what is queued.
    pub(super) fn flush(
        &mut self,
        index: usize,
        sent: Moment,
        flight: &mut Flight,
        events: &mut Vec<Event>,
    ) {
        let outlet = &mut self.all[index];
        let count = outlet.batch.len().min(BATCH);
        let faults = &mut self.faults;
        faults.clear();
        match &mut outlet.state {
            State::Open(port) => port.send(&outlet.batch[..count], faults),
            State::Shut { .. } => faults.extend((0..count).map(|place| (place, Unsent::LinkDown))),
        }
        let mut gone = false;
        let mut next = faults.iter().peekable();
        for (place, turn) in outlet.turns[..count].iter().enumerate() {
            match next.next_if(|(at, _)| *at == place) {
                Some((_, why)) => {
                    gone |= matches!(why, Unsent::LinkDown | Unsent::NoRoute | Unsent::Source);
                    settle(*turn, why.reason(), events);
                }
                None => {
                    let seq = outlet.batch[place].seq;
                    flight.sent(turn.probe, turn.send, seq, sent);
                }
            }
        }
        outlet.turns.drain(..count);
        outlet.batch.drain(..count);
        if gone {
            outlet.check_stale(sent.at);
        }
    }

    /// Reads a port; [`None`] when it is shut.
    pub(super) fn drain(&mut self, index: usize, arrivals: &mut Vec<Arrival>) -> Option<Drained> {
        match &mut self.all[index].state {
            State::Open(port) => Some(port.drain(arrivals)),
            State::Shut { .. } => None,
        }
    }

    pub(super) fn dry_since(&self, index: usize) -> Mono {
        self.all[index].dry
    }

    pub(super) fn is_dry(&mut self, index: usize, since: Mono) {
        self.all[index].dry = since;
    }

    /// Everything that had come by then has been read from every port.
    pub(super) fn heard(&self, now: Mono) -> Mono {
        let open = self.all.iter().filter(|outlet| matches!(outlet.state, State::Open(_)));
        open.map(|outlet| outlet.dry).min().unwrap_or(now)
    }

    pub(super) fn moved(&mut self, probe: ProbeId, from: Option<IpAddr>, to: Option<IpAddr>) {
        if let Some(from) = from {
            self.by_address.remove(&(from, probe));
        }
        self.by_address.extend(to.map(|to| (to, probe)));
    }

    /// The only send in the air to an address with this sequence number.
    pub(super) fn by_seq(&self, to: IpAddr, seq: u16, flight: &Flight) -> Option<(ProbeId, u64)> {
        let probes = self.by_address.range((to, ProbeId(0))..=(to, ProbeId(u32::MAX)));
        let mut sends = probes.filter_map(|&(_, probe)| Some((probe, flight.by_seq(probe, seq)?)));
        let first = sends.next()?;
        sends.next().is_none().then_some(first)
    }
}

impl Outlet {
    /// Opens the port if it is shut and its pause is over, or if it is too small.
    fn ensure(&mut self, size: u16, engine: &dyn Engine, now: Mono) {
        let grown = size > self.largest;
        self.largest = self.largest.max(size);
        let pause = match &self.state {
            State::Open(_) if !grown => return,
            State::Open(_) => Duration::ZERO,
            State::Shut { again, .. } if now < *again => return,
            State::Shut { pause, .. } => *pause,
        };
        match engine.open(self.family, &self.circuit, self.largest) {
            Ok(port) => {
                if self.told.is_new(Ok(port.means())) {
                    let (family, circuit, means) =
                        (self.family, self.circuit.to_string(), port.means().to_string());
                    tracing::info!(?family, circuit, means, "an ICMP port is open");
                }
                (self.state, self.dry) = (State::Open(port), now);
            }
            Err(error) => {
                let (reason, why) = (error.reason(), error.to_string());
                if self.told.is_new(Err(why.clone())) {
                    let (family, circuit, error) = (self.family, self.circuit.to_string(), &why);
                    tracing::warn!(?family, circuit, error, "an ICMP port cannot be opened");
                }
                let pause = (pause * 2).clamp(PAUSES.0, PAUSES.1);
                self.state = State::Shut { reason, why, again: now + pause, pause };
            }
        }
    }

    /// A port whose interface was replaced by another of the same name, or whose source is gone,
    /// has to be opened anew.
    fn check_stale(&mut self, now: Mono) {
        if let State::Open(port) = &self.state
            && port.is_stale()
        {
            let reason = Unsent::LinkDown.reason();
            let why = "the interface was replaced".to_owned();
            self.state = State::Shut { reason, why, again: now, pause: Duration::ZERO };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::icmp::{Kind, Stamps};

    #[test]
    fn what_becomes_of_a_port_is_said_once_for_each_change() {
        let mut told = LastReport::default();
        let shut = || Err("there is no interface \"wan0\" on this host".to_owned());
        let open = |socket| Ok(Means { socket, stamps: Stamps::Kernel });
        let (one, other) = (open(Kind::Datagram), open(Kind::Raw));
        let all = [one.clone(), one.clone(), shut(), shut(), one, other];
        assert_eq!(all.map(|state| told.is_new(state)), [true, false, true, false, true, true]);
    }
}
