//! `agent.toml`: as written, and as checked.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::bounded;
use crate::config::probe::{Written, probe, read_beside, split_url};
use crate::config::secret;
use crate::config::written::{self, Faults, Section};
use crate::measure::probe::Probe;

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
    pub probes: Vec<Arc<Probe>>,
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

/// The socket's name in the data directory.
const SOCKET: &str = "agent.sock";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads and checks a configuration; files that it names are looked for beside it.
///
/// # Errors
/// All faults together.
pub fn load(path: &Path) -> Result<AgentConfig, Faults> {
    let file = path.display().to_string();
    let text = bounded::read_text(path).map_err(|error| {
        Faults(vec![match error.kind() {
            ErrorKind::NotFound => {
                format!("{file}: it is not there; `wanproof init` writes one to begin with")
            }
            ErrorKind::PermissionDenied => {
                format!("{file}: this user may not read it; try again with sudo")
            }
            // What is no text says so itself.
            ErrorKind::InvalidData | ErrorKind::IsADirectory | ErrorKind::FileTooLarge => {
                format!("{file}: {error}")
            }
            _ => format!("{file}: it cannot be read: {error}"),
        }])
    })?;
    let beside = path.parent().unwrap_or(Path::new("."));
    parse(&text, &file, beside)
}

/// Where an agent's data is, and the socket at which it can be asked while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The database, the key, what was received.
    pub data_dir: PathBuf,
    /// The socket.
    pub status_socket: PathBuf,
}

impl Places {
    /// Those of a directory by itself.
    #[must_use]
    pub fn beside(data_dir: PathBuf) -> Self {
        Self { status_socket: data_dir.join(SOCKET), data_dir }
    }
}

impl AgentConfig {
    /// Where the agent's data is.
    #[must_use]
    pub fn places(&self) -> Places {
        Places { data_dir: self.data_dir.clone(), status_socket: self.status_socket.clone() }
    }
}

/// Where the agent's data is, by a configuration that may have any other fault; [`None`] where it
/// does not say so.
#[must_use]
pub fn places(path: &Path) -> Option<Places> {
    let table: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let mut places = Places::beside(beside.join(table.get("data_dir")?.as_str()?));
    if let Some(socket) = table.get("status_socket").and_then(toml::Value::as_str) {
        places.status_socket = beside.join(socket);
    }
    Some(places)
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
    let contracts =
        root.texts("contracts").unwrap_or_default().iter().map(|path| beside.join(path)).collect();
    let socket = root.text("status_socket").map(|path| beside.join(path));
    let collector = root.section("collector").and_then(|section| collector(&section, beside));
    let keep = root.section("store").map_or_else(Keep::default, |section| keep(&section));
    let metrics = root.section("metrics").and_then(|section| metrics(&section));
    let hooks = root.section("hooks").map_or_else(Hooks::default, |section| hooks(&section));
    let defaults = root.section("defaults").map_or_else(Written::default, |mut section| {
        section.call("[defaults]".to_owned());
        Written::read(&section, beside)
    });
    let probes = probes(root, &defaults, beside);
    let data_dir = data_dir?;
    Some(AgentConfig {
        site: site?,
        contracts,
        status_socket: socket.unwrap_or_else(|| data_dir.join(SOCKET)),
        data_dir,
        collector,
        keep,
        metrics,
        hooks,
        probes,
    })
}

/// Where metrics are shown.
fn metrics(section: &Section<'_>) -> Option<SocketAddr> {
    let listen =
        section.parsed("listen", "an address and port such as \"127.0.0.1:9464\"", |text| {
            text.parse().ok()
        });
    if !section.has("listen") {
        section.fault("listen is missing");
    }
    listen
}

fn probes(root: &Section<'_>, defaults: &Written, beside: &Path) -> Vec<Arc<Probe>> {
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
                section
                    .fault("name: expected 1 to 64 letters, digits, dots, hyphens or underscores");
            }
            if !names.insert(name.clone()) {
                section.fault("another probe has this name");
            }
            probes.extend(probe(&section, name, defaults, beside).map(Arc::new));
        } else {
            // Its other faults are told all the same.
            probe(&section, String::new(), defaults, beside);
        }
    }
    probes.shrink_to_fit();
    probes
}

/// A name that is safe in files, tables and URLs.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Checks a collector's address; `insecure` allows one that is not encrypted.
///
/// # Errors
/// The address, and what is wrong with it.
pub fn collector_url(url: &str, insecure: bool) -> Result<(), String> {
    match split_url(url) {
        Ok(parts) if parts.has_scope() => Err(format!("{url:?}: {NO_LINK}")),
        Ok(parts) if parts.secure || insecure || parts.is_loopback() => Ok(()),
        Ok(_) => Err(format!(
            "{url:?} is not encrypted: use https://, or say insecure = true if the way there is \
             trusted"
        )),
        Err(what) => Err(format!("{url:?}: {what}")),
    }
}

fn collector(section: &Section<'_>, beside: &Path) -> Option<Collector> {
    let url = section.needed_text("url").map(|url| url.trim_end_matches('/').to_owned());
    let insecure = section.truth("insecure").unwrap_or(false);
    let url = url.filter(|url| match collector_url(url, insecure) {
        Ok(()) => true,
        Err(what) => {
            section.fault(format_args!("url {what}"));
            false
        }
    });
    let every =
        section.duration("every", Duration::from_secs(1)..=60 * MINUTE).unwrap_or(5 * MINUTE);
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
        (None, Some(path)) => secret::text_of(section, "token_file", &beside.join(path))
            .map(|text| text.trim().to_owned()),
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
            text => crate::base::time::parse_duration(text)
                .ok()
                .filter(|length| *length >= DAY)
                .map(Term::For),
        })
    };
    let keep = Keep {
        commit: section
            .duration("commit", Duration::from_secs(1)..=60 * MINUTE)
            .unwrap_or(usual.commit),
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

/// Only probes leave by an interface that an address names.
const NO_LINK: &str = "a link-local address cannot be used here: give another one, or a name";

fn hooks(section: &Section<'_>) -> Hooks {
    let webhook = section.text("webhook");
    // It may hold a secret: it is not repeated.
    match webhook.as_deref().map(split_url) {
        Some(Err(what)) => section.fault(format_args!("webhook: {what}")),
        Some(Ok(parts)) if parts.has_scope() => section.fault(format_args!("webhook: {NO_LINK}")),
        _ => {}
    }
    let command = section.texts("command").unwrap_or_default();
    if command.first().is_some_and(String::is_empty) {
        section.fault("command: its first word names the program, and is empty");
    }
    Hooks { webhook, command }
}

#[cfg(test)]
mod tests;
