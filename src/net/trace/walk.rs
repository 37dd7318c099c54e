//! A path asked hop by hop, by ICMP, UDP or TCP, from ordinary sockets: routers' answers come by
//! their error queues, so that no right is needed beyond `ping`'s.
//!
//! All packets are of one flow, as Paris traceroute sends them: addresses, ports, ICMP identifier
//! and checksum are the same, so that a router which spreads flows over several links sends all of
//! them the same way.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Protocol, SockRef, Socket, Type};

use crate::measure::probe::Circuit;
use crate::net::hop;
use crate::net::icmp::error_queue::{self, Quoted};
use crate::net::icmp::{Family, OpenError, packet};
use crate::net::socket::{self, Fault};
use crate::net::trace::HopReply;
use crate::net::trace::labels::{self, Label};

/// How long an answer is waited for. Before a second has passed TCP sends again.
const WAIT: Duration = Duration::from_millis(950);
/// From one packet to the next.
const SPACE: Duration = Duration::from_millis(2);
/// Bytes of a payload: a number, its complement, and nothing.
const PAYLOAD: usize = 32;
/// So often a send is tried again when the socket tells of an error about an earlier one.
const TRIES: u8 = 8;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Echo requests.
    Icmp,
    /// Datagrams to this port.
    Udp(u16),
    /// Connections to this port, one after the other; what is established is reset at once.
    Tcp(u16),
}

/// What a hop answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The TTL of what it answered.
    pub ttl: u8,
    /// Who answered.
    pub from: IpAddr,
    /// How soon.
    pub rtt: Duration,
    /// What it said.
    pub said: HopReply,
    /// The MPLS labels that what it answered came with.
    pub labels: Vec<Label>,
}

/// Asks the hops of one path.
#[derive(Debug)]
pub struct Walker {
    way: Way,
    target: IpAddr,
    circuit: Circuit,
    socket: Option<Socket>,
    /// Of ICMP the identifier, of TCP the port that it is sent from.
    ident: u16,
    /// Whether the IP header comes with what is received.
    with_header: bool,
    seq: u16,
}

/// A packet that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Sent {
    ttl: u8,
    at: Instant,
}

impl Walker {
    /// Opens what is needed.
    ///
    /// # Errors
    /// When this user may not send so, or an option of the circuit cannot be set.
    pub fn open(way: Way, target: IpAddr, circuit: &Circuit) -> Result<Self, OpenError> {
        let circuit = Circuit { ttl: None, ..circuit.clone() };
        let mut walker = Self {
            way,
            target,
            socket: None,
            ident: rand::random(),
            with_header: false,
            seq: rand::random(),
            circuit,
        };
        let (opened, port) = match way {
            Way::Tcp(_) => {
                walker.ident = 0;
                return Ok(walker);
            }
            Way::Udp(port) => {
                (socket::open(&walker.circuit, target, Type::DGRAM, Protocol::UDP)?, port)
            }
            Way::Icmp => (walker.icmp()?, 0),
        };
        socket::hear_errors(&opened, target).map_err(OpenError::Other)?;
        opened.connect(&SocketAddr::new(target, port).into()).map_err(|error| {
            OpenError::Circuit(Fault::at_once(&error).unwrap_or(Fault::NoRoute))
        })?;
        walker.socket = Some(opened);
        Ok(walker)
    }

    fn icmp(&mut self) -> Result<Socket, OpenError> {
        let protocol = match Family::of(self.target) {
            Family::V4 => Protocol::ICMPV4,
            Family::V6 => Protocol::ICMPV6,
        };
        let open = |kind| socket::open(&self.circuit, self.target, kind, protocol);
        if let Ok(socket) = open(Type::DGRAM) {
            if self.circuit.source.is_none() {
                let any = SocketAddr::new(Family::of(self.target).unspecified(), 0);
                socket.bind(&any.into()).map_err(OpenError::Other)?;
            }
            let bound = socket.local_addr().map_err(OpenError::Other)?;
            self.ident = bound.as_socket().map_or(0, |bound| bound.port());
            return Ok(socket);
        }
        match open(Type::RAW) {
            Ok(socket) => {
                self.with_header = self.target.is_ipv4();
                Ok(socket)
            }
            Err(Fault::Other(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(OpenError::Permission)
            }
            Err(fault) => Err(OpenError::Circuit(fault)),
        }
    }

    /// Asks these hops, each once, and waits until all up to the end of the way have answered or
    /// nobody will.
    ///
    /// # Errors
    /// When this host does not send.
    pub fn ask(&mut self, ttls: &[u8]) -> Result<Vec<Heard>, Fault> {
        match self.way {
            Way::Tcp(port) => self.connect_all(ttls, port),
            Way::Icmp | Way::Udp(_) => self.send_all(ttls),
        }
    }

    fn send_all(&mut self, ttls: &[u8]) -> Result<Vec<Heard>, Fault> {
        let mut sent: BTreeMap<u16, Sent> = BTreeMap::new();
        let mut heard = Vec::new();
        for &ttl in ttls {
            self.seq = self.seq.wrapping_add(1);
            self.set_ttl(ttl)?;
            sent.insert(self.seq, Sent { ttl, at: Instant::now() });
            self.send()?;
            self.hear(Instant::now() + SPACE, &mut sent, &mut heard);
        }
        let until = Instant::now() + WAIT;
        while Instant::now() < until && is_waiting(&sent, &heard) {
            self.hear(until, &mut sent, &mut heard);
        }
        Ok(heard)
    }

    fn socket(&self) -> &Socket {
        self.socket.as_ref().expect("every way but TCP opens one")
    }

    fn set_ttl(&self, ttl: u8) -> Result<(), Fault> {
        let (socket, hops) = (self.socket(), u32::from(ttl));
        let set = if self.target.is_ipv4() {
            socket.set_ttl_v4(hops)
        } else {
            socket.set_unicast_hops_v6(hops)
        };
        set.map_err(Fault::Other)
    }

    fn send(&self) -> Result<(), Fault> {
        let bytes = match self.way {
            Way::Icmp => echo(self.target, self.ident, self.seq),
            _ => payload(self.seq).to_vec(),
        };
        for _ in 0..TRIES {
            match self.socket().send(&bytes) {
                Ok(_) => return Ok(()),
                Err(error) => match Fault::at_once(&error) {
                    // A full queue loses one packet, and an earlier one's error is told here too.
                    None | Some(Fault::NoRoute) => _ = self.socket().take_error(),
                    Some(Fault::Other(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(());
                    }
                    Some(fault) => return Err(fault),
                },
            }
        }
        Err(Fault::NoRoute)
    }

    /// Takes what comes until an instant, or what came first.
    fn hear(&self, until: Instant, sent: &mut BTreeMap<u16, Sent>, heard: &mut Vec<Heard>) {
        let socket = self.socket();
        wait(socket, PollFlags::POLLIN, until);
        let now = Instant::now();
        let mut take = |seq: u16, from, said, labels| {
            if let Some(Sent { ttl, at }) = sent.remove(&seq) {
                heard.push(Heard { ttl, from, rtt: now - at, said, labels });
            }
        };
        let mut unnamed = Vec::new();
        error_queue::each_error(socket, |quoted| {
            let Some((from, said, labels)) = self.said(quoted) else { return };
            match self.seq_of(quoted.bytes) {
                Some(seq) => take(seq, from, said, labels),
                None if quoted.bytes.is_empty() => unnamed.push((from, said, labels)),
                None => {}
            }
        });
        let mut bytes = [0; 512];
        let mut socket: &Socket = socket;
        while let Ok(count) = socket.read(&mut bytes) {
            if let Some(seq) = self.answered(&bytes[..count]) {
                take(seq, self.target, HopReply::Target, Vec::new());
            }
        }
        // A router that quotes too little of a datagram says of which it is where there is one.
        for (from, said, labels) in unnamed {
            let only = (sent.len() == 1).then(|| sent.pop_first()).flatten();
            if let Some((_, Sent { ttl, at })) = only {
                heard.push(Heard { ttl, from, rtt: now - at, said, labels });
            }
        }
    }

    /// Who said what; [`None`] for what this very host says of its own packets.
    fn said(&self, quoted: &Quoted<'_>) -> Option<(IpAddr, HopReply, Vec<Label>)> {
        let from = quoted.from?;
        if from != self.target && hop::is_own(from) {
            return None;
        }
        let said = match quoted.kind {
            "ttl-exceeded" => HopReply::Passing,
            _ if from == self.target => HopReply::Target,
            kind => HopReply::Refused(kind),
        };
        let header = if self.target.is_ipv4() { 20 } else { 40 };
        let cut = if matches!(self.way, Way::Udp(_)) { header + 8 } else { header };
        Some((from, said, labels::read(quoted.bytes, cut)))
    }

    /// Which packet a quotation is of.
    fn seq_of(&self, quoted: &[u8]) -> Option<u16> {
        let word = |at: usize| Some(u16::from_be_bytes([*quoted.get(at)?, *quoted.get(at + 1)?]));
        match self.way {
            Way::Icmp => word(6).filter(|_| word(4) == Some(self.ident)),
            _ => word(0),
        }
    }

    /// Which packet the target has answered.
    fn answered(&self, bytes: &[u8]) -> Option<u16> {
        if self.way != Way::Icmp {
            // Whoever answers a datagram that says nothing repeats it, or says nothing either.
            return self.seq_of(bytes);
        }
        let bytes = if self.with_header { packet::behind_ipv4_header(bytes)? } else { bytes };
        let reply = if self.target.is_ipv4() { 0 } else { 129 };
        (bytes.first() == Some(&reply)).then(|| self.seq_of(bytes)).flatten()
    }

    fn connect_all(&mut self, ttls: &[u8], port: u16) -> Result<Vec<Heard>, Fault> {
        let mut heard = Vec::new();
        for &ttl in ttls {
            let one = self.connect(ttl, port)?;
            let ends = one.as_ref().is_some_and(|one| one.said != HopReply::Passing);
            heard.extend(one);
            if ends {
                break;
            }
        }
        Ok(heard)
    }

    fn connect(&mut self, ttl: u8, port: u16) -> Result<Option<Heard>, Fault> {
        let circuit = Circuit { ttl: Some(ttl), source: None, ..self.circuit.clone() };
        let socket = socket::open(&circuit, self.target, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true).map_err(Fault::Other)?;
        // No connection is left behind, so that the next one may have the same ports.
        socket.set_linger(Some(Duration::ZERO)).map_err(Fault::Other)?;
        let source = self.circuit.source.unwrap_or(Family::of(self.target).unspecified());
        socket.bind(&SocketAddr::new(source, self.ident).into()).map_err(Fault::Other)?;
        let _ = socket::hear_errors(&socket, self.target);
        let at = Instant::now();
        match socket.connect(&SocketAddr::new(self.target, port).into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
            Err(error) => match Fault::at_once(&error) {
                Some(fault) => return Err(fault),
                // Refused over loopback.
                None => return Ok(Some(self.reached(ttl, at))),
            },
        }
        let bound = socket.local_addr().ok().and_then(|bound| bound.as_socket());
        self.ident = bound.map_or(0, |bound| bound.port());
        if !wait(&socket, PollFlags::POLLOUT, at + WAIT) {
            return Ok(None);
        }
        let rtt = at.elapsed();
        let mut heard = None;
        error_queue::each_error(&socket, |quoted| {
            if let Some((from, said, labels)) = self.said(quoted) {
                heard = Some(Heard { ttl, from, rtt, said, labels });
            }
        });
        let answers = match SockRef::from(&socket).take_error() {
            Ok(None) => true,
            Ok(Some(error)) | Err(error) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
                )
            }
        };
        Ok(heard.or_else(|| answers.then(|| Heard { rtt, ..self.reached(ttl, at) })))
    }

    fn reached(&self, ttl: u8, at: Instant) -> Heard {
        let (from, said) = (self.target, HopReply::Target);
        Heard { ttl, from, rtt: at.elapsed(), said, labels: Vec::new() }
    }
}

/// Whether a hop before the end of the way has not answered.
fn is_waiting(sent: &BTreeMap<u16, Sent>, heard: &[Heard]) -> bool {
    let ends = heard.iter().filter(|heard| heard.said != HopReply::Passing);
    let end = ends.map(|heard| heard.ttl).min().unwrap_or(u8::MAX);
    sent.values().any(|sent| sent.ttl < end)
}

/// Waits until there is something, or an instant; whether there is.
fn wait(socket: &Socket, what: PollFlags, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let millis = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
    let mut asked = [PollFd::new(socket.as_fd(), what)];
    poll(&mut asked, PollTimeout::from(millis)).is_ok_and(|found| found > 0)
}

/// A payload whose sum is the same for every number.
fn payload(seq: u16) -> [u8; PAYLOAD] {
    let mut bytes = [0; PAYLOAD];
    bytes[..2].copy_from_slice(&seq.to_be_bytes());
    bytes[2..4].copy_from_slice(&(!seq).to_be_bytes());
    bytes
}

/// An echo request whose checksum is the same for every number.
fn echo(to: IpAddr, ident: u16, seq: u16) -> Vec<u8> {
    let mut bytes = vec![if to.is_ipv4() { 8 } else { 128 }, 0, 0, 0];
    bytes.extend_from_slice(&ident.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&(!seq).to_be_bytes());
    bytes.extend_from_slice(&[0; PAYLOAD - 2]);
    // The kernel does it for ICMPv6, and for datagram sockets.
    if to.is_ipv4() {
        let sum = packet::checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_a_walk_is_of_one_flow() {
        let to = "192.0.2.1".parse().unwrap();
        let flow = |seq| echo(to, 77, seq)[..6].to_vec();
        assert_eq!(flow(1), flow(0xfffe));
        assert_eq!(packet::checksum(&echo(to, 77, 9)), 0);
        assert_eq!(packet::checksum(&payload(3)), packet::checksum(&payload(40_000)));
    }
}
