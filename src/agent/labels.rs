//! Wall times that are provisional until the clock is set.

use tracing::{info, warn};

use crate::agent::clock_trust::End;
use crate::agent::clock_trust::Labels;
use crate::agent::recorder::{Label, Why};
use crate::agent::summariser::SpanState;
use crate::base::time::{Now, Wall};
use crate::evidence::summary::Clock as ClockPart;
use crate::measure::clock_state::ClockState;
use crate::net::clock::{ClockDiscipline, health};

use super::Session;

pub(super) const fn clock_state(discipline: ClockDiscipline) -> ClockState {
    match discipline {
        ClockDiscipline::Synchronised => ClockState::Synchronised,
        ClockDiscipline::Unsynchronised => ClockState::Unsynchronised,
        ClockDiscipline::Unknown => ClockState::Unknown,
    }
}

pub(super) fn clock_word(discipline: ClockDiscipline) -> &'static str {
    match discipline {
        ClockDiscipline::Synchronised => "synchronised",
        ClockDiscipline::Unsynchronised => "unsynchronised",
        ClockDiscipline::Unknown => "unknown",
    }
}

impl Session {
    /// Labels hold from this reading on, where they were provisional: what had them is moved to
    /// where it was.
    pub(super) fn rely_on_clock(&mut self, reading: Now, before: Wall, end: End) {
        let by_ns = reading.wall.nanos_since(before);
        match end {
            End::Set => {
                info!(
                    by_ms = by_ns / 1_000_000,
                    "the clock was set: what was measured before is labelled by it"
                )
            }
            End::GivenUp => {
                warn!("nothing set the clock: what was measured is labelled by the clock as it is")
            }
        }
        self.ledger.label_by(reading);
        self.outages.shift(by_ns);
        self.links.shift(by_ns);
        self.recorder.end_doubt(by_ns, before);
        self.summarised = reading.wall;
        self.anchor = Some((reading, if end == End::Set { Why::Set } else { Why::GivenUp }));
        // Another day may have other versions of contracts.
        self.contracts.notify_one();
    }

    /// Whether labels are the clock's.
    pub(super) const fn labels(&self) -> Labels {
        if self.clock_trust.is_doubted() { Labels::Provisional } else { Labels::Known }
    }

    /// Has what is held of a boot labelled.
    pub(super) fn label(&self, boot: String, anchor: Now, why: Why) {
        let state = match why {
            Why::OtherBoot => ClockState::Unsynchronised,
            Why::Set | Why::GivenUp => clock_state(health().discipline),
        };
        let span = SpanState {
            until: self.clock_trust.now().wall,
            clock: ClockPart { state, max_error_us: None, steps: Vec::new() },
            contracts: self.terms.references(),
            link: Vec::new(),
            judged: Vec::new(),
            own_lag_us: None,
        };
        self.recorder.label(Label { boot, anchor, why, span });
    }
}
