//! What is missing of each chain: a gap is recorded when a later summary comes, and filled when a late one does.

use std::collections::HashMap;

use crate::collector::archive::db::args;
use crate::collector::archive::summaries::{about, asking};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::chain::{ChainId, Dropped, Follows, Gap};
use crate::evidence::key::Kid;

impl Archive {
    /// Enters that these are missing, both ends included.
    pub(super) fn put_gap(&self, agent: Kid, chain: ChainId, from: u64, to: u64) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO gap (agent, chain, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4)";
        self.db.execute(sql, args![&agent, &chain, from, to]).map(drop)
    }

    /// Takes one number out of the gap that it lies in; false where it lies in none.
    pub(super) fn shrink_gap(&self, agent: Kid, chain: ChainId, seq: u64) -> Result<bool, ArchiveError> {
        let sql =
            "SELECT from_seq, to_seq FROM gap WHERE agent = ?1 AND chain = ?2 AND from_seq <= ?3 AND to_seq >= ?3";
        let gap = self.db.one(sql, args![&agent, &chain, seq], |row| Ok((row.get::<u64>(0)?, row.get::<u64>(1)?)))?;
        let Some((from, to)) = gap else { return Ok(false) };
        let sql = "DELETE FROM gap WHERE agent = ?1 AND chain = ?2 AND from_seq = ?3";
        self.db.execute(sql, args![&agent, &chain, from])?;
        if from < seq {
            self.put_gap(agent, chain, from, seq - 1)?;
        }
        if seq < to {
            self.put_gap(agent, chain, seq + 1, to)?;
        }
        Ok(true)
    }

    /// Enters what a chain says that it follows.
    pub(super) fn note_follows(&self, agent: Kid, chain: ChainId, follows: &Follows) -> Result<(), ArchiveError> {
        let sql = "UPDATE chain SET follows_chain = ?3, follows_seq = ?4, follows_digest = ?5
                   WHERE agent = ?1 AND chain = ?2";
        self.db.execute(sql, args![&agent, &chain, &follows.chain, follows.seq, &follows.digest]).map(drop)
    }

    /// Enters what an agent says that it dropped.
    pub(super) fn note_dropped(&self, agent: Kid, dropped: &[Dropped]) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO dropped (agent, chain, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        for Dropped { chain, from_seq, to_seq } in dropped {
            self.db.execute(sql, args![&agent, chain, *from_seq, *to_seq])?;
        }
        Ok(())
    }

    /// What is missing of the chains of one agent or of all, in the order in which the chains were written to.
    pub(super) fn gaps(&self, only: Option<Kid>) -> Result<HashMap<Kid, Vec<(ChainId, Gap)>>, ArchiveError> {
        let sql = asking(
            only,
            "SELECT g.agent, g.chain, g.from_seq, g.to_seq FROM gap g
             JOIN chain c ON c.agent = g.agent AND c.chain = g.chain",
            "g.agent",
            "ORDER BY c.received_ns, g.chain, g.from_seq",
        );
        let mut all: HashMap<Kid, Vec<(ChainId, Gap)>> = HashMap::new();
        self.db.each(&sql, &about(&only), |row| {
            let gap = Gap { from_seq: row.get(2)?, to_seq: row.get(3)? };
            all.entry(row.get(0)?).or_default().push((row.get(1)?, gap));
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }

    /// What one agent or each of them said that it dropped.
    pub(super) fn dropped(&self, only: Option<Kid>) -> Result<HashMap<Kid, Vec<Dropped>>, ArchiveError> {
        let sql = asking(only, "SELECT agent, chain, from_seq, to_seq FROM dropped", "agent", "");
        let mut all: HashMap<Kid, Vec<Dropped>> = HashMap::new();
        self.db.each(&sql, &about(&only), |row| {
            let dropped = Dropped { chain: row.get(1)?, from_seq: row.get(2)?, to_seq: row.get(3)? };
            all.entry(row.get(0)?).or_default().push(dropped);
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }
}
