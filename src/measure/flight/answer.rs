//! What the flight is told of a send, and how a probe waits.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::rtt::Moment;

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// What has not come by then is lost.
    pub timeout: Duration,
    /// What has not come by then is late.
    pub cutoff: Duration,
}

/// Whether the kernel said that a send left this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It gave a transmit stamp.
    Seen,
    /// It gave none; it may have none to give.
    Unseen,
}

/// A send that nothing came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Whether the kernel said that it left.
    pub departure: Departure,
    /// When it was handed to the kernel.
    pub sent: Mono,
}

/// Why silence says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The socket's receive queue overflowed.
    Overflow,
    /// The process stood still.
    Gap,
}

impl Doubt {
    pub(super) const fn reason(self) -> Reason {
        Reason::new(
            Outcome::NotObserved,
            match self {
                Self::Overflow => "overflow",
                Self::Gap => "gap",
            },
        )
    }
}

/// An answer to an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How long it took.
    pub time: Time,
    /// The TTL (hop limit) that it came with.
    pub ttl: Option<u8>,
    /// Its ICMP header and payload, in bytes.
    pub bytes: u32,
    /// Who sent it.
    pub from: IpAddr,
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It was received then.
    Stamps {
        /// The kernel's receive stamp.
        rx: Option<Moment>,
        /// When it was read.
        seen: Moment,
    },
    /// It was measured elsewhere, by this program's own stamps.
    Measured(Duration),
}
