//! Reads what came of a chain, and sorts out what came too late to count, by
//! [`crate::evidence::late`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::folds::Progress;
use crate::collector::archive::late::{Change, LateSummary};
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::key;
use crate::evidence::bundle::{Accepted, Numbers};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::late::{self, Arrived, Class, Front, Link, Why};
use crate::evidence::summary::Summary;

/// That somebody accepted late summaries of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The first number.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Wall,
}

/// What somebody accepted of a chain.
///
/// # Errors
/// When the database fails.
pub fn acceptances(archive: &Archive, of: (Kid, ChainId)) -> Result<Vec<Acceptance>, ArchiveError> {
    archive.log(Kind::Acceptance, &id_of(of))
}

/// What somebody accepted among some numbers.
///
/// # Errors
/// When the database fails.
pub fn accepted(archive: &Archive, among: &[Numbers]) -> Result<Vec<Accepted>, ArchiveError> {
    let mut all = Vec::new();
    for numbers in among {
        for Acceptance { from_seq, to_seq, who, why, at } in
            acceptances(archive, (numbers.agent, numbers.chain))?
        {
            let (from_seq, to_seq) = (from_seq.max(numbers.from_seq), to_seq.min(numbers.to_seq));
            if from_seq <= to_seq {
                all.push(Accepted {
                    numbers: Numbers { from_seq, to_seq, ..*numbers },
                    who,
                    why,
                    at,
                });
            }
        }
    }
    Ok(all)
}

/// The identifier of what was accepted of a chain.
#[must_use]
pub fn id_of(of: (Kid, ChainId)) -> String {
    key(&[&of.0.to_string(), &of.1.to_string()])
}

/// So many summaries of an agent that do not count are looked at again when something of it comes
/// that may show when they were made: more than a month's, one a minute. What comes beyond is left
/// out for good.
const HELD: usize = 50_000;
/// So many other chains of an agent are asked when it was heard of; where there are more, it was.
const CHAINS: u32 = 1_000;

/// A summary that was read.
#[derive(Debug)]
pub struct Read {
    /// When it was received.
    pub received: Wall,
    /// Itself.
    pub summary: Summary,
    /// Whether later numbers of its chain came before it.
    pub out_of_order: bool,
}

/// What was read of a chain, sorted.
#[derive(Debug)]
pub struct Sorted {
    /// What counts, with when it was received.
    pub counts: Vec<(Wall, Summary)>,
    /// What changed of those of the chain that do not count.
    pub change: Change,
    /// Those that did not count before and do now.
    pub released: Vec<u64>,
    /// Those that are left out, and why.
    pub bad: Vec<(u64, String)>,
    /// How far the chain has told now.
    pub front: Front,
}

/// Sorts what was read of a chain, in the order of its numbers. `stored` are the numbers that were
/// read, those that are no summaries included.
///
/// # Errors
/// When the database fails.
pub fn sort(
    archive: &Archive,
    chain: &Progress,
    read: Vec<Read>,
    (stored, after): (&BTreeSet<u64>, Duration),
) -> Result<Sorted, ArchiveError> {
    let of = (chain.agent, chain.chain);
    let in_doubt = |read: &Read| read.out_of_order || read.received > read.summary.to + after;
    // Most of what comes is in time: then nobody is asked.
    let accepted = if read.iter().any(in_doubt) { acceptances(archive, of)? } else { Vec::new() };
    let accepted = |own: &Arrived| {
        let mut all = accepted.iter();
        all.any(|each| {
            each.from_seq <= own.seq && own.seq <= each.to_seq && own.received <= each.at
        })
    };
    let front = match &chain.front {
        Some(front) => front.clone(),
        None => beginning(archive, chain)?,
    };
    let mut sorted = Sorted {
        counts: Vec::new(),
        change: Change::default(),
        released: Vec::new(),
        bad: Vec::new(),
        front,
    };
    let (in_order, others): (Vec<Read>, Vec<Read>) =
        read.into_iter().partition(|each| !each.out_of_order);
    let mut beside = Beside { archive, of, chains: None };
    let mut late: Vec<(Arrived, Why)> = Vec::new();
    let mut next = chain.next;
    for Read { received, summary, .. } in in_order {
        let own = arrived(received, &summary);
        let is_hole = !own.in_time(after) && is_hole(archive, of, stored, (next, own.seq))?;
        let link = if is_hole { Link::Hole } else { Link::Next };
        next = own.seq.saturating_add(1);
        let class = sorted
            .front
            .class(&own, (link, after), accepted(&own), |since, upto| beside.heard(since, upto))?;
        match class {
            Class::Late(why) => late.push((own, why)),
            _ => sorted.counts.push((received, summary)),
        }
    }
    if !others.is_empty() {
        fill(archive, of, others, (after, &accepted), (&mut sorted, &mut late))?;
    }
    hold(archive, of, late, &mut sorted)?;
    Ok(sorted)
}

/// Holds back what came too late, as far as so many more of an agent may be held.
fn hold(
    archive: &Archive,
    (agent, _): (Kid, ChainId),
    late: Vec<(Arrived, Why)>,
    sorted: &mut Sorted,
) -> Result<(), ArchiveError> {
    if late.is_empty() {
        return Ok(());
    }
    let mut room = HELD.saturating_sub(archive.held_by(agent)?);
    for (arrived, why) in late {
        if room == 0 {
            sorted.bad.push((arrived.seq, too_many()));
        } else {
            sorted.change.new.push(LateSummary { arrived, why });
            room -= 1;
        }
    }
    Ok(())
}

/// Sorts what came after later numbers of its chain, with those beside it that do not count: a
/// number in time that they lead to shows when they were made.
fn fill(
    archive: &Archive,
    of: (Kid, ChainId),
    read: Vec<Read>,
    (after, accepted): (Duration, &dyn Fn(&Arrived) -> bool),
    (sorted, late): (&mut Sorted, &mut Vec<(Arrived, Why)>),
) -> Result<(), ArchiveError> {
    let known = |LateSummary { arrived, .. }: LateSummary| (arrived.seq, (arrived, None));
    let mut all: BTreeMap<u64, (Arrived, Option<Read>)> =
        archive.held(of)?.into_iter().map(known).collect();
    let new: BTreeSet<u64> = read.iter().map(|read| read.summary.seq).collect();
    for read in read {
        let arrived = arrived(read.received, &read.summary);
        all.insert(arrived.seq, (arrived, Some(read)));
    }
    let each: Vec<Arrived> = all.values().map(|(arrived, _)| arrived.clone()).collect();
    let mut named = Vec::with_capacity(each.len());
    for run in each.chunk_by(|one, two| one.seq.checked_add(1) == Some(two.seq)) {
        let by = match run.last().filter(|_| run.iter().any(|own| new.contains(&own.seq))) {
            Some(last) => archive.named_by(of, last.seq)?,
            // Where nothing new is, nothing changes.
            None => None,
        };
        named.extend(late::named(run, by, after));
    }
    for ((own, read), named) in all.into_values().zip(named) {
        let counts = own.in_time(after) || named || accepted(&own);
        match read {
            Some(Read { received, summary, .. }) if counts => {
                sorted.front.told = sorted.front.told.max(Some(own.to));
                sorted.counts.push((received, summary));
            }
            Some(_) => late.push((own, Why::OutOfOrder)),
            None if counts => {
                sorted.change.gone.push(own.seq);
                sorted.released.push(own.seq);
            }
            None => {}
        }
    }
    Ok(())
}

fn too_many() -> String {
    format!("it came too late to count, and so did {HELD} others of its agent before it")
}

fn arrived(received: Wall, summary: &Summary) -> Arrived {
    Arrived {
        seq: summary.seq,
        from: summary.from,
        to: summary.to,
        received,
        boot: summary.boot.clone(),
    }
}

/// How far a chain has told before its first number: an agent's first chain goes on from when it
/// asked to be let in.
fn beginning(archive: &Archive, chain: &Progress) -> Result<Front, ArchiveError> {
    if chain.next > 0 {
        return Ok(Front::new_chain());
    }
    Ok(match archive.enrolment_of((chain.agent, chain.chain))? {
        Some((at, true)) => Front::enrolled(at),
        _ => Front::new_chain(),
    })
}

/// Whether numbers from one on and before another did not come, and the agent does not say that its
/// outbox had no room for them.
fn is_hole(
    archive: &Archive,
    of: (Kid, ChainId),
    stored: &BTreeSet<u64>,
    (mut from, to): (u64, u64),
) -> Result<bool, ArchiveError> {
    while let Some(missing) = (from..to).find(|seq| !stored.contains(seq)) {
        match archive.gap_around(of, missing)? {
            Some((gap, true)) => from = gap.to_seq.saturating_add(1),
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// When an agent was heard of in its other chains.
struct Beside<'a> {
    archive: &'a Archive,
    of: (Kid, ChainId),
    /// When each was heard of first and last, once it was asked for; nothing where there are too
    /// many.
    chains: Option<Option<Vec<(Wall, Wall)>>>,
}

impl Beside<'_> {
    /// Whether another chain may have been heard of after an instant and up to another: it began
    /// before that, and went on after this.
    fn heard(&mut self, since: Wall, upto: Wall) -> Result<bool, ArchiveError> {
        let chains = match &self.chains {
            Some(chains) => chains,
            None => {
                let all = self.archive.chains_beside(self.of, CHAINS)?;
                self.chains.insert(Some(all).filter(|all| all.len() < CHAINS as usize))
            }
        };
        Ok(chains
            .as_ref()
            .is_none_or(|all| all.iter().any(|(first, last)| *first <= upto && *last > since)))
    }
}
