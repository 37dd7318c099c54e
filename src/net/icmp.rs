//! ICMP echo, by one of two engines behind the same interface: [`kernel`] (Linux, stamped by the
//! kernel at both ends of the wait) and [`portable`] (surge-ping, stamped by this program).
//!
//! A [`Port`] is a way out of this host: one family, one circuit. All probes of that circuit share
//! it. It never blocks: requests are handed over in batches, and what came in is read in batches,
//! when the caller chooses to. It knows nothing of timeouts or loss.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Wall;
use crate::measure::probe::Circuit;

pub mod error_queue;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod kernel;
mod open_error;
pub mod packet;
pub mod portable;
mod unsent;

pub use open_error::OpenError;
pub use packet::Token;
pub use unsent::Unsent;

/// The protocol's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// ICMP over IPv4.
    V4,
    /// ICMPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family's unspecified address.
    #[must_use]
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// One echo request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whose it is.
    pub token: Token,
    /// Whom it is for.
    pub to: IpAddr,
    /// Its sequence number.
    pub seq: u16,
    /// Bytes of its payload, at least [`packet::RECORD`].
    pub size: u16,
    /// How long anyone waits for its reply.
    pub timeout: Duration,
}

/// What a port has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The kernel handed a request to the device.
    Departed {
        /// Whose it is.
        token: Token,
        /// When, by the kernel's wall clock.
        at: Wall,
    },
    /// A reply that carries what the request carried, from where that was sent to.
    Reply {
        /// Whose it is.
        token: Token,
        /// When it came.
        heard: Heard,
        /// The TTL (hop limit) that it came with.
        ttl: Option<u8>,
        /// Its ICMP header and payload, in bytes.
        bytes: u32,
        /// Who sent it.
        from: IpAddr,
    },
    /// An ICMP error about one of the requests.
    Refused {
        /// Whose it is.
        whose: Whose,
        /// What it says, as in `refused/…`.
        kind: &'static str,
        /// The router or host that sent it.
        from: Option<IpAddr>,
    },
    /// A request that was taken over could not be sent after all.
    Unsent {
        /// Whose it is.
        token: Token,
        /// Why.
        why: Unsent,
    },
    /// The receive queue has overflowed since the last reading: replies may have been dropped
    /// unseen.
    Overflow,
}

/// When a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The kernel's receive stamp, by its wall clock; [`None`] when it gave none.
    At(Option<Wall>),
    /// This long after its request was sent, by this program's clock.
    After(Duration),
}

/// Whom an ICMP error concerns. Routers need quote no more than the first eight bytes of what they
/// refuse (RFC 792).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The payload was quoted, too.
    Token(Token),
    /// A request of this port with this sequence number to this address.
    Seq(IpAddr, u16),
}

/// By what means a port sends and stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// The kind of socket.
    pub socket: Kind,
    /// Who puts the stamps.
    pub stamps: Stamps,
}

/// The kind of an ICMP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `SOCK_DGRAM`: an ordinary user may have it where `net.ipv4.ping_group_range` allows; the
    /// kernel keeps the identifier.
    Datagram,
    /// `SOCK_RAW`: needs CAP_NET_RAW.
    Raw,
}

/// Who puts a port's stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// The kernel, on sending and on receiving.
    Kernel,
    /// This program.
    User,
}

impl std::fmt::Display for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let socket = match self.socket {
            Kind::Datagram => "datagram",
            Kind::Raw => "raw",
        };
        let stamps = match self.stamps {
            Stamps::Kernel => "kernel",
            Stamps::User => "user-space",
        };
        write!(f, "{socket} ICMP socket, {stamps} stamps")
    }
}

/// Whether more is to be read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything that had come was read.
    Dry,
    /// There is more.
    More,
}

/// One way out of this host: one family, one circuit.
pub trait Port: std::fmt::Debug {
    /// Hands requests to the system. Those that it did not take are told in `faults`, by their
    /// place in the batch.
    fn send(&mut self, batch: &[Echo], faults: &mut Vec<(usize, Unsent)>);

    /// Reads what has come, a bounded amount at a time: the departures of requests before their
    /// replies.
    fn drain(&mut self, arrivals: &mut Vec<Arrival>) -> Drained;

    /// The TTL (hop limit) of what is sent from now on, whatever the circuit says.
    ///
    /// # Errors
    /// When the engine or the system cannot.
    fn set_hops(&mut self, _hops: u8) -> Result<(), Unsent> {
        Err(Unsent::Unsupported)
    }

    /// By what means it works.
    fn means(&self) -> Means;

    /// How many replies the system holds for it until they are read, at least.
    fn room(&self) -> usize;

    /// Whether the system's side has changed so that the port must be opened anew: its interface
    /// came back as another.
    fn is_stale(&self) -> bool;
}

/// Opens ports.
pub trait Engine {
    /// A port of this family and circuit, for payloads of up to `largest` bytes.
    ///
    /// # Errors
    /// When the system has no such socket, or an option of the circuit cannot be set; it is then to
    /// be tried again later.
    fn open(
        &self,
        family: Family,
        circuit: &Circuit,
        largest: u16,
    ) -> Result<Box<dyn Port>, OpenError>;
}

/// The best engine of this system: kernel stamps where the kernel gives them, else the portable
/// one.
#[derive(Clone, Debug, Default)]
pub struct Best {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    kernel: kernel::Kernel,
    portable: portable::Portable,
}

impl Engine for Best {
    fn open(
        &self,
        family: Family,
        circuit: &Circuit,
        largest: u16,
    ) -> Result<Box<dyn Port>, OpenError> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        match self.kernel.open(family, circuit, largest) {
            Err(OpenError::Unstamped(error)) => {
                tracing::warn!(%error, "the kernel refuses to stamp packets; stamping in user \
                    space instead");
            }
            result => return result,
        }
        self.portable.open(family, circuit, largest)
    }
}

#[cfg(test)]
mod tests;
