//! What operators did: who, when, by which way, with what. An entry is written in the transaction
//! of what it tells of, and never changed; its time and its actor are the collector's own word,
//! never a request's.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::db::Row;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};

/// How an operator came to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// By a command on a host that has the collector's configuration; who it was is that user's
    /// name.
    Command,
    /// By the API; who it was is the token's name.
    Api,
}

impl Via {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Api => "api",
        }
    }
}

/// Something that an operator did.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Audited {
    /// Its number: a later one is higher, and some may be missing.
    pub n: u64,
    /// When it was done, by the collector's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Wall,
    /// Who did it: the token's name, or the user of the command.
    pub who: String,
    /// By the API or by a command.
    pub via: Via,
    /// What was done: `agent.approve`, `token.make`, `claim.submit`, …
    pub action: String,
    /// With what: an agent, a token, a contract's version, a claim.
    pub subject: String,
    /// What there is to say beyond that; what a request said of itself is under `said`.
    #[schema(value_type = Object)]
    pub detail: Map<String, Value>,
}

impl Archive {
    /// Writes down what an operator does, within the transaction that does it. Its number is given
    /// here.
    ///
    /// # Errors
    /// When the database fails.
    pub fn write_down(&self, done: &Audited) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO audit (at_ns, who, via, action, subject, detail) VALUES (?1, ?2, \
            ?3, ?4, ?5, ?6)";
        let detail = serde_json::to_string(&done.detail).expect("a JSON object can be written");
        self.db
            .execute(
                sql,
                args![done.at, &done.who, done.via.word(), &done.action, &done.subject, &detail],
            )
            .map(drop)
    }

    /// What was done, the last first: at most `limit`, before the entry of a number where one is
    /// given.
    ///
    /// # Errors
    /// When the database fails, or an entry is not as it was written.
    pub fn audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<Audited>, ArchiveError> {
        let sql = "SELECT n, at_ns, who, via, action, subject, detail FROM audit WHERE n < ?1 \
            ORDER BY n DESC LIMIT ?2";
        self.db.all(sql, args![before.unwrap_or(u64::MAX), limit], audited)
    }
}

fn audited(row: &Row<'_>) -> Result<Audited, ArchiveError> {
    let (via, detail): (String, String) = (row.get(3)?, row.get(6)?);
    let damaged = |what: String| ArchiveError::Damaged(format!("an entry of the audit: {what}"));
    let via = [Via::Command, Via::Api].into_iter().find(|each| each.word() == via);
    Ok(Audited {
        n: row.get(0)?,
        at: row.get(1)?,
        who: row.get(2)?,
        via: via.ok_or_else(|| damaged("nobody knows its way".to_owned()))?,
        action: row.get(4)?,
        subject: row.get(5)?,
        detail: serde_json::from_str(&detail).map_err(|error| damaged(error.to_string()))?,
    })
}
