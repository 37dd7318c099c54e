//! TLS on a connection that is already there, by rustls; how certificates are checked, [`trust`]
//! knows.
//!
//! Every handshake is a full one: a resumed session would be a shorter measurement of another
//! thing.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::time::Wall;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Tls, Version};
use crate::net::requests::connect;
use crate::net::requests::heard::Stream;
use crate::net::trust::{self, NoTrust, Trust};
use crate::net::validity;

/// One probe's TLS settings, made at its first need and kept.
#[derive(Debug)]
pub struct Settings {
    tls: Tls,
    ready: OnceLock<Arc<ClientConfig>>,
    /// The origins that take no HTTP/2, although they offer it.
    http1: Mutex<BTreeSet<String>>,
}

/// So many origins are remembered: redirects, which foreign servers choose, lead to few.
const ORIGINS: usize = 16;

/// What the application's protocol is to be, after the handshake (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
}

impl Settings {
    pub fn new(tls: &Tls) -> Self {
        Self { tls: tls.clone(), ready: OnceLock::new(), http1: Mutex::default() }
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

    /// Remembers that an origin asked for HTTP/1.1 (RFC 9113, section 7, HTTP_1_1_REQUIRED).
    /// False when it was remembered before, or no more are.
    pub fn asks_for_http1(&self, origin: String) -> bool {
        let mut all = self.http1.lock().unwrap_or_else(PoisonError::into_inner);
        all.len() < ORIGINS && all.insert(origin)
    }

    /// Which version of HTTP is spoken with an origin.
    pub fn version(&self, wanted: Version, origin: &str) -> Version {
        let all = self.http1.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted == Version::Any && all.contains(origin) { Version::Http1 } else { wanted }
    }

    /// Shakes hands, and offers these versions of HTTP.
    pub async fn handshake(
        &self,
        host: &str,
        offer: Version,
        stream: Stream,
    ) -> Result<TlsStream<Stream>, Reason> {
        let mut config = self.ready().map_err(|_| Reason::new(Outcome::NotSent, "tls-settings"))?;
        if offer != Version::Any {
            let mut narrow = ClientConfig::clone(&config);
            narrow.alpn_protocols = protocols(offer);
            config = Arc::new(narrow);
        }
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
    validity::of(stream.get_ref().1.peer_certificates()?.first()?).map(|(_, until)| until)
}

/// The reason behind an error of a connection that speaks TLS.
pub fn reason(error: &io::Error) -> Reason {
    let kind = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        None => return connect::later(error),
        Some(rustls::Error::InvalidCertificate(fault)) => certificate(fault),
        Some(rustls::Error::NoCertificatesPresented) => "certificate-none",
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol))
        | Some(rustls::Error::NoApplicationProtocol) => "http-version",
        Some(rustls::Error::AlertReceived(alert)) => return alerted(*alert),
        // A server that speaks something else answers with bytes that are no record of TLS.
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => "tls-not-spoken",
        Some(rustls::Error::PeerIncompatible(_)) => "tls-incompatible",
        Some(rustls::Error::InvalidMessage(_) | rustls::Error::PeerMisbehaved(_)) => {
            "tls-malformed"
        }
        Some(_) => "tls",
    };
    Reason::new(Outcome::Refused, kind)
}

const fn certificate(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate-expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate-not-yet-valid"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate-name"
        }
        CertificateError::UnknownIssuer => "certificate-issuer",
        CertificateError::Revoked => "certificate-revoked",
        CertificateError::BadEncoding => "certificate-malformed",
        CertificateError::BadSignature => "certificate-signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate-purpose"
        }
        // webpki's word for an authority's certificate that a server shows as its own is among
        // these.
        _ => "certificate",
    }
}

/// The server ended the handshake and said why (RFC 8446, section 6): `tls-alert-` and its number.
fn alerted(alert: AlertDescription) -> Reason {
    Reason { outcome: Outcome::Refused, kind: format!("tls-alert-{}", u8::from(alert)).into() }
}

/// The names of protocols that are offered (RFC 7301).
fn protocols(offer: Version) -> Vec<Vec<u8>> {
    let (h2, http1) = (b"h2".to_vec(), b"http/1.1".to_vec());
    match offer {
        Version::Any => vec![h2, http1],
        Version::Http1 => vec![http1],
        Version::Http2 => vec![h2],
    }
}

/// The roots of this host take time and memory to load: all probes that use them share one copy,
/// for as long as there is one of them.
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
    config.alpn_protocols = protocols(Version::Any);
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_trusted_are_named_and_nothing_else_is_trusted_instead() {
        let settings = |pem: &str| {
            Settings::new(&Tls::Checked { roots: Some(pem.to_owned()) }).ready().unwrap_err()
        };
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
