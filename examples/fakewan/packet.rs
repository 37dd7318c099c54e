//! IP packets, read and built; pure.

use std::net::IpAddr;

use crate::scenario::Refusal;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub from: IpAddr,
    pub to: IpAddr,
    pub ttl: u8,
    /// Whether it must not be fragmented; IPv6 never is on its way.
    pub whole: bool,
    /// Where the transport header begins.
    transport: usize,
    pub body: Body,
}

/// What it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Echo { id: u16, seq: u16, payload: usize },
    Tcp { from: u16, to: u16, flags: u8, payload: usize },
    Udp { from: u16, to: u16, payload: usize },
    Other,
}

impl Body {
    /// Where the payload begins.
    pub const fn payload(&self) -> Option<usize> {
        match *self {
            Self::Echo { payload, .. } | Self::Tcp { payload, .. } | Self::Udp { payload, .. } => {
                Some(payload)
            }
            Self::Other => None,
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Reads a packet; [`None`] when it is none, is cut off, or its ICMP checksum is wrong.
pub fn read(packet: &[u8]) -> Option<Seen> {
    match packet.first()? >> 4 {
        4 => read4(packet),
        6 => read6(packet),
        _ => None,
    }
}

fn read4(packet: &[u8]) -> Option<Seen> {
    let transport = usize::from(packet[0] & 15) * 4;
    let fragment = be16(packet, 6)?;
    if transport < 20 || usize::from(be16(packet, 2)?) != packet.len() || packet.len() < transport {
        return None;
    }
    let address = |at: usize| {
        IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).expect("four bytes are four"))
    };
    let body =
        if fragment & 0x3fff == 0 { read_body(packet, packet[9], transport)? } else { Body::Other };
    Some(Seen {
        from: address(12),
        to: address(16),
        ttl: packet[8],
        whole: fragment & 0x4000 != 0,
        transport,
        body,
    })
}

fn read6(packet: &[u8]) -> Option<Seen> {
    if packet.len() < 40 || usize::from(be16(packet, 4)?) + 40 != packet.len() {
        return None;
    }
    let address = |at: usize| {
        IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).expect("sixteen bytes are sixteen"))
    };
    let (mut next, mut transport) = (packet[6], 40);
    // Hop-by-hop options, routing and destination options come before the transport (RFC 8200,
    // 4.1).
    while matches!(next, 0 | 43 | 60) {
        let length = (usize::from(*packet.get(transport + 1)?) + 1) * 8;
        next = packet[transport];
        transport += length;
    }
    let body = read_body(packet, next, transport)?;
    Some(Seen { from: address(8), to: address(24), ttl: packet[7], whole: true, transport, body })
}

fn read_body(packet: &[u8], protocol: u8, transport: usize) -> Option<Body> {
    let rest = packet.get(transport..)?;
    let ports = || Some((be16(rest, 0)?, be16(rest, 2)?));
    Some(match (protocol, rest.first()) {
        (ICMP, Some(8)) if rest.len() >= 8 => {
            if sum(rest, 0) != 0xffff {
                return None;
            }
            Body::Echo { id: be16(rest, 4)?, seq: be16(rest, 6)?, payload: transport + 8 }
        }
        (ICMP6, Some(128)) if rest.len() >= 8 => {
            if sum(rest, pseudo6(packet, rest.len(), ICMP6)) != 0xffff {
                return None;
            }
            Body::Echo { id: be16(rest, 4)?, seq: be16(rest, 6)?, payload: transport + 8 }
        }
        (TCP, _) if rest.len() >= 20 => {
            let ((from, to), header) = (ports()?, usize::from(rest[12] >> 4) * 4);
            if header < 20 || header > rest.len() {
                return None;
            }
            Body::Tcp { from, to, flags: rest[13], payload: transport + header }
        }
        (UDP, _) if rest.len() >= 8 => {
            let (from, to) = ports()?;
            Body::Udp { from, to, payload: transport + 8 }
        }
        _ => Body::Other,
    })
}

/// The ones' complement sum (RFC 1071), not complemented, folded to 16 bits.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut total = u64::from(start);
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        total += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        total += u64::from(*last) << 8;
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).expect("folded to 16 bits")
}

/// The sum of the IPv6 pseudo-header (RFC 8200, 8.1).
fn pseudo6(packet: &[u8], length: usize, protocol: u8) -> u32 {
    u32::from(sum(
        &packet[8..40],
        u32::try_from(length).expect("a packet is below 64 KiB") + u32::from(protocol),
    ))
}

/// Corrects the checksum at `at` for a 16-bit word that changed (RFC 1624, equation 3).
fn correct(packet: &mut [u8], at: usize, old: u16, new: u16) {
    let check = be16(packet, at).expect("the header was read");
    let mut total = u32::from(!check) + u32::from(!old) + u32::from(new);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    put16(packet, at, !u16::try_from(total).expect("folded to 16 bits"));
}

/// The packet on its way back: addresses swapped, with this TTL. Sums over the pseudo-header stay
/// as they are.
fn turned(packet: &[u8], ttl: u8) -> Vec<u8> {
    let mut back = packet.to_vec();
    if packet[0] >> 4 == 4 {
        back[12..16].copy_from_slice(&packet[16..20]);
        back[16..20].copy_from_slice(&packet[12..16]);
        back[8] = ttl;
        put16(&mut back, 10, 0);
        let header = usize::from(packet[0] & 15) * 4;
        let check = !sum(&back[..header], 0);
        put16(&mut back, 10, check);
    } else {
        back[8..24].copy_from_slice(&packet[24..40]);
        back[24..40].copy_from_slice(&packet[8..24]);
        back[7] = ttl;
    }
    back
}

/// The reply to an echo request.
pub fn echo_reply(packet: &[u8], seen: &Seen, ttl: u8) -> Vec<u8> {
    let mut back = turned(packet, ttl);
    let at = seen.transport;
    let old = be16(&back, at).expect("the header was read");
    back[at] = if seen.to.is_ipv4() { 0 } else { 129 };
    let new = be16(&back, at).expect("the header was read");
    correct(&mut back, at + 2, old, new);
    back
}

/// The port of a TCP or UDP packet that is rewritten when it is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Source(u16),
    Destination(u16),
}

/// A TCP or UDP packet turned round, with one port rewritten: a client's to the server behind an
/// address, or a server's to the client.
pub fn handed_on(packet: &[u8], seen: &Seen, port: Port, ttl: u8) -> Vec<u8> {
    let mut on = turned(packet, ttl);
    let (at, new) = match port {
        Port::Source(port) => (seen.transport, port),
        Port::Destination(port) => (seen.transport + 2, port),
    };
    let check = seen.transport + if matches!(seen.body, Body::Tcp { .. }) { 16 } else { 6 };
    let old = be16(&on, at).expect("the header was read");
    put16(&mut on, at, new);
    // A UDP checksum of zero means that there is none (RFC 768).
    if matches!(seen.body, Body::Tcp { .. }) || be16(&on, check) != Some(0) {
        correct(&mut on, check, old, new);
    }
    on
}

/// The reset that answers a TCP segment (RFC 9293, 3.10.7.1); [`None`] for what is no segment, or a
/// reset itself.
pub fn reset(packet: &[u8], seen: &Seen, ttl: u8) -> Option<Vec<u8>> {
    let Body::Tcp { flags, payload, .. } = seen.body else { return None };
    if flags & RST != 0 {
        return None;
    }
    let tcp = &packet[seen.transport..];
    let word =
        |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().expect("four bytes are four"));
    let length = u32::try_from(packet.len() - payload).expect("a packet is below 64 KiB");
    let counted = length + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&tcp[2..4]);
    segment[2..4].copy_from_slice(&tcp[..2]);
    if flags & ACK != 0 {
        segment[4..8].copy_from_slice(&tcp[8..12]);
        segment[13] = RST;
    } else {
        segment[8..12].copy_from_slice(&word(4).wrapping_add(counted).to_be_bytes());
        segment[13] = RST | ACK;
    }
    segment[12] = 5 << 4;
    Some(with_header(seen.to, seen.from, TCP, ttl, &segment, 16))
}

/// The kinds of ICMP errors, with what the second word holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    Refusal(Refusal),
    TooBig { mtu: u16 },
}

/// An ICMP error about a packet, from a router or the target itself.
pub fn icmp_error(packet: &[u8], seen: &Seen, by: IpAddr, error: Error, ttl: u8) -> Vec<u8> {
    let four = seen.to.is_ipv4();
    let (kind, code) = match (error, four) {
        (Error::TooBig { .. }, true) => (3, 4),
        (Error::TooBig { .. }, false) => (2, 0),
        (Error::Refusal(refusal), true) => match refusal {
            Refusal::NetUnreachable => (3, 0),
            Refusal::HostUnreachable => (3, 1),
            Refusal::ProtocolUnreachable => (3, 2),
            Refusal::PortUnreachable | Refusal::Reset => (3, 3),
            Refusal::AdminProhibited => (3, 13),
            Refusal::TimeExceeded => (11, 0),
        },
        (Error::Refusal(refusal), false) => match refusal {
            Refusal::NetUnreachable => (1, 0),
            Refusal::HostUnreachable => (1, 3),
            Refusal::ProtocolUnreachable => (4, 1),
            Refusal::PortUnreachable | Refusal::Reset => (1, 4),
            Refusal::AdminProhibited => (1, 1),
            Refusal::TimeExceeded => (3, 0),
        },
    };
    let word: u32 = match (error, kind) {
        (Error::TooBig { mtu }, _) => mtu.into(),
        // The pointer at the next header field of the IPv6 header (RFC 4443, 3.4).
        (_, 4) => 6,
        _ => 0,
    };
    // As much of the packet as RFC 1812, 4.3.2.3 and RFC 4443, 3 let it hold.
    let most = if four { 576 - 28 } else { 1280 - 48 };
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    message.extend(&packet[..packet.len().min(most)]);
    with_header(by, seen.from, if four { ICMP } else { ICMP6 }, ttl, &message, 2)
}

/// A packet of its own with this transport part, whose checksum at `check` is filled in.
fn with_header(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    ttl: u8,
    body: &[u8],
    check: usize,
) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("built below 64 KiB");
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, ttl, protocol, 0, 0];
            put16(&mut header, 2, length + 20);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = !sum(&header, 0);
            put16(&mut header, 10, sum);
            header
        }
        (from, to) => {
            let six = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, ttl];
            put16(&mut header, 4, length);
            header.extend(six(from).octets());
            header.extend(six(to).octets());
            header
        }
    };
    let pseudo = match (packet[0] >> 4, protocol) {
        (4, ICMP) => 0,
        (4, _) => u32::from(sum(&packet[12..20], u32::from(length) + u32::from(protocol))),
        _ => pseudo6(&packet, body.len(), protocol),
    };
    let start = packet.len();
    packet.extend(body);
    let sum = !sum(&packet[start..], pseudo);
    put16(&mut packet, start + check, sum);
    packet
}

/// TCP flags as letters, `SA` for SYN and ACK.
pub fn flag_letters(flags: u8) -> String {
    let letters = [(2, 'S'), (1, 'F'), (RST, 'R'), (8, 'P'), (ACK, 'A')];
    letters.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| *letter).collect()
}
