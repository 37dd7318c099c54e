//! What a scenario says, and what it decides for each packet: pure, so that a test can ask in
//! advance what the network will do to the n-th packet for an address.
//!
//! A scenario is a TOML file; every key but `at` may be left out:
//!
//! ```toml
//! seed = 42                              # equal seeds, equal fates: they depend on seed, address, protocol and number
//! device = "wan0"
//! mtu = 65535                            # of the device; what is larger arrives in fragments, which are ignored
//! local = ["10.99.0.2", "fd99::2"]       # this host's addresses on the device
//!
//! [[address]]                            # one or many; the longest prefix that holds an address rules it
//! at = ["10.99.1.1", "fd99:1::/64"]      # each gets a route; what no entry names has none
//! delay = "20ms"                         # of the round trip
//! jitter = "2ms"                         # see `shape`
//! shape = "uniform"                      # uniform: delay ± jitter, evenly; normal: jitter is the standard deviation;
//!                                        # exponential: delay + an exponential one of mean `jitter`; never below zero
//! loss = 0.01                            # a share from 0 to 1, of packets towards the address
//! lose = ["3", "10-19"]                  # these packets for each address, counted from 0, by protocol
//! duplicate = 0.01                       # a second reply, `duplicate_after` the first
//! duplicate_after = "1ms"
//! reorder = 0.01                         # held back by `reorder_by` more, so that later ones overtake it
//! reorder_by = "5ms"
//! since = "start"                        # windows count from: start (when it said ready) | first_packet (of the address)
//! outages = [{ from = "5s", to = "8s" }] # nothing comes back; with `down_hop = 2` the routers before hop 2 answer
//! windows = [{ from = "9s", to = "10s", delay = "1s", jitter = "0s", loss = 0.5, refuse = "host-unreachable" }]
//! refuse = "host-unreachable"            # an ICMP error instead of an answer, see `Refusal`; `reset` for TCP
//! path = ["10.98.0.1", "10.98.0.2"]      # routers on the way, the first hop first; of the address's family
//! reply_ttl = 57                         # else 64 less the routers
//! path_mtu = 1400                        # what is larger and may not be fragmented: packet too big
//! http = 80                              # this TCP port is the built-in HTTP server's
//! tcp = [[8443, 8443]]                   # port at the address, port of a server in the namespace that listens on any address
//! udp = [[53, 5353]]
//! ```

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use wanproof::base::time::{nanos_of, parse_duration};

/// A scenario as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    seed: u64,
    device: Option<String>,
    mtu: Option<u16>,
    local: Option<Vec<IpAddr>>,
    #[serde(default)]
    address: Vec<WrittenAddress>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAddress {
    at: OneOrMany,
    delay: Option<Length>,
    jitter: Option<Length>,
    #[serde(default)]
    shape: Shape,
    #[serde(default)]
    loss: f64,
    #[serde(default)]
    lose: Vec<Span>,
    #[serde(default)]
    duplicate: f64,
    duplicate_after: Option<Length>,
    #[serde(default)]
    reorder: f64,
    reorder_by: Option<Length>,
    #[serde(default)]
    since: Since,
    #[serde(default)]
    outages: Vec<WrittenOutage>,
    #[serde(default)]
    windows: Vec<WrittenWindow>,
    refuse: Option<Refusal>,
    #[serde(default)]
    path: Vec<IpAddr>,
    reply_ttl: Option<u8>,
    path_mtu: Option<u16>,
    http: Option<u16>,
    #[serde(default)]
    tcp: Vec<(u16, u16)>,
    #[serde(default)]
    udp: Vec<(u16, u16)>,
}

/// One prefix, or a list of them.
#[derive(Debug, Clone)]
struct OneOrMany(Vec<Prefix>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = match toml::Value::deserialize(from)? {
            toml::Value::Array(texts) => texts,
            one => vec![one],
        };
        let prefix = |text: &toml::Value| {
            text.as_str().unwrap_or("this").parse().map_err(serde::de::Error::custom)
        };
        texts.iter().map(prefix).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOutage {
    from: Length,
    to: Length,
    down_hop: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    from: Length,
    to: Length,
    delay: Option<Length>,
    jitter: Option<Length>,
    loss: Option<f64>,
    refuse: Option<Refusal>,
}

/// A duration in nanoseconds, written as in configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let length =
            parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)?;
        Ok(Self(nanos_of(length).unsigned_abs()))
    }
}

/// Packet numbers, both ends included: `3` or `10-19`.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub u64, pub u64);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let number = |part: &str| {
            let fault = |_| {
                serde::de::Error::custom(format!(
                    "{text:?} is not a packet number or a range such as 10-19"
                ))
            };
            part.parse::<u64>().map_err(fault)
        };
        Ok(Self(number(first)?, number(last)?))
    }
}

/// An address prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Its first address.
    pub address: IpAddr,
    /// How many leading bits it fixes.
    pub bits: u8,
}

impl Prefix {
    /// Whether an address is in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same_bits(u32::from(a).into(), u32::from(b).into(), 32 - u32::from(self.bits))
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                same_bits(a.into(), b.into(), 128 - u32::from(self.bits))
            }
            _ => false,
        }
    }
}

fn same_bits(a: u128, b: u128, ignored: u32) -> bool {
    (a ^ b).checked_shr(ignored).unwrap_or(0) == 0
}

impl FromStr for Prefix {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is not an address or prefix such as 10.99.1.0/24");
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| fault())?;
        if bits > most { Err(fault()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// How jitter is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Evenly over delay ± jitter.
    #[default]
    Uniform,
    /// Normally around the delay, jitter being the standard deviation (the sum of twelve even
    /// draws).
    Normal,
    /// Exponentially above the delay, jitter being the mean.
    Exponential,
}

/// What windows are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// From when the network said that it is ready.
    #[default]
    Start,
    /// From the first packet for the address.
    FirstPacket,
}

/// The error that comes instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// ICMP 3/0; ICMPv6 1/0.
    NetUnreachable,
    /// ICMP 3/1; ICMPv6 1/3.
    HostUnreachable,
    /// ICMP 3/2; ICMPv6 4/1.
    ProtocolUnreachable,
    /// ICMP 3/3; ICMPv6 1/4.
    PortUnreachable,
    /// ICMP 3/13; ICMPv6 1/1.
    AdminProhibited,
    /// ICMP 11/0; ICMPv6 3/0: a routing loop.
    TimeExceeded,
    /// A TCP reset; for other protocols as `PortUnreachable`.
    Reset,
}

impl Refusal {
    /// Its word, as written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NetUnreachable => "net-unreachable",
            Self::HostUnreachable => "host-unreachable",
            Self::ProtocolUnreachable => "protocol-unreachable",
            Self::PortUnreachable => "port-unreachable",
            Self::AdminProhibited => "admin-prohibited",
            Self::TimeExceeded => "time-exceeded",
            Self::Reset => "reset",
        }
    }
}

/// A scenario, checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What all draws come from.
    pub seed: u64,
    /// The device's name.
    pub device: String,
    /// The device's MTU.
    pub mtu: u16,
    /// This host's addresses on the device.
    pub local: Vec<IpAddr>,
    /// The rules, each with its prefixes.
    pub rules: Vec<Rules>,
}

/// What happens to packets for some addresses. Times are in nanoseconds.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The addresses.
    pub at: Vec<Prefix>,
    pub(super) base: Figures,
    pub(super) shape: Shape,
    pub(super) lose: Vec<Span>,
    pub(super) duplicate: f64,
    pub(super) duplicate_after: u64,
    pub(super) reorder: f64,
    pub(super) reorder_by: u64,
    /// What windows count from.
    pub since: Since,
    pub(super) windows: Vec<Window>,
    /// The routers on the way.
    pub path: Vec<IpAddr>,
    /// The TTL that answers arrive with.
    pub reply_ttl: u8,
    /// What larger packets do not pass.
    pub path_mtu: Option<u16>,
    /// The built-in HTTP server's port at the address.
    pub http: Option<u16>,
    /// TCP ports at the address, and those of the servers behind them.
    pub tcp: Vec<(u16, u16)>,
    /// The same for UDP.
    pub udp: Vec<(u16, u16)>,
}

/// The figures that a window may change.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub(super) delay: u64,
    pub(super) jitter: u64,
    pub(super) loss: f64,
    pub(super) refuse: Option<Refusal>,
}

#[derive(Debug, Clone)]
pub struct Window {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) down: Option<usize>,
    pub(super) delay: Option<u64>,
    pub(super) jitter: Option<u64>,
    pub(super) loss: Option<f64>,
    pub(super) refuse: Option<Refusal>,
}

impl Scenario {
    /// Reads and checks a scenario; all that is wrong is said in one text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|fault| fault.to_string())?;
        let mut faults = Vec::new();
        let mut rules = Vec::new();
        for address in written.address {
            match Rules::check(address) {
                Ok(one) => rules.push(one),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        let local = written.local.unwrap_or_else(|| {
            ["10.99.0.2", "fd99::2"]
                .map(|address| address.parse().expect("these are addresses"))
                .to_vec()
        });
        Ok(Self {
            seed: written.seed,
            device: written.device.unwrap_or_else(|| "wan0".to_owned()),
            mtu: written.mtu.unwrap_or(u16::MAX),
            local,
            rules,
        })
    }

    /// The place, among the rules, of those for an address.
    pub fn rules_of(&self, address: IpAddr) -> Option<usize> {
        let held =
            |rules: &Rules| rules.at.iter().filter(|at| at.holds(address)).map(|at| at.bits).max();
        let all =
            self.rules.iter().enumerate().filter_map(|(place, rules)| Some((held(rules)?, place)));
        all.max_by_key(|&(bits, place)| (bits, std::cmp::Reverse(place))).map(|(_, place)| place)
    }
}

impl Rules {
    fn check(written: WrittenAddress) -> Result<Self, String> {
        let at = written.at.0;
        let name = at.first().map_or_else(|| "address".to_owned(), ToString::to_string);
        let shares = [written.loss, written.duplicate, written.reorder];
        let mut shares =
            shares.into_iter().chain(written.windows.iter().filter_map(|window| window.loss));
        if !shares.all(|share| (0.0..=1.0).contains(&share)) {
            return Err(format!("{name}: loss, duplicate and reorder are shares from 0 to 1"));
        }
        let outages = written.outages.iter().map(|outage| Window {
            from: outage.from.0,
            to: outage.to.0,
            down: Some(outage.down_hop.unwrap_or(1)),
            delay: None,
            jitter: None,
            loss: None,
            refuse: None,
        });
        let windows = written.windows.iter().map(|window| Window {
            from: window.from.0,
            to: window.to.0,
            down: None,
            delay: window.delay.map(|length| length.0),
            jitter: window.jitter.map(|length| length.0),
            loss: window.loss,
            refuse: window.refuse,
        });
        let windows: Vec<Window> = outages.chain(windows).collect();
        if windows.iter().any(|window| window.to <= window.from) {
            return Err(format!("{name}: a window ends after it begins"));
        }
        let hops = u8::try_from(written.path.len()).unwrap_or(u8::MAX);
        if hops > 60
            || written
                .path
                .iter()
                .any(|hop| at.iter().any(|at| at.address.is_ipv4() != hop.is_ipv4()))
        {
            return Err(format!(
                "{name}: a path has at most 60 routers, all of the address's family"
            ));
        }
        for ports in [&written.tcp, &written.udp] {
            if (1..ports.len()).any(|one| {
                ports[..one].iter().any(|(port, to)| *port == ports[one].0 || *to == ports[one].1)
            }) {
                return Err(format!(
                    "{name}: a port leads to one server, and a server stands behind one port"
                ));
            }
        }
        Ok(Self {
            at,
            base: Figures {
                delay: written.delay.map_or(0, |length| length.0),
                jitter: written.jitter.map_or(0, |length| length.0),
                loss: written.loss,
                refuse: written.refuse,
            },
            shape: written.shape,
            lose: written.lose,
            duplicate: written.duplicate,
            duplicate_after: written.duplicate_after.map_or(1_000_000, |length| length.0),
            reorder: written.reorder,
            reorder_by: written.reorder_by.map_or(5_000_000, |length| length.0),
            since: written.since,
            windows,
            reply_ttl: written.reply_ttl.unwrap_or(64 - hops),
            path: written.path,
            path_mtu: written.path_mtu,
            http: written.http,
            tcp: written.tcp,
            udp: written.udp,
        })
    }
}
