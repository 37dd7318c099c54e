//! One look-up of one name, by `/etc/hosts` and hickory-resolver: the one file that knows that
//! crate's resolver.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::measure::probe::Family;
use crate::net::resolve::rule::Answer;
use crate::net::resolve::servers::Servers;
use crate::net::resolve::{Failure, hosts, name, resolv_conf};

type Asked = Resolver<Servers>;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How long an answer of the hosts file is relied on: reading it again costs next to nothing.
const FROM_FILE: Duration = Duration::from_secs(60);
/// How long a server's answer is waited for; a query is repeated once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where names are looked up.
pub struct Source {
    files: Files,
    asked: Mutex<Option<(Stamp, Asked)>>,
}

enum Files {
    /// This host's.
    System,
    /// None; this server is asked.
    Server(SocketAddr),
}

/// What tells one version of a file from another; [`None`] when there is no file.
type Stamp = Option<(u64, i64, i64, u64)>;

fn stamp(path: &str) -> Stamp {
    let of = fs::metadata(Path::new(path)).ok()?;
    Some((of.ino(), of.mtime(), of.mtime_nsec(), of.size()))
}

impl Source {
    pub fn system() -> Self {
        Self { files: Files::System, asked: Mutex::new(None) }
    }

    pub fn of_server(server: SocketAddr) -> Self {
        Self { files: Files::Server(server), asked: Mutex::new(None) }
    }

    /// Looks a name up once.
    pub async fn look_up(&self, name: &str, family: Family) -> Answer {
        if let Some(found) = self.without_a_server(name, family) {
            return found;
        }
        let (Some(wanted), Some(resolver)) = (name::read(name), self.resolver()) else {
            return Answer::failed(Failure::NotAName);
        };
        let until = Mutex::new(None);
        let ask = |record| one_family(&resolver, wanted.clone(), record, &until);
        let families = match family {
            Family::V4 => vec![ask(RecordType::A).await],
            Family::V6 => vec![ask(RecordType::AAAA).await],
            Family::Any => {
                let (four, six) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
                vec![four, six]
            }
        };
        let until: Option<Instant> = until.into_inner().unwrap_or_else(PoisonError::into_inner);
        let valid =
            until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        Answer { families, valid }
    }

    /// What an address is called.
    pub async fn name_of(&self, address: IpAddr) -> Option<String> {
        let found = self.resolver()?.lookup(Name::from(address), RecordType::PTR).await.ok()?;
        found.answers().iter().find_map(|answer| match &answer.data {
            RData::PTR(name) => Some(name.0.to_utf8().trim_end_matches('.').to_owned()),
            _ => None,
        })
    }

    fn without_a_server(&self, name: &str, family: Family) -> Option<Answer> {
        let mut found = match self.files {
            Files::System => hosts::addresses(&fs::read_to_string(HOSTS).unwrap_or_default(), name),
            Files::Server(_) => Vec::new(),
        };
        if found.is_empty() && is_localhost(name) {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        found.retain(|&address| family.takes(address));
        // IPv4 first, and each family in the file's order: the sort is stable.
        found.sort_by_key(IpAddr::is_ipv6);
        (!found.is_empty()).then(|| Answer { families: vec![Ok(found)], valid: FROM_FILE })
    }

    /// The resolver by the present resolv.conf. [`None`] never happens with a configuration that
    /// hickory made itself.
    fn resolver(&self) -> Option<Asked> {
        let now = match self.files {
            Files::System => stamp(RESOLV_CONF),
            Files::Server(_) => None,
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stamp, resolver)) = &*asked
            && *stamp == now
        {
            return Some(resolver.clone());
        }
        let (config, mut options, links) = match self.files {
            Files::System => {
                let read = resolv_conf::read(&fs::read(RESOLV_CONF).unwrap_or_default());
                for fault in &read.faults {
                    tracing::warn!("{RESOLV_CONF}: {fault}; this is left out, the rest is used");
                }
                let config =
                    read.config.unwrap_or_else(|| of_server((Ipv4Addr::LOCALHOST, 53).into()));
                (config, read.options, read.links)
            }
            Files::Server(server) => (of_server(server), ResolverOpts::default(), Vec::new()),
        };
        // The hosts file is read here, and again when it changes, which hickory does not do.
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 64;
        // A name's task asks again by itself: a dead server is soon known, and soon asked again.
        options.timeout = options.timeout.min(PATIENCE);
        options.attempts = options.attempts.min(1);
        let resolver = Resolver::builder_with_config(config, Servers::by_links(links))
            .with_options(options)
            .build()
            .ok()?;
        *asked = Some((now, resolver.clone()));
        Some(resolver)
    }
}

fn of_server(server: SocketAddr) -> ResolverConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections)])
}

/// RFC 6761, section 6.3: these are this host, and no server is asked.
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

async fn one_family(
    resolver: &Asked,
    name: Name,
    record: RecordType,
    until: &Mutex<Option<Instant>>,
) -> Result<Vec<IpAddr>, Failure> {
    let lookup = resolver.lookup(name, record).await.map_err(|error| failure(&error))?;
    let found: Vec<IpAddr> = lookup
        .answers()
        .iter()
        .filter(|answer| answer.record_type() == record)
        .filter_map(|answer| answer.data.ip_addr())
        .collect();
    if found.is_empty() {
        return Err(Failure::NoAddress);
    }
    let mut until = until.lock().unwrap_or_else(PoisonError::into_inner);
    *until = Some(until.map_or(lookup.valid_until(), |other| other.min(lookup.valid_until())));
    Ok(found)
}

fn failure(error: &NetError) -> Failure {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Failure::NoSuchName,
            ResponseCode::NoError => Failure::NoAddress,
            _ => Failure::ServerFailed,
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => Failure::NoSuchName,
        NetError::Dns(_) | NetError::Proto(_) => Failure::ServerFailed,
        _ => Failure::NoAnswer,
    }
}
