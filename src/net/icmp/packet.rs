//! Echo requests and what comes back, as bytes: who a packet belongs to is read from the payload
//! alone.
//!
//! The first [`RECORD`] bytes of a payload name the send that it belongs to: a random cookie of
//! this process, the probe, the send, and a keyed digest over both and the address it was sent to.
//! Nobody who has not seen the packet can make them up, and a reply from another address than the
//! one that was asked does not fit.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Bytes of the payload that say whose it is: the least payload.
pub const RECORD: usize = 24;
/// Bytes of an ICMP echo header.
pub const HEADER: usize = 8;

/// What follows them in a longer payload: 0x20, 0x21 and so on, over and over.
const FILLING: [u8; 256] = {
    let mut bytes = [0u8; 256];
    let mut at = 1;
    bytes[0] = 0x20;
    while at < 256 {
        bytes[at] = bytes[at - 1].wrapping_add(1);
        at += 1;
    }
    bytes
};

/// Which send a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The probe, by a number that the caller chose.
    pub lane: u32,
    /// The low 32 bits of the send's number.
    pub send: u32,
}

/// Signs and checks payloads for one process.
#[derive(Clone, Debug)]
pub struct Mint {
    cookie: [u8; 8],
    key: RandomState,
}

impl Default for Mint {
    fn default() -> Self {
        let key = RandomState::new();
        let cookie = key.hash_one("cookie").to_be_bytes();
        Self { cookie, key }
    }
}

impl Mint {
    /// Writes an echo request to the end of `packet`: header and payload of `size` bytes (at least
    /// [`RECORD`]).
    pub fn write(&self, packet: &mut Vec<u8>, request: &Request) {
        let begin = packet.len();
        let mut header = [0; HEADER];
        header[0] = if request.to.is_ipv4() { ECHO_V4 } else { ECHO_V6 };
        header[4..6].copy_from_slice(&request.ident.to_be_bytes());
        header[6..].copy_from_slice(&request.seq.to_be_bytes());
        packet.extend_from_slice(&header);
        self.payload(packet, request.token, request.to, request.size);
        // The kernel does it for ICMPv6, and for datagram sockets; for raw ICMPv4 it does not.
        if request.to.is_ipv4() {
            let sum = checksum(&packet[begin..]);
            packet[begin + 2..begin + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Writes a payload of `size` bytes (at least [`RECORD`]) to the end of `packet`.
    pub fn payload(&self, packet: &mut Vec<u8>, token: Token, to: IpAddr, size: u16) {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&self.cookie);
        record[8..12].copy_from_slice(&token.lane.to_be_bytes());
        record[12..16].copy_from_slice(&token.send.to_be_bytes());
        record[16..].copy_from_slice(&self.sign(token, to).to_be_bytes());
        packet.extend_from_slice(&record);
        let mut rest = usize::from(size).saturating_sub(RECORD);
        while rest > 0 {
            let part = rest.min(FILLING.len());
            packet.extend_from_slice(&FILLING[..part]);
            rest -= part;
        }
    }

    fn sign(&self, token: Token, to: IpAddr) -> u64 {
        self.key.hash_one((token.lane, token.send, to))
    }

    /// Whose payload this is, when it was sent to `to`; anything else is nobody's.
    #[must_use]
    pub fn read(&self, payload: &[u8], to: IpAddr) -> Option<Token> {
        let (token, digest) = self.claimed(payload)?;
        (digest == self.sign(token, to)).then_some(token)
    }

    /// Whose reply this is, which came from `from` to a port with the identifier `ident`; anything
    /// else is nobody's.
    #[must_use]
    pub fn answered(&self, packet: &[u8], ident: u16, from: IpAddr) -> Option<Token> {
        let kind = if from.is_ipv4() { REPLY_V4 } else { REPLY_V6 };
        let echo = Echo::reply(packet).filter(|echo| echo.ident == ident && packet[0] == kind)?;
        self.read(echo.payload, from)
    }

    fn claimed(&self, payload: &[u8]) -> Option<(Token, u64)> {
        let (cookie, rest) = payload.split_first_chunk::<8>()?;
        let (lane, rest) = rest.split_first_chunk::<4>()?;
        let (send, rest) = rest.split_first_chunk::<4>()?;
        let (digest, _) = rest.split_first_chunk::<8>()?;
        let token = Token { lane: u32::from_be_bytes(*lane), send: u32::from_be_bytes(*send) };
        (*cookie == self.cookie).then_some((token, u64::from_be_bytes(*digest)))
    }

    /// Whose packet this is that the kernel hands back from its own way out: headers of the link
    /// and of IP, of whatever length, come before it.
    #[must_use]
    pub fn find(&self, frame: &[u8]) -> Option<Token> {
        // Without a link header, with Ethernet's, and with a VLAN tag; IPv4 and IPv6.
        const USUAL: [usize; 6] = [42, 28, 62, 48, 46, 66];
        let at = |start: usize| {
            frame.get(start..).and_then(|rest| self.claimed(rest)).map(|(token, _)| token)
        };
        USUAL.iter().find_map(|&start| at(start)).or_else(|| {
            let last = frame.len().min(200).checked_sub(RECORD)?;
            (0..=last).find_map(at)
        })
    }
}

/// What an echo request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whom it is for.
    pub to: IpAddr,
    /// The identifier.
    pub ident: u16,
    /// The sequence number.
    pub seq: u16,
    /// Whose it is.
    pub token: Token,
    /// Bytes of the payload.
    pub size: u16,
}

const ECHO_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// An echo header and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// The identifier.
    pub ident: u16,
    /// The sequence number.
    pub seq: u16,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Echo<'a> {
    /// Reads an echo reply.
    #[must_use]
    pub fn reply(packet: &'a [u8]) -> Option<Self> {
        Self::of([REPLY_V4, REPLY_V6], packet)
    }

    /// Reads an echo request, as an ICMP error quotes it; the quotation may end anywhere behind the
    /// header.
    #[must_use]
    pub fn request(packet: &'a [u8]) -> Option<Self> {
        Self::of([ECHO_V4, ECHO_V6], packet)
    }

    fn of(kinds: [u8; 2], packet: &'a [u8]) -> Option<Self> {
        let (head, payload) = packet.split_first_chunk::<HEADER>()?;
        let fits = kinds.contains(&head[0]) && head[1] == 0;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        fits.then(|| Self { ident: word(4), seq: word(6), payload })
    }
}

/// Steps over the header of an IPv4 packet; [`None`] when it is not one.
#[must_use]
pub fn behind_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= 20).then(|| packet.get(length..)).flatten()
}

/// The Internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0u8; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    sum += u64::from(u32::from_be_bytes(last));
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

/// What an ICMP error says, in the words of `refused/…`; [`None`] for what is no refusal of a
/// packet.
#[must_use]
pub fn refusal(family: super::Family, kind: u8, code: u8) -> Option<&'static str> {
    use super::Family::{V4, V6};
    Some(match (family, kind, code) {
        // RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
        (V4, 3, 0 | 6) => "net-unreachable",
        (V4, 3, 1 | 7 | 8) => "host-unreachable",
        (V4, 3, 2) => "protocol-unreachable",
        (V4, 3, 3) => "port-unreachable",
        (V4, 3, 4) => "fragmentation-needed",
        (V4, 3, 5) => "source-route-failed",
        (V4, 3, 9 | 10 | 13 | 14 | 15) => "prohibited",
        (V4, 3, 11) => "net-unreachable-for-tos",
        (V4, 3, 12) => "host-unreachable-for-tos",
        (V4, 3, _) => "unreachable",
        (V4, 11, 0) | (V6, 3, 0) => "ttl-exceeded",
        (V4, 11, _) | (V6, 3, _) => "reassembly-exceeded",
        (V4, 12, _) | (V6, 4, _) => "parameter-problem",
        // RFC 4443, section 3.1.
        (V6, 1, 0) => "net-unreachable",
        (V6, 1, 1 | 5 | 6) => "prohibited",
        (V6, 1, 2) => "beyond-scope",
        (V6, 1, 3) => "host-unreachable",
        (V6, 1, 4) => "port-unreachable",
        (V6, 1, _) => "unreachable",
        (V6, 2, _) => "packet-too-big",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
