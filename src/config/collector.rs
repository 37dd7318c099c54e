//! `collector.toml`: as written, and as checked. Every path in it is relative to the file.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::bounded;
use crate::config::secret;
use crate::config::written::{self, Faults, Section};

mod alerts;
mod database;
mod enrolment;
mod limits;
pub mod tokens;

pub use database::{Address, Database, Encryption, Identity, Parts};

use alerts::alerts;
use enrolment::{enrolment, waiting};
use limits::limits;

/// The collector's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The database.
    pub database: Database,
    /// Its directory; made when only it is missing.
    pub data_dir: PathBuf,
    /// Its private key; made when it is missing and the database is new.
    pub key_file: PathBuf,
    /// The contracts that it hands to the agents.
    pub contracts_dir: Option<PathBuf>,
    /// TLS; without it only loopback is listened on.
    pub tls: Option<Tls>,
    /// Who is let in.
    pub enrolment: Enrolment,
    /// How many may wait to be let in, and for how long.
    pub waiting: Waiting,
    /// The file of the operator's bearer token.
    pub admin_token: Option<PathBuf>,
    /// What is too much.
    pub limits: Limits,
    /// Who is told of what is missing.
    pub alerts: Alerts,
    /// What counts as evidence.
    pub evidence: Evidence,
}

/// What counts as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// A summary whose receipt comes later than this after its span's end is late.
    pub late_after: Duration,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { late_after: crate::evidence::late::AFTER }
    }
}

/// The files of TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// Who brings a one-time token of this file.
    Token(PathBuf),
    /// Whom an operator approves.
    Operator,
    /// Everybody: for laboratories.
    Open,
}

/// How many agents may wait for an operator, and for how long. Where there would be more, the one
/// that asked longest ago goes, as if it had never asked; an agent goes on asking, so it comes
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// In all.
    pub all: u32,
    /// From one address of IPv4, or one /64 of IPv6.
    pub from_one: u32,
    /// Since they last asked.
    pub long: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { all: 10_000, from_one: 200, long: Duration::from_secs(14 * 86_400) }
    }
}

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body as it is sent.
    pub body: usize,
    /// Requests of one agent, counted once a signature was verified.
    pub per_agent: Rate,
    /// Bytes that one agent may have stored in a day.
    pub bytes_per_agent: Rate,
    /// Connections in all; a quarter of them is kept for those that have shown who they are.
    pub connections: usize,
    /// Connections from one IPv4 address, or one IPv6 network of 64 bits.
    pub connections_per_address: usize,
    /// How long it may take to judge one service in one period.
    pub judging: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: BODY,
            per_agent: Rate { count: 60, per: Duration::from_secs(60) },
            bytes_per_agent: a_day(1 << 30),
            connections: 2048,
            connections_per_address: 256,
            judging: Duration::from_secs(30),
        }
    }
}

/// So many bytes a day.
const fn a_day(bytes: u32) -> Rate {
    Rate { count: bytes, per: Duration::from_secs(86_400) }
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// Who is told of what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// How many summaries an agent may miss before it counts as silent.
    pub silent_after: u32,
    /// What ends before it lasted so long is not told.
    pub hold: Duration,
    /// So many days before its last one a claim's deadline is near.
    pub claim_days: u32,
    /// Where it is told.
    pub webhook: Option<String>,
    /// Who is told by e-mail.
    pub mail: Option<Mail>,
    /// So many messages each of them is told in so long; what is more waits, and what is of one
    /// kind becomes one message.
    pub rate: Rate,
    /// What is asked at regular intervals for as long as all is well.
    pub heartbeat: Option<String>,
    /// How often.
    pub heartbeat_every: Duration,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            silent_after: 3,
            hold: Duration::from_secs(60),
            claim_days: 7,
            webhook: None,
            mail: None,
            rate: Rate { count: 20, per: Duration::from_secs(60) },
            heartbeat: None,
            heartbeat_every: Duration::from_secs(60),
        }
    }
}

/// How e-mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The mail server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub security: MailSecurity,
    /// The authority that vouches for it (PEM), instead of the system's.
    pub ca: Option<PathBuf>,
    /// The user that is logged in, and the file that holds its password.
    pub login: Option<(String, PathBuf)>,
    /// Who sends.
    pub from: String,
    /// Who is told.
    pub to: Vec<String>,
    /// So many messages in so long, where it is another rate than that of all.
    pub rate: Option<Rate>,
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// TLS after STARTTLS, or nothing is sent (RFC 3207).
    StartTls,
    /// In the clear: only to this host itself.
    None,
}

/// The most that a body may be, by the wire format.
const BODY: usize = 4 * 1024 * 1024;

impl CollectorConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All faults together, each with its place.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = bounded::read_text(path).map_err(|error| {
            let file = path.display();
            Faults(vec![match error.kind() {
                ErrorKind::NotFound => {
                    format!(
                        "{file}: it is not there; name the collector's configuration with \
                        --config FILE"
                    )
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
        let beside = path.parent().unwrap_or(Path::new(""));
        let config = Self::parse(&text, &path.display().to_string(), beside)?;
        match secret::exposed(path).filter(|_| config.database.has_password()) {
            Some(why) => Err(Faults(vec![format!("{why}: the database's password is in it")])),
            None => Ok(config),
        }
    }

    /// Checks a text; `file` is its name in faults, relative paths are beside it.
    ///
    /// # Errors
    /// All faults together, each with its place.
    pub fn parse(text: &str, file: &str, beside: &Path) -> Result<Self, Faults> {
        written::read(text, file, |root| read(root, beside))
    }
}

fn read(root: &Section<'_>, beside: &Path) -> Option<CollectorConfig> {
    let listen = root.parsed("listen", "an address and a port, such as \"0.0.0.0:8443\"", |text| {
        text.parse::<SocketAddr>().ok()
    });
    if !root.has("listen") {
        root.fault("listen is missing");
    }
    let database =
        root.needed_text("database").and_then(|written| database::read(root, &written, beside));
    let path = |key| root.text(key).map(|path| beside.join(path));
    let data_dir = path("data_dir").or_else(|| dir_of(root, database.as_ref()?));
    let key_file = path("key_file").or_else(|| Some(data_dir.as_ref()?.join("collector.key")));
    let contracts_dir = path("contracts_dir");
    let tls = root.section("tls").map(|section| tls(&section, beside));
    if let Some(listen) = listen.filter(|listen| tls.is_none() && !listen.ip().is_loopback()) {
        root.fault(format_args!(
            "listen {listen} can be reached from elsewhere, and without [tls] everything would be \
                sent in the clear: give [tls] a cert and a key, or listen on 127.0.0.1"
        ));
    }
    let (enrolment, waiting) = match root.section("enrolment") {
        Some(section) => (enrolment(&section, beside), waiting(&section)),
        None => (Some(Enrolment::Operator), Waiting::default()),
    };
    let admin_token = root
        .section("admin")
        .map(|section| tokens_in(&section, beside, |text| tokens::admin(text).1));
    let limits = match root.section("limits") {
        Some(section) => limits(&section),
        None => Limits::default(),
    };
    let alerts = match root.section("alerts") {
        Some(section) => alerts(&section, beside),
        None => Some(Alerts::default()),
    };
    let evidence = root.section("evidence").map(|section| evidence(&section)).unwrap_or_default();
    Some(CollectorConfig {
        listen: listen?,
        database: database?,
        data_dir: data_dir?,
        key_file: key_file?,
        contracts_dir,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        enrolment: enrolment?,
        waiting,
        admin_token: match admin_token {
            Some(path) => Some(path?),
            None => None,
        },
        limits,
        alerts: alerts?,
        evidence,
    })
}

/// The directory of a database that is a file.
fn dir_of(root: &Section<'_>, database: &Database) -> Option<PathBuf> {
    match database {
        // A file that is named alone lies in the working directory, whose parent is no name.
        Database::Sqlite(path) => path.parent().map(|parent| Path::new(".").join(parent)),
        Database::Postgres(_) => {
            root.fault(
                "data_dir is missing: where the database is a server, the collector's key \
                still lies here",
            );
            None
        }
    }
}

/// A file that must be there.
fn readable<'a>(section: &Section<'a>, key: &'a str, beside: &Path) -> Option<PathBuf> {
    let path = beside.join(section.needed_text(key)?);
    match std::fs::File::open(&path) {
        Ok(_) => Some(path),
        Err(error) => {
            section.fault(format_args!("{key}: {} cannot be read: {error}", path.display()));
            None
        }
    }
}

/// A file of tokens, each line of which must be one.
fn tokens_in(
    section: &Section<'_>,
    beside: &Path,
    faults: impl Fn(&str) -> Vec<String>,
) -> Option<PathBuf> {
    let path = secret::named(section, "token_file", beside)?;
    let text =
        secret::read(&path).map_err(|why| section.fault(format_args!("token_file: {why}"))).ok()?;
    let faults = faults(&text);
    for what in &faults {
        section.fault(format_args!("token_file: {}: {what}", path.display()));
    }
    faults.is_empty().then_some(path)
}

fn tls(section: &Section<'_>, beside: &Path) -> Option<Tls> {
    let (cert, key) = (readable(section, "cert", beside), secret::named(section, "key", beside));
    Some(Tls { cert: cert?, key: key? })
}

/// How a rate is written.
const RATE: &str = "a rate such as \"60/m\" (s, m or h)";

fn rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let per = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let count = count.parse().ok().filter(|&count| count > 0)?;
    Some(Rate { count, per: Duration::from_secs(per) })
}

/// The shortest time is longer than an agent's longest span, and the longest shorter than a claim
/// waits.
fn evidence(section: &Section<'_>) -> Evidence {
    let within = Duration::from_secs(2 * 3600)..=Duration::from_secs(14 * 86_400);
    let late_after = section.duration("late_after", within);
    Evidence { late_after: late_after.unwrap_or(Evidence::default().late_after) }
}

/// A whole number, written as one or in quotes.
fn number<'a>(
    section: &Section<'a>,
    key: &'a str,
    range: std::ops::RangeInclusive<u32>,
) -> Option<u32> {
    let expected =
        format!("a whole number from {} to {}, such as \"3\"", range.start(), range.end());
    section.word_or_number(key, &expected, |written| {
        let number = match written {
            Ok(text) => text.parse().ok()?,
            Err(number) => number,
        };
        u32::try_from(number).ok().filter(|number| range.contains(number))
    })
}

#[cfg(test)]
mod tests;
