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
use crate::collector::operations::agreements::{Book, EntryView, Step};
use crate::collector::operations::{Actor, DeskError, check_texts, facts, key, rulings};
use crate::collector::verdicts::Judgement;
use crate::evidence::digest::Digest;
use crate::sla::calendar::{Day, Zone};
use crate::sla::lifecycle::{
    CLOCK, Claim, ClaimState, Cycle, Entry, Log, RightState, TerminationRight,
};
use crate::sla::printed::{Printed, PrintedRight};
use crate::sla::reader::Word as _;
use crate::sla::terms::{ClaimMode, Contract};

/// A claim, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    contract: String,
    version: u32,
    service: String,
    site: String,
    provider: String,
    period: String,
    timezone: String,
    credit: String,
    currency: String,
    automatic: bool,
    by: Option<String>,
    ticket_by: Option<Wall>,
    lapsed: bool,
    breached: Vec<String>,
    detected: Wall,
    /// How often the credit changed while it was not asked for.
    revision: u32,
    /// The number of the verdict that was kept when it was asked for.
    #[serde(default)]
    ruling: Option<u32>,
    #[serde(default)]
    granted: Option<String>,
    #[serde(default)]
    letter: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

/// Something that belongs to a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// `ticket`, `answer` or `note`.
    pub kind: AttachmentKind,
    /// When it was attached.
    #[schema(value_type = String, format = DateTime)]
    pub attached: Wall,
    /// Who attached it.
    pub who: String,
    /// What it says.
    pub text: String,
    /// The digest of the text.
    pub sha256: String,
    /// The ticket's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// What kind of thing belongs to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentKind {
    /// A trouble ticket: it goes into the verdict too.
    Ticket,
    /// What the provider answered.
    Answer,
    /// Anything else.
    Note,
}

/// Something that is to be attached.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// What kind of thing.
    pub kind: AttachmentKind,
    /// What it says.
    #[schema(min_length = 1, max_length = 20000)]
    pub text: String,
    /// The ticket's number; with a ticket.
    #[schema(max_length = 200)]
    pub ticket: Option<String>,
    /// When the event began that the ticket is about; with a ticket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Wall>,
    /// When it ended; with a ticket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Wall>,
    /// When the ticket was opened; with a ticket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opened: Option<Wall>,
    /// When it was closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed: Option<Wall>,
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

impl Kept {
    /// The identifier of its verdict.
    fn verdict(&self) -> String {
        key(&[&self.period, &self.contract, &self.service])
    }
}

/// Adds a step to a claim's log. Once it does not wait any more, the verdict that it rests on is
/// kept with it, so that its bundle says what was asked for, whatever comes later.
fn step_on(
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
        archive.record::<Kept>(Kind::Claim, id)?.filter(|kept| kept.ruling.is_none())
    else {
        return Ok(());
    };
    kept.ruling =
        rulings::keep(archive, (&kept.period, &kept.contract, &kept.service), &entry.action, now)?;
    archive.put_record(Kind::Claim, id, &kept, now)
}

/// Whether a claim follows its verdict still: nothing was asked for.
const fn waits(state: ClaimState) -> bool {
    matches!(state, ClaimState::Detected | ClaimState::Claimable)
}

fn replay<C: Cycle>(archive: &Archive, kind: Kind, id: &str) -> Result<Log<C>, ArchiveError> {
    let entries: Vec<Entry> = archive.log(kind, id)?;
    Log::replay(entries)
        .map_err(|refused| ArchiveError::Damaged(format!("the log of {id}: {refused}")))
}

/// The local day of an instant in a zone by its name.
fn today(zone: &str, now: Wall) -> Option<Day> {
    Zone::get(zone).map(|zone| zone.day(now))
}

fn view(archive: &Archive, id: &str, kept: Kept, now: Wall) -> Result<ClaimView, ArchiveError> {
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
    let all = archive.records::<Kept>(Kind::Claim, page)?;
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
    Ok(archive.record::<Kept>(Kind::Claim, id)?.and_then(|kept| kept.ruling))
}

/// Keeps claims and rights in step with a verdict: a credit is detected, may be asked for once the
/// period has ended, lapses when its day has passed.
///
/// # Errors
/// When the database fails.
pub fn follow(
    archive: &Archive,
    contract: &Contract,
    of: &Judgement,
    now: Wall,
) -> Result<(), ArchiveError> {
    // What cannot be judged says nothing of money: what is claimed stays.
    let Some(report) = &of.report else { return Ok(()) };
    follow_claim(archive, contract, of, report, now)?;
    report.terminations.iter().try_for_each(|right| follow_right(archive, contract, of, right, now))
}

fn follow_claim(
    archive: &Archive,
    contract: &Contract,
    of: &Judgement,
    report: &Printed,
    now: Wall,
) -> Result<(), ArchiveError> {
    let id = id_of(&of.contract, &of.service, &of.period);
    let positive = report.money().is_positive();
    let before: Option<Kept> = archive.record(Kind::Claim, &id)?;
    if !positive && before.is_none() {
        return Ok(());
    }
    let mut log: Log<Claim> = replay(archive, Kind::Claim, &id)?;
    let zone = &contract.agreement.timezone;
    let earned = report.objectives.iter().filter(|verdict| verdict.is_credited());
    let new = Kept {
        contract: of.contract.clone(),
        version: of.version,
        service: of.service.clone(),
        site: of.site.clone(),
        provider: of.provider.clone(),
        period: of.period.clone(),
        timezone: zone.name().to_owned(),
        credit: report.credit.clone(),
        currency: report.currency.clone(),
        automatic: contract.claim.as_ref().is_some_and(|claim| claim.mode == ClaimMode::Automatic),
        by: report.claim.by.map(|by| by.to_string()),
        ticket_by: report.claim.ticket_by,
        lapsed: report.claim.lapsed,
        breached: earned.map(|verdict| verdict.id.clone()).collect(),
        detected: before.as_ref().map_or(now, |before| before.detected),
        revision: before.as_ref().map_or(0, |before| before.revision),
        ruling: before.as_ref().and_then(|before| before.ruling),
        granted: before.as_ref().and_then(|before| before.granted.clone()),
        letter: of.letter.clone(),
        attachments: before.as_ref().map(|before| before.attachments.clone()).unwrap_or_default(),
    };
    let waits = waits(log.state());
    match before {
        Some(before) if before == new => {}
        // What was asked for is what was asked for.
        Some(_) if !waits => {}
        Some(before) => {
            let revision = before.revision + u32::from(before.credit != new.credit);
            archive.put_record(Kind::Claim, &id, &Kept { revision, ..new.clone() }, now)?;
        }
        None => {
            archive.put_record(Kind::Claim, &id, &new, now)?;
            tracing::info!(
                claim = id,
                credit = new.credit,
                currency = new.currency,
                "a claim was detected"
            );
        }
    }
    let advance = |action: &str, log: &mut Log<Claim>| -> Result<(), ArchiveError> {
        let entry = log.in_order(by_clock(action, now));
        if log.append(entry.clone()).is_ok() {
            step_on(archive, &id, log, &entry, now)?;
        }
        Ok(())
    };
    if positive && of.ended && log.state() == ClaimState::Detected {
        advance("become_claimable", &mut log)?;
    }
    let past = new
        .by
        .as_deref()
        .and_then(|by| by.parse::<Day>().ok())
        .is_some_and(|by| zone.day(now) > by);
    if matches!(log.state(), ClaimState::Detected | ClaimState::Claimable)
        && (past || new.lapsed)
        && !new.automatic
    {
        advance("lapse", &mut log)?;
    }
    Ok(())
}

fn by_clock(action: &str, now: Wall) -> Entry {
    Entry {
        action: action.to_owned(),
        at: now,
        recorded: now,
        who: CLOCK.to_owned(),
        evidence: None,
        said: None,
    }
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
    let mut kept: Kept = archive
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
fn amount_of(text: &str) -> Option<String> {
    let amount = Exact::parse(text).ok().filter(|amount| !amount.is_negative())?;
    Some(if amount.trimmed(6).len() > amount.fixed(2, Rounding::HalfUp).len() {
        amount.trimmed(6)
    } else {
        amount.fixed(2, Rounding::HalfUp)
    })
}

/// Attaches something to a claim. A ticket goes into the customer's facts too, so that the next
/// verdict knows of it.
///
/// # Errors
/// When there is no such claim, or something is missing.
pub fn attach(
    archive: &Archive,
    book: &Book,
    id: &str,
    what: &Attach,
    actor: &Actor,
) -> Result<ClaimView, DeskError> {
    let mut kept: Kept = archive
        .record(Kind::Claim, id)?
        .ok_or_else(|| DeskError::NotFound(format!("there is no claim {id:?}")))?;
    check_texts(&[("ticket", what.ticket.as_deref(), 200)])?;
    if what.text.trim().is_empty() || what.text.chars().count() > 20_000 {
        return Err(DeskError::Invalid(vec!["text: expected 1 to 20000 characters".to_owned()]));
    }
    if what.kind == AttachmentKind::Ticket {
        // A ticket changes the verdict; a note or an answer may be attached all the same.
        rulings::check_whole(archive, &kept.period, &kept.contract, &kept.service)?;
        let (Some(from), Some(opened)) = (what.from, what.opened) else {
            let what = "a ticket needs from, when its event began, and opened, when it was opened";
            return Err(DeskError::Invalid(vec![what.to_owned()]));
        };
        let mut ticket = json!({"opened": opened});
        if let Some(number) = &what.ticket {
            ticket["id"] = json!(number);
        }
        if let Some(closed) = what.closed {
            ticket["closed"] = json!(closed);
        }
        let mut event = json!({"from": from, "ticket": ticket});
        if let Some(to) = what.to {
            event["to"] = json!(to);
        }
        facts::add(archive, book, (&kept.contract, &kept.service), "events", event, actor)?;
    }
    kept.attachments.push(Attachment {
        kind: what.kind,
        attached: actor.now,
        who: actor.who.clone(),
        sha256: Digest::of(what.text.as_bytes()).hex(),
        text: what.text.clone(),
        ticket: what.ticket.clone(),
    });
    archive.put_record(Kind::Claim, id, &kept, actor.now)?;
    let sha256 = Digest::of(what.text.as_bytes()).hex();
    actor.did(
        archive,
        "claim.attach",
        id,
        json!({"kind": what.kind, "sha256": sha256, "ticket": what.ticket}),
    )?;
    Ok(view(archive, id, kept, actor.now)?)
}

/// A right to terminate, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptRight {
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

fn follow_right(
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

/// Lets claims and rights lapse whose day has passed.
///
/// # Errors
/// When the database fails.
pub fn lapse(archive: &Archive, now: Wall) -> Result<(), ArchiveError> {
    for record in archive.records::<Kept>(Kind::Claim, Page::default())? {
        let by = record.body.by.as_deref().and_then(|by| by.parse::<Day>().ok());
        let past = by.zip(today(&record.body.timezone, now)).is_some_and(|(by, today)| today > by);
        let mut log = replay::<Claim>(archive, Kind::Claim, &record.id)?;
        let entry = log.in_order(by_clock("lapse", now));
        if past && !record.body.automatic && waits(log.state()) && log.append(entry.clone()).is_ok()
        {
            step_on(archive, &record.id, &log, &entry, now)?;
        }
    }
    for right in rights(archive, Page::default(), now)? {
        if right.state == RightState::Accrued.word() && right.days_left.is_some_and(|left| left < 0)
        {
            let log = replay::<TerminationRight>(archive, Kind::Right, &right.id)?;
            archive.append(Kind::Right, &right.id, &log.in_order(by_clock("lapse", now)), now)?;
        }
    }
    Ok(())
}

/// What came back that had lapsed too early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reinstated {
    /// The claims: contract, service and period.
    pub claims: Vec<(String, String, String)>,
    /// How many rights to terminate.
    pub rights: usize,
}

/// Reinstates what the collector's clock let lapse at a time later than `after`, which has not
/// come: that clock was ahead. The log keeps both; the evidence is the digest of the entry that is
/// undone.
///
/// # Errors
/// When the database fails.
pub fn reinstate(archive: &Archive, after: Wall, now: Wall) -> Result<Reinstated, ArchiveError> {
    let mut all = Reinstated::default();
    for record in archive.records::<Kept>(Kind::Claim, Page::default())? {
        let mut log = replay::<Claim>(archive, Kind::Claim, &record.id)?;
        let Some(undo) = undo_lapse(&log, after, now) else { continue };
        let was_claimable = log
            .entries()
            .iter()
            .rev()
            .nth(1)
            .is_some_and(|before| before.action == "become_claimable");
        let steps =
            [undo].into_iter().chain(was_claimable.then(|| by_clock("become_claimable", now)));
        for step in steps {
            let entry = log.in_order(step);
            if log.append(entry.clone()).is_ok() {
                archive.append(Kind::Claim, &record.id, &entry, now)?;
            }
        }
        // It follows its verdict again.
        let kept = Kept { ruling: None, lapsed: false, ..record.body };
        archive.put_record(Kind::Claim, &record.id, &kept, now)?;
        all.claims.push((kept.contract, kept.service, kept.period));
    }
    for record in archive.records::<KeptRight>(Kind::Right, Page::default())? {
        let log = replay::<TerminationRight>(archive, Kind::Right, &record.id)?;
        if let Some(undo) = undo_lapse(&log, after, now) {
            archive.append(Kind::Right, &record.id, &log.in_order(undo), now)?;
            all.rights += 1;
        }
    }
    Ok(all)
}

/// The entry that undoes the last one, where that is a lapse by the collector's clock at a later
/// time.
fn undo_lapse<C: Cycle>(log: &Log<C>, after: Wall, now: Wall) -> Option<Entry> {
    let last = log
        .entries()
        .last()
        .filter(|last| last.action == "lapse" && last.who == CLOCK && last.at > after)?;
    let evidence = Some(Digest::of(json!(last).to_string().as_bytes()).hex());
    Some(Entry { evidence, ..by_clock("reinstate", now) })
}

/// Rights to terminate.
///
/// # Errors
/// When the database fails.
pub fn rights(
    archive: &Archive,
    page: Page<'_>,
    now: Wall,
) -> Result<Vec<RightView>, ArchiveError> {
    let all = archive.records::<KeptRight>(Kind::Right, page)?;
    all.into_iter().map(|record| right_view(archive, record.id, record.body, now)).collect()
}

fn right_view(
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
pub fn act_on_right(
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
    Ok(right_view(archive, id.to_owned(), kept, actor.now)?)
}

/// What a party had to do, by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DutyView {
    /// The contract.
    pub contract: String,
    /// The service.
    pub service: String,
    /// The period.
    pub period: String,
    /// Which duty of the contract.
    pub duty: String,
    /// Who must: customer or provider.
    pub party: String,
    /// By when.
    #[schema(value_type = String, format = DateTime)]
    pub due: Wall,
    /// When it was done, as far as the facts say.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done: Option<Wall>,
    /// `kept`, `late`, `open` or `overdue`.
    pub state: String,
}

/// The duties of some verdicts, as they stand at an instant, by when they are due.
#[must_use]
pub fn duties<'a>(all: impl IntoIterator<Item = &'a Judgement>, now: Wall) -> Vec<DutyView> {
    let mut duties = Vec::new();
    for of in all {
        for duty in of.report.iter().flat_map(|report| &report.duties) {
            let state = match duty.kept {
                Some(true) => "kept",
                Some(false) => "late",
                None if duty.due < now => "overdue",
                None => "open",
            };
            duties.push(DutyView {
                contract: of.contract.clone(),
                service: of.service.clone(),
                period: of.period.clone(),
                duty: duty.id.clone(),
                party: duty.party.to_string(),
                due: duty.due,
                done: duty.done,
                state: state.to_owned(),
            });
        }
    }
    duties.sort_by(|one, two| {
        (one.due, &one.contract, &one.service).cmp(&(two.due, &two.contract, &two.service))
    });
    duties
}

/// A line of an invoice: a credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceLine {
    /// The service.
    #[schema(max_length = 200)]
    pub service: String,
    /// The period that it is for.
    #[schema(max_length = 20)]
    pub period: String,
    /// How much is credited.
    #[schema(max_length = 40)]
    pub credit: String,
}

/// An invoice, as far as it credits anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invoice {
    /// The contract.
    #[schema(min_length = 1, max_length = 200)]
    pub contract: String,
    /// The invoice's number.
    #[schema(min_length = 1, max_length = 200)]
    pub number: String,
    /// In which currency.
    #[schema(max_length = 10)]
    pub currency: String,
    /// Its credits.
    #[schema(max_items = 10000)]
    pub lines: Vec<InvoiceLine>,
}

/// A claim beside what an invoice credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reconciled {
    /// The service.
    pub service: String,
    /// The period.
    pub period: String,
    /// What is due, or was granted; absent where there is no claim.
    pub due: Option<String>,
    /// What the invoice credits.
    pub credited: String,
    /// What is missing (positive) or too much (negative).
    pub difference: String,
    /// The claim's state now.
    pub state: Option<String>,
    /// `as-due`, `short`, `over`, `no-claim` or `other-currency`.
    pub what: String,
}

/// Lays an invoice beside the claims; a claim whose credit it gives in full is credited and
/// reconciled by it.
///
/// # Errors
/// When the invoice has faults, or was taken before.
pub fn reconcile(
    archive: &Archive,
    invoice: &Invoice,
    actor: &Actor,
) -> Result<Vec<Reconciled>, DeskError> {
    check_texts(&[
        ("contract", Some(&invoice.contract), 200),
        ("number", Some(&invoice.number), 200),
        ("currency", Some(&invoice.currency), 10),
    ])?;
    let mut faults = Vec::new();
    if invoice.lines.len() > 10_000 {
        faults.push("lines: an invoice has at most 10000".to_owned());
    }
    for (at, line) in invoice.lines.iter().enumerate() {
        check_texts(&[
            ("service", Some(&line.service), 200),
            ("period", Some(&line.period), 20),
            ("credit", Some(&line.credit), 40),
        ])?;
        if amount_of(&line.credit).is_none() {
            faults.push(format!("lines[{at}].credit: {:?} is no amount", line.credit));
        }
    }
    if invoice.number.trim().is_empty() || invoice.contract.trim().is_empty() {
        faults.push("contract and number must not be empty".to_owned());
    }
    if !faults.is_empty() {
        return Err(DeskError::Invalid(faults));
    }
    let id = key(&[&invoice.contract, &invoice.number]);
    if archive.record::<Invoice>(Kind::Invoice, &id)?.is_some() {
        return Err(DeskError::Conflict(format!(
            "invoice {} of {} was taken before",
            invoice.number, invoice.contract
        )));
    }
    let evidence = Digest::of(json!(invoice).to_string().as_bytes()).hex();
    let mut all = Vec::new();
    for line in &invoice.lines {
        all.push(reconcile_line(archive, invoice, line, &evidence, actor)?);
    }
    archive.put_record(Kind::Invoice, &id, invoice, actor.now)?;
    actor.did(
        archive,
        "invoice.reconcile",
        &id,
        json!({"sha256": evidence, "lines": invoice.lines.len()}),
    )?;
    Ok(all)
}

fn reconcile_line(
    archive: &Archive,
    invoice: &Invoice,
    line: &InvoiceLine,
    evidence: &str,
    actor: &Actor,
) -> Result<Reconciled, DeskError> {
    let credited = Exact::parse(&line.credit)
        .map_err(|_| DeskError::Invalid(vec![format!("credit: {:?} is no amount", line.credit)]))?;
    let id = id_of(&invoice.contract, &line.service, &line.period);
    let base = Reconciled {
        service: line.service.clone(),
        period: line.period.clone(),
        due: None,
        credited: credited.fixed(2, Rounding::HalfUp),
        difference: (&Exact::zero() - &credited).fixed(2, Rounding::HalfUp),
        state: None,
        what: "no-claim".to_owned(),
    };
    let Some(kept) = archive.record::<Kept>(Kind::Claim, &id)? else { return Ok(base) };
    let due = kept.granted.clone().unwrap_or_else(|| kept.credit.clone());
    let asked = Exact::parse(&due)
        .map_err(|_| ArchiveError::Damaged(format!("the claim {id}: {due:?} is no amount")))?;
    let difference = &asked - &credited;
    let mut log: Log<Claim> = replay(archive, Kind::Claim, &id)?;
    let what = match () {
        () if kept.currency != invoice.currency => "other-currency",
        () if difference.is_positive() => "short",
        () if difference.is_negative() => "over",
        () => "as-due",
    };
    if what == "as-due" {
        for action in ["credit", "reconcile"] {
            let step = Step { evidence: Some(evidence.to_owned()), ..Step::now() };
            let entry = log.in_order(step.entry(action, actor)?);
            if log.append(entry.clone()).is_ok() {
                step_on(archive, &id, &log, &entry, actor.now)?;
            }
        }
    }
    Ok(Reconciled {
        due: Some(due),
        difference: difference.fixed(2, Rounding::HalfUp),
        state: Some(log.state().word().to_owned()),
        what: what.to_owned(),
        ..base
    })
}
