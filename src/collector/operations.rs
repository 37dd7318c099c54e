//! What operators do: contracts, facts, claims, labels. The commands and the API do the same by the
//! same functions; who may, they have found out before.

use serde_json::{Map, Value};

use crate::base::time::Wall;
use crate::collector::archive::audit::{Audited, Via};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::problem::{Kind as ProblemKind, Problem};

pub mod agreements;
pub mod claims;
pub mod duties;
pub mod facts;
pub mod invoices;
pub mod labels;
pub mod lapses;
pub mod late;
mod logs;
pub mod months;
pub mod pending;
pub mod rights;
pub mod rulings;
pub mod sites;
pub mod tokens;

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The database.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It does not go together with what is there.
    #[error("{0}")]
    Conflict(String),
    /// It is not of its form, or has faults: all of them.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl DeskError {
    /// What is not done for another reason than the database's, as a problem; the database's faults
    /// stay what they are.
    ///
    /// # Errors
    /// The database's.
    pub fn problem(self) -> Result<Problem, ArchiveError> {
        Ok(match self {
            Self::Archive(error) => return Err(error),
            Self::NotFound(what) => Problem::new(ProblemKind::NotFound, what),
            Self::Conflict(what) => Problem::new(ProblemKind::Conflict, what),
            Self::Invalid(all) => Problem::new(ProblemKind::Invalid, all.join("\n")),
        })
    }
}

/// Who does something, by which way, and when: by the collector's own knowledge, not by what is
/// asked.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who: the token's name, or the user of the command.
    pub who: String,
    /// By which way.
    pub via: Via,
    /// When it is recorded.
    pub now: Wall,
}

impl Actor {
    /// Writes down what it does, in the transaction that does it, and tells it in the log. `detail`
    /// is a JSON object, or null where there is no more to say.
    ///
    /// # Errors
    /// When the database fails.
    pub fn did(
        &self,
        archive: &Archive,
        action: &str,
        subject: &str,
        detail: Value,
    ) -> Result<(), ArchiveError> {
        tracing::info!(
            action,
            subject,
            who = self.who,
            via = self.via.word(),
            %detail,
            "an operator did something"
        );
        let detail = match detail {
            Value::Object(detail) => detail,
            Value::Null => Map::new(),
            other => Map::from_iter([("is".to_owned(), other)]),
        };
        archive.write_down(&Audited {
            n: 0,
            at: self.now,
            who: self.who.clone(),
            via: self.via,
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        })
    }
}

/// Whether texts are no longer than they may be, in characters, and hold no control characters;
/// what is not, is a fault.
///
/// # Errors
/// All that are not.
pub fn check_texts(all: &[(&str, Option<&str>, usize)]) -> Result<(), DeskError> {
    let wrong = |(name, text, most): &(&str, Option<&str>, usize)| {
        let text = text.as_ref()?;
        let sound = text.chars().count() <= *most && !text.chars().any(char::is_control);
        (!sound).then(|| {
            format!("{name}: expected at most {most} characters, none of them a control character")
        })
    };
    let faults: Vec<String> = all.iter().filter_map(wrong).collect();
    if faults.is_empty() { Ok(()) } else { Err(DeskError::Invalid(faults)) }
}

/// An identifier made of parts: a `/` within one is written otherwise, so that the parts stay
/// apart.
#[must_use]
pub fn key(parts: &[&str]) -> String {
    parts
        .iter()
        .map(|part| part.replace('%', "%25").replace('/', "%2F"))
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_identifier_stay_apart() {
        assert_eq!(key(&["a/b", "c"]), "a%2Fb/c");
        assert_ne!(key(&["a/b", "c"]), key(&["a", "b/c"]));
        assert_ne!(key(&["a%2Fb"]), key(&["a/b"]));
    }
}
