//! Why a send was not answered.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::Outcome;

/// Why a probe was settled as it was: `lost/timeout`, `refused/host-unreachable`,
/// `not-sent/no-route`, … .
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// The outcome that it explains.
    pub outcome: Outcome,
    /// The kind, in lower case with hyphens.
    pub kind: Cow<'static, str>,
}

impl Reason {
    /// A reason by outcome and kind.
    #[must_use]
    pub const fn new(outcome: Outcome, kind: &'static str) -> Self {
        Self { outcome, kind: Cow::Borrowed(kind) }
    }

    /// Nothing came in the whole waiting time.
    pub const TIMEOUT: Self = Self::new(Outcome::Lost, "timeout");
    /// The next hop on the link never said its hardware address: the packet came no further than
    /// this host.
    pub const NEXT_HOP: Self = Self::new(Outcome::Lost, "next-hop");
    /// The interface has no carrier.
    pub const CARRIER: Self = Self::new(Outcome::NotSent, "carrier");
    /// The name did not resolve.
    pub const NAME: Self = Self::new(Outcome::NotSent, "name");
    /// It was answered after the cut-off. A late answer is settled without a reason; this one is of
    /// outages to which it counts.
    pub const CUTOFF: Self = Self::new(Outcome::Late, "cutoff");

    /// Whether it is the word of an ICMP error, which any router on the way may have sent.
    #[must_use]
    pub fn is_by_icmp(&self) -> bool {
        self.outcome == Outcome::Refused && ICMP_KINDS.contains(&&*self.kind)
    }

    /// Whether it is what only the target says, or who answers in its place: a status, a
    /// certificate, a reset, a DNS code.
    #[must_use]
    pub fn is_by_target(&self) -> bool {
        self.outcome == Outcome::Refused && !self.is_by_icmp() && self.kind != "connection-error"
    }

    /// Whether this is how a link without a carrier may look: nothing was sent, since the route,
    /// the interface, its address or the name servers were not there.
    #[must_use]
    pub fn may_be_carrier(&self) -> bool {
        self.outcome == Outcome::NotSent
            && matches!(&*self.kind, "no-route" | "link-down" | "source" | "interface" | "name")
    }
}

/// What ICMP errors say (RFC 792, RFC 4443), as `refused/…`.
pub const ICMP_KINDS: [&str; 16] = [
    "net-unreachable",
    "host-unreachable",
    "protocol-unreachable",
    "port-unreachable",
    "fragmentation-needed",
    "source-route-failed",
    "prohibited",
    "net-unreachable-for-tos",
    "host-unreachable-for-tos",
    "unreachable",
    "ttl-exceeded",
    "reassembly-exceeded",
    "parameter-problem",
    "beyond-scope",
    "packet-too-big",
    "too-big",
];

/// A text is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no reason: an outcome's word and a kind, such as lost/timeout")]
pub struct NotAReason(pub String);

impl FromStr for Reason {
    type Err = NotAReason;
    fn from_str(text: &str) -> Result<Self, NotAReason> {
        let (word, kind) = text.split_once('/').ok_or_else(|| NotAReason(text.to_owned()))?;
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.word() == word);
        Ok(Self {
            outcome: outcome.ok_or_else(|| NotAReason(text.to_owned()))?,
            kind: kind.to_owned().into(),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.outcome.word(), self.kind)
    }
}
