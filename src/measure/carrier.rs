//! Whether an interface has a carrier.

use serde::{Deserialize, Serialize};

/// Whether an interface has a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// It has.
    Up,
    /// It has not.
    Down,
    /// The system does not say.
    Unknown,
}
