//! TLS on a connection that is already there, by rustls with ring; the one file that knows how certificates are checked.
//!
//! Every handshake is a full one: a resumed session would be a shorter measurement of another thing.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::time::Wall;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Tls;
use crate::net::requests::connect;
use crate::net::requests::heard::Stream;

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

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum NoSettings {
    #[error("the PEM text that should hold the certificates to trust cannot be read: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the PEM text that should hold the certificates to trust holds none")]
    Empty,
    #[error("the certificates to trust cannot be used: {0}")]
    Roots(#[source] rustls::Error),
}

impl Settings {
    pub fn new(tls: &Tls) -> Self {
        Self { tls: tls.clone(), ready: OnceLock::new() }
    }

    /// The settings, made if they are not yet.
    pub fn ready(&self) -> Result<Arc<ClientConfig>, NoSettings> {
        if let Some(ready) = self.ready.get() {
            return Ok(Arc::clone(ready));
        }
        let made = match &self.tls {
            Tls::Checked { roots: Some(pem) } => Arc::new(trusting(pem)?),
            Tls::Unchecked => Arc::new(unchecked()),
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The roots of this host take time and memory to load: all probes that use them share one copy, for as long as there
/// is one of them.
fn system() -> Result<Arc<ClientConfig>, NoSettings> {
    static SHARED: Mutex<Weak<ClientConfig>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = shared.upgrade() {
        return Ok(config);
    }
    let verifier = rustls_platform_verifier::Verifier::new(provider()).map_err(NoSettings::Roots)?;
    let config = Arc::new(verified_by(Arc::new(verifier)));
    *shared = Arc::downgrade(&config);
    Ok(config)
}

fn trusting(pem: &str) -> Result<ClientConfig, NoSettings> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        store.add(certificate.map_err(NoSettings::Pem)?).map_err(NoSettings::Roots)?;
    }
    if store.is_empty() {
        return Err(NoSettings::Empty);
    }
    let builder = versions().with_root_certificates(store);
    Ok(finished(builder.with_no_client_auth()))
}

fn unchecked() -> ClientConfig {
    verified_by(Arc::new(Anyone(provider())))
}

fn versions() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
}

fn verified_by(verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    finished(versions().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn finished(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// Takes any certificate, for `insecure_tls`; that the server has its key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_trusted_are_named_and_nothing_else_is_trusted_instead() {
        let settings = |pem: &str| Settings::new(&Tls::Checked { roots: Some(pem.to_owned()) }).ready().unwrap_err();
        assert!(matches!(settings(""), NoSettings::Empty));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(settings(cut), NoSettings::Pem(_) | NoSettings::Empty));
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(settings(wrong), NoSettings::Roots(_)));
    }

    #[test]
    fn settings_are_made_once() {
        let settings = Settings::new(&Tls::Unchecked);
        assert!(Arc::ptr_eq(&settings.ready().unwrap(), &settings.ready().unwrap()));
    }
}
