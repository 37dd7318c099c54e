//! Summaries that came too late to count: stored and receipted as all are, but not folded, so that
//! no verdict rests on them, until something that came later bounds them or somebody accepts them.

use crate::base::time::Wall;
use crate::collector::archive::db::Row;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::bundle::Numbers;
use crate::evidence::chain::{ChainId, Dropped, DroppedRanges, Gap};
use crate::evidence::key::Kid;
use crate::evidence::late::{Arrived, Why};
use crate::sla::span::Span;

/// So many ranges of what an agent dropped are looked at for one gap.
const DROPPED: u32 = 4_096;
/// So many numbers after some are looked at for what bounds them.
const AFTER: u32 = 1_000;

/// A summary that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateSummary {
    /// What of it bounds when it was made.
    pub arrived: Arrived,
    /// Why it does not count.
    pub why: Why,
}

/// What changed of those of a chain that do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Those that count now.
    pub gone: Vec<u64>,
    /// Those that do not, and were not known or were so for another reason.
    pub new: Vec<LateSummary>,
}

/// Numbers of a chain that do not count for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRange {
    /// Which.
    pub numbers: Numbers,
    /// The time that they tell of.
    pub span: Span,
    /// When the last of them was received.
    pub received: Wall,
    /// Why the first of them does not count.
    pub why: Why,
}

fn why(word: &str) -> Result<Why, ArchiveError> {
    let known = Why::ALL.into_iter().find(|why| why.word() == word);
    known.ok_or_else(|| ArchiveError::Damaged(format!("a late summary's reason is {word:?}")))
}

fn held_of(row: &Row<'_>) -> Result<LateSummary, ArchiveError> {
    let arrived = Arrived {
        seq: row.get(0)?,
        from: row.get(1)?,
        to: row.get(2)?,
        received: row.get(3)?,
        boot: row.get(4)?,
    };
    Ok(LateSummary { arrived, why: why(&row.get::<String>(5)?)? })
}

impl Archive {
    /// Those of a chain that do not count, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held(&self, of: (Kid, ChainId)) -> Result<Vec<LateSummary>, ArchiveError> {
        let sql = "SELECT seq, from_ns, to_ns, received_ns, boot, why FROM held WHERE agent = ?1 \
            AND chain = ?2 ORDER BY seq";
        self.db.all(sql, args![&of.0, &of.1], held_of)
    }

    /// How many of an agent's do not count.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_by(&self, agent: Kid) -> Result<usize, ArchiveError> {
        let count =
            self.db.one("SELECT count(*) FROM held WHERE agent = ?1", args![&agent], |row| {
                row.get::<u64>(0)
            })?;
        Ok(usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX))
    }

    /// Writes down what changed of those of a chain that do not count.
    ///
    /// # Errors
    /// When the database fails.
    pub fn change_held(&self, of: (Kid, ChainId), change: &Change) -> Result<(), ArchiveError> {
        let sql = "DELETE FROM held WHERE agent = ?1 AND chain = ?2 AND seq = ?3";
        for seq in change.gone.iter().copied().chain(change.new.iter().map(|held| held.arrived.seq))
        {
            self.db.execute(sql, args![&of.0, &of.1, seq])?;
        }
        let sql = "INSERT INTO held (agent, chain, seq, from_ns, to_ns, received_ns, boot, why)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        for LateSummary { arrived, why } in &change.new {
            let Arrived { seq, from, to, received, boot } = arrived;
            self.db
                .execute(sql, args![&of.0, &of.1, *seq, *from, *to, *received, boot, why.word()])?;
        }
        Ok(())
    }

    /// Lets those of some numbers be looked at again by the rounds; says how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release_held(&self, of: &Numbers) -> Result<u64, ArchiveError> {
        let sql = "INSERT INTO late (agent, chain, seq) SELECT agent, chain, seq FROM held
                   WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4 ON CONFLICT DO \
            NOTHING";
        self.db.execute(sql, args![&of.agent, &of.chain, of.from_seq, of.to_seq])?;
        let sql = "DELETE FROM held WHERE agent = ?1 AND chain = ?2 AND seq >= ?3 AND seq <= ?4";
        self.db.execute(sql, args![&of.agent, &of.chain, of.from_seq, of.to_seq])
    }

    /// All that do not count, by agent and chain: numbers that follow on each other together.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all_held(&self) -> Result<Vec<HeldRange>, ArchiveError> {
        let sql = "SELECT seq, from_ns, to_ns, received_ns, boot, why, agent, chain FROM held \
            ORDER BY agent, chain, seq";
        let mut all: Vec<HeldRange> = Vec::new();
        self.db.each(sql, args![], |row| {
            let (agent, chain) = (row.get(6)?, row.get(7)?);
            let LateSummary { arrived: Arrived { seq, from, to, received, .. }, why } =
                held_of(row)?;
            match all.last_mut() {
                Some(last)
                    if last.numbers.goes_on_with(agent, chain, seq)
                        && (why == Why::AfterLate || why == last.why) =>
                {
                    last.numbers.to_seq = seq;
                    last.span = Span::new(last.span.from.min(from), last.span.to.max(to));
                    last.received = last.received.max(received);
                }
                _ => all.push(HeldRange {
                    numbers: Numbers { agent, chain, from_seq: seq, to_seq: seq },
                    span: Span::new(from, to),
                    received,
                    why,
                }),
            }
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }

    /// The numbers of an agent that do not count and tell of a span.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_within(&self, agent: Kid, span: Span) -> Result<Vec<Numbers>, ArchiveError> {
        let sql = "SELECT chain, seq FROM held WHERE agent = ?1 AND to_ns > ?2 AND from_ns < ?3 \
            ORDER BY chain, seq";
        let mut all: Vec<Numbers> = Vec::new();
        for (chain, seq) in self
            .db
            .all(sql, args![&agent, span.from, span.to], |row| Ok((row.get(0)?, row.get(1)?)))?
        {
            match all.last_mut() {
                Some(last) if last.goes_on_with(agent, chain, seq) => last.to_seq = seq,
                _ => all.push(Numbers { agent, chain, from_seq: seq, to_seq: seq }),
            }
        }
        Ok(all)
    }

    /// The earliest receipt of the numbers that follow on one without a hole.
    ///
    /// # Errors
    /// When the database fails.
    pub fn named_by(&self, of: (Kid, ChainId), seq: u64) -> Result<Option<Wall>, ArchiveError> {
        let sql = "SELECT seq, received_ns FROM summary WHERE agent = ?1 AND chain = ?2 AND seq > \
            ?3 ORDER BY seq LIMIT ?4";
        let after: Vec<(u64, Wall)> = self
            .db
            .all(sql, args![&of.0, &of.1, seq, AFTER], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let follow =
            after.iter().zip(1u64..).take_while(|((next, _), at)| *next == seq.saturating_add(*at));
        Ok(follow.map(|((_, received), _)| *received).min())
    }

    /// When each of an agent's other chains was heard of first and last, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn chains_beside(
        &self,
        of: (Kid, ChainId),
        at_most: u32,
    ) -> Result<Vec<(Wall, Wall)>, ArchiveError> {
        let sql = "SELECT first_ns, received_ns FROM chain WHERE agent = ?1 AND chain <> ?2
                   ORDER BY received_ns DESC LIMIT ?3";
        self.db.all(sql, args![&of.0, &of.1, at_most], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// When an agent asked to be let in, and whether this chain is the first that was heard of it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn enrolment_of(&self, of: (Kid, ChainId)) -> Result<Option<(Wall, bool)>, ArchiveError> {
        let sql = "SELECT a.enrolled_ns, (
                       SELECT count(*) FROM chain o WHERE o.agent = ?1 AND o.chain <> ?2 AND \
            o.first_ns <= c.first_ns)
                   FROM agent a JOIN chain c ON c.agent = a.agent AND c.chain = ?2 WHERE a.agent \
            = ?1";
        self.db.one(sql, args![&of.0, &of.1], |row| Ok((row.get(0)?, row.get::<u64>(1)? == 0)))
    }

    /// The gap that a number of a chain lies in, and whether the agent says that its outbox had no
    /// room for all of it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn gap_around(
        &self,
        (agent, chain): (Kid, ChainId),
        seq: u64,
    ) -> Result<Option<(Gap, bool)>, ArchiveError> {
        let sql = "SELECT from_seq, to_seq FROM gap
                   WHERE agent = ?1 AND chain = ?2 AND from_seq <= ?3 AND to_seq >= ?3";
        let gap = |row: &Row<'_>| Ok(Gap { from_seq: row.get(0)?, to_seq: row.get(1)? });
        let Some(gap) = self.db.one(sql, args![&agent, &chain, seq], gap)? else { return Ok(None) };
        let sql = "SELECT from_seq, to_seq FROM dropped
                   WHERE agent = ?1 AND chain = ?2 AND from_seq <= ?3 AND to_seq >= ?4 ORDER BY \
            from_seq LIMIT ?5";
        let dropped =
            |row: &Row<'_>| Ok(Dropped { chain, from_seq: row.get(0)?, to_seq: row.get(1)? });
        let told =
            self.db.all(sql, args![&agent, &chain, gap.to_seq, gap.from_seq, DROPPED], dropped)?;
        Ok(Some((gap, DroppedRanges::from_iter(told).has(chain, gap))))
    }
}
