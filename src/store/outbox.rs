//! The outbox: signed summaries, those that wait to be shipped and those that were answered, with
//! their receipts.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use crate::base::time::Wall;
use crate::evidence::chain::{ChainId, Dropped, Follows, Head, MOST_DROPPED};
use crate::evidence::digest::Digest;
use crate::evidence::summary::Signed;
use crate::store::bytes::sum;
use crate::store::packed_summary::{Made, Sealed};
use crate::store::{Store, StoreError};

/// What became of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits to be shipped.
    Waiting,
    /// The collector has it and gave a receipt.
    Accepted,
    /// The collector will not have it.
    Refused,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// A summary's entry, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// Where its span begins.
    pub from: Wall,
    /// Where its span ends.
    pub to: Wall,
    /// The digest of its compact JWS.
    pub digest: Digest,
    /// Bytes of its compact JWS.
    pub bytes: u64,
    /// What became of it.
    pub state: State,
    /// Why it was refused: the problem's type and detail.
    pub problem: Option<String>,
    /// The receipt, a compact JWS.
    pub receipt: Option<String>,
    /// When the collector says that it received it.
    pub received: Option<String>,
}

/// What the outbox holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many wait.
    pub waiting: u64,
    /// The bytes that are kept for their sake.
    pub bytes: u64,
    /// Where the oldest one's span begins.
    pub oldest: Option<Wall>,
    /// How many were refused.
    pub refused: u64,
    /// The last one that was accepted: chain, number, when it was received.
    pub last_accepted: Option<(ChainId, u64, String)>,
}

/// Kept while the chain that is known has ended.
pub(in crate::store) const ENDED: &str = "chain_ended";

/// What a summary weighs at rest.
const WEIGHT: &str = "coalesce(weight, length(jws)) + coalesce(length(receipt), 0)";

impl Entry {
    /// The checksum of what never changes of its row, its body included.
    fn sum(&self, body: &[u8]) -> u32 {
        sum([
            body,
            self.chain.bytes(),
            &self.seq.to_le_bytes(),
            &self.from.nanos().to_le_bytes(),
            &self.to.nanos().to_le_bytes(),
            self.digest.bytes(),
            &self.bytes.to_le_bytes(),
        ])
    }
}

pub(in crate::store) const COLUMNS: &str = "chain, seq, from_ns, to_ns, digest, bytes, state, \
    problem, receipt, received, sum, jws, first_block, \
    last_block";
/// Where the body stands in these.
pub(in crate::store) const BODY: usize = 11;

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

fn text_of(dropped: &[Dropped]) -> String {
    serde_json::to_string(dropped).expect("a list is JSON")
}

fn chain_of(text: &str) -> Result<ChainId, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged(format!("{text:?} is no chain")))
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

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(in crate::store) fn read(row: &Row<'_>) -> Result<Entry, StoreError> {
    let state: String = row.get(6)?;
    let state = [State::Waiting, State::Accepted, State::Refused]
        .into_iter()
        .find(|each| each.word() == state)
        .ok_or_else(|| StoreError::Damaged(format!("a summary's state is {state:?}")))?;
    let entry = Entry {
        chain: chain_of(&row.get::<_, String>(0)?)?,
        seq: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        from: Wall::from_nanos(row.get(2)?),
        to: Wall::from_nanos(row.get(3)?),
        digest: {
            let text: String = row.get(4)?;
            text.parse().map_err(|_| StoreError::Damaged(format!("{text:?} is no digest")))?
        },
        bytes: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
        state,
        problem: row.get(7)?,
        receipt: row.get(8)?,
        received: row.get(9)?,
    };
    match row.get::<_, Option<u32>>(10)? {
        Some(sum) if sum != entry.sum(row.get_ref(BODY)?.as_blob().unwrap_or_default()) => {
            Err(StoreError::Damaged(format!(
                "summary {} of chain {} is not what was written",
                entry.seq, entry.chain
            )))
        }
        _ => Ok(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::from_secs(1_700_000_000);

    const AA: ChainId = ChainId::from_bytes([0xaa; 16]);
    const BB: ChainId = ChainId::from_bytes([0xbb; 16]);

    fn with(count: u64) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), NOW).unwrap();
        store.begin_chain(AA).unwrap();
        (0..count).for_each(|seq| keep(&store, AA, seq));
        (dir, store)
    }

    fn digest(seq: u64) -> Digest {
        Digest::of(format!("jws {seq}").as_bytes())
    }

    fn keep(store: &Store, chain: ChainId, seq: u64) {
        let signed = Signed { chain, seq, digest: digest(seq), jws: format!("jws {seq}") };
        store.keep_summary(&signed, NOW, NOW, None).unwrap();
    }

    #[test]
    fn numbers_rise_by_one_and_the_oldest_is_shipped_first() {
        let (_dir, store) = with(3);
        let head = store.head().unwrap().unwrap();
        assert_eq!((head.next, head.prev), (3, Some(digest(2))));
        let waiting = store.waiting(2, 1 << 20).unwrap();
        assert_eq!(
            waiting.iter().map(|(_, jws)| jws.as_str()).collect::<Vec<_>>(),
            ["jws 0", "jws 1"]
        );
        assert_eq!(store.waiting(9, 1).unwrap().len(), 1, "one at least");
        let again = Signed { chain: AA, seq: 1, digest: digest(1), jws: String::new() };
        assert!(store.keep_summary(&again, NOW, NOW, None).is_err());
    }

    #[test]
    fn a_receipt_and_a_refusal_are_kept_and_counted() {
        let (_dir, store) = with(3);
        store.accepted((AA, 0, digest(0)), "receipt", "2026-01-01T00:00:00Z").unwrap();
        store.refused((AA, 1, digest(1)), "malformed: so").unwrap();
        store.refused((AA, 0, digest(0)), "too late").unwrap();
        let tally = store.tally().unwrap();
        assert_eq!((tally.waiting, tally.refused), (1, 1));
        assert_eq!(tally.last_accepted, Some((AA, 0, "2026-01-01T00:00:00Z".to_owned())));
        assert_eq!(store.summary_jws(&store.summaries().unwrap()[1]).unwrap(), "jws 1");
    }

    /// The bytes of the log after some work that was begun with an empty one.
    fn logged(store: &Store, work: impl FnOnce()) -> u64 {
        store
            .db
            .execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        work();
        std::fs::metadata(store.path().with_extension("db-wal")).unwrap().len()
    }

    #[test]
    fn a_receipt_is_written_without_what_was_signed_being_written_again() {
        let (_dir, store) = with(0);
        // Digests do not compress.
        let jws: String = (0..1500).map(|n| digest(n).to_string()).collect();
        let keep = || {
            store
                .keep_summary(&Signed { chain: AA, seq: 0, digest: digest(0), jws }, NOW, NOW, None)
                .unwrap()
        };
        let summary = logged(&store, keep);
        let receipt =
            logged(&store, || store.accepted((AA, 0, digest(0)), &"r".repeat(700), "t").unwrap());
        assert!(
            receipt * 5 < summary,
            "{summary} bytes are written for a summary, and {receipt} for its receipt"
        );
    }

    #[test]
    fn answers_are_brought_over_from_a_damaged_database_and_one_that_is_lost_is_asked_for_again() {
        for whole in [true, false] {
            let (_dir, mut store) = with(3);
            store.accepted((AA, 0, digest(0)), "receipt", "2026-01-01T00:00:00Z").unwrap();
            store.refused((AA, 1, digest(1)), "malformed: so").unwrap();
            if !whole {
                store.db.execute_batch("DROP VIEW outbox; DROP TABLE answer").unwrap();
            }
            store.set_aside(NOW, "a page is damaged").unwrap();
            while store.is_salvaging() {
                store.salvage().unwrap();
            }
            let states: Vec<State> =
                store.summaries().unwrap().iter().map(|entry| entry.state).collect();
            let waits = store.waiting(9, 1 << 20).unwrap().len();
            match whole {
                true => assert_eq!(
                    (states, waits),
                    (vec![State::Accepted, State::Refused, State::Waiting], 1)
                ),
                false => assert_eq!((states, waits), (vec![State::Waiting; 3], 3)),
            }
        }
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_waiting_last_and_says_which() {
        let (_dir, store) = with(6);
        store.accepted((AA, 0, digest(0)), "receipt", "2026-01-01T00:00:00Z").unwrap();
        let bytes = store.tally().unwrap().bytes;
        assert_eq!(store.fit_outbox(bytes).unwrap(), [], "the answered one made room");
        assert_eq!(store.summaries().unwrap().len(), 5);
        let dropped = store.fit_outbox(bytes / 2).unwrap();
        assert_eq!(dropped, [Dropped { chain: AA, from_seq: 1, to_seq: 3 }]);
        store.fit_outbox(0).unwrap();
        assert_eq!(store.dropped().unwrap(), [Dropped { chain: AA, from_seq: 1, to_seq: 5 }]);
        store.told_dropped().unwrap();
        assert_eq!(store.dropped().unwrap(), []);
        assert_eq!(store.head().unwrap().unwrap().next, 6, "a number is never reused");
    }

    #[test]
    fn what_a_dropped_summary_said_was_dropped_is_said_again() {
        let (_dir, store) = with(2);
        assert!(store.drop_oldest_waiting().unwrap().is_some());
        keep(&store, AA, 2);
        store.told_dropped().unwrap();
        // Number 2 says that 0 was dropped; now 1 and 2 are dropped too.
        store.fit_outbox(0).unwrap();
        assert_eq!(store.dropped().unwrap(), [Dropped { chain: AA, from_seq: 0, to_seq: 2 }]);
    }

    #[test]
    fn what_is_too_much_for_one_summary_is_told_by_the_next_ones() {
        let (_dir, store) = with(0);
        // Every other number, so that no two of them are one range.
        let all: Vec<Dropped> =
            (0..150).map(|n| Dropped { chain: BB, from_seq: 2 * n, to_seq: 2 * n }).collect();
        store.remember_dropped(&all).unwrap();
        let mut told = Vec::new();
        for seq in 0..3 {
            let one = store.dropped_to_tell().unwrap();
            assert!(one.len() <= MOST_DROPPED);
            keep(&store, AA, seq);
            store.told_dropped().unwrap();
            told.extend(one);
        }
        assert_eq!((told, store.dropped().unwrap()), (all.clone(), Vec::new()));
        // The first one is dropped itself, with what it told.
        store.drop_oldest_waiting().unwrap();
        let mut again = all[..MOST_DROPPED].to_vec();
        again.push(Dropped { chain: AA, from_seq: 0, to_seq: 0 });
        assert_eq!(store.dropped().unwrap(), again);
    }

    #[test]
    fn a_new_chain_says_what_it_follows() {
        let (_dir, store) = with(2);
        store.begin_chain(BB).unwrap();
        let head = store.head().unwrap().unwrap();
        let follows = Some(Follows { chain: AA, seq: 1, digest: digest(1) });
        assert_eq!(head, Head::new(BB, follows));
        keep(&store, BB, 0);
    }
}
