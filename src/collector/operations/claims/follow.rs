//! Claims and rights in step with verdicts.

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::claims::{StoredClaim, id_of, step_on, waits};
use crate::collector::operations::logs::{by_clock, replay};
use crate::collector::operations::rights;
use crate::collector::verdicts::Judgement;
use crate::sla::calendar::Day;
use crate::sla::lifecycle::{Claim, ClaimState, Log};
use crate::sla::printed::Printed;
use crate::sla::terms::{ClaimMode, Contract};

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
    report
        .terminations
        .iter()
        .try_for_each(|right| rights::follow(archive, contract, of, right, now))
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
    let before: Option<StoredClaim> = archive.record(Kind::Claim, &id)?;
    if !positive && before.is_none() {
        return Ok(());
    }
    let mut log: Log<Claim> = replay(archive, Kind::Claim, &id)?;
    let new = claim_of(contract, of, report, before.as_ref(), now);
    match before {
        Some(before) if before == new => {}
        // What was asked for is what was asked for.
        Some(_) if !waits(log.state()) => {}
        Some(before) => {
            let revision = before.revision + u32::from(before.credit != new.credit);
            archive.put_record(Kind::Claim, &id, &StoredClaim { revision, ..new.clone() }, now)?;
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
    let by = new.by.as_deref().and_then(|by| by.parse::<Day>().ok());
    let past = by.is_some_and(|by| contract.agreement.timezone.day(now) > by);
    if waits(log.state()) && (past || new.lapsed) && !new.automatic {
        advance("lapse", &mut log)?;
    }
    Ok(())
}

/// The claim of a verdict; what was done with it before stays.
fn claim_of(
    contract: &Contract,
    of: &Judgement,
    report: &Printed,
    before: Option<&StoredClaim>,
    now: Wall,
) -> StoredClaim {
    let earned = report.objectives.iter().filter(|verdict| verdict.is_credited());
    StoredClaim {
        contract: of.contract.clone(),
        version: of.version,
        service: of.service.clone(),
        site: of.site.clone(),
        provider: of.provider.clone(),
        period: of.period.clone(),
        timezone: contract.agreement.timezone.name().to_owned(),
        credit: report.credit.clone(),
        currency: report.currency.clone(),
        automatic: contract.claim.as_ref().is_some_and(|claim| claim.mode == ClaimMode::Automatic),
        by: report.claim.by.map(|by| by.to_string()),
        ticket_by: report.claim.ticket_by,
        lapsed: report.claim.lapsed,
        breached: earned.map(|verdict| verdict.id.clone()).collect(),
        detected: before.map_or(now, |before| before.detected),
        revision: before.map_or(0, |before| before.revision),
        ruling: before.and_then(|before| before.ruling),
        granted: before.and_then(|before| before.granted.clone()),
        letter: of.letter.clone(),
        attachments: before.map(|before| before.attachments.clone()).unwrap_or_default(),
    }
}
