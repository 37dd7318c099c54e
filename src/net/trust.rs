//! Whom this program believes when it speaks TLS, by rustls with ring: how the certificates of
//! servers are checked.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WantsClientCert, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

use crate::net::validity;

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
    /// The private key is none.
    #[cfg(feature = "collector")]
    #[error("the private key is no PEM of one that is not encrypted: {0}")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The certificate and the private key do not go together.
    #[cfg(feature = "collector")]
    #[error("the certificate and the private key cannot be used together: {0}")]
    Pair(#[source] rustls::Error),
}

/// What a client of TLS needs to know, TLS 1.2 and 1.3.
///
/// # Errors
/// When the authorities cannot be used.
pub fn client(trust: &Trust) -> Result<ClientConfig, NoTrust> {
    Ok(believing(trust)?.with_no_client_auth())
}

/// As [`client`], for one who shows a certificate of its own: that, those between it and the root,
/// and its private key, in PEM.
///
/// # Errors
/// When the authorities, the certificate or the key cannot be used.
#[cfg(feature = "collector")]
pub fn client_as(trust: &Trust, cert: &str, key: &str) -> Result<ClientConfig, NoTrust> {
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(NoTrust::Pem)?;
    if chain.is_empty() {
        return Err(NoTrust::Empty);
    }
    let key =
        rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(NoTrust::Key)?;
    believing(trust)?.with_client_auth_cert(chain, key).map_err(NoTrust::Pair)
}

fn believing(trust: &Trust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, NoTrust> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::System => Arc::new(
            rustls_platform_verifier::Verifier::new(provider.clone()).map_err(NoTrust::Roots)?,
        ),
        Trust::Authority(pem) => Arc::new(Verifier::new(Some(pem), Name::Checked, &provider)?),
        Trust::AuthorityForAnyName(pem) => {
            Arc::new(Verifier::new(Some(pem), Name::Any, &provider)?)
        }
        Trust::Anyone => Arc::new(Verifier::new(None, Name::Any, &provider)?),
    };
    Ok(versions(provider).dangerous().with_custom_certificate_verifier(verifier))
}

fn versions(provider: Arc<CryptoProvider>) -> ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
}

/// Those who vouch for servers, and the certificates themselves.
#[derive(Debug)]
struct Authorities {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    fn read(pem: &str) -> Result<Self, NoTrust> {
        let mut all = Self { roots: RootCertStore::empty(), certificates: Vec::new() };
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(NoTrust::Pem)?;
            all.roots.add(certificate.clone()).map_err(NoTrust::Roots)?;
            all.certificates.push(certificate);
        }
        if all.certificates.is_empty() { Err(NoTrust::Empty) } else { Ok(all) }
    }

    /// A certificate that stands here itself is trusted as it is, whether it may sign others or
    /// not, while it is valid: a server whose self-signed certificate is the `ca`. That is how
    /// OpenSSL, and so curl's `--cacert`, takes it; webpki alone refuses an authority's certificate
    /// as a server's.
    fn vouch(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), rustls::Error> {
        let algorithms = provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(certificate)?;
        match verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        ) {
            Err(_) if self.certificates.iter().any(|own| own == certificate) => {
                is_valid(certificate, now)
            }
            done => done,
        }
    }
}

fn is_valid(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let (from, until) = validity::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < from.secs() {
        Err(CertificateError::NotValidYet.into())
    } else if now > until.secs() {
        Err(CertificateError::Expired.into())
    } else {
        Ok(())
    }
}

/// Whether the server's name has to stand in its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Checked,
    Any,
}

/// Takes a certificate that these authorities vouch for, or else any.
#[derive(Debug)]
struct Verifier {
    authorities: Option<Authorities>,
    name: Name,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(
        pem: Option<&String>,
        name: Name,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, NoTrust> {
        let authorities = pem.map(|pem| Authorities::read(pem)).transpose()?;
        Ok(Self { authorities, name, provider: Arc::clone(provider) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(authorities) = &self.authorities {
            authorities.vouch(certificate, intermediates, now, &self.provider)?;
        }
        if self.name == Name::Checked {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
