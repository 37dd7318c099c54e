//! What the rounds could not do, and what is wrong with what agents shipped, as findings.

use std::time::Duration;

use crate::base::time::{Wall, format_duration};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::fleet::AgentView;
use crate::collector::troubles::{self, Trouble};
use crate::collector::verdicts::Fleet;
use crate::evidence::key::Kid;

/// What is over is told for so long: a clock that was put right.
const TOLD: Duration = Duration::from_secs(86_400);

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
    for (id, Trouble { finding, at }) in troubles::all(archive)? {
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
             {}: {}; stored and receipted as they are, they count for nothing",
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
             it measured until {} at {received}; set the one that is wrong",
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
