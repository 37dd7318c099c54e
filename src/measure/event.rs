//! What the prober says of its probes: the words between the sockets and the ledger.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};

/// A probe's place in the list of those configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u32);

impl ProbeId {
    /// How many rows a table needs that has one for each of these places.
    #[must_use]
    pub fn rows<'a>(places: impl IntoIterator<Item = &'a Self>) -> usize {
        places.into_iter().map(|place| place.0 as usize + 1).max().unwrap_or(0)
    }
}

/// Who put the stamps between which an RTT was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stamp {
    /// The kernel, at both ends of the wait.
    Kernel,
    /// This program.
    User,
}

impl Stamp {
    /// Its word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::User => "user",
        }
    }
}

/// One probe, settled: what became of the send with this number. It happens exactly once for each
/// send that was due.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Which probe.
    pub probe: ProbeId,
    /// The running number of the send, from 0 at the probe's start; it was due at its start +
    /// number · period.
    pub send: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The round-trip time, for an answered or late one, in nanoseconds.
    pub rtt_ns: Option<u64>,
    /// Who measured it.
    pub stamp: Option<Stamp>,
    /// Why it is not answered; or [`None`].
    pub reason: Option<Reason>,
    /// The ICMP sequence number sent, where there is one.
    pub seq: Option<u16>,
    /// The TTL (hop limit) of the reply, where it is known.
    pub ttl: Option<u8>,
    /// Bytes of the reply: for ICMP its header and payload, for HTTP the body.
    pub bytes: Option<u32>,
    /// Who answered or refused.
    pub from: Option<IpAddr>,
    /// The parts of an HTTP exchange, as far as it went, in nanoseconds.
    pub phases: Vec<(Phase, u64)>,
}

impl Settled {
    /// Whether the target itself refused it, which has this address: by what only a target says, or
    /// by an ICMP error of its own.
    #[must_use]
    pub fn is_by(&self, target: Option<IpAddr>) -> bool {
        self.reason.as_ref().is_some_and(|reason| {
            reason.is_by_target()
                || reason.is_by_icmp() && self.from.is_some() && self.from == target
        })
    }
}

/// What happened to a probe.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A send is due now. For each probe these come in order, without a hole, each before it is
    /// settled.
    Due {
        /// Which probe.
        probe: ProbeId,
        /// The running number of the send.
        send: u64,
        /// When it was due (not when it was sent).
        at: Mono,
    },
    /// A send was settled.
    Settled(Settled),
    /// A second answer to one send.
    Duplicate {
        /// Which probe.
        probe: ProbeId,
        /// The send that was answered again.
        send: u64,
    },
    /// An answer came after the answer to a later send (RFC 4737).
    Reordered {
        /// Which probe.
        probe: ProbeId,
        /// The send that was overtaken.
        send: u64,
    },
    /// An answer came to a send that had been settled without one; it changes nothing any more.
    Straggler {
        /// Which probe.
        probe: ProbeId,
        /// The send that was answered.
        send: u64,
    },
    /// Replies to a probe now come with another TTL (hop limit) than before: the way back has
    /// another length.
    Hops {
        /// Which probe.
        probe: ProbeId,
        /// The TTL of the replies before.
        before: u8,
        /// The TTL of this one.
        now: u8,
    },
    /// The certificate that a server shows is valid until then; told the first time and whenever it
    /// is another instant.
    Certificate {
        /// Which probe.
        probe: ProbeId,
        /// Until when; of several, after redirects, the one that ends first.
        until: Wall,
    },
    /// The address behind a target is now this one; the first time too. [`None`] when the name does
    /// not resolve.
    Address {
        /// Which probe.
        probe: ProbeId,
        /// What it is.
        address: Option<IpAddr>,
    },
    /// How late the prober itself was in this pass; it comes with whatever else a pass tells.
    Lag {
        /// How long after it was to wake its last send was handed to the kernel, or, without one,
        /// it woke.
        send: Duration,
        /// How long after the kernel had it the oldest reply was read; [`None`] when there was none
        /// with a stamp. It is read in batches, so that some of it is meant.
        receive: Option<Duration>,
    },
}
