//! The outbox: signed summaries, those that wait to be shipped and those that were answered, with
//! their receipts.

use rusqlite::{OptionalExtension, Row, params};

use crate::base::time::Wall;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::store::{Store, StoreError};

mod chain;
mod dropped;
mod entry;

pub(in crate::store) use chain::ENDED;
pub use chain::new_chain;
pub(in crate::store) use entry::{BODY, COLUMNS, read};
pub use entry::{Entry, State, Tally};

use entry::{chain_of, number};

/// What a summary weighs at rest.
const WEIGHT: &str = "coalesce(weight, length(jws)) + coalesce(length(receipt), 0)";

impl Store {
    /// The oldest waiting summaries with their compact JWS: at most `most`, and at most `bytes` of
    /// them, but one at least where one waits.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn waiting(&self, most: usize, bytes: usize) -> Result<Vec<(Entry, String)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox WHERE id IN (SELECT id FROM waiting ORDER BY id LIMIT \
                ?1) ORDER BY id"
        );
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query([number(most as u64)])?;
        let mut all = Vec::new();
        let mut total = 0;
        while let Some(row) = rows.next()? {
            let entry = read(row)?;
            let jws = self.expanded(&entry, row)?;
            total += jws.len();
            if total > bytes && !all.is_empty() {
                break;
            }
            all.push((entry, jws));
        }
        Ok(all)
    }

    /// Enters the receipt of a summary.
    ///
    /// # Errors
    /// When the database fails.
    pub fn accepted(
        &self,
        (chain, seq, digest): (ChainId, u64, Digest),
        receipt: &str,
        received: &str,
    ) -> Result<(), StoreError> {
        let Some(id) = self.number_of(chain, seq, digest)? else { return Ok(()) };
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO answer (id, state, receipt, received) VALUES (?1, \
                    'accepted', ?2, ?3)",
            )?
            .execute(params![id, receipt, received])?;
        self.waits_no_more(id).map(drop)
    }

    /// Enters the refusal of a summary that waits.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refused(
        &self,
        (chain, seq, digest): (ChainId, u64, Digest),
        problem: &str,
    ) -> Result<(), StoreError> {
        let Some(id) = self.number_of(chain, seq, digest)? else { return Ok(()) };
        if self.waits_no_more(id)? {
            self.db.execute(
                "INSERT INTO answer (id, state, problem) VALUES (?1, 'refused', ?2)",
                params![id, problem],
            )?;
        }
        Ok(())
    }

    /// Under which number a summary is kept.
    fn number_of(
        &self,
        chain: ChainId,
        seq: u64,
        digest: Digest,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM summary WHERE chain = ?1 AND seq = ?2 AND digest = ?3";
        let of = params![chain.to_string(), number(seq), digest.to_string()];
        Ok(self.db.prepare_cached(sql)?.query_row(of, |row| row.get(0)).optional()?)
    }

    /// Takes a summary from those that wait; whether it was one.
    fn waits_no_more(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self.db.prepare_cached("DELETE FROM waiting WHERE id = ?1")?.execute([id])? > 0)
    }

    /// Every summary's entry, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn summaries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut wanted =
            self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox ORDER BY id"))?;
        let mut rows = wanted.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    /// The compact JWS of a summary.
    ///
    /// # Errors
    /// When the database fails, or the row cannot be read.
    pub fn summary_jws(&self, entry: &Entry) -> Result<String, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM outbox WHERE chain = ?1 AND seq = ?2");
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query(params![entry.chain.to_string(), number(entry.seq)])?;
        match rows.next()? {
            Some(row) => self.expanded(entry, row),
            None => Err(StoreError::Sqlite(rusqlite::Error::QueryReturnedNoRows)),
        }
    }

    pub(in crate::store) fn expanded(
        &self,
        entry: &Entry,
        row: &Row<'_>,
    ) -> Result<String, StoreError> {
        let blocks = row.get::<_, Option<i64>>(BODY + 1)?.zip(row.get::<_, Option<i64>>(BODY + 2)?);
        self.unsealed(
            row.get_ref(BODY)?.as_blob().unwrap_or_default(),
            blocks,
            entry.bytes,
            entry.digest,
        )
    }

    /// What the outbox holds.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tally(&self) -> Result<Tally, StoreError> {
        let (waiting, bytes, oldest) = self.db.query_row(
            "SELECT count(*), coalesce(sum(coalesce(weight, length(jws))), 0), min(from_ns)
             FROM waiting JOIN summary USING (id)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?)),
        )?;
        let refused: i64 = self.db.query_row(
            "SELECT count(*) FROM outbox WHERE state = 'refused'",
            [],
            |row| row.get(0),
        )?;
        let last_accepted = self
            .db
            .query_row(
                "SELECT chain, seq, received FROM outbox WHERE state = 'accepted' ORDER BY id \
                    DESC LIMIT 1",
                [],
                |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, i64>(1)?,
                        row.get::<_, Option<String>>(2)?,
                    ))
                },
            )
            .optional()?;
        let last_accepted = match last_accepted {
            Some((chain, seq, received)) => Some((
                chain_of(&chain)?,
                u64::try_from(seq).unwrap_or(0),
                received.unwrap_or_default(),
            )),
            None => None,
        };
        Ok(Tally {
            waiting: u64::try_from(waiting).unwrap_or(0),
            bytes: u64::try_from(bytes).unwrap_or(0),
            oldest: oldest.map(Wall::from_nanos),
            refused: u64::try_from(refused).unwrap_or(0),
            last_accepted,
        })
    }

    /// The number of the last block that may go: it is in a summary, and no summary that waits is
    /// made of it.
    pub(in crate::store) fn free_up_to(&self) -> Result<i64, StoreError> {
        let held: Option<i64> = self
            .db
            .prepare_cached("SELECT min(first_block) FROM waiting JOIN summary USING (id)")?
            .query_row([], |row| row.get(0))?;
        let summarised = self.summarised()?;
        Ok(held.map_or(summarised, |held| summarised.min(held - 1)))
    }

    /// Deletes the summaries that were answered and are made of blocks up to this one, which are
    /// gone.
    pub(in crate::store) fn forget_answered(&self, last: i64) -> Result<(), StoreError> {
        let mut oldest =
            self.db.prepare_cached("SELECT id, first_block FROM summary ORDER BY id")?;
        let mut rows = oldest.query([])?;
        let mut gone = Vec::new();
        while let Some(row) = rows.next()? {
            match (row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?) {
                (_, None) => {}
                (id, Some(first)) if first <= last => gone.push(id),
                _ => break,
            }
        }
        let mut delete =
            self.db.prepare_cached("DELETE FROM summary WHERE id = ?1 AND id NOT IN waiting")?;
        for id in gone {
            delete.execute([id])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
