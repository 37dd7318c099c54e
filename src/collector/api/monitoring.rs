//! What is missing, alerts, tokens.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{delete, get};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::base::time::{Clock, SystemClock};
use crate::collector::Collector;
use crate::collector::alerts::{self, Alert};
use crate::collector::api::extract::{
    Admin, Json, Named, Paging, QueryParams, Reader, done, limit, made, page, part,
};
use crate::collector::archive::audit::Audited;
use crate::collector::archive::ledger::Page;
use crate::collector::fault::Fault;
use crate::collector::findings::finding::Finding;
use crate::collector::operations::tokens::{self, TokenMade, TokenView, TokenWanted};
use crate::evidence::problem::{Kind as ProblemKind, Problem};

/// The addresses.
pub fn router() -> Router<Arc<Collector>> {
    Router::new()
        .route("/v1/findings", get(findings))
        .route("/v1/alerts", get(alerts))
        .route("/v1/audit", get(audit))
        .route("/v1/tokens", get(tokens).post(make_token))
        .route("/v1/tokens/{name}", delete(revoke_token))
}

/// What is missing or wrong now
#[utoipa::path(get, path = "/v1/findings", params(Paging), security(("bearer" = [])),
    responses((
        status = 200,
        body = Vec<Finding>,
        description = "By kind and subject; the next page is in Link.",
    )))]
pub async fn findings(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let all = collector.findings(SystemClock.now().wall).await?;
    let name = |finding: &Finding| format!("{}/{}", finding.kind.word(), finding.subject);
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// Which alerts are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Those that have ended, instead of those that last.
    ended: Option<bool>,
    /// How many at most: 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// What the `Link` of the page before says.
    after: Option<String>,
}

/// The alerts, with who was told
#[utoipa::path(get, path = "/v1/alerts", params(Which), security(("bearer" = [])),
    responses((
        status = 200, body = Vec<Alert>, description = "In order; the next page is in Link."
    )))]
pub async fn alerts(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(which): QueryParams<Which>,
) -> Result<Response, Fault> {
    let limit = limit(which.limit)?;
    let (ended, paging) =
        (which.ended.unwrap_or(false), Paging { limit: which.limit, after: which.after });
    let all = collector
        .read(move |archive| {
            Ok(if ended {
                alerts::ended(archive)?
            } else {
                alerts::open(archive, Page::default())?
            })
        })
        .await?;
    let name = Alert::id;
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// What operators did, by the API and by command: the last first
#[utoipa::path(get, path = "/v1/audit", params(Paging), security(("bearer" = [])),
    responses((
        status = 200, body = Vec<Audited>, description = "The last first; the next page is in Link."
    )))]
pub async fn audit(
    State(collector): State<Arc<Collector>>,
    _: Admin,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let number =
        |after: String| after.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    let wrong = || Problem::new(ProblemKind::Malformed, "after: expected an entry's number");
    let before = paging.after.map(|after| number(after).ok_or_else(wrong)).transpose()?;
    let all = collector.read(move |archive| Ok(archive.audit(before, limit)?)).await?;
    Ok(page(&all, limit, &uri, |each: &Audited| each.n.to_string()))
}

/// The tokens of this API, without themselves
#[utoipa::path(get, path = "/v1/tokens", params(Paging), security(("bearer" = [])),
    responses((
        status = 200, body = Vec<TokenView>, description = "By name; the next page is in Link."
    )))]
pub async fn tokens(
    State(collector): State<Arc<Collector>>,
    _: Admin,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let all = collector.read(|archive| Ok(tokens::all(archive)?)).await?;
    let name = |token: &TokenView| token.name.clone();
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// Make a token: it is shown once, and only its digest is kept
#[utoipa::path(post, path = "/v1/tokens", request_body = TokenWanted, security(("bearer" = [])),
    responses((status = 201, body = TokenMade, description = "The token.")))]
pub async fn make_token(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Json(wanted): Json<TokenWanted>,
) -> Result<Response, Fault> {
    let token = collector.desk(move |archive| tokens::make(archive, &wanted, &admin.actor)).await?;
    Ok(made(&token))
}

/// Take a token away
#[utoipa::path(delete, path = "/v1/tokens/{name}", params(("name" = String, Path)),
    security(("bearer" = [])), responses((status = 204, description = "Done.")))]
pub async fn revoke_token(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named(name): Named<String>,
) -> Result<Response, Fault> {
    collector.desk(move |archive| tokens::revoke(archive, &name, &admin.actor)).await?;
    Ok(done())
}
