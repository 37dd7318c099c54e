//! Agents by an operator's hand: let in, put to a site, labelled; and the sites.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::collector::archive::agents::Standing;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::desk::{DeskError, Hand};
use crate::collector::fleet::AgentView;
use crate::evidence::key::Kid;

/// Labels of an agent: what an operator sorts by, such as `region = north`.
pub type Labels = BTreeMap<String, String>;

/// An agent has at most so many labels.
const LABELS: usize = 64;
/// A name or a value is at most so long, in characters.
const LONGEST: usize = 200;

/// What is to be changed of an agent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentChange {
    /// The site that it is at: whose contracts it is handed. Its summaries go on saying what its own configuration says.
    #[schema(min_length = 1, max_length = 200)]
    pub site: Option<String>,
    /// Labels to set; one that is null is taken away.
    pub labels: Option<BTreeMap<String, Option<String>>>,
}

/// A site, with what is there.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteView {
    /// Its name.
    pub site: String,
    /// The agents that are there, revoked ones left out.
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<Kid>,
    /// How many of them are silent.
    pub silent: u32,
    /// Labels of its agents, joined.
    pub labels: Labels,
}

/// Approves or revokes an agent.
///
/// # Errors
/// When there is no such agent, or it was revoked, which is for good.
pub fn set_standing(archive: &Archive, agent: Kid, standing: Standing, hand: &Hand) -> Result<(), DeskError> {
    if !archive.set_standing(agent, standing)? {
        return Err(DeskError::NotFound("there is no such agent, or it was revoked, which is for good".to_owned()));
    }
    tracing::info!(%agent, state = standing.word(), who = hand.who, "an operator changed an agent's state");
    Ok(())
}

/// Changes an agent's site and labels.
///
/// # Errors
/// When there is no such agent, or a name is too long.
pub fn change(archive: &Archive, agent: Kid, change: &AgentChange, hand: &Hand) -> Result<(), DeskError> {
    let mut faults = Vec::new();
    let sound = |text: &str| {
        let count = text.chars().count();
        count > 0 && count <= LONGEST && !text.chars().any(char::is_control)
    };
    if change.site.as_deref().is_some_and(|site| !sound(site)) {
        faults.push(format!("site: expected 1 to {LONGEST} characters, none of them a control character"));
    }
    let mut labels = labels(archive, agent)?;
    for (name, value) in change.labels.iter().flatten() {
        match value {
            Some(value) if sound(name) && sound(value) => {
                labels.insert(name.clone(), value.clone());
            }
            Some(_) => faults.push(format!("labels: {name:?}: a name and a value have 1 to {LONGEST} characters")),
            None => {
                labels.remove(name);
            }
        }
    }
    if labels.len() > LABELS {
        faults.push(format!("labels: an agent has at most {LABELS}"));
    }
    if !faults.is_empty() {
        return Err(DeskError::Invalid(faults));
    }
    if archive.key(agent)?.is_none() {
        return Err(DeskError::NotFound("there is no such agent".to_owned()));
    }
    if let Some(site) = &change.site {
        archive.set_site(agent, site)?;
    }
    if change.labels.is_some() {
        archive.put_record(Kind::Labels, &agent.to_string(), &labels, hand.now)?;
    }
    tracing::info!(%agent, site = change.site, who = hand.who, "an operator changed an agent");
    Ok(())
}

/// The labels of an agent.
///
/// # Errors
/// When the database fails.
pub fn labels(archive: &Archive, agent: Kid) -> Result<Labels, ArchiveError> {
    Ok(archive.record(Kind::Labels, &agent.to_string())?.unwrap_or_default())
}

/// The labels of every agent that has any.
///
/// # Errors
/// When the database fails.
pub fn all_labels(archive: &Archive) -> Result<BTreeMap<String, Labels>, ArchiveError> {
    let all = archive.records::<Labels>(Kind::Labels, Page::default())?;
    Ok(all.into_iter().map(|record| (record.id, record.body)).collect())
}

/// The sites of some agents, by name.
#[must_use]
pub fn sites(agents: &[AgentView]) -> Vec<SiteView> {
    let mut all: BTreeMap<&str, SiteView> = BTreeMap::new();
    for agent in agents.iter().filter(|agent| agent.state != Standing::Revoked.word()) {
        let site = all.entry(&agent.site).or_insert_with(|| SiteView {
            site: agent.site.clone(),
            agents: Vec::new(),
            silent: 0,
            labels: Labels::new(),
        });
        site.agents.push(agent.agent);
        site.silent += u32::from(agent.silent);
        site.labels.extend(agent.labels.clone());
    }
    all.into_values().collect()
}
