//! The fleet's verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json as object;
use utoipa::{IntoParams, ToSchema};

use crate::base::time::{Clock, SystemClock, Wall};
use crate::collector::api::extract::{
    Admin, Json, Named, QueryParams, Reader, done, json, limit, page,
};
use crate::collector::archive::Archive;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::fault::Fault;
use crate::collector::operations::agreements::Step;
use crate::collector::operations::facts::{self, Source};
use crate::collector::operations::{DeskError, key, rulings};
use crate::collector::verdicts::groups::{By, GroupView, groups};
use crate::collector::verdicts::{ByProvider, Histograms, Judgement, OutageView, id_of};
use crate::collector::{Collector, marks, periods};
use crate::sla::calendar::{Every, Period, Zone};
use crate::sla::facts::Event;
use crate::sla::printed::Printed;
use crate::sla::terms::Side;

/// The addresses.
pub fn router() -> Router<Arc<Collector>> {
    Router::new()
        .route("/v1/verdicts", get(list))
        .route("/v1/verdicts/{period}/{contract}/{service}", get(one))
        .route("/v1/verdicts/{period}/{contract}/{service}/beside", get(beside))
        .route("/v1/verdicts/{period}/{contract}/{service}/{action}", post(act))
        .route("/v1/summary", get(summary))
}

/// Which verdicts are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The month, such as 2026-11: this one where it is not said.
    period: Option<String>,
    /// Only of this contract.
    contract: Option<String>,
    /// Only of this service.
    service: Option<String>,
    /// Only of this site.
    site: Option<String>,
    /// Only of this provider.
    provider: Option<String>,
    /// Only of this level: corporate, customer or service.
    level: Option<String>,
    /// How many at most: 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// What the `Link` of the page before says.
    after: Option<String>,
}

/// The month that is asked for.
fn month(text: Option<&String>, now: Wall) -> Result<Period, DeskError> {
    let Some(text) = text else {
        let utc = Zone::get("UTC")
            .ok_or_else(|| DeskError::Invalid(vec!["there are no time zones".to_owned()]))?;
        return Ok(Every::Month.holding(utc.day(now)));
    };
    text.parse().map_err(|fault: crate::sla::calendar::NotAPeriod| {
        DeskError::Invalid(vec![fault.to_string()])
    })
}

impl Wanted {
    fn takes(&self, of: &Judgement) -> bool {
        let is = |wanted: &Option<String>, own: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == own)
        };
        is(&self.contract, &of.contract)
            && is(&self.service, &of.service)
            && is(&self.site, &of.site)
            && is(&self.provider, &of.provider)
            && is(&self.level, &of.level)
    }

    /// Reads on until a page is full: what is left out costs no place on it.
    fn read(&self, archive: &Archive, limit: u32) -> Result<Vec<(String, Judgement)>, DeskError> {
        let prefix = format!("{}/", month(self.period.as_ref(), SystemClock.now().wall)?);
        let mut after = self.after.clone();
        let mut all = Vec::new();
        loop {
            let page = Page { prefix: &prefix, after: after.as_deref(), limit: Some(limit) };
            let read = archive.records::<Judgement>(Kind::Verdict, page)?;
            let more = read.len() >= limit as usize;
            after = read.last().map(|record| record.id.clone());
            all.extend(
                read.into_iter()
                    .filter(|record| self.takes(&record.body))
                    .map(|record| (record.id, record.body)),
            );
            if !more || all.len() >= limit as usize {
                all.truncate(limit as usize);
                return Ok(all);
            }
        }
    }
}

/// The verdicts of a month: one for each service, with its arithmetic
#[utoipa::path(get, path = "/v1/verdicts", params(Wanted), security(("bearer" = [])),
    responses((status = 200, body = Vec<Judgement>, description = "By contract and service; the \
        next page is in Link.")))]
pub async fn list(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    uri: Uri,
    QueryParams(wanted): QueryParams<Wanted>,
) -> Result<Response, Fault> {
    let limit = limit(wanted.limit)?;
    let all = collector.look(move |archive| wanted.read(archive, limit)).await?;
    let last = all.last().map(|(id, _)| id.clone()).unwrap_or_default();
    let all: Vec<Judgement> = all.into_iter().map(|(_, judgement)| judgement).collect();
    Ok(page(&all, limit, &uri, |_| last))
}

/// By what verdicts are put together.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Grouped {
    /// By what: service, site, contract, provider or level.
    by: By,
    /// The month, such as 2026-11: this one where it is not said.
    period: Option<String>,
}

/// Every verdict of a month with its histograms, put together.
///
/// # Errors
/// When the database fails, or the period is none.
pub fn report(
    archive: &Archive,
    period: Option<&String>,
    by: By,
) -> Result<Vec<GroupView>, DeskError> {
    let prefix = format!("{}/", month(period, SystemClock.now().wall)?);
    let verdicts = archive.records::<Judgement>(Kind::Verdict, Page::of(&prefix))?;
    let histograms: BTreeMap<String, Histograms> = archive
        .records::<Histograms>(Kind::Histograms, Page::of(&prefix))?
        .into_iter()
        .map(|record| (record.id, record.body))
        .collect();
    let none = Histograms::new();
    let both =
        verdicts.iter().map(|record| (&record.body, histograms.get(&record.id).unwrap_or(&none)));
    Ok(groups(both, by))
}

/// The verdicts of a month, put together, with percentiles from merged histograms
#[utoipa::path(get, path = "/v1/summary", params(Grouped), security(("bearer" = [])),
    responses((status = 200, body = Vec<GroupView>, description = "By what they have in common.")))]
pub async fn summary(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    QueryParams(grouped): QueryParams<Grouped>,
) -> Result<Response, Fault> {
    let all =
        collector.look(move |archive| report(archive, grouped.period.as_ref(), grouped.by)).await?;
    Ok(json(&all))
}

fn find(
    archive: &Archive,
    period: &str,
    contract: &str,
    service: &str,
) -> Result<Judgement, DeskError> {
    let unknown =
        || DeskError::NotFound(format!("{service:?} of {contract:?} was not judged in {period:?}"));
    let id = key(&[period, contract, service]);
    archive.record(Kind::Verdict, &id)?.ok_or_else(unknown)
}

/// The verdict of a service in a month
#[utoipa::path(get, path = "/v1/verdicts/{period}/{contract}/{service}",
    params(("period" = String, Path), ("contract" = String, Path), ("service" = String, Path)),
    security(("bearer" = [])),
    responses((status = 200, body = Judgement, description = "The verdict.")))]
pub async fn one(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named((period, contract, service)): Named<(String, String, String)>,
) -> Result<Response, Fault> {
    let found = collector.look(move |archive| find(archive, &period, &contract, &service)).await?;
    Ok(json(&found))
}

/// Move the verdict of a service in a month: freeze, settle, dispute, revise
#[utoipa::path(post, path = "/v1/verdicts/{period}/{contract}/{service}/{action}",
    params(
        ("period" = String, Path),
        ("contract" = String, Path),
        ("service" = String, Path),
        ("action" = String, Path),
    ),
    request_body = Step, security(("bearer" = [])),
    responses((status = 204, description = "Done.")))]
pub async fn act(
    State(collector): State<Arc<Collector>>,
    admin: Admin,
    Named((period, contract, service, action)): Named<(String, String, String, String)>,
    Json(step): Json<Step>,
) -> Result<Response, Fault> {
    collector
        .desk(move |archive| {
            let judged = find(archive, &period, &contract, &service)?;
            let month: Period = period
                .parse()
                .map_err(|_| DeskError::NotFound(format!("{period:?} is no period")))?;
            let id = id_of(month, &contract, &service);
            if action == "revise" {
                rulings::check_whole(archive, &period, &contract, &service)?;
            }
            let mut log = periods::period_log(archive, &id)?;
            let entry = log.in_order(step.entry(&action, &admin.actor)?);
            log.append(entry.clone())?;
            archive.append(Kind::Period, &id, &entry, admin.actor.now)?;
            if action == "revise" {
                // The old one stays as it was, with what it rests on where that is known.
                archive.append(Kind::Verdict, &id, &judged, admin.actor.now)?;
                rulings::keep(archive, (&period, &contract, &service), "revise", admin.actor.now)?;
                marks::revise(archive, &contract, &service, &period, admin.actor.now)?;
            }
            let detail = object!({"evidence": entry.evidence, "said": entry.said});
            admin.actor.did(archive, &format!("verdict.{action}"), &id, detail)?;
            Ok(())
        })
        .await?;
    Ok(done())
}

/// An outage of ours beside theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pair {
    /// As it was measured; absent where the provider's log has it alone.
    ours: Option<OutageView>,
    /// As the provider's log has it; absent where it was measured only.
    theirs: Option<OutageView>,
    /// How much later theirs begins, in seconds.
    begins_later_s: Option<i64>,
    /// How much later theirs ends, in seconds.
    ends_later_s: Option<i64>,
}

/// What was measured beside the provider's own log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Beside {
    /// Whose figures bind by the contract: provider, customer or joint.
    binding: String,
    /// Outage by outage, in order.
    outages: Vec<Pair>,
    /// The lengths of ours together, in seconds.
    ours_s: i64,
    /// The lengths of theirs together, in seconds.
    theirs_s: i64,
    /// The verdict by what was measured.
    #[schema(value_type = Option<Object>)]
    ours: Option<Printed>,
    /// The verdict by the provider's log; absent where none was imported.
    #[schema(value_type = Option<Object>)]
    theirs: Option<ByProvider>,
}

/// What was measured of a service in a month, beside the provider's own log
#[utoipa::path(get, path = "/v1/verdicts/{period}/{contract}/{service}/beside",
    params(("period" = String, Path), ("contract" = String, Path), ("service" = String, Path)),
    security(("bearer" = [])),
    responses((status = 200, body = Beside, description = "Outage by outage.")))]
pub async fn beside(
    State(collector): State<Arc<Collector>>,
    _: Reader,
    Named((period, contract, service)): Named<(String, String, String)>,
) -> Result<Response, Fault> {
    let beside =
        collector.look(move |archive| lay_beside(archive, &period, &contract, &service)).await?;
    Ok(json(&beside))
}

/// Lays the provider's own log beside what was measured.
///
/// # Errors
/// When the service was not judged in that month.
pub fn lay_beside(
    archive: &Archive,
    period: &str,
    contract: &str,
    service: &str,
) -> Result<Beside, DeskError> {
    let judged = find(archive, period, contract, service)?;
    let log = facts::kept(archive, contract, service, Source::Provider)?;
    let span = span_of(&judged);
    let mut theirs: Vec<OutageView> = Vec::new();
    for event in told(&log, &judged) {
        let (from, to) = (event.from, event.to.unwrap_or(judged.as_of).max(event.from));
        if span.is_none_or(|(begin, end)| to > begin && from < end) {
            theirs.push(OutageView { from, to, side: event.side.unwrap_or(Side::Provider) });
        }
    }
    theirs.sort_by_key(|each| (each.from, each.to));
    let sum = |all: &[OutageView]| {
        all.iter().map(|each| each.to.nanos_since(each.from) / 1_000_000_000).sum()
    };
    Ok(Beside {
        binding: judged.measured_by.clone(),
        ours_s: sum(&judged.outages),
        theirs_s: sum(&theirs),
        outages: pairs(&judged.outages, &theirs),
        ours: judged.report,
        theirs: judged.by_provider,
    })
}

/// The events of the provider's own log, which had no faults when it was imported.
fn told(log: &facts::StoredFacts, judged: &Judgement) -> Vec<Event> {
    let Ok(period) = judged.period.parse() else { return Vec::new() };
    let text = facts::text(log, &judged.service, period, judged.as_of, &[]);
    facts::case(&text).map(|case| case.facts.events).unwrap_or_default()
}

/// When a verdict's month begins and ends, widened by a day for whatever zone it is in.
fn span_of(judged: &Judgement) -> Option<(Wall, Wall)> {
    let (month, utc) = (judged.period.parse::<Period>().ok()?, Zone::get("UTC")?);
    Some((utc.midnight(month.first(1).plus(-1)), utc.midnight(month.last().plus(2))))
}

/// Each outage of ours with the one of theirs that it has most in common with, each used once; then
/// what is left, all in order.
fn pairs(ours: &[OutageView], theirs: &[OutageView]) -> Vec<Pair> {
    let mut left: Vec<&OutageView> = theirs.iter().collect();
    let mut all = Vec::new();
    for own in ours {
        let common =
            |other: &OutageView| other.to.min(own.to).nanos_since(other.from.max(own.from));
        let best =
            (0..left.len()).filter(|&at| common(left[at]) > 0).max_by_key(|&at| common(left[at]));
        let theirs = best.map(|at| left.remove(at).clone());
        let later = |of: fn(&OutageView) -> Wall| {
            theirs.as_ref().map(|theirs| of(theirs).nanos_since(of(own)) / 1_000_000_000)
        };
        let (begins_later_s, ends_later_s) = (later(|each| each.from), later(|each| each.to));
        all.push(Pair { ours: Some(own.clone()), theirs, begins_later_s, ends_later_s });
    }
    let alone = |theirs: &OutageView| Pair {
        ours: None,
        theirs: Some(theirs.clone()),
        begins_later_s: None,
        ends_later_s: None,
    };
    all.extend(left.into_iter().map(alone));
    all.sort_by_key(|pair| pair.ours.as_ref().or(pair.theirs.as_ref()).map(|each| each.from));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(from: i64, to: i64) -> OutageView {
        OutageView { from: Wall::from_secs(from), to: Wall::from_secs(to), side: Side::Provider }
    }

    #[test]
    fn each_outage_stands_beside_the_one_that_it_has_most_in_common_with() {
        let paired = pairs(
            &[outage(100, 200), outage(500, 600)],
            &[outage(50, 110), outage(130, 260), outage(900, 950)],
        );
        let shown: Vec<[Option<i64>; 4]> = paired
            .iter()
            .map(|pair| {
                let from = |each: &Option<OutageView>| each.as_ref().map(|each| each.from.secs());
                [from(&pair.ours), from(&pair.theirs), pair.begins_later_s, pair.ends_later_s]
            })
            .collect();
        assert_eq!(
            shown,
            [
                [None, Some(50), None, None],
                [Some(100), Some(130), Some(30), Some(60)],
                [Some(500), None, None, None],
                [None, Some(900), None, None],
            ]
        );
    }
}
