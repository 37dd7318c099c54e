//! What a round did.

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Did {
    /// Summaries folded.
    pub folded: u64,
    /// Services judged.
    pub judged: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}
