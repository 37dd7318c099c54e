//! Agents that a change of the collector's key went on without: they had not been heard of for so
//! long that nobody waits for them. Should one come back, it believes nobody until the new key is
//! given to it; that is found, and said, until it is heard of.

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::fleet::AgentView;
use crate::evidence::key::Kid;

/// An agent that was left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The agent.
    pub agent: Kid,
    /// Its site then.
    pub site: String,
    /// When the key changed.
    pub changed: Wall,
    /// The key that it has not heard of.
    pub key: Kid,
}

impl LeftBehind {
    /// What is to be done about it.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let Self { agent, site, changed, key } = self;
        Finding {
            kind: FindingKind::LeftBehind,
            subject: agent.to_string(),
            site: Some(site.clone()),
            detail: format!(
                "agent {agent} at {site} has not heard that the collector's key changed to {key} \
                 at {changed}: should it come back, give it that key by `[collector] key`, or \
                 revoke it"
            ),
        }
    }
}

/// Notes that agents are left behind, in the transaction that changes the key.
///
/// # Errors
/// When the database fails.
pub fn note<'a>(
    archive: &Archive,
    agents: impl IntoIterator<Item = &'a AgentView>,
    key: Kid,
    now: Wall,
) -> Result<(), ArchiveError> {
    for agent in agents {
        let left = LeftBehind { agent: agent.agent, site: agent.site.clone(), changed: now, key };
        archive.put_record(Kind::LeftBehind, &agent.agent.to_string(), &left, now)?;
    }
    Ok(())
}

/// Those that are still left behind: approved, and not heard of since the key changed.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive, agents: &[AgentView]) -> Result<Vec<LeftBehind>, ArchiveError> {
    let records = archive.records::<LeftBehind>(Kind::LeftBehind, Page::default())?;
    let waits = |left: &LeftBehind| {
        let agent =
            agents.iter().find(|agent| agent.agent == left.agent && agent.state == "approved");
        agent.is_some_and(|agent| {
            agent.last.as_ref().is_none_or(|last| last.received < left.changed)
        })
    };
    Ok(records.into_iter().map(|record| record.body).filter(waits).collect())
}
