//! What the rounds work off beside what comes in order: numbers that came late, into a gap that was there, and summaries that
//! cannot be worked with and are left out.

use crate::base::time::Wall;
use crate::collector::archive::db::{Row, args};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;

/// A stored summary that counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Whose.
    pub agent: Kid,
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// Why.
    pub why: String,
    /// Since when it is left out.
    pub since: Wall,
}

impl Archive {
    /// Enters that a number came that was missing, for the rounds to look at.
    pub(super) fn note_late(&self, agent: Kid, chain: ChainId, seq: u64) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO late (agent, chain, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.db.execute(sql, args![&agent, &chain, seq]).map(drop)
    }

    /// Lets the rounds look at a number of a chain once more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn look_at(&self, of: (Kid, ChainId), seq: u64) -> Result<(), ArchiveError> {
        self.note_late(of.0, of.1, seq)
    }

    /// Numbers of a chain that came late and were not looked at yet, of those in a range, the lowest first; both ends included.
    ///
    /// # Errors
    /// When the database fails.
    pub fn late(&self, of: (Kid, ChainId), range: (u64, u64), at_most: u32) -> Result<Vec<u64>, ArchiveError> {
        let sql =
            "SELECT seq FROM late WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4 ORDER BY seq LIMIT ?5";
        self.db.all(sql, args![&of.0, &of.1, range.0, range.1, at_most], |row| row.get(0))
    }

    /// Takes away that a number came late: it was looked at.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_late(&self, of: (Kid, ChainId), seq: u64) -> Result<(), ArchiveError> {
        let sql = "DELETE FROM late WHERE agent = ?1 AND chain = ?2 AND seq = ?3";
        self.db.execute(sql, args![&of.0, &of.1, seq]).map(drop)
    }

    /// Leaves a summary out of the rounds from now on. It stays where it is, with its receipt.
    ///
    /// # Errors
    /// When the database fails.
    pub fn quarantine(&self, of: (Kid, ChainId), seq: u64, why: &str, now: Wall) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO quarantine (agent, chain, seq, why, since_ns) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        tracing::warn!(agent = %of.0, chain = %of.1, seq, why, "a summary is left out");
        self.db.execute(sql, args![&of.0, &of.1, seq, why, now]).map(drop)
    }

    /// Leaves out what an agent's summaries say of a time later than an instant, and what was folded of it: no clock that is right
    /// says it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leave_out_after(&self, agent: Kid, after: Wall, now: Wall) -> Result<(), ArchiveError> {
        let why = format!("it says that it ends later than {after}, and a clock was wrong");
        let sql = "INSERT INTO quarantine (agent, chain, seq, why, since_ns)
                   SELECT agent, chain, seq, CAST(?3 AS TEXT), ?4 FROM summary WHERE agent = ?1 AND to_ns > ?2
                   ON CONFLICT DO NOTHING";
        self.db.execute(sql, args![&agent, after, &why, now])?;
        let sql = "DELETE FROM fold WHERE agent = ?1 AND day > ?2";
        self.db.execute(sql, args![&agent, after.secs().div_euclid(86_400)]).map(drop)
    }

    /// Until when an agent's summaries go that end no later than an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub fn heard_until(&self, agent: Kid, at: Wall) -> Result<Option<Wall>, ArchiveError> {
        let sql = "SELECT to_ns FROM summary WHERE agent = ?1 AND to_ns <= ?2 ORDER BY to_ns DESC LIMIT 1";
        self.db.one(sql, args![&agent, at], |row| row.get(0))
    }

    /// Those of some numbers of a chain that are left out; both ends included.
    ///
    /// # Errors
    /// When the database fails.
    pub fn left_out(&self, of: (Kid, ChainId), from: u64, to: u64) -> Result<Vec<u64>, ArchiveError> {
        let sql = "SELECT seq FROM quarantine WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4 ORDER BY seq";
        self.db.all(sql, args![&of.0, &of.1, from, to], |row| row.get(0))
    }

    /// For each agent of which something is left out: how many, and the first of them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn quarantined(&self) -> Result<Vec<(u64, Quarantined)>, ArchiveError> {
        let sql = "SELECT agent, count(*) FROM quarantine GROUP BY agent ORDER BY agent";
        let agents: Vec<(Kid, u64)> = self.db.all(sql, args![], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sql = "SELECT agent, chain, seq, why, since_ns FROM quarantine WHERE agent = ?1
                   ORDER BY since_ns, chain, seq LIMIT 1";
        let read = |row: &Row<'_>| {
            let (agent, chain, seq) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Quarantined { agent, chain, seq, why: row.get(3)?, since: row.get(4)? })
        };
        let mut all = Vec::new();
        for (agent, count) in agents {
            all.extend(self.db.one(sql, args![&agent], read)?.map(|first| (count, first)));
        }
        Ok(all)
    }
}
