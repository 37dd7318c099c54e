//! What is asked: who asks, the names in the address, the query, the body. What is not of its form
//! is answered by a problem document.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, HeaderValue, LINK};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::base::time::{Clock, SystemClock};
use crate::collector::Collector;
use crate::collector::archive::Archive;
use crate::collector::archive::audit::Via;
use crate::collector::caller::Caller;
use crate::collector::fault::Fault;
use crate::collector::http::answer::{answered, text};
use crate::collector::http::request::{self, bearer, only};
use crate::collector::operations::tokens::Scope;
use crate::collector::operations::{Actor, DeskError};
use crate::evidence::json::strict;
use crate::evidence::problem::{Kind, Problem};

/// A body is at most so long.
const LIMIT: usize = 4 * 1024 * 1024;
/// A byte of a body becomes at most so many when it is read: `0,` is a value of 32 bytes in a list
/// that may just have grown, …
const PARSED: usize = 24;
/// … but a body has only so many values (`evidence::json::VALUES`), so that it is never more than
/// this.
const PARSED_LIMIT: usize = 32 * 1024 * 1024;
/// A page has so many where it is not said.
pub const PAGE: u32 = 100;
/// A page has at most so many.
pub const LARGEST: u32 = 1000;

/// Whoever may read.
pub struct Reader;

/// Whoever may change.
pub struct Admin {
    /// Who it is.
    pub actor: Actor,
}

impl FromRequestParts<Arc<Collector>> for Reader {
    type Rejection = Fault;
    async fn from_request_parts(
        parts: &mut Parts,
        collector: &Arc<Collector>,
    ) -> Result<Self, Fault> {
        let caller = Caller::of(&parts.extensions)?;
        collector.admit_token(bearer(&parts.headers)?, Scope::Read, &caller).await.map(|_| Self)
    }
}

impl FromRequestParts<Arc<Collector>> for Admin {
    type Rejection = Fault;
    async fn from_request_parts(
        parts: &mut Parts,
        collector: &Arc<Collector>,
    ) -> Result<Self, Fault> {
        let caller = Caller::of(&parts.extensions)?;
        let who = collector.admit_token(bearer(&parts.headers)?, Scope::Admin, &caller).await?;
        Ok(Self { actor: Actor { who, via: Via::Api, now: SystemClock.now().wall } })
    }
}

/// The names in an address.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Collector>> for Named<T> {
    type Rejection = Fault;
    async fn from_request_parts(
        parts: &mut Parts,
        collector: &Arc<Collector>,
    ) -> Result<Self, Fault> {
        let Path(names) = Path::from_request_parts(parts, collector)
            .await
            .map_err(|rejection| Problem::new(Kind::Malformed, rejection.body_text()))?;
        Ok(Self(names))
    }
}

/// The query.
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Collector>> for QueryParams<T> {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Collector>) -> Result<Self, Fault> {
        let Query(query) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| Problem::new(Kind::Malformed, rejection.body_text()))?;
        Ok(Self(query))
    }
}

/// A body of JSON.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Collector>> for Json<T> {
    type Rejection = Fault;
    async fn from_request(request: Request, collector: &Arc<Collector>) -> Result<Self, Fault> {
        let bytes = body_of(request, collector, &["application/json"]).await?;
        Ok(Self(object(&bytes)?))
    }
}

fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    strict(bytes).map_err(|fault| Problem::new(Kind::Malformed, fault))?;
    // A list would be taken for the members of an object, in their order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::new(Kind::Malformed, "expected a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let kind = if error.is_data() { Kind::Invalid } else { Kind::Malformed };
        Problem::new(kind, error)
    })
}

/// A body of JSON, or none at all.
pub struct Perhaps<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<Collector>> for Perhaps<T> {
    type Rejection = Fault;
    async fn from_request(request: Request, collector: &Arc<Collector>) -> Result<Self, Fault> {
        if request.headers().contains_key(CONTENT_TYPE) {
            let bytes = body_of(request, collector, &["application/json"]).await?;
            return Ok(Self(if bytes.is_empty() { T::default() } else { object(&bytes)? }));
        }
        let (parts, body) = request.into_parts();
        match read(&parts, body, collector).await?.is_empty() {
            true => Ok(Self(T::default())),
            false => Err(Problem::new(
                Kind::Unsupported,
                "expected a body of Content-Type application/json",
            )
            .into()),
        }
    }
}

/// A body of TOML.
pub struct Toml(pub String);

impl FromRequest<Arc<Collector>> for Toml {
    type Rejection = Fault;
    async fn from_request(request: Request, collector: &Arc<Collector>) -> Result<Self, Fault> {
        let bytes = body_of(request, collector, &["application/toml", "text/plain"]).await?;
        String::from_utf8(bytes)
            .map(Self)
            .map_err(|_| Problem::new(Kind::Malformed, "the body is not UTF-8").into())
    }
}

async fn body_of(request: Request, collector: &Collector, of: &[&str]) -> Result<Vec<u8>, Fault> {
    let (parts, body) = request.into_parts();
    let given = only(&parts.headers, &CONTENT_TYPE)?
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if !of.iter().any(|of| given.eq_ignore_ascii_case(of)) {
        let expected = of.join(" or ");
        return Err(Problem::new(
            Kind::Unsupported,
            format_args!("expected a body of Content-Type {expected}"),
        )
        .into());
    }
    read(&parts, body, collector).await
}

/// Reads a body, and keeps memory for what it becomes until the request is answered.
async fn read(parts: &Parts, body: Body, collector: &Collector) -> Result<Vec<u8>, Fault> {
    let caller = Caller::of(&parts.extensions)?;
    let mut memory = caller.reservation(&collector.memory);
    let bytes = request::read(body, &parts.headers, LIMIT, &caller, &mut memory).await?;
    let parsed = (bytes.len() * PARSED).min(PARSED_LIMIT);
    memory.take(parsed).await?;
    caller.keep(memory);
    Ok(bytes)
}

/// Which page is asked for.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// How many at most: 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// What the `Link` of the page before says.
    pub after: Option<String>,
}

/// How many are asked for.
///
/// # Errors
/// When it is none or too many.
pub fn limit(asked: Option<u32>) -> Result<u32, Fault> {
    let limit = asked.unwrap_or(PAGE);
    if (1..=LARGEST).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(
            Kind::Malformed,
            format_args!("limit: expected a number from 1 to {LARGEST}"),
        )
        .into())
    }
}

/// JSON.
pub fn json(value: &impl Serialize) -> Response {
    answered("application/json", text(value))
}

/// JSON of what was made.
pub fn made(value: &impl Serialize) -> Response {
    let mut response = json(value);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// Nothing but that it is done.
pub fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A page: where it is full, its `Link` (RFC 8288) says where the next one begins.
pub fn page<T: Serialize>(
    all: &[T],
    limit: u32,
    uri: &Uri,
    last: impl FnOnce(&T) -> String,
) -> Response {
    let mut response = json(&all);
    if let Some(end) = all.last().filter(|_| all.len() >= limit as usize) {
        let kept = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|part| !part.is_empty() && !part.starts_with("after="));
        let after = format!("after={}", encoded(&last(end)));
        let query = kept.map(str::to_owned).chain([after]).collect::<Vec<_>>().join("&");
        if let Ok(link) = HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", uri.path()))
        {
            response.headers_mut().insert(LINK, link);
        }
    }
    response
}

/// A text as it stands in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}

/// A part of what is at hand, for lists that are not read page by page.
pub fn part<'a, T>(
    all: &'a [T],
    paging: &Paging,
    limit: u32,
    name: impl Fn(&T) -> String,
) -> &'a [T] {
    let from = match &paging.after {
        Some(after) => {
            all.iter().position(|each| name(each) == *after).map_or(all.len(), |at| at + 1)
        }
        None => 0,
    };
    let rest = &all[from.min(all.len())..];
    &rest[..rest.len().min(limit as usize)]
}

impl Collector {
    /// Does what an operator wants in a transaction.
    pub(super) async fn desk<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Archive) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = self
            .change(move |archive| match act(archive) {
                Ok(value) => Ok(Ok(value)),
                // What is refused was refused before anything of it was written.
                Err(error) => Ok(Err(error.problem()?)),
            })
            .await?;
        done.map_err(Fault::from)
    }

    /// Reads what an operator wants to see.
    pub(super) async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Archive) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, Fault> {
        self.read(move |archive| {
            act(archive).map_err(|error| error.problem().map_or_else(Fault::from, Fault::from))
        })
        .await
    }
}
