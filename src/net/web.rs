//! How this program asks by HTTP: what every client of it has in common.

use std::error::Error;
use std::net::IpAddr;

use reqwest::{Certificate, ClientBuilder};

/// A client for one URL; with a `ca` (PEM) it trusts that instead of the system's certificates.
///
/// # Errors
/// When the `ca` is no certificate.
pub fn client(url: &str, ca: Option<&str>) -> Result<ClientBuilder, reqwest::Error> {
    // The only provider that is compiled in; where another part of this process was first, it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("wanproof/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none());
    let parsed = reqwest::Url::parse(url).ok();
    let plain = parsed.as_ref().is_some_and(|url| url.scheme() == "http");
    if let Some(ca) = ca {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(ca.as_bytes())?);
    } else if plain {
        // No TLS is spoken, so a host without any certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if parsed.as_ref().and_then(reqwest::Url::host_str).is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    Ok(builder)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with its causes: reqwest's own text says little; the causes say why.
#[must_use]
pub fn told(error: &dyn Error) -> String {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        what = format!("{what}: {inner}");
        cause = inner.source();
    }
    what
}
