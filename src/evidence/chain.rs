//! The chain of an agent's summaries: their numbers, what each says of the one before, and what is
//! missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::evidence::digest::Digest;

/// Numbers above this are not exact in every JSON reader (RFC 8259, section 6).
pub const LAST_SEQ: u64 = (1 << 53) - 1;

/// A chain's name: a random 128-bit number, written as 32 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId([u8; 16]);

impl ChainId {
    /// From 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not the name of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain is 32 lowercase hexadecimal digits")]
pub struct NotAChain;

impl FromStr for ChainId {
    type Err = NotAChain;
    fn from_str(text: &str) -> Result<Self, NotAChain> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotAChain),
        };
        let digits: &[u8; 32] = text.as_bytes().try_into().map_err(|_| NotAChain)?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ChainId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a later chain follows: the last summary of the one before, as far as the agent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follows {
    /// The chain before.
    pub chain: ChainId,
    /// The number of its last summary.
    pub seq: u64,
    /// That summary's digest.
    pub digest: Digest,
}

/// A summary tells of so many ranges that were dropped; what is more is left for the next ones.
pub const MOST_DROPPED: usize = 64;

/// Summaries that an outbox had to drop before they were accepted, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dropped {
    /// Their chain.
    pub chain: ChainId,
    /// The first number.
    pub from_seq: u64,
    /// The last number.
    pub to_seq: u64,
}

/// Where an agent's chain stands: what its next summary says of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chain.
    pub chain: ChainId,
    /// The number that the next summary gets.
    pub next: u64,
    /// The digest of the last one; [`None`] before the first.
    pub prev: Option<Digest>,
    /// What the chain follows, told by its first summary.
    pub follows: Option<Follows>,
}

impl Head {
    /// The beginning of a new chain.
    #[must_use]
    pub const fn new(chain: ChainId, follows: Option<Follows>) -> Self {
        Self { chain, next: 0, prev: None, follows }
    }

    /// What a new chain after this one says that it follows; [`None`] while this one is empty.
    #[must_use]
    pub fn as_followed(&self) -> Option<Follows> {
        Some(Follows { chain: self.chain, seq: self.next.checked_sub(1)?, digest: self.prev? })
    }
}

/// What a chain's order needs to know of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
    /// The digest that it says the one before has.
    pub prev: Option<Digest>,
}

impl Link {
    /// Whether `self` can be the summary right after `before`.
    #[must_use]
    pub fn comes_after(&self, before: &Self) -> bool {
        before.seq.checked_add(1) == Some(self.seq) && self.prev == Some(before.digest)
    }
}

/// Numbers that are missing from a chain, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// The first that is missing.
    pub from_seq: u64,
    /// The last that is missing.
    pub to_seq: u64,
}

/// What an agent says that it dropped, to be asked of many gaps: each costs a search, not a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedRanges(BTreeMap<ChainId, Vec<(u64, u64)>>);

impl FromIterator<Dropped> for DroppedRanges {
    fn from_iter<I: IntoIterator<Item = Dropped>>(dropped: I) -> Self {
        let mut all: Vec<Dropped> = dropped.into_iter().collect();
        all.sort_unstable();
        let mut told: BTreeMap<ChainId, Vec<(u64, u64)>> = BTreeMap::new();
        for Dropped { chain, from_seq, to_seq } in all {
            let own = told.entry(chain).or_default();
            match own.last_mut() {
                Some((_, last)) if from_seq <= last.saturating_add(1) => *last = to_seq.max(*last),
                _ if from_seq <= to_seq => own.push((from_seq, to_seq)),
                _ => {}
            }
        }
        Self(told)
    }
}

impl DroppedRanges {
    /// The ranges, none of which touches another of its chain, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Dropped> + '_ {
        let of = |(chain, own): (&ChainId, &Vec<(u64, u64)>)| (*chain, own.clone());
        let all = self.0.iter().map(of);
        all.flat_map(|(chain, own)| {
            own.into_iter().map(move |(from_seq, to_seq)| Dropped { chain, from_seq, to_seq })
        })
    }

    /// Whether all of a gap of a chain is among it.
    #[must_use]
    pub fn has(&self, chain: ChainId, gap: Gap) -> bool {
        let own = self.0.get(&chain).map(Vec::as_slice).unwrap_or_default();
        let last = own.partition_point(|(from, _)| *from <= gap.from_seq).checked_sub(1);
        last.is_some_and(|last| own[last].1 >= gap.to_seq)
    }
}

/// A fault in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Two different summaries have one number.
    Twice {
        /// The number.
        seq: u64,
    },
    /// A summary does not name the digest of the one before it, which is there.
    Prev {
        /// The number of the one that names another.
        seq: u64,
    },
}

/// What can be said of the summaries of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// The faults, by number.
    pub breaks: Vec<Break>,
    /// What is missing below the last one that is there.
    pub gaps: Vec<Gap>,
}

/// Examines the summaries of one chain that are at hand, in any order; the same one may be there
/// several times.
#[must_use]
pub fn examine(links: &[Link]) -> Examined {
    let mut links = links.to_vec();
    links.sort_by_key(|link| (link.seq, link.digest));
    links.dedup();
    let mut found = Examined::default();
    let mut next = 0;
    let mut at = 0;
    let mut before: &[Link] = &[];
    while at < links.len() {
        let seq = links[at].seq;
        let same = links[at..].iter().take_while(|link| link.seq == seq).count();
        let these = &links[at..at + same];
        if same > 1 {
            found.breaks.push(Break::Twice { seq });
        }
        if seq > next {
            found.gaps.push(Gap { from_seq: next, to_seq: seq - 1 });
        } else if !before.is_empty() {
            // Numbers without a gap: what is left of coming after is the digest.
            let digests: BTreeSet<Digest> = before.iter().map(|last| last.digest).collect();
            if !these.iter().any(|link| link.prev.is_some_and(|prev| digests.contains(&prev))) {
                found.breaks.push(Break::Prev { seq });
            }
        }
        next = seq.saturating_add(1);
        before = these;
        at += same;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(n: u64) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn link(seq: u64) -> Link {
        Link { seq, digest: digest(seq), prev: seq.checked_sub(1).map(digest) }
    }

    #[test]
    fn a_chain_is_named_by_32_lowercase_digits() {
        let text = "0d8f6a0c6e0b4c0f9b0f2f6f0a6d1c77";
        assert_eq!(text.parse::<ChainId>().unwrap().to_string(), text);
        let upper = text.to_uppercase();
        for other in
            ["", "0d8f", &upper, &format!("{text}0"), &text.replace('0', "g"), &"é".repeat(16)]
        {
            assert_eq!(other.parse::<ChainId>(), Err(NotAChain), "{other}");
        }
    }

    #[test]
    fn what_is_missing_is_named_by_its_numbers() {
        let found = examine(&[link(5), link(2), link(3), link(9), link(3)]);
        assert_eq!(found.breaks, []);
        assert_eq!(
            found.gaps,
            [
                Gap { from_seq: 0, to_seq: 1 },
                Gap { from_seq: 4, to_seq: 4 },
                Gap { from_seq: 6, to_seq: 8 }
            ]
        );
        assert_eq!(examine(&[]), Examined::default());
        assert_eq!(
            examine(&[link(u64::MAX), link(0)]).gaps,
            [Gap { from_seq: 1, to_seq: u64::MAX - 1 }]
        );
    }

    #[test]
    fn a_gap_is_told_only_when_all_of_it_is() {
        let (chain, other) = (ChainId::from_bytes([1; 16]), ChainId::from_bytes([2; 16]));
        let gap = Gap { from_seq: 4, to_seq: 9 };
        let told = |ranges: &[(u64, u64)]| {
            let dropped = |&(from_seq, to_seq)| Dropped { chain, from_seq, to_seq };
            ranges.iter().map(dropped).collect::<DroppedRanges>().has(chain, gap)
        };
        assert!(told(&[(4, 9)]) && told(&[(7, 20), (0, 6)]) && told(&[(0, u64::MAX)]));
        assert!(!told(&[]) && !told(&[(5, 9)]) && !told(&[(4, 8)]) && !told(&[(4, 6), (8, 9)]));
        assert!(
            !DroppedRanges::from_iter([Dropped { chain, from_seq: 4, to_seq: 9 }]).has(other, gap)
        );
    }

    /// Each gap beside each range, or each of one number beside each of the one before, would be
    /// some ten thousand million.
    #[test]
    fn hundreds_of_thousands_of_gaps_ranges_and_summaries_of_one_number_are_examined() {
        const MANY: u64 = 200_000;
        let chain = ChainId::from_bytes([1; 16]);
        let told: DroppedRanges =
            (0..MANY).map(|n| Dropped { chain, from_seq: 4 * n + 1, to_seq: 4 * n + 2 }).collect();
        let gaps = (0..MANY).map(|n| Gap { from_seq: 4 * n + 1, to_seq: 4 * n + 2 + n % 2 });
        assert_eq!(gaps.filter(|gap| told.has(chain, *gap)).count() as u64, MANY / 2);
        let of = |seq: u64| {
            (0..MANY / 2).map(move |n| Link {
                seq,
                digest: digest(seq * MANY + n),
                prev: Some(digest(n)),
            })
        };
        let links: Vec<Link> = of(4).chain(of(5)).collect();
        let breaks = [Break::Twice { seq: 4 }, Break::Twice { seq: 5 }, Break::Prev { seq: 5 }];
        assert_eq!(examine(&links).breaks, breaks);
    }

    #[test]
    fn two_of_one_number_and_a_wrong_prev_are_breaks() {
        let other = Link { digest: digest(77), ..link(1) };
        assert_eq!(examine(&[link(0), link(1), other, link(2)]).breaks, [Break::Twice { seq: 1 }]);
        let wrong = Link { prev: Some(digest(77)), ..link(1) };
        assert_eq!(examine(&[link(0), wrong, link(2)]).breaks, [Break::Prev { seq: 1 }]);
    }

    proptest! {
        #[test]
        fn an_unbroken_chain_has_no_breaks_in_any_order_and_all_holes_are_gaps(seqs in prop::collection::btree_set(0u64..40, 0..40), seed in any::<u64>()) {
            let mut links: Vec<Link> = seqs.iter().copied().map(link).collect();
            links.sort_by_key(|link| Digest::of(&[link.seq.to_be_bytes(), seed.to_be_bytes()].concat()));
            let found = examine(&links);
            prop_assert_eq!(found.breaks, vec![]);
            let missing: Vec<u64> = found.gaps.iter().flat_map(|gap| gap.from_seq..=gap.to_seq).collect();
            let expected: Vec<u64> = (0..seqs.last().copied().unwrap_or(0)).filter(|seq| !seqs.contains(seq)).collect();
            prop_assert_eq!(missing, expected);
        }
    }
}
