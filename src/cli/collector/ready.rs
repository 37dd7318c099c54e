//! `wanproof collector ready`: whether the collector that runs here is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::cli::collector::source::Source;
use crate::cli::{Exit, Failure, print, runtime};
use crate::config::collector::CollectorConfig;
use crate::net::trust::Trust;
use crate::net::web;

/// A collector that does not answer for so long is not ready.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks the collector of this configuration at the address where it listens.
pub(super) fn ready(source: &Source) -> Result<Exit, Failure> {
    let url = url(&source.load()?);
    let (is_ready, answer) = runtime()?.block_on(ask(&url)).map_err(|why| {
        Failure::Could(format!(
            "{url} does not answer: {why}; where the collector should be running, its log says \
             more"
        ))
    })?;
    if is_ready {
        print::line("ready")?;
        return Ok(Exit::Done);
    }
    let problem: Option<Value> = serde_json::from_str(&answer).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    print::line(format_args!("not ready: {}", detail.unwrap_or(&answer)))?;
    Ok(Exit::Bad)
}

/// Whether it is ready, and what it says.
async fn ask(url: &str) -> Result<(bool, String), String> {
    // Nothing is told to it, and it is at an address of this host: its certificate, which is for
    // another name, need not be checked.
    let client = web::client_by(url, &Trust::Anyone).map_err(|fault| web::told(&fault))?;
    let client = client.no_proxy().timeout(PATIENCE).build().map_err(|fault| web::told(&fault))?;
    let answer = client.get(url).send().await.map_err(|fault| web::told(&fault))?;
    let is_ready = answer.status().is_success();
    Ok((is_ready, answer.text().await.map_err(|fault| web::told(&fault))?))
}

/// Where it can be asked from this host.
fn url(config: &CollectorConfig) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let at = match config.listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    format!("{scheme}://{}/readyz", SocketAddr::new(at, config.listen.port()))
}
