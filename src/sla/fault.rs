//! What is wrong with a contract or with facts, and where.

use std::fmt;

/// One fault of a file: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// The place in it, such as `objective "avail": outage.misses`; empty when it is the whole
    /// file.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Fault {
    /// A fault of a file at a place.
    #[must_use]
    pub fn new(file: &str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => write!(f, "{}: {}", self.file, self.what),
            false => write!(f, "{}: {}: {}", self.file, self.place, self.what),
        }
    }
}

impl std::error::Error for Fault {}
