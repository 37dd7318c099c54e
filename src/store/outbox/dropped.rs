//! What was dropped unshipped, so that the rest fits.

use rusqlite::OptionalExtension;

use crate::evidence::chain::{Dropped, MOST_DROPPED};
use crate::store::{Store, StoreError};

use super::WEIGHT;
use super::entry::chain_of;

pub(super) fn text_of(dropped: &[Dropped]) -> String {
    serde_json::to_string(dropped).expect("a list is JSON")
}

/// Adds what was dropped, and joins what touches it.
fn add_dropped(all: &mut Vec<Dropped>, mut new: Dropped) {
    all.retain(|known| {
        let touches = known.chain == new.chain
            && known.from_seq <= new.to_seq.saturating_add(1)
            && new.from_seq <= known.to_seq.saturating_add(1);
        if touches {
            new.from_seq = new.from_seq.min(known.from_seq);
            new.to_seq = new.to_seq.max(known.to_seq);
        }
        !touches
    });
    all.push(new);
}

impl Store {
    /// Makes the kept summaries fit into `limit` bytes: those that were answered go first, oldest
    /// first, then the oldest waiting ones. What was dropped before it was accepted is remembered
    /// for the next summary to say; it is also given back.
    ///
    /// # Errors
    /// When the database fails.
    pub fn fit_outbox(&self, limit: u64) -> Result<Vec<Dropped>, StoreError> {
        let total: i64 = self
            .db
            .prepare_cached(&format!("SELECT coalesce(sum({WEIGHT}), 0) FROM outbox"))?
            .query_row([], |row| row.get(0))?;
        let mut over = total - i64::try_from(limit).unwrap_or(i64::MAX);
        while over > 0 {
            match self
                .forget_oldest("NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.id = outbox.id)")?
            {
                Some((_, bytes)) => over -= bytes,
                None => break,
            }
        }
        let mut dropped = Vec::new();
        while over > 0 {
            let Some((one, bytes)) = self.drop_oldest_waiting()? else { break };
            over -= bytes;
            add_dropped(&mut dropped, one);
        }
        Ok(dropped)
    }

    /// Drops the oldest summary that waits, where the room is needed: the next one made says so,
    /// and says again what this one said. Gives its number and the bytes that were kept for its
    /// sake.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_oldest_waiting(&self) -> Result<Option<(Dropped, i64)>, StoreError> {
        let told: Option<Option<String>> = self
            .db
            .prepare_cached("SELECT told FROM summary WHERE id = (SELECT min(id) FROM waiting)")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some((dropped, bytes)) = self.forget_oldest("id = (SELECT min(id) FROM waiting)")?
        else {
            return Ok(None);
        };
        let mut all =
            told.flatten().and_then(|told| serde_json::from_str(&told).ok()).unwrap_or_default();
        add_dropped(&mut all, dropped);
        self.remember_dropped(&all)?;
        Ok(Some((dropped, bytes)))
    }

    /// Deletes the oldest summary of which something holds; gives its number and its bytes.
    fn forget_oldest(&self, holds: &str) -> Result<Option<(Dropped, i64)>, StoreError> {
        let sql = format!(
            "SELECT id, chain, seq, {WEIGHT} FROM outbox WHERE {holds} ORDER BY id LIMIT 1"
        );
        let oldest = self
            .db
            .prepare_cached(&sql)?
            .query_row([], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            })
            .optional()?;
        let Some((id, chain, seq, bytes)) = oldest else { return Ok(None) };
        self.db.prepare_cached("DELETE FROM summary WHERE id = ?1")?.execute([id])?;
        let seq = u64::try_from(seq).unwrap_or(0);
        Ok(Some((Dropped { chain: chain_of(&chain)?, from_seq: seq, to_seq: seq }, bytes)))
    }

    /// Remembers what was dropped, for the next summaries to say.
    pub(crate) fn remember_dropped(&self, dropped: &[Dropped]) -> Result<(), StoreError> {
        if dropped.is_empty() {
            return Ok(());
        }
        let mut known = self.dropped()?;
        dropped.iter().for_each(|each| add_dropped(&mut known, *each));
        self.set_meta("dropped", &text_of(&known))
    }

    /// What was dropped and no summary has said yet.
    ///
    /// # Errors
    /// When the database fails.
    pub fn dropped(&self) -> Result<Vec<Dropped>, StoreError> {
        let Some(text) = self.meta("dropped")? else { return Ok(Vec::new()) };
        serde_json::from_str(&text)
            .map_err(|_| StoreError::Damaged("what was dropped cannot be read".to_owned()))
    }

    /// As much of [`Self::dropped`] as one summary tells, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn dropped_to_tell(&self) -> Result<Vec<Dropped>, StoreError> {
        let mut all = self.dropped()?;
        all.truncate(MOST_DROPPED);
        Ok(all)
    }

    /// Forgets [`Self::dropped_to_tell`], once a summary says it; within one transaction with that
    /// summary.
    ///
    /// # Errors
    /// When the database fails.
    pub fn told_dropped(&self) -> Result<(), StoreError> {
        match self.dropped()?.get(MOST_DROPPED..) {
            Some(rest) if !rest.is_empty() => self.set_meta("dropped", &text_of(rest)),
            _ => Ok(self.db.execute("DELETE FROM meta WHERE key = 'dropped'", []).map(drop)?),
        }
    }
}
