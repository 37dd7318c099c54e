//! The operators' API under /v1, and its description. What a request may be and what it is answered
//! stands beside each function, and the description is made of that; `tests/api/main.rs`
//! holds the running server against it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};

use crate::collector::Collector;
use crate::collector::http::answer::answered;
use crate::collector::operations::facts::Source;
use crate::collector::verdicts::groups::By;

mod agents;
mod agreements;
mod claims;
pub mod extract;
mod late;
#[expect(unused_qualifications, reason = "utoipa writes paths out")]
mod monitoring;
#[expect(unused_qualifications, reason = "utoipa writes paths out")]
mod verdicts;

pub use verdicts::{lay_beside as beside, report};

/// A problem document (RFC 9457), as everything is answered that is not done.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ProblemDocument {
    /// What kind of problem: `urn:wanproof:` and a word.
    pub r#type: String,
    /// The HTTP status.
    pub status: u16,
    /// What it is, for people.
    pub title: String,
    /// What happened.
    pub detail: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wanproof collector",
        description = "Agents, contracts, verdicts and claims of a fleet."
    ),
    paths(
        agents::list,
        agents::one,
        agents::change,
        agents::approve,
        agents::revoke,
        agents::reject,
        agents::sites,
        agreements::list,
        agreements::one,
        agreements::text,
        agreements::import,
        agreements::act,
        agreements::differences,
        agreements::facts,
        agreements::import_facts,
        verdicts::list,
        verdicts::one,
        verdicts::summary,
        verdicts::act,
        verdicts::beside,
        claims::list,
        claims::one,
        claims::act,
        claims::attach,
        claims::rights,
        claims::act_on_right,
        claims::duties,
        claims::invoice,
        late::list,
        late::accept,
        monitoring::findings,
        monitoring::alerts,
        monitoring::audit,
        monitoring::tokens,
        monitoring::make_token,
        monitoring::revoke_token,
        description,
    ),
    components(schemas(ProblemDocument, Source, By))
)]
struct Api;

/// The addresses of the operators' API.
pub fn router() -> Router<Arc<Collector>> {
    Router::new()
        .merge(agents::router())
        .merge(agreements::router())
        .merge(verdicts::router())
        .merge(claims::router())
        .merge(late::router())
        .merge(monitoring::router())
        .route("/v1/openapi.json", get(description))
}

/// This description
#[utoipa::path(get, path = "/v1/openapi.json", security(()),
    responses((
        status = 200, body = Object, content_type = "application/json", description = "OpenAPI 3.1."
    )))]
async fn description(State(_): State<Arc<Collector>>) -> Response {
    answered("application/json", describe())
}

/// The description of the API, as JSON (OpenAPI 3.1).
#[must_use]
pub fn describe() -> String {
    let mut api = Api::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    let problem = |what: &str| -> RefOr<Described> {
        let content =
            ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDocument"))).build();
        RefOr::T(
            ResponseBuilder::new()
                .description(what)
                .content("application/problem+json", content)
                .build(),
        )
    };
    let problems = [
        ("400", "It cannot be read."),
        ("401", "The token is missing, unknown or expired."),
        ("403", "The token is not good for this."),
        ("404", "There is no such thing."),
        ("409", "It does not go together with what is there."),
        ("413", "It is too large."),
        ("415", "It is of another type."),
        ("422", "It has faults."),
        ("503", "Come again later."),
    ];
    for item in api.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in all.into_iter().flatten() {
            for (status, what) in problems {
                operation
                    .responses
                    .responses
                    .entry(status.to_owned())
                    .or_insert_with(|| problem(what));
            }
        }
    }
    api.to_pretty_json().unwrap_or_default()
}
