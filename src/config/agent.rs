//! `agent.toml`: as written, and as checked.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::config::written::{self, Faults, Section};
use crate::measure::probe::{Circuit, Family, Fragment, Http, Probe, Role, Test, Tls};

/// The agent's configuration, checked.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The site's name.
    pub site: String,
    /// Where database, key and received contracts are.
    pub data_dir: PathBuf,
    /// The contracts' files.
    pub contracts: Vec<PathBuf>,
    /// Where `wanproof status` asks the running agent.
    pub status_socket: PathBuf,
    /// The collector; without one the agent works alone.
    pub collector: Option<Collector>,
    /// What is kept, and how much of it.
    pub keep: Keep,
    /// Where Prometheus may ask.
    pub metrics: Option<SocketAddr>,
    /// Who is told of outages.
    pub hooks: Hooks,
    /// The probes.
    pub probes: Vec<Probe>,
}

/// The central program that summaries are shipped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its address, without a slash at the end.
    pub url: String,
    /// A summary's span.
    pub every: Duration,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// The one-time token for the enrolment.
    pub token: Option<Token>,
    /// Its public key, a JWK as text; else it is pinned at the first enrolment.
    pub key: Option<String>,
}

/// A secret; it prints as `…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A span of time, or for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// So long.
    For(Duration),
    /// For good.
    Forever,
}

/// What is kept, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How long a closed interval may wait for the disk.
    pub commit: Duration,
    /// The database's limit in bytes, the outbox included.
    pub max_bytes: u64,
    /// The outbox's limit in bytes.
    pub outbox_bytes: u64,
    /// How long minutes are kept.
    pub minutes: Term,
    /// How long hours are kept.
    pub hours: Term,
    /// How long days are kept.
    pub days: Term,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            commit: Duration::from_secs(60),
            max_bytes: 256 << 20,
            outbox_bytes: 64 << 20,
            minutes: Term::For(90 * DAY),
            hours: Term::For(400 * DAY),
            days: Term::Forever,
        }
    }
}

/// Who is told of outages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// A URL to which the outage is posted as JSON.
    pub webhook: Option<String>,
    /// A command that gets the outage as JSON on its standard input.
    pub command: Vec<String>,
}

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// The payload's cookie needs this much room.
const LEAST_SIZE: i64 = 24;
const LARGEST_SIZE: i64 = 65_000;

/// Reads and checks a configuration; files that it names are looked for beside it.
///
/// # Errors
/// All faults together.
pub fn load(path: &Path) -> Result<AgentConfig, Faults> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Faults(vec![format!("{file}: it cannot be read: {error}; `wanproof init` writes one to begin with")])
    })?;
    let beside = path.parent().unwrap_or(Path::new("."));
    parse(&text, &file, beside)
}

/// Checks a configuration's text; `beside` is where the files that it names are looked for.
///
/// # Errors
/// All faults together.
pub fn parse(text: &str, file: &str, beside: &Path) -> Result<AgentConfig, Faults> {
    written::read(text, file, |root| agent(root, beside))
}

fn agent(root: &Section<'_>, beside: &Path) -> Option<AgentConfig> {
    let site = root.needed_text("site");
    if site.as_deref().is_some_and(|site| !is_name(site)) {
        root.fault("site: expected 1 to 64 letters, digits, dots, hyphens or underscores");
    }
    let data_dir = root.needed_text("data_dir").map(|dir| beside.join(dir));
    let contracts = root.texts("contracts").unwrap_or_default().iter().map(|path| beside.join(path)).collect();
    let socket = root.text("status_socket").map(|path| beside.join(path));
    let collector = root.section("collector").and_then(|section| collector(&section, beside));
    let keep = root.section("store").map_or_else(Keep::default, |section| keep(&section));
    let metrics = root.section("metrics").and_then(|section| {
        let listen =
            section.parsed("listen", "an address and port such as \"127.0.0.1:9464\"", |text| text.parse().ok());
        if !section.has("listen") {
            section.fault("listen is missing");
        }
        listen
    });
    let hooks = root.section("hooks").map_or_else(Hooks::default, |section| Hooks {
        webhook: section.text("webhook"),
        command: section.texts("command").unwrap_or_default(),
    });
    let defaults = root.section("defaults").map_or_else(Written::default, |mut section| {
        section.call("[defaults]".to_owned());
        Written::read(&section, beside)
    });
    let mut names = BTreeSet::new();
    let mut probes = Vec::new();
    let sections = root.sections("probe");
    if sections.is_empty() {
        root.fault("there is no [[probe]]: nothing would be measured");
    }
    for mut section in sections {
        if let Some(name) = section.needed_text("name") {
            section.call(format!("probe {name:?}"));
            if !is_name(&name) {
                section.fault("name: expected 1 to 64 letters, digits, dots, hyphens or underscores");
            }
            if !names.insert(name.clone()) {
                section.fault("another probe has this name");
            }
            probes.extend(probe(&section, name, &defaults, beside));
        } else {
            // Its other faults are told all the same.
            probe(&section, String::new(), &defaults, beside);
        }
    }
    let data_dir = data_dir?;
    Some(AgentConfig {
        site: site?,
        contracts,
        status_socket: socket.unwrap_or_else(|| data_dir.join("agent.sock")),
        data_dir,
        collector,
        keep,
        metrics,
        hooks,
        probes,
    })
}

/// A name that is safe in files, tables and URLs.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn read_beside(section: &Section<'_>, key: &str, path: &str, beside: &Path) -> Option<String> {
    let path = beside.join(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            section.fault(format_args!("{key}: {} cannot be read: {error}", path.display()));
            None
        }
    }
}

fn collector(section: &Section<'_>, beside: &Path) -> Option<Collector> {
    let url = section.needed_text("url").map(|url| url.trim_end_matches('/').to_owned());
    let insecure = section.truth("insecure").unwrap_or(false);
    let url = url.filter(|url| match split_url(url) {
        Ok(parts) if parts.secure || insecure || parts.is_loopback() => true,
        Ok(_) => {
            section.fault(format_args!(
                "url {url:?} is not encrypted: use https://, or say insecure = true if the way there is trusted"
            ));
            false
        }
        Err(what) => {
            section.fault(format_args!("url {url:?}: {what}"));
            false
        }
    });
    let every = section.duration("every", Duration::from_secs(1)..=60 * MINUTE).unwrap_or(5 * MINUTE);
    let seconds = every.as_secs();
    if every.subsec_nanos() != 0 || seconds == 0 || (60 % seconds != 0 && 3600 % seconds != 0) {
        section.fault("every must divide a minute or an hour, such as 10s, 30s, 1m, 5m, 15m or 1h");
    }
    let token_file = section.text("token_file");
    let token = match (section.text("token"), token_file) {
        (Some(_), Some(_)) => {
            section.fault("token and token_file are both there: one is enough");
            None
        }
        (Some(token), None) => Some(token),
        (None, Some(path)) => read_beside(section, "token_file", &path, beside).map(|text| text.trim().to_owned()),
        (None, None) => None,
    };
    let ca = section.text("ca").and_then(|path| read_beside(section, "ca", &path, beside));
    let key = section.text("key").and_then(|path| read_beside(section, "key", &path, beside));
    Some(Collector { url: url?, every, ca, token: token.map(Token), key })
}

fn keep(section: &Section<'_>) -> Keep {
    let usual = Keep::default();
    let term = |key| {
        let expected = "a duration of a day or more, such as \"90d\", or \"forever\"";
        section.parsed(key, expected, |text| match text {
            "forever" => Some(Term::Forever),
            text => crate::base::time::parse_duration(text).ok().filter(|length| *length >= DAY).map(Term::For),
        })
    };
    let keep = Keep {
        commit: section.duration("commit", Duration::from_secs(1)..=60 * MINUTE).unwrap_or(usual.commit),
        max_bytes: section.bytes("max_bytes").unwrap_or(usual.max_bytes),
        outbox_bytes: section.bytes("outbox_bytes").unwrap_or(usual.outbox_bytes),
        minutes: term("keep_minutes").unwrap_or(usual.minutes),
        hours: term("keep_hours").unwrap_or(usual.hours),
        days: term("keep_days").unwrap_or(usual.days),
    };
    if keep.max_bytes < 4 << 20 {
        section.fault("max_bytes is less than 4MiB: a day of one probe would not fit");
    }
    if keep.outbox_bytes > keep.max_bytes {
        section.fault("outbox_bytes is more than max_bytes, which the outbox is part of");
    }
    keep
}

/// A probe's keys as they were written; each may come from `[defaults]`.
#[derive(Clone, Default)]
struct Written {
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
    query: Option<String>,
    record: Option<String>,
}

impl Written {
    fn read(section: &Section<'_>, beside: &Path) -> Self {
        let kinds = [("icmp", "icmp"), ("http", "http"), ("tcp", "tcp"), ("dns", "dns")];
        let small = |number: i64| u8::try_from(number).ok();
        Self {
            kind: section.one_of("kind", &kinds),
            service: section.text("service"),
            role: section.one_of("role", &[("path", Role::Path), ("reference", Role::Reference)]),
            target: section.text("target"),
            family: section.one_of("family", &[("any", Family::Any), ("v4", Family::V4), ("v6", Family::V6)]),
            period: section.duration("period", 10 * MS..=DAY),
            timeout: section.duration("timeout", MS..=MINUTE),
            cutoff: section.duration("cutoff", MS..=MINUTE),
            size: section.number("size", LEAST_SIZE..=LARGEST_SIZE).and_then(|size| u16::try_from(size).ok()),
            dscp: section.word_or_number("dscp", "a name such as \"ef\" or \"af41\", or a number from 0 to 63", dscp),
            interface: section.parsed("interface", "an interface's name of 1 to 15 characters", |text| {
                let sound = (1..=15).contains(&text.len()) && !text.contains(['/', ' ']);
                sound.then(|| text.to_owned())
            }),
            source: section.parsed("source", "an IP address", |text| text.parse().ok()),
            mark: section.number("mark", 1..=i64::from(u32::MAX)).and_then(|mark| u32::try_from(mark).ok()),
            ttl: section.number("ttl", 1..=255).and_then(small),
            dont_fragment: section.truth("dont_fragment"),
            url: section.text("url"),
            method: section.parsed("method", "GET, HEAD, POST, PUT or OPTIONS", |text| {
                ["GET", "HEAD", "POST", "PUT", "OPTIONS"].contains(&text).then(|| text.to_owned())
            }),
            expect_status: section
                .numbers("expect_status", 100..=599)
                .map(|all| all.into_iter().filter_map(|status| u16::try_from(status).ok()).collect()),
            expect_body: section.text("expect_body"),
            max_body: section.bytes("max_body"),
            follow_redirects: section.number("follow_redirects", 0..=10).and_then(small),
            ca: section.text("ca").and_then(|path| read_beside(section, "ca", &path, beside)),
            insecure_tls: section.truth("insecure_tls"),
            query: section.text("query"),
            record: section.parsed("record", "A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT", |text| {
                ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"].contains(&text).then(|| text.to_owned())
            }),
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
            query: self.query.or(d.query),
            record: self.record.or(d.record),
        }
    }
}

fn probe(section: &Section<'_>, name: String, defaults: &Written, beside: &Path) -> Option<Probe> {
    let own = Written::read(section, beside);
    if own.kind.is_none() && defaults.kind.is_none() && !section.has("kind") {
        section.fault("kind is missing: icmp, http, tcp or dns");
    }
    let written = own.clone().or(defaults);
    let kind = written.kind?;
    misplaced(section, kind, &own);
    let period =
        written.period.unwrap_or(if kind == "http" { 30 * Duration::from_secs(1) } else { Duration::from_secs(1) });
    if !period.subsec_nanos().is_multiple_of(1_000_000) {
        section.fault("period must be a whole number of milliseconds");
    }
    let timeout = written.timeout.unwrap_or(if kind == "http" {
        10 * Duration::from_secs(1)
    } else {
        2 * Duration::from_secs(1)
    });
    let cutoff = written.cutoff.unwrap_or(timeout);
    if cutoff > timeout {
        let shown = crate::base::time::format_duration;
        section.fault(format_args!("cutoff {} is longer than timeout {}", shown(cutoff), shown(timeout)));
    }
    let family = written.family.unwrap_or_default();
    if let Some(source) = written.source
        && !family.takes(source)
    {
        section.fault(format_args!("source {source} is not of the family that is asked for"));
    }
    let test = match kind {
        "icmp" => {
            let target = target(section, &written)?;
            if target.is_empty() || target.contains(char::is_whitespace) {
                section.fault(format_args!("target {target:?} is neither a name nor an address"));
            }
            Test::Icmp { target, size: written.size.unwrap_or(56) }
        }
        "tcp" => {
            let target = target(section, &written)?;
            match host_port(&target) {
                Some((host, port)) => Test::Tcp { host, port },
                None => {
                    section.fault(format_args!(
                        "target {target:?}: expected a host and a port, such as \"hq.example.net:443\""
                    ));
                    return None;
                }
            }
        }
        "dns" => {
            let server = target(section, &written).and_then(|target| match target.parse() {
                Ok(server) => Some(server),
                Err(_) => {
                    section.fault(format_args!(
                        "target {target:?}: expected the server's address and port, such as \"192.0.2.53:53\""
                    ));
                    None
                }
            });
            if written.query.is_none() && !section.has("query") {
                section.fault("query is missing: the name to ask for");
            }
            Test::Dns {
                server: server?,
                query: written.query?,
                record: written.record.unwrap_or_else(|| "A".to_owned()),
            }
        }
        _ => Test::Http(http(section, &written)?),
    };
    if let Some(address) = literal(&test) {
        if !family.takes(address) {
            section.fault(format_args!("the target {address} is not of the family that is asked for"));
        }
        if let Some(source) = written.source
            && source.is_ipv4() != address.is_ipv4()
        {
            section.fault(format_args!("source {source} and target {address} are of different families"));
        }
    }
    let circuit = Circuit {
        interface: written.interface,
        source: written.source,
        mark: written.mark,
        dscp: written.dscp,
        ttl: written.ttl,
        fragment: if written.dont_fragment == Some(true) { Fragment::Never } else { Fragment::Allowed },
    };
    let role = written.role.unwrap_or(Role::Path);
    Some(Probe { name, service: written.service, role, test, family, period, timeout, cutoff, circuit })
}

/// Keys that mean something to other kinds only.
fn misplaced(section: &Section<'_>, kind: &str, own: &Written) {
    let keys: [(&str, bool, &[&str]); 13] = [
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
        ("query", own.query.is_some(), &["dns"]),
        ("record", own.record.is_some(), &["dns"]),
        ("dont_fragment", own.dont_fragment.is_some(), &["icmp", "dns", "tcp", "http"]),
    ];
    for (key, written, kinds) in keys {
        if written && !kinds.contains(&kind) {
            section.fault(format_args!("{key} means nothing to kind {kind}: it belongs to {}", kinds.join(", ")));
        }
    }
}

fn target(section: &Section<'_>, written: &Written) -> Option<String> {
    if written.target.is_none() && !section.has("target") {
        section.fault("target is missing");
    }
    written.target.clone()
}

fn http(section: &Section<'_>, written: &Written) -> Option<Http> {
    if written.url.is_none() && !section.has("url") {
        section.fault("url is missing");
    }
    let url = written.url.clone()?;
    let parts = match split_url(&url) {
        Ok(parts) => parts,
        Err(what) => {
            section.fault(format_args!("url {url:?}: {what}"));
            return None;
        }
    };
    let unchecked = written.insecure_tls.unwrap_or(false);
    if unchecked && written.ca.is_some() {
        section.fault("insecure_tls checks no certificate, so ca means nothing beside it");
    }
    let tls = match (parts.secure, unchecked) {
        (false, _) => Tls::None,
        (true, true) => Tls::Unchecked,
        (true, false) => Tls::Checked { roots: written.ca.clone() },
    };
    Some(Http {
        host: parts.host,
        port: parts.port,
        tls,
        method: written.method.clone().unwrap_or_else(|| "GET".to_owned()),
        expect_status: written.expect_status.clone().unwrap_or_default(),
        expect_body: written.expect_body.clone(),
        max_body: written.max_body.unwrap_or(1 << 20),
        follow_redirects: written.follow_redirects.unwrap_or(0),
        url,
    })
}

/// The address, where the test names one and no name.
fn literal(test: &Test) -> Option<IpAddr> {
    match test {
        Test::Icmp { target, .. } => target.parse().ok(),
        Test::Http(http) => http.host.parse().ok(),
        Test::Tcp { host, .. } => host.parse().ok(),
        Test::Dns { server, .. } => Some(server.ip()),
    }
}

/// What a URL names.
struct UrlParts {
    secure: bool,
    host: String,
    port: u16,
}

impl UrlParts {
    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn split_url(url: &str) -> Result<UrlParts, &'static str> {
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("expected http:// or https://"),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("a user name in a URL is not supported");
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it holds white space");
    }
    let usual = if secure { 443 } else { 80 };
    let bare = authority.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
    let (host, port) = if bare {
        (authority, usual)
    } else {
        host_port(authority)
            .map(|(_, port)| (authority.rsplit_once(':').map_or("", |(host, _)| host), port))
            .ok_or("its port is not right")?
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("it names no host");
    }
    Ok(UrlParts { secure, host: host.to_owned(), port })
}

fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(|_| inner)?,
        None if host.is_empty() || host.contains(':') || host.contains(char::is_whitespace) => return None,
        None => host,
    };
    Some((host.to_owned(), port))
}

/// A DSCP by its name (RFC 2474, 2597, 3246, 5865, 8622) or its number; [`None`] for what is neither.
#[must_use]
pub fn dscp(written: Result<&str, i64>) -> Option<u8> {
    let name = match written {
        Err(number) => return u8::try_from(number).ok().filter(|code| *code <= 63),
        Ok(name) => name.to_ascii_lowercase(),
    };
    let names: [(&str, u8); 5] = [("be", 0), ("default", 0), ("le", 1), ("va", 44), ("ef", 46)];
    if let Some((_, code)) = names.iter().find(|(known, _)| *known == name) {
        return Some(*code);
    }
    let digits: Vec<u8> =
        name.chars().skip(2).filter_map(|c| c.to_digit(10).and_then(|digit| u8::try_from(digit).ok())).collect();
    match (name.get(..2)?, digits.as_slice()) {
        ("cs", [class @ 0..=7]) if name.len() == 3 => Some(class * 8),
        ("af", [class @ 1..=4, drop @ 1..=3]) if name.len() == 4 => Some(class * 8 + drop * 2),
        _ => None,
    }
}

/// The digest of a probe's checked settings: when it changes, another interval begins.
#[must_use]
pub fn settings_digest(probe: &Probe) -> String {
    let hash = Sha256::digest(format!("{probe:?}").as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        parse(text, "agent.toml", Path::new("/nowhere")).map(|_| ()).unwrap_err().0
    }

    const HEAD: &str = "site = \"leeds-01\"\ndata_dir = \"data\"\n";

    #[test]
    fn a_probe_takes_what_it_does_not_say_from_the_defaults() {
        let text = format!(
            "{HEAD}[defaults]\ntimeout = \"3s\"\ndscp = \"af41\"\n[[probe]]\nname = \"a\"\nkind = \"icmp\"\ntarget = \"::1\"\ncutoff = \"1s\"\n"
        );
        let config = parse(&text, "agent.toml", Path::new("/etc/wanproof")).unwrap();
        let probe = &config.probes[0];
        assert_eq!((probe.timeout, probe.cutoff, probe.circuit.dscp), (3 * MS * 1000, 1000 * MS, Some(34)));
        assert_eq!(config.data_dir, Path::new("/etc/wanproof/data"));
        assert_eq!(config.status_socket, Path::new("/etc/wanproof/data/agent.sock"));
    }

    #[test]
    fn urls_are_taken_apart() {
        let text = |url| format!("{HEAD}[[probe]]\nname = \"a\"\nkind = \"http\"\nurl = \"{url}\"\n");
        for (url, host, port) in [
            ("http://a.example/x?y:80", "a.example", 80),
            ("https://a.example:8443", "a.example", 8443),
            ("https://[::1]/", "::1", 443),
            ("http://[::1]:81/", "::1", 81),
        ] {
            let config = parse(&text(url), "agent.toml", Path::new("/")).unwrap();
            let Test::Http(http) = &config.probes[0].test else { panic!() };
            assert_eq!((http.host.as_str(), http.port), (host, port));
        }
        for url in ["ftp://a", "http://", "http://a:0/", "http://a:x/", "http://u@a/", "http://a b/"] {
            assert_eq!(faults(&text(url)).len(), 1, "{url}");
        }
    }

    #[test]
    fn a_cutoff_beyond_the_timeout_is_a_fault_with_its_place() {
        let text = format!(
            "{HEAD}[[probe]]\nname = \"hq-icmp\"\nkind = \"icmp\"\ntarget = \"::1\"\ncutoff = \"3s\"\ntimeout = \"2s\"\n"
        );
        assert_eq!(faults(&text), ["agent.toml: probe \"hq-icmp\": cutoff 3s is longer than timeout 2s"]);
    }

    #[test]
    fn a_secret_prints_as_an_ellipsis() {
        assert_eq!(format!("{:?}", Token("one-time".to_owned())), "…");
    }

    #[test]
    fn dscp_names_are_the_registered_ones() {
        assert_eq!(["ef", "EF", "cs6", "af43", "be"].map(|name| dscp(Ok(name))), [46, 46, 48, 38, 0].map(Some));
        assert_eq!(["af44", "cs8", "af5", "", "é", "efx"].map(|name| dscp(Ok(name))), [None; 6]);
        assert_eq!((dscp(Err(63)), dscp(Err(64)), dscp(Err(-1))), (Some(63), None, None));
    }
}
