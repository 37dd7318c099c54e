//! What the ledger tells of each send, in the order of the sends.

use crate::base::time::Wall;
use crate::measure::event::ProbeId;
use crate::measure::outcome::{Outcome, Reason};

/// One send's outcome, told in the order of the sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledSend {
    /// Which probe.
    pub probe: ProbeId,
    /// When it was due.
    pub due: Wall,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it was not sent for want of a carrier.
    pub carrier: CarrierLoss,
    /// Whether the target itself refused it.
    pub word: TargetWord,
    /// Why it was not answered.
    pub reason: Option<Reason>,
}

/// Whether a send failed for want of a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarrierLoss {
    /// The interface had no carrier.
    Yes,
    /// It had one, or it is not known.
    No,
}

/// Whether a send that was refused was refused by the target itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetWord {
    /// It was: packets went there and back.
    Given,
    /// It was not refused, or by somebody on the way.
    None,
}
