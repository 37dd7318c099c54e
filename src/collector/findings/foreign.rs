//! What an agent says beyond what it may speak for: of another site than it was put to, of a
//! service that no contract has there. Nothing of that counts; it is told for as long as it touches
//! this month or the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::agent_state::{AgentState, Times};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::findings::look::Look;
use crate::collector::fleet::AgentView;
use crate::collector::operations::agreements::Book;
use crate::sla::span::Span;

/// What was said longer ago is not told of any more: two months, as the verdicts that are looked
/// at.
const RECENT: Duration = Duration::from_secs(62 * 86_400);

/// The sites where contracts have each service.
pub(super) struct Sites<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Sites<'a> {
    pub(super) fn of(book: &'a Book) -> Self {
        let mut sites: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let contracts = book.all.iter().filter_map(|agreed| agreed.contract.as_ref().ok());
        for service in contracts.flat_map(|contract| &contract.services) {
            sites.entry(&service.id).or_default().insert(&service.site);
        }
        Self(sites)
    }
}

/// Finds what an agent says beyond.
pub(super) fn find(
    look: &Look<'_>,
    sites_of: &Sites<'_>,
    agent: &AgentView,
    said: &AgentState,
    all: &mut Vec<Finding>,
) {
    let Some(enrolled) = look.fleet.register().get(agent.agent) else { return };
    let name = agent.agent.to_string();
    let mut found = |kind, what: &str, detail| {
        all.push(Finding {
            kind,
            subject: format!("{name}/{what}"),
            site: Some(agent.site.clone()),
            detail,
        });
    };
    let sites = said.ever.elsewhere.iter().filter(|(_, times)| is_recent(times, look.now));
    // Whoever was put there since, for that time, says nothing wrong any more.
    for (site, times) in sites.filter(|(site, times)| !enrolled.at(site).covers(span_of(times))) {
        found(
            FindingKind::ForeignSite,
            site,
            format!(
                "agent {name} was put to {}, and says in {} that it is at {site}: nothing of that \
                 counts. If it was moved, say since when: `wanproof collector assign {name} \
                 {site} --from TIME`; if not, mend `site` in its agent.toml, and see who has its \
                 key",
                agent.site,
                told(times)
            ),
        );
    }
    for (service, times) in
        said.ever.services.iter().filter(|(_, times)| is_recent(times, look.now))
    {
        let Some(sites) = sites_of.0.get(service.as_str()) else { continue };
        let here = sites.iter().any(|site| enrolled.at(site).touches(span_of(times)));
        if let (Some(site), false) = (sites.first(), here) {
            found(
                FindingKind::ForeignService,
                service,
                format!(
                    "agent {name} at {} measures for {service} in {}, which its contract has at \
                     {site}: nothing of that counts for {service}. Mend `service` in its \
                     agent.toml, or the contract's `site`",
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
    let summaries = if times.summaries == 1 {
        "one summary".to_owned()
    } else {
        format!("{} summaries", times.summaries)
    };
    format!("{summaries} ({} to {})", times.from, times.to)
}
