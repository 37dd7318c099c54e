//! What a request is answered when it is not done.

use std::time::Duration;

use crate::collector::archive::{ArchiveError, Ill};
use crate::collector::memory_budget::Full;
use crate::collector::writer::NotWritten;
use crate::evidence::problem::{Kind, Problem};

/// When to come again.
const AGAIN: Duration = Duration::from_secs(5);

/// What a request is answered when it is not done.
#[derive(Debug)]
pub struct Fault {
    pub(super) problem: Problem,
    pub(super) retry_after: Option<Duration>,
    /// Why the database could not be used.
    pub(super) ill: Option<Ill>,
}

impl Fault {
    pub(super) fn busy(detail: &str) -> Self {
        Self { problem: Problem::new(Kind::Busy, detail), retry_after: Some(AGAIN), ill: None }
    }

    pub(super) fn of(ill: Ill) -> Self {
        Self { ill: Some(ill), ..Self::busy(ill.word()) }
    }

    /// One agent asks for more than its share, and is to come again in so long.
    pub(super) fn too_much(detail: impl std::fmt::Display, wait: Duration) -> Self {
        Self {
            problem: Problem::new(Kind::Busy, detail).with_status(429),
            retry_after: Some(wait),
            ill: None,
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let retry_after = (problem.kind() == Some(Kind::Busy)).then_some(AGAIN);
        Self { problem, retry_after, ill: None }
    }
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        // The text can hold paths; it is for the log. Whoever asked can only come again.
        tracing::error!("{error}");
        Self::of(error.ill())
    }
}

impl From<Full> for Fault {
    fn from(full: Full) -> Self {
        match full {
            Full::Now => Self::busy("too many requests at once"),
            Full::Ever => Problem::new(
                Kind::TooLarge,
                "it needs more memory than one request gets: send less at once",
            )
            .into(),
        }
    }
}

impl From<NotWritten> for Fault {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Busy => Self::busy("too much waits to be stored"),
            NotWritten::Archive(error) => error.into(),
            NotWritten::Undone(_, ill) => Self::of(ill),
        }
    }
}
