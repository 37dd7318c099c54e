//! TLS on a connection that is already there, by rustls; how certificates are checked, [`trust`] knows.
//!
//! Every handshake is a full one: a resumed session would be a shorter measurement of another thing.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::time::Wall;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Tls;
use crate::net::requests::connect;
use crate::net::requests::heard::Stream;
use crate::net::trust::{self, NoTrust, Trust};

mod validity;

/// One probe's TLS settings, made at its first need and kept.
#[derive(Debug)]
pub struct Settings {
    tls: Tls,
    ready: OnceLock<Arc<ClientConfig>>,
}

/// What the application's protocol is to be, after the handshake (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
}

impl Settings {
    pub fn new(tls: &Tls) -> Self {
        Self { tls: tls.clone(), ready: OnceLock::new() }
    }

    /// The settings, made if they are not yet.
    pub fn ready(&self) -> Result<Arc<ClientConfig>, NoTrust> {
        if let Some(ready) = self.ready.get() {
            return Ok(Arc::clone(ready));
        }
        let made = match &self.tls {
            Tls::Checked { roots: Some(pem) } => Arc::new(made(&Trust::Authority(pem.clone()))?),
            Tls::Unchecked => Arc::new(made(&Trust::Anyone)?),
            // Plain HTTP comes here by a redirect to https.
            Tls::Checked { roots: None } | Tls::None => system()?,
        };
        Ok(Arc::clone(self.ready.get_or_init(|| made)))
    }

    /// Shakes hands.
    pub async fn handshake(&self, host: &str, stream: Stream) -> Result<TlsStream<Stream>, Reason> {
        let config = self.ready().map_err(|_| Reason::new(Outcome::NotSent, "tls-settings"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Reason::new(Outcome::NotSent, "url"))?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| reason(&error))
    }
}

/// What was agreed on.
pub fn spoken(stream: &TlsStream<Stream>) -> Spoken {
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Spoken::Http2 } else { Spoken::Http1 }
}

/// Until when the server's own certificate is valid.
pub fn valid_until(stream: &TlsStream<Stream>) -> Option<Wall> {
    validity::not_after(stream.get_ref().1.peer_certificates()?.first()?)
}

/// The reason behind an error of a connection that speaks TLS.
pub fn reason(error: &io::Error) -> Reason {
    let kind = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        None => return connect::later(error),
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate-expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "certificate-not-yet-valid",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "certificate-name",
            CertificateError::UnknownIssuer => "certificate-issuer",
            _ => "certificate",
        },
        Some(_) => "tls",
    };
    Reason::new(Outcome::Refused, kind)
}

/// The roots of this host take time and memory to load: all probes that use them share one copy, for as long as there
/// is one of them.
fn system() -> Result<Arc<ClientConfig>, NoTrust> {
    static SHARED: Mutex<Weak<ClientConfig>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = shared.upgrade() {
        return Ok(config);
    }
    let config = Arc::new(made(&Trust::System)?);
    *shared = Arc::downgrade(&config);
    Ok(config)
}

fn made(trust: &Trust) -> Result<ClientConfig, NoTrust> {
    let mut config = trust::client(trust)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_trusted_are_named_and_nothing_else_is_trusted_instead() {
        let settings = |pem: &str| Settings::new(&Tls::Checked { roots: Some(pem.to_owned()) }).ready().unwrap_err();
        assert!(matches!(settings(""), NoTrust::Empty));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(settings(cut), NoTrust::Pem(_) | NoTrust::Empty));
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(settings(wrong), NoTrust::Roots(_)));
    }

    #[test]
    fn settings_are_made_once() {
        let settings = Settings::new(&Tls::Unchecked);
        assert!(Arc::ptr_eq(&settings.ready().unwrap(), &settings.ready().unwrap()));
    }
}
