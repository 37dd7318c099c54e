//! The chain of summaries: where it stands, and how it goes on.

use rusqlite::params;

use crate::base::time::Wall;
use crate::evidence::chain::{ChainId, Follows, Head};
use crate::evidence::summary::Signed;
use crate::store::packed_summary::{Made, Sealed};
use crate::store::{Store, StoreError};

use super::dropped::text_of;
use super::entry::{Entry, State, number};

/// Kept while the chain that is known has ended.
pub(in crate::store) const ENDED: &str = "chain_ended";

/// A new chain's random name.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_chain() -> Result<ChainId, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random(error.to_string()))?;
    Ok(ChainId::from_bytes(bytes))
}

impl Store {
    /// Where the chain stands; [`None`] before [`Self::begin_chain`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn head(&self) -> Result<Option<Head>, StoreError> {
        // A salvaged chain is not gone on with: what was signed last may not have been on the disk.
        if self.meta(ENDED)?.is_some() { Ok(None) } else { self.last_head() }
    }

    fn last_head(&self) -> Result<Option<Head>, StoreError> {
        let Some(chain) = self.meta("chain")? else { return Ok(None) };
        let damaged =
            |what: &str| StoreError::Damaged(format!("the chain's {what} cannot be read"));
        let next = self
            .meta("next_seq")?
            .and_then(|seq| seq.parse().ok())
            .ok_or_else(|| damaged("next number"))?;
        let prev = self
            .meta("prev")?
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| damaged("last digest"))?;
        let follows =
            self.meta("follows")?.map(|text| serde_json::from_str::<Follows>(&text)).transpose();
        let follows = follows.map_err(|_| damaged("predecessor"))?;
        Ok(Some(Head { chain: chain.parse().map_err(|_| damaged("name"))?, next, prev, follows }))
    }

    /// Begins a chain: number 0 is next. It follows the present one, where there is one with a
    /// summary.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_chain(&self, chain: ChainId) -> Result<Head, StoreError> {
        let follows = self.last_head()?.and_then(|head| head.as_followed());
        self.db.execute("DELETE FROM meta WHERE key IN ('prev', 'follows', ?1)", [ENDED])?;
        if let Some(follows) = follows {
            self.set_meta("follows", &serde_json::to_string(&follows).expect("it is JSON"))?;
        }
        self.set_meta("chain", &chain.to_string())?;
        self.set_meta("next_seq", "0")?;
        Ok(Head::new(chain, follows))
    }

    /// Keeps a signed summary of a span, waiting to be shipped, and moves the chain's head; to be
    /// called within one transaction with what the summary holds. Where it is told what it is
    /// `made` of, only what that does not say is written.
    ///
    /// # Errors
    /// When the database fails, or the number is not the next one.
    pub fn keep_summary(
        &self,
        signed: &Signed,
        from: Wall,
        to: Wall,
        made: Option<&Made>,
    ) -> Result<(), StoreError> {
        let head = self.head()?;
        if head.is_none_or(|head| head.chain != signed.chain || head.next != signed.seq) {
            return Err(StoreError::NotNext(signed.seq));
        }
        let Sealed { body, blocks, weight } = self.seal(&signed.jws, made)?;
        let entry = Entry {
            chain: signed.chain,
            seq: signed.seq,
            from,
            to,
            digest: signed.digest,
            bytes: signed.jws.len() as u64,
            state: State::Waiting,
            problem: None,
            receipt: None,
            received: None,
        };
        let sum = entry.sum(&body);
        let told = Some(self.dropped_to_tell()?)
            .filter(|told| !told.is_empty())
            .map(|told| text_of(&told));
        self.db
            .prepare_cached(
                "INSERT INTO summary (id, chain, seq, from_ns, to_ns, digest, bytes, state, jws, \
                    first_block, last_block,
                 weight, sum, told) VALUES (max((SELECT coalesce(max(id), 0) FROM summary), ?12) \
                    + 1, ?1, ?2, ?3, ?4, ?5, ?6,
                 'waiting', ?7, ?8, ?9, ?10, ?11, ?13)",
            )?
            .execute(params![
                entry.chain.to_string(),
                number(entry.seq),
                from.nanos(),
                to.nanos(),
                entry.digest.to_string(),
                number(entry.bytes),
                body,
                blocks.map(|(first, _)| first),
                blocks.map(|(_, last)| last),
                number(weight),
                sum,
                self.base,
                told
            ])?;
        self.db
            .prepare_cached("INSERT INTO waiting (id) VALUES (?1)")?
            .execute([self.db.last_insert_rowid()])?;
        self.set_meta("next_seq", &(signed.seq + 1).to_string())?;
        self.set_meta("prev", &signed.digest.to_string())
    }
}
