//! What an address is to this host: what is no single host elsewhere is not probed.

use std::net::IpAddr;

use crate::measure::outcome::{Outcome, Reason};

/// What an address is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// One host, elsewhere or nowhere.
    Elsewhere,
    /// This host by its loopback addresses (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
    Loopback,
    /// This host by an address of an interface.
    Own,
    /// No host: `0.0.0.0` or `::`, which the kernel takes for this host.
    Unspecified,
    /// Many hosts.
    Multicast,
    /// All hosts of a link.
    Broadcast,
}

impl AddressKind {
    /// Of an address, by itself: never [`Self::Own`].
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            Self::Loopback
        } else if address.is_multicast() {
            Self::Multicast
        } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
            Self::Broadcast
        } else if address.is_unspecified()
            || matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0)
        {
            // 0.0.0.0/8 is "this host on this network" (RFC 1122 section 3.2.1.3), never a
            // destination.
            Self::Unspecified
        } else {
            Self::Elsewhere
        }
    }

    /// Why a probe that was led there by a name, a redirect or a changed address is not sent;
    /// [`None`] where it may be.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        let kind = match self {
            Self::Elsewhere => return None,
            Self::Loopback => "address-loopback",
            Self::Own => "address-own",
            Self::Unspecified => "address-unspecified",
            Self::Multicast => "address-multicast",
            Self::Broadcast => "address-broadcast",
        };
        Some(Reason::new(Outcome::NotSent, kind))
    }
}

impl std::fmt::Display for AddressKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Elsewhere => "an address of another host",
            Self::Loopback => "a loopback address",
            Self::Own => "an address of this host itself",
            Self::Unspecified => "no host's address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> AddressKind {
        AddressKind::of(text.parse().unwrap())
    }

    #[test]
    fn what_is_no_single_host_elsewhere_is_told_by_its_kind() {
        for (address, expected) in [
            ("0.0.0.0", AddressKind::Unspecified),
            ("0.1.2.3", AddressKind::Unspecified),
            ("::", AddressKind::Unspecified),
            ("::ffff:0.0.0.0", AddressKind::Unspecified),
            ("127.8.9.1", AddressKind::Loopback),
            ("::1", AddressKind::Loopback),
            ("::ffff:127.0.0.1", AddressKind::Loopback),
            ("224.0.0.1", AddressKind::Multicast),
            ("ff02::1", AddressKind::Multicast),
            ("255.255.255.255", AddressKind::Broadcast),
            ("192.0.2.1", AddressKind::Elsewhere),
            ("2001:db8::1", AddressKind::Elsewhere),
        ] {
            assert_eq!(place(address), expected, "{address}");
        }
        assert_eq!(AddressKind::Elsewhere.reason(), None);
        assert_eq!(AddressKind::Own.reason().unwrap().to_string(), "not-sent/address-own");
    }
}
