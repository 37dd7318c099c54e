//! Opening an ICMP socket with everything set before its first packet.

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::socket::{TimestampingFlag, getsockopt, setsockopt, sockopt};
use nix::{getsockopt_impl, libc, sockopt_impl};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::measure::probe::Circuit;
use crate::net::icmp::kernel::Order;
use crate::net::icmp::{Family, Kind, OpenError};
use crate::net::socket::{self, Fault};

/// The receive queue that is asked for: it holds what 10,000 probes a second are answered with
/// within 100 ms, stamps included. The kernel gives less to a process without CAP_NET_ADMIN
/// (`net.core.rmem_max`); memory is used only by what is waiting in it.
const RECEIVE_BYTES: usize = 8 * 1024 * 1024;

pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) kind: Kind,
    pub(super) ident: u16,
    pub(super) interface: Option<(String, u32)>,
}

pub(super) fn open(family: Family, circuit: &Circuit, order: Order) -> Result<Opened, OpenError> {
    let (socket, kind) = create(family, order)?;
    socket.set_nonblocking(true).map_err(OpenError::Other)?;
    // The index is read before the socket is bound to it: when the interface is replaced in
    // between, the port is found stale and opened again.
    let interface =
        circuit.interface.as_ref().map(|name| (name.clone(), index_of(name).unwrap_or(0)));
    socket::set(&socket, circuit, family.unspecified())?;
    hear(&socket, family).map_err(|error| match error {
        // An emulated kernel (qemu-user, gVisor) has not all of them: the portable engine does without.
        Errno::ENOPROTOOPT => OpenError::Unstamped(error.into()),
        _ => OpenError::Other(error.into()),
    })?;
    let stamps = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
    setsockopt(&socket, sockopt::Timestamping, &stamps)
        .map_err(|error| OpenError::Unstamped(error.into()))?;
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BYTES).is_err() {
        // The kernel takes as much of it as this process may have.
        let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
    }
    let ident = bind(&socket, family, circuit, kind)?;
    if kind == Kind::Raw {
        socket.attach_filter(&only_replies(family, ident)).map_err(OpenError::Other)?;
    }
    Ok(Opened { socket, kind, ident, interface })
}

pub(super) fn index_of(interface: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(interface).ok()
}

fn create(family: Family, order: Order) -> Result<(Socket, Kind), OpenError> {
    let (domain, protocol) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let of = |kind: Type| Socket::new(domain, kind, Some(protocol));
    let tries =
        [(Order::Raw, Type::DGRAM, Kind::Datagram), (Order::Datagram, Type::RAW, Kind::Raw)];
    let mut refused = false;
    for (unless, kind, name) in tries {
        if order == unless {
            continue;
        }
        match of(kind) {
            Ok(socket) => return Ok((socket, name)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = true,
            // A kernel without this kind of socket.
            Err(error)
                if matches!(
                    error.raw_os_error().map(Errno::from_raw),
                    Some(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT)
                ) => {}
            Err(error) => return Err(OpenError::Other(error)),
        }
    }
    Err(if refused {
        OpenError::Permission
    } else {
        OpenError::Other(io::ErrorKind::Unsupported.into())
    })
}

/// What the kernel says of a socket's receive queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// How many packets it has dropped since the socket was opened.
    pub(super) dropped: u32,
    /// Whether it has no room for any packet until some are read.
    pub(super) is_full: bool,
}

/// The receive queue (`SO_MEMINFO`).
///
/// `SO_RXQ_OVFL` would tell what was dropped with the next packet, but not on ICMP datagram sockets,
/// whose receive call leaves it out (`ping_recvmsg`).
///
/// # Errors
/// Fails where the kernel does not tell it: before Linux 4.12, and where it is emulated.
pub(super) fn queue(socket: &Socket) -> nix::Result<Queue> {
    let memory = getsockopt(socket, Memory)?;
    let held = memory[libc::SK_MEMINFO_RMEM_ALLOC as usize];
    let room = memory[libc::SK_MEMINFO_RCVBUF as usize];
    Ok(Queue { dropped: memory[libc::SK_MEMINFO_DROPS as usize], is_full: held >= room })
}

sockopt_impl!(
    /// The memory that a socket uses, and what it dropped, in the order of `linux/sock_diag.h`.
    Memory,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; libc::SK_MEMINFO_DROPS as usize + 1]
);

/// Asks for ICMP errors and the TTL of replies; sees that dropped packets are counted.
fn hear(socket: &Socket, family: Family) -> nix::Result<()> {
    match family {
        Family::V4 => {
            setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
            setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?;
        }
        Family::V6 => {
            setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
            setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
        }
    }
    queue(socket).map(drop)
}

/// Binds the socket to its source, and gives the identifier that its requests carry: for a datagram
/// socket the kernel chooses one that no other has, for a raw one it is random.
fn bind(socket: &Socket, family: Family, circuit: &Circuit, kind: Kind) -> Result<u16, OpenError> {
    if circuit.source.is_some() || kind == Kind::Datagram {
        let source = circuit.source.unwrap_or(family.unspecified());
        socket.bind(&SocketAddr::new(source, 0).into()).map_err(|error| match error.kind() {
            io::ErrorKind::AddrNotAvailable => OpenError::Circuit(Fault::Source(source)),
            _ => OpenError::Other(error),
        })?;
    }
    match kind {
        Kind::Raw => Ok(rand::random()),
        Kind::Datagram => {
            let bound = socket.local_addr().map_err(OpenError::Other)?;
            Ok(bound.as_socket().map_or(0, |bound| bound.port()))
        }
    }
}

/// A raw socket gets a copy of all ICMP of this host; this filter keeps what is not an echo reply
/// to `ident` from its queue. ICMP errors do not pass it: they come by the error queue.
fn only_replies(family: Family, ident: u16) -> Vec<SockFilter> {
    // Classic BPF (linux/filter.h). An IPv4 raw socket sees the IP header, an IPv6 one does not.
    const LDX_IP_HEADER: u16 = 0xb1;
    const LD_BYTE: u16 = 0x30;
    const LD_BYTE_BEHIND: u16 = 0x50;
    const LD_HALF: u16 = 0x28;
    const LD_HALF_BEHIND: u16 = 0x48;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let of = SockFilter::new;
    let ident = u32::from(ident);
    match family {
        Family::V4 => vec![
            of(LDX_IP_HEADER, 0, 0, 0),
            of(LD_BYTE_BEHIND, 0, 0, 0),
            of(JUMP_EQUAL, 0, 3, 0),
            of(LD_HALF_BEHIND, 0, 0, 4),
            of(JUMP_EQUAL, 0, 1, ident),
            of(RETURN, 0, 0, u32::MAX),
            of(RETURN, 0, 0, 0),
        ],
        Family::V6 => vec![
            of(LD_BYTE, 0, 0, 0),
            of(JUMP_EQUAL, 0, 3, 129),
            of(LD_HALF, 0, 0, 4),
            of(JUMP_EQUAL, 0, 1, ident),
            of(RETURN, 0, 0, u32::MAX),
            of(RETURN, 0, 0, 0),
        ],
    }
}
