//! Claims, rights to terminate, duties, invoices.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};

use crate::base::time::{Clock, SystemClock};
use crate::collector::api::extract::{
    Admin, Json, Named, Paging, QueryParams, Reader, json, limit, page, part,
};
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::fault::Fault;
use crate::collector::operations::agreements::Step;
use crate::collector::operations::claims::attachments::{self, Attach};
use crate::collector::operations::claims::{self, ClaimView};
use crate::collector::operations::duties::{self, DutyView};
use crate::collector::operations::invoices::{self, Invoice, Reconciled};
use crate::collector::operations::key;
use crate::collector::operations::rights::{self, RightView};
use crate::collector::verdicts::Judgement;
use crate::collector::{Collector, marks};

/// Duties of so long ago are shown: thirteen months.
const MONTHS: std::time::Duration = std::time::Duration::from_secs(396 * 86_400);

/// The addresses.
pub fn router() -> Router<Arc<Collector>> {
    Router::new()
        .route("/v1/claims", get(list))
        .route("/v1/claims/{contract}/{service}/{period}", get(one))
        .route("/v1/claims/{contract}/{service}/{period}/attachments", post(attach))
        .route("/v1/claims/{contract}/{service}/{period}/{action}", post(act))
        .route("/v1/rights", get(rights))
        .route("/v1/rights/{contract}/{service}/{right}/{accrued}/{action}", post(act_on_right))
        .route("/v1/duties", get(duties))
        .route("/v1/invoices", post(invoice))
}

/// The claims: how each stands, and how long there is left
#[utoipa::path(get, path = "/v1/claims", params(Paging), security(("bearer" = [])),
    responses((status = 200, body = Vec<ClaimView>, description = "By contract, service and \
        period; the next page is in Link.")))]
pub async fn list(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let all = collector
        .read(move |archive| {
            let page = Page { prefix: "", after: paging.after.as_deref(), limit: Some(limit) };
            Ok(claims::all(archive, page, SystemClock.now().wall)?)
        })
        .await?;
    Ok(page(&all, limit, &uri, |claim| claim.id.clone()))
}

/// One claim
#[utoipa::path(get, path = "/v1/claims/{contract}/{service}/{period}",
    params(("contract" = String, Path), ("service" = String, Path), ("period" = String, Path)),
    security(("bearer" = [])),
    responses((status = 200, body = ClaimView, description = "The claim.")))]
pub async fn one(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named((contract, service, period)): Named<(String, String, String)>,
) -> Result<Response, Fault> {
    let id = claims::id_of(&contract, &service, &period);
    let claim =
        collector.look(move |archive| claims::one(archive, &id, SystemClock.now().wall)).await?;
    Ok(json(&claim))
}

/// Move a claim: submit, acknowledge, accept, `accept_partly`, reject, credit, reconcile, dispute,
/// lapse, waive
#[utoipa::path(post, path = "/v1/claims/{contract}/{service}/{period}/{action}",
    params(
        ("contract" = String, Path),
        ("service" = String, Path),
        ("period" = String, Path),
        ("action" = String, Path),
    ),
    request_body = Step, security(("bearer" = [])),
    responses((status = 200, body = ClaimView, description = "As it stands now.")))]
pub async fn act(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named((contract, service, period, action)): Named<(String, String, String, String)>,
    Json(step): Json<Step>,
) -> Result<Response, Fault> {
    let id = claims::id_of(&contract, &service, &period);
    let claim = collector
        .desk(move |archive| claims::act(archive, &id, &action, &step, &admin.actor))
        .await?;
    Ok(json(&claim))
}

/// Attach a ticket, the provider's answer or a note to a claim; a ticket goes into the next verdict
#[utoipa::path(post, path = "/v1/claims/{contract}/{service}/{period}/attachments",
    params(("contract" = String, Path), ("service" = String, Path), ("period" = String, Path)),
    request_body = Attach, security(("bearer" = [])),
    responses((status = 200, body = ClaimView, description = "With what belongs to it.")))]
pub async fn attach(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named((contract, service, period)): Named<(String, String, String)>,
    Json(what): Json<Attach>,
) -> Result<Response, Fault> {
    let book = collector.book().await?;
    let claim = collector
        .desk(move |archive| {
            let id = claims::id_of(&contract, &service, &period);
            let claim = attachments::attach(archive, &book, &id, &what, &admin.actor)?;
            marks::mark(archive, &contract, &service, &period, admin.actor.now)?;
            Ok(claim)
        })
        .await?;
    Ok(json(&claim))
}

/// The rights to terminate that accrued
#[utoipa::path(get, path = "/v1/rights", params(Paging), security(("bearer" = [])),
    responses((status = 200, body = Vec<RightView>, description = "By contract, service and \
        right; the next page is in Link.")))]
pub async fn rights(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    let all = collector
        .read(move |archive| {
            let page = Page { prefix: "", after: paging.after.as_deref(), limit: Some(limit) };
            Ok(rights::all(archive, page, SystemClock.now().wall)?)
        })
        .await?;
    Ok(page(&all, limit, &uri, |right| right.id.clone()))
}

/// Exercise or waive a right to terminate
#[utoipa::path(post, path = "/v1/rights/{contract}/{service}/{right}/{accrued}/{action}",
    params(
        ("contract" = String, Path),
        ("service" = String, Path),
        ("right" = String, Path),
        ("accrued" = String, Path),
        ("action" = String, Path),
    ),
    request_body = Step, security(("bearer" = [])),
    responses((status = 200, body = RightView, description = "As it stands now.")))]
pub async fn act_on_right(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named((contract, service, right, accrued, action)): Named<(
        String,
        String,
        String,
        String,
        String,
    )>,
    Json(step): Json<Step>,
) -> Result<Response, Fault> {
    let id = key(&[&contract, &service, &right, &accrued]);
    let right = collector
        .desk(move |archive| rights::act(archive, &id, &action, &step, &admin.actor))
        .await?;
    Ok(json(&right))
}

/// What the parties had to do in the last thirteen months, by when it was due
#[utoipa::path(get, path = "/v1/duties", params(Paging), security(("bearer" = [])),
    responses((
        status = 200,
        body = Vec<DutyView>,
        description = "By when it is due; the next page is in Link.",
    )))]
pub async fn duties(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Response, Fault> {
    let limit = limit(paging.limit)?;
    // Identifiers begin with the month.
    let since = (SystemClock.now().wall - MONTHS).to_string().chars().take(7).collect::<String>();
    let all = collector
        .read(move |archive| {
            let verdicts = archive.records::<Judgement>(
                Kind::Verdict,
                Page { after: Some(&since), ..Page::default() },
            )?;
            Ok(duties::of(verdicts.iter().map(|record| &record.body), SystemClock.now().wall))
        })
        .await?;
    let name =
        |duty: &DutyView| format!("{}/{}/{}/{}", duty.due, duty.contract, duty.service, duty.duty);
    Ok(page(part(&all, &paging, limit, name), limit, &uri, name))
}

/// Lay an invoice's credits beside the claims; a claim that it credits in full is reconciled by it
#[utoipa::path(post, path = "/v1/invoices", request_body = Invoice, security(("bearer" = [])),
    responses((status = 200, body = Vec<Reconciled>, description = "Line by line.")))]
pub async fn invoice(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Json(invoice): Json<Invoice>,
) -> Result<Response, Fault> {
    let lines =
        collector.desk(move |archive| invoices::reconcile(archive, &invoice, &admin.actor)).await?;
    Ok(json(&lines))
}
