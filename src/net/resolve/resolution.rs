//! What is known of a name.

use std::net::IpAddr;

use crate::measure::address_kind::AddressKind;
use crate::measure::outcome::Reason;

/// What is known of a name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This is its address.
    Known(IpAddr),
    /// The first look-up is under way.
    Pending,
    /// It has none, or none was found.
    Failed(Failure),
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The text is neither an address nor a name.
    #[error("it is neither an address nor a host name")]
    NotAName,
    /// The name servers say that there is no such name.
    #[error("the name servers know no such name")]
    NoSuchName,
    /// The name exists, without an address of the wanted family.
    #[error("it has no address of the wanted family")]
    NoAddress,
    /// No name server answered.
    #[error("no name server answered; /etc/resolv.conf names those that are asked")]
    NoAnswer,
    /// A name server answered that it cannot say (SERVFAIL, REFUSED, …).
    #[error("the name server could not say")]
    ServerFailed,
    /// All addresses that it has are none of another host.
    #[error("it leads to no other host: {0}")]
    NoHost(AddressKind),
}

impl Failure {
    /// Whether it is a definite answer, and not the want of one.
    #[must_use]
    pub const fn is_definite(self) -> bool {
        matches!(self, Self::NotAName | Self::NoSuchName | Self::NoAddress | Self::NoHost(_))
    }

    /// What stands in an interval's reasons: `not-sent/…`.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::NoHost(place) => place.reason().unwrap_or(Reason::NAME),
            _ => Reason::NAME,
        }
    }
}
