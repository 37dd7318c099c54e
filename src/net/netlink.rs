//! Questions to the kernel's routing and its neighbours by rtnetlink (rtnetlink(7)), packed and
//! read by hand: two questions do not need a library. Neither needs a privilege.
//!
//! A socket for each question: the kernel answers within the call that asks, and nobody else's
//! messages come in between.

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// What is asked of the routes: the same as the kernel asks itself when a socket of these options
/// sends.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Wanted {
    pub target: IpAddr,
    /// The interface that the socket is bound to, by its index.
    pub interface: Option<u32>,
    pub source: Option<IpAddr>,
    pub mark: Option<u32>,
    /// The type of service or traffic class.
    pub class: u8,
    /// The IP protocol, for rules that ask for it.
    pub protocol: Option<u8>,
}

/// What the kernel says of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct Route {
    pub kind: Kind,
    /// The interface that it leads out by.
    pub interface: Option<u32>,
    /// The next hop; [`None`] when the target is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The table that it stands in. Zero: in none; the kernel takes a target to be on the link that
    /// a socket is bound to where no route leads to it (`ip_route_output_key_hash_rcu`).
    pub table: u32,
}

/// A route's type (`RTN_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Kind {
    Unicast,
    Local,
    Broadcast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Other,
}

/// What the kernel knows of a neighbour's hardware address (`NUD_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Neighbour {
    /// It is known, or none is needed.
    Known,
    /// It was asked for and nobody has said it.
    Silent,
    /// Nobody has asked for it lately.
    Absent,
}

const HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;
const NEIGHBOUR_HEADER: usize = 12;
/// Tell the route's table (`RTM_F_LOOKUP_TABLE`).
const LOOKUP_TABLE: u32 = 0x1000;

const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const RTA_MARK: u16 = 16;
const RTA_VIA: u16 = 18;
const RTA_IP_PROTO: u16 = 27;
const NDA_DST: u16 = 1;

/// Which route a packet takes.
///
/// # Errors
/// What a socket that sent it would be told: `ENETUNREACH`, `EHOSTUNREACH`, `EACCES` for a
/// prohibition, `EINVAL` for a blackhole; or that the kernel cannot be asked.
pub(in crate::net) fn route(wanted: &Wanted) -> Result<Route, Errno> {
    let Wanted { target, interface, source, mark, class, protocol } = *wanted;
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    // rtmsg: family, both lengths, class, table, protocol, scope, type, flags.
    let mut body = vec![family(target), bits(target), source.map_or(0, bits), class, 0, 0, 0, 0];
    body.extend(LOOKUP_TABLE.to_ne_bytes());
    attribute(&mut body, RTA_DST, &octets(target));
    if let Some(source) = source {
        attribute(&mut body, RTA_SRC, &octets(source));
    }
    if let Some(interface) = interface {
        attribute(&mut body, RTA_OIF, &interface.to_ne_bytes());
    }
    if let Some(mark) = mark {
        attribute(&mut body, RTA_MARK, &mark.to_ne_bytes());
    }
    if let Some(protocol) = protocol {
        attribute(&mut body, RTA_IP_PROTO, &[protocol]);
    }
    let answer = ask(libc::RTM_GETROUTE, libc::RTM_NEWROUTE, &body)?;
    read_route(&answer).ok_or(Errno::EBADMSG)
}

/// What is known of a neighbour on an interface.
///
/// # Errors
/// When the kernel cannot be asked; before Linux 5.0 it does not answer this.
pub(in crate::net) fn neighbour(address: IpAddr, interface: u32) -> Result<Neighbour, Errno> {
    // ndmsg: family, padding, interface, state, flags, type.
    let mut body = vec![family(address), 0, 0, 0];
    body.extend(interface.to_ne_bytes());
    body.extend([0; 4]);
    attribute(&mut body, NDA_DST, &octets(address));
    match ask(libc::RTM_GETNEIGH, libc::RTM_NEWNEIGH, &body) {
        Ok(answer) => read_neighbour(&answer).ok_or(Errno::EBADMSG),
        Err(Errno::ENOENT) => Ok(Neighbour::Absent),
        Err(errno) => Err(errno),
    }
}

/// An interface's flags (netdevice(7)).
///
/// # Errors
/// When there is no such interface, or the kernel cannot be asked.
pub(in crate::net) fn flags(interface: u32) -> Result<u32, Errno> {
    link(&link_header(interface))
}

/// The flags of the interface of a name; one question, whereas `getifaddrs` reads every interface
/// and address that there is.
///
/// # Errors
/// `ENODEV` when there is no such interface; or that the kernel cannot be asked.
pub(in crate::net) fn flags_by_name(interface: &str) -> Result<u32, Errno> {
    let mut body = link_header(0);
    let name = CString::new(interface).map_err(|_| Errno::ENODEV)?;
    if name.as_bytes_with_nul().len() > libc::IFNAMSIZ {
        return Err(Errno::ENODEV);
    }
    attribute(&mut body, libc::IFLA_IFNAME, name.as_bytes_with_nul());
    link(&body)
}

fn link_header(interface: u32) -> Vec<u8> {
    // ifinfomsg: family, padding, type, interface, flags, change.
    let mut body = vec![0; 4];
    body.extend(interface.to_ne_bytes());
    body.extend([0; 8]);
    body
}

fn link(body: &[u8]) -> Result<u32, Errno> {
    let answer = ask(libc::RTM_GETLINK, libc::RTM_NEWLINK, body)?;
    u32_at(&answer, 8).ok_or(Errno::EBADMSG)
}

/// Asks, and gives the answer's message without its header, as far as there is room for it.
fn ask(question: u16, answer: u16, body: &[u8]) -> Result<Vec<u8>, Errno> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    let length = u32::try_from(HEADER + body.len()).expect("a question takes some bytes");
    message.extend(length.to_ne_bytes());
    message.extend(question.to_ne_bytes());
    message.extend(u16::try_from(libc::NLM_F_REQUEST).expect("it is one bit").to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut room = [0; 4096];
    let length = recv(socket.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT)?;
    read_answer(room.get(..length).unwrap_or_default(), answer)
}

fn read_answer(bytes: &[u8], wanted: u16) -> Result<Vec<u8>, Errno> {
    let length =
        u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok()).ok_or(Errno::EBADMSG)?;
    let body = bytes.get(HEADER..length.min(bytes.len())).ok_or(Errno::EBADMSG)?;
    match u16_at(bytes, 4) {
        Some(kind) if kind == wanted => Ok(body.to_vec()),
        Some(2) => {
            let errno = body
                .first_chunk::<4>()
                .map(|bytes| i32::from_ne_bytes(*bytes))
                .ok_or(Errno::EBADMSG)?;
            Err(Errno::from_raw(errno.saturating_neg()))
        }
        _ => Err(Errno::EBADMSG),
    }
}

fn read_route(body: &[u8]) -> Option<Route> {
    let kind = match *body.get(7)? {
        1 => Kind::Unicast,
        2 | 4 => Kind::Local,
        3 => Kind::Broadcast,
        5 => Kind::Multicast,
        6 => Kind::Blackhole,
        7 => Kind::Unreachable,
        8 => Kind::Prohibit,
        _ => Kind::Other,
    };
    let mut route = Route { kind, interface: None, gateway: None, table: u32::from(*body.get(4)?) };
    for (name, value) in attributes(body.get(ROUTE_HEADER..)?) {
        match name {
            RTA_OIF => route.interface = u32_at(value, 0),
            RTA_GATEWAY => route.gateway = address(value),
            // A next hop of another family: its family, then its address.
            RTA_VIA => route.gateway = value.get(2..).and_then(address),
            RTA_TABLE => route.table = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(route)
}

fn read_neighbour(body: &[u8]) -> Option<Neighbour> {
    const INCOMPLETE: u16 = 0x01;
    const FAILED: u16 = 0x20;
    let state = u16_at(body.get(..NEIGHBOUR_HEADER)?, 8)?;
    Some(match state {
        0 => Neighbour::Absent,
        state if state & (INCOMPLETE | FAILED) != 0 => Neighbour::Silent,
        _ => Neighbour::Known,
    })
}

const fn family(address: IpAddr) -> u8 {
    // AF_INET and AF_INET6 of Linux.
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn attribute(message: &mut Vec<u8>, name: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("an attribute takes some bytes");
    message.extend(length.to_ne_bytes());
    message.extend(name.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// The attributes of a message, up to the first that is cut off.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let name = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((name, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests;
