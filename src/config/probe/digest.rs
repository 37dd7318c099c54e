//! The digest of a probe's settings.

use sha2::{Digest, Sha256};

use crate::measure::probe::Probe;

/// The digest of a probe's checked settings: when it changes, another interval begins.
#[must_use]
pub fn settings_digest(probe: &Probe) -> String {
    let hash = Sha256::digest(format!("{probe:?}").as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
