//! Agents and sites.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};

use crate::base::time::{Clock, SystemClock};
use crate::collector::Collector;
use crate::collector::api::extract::{
    Admin, Json, Named, Paging, Perhaps, QueryParams, Reader, done, json, limit, page, part,
};
use crate::collector::archive::agents::AgentStatus;
use crate::collector::fault::Fault;
use crate::collector::fleet::{self, AgentView};
use crate::collector::operations::DeskError;
use crate::collector::operations::pending::{self, RejectWanted, Rejected};
use crate::collector::operations::sites::{self, AgentChange, Revocation, SiteView};
use crate::evidence::key::Kid;

/// The addresses.
pub fn router() -> Router<Arc<Collector>> {
    Router::new()
        .route("/v1/agents", get(list))
        .route("/v1/agents/{agent}", get(one).patch(change))
        .route("/v1/agents/{agent}/approve", post(approve))
        .route("/v1/agents/{agent}/revoke", post(revoke))
        .route("/v1/pending/reject", post(reject))
        .route("/v1/sites", get(sites))
}

async fn all(collector: &Arc<Collector>) -> Result<Vec<AgentView>, Fault> {
    let silent_after = collector.config().alerts.silent_after;
    collector
        .read(move |archive| Ok(fleet::all(archive, silent_after, SystemClock.now().wall)?))
        .await
}

fn unknown() -> DeskError {
    DeskError::NotFound(
        "there is no such agent: `wanproof collector agents` shows those that are known".to_owned(),
    )
}

fn kid(name: &str) -> Result<Kid, DeskError> {
    name.parse().map_err(|_| unknown())
}

/// The agents: who is let in, who fell silent, what is missing
#[utoipa::path(get, path = "/v1/agents", params(Paging), security(("bearer" = [])),
    responses((
        status = 200, body = Vec<AgentView>, description = "By site; the next page is in Link."
    )))]
pub async fn list(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let silent_after = collector.config().alerts.silent_after;
    let some = collector
        .read(move |archive| {
            let which = (paging.after.as_deref(), limit as usize);
            Ok(fleet::some(archive, which, silent_after, SystemClock.now().wall)?)
        })
        .await?;
    Ok(page(&some, limit, &uri, |agent: &AgentView| agent.agent.to_string()))
}

/// One agent
#[utoipa::path(get, path = "/v1/agents/{agent}", params(("agent" = String, Path)),
    security(("bearer" = [])),
    responses((status = 200, body = AgentView, description = "The agent.")))]
pub async fn one(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named(agent): Named<String>,
) -> Result<Response, Fault> {
    let silent_after = collector.config().alerts.silent_after;
    let view = collector
        .look(move |archive| {
            fleet::one(archive, kid(&agent)?, silent_after, SystemClock.now().wall)?
                .ok_or_else(unknown)
        })
        .await?;
    Ok(json(&view))
}

/// Put an agent to a site, or label it
#[utoipa::path(patch, path = "/v1/agents/{agent}", params(("agent" = String, Path)),
    request_body = AgentChange, security(("bearer" = [])),
    responses((status = 204, description = "Done.")))]
pub async fn change(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named(agent): Named<String>,
    Json(change): Json<AgentChange>,
) -> Result<Response, Fault> {
    collector
        .desk(move |archive| sites::change(archive, kid(&agent)?, &change, &admin.actor))
        .await?;
    Ok(done())
}

/// Let an agent ship that waits for it
#[utoipa::path(post, path = "/v1/agents/{agent}/approve", params(("agent" = String, Path)),
    security(("bearer" = [])), responses((status = 204, description = "Done.")))]
pub async fn approve(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named(agent): Named<String>,
) -> Result<Response, Fault> {
    collector
        .desk(move |archive| {
            sites::set_standing(archive, kid(&agent)?, AgentStatus::Approved, &admin.actor)
        })
        .await?;
    Ok(done())
}

/// Take nothing from an agent any more, for good; with `since`, leave out what it said from then on
#[utoipa::path(post, path = "/v1/agents/{agent}/revoke", params(("agent" = String, Path)),
    request_body = Option<Revocation>, security(("bearer" = [])),
    responses((status = 204, description = "Done.")))]
pub async fn revoke(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named(agent): Named<String>,
    Perhaps(how): Perhaps<Revocation>,
) -> Result<Response, Fault> {
    collector.desk(move |archive| sites::revoke(archive, kid(&agent)?, &how, &admin.actor)).await?;
    Ok(done())
}

/// Turn agents away that wait, by a pattern of their sites or addresses
#[utoipa::path(post, path = "/v1/pending/reject", request_body = RejectWanted,
    security(("bearer" = [])),
    responses((status = 200, body = Rejected, description = "Who was turned away, or would be.")))]
pub async fn reject(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Json(wanted): Json<RejectWanted>,
) -> Result<Response, Fault> {
    let rejected =
        collector.desk(move |archive| pending::reject(archive, &wanted, &admin.actor)).await?;
    Ok(json(&rejected))
}

/// The sites, and who is there
#[utoipa::path(get, path = "/v1/sites", params(Paging), security(("bearer" = [])),
    responses((
        status = 200, body = Vec<SiteView>, description = "By name; the next page is in Link."
    )))]
pub async fn sites(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let all = sites::sites(&all(&collector).await?);
    let name = |site: &SiteView| site.site.clone();
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}
