//! The engine of Linux: the kernel stamps each request when it is handed to the device and each
//! reply when it comes from there (`SO_TIMESTAMPING`), so that neither depends on when this process
//! runs.
//!
//! A request's stamp comes back on the socket's error queue together with the packet itself, which
//! names the send that it belongs to: nothing is guessed from an order. ICMP errors come by the
//! same queue (`IP_RECVERR`), with the quotation that names their cause.
//!
//! What Linux does not tell: a request that its own packet filter or a full queue drops is no error
//! to an ICMPv6 datagram socket (`icmpv6_push_pending_frames` returns none). It has no transmit
//! stamp then; but neither has one that waits for a next hop's hardware address.
//! [`crate::net::hop`] tells the two apart.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};
use socket2::Socket;

use crate::measure::probe::Circuit;
use crate::net::icmp::packet::{self, Mint, Request};
use crate::net::icmp::{
    Arrival, Drained, Echo, Engine, Family, Heard, Kind, Means, OpenError, Port, Stamps, Unsent,
    Whose,
};
use crate::net::socket::wall;

mod open;

/// Packets of one system call.
const BATCH: usize = 64;
/// Bytes of one system call's packets, unless a single one is larger.
const BATCH_BYTES: usize = 256 * 1024;
/// System calls of one drain, on each queue.
const ROUNDS: usize = 16;
/// Bytes that can come before a payload: an IPv4 header with options, and ICMP's; on the error
/// queue a link header as well.
const BEFORE: usize = 128;
/// What the kernel charges a receive queue for a small packet, at most, on the drivers known.
const TRUESIZE: usize = 2304;

/// The engine. Clones, and all ports opened by them, know each other's packets.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    mint: Mint,
    /// Whether datagram sockets are tried before raw ones.
    order: Order,
}

/// Which kind of socket is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Datagram, then raw.
    #[default]
    DatagramFirst,
    /// Raw only.
    Raw,
    /// Datagram only.
    Datagram,
}

impl Kernel {
    /// An engine that opens sockets in this order.
    #[must_use]
    pub fn with(order: Order) -> Self {
        Self { mint: Mint::default(), order }
    }

    fn port(
        &self,
        family: Family,
        circuit: &Circuit,
        largest: u16,
    ) -> Result<KernelPort, OpenError> {
        let opened = open::open(family, circuit, self.order)?;
        let slot = usize::from(largest) + BEFORE;
        Ok(KernelPort {
            mint: self.mint.clone(),
            family,
            kind: opened.kind,
            ident: opened.ident,
            bound: circuit.source.is_some(),
            interface: opened.interface,
            room: opened.socket.recv_buffer_size().unwrap_or(0) / TRUESIZE / 2,
            socket: opened.socket,
            slot,
            batch: (BATCH_BYTES / slot).clamp(1, BATCH),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            replies: Vec::new(),
            usual: [0; 2],
            dropped: 0,
        })
    }
}

impl Engine for Kernel {
    fn open(
        &self,
        family: Family,
        circuit: &Circuit,
        largest: u16,
    ) -> Result<Box<dyn Port>, OpenError> {
        Ok(Box::new(self.port(family, circuit, largest)?))
    }
}

#[derive(Debug)]
struct KernelPort {
    socket: Socket,
    mint: Mint,
    family: Family,
    kind: Kind,
    ident: u16,
    /// Whether it is bound to a source address.
    bound: bool,
    /// The interface that it is bound to: its name, and the index that it had.
    interface: Option<(String, u32)>,
    room: usize,
    slot: usize,
    batch: usize,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    replies: Vec<Arrival>,
    /// How many packets the last reading of the receive queue found, and how many that of the error
    /// queue.
    usual: [usize; 2],
    /// The kernel's count of packets dropped from the receive queue.
    dropped: u32,
}

impl Port for KernelPort {
    fn send(&mut self, batch: &[Echo], faults: &mut Vec<(usize, Unsent)>) {
        for (index, part) in batch.chunks(self.batch).enumerate() {
            self.outgoing.clear();
            for echo in part {
                let Echo { token, to, seq, size, .. } = *echo;
                self.mint.write(
                    &mut self.outgoing,
                    &Request { to, ident: self.ident, seq, token, size },
                );
            }
            let first = index * self.batch;
            // A source that is no address of this host any more is an invalid argument.
            let why = |errno| match errno {
                Errno::EINVAL if self.bound => Unsent::Source,
                errno => Unsent::of(errno),
            };
            let each = |place: usize, errno: Errno| faults.push((first + place, why(errno)));
            self.send_all(part, each);
        }
    }

    fn drain(&mut self, arrivals: &mut Vec<Arrival>) -> Drained {
        // Replies are taken from the kernel first and told last: the stamps of all their requests
        // are then on the error queue.
        let overflowed = self.has_overflowed();
        let mut replies = std::mem::take(&mut self.replies);
        let (heard, told) = match self.family {
            Family::V4 => (
                self.read_replies::<SockaddrIn>(&mut replies),
                self.read_errors::<SockaddrIn>(arrivals),
            ),
            Family::V6 => (
                self.read_replies::<SockaddrIn6>(&mut replies),
                self.read_errors::<SockaddrIn6>(arrivals),
            ),
        };
        arrivals.append(&mut replies);
        self.replies = replies;
        if overflowed {
            arrivals.push(Arrival::Overflow);
        }
        if heard == Drained::Dry && told == Drained::Dry { Drained::Dry } else { Drained::More }
    }

    fn set_hops(&mut self, hops: u8) -> Result<(), Unsent> {
        let hops = u32::from(hops);
        let set = match self.family {
            Family::V4 => self.socket.set_ttl_v4(hops),
            Family::V6 => self.socket.set_unicast_hops_v6(hops),
        };
        set.map_err(|error| Unsent::of(Errno::from_raw(error.raw_os_error().unwrap_or(0))))
    }

    fn means(&self) -> Means {
        Means { socket: self.kind, stamps: Stamps::Kernel }
    }

    fn room(&self) -> usize {
        self.room
    }

    fn is_stale(&self) -> bool {
        self.interface
            .as_ref()
            .is_some_and(|(name, index)| open::index_of(name).is_some_and(|now| now != *index))
    }
}

/// The ICMP errors that the kernel keeps for a socket and gives to whichever call comes next; of
/// all others a send call speaks for itself.
fn may_be_older(errno: Errno) -> bool {
    use Errno::{
        EACCES, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENONET, ENOPROTOOPT,
        EOPNOTSUPP, EPROTO, EREMOTEIO,
    };
    matches!(
        errno,
        EACCES
            | ECONNREFUSED
            | EHOSTDOWN
            | EHOSTUNREACH
            | EMSGSIZE
            | ENETUNREACH
            | ENONET
            | ENOPROTOOPT
            | EOPNOTSUPP
            | EPROTO
            // A redirect, which refuses nothing.
            | EREMOTEIO
    )
}

impl KernelPort {
    /// Whether the receive queue had no room for a packet since this was asked last; asked before it
    /// is read. Raw ICMPv6 sockets count as dropped what has a wrong checksum too: that was lost on
    /// the path. A queue that overflowed is full until it is read, which tells the two apart.
    fn has_overflowed(&mut self) -> bool {
        let Ok(queue) = open::queue(&self.socket) else { return false };
        let before = std::mem::replace(&mut self.dropped, queue.dropped);
        let counts_checksums = self.family == Family::V6 && self.kind == Kind::Raw;
        queue.dropped != before && (queue.is_full || !counts_checksums)
    }

    /// Sends the packets that lie in `outgoing`, one after the other, to the addresses of `part`.
    fn send_all(&self, part: &[Echo], mut fault: impl FnMut(usize, Errno)) {
        let mut rest = &self.outgoing[..];
        let mut packets = Vec::with_capacity(part.len());
        let mut addresses = Vec::with_capacity(part.len());
        for echo in part {
            let (packet, after) =
                rest.split_at(usize::from(echo.size).max(packet::RECORD) + packet::HEADER);
            packets.push([IoSlice::new(packet)]);
            let ours = Family::of(echo.to) == self.family;
            addresses.push(ours.then(|| SocketAddrAny::from(SocketAddr::new(echo.to, 0))));
            rest = after;
        }
        let mut nothing: Vec<_> = part.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let (mut next, mut tries) = (0, 0);
        while next < part.len() {
            let wanted = packets[next..].iter().zip(&addresses[next..]).zip(&mut nothing);
            let mut messages = Vec::with_capacity(part.len() - next);
            messages.extend(wanted.map_while(|((packet, to), nothing)| {
                Some(MMsgHdr::new_with_addr(to.as_ref()?, packet, nothing))
            }));
            if messages.is_empty() {
                fault(next, Errno::EAFNOSUPPORT);
                next += 1;
                continue;
            }
            // The system call itself: a C library may make one for each packet of it.
            let result = rustix::net::sendmmsg(&self.socket, &mut messages, SendFlags::DONTWAIT);
            let result = result.map_err(|error| Errno::from_raw(error.raw_os_error()));
            match result {
                Ok(sent) => (next, tries) = (next + sent.max(1), 0),
                Err(Errno::EINTR) => {}
                // An ICMP error about an earlier packet: once it is cleared, this one is tried
                // again.
                Err(errno) if tries < 3 && may_be_older(errno) => {
                    let _ = self.socket.take_error();
                    tries += 1;
                }
                Err(errno) => {
                    fault(next, errno);
                    (next, tries) = (next + 1, 0);
                }
            }
        }
    }

    fn read_replies<S: Address>(&mut self, replies: &mut Vec<Arrival>) -> Drained {
        let (mint, family, kind, ident) = (self.mint.clone(), self.family, self.kind, self.ident);
        self.read::<S>(MsgFlags::empty(), |message, bytes| {
            let mut stamp = None;
            let mut ttl = None;
            for control in message.control {
                match control {
                    ControlMessageOwned::ScmTimestampsns(stamps) => stamp = wall(stamps.system),
                    ControlMessageOwned::Ipv4Ttl(hops)
                    | ControlMessageOwned::Ipv6HopLimit(hops) => {
                        ttl = u8::try_from(hops).ok();
                    }
                    _ => {}
                }
            }
            let with_header = family == Family::V4 && kind == Kind::Raw;
            let packet = if with_header { packet::behind_ipv4_header(bytes)? } else { bytes };
            // The kernel checks what it gives to datagram sockets and to ICMPv6 ones, and hands the
            // rest over as it came.
            if with_header && packet::checksum(packet) != 0 {
                return None;
            }
            let from = message.from?;
            let token = mint.answered(packet, ident, from)?;
            let bytes = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            replies.push(Arrival::Reply { token, heard: Heard::At(stamp), ttl, bytes, from });
            Some(())
        })
    }

    fn read_errors<S: Address>(&mut self, arrivals: &mut Vec<Arrival>) -> Drained {
        let (mint, family, ident) = (self.mint.clone(), self.family, self.ident);
        self.read::<S>(MsgFlags::MSG_ERRQUEUE, |message, bytes| {
            let mut stamp = None;
            let mut error = None;
            for control in message.control {
                match control {
                    ControlMessageOwned::ScmTimestampsns(stamps) => stamp = wall(stamps.system),
                    ControlMessageOwned::Ipv4RecvErr(what, who) => {
                        error = Some((
                            what,
                            who.map(|who| IpAddr::from(who.sin_addr.s_addr.to_ne_bytes())),
                        ));
                    }
                    ControlMessageOwned::Ipv6RecvErr(what, who) => {
                        error = Some((what, who.map(|who| IpAddr::from(who.sin6_addr.s6_addr))));
                    }
                    _ => {}
                }
            }
            let (what, who) = error?;
            match what.ee_origin {
                libc::SO_EE_ORIGIN_TIMESTAMPING => {
                    arrivals.push(Arrival::Departed { token: mint.find(bytes)?, at: stamp? });
                }
                libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => {
                    let kind = packet::refusal(family, what.ee_type, what.ee_code)?;
                    let quoted = packet::Echo::request(bytes).filter(|echo| echo.ident == ident)?;
                    let to = message.from?;
                    let whose = match mint.read(quoted.payload, to) {
                        Some(token) => Whose::Token(token),
                        None if quoted.payload.len() < packet::RECORD => Whose::Seq(to, quoted.seq),
                        None => return None,
                    };
                    arrivals.push(Arrival::Refused { whose, kind, from: who });
                }
                // What this host itself refuses, the send call has said already.
                _ => {}
            }
            Some(())
        })
    }

    /// Reads one queue of the socket until it is empty, or for [`ROUNDS`] calls.
    fn read<S: Address>(
        &mut self,
        queue: MsgFlags,
        mut each: impl FnMut(Message<'_>, &[u8]) -> Option<()>,
    ) -> Drained {
        // As many as the last time and some more: what a call makes room for is paid for, whether
        // it comes or not.
        let usual = usize::from(queue.contains(MsgFlags::MSG_ERRQUEUE));
        // It is a power of two, so that the memory for it is of the same size as the last time, and
        // at hand.
        let mut batch =
            (self.usual[usual] * 5 / 4).clamp(4, BATCH).next_power_of_two().min(self.batch);
        let (mut found, mut interrupted) = (0, 0);
        for _ in 0..ROUNDS {
            self.incoming.resize(self.incoming.len().max(self.slot * batch), 0);
            let mut headers = MultiHeaders::<S>::preallocate(batch, Some(control_space()));
            let mut slots: Vec<_> = self
                .incoming
                .chunks_exact_mut(self.slot)
                .take(batch)
                .map(|slot| [IoSliceMut::new(slot)])
                .collect();
            let flags = queue | MsgFlags::MSG_DONTWAIT;
            let result =
                recvmmsg(self.socket.as_raw_fd(), &mut headers, slots.iter_mut(), flags, None);
            let mut count = 0;
            match result {
                Ok(messages) => {
                    for message in messages {
                        count += 1;
                        let bytes = message.iovs().next().unwrap_or_default();
                        let Ok(control) = message.cmsgs() else { continue };
                        each(
                            Message { from: message.address.and_then(S::address), control },
                            bytes,
                        );
                    }
                }
                // An ICMP error's echo, or a signal: the call has taken nothing from the queue.
                Err(errno) if errno != Errno::EAGAIN && interrupted < 8 => {
                    interrupted += 1;
                    continue;
                }
                Err(_) => {}
            }
            found += count;
            if count < batch {
                self.usual[usual] = found;
                return Drained::Dry;
            }
            batch = self.batch;
        }
        self.usual[usual] = found;
        Drained::More
    }
}

/// What comes with a packet.
struct Message<'a> {
    /// Its sender; on the error queue, whom the quoted packet was for.
    from: Option<IpAddr>,
    control: nix::sys::socket::CmsgIterator<'a>,
}

/// Room for every control message that may come with one packet.
fn control_space() -> Vec<u8> {
    nix::cmsg_space!(nix::sys::socket::Timestamps, libc::sock_extended_err, libc::sockaddr_in6, i32)
}

trait Address: SockaddrLike + Copy {
    fn address(self) -> Option<IpAddr>;
}

impl Address for SockaddrIn {
    fn address(self) -> Option<IpAddr> {
        let known = i32::from(self.as_ref().sin_family) == libc::AF_INET;
        known.then(|| IpAddr::from(self.as_ref().sin_addr.s_addr.to_ne_bytes()))
    }
}

impl Address for SockaddrIn6 {
    fn address(self) -> Option<IpAddr> {
        let known = i32::from(self.as_ref().sin6_family) == libc::AF_INET6;
        known.then(|| IpAddr::from(self.as_ref().sin6_addr.s6_addr))
    }
}

#[cfg(test)]
mod tests;
