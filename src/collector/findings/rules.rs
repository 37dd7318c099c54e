//! What is missing or wrong, by name: agents that fell silent, numbers that did not come, what did
//! not fit into its chain, clocks that nobody keeps, contracts that are outdated, verdicts that
//! differ, deadlines that come near. Pure: it looks at what was read.

use std::collections::BTreeMap;

use crate::collector::alerts::Receiver;
use crate::collector::amend::Undermined;
use crate::collector::findings::agents::of_agent;
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::findings::foreign;
use crate::collector::findings::look::Look;
use crate::collector::left_behind::LeftBehind;
use crate::collector::operations::agreements::Served;
use crate::collector::operations::claims::ClaimView;
use crate::collector::operations::duties::DutyView;
use crate::collector::operations::late::LateView;
use crate::collector::operations::rights::RightView;
use crate::collector::verdicts::Judgement;
use crate::evidence::key::Kid;

/// What is found, in the order of its kinds.
#[must_use]
pub fn find(look: &Look<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let (sites, served) = (foreign::Sites::of(look.book), Served::at(look.book, look.now));
    for agent in look.agents.iter().filter(|agent| agent.state == "approved") {
        of_agent(look, agent, (&sites, &served), &mut all);
    }
    let put: BTreeMap<Kid, &str> =
        look.agents.iter().map(|each| (each.agent, each.site.as_str())).collect();
    all.extend(look.late.iter().map(|late| of_late(put.get(&late.agent).copied(), late)));
    look.verdicts.iter().for_each(|of| of_verdict(of, &mut all));
    all.extend(look.claims.iter().filter_map(|claim| of_claim(claim, look.near_days)));
    all.extend(look.rights.iter().filter(|right| right.state == "accrued").map(of_right));
    all.extend(look.duties.iter().filter(|duty| duty.state == "overdue").map(of_duty));
    all.extend(look.receivers.iter().filter_map(|(whom, receiver)| of_receiver(whom, receiver)));
    all.extend(look.salvaged.map(|salvaged| Finding {
        kind: FindingKind::DatabaseSalvaged,
        subject: salvaged.aside.clone(),
        site: None,
        detail: salvaged.detail(),
    }));
    all.extend(look.undermined.iter().map(Undermined::finding));
    all.extend(look.left_behind.iter().map(LeftBehind::finding));
    all.sort_by(|one, two| (one.kind, &one.subject).cmp(&(two.kind, &two.subject)));
    all.dedup_by(|one, two| (one.kind, &one.subject) == (two.kind, &two.subject));
    all
}

/// A verdict that agents differ from, or that could not be reached.
fn of_verdict(of: &Judgement, all: &mut Vec<Finding>) {
    let subject = format!("{}/{}/{}", of.contract, of.service, of.period);
    let site = Some(of.site.clone());
    for differs in &of.differs {
        all.push(Finding {
            kind: FindingKind::VerdictDiffers,
            subject: format!("{subject}/{}/{}", differs.objective, differs.agent),
            site: site.clone(),
            detail: format!(
                "agent {} says {} of {} in {}, by the same outcomes it is {}",
                differs.agent, differs.agent_says, differs.objective, of.period, differs.we_say
            ),
        });
    }
    for differs in &of.witnesses {
        let binding = of.agents.first().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        all.push(Finding {
            kind: FindingKind::WitnessDiffers,
            subject: format!("{subject}/{}/{}", differs.objective, differs.agent),
            site: site.clone(),
            detail: format!(
                "agent {} measured {} too, and by its figures {} of {} is {}; by those of agent \
                 {binding}, which bind, it is {}",
                differs.agent,
                of.service,
                differs.objective,
                of.period,
                differs.agent_says,
                differs.we_say
            ),
        });
    }
    if let Some(first) = of.faults.first() {
        let detail = format!("{} cannot be judged in {}: {first}", of.service, of.period);
        all.push(Finding { kind: FindingKind::NotJudged, subject, site, detail });
    }
}

/// A claim whose last day is near.
fn of_claim(claim: &ClaimView, near_days: i64) -> Option<Finding> {
    let (left, by) = (claim.days_left?, claim.by.as_ref()?);
    if !(0..=near_days).contains(&left) || claim.state != "claimable" {
        return None;
    }
    let (credit, currency, service) = (&claim.credit, &claim.currency, &claim.service);
    Some(Finding {
        kind: FindingKind::ClaimDeadline,
        subject: claim.id.clone(),
        site: Some(claim.site.clone()),
        detail: format!(
            "{credit} {currency} for {service} in {} must be claimed by {by}",
            claim.period
        ),
    })
}

/// A right to terminate that may be exercised.
fn of_right(right: &RightView) -> Finding {
    Finding {
        kind: FindingKind::RightAccrued,
        subject: right.id.clone(),
        site: None,
        detail: format!(
            "{} of {} for {} accrued on {}; it may be exercised until {}",
            right.right, right.contract, right.service, right.accrued, right.exercise_by
        ),
    }
}

/// A duty that was not done in time.
fn of_duty(duty: &DutyView) -> Finding {
    Finding {
        kind: FindingKind::DutyOverdue,
        subject: format!("{}/{}/{}/{}", duty.contract, duty.service, duty.duty, duty.due),
        site: None,
        detail: format!(
            "the {} had to do {} for {} by {}, and nothing says so",
            duty.party, duty.duty, duty.service, duty.due
        ),
    }
}

/// Somebody who cannot be told of alerts.
fn of_receiver(whom: &str, receiver: &Receiver) -> Option<Finding> {
    let since = receiver.failing_since?;
    Some(Finding {
        kind: FindingKind::ReceiverFailing,
        subject: whom.to_owned(),
        site: None,
        detail: format!("alerts cannot be told to {whom} since {since}: {}", receiver.why),
    })
}

/// Evidence that came too late to count.
fn of_late(site: Option<&str>, late: &LateView) -> Finding {
    let LateView { agent, chain, from_seq, to_seq, from, to, received, why } = late;
    Finding {
        kind: FindingKind::LateEvidence,
        subject: format!("{agent}/{chain}/{from_seq}"),
        site: site.map(str::to_owned),
        detail: format!(
            "numbers {from_seq} to {to_seq} of chain {chain} of agent {agent}, which tell of \
             {from} to {to}, came at {received} and do not count ({why}): `wanproof collector \
             accept {agent} {chain} {from_seq}-{to_seq} --why …` where something speaks for them"
        ),
    }
}
