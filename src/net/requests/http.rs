//! An HTTP request, measured in phases, by hyper on a connection that was opened here: HTTP/1.1, or HTTP/2 where TLS is
//! spoken and the server takes it.
//!
//! The phases are durations that follow on each other without a gap: connect, TLS, first byte (of the response; with HTTP/2 its
//! whole header), body. Each hop of a redirect is a connection of its own; its phases are added up, and only the last
//! one's body is read. The look-up of a redirect's name is counted in no phase but `resolve`, and not in the RTT.

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

use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Circuit, Family, Http};
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

/// What a hop's response means.
enum Step {
    /// The exchange is complete, and as expected.
    Done,
    /// It leads elsewhere.
    Onwards(Url, StatusCode),
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
        let url = Url::parse(&self.http.url).map_err(|_| not_sent("url"))?;
        let method = Method::from_bytes(self.http.method.as_bytes()).map_err(|_| not_sent("method"))?;
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
                    let address = self.address_of(&url, course).await?;
                    hop = Hop { url, address, method: method_after(status, hop.method) };
                }
            }
        }
    }

    async fn address_of(&self, url: &Url, course: &mut Course) -> Result<IpAddr, Reason> {
        let name = host_of(url).ok_or(refused("redirect"))?;
        let since = Instant::now();
        let resolution = self.resolver.once(&name, self.family).await;
        let now = course.passed(Phase::Resolve, since);
        course.aside += now - since;
        match resolution {
            Resolution::Known(address) => Ok(address),
            _ => Err(Reason::NAME),
        }
    }

    async fn hop(&self, hop: &Hop, course: &mut Course) -> Result<Step, Reason> {
        let port = hop.url.port_or_known_default().ok_or(not_sent("url"))?;
        course.address = Some(hop.address);
        let stream = connect::tcp(self.circuit, (hop.address, port).into(), course).await?;
        let since = course.departed.unwrap_or_else(Instant::now);
        let since = course.passed(Phase::Connect, since);
        if hop.url.scheme() != "https" {
            return self.http1(hop, stream, since, course).await;
        }
        let name = host_of(&hop.url).ok_or(not_sent("url"))?;
        let stream = self.tls.handshake(&name, stream).await?;
        let since = course.passed(Phase::Tls, since);
        course.certificate(tls::valid_until(&stream));
        match tls::spoken(&stream) {
            Spoken::Http1 => self.http1(hop, stream, since, course).await,
            Spoken::Http2 => self.http2(hop, stream, since, course).await,
        }
    }

    async fn http1<S>(&self, hop: &Hop, stream: S, since: Instant, course: &mut Course) -> Result<Step, Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (heard, first) = (course.heard.clone(), Arc::default());
        let stream = TokioIo::new(Watched { stream, heard, first: Arc::clone(&first) });
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| reason(&error))?;
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

    async fn http2<S>(&self, hop: &Hop, stream: S, since: Instant, course: &mut Course) -> Result<Step, Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| reason(&error))?;
        let whole = format!("https://{}{}", authority(&hop.url)?, origin_form(&hop.url)?);
        let request = request(hop, whole.parse().map_err(|_| not_sent("url"))?)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| reason(&error))?;
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
            let onwards = response.headers().get(header::LOCATION).and_then(|to| joined(&hop.url, to));
            return onwards.map(|url| Step::Onwards(url, status)).ok_or(refused("redirect"));
        }
        let good = match self.http.expect_status.as_slice() {
            [] => status.is_success() || status.is_redirection(),
            expected => expected.contains(&status.as_u16()),
        };
        if !good {
            return Err(Reason { outcome: Outcome::Refused, kind: format!("status-{}", status.as_u16()).into() });
        }
        let mut body = response.into_body();
        let mut check = body::Check::new(self.http.max_body, self.http.expect_body.as_deref());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|error| reason(&error))?.into_data() {
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

/// Runs an exchange and the connection under it. The connection may end first, when all was received.
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
        let pair = format!("{}:{}", plain(hop.url.username()), plain(hop.url.password().unwrap_or_default()));
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
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn origin_form(url: &Url) -> Result<Uri, Reason> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path()).parse().map_err(|_| not_sent("url"))
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

/// RFC 9110, section 15.4: 307 and 308 keep the method; the others turn POST into GET, 303 all but HEAD.
fn method_after(status: StatusCode, method: Method) -> Method {
    match status.as_u16() {
        303 if method != Method::HEAD => Method::GET,
        301 | 302 if method == Method::POST => Method::GET,
        _ => method,
    }
}

/// Where a redirect leads: only to http and https. A user name is not carried to another place.
fn joined(base: &Url, location: &HeaderValue) -> Option<Url> {
    let onwards = base.join(location.to_str().ok()?).ok()?;
    (matches!(onwards.scheme(), "http" | "https") && onwards.has_host()).then_some(onwards)
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
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        refused("closed")
    } else {
        refused("http")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn onwards(location: &str) -> Option<String> {
        let base = Url::parse("https://user:secret@a.example:8443/x/y?z").unwrap();
        joined(&base, &HeaderValue::from_str(location).unwrap()).map(String::from)
    }

    #[test]
    fn a_redirect_is_followed_to_http_and_https_and_nowhere_else() {
        assert_eq!(onwards("//b.example/q").as_deref(), Some("https://b.example/q"));
        assert_eq!(onwards("../q").as_deref(), Some("https://user:secret@a.example:8443/q"));
        assert_eq!(onwards("http://[::1]:80/").as_deref(), Some("http://[::1]/"));
        for location in ["ftp://b.example/", "file:///etc/passwd", "https://", "javascript:1"] {
            assert_eq!(onwards(location), None, "{location}");
        }
    }

    #[test]
    fn a_redirect_keeps_the_method_or_turns_it_into_get() {
        let after = |status, method| method_after(StatusCode::from_u16(status).unwrap(), method);
        assert_eq!(after(303, Method::PUT), Method::GET);
        assert_eq!(after(303, Method::HEAD), Method::HEAD);
        assert_eq!(after(302, Method::POST), Method::GET);
        assert_eq!(after(308, Method::POST), Method::POST);
    }

    #[test]
    fn a_password_in_the_url_goes_into_the_header_and_not_into_the_host() {
        let url = Url::parse("http://me:p%40s+s@a.example:8080/x?y=1#z").unwrap();
        let hop = Hop { url, address: [127, 0, 0, 1].into(), method: Method::GET };
        assert_eq!(authority(&hop.url).unwrap(), "a.example:8080");
        assert_eq!(origin_form(&hop.url).unwrap().to_string(), "/x?y=1");
        let request = request(&hop, origin_form(&hop.url).unwrap()).unwrap();
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic bWU6cEBzK3M=");
        assert_eq!(host_of(&Url::parse("http://[::1]:80/").unwrap()).as_deref(), Some("::1"));
    }
}
