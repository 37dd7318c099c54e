//! Whom this program believes when it speaks TLS, by rustls with ring: how the certificates of servers are checked.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Who has to vouch for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// One of this host's authorities, for the server's name.
    System,
    /// One of these authorities (PEM), for the server's name.
    Authority(String),
    /// One of these authorities (PEM), whatever name is in the certificate.
    AuthorityForAnyName(String),
    /// Nobody: any certificate will do. That the server has its key is still checked.
    Anyone,
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum NoTrust {
    /// It is no PEM.
    #[error("the PEM text that should hold the certificates to trust cannot be read: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// It is PEM of something else.
    #[error("the PEM text that should hold the certificates to trust holds none")]
    Empty,
    /// They are no authorities, or this host has none.
    #[error("the certificates to trust cannot be used: {0}")]
    Roots(#[source] rustls::Error),
}

/// What a client of TLS needs to know, TLS 1.2 and 1.3.
///
/// # Errors
/// When the authorities cannot be used.
pub fn client(trust: &Trust) -> Result<ClientConfig, NoTrust> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::System => Arc::new(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(NoTrust::Roots)?),
        Trust::Authority(pem) => {
            return Ok(versions(provider).with_root_certificates(authorities(pem)?).with_no_client_auth());
        }
        Trust::AuthorityForAnyName(pem) => {
            Arc::new(Unnamed { authorities: Some(authorities(pem)?), provider: provider.clone() })
        }
        Trust::Anyone => Arc::new(Unnamed { authorities: None, provider: provider.clone() }),
    };
    Ok(versions(provider).dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn versions(provider: Arc<CryptoProvider>) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
}

fn authorities(pem: &str) -> Result<RootCertStore, NoTrust> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        store.add(certificate.map_err(NoTrust::Pem)?).map_err(NoTrust::Roots)?;
    }
    if store.is_empty() { Err(NoTrust::Empty) } else { Ok(store) }
}

/// Takes a certificate of these authorities, or else any, whatever name is in it.
#[derive(Debug)]
struct Unnamed {
    authorities: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unnamed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(authorities) = &self.authorities {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, authorities, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
