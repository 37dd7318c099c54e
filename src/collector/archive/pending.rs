//! Agents that wait for an operator: how many there may be, for each network that they ask from and
//! in all, and for how long.

use crate::base::time::Wall;
use crate::collector::archive::agents::AgentStatus;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::key::Kid;

/// An agent that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The agent.
    pub agent: Kid,
    /// The site that it says it is at.
    pub site: String,
    /// The network that it asked from; absent where it asked before that was written down.
    pub from: Option<String>,
    /// When it asked last.
    pub asked: Wall,
}

impl Archive {
    /// The agents that wait, who asked last at the end.
    ///
    /// # Errors
    /// When the database fails.
    pub fn waiting(&self) -> Result<Vec<Pending>, ArchiveError> {
        let sql = "SELECT agent, site, asked_from, asked_ns FROM agent WHERE state = 'pending' \
            ORDER BY asked_ns, agent";
        self.db.all(sql, args![], |row| {
            Ok(Pending {
                agent: row.get(0)?,
                site: row.get(1)?,
                from: row.get(2)?,
                asked: row.get(3)?,
            })
        })
    }

    /// How many agents wait, of one network where it is given.
    ///
    /// # Errors
    /// When the database fails.
    pub fn pending(&self, from: Option<&str>) -> Result<u64, ArchiveError> {
        let count = match from {
            None => {
                self.db.one("SELECT count(*) FROM agent WHERE state = 'pending'", args![], |row| {
                    row.get(0)
                })
            }
            Some(from) => {
                let sql = "SELECT count(*) FROM agent WHERE state = 'pending' AND asked_from = ?1";
                self.db.one(sql, args![from], |row| row.get(0))
            }
        };
        Ok(count?.unwrap_or(0))
    }

    /// The agent that waits and asked longest ago, of one network where it is given.
    ///
    /// # Errors
    /// When the database fails.
    pub fn longest_waiting(&self, from: Option<&str>) -> Result<Option<Kid>, ArchiveError> {
        match from {
            None => {
                let sql = "SELECT agent FROM agent WHERE state = 'pending' ORDER BY asked_ns, \
                    agent LIMIT 1";
                self.db.one(sql, args![], |row| row.get(0))
            }
            Some(from) => {
                let sql = "SELECT agent FROM agent WHERE state = 'pending' AND asked_from = ?1
                           ORDER BY asked_ns, agent LIMIT 1";
                self.db.one(sql, args![from], |row| row.get(0))
            }
        }
    }

    /// Writes down that an agent asked to be enrolled, and from where.
    ///
    /// # Errors
    /// When the database fails.
    pub fn asked(&self, agent: Kid, from: &str, now: Wall) -> Result<(), ArchiveError> {
        let sql = "UPDATE agent SET asked_from = ?2, asked_ns = ?3 WHERE agent = ?1";
        self.db.execute(sql, args![&agent, from, now]).map(drop)
    }

    /// Forgets an agent that waits, as if it had never asked; false where it does not wait. Nothing
    /// is stored of it: what it ships is refused while it waits.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_pending(&self, agent: Kid) -> Result<bool, ArchiveError> {
        let sql = "DELETE FROM agent WHERE agent = ?1 AND state = ?2";
        if self.db.execute(sql, args![&agent, AgentStatus::Pending.word()])? == 0 {
            return Ok(false);
        }
        self.db.execute("DELETE FROM agent_key WHERE agent = ?1", args![&agent])?;
        self.db.execute("DELETE FROM agent_site WHERE agent = ?1", args![&agent])?;
        self.drop_record(Kind::Labels, &agent.to_string())?;
        Ok(true)
    }

    /// The agents that wait and did not ask since an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub fn given_up(&self, since: Wall) -> Result<Vec<Kid>, ArchiveError> {
        let sql = "SELECT agent FROM agent WHERE state = 'pending' AND asked_ns < ?1";
        self.db.all(sql, args![since], |row| row.get(0))
    }
}
