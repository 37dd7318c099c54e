//! What an http probe asks for.

use crate::config::written::Section;
use crate::measure::probe::{Http, Tls};

use super::Written;
use super::url::split_url;

pub(super) fn http(section: &Section<'_>, written: &Written) -> Option<Http> {
    if written.url.is_none() && !section.has("url") {
        section.fault("url is missing");
    }
    let url = written.url.clone()?;
    let parts = match split_url(&url) {
        Ok(parts) => parts,
        Err(what) => {
            section.fault(format_args!("url {url:?}: {what}"));
            return None;
        }
    };
    let unchecked = written.insecure_tls.unwrap_or(false);
    if unchecked && written.ca.is_some() {
        section.fault("insecure_tls checks no certificate, so ca means nothing beside it");
    }
    let tls = match (parts.secure, unchecked) {
        (false, _) => Tls::None,
        (true, true) => Tls::Unchecked,
        (true, false) => Tls::Checked { roots: written.ca.clone() },
    };
    Some(Http {
        host: parts.host,
        port: parts.port,
        tls,
        method: written.method.clone().unwrap_or_else(|| "GET".to_owned()),
        expect_status: written.expect_status.clone().unwrap_or_default(),
        expect_body: written.expect_body.clone(),
        max_body: written.max_body.unwrap_or(1 << 20),
        follow_redirects: written.follow_redirects.unwrap_or(0),
        version: written.http_version.unwrap_or_default(),
        url,
    })
}
