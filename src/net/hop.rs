//! What this host itself does with a packet before the network has it: whether a route leads
//! anywhere, and whether the next hop on the link has said its hardware address. A packet that is
//! stopped here is no loss of the path's.
//!
//! The kernel is asked by the same options as the socket has, so that rules by mark, source,
//! interface, class and protocol count. Where it cannot be asked nothing is known, and nothing is
//! excused.

use std::net::IpAddr;

use crate::measure::address_kind::AddressKind;
use crate::measure::outcome::Reason;
use crate::measure::probe::{Circuit, Test};
use crate::measure::target::is_link_local;

/// What becomes of a packet within this host and on its first link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstHop {
    /// It is handed to a next hop whose hardware address is known, or to a link that needs none.
    Open,
    /// The next hop was asked for its hardware address, and nobody on the link has said it.
    Silent(NextHop),
    /// It does not leave this host, for this reason (`not-sent/…`).
    Closed(Reason),
    /// The kernel does not say.
    Unknown,
}

/// The first to whom a packet is handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its address: the gateway's, or the target's own where that is on the link.
    pub address: IpAddr,
    /// The interface that leads to it.
    pub interface: String,
}

/// What an address is to this host: by itself, and by what the kernel's local table says of it now.
#[must_use]
pub fn place(address: IpAddr) -> AddressKind {
    place_by(&Circuit::default(), address)
}

/// The same for what a circuit leads to: a link-local address is another host's on another link.
#[must_use]
pub fn place_by(circuit: &Circuit, address: IpAddr) -> AddressKind {
    let link = circuit.interface.as_deref().filter(|_| is_link_local(address));
    match AddressKind::of(address) {
        AddressKind::Elsewhere => system::place(address, link),
        known => known,
    }
}

/// Whether an address is this host's own, loopback ones among them.
#[must_use]
pub fn is_own(address: IpAddr) -> bool {
    matches!(place(address), AddressKind::Own | AddressKind::Loopback)
}

/// The IP protocol that a test speaks.
#[must_use]
pub const fn protocol(test: &Test, target: IpAddr) -> u8 {
    match (test, target) {
        (Test::Icmp { .. }, IpAddr::V4(_)) => 1,
        (Test::Icmp { .. }, IpAddr::V6(_)) => 58,
        (Test::Http(_) | Test::Tcp { .. }, _) => 6,
        (Test::Dns(_), _) => 17,
    }
}

/// What becomes of packets of a circuit to a target now.
#[must_use]
pub fn first_hop(circuit: &Circuit, target: IpAddr, protocol: u8) -> FirstHop {
    if target.is_loopback() { FirstHop::Open } else { system::first_hop(circuit, target, protocol) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::net::IpAddr;

    use nix::errno::Errno;
    use nix::net::if_::{InterfaceFlags, if_indextoname, if_nametoindex};

    use super::{FirstHop, NextHop};
    use crate::measure::address_kind::AddressKind;
    use crate::measure::outcome::Reason;
    use crate::measure::probe::Circuit;
    use crate::net::netlink::{self, Kind, Neighbour, Wanted};
    use crate::net::socket::Fault;

    pub fn place(address: IpAddr, link: Option<&str>) -> AddressKind {
        let interface = link.and_then(|link| if_nametoindex(link).ok());
        let wanted = Wanted {
            target: address,
            interface,
            source: None,
            mark: None,
            class: 0,
            protocol: None,
        };
        match netlink::route(&wanted).map(|route| route.kind) {
            Ok(Kind::Local) => AddressKind::Own,
            Ok(Kind::Broadcast) => AddressKind::Broadcast,
            Ok(Kind::Multicast) => AddressKind::Multicast,
            Ok(_) | Err(_) => AddressKind::Elsewhere,
        }
    }

    pub fn first_hop(circuit: &Circuit, target: IpAddr, protocol: u8) -> FirstHop {
        let interface = match &circuit.interface {
            Some(name) => match if_nametoindex(name.as_str()) {
                Ok(index) => Some(index),
                Err(_) => return FirstHop::Closed(Fault::Interface(name.clone()).reason()),
            },
            None => None,
        };
        let class = circuit.dscp.map_or(0, |dscp| (dscp & 0x3f) << 2);
        let (source, mark) = (circuit.source, circuit.mark);
        let wanted = Wanted { target, interface, source, mark, class, protocol: Some(protocol) };
        let route = match netlink::route(&wanted) {
            Ok(route) => route,
            // A source that is none of this host's is an invalid argument, as a blackhole is.
            Err(Errno::EINVAL) if source.is_some() => return FirstHop::Unknown,
            Err(
                errno @ (Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL),
            ) => {
                return FirstHop::Closed(at_once(errno));
            }
            Err(_) => return FirstHop::Unknown,
        };
        match route.kind {
            Kind::Unicast => {}
            Kind::Blackhole | Kind::Unreachable => {
                return FirstHop::Closed(Fault::NoRoute.reason());
            }
            Kind::Prohibit => return FirstHop::Closed(Fault::Forbidden.reason()),
            Kind::Local | Kind::Broadcast | Kind::Multicast | Kind::Other => {
                return FirstHop::Unknown;
            }
        }
        let Some(index) = route.interface else { return FirstHop::Unknown };
        // Of a socket that is bound to another interface this says nothing.
        if interface.is_some_and(|bound| bound != index) {
            return FirstHop::Unknown;
        }
        let hop = route.gateway.unwrap_or(target);
        let routed = route.table != 0 || target.is_ipv6();
        match netlink::neighbour(hop, index) {
            Ok(Neighbour::Known) => FirstHop::Open,
            Err(_) => FirstHop::Unknown,
            // A point-to-point link asks for no hardware address: what it takes has left.
            Ok(_) if !resolves(index) => FirstHop::Open,
            // Where no route leads there, the kernel asks the link for the target itself.
            Ok(_) if !routed => FirstHop::Closed(Fault::NoRoute.reason()),
            Ok(Neighbour::Absent) => FirstHop::Unknown,
            Ok(Neighbour::Silent) => {
                match if_indextoname(index).map(std::ffi::CString::into_string) {
                    Ok(Ok(interface)) => FirstHop::Silent(NextHop { address: hop, interface }),
                    Ok(Err(_)) | Err(_) => FirstHop::Unknown,
                }
            }
        }
    }

    fn at_once(errno: Errno) -> Reason {
        let fault = Fault::at_once(&std::io::Error::from(errno)).unwrap_or(Fault::NoRoute);
        fault.reason()
    }

    fn resolves(interface: u32) -> bool {
        let without = InterfaceFlags::IFF_NOARP
            | InterfaceFlags::IFF_POINTOPOINT
            | InterfaceFlags::IFF_LOOPBACK;
        let flags = netlink::flags(interface).ok().and_then(|flags| i32::try_from(flags).ok());
        flags.is_some_and(|flags| !InterfaceFlags::from_bits_truncate(flags).intersects(without))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::net::IpAddr;

    use super::FirstHop;
    use crate::measure::address_kind::AddressKind;
    use crate::measure::probe::Circuit;

    pub const fn place(_address: IpAddr, _link: Option<&str>) -> AddressKind {
        AddressKind::Elsewhere
    }

    pub const fn first_hop(_circuit: &Circuit, _target: IpAddr, _protocol: u8) -> FirstHop {
        FirstHop::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loopback_by_itself_is_this_host_s() {
        assert!(is_own("127.8.9.1".parse().unwrap()) && is_own("::1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn loopback_needs_no_next_hop() {
        assert_eq!(first_hop(&Circuit::default(), "127.0.0.1".parse().unwrap(), 1), FirstHop::Open);
    }
}
