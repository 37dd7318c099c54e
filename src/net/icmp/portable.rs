//! The portable engine: surge-ping. Requests and replies are stamped by this program, so that an
//! RTT includes what this host needed to wake up.
//!
//! What it cannot do is said, not left out: marks, DSCP and don't-fragment are
//! [`OpenError::Unsupported`]. A reply is known by source, identifier and sequence number; the
//! payload is not shown by surge-ping, and a second reply not told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};

use crate::measure::probe::{Circuit, Fragment};
use crate::net::icmp::packet::{self, Mint};
use crate::net::icmp::{
    Arrival, Drained, Echo, Engine, Family, Heard, Kind, Means, OpenError, Port, Stamps, Unsent,
    Whose,
};

/// Requests of one port under way at once; each has a task.
const MOST: usize = 4096;
/// The replies that the usual receive queue of 208 KiB holds.
const ROOM: usize = 64;
/// surge-ping reads a reply into a buffer of 2048 bytes, headers included.
const LARGEST: u16 = 1900;

/// The engine. Ports are to be opened within a tokio runtime.
#[derive(Clone, Debug, Default)]
pub struct Portable {
    mint: Mint,
}

impl Engine for Portable {
    fn open(
        &self,
        family: Family,
        circuit: &Circuit,
        _largest: u16,
    ) -> Result<Box<dyn Port>, OpenError> {
        let unsupported = [
            (circuit.mark.is_some(), "a firewall mark"),
            (circuit.dscp.is_some(), "a DSCP"),
            (circuit.fragment == Fragment::Never, "don't-fragment"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(asked, _)| *asked) {
            return Err(OpenError::Unsupported(what));
        }
        let mut config = Config::builder().kind(match family {
            Family::V4 => ICMP::V4,
            Family::V6 => ICMP::V6,
        });
        if let Some(ttl) = circuit.ttl {
            config = config.ttl(u32::from(ttl));
        }
        if let Some(interface) = &circuit.interface {
            config = config.interface(interface);
        }
        if let Some(source) = circuit.source {
            if Family::of(source) != family {
                return Err(OpenError::Circuit(crate::net::socket::Fault::Source(source)));
            }
            config = config.bind(SocketAddr::new(source, 0));
        }
        let client = Client::new(&config.build()).map_err(|error| fault(error, circuit))?;
        let kind = if client.get_socket().get_type() == socket2::Type::DGRAM {
            Kind::Datagram
        } else {
            Kind::Raw
        };
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        Ok(Box::new(PortablePort {
            client,
            kind,
            mint: self.mint.clone(),
            ident: rand::random(),
            arrivals,
        }))
    }
}

fn fault(error: std::io::Error, circuit: &Circuit) -> OpenError {
    use crate::net::socket::Fault;
    match (error.raw_os_error().map(Errno::from_raw), &circuit.interface, circuit.source) {
        (Some(Errno::ENODEV), Some(interface), _) => {
            OpenError::Circuit(Fault::Interface(interface.clone()))
        }
        (Some(Errno::EADDRNOTAVAIL), _, Some(source)) => OpenError::Circuit(Fault::Source(source)),
        _ if error.kind() == std::io::ErrorKind::PermissionDenied => OpenError::Permission,
        _ => OpenError::Other(error),
    }
}

struct PortablePort {
    client: Client,
    kind: Kind,
    mint: Mint,
    ident: u16,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl std::fmt::Debug for PortablePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortablePort").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Port for PortablePort {
    fn send(&mut self, batch: &[Echo], faults: &mut Vec<(usize, Unsent)>) {
        for (place, echo) in batch.iter().enumerate() {
            if echo.size > LARGEST {
                faults.push((place, Unsent::Unsupported));
            } else if Arc::strong_count(&self.arrivals) > MOST {
                faults.push((place, Unsent::Buffer));
            } else {
                let mut payload = Vec::with_capacity(usize::from(echo.size));
                self.mint.payload(&mut payload, echo.token, echo.to, echo.size);
                tokio::spawn(wait(
                    self.client.clone(),
                    self.ident,
                    *echo,
                    payload,
                    Arc::clone(&self.arrivals),
                ));
            }
        }
    }

    fn drain(&mut self, arrivals: &mut Vec<Arrival>) -> Drained {
        arrivals.append(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner));
        Drained::Dry
    }

    fn means(&self) -> Means {
        Means { socket: self.kind, stamps: Stamps::User }
    }

    fn room(&self) -> usize {
        ROOM
    }

    fn is_stale(&self) -> bool {
        false
    }
}

/// One request, from its sending to its reply.
async fn wait(
    client: Client,
    ident: u16,
    echo: Echo,
    payload: Vec<u8>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
) {
    let mut pinger = client.pinger(echo.to, PingIdentifier(ident)).await;
    pinger.timeout(echo.timeout);
    let arrival = match pinger.ping(PingSequence(echo.seq), &payload).await {
        Ok((packet, rtt)) => told(&echo, &packet, rtt),
        Err(SurgeError::IOError(error)) => {
            let why = error
                .raw_os_error()
                .map_or(Unsent::Other(0), |number| Unsent::of(Errno::from_raw(number)));
            Some(Arrival::Unsent { token: echo.token, why })
        }
        // What nobody answered the caller settles by its own clock.
        Err(SurgeError::Timeout { .. }) => None,
        Err(_) => Some(Arrival::Unsent { token: echo.token, why: Unsent::Other(0) }),
    };
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).extend(arrival);
}

fn told(echo: &Echo, packet: &IcmpPacket, rtt: std::time::Duration) -> Option<Arrival> {
    let (family, kind, code, size, ttl, from) = match packet {
        IcmpPacket::V4(packet) => (
            Family::V4,
            packet.get_icmp_type().0,
            packet.get_icmp_code().0,
            packet.get_size(),
            packet.get_ttl(),
            packet.get_source().into(),
        ),
        IcmpPacket::V6(packet) => (
            Family::V6,
            packet.get_icmpv6_type().0,
            packet.get_icmpv6_code().0,
            packet.get_size(),
            Some(packet.get_max_hop_limit()).filter(|&hops| hops != 0),
            packet.get_source().into(),
        ),
    };
    if let Some(kind) = packet::refusal(family, kind, code) {
        return Some(Arrival::Refused { whose: Whose::Token(echo.token), kind, from: Some(from) });
    }
    let bytes = u32::try_from(size).unwrap_or(u32::MAX);
    Some(Arrival::Reply { token: echo.token, heard: Heard::After(rtt), ttl, bytes, from: echo.to })
}
