//! How somebody is told: by a webhook, or by e-mail.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use serde::Serialize;

use crate::base::time::Wall;
use crate::collector::alerts::Alert;
use crate::collector::alerts::rule::{Event, Message};
use crate::collector::findings::finding::FindingKind;
use crate::config::collector::{Alerts, Mail, MailSecurity, Rate};
use crate::evidence::digest::Digest;
use crate::net::web;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(20);
/// So many of a message's alerts are shown.
const SHOWN: usize = 10;

/// One who is told.
#[derive(Debug)]
pub enum Listener {
    /// By a POST.
    Webhook(String),
    /// By e-mail.
    Mail(Box<Mail>),
}

impl Listener {
    /// Those whom the configuration names.
    #[must_use]
    pub fn all(alerts: &Alerts) -> Vec<Self> {
        let webhook = alerts.webhook.clone().map(Self::Webhook);
        let mail = alerts.mail.clone().map(|mail| Self::Mail(Box::new(mail)));
        webhook.into_iter().chain(mail).collect()
    }

    /// What it is called in an alert's list of those who were told.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
        }
    }

    /// So many messages it is told in so long.
    #[must_use]
    pub fn rate(&self, alerts: &Alerts) -> Rate {
        match self {
            Self::Webhook(_) => alerts.rate,
            Self::Mail(mail) => mail.rate.unwrap_or(alerts.rate),
        }
    }

    /// Tells a message; `dropped` alerts before it were put away untold.
    ///
    /// # Errors
    /// Why it could not be told; it is tried again later.
    pub async fn tell(&self, message: &Message, dropped: u64) -> Result<(), String> {
        let told = Payload::of(message, dropped);
        within(async {
            match self {
                Self::Webhook(url) => post(url, &told).await,
                Self::Mail(mail) => send(mail, &told).await,
            }
        })
        .await
    }
}

/// Does something within the time that one may take.
async fn within(telling: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| Err(format!("it took more than {} s", LIMIT.as_secs()));
    tokio::time::timeout(LIMIT, telling).await.unwrap_or_else(late)
}

/// A message as a webhook gets it. Of one alert it is that alert; of many it is the first, with
/// what they have in common.
#[derive(Debug, Serialize)]
struct Payload<'a> {
    event: Event,
    kind: FindingKind,
    subject: &'a str,
    site: Option<&'a str>,
    detail: String,
    since: Wall,
    ended: Option<Wall>,
    /// The same when a message is told again.
    id: Digest,
    count: usize,
    /// The first of them.
    findings: Vec<Of<'a>>,
    dropped: u64,
}

/// One of the alerts of a message.
#[derive(Debug, Serialize)]
struct Of<'a> {
    subject: &'a str,
    site: Option<&'a str>,
    detail: &'a str,
    since: Wall,
    ended: Option<Wall>,
}

impl<'a> Payload<'a> {
    fn of(message: &'a Message, dropped: u64) -> Self {
        let Message { event, alerts } = message;
        let all = || alerts.iter();
        let first = alerts.first().expect("a message is of something");
        let site = first.site.as_deref();
        let more = alerts.len() - 1;
        let detail = if more == 0 {
            first.detail.clone()
        } else {
            format!("{}; and {more} more", first.detail)
        };
        let ids: Vec<String> = all().map(Alert::id).collect();
        Self {
            event: *event,
            kind: first.kind,
            subject: &first.subject,
            site: site.filter(|site| all().all(|alert| alert.site.as_deref() == Some(site))),
            detail,
            since: first.since,
            ended: all().filter_map(|alert| alert.ended).max(),
            id: Digest::of(format!("{} {}", event.word(), ids.join(" ")).as_bytes()),
            count: alerts.len(),
            findings: all().take(SHOWN).map(Of::from_alert).collect(),
            dropped,
        }
    }
}

impl<'a> Of<'a> {
    fn from_alert(alert: &'a Alert) -> Self {
        let Alert { subject, site, detail, since, ended, .. } = alert;
        Self { subject, site: site.as_deref(), detail, since: *since, ended: *ended }
    }
}

async fn post(url: &str, told: &Payload<'_>) -> Result<(), String> {
    let body = serde_json::to_string(told).expect("a message can be written");
    let header = (reqwest::header::CONTENT_TYPE, "application/json");
    ask(url, |client| client.post(url).header(header.0, header.1).body(body)).await
}

/// Tells a dead man's switch that all is well.
///
/// # Errors
/// Why it could not be told.
pub async fn beat(url: &str) -> Result<(), String> {
    within(ask(url, |client| client.get(url))).await
}

/// Asks, and is content with any answer that says that it is well.
async fn ask(
    url: &str,
    request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
) -> Result<(), String> {
    // A webhook's URL is often its secret.
    let failed = |error: reqwest::Error| web::told(&error.without_url());
    let client = web::client(url).build().map_err(failed)?;
    let status = request(&client).send().await.map_err(failed)?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}

async fn send(mail: &Mail, told: &Payload<'_>) -> Result<(), String> {
    let message = letter(mail, told)?;
    let transport = transport(mail)?;
    transport.send(message).await.map(drop).map_err(|error| web::told(&error))
}

fn letter(mail: &Mail, told: &Payload<'_>) -> Result<lettre::Message, String> {
    let mailbox = |address: &String| -> Result<Mailbox, String> {
        address.parse().map_err(|error| format!("{address:?} is no e-mail address: {error}"))
    };
    let (kind, event) = (told.kind.word(), told.event.word());
    let site = told.site.map_or_else(String::new, |site| format!(" at {site}"));
    let many = if told.count > 1 { format!(" ({})", told.count) } else { String::new() };
    let subject = format!("[wanproof] {kind}{site} {event}{many}");
    let mut builder = lettre::Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.body(text(told)).map_err(|error| error.to_string())
}

/// The text of an e-mail.
fn text(told: &Payload<'_>) -> String {
    let kind = told.kind.word();
    let mut body = String::new();
    if told.count > 1 {
        let _ = write!(
            body,
            "{} findings of the kind {kind} {}; the first:\r\n\r\n",
            told.count,
            told.event.word()
        );
    }
    for of in &told.findings {
        let ended = of.ended.map_or_else(String::new, |ended| format!("ended: {ended}\r\n"));
        let Of { subject, detail, since, .. } = of;
        let _ = write!(
            body,
            "{detail}\r\n\r\nkind: {kind}\r\nsubject: {subject}\r\nsince: {since}\r\n{ended}\r\n"
        );
    }
    if told.dropped > 0 {
        let _ = write!(
            body,
            "{} alerts before this one ended while this receiver could not be reached, and are \
                not told any more: GET /v1/alerts?ended=true has them\r\n",
            told.dropped
        );
    }
    body
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parameters = || -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(mail.host.trim_matches(['[', ']']).to_owned());
        if let Some(path) = &mail.ca {
            let pem = std::fs::read(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let root = Certificate::from_pem(&pem)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(root);
        }
        builder.build_rustls().map_err(|error| error.to_string())
    };
    let tls = match mail.security {
        MailSecurity::Tls => Tls::Wrapper(parameters()?),
        MailSecurity::StartTls => Tls::Required(parameters()?),
        MailSecurity::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
        .timeout(Some(LIMIT));
    if let Some((user, file)) = &mail.login {
        let password = std::fs::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        builder = builder.credentials(Credentials::new(
            user.clone(),
            password.trim_end_matches(['\r', '\n']).to_owned(),
        ));
    }
    Ok(builder.build())
}
