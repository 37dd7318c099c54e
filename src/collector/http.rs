//! The URL map on one page, and what each address does.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::time::{Instant, timeout_at};

use crate::collector::api::extract::Reader;
use crate::collector::body::{Encoding, Type};
use crate::collector::caller::{Answer, Caller, Held};
use crate::collector::connections::Underway;
use crate::collector::memory_budget::Reservation;
use crate::collector::{Collector, Fault, api};
use crate::evidence::enrol;
use crate::evidence::problem::{Kind, Problem};
use crate::net::exposition::Form;

/// A body is given so long to arrive, …
const BODY_TIME: Duration = Duration::from_secs(120);
/// … and each part of it so long after the one before.
const PART_TIME: Duration = Duration::from_secs(30);
/// So much is made ready for a body before its bytes come.
const AT_FIRST: usize = 64 * 1024;
/// What a request takes beside its head and its body, …
const REQUEST: usize = 4 * 1024;
/// … and each field of the head beside its name and value, in bytes.
const FIELD: usize = 128;

/// Every address of the collector.
pub fn router(collector: Arc<Collector>) -> Router {
    Router::new()
        .route("/v1/summaries", post(summaries))
        .route("/v1/enrol", post(enrol_agent))
        .route("/v1/keys", get(keys))
        .route("/v1/contracts", get(contracts))
        .merge(api::router())
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || {
            Fault::from(Problem::new(Kind::NotFound, "there is nothing of this name here"))
        })
        .method_not_allowed_fallback(async || {
            Fault::from(Problem::new(Kind::NotAllowed, "this address takes another method"))
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&collector), counted))
        .with_state(collector)
}

/// Counts a request, keeps memory for it, and answers one whose address holds what no name does.
async fn counted(
    State(collector): State<Arc<Collector>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let address =
        request.extensions().get::<MatchedPath>().map_or("other", |path| known(path.as_str()));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = if uri.path_and_query().is_some_and(|all| all.as_str().contains("%00")) {
        Fault::from(Problem::new(Kind::Malformed, "an address holds no zero bytes")).into_response()
    } else {
        match begin(&collector, head_of(&request), Caller::of(request.extensions())).await {
            Ok(held) => next.run(request).await.map(|body| Body::new(Held::new(body, held))),
            Err(fault) => fault.into_response(),
        }
    };
    let (status, took) = (response.status().as_u16(), began.elapsed());
    collector.metrics.request(address, status, took);
    tracing::debug!(
        %method, path = uri.path(), status, took_ms = took.as_millis(), "a request was answered"
    );
    response
}

/// Somebody waits from now on, and what the request's head takes is reserved, until it is answered.
/// Where memory is short it waits for it a little, so that those who stall make room.
async fn begin(
    collector: &Collector,
    head: usize,
    caller: Result<Caller, Fault>,
) -> Result<(Underway, Caller), Fault> {
    let caller = caller?;
    let underway = caller.peer.request();
    let mut reservation = caller.reservation(&collector.memory);
    if head > 0 {
        reservation.take(head).await?;
    }
    caller.keep(reservation);
    Ok((underway, caller))
}

/// What a request's head takes, in bytes. Whether the collector lives can be asked however short
/// memory is.
fn head_of(request: &Request) -> usize {
    if request.uri().path() == "/healthz" {
        return 0;
    }
    let fields =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    fields.sum::<usize>() + request.uri().path().len() + REQUEST
}

/// An address of the URL map, kept for good: there are only so many.
fn known(address: &str) -> &'static str {
    static ALL: OnceLock<Mutex<BTreeSet<&'static str>>> = OnceLock::new();
    let mut all = ALL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    match all.get(address) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(address.to_owned().into_boxed_str());
            all.insert(kept);
            kept
        }
    }
}

async fn summaries(
    State(collector): State<Arc<Collector>>,
    request: Request,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let caller = Caller::of(&parts.extensions)?;
    let of = Type::of(only(&parts.headers, &CONTENT_TYPE)?.map(HeaderValue::as_bytes))?;
    let encoding = encoding(&parts.headers)?;
    let mut memory = caller.reservation(&collector.memory);
    let body =
        read(body, &parts.headers, collector.config().limits.body, &caller, &mut memory).await?;
    let (answer, memory) = collector.take(body, of, encoding, &caller, memory).await?;
    Ok(answered("application/x-ndjson", Body::new(Answer::new(answer, memory))))
}

async fn enrol_agent(
    State(collector): State<Arc<Collector>>,
    request: Request,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let caller = Caller::of(&parts.extensions)?;
    let encoding = encoding(&parts.headers)?;
    let mut memory = caller.reservation(&collector.memory);
    let body = read(body, &parts.headers, enrol::LIMIT, &caller, &mut memory).await?;
    let answer = collector.enrol(body, encoding, &caller, memory).await?;
    Ok(answered("application/json", answer))
}

async fn keys(State(collector): State<Arc<Collector>>) -> Response {
    answered("application/jose", collector.keys())
}

async fn contracts(
    State(collector): State<Arc<Collector>>,
    request: Request,
) -> Result<Response, Fault> {
    let caller = Caller::of(request.extensions())?;
    let bearer = bearer(request.headers())?.to_owned();
    let answer = collector
        .contracts(bearer, request.method().as_str(), request.uri().path(), &caller)
        .await?;
    Ok(answered("application/jose", answer))
}

async fn ready(State(collector): State<Arc<Collector>>) -> Result<&'static str, Fault> {
    collector.ready().await?;
    Ok("ready\n")
}

async fn metrics(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = Form::wanted(accept);
    Ok(answered(form.content_type(), collector.metrics_page(form).await?))
}

/// A value as JSON.
pub(super) fn text(value: &impl serde::Serialize) -> String {
    super::json(value)
}

pub(super) fn answered(of: &'static str, body: impl Into<Body>) -> Response {
    let headers: [(HeaderName, &'static str); 2] =
        [(CONTENT_TYPE, of), (CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    Encoding::of(headers.get_all(CONTENT_ENCODING).iter())
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The value of a field that is there once at most: of two, whoever stands between could have
/// looked at the other.
pub(super) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    match all.next() {
        None => Ok(first),
        Some(_) => {
            Err(Problem::new(Kind::Malformed, format_args!("there is more than one {name} header")))
        }
    }
}

/// The token of the Authorization header (RFC 6750).
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let value = only(headers, &AUTHORIZATION)?.and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    token.ok_or_else(|| Problem::new(Kind::Unauthorized, "an Authorization: Bearer is needed"))
}

/// Reads a body into memory that is reserved for it, as long as it is within its limit and comes in
/// time.
pub(super) async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limit: usize,
    caller: &Caller,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Fault> {
    let large = || {
        Fault::from(Problem::new(Kind::TooLarge, format_args!("a body is at most {limit} bytes")))
    };
    let slow = || Fault::busy("the body came too slowly");
    let expected = length(headers).unwrap_or(0);
    if expected > limit {
        return Err(large());
    }
    let until = Instant::now() + BODY_TIME;
    let _arriving = caller.peer.arriving();
    memory.arrives();
    let mut bytes = Vec::with_capacity(expected.min(AT_FIRST));
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let next = tokio::select! {
            next = timeout_at(until.min(Instant::now() + PART_TIME), next) => next.map_err(|_| slow())?,
            () = memory.asked_to_leave() => return Err(slow()),
        };
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| {
            Fault::from(Problem::new(
                Kind::Malformed,
                format_args!("the body could not be read: {error}"),
            ))
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(large());
            }
            memory.take(data.len()).await?;
            bytes.extend_from_slice(&data);
        }
    }
    memory.arrived();
    Ok(bytes)
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response =
            (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up: whoever waits so long is not too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.problem.kind() == Some(Kind::Unauthorized) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
