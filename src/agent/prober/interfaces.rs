//! The interfaces that ICMP probes leave by, and whether they have a carrier: without one the
//! kernel takes packets and sends none of them.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::address_kind::AddressKind;
use crate::measure::carrier::Carrier;
use crate::measure::outcome::Reason;
use crate::measure::probe::Circuit;
use crate::net::hop;
use crate::net::link;

/// A carrier is looked at no more often than this.
const FRESH: Duration = Duration::from_millis(200);
/// The route of a target is looked for no more often than this.
const HOLDS: Duration = Duration::from_secs(300);
/// While there is none, or none with a carrier.
const WANTING: Duration = Duration::from_secs(2);

/// All interfaces that were led to.
#[derive(Debug, Default)]
pub(super) struct Ways {
    all: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    name: String,
    carrier: Carrier,
    looked: Option<Mono>,
}

/// The way that a probe takes, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    interface: Option<u32>,
    to: IpAddr,
    found: Mono,
    place: AddressKind,
}

impl Way {
    /// Why nothing is sent there; loopback is only led to by who asked for it.
    pub(super) const fn unsent(self) -> Option<Reason> {
        match self.place {
            AddressKind::Loopback => None,
            place => place.reason(),
        }
    }

    /// Whether it leads by the same interface as another.
    pub(super) fn is_like(self, other: Option<Self>) -> bool {
        other.is_some_and(|other| other.interface == self.interface)
    }
}

impl Ways {
    /// The way to a target: the known one while it is fresh. Where no other leads there the known
    /// one stays, since its route goes with its carrier.
    pub(super) fn to(
        &mut self,
        known: Option<Way>,
        circuit: &Circuit,
        to: IpAddr,
        now: Mono,
    ) -> Way {
        if let Some(way) = known.filter(|way| way.to == to)
            && now - way.found < self.holds(way)
        {
            return way;
        }
        let before = known.filter(|way| way.to == to).and_then(|way| way.interface);
        let name = link::interface_towards(circuit, to);
        let interface = name.map(|name| {
            let known = self.all.iter().position(|each| each.name == name);
            let at = known.unwrap_or_else(|| {
                self.all.push(Interface { name, carrier: Carrier::Unknown, looked: None });
                self.all.len() - 1
            });
            u32::try_from(at).expect("interfaces are numbered by u32")
        });
        Way { interface: interface.or(before), to, found: now, place: hop::place_by(circuit, to) }
    }

    /// A host without a route, as after its boot, may soon have one; one that lost its carrier,
    /// another.
    fn holds(&self, way: Way) -> Duration {
        if way.unsent().is_some() {
            return WANTING;
        }
        match way
            .interface
            .and_then(|index| self.all.get(index as usize))
            .map(|interface| interface.carrier)
        {
            None | Some(Carrier::Down) => WANTING,
            Some(Carrier::Up | Carrier::Unknown) => HOLDS,
        }
    }

    /// Whether a way has a carrier.
    pub(super) fn carrier(&mut self, way: Way, now: Mono) -> Carrier {
        let Some(interface) = way.interface.and_then(|index| self.all.get_mut(index as usize))
        else {
            return Carrier::Unknown;
        };
        if interface.looked.is_none_or(|looked| now - looked >= FRESH) {
            interface.carrier = link::carrier(&interface.name);
            interface.looked = Some(now);
        }
        interface.carrier
    }
}
