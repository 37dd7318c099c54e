//! The parts of a URL.

use std::net::IpAddr;

use crate::measure::target::{self, Host};

/// What a URL names.
pub(in crate::config) struct UrlParts {
    /// Whether it is `https`.
    pub(in crate::config) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl UrlParts {
    /// Whether its host is a link-local address with the interface behind it.
    pub(in crate::config) fn has_scope(&self) -> bool {
        target::scope(&self.host).is_some()
    }

    /// Whether it never leaves this host.
    pub(in crate::config) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Takes an `http` or `https` URL apart.
pub(in crate::config) fn split_url(url: &str) -> Result<UrlParts, String> {
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("expected http:// or https://".to_owned()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("a user name in a URL is not supported".to_owned());
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it holds white space".to_owned());
    }
    let usual = if secure { 443 } else { 80 };
    let bare = authority.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
    let (host, port) = if bare {
        (authority, usual)
    } else {
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let port = port.parse().ok().filter(|port| *port != 0);
        (host, port.ok_or_else(|| "its port is not a number from 1 to 65535".to_owned())?)
    };
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    let host = match bracketed(host) {
        // RFC 6874, section 2: the % before the interface is itself written %25.
        Some(inner) => inner.replacen("%25", "%", 1),
        None => host.to_owned(),
    };
    match target::host(&host) {
        Ok(_) => Ok(UrlParts { secure, host, port }),
        Err(fault) => Err(format!("its host {host:?}: {fault}")),
    }
}

/// What stands between brackets, where only an IPv6 address may.
fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']'))
}

pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
    let expected = || "expected a host and a port, such as \"hq.example.net:443\"".to_owned();
    if text.contains("://") {
        return Err(target::NotAHost::Url.to_string());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(expected)?;
    let (inner, in_brackets) = bracketed(host).map_or((host, false), |inner| (inner, true));
    let is_v6 = match target::host(inner).map_err(|fault| format!("its host {inner:?}: {fault}"))? {
        Host::Address(address) => address.is_ipv6(),
        Host::Scoped(..) => true,
        Host::Name(_) => false,
    };
    match (is_v6, in_brackets) {
        (true, false) => {
            Err(format!("an IPv6 address with a port stands in brackets: [{inner}]:{port}"))
        }
        (false, true) => Err("only an IPv6 address stands in brackets".to_owned()),
        _ => Ok((inner.to_owned(), port)),
    }
}
