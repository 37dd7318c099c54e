//! How this program asks by HTTP: what every client of it has in common.

use std::error::Error;
use std::net::IpAddr;

use reqwest::ClientBuilder;

use crate::net::trust::{self, NoTrust, Trust};

/// A client for one URL.
pub fn client(url: &str) -> ClientBuilder {
    // The only provider that is compiled in; where another part of this process was first, it is
    // the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("wanproof/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none());
    let parsed = reqwest::Url::parse(url).ok();
    let plain = parsed.as_ref().is_some_and(|url| url.scheme() == "http");
    if plain {
        // No TLS is spoken, so a host without any certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if parsed.as_ref().and_then(reqwest::Url::host_str).is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    builder
}

/// A client for one URL that trusts these certificates (PEM), and none of the system's.
///
/// # Errors
/// When they cannot be used.
pub fn client_trusting(url: &str, ca: &str) -> Result<ClientBuilder, NoTrust> {
    client_by(url, &Trust::Authority(ca.to_owned()))
}

/// A client for one URL whose server is believed by these rules.
///
/// # Errors
/// When the authorities cannot be used.
pub fn client_by(url: &str, trust: &Trust) -> Result<ClientBuilder, NoTrust> {
    let mut config = trust::client(trust)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(client(url).tls_backend_preconfigured(config))
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
