//! What the rounds work off beside what comes in order: numbers that came late, into a gap that was
//! there, and summaries that cannot be worked with and are left out.

use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::archive::db::Row;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::summary::AHEAD;

/// A clock is behind when what was received is later than it by more than this; replicas' clocks
/// may differ by less.
const CLOCK_BEHIND: Duration = Duration::from_secs(300);
/// An agent agrees with the clock when its last summary was received so lately.
const AGREES: Duration = Duration::from_secs(3600);
/// So begins why an earlier version of this program left out what was later than its clock by more
/// than a day, whatever its receipt said: 27 characters.
const BEHIND: &str = "it says that it ends later ";
/// Those of them that were no later than they were received: ?1 is [`BEHIND`], ?2 is [`ahead`].
const BY_MISTAKE: &str =
    "FROM quarantine q JOIN summary s ON s.agent = q.agent AND s.chain = q.chain AND s.seq = q.seq
    WHERE substr(q.why, 1, 27) = ?1 AND s.to_ns <= s.received_ns + ?2";

/// A summary may be so much later than it is received, in nanoseconds.
fn ahead() -> i64 {
    i64::try_from(AHEAD.as_nanos()).unwrap_or(i64::MAX)
}

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
    pub(super) fn note_late(
        &self,
        agent: Kid,
        chain: ChainId,
        seq: u64,
    ) -> Result<(), ArchiveError> {
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

    /// Numbers of a chain that came late and were not looked at yet, of those in a range, the
    /// lowest first; both ends included.
    ///
    /// # Errors
    /// When the database fails.
    pub fn late(
        &self,
        of: (Kid, ChainId),
        range: (u64, u64),
        at_most: u32,
    ) -> Result<Vec<u64>, ArchiveError> {
        let sql = "SELECT seq FROM late WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= \
            ?4 ORDER BY seq LIMIT ?5";
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
    pub fn quarantine(
        &self,
        of: (Kid, ChainId),
        seq: u64,
        why: &str,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        let sql =
            "INSERT INTO quarantine (agent, chain, seq, why, since_ns) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        tracing::warn!(agent = %of.0, chain = %of.1, seq, why, "a summary is left out");
        self.db.execute(sql, args![&of.0, &of.1, seq, why, now]).map(drop)
    }

    /// Leaves out what an agent's summaries say of a time that had not come when they were
    /// received, and what was folded of it: no clock that is right says it. Gives until when those
    /// go that stay; absent where none does.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leave_out_ahead(&self, agent: Kid, now: Wall) -> Result<Option<Wall>, ArchiveError> {
        let why =
            "it says that it ends more than a day after it was received, and a clock was wrong";
        let sql = "INSERT INTO quarantine (agent, chain, seq, why, since_ns)
                   SELECT agent, chain, seq, CAST(?3 AS TEXT), ?4 FROM summary WHERE agent = ?1 \
            AND to_ns > received_ns + ?2
                   ON CONFLICT DO NOTHING";
        self.db.execute(sql, args![&agent, ahead(), why, now])?;
        let sql = "SELECT max(to_ns) FROM summary WHERE agent = ?1 AND to_ns <= received_ns + ?2";
        let until =
            self.db.one(sql, args![&agent, ahead()], |row| row.get::<Option<Wall>>(0))?.flatten();
        let sql = "DELETE FROM fold WHERE agent = ?1 AND day > ?2";
        self.db.execute(sql, args![&agent, until.unwrap_or(now).secs().div_euclid(86_400)])?;
        Ok(until)
    }

    /// The agents of which an earlier version of this program left out, by a clock that was behind,
    /// what was no later than it was received.
    ///
    /// # Errors
    /// When the database fails.
    pub fn left_out_by_mistake(&self) -> Result<Vec<Kid>, ArchiveError> {
        let sql = format!("SELECT DISTINCT q.agent {BY_MISTAKE} ORDER BY q.agent");
        self.db.all(&sql, args![BEHIND, ahead()], |row| row.get(0))
    }

    /// The UTC days that those of an agent touch and of which something is folded; counted from
    /// 1970-01-01.
    ///
    /// # Errors
    /// When the database fails.
    pub fn days_left_out_by_mistake(&self, agent: Kid) -> Result<Vec<i64>, ArchiveError> {
        let sql = format!("SELECT min(s.from_ns), max(s.to_ns) {BY_MISTAKE} AND q.agent = ?3");
        let read = |row: &Row<'_>| Ok(row.get::<Option<Wall>>(0)?.zip(row.get::<Option<Wall>>(1)?));
        let Some((from, to)) = self.db.one(&sql, args![BEHIND, ahead(), &agent], read)?.flatten()
        else {
            return Ok(Vec::new());
        };
        let sql = "SELECT DISTINCT day FROM fold WHERE agent = ?1 AND day >= ?2 AND day <= ?3 \
            ORDER BY day";
        let day = |at: Wall| at.secs().div_euclid(86_400);
        self.db.all(sql, args![&agent, day(from), day(to)], |row| row.get(0))
    }

    /// Takes those of an agent back, for the rounds to look at as if they had just come; says how
    /// many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub fn take_back(&self, agent: Kid) -> Result<u64, ArchiveError> {
        let sql = format!(
            "INSERT INTO late (agent, chain, seq) SELECT q.agent, q.chain, q.seq {BY_MISTAKE} AND \
                q.agent = ?3
             ON CONFLICT DO NOTHING"
        );
        self.db.execute(&sql, args![BEHIND, ahead(), &agent])?;
        let sql = "DELETE FROM quarantine WHERE agent = ?3 AND substr(why, 1, 27) = ?1 AND EXISTS (
                       SELECT 1 FROM summary s WHERE s.agent = quarantine.agent AND s.chain = \
            quarantine.chain
                         AND s.seq = quarantine.seq AND s.to_ns <= s.received_ns + ?2)";
        self.db.execute(sql, args![BEHIND, ahead(), &agent])
    }

    /// By how much the clock is behind, as far as what is stored says it: until when it was
    /// received, and its agents said that they measured, where more of them say so than agree with
    /// the clock.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clock_is_behind(&self, now: Wall) -> Result<Option<Wall>, ArchiveError> {
        let after = now + CLOCK_BEHIND;
        let sql = "SELECT count(*) FROM chain WHERE received_ns > ?1";
        if self.db.one(sql, args![after], |row| row.get::<u64>(0))? == Some(0) {
            return Ok(None);
        }
        // Of a clock that was ahead, its own receipts say so too; its agents do not, and those that
        // ship now agree with this one.
        let sql =
            "SELECT max(CASE WHEN c.received_ns > ?1 AND s.to_ns > ?1 THEN c.received_ns END),
                          count(DISTINCT CASE WHEN c.received_ns > ?1 AND s.to_ns > ?1 THEN \
            c.agent END),
                          count(DISTINCT CASE WHEN c.received_ns <= ?1 AND s.to_ns <= ?1 THEN \
            c.agent END)
                   FROM chain c JOIN summary s ON s.agent = c.agent AND s.chain = c.chain AND \
            s.seq = c.last_seq
                   WHERE c.received_ns > ?2";
        let read = |row: &Row<'_>| {
            Ok((row.get::<Option<Wall>>(0)?, row.get::<u64>(1)?, row.get::<u64>(2)?))
        };
        let said = self.db.one(sql, args![after, now - AGREES], read)?;
        Ok(said.and_then(|(until, behind, agree)| until.filter(|_| behind > agree)))
    }

    /// Those of some numbers of a chain that are left out; both ends included.
    ///
    /// # Errors
    /// When the database fails.
    pub fn left_out(
        &self,
        of: (Kid, ChainId),
        from: u64,
        to: u64,
    ) -> Result<Vec<u64>, ArchiveError> {
        let sql = "SELECT seq FROM quarantine WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND \
            seq <= ?4 ORDER BY seq";
        self.db.all(sql, args![&of.0, &of.1, from, to], |row| row.get(0))
    }

    /// For each agent of which something is left out: how many, and the first of them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn quarantined(&self) -> Result<Vec<(u64, Quarantined)>, ArchiveError> {
        let sql = "SELECT agent, count(*) FROM quarantine GROUP BY agent ORDER BY agent";
        let agents: Vec<(Kid, u64)> =
            self.db.all(sql, args![], |row| Ok((row.get(0)?, row.get(1)?)))?;
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
