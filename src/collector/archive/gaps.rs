//! What is missing of each chain: a gap is recorded when a later summary comes, and filled when a
//! late one does.

use std::collections::{BTreeSet, HashMap};
use std::iter;

use crate::collector::archive::db::Row;
use crate::collector::archive::query::{about, asking};
use crate::collector::archive::value::{Value, args};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::chain::{ChainId, Dropped, DroppedRanges, Follows, Gap};
use crate::evidence::key::Kid;

/// So many ranges are kept of what an agent dropped: of one that tells of more, the rest is missing
/// as if it had not told.
const DROPPED: u64 = 4_096;
/// So many gaps of an agent are given one by one.
pub const GAPS: usize = 100;

/// What is missing of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The first [`GAPS`] gaps, and whether the agent said that it dropped all of them.
    pub first: Vec<(ChainId, Gap, bool)>,
    /// How many gaps there are.
    pub gaps: u64,
    /// How many numbers are missing; of one gap at most 2^32 are counted.
    pub numbers: u64,
}

impl Archive {
    /// Enters that these are missing, both ends included.
    pub(super) fn put_gap(
        &self,
        agent: Kid,
        chain: ChainId,
        from: u64,
        to: u64,
    ) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO gap (agent, chain, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4)";
        self.db.execute(sql, args![&agent, &chain, from, to]).map(drop)
    }

    /// Takes one number out of the gap that it lies in; false where it lies in none.
    pub(super) fn shrink_gap(
        &self,
        agent: Kid,
        chain: ChainId,
        seq: u64,
    ) -> Result<bool, ArchiveError> {
        let sql = "SELECT from_seq, to_seq FROM gap WHERE agent = ?1 AND chain = ?2 AND from_seq \
            <= ?3 AND to_seq >= ?3";
        let gap = self.db.one(sql, args![&agent, &chain, seq], |row| {
            Ok((row.get::<u64>(0)?, row.get::<u64>(1)?))
        })?;
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
    pub(super) fn note_follows(
        &self,
        agent: Kid,
        chain: ChainId,
        follows: &Follows,
    ) -> Result<(), ArchiveError> {
        let sql = "UPDATE chain SET follows_chain = ?3, follows_seq = ?4, follows_digest = ?5
                   WHERE agent = ?1 AND chain = ?2";
        self.db
            .execute(sql, args![&agent, &chain, &follows.chain, follows.seq, &follows.digest])
            .map(drop)
    }

    /// Enters what an agent says that it dropped: what touches what is known is one range with it,
    /// so that no range touches another.
    pub(super) fn note_dropped(&self, agent: Kid, dropped: &[Dropped]) -> Result<(), ArchiveError> {
        if dropped.is_empty() {
            return Ok(());
        }
        if self.count_dropped(agent)? >= DROPPED {
            tracing::warn!(%agent, "of what it dropped no more than {DROPPED} ranges are kept");
            return Ok(());
        }
        let chains: BTreeSet<ChainId> = dropped.iter().map(|range| range.chain).collect();
        let each = (2..).take(chains.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT chain, from_seq, to_seq FROM dropped WHERE agent = ?1 AND chain IN ({each})"
        );
        let args: Vec<Value<'_>> =
            iter::once(Value::from(&agent)).chain(chains.iter().map(Value::from)).collect();
        let known: BTreeSet<Dropped> = self.db.all(&sql, &args, range)?.into_iter().collect();
        let all: BTreeSet<Dropped> =
            known.iter().chain(dropped).copied().collect::<DroppedRanges>().ranges().collect();
        let new: Vec<&Dropped> = all.difference(&known).collect();
        if new.is_empty() {
            return Ok(());
        }
        let args: Vec<Value<'_>> =
            iter::once(Value::from(&agent)).chain(new.iter().flat_map(|new| parts(new))).collect();
        let rows = |row: &dyn Fn(usize) -> String, between: &str| {
            (0..new.len()).map(|at| row(2 + 3 * at)).collect::<Vec<_>>().join(between)
        };
        if !known.is_subset(&all) {
            let within =
                |n| format!("(chain = ?{n} AND from_seq >= ?{} AND to_seq <= ?{})", n + 1, n + 2);
            self.db.execute(
                &format!("DELETE FROM dropped WHERE agent = ?1 AND ({})", rows(&within, " OR ")),
                &args,
            )?;
        }
        let row = |n| format!("(?1, ?{n}, ?{}, ?{})", n + 1, n + 2);
        let sql = format!(
            "INSERT INTO dropped (agent, chain, from_seq, to_seq) VALUES {}",
            rows(&row, ", ")
        );
        self.db.execute(&sql, &args).map(drop)
    }

    /// What is missing of one agent or of each: all of it counted, and the first [`GAPS`] gaps, in
    /// the order in which the chains were written to.
    pub(super) fn gaps(&self, only: Option<Kid>) -> Result<HashMap<Kid, Missing>, ArchiveError> {
        let mut all: HashMap<Kid, Missing> = HashMap::new();
        let sql = asking(
            only,
            "SELECT agent, count(*), CAST(sum(CASE WHEN to_seq - from_seq < 4294967296 THEN \
                to_seq - from_seq + 1
             ELSE 4294967296 END) AS BIGINT) FROM gap",
            "agent",
            "GROUP BY agent",
        );
        self.db.each(&sql, &about(&only), |row| {
            all.insert(
                row.get(0)?,
                Missing { gaps: row.get(1)?, numbers: row.get(2)?, first: Vec::new() },
            );
            Ok::<(), ArchiveError>(())
        })?;
        let first = asking(
            only,
            "SELECT g.agent, g.chain, g.from_seq, g.to_seq, c.received_ns,
                    row_number() OVER (PARTITION BY g.agent ORDER BY c.received_ns, g.chain, \
                g.from_seq) AS place
             FROM gap g JOIN chain c ON c.agent = g.agent AND c.chain = g.chain",
            "g.agent",
            "",
        );
        let sql = format!(
            "SELECT g.agent, g.chain, g.from_seq, g.to_seq, d.from_seq, d.to_seq FROM ({first}) g
             LEFT JOIN dropped d ON d.agent = g.agent AND d.chain = g.chain AND d.from_seq <= \
                g.to_seq AND d.to_seq >= g.from_seq
             WHERE g.place <= {GAPS} ORDER BY g.agent, g.place"
        );
        let mut told: HashMap<Kid, Vec<Dropped>> = HashMap::new();
        self.db.each(&sql, &about(&only), |row| {
            let (agent, chain): (Kid, ChainId) = (row.get(0)?, row.get(1)?);
            let gap = Gap { from_seq: row.get(2)?, to_seq: row.get(3)? };
            let ends = row.get::<Option<u64>>(4)?.zip(row.get::<Option<u64>>(5)?);
            told.entry(agent).or_default().extend(ends.map(|(from_seq, to_seq)| Dropped {
                chain,
                from_seq,
                to_seq,
            }));
            let first = &mut all.entry(agent).or_default().first;
            if first.last().is_none_or(|last| (last.0, last.1) != (chain, gap)) {
                first.push((chain, gap, false));
            }
            Ok::<(), ArchiveError>(())
        })?;
        for (agent, missing) in &mut all {
            let told: DroppedRanges = told.remove(agent).unwrap_or_default().into_iter().collect();
            missing
                .first
                .iter_mut()
                .for_each(|(chain, gap, is_told)| *is_told = told.has(*chain, *gap));
        }
        Ok(all)
    }

    /// How many ranges are kept of what an agent said that it dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_dropped(&self, agent: Kid) -> Result<u64, ArchiveError> {
        let sql = "SELECT count(*) FROM dropped WHERE agent = ?1";
        Ok(self.db.one(sql, args![&agent], |row| row.get(0))?.unwrap_or(0))
    }
}

fn range(row: &Row<'_>) -> Result<Dropped, ArchiveError> {
    Ok(Dropped { chain: row.get(0)?, from_seq: row.get(1)?, to_seq: row.get(2)? })
}

fn parts(of: &Dropped) -> [Value<'_>; 3] {
    [Value::from(&of.chain), Value::from(of.from_seq), Value::from(of.to_seq)]
}
