//! `wanproof collector agents`, `approve` and `revoke`: who is let in.

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::collector::listing::actor;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::collector::archive::agents::AgentStatus;
use crate::collector::fleet;
use crate::collector::operations::sites::{self, Revocation};
use crate::evidence::key::Kid;

pub(super) fn agents(source: &Source, as_json: bool) -> Result<(), Failure> {
    let (config, archive) = source.archive()?;
    let now = SystemClock.now().wall;
    let all = fleet::all(&archive, config.alerts.silent_after, now)?;
    if as_json {
        return print::json(&all);
    }
    if all.is_empty() {
        return print::line("no agent is known yet: one enrols by itself at its first contact");
    }
    let heading = ["SITE", "STATE", "LAST", "MISSING", "CONFLICTS", "AGENT"].map(str::to_owned);
    let mut rows = Vec::new();
    for agent in &all {
        let mut state = match &agent.asked_from {
            Some(from) if agent.state == AgentStatus::Pending.word() => {
                format!("{} (from {from})", agent.state)
            }
            _ => agent.state.to_owned(),
        };
        if agent.silent {
            state.push_str(", silent");
        }
        rows.push(vec![
            agent.site.clone(),
            state,
            agent
                .last
                .as_ref()
                .map_or_else(|| "never".to_owned(), |last| print::instant(last.received)),
            agent.missing.to_string(),
            agent.conflicts.to_string(),
            agent.agent.to_string(),
        ]);
    }
    print::line(print::fitted(&heading, &rows))
}

pub(super) fn approve(source: &Source, agent: Kid) -> Result<(), Failure> {
    let (_, mut archive) = source.archive()?;
    archive
        .write(|archive| sites::set_standing(archive, agent, AgentStatus::Approved, &actor()))?;
    print::line(format_args!("{agent} is approved"))
}

pub(super) fn revoke(source: &Source, agent: Kid, since: Option<Wall>) -> Result<(), Failure> {
    let (_, mut archive) = source.archive()?;
    archive.write(|archive| sites::revoke(archive, agent, &Revocation { since }, &actor()))?;
    match since {
        None => {
            print::line(format_args!("{agent} is revoked; what it said so far goes on counting"))
        }
        Some(since) => print::line(format_args!(
            "{agent} is revoked; what it said from {} on is left out, and what that touches is \
             judged anew by the running collector",
            print::instant(since)
        )),
    }
}
