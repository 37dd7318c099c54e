//! Labels what was measured before the wall clock was set: makes the intervals of it.

use std::time::Duration;

use crate::base::time::Now;
use crate::measure::event::{Event, ProbeId, Settled};
use crate::measure::interval::Interval;
use crate::measure::ledger::Ledger;

use super::Provisional;

impl Provisional {
    /// The intervals that it would have been, had the wall clock been right: `anchor` is a reading
    /// of both clocks when it is. They are cut at the ends of UTC minutes, or at the multiples of
    /// `every` where that is shorter.
    #[must_use]
    pub fn label(&self, anchor: Now, every: Duration) -> Vec<Interval> {
        const PROBE: ProbeId = ProbeId(0);
        let at = |mono| anchor.at(mono);
        let mut ledger = Ledger::new([self.period], every, at(self.begun));
        let mut told = Vec::new();
        let mut due = self.first_due;
        for (send, sent) in (0..).zip(&self.sends) {
            let settled = Settled {
                probe: PROBE,
                send,
                outcome: sent.outcome,
                rtt_ns: sent.rtt_ns,
                stamp: sent.rtt_ns.map(|_| sent.stamp),
                reason: sent.reason.clone(),
                seq: None,
                ttl: None,
                bytes: None,
                from: None,
                phases: sent.phases.clone(),
            };
            let lag = Event::Lag { send: self.late, receive: None };
            for event in [Event::Due { probe: PROBE, send, at: due }, lag, Event::Settled(settled)]
            {
                ledger.apply(&event, &mut told);
            }
            (0..sent.duplicates)
                .for_each(|_| ledger.apply(&Event::Duplicate { probe: PROBE, send }, &mut told));
            (0..sent.reordered)
                .for_each(|_| ledger.apply(&Event::Reordered { probe: PROBE, send }, &mut told));
            told.clear();
            due = due + self.period;
        }
        ledger.close(at(self.ended));
        ledger.finished().into_iter().flatten().map(|closed| closed.interval).collect()
    }
}
