//! What a collector's verdict rests on, beside contracts, facts and register: when each version was
//! in force, and which summaries counted. It stands in `claim.json`, so that whoever verifies
//! judges by the very same.

use std::collections::BTreeMap;

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
        InForce {
            contract,
            span: Span::new(self.from, self.to.unwrap_or(Wall::from_nanos(i64::MAX))),
        }
    }
}

/// Which summaries a verdict rests on, so prepared that each costs a search, not a walk.
#[derive(Debug)]
pub struct Rests(BTreeMap<(Kid, ChainId), Vec<(u64, u64)>>);

impl Rests {
    /// Whether the verdict rests on a summary.
    #[must_use]
    pub fn on(&self, summary: &Summary) -> bool {
        let own =
            self.0.get(&(summary.agent, summary.chain)).map(Vec::as_slice).unwrap_or_default();
        let last = own.partition_point(|(from, _)| *from <= summary.seq).checked_sub(1);
        last.is_some_and(|last| summary.seq <= own[last].1)
    }
}

impl Basis {
    /// Which summaries the verdict rests on.
    #[must_use]
    pub fn rests(&self) -> Rests {
        let mut all = self.summaries.clone();
        all.sort_unstable();
        let mut rests: BTreeMap<(Kid, ChainId), Vec<(u64, u64)>> = BTreeMap::new();
        for Numbers { agent, chain, from_seq, to_seq } in all {
            let own = rests.entry((agent, chain)).or_default();
            // Where numbers overlap, those that begin first go on to the last end.
            match own.last_mut() {
                Some((_, last)) if from_seq <= *last => *last = to_seq.max(*last),
                _ if from_seq <= to_seq => own.push((from_seq, to_seq)),
                _ => {}
            }
        }
        Rests(rests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::key::SecretKey;
    use crate::evidence::summary::tests::empty;

    /// Each summary beside each range would be some forty thousand million.
    #[test]
    fn hundreds_of_thousands_of_ranges_are_asked_of_as_many_summaries() {
        const MANY: u64 = 200_000;
        let mut summary = empty(SecretKey::from_seed(&[1; 32]).kid());
        let (agent, chain) = (summary.agent, summary.chain);
        let range = |n: u64| Numbers { agent, chain, from_seq: 3 * n, to_seq: 3 * n + 1 };
        // Some lie within others.
        let within = [Numbers { agent, chain, from_seq: 0, to_seq: 9 }, range(1)];
        let basis = Basis {
            summaries: (0..MANY).rev().map(range).chain(within).collect(),
            ..Basis::default()
        };
        let rests = basis.rests();
        let mut counts = |seq: u64| {
            summary.seq = seq;
            rests.on(&summary)
        };
        assert!(counts(8), "the longer one goes on");
        assert_eq!((12..3 * MANY).filter(|seq| counts(*seq)).count() as u64, 2 * (MANY - 4));
        summary.chain = ChainId::from_bytes([9; 16]);
        assert!(!rests.on(&summary));
    }
}
