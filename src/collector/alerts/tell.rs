//! How somebody is told: by a webhook, or by e-mail.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;

use crate::collector::alerts::Alert;
use crate::config::collector::{Alerts, Mail, MailSecurity};
use crate::net::web;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(20);

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

    /// Tells of an alert's beginning, or of its end where it has ended.
    ///
    /// # Errors
    /// Why it could not be told; it is tried again later.
    pub async fn tell(&self, alert: &Alert) -> Result<(), String> {
        let telling = async {
            match self {
                Self::Webhook(url) => post(url, alert).await,
                Self::Mail(mail) => send(mail, alert).await,
            }
        };
        tokio::time::timeout(LIMIT, telling)
            .await
            .unwrap_or_else(|_| Err(format!("it took more than {} s", LIMIT.as_secs())))
    }
}

/// Whether it began or ended.
const fn event(alert: &Alert) -> &'static str {
    if alert.ended.is_some() { "ended" } else { "began" }
}

async fn post(url: &str, alert: &Alert) -> Result<(), String> {
    let Alert { kind, subject, site, detail, since, ended, .. } = alert;
    let body = json!({
        "event": event(alert), "kind": kind, "subject": subject, "site": site, "detail": detail, "since": since, "ended": ended,
    });
    // A webhook's URL is often its secret.
    let failed = |error: reqwest::Error| web::told(&error.without_url());
    let client = web::client(url).build().map_err(failed)?;
    let request = client.post(url).header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_string());
    let status = request.send().await.map_err(failed)?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}

async fn send(mail: &Mail, alert: &Alert) -> Result<(), String> {
    let message = message(mail, alert)?;
    let transport = transport(mail)?;
    transport.send(message).await.map(drop).map_err(|error| web::told(&error))
}

fn message(mail: &Mail, alert: &Alert) -> Result<Message, String> {
    let mailbox = |address: &String| -> Result<Mailbox, String> {
        address.parse().map_err(|error| format!("{address:?} is no e-mail address: {error}"))
    };
    let site = alert.site.as_ref().map_or_else(String::new, |site| format!(" at {site}"));
    let subject = format!("[wanproof] {}{site} {}", alert.kind.word(), event(alert));
    let ended = alert.ended.map_or_else(String::new, |ended| format!("ended: {ended}\r\n"));
    let body = format!(
        "{}\r\n\r\nkind: {}\r\nsubject: {}\r\nsince: {}\r\n{ended}",
        alert.detail,
        alert.kind.word(),
        alert.subject,
        alert.since
    );
    let mut builder = Message::builder().from(mailbox(&mail.from)?).subject(subject).header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.body(body).map_err(|error| error.to_string())
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parameters = || -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(mail.host.trim_matches(['[', ']']).to_owned());
        if let Some(path) = &mail.ca {
            let pem = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let root = Certificate::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
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
        let password =
            std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        builder =
            builder.credentials(Credentials::new(user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(builder.build())
}
