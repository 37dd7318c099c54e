//! A summary in the outbox, and how its row is read.

use rusqlite::Row;
use serde::Serialize;

use crate::base::time::Wall;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::store::StoreError;
use crate::store::bytes::sum;

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

impl Entry {
    /// The checksum of what never changes of its row, its body included.
    pub(super) fn sum(&self, body: &[u8]) -> u32 {
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
    problem, receipt, received, sum, jws, first_block, last_block";

/// Where the body stands in these.
pub(in crate::store) const BODY: usize = 11;

pub(super) fn chain_of(text: &str) -> Result<ChainId, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged(format!("{text:?} is no chain")))
}

pub(super) fn number(seq: u64) -> i64 {
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
