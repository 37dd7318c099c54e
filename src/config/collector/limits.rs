//! What is too much: [limits].

use std::time::Duration;

use crate::config::written::{Section, parse_bytes};

use super::{BODY, Limits, RATE, a_day, number, rate};

pub(super) fn limits(section: &Section<'_>) -> Limits {
    let body = section.parsed("body", "a size from \"1KiB\" to \"4MiB\"", |text| {
        parse_bytes(text)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| (1024..=BODY).contains(bytes))
    });
    let per_agent = section.parsed("per_agent", RATE, rate);
    let stored = section.parsed("bytes_per_agent", "a size from \"1MiB\" to \"3GiB\"", |text| {
        parse_bytes(text)
            .and_then(|bytes| u32::try_from(bytes).ok())
            .filter(|bytes| (1 << 20..=3 << 30).contains(bytes))
    });
    let many =
        |key| number(section, key, 16..=65_536).and_then(|number| usize::try_from(number).ok());
    let (connections, each) = (many("connections"), many("connections_per_address"));
    let judging = section.duration("judging", Duration::from_secs(1)..=Duration::from_secs(600));
    let standard = Limits::default();
    let limits = Limits {
        body: body.unwrap_or(standard.body),
        per_agent: per_agent.unwrap_or(standard.per_agent),
        bytes_per_agent: stored.map_or(standard.bytes_per_agent, a_day),
        connections: connections.unwrap_or(standard.connections),
        connections_per_address: each.unwrap_or(standard.connections_per_address),
        judging: judging.unwrap_or(standard.judging),
    };
    if each.is_some() && limits.connections_per_address > limits.connections {
        section.fault(format_args!(
            "connections_per_address = {} is more than connections, {}: one address could take all",
            limits.connections_per_address, limits.connections
        ));
    }
    limits
}
