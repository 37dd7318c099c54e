//! Who is told of what is missing: [alerts] and [alerts.mail].

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::secret;
use crate::config::written::Section;

use super::{Alerts, Mail, MailSecurity, RATE, number, rate, readable};

pub(super) fn alerts(section: &Section<'_>, beside: &Path) -> Option<Alerts> {
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

pub(super) fn mail(section: &Section<'_>, beside: &Path) -> Option<Mail> {
    let kinds = [
        ("tls", MailSecurity::Tls),
        ("starttls", MailSecurity::StartTls),
        ("none", MailSecurity::None),
    ];
    let security = section
        .one_of("security", &kinds)
        .or_else(|| (!section.has("security")).then_some(MailSecurity::Tls));
    let server = mail_server(section);
    if let (Some((host, _)), Some(MailSecurity::None)) = (&server, security)
        && !is_here(host)
    {
        section.fault(
            "security = \"none\" sends everything in the clear: it is only for a \
            server on this host; use tls or starttls",
        );
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

/// The name and port of the mail server.
fn mail_server(section: &Section<'_>) -> Option<(String, u16)> {
    let server = section.needed_text("server")?;
    let read = server
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
    if read.is_none() {
        section.fault(format_args!(
            "server = {server:?} is not right: expected \"smtp.example.net:465\""
        ));
    }
    read
}

/// Whether a server is this host itself.
fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
