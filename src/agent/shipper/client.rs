//! The collector's doors, by HTTP: reqwest, zstd and nothing that another file would have to know.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::agent::shipper::Waiting;
use crate::evidence::digest::Digest;
use crate::evidence::enrol::Enrolled;
use crate::evidence::problem::{Kind, Problem};
use crate::net::trust::NoTrust;
use crate::net::web;

/// How long the connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a request may take; a batch over a modem needs its time.
const WHOLE: Duration = Duration::from_secs(180);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);
/// An answer that is longer is not read: one result for each of a batch is far below.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// Contracts that are longer are not read.
const CONTRACTS_LIMIT: usize = 16 * 1024 * 1024;
/// Where a collector gives the contracts of a site.
pub const CONTRACTS: &str = "/v1/contracts";
/// A good deal smaller than level 1, and still cheap on a router.
const LEVEL: i32 = 3;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The `ca` is no certificate.
    #[error("the collector's ca is not a PEM certificate: {0}")]
    Ca(#[source] NoTrust),
    /// TLS cannot be set up.
    #[error(
        "TLS to the collector cannot be set up: {0}; are there certificates to trust on this host \
         (the package ca-certificates), or should [collector] ca name one?"
    )]
    Tls(#[source] reqwest::Error),
}

/// No answer that could be used, and when to ask again, where the collector says so.
#[derive(Debug)]
pub struct Unanswered {
    pub what: String,
    pub retry_after: Option<Duration>,
}

impl Unanswered {
    fn new(what: String) -> Self {
        Self { what, retry_after: None }
    }
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        Self::new(web::told(&error))
    }
}

/// What was said of one summary: a receipt, or a problem.
#[derive(Debug)]
pub struct Outcome {
    pub digest: Digest,
    pub said: Result<String, Problem>,
}

/// What was said of a batch.
#[derive(Debug)]
pub enum ShipAnswer {
    /// Something of each, in order; perhaps not of all.
    Results(Vec<Outcome>),
    /// The same of the whole request.
    Problem(Problem),
}

/// One line of the answer.
#[derive(Deserialize)]
struct Line {
    digest: Digest,
    #[serde(default)]
    receipt: Option<String>,
    #[serde(default)]
    error: Option<Problem>,
}

pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub fn new(url: &str, ca: Option<&str>) -> Result<Self, ClientFault> {
        let builder = match ca {
            Some(ca) => web::client_trusting(url, ca).map_err(ClientFault::Ca)?,
            None => web::client(url),
        };
        let builder = builder
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(WHOLE)
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1);
        Ok(Self {
            http: builder.build().map_err(ClientFault::Tls)?,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    /// Asks to be enrolled.
    pub async fn enrol(&self, enrolment: String) -> Result<Result<Enrolled, Problem>, Unanswered> {
        let request = self
            .http
            .post(format!("{}/v1/enrol", self.url))
            .header(CONTENT_TYPE, "application/jose");
        let (status, body) = read(request.body(enrolment).send().await?).await?;
        if status == StatusCode::OK {
            let enrolled = serde_json::from_slice(&body);
            return enrolled
                .map(Ok)
                .map_err(|error| Unanswered::new(format!("the answer to the enrolment: {error}")));
        }
        problem(status, &body).map(Err)
    }

    /// Asks for the contracts of a site, by a request that the agent signed.
    pub async fn contracts(&self, request: &str) -> Result<Result<Vec<u8>, Problem>, Unanswered> {
        let asked = self.http.get(format!("{}{CONTRACTS}", self.url)).bearer_auth(request);
        let (status, body) = read_up_to(asked.send().await?, CONTRACTS_LIMIT).await?;
        if status == StatusCode::OK { Ok(Ok(body)) } else { problem(status, &body).map(Err) }
    }

    /// Asks for the collector's keys.
    pub async fn keys(&self) -> Result<Result<Vec<u8>, Problem>, Unanswered> {
        let (status, body) =
            read(self.http.get(format!("{}/v1/keys", self.url)).send().await?).await?;
        if status == StatusCode::OK { Ok(Ok(body)) } else { problem(status, &body).map(Err) }
    }

    /// Ships some summaries in one request.
    pub async fn ship(&self, batch: &[Waiting]) -> Result<ShipAnswer, Unanswered> {
        let mut lines = Vec::with_capacity(batch.iter().map(|waiting| waiting.jws.len() + 1).sum());
        for waiting in batch {
            lines.extend_from_slice(waiting.jws.as_bytes());
            lines.push(b'\n');
        }
        let body = zstd::bulk::compress(&lines, LEVEL)
            .map_err(|error| Unanswered::new(format!("zstd: {error}")))?;
        let request = self
            .http
            .post(format!("{}/v1/summaries", self.url))
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header(CONTENT_ENCODING, "zstd");
        let (status, body) = read(request.body(body).send().await?).await?;
        if status != StatusCode::OK {
            return problem(status, &body).map(ShipAnswer::Problem);
        }
        let fault = |what: &dyn std::fmt::Display| {
            Unanswered::new(format!("the collector's answer: {what}"))
        };
        let text = std::str::from_utf8(&body).map_err(|error| fault(&error))?;
        let mut results = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Line { digest, receipt, error } =
                serde_json::from_str(line).map_err(|error| fault(&error))?;
            let said = match (receipt, error) {
                (Some(receipt), None) => Ok(receipt),
                (None, Some(problem)) => Err(problem),
                _ => return Err(fault(&"a line has neither a receipt nor an error, or both")),
            };
            results.push(Outcome { digest, said });
        }
        Ok(ShipAnswer::Results(results))
    }
}

/// Reads an answer, within its limit; what says "later" is told as that.
async fn read(response: Response) -> Result<(StatusCode, Vec<u8>), Unanswered> {
    read_up_to(response, ANSWER_LIMIT).await
}

async fn read_up_to(
    mut response: Response,
    limit: usize,
) -> Result<(StatusCode, Vec<u8>), Unanswered> {
    let status = response.status();
    let asked = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(Unanswered::new(format!(
                "the collector's answer is longer than {limit} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let what = problem(status, &body)
            .map_or_else(|unanswered| unanswered.what, |problem| problem.to_string());
        let retry_after = asked.map(Duration::from_secs);
        return Err(Unanswered { what: format!("the collector is busy: {what}"), retry_after });
    }
    Ok((status, body))
}

/// The problem document of an answer. What is none, or not of this page, was not said by a
/// collector but by something in between, and nothing is concluded from it.
fn problem(status: StatusCode, body: &[u8]) -> Result<Problem, Unanswered> {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.kind().is_some_and(|kind| kind != Kind::Internal) => Ok(problem),
        _ => Err(Unanswered::new(format!("the collector's address answered {status}"))),
    }
}
