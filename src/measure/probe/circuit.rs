//! How a probe leaves this host.

use std::fmt;
use std::net::IpAddr;

/// The way out of this host that a circuit is known by; the same for every kind of probe. Probes of
/// equal circuits may share a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Circuit {
    /// The interface to leave by (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// The source address.
    pub source: Option<IpAddr>,
    /// The firewall mark (`SO_MARK`; needs CAP_NET_ADMIN).
    pub mark: Option<u32>,
    /// The DSCP, 0 to 63 (RFC 2474).
    pub dscp: Option<u8>,
    /// The TTL or hop limit, 1 to 255.
    pub ttl: Option<u8>,
    /// Whether packets may be fragmented.
    pub fragment: Fragment,
}

/// As the configuration names it: `interface wan0, dscp 46`; the system's own way is `default`.
impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, source, mark, dscp, ttl, fragment } = self;
        let named = [
            interface.as_ref().map(|interface| format!("interface {interface}")),
            source.map(|source| format!("source {source}")),
            mark.map(|mark| format!("mark {mark}")),
            dscp.map(|dscp| format!("dscp {dscp}")),
            ttl.map(|ttl| format!("ttl {ttl}")),
            (*fragment == Fragment::Never).then(|| "dont_fragment".to_owned()),
        ];
        let named: Vec<String> = named.into_iter().flatten().collect();
        if named.is_empty() { f.write_str("default") } else { f.write_str(&named.join(", ")) }
    }
}

/// Whether packets may be fragmented on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fragment {
    /// As the system does it.
    #[default]
    Allowed,
    /// Never; what is too large is refused (RFC 1191, RFC 8201).
    Never,
}
