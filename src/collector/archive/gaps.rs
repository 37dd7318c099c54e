//! What is missing of each chain: a gap is recorded when a later summary comes, and filled when a late one does.

use rusqlite::{OptionalExtension, params};

use crate::base::time::Wall;
use crate::collector::archive::{Archive, ArchiveError, bytes, number, unsigned};
use crate::evidence::chain::{ChainId, Dropped, Follows, Gap};
use crate::evidence::key::Kid;

impl Archive {
    /// Enters that a summary of this number arrived: a new gap before it, or less of one that it lay in.
    pub(super) fn note_number(
        &self,
        agent: Kid,
        chain: ChainId,
        seq: u64,
        follows: Option<&Follows>,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        let (agent, chain, seq) = (agent.bytes(), chain.bytes(), number(seq));
        let last: Option<i64> = self
            .db
            .prepare_cached("SELECT last_seq FROM chain WHERE agent = ?1 AND chain = ?2")?
            .query_row(params![agent, chain], |row| row.get(0))
            .optional()?;
        let expected = last.map_or(0, |last| last + 1);
        if seq >= expected {
            if seq > expected {
                self.put_gap(agent, chain, expected, seq - 1)?;
            }
            self.db
                .prepare_cached(
                    "INSERT INTO chain (agent, chain, last_seq, received_ns) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET last_seq = excluded.last_seq, received_ns = excluded.received_ns",
                )?
                .execute(params![agent, chain, seq, now.nanos()])?;
        } else {
            self.shrink_gap(agent, chain, seq)?;
        }
        if let Some(follows) = follows {
            self.db.execute(
                "UPDATE chain SET follows_chain = ?3, follows_seq = ?4, follows_digest = ?5 WHERE agent = ?1 AND chain = ?2",
                params![agent, chain, follows.chain.bytes(), number(follows.seq), follows.digest.bytes()],
            )?;
        }
        Ok(())
    }

    fn put_gap(&self, agent: &[u8; 32], chain: &[u8; 16], from: i64, to: i64) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO gap (agent, chain, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4)";
        self.db.execute(sql, params![agent, chain, from, to])?;
        Ok(())
    }

    /// Takes one number out of the gap that it lies in.
    fn shrink_gap(&self, agent: &[u8; 32], chain: &[u8; 16], seq: i64) -> Result<(), ArchiveError> {
        let sql =
            "SELECT from_seq, to_seq FROM gap WHERE agent = ?1 AND chain = ?2 AND from_seq <= ?3 AND to_seq >= ?3";
        let gap: Option<(i64, i64)> =
            self.db.query_row(sql, params![agent, chain, seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((from, to)) = gap else { return Ok(()) };
        let sql = "DELETE FROM gap WHERE agent = ?1 AND chain = ?2 AND from_seq = ?3";
        self.db.execute(sql, params![agent, chain, from])?;
        if from < seq {
            self.put_gap(agent, chain, from, seq - 1)?;
        }
        if seq < to {
            self.put_gap(agent, chain, seq + 1, to)?;
        }
        Ok(())
    }

    /// Enters what an agent says that it dropped.
    pub(super) fn note_dropped(&self, agent: Kid, dropped: &[Dropped]) -> Result<(), ArchiveError> {
        for Dropped { chain, from_seq, to_seq } in dropped {
            self.db.execute(
                "INSERT INTO dropped (agent, chain, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![agent.bytes(), chain.bytes(), number(*from_seq), number(*to_seq)],
            )?;
        }
        Ok(())
    }

    /// What is missing of an agent's chains, in the order in which the chains were written to.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn gaps(&self, agent: Kid) -> Result<Vec<(ChainId, Gap)>, ArchiveError> {
        let sql =
            "SELECT g.chain, g.from_seq, g.to_seq FROM gap g JOIN chain c ON c.agent = g.agent AND c.chain = g.chain
                   WHERE g.agent = ?1 ORDER BY c.received_ns, g.chain, g.from_seq";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params![agent.bytes()])?;
        let mut gaps = Vec::new();
        while let Some(row) = rows.next()? {
            let chain = ChainId::from_bytes(bytes(&row.get::<_, Vec<u8>>(0)?)?);
            gaps.push((chain, Gap { from_seq: unsigned(row, 1)?, to_seq: unsigned(row, 2)? }));
        }
        Ok(gaps)
    }

    /// What an agent said that it dropped.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn dropped(&self, agent: Kid) -> Result<Vec<Dropped>, ArchiveError> {
        let mut statement = self.db.prepare_cached("SELECT chain, from_seq, to_seq FROM dropped WHERE agent = ?1")?;
        let mut rows = statement.query(params![agent.bytes()])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let chain = ChainId::from_bytes(bytes(&row.get::<_, Vec<u8>>(0)?)?);
            all.push(Dropped { chain, from_seq: unsigned(row, 1)?, to_seq: unsigned(row, 2)? });
        }
        Ok(all)
    }
}
