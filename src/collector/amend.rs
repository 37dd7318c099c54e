//! What an operator's hand changes of what an agent may speak for: it was moved, or revoked from an
//! instant on. The change itself is made at once; what it touches is judged anew by whoever goes
//! round, who finds here what to do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page, Record};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::key;
use crate::collector::periods;
use crate::collector::verdicts::{Judgement, outcome, services_at};
use crate::evidence::key::Kid;
use crate::sla::calendar::Period;
use crate::sla::span::Span;

/// A change of what an agent may speak for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// The agent.
    pub agent: Kid,
    /// From when on it changes what the agent may speak for.
    pub from: Wall,
    /// The sites whose services it touches.
    pub sites: BTreeSet<String>,
    /// Whether what came from then on is to be left out of what was folded.
    pub leaves_out: LeavesOut,
    /// What was done, for people: `agent … was revoked from … on`.
    pub why: String,
}

/// Whether a change leaves out what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavesOut {
    /// It only says where the agent was.
    Nothing,
    /// What the agent said from the instant on is left out.
    WhatCame,
}

/// Says that a change is to be carried out.
///
/// # Errors
/// When the database fails.
pub fn note(archive: &Archive, amendment: &Amendment, now: Wall) -> Result<(), ArchiveError> {
    archive.put_record(
        Kind::Amendment,
        &key(&[&amendment.agent.to_string(), &now.to_string()]),
        amendment,
        now,
    )
}

/// The services and months that a change touches, from the day on of which anything of the agent is
/// here: contract, service, month.
///
/// # Errors
/// When the database fails.
pub fn touched(
    archive: &Archive,
    book: &Book,
    amendment: &Amendment,
    from: Wall,
    now: Wall,
) -> Result<BTreeSet<(String, String, String)>, ArchiveError> {
    let Some(first) = archive.days_of(amendment.agent)?.first().copied() else {
        return Ok(BTreeSet::new());
    };
    let from = from.max(Wall::from_secs(first.saturating_mul(86_400)));
    let sites: BTreeSet<&str> = amendment.sites.iter().map(String::as_str).collect();
    let mut all = BTreeSet::new();
    for contract in book.all.iter().filter_map(|agreed| agreed.contract.as_ref().ok()) {
        let months = periods::months(contract, Span::new(from, now.max(from.shifted(1))));
        for service in services_at(contract, &sites) {
            let case =
                |month: &Period| (contract.id().to_owned(), service.to_owned(), month.to_string());
            all.extend(months.iter().map(case));
        }
    }
    Ok(all)
}

/// Keeps that a frozen verdict rests on what does not count any more, where the change is one that
/// it notices: it would be another now, or it was measured by an agent that nothing is heard of any
/// more.
///
/// # Errors
/// When the database fails.
pub fn undermine(
    archive: &Archive,
    id: &str,
    judged: &Judgement,
    why: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    let Some(kept) = archive.record::<Judgement>(Kind::Verdict, id)? else { return Ok(()) };
    // What cannot be judged any more is told of by itself.
    let (Some(says), Some(would_say)) =
        (kept.report.as_ref().map(outcome), judged.report.as_ref().map(outcome))
    else {
        return Ok(());
    };
    if says == would_say && kept.agents == judged.agents {
        archive.drop_record(Kind::Undermined, id)?;
        return Ok(());
    }
    let Judgement { contract, service, site, period, .. } = kept;
    let undermined =
        Undermined { contract, service, site, period, why: why.to_owned(), says, would_say };
    archive.put_record(Kind::Undermined, id, &undermined, now)
}

/// The frozen verdicts that rest on what does not count any more; one that is not frozen any more
/// was judged anew.
///
/// # Errors
/// When the database fails.
pub fn undermined(archive: &Archive) -> Result<Vec<Undermined>, ArchiveError> {
    let mut all = Vec::new();
    for record in archive.records::<Undermined>(Kind::Undermined, Page::default())? {
        if periods::is_frozen(archive, &record.id)? {
            all.push(record.body);
        }
    }
    Ok(all)
}

/// What is to be carried out.
///
/// # Errors
/// When the database fails.
pub fn waiting(archive: &Archive) -> Result<Vec<Record<Amendment>>, ArchiveError> {
    archive.records(Kind::Amendment, Page::default())
}

/// A frozen verdict that rests on what does not count any more, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undermined {
    /// The contract.
    pub contract: String,
    /// The service.
    pub service: String,
    /// Its site.
    pub site: String,
    /// The period.
    pub period: String,
    /// What was done.
    pub why: String,
    /// What it says: the objectives that are breached, and the credit.
    pub says: (Vec<String>, String),
    /// What it would say if it were judged now.
    pub would_say: (Vec<String>, String),
}

impl Undermined {
    /// What is told of it.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let told = |(breached, credit): &(Vec<String>, String)| match breached.as_slice() {
            [] => format!("nothing breached, credit {credit}"),
            all => format!("{} breached, credit {credit}", all.join(", ")),
        };
        let would = if self.says == self.would_say {
            "judged anew it would say the same".to_owned()
        } else {
            format!("judged anew it would say: {}", told(&self.would_say))
        };
        Finding {
            kind: FindingKind::FrozenVerdict,
            subject: format!("{}/{}/{}", self.contract, self.service, self.period),
            site: Some(self.site.clone()),
            detail: format!(
                "the verdict of {} in {} is frozen and stays ({}), but {}; {would}",
                self.service,
                self.period,
                told(&self.says),
                self.why
            ),
        }
    }
}
