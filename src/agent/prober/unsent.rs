//! Settles what was not sent.

use crate::measure::event::{Event, Settled};
use crate::measure::outcome::Reason;
use crate::measure::schedule::Turn;

/// Settles a send that never was in the air.
pub(super) fn settle(turn: Turn, reason: Reason, events: &mut Vec<Event>) {
    events.push(Event::Settled(Settled {
        probe: turn.probe,
        send: turn.send,
        outcome: reason.outcome,
        rtt_ns: None,
        stamp: None,
        reason: Some(reason),
        seq: None,
        ttl: None,
        bytes: None,
        from: None,
        phases: Vec::new(),
    }));
}
