//! What is known of one probe now.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::time::Wall;
use crate::measure::outcome::{Outcomes, Reason};
use crate::measure::probe::Probe;
use crate::measure::recent::Recent;

use super::{LiveProbe, coverage};

/// What is known of a probe now.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) probe: Arc<Probe>,
    pub(super) state: &'static str,
    pub(super) address: Option<IpAddr>,
    pub(super) last_rtt_ns: Option<u64>,
    /// The outcomes of its last closed interval.
    pub(super) outcomes: Outcomes,
    pub(super) recent: Recent,
    pub(super) limited: u32,
    pub(super) certificate_until: Option<Wall>,
    /// What most probes have nothing of.
    pub(super) trouble: Option<Box<Trouble>>,
}

/// Why sends were not answered.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The last one.
    last: Option<Reason>,
    /// Those of the last closed interval.
    reasons: BTreeMap<String, u32>,
}

impl Row {
    pub(super) fn new(probe: &Arc<Probe>) -> Self {
        Self {
            probe: Arc::clone(probe),
            state: "unknown",
            address: None,
            last_rtt_ns: None,
            outcomes: Outcomes::default(),
            recent: Recent::default(),
            limited: 0,
            certificate_until: None,
            trouble: None,
        }
    }

    /// Takes why its last send was not answered, if it was not.
    pub(super) fn failed(&mut self, reason: Option<&Reason>) {
        match &mut self.trouble {
            None if reason.is_none() => {}
            trouble => trouble.get_or_insert_default().last = reason.cloned(),
        }
    }

    /// Takes why sends of its last closed interval were not answered.
    pub(super) fn closed(&mut self, reasons: &BTreeMap<String, u32>) {
        match &mut self.trouble {
            None if reasons.is_empty() => {}
            Some(trouble) if reasons.is_empty() && trouble.last.is_none() => self.trouble = None,
            trouble => trouble.get_or_insert_default().reasons.clone_from(reasons),
        }
    }

    pub(super) fn live(&self, place: usize) -> LiveProbe {
        #[expect(clippy::cast_precision_loss, reason = "an RTT in nanoseconds is far below 2^53")]
        let us = |rtt: u64| rtt as f64 / 1000.0;
        LiveProbe {
            place,
            name: self.probe.name.clone(),
            kind: self.probe.kind().to_owned(),
            service: self.probe.service.clone(),
            state: self.state.to_owned(),
            address: self.address,
            last_rtt_us: self.last_rtt_ns.map(us),
            reason: self
                .trouble
                .as_ref()
                .and_then(|trouble| trouble.last.as_ref())
                .map(ToString::to_string),
            outcomes: self.outcomes.to_string(),
            reasons: self
                .trouble
                .as_ref()
                .map(|trouble| trouble.reasons.clone())
                .unwrap_or_default(),
            recent: self.recent.outcomes(),
            coverage: coverage(&self.outcomes),
            limited: self.limited,
            certificate_until: self.certificate_until,
        }
    }
}
