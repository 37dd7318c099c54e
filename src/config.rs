//! The configuration files: the TOML as written, and the checked form that the programs rely on.
//!
//! All faults of a file are reported together, each with the file, the place, and what would be
//! right.

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "collector")]
pub mod collector;
pub mod contracts;
#[cfg(feature = "agent")]
pub mod probe;
#[cfg(any(feature = "agent", feature = "collector"))]
pub mod secret;
pub mod written;
