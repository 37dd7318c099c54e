//! A probe, as the program relies on it: what is asked of whom, how often, over which circuit.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::time::Wall;
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::target::{is_link_local, without_scope};

mod circuit;

pub use circuit::{Circuit, Fragment};

/// One configured, repeating test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name, unique on this host.
    pub name: String,
    /// The service that it measures, as far as its own configuration says.
    pub service: Option<String>,
    /// What it is for.
    pub role: Role,
    /// What is asked of whom.
    pub test: Test,
    /// Which addresses of a name are used.
    pub family: Family,
    /// From one due send to the next; a whole number of milliseconds, not zero.
    pub period: Duration,
    /// How long an answer is waited for; at most 60 s.
    pub timeout: Duration,
    /// An answer that took longer is late; at most, and else, the timeout.
    pub cutoff: Duration,
    /// The way out of this host.
    pub circuit: Circuit,
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It measures the path that was bought.
    Path,
    /// It measures the gateway or the CPE, and tells whose side failed.
    Reference,
}

/// Which addresses of a name are used; a family that is asked for is never silently replaced by the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// Whatever the name has.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Whether an address is of it.
    #[must_use]
    pub const fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// What is asked of whom.
#[derive(Clone, PartialEq, Eq)]
pub enum Test {
    /// An ICMP echo (RFC 792, RFC 4443).
    Icmp {
        /// Name or address.
        target: String,
        /// Payload bytes, cookie included; at least 24, at most 65,000.
        size: u16,
    },
    /// An HTTP request, from the beginning of the connection to the last byte of the body.
    Http(Box<Http>),
    /// A TCP connection, established and closed.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A DNS query by UDP, by TCP when truncated.
    Dns(Box<Dns>),
}

/// Settings are told apart by a digest of this text, so it stays as it is.
impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp { target, size } => {
                f.debug_struct("Icmp").field("target", target).field("size", size).finish()
            }
            Self::Http(http) => f.debug_tuple("Http").field(http).finish(),
            Self::Tcp { host, port } => {
                f.debug_struct("Tcp").field("host", host).field("port", port).finish()
            }
            Self::Dns(dns) => dns.fmt(f),
        }
    }
}

/// An HTTP test.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// The URL as written, `http` or `https`.
    pub url: String,
    /// The host of the URL, without brackets; an interface behind it follows a `%`.
    pub host: String,
    /// The port of the URL.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: Tls,
    /// The request's method.
    pub method: String,
    /// Which statuses are good; empty: any 2xx or 3xx.
    pub expect_status: Vec<u16>,
    /// A text that the body must hold.
    pub expect_body: Option<String>,
    /// A body that is longer is refused, as `refused/body-size`.
    pub max_body: u64,
    /// How many redirects are followed.
    pub follow_redirects: u8,
    /// Which version of HTTP is spoken.
    pub version: Version,
}

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Version {
    /// What the server takes: HTTP/2 where TLS is spoken and it is offered, else HTTP/1.1.
    #[default]
    Any,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113, section 3.3).
    Http2,
}

/// Settings are told apart by a digest of this text: what a probe does not ask for is not in it.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Http");
        all.field("url", &self.url)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("method", &self.method)
            .field("expect_status", &self.expect_status)
            .field("expect_body", &self.expect_body)
            .field("max_body", &self.max_body)
            .field("follow_redirects", &self.follow_redirects);
        if self.version != Version::Any {
            all.field("version", &self.version);
        }
        all.finish()
    }
}

/// A DNS test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The server.
    pub server: SocketAddr,
    /// The name asked for.
    pub query: String,
    /// The record type asked for, such as `A`.
    pub record: String,
}

/// Whether and how TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP.
    None,
    /// TLS, with the certificate checked against the system's roots, or those in this PEM text.
    Checked {
        /// PEM certificates to trust instead of the system's.
        roots: Option<String>,
    },
    /// TLS, whatever the certificate.
    Unchecked,
}

impl Probe {
    /// The kind's word: `icmp`, `http`, `tcp` or `dns`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.test {
            Test::Icmp { .. } => "icmp",
            Test::Http(_) => "http",
            Test::Tcp { .. } => "tcp",
            Test::Dns(_) => "dns",
        }
    }

    /// The target as it was written.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.test {
            Test::Icmp { target, .. } => target.clone(),
            Test::Http(http) => http.url.clone(),
            Test::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Test::Tcp { host, port } => format!("{host}:{port}"),
            Test::Dns(dns) => match (&self.circuit.interface, dns.server.ip()) {
                (Some(link), ip) if is_link_local(ip) => {
                    format!("[{ip}%{link}]:{}", dns.server.port())
                }
                _ => dns.server.to_string(),
            },
        }
    }

    /// The name or address that has to be resolved before a packet can be sent; without the
    /// interface behind a link-local one, by which the circuit leaves.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.test {
            Test::Icmp { target, .. } => without_scope(target).to_owned(),
            Test::Http(http) => without_scope(&http.host).to_owned(),
            Test::Tcp { host, .. } => without_scope(host).to_owned(),
            Test::Dns(dns) => dns.server.ip().to_string(),
        }
    }

    /// Its target's address, where the configuration says one and no name.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// The period in milliseconds.
    #[must_use]
    pub fn period_ms(&self) -> u32 {
        u32::try_from(self.period.as_millis()).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.name, self.kind(), self.target())
    }
}

/// What became of one request of a connection-oriented probe (http, tcp, dns).
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What became of it.
    pub outcome: Outcome,
    /// From the beginning of the connection to the last byte, in nanoseconds; for an answered or
    /// late one.
    pub rtt_ns: Option<u64>,
    /// Why it is not answered; or [`None`].
    pub reason: Option<Reason>,
    /// Its parts, as far as it went, in nanoseconds.
    pub phases: Vec<(Phase, u64)>,
    /// Bytes of the answer's body.
    pub bytes: Option<u32>,
    /// Whom it was asked of.
    pub address: Option<IpAddr>,
    /// Who sent the ICMP error that it was refused with, as far as the kernel says.
    pub refused_by: Option<IpAddr>,
    /// Until when the server's certificate is valid, where TLS was spoken.
    pub certificate_until: Option<Wall>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_is_told_by_what_it_is_known_by() {
        assert_eq!(Circuit::default().to_string(), "default");
        let circuit = Circuit {
            interface: Some("wan0".to_owned()),
            dscp: Some(46),
            fragment: Fragment::Never,
            ..Circuit::default()
        };
        assert_eq!(circuit.to_string(), "interface wan0, dscp 46, dont_fragment");
    }
}
