//! Contracts, and facts about their services.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::collector::api::extract::{
    Admin, Json, Named, Paging, QueryParams, Reader, Toml, json, limit, made, page, part,
};
use crate::collector::fault::Fault;
use crate::collector::http::answer::answered;
use crate::collector::operations::DeskError;
use crate::collector::operations::agreements::{
    self, AgreementView, Book, Difference, Served, Step,
};
use crate::collector::operations::facts::{self, Source};
use crate::collector::verdicts::Fleet;
use crate::collector::{Collector, marks};
use crate::evidence::key::Kid;

/// The addresses.
pub fn router() -> Router<Arc<Collector>> {
    Router::new()
        .route("/v1/agreements", get(list).post(import))
        .route("/v1/agreements/{id}/{version}", get(one))
        .route("/v1/agreements/{id}/{version}/text", get(text))
        .route("/v1/agreements/{id}/{version}/{action}", post(act))
        .route("/v1/differences", get(differences))
        .route("/v1/facts/{contract}/{service}/{source}", get(facts).put(import_facts))
}

fn unknown(id: &str, version: u32) -> DeskError {
    DeskError::NotFound(format!("there is no version {version} of a contract {id:?}"))
}

/// The contracts: each version of each, and how it stands
#[utoipa::path(get, path = "/v1/agreements", params(Paging), security(("bearer" = [])),
    responses((
        status = 200,
        body = Vec<AgreementView>,
        description = "By id and version; the next page is in Link.",
    )))]
pub async fn list(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let book = collector.book().await?;
    let all: Vec<AgreementView> = book.all.iter().map(agreements::Agreed::view).collect();
    let name = |view: &AgreementView| format!("{}/{}", view.id, view.version);
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// One version of a contract
#[utoipa::path(get, path = "/v1/agreements/{id}/{version}",
    params(("id" = String, Path), ("version" = u32, Path)), security(("bearer" = [])),
    responses((status = 200, body = AgreementView, description = "The version.")))]
pub async fn one(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named((id, version)): Named<(String, u32)>,
) -> Result<Response, Fault> {
    let book = collector.book().await?;
    match book.version(&id, version) {
        Some(agreed) => Ok(json(&agreed.view())),
        None => Err(unknown(&id, version).problem()?.into()),
    }
}

/// The file of a version, byte by byte
#[utoipa::path(get, path = "/v1/agreements/{id}/{version}/text",
    params(("id" = String, Path), ("version" = u32, Path)), security(("bearer" = [])),
    responses((
        status = 200, body = String, content_type = "application/toml", description = "The file."
    )))]
pub async fn text(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named((id, version)): Named<(String, u32)>,
) -> Result<Response, Fault> {
    let book = collector.book().await?;
    match book.version(&id, version) {
        Some(agreed) => Ok(answered("application/toml", agreed.kept.toml.clone())),
        None => Err(unknown(&id, version).problem()?.into()),
    }
}

/// Import a contract as a draft, after it was checked
#[utoipa::path(post, path = "/v1/agreements",
    request_body(content((String = "application/toml"), (String = "text/plain"))),
    security(("bearer" = [])),
    responses((status = 201, body = AgreementView, description = "It is here.")))]
pub async fn import(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Toml(toml): Toml,
) -> Result<Response, Fault> {
    let directory = collector.config().contracts_dir.clone();
    let view = collector
        .desk(move |archive| {
            let (id, version) =
                agreements::import(archive, directory.as_deref(), &toml, &admin.actor)?;
            let book = Book::load(archive, directory.as_deref())?;
            Ok(book.version(&id, version).map(agreements::Agreed::view))
        })
        .await?;
    Ok(made(&view))
}

/// Move a version: propose, counter, sign, `take_effect`, supersede, end, withdraw, reject, void
#[utoipa::path(post, path = "/v1/agreements/{id}/{version}/{action}",
    params(("id" = String, Path), ("version" = u32, Path), ("action" = String, Path)),
    request_body = Step, security(("bearer" = [])),
    responses((status = 200, body = AgreementView, description = "As it stands now.")))]
pub async fn act(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named((id, version, action)): Named<(String, u32, String)>,
    Json(step): Json<Step>,
) -> Result<Response, Fault> {
    let directory = collector.config().contracts_dir.clone();
    let view = collector
        .desk(move |archive| {
            agreements::act_beside(
                archive,
                directory.as_deref(),
                (&id, version),
                &action,
                &step,
                &admin.actor,
            )?;
            let book = Book::load(archive, directory.as_deref())?;
            let agreed = book.version(&id, version).ok_or_else(|| unknown(&id, version))?;
            let services =
                agreed.contract.as_ref().map(|terms| terms.services.as_slice()).unwrap_or_default();
            for service in services {
                marks::mark_all(archive, &id, &service.id, admin.actor.now)?;
            }
            Ok(agreed.view())
        })
        .await?;
    Ok(json(&view))
}

/// An agent whose contracts are not those in force.
#[derive(Serialize, ToSchema)]
pub struct AgentDifferences {
    /// The agent.
    #[schema(value_type = String)]
    agent: Kid,
    /// The site that it says it is at.
    site: String,
    /// Where they differ.
    differences: Vec<Difference>,
}

/// The agents that do not judge by the contracts in force, by the digests that they report
#[utoipa::path(get, path = "/v1/differences", params(Paging), security(("bearer" = [])),
    responses((
        status = 200,
        body = Vec<AgentDifferences>,
        description = "By agent; the next page is in Link.",
    )))]
pub async fn differences(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let book = collector.book().await?;
    let now = SystemClock.now().wall;
    let all = collector
        .read(move |archive| {
            let fleet = Fleet::load(archive)?;
            let served = Served::at(&book, now);
            let of = fleet.iter().map(|(agent, said)| {
                let enrolled = fleet.register().get(agent);
                let site =
                    enrolled.and_then(|enrolled| enrolled.site_at(now)).unwrap_or(&said.site);
                let differences = served.differences(site, &said.contracts);
                AgentDifferences { agent, site: site.to_owned(), differences }
            });
            Ok(of.filter(|each| !each.differences.is_empty()).collect::<Vec<_>>())
        })
        .await?;
    let name = |each: &AgentDifferences| each.agent.to_string();
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// Facts about a service, as they were imported.
#[derive(Serialize, ToSchema)]
pub struct FactsView {
    /// The facts, as the format of contracts writes them, without period and service.
    #[schema(value_type = Object)]
    facts: Map<String, Value>,
    /// The digest of what was imported.
    sha256: String,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    imported: Option<Wall>,
    /// By whom.
    by: String,
}

fn view(kept: facts::StoredFacts) -> FactsView {
    FactsView { facts: kept.facts, sha256: kept.digest, imported: kept.imported, by: kept.by }
}

fn source(word: &str) -> Result<Source, DeskError> {
    word.parse().map_err(DeskError::NotFound)
}

/// The customer's facts about a service, or the provider's own log
#[utoipa::path(get, path = "/v1/facts/{contract}/{service}/{source}",
    params(("contract" = String, Path), ("service" = String, Path), ("source" = Source, Path)),
    security(("bearer" = [])),
    responses((status = 200, body = FactsView, description = "As they were imported.")))]
pub async fn facts(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named((contract, service, of)): Named<(String, String, String)>,
) -> Result<Response, Fault> {
    let kept = collector
        .look(move |archive| {
            let kept = facts::kept(archive, &contract, &service, source(&of)?)?;
            match kept.imported {
                Some(_) => Ok(kept),
                None => Err(DeskError::NotFound(format!(
                    "no facts of the {of}'s about {service:?} were imported"
                ))),
            }
        })
        .await?;
    Ok(json(&view(kept)))
}

/// Import the customer's facts about a service, or the provider's own log, in the place of those
/// that are here
#[utoipa::path(put, path = "/v1/facts/{contract}/{service}/{source}",
    params(("contract" = String, Path), ("service" = String, Path), ("source" = Source, Path)),
    request_body(content = Object, content_type = "application/json"), security(("bearer" = [])),
    responses((status = 200, body = FactsView, description = "As they are kept.")))]
pub async fn import_facts(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named((contract, service, of)): Named<(String, String, String)>,
    Json(written): Json<Map<String, Value>>,
) -> Result<Response, Fault> {
    let book = collector.book().await?;
    let kept = collector
        .desk(move |archive| {
            let kept = facts::import(
                archive,
                &book,
                (&contract, &service, source(&of)?),
                written,
                &admin.actor,
            )?;
            marks::mark_all(archive, &contract, &service, admin.actor.now)?;
            Ok(kept)
        })
        .await?;
    Ok(json(&view(kept)))
}
