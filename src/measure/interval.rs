//! One probe's outcomes, histograms and counts over one UTC minute: the unit of storage and of
//! evidence.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::measure::histogram::Packed;
use crate::measure::lag::LIMITED;
use crate::measure::outcome::{Outcome, Outcomes};

/// What one probe saw within one UTC minute. Send *i* was due at `from + first_ms + i · period_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Where it begins; it ends within the same UTC minute or at its end.
    pub from: Wall,
    /// Its length in milliseconds, measured on the monotonic clock; a whole minute is 60,000.
    pub millis: u32,
    /// From its beginning to its first due send, in milliseconds.
    pub first_ms: u32,
    /// From one due send to the next, in milliseconds; it may be longer than the interval.
    pub period_ms: u32,
    /// One for each send that was due, in order.
    pub outcomes: Outcomes,
    /// Why: how many by `outcome-word/kind`; and `rtt/clamped`, and [`LIMITED`].
    pub reasons: BTreeMap<String, u32>,
    /// Answers beyond the first to one probe.
    pub duplicates: u32,
    /// Answers that came after the answer to a later probe (RFC 4737).
    pub reordered: u32,
    /// How many RTTs are the difference of two kernel stamps.
    pub kernel_stamped: u32,
    /// RTTs, one for each `a` and `t`; absent when there is none.
    pub rtt: Option<Spread>,
    /// Absolute differences of neighbouring RTTs (RFC 5481 IPDV); absent when there is none.
    pub ipdv: Option<Spread>,
    /// The highest interarrival jitter of RFC 3550, section 6.4.1, in nanoseconds, begun at zero
    /// with the interval.
    pub rfc3550_max_ns: Option<u64>,
    /// The parts of an HTTP exchange.
    pub phases: BTreeMap<Phase, Packed>,
}

/// A histogram and the exact sum of what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The values, in microseconds.
    pub histogram: Packed,
    /// Their exact sum, in nanoseconds.
    pub sum_ns: u64,
}

/// A part of an HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the name to an address; not part of the RTT.
    Resolve,
    /// From the beginning of the connection until it is established.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the request's first byte sent to the response's first byte received.
    FirstByte,
    /// From the response's first byte to the body's last.
    Body,
}

impl Phase {
    /// Every phase, in the order in which they happen.
    pub const ALL: [Self; 5] =
        [Self::Resolve, Self::Connect, Self::Tls, Self::FirstByte, Self::Body];

    /// Its name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Body => "body",
        }
    }
}

impl Interval {
    /// All its histograms.
    pub fn histograms_mut(&mut self) -> impl Iterator<Item = &mut Packed> {
        let spreads = self.rtt.iter_mut().chain(&mut self.ipdv);
        spreads.map(|spread| &mut spread.histogram).chain(self.phases.values_mut())
    }

    /// Where it ends.
    #[must_use]
    pub fn to(&self) -> Wall {
        self.from + Duration::from_millis(u64::from(self.millis))
    }

    /// How many of its sends say as much of this host as of the network: it was too late for them,
    /// lost what came, or stamped them itself while it was late ([`crate::measure::lag`]).
    #[must_use]
    pub fn limited(&self) -> u32 {
        self.reasons.get(LIMITED).copied().unwrap_or(0)
    }

    /// When send number `index` was due.
    #[must_use]
    pub fn due(&self, index: u64) -> Wall {
        let ms = u64::from(self.first_ms)
            .saturating_add(index.saturating_mul(u64::from(self.period_ms)));
        self.from + Duration::from_millis(ms)
    }

    /// Each send with the instant at which it was due.
    pub fn sends(&self) -> impl Iterator<Item = (Wall, Outcome)> + '_ {
        self.outcomes.iter().zip(0u64..).map(|(outcome, index)| (self.due(index), outcome))
    }
}
