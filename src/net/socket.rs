//! A circuit, set on a socket: the interface, source, mark, DSCP, TTL and don't-fragment that a
//! packet leaves with.
//!
//! An option that cannot be set is a fault, never left out: a packet that leaves by another way
//! would measure another circuit. What the kernel promises: an option set before the first packet
//! holds for all of them, a TCP connection's first included.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::time::{NANOS, Wall};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Circuit, Fragment};

/// Why a circuit's socket could not be had, or a packet not be handed to the network by it. All of
/// these are this host's fault, not the path's.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no such interface here at present.
    #[error("there is no interface {0:?} on this host: it is left unprobed until there is one")]
    Interface(String),
    /// The source address is not one of this host's, or not of the target's family.
    #[error(
        "{0} cannot be the source: it is no address of this host at present, or of another family \
            than the target's"
    )]
    Source(IpAddr),
    /// The system does not allow an option.
    #[error("the system does not allow {what}: give the process {needs}, or take the option away")]
    Permission {
        /// What is not allowed.
        what: &'static str,
        /// What would allow it.
        needs: &'static str,
    },
    /// No route leads to the target, or not by the interface.
    #[error("no route leads to the target")]
    NoRoute,
    /// This host has no address or port left to send from.
    #[error("this host has no address of the target's family, or no port left, to send from")]
    NoSource,
    /// The interface is down.
    #[error("the interface is down")]
    Down,
    /// This host's own packet filter or route table forbids the packet.
    #[error("this host's own packet filter or routes forbid the packet")]
    Forbidden,
    /// Anything else of this host: no descriptors, no memory, no ports left.
    #[error("no socket could be had: {0}")]
    Other(#[source] io::Error),
}

impl Fault {
    /// What stands in an interval's reasons: `not-sent/…`.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        let kind = match self {
            Self::Interface(_) => "interface",
            Self::Source(_) => "source",
            Self::Permission { .. } => "permission",
            Self::NoRoute => "no-route",
            Self::NoSource => "source",
            Self::Down => "link-down",
            Self::Forbidden => "filtered",
            Self::Other(_) => "socket",
        };
        Reason::new(Outcome::NotSent, kind)
    }

    /// The fault behind an error that the kernel gave at once, before anything went out: by
    /// `connect`, `sendto` and their like. [`None`] when the error is not this host's own: a
    /// refused connection over loopback comes at once.
    #[must_use]
    pub fn at_once(error: &io::Error) -> Option<Self> {
        use nix::errno::Errno;
        Some(match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED | Errno::ECONNRESET) => return None,
            // EINVAL is how Linux names a blackhole route.
            Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL) => Self::NoRoute,
            Some(Errno::EADDRNOTAVAIL) => Self::NoSource,
            Some(Errno::ENETDOWN | Errno::ENODEV | Errno::ENXIO) => Self::Down,
            Some(Errno::EPERM | Errno::EACCES) => Self::Forbidden,
            _ => Self::Other(io::Error::from(error.kind())),
        })
    }
}

/// A socket of `circuit` for targets of the family of `target`, non-blocking, unbound unless the
/// circuit has a source.
///
/// # Errors
/// When the system has no socket to give, or an option of the circuit cannot be set.
pub fn open(
    circuit: &Circuit,
    target: IpAddr,
    kind: Type,
    protocol: Protocol,
) -> Result<Socket, Fault> {
    let domain = if target.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, kind, Some(protocol)).map_err(Fault::Other)?;
    socket.set_nonblocking(true).map_err(Fault::Other)?;
    set(&socket, circuit, target)?;
    if let Some(source) = circuit.source {
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .map_err(|error| refused_source(source, error))?;
    }
    Ok(socket)
}

/// Sets every option of `circuit` but the source, which a socket is bound to by its owner. `target`
/// says only the family, by which the options' names differ.
///
/// # Errors
/// When an option cannot be set; the socket is then not to be used.
pub fn set(socket: &Socket, circuit: &Circuit, target: IpAddr) -> Result<(), Fault> {
    let v4 = target.is_ipv4();
    if let Some(source) = circuit.source
        && source.is_ipv4() != v4
    {
        return Err(Fault::Source(source));
    }
    if let Some(interface) = &circuit.interface {
        bind_interface(socket, interface)?;
    }
    if let Some(mark) = circuit.mark {
        set_mark(socket, mark)?;
    }
    if let Some(dscp) = circuit.dscp {
        // The DSCP is the upper six bits of the byte, ECN the lower two (RFC 2474, RFC 3168).
        let byte = u32::from(dscp & 0x3f) << 2;
        let done = if v4 { socket.set_tos_v4(byte) } else { set_tclass(socket, byte) };
        done.map_err(|error| Fault::of_option("a DSCP", "CAP_NET_ADMIN", error))?;
    }
    if let Some(ttl) = circuit.ttl {
        let hops = u32::from(ttl);
        let done = if v4 { socket.set_ttl_v4(hops) } else { socket.set_unicast_hops_v6(hops) };
        done.map_err(Fault::Other)?;
    }
    match circuit.fragment {
        Fragment::Allowed => Ok(()),
        Fragment::Never => never_fragment(socket, v4).map_err(Fault::Other),
    }
}

impl Fault {
    fn of_option(what: &'static str, needs: &'static str, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::Permission { what, needs }
        } else {
            Self::Other(error)
        }
    }
}

fn refused_source(source: IpAddr, error: io::Error) -> Fault {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        Fault::Source(source)
    } else {
        Fault::Other(error)
    }
}

/// Makes a datagram socket hear of every ICMP error; without it Linux tells only of refused ports.
///
/// # Errors
/// When the system has no such option.
pub fn hear_errors(socket: &Socket, target: IpAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    if target.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(())
}

/// Lets a connection that was made live on whatever routers say: it has means of its own to find
/// out.
///
/// # Errors
/// When the system has no such option.
pub fn hear_no_errors(socket: &impl std::os::fd::AsFd, target: IpAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    if target.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvErr, &false)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &false)?;
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_interface(socket: &Socket, interface: &str) -> Result<(), Fault> {
    use nix::errno::Errno;
    socket.bind_device(Some(interface.as_bytes())).map_err(|error| {
        match error.raw_os_error().map(Errno::from_raw) {
            // EINVAL: a name that is longer than any interface's.
            Some(Errno::ENODEV | Errno::EINVAL) => Fault::Interface(interface.to_owned()),
            _ => Fault::of_option("binding to an interface", "CAP_NET_RAW", error),
        }
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_mark(socket: &Socket, mark: u32) -> Result<(), Fault> {
    socket
        .set_mark(mark)
        .map_err(|error| Fault::of_option("a firewall mark", "CAP_NET_ADMIN", error))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_tclass(socket: &Socket, byte: u32) -> io::Result<()> {
    socket.set_tclass_v6(byte)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn never_fragment(socket: &Socket, v4: bool) -> io::Result<()> {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };
    if v4 {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?;
    } else {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DO)?;
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ONLY_LINUX: &str = "a system that has it: only Linux does";

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_interface(_socket: &Socket, _interface: &str) -> Result<(), Fault> {
    Err(Fault::Permission { what: "binding to an interface", needs: ONLY_LINUX })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_mark(_socket: &Socket, _mark: u32) -> Result<(), Fault> {
    Err(Fault::Permission { what: "a firewall mark", needs: ONLY_LINUX })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_tclass(_socket: &Socket, _byte: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn never_fragment(_socket: &Socket, _v4: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The instant of a kernel stamp; [`None`] for one that was not made.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::net) fn wall(stamp: nix::sys::time::TimeSpec) -> Option<Wall> {
    let (seconds, nanos) = wide(stamp);
    (seconds != 0 || nanos != 0)
        .then(|| Wall::from_nanos(seconds.saturating_mul(NANOS).saturating_add(nanos)))
}

/// Seconds and nanoseconds; on 32-bit systems they are narrower than 64 bits.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::useless_conversion, reason = "it is one on 32-bit systems")
)]
fn wide(stamp: nix::sys::time::TimeSpec) -> (i64, i64) {
    (i64::from(stamp.tv_sec()), i64::from(stamp.tv_nsec()))
}

/// The source address that the routes choose for a target; [`None`] when no route leads to it. No
/// packet is sent: `connect` on a UDP socket only looks at the routes.
#[must_use]
pub fn source_towards(target: IpAddr) -> Option<IpAddr> {
    source_by(&Circuit::default(), target)
}

/// The same, for the packets of a circuit.
#[must_use]
pub fn source_by(circuit: &Circuit, target: IpAddr) -> Option<IpAddr> {
    let socket = open(circuit, target, Type::DGRAM, Protocol::UDP).ok()?;
    socket.connect(&SocketAddr::new(target, 9).into()).ok()?;
    socket.local_addr().ok()?.as_socket().map(|local| local.ip())
}

#[cfg(test)]
mod tests;
