//! What agents said of themselves, taken from their summaries: the state of their clocks, the
//! contracts that they judge by, their own verdicts, whose side their outages lie on; and the
//! intervals, folded by day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::base64url;
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::register::Enrolled;
use crate::evidence::summary::Summary;
use crate::sla::span::Span;

mod folds;
pub mod gather;
pub mod outages;
pub mod refold;
mod unfolded;

pub use folds::minutes;

/// So many names of services, or of sites, are kept of what an agent says.
const NAMES: usize = 256;
/// An agent is believed to have so many probes at most: of one that goes on naming others, the last
/// count.
const PROBES: usize = 10_000;
/// What an agent says of a later time than that at which it was received, and by more than so much,
/// is its clock's fault.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What an agent said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// The site that it says it is at.
    pub site: String,
    /// Which program it runs.
    pub software: String,
    /// Until when its last summary goes.
    pub heard: Wall,
    /// When that was received, and its place; absent where an earlier version of this program wrote
    /// it.
    #[serde(default)]
    pub place: Option<Placed>,
    /// `synchronised`, `unsynchronised` or `unknown`.
    pub clock: String,
    /// The contracts that it judges by: id, version, digest.
    pub contracts: Vec<(String, u64, String)>,
    /// Its probes, and the services that they name.
    pub probes: BTreeMap<String, Option<String>>,
    /// Its own verdicts.
    pub verdicts: Vec<VerdictSaid>,
    /// What it ever said that it speaks for.
    #[serde(default)]
    pub ever: Ever,
}

/// What an agent ever said that it speaks for, however late it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ever {
    /// The services that its probes and outages named, and when.
    pub services: BTreeMap<String, Times>,
    /// The probes that named each service.
    pub named: BTreeMap<String, BTreeSet<String>>,
    /// The sites that its summaries named while it was not there, and when.
    pub elsewhere: BTreeMap<String, Times>,
}

/// When something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Where the first summary that said it begins.
    pub from: Wall,
    /// Where the last one ends.
    pub to: Wall,
    /// How many said it.
    pub summaries: u64,
}

impl Times {
    fn add(all: &mut BTreeMap<String, Self>, name: &str, summary: &Summary) {
        // An agent that names another one each time is told of all the same.
        if all.len() >= NAMES && !all.contains_key(name) {
            return;
        }
        let times = all.entry(name.to_owned()).or_insert(Self {
            from: summary.from,
            to: summary.to,
            summaries: 0,
        });
        times.from = times.from.min(summary.from);
        times.to = times.to.max(summary.to);
        times.summaries += 1;
    }
}

impl Ever {
    /// Adds what a summary says, of an agent that was enrolled so.
    fn add(&mut self, summary: &Summary, enrolled: &Enrolled) {
        let span = Span::new(summary.from, summary.to.max(summary.from.shifted(1)));
        // What goes over the instant at which it was moved counts in part, and is nothing to tell
        // of.
        if !enrolled.at(&summary.site).touches(span) {
            Times::add(&mut self.elsewhere, &summary.site, summary);
        }
        let probes = summary
            .probes
            .iter()
            .filter_map(|probe| Some((probe.service.as_deref()?, &probe.name)));
        let mut services: BTreeSet<&str> =
            summary.outages.iter().filter_map(|each| each.service.as_deref()).collect();
        for (service, probe) in probes {
            services.insert(service);
            if self.named.len() < NAMES || self.named.contains_key(service) {
                let probes = self.named.entry(service.to_owned()).or_default();
                if probes.len() < NAMES {
                    probes.insert(probe.clone());
                }
            }
        }
        for service in services {
            Times::add(&mut self.services, service, summary);
        }
    }
}

/// Which summary a statement is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// When it was received.
    pub received: Wall,
}

/// A verdict that an agent reached itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictSaid {
    /// The contract.
    pub contract: String,
    /// Its version.
    pub version: u64,
    /// The service.
    pub service: String,
    /// The objective.
    pub objective: String,
    /// The period.
    pub period: String,
    /// `met`, `breached` or `not_determined`.
    pub result: String,
}

impl AgentState {
    /// What every agent said last. What cannot be read is left out: the agent's next summary says
    /// it anew.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all(archive: &Archive) -> Result<Vec<(Kid, Self)>, ArchiveError> {
        let all = archive.sound_records::<Self>(Kind::Agent, Page::default())?;
        Ok(all
            .into_iter()
            .filter_map(|record| Some((record.id.parse().ok()?, record.body)))
            .collect())
    }

    /// Whether a summary says more of how its agent is now than this does: it has a later number in
    /// the same chain, or is of a later time. Where this says something of a time that had not come
    /// when it was received, the agent's clock was wrong, and whatever comes then is believed
    /// rather than this.
    fn is_before(&self, read: &Read, now: Wall) -> bool {
        match self.place {
            Some(place) if place.chain == read.summary.chain => read.summary.seq > place.seq,
            _ => read.summary.to >= self.heard || self.is_ahead(now),
        }
    }

    /// Whether it says something of a time that had not come when it was received.
    #[must_use]
    pub fn is_ahead(&self, now: Wall) -> bool {
        self.heard > self.place.map_or(now, |place| place.received) + CLOCKS_DIFFER
    }

    /// What an agent says in a summary; what it said before is kept where this says nothing of it.
    fn of(read: &Read, before: Option<Self>) -> Self {
        let summary = &read.summary;
        // A span is split among several summaries where there is much to say: the probes of one are
        // not all there are.
        let mut probes = before.as_ref().map(|before| before.probes.clone()).unwrap_or_default();
        let own = || summary.probes.iter().map(|probe| (probe.name.clone(), probe.service.clone()));
        probes.extend(own());
        if probes.len() > PROBES {
            probes = own().collect();
        }
        let mut verdicts: Vec<VerdictSaid> = summary
            .verdicts
            .iter()
            .map(|said| VerdictSaid {
                contract: said.contract.clone(),
                version: said.version,
                service: said.service.clone(),
                objective: said.objective.clone(),
                period: said.period.clone(),
                result: said.result.clone(),
            })
            .collect();
        let ever = before.as_ref().map(|before| before.ever.clone()).unwrap_or_default();
        if verdicts.is_empty() {
            verdicts = before.map(|before| before.verdicts).unwrap_or_default();
        }
        Self {
            site: summary.site.clone(),
            software: summary.software.clone(),
            heard: summary.to,
            place: Some(Placed { chain: summary.chain, seq: summary.seq, received: read.received }),
            clock: summary.clock.state.word().to_owned(),
            contracts: summary
                .contracts
                .iter()
                .map(|of| (of.id.clone(), of.version, of.sha256.clone()))
                .collect(),
            probes,
            verdicts,
            ever,
        }
    }
}

/// A stored summary, read, and when it was received.
#[derive(Clone, Debug)]
struct Read {
    summary: Summary,
    received: Wall,
}

/// The payload of a summary that was verified when it was stored.
pub(super) fn read(jws: &str) -> Result<Summary, ArchiveError> {
    let damaged =
        |what: &dyn std::fmt::Display| ArchiveError::Damaged(format!("a summary: {what}"));
    let payload = jws.split('.').nth(1).unwrap_or_default();
    let payload = base64url::decode(payload.as_bytes()).map_err(|fault| damaged(&fault))?;
    serde_json::from_slice(&payload).map_err(|fault| damaged(&fault))
}
