//! What of an agent's chains is to be folded next, as far as there is room for it at once.

use std::collections::BTreeMap;

use crate::collector::archive::folds::{Progress, ToFold};
use crate::collector::archive::late::Change;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::late::Front;

/// … and no further one once they have so many bytes: what is read of them takes several times as
/// much memory.
pub(super) const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// So many are read in one query.
const PART: u32 = 8;

/// How a chain is looked at: from where on it was not yet, and what of late numbers is done with.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) was: Progress,
    pub(super) next: u64,
    /// What is left of [`Progress::findings`].
    pub(super) missing: String,
    pub(super) late: Vec<u64>,
    /// What is left out, and why.
    pub(super) bad: Vec<(u64, String)>,
    /// What came too late to count, where that changed.
    pub(super) held: Change,
    /// How far the chain has told then.
    pub(super) front: Front,
    /// Those that did not count and do now: they are looked at the next time.
    pub(super) released: Vec<u64>,
}

/// How much is still read of an agent at once.
pub(super) struct Room {
    summaries: u32,
    bytes: usize,
}

impl Room {
    pub(super) const fn of(summaries: u32) -> Self {
        Self { summaries, bytes: BYTES_AT_ONCE }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.summaries == 0 || self.bytes == 0
    }

    /// The first summaries of a chain in a range, both ends included, for which there is room; the
    /// last may go beyond it.
    fn read(
        &mut self,
        archive: &Archive,
        of: (Kid, ChainId),
        (mut from, to): (u64, u64),
    ) -> Result<Vec<ToFold>, ArchiveError> {
        let mut all = Vec::new();
        while !self.is_full() && from <= to {
            let most = self.summaries.min(PART);
            let part = archive.summaries_in(of, (from, to), most)?;
            let is_last = part.len() < most as usize;
            for each in part {
                if self.is_full() {
                    return Ok(all);
                }
                self.summaries -= 1;
                self.bytes = self.bytes.saturating_sub(each.jws.as_ref().map_or(0, String::len));
                from = each.seq.saturating_add(1);
                all.push(each);
            }
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

/// What of a chain is to be folded next, and how it stands once that is done: what came late, then
/// what is new. What is left out already is not among it.
pub(super) fn unfolded(
    archive: &Archive,
    chain: &Progress,
    room: &mut Room,
) -> Result<(Vec<ToFold>, Move), ArchiveError> {
    let of = (chain.agent, chain.chain);
    let mut stored: BTreeMap<u64, ToFold> = BTreeMap::new();
    let mut missing = Vec::new();
    for (from, to) in ranges(&chain.missing) {
        let here = room.read(archive, of, (from, to))?;
        if room.is_full() {
            // There may be more of it; of a full one the rest is looked at the next time.
            missing.push((here.last().map_or(from, |last| last.seq + 1), to));
        }
        stored.extend(here.into_iter().map(|each| (each.seq, each)));
    }
    let new = room.read(archive, of, (chain.next, chain.last))?;
    let full = room.is_full();
    let next = match new.last() {
        _ if !full => chain.last.saturating_add(1),
        Some(last) => last.seq + 1,
        None => chain.next,
    };
    stored.extend(new.into_iter().map(|each| (each.seq, each)));
    let late = late(archive, chain, next, &mut stored, room)?;
    if let (Some(first), Some(last)) =
        (stored.keys().next().copied(), stored.keys().next_back().copied())
    {
        for seq in archive.left_out(of, first, last)? {
            stored.remove(&seq);
        }
    }
    let missing: Vec<(u64, u64)> = missing.into_iter().filter(|(from, to)| from <= to).collect();
    let missing =
        missing.iter().map(|(from, to)| format!("{from}-{to}")).collect::<Vec<_>>().join(",");
    let stored: Vec<ToFold> = stored.into_values().collect();
    Ok((
        stored,
        Move {
            was: chain.clone(),
            next: next.max(chain.next),
            missing,
            late,
            bad: Vec::new(),
            held: Change::default(),
            front: chain.front.clone().unwrap_or_else(Front::new_chain),
            released: Vec::new(),
        },
    ))
}

/// The late ones that are looked at with this, read as far as they are not among what is new.
fn late(
    archive: &Archive,
    chain: &Progress,
    next: u64,
    stored: &mut BTreeMap<u64, ToFold>,
    room: &mut Room,
) -> Result<Vec<u64>, ArchiveError> {
    let of = (chain.agent, chain.chain);
    // Read after what is new: a late one that is among it is done with; one that is not is looked
    // at the next time.
    let mut late = match next.checked_sub(1) {
        Some(upto) if upto >= chain.next => archive.late(of, (chain.next, upto), u32::MAX)?,
        _ => Vec::new(),
    };
    late.retain(|seq| stored.contains_key(seq));
    let Some(before) = chain.next.checked_sub(1) else { return Ok(late) };
    for seq in archive.late(of, (0, before), room.summaries)? {
        if room.is_full() {
            break;
        }
        stored.extend(room.read(archive, of, (seq, seq))?.into_iter().map(|each| (each.seq, each)));
        late.push(seq);
    }
    Ok(late)
}

/// `3-5,9-9` as ranges.
pub(super) fn ranges(text: &str) -> Vec<(u64, u64)> {
    text.split(',')
        .filter_map(|range| {
            let (from, to) = range.split_once('-')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn ranges_that_were_written_are_read() {
        assert_eq!(ranges("3-5,9-9"), [(3, 5), (9, 9)]);
        assert!(ranges("").is_empty());
    }
}
