//! The stretches of time into which all probes' intervals are cut.

use std::time::Duration;

use crate::base::time::{Mono, Now, Wall};

/// The longest interval.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// What the labels are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    /// They are the wall clock's.
    Known,
    /// They are provisional: the wall clock was not set yet.
    Provisional,
}

/// What lies between two cuts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) number: u64,
    pub(super) labels: Labels,
    pub(super) from: Wall,
    pub(super) begun: Mono,
    /// Where the next cut is due, by the anchor.
    pub(super) ends: Mono,
    /// Cuts are due at the multiples of this; a minute, or what divides it.
    pub(super) every: Duration,
}

impl Stretch {
    pub(super) fn new(
        number: u64,
        labels: Labels,
        every: Duration,
        anchor: Now,
        begun: Mono,
    ) -> Self {
        let from = anchor.wall_of(begun).floor(Duration::from_millis(1));
        let mut stretch = Self { number, labels, from, begun, ends: begun, every };
        stretch.ends = anchor.mono_of(stretch.due_end());
        stretch
    }

    pub(super) fn due_end(&self) -> Wall {
        self.from.floor(self.every) + self.every
    }
}
