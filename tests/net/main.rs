//! Requests and names, against real servers on loopback.
#![cfg(feature = "agent")]
#![expect(
    clippy::unwrap_used,
    reason = "what helpers of a test cannot have is that test's failure"
)]

mod dns;
mod http;
mod names;
mod peers;
mod servers;
mod tcp;
mod unsent;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use wanproof::measure::outcome::Outcome;
use wanproof::measure::probe::{Attempt, Circuit, Family, Http, Probe, Role, Test, Tls, Version};
use wanproof::net::requests::Requester;
use wanproof::net::resolve::Resolver;

/// Longer than anything on loopback takes.
const LONG: Duration = Duration::from_secs(30);
/// For what is never answered.
const SHORT: Duration = Duration::from_millis(300);

fn probe(test: Test) -> Probe {
    Probe {
        name: "under-test".to_owned(),
        service: None,
        role: Role::Path,
        test,
        family: Family::Any,
        period: Duration::from_secs(1),
        timeout: LONG,
        cutoff: LONG,
        circuit: Circuit::default(),
    }
}

fn http(url: String) -> Http {
    let parsed = url::Url::parse(&url).unwrap();
    Http {
        host: parsed.host_str().unwrap().trim_matches(['[', ']']).to_owned(),
        port: parsed.port_or_known_default().unwrap(),
        tls: if parsed.scheme() == "https" { Tls::Unchecked } else { Tls::None },
        method: "GET".to_owned(),
        expect_status: Vec::new(),
        expect_body: None,
        max_body: 1 << 20,
        follow_redirects: 0,
        version: Version::Any,
        url,
    }
}

async fn attempt(probe: &Probe) -> Attempt {
    Requester::new(Arc::new(probe.clone()), &Resolver::system()).attempt().await
}

/// The outcome's letter and the reason, as intervals count it.
fn told(attempt: &Attempt) -> String {
    assert_eq!(attempt.outcome.has_rtt(), attempt.rtt_ns.is_some(), "{attempt:?}");
    assert_eq!(attempt.outcome.has_rtt(), attempt.reason.is_none(), "{attempt:?}");
    if let Some(reason) = &attempt.reason {
        assert_eq!(reason.outcome, attempt.outcome, "{attempt:?}");
    }
    match &attempt.reason {
        Some(reason) => reason.to_string(),
        None if attempt.outcome == Outcome::Late => "t".to_owned(),
        None => "a".to_owned(),
    }
}
