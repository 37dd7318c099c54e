//! What a probe saw before the wall clock was set: each send by itself, on the monotonic clock
//! alone, so that it can be cut at the true minutes once they are known. An interval could not: its
//! histogram does not say which send a value is of.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::{Settled, Stamp};
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};

mod label;

/// What one probe saw over a stretch that no wall clock labels yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisional {
    /// Where the stretch begins.
    pub begun: Mono,
    /// Where it ends.
    pub ended: Mono,
    /// When the first send was due; the others were due a period apart.
    pub first_due: Mono,
    /// From one send to the next.
    pub period: Duration,
    /// How late this program was at worst meanwhile.
    pub late: Duration,
    /// The sends, in order.
    pub sends: Vec<Sent>,
}

/// One send, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What became of it.
    pub outcome: Outcome,
    /// Its RTT in nanoseconds, where it has one.
    pub rtt_ns: Option<u64>,
    /// Whose stamps its RTT is the difference of.
    pub stamp: Stamp,
    /// Why it is not answered.
    pub reason: Option<Reason>,
    /// The parts of an HTTP exchange, in nanoseconds.
    pub phases: Vec<(Phase, u64)>,
    /// Answers beyond the first.
    pub duplicates: u32,
    /// Answers that came after the answer to a later send.
    pub reordered: u32,
}

impl Sent {
    /// One of which nothing is to be said but what became of it.
    #[must_use]
    pub const fn new(outcome: Outcome, rtt_ns: Option<u64>) -> Self {
        let phases = Vec::new();
        Self {
            outcome,
            rtt_ns,
            stamp: Stamp::User,
            reason: None,
            phases,
            duplicates: 0,
            reordered: 0,
        }
    }
}

/// What an interval that is being filled remembers of single sends, by their places in it, while no
/// label is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SendMarks {
    sends: BTreeMap<usize, Marks>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks {
    kernel_stamped: bool,
    reason: Option<Reason>,
    phases: Vec<(Phase, u64)>,
    duplicates: u32,
    reordered: u32,
}

impl SendMarks {
    pub(super) fn settled(&mut self, index: usize, settled: &Settled) {
        let kernel_stamped = settled.outcome.has_rtt() && settled.stamp == Some(Stamp::Kernel);
        if kernel_stamped || settled.reason.is_some() || !settled.phases.is_empty() {
            let marks = self.sends.entry(index).or_default();
            marks.kernel_stamped = kernel_stamped;
            marks.reason.clone_from(&settled.reason);
            marks.phases.clone_from(&settled.phases);
        }
    }

    pub(super) fn duplicate(&mut self, index: usize) {
        let marks = self.sends.entry(index).or_default();
        marks.duplicates = marks.duplicates.saturating_add(1);
    }

    pub(super) fn reordered(&mut self, index: usize) {
        let marks = self.sends.entry(index).or_default();
        marks.reordered = marks.reordered.saturating_add(1);
    }

    /// The send at this place.
    pub(super) fn sent(&self, index: usize, outcome: Outcome, rtt_ns: Option<u64>) -> Sent {
        let mut sent = Sent::new(outcome, rtt_ns);
        if let Some(marks) = self.sends.get(&index) {
            sent.stamp = if marks.kernel_stamped { Stamp::Kernel } else { Stamp::User };
            sent.reason.clone_from(&marks.reason);
            sent.phases.clone_from(&marks.phases);
            (sent.duplicates, sent.reordered) = (marks.duplicates, marks.reordered);
        }
        sent
    }
}

impl Provisional {
    /// About how many bytes it takes at rest.
    #[must_use]
    pub fn weight(&self) -> u64 {
        24 + 6 * self.sends.len() as u64
    }
}

#[cfg(test)]
mod tests;
