//! What a prober needs of the world around it, and how closely it watches.

use std::time::Duration;

use crate::base::time::{Clock, SystemClock};
use crate::net::icmp::{Best, Engine};
use crate::net::resolve::Resolver;

/// How soon what has come in is looked at. It changes no figure: the kernel's stamps do not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pace {
    /// For an agent: in batches, with as few wake-ups as can be.
    #[default]
    Thrifty,
    /// For somebody who watches: within some milliseconds.
    Prompt,
}

impl Pace {
    /// The first and the longest pause between two looks at what has come in.
    pub(super) const fn listening(self) -> (Duration, Duration) {
        match self {
            Self::Thrifty => (Duration::from_millis(100), Duration::from_millis(100)),
            Self::Prompt => (Duration::from_millis(1), Duration::from_millis(20)),
        }
    }

    /// The shortest and the longest time over which sends are gathered, unless they are very many.
    pub(super) const fn gathering(self) -> (Duration, Duration) {
        match self {
            Self::Thrifty => (Duration::from_millis(20), Duration::from_millis(100)),
            Self::Prompt => (Duration::from_millis(1), Duration::from_millis(5)),
        }
    }

    /// Deadlines are kept to a grid of this.
    pub(super) const fn grid(self) -> Duration {
        match self {
            Self::Thrifty => Duration::from_millis(50),
            Self::Prompt => Duration::from_millis(1),
        }
    }
}

/// What a prober needs of the world.
pub struct World {
    /// Opens ICMP ports.
    pub engine: Box<dyn Engine>,
    /// Resolves names.
    pub resolver: Resolver,
    /// Tells the time.
    pub clock: Box<dyn Clock>,
    /// How soon what has come in is looked at.
    pub pace: Pace,
}

impl World {
    /// This host: its best engine, its name servers, its clocks.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn system(pace: Pace) -> Self {
        Self {
            engine: Box::new(Best::default()),
            resolver: Resolver::system(),
            clock: Box::new(SystemClock),
            pace,
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("pace", &self.pace).finish_non_exhaustive()
    }
}
