//! Pictures of time against latency, for terminals and for pages: the same in, the same out. They
//! know buckets and labels, neither databases nor contracts, and use no floating-point numbers, so
//! that every host draws the same picture.

pub mod axis;
pub mod heat;
pub mod scale;
pub mod smoke;

use crate::base::time::Wall;

/// A stretch of the time axis with a meaning of its own: an outage, or time that is excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Where it begins.
    pub from: Wall,
    /// Where it ends.
    pub to: Wall,
    /// What it is, in a few words.
    pub label: String,
}
