//! Evidence that came too late to count.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};

use crate::collector::Collector;
use crate::collector::api::extract::{
    Admin, Json, Paging, QueryParams, Reader, done, limit, page, part,
};
use crate::collector::fault::Fault;
use crate::collector::operations::late::{self, Accept, LateView};

/// The addresses.
pub fn router() -> Router<Arc<Collector>> {
    Router::new().route("/v1/late", get(list)).route("/v1/late/accept", post(accept))
}

/// Evidence that came too late to count
#[utoipa::path(get, path = "/v1/late", params(Paging), security(("bearer" = [])),
    responses((
        status = 200,
        body = Vec<LateView>,
        description = "By agent and chain; the next page is in Link.",
    )))]
pub async fn list(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let all = collector.read(|archive| Ok(late::all(archive)?)).await?;
    // Twenty digits, so that identifiers sort as numbers do.
    let name = |of: &LateView| format!("{}/{}/{:020}", of.agent, of.chain, of.from_seq);
    let mut all: Vec<LateView> = all;
    all.sort_by_key(&name);
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// Accept late evidence: it counts from then on, and what it touches is judged anew
#[utoipa::path(post, path = "/v1/late/accept", request_body = Accept, security(("bearer" = [])),
    responses((status = 204, description = "Done.")))]
pub async fn accept(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Json(what): Json<Accept>,
) -> Result<Response, Fault> {
    collector.desk(move |archive| late::accept(archive, &what, &admin.actor).map(drop)).await?;
    Ok(done())
}
