//! What the collector counts of itself, and its page for Prometheus.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::findings::finding::Finding;
use crate::collector::fleet::AgentView;
use crate::collector::scheduler::did::Did;
use crate::net::exposition::{Form, Kind, Page, Spread};

/// The counts, from the collector's start.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By address and status.
    requests: BTreeMap<(&'static str, u16), u64>,
    seconds: BTreeMap<&'static str, Spread>,
    summaries: BTreeMap<&'static str, u64>,
    folded: u64,
    judged: u64,
    round: Option<Wall>,
    findings: BTreeMap<&'static str, u64>,
    told: BTreeMap<&'static str, u64>,
}

impl Metrics {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered; `address` is as the URL map writes it, so that there are only so
    /// many.
    pub fn request(&self, address: &'static str, status: u16, took: Duration) {
        let mut counts = self.counts();
        *counts.requests.entry((address, status)).or_default() += 1;
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        counts.seconds.entry(address).or_default().record_ns(nanos);
    }

    /// A summary got its answer: `receipt`, or the problem's word.
    pub fn summary(&self, result: &'static str) {
        *self.counts().summaries.entry(result).or_default() += 1;
    }

    /// A round ended.
    pub fn round(&self, did: &Did, now: Wall) {
        let mut counts = self.counts();
        counts.folded += did.folded;
        counts.judged += did.judged;
        counts.round = Some(now);
    }

    /// What was found missing.
    pub fn found(&self, found: &[Finding]) {
        let mut all: BTreeMap<&'static str, u64> = BTreeMap::new();
        for finding in found {
            *all.entry(finding.kind.word()).or_default() += 1;
        }
        self.counts().findings = all;
    }

    /// Somebody was told of an alert.
    pub fn told(&self, whom: &'static str) {
        *self.counts().told.entry(whom).or_default() += 1;
    }

    /// The page, with what the database says of the agents and of what waits to be folded.
    #[must_use]
    pub fn page(&self, form: Form, agents: &[AgentView], unfolded: u64) -> Vec<u8> {
        let counts = self.counts();
        let mut page = Page::new(form);
        page.family(Kind::Info, "wanproof_build", "The program.");
        page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        requests(&mut page, &counts);
        fleet(&mut page, agents);
        rounds(&mut page, &counts, unfolded);
        page.end()
    }
}

/// What was asked of this replica.
fn requests(page: &mut Page, counts: &Counts) {
    page.family(Kind::Counter, "wanproof_collector_requests", "Requests by address and status.");
    for ((address, status), count) in &counts.requests {
        page.sample(&[("address", address), ("status", &status.to_string())], count);
    }
    page.family(
        Kind::Histogram,
        "wanproof_collector_request_seconds",
        "From a request's head to its answer.",
    );
    for (address, spread) in &counts.seconds {
        page.histogram(&[("address", address)], spread);
    }
    page.family(Kind::Counter, "wanproof_collector_summaries", "Summaries by what came of them.");
    for (result, count) in &counts.summaries {
        page.sample(&[("result", result)], count);
    }
}

/// How the agents stand.
fn fleet(page: &mut Page, agents: &[AgentView]) {
    page.family(Kind::Gauge, "wanproof_collector_agents", "Agents by their state.");
    for state in ["pending", "approved", "revoked"] {
        page.sample(
            &[("state", state)],
            agents.iter().filter(|agent| agent.state == state).count(),
        );
    }
    page.family(
        Kind::Gauge,
        "wanproof_collector_silent_agents",
        "Agents that should have been heard of.",
    );
    page.sample(&[], agents.iter().filter(|agent| agent.silent).count());
    page.family(Kind::Gauge, "wanproof_collector_missing_summaries", "Numbers that did not come.");
    let missing = agents.iter().map(|agent| agent.missing).fold(0, u64::saturating_add);
    page.sample(&[], missing);
}

/// What the rounds of this replica did and found.
fn rounds(page: &mut Page, counts: &Counts, unfolded: u64) {
    page.family(
        Kind::Gauge,
        "wanproof_collector_unfolded_chains",
        "Chains in which something waits to be judged.",
    );
    page.sample(&[], unfolded);
    page.family(
        Kind::Counter,
        "wanproof_collector_folded_summaries",
        "Summaries folded by this replica.",
    );
    page.sample(&[], counts.folded);
    page.family(
        Kind::Counter,
        "wanproof_collector_judged_services",
        "Services judged by this replica.",
    );
    page.sample(&[], counts.judged);
    if let Some(round) = counts.round {
        page.family(
            Kind::Gauge,
            "wanproof_collector_last_round_seconds",
            "When this replica last went round, in Unix time.",
        );
        page.sample(&[], round.secs());
    }
    page.family(
        Kind::Gauge,
        "wanproof_collector_findings",
        "What is missing or wrong, as the last round found it.",
    );
    for (kind, count) in &counts.findings {
        page.sample(&[("kind", kind)], count);
    }
    page.family(Kind::Counter, "wanproof_collector_alerts_told", "Alerts that were told.");
    for (whom, count) in &counts.told {
        page.sample(&[("to", whom)], count);
    }
}
