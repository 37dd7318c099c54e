//! What an agent says beyond what it may speak for: of another site than it was put to, of a service that no contract has there.
//! Nothing of that counts; it is told for as long as it touches this month or the one before.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::fleet::AgentView;
use crate::collector::missing::{Finding, FindingKind, Look};
use crate::collector::statement::{Statement, Times};
use crate::sla::span::Span;

/// What was said longer ago is not told of any more: two months, as the verdicts that are looked at.
const RECENT: Duration = Duration::from_secs(62 * 86_400);

/// Finds what an agent says beyond.
pub(super) fn find(look: &Look<'_>, agent: &AgentView, said: &Statement, all: &mut Vec<Finding>) {
    let Some(enrolled) = look.fleet.register().get(agent.agent) else { return };
    let name = agent.agent.to_string();
    let mut found = |kind, what: &str, detail| {
        all.push(Finding { kind, subject: format!("{name}/{what}"), site: Some(agent.site.clone()), detail });
    };
    let sites = said.ever.elsewhere.iter().filter(|(_, times)| is_recent(times, look.now));
    // Whoever was put there since, for that time, says nothing wrong any more.
    for (site, times) in sites.filter(|(site, times)| !enrolled.at(site).covers(span_of(times))) {
        found(
            FindingKind::ForeignSite,
            site,
            format!(
                "agent {name} was put to {}, and says in {} that it is at {site}: nothing of that counts. If it was moved, \
                 say since when: `wanproof collector assign {name} {site} --from TIME`; if not, mend `site` in its agent.toml, \
                 and see who has its key",
                agent.site,
                told(times)
            ),
        );
    }
    for (service, times) in said.ever.services.iter().filter(|(_, times)| is_recent(times, look.now)) {
        let contracts = look.book.all.iter().filter_map(|agreed| agreed.contract.as_ref().ok());
        let sites: BTreeSet<&str> = contracts
            .flat_map(|contract| &contract.services)
            .filter(|each| each.id == *service)
            .map(|each| each.site.as_str())
            .collect();
        let here = sites.iter().any(|site| enrolled.at(site).touches(span_of(times)));
        if let (Some(site), false) = (sites.first(), here) {
            found(
                FindingKind::ForeignService,
                service,
                format!(
                    "agent {name} at {} measures for {service} in {}, which its contract has at {site}: nothing of that \
                     counts for {service}. Mend `service` in its agent.toml, or the contract's `site`",
                    agent.site,
                    told(times)
                ),
            );
        }
    }
}

fn span_of(times: &Times) -> Span {
    Span::new(times.from, times.to.max(times.from.shifted(1)))
}

fn is_recent(times: &Times, now: Wall) -> bool {
    times.to >= now - RECENT
}

fn told(times: &Times) -> String {
    let summaries =
        if times.summaries == 1 { "one summary".to_owned() } else { format!("{} summaries", times.summaries) };
    format!("{summaries} ({} to {})", times.from, times.to)
}
