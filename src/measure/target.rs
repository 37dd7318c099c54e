//! What may stand where a host is named: an address, an IPv6 address with a link's name behind it,
//! or a host name. What can only be a mistake is told as what it probably is. No name is looked up
//! here.

use std::net::{IpAddr, Ipv6Addr};

/// The longest name, in bytes as DNS carries it (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label, in bytes.
const LONGEST_LABEL: usize = 63;

/// A host, as text names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address.
    Address(IpAddr),
    /// A link-local address, and the interface by which it is reached (RFC 4007, section 11).
    Scoped(Ipv6Addr, &'a str),
    /// A name that has to be looked up.
    Name(&'a str),
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHost {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// It has a scheme.
    #[error("it is a URL: name the host alone, or use kind \"http\" with `url`")]
    Url,
    /// It has brackets.
    #[error("an address stands without brackets here")]
    Brackets,
    /// It has a port.
    #[error("it has a port, and an echo has none: name the host alone, or use kind \"tcp\"")]
    Port,
    /// It is a prefix.
    #[error("it is a network, and a probe asks one host: name one address of it")]
    Network,
    /// It looks like an IPv4 address.
    #[error("it looks like an IPv4 address, but is none: four numbers from 0 to 255 are")]
    Octets,
    /// It has colons.
    #[error("it is neither an IPv6 address nor a name: a name has no colon")]
    Colon,
    /// What stands behind `%`.
    #[error("behind % stands the name of an interface, such as fe80::1%wan0")]
    Scope,
    /// An interface behind an address that has none.
    #[error("only a link-local address (fe80::/10) takes a % and an interface: use `interface`")]
    ScopeOfGlobal,
    /// White space, or a control character.
    #[error("it holds white space or a character that no name has")]
    Character,
    /// Two dots in a row, or a dot at its beginning.
    #[error("a part of it between two dots is empty")]
    EmptyLabel,
    /// A part is too long.
    #[error("a part of it is longer than 63 characters")]
    LongLabel,
    /// The whole is too long.
    #[error("it is longer than 253 characters")]
    Long,
}

/// Reads a host. Underscores are taken in names, as resolvers do, and a slash where RFC 2317 puts
/// it: in a label of two numbers, such as `0/25.2.0.192.in-addr.arpa`.
///
/// # Errors
/// When it can be none; the error says what it looks like.
pub fn host(text: &str) -> Result<Host<'_>, NotAHost> {
    if let Ok(address) = text.parse() {
        return Ok(Host::Address(address));
    }
    if text.contains("://") {
        return Err(NotAHost::Url);
    }
    if text.contains(['[', ']']) {
        return Err(NotAHost::Brackets);
    }
    if let Some((address, interface)) = text.split_once('%') {
        let address: Ipv6Addr = address.parse().map_err(|_| NotAHost::Character)?;
        return scoped(address, interface);
    }
    if text.rsplit_once('/').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok()) {
        return Err(NotAHost::Network);
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        let has_port = !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if has_port { NotAHost::Port } else { NotAHost::Colon });
    }
    name(text)?;
    let sound = |label: &str| label.chars().all(is_of_a_host) || is_of_rfc_2317(label);
    if !labels(text).all(sound) {
        return Err(NotAHost::Character);
    }
    // RFC 1123, section 2.1: the last label of a name is not a number.
    let last = labels(text).next_back().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || is_hex(last) {
        return Err(NotAHost::Octets);
    }
    Ok(Host::Name(text))
}

/// Checks a name that DNS is asked for: any printable characters, in labels of at most 63 bytes.
/// The root is `.`.
///
/// # Errors
/// When DNS cannot carry it.
pub fn name(text: &str) -> Result<(), NotAHost> {
    if text.is_empty() {
        return Err(NotAHost::Empty);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(NotAHost::Character);
    }
    if text == "." {
        return Ok(());
    }
    if labels(text).any(str::is_empty) {
        return Err(NotAHost::EmptyLabel);
    }
    if labels(text).any(|label| label.len() > LONGEST_LABEL) {
        return Err(NotAHost::LongLabel);
    }
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.len() > LONGEST_NAME { Err(NotAHost::Long) } else { Ok(()) }
}

/// The labels of a name, the last one without the dot that ends it.
pub fn labels(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.strip_suffix('.').unwrap_or(text).split('.')
}

/// Whether an address is of one link only (RFC 4291, section 2.5.6): which link has to be said.
#[must_use]
pub const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// A host without the interface behind it: what is looked up, or an address that can be read.
#[must_use]
pub fn without_scope(text: &str) -> &str {
    match host(text) {
        Ok(Host::Scoped(..)) => text.split('%').next().unwrap_or(text),
        _ => text,
    }
}

/// The interface that a link-local address names behind its `%`.
#[must_use]
pub fn scope(text: &str) -> Option<&str> {
    match host(text) {
        Ok(Host::Scoped(_, interface)) => Some(interface),
        _ => None,
    }
}

fn scoped(address: Ipv6Addr, interface: &str) -> Result<Host<'_>, NotAHost> {
    if !is_link_local(address.into()) {
        return Err(NotAHost::ScopeOfGlobal);
    }
    let sound = (1..=15).contains(&interface.len())
        && !interface.contains(['/', ' ', '%'])
        && !interface.chars().any(char::is_control)
        && !interface.bytes().all(|byte| byte.is_ascii_digit());
    if sound { Ok(Host::Scoped(address, interface)) } else { Err(NotAHost::Scope) }
}

/// Letters of any script: a name that is not ASCII is asked for by its IDNA form.
fn is_of_a_host(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_' || !c.is_ascii()
}

fn is_of_rfc_2317(label: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    label.split_once('/').is_some_and(|(first, second)| digits(first) && digits(second))
}

fn is_hex(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
