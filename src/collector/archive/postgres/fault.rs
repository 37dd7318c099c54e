//! Why the server did not answer, as the collector looks at it.

use tokio_postgres::error::SqlState;

use crate::collector::archive::{ArchiveError, Ill};

/// What PostgreSQL, or the way to it, says is wrong.
#[derive(Debug)]
pub struct Fault(pub(super) tokio_postgres::Error);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(said) = self.0.as_db_error() {
            return write!(f, "{} ({})", said.message(), said.code().code());
        }
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(&self.0);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// Why the database cannot be used, by PostgreSQL's error codes (its manual, appendix A).
    pub(in crate::collector::archive) fn ill(&self) -> Ill {
        match self.0.code().map(SqlState::code) {
            Some("XX001" | "XX002") => Ill::Damaged,
            Some("53100") => Ill::Full,
            Some("25006") => Ill::ReadOnly,
            Some("55P03" | "57014") => Ill::Locked,
            _ => Ill::Away,
        }
    }

    /// Whether the server refuses what a row holds, or a row is not as it was written: data
    /// exceptions, integrity, limits of a row (classes 22, 23 and 54 of the standard's and
    /// PostgreSQL's codes), and columns that cannot be read as what they are.
    pub fn is_of_a_row(&self) -> bool {
        match self.0.code() {
            Some(code) => ["22", "23", "54"].iter().any(|class| code.code().starts_with(class)),
            None => {
                !self.0.is_closed()
                    && std::error::Error::source(&self.0)
                        .is_some_and(|source| !source.is::<std::io::Error>())
            }
        }
    }
}

/// Its error in the archive's words.
pub(in crate::collector::archive) fn fault(error: tokio_postgres::Error) -> ArchiveError {
    ArchiveError::Postgres(Fault(error))
}
