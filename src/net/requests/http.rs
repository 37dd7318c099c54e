//! An HTTP request, measured in phases, by hyper on a connection that was opened here: HTTP/1.1, or
//! HTTP/2 where TLS is spoken and the server takes it. A server that then asks for HTTP/1.1 is
//! asked again so, at once and from then on; the first time that counts into the RTT.
//!
//! What other clients take of old servers is taken: folded header lines (RFC 9112, section 5.2),
//! white space before a colon (section 5.1), a `Location` in raw UTF-8. A body whose length was
//! told is whole when so much came, whether or not TLS was closed properly; one whose length was
//! not told is whole only after TLS's close_notify, else `refused/tls-truncated` (section 9.8):
//! where the length is unknown, a cut looks like an end.
//!
//! The phases are durations that follow on each other without a gap: connect, TLS, first byte (of
//! the response; with HTTP/2 its whole header), body. Each hop of a redirect is a connection of its
//! own; its phases are added up, and only the last one's body is read. The look-up of a redirect's
//! name is counted in no phase but `resolve`, and not in the RTT.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Url};

use crate::measure::address_kind::AddressKind;
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Circuit, Family, Http, Version};
use crate::net::hop;
use crate::net::requests::tls::{self, Settings, Spoken};
use crate::net::requests::{Course, connect};
use crate::net::resolve::{Resolution, Resolver};

mod body;
mod watched;

use watched::Watched;

const USER_AGENT: &str = concat!("wanproof/", env!("CARGO_PKG_VERSION"));

/// What one probe's HTTP requests are made of.
pub struct Plan<'a> {
    pub http: &'a Http,
    pub circuit: &'a Circuit,
    pub family: Family,
    pub tls: &'a Settings,
    pub resolver: &'a Resolver,
}

/// One hop: a request to one place.
struct Hop {
    url: Url,
    address: IpAddr,
    method: Method,
}

/// A response's header may be so long, by HTTP/1.1 as by HTTP/2, …
const HEADER: u32 = 384 * 1024;
/// … and have so many lines.
const HEADER_LINES: usize = 2048;

/// What a hop's response means.
enum Step {
    /// The exchange is complete, and as expected.
    Done,
    /// It leads elsewhere.
    Onwards(Url, StatusCode),
    /// The server wants to be asked by HTTP/1.1.
    ByHttp1,
}

const fn refused(kind: &'static str) -> Reason {
    Reason::new(Outcome::Refused, kind)
}

const fn not_sent(kind: &'static str) -> Reason {
    Reason::new(Outcome::NotSent, kind)
}

impl Plan<'_> {
    /// Makes the request, and those that redirects ask for.
    pub async fn attempt(&self, address: IpAddr, course: &mut Course) -> Result<(), Reason> {
        let url = Url::parse(&without_scope(&self.http.url)).map_err(|_| not_sent("url"))?;
        let method =
            Method::from_bytes(self.http.method.as_bytes()).map_err(|_| not_sent("method"))?;
        let mut hop = Hop { url, address, method };
        let mut left = self.http.follow_redirects;
        loop {
            match self.hop(&hop, course).await? {
                Step::Done => {
                    course.end();
                    return Ok(());
                }
                Step::Onwards(url, status) => {
                    left = left.checked_sub(1).ok_or(refused("redirects"))?;
                    let address = self.address_of(&url, hop.address, course).await?;
                    hop = Hop { url, address, method: method_after(status, hop.method) };
                }
                Step::ByHttp1 => {
                    if !self.tls.asks_for_http1(origin(&hop.url)) {
                        return Err(refused("http-version"));
                    }
                }
            }
        }
    }

    /// Where a redirect leads, that `from` gave. It leads to this host only from this host.
    async fn address_of(
        &self,
        url: &Url,
        from: IpAddr,
        course: &mut Course,
    ) -> Result<IpAddr, Reason> {
        let name = host_of(url).ok_or(refused("redirect"))?;
        let since = Instant::now();
        let resolution = self.resolver.once(&name, self.family).await;
        let now = course.passed(Phase::Resolve, since);
        course.aside += now - since;
        match resolution {
            Resolution::Known(address) => match hop::place(address) {
                AddressKind::Loopback if from.is_loopback() => Ok(address),
                place => place.reason().map_or(Ok(address), Err),
            },
            Resolution::Failed(failure) => Err(failure.reason()),
            Resolution::Pending => Err(Reason::NAME),
        }
    }

    async fn hop(&self, hop: &Hop, course: &mut Course) -> Result<Step, Reason> {
        let port = hop.url.port_or_known_default().ok_or(not_sent("url"))?;
        course.address = Some(hop.address);
        let stream = connect::tcp(self.circuit, (hop.address, port).into(), course).await?;
        let since = course.departed.unwrap_or_else(Instant::now);
        let since = course.passed(Phase::Connect, since);
        let version = self.tls.version(self.http.version, &origin(&hop.url));
        if hop.url.scheme() != "https" {
            return match version {
                // RFC 9113, section 3.3: without TLS it is spoken by prior knowledge.
                Version::Http2 => self.http2(hop, stream, since, course).await,
                Version::Any | Version::Http1 => self.http1(hop, stream, since, course).await,
            };
        }
        let name = host_of(&hop.url).ok_or(not_sent("url"))?;
        let stream = self.tls.handshake(&name, version, stream).await?;
        let since = course.passed(Phase::Tls, since);
        course.certificate(tls::valid_until(&stream));
        match tls::spoken(&stream) {
            Spoken::Http1 if version == Version::Http2 => Err(refused("http-version")),
            Spoken::Http1 => self.http1(hop, stream, since, course).await,
            Spoken::Http2 => self.http2(hop, stream, since, course).await,
        }
    }

    async fn http1<S>(
        &self,
        hop: &Hop,
        stream: S,
        since: Instant,
        course: &mut Course,
    ) -> Result<Step, Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (heard, first) = (course.heard.clone(), Arc::default());
        let stream = TokioIo::new(Watched { stream, heard, first: Arc::clone(&first) });
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER as usize)
            .max_headers(HEADER_LINES)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .handshake(stream)
            .await
            .map_err(|error| reason(&error))?;
        let mut request = request(hop, origin_form(&hop.url)?)?;
        let host = HeaderValue::from_str(&authority(&hop.url)?).map_err(|_| not_sent("url"))?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| reason(&error))?;
            // The header cannot be whole before its first byte was heard.
            let first = first.get().copied().unwrap_or_else(Instant::now);
            course.add(Phase::FirstByte, first.saturating_duration_since(since));
            self.judge(hop, response, first, course).await
        };
        driven(connection, exchange).await
    }

    async fn http2<S>(
        &self,
        hop: &Hop,
        stream: S,
        since: Instant,
        course: &mut Course,
    ) -> Result<Step, Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(HEADER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| reason(&error))?;
        let whole = format!("{}{}", origin(&hop.url), origin_form(&hop.url)?);
        let request = request(hop, whole.parse().map_err(|_| not_sent("url"))?)?;
        let exchange = async {
            let response = match sender.send_request(request).await {
                Err(error) if asks_for_http1(&error) => {
                    course.until_heard(Phase::FirstByte, since);
                    return if self.http.version == Version::Http2 {
                        Err(refused("http-version"))
                    } else {
                        Ok(Step::ByHttp1)
                    };
                }
                done => done.map_err(|error| reason(&error))?,
            };
            let first = course.until_heard(Phase::FirstByte, since);
            self.judge(hop, response, first, course).await
        };
        driven(connection, exchange).await
    }

    /// Holds the response against what is expected, and reads its body.
    async fn judge(
        &self,
        hop: &Hop,
        response: Response<Incoming>,
        first: Instant,
        course: &mut Course,
    ) -> Result<Step, Reason> {
        let status = response.status();
        if self.http.follow_redirects > 0 && is_redirect(status) {
            course.until_heard(Phase::Body, first);
            let onwards =
                response.headers().get(header::LOCATION).and_then(|to| joined(&hop.url, to));
            return onwards.map(|url| Step::Onwards(url, status)).ok_or(refused("redirect"));
        }
        let good = match self.http.expect_status.as_slice() {
            [] => status.is_success() || status.is_redirection(),
            expected => expected.contains(&status.as_u16()),
        };
        if !good {
            return Err(Reason {
                outcome: Outcome::Refused,
                kind: format!("status-{}", status.as_u16()).into(),
            });
        }
        let told = has_length(&response);
        let cut = |error: hyper::Error| match reason(&error) {
            Reason { kind, .. } if !told && kind == "closed" && hop.url.scheme() == "https" => {
                refused("tls-truncated")
            }
            other => other,
        };
        let mut body = response.into_body();
        let mut check = body::Check::new(self.http.max_body, self.http.expect_body.as_deref());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(cut)?.into_data() {
                check.take(&data).map_err(refused)?;
                course.bytes = Some(check.bytes());
            }
        }
        course.bytes = Some(check.bytes());
        course.until_heard(Phase::Body, first);
        check.end().map_err(refused)?;
        Ok(Step::Done)
    }
}

/// Runs an exchange and the connection under it. The connection may end first, when all was
/// received.
async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    let mut connection = pin!(connection);
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => done,
        _ = &mut connection => exchange.await,
    }
}

fn request(hop: &Hop, uri: Uri) -> Result<Request<Empty<Bytes>>, Reason> {
    let mut request = Request::builder()
        .method(hop.method.clone())
        .uri(uri)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Empty::new())
        .map_err(|_| not_sent("url"))?;
    if !hop.url.username().is_empty() || hop.url.password().is_some() {
        let pair = format!(
            "{}:{}",
            plain(hop.url.username()),
            plain(hop.url.password().unwrap_or_default())
        );
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut value = HeaderValue::from_str(&basic).map_err(|_| not_sent("url"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// A user name or password without its percent-encoding.
fn plain(part: &str) -> String {
    // In the form of a URL's query a plus is a space; elsewhere it is itself.
    let query = format!("={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn origin_form(url: &Url) -> Result<Uri, Reason> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path()).parse().map_err(|_| not_sent("url"))
}

/// Scheme, host and port (RFC 6454); the scheme's own port is left out.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A URL without the interface behind a link-local address, which is no part of what is asked for
/// (RFC 6874, section 3).
fn without_scope(url: &str) -> String {
    match (url.find("%25"), url.find(']')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &url[..from], &url[to..]),
        _ => url.to_owned(),
    }
}

/// Whether the response says how long its body is (RFC 9112, section 6.3).
fn has_length(response: &Response<Incoming>) -> bool {
    response.version() > hyper::Version::HTTP_11
        || response.headers().contains_key(header::CONTENT_LENGTH)
        || response.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Host and port as the request names them; a scheme's own port is left out.
fn authority(url: &Url) -> Result<String, Reason> {
    let host = url.host_str().ok_or(not_sent("url"))?;
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The host to be resolved, without brackets.
fn host_of(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// RFC 9110, section 15.4: 307 and 308 keep the method; the others turn POST into GET, 303 all but
/// HEAD.
fn method_after(status: StatusCode, method: Method) -> Method {
    match status.as_u16() {
        303 if method != Method::HEAD => Method::GET,
        301 | 302 if method == Method::POST => Method::GET,
        _ => method,
    }
}

/// Where a redirect leads: only to http and https. A user name is not carried to another place.
fn joined(base: &Url, location: &HeaderValue) -> Option<Url> {
    let onwards = base.join(&text_of(location.as_bytes())).ok()?;
    (matches!(onwards.scheme(), "http" | "https") && onwards.has_host()).then_some(onwards)
}

/// A header's value as text: UTF-8 as it is, for the URL's parser to encode; any other byte
/// encoded.
fn text_of(value: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => value
            .iter()
            .map(|byte| {
                if byte.is_ascii() { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
            })
            .collect::<String>()
            .into(),
    }
}

/// Whether the server refused because it wants HTTP/1.1 (RFC 9113, section 7).
fn asks_for_http1(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(|error| error.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED))
}

fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The reason behind an error of an exchange under way.
fn reason(error: &hyper::Error) -> Reason {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return tls::reason(io);
        }
        source = inner.source();
    }
    if let Some(code) = of_http2(error).and_then(h2::Error::reason) {
        // RFC 9113, section 7: the codes have numbers.
        return Reason {
            outcome: Outcome::Refused,
            kind: format!("http2-error-{}", u32::from(code)).into(),
        };
    }
    refused(if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "closed"
    } else if error.is_parse_too_large() {
        "http-header-size"
    } else if error.is_parse() {
        "http-malformed"
    } else {
        "http"
    })
}

#[cfg(test)]
mod tests;
