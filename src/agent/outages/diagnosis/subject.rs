//! A probe, as far as its outages are looked into.

use std::sync::Arc;

use crate::evidence::side::ProbeSubject;
use crate::measure::probe::{Probe, Test};

use super::circuit;
use super::refusals::Refusals;
use super::runs::Runs;

/// A probe, as far as it matters here.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) probe: Arc<Probe>,
    pub(super) runs: Runs,
    pub(super) refusals: Refusals,
}

impl Subject {
    pub(super) fn new(probe: &Arc<Probe>) -> Self {
        Self {
            probe: Arc::clone(probe),
            runs: Runs::new(probe.period),
            refusals: Refusals::default(),
        }
    }

    /// Whether its answers prove the way of another one's packets: the same circuit, and no smaller
    /// ones where both are echoes.
    pub(super) fn asks_the_same_way(&self, other: &Self) -> bool {
        let size = |of: &Self| match of.probe.test {
            Test::Icmp { size, .. } => Some(size),
            Test::Http(_) | Test::Tcp { .. } | Test::Dns(_) => None,
        };
        let as_large = size(self).zip(size(other)).is_none_or(|(own, other)| own >= other);
        as_large && circuit(&self.probe) == circuit(&other.probe)
    }

    pub(super) fn asked(&self) -> ProbeSubject {
        if matches!(self.probe.test, Test::Icmp { .. }) {
            ProbeSubject::Echo
        } else {
            ProbeSubject::Service
        }
    }
}
