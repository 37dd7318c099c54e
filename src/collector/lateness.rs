//! Reads what came of a chain, and sorts out what came too late to count, by [`crate::evidence::late`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::late::{Change, Held};
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::desk::key;
use crate::collector::statement::read;
use crate::evidence::bundle::{Accepted, Numbers};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::late::{Arrived, Before, Case, Class, Why};
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
        for Acceptance { from_seq, to_seq, who, why, at } in acceptances(archive, (numbers.agent, numbers.chain))? {
            let (from_seq, to_seq) = (from_seq.max(numbers.from_seq), to_seq.min(numbers.to_seq));
            if from_seq <= to_seq {
                all.push(Accepted { numbers: Numbers { from_seq, to_seq, ..*numbers }, who, why, at });
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

/// So many summaries of an agent that do not count are looked at again when something else of it comes: more than a month's, one
/// a minute. What comes beyond is left out for good.
const HELD: usize = 50_000;

/// What was read of a chain, sorted.
#[derive(Debug, Default)]
pub struct Sorted {
    /// What counts, with when it was received.
    pub counts: Vec<(Wall, Summary)>,
    /// What changed of those of the chain that do not count.
    pub change: Change,
    /// Those that did not count before and do now.
    pub released: Vec<u64>,
    /// Those that are left out, and why.
    pub bad: Vec<(u64, String)>,
}

/// A summary that was read, or is known to be late.
struct Candidate {
    arrived: Arrived,
    /// Absent where only what is known of a late one was read.
    summary: Option<Summary>,
    /// Why it did not count before.
    was: Option<Why>,
}

/// Sorts what was read of a chain.
///
/// # Errors
/// When the database fails.
pub fn sort(
    archive: &Archive,
    of: (Kid, ChainId),
    read: Vec<(Wall, Summary)>,
    after: Duration,
) -> Result<Sorted, ArchiveError> {
    let held = archive.held(of)?;
    let is_late = |(received, summary): &(Wall, Summary)| *received > summary.to + after;
    if held.is_empty() && !read.iter().any(is_late) {
        return Ok(Sorted { counts: read, ..Sorted::default() });
    }
    let mut room = HELD.saturating_sub(held.len() + archive.held_beside(of)?);
    let known = |Held { arrived, why }| (arrived.seq, Candidate { arrived, summary: None, was: Some(why) });
    let mut all: BTreeMap<u64, Candidate> = held.into_iter().map(known).collect();
    for (received, summary) in read {
        let arrived = arrived(received, &summary);
        let was = all.get(&arrived.seq).and_then(|known| known.was);
        all.insert(arrived.seq, Candidate { arrived, summary: Some(summary), was });
    }
    let all: Vec<Candidate> = all.into_values().collect();
    let classes = classes(archive, of, &all, after)?;
    let mut sorted = Sorted::default();
    for (Candidate { arrived, summary, was }, class) in all.into_iter().zip(classes) {
        let seq = arrived.seq;
        match (class, summary) {
            (Class::Late(why), _) if was == Some(why) => {}
            (Class::Late(_), _) if was.is_none() && room == 0 => sorted.bad.push((seq, too_many())),
            (Class::Late(why), _) => {
                room = room.saturating_sub(usize::from(was.is_none()));
                sorted.change.new.push(Held { arrived, why });
            }
            (_, summary) => {
                sorted.change.gone.extend(was.map(|_| seq));
                match summary {
                    Some(summary) => sorted.counts.push((arrived.received, summary)),
                    None => sorted.released.push(seq),
                }
            }
        }
    }
    Ok(sorted)
}

fn too_many() -> String {
    format!("it came too late to count, and so did {HELD} others of its agent before it")
}

fn arrived(received: Wall, summary: &Summary) -> Arrived {
    Arrived { seq: summary.seq, from: summary.from, to: summary.to, received, boot: summary.boot.clone() }
}

/// Classes what was read and what is known to be late, run by run.
fn classes(
    archive: &Archive,
    of: (Kid, ChainId),
    all: &[Candidate],
    after: Duration,
) -> Result<Vec<Class>, ArchiveError> {
    let accepted = acceptances(archive, of)?;
    let accepted = |seq: u64| accepted.iter().any(|each| each.from_seq <= seq && seq <= each.to_seq);
    let mut classes = Vec::with_capacity(all.len());
    for run in all.chunk_by(|one, two| one.arrived.seq.checked_add(1) == Some(two.arrived.seq)) {
        let run: Vec<Arrived> = run.iter().map(|each| each.arrived.clone()).collect();
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let before = before(archive, of, first.seq)?;
        let since = match &before {
            Before::Counts(before) => Some(before.received),
            Before::Enrolled(at) => Some(*at),
            Before::Late | Before::NewChain | Before::Hole => None,
        };
        let received = || run.iter().map(|each| each.received);
        let since = since.into_iter().chain(received()).min().unwrap_or(first.received);
        let heard = archive.heard(of, since, received().max().unwrap_or(last.received))?;
        let named = archive.named_by(of, last.seq)?;
        classes.extend(Case { after, before: &before, run: &run, named, heard: &heard }.classes(accepted));
    }
    Ok(classes)
}

/// What comes right before a number. What was neither read now nor is known to be late, nor left out, was folded, so it
/// counts.
fn before(archive: &Archive, of: (Kid, ChainId), seq: u64) -> Result<Before, ArchiveError> {
    let Some(last) = seq.checked_sub(1) else {
        return Ok(match archive.enrolment_of(of)? {
            Some((at, false)) => Before::Enrolled(at),
            _ => Before::NewChain,
        });
    };
    if !archive.left_out(of, last, last)?.is_empty() {
        return Ok(Before::Late);
    }
    if let Some(found) = archive.summaries_in(of, (last, last), 1)?.pop() {
        // One that was not looked at yet is looked at first.
        let waits = !archive.late(of, (last, last), 1)?.is_empty();
        let summary = found.jws.ok().and_then(|jws| read(&jws).ok());
        let counts = summary.filter(|_| !waits).map(|summary| arrived(found.received, &summary));
        return Ok(counts.map_or(Before::Hole, Before::Counts));
    }
    match archive.gap_around(of, last)? {
        // The agent says itself that its outbox had no room for them.
        Some((gap, true)) => before(archive, of, gap.from_seq),
        _ => Ok(Before::Hole),
    }
}
