//! What this host says of its links and itself: carrier and counters of interfaces, which of them
//! leads to a target, how busy the processors are. Everything is asked by netlink and read from
//! `/proc`, without privilege; where that is missing, nothing is known.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use crate::base::time::{Clock, Mono, SystemClock};
use crate::measure::address_kind::AddressKind;
use crate::measure::carrier::Carrier;
use crate::measure::probe::Circuit;
use crate::net::{hop, socket};

mod changes;
mod counters;
mod routes;

pub use changes::Links;
pub use counters::{Counters, Cpu};

use routes::Route;

/// What the kernel tells of this thread's network namespace; `/proc/net` would be that of the
/// process's first thread.
const NET: &str = "/proc/thread-self/net";
/// How long it is relied on which interface leads to a target.
const WAY_HOLDS: Duration = Duration::from_secs(10);

/// Whether an interface has a carrier. One that was here since this process began and is gone has
/// lost it (that is how the end of a PPP or USB link looks); of one that was never here nothing is
/// known.
#[must_use]
pub fn carrier(interface: &str) -> Carrier {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    match flags(interface) {
        Ok(Some(flags)) => {
            if !seen.contains(interface) {
                seen.insert(interface.to_owned());
            }
            if flags.contains(HAS_CARRIER) { Carrier::Up } else { Carrier::Down }
        }
        Ok(None) if seen.contains(interface) => Carrier::Down,
        Ok(None) | Err(_) => Carrier::Unknown,
    }
}

/// Set up, and with a carrier below (`IFF_LOWER_UP`, netdevice(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
const HAS_CARRIER: InterfaceFlags = InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_LOWER_UP);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const HAS_CARRIER: InterfaceFlags = InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_RUNNING);

/// The flags of an interface of this thread's network namespace; [`None`] when there is no such
/// interface. (`/sys` shows the namespace in which it was mounted, which need not be ours.)
#[cfg(any(target_os = "linux", target_os = "android"))]
fn flags(interface: &str) -> Result<Option<InterfaceFlags>, Errno> {
    match crate::net::netlink::flags_by_name(interface) {
        Ok(flags) => Ok(Some(InterfaceFlags::from_bits_truncate(flags.cast_signed()))),
        Err(Errno::ENODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn flags(interface: &str) -> Result<Option<InterfaceFlags>, Errno> {
    Ok(getifaddrs()?.find(|each| each.interface_name == interface).map(|each| each.flags))
}

/// The interface that packets of a circuit leave by on their way to a target: its own; else the one
/// that has the source address that the kernel chooses, rules by mark included; else that of the
/// route in the tables.
#[must_use]
pub fn interface_towards(circuit: &Circuit, target: IpAddr) -> Option<String> {
    Addresses::default().interface_towards(circuit, target)
}

/// This host's own addresses, read when they are first needed: one reading for many targets.
#[derive(Debug, Default)]
pub struct Addresses(OnceCell<Vec<(IpAddr, String)>>);

impl Addresses {
    /// The same as [`interface_towards`], by these addresses.
    #[must_use]
    pub fn interface_towards(&self, circuit: &Circuit, target: IpAddr) -> Option<String> {
        let chosen = || self.interface_with(socket::source_by(circuit, target)?);
        let routed = || routes::best(all_routes(target), target).map(|route| route.interface);
        circuit.interface.clone().or_else(chosen).or_else(routed)
    }

    fn interface_with(&self, address: IpAddr) -> Option<String> {
        let all = self.0.get_or_init(|| {
            getifaddrs().map_or_else(|_| Vec::new(), |all| all.filter_map(own).collect())
        });
        all.iter().find(|(own, _)| *own == address).map(|(_, interface)| interface.clone())
    }
}

fn own(each: InterfaceAddress) -> Option<(IpAddr, String)> {
    let storage = each.address?;
    let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => IpAddr::from(v4.ip()),
        (None, Some(v6)) => IpAddr::from(v6.ip()),
        (None, None) => return None,
    };
    Some((address, each.interface_name))
}

/// The next hop of a circuit on the way to a target; [`None`] when it is on the link itself, or no
/// route leads to it.
#[must_use]
pub fn gateway_towards(circuit: &Circuit, target: IpAddr) -> Option<IpAddr> {
    let interface = interface_towards(circuit, target)?;
    routes::best(all_routes(target).filter(|route| route.interface == interface), target)?.gateway
}

fn all_routes(target: IpAddr) -> impl Iterator<Item = Route> {
    let file = if target.is_ipv4() { "route" } else { "ipv6_route" };
    let text = fs::read_to_string(format!("{NET}/{file}")).unwrap_or_default();
    if target.is_ipv4() { routes::v4(&text).into_iter() } else { routes::v6(&text).into_iter() }
}

/// The interface that leads to a target, looked for at most every few seconds, and its carrier.
#[derive(Debug)]
pub struct Way {
    circuit: Circuit,
    found: Mutex<Option<Found>>,
}

#[derive(Debug)]
struct Found {
    at: Mono,
    target: IpAddr,
    interface: Option<String>,
    place: AddressKind,
}

impl Way {
    /// For targets of one circuit.
    #[must_use]
    pub fn new(circuit: &Circuit) -> Self {
        Self { circuit: circuit.clone(), found: Mutex::new(None) }
    }

    /// What a target is to this host, and the carrier of the interface that leads there now. While
    /// it is down, nothing that is handed to the kernel is sent, although the kernel may take it.
    #[must_use]
    pub fn look(&self, target: IpAddr) -> (AddressKind, Carrier) {
        let now = SystemClock.now().mono;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.take().filter(|found| found.target == target);
        let fresh = match known {
            Some(known) if now - known.at < WAY_HOLDS => known,
            // With the carrier its route may be gone: then the interface that is known is the one
            // to go on looking at.
            known => {
                let interface =
                    interface_towards(&self.circuit, target).or_else(|| known?.interface);
                Found { at: now, target, interface, place: hop::place_by(&self.circuit, target) }
            }
        };
        let carrier = fresh.interface.as_deref().map_or(Carrier::Unknown, carrier);
        let place = fresh.place;
        *found = Some(fresh);
        (place, carrier)
    }
}

#[cfg(test)]
mod tests;
