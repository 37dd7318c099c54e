//! What is found of each agent by itself: silence, gaps, conflicts, its clock, the contracts that
//! it judges by.

use crate::collector::agent_state::AgentState;
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::findings::foreign;
use crate::collector::findings::look::Look;
use crate::collector::fleet::AgentView;
use crate::collector::operations::agreements::{Difference, Served};

/// All that is found of an agent.
pub(super) fn of_agent(
    look: &Look<'_>,
    agent: &AgentView,
    (sites, served): (&foreign::Sites<'_>, &Served<'_>),
    all: &mut Vec<Finding>,
) {
    all.extend(of_silence(agent));
    of_gaps(agent, all);
    all.extend(of_conflicts(agent));
    let Some(said) = look.fleet.get(agent.agent) else { return };
    all.extend(of_clock(agent, said));
    let differs = served.differences(&agent.site, &said.contracts);
    all.extend(differs.into_iter().map(|difference| of_contract(agent, difference)));
    foreign::find(look, sites, agent, said, all);
}

/// A finding about an agent, or about one of its parts.
fn found(agent: &AgentView, kind: FindingKind, subject: String, detail: String) -> Finding {
    Finding { kind, subject, site: Some(agent.site.clone()), detail }
}

fn of_silence(agent: &AgentView) -> Option<Finding> {
    if !agent.silent {
        return None;
    }
    let last = agent.last.as_ref().map_or_else(
        || "nothing came yet".to_owned(),
        |last| format!("last heard of at {}", last.received),
    );
    let name = agent.agent.to_string();
    let detail = format!("agent {name} at {} is silent: {last}", agent.site);
    Some(found(agent, FindingKind::Silent, name, detail))
}

fn of_gaps(agent: &AgentView, all: &mut Vec<Finding>) {
    let name = agent.agent.to_string();
    for gap in &agent.gaps {
        let kind = if gap.dropped { FindingKind::Dropped } else { FindingKind::Gap };
        let why = if gap.dropped { "had to be dropped by its outbox" } else { "did not come" };
        let numbers = if gap.from_seq == gap.to_seq {
            format!("number {}", gap.from_seq)
        } else {
            format!("numbers {} to {}", gap.from_seq, gap.to_seq)
        };
        // A gap that is filled in part goes on under its last number.
        let subject = format!("{name}/{}/{}", gap.chain, gap.to_seq);
        let detail =
            format!("{numbers} of chain {} of agent {name} at {} {why}", gap.chain, agent.site);
        all.push(found(agent, kind, subject, detail));
    }
    if agent.gap_count > agent.gaps.len() as u64 {
        let detail = format!(
            "{} more gaps are in the chains of agent {name} at {}; {} numbers are missing in all",
            agent.gap_count - agent.gaps.len() as u64,
            agent.site,
            agent.missing
        );
        all.push(found(agent, FindingKind::Gap, name, detail));
    }
}

fn of_conflicts(agent: &AgentView) -> Option<Finding> {
    let name = agent.agent.to_string();
    (agent.conflicts > 0).then(|| {
        let detail = format!(
            "{} summaries of agent {name} at {} did not fit into their chain: a copied or \
             restored database, or a key that two hosts have",
            agent.conflicts, agent.site
        );
        found(agent, FindingKind::ChainConflict, name, detail)
    })
}

fn of_clock(agent: &AgentView, said: &AgentState) -> Option<Finding> {
    let name = agent.agent.to_string();
    (said.clock == "unsynchronised").then(|| {
        let detail = format!(
            "the clock of agent {name} at {} is not synchronised: its times bound nothing but \
             themselves",
            agent.site
        );
        found(agent, FindingKind::ClockUnsynchronised, name, detail)
    })
}

fn of_contract(agent: &AgentView, difference: Difference) -> Finding {
    let Difference { contract, version, reported, what } = difference;
    let name = agent.agent;
    let due =
        version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
    let has = reported.map_or_else(|| "none".to_owned(), |reported| format!("version {reported}"));
    let detail = format!(
        "agent {name} at {} judges by {has} of {contract}, {due} is in force ({what})",
        agent.site
    );
    found(agent, FindingKind::ContractOutdated, format!("{name}/{contract}"), detail)
}
