//! `collector.toml`: as written, and as checked. Every path in it is relative to the file.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use database::{Address, Database, Encryption, Identity, Parts};

use crate::base::bounded;
use crate::config::secret;
use crate::config::written::{self, Faults, Section, parse_bytes};

mod database;
pub mod tokens;

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
                ErrorKind::PermissionDenied => format!(
                    "{file}: this user may not read it; try \
                    again with sudo"
                ),
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
        text.parse().ok()
    });
    if !root.has("listen") {
        root.fault("listen is missing");
    }
    let database =
        root.needed_text("database").and_then(|written| database::read(root, &written, beside));
    let path = |key| root.text(key).map(|path| beside.join(path));
    let data_dir = path("data_dir").or_else(|| match database.as_ref()? {
        // A file that is named alone lies in the working directory, whose parent is no name.
        Database::Sqlite(path) => path.parent().map(|parent| Path::new(".").join(parent)),
        Database::Postgres(_) => {
            root.fault(
                "data_dir is missing: where the database is a server, the collector's key \
                still lies here",
            );
            None
        }
    });
    let key_file = path("key_file").or_else(|| Some(data_dir.as_ref()?.join("collector.key")));
    let contracts_dir = path("contracts_dir");
    let tls = root.section("tls").map(|section| tls(&section, beside));
    if let (Some(listen), None) = (listen, &tls) {
        let listen: SocketAddr = listen;
        if !listen.ip().is_loopback() {
            root.fault(format_args!(
                "listen {listen} can be reached from elsewhere, and without [tls] everything \
                    would be sent in the clear: \
                 give [tls] a cert and a key, or listen on 127.0.0.1"
            ));
        }
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
        evidence: root.section("evidence").map(|section| evidence(&section)).unwrap_or_default(),
    })
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

fn waiting(section: &Section<'_>) -> Waiting {
    let usual = Waiting::default();
    Waiting {
        all: number(section, "pending", 1..=1_000_000).unwrap_or(usual.all),
        from_one: number(section, "pending_per_address", 1..=1_000_000).unwrap_or(usual.from_one),
        long: section
            .duration("pending_for", Duration::from_secs(3600)..=Duration::from_secs(400 * 86_400))
            .unwrap_or(usual.long),
    }
}

fn tls(section: &Section<'_>, beside: &Path) -> Option<Tls> {
    let (cert, key) = (readable(section, "cert", beside), secret::named(section, "key", beside));
    Some(Tls { cert: cert?, key: key? })
}

fn enrolment(section: &Section<'_>, beside: &Path) -> Option<Enrolment> {
    #[derive(Clone, Copy)]
    enum Mode {
        Token,
        Operator,
        Open,
    }
    let modes = [("token", Mode::Token), ("operator", Mode::Operator), ("open", Mode::Open)];
    let mode = section.one_of("mode", &modes);
    if !section.has("mode") {
        section.fault("mode is missing: token, operator or open");
    }
    match mode? {
        Mode::Token => {
            tokens_in(section, beside, |text| tokens::enrolment(text).1).map(Enrolment::Token)
        }
        // A token file may stay in the file while another mode is tried.
        Mode::Operator => section
            .text("token_file")
            .map_or(Some(Enrolment::Operator), |_| Some(Enrolment::Operator)),
        Mode::Open => {
            section.text("token_file").map_or(Some(Enrolment::Open), |_| Some(Enrolment::Open))
        }
    }
}

fn limits(section: &Section<'_>) -> Limits {
    let body = section.parsed("body", "a size from \"1KiB\" to \"4MiB\"", |text| {
        parse_bytes(text)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| (1024..=BODY).contains(bytes))
    });
    let per_agent = section.parsed("per_agent", RATE, rate);
    let stored = section.parsed("bytes_per_agent", "a size from \"1MiB\" to \"3GiB\"", |text| {
        parse_bytes(text)
            .and_then(|bytes| u32::try_from(bytes).ok())
            .filter(|bytes| (1 << 20..=3 << 30).contains(bytes))
    });
    let many =
        |key| number(section, key, 16..=65_536).and_then(|number| usize::try_from(number).ok());
    let (connections, each) = (many("connections"), many("connections_per_address"));
    let judging = section.duration("judging", Duration::from_secs(1)..=Duration::from_secs(600));
    let standard = Limits::default();
    let limits = Limits {
        body: body.unwrap_or(standard.body),
        per_agent: per_agent.unwrap_or(standard.per_agent),
        bytes_per_agent: stored.map_or(standard.bytes_per_agent, a_day),
        connections: connections.unwrap_or(standard.connections),
        connections_per_address: each.unwrap_or(standard.connections_per_address),
        judging: judging.unwrap_or(standard.judging),
    };
    if each.is_some() && limits.connections_per_address > limits.connections {
        section.fault(format_args!(
            "connections_per_address = {} is more than connections, {}: one address could take all",
            limits.connections_per_address, limits.connections
        ));
    }
    limits
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

fn alerts(section: &Section<'_>, beside: &Path) -> Option<Alerts> {
    let standard = Alerts::default();
    let silent_after = number(section, "silent_after", 1..=1000).unwrap_or(standard.silent_after);
    let claim_days = number(section, "claim_days", 0..=366).unwrap_or(standard.claim_days);
    let hold = section
        .duration("hold", Duration::ZERO..=Duration::from_secs(86_400))
        .unwrap_or(standard.hold);
    let url = |key| {
        section.parsed(key, "an address that begins with https:// or http://", |text| {
            (text.starts_with("https://") || text.starts_with("http://")).then(|| text.to_owned())
        })
    };
    let (webhook, heartbeat) = (url("webhook"), url("heartbeat"));
    let rate = section.parsed("rate", RATE, rate).unwrap_or(standard.rate);
    let heartbeat_every = section
        .duration("heartbeat_every", Duration::from_secs(1)..=Duration::from_secs(86_400))
        .unwrap_or(standard.heartbeat_every);
    if heartbeat.is_none() && section.has("heartbeat_every") && !section.has("heartbeat") {
        section.fault("heartbeat_every is there without heartbeat");
    }
    let mail = match section.section("mail") {
        Some(section) => Some(mail(&section, beside)?),
        None => None,
    };
    Some(Alerts { silent_after, hold, claim_days, webhook, mail, rate, heartbeat, heartbeat_every })
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

fn mail(section: &Section<'_>, beside: &Path) -> Option<Mail> {
    let kinds = [
        ("tls", MailSecurity::Tls),
        ("starttls", MailSecurity::StartTls),
        ("none", MailSecurity::None),
    ];
    let security = section
        .one_of("security", &kinds)
        .or_else(|| (!section.has("security")).then_some(MailSecurity::Tls));
    let server = section.needed_text("server").and_then(|server| {
        let read = server
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
        if read.is_none() {
            section.fault(format_args!(
                "server = {server:?} is not right: expected \"smtp.example.net:465\""
            ));
        }
        read
    });
    if let (Some((host, _)), Some(MailSecurity::None)) = (&server, security) {
        let here = host.trim_matches(['[', ']']);
        if here != "localhost"
            && !here.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        {
            section.fault(
                "security = \"none\" sends everything in the clear: it is only for a \
                server on this host; use tls or starttls",
            );
        }
    }
    let ca = section.has("ca").then(|| readable(section, "ca", beside));
    let (user, has_password) = (section.text("user"), section.has("password_file"));
    if user.is_none() && has_password {
        section.fault("password_file is there without user");
    }
    let login = user.map(|user| Some((user, secret::named(section, "password_file", beside)?)));
    let address = |text: &str| {
        text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    };
    let from = section.needed_text("from").filter(|from| {
        let sound = address(from);
        if !sound {
            section.fault(format_args!("from = {from:?} is no e-mail address"));
        }
        sound
    });
    let to: Vec<String> = section.texts("to").unwrap_or_default();
    if to.is_empty() || !to.iter().all(|to| address(to)) {
        section.fault("to: expected a list of e-mail addresses, such as [\"noc@example.net\"]");
    }
    let rate = section.parsed("rate", RATE, rate);
    let (host, port) = server?;
    // A file that cannot be read was told above; nothing is made of half a section.
    let whole = |read: Option<Option<PathBuf>>| read.is_none_or(|read| read.is_some());
    if !whole(ca.clone()) || login.as_ref().is_some_and(Option::is_none) {
        return None;
    }
    Some(Mail {
        host,
        port,
        security: security?,
        ca: ca.flatten(),
        login: login.flatten(),
        from: from?,
        to,
        rate,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn parse(text: &str, beside: &Path) -> Result<CollectorConfig, Faults> {
        CollectorConfig::parse(text, "collector.toml", beside)
    }

    #[test]
    fn the_whole_file_is_read_and_paths_are_beside_it() {
        let at = tempfile::tempdir().unwrap();
        for name in ["tokens", "admin-token", "cert.pem", "key.pem"] {
            std::fs::write(at.path().join(name), "sixteen characters").unwrap();
            std::fs::set_permissions(at.path().join(name), std::fs::Permissions::from_mode(0o600))
                .unwrap();
        }
        let text = r#"
            listen = "0.0.0.0:8443"
            database = "sqlite:collector.db"
            data_dir = "/var/lib/wanproof-collector"
            key_file = "collector.key"
            contracts_dir = "contracts"
            tls = { cert = "cert.pem", key = "key.pem" }
            enrolment = { mode = "token", token_file = "tokens" }
            admin = { token_file = "admin-token" }
            limits = { body = "2MiB", per_agent = "10/s", bytes_per_agent = "16MiB" }
            alerts = { silent_after = "5", webhook = "https://example.net/hook" }
        "#;
        let config = parse(text, at.path()).unwrap();
        assert_eq!(config.database, Database::Sqlite(at.path().join("collector.db")));
        assert_eq!(config.data_dir, Path::new("/var/lib/wanproof-collector"));
        assert_eq!(config.enrolment, Enrolment::Token(at.path().join("tokens")));
        assert_eq!(config.limits.body, 2 << 20);
        assert_eq!(config.limits.per_agent, Rate { count: 10, per: Duration::from_secs(1) });
        assert_eq!(
            config.limits.bytes_per_agent,
            Rate { count: 16 << 20, per: Duration::from_secs(86_400) }
        );
        assert_eq!(config.alerts.silent_after, 5);
    }

    #[test]
    fn a_database_beside_a_configuration_in_the_working_directory_lies_there_too() {
        let config =
            parse("listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:c.db\"", Path::new("")).unwrap();
        assert_eq!(
            (config.data_dir.as_path(), config.key_file.as_path()),
            (Path::new("."), Path::new("./collector.key"))
        );
    }

    #[test]
    fn a_short_file_gets_safe_defaults() {
        let config =
            parse("listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:/x/c.db\"", Path::new("/etc"))
                .unwrap();
        assert_eq!(
            (config.data_dir.as_path(), config.enrolment),
            (Path::new("/x"), Enrolment::Operator)
        );
        assert_eq!(config.key_file, Path::new("/x/collector.key"));
        assert_eq!(config.limits.per_agent, Rate { count: 60, per: Duration::from_secs(60) });
    }

    #[test]
    fn all_faults_are_told_together() {
        let text = r#"
            listen = "0.0.0.0:80"
            database = "mysql://u:secret@h/d"
            typo = 1
            enrolment = { mode = "token" }
            admin = { token_file = "no-such-file" }
            limits = { body = "5MiB", per_agent = "0/m", bytes_per_agent = "4GiB" }
            alerts = { silent_after = 0, webhook = "example.net" }
        "#;
        let faults = parse(text, Path::new("/nowhere")).unwrap_err().0;
        for part in [
            "listen 0.0.0.0:80 can be reached from elsewhere",
            "database = \"mysql\" is not right",
            "[enrolment]: token_file is missing",
            "[admin]: token_file: /nowhere/no-such-file cannot be read",
            "[limits]: body = \"5MiB\"",
            "[limits]: per_agent = \"0/m\"",
            "[limits]: bytes_per_agent = \"4GiB\"",
            "[alerts]: silent_after = 0",
            "[alerts]: webhook = \"example.net\"",
            "typo is no key that is known here",
        ] {
            assert_eq!(
                faults.iter().filter(|fault| fault.contains(part)).count(),
                1,
                "{part}: {faults:#?}"
            );
        }
        assert_eq!(faults.len(), 10, "{faults:#?}");
    }
}
