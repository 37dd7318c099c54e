//! One definition of an outage, at work on the probes of its service.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::outages::key::OutageKey;
use crate::agent::terms::Standard;
use crate::base::time::Wall;
use crate::measure::carrier::Carrier;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::reasons::Reasons;
use crate::sla::outage::{Class, Detector, Edge, Rule, State};
use crate::store::outages::Outage;

/// One definition of an outage, at work.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) standard: Arc<Standard>,
    /// Ordered by their probes' places: one is looked for at every outcome.
    pub(super) detectors: Box<[Watcher]>,
    /// The outage that lasts; apart, since most watches have none.
    pub(super) open: Option<Box<Open>>,
}

/// A definition's look at one probe.
#[derive(Debug)]
pub(super) struct Watcher {
    /// The probe's place.
    pub(super) place: usize,
    pub(super) detector: Detector,
    /// What would be an outage if it went on; apart, since most probes do not fail.
    pub(super) failing: Option<Box<Failing>>,
}

/// Why sends failed since the instant that an outage would begin at.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) since: Wall,
    pub(super) reasons: Reasons,
}

/// An outage that lasts, and why its probe's sends were not answered since it began.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) key: OutageKey,
    pub(super) outage: Outage,
    pub(super) reasons: Reasons,
}

/// An outcome, as detectors take it.
pub(super) struct Seen<'a> {
    pub(super) due: Wall,
    pub(super) outcome: Outcome,
    pub(super) carrier: Carrier,
    pub(super) reason: Option<&'a Reason>,
}

impl<'a> Seen<'a> {
    /// Why it does not count as an answer by a rule; [`None`] where it does, where nobody observed
    /// it, or where that is not known.
    pub(super) fn reason_by(&self, rule: &Rule) -> Option<&'a Reason> {
        const LATE: &Reason = &Reason::CUTOFF;
        match self.outcome {
            Outcome::Answered | Outcome::NotObserved => None,
            Outcome::Late => {
                (rule.class(self.outcome, self.carrier) == Class::Failed).then_some(LATE)
            }
            Outcome::Lost | Outcome::Refused | Outcome::NotSent => self.reason,
        }
    }
}

impl Watcher {
    pub(super) fn push(
        &mut self,
        seen: &Seen<'_>,
        reason: Option<&Reason>,
        period: Duration,
    ) -> Vec<Edge> {
        let edges = self.detector.push(seen.due, seen.outcome, seen.carrier, period);
        let begun = edges.iter().find_map(|edge| match edge {
            Edge::Down { from } => Some(*from),
            Edge::Up { .. } => None,
        });
        let since = begun.or_else(|| self.detector.failing_since());
        if self.failing.as_ref().is_some_and(|failing| Some(failing.since) != since) {
            self.failing = None;
        }
        if let (Some(since), Some(reason)) = (since, reason) {
            let new = || Box::new(Failing { since, reasons: Reasons::default() });
            self.failing.get_or_insert_with(new).reasons.add(reason);
        }
        edges
    }
}

impl Open {
    pub(super) fn enter_reasons(&mut self) {
        if !self.reasons.is_empty() {
            self.outage.evidence["reasons"] = self.reasons.json();
        }
    }

    /// What is told of it once it is over.
    pub(super) fn over(mut self) -> (OutageKey, Outage) {
        self.enter_reasons();
        (self.key, self.outage)
    }
}

impl Watching {
    pub(super) fn detector(&self, at: usize) -> Option<&Detector> {
        let found = self.detectors.binary_search_by_key(&at, |watcher| watcher.place).ok()?;
        Some(&self.detectors[found].detector)
    }

    pub(super) fn watcher_mut(&mut self, at: usize) -> Option<&mut Watcher> {
        let found = self.detectors.binary_search_by_key(&at, |watcher| watcher.place).ok()?;
        Some(&mut self.detectors[found])
    }

    /// A service that several probes measure is down while one of them sees it down and none sees
    /// it up, as in a verdict.
    pub(super) fn is_down(&self) -> bool {
        let sees = |state| self.detectors.iter().any(|watcher| watcher.detector.state() == state);
        sees(State::Down) && !sees(State::Up)
    }
}
