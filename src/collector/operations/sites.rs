//! Agents by an operator's hand: let in, put to a site, labelled; and the sites.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::amend::{self, Amendment, LeavesOut};
use crate::collector::archive::Archive;
use crate::collector::archive::agents::AgentStatus;
use crate::collector::archive::ledger::Kind;
use crate::collector::fleet::AgentView;
use crate::collector::operations::labels::{Labels, labels};
use crate::collector::operations::{Actor, DeskError};
use crate::evidence::key::Kid;
use crate::sla::span::Span;

/// An agent has at most so many labels.
const LABELS: usize = 64;
/// A name or a value is at most so long, in characters.
const LONGEST: usize = 200;

/// What is to be changed of an agent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentChange {
    /// The site that it is at: whose contracts it is handed, and the only one that it may speak for
    /// from then on. Its own configuration has to say the same.
    #[schema(min_length = 1, max_length = 200)]
    pub site: Option<String>,
    /// From when on it is there, not ahead of now; where it is absent, from now on. What it
    /// measured before that counts for the site where it was then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Wall>,
    /// Labels to set; one that is null is taken away.
    pub labels: Option<BTreeMap<String, Option<String>>>,
}

/// How an agent is revoked.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// All that it said from this instant on is left out: what it measured since, and what came
    /// since. Where it is absent, what came so far goes on counting.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Wall>,
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
pub fn set_standing(
    archive: &Archive,
    agent: Kid,
    standing: AgentStatus,
    actor: &Actor,
) -> Result<(), DeskError> {
    stand(archive, agent, standing, None, actor)
}

fn stand(
    archive: &Archive,
    agent: Kid,
    standing: AgentStatus,
    since: Option<Wall>,
    actor: &Actor,
) -> Result<(), DeskError> {
    if !archive.set_standing(agent, standing)? {
        return Err(DeskError::NotFound(
            "there is no such agent, or it was revoked, which is for \
            good: `wanproof collector agents` shows how each stands"
                .to_owned(),
        ));
    }
    let action = if standing == AgentStatus::Approved { "agent.approve" } else { "agent.revoke" };
    actor.did(archive, action, &agent.to_string(), json!({"since": since}))?;
    Ok(())
}

/// Revokes an agent for good. What it said from an instant on can be left out with that, or later.
///
/// # Errors
/// When there is no such agent, or the instant lies ahead.
pub fn revoke(
    archive: &Archive,
    agent: Kid,
    how: &Revocation,
    actor: &Actor,
) -> Result<(), DeskError> {
    if how.since.is_some_and(|since| since > actor.now) {
        return Err(DeskError::Invalid(vec!["since: it lies ahead of now".to_owned()]));
    }
    stand(archive, agent, AgentStatus::Revoked, how.since, actor)?;
    let (Some(since), Some(enrolled)) = (how.since, archive.enrolled(agent)?) else {
        return Ok(());
    };
    archive.leave_out(agent, since)?;
    let amendment = Amendment {
        agent,
        from: enrolled.until.map_or(since, |before| before.min(since)),
        sites: enrolled.sites().into_iter().map(str::to_owned).collect(),
        leaves_out: LeavesOut::WhatCame,
        why: format!("agent {agent} was revoked, and what it said from {since} on is left out"),
    };
    amend::note(archive, &amendment, actor.now)?;
    tracing::info!(%agent, %since, who = actor.who, "what an agent said is left out from an \
        instant on");
    Ok(())
}

/// Puts an agent to a site from an instant on, unless it is there already.
fn put(
    archive: &Archive,
    agent: Kid,
    site: &str,
    from: Option<Wall>,
    actor: &Actor,
) -> Result<(), DeskError> {
    let Some(enrolled) = archive.enrolled(agent)? else {
        return Err(DeskError::NotFound(
            "there is no such agent: `wanproof collector agents` shows those that are known"
                .to_owned(),
        ));
    };
    let is_there = enrolled.site_at(actor.now) == Some(site);
    if is_there && from.is_none_or(|from| enrolled.at(site).covers(Span::new(from, actor.now))) {
        return Ok(());
    }
    let from = from.unwrap_or(actor.now);
    archive.assign(agent, site, from, &actor.who, actor.now)?;
    let were =
        enrolled.stays.iter().filter(|stay| stay.span.to > from).map(|stay| stay.site.clone());
    let amendment = Amendment {
        agent,
        from,
        sites: were.chain([site.to_owned()]).collect(),
        leaves_out: LeavesOut::Nothing,
        why: format!("agent {agent} was put to {site} from {from} on"),
    };
    Ok(amend::note(archive, &amendment, actor.now)?)
}

/// Changes an agent's site and labels. A site holds from now on, or from the instant named; months
/// before it are judged by where the agent was then.
///
/// # Errors
/// When there is no such agent, a name is too long, or the instant lies ahead.
pub fn change(
    archive: &Archive,
    agent: Kid,
    change: &AgentChange,
    actor: &Actor,
) -> Result<(), DeskError> {
    let mut faults = faults_of_site(change, actor.now);
    let mut labels = labels(archive, agent)?;
    relabel(&mut labels, change, &mut faults);
    if !faults.is_empty() {
        return Err(DeskError::Invalid(faults));
    }
    if archive.key(agent)?.is_none() {
        return Err(DeskError::NotFound(
            "there is no such agent: `wanproof collector agents` shows those that are known"
                .to_owned(),
        ));
    }
    if let Some(site) = &change.site {
        put(archive, agent, site, change.from, actor)?;
    }
    if change.labels.is_some() {
        archive.put_record(Kind::Labels, &agent.to_string(), &labels, actor.now)?;
    }
    let detail = json!({"site": change.site, "from": change.from, "labels": change.labels});
    actor.did(archive, "agent.change", &agent.to_string(), detail)?;
    Ok(())
}

/// Whether a name or a value can be shown.
fn is_sound(text: &str) -> bool {
    let count = text.chars().count();
    count > 0 && count <= LONGEST && !text.chars().any(char::is_control)
}

fn faults_of_site(change: &AgentChange, now: Wall) -> Vec<String> {
    let mut faults = Vec::new();
    if change.site.as_deref().is_some_and(|site| !is_sound(site)) {
        faults.push(format!(
            "site: expected 1 to {LONGEST} characters, none of them a control character"
        ));
    }
    match (change.from, &change.site) {
        (Some(_), None) => faults
            .push("from: it says since when the agent is at `site`, which is missing".to_owned()),
        (Some(from), Some(_)) if from > now => faults.push(
            "from: it lies ahead of now: put the agent to its new site once it is there, with the \
             instant at which it came"
                .to_owned(),
        ),
        _ => {}
    }
    faults
}

/// Sets and takes away labels, as far as they are sound.
fn relabel(labels: &mut Labels, change: &AgentChange, faults: &mut Vec<String>) {
    for (name, value) in change.labels.iter().flatten() {
        match value {
            Some(value) if is_sound(name) && is_sound(value) => {
                labels.insert(name.clone(), value.clone());
            }
            Some(_) => faults.push(format!(
                "labels: {name:?}: a name and a value have 1 to {LONGEST} characters"
            )),
            None => {
                labels.remove(name);
            }
        }
    }
    if labels.len() > LABELS {
        faults.push(format!("labels: an agent has at most {LABELS}"));
    }
}

/// The sites of some agents, by name.
#[must_use]
pub fn sites(agents: &[AgentView]) -> Vec<SiteView> {
    let mut all: BTreeMap<&str, SiteView> = BTreeMap::new();
    for agent in agents.iter().filter(|agent| agent.state != AgentStatus::Revoked.word()) {
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
