//! Why a packet did not leave this host.

use nix::errno::Errno;

use crate::measure::outcome::{Outcome, Reason};

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// No route leads there.
    NoRoute,
    /// The interface is down or gone.
    LinkDown,
    /// This host's packet filter or routes forbid it.
    Filtered,
    /// The send buffer or the interface's queue is full.
    Buffer,
    /// The packet is larger than the path takes, and must not be fragmented.
    TooBig,
    /// The source address is none of this host's any more.
    Source,
    /// It was taken, and had not come to the device when nobody waited for it any more: this host's
    /// packet filter or a queue dropped it, or holds it.
    Held,
    /// The engine cannot send what the circuit asks for.
    Unsupported,
    /// Anything else; the number is the system's.
    Other(i32),
}

impl Unsent {
    /// The reason, as `not-sent/…`.
    #[must_use]
    pub const fn reason(self) -> Reason {
        let kind = match self {
            Self::NoRoute => "no-route",
            Self::LinkDown => "link-down",
            Self::Filtered => "filtered",
            Self::Buffer => "buffer",
            Self::TooBig => "too-big",
            Self::Source => "source",
            Self::Held => "held-back",
            Self::Unsupported => "unsupported",
            Self::Other(_) => "error",
        };
        Reason::new(Outcome::NotSent, kind)
    }

    /// What an ICMP error means that this very host sent about a packet of its own; [`None`] when
    /// it means that the next hop did not say its hardware address, which is silence and no refusal
    /// (RFC 1122 section 2.3.2.2).
    #[must_use]
    pub fn said_by_this_host(kind: &str) -> Option<Self> {
        match kind {
            "host-unreachable" => None,
            "net-unreachable" => Some(Self::NoRoute),
            "fragmentation-needed" | "packet-too-big" => Some(Self::TooBig),
            _ => Some(Self::Filtered),
        }
    }

    /// What an error of a send call means.
    #[must_use]
    pub fn of(errno: Errno) -> Self {
        match errno {
            // EINVAL is how Linux names a blackhole route.
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL => Self::NoRoute,
            Errno::ENETDOWN | Errno::ENODEV | Errno::ENXIO => Self::LinkDown,
            Errno::EPERM | Errno::EACCES => Self::Filtered,
            Errno::ENOBUFS | Errno::EAGAIN | Errno::ENOMEM => Self::Buffer,
            Errno::EMSGSIZE => Self::TooBig,
            Errno::EADDRNOTAVAIL => Self::Source,
            other => Self::Other(other as i32),
        }
    }
}
