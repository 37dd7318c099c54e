//! Claims, rights to terminate, duties, invoices. A claim comes from a verdict that earns a credit;
//! its state is its log replayed; its deadline is counted down; tickets and the provider's answers
//! are attached; what an invoice credits is laid beside what is due.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::decimal::{Exact, Rounding};
use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::{EntryView, Step};
use crate::collector::operations::claims::attachments::Attachment;
use crate::collector::operations::logs::{replay, today};
use crate::collector::operations::{Actor, DeskError, key, rulings};
use crate::collector::verdicts::Judgement;
use crate::sla::calendar::Day;
use crate::sla::lifecycle::{Claim, ClaimState, Entry, Log};
use crate::sla::reader::Word as _;

pub mod attachments;
pub mod follow;

/// A claim, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredClaim {
    pub(super) contract: String,
    pub(super) version: u32,
    pub(super) service: String,
    pub(super) site: String,
    pub(super) provider: String,
    pub(super) period: String,
    pub(super) timezone: String,
    pub(super) credit: String,
    pub(super) currency: String,
    pub(super) automatic: bool,
    pub(super) by: Option<String>,
    pub(super) ticket_by: Option<Wall>,
    pub(super) lapsed: bool,
    pub(super) breached: Vec<String>,
    pub(super) detected: Wall,
    /// How often the credit changed while it was not asked for.
    pub(super) revision: u32,
    /// The number of the verdict that was kept when it was asked for.
    #[serde(default)]
    pub(super) ruling: Option<u32>,
    #[serde(default)]
    pub(super) granted: Option<String>,
    #[serde(default)]
    pub(super) letter: Option<String>,
    #[serde(default)]
    pub(super) attachments: Vec<Attachment>,
}

/// A claim, as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClaimView {
    /// Its identifier.
    pub id: String,
    /// The contract.
    pub contract: String,
    /// Its version.
    pub version: u32,
    /// The service.
    pub service: String,
    /// Its site.
    pub site: String,
    /// Who owes it.
    pub provider: String,
    /// The period.
    pub period: String,
    /// detected, claimable, submitted, acknowledged, accepted, partly_accepted, rejected, credited,
    /// reconciled, disputed, lapsed or waived.
    pub state: String,
    /// What is due.
    pub credit: String,
    /// In which currency.
    pub currency: String,
    /// What was granted, where that is another amount.
    pub granted: Option<String>,
    /// The last local day on which to claim.
    pub by: Option<String>,
    /// How many days are left until then: 0 on the day itself, negative after it. Absent where
    /// nothing has to be claimed any more.
    pub days_left: Option<i64>,
    /// Until when a ticket must be opened.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ticket_by: Option<Wall>,
    /// The objectives that earned it.
    pub breached: Vec<String>,
    /// When it was detected.
    #[schema(value_type = String, format = DateTime)]
    pub detected: Wall,
    /// How often the credit was worked out anew, while it was not asked for.
    pub revision: u32,
    /// The number of the verdict that it rests on, which was kept when it was asked for; absent
    /// while it follows the present one.
    pub ruling: Option<u32>,
    /// What the present verdict gives, where that is another amount than was asked for.
    pub credit_now: Option<String>,
    /// A draft of the letter that claims it.
    pub letter: Option<String>,
    /// What may be done with it next.
    pub allowed: Vec<String>,
    /// What belongs to it.
    pub attachments: Vec<Attachment>,
    /// What happened to it.
    #[schema(value_type = Vec<EntryView>)]
    pub log: Vec<Entry>,
}

/// The identifier of a claim.
#[must_use]
pub fn id_of(contract: &str, service: &str, period: &str) -> String {
    key(&[contract, service, period])
}

impl StoredClaim {
    /// The identifier of its verdict.
    fn verdict(&self) -> String {
        key(&[&self.period, &self.contract, &self.service])
    }
}

/// Adds a step to a claim's log. Once it does not wait any more, the verdict that it rests on is
/// kept with it, so that its bundle says what was asked for, whatever comes later.
pub(super) fn step_on(
    archive: &Archive,
    id: &str,
    log: &Log<Claim>,
    entry: &Entry,
    now: Wall,
) -> Result<(), ArchiveError> {
    archive.append(Kind::Claim, id, entry, now)?;
    if waits(log.state()) {
        return Ok(());
    }
    let Some(mut kept) =
        archive.record::<StoredClaim>(Kind::Claim, id)?.filter(|kept| kept.ruling.is_none())
    else {
        return Ok(());
    };
    kept.ruling =
        rulings::keep(archive, (&kept.period, &kept.contract, &kept.service), &entry.action, now)?;
    archive.put_record(Kind::Claim, id, &kept, now)
}

/// Whether a claim follows its verdict still: nothing was asked for.
pub(super) const fn waits(state: ClaimState) -> bool {
    matches!(state, ClaimState::Detected | ClaimState::Claimable)
}

pub(super) fn view(
    archive: &Archive,
    id: &str,
    kept: StoredClaim,
    now: Wall,
) -> Result<ClaimView, ArchiveError> {
    let log: Log<Claim> = replay(archive, Kind::Claim, id)?;
    let state = log.state();
    let waits = waits(state);
    let by: Option<Day> = kept.by.as_deref().and_then(|by| by.parse().ok());
    let days_left = by.filter(|_| waits).and_then(|by| Some(by.since(today(&kept.timezone, now)?)));
    let verdict =
        if waits { None } else { archive.record::<Judgement>(Kind::Verdict, &kept.verdict())? };
    let credit_now = verdict.and_then(|of| of.report).map(|report| report.credit);
    Ok(ClaimView {
        ruling: kept.ruling,
        credit_now: credit_now.filter(|credit| *credit != kept.credit),
        id: id.to_owned(),
        contract: kept.contract,
        version: kept.version,
        service: kept.service,
        site: kept.site,
        provider: kept.provider,
        period: kept.period,
        state: state.word().to_owned(),
        credit: kept.credit,
        currency: kept.currency,
        granted: kept.granted,
        by: kept.by,
        days_left,
        ticket_by: kept.ticket_by.filter(|_| waits),
        breached: kept.breached,
        detected: kept.detected,
        revision: kept.revision,
        letter: kept.letter,
        allowed: log.allowed().into_iter().map(|action| action.word().to_owned()).collect(),
        attachments: kept.attachments,
        log: log.entries().to_vec(),
    })
}

/// Claims in the order of contract, service and period.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive, page: Page<'_>, now: Wall) -> Result<Vec<ClaimView>, ArchiveError> {
    let all = archive.records::<StoredClaim>(Kind::Claim, page)?;
    all.into_iter().map(|record| view(archive, &record.id, record.body, now)).collect()
}

/// One claim.
///
/// # Errors
/// When there is none of this identifier.
pub fn one(archive: &Archive, id: &str, now: Wall) -> Result<ClaimView, DeskError> {
    let kept = archive
        .record(Kind::Claim, id)?
        .ok_or_else(|| DeskError::NotFound(format!("there is no claim {id:?}")))?;
    Ok(view(archive, id, kept, now)?)
}

/// The number of the verdict that was kept when a claim was asked for; absent while it follows the
/// present one.
///
/// # Errors
/// When the database fails.
pub fn ruling_of(archive: &Archive, id: &str) -> Result<Option<u32>, ArchiveError> {
    Ok(archive.record::<StoredClaim>(Kind::Claim, id)?.and_then(|kept| kept.ruling))
}

/// Does something with a claim: submit, acknowledge, accept, accept_partly, reject, credit,
/// reconcile, dispute, lapse, waive.
///
/// # Errors
/// When it is not here, or may not be done with it as it stands.
pub fn act(
    archive: &Archive,
    id: &str,
    action: &str,
    step: &Step,
    actor: &Actor,
) -> Result<ClaimView, DeskError> {
    let mut kept: StoredClaim = archive
        .record(Kind::Claim, id)?
        .ok_or_else(|| DeskError::NotFound(format!("there is no claim {id:?}")))?;
    let mut log: Log<Claim> = replay(archive, Kind::Claim, id)?;
    let entry = log.in_order(step.entry(action, actor)?);
    let state = log.append(entry.clone())?;
    if let Some(amount) = &step.amount {
        let amount = amount_of(amount)
            .ok_or_else(|| DeskError::Invalid(vec![format!("amount: {amount:?} is no amount")]))?;
        kept.granted = Some(amount);
        archive.put_record(Kind::Claim, id, &kept, actor.now)?;
    } else if state == ClaimState::PartlyAccepted {
        let what = "amount: a part was accepted: say how much, such as \"120.00\"";
        return Err(DeskError::Invalid(vec![what.to_owned()]));
    }
    step_on(archive, id, &log, &entry, actor.now)?;
    actor.did(
        archive,
        &format!("claim.{action}"),
        id,
        json!({"evidence": entry.evidence, "said": entry.said, "granted": step.amount}),
    )?;
    one(archive, id, actor.now)
}

/// An amount that is not negative, as it is written everywhere.
pub(super) fn amount_of(text: &str) -> Option<String> {
    let amount = Exact::parse(text).ok().filter(|amount| !amount.is_negative())?;
    Some(if amount.trimmed(6).len() > amount.fixed(2, Rounding::HalfUp).len() {
        amount.trimmed(6)
    } else {
        amount.fixed(2, Rounding::HalfUp)
    })
}
