//! What was folded of the summaries: for each agent, probe and UTC day, its intervals merged over
//! the day and over each hour; and how far each chain was folded.

use std::collections::BTreeSet;

use crate::base::time::Wall;
use crate::collector::archive::db::Row;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError, packed};
use crate::evidence::bundle::Numbers;
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::late::Front;
use crate::sla::span::Span;

/// A chain, how far it was folded, and how far it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whose.
    pub agent: Kid,
    /// The chain.
    pub chain: ChainId,
    /// The last number that was received.
    pub last: u64,
    /// The first that was not looked at yet.
    pub next: u64,
    /// Numbers before that which an earlier version of this program found missing, and has to be
    /// looked at once more for what came of them: as ranges, `3-5,9-9`. What comes late now is told
    /// by [`Archive::late`].
    pub missing: String,
    /// How often it was folded.
    pub turn: u64,
    /// How far it has told, once something of it was looked at.
    pub front: Option<Front>,
}

/// A stored summary, as it is folded; of one that cannot be read, why.
#[derive(Debug)]
pub struct ToFold {
    /// Its number.
    pub seq: u64,
    /// When it was received.
    pub received: Wall,
    /// The compact JWS.
    pub jws: Result<String, String>,
}

/// The folded day of a probe; both parts as [`crate::collector::compaction`] writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedDay {
    /// The day, counted from 1970-01-01.
    pub day: i64,
    /// Merged over the day.
    pub whole: Vec<u8>,
    /// Merged over each hour; only where it was asked for.
    pub hours: Option<Vec<u8>>,
}

/// Which part of the folded days is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only what was merged over the day.
    Days,
    /// That, and what was merged over each hour.
    Hours,
}

/// What is read of a chain, …
const PROGRESS: &str =
    "c.agent, c.chain, c.last_seq, f.next_seq, f.missing, f.turn, f.told_ns, f.since_ns, f.by_late";
/// … in which there is something to fold.
const UNFOLDED: &str = "FROM chain c LEFT JOIN folded f ON f.agent = c.agent AND f.chain = c.chain
    WHERE (f.next_seq IS NULL OR f.next_seq <= c.last_seq OR f.missing <> ''
       OR EXISTS (SELECT 1 FROM late l WHERE l.agent = c.agent AND l.chain = c.chain AND l.seq < \
    f.next_seq))";

fn progress(row: &Row<'_>) -> Result<Progress, ArchiveError> {
    Ok(Progress {
        agent: row.get(0)?,
        chain: row.get(1)?,
        last: row.get(2)?,
        next: row.get::<Option<u64>>(3)?.unwrap_or(0),
        missing: row.get::<Option<String>>(4)?.unwrap_or_default(),
        turn: row.get::<Option<u64>>(5)?.unwrap_or(0),
        front: match row.get::<Option<u64>>(8)? {
            Some(by_late) => Some(Front {
                told: row.get(6)?,
                since: row.get(7)?,
                by_late: by_late != 0,
                boots: Vec::new(),
            }),
            None => None,
        },
    })
}

/// What is left of ranges without some others; both in the order of their chains and beginnings.
fn without(ranges: &[Numbers], holes: &[Numbers]) -> Vec<Numbers> {
    let mut all = Vec::new();
    for range in ranges {
        let first =
            holes.partition_point(|hole| (hole.chain, hole.to_seq) < (range.chain, range.from_seq));
        let mut next = Some(range.from_seq);
        let inside = |hole: &&Numbers| hole.chain == range.chain && hole.from_seq <= range.to_seq;
        for hole in holes[first.min(holes.len())..].iter().take_while(inside) {
            let Some(from_seq) = next else { break };
            if hole.from_seq > from_seq {
                all.push(Numbers { from_seq, to_seq: hole.from_seq - 1, ..*range });
            }
            next = hole.to_seq.checked_add(1).map(|after| after.max(from_seq));
        }
        all.extend(
            next.filter(|next| *next <= range.to_seq)
                .map(|from_seq| Numbers { from_seq, ..*range }),
        );
    }
    all
}

impl Archive {
    /// The chains in which there is something to fold: later numbers, or late ones that filled a
    /// gap.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unfolded(&self, at_most: u32) -> Result<Vec<Progress>, ArchiveError> {
        let sql = format!("SELECT {PROGRESS} {UNFOLDED} ORDER BY c.agent, c.chain LIMIT ?1");
        self.db.all(&sql, args![at_most], progress)
    }

    /// The agents after one, in the order of their identifiers, of which there is something to
    /// fold.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unfolded_agents(
        &self,
        after: Option<Kid>,
        at_most: u32,
    ) -> Result<Vec<Kid>, ArchiveError> {
        let sql = format!(
            "SELECT DISTINCT c.agent {UNFOLDED} AND c.agent > ?1 ORDER BY c.agent LIMIT ?2"
        );
        let after: &[u8] = after.as_ref().map_or(&[], |after| after.bytes());
        self.db.all(&sql, args![after, at_most], |row| row.get(0))
    }

    /// The chains of an agent in which there is something to fold.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unfolded_of(&self, agent: Kid, at_most: u32) -> Result<Vec<Progress>, ArchiveError> {
        let sql =
            format!("SELECT {PROGRESS} {UNFOLDED} AND c.agent = ?1 ORDER BY c.chain LIMIT ?2");
        self.db.all(&sql, args![&agent, at_most], progress)
    }

    /// The first of those summaries of a chain that are stored with numbers in a range, both ends
    /// included. However long the range is, it costs what is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn summaries_in(
        &self,
        of: (Kid, ChainId),
        range: (u64, u64),
        at_most: u32,
    ) -> Result<Vec<ToFold>, ArchiveError> {
        let sql = "SELECT seq, received_ns, jws FROM summary
                   WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4 ORDER BY seq LIMIT \
            ?5";
        self.db.all(sql, args![&of.0, &of.1, range.0, range.1, at_most], |row| {
            let jws = row.get(2).and_then(packed::unpack).map_err(|error| error.to_string());
            Ok(ToFold { seq: row.get(0)?, received: row.get(1)?, jws })
        })
    }

    /// Gives the compact JWS of each summary of an agent that was folded into a UTC day and touches
    /// a span of time to `take`; what is left out of a revoked agent's is not among them.
    ///
    /// # Errors
    /// When the database fails, or what `take` returns.
    pub fn each_at(
        &self,
        agent: Kid,
        day: i64,
        span: Span,
        mut take: impl FnMut(&str) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let until = self.until(agent)?.unwrap_or(Wall::from_nanos(i64::MAX));
        let sql = "SELECT chain, from_seq, to_seq FROM folded_day WHERE agent = ?1 AND day = ?2 \
            ORDER BY chain";
        let chains: Vec<(ChainId, u64, u64)> = self
            .db
            .all(sql, args![&agent, day], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let sql = "SELECT jws FROM summary
                   WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4 AND to_ns > ?5 AND \
            from_ns < ?6
                     AND received_ns < ?7
                     AND NOT EXISTS (SELECT 1 FROM quarantine q
                                     WHERE q.agent = summary.agent AND q.chain = summary.chain \
            AND q.seq = summary.seq)
                     AND NOT EXISTS (SELECT 1 FROM held h
                                     WHERE h.agent = summary.agent AND h.chain = summary.chain \
            AND h.seq = summary.seq)
                   ORDER BY seq";
        for (chain, first, last) in chains {
            let args = args![&agent, &chain, first, last, span.from, span.to, until];
            self.db.each(sql, args, |row| take(&packed::unpack(row.get(0)?)?))?;
        }
        Ok(())
    }

    /// Whether all that came of an agent is folded.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_folded(&self, agent: Kid) -> Result<bool, ArchiveError> {
        Ok(self.unfolded_of(agent, 1)?.is_empty())
    }

    /// The UTC days of which anything of an agent was ever folded, left out since or not; counted
    /// from 1970-01-01.
    ///
    /// # Errors
    /// When the database fails.
    pub fn days_of(&self, agent: Kid) -> Result<BTreeSet<i64>, ArchiveError> {
        let days =
            self.db.all("SELECT day FROM folded_day WHERE agent = ?1", args![&agent], |row| {
                row.get(0)
            })?;
        Ok(days.into_iter().collect())
    }

    /// The spans of an agent's summaries that came at an instant or later, or go beyond it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn spans_since(&self, agent: Kid, since: Wall) -> Result<Vec<(Wall, Wall)>, ArchiveError> {
        let sql = "SELECT from_ns, to_ns FROM summary WHERE agent = ?1 AND (received_ns >= ?2 OR \
            to_ns > ?2)";
        self.db.all(sql, args![&agent, since], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Gives the compact JWS of each summary of an agent that touches what follows an instant to
    /// `take`, in the order in which their spans end; what is left out of a revoked agent's is not
    /// among them.
    ///
    /// # Errors
    /// When the database fails, or what `take` returns.
    pub fn each_after(
        &self,
        agent: Kid,
        after: Wall,
        mut take: impl FnMut(&str) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let until = self.until(agent)?.unwrap_or(Wall::from_nanos(i64::MAX));
        let sql = "SELECT jws FROM summary WHERE agent = ?1 AND to_ns > ?2 AND received_ns < ?3
                     AND NOT EXISTS (SELECT 1 FROM quarantine q
                                     WHERE q.agent = summary.agent AND q.chain = summary.chain \
            AND q.seq = summary.seq)
                     AND NOT EXISTS (SELECT 1 FROM held h
                                     WHERE h.agent = summary.agent AND h.chain = summary.chain \
            AND h.seq = summary.seq)
                   ORDER BY to_ns, seq, chain";
        self.db.each(sql, args![&agent, after, until], |row| take(&packed::unpack(row.get(0)?)?))
    }

    /// Takes away what was folded of an agent's UTC day.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_folds(&self, agent: Kid, day: i64) -> Result<(), ArchiveError> {
        self.db
            .execute("DELETE FROM fold WHERE agent = ?1 AND day = ?2", args![&agent, day])
            .map(drop)
    }

    /// The numbers of an agent's chains that were folded into some UTC days, both included: as
    /// ranges, in order. Those that did not come, do not count, or were not looked at yet are left
    /// out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn folded_numbers(
        &self,
        agent: Kid,
        days: (i64, i64),
    ) -> Result<Vec<Numbers>, ArchiveError> {
        let sql = "SELECT chain, from_seq, to_seq FROM folded_day WHERE agent = ?1 AND day >= ?2 \
            AND day <= ?3
                   ORDER BY chain, from_seq";
        let read = |row: &Row<'_>| {
            Ok(Numbers { agent, chain: row.get(0)?, from_seq: row.get(1)?, to_seq: row.get(2)? })
        };
        let mut ranges: Vec<Numbers> = Vec::new();
        for next in self.db.all(sql, args![&agent, days.0, days.1], read)? {
            match ranges.last_mut() {
                Some(last)
                    if last.chain == next.chain
                        && next.from_seq <= last.to_seq.saturating_add(1) =>
                {
                    last.to_seq = last.to_seq.max(next.to_seq);
                }
                _ => ranges.push(next),
            }
        }
        if ranges.is_empty() {
            return Ok(ranges);
        }
        let sql = "SELECT chain, from_seq, to_seq FROM gap WHERE agent = ?1
                   UNION ALL SELECT chain, seq, seq FROM late WHERE agent = ?1
                   UNION ALL SELECT chain, seq, seq FROM held WHERE agent = ?1
                   UNION ALL SELECT chain, seq, seq FROM quarantine WHERE agent = ?1
                   ORDER BY 1, 2";
        let holes = self.db.all(sql, args![&agent], read)?;
        Ok(without(&ranges, &holes))
    }

    /// Enters which numbers of a chain have something in a UTC day; what was entered before is
    /// widened.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_folded_day(
        &self,
        of: (Kid, ChainId),
        day: i64,
        seqs: (u64, u64),
    ) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO folded_day (agent, chain, day, from_seq, to_seq) VALUES (?1, ?2, \
            ?3, ?4, ?5)
                   ON CONFLICT (agent, chain, day) DO UPDATE SET
                     from_seq = CASE WHEN excluded.from_seq < folded_day.from_seq THEN \
            excluded.from_seq ELSE folded_day.from_seq END,
                     to_seq = CASE WHEN excluded.to_seq > folded_day.to_seq THEN excluded.to_seq \
            ELSE folded_day.to_seq END";
        self.db.execute(sql, args![&of.0, &of.1, day, seqs.0, seqs.1])?;
        Ok(())
    }

    /// Enters how far a chain was folded, if nobody else moved it meanwhile; false when somebody
    /// did.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_folded(
        &self,
        was: &Progress,
        next: u64,
        missing: &str,
        front: &Front,
    ) -> Result<bool, ArchiveError> {
        let sql = "INSERT INTO folded (agent, chain, next_seq, missing, missing_count, turn, \
            told_ns, since_ns, by_late)
                   VALUES (?1, ?2, ?3, ?4, 0, ?5, ?8, ?9, ?10)
                   ON CONFLICT (agent, chain) DO UPDATE
                   SET next_seq = excluded.next_seq, missing = excluded.missing, missing_count = \
            0, turn = excluded.turn,
                       told_ns = excluded.told_ns, since_ns = excluded.since_ns, by_late = \
            excluded.by_late
                   WHERE folded.next_seq = ?6 AND folded.turn = ?7";
        let Front { told, since, by_late, .. } = front;
        let (turn, by_late) = (was.turn + 1, u64::from(*by_late));
        let args = args![
            &was.agent, &was.chain, next, missing, turn, was.next, was.turn, *told, *since, by_late
        ];
        Ok(self.db.execute(sql, args)? > 0)
    }

    /// The folded days of an agent's probe, in order; both ends included.
    ///
    /// # Errors
    /// When the database fails.
    pub fn folded_days(
        &self,
        agent: Kid,
        probe: &str,
        days: (i64, i64),
        depth: Depth,
    ) -> Result<Vec<FoldedDay>, ArchiveError> {
        let sql = match depth {
            Depth::Days => {
                "SELECT day, whole FROM fold WHERE agent = ?1 AND probe = ?2 AND day >= ?3 AND \
                    day <= ?4 ORDER BY day"
            }
            Depth::Hours => {
                "SELECT day, whole, hours FROM fold
                 WHERE agent = ?1 AND probe = ?2 AND day >= ?3 AND day <= ?4 ORDER BY day"
            }
        };
        self.db.all(sql, args![&agent, probe, days.0, days.1], |row| {
            let hours = if depth == Depth::Hours { Some(row.get(2)?) } else { None };
            Ok(FoldedDay { day: row.get(0)?, whole: row.get(1)?, hours })
        })
    }

    /// The first folded day of a probe, counted from 1970-01-01.
    ///
    /// # Errors
    /// When the database fails.
    pub fn first_folded_day(&self, agent: Kid, probe: &str) -> Result<Option<i64>, ArchiveError> {
        let sql = "SELECT day FROM fold WHERE agent = ?1 AND probe = ?2 ORDER BY day LIMIT 1";
        self.db.one(sql, args![&agent, probe], |row| row.get(0))
    }

    /// Writes the folded day of a probe.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_fold(
        &self,
        agent: Kid,
        probe: &str,
        day: i64,
        whole: &[u8],
        hours: &[u8],
    ) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO fold (agent, probe, day, whole, hours) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (agent, probe, day) DO UPDATE SET whole = excluded.whole, hours = \
            excluded.hours";
        self.db.execute(sql, args![&agent, probe, day, whole, hours])?;
        Ok(())
    }
}
