//! What a collector's verdict rests on, beside contracts, facts and register: when each version was in force, and which summaries
//! counted. It stands in `claim.json`, so that whoever verifies judges by the very same.

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::summary::Summary;
use crate::sla::judge::InForce;
use crate::sla::span::Span;
use crate::sla::terms::Contract;

/// What a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The versions that judge, the first in force first.
    pub versions: Vec<Reigned>,
    /// The summaries that it rests on.
    pub summaries: Vec<Numbers>,
    /// Summaries of the same time that came too late to count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Numbers>,
    /// Those that came late, and count because somebody accepted them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
}

/// When a version was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reigned {
    /// The version.
    pub version: u32,
    /// From when.
    pub from: Wall,
    /// Until when; absent while it is.
    pub to: Option<Wall>,
}

/// Numbers of a chain, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Numbers {
    /// Whose chain.
    pub agent: Kid,
    /// The chain.
    pub chain: ChainId,
    /// The first.
    pub from_seq: u64,
    /// The last.
    pub to_seq: u64,
}

/// Late summaries that somebody accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Which.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Wall,
}

impl Numbers {
    /// Whether a summary is among them.
    #[must_use]
    pub fn hold(&self, agent: Kid, chain: ChainId, seq: u64) -> bool {
        (self.agent, self.chain) == (agent, chain) && self.from_seq <= seq && seq <= self.to_seq
    }

    /// Whether a summary is the next one after them.
    #[must_use]
    pub fn goes_on_with(&self, agent: Kid, chain: ChainId, seq: u64) -> bool {
        (self.agent, self.chain) == (agent, chain) && self.to_seq.checked_add(1) == Some(seq)
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.to_seq.saturating_sub(self.from_seq).saturating_add(1)
    }
}

impl Reigned {
    /// Of a version in force.
    #[must_use]
    pub fn of(version: &InForce) -> Self {
        let to = version.span.to;
        let to = (to < Wall::from_nanos(i64::MAX)).then_some(to);
        Self { version: version.contract.agreement.version, from: version.span.from, to }
    }

    /// The version with its terms.
    #[must_use]
    pub fn with(&self, contract: Contract) -> InForce {
        InForce { contract, span: Span::new(self.from, self.to.unwrap_or(Wall::from_nanos(i64::MAX))) }
    }
}

impl Basis {
    /// Whether the verdict rests on a summary.
    #[must_use]
    pub fn holds(&self, summary: &Summary) -> bool {
        self.summaries.iter().any(|each| each.hold(summary.agent, summary.chain, summary.seq))
    }
}
