//! What became within this host of what no stamp says has left it, and whose word an ICMP error is.
//! Asked only while a probe fails: what is answered costs nothing here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::ProbeId;
use crate::measure::outcome::Reason;
use crate::measure::probe::Circuit;
use crate::net::hop::{self, FirstHop};
use crate::net::icmp::{Family, Unsent};

/// A probe's first hop is asked for no more often than this.
const FRESH: Duration = Duration::from_secs(2);
/// How long it is relied on whether an address is this host's.
const OWN_HOLDS: Duration = Duration::from_secs(10);
/// Addresses of which that is remembered.
const MOST: usize = 32;

/// Whether the kernel gives transmit stamps for what leaves by a probe's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamped {
    /// It gave one.
    Yes,
    /// It has not given any yet, and may have none to give.
    Unknown,
}

/// The first hops of the probes that fail.
#[derive(Debug, Default)]
pub(super) struct Hops {
    known: HashMap<ProbeId, Known>,
    own: Vec<(IpAddr, bool, Mono)>,
}

#[derive(Debug)]
struct Known {
    hop: FirstHop,
    looked: Option<Mono>,
    /// When the link was last found silent.
    silent: Option<Mono>,
}

impl Hops {
    /// Why a send that has no transmit stamp came to nothing, where that is this host's or the
    /// link's doing.
    pub(super) fn reason(
        &mut self,
        probe: ProbeId,
        (circuit, to): (&Circuit, IpAddr),
        stamped: Stamped,
        (sent, now): (Mono, Mono),
    ) -> Option<Reason> {
        let known = self.of(probe);
        if known.looked.is_none_or(|looked| now - looked >= FRESH) {
            known.hop = hop::first_hop(circuit, to, echo_protocol(to));
            known.looked = Some(now);
            if matches!(known.hop, FirstHop::Silent(_)) {
                known.silent = Some(now);
            }
        }
        match &known.hop {
            FirstHop::Closed(reason) => Some(reason.clone()),
            FirstHop::Silent(_) => Some(Reason::NEXT_HOP),
            // It may have waited for a next hop that has answered since.
            _ if known.silent.is_some_and(|silent| silent >= sent) => Some(Reason::NEXT_HOP),
            FirstHop::Open if stamped == Stamped::Yes => Some(Unsent::Held.reason()),
            FirstHop::Open | FirstHop::Unknown => None,
        }
    }

    /// This host said that a probe's next hop is silent.
    pub(super) fn is_silent(&mut self, probe: ProbeId, now: Mono) {
        self.of(probe).silent = Some(now);
    }

    /// A probe was answered, or is gone.
    pub(super) fn forget(&mut self, probe: ProbeId) {
        if !self.known.is_empty() {
            self.known.remove(&probe);
        }
    }

    /// Whether an address is this host's own.
    pub(super) fn is_own(&mut self, address: IpAddr, now: Mono) -> bool {
        self.own.retain(|(_, _, looked)| now - *looked < OWN_HOLDS);
        if let Some((_, own, _)) = self.own.iter().find(|(known, ..)| *known == address) {
            return *own;
        }
        let own = hop::is_own(address);
        if self.own.len() == MOST {
            self.own.remove(0);
        }
        self.own.push((address, own, now));
        own
    }

    fn of(&mut self, probe: ProbeId) -> &mut Known {
        self.known.entry(probe).or_insert(Known {
            hop: FirstHop::Unknown,
            looked: None,
            silent: None,
        })
    }
}

/// ICMP's or ICMPv6's number.
fn echo_protocol(to: IpAddr) -> u8 {
    match Family::of(to) {
        Family::V4 => 1,
        Family::V6 => 58,
    }
}
