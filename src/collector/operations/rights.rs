//! Rights to terminate: they accrue by a verdict, and are exercised, waived, or lapse.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::{EntryView, Step};
use crate::collector::operations::logs::{by_clock, replay, today};
use crate::collector::operations::{Actor, DeskError, key};
use crate::collector::verdicts::Judgement;
use crate::sla::calendar::Day;
use crate::sla::lifecycle::{Entry, Log, RightState, TerminationRight};
use crate::sla::printed::PrintedRight;
use crate::sla::reader::Word as _;
use crate::sla::terms::Contract;

/// A right to terminate, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptRight {
    contract: String,
    service: String,
    right: String,
    accrued: String,
    exercise_by: String,
    timezone: String,
}

/// A right to terminate, as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RightView {
    /// Its identifier.
    pub id: String,
    /// The contract.
    pub contract: String,
    /// The service.
    pub service: String,
    /// Which of the contract's.
    pub right: String,
    /// dormant, accruing, accrued, exercised, lapsed or waived.
    pub state: String,
    /// The local day on which it accrued.
    pub accrued: String,
    /// The last local day on which it may be exercised.
    pub exercise_by: String,
    /// How many days are left until then.
    pub days_left: Option<i64>,
    /// What may be done with it next.
    pub allowed: Vec<String>,
    /// What happened to it.
    #[schema(value_type = Vec<EntryView>)]
    pub log: Vec<Entry>,
}

pub(super) fn follow(
    archive: &Archive,
    contract: &Contract,
    of: &Judgement,
    right: &PrintedRight,
    now: Wall,
) -> Result<(), ArchiveError> {
    let kept = KeptRight {
        contract: of.contract.clone(),
        service: of.service.clone(),
        right: right.id.clone(),
        accrued: right.accrued.to_string(),
        exercise_by: right.exercise_by.to_string(),
        timezone: contract.agreement.timezone.name().to_owned(),
    };
    let id = key(&[&kept.contract, &kept.service, &kept.right, &kept.accrued]);
    if archive.record::<KeptRight>(Kind::Right, &id)?.is_none() {
        archive.put_record(Kind::Right, &id, &kept, now)?;
        archive.append(Kind::Right, &id, &by_clock("accrue", now), now)?;
        tracing::info!(right = id, exercise_by = kept.exercise_by, "a right to terminate accrued");
    }
    Ok(())
}

/// Rights to terminate.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive, page: Page<'_>, now: Wall) -> Result<Vec<RightView>, ArchiveError> {
    let all = archive.records::<KeptRight>(Kind::Right, page)?;
    all.into_iter().map(|record| view(archive, record.id, record.body, now)).collect()
}

fn view(
    archive: &Archive,
    id: String,
    kept: KeptRight,
    now: Wall,
) -> Result<RightView, ArchiveError> {
    let log: Log<TerminationRight> = replay(archive, Kind::Right, &id)?;
    let by: Option<Day> = kept.exercise_by.parse().ok();
    let open = log.state() == RightState::Accrued;
    Ok(RightView {
        contract: kept.contract,
        service: kept.service,
        right: kept.right,
        state: log.state().word().to_owned(),
        accrued: kept.accrued,
        exercise_by: kept.exercise_by,
        days_left: by.filter(|_| open).and_then(|by| Some(by.since(today(&kept.timezone, now)?))),
        allowed: log.allowed().into_iter().map(|action| action.word().to_owned()).collect(),
        log: log.entries().to_vec(),
        id,
    })
}

/// Exercises, waives or otherwise moves a right to terminate.
///
/// # Errors
/// When it is not here, or may not be done with it as it stands.
pub fn act(
    archive: &Archive,
    id: &str,
    action: &str,
    step: &Step,
    actor: &Actor,
) -> Result<RightView, DeskError> {
    let kept: KeptRight = archive
        .record(Kind::Right, id)?
        .ok_or_else(|| DeskError::NotFound(format!("there is no right {id:?}")))?;
    let mut log: Log<TerminationRight> = replay(archive, Kind::Right, id)?;
    let entry = log.in_order(step.entry(action, actor)?);
    log.append(entry.clone())?;
    archive.append(Kind::Right, id, &entry, actor.now)?;
    let detail = json!({"evidence": entry.evidence, "said": entry.said});
    actor.did(archive, &format!("right.{action}"), id, detail)?;
    Ok(view(archive, id.to_owned(), kept, actor.now)?)
}
