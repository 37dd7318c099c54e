//! A connection to a collector on loopback, kept from one request to the next, as an agent keeps
//! it.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What went wrong with a request: the connection, as a rule.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// A connection.
pub struct Line(SendRequest<Full<Bytes>>);

/// An answer.
pub struct Said {
    /// Its status.
    pub status: StatusCode,
    /// When to come again, in seconds.
    pub retry_after: Option<u64>,
    /// What it says.
    pub body: Bytes,
}

impl Line {
    /// Connects.
    pub async fn open(to: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (line, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(line))
    }

    /// Lets an agent in.
    pub async fn enrol(&mut self, enrolment: String) -> Result<Said, Broken> {
        self.ask(Method::POST, "/v1/enrol", "application/jose", None, enrolment.into()).await
    }

    /// Ships one summary, compressed by zstd.
    pub async fn ship(&mut self, summary: Bytes) -> Result<Said, Broken> {
        self.ask(Method::POST, "/v1/summaries", "application/jose", Some("zstd"), summary).await
    }

    /// Asks whether the collector lives, which costs it nothing.
    pub async fn look(&mut self) -> Result<Said, Broken> {
        self.ask(Method::GET, "/healthz", "text/plain", None, Bytes::new()).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        of: &str,
        encoding: Option<&str>,
        body: Bytes,
    ) -> Result<Said, Broken> {
        self.0.ready().await?;
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        request = request.header("content-type", of);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let answer = self.0.send_request(request.body(Full::new(body))?).await?;
        let retry_after =
            answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Said {
            status: answer.status(),
            retry_after,
            body: answer.into_body().collect().await?.to_bytes(),
        })
    }
}
