//! One send, from when it was due until it is forgotten.

use std::net::IpAddr;

use crate::base::time::Mono;
use crate::measure::event::{ProbeId, Settled};
use crate::measure::outcome::Reason;
use crate::measure::rtt::{Moment, Wait};

use super::{Departure, Doubt};

/// A send. It is small, since each probe has room for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Send {
    pub(super) number: u64,
    pub(super) sent: Mono,
    /// The kernel's transmit stamp, where it gave one.
    pub(super) tx: Mono,
    sent_era: u32,
    tx_era: u32,
    pub(super) seq: u16,
    pub(super) state: State,
    pub(super) departure: Departure,
    pub(super) doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Answered,
    Closed,
}

impl Send {
    pub(super) const fn new(
        number: u64,
        seq: u16,
        Moment { at: sent, era: sent_era }: Moment,
    ) -> Self {
        let (tx, tx_era, departure) = (sent, sent_era, Departure::Unseen);
        Self { number, sent, tx, sent_era, tx_era, seq, state: State::Open, departure, doubt: None }
    }

    /// The first transmit stamp counts.
    pub(super) fn departed(&mut self, tx: Moment) {
        if self.departure == Departure::Unseen {
            (self.tx, self.tx_era, self.departure) = (tx.at, tx.era, Departure::Seen);
        }
    }

    /// The wait for an answer that was received at `rx` and read at `seen`.
    pub(super) fn wait(&self, rx: Option<Moment>, seen: Moment) -> Wait {
        let sent = Moment { at: self.sent, era: self.sent_era };
        let tx =
            (self.departure == Departure::Seen).then_some(Moment { at: self.tx, era: self.tx_era });
        Wait { sent, tx, rx, seen }
    }

    /// This send, settled without an answer.
    pub(super) fn closed(&self, probe: ProbeId, reason: Reason, from: Option<IpAddr>) -> Settled {
        Settled {
            probe,
            send: self.number,
            outcome: reason.outcome,
            rtt_ns: None,
            stamp: None,
            reason: Some(reason),
            seq: Some(self.seq),
            ttl: None,
            bytes: None,
            from,
            phases: Vec::new(),
        }
    }
}
