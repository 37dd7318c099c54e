//! A probe as `agent.toml` writes it, and as it is checked.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::written::Section;
use crate::measure::address_kind::AddressKind;
use crate::measure::probe::{Circuit, Dns, Family, Fragment, Probe, Role, Test, Version};
use crate::measure::target::{self, Host, is_link_local, without_scope};

pub use digest::settings_digest;
pub use dscp::dscp;
use http::http;
use url::host_port;
pub(in crate::config) use url::split_url;

mod digest;
mod dscp;
mod http;
mod url;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// The payload's cookie needs this much room.
const LEAST_SIZE: i64 = 24;
const LARGEST_SIZE: i64 = 65_000;

/// Reads a file that is named by a key; its path is relative to the configuration's.
pub(in crate::config) fn read_beside(
    section: &Section<'_>,
    key: &str,
    path: &str,
    beside: &Path,
) -> Option<String> {
    let path = beside.join(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            section.fault(format_args!("{key}: {} cannot be read: {error}", path.display()));
            None
        }
    }
}

/// A probe's keys as they were written; each may come from `[defaults]`.
#[derive(Clone, Default)]
pub(in crate::config) struct Written {
    kind: Option<&'static str>,
    service: Option<String>,
    role: Option<Role>,
    target: Option<String>,
    family: Option<Family>,
    period: Option<Duration>,
    timeout: Option<Duration>,
    cutoff: Option<Duration>,
    size: Option<u16>,
    dscp: Option<u8>,
    interface: Option<String>,
    source: Option<IpAddr>,
    mark: Option<u32>,
    ttl: Option<u8>,
    dont_fragment: Option<bool>,
    url: Option<String>,
    method: Option<String>,
    expect_status: Option<Vec<u16>>,
    expect_body: Option<String>,
    max_body: Option<u64>,
    follow_redirects: Option<u8>,
    ca: Option<String>,
    insecure_tls: Option<bool>,
    http_version: Option<Version>,
    query: Option<String>,
    record: Option<String>,
}

impl Written {
    /// Reads them all; what is not there is absent.
    pub(in crate::config) fn read(section: &Section<'_>, beside: &Path) -> Self {
        let kinds = [("icmp", "icmp"), ("http", "http"), ("tcp", "tcp"), ("dns", "dns")];
        let small = |number: i64| u8::try_from(number).ok();
        Self {
            kind: section.one_of("kind", &kinds),
            service: section.name("service"),
            role: section.one_of("role", &[("path", Role::Path), ("reference", Role::Reference)]),
            target: section.name("target"),
            family: section
                .one_of("family", &[("any", Family::Any), ("v4", Family::V4), ("v6", Family::V6)]),
            period: section.duration("period", 10 * MS..=DAY),
            timeout: section.duration("timeout", MS..=MINUTE),
            cutoff: section.duration("cutoff", MS..=MINUTE),
            size: section
                .number("size", LEAST_SIZE..=LARGEST_SIZE)
                .and_then(|size| u16::try_from(size).ok()),
            dscp: section.word_or_number(
                "dscp",
                "a name such as \"ef\" or \"af41\", or a number from 0 to 63",
                dscp,
            ),
            interface: section.parsed(
                "interface",
                "an interface's name of 1 to 15 characters",
                |text| {
                    let sound = (1..=15).contains(&text.len()) && !text.contains(['/', ' ']);
                    sound.then(|| text.to_owned())
                },
            ),
            source: section.parsed("source", "an IP address", |text| text.parse().ok()),
            mark: section
                .number("mark", 1..=i64::from(u32::MAX))
                .and_then(|mark| u32::try_from(mark).ok()),
            ttl: section.number("ttl", 1..=255).and_then(small),
            dont_fragment: section.truth("dont_fragment"),
            url: section.text("url"),
            method: section.parsed("method", "GET, HEAD, POST, PUT or OPTIONS", |text| {
                ["GET", "HEAD", "POST", "PUT", "OPTIONS"].contains(&text).then(|| text.to_owned())
            }),
            expect_status: section.numbers("expect_status", 100..=599).map(|all| {
                all.into_iter().filter_map(|status| u16::try_from(status).ok()).collect()
            }),
            expect_body: section.text("expect_body"),
            max_body: section.bytes("max_body"),
            follow_redirects: section.number("follow_redirects", 0..=10).and_then(small),
            ca: section.text("ca").and_then(|path| read_beside(section, "ca", &path, beside)),
            insecure_tls: section.truth("insecure_tls"),
            http_version: section.one_of(
                "http_version",
                &[("any", Version::Any), ("1.1", Version::Http1), ("2", Version::Http2)],
            ),
            query: section.text("query"),
            record: section.parsed(
                "record",
                "A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT",
                |text| {
                    ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]
                        .contains(&text)
                        .then(|| text.to_owned())
                },
            ),
        }
    }

    /// What is not written here is taken from the defaults.
    fn or(self, defaults: &Self) -> Self {
        let d = defaults.clone();
        Self {
            kind: self.kind.or(d.kind),
            service: self.service.or(d.service),
            role: self.role.or(d.role),
            target: self.target.or(d.target),
            family: self.family.or(d.family),
            period: self.period.or(d.period),
            timeout: self.timeout.or(d.timeout),
            cutoff: self.cutoff.or(d.cutoff),
            size: self.size.or(d.size),
            dscp: self.dscp.or(d.dscp),
            interface: self.interface.or(d.interface),
            source: self.source.or(d.source),
            mark: self.mark.or(d.mark),
            ttl: self.ttl.or(d.ttl),
            dont_fragment: self.dont_fragment.or(d.dont_fragment),
            url: self.url.or(d.url),
            method: self.method.or(d.method),
            expect_status: self.expect_status.or(d.expect_status),
            expect_body: self.expect_body.or(d.expect_body),
            max_body: self.max_body.or(d.max_body),
            follow_redirects: self.follow_redirects.or(d.follow_redirects),
            ca: self.ca.or(d.ca),
            insecure_tls: self.insecure_tls.or(d.insecure_tls),
            http_version: self.http_version.or(d.http_version),
            query: self.query.or(d.query),
            record: self.record.or(d.record),
        }
    }
}

/// Checks a probe, whose keys may come from the defaults.
pub(in crate::config) fn probe(
    section: &Section<'_>,
    name: String,
    defaults: &Written,
    beside: &Path,
) -> Option<Probe> {
    let own = Written::read(section, beside);
    if own.kind.is_none() && defaults.kind.is_none() && !section.has("kind") {
        section.fault("kind is missing: icmp, http, tcp or dns");
    }
    let written = own.clone().or(defaults);
    let kind = written.kind?;
    misplaced(section, kind, &own);
    let period = written.period.unwrap_or(if kind == "http" { 30 * SECOND } else { SECOND });
    if !period.subsec_nanos().is_multiple_of(1_000_000) {
        section.fault("period must be a whole number of milliseconds");
    }
    let timeout = written.timeout.unwrap_or(if kind == "http" { 10 * SECOND } else { 2 * SECOND });
    let cutoff = written.cutoff.unwrap_or(timeout);
    if cutoff > timeout {
        let shown = crate::base::time::format_duration;
        section.fault(format_args!(
            "cutoff {} is longer than timeout {}",
            shown(cutoff),
            shown(timeout)
        ));
    }
    let family = written.family.unwrap_or_default();
    if let Some(source) = written.source
        && !family.takes(source)
    {
        section.fault(format_args!("source {source} is not of the family that is asked for"));
    }
    let mut scope = None;
    let test = match kind {
        "icmp" => {
            let target = target(section, &written)?;
            if let Err(fault) = target::host(&target) {
                section.fault(format_args!("target {target:?}: {fault}"));
            }
            Test::Icmp { target, size: written.size.unwrap_or(56) }
        }
        "tcp" => {
            let target = target(section, &written)?;
            match host_port(&target) {
                Ok((host, port)) => Test::Tcp { host, port },
                Err(fault) => {
                    section.fault(format_args!("target {target:?}: {fault}"));
                    return None;
                }
            }
        }
        "dns" => {
            let server = target(section, &written).and_then(|target| name_server(section, &target));
            match &written.query {
                None if !section.has("query") => {
                    section.fault("query is missing: the name to ask for")
                }
                None => {}
                Some(query) => {
                    if let Err(fault) = target::name(query) {
                        section.fault(format_args!("query {query:?}: {fault}"));
                    }
                }
            }
            let (server, link) = server?;
            scope = link;
            Test::Dns(Box::new(Dns {
                server,
                query: written.query?,
                record: written.record.unwrap_or_else(|| "A".to_owned()),
            }))
        }
        _ => Test::Http(Box::new(http(section, &written)?)),
    };
    if let Some(address) = literal(&test) {
        // Loopback is asked for by who writes it.
        if let place
        @ (AddressKind::Unspecified | AddressKind::Multicast | AddressKind::Broadcast) =
            AddressKind::of(address)
        {
            section.fault(format_args!(
                "the target {address} is {place}: name one host that answers for itself"
            ));
        }
        if !family.takes(address) {
            section
                .fault(format_args!("the target {address} is not of the family that is asked for"));
        }
        if let Some(source) = written.source
            && source.is_ipv4() != address.is_ipv4()
        {
            section.fault(format_args!(
                "source {source} and target {address} are of different families"
            ));
        }
    }
    let interface = interface(section, &test, scope, written.interface);
    let circuit = Circuit {
        interface,
        source: written.source,
        mark: written.mark,
        dscp: written.dscp,
        ttl: written.ttl,
        fragment: if written.dont_fragment == Some(true) {
            Fragment::Never
        } else {
            Fragment::Allowed
        },
    };
    let role = written.role.unwrap_or(Role::Path);
    Some(Probe {
        name,
        service: written.service,
        role,
        test,
        family,
        period,
        timeout,
        cutoff,
        circuit,
    })
}

/// Keys that mean something to other kinds only.
fn misplaced(section: &Section<'_>, kind: &str, own: &Written) {
    let keys: [(&str, bool, &[&str]); 14] = [
        ("target", own.target.is_some(), &["icmp", "tcp", "dns"]),
        ("size", own.size.is_some(), &["icmp"]),
        ("url", own.url.is_some(), &["http"]),
        ("method", own.method.is_some(), &["http"]),
        ("expect_status", own.expect_status.is_some(), &["http"]),
        ("expect_body", own.expect_body.is_some(), &["http"]),
        ("max_body", own.max_body.is_some(), &["http"]),
        ("follow_redirects", own.follow_redirects.is_some(), &["http"]),
        ("ca", own.ca.is_some(), &["http"]),
        ("insecure_tls", own.insecure_tls.is_some(), &["http"]),
        ("http_version", own.http_version.is_some(), &["http"]),
        ("query", own.query.is_some(), &["dns"]),
        ("record", own.record.is_some(), &["dns"]),
        ("dont_fragment", own.dont_fragment.is_some(), &["icmp", "dns", "tcp", "http"]),
    ];
    for (key, written, kinds) in keys {
        if written && !kinds.contains(&kind) {
            section.fault(format_args!(
                "{key} means nothing to kind {kind}: it belongs to {}",
                kinds.join(", ")
            ));
        }
    }
}

fn target(section: &Section<'_>, written: &Written) -> Option<String> {
    if written.target.is_none() && !section.has("target") {
        section.fault("target is missing");
    }
    written.target.clone()
}

/// The interface that the packets leave by: that of the circuit, or the one that a link-local
/// target names. Such an address means nothing without one: which of several links has it nobody
/// could tell, and a link that is added later would change what is measured.
fn interface(
    section: &Section<'_>,
    test: &Test,
    scope: Option<String>,
    own: Option<String>,
) -> Option<String> {
    let named = match test {
        Test::Icmp { target, .. } => target::scope(target).map(str::to_owned),
        Test::Http(http) => target::scope(&http.host).map(str::to_owned),
        Test::Tcp { host, .. } => target::scope(host).map(str::to_owned),
        Test::Dns(_) => scope,
    };
    match (named, own) {
        (Some(named), Some(own)) if named != own => {
            section.fault(format_args!(
                "the target is on interface {named}, but interface is {own:?}"
            ));
            Some(own)
        }
        (named, own) => {
            let interface = named.or(own);
            if interface.is_none()
                && let Some(address) = literal(test).filter(|&address| is_link_local(address))
            {
                section.fault(format_args!(
                    "the target {address} is link-local, and each link may have one: say which \
                     link, such as {address}%wan0, or interface = \"wan0\""
                ));
            }
            interface
        }
    }
}

/// A name server's address and port, and the interface that it names.
fn name_server(
    section: &Section<'_>,
    target: &str,
) -> Option<(std::net::SocketAddr, Option<String>)> {
    let read = host_port(target).ok().and_then(|(host, port)| match target::host(&host) {
        Ok(Host::Address(address)) => Some(((address, port).into(), None)),
        Ok(Host::Scoped(address, link)) => Some(((address, port).into(), Some(link.to_owned()))),
        _ => None,
    });
    if read.is_none() {
        section.fault(format_args!(
            "target {target:?}: expected the server's address and port, such as \"192.0.2.53:53\""
        ));
    }
    read
}

/// The address, where the test names one and no name.
fn literal(test: &Test) -> Option<IpAddr> {
    match test {
        Test::Icmp { target, .. } => without_scope(target).parse().ok(),
        Test::Http(http) => without_scope(&http.host).parse().ok(),
        Test::Tcp { host, .. } => without_scope(host).parse().ok(),
        Test::Dns(dns) => Some(dns.server.ip()),
    }
}

#[cfg(test)]
mod tests;
