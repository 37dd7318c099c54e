//! Summaries and their receipts: what is stored of each agent, and the agents with what came of
//! them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::archive::agents::AgentStatus;
use crate::collector::archive::db::Row;
use crate::collector::archive::gaps::Missing;
use crate::collector::archive::query::{about, asking};
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError, packed};
use crate::evidence::bundle::Numbers;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::receipt::Subject;

/// A summary that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whose, which chain, which number, which digest.
    pub subject: Subject,
    /// The compact JWS.
    pub jws: String,
    /// The receipt.
    pub receipt: String,
}

/// The last summary of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// When it was received.
    pub received: Wall,
}

/// An agent, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// The agent.
    pub agent: Kid,
    /// Its site.
    pub site: String,
    /// Whether it may ship.
    pub standing: AgentStatus,
    /// When it was enrolled.
    pub enrolled: Wall,
    /// The network that it last asked to be enrolled from, where that was written down.
    pub asked_from: Option<String>,
    /// The last summary that was received.
    pub last: Option<Last>,
    /// How long the spans of its last summaries are, at most.
    pub span: Duration,
    /// What is missing.
    pub missing: Missing,
    /// How many summaries did not fit into their chain.
    pub conflicts: u64,
    /// Its public keys, the first one first.
    pub keys: Vec<PublicKey>,
}

impl AgentRow {
    /// Whether it may ship.
    #[must_use]
    pub fn may_ship(&self) -> bool {
        self.standing == AgentStatus::Approved
    }
}

impl Archive {
    /// Every agent with what came of it, by site.
    ///
    /// # Errors
    /// When the database fails.
    pub fn agents(&self) -> Result<Vec<AgentRow>, ArchiveError> {
        let keys = self.keys(None)?;
        self.rows(None, keys)
    }

    /// As [`Self::agents`], so many of those after one, where it is among them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn some_agents(
        &self,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<Vec<AgentRow>, ArchiveError> {
        let mut rows = self.rows(None, HashMap::new())?;
        let from = match after {
            Some(after) => rows
                .iter()
                .position(|row| row.agent.to_string() == after)
                .map_or(rows.len(), |at| at + 1),
            None => 0,
        };
        rows.drain(..from);
        rows.truncate(at_most);
        let wanted: HashSet<Kid> = rows.iter().map(|row| row.agent).collect();
        let mut keys = self.keys_if(None, |agent| wanted.contains(agent))?;
        for row in &mut rows {
            row.keys = keys.remove(&row.agent).unwrap_or_default();
        }
        Ok(rows)
    }

    /// One agent with what came of it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn agent(&self, agent: Kid) -> Result<Option<AgentRow>, ArchiveError> {
        let keys = self.keys(Some(agent))?;
        Ok(self.rows(Some(agent), keys)?.pop())
    }

    /// A query for each table, however many agents there are.
    fn rows(
        &self,
        only: Option<Kid>,
        mut keys: HashMap<Kid, Vec<PublicKey>>,
    ) -> Result<Vec<AgentRow>, ArchiveError> {
        let mut last = self.last(only)?;
        let mut missing = self.gaps(only)?;
        let mut conflicts = self.counted_conflicts(only)?;
        let sql = asking(
            only,
            "SELECT agent, site, state, enrolled_ns, asked_from FROM agent",
            "agent",
            "ORDER BY site, enrolled_ns, agent",
        );
        self.db.all(&sql, &about(&only), |row| {
            let agent = row.get(0)?;
            let last = last.remove(&agent);
            Ok(AgentRow {
                agent,
                site: row.get(1)?,
                standing: AgentStatus::of(&row.get::<String>(2)?)?,
                enrolled: row.get(3)?,
                asked_from: row.get(4)?,
                last: last.map(|(last, _)| last),
                span: last.map_or(Duration::ZERO, |(_, span)| span),
                missing: missing.remove(&agent).unwrap_or_default(),
                conflicts: conflicts.remove(&agent).unwrap_or(0),
                keys: keys.remove(&agent).unwrap_or_default(),
            })
        })
    }

    /// Those of some numbers that are stored, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn stored(&self, of: &Numbers) -> Result<Vec<Stored>, ArchiveError> {
        let sql = "SELECT agent, chain, seq, digest, jws, receipt FROM summary
                   WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4 ORDER BY seq";
        self.db.all(sql, args![&of.agent, &of.chain, of.from_seq, of.to_seq], stored)
    }

    /// How many of some numbers are stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_stored(&self, of: &Numbers) -> Result<u64, ArchiveError> {
        let sql = "SELECT count(*) FROM summary WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND \
            seq <= ?4";
        Ok(self
            .db
            .one(sql, args![&of.agent, &of.chain, of.from_seq, of.to_seq], |row| row.get(0))?
            .unwrap_or(0))
    }

    /// The summaries of an agent that named its next keys, as far as they are stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn namings(&self, agent: Kid) -> Result<Vec<Stored>, ArchiveError> {
        let sql = "SELECT s.agent, s.chain, s.seq, s.digest, s.jws, s.receipt
                   FROM agent_key k JOIN summary s ON s.agent = k.agent AND s.chain = \
            k.last_chain AND s.seq = k.last_seq
                   WHERE k.agent = ?1 ORDER BY k.place";
        self.db.all(sql, args![&agent], stored)
    }

    /// Whether these very bytes are stored already.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has(&self, of: &Subject) -> Result<bool, ArchiveError> {
        let sql = "SELECT digest FROM summary WHERE agent = ?1 AND chain = ?2 AND seq = ?3";
        let digest =
            self.db.one(sql, args![&of.agent, &of.chain, of.seq], |row| row.get::<Digest>(0))?;
        Ok(digest == Some(of.digest))
    }

    /// How many summaries of an agent were kept aside.
    pub(super) fn conflicts(&self, agent: Kid) -> Result<u64, ArchiveError> {
        Ok(self.counted_conflicts(Some(agent))?.remove(&agent).unwrap_or(0))
    }

    /// How many summaries of each agent were kept aside.
    fn counted_conflicts(&self, only: Option<Kid>) -> Result<HashMap<Kid, u64>, ArchiveError> {
        let sql = asking(only, "SELECT agent, count(*) FROM conflict", "agent", "GROUP BY agent");
        Ok(self
            .db
            .all(&sql, &about(&only), |row| Ok((row.get(0)?, row.get(1)?)))?
            .into_iter()
            .collect())
    }

    /// The last summary of the chain of each agent that was written to last, and how long that
    /// chain's spans are.
    fn last(&self, only: Option<Kid>) -> Result<HashMap<Kid, (Last, Duration)>, ArchiveError> {
        let sql = asking(
            only,
            "SELECT agent, chain, last_seq, received_ns, span_ns FROM chain",
            "agent",
            "",
        );
        let mut all: HashMap<Kid, (Last, Duration)> = HashMap::new();
        self.db.each(&sql, &about(&only), |row| {
            let last = Last { chain: row.get(1)?, seq: row.get(2)?, received: row.get(3)? };
            let found = (last, Duration::from_nanos(row.get(4)?));
            let known = all.entry(row.get(0)?).or_insert(found);
            if known.0.received < last.received {
                *known = found;
            }
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }

    /// Gives every summary that is stored to `take`, by agent, chain and number.
    ///
    /// # Errors
    /// When the database fails, or what `take` returns.
    pub fn each_summary<E: From<ArchiveError>>(
        &self,
        mut take: impl FnMut(Stored) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT agent, chain, seq, digest, jws, receipt FROM summary ORDER BY agent, \
            chain, seq";
        self.db.each(sql, args![], |row| take(stored(row)?))
    }
}

fn stored(row: &Row<'_>) -> Result<Stored, ArchiveError> {
    let subject =
        Subject { agent: row.get(0)?, chain: row.get(1)?, seq: row.get(2)?, digest: row.get(3)? };
    Ok(Stored { subject, jws: packed::unpack(row.get(4)?)?, receipt: row.get(5)? })
}
