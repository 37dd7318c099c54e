//! What came of an agent since it was looked at last: read, sorted, and folded, ready to be
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::agent_state::folds::{Fold, fold};
use crate::collector::agent_state::outages::{Months, outages, without_carrier};
use crate::collector::agent_state::unfolded::{Move, Room, unfolded};
use crate::collector::agent_state::{AgentState, Ever, PROBES, Read, read};
use crate::collector::archive::folds::{Progress, ToFold};
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::Finding;
use crate::collector::operations::key;
use crate::collector::{lateness, troubles};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::summary::{self, Summary};
use crate::evidence::told::{OutageSaid, day_of};
use crate::sla::span::Span;

/// So many summaries of an agent are folded at once, …
pub const AT_ONCE: u32 = 64;

/// Reads what is stored, and asks of it what a program that stored it may not have asked: names
/// that can be shown, a time that can be believed. Of what is not so, why.
fn to_fold(stored: ToFold, enrolled: Wall, now: Wall) -> Result<Read, String> {
    let summary = read(&stored.jws?).map_err(|error| error.to_string())?;
    let wrong = |fault: &dyn std::fmt::Display| fault.to_string();
    summary::check_texts(&summary).map_err(|fault| wrong(&fault))?;
    let now = now.max(stored.received);
    summary::check_window(summary.from, summary.to, enrolled, now)
        .map_err(|fault| wrong(&fault))?;
    Ok(Read { summary, received: stored.received })
}

/// What came of an agent since it was looked at last, ready to be written.
#[derive(Debug)]
pub struct News {
    /// Whose.
    pub agent: Kid,
    /// What it says now.
    pub state: AgentState,
    /// The spans of its summaries.
    pub spans: BTreeSet<Span>,
    /// How many summaries were folded.
    pub count: u64,
    moves: Vec<Move>,
    folds: Vec<Fold>,
    /// For each chain and UTC day, the first and the last number that has something in it.
    days: BTreeMap<(ChainId, i64), (u64, u64)>,
    outages: Vec<(String, Vec<OutageSaid>)>,
    carrier: Months,
    /// What is to be said of what came.
    found: Vec<Finding>,
}

impl News {
    /// Whether there is more of this agent than was taken at once.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.moves.iter().any(|each| each.next <= each.was.last || !each.missing.is_empty())
    }
}

/// The summary that is to be folded next.
///
/// # Errors
/// When the database fails.
pub fn first(
    archive: &Archive,
    chains: &[Progress],
) -> Result<Option<(ChainId, u64)>, ArchiveError> {
    for chain in chains {
        if let Some(stored) = unfolded(archive, chain, &mut Room::of(1))?.0.first() {
            return Ok(Some((chain.chain, stored.seq)));
        }
    }
    Ok(None)
}

/// Reads and folds what came of an agent: `chains` are all of its chains in which there is
/// something new. What came more than `late_after` after its span's end is left out, unless
/// something else bounds when it was made.
///
/// # Errors
/// When the database fails, or something of what came cannot be folded.
pub fn gather(
    archive: &Archive,
    chains: &[Progress],
    now: Wall,
    late_after: Duration,
) -> Result<Option<News>, ArchiveError> {
    gather_some(archive, chains, AT_ONCE, (now, late_after))
}

/// As [`gather`], at most so many summaries.
///
/// # Errors
/// As there.
pub fn gather_some(
    archive: &Archive,
    chains: &[Progress],
    at_most: u32,
    (now, late_after): (Wall, Duration),
) -> Result<Option<News>, ArchiveError> {
    let Some(agent) = chains.first().map(|chain| chain.agent) else { return Ok(None) };
    let since = archive.key(agent)?.map_or_else(Wall::default, |known| known.enrolled);
    let enrolled = archive.enrolled(agent)?.unwrap_or_default();
    let until = enrolled.until.unwrap_or(Wall::from_nanos(i64::MAX));
    let (mut all, mut moves) = (Vec::new(), Vec::new());
    let mut room = Room::of(at_most);
    for chain in chains {
        if room.is_full() {
            break;
        }
        let (read, next) = sorted(archive, chain, &mut room, (since, until), (now, late_after))?;
        all.extend(read);
        moves.push(next);
    }
    let before: Option<AgentState> = archive.sound_record(Kind::Agent, &agent.to_string())?;
    let Some(mut state) = statement_of(&all, before, now) else {
        return Ok(Some(nothing(agent, moves)));
    };
    let summaries: Vec<&Summary> = all.iter().map(|read| &read.summary).collect();
    for summary in &summaries {
        state.ever.add(summary, &enrolled);
        // A late summary may tell of a probe that is no more.
        for probe in &summary.probes {
            if state.probes.len() >= PROBES {
                break;
            }
            state.probes.entry(probe.name.clone()).or_insert_with(|| probe.service.clone());
        }
    }
    let folds = fold(archive, agent, &summaries)?;
    let outages = outages(archive, agent, &summaries)?;
    let (carrier, found) = without_carrier(archive, agent, &summaries)?;
    let days = days(&summaries);
    let spans = summaries.iter().map(|summary| Span::new(summary.from, summary.to)).collect();
    let count = all.len() as u64;
    Ok(Some(News { agent, state, spans, count, moves, folds, days, outages, carrier, found }))
}

/// What of a chain counts of what is to be folded next, and how the chain stands then. Of an agent
/// that was enrolled at an instant, and of which what came from another one on is left out.
fn sorted(
    archive: &Archive,
    chain: &Progress,
    room: &mut Room,
    (since, until): (Wall, Wall),
    (now, late_after): (Wall, Duration),
) -> Result<(impl Iterator<Item = Read> + use<>, Move), ArchiveError> {
    let (stored, mut next) = unfolded(archive, chain, room)?;
    // What a revoked agent said after the instant is looked at, and left out.
    let seen: BTreeSet<u64> = stored.iter().map(|each| each.seq).collect();
    let late: BTreeSet<u64> = next.late.iter().copied().collect();
    let mut sound = Vec::new();
    for each in stored.into_iter().filter(|each| each.received < until) {
        let seq = each.seq;
        match to_fold(each, since, now) {
            Ok(Read { summary, received }) => {
                let out_of_order = seq < chain.next || late.contains(&seq);
                sound.push(lateness::Read { received, summary, out_of_order });
            }
            Err(why) => next.bad.push((seq, why)),
        }
    }
    let sorted = lateness::sort(archive, chain, sound, (&seen, late_after))?;
    next.bad.extend(sorted.bad);
    (next.held, next.released, next.front) = (sorted.change, sorted.released, sorted.front);
    let counts = sorted.counts.into_iter();
    Ok((counts.map(|(received, summary)| Read { summary, received }), next))
}

/// For each chain and UTC day, the first and the last number that has something in it.
fn days(summaries: &[&Summary]) -> BTreeMap<(ChainId, i64), (u64, u64)> {
    let mut days: BTreeMap<(ChainId, i64), (u64, u64)> = BTreeMap::new();
    for summary in summaries {
        let starts = summary
            .probes
            .iter()
            .flat_map(|probe| &probe.intervals)
            .map(|interval| day_of(interval.from));
        for day in starts.collect::<BTreeSet<_>>() {
            let seqs = days.entry((summary.chain, day)).or_insert((summary.seq, summary.seq));
            *seqs = (seqs.0.min(summary.seq), seqs.1.max(summary.seq));
        }
    }
    days
}

/// What several summaries say, each where it says more of now than what was said before.
fn statement_of(all: &[Read], before: Option<AgentState>, now: Wall) -> Option<AgentState> {
    let mut sorted: Vec<&Read> = all.iter().collect();
    sorted.sort_by_key(|read| (read.summary.to, read.summary.seq));
    let mut state = before;
    for read in sorted {
        if state.as_ref().is_none_or(|state| state.is_before(read, now)) {
            state = Some(AgentState::of(read, state));
        }
    }
    state.filter(|_| !all.is_empty())
}

fn nothing(agent: Kid, moves: Vec<Move>) -> News {
    let state = AgentState {
        site: String::new(),
        software: String::new(),
        heard: Wall::default(),
        place: None,
        clock: "unknown".to_owned(),
        contracts: Vec::new(),
        probes: BTreeMap::new(),
        verdicts: Vec::new(),
        ever: Ever::default(),
    };
    let (folds, days, outages) = (Vec::new(), BTreeMap::new(), Vec::new());
    let (spans, carrier, found) = (BTreeSet::new(), Vec::new(), Vec::new());
    News { agent, state, spans, count: 0, moves, folds, days, outages, carrier, found }
}

/// Writes what was gathered, in one transaction; false when another replica was faster, and then
/// nothing is written.
///
/// # Errors
/// When the database fails.
pub fn write(archive: &Archive, news: &News, now: Wall) -> Result<bool, ArchiveError> {
    for (at, Move { was, next, missing, late, bad, held, front, released }) in
        news.moves.iter().enumerate()
    {
        // The first of them locks the agent's others out: whoever folds takes all of its chains, in
        // the same order.
        match archive.set_folded(was, *next, missing, front)? {
            true => {}
            false if at == 0 => return Ok(false),
            false => {
                return Err(ArchiveError::Damaged(
                    "two replicas fold one agent at once".to_owned(),
                ));
            }
        }
        late.iter().try_for_each(|seq| archive.drop_late((was.agent, was.chain), *seq))?;
        bad.iter().try_for_each(|(seq, why)| {
            archive.quarantine((was.agent, was.chain), *seq, why, now)
        })?;
        archive.change_held((was.agent, was.chain), held)?;
        released.iter().try_for_each(|seq| archive.look_at((was.agent, was.chain), *seq))?;
    }
    for Fold { probe, day, whole, hours } in &news.folds {
        archive.put_fold(news.agent, probe, *day, whole, hours)?;
    }
    for ((chain, day), seqs) in &news.days {
        archive.put_folded_day((news.agent, *chain), *day, *seqs)?;
    }
    if news.count > 0 {
        archive.put_record(Kind::Agent, &key(&[&news.agent.to_string()]), &news.state, now)?;
    }
    for (id, outages) in &news.outages {
        archive.put_record(Kind::Outages, id, outages, now)?;
    }
    for (id, down) in &news.carrier {
        archive.put_record(Kind::Carrier, id, down, now)?;
    }
    news.found.iter().try_for_each(|found| troubles::put_past(archive, found.clone(), now))?;
    Ok(true)
}
