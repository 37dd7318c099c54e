//! What the rounds could not do, and go on without: a service that takes too long to judge, an
//! agent of which nothing can be folded, a summary that is left out, a clock that was wrong. Each
//! is a finding of its own and stops nothing else; what was not done is tried again later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::{Wall, format_duration};
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::{Finding, FindingKind};
use crate::collector::fleet::AgentView;
use crate::collector::operations::key;
use crate::collector::verdicts::Fleet;
use crate::evidence::key::Kid;

/// What could not be done is tried again after so long.
const AGAIN: Duration = Duration::from_secs(3600);
/// What is over is told for so long: a clock that was put right.
const TOLD: Duration = Duration::from_secs(86_400);

/// Something that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// As it is found.
    pub finding: Finding,
    /// When it was last seen.
    pub at: Wall,
}

impl Trouble {
    /// Whether it is too early to try again. A time that has not come was written by a clock that
    /// was wrong, and holds nobody up.
    #[must_use]
    pub fn waits(&self, now: Wall) -> bool {
        self.at <= now && now < self.at + AGAIN
    }
}

/// The identifier of the trouble with a service in a period.
#[must_use]
pub fn of_service(contract: &str, service: &str, period: &str) -> String {
    key(&["service", contract, service, period])
}

/// The identifier of the trouble with an agent.
#[must_use]
pub fn of_agent(agent: Kid) -> String {
    key(&["agent", &agent.to_string()])
}

/// The identifier of what is over, and told for a while.
fn of_past(subject: &str) -> String {
    key(&["past", subject])
}

/// Every trouble, by its identifier.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive) -> Result<BTreeMap<String, Trouble>, ArchiveError> {
    let all = archive.sound_records::<Trouble>(Kind::Trouble, Page::default())?;
    Ok(all.into_iter().map(|record| (record.id, record.body)).collect())
}

/// Enters a trouble.
///
/// # Errors
/// When the database fails.
pub fn put(archive: &Archive, id: &str, finding: Finding, now: Wall) -> Result<(), ArchiveError> {
    tracing::warn!(kind = finding.kind.word(), subject = finding.subject, "{}", finding.detail);
    archive.put_record(Kind::Trouble, id, &Trouble { finding, at: now }, now)
}

/// Enters what is over, to be told for a while.
///
/// # Errors
/// When the database fails.
pub fn put_past(archive: &Archive, finding: Finding, now: Wall) -> Result<(), ArchiveError> {
    put(archive, &of_past(&finding.subject.clone()), finding, now)
}

/// Takes a trouble away.
///
/// # Errors
/// When the database fails.
pub fn clear(archive: &Archive, id: &str) -> Result<(), ArchiveError> {
    archive.drop_record(Kind::Trouble, id).map(drop)
}

/// What is found of all this.
///
/// # Errors
/// When the database fails.
pub fn findings(
    archive: &Archive,
    agents: &[AgentView],
    fleet: &Fleet,
    now: Wall,
) -> Result<Vec<Finding>, ArchiveError> {
    let site =
        |agent: Kid| agents.iter().find(|view| view.agent == agent).map(|view| view.site.clone());
    let mut found: Vec<Finding> = Vec::new();
    for (id, Trouble { finding, at }) in all(archive)? {
        let is_past = id.starts_with("past/");
        if !is_past || (at <= now && now < at + TOLD) {
            found.push(finding);
        }
    }
    for (count, first) in archive.quarantined()? {
        let summaries =
            if count == 1 { "summary is".to_owned() } else { "summaries are".to_owned() };
        let detail = format!(
            "{count} {summaries} left out of what agent {} measured, the first number {} of chain \
                {}: {}; stored and receipted \
             as they are, they count for nothing",
            first.agent, first.seq, first.chain, first.why
        );
        let subject = first.agent.to_string();
        found.push(Finding {
            kind: FindingKind::Quarantined,
            subject,
            site: site(first.agent),
            detail,
        });
    }
    for (agent, said) in fleet.iter().filter(|(_, said)| said.is_ahead(now)) {
        let received = said.place.map_or(now, |place| place.received);
        let by = Duration::from_nanos(u64::try_from(said.heard.nanos_since(received)).unwrap_or(0));
        let detail = format!(
            "the clock of agent {agent} is {} ahead of the collector's: it shipped what it says \
                it measured until {} at {received}; \
             set the one that is wrong",
            format_duration(Duration::from_secs(by.as_secs())),
            said.heard
        );
        let (kind, subject) = (FindingKind::ClockAhead, agent.to_string());
        found.push(Finding {
            kind,
            subject,
            site: site(agent).or(Some(said.site.clone())),
            detail,
        });
    }
    Ok(found)
}
