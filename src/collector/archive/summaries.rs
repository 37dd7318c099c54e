//! Summaries and their receipts: what is stored of each agent, and the agents with what came of them.

use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::archive::agents::Standing;
use crate::collector::archive::db::{Row, args};
use crate::collector::archive::{Archive, ArchiveError, packed};
use crate::evidence::chain::{ChainId, Gap};
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
    pub standing: Standing,
    /// When it was enrolled.
    pub enrolled: Wall,
    /// The last summary that was received.
    pub last: Option<Last>,
    /// How long the spans of its last summaries are, at most.
    pub span: Duration,
    /// What is missing, and whether the agent said that it dropped it.
    pub gaps: Vec<(ChainId, Gap, bool)>,
    /// How many summaries did not fit into their chain.
    pub conflicts: u64,
    /// Its public keys, the first one first.
    pub keys: Vec<PublicKey>,
}

impl AgentRow {
    /// Whether it may ship.
    #[must_use]
    pub fn may_ship(&self) -> bool {
        self.standing == Standing::Approved
    }
}

impl Archive {
    /// Every agent with what came of it, by site.
    ///
    /// # Errors
    /// When the database fails.
    pub fn agents(&self) -> Result<Vec<AgentRow>, ArchiveError> {
        let sql = "SELECT agent, enrolled_ns FROM agent ORDER BY site, enrolled_ns, agent";
        let agents = self.db.all(sql, args![], |row| Ok((row.get::<Kid>(0)?, row.get::<Wall>(1)?)))?;
        let mut all = Vec::new();
        for (agent, enrolled) in agents {
            // An agent's first key is never deleted, so what it enrolled with is still there.
            let Some(known) = self.key(agent)? else { continue };
            let last = self.last(agent)?;
            let (gaps, dropped) = (self.gaps(agent)?, self.dropped(agent)?);
            let told = |(chain, gap): (ChainId, Gap)| (chain, gap, gap.is_told(chain, &dropped));
            all.push(AgentRow {
                agent,
                site: known.site,
                standing: known.standing,
                enrolled,
                last: last.map(|(last, _)| last),
                span: last.map_or(Duration::ZERO, |(_, span)| span),
                gaps: gaps.into_iter().map(told).collect(),
                conflicts: self.conflicts(agent)?,
                keys: self.keys_of(agent)?,
            });
        }
        Ok(all)
    }

    /// Whether these very bytes are stored already.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has(&self, of: &Subject) -> Result<bool, ArchiveError> {
        let sql = "SELECT digest FROM summary WHERE agent = ?1 AND chain = ?2 AND seq = ?3";
        let digest = self.db.one(sql, args![&of.agent, &of.chain, of.seq], |row| row.get::<Digest>(0))?;
        Ok(digest == Some(of.digest))
    }

    /// How many summaries of an agent were kept aside.
    pub(super) fn conflicts(&self, agent: Kid) -> Result<u64, ArchiveError> {
        let sql = "SELECT count(*) FROM conflict WHERE agent = ?1";
        Ok(self.db.one(sql, args![&agent], |row| row.get(0))?.unwrap_or(0))
    }

    /// The last summary of the chain that was written to last, and how long that chain's spans are.
    fn last(&self, agent: Kid) -> Result<Option<(Last, Duration)>, ArchiveError> {
        let sql = "SELECT chain, last_seq, received_ns, span_ns FROM chain WHERE agent = ?1
                   ORDER BY received_ns DESC LIMIT 1";
        self.db.one(sql, args![&agent], |row| {
            let last = Last { chain: row.get(0)?, seq: row.get(1)?, received: row.get(2)? };
            Ok((last, Duration::from_nanos(row.get(3)?)))
        })
    }

    /// Gives every summary that is stored to `take`, by agent, chain and number.
    ///
    /// # Errors
    /// When the database fails, or what `take` returns.
    pub fn each_summary<E: From<ArchiveError>>(&self, mut take: impl FnMut(Stored) -> Result<(), E>) -> Result<(), E> {
        let sql = "SELECT agent, chain, seq, digest, jws, receipt FROM summary ORDER BY agent, chain, seq";
        self.db.each(sql, args![], |row| take(stored(row)?))
    }
}

fn stored(row: &Row<'_>) -> Result<Stored, ArchiveError> {
    let subject = Subject { agent: row.get(0)?, chain: row.get(1)?, seq: row.get(2)?, digest: row.get(3)? };
    Ok(Stored { subject, jws: packed::unpack(row.get(4)?)?, receipt: row.get(5)? })
}
