//! The URL map on one page, and what each address does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::time::Instant;

use crate::collector::api::extract::Reader;
use crate::collector::body::Type;
use crate::collector::caller::{Answer, Caller, HeldBody};
use crate::collector::connections::Underway;
use crate::collector::fault::Fault;
use crate::collector::http::answer::answered;
use crate::collector::http::request::{bearer, encoding, only, read};
use crate::collector::{Collector, api};
use crate::evidence::enrol;
use crate::evidence::problem::{Kind, Problem};
use crate::net::exposition::Form;
pub(in crate::collector) mod answer;
pub(in crate::collector) mod request;

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
            Ok(held) => next.run(request).await.map(|body| Body::new(HeldBody::new(body, held))),
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
