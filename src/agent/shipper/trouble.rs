//! Why a round of shipping failed.

use std::time::Duration;

use super::{OutboxFault, SLOWLY, client};

/// Why a round did not work.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) at_least: Duration,
    pub(super) reenrol: bool,
}

impl Trouble {
    pub(super) fn new(what: String) -> Self {
        Self { what, at_least: Duration::ZERO, reenrol: false }
    }

    pub(super) fn slow(what: String) -> Self {
        Self { at_least: SLOWLY, ..Self::new(what) }
    }
}

impl From<OutboxFault> for Trouble {
    fn from(fault: OutboxFault) -> Self {
        Self::new(fault.to_string())
    }
}

impl From<client::Unanswered> for Trouble {
    fn from(fault: client::Unanswered) -> Self {
        Self { at_least: fault.retry_after.unwrap_or_default(), ..Self::new(fault.what) }
    }
}
