//! What agents said of themselves, taken from their summaries: the state of their clocks, the
//! contracts that they judge by, their own verdicts, whose side their outages lie on; and the
//! intervals, folded by day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::folds::{Depth, Progress, ToFold};
use crate::collector::archive::late::Change;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::compaction::{self, DAY, HOUR, NotPieces, Segment, Told};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::operations::key;
use crate::collector::{lateness, troubles};
use crate::evidence::base64url;
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::late::Front;
use crate::evidence::register::Enrolled;
use crate::evidence::summary::{self, ProbePart, Summary};
use crate::evidence::told::{CarrierDown, OutageSaid, Places, STRETCHES, day_of};
use crate::sla::span::{Span, Spans};

pub mod refold;

/// So many names of services, or of sites, are kept of what an agent says.
const NAMES: usize = 256;
/// So many summaries of an agent are folded at once, …
pub const AT_ONCE: u32 = 64;
/// … and no further one once they have so many bytes: what is read of them takes several times as
/// much memory.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// So many are read in one query.
const PART: u32 = 8;
/// An agent is believed to have so many probes at most: of one that goes on naming others, the last
/// count.
const PROBES: usize = 10_000;
/// What an agent says of a later time than that at which it was received, and by more than so much,
/// is its clock's fault.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What an agent said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// The site that it says it is at.
    pub site: String,
    /// Which program it runs.
    pub software: String,
    /// Until when its last summary goes.
    pub heard: Wall,
    /// When that was received, and its place; absent where an earlier version of this program wrote
    /// it.
    #[serde(default)]
    pub place: Option<Placed>,
    /// `synchronised`, `unsynchronised` or `unknown`.
    pub clock: String,
    /// The contracts that it judges by: id, version, digest.
    pub contracts: Vec<(String, u64, String)>,
    /// Its probes, and the services that they name.
    pub probes: BTreeMap<String, Option<String>>,
    /// Its own verdicts.
    pub verdicts: Vec<VerdictSaid>,
    /// What it ever said that it speaks for.
    #[serde(default)]
    pub ever: Ever,
}

/// What an agent ever said that it speaks for, however late it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ever {
    /// The services that its probes and outages named, and when.
    pub services: BTreeMap<String, Times>,
    /// The probes that named each service.
    pub named: BTreeMap<String, BTreeSet<String>>,
    /// The sites that its summaries named while it was not there, and when.
    pub elsewhere: BTreeMap<String, Times>,
}

/// When something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Where the first summary that said it begins.
    pub from: Wall,
    /// Where the last one ends.
    pub to: Wall,
    /// How many said it.
    pub summaries: u64,
}

impl Times {
    fn add(all: &mut BTreeMap<String, Self>, name: &str, summary: &Summary) {
        // An agent that names another one each time is told of all the same.
        if all.len() >= NAMES && !all.contains_key(name) {
            return;
        }
        let times = all.entry(name.to_owned()).or_insert(Self {
            from: summary.from,
            to: summary.to,
            summaries: 0,
        });
        times.from = times.from.min(summary.from);
        times.to = times.to.max(summary.to);
        times.summaries += 1;
    }
}

impl Ever {
    /// Adds what a summary says, of an agent that was enrolled so.
    fn add(&mut self, summary: &Summary, enrolled: &Enrolled) {
        let span = Span::new(summary.from, summary.to.max(summary.from.shifted(1)));
        // What goes over the instant at which it was moved counts in part, and is nothing to tell
        // of.
        if !enrolled.at(&summary.site).touches(span) {
            Times::add(&mut self.elsewhere, &summary.site, summary);
        }
        let probes = summary
            .probes
            .iter()
            .filter_map(|probe| Some((probe.service.as_deref()?, &probe.name)));
        let mut services: BTreeSet<&str> =
            summary.outages.iter().filter_map(|each| each.service.as_deref()).collect();
        for (service, probe) in probes {
            services.insert(service);
            if self.named.len() < NAMES || self.named.contains_key(service) {
                let probes = self.named.entry(service.to_owned()).or_default();
                if probes.len() < NAMES {
                    probes.insert(probe.clone());
                }
            }
        }
        for service in services {
            Times::add(&mut self.services, service, summary);
        }
    }
}

/// Which summary a statement is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// When it was received.
    pub received: Wall,
}

/// A verdict that an agent reached itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictSaid {
    /// The contract.
    pub contract: String,
    /// Its version.
    pub version: u64,
    /// The service.
    pub service: String,
    /// The objective.
    pub objective: String,
    /// The period.
    pub period: String,
    /// `met`, `breached` or `not_determined`.
    pub result: String,
}

impl AgentState {
    /// What every agent said last. What cannot be read is left out: the agent's next summary says
    /// it anew.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all(archive: &Archive) -> Result<Vec<(Kid, Self)>, ArchiveError> {
        let all = archive.sound_records::<Self>(Kind::Agent, Page::default())?;
        Ok(all
            .into_iter()
            .filter_map(|record| Some((record.id.parse().ok()?, record.body)))
            .collect())
    }

    /// Whether a summary says more of how its agent is now than this does: it has a later number in
    /// the same chain, or is of a later time. Where this says something of a time that had not come
    /// when it was received, the agent's clock was wrong, and whatever comes then is believed
    /// rather than this.
    fn is_before(&self, read: &Read, now: Wall) -> bool {
        match self.place {
            Some(place) if place.chain == read.summary.chain => read.summary.seq > place.seq,
            _ => read.summary.to >= self.heard || self.is_ahead(now),
        }
    }

    /// Whether it says something of a time that had not come when it was received.
    #[must_use]
    pub fn is_ahead(&self, now: Wall) -> bool {
        self.heard > self.place.map_or(now, |place| place.received) + CLOCKS_DIFFER
    }

    /// What an agent says in a summary; what it said before is kept where this says nothing of it.
    fn of(read: &Read, before: Option<Self>) -> Self {
        let summary = &read.summary;
        // A span is split among several summaries where there is much to say: the probes of one are
        // not all there are.
        let mut probes = before.as_ref().map(|before| before.probes.clone()).unwrap_or_default();
        let own = || summary.probes.iter().map(|probe| (probe.name.clone(), probe.service.clone()));
        probes.extend(own());
        if probes.len() > PROBES {
            probes = own().collect();
        }
        let mut verdicts: Vec<VerdictSaid> = summary
            .verdicts
            .iter()
            .map(|said| VerdictSaid {
                contract: said.contract.clone(),
                version: said.version,
                service: said.service.clone(),
                objective: said.objective.clone(),
                period: said.period.clone(),
                result: said.result.clone(),
            })
            .collect();
        let ever = before.as_ref().map(|before| before.ever.clone()).unwrap_or_default();
        if verdicts.is_empty() {
            verdicts = before.map(|before| before.verdicts).unwrap_or_default();
        }
        Self {
            site: summary.site.clone(),
            software: summary.software.clone(),
            heard: summary.to,
            place: Some(Placed { chain: summary.chain, seq: summary.seq, received: read.received }),
            clock: summary.clock.state.word().to_owned(),
            contracts: summary
                .contracts
                .iter()
                .map(|of| (of.id.clone(), of.version, of.sha256.clone()))
                .collect(),
            probes,
            verdicts,
            ever,
        }
    }
}

/// The outages that an agent told of and that touch a span; of one whose end nobody told, as it
/// stood at `as_of`.
///
/// # Errors
/// When the database fails.
pub fn outages_of(
    archive: &Archive,
    agent: Kid,
    span: Span,
    as_of: Wall,
) -> Result<Vec<OutageSaid>, ArchiveError> {
    let all = archive.records::<Vec<OutageSaid>>(Kind::Outages, Page::of(&format!("{agent}/")))?;
    let touches = |said: &OutageSaid| !said.span(as_of).and(span).is_empty();
    Ok(all.into_iter().flat_map(|record| record.body).filter(touches).collect())
}

/// When an agent's links had no carrier, as far as that touches a span.
///
/// # Errors
/// When the database fails.
pub fn carrier_down(archive: &Archive, agent: Kid, span: Span) -> Result<Spans, ArchiveError> {
    let all = archive.records::<KeptCarrier>(Kind::Carrier, Page::of(&format!("{agent}/")))?;
    let months = (month_of(span.from), month_of(span.to));
    let near = all.into_iter().filter(|record| {
        let month = record.id.rsplit('/').next().unwrap_or_default();
        month >= months.0.as_str() && month <= months.1.as_str()
    });
    Ok(near.fold(Spans::none(), |all, record| all.or(&record.body.read().spans())))
}

/// The UTC month of an instant: `2026-11`.
fn month_of(at: Wall) -> String {
    at.to_string().chars().take(7).collect()
}

/// A stored summary, read, and when it was received.
#[derive(Clone, Debug)]
struct Read {
    summary: Summary,
    received: Wall,
}

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

/// When an agent's links had no carrier, by the record of each month.
type Months = Vec<(String, CarrierDown)>;

/// When there was no carrier, as it is kept.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptCarrier {
    ByDay(CarrierDown),
    /// By an earlier version of this program.
    Stretches(Vec<(Wall, Wall)>),
}

impl KeptCarrier {
    fn read(self) -> CarrierDown {
        match self {
            Self::ByDay(down) => down,
            Self::Stretches(all) => CarrierDown::of_stretches(all),
        }
    }
}

/// The payload of a summary that was verified when it was stored.
pub(super) fn read(jws: &str) -> Result<Summary, ArchiveError> {
    let damaged =
        |what: &dyn std::fmt::Display| ArchiveError::Damaged(format!("a summary: {what}"));
    let payload = jws.split('.').nth(1).unwrap_or_default();
    let payload = base64url::decode(payload.as_bytes()).map_err(|fault| damaged(&fault))?;
    serde_json::from_slice(&payload).map_err(|fault| damaged(&fault))
}

fn pieces<'a>(summary: &'a Summary, probe: &'a ProbePart) -> impl Iterator<Item = Segment> + 'a {
    // Each histogram was read when the summary was checked.
    let intervals = probe.intervals().filter_map(Result::ok);
    let told = Arc::new(Told { site: summary.site.clone(), service: probe.service.clone() });
    let settings: Arc<str> = probe.settings.as_str().into();
    intervals.map(move |interval| Segment {
        settings: Arc::clone(&settings),
        told: Some(Arc::clone(&told)),
        interval,
    })
}

/// The intervals of a probe that lie within a span, as its agent's summaries hold them.
///
/// # Errors
/// When the database fails.
pub fn minutes(
    archive: &Archive,
    agent: Kid,
    probe: &str,
    span: Span,
) -> Result<Vec<Segment>, ArchiveError> {
    let mut all = Vec::new();
    for jws in archive.summaries_at(agent, day_of(span.from), span.from, span.to)? {
        let summary = read(&jws)?;
        let parts = summary.probes.iter().filter(|part| part.name == probe);
        let own = parts.flat_map(|part| pieces(&summary, part));
        all.extend(
            own.filter(|piece| piece.interval.from >= span.from && piece.interval.to() <= span.to),
        );
    }
    Ok(all)
}

/// A folded day of a probe, as it is to be written.
#[derive(Debug)]
struct Fold {
    probe: String,
    day: i64,
    whole: Vec<u8>,
    hours: Vec<u8>,
}

/// How a chain is looked at: from where on it was not yet, and what of late numbers is done with.
#[derive(Debug)]
struct Move {
    was: Progress,
    next: u64,
    /// What is left of [`Progress::findings`].
    missing: String,
    late: Vec<u64>,
    /// What is left out, and why.
    bad: Vec<(u64, String)>,
    /// What came too late to count, where that changed.
    held: Change,
    /// How far the chain has told then.
    front: Front,
    /// Those that did not count and do now: they are looked at the next time.
    released: Vec<u64>,
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
        let (stored, mut next) = unfolded(archive, chain, &mut room)?;
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
        all.extend(sorted.counts.into_iter().map(|(received, summary)| Read { summary, received }));
        next.bad.extend(sorted.bad);
        (next.held, next.released, next.front) = (sorted.change, sorted.released, sorted.front);
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
    let mut days: BTreeMap<(ChainId, i64), (u64, u64)> = BTreeMap::new();
    for summary in &summaries {
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
    let spans = summaries.iter().map(|summary| Span::new(summary.from, summary.to)).collect();
    let count = all.len() as u64;
    Ok(Some(News { agent, state, spans, count, moves, folds, days, outages, carrier, found }))
}

/// How much is still read of an agent at once.
struct Room {
    summaries: u32,
    bytes: usize,
}

impl Room {
    const fn of(summaries: u32) -> Self {
        Self { summaries, bytes: BYTES_AT_ONCE }
    }

    const fn is_full(&self) -> bool {
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
fn unfolded(
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
    // Read after what is new: a late one that is among it is done with; one that is not is looked
    // at the next time.
    let mut late = match next.checked_sub(1) {
        Some(upto) if upto >= chain.next => archive.late(of, (chain.next, upto), u32::MAX)?,
        _ => Vec::new(),
    };
    late.retain(|seq| stored.contains_key(seq));
    if let Some(before) = chain.next.checked_sub(1) {
        for seq in archive.late(of, (0, before), room.summaries)? {
            if room.is_full() {
                break;
            }
            stored.extend(
                room.read(archive, of, (seq, seq))?.into_iter().map(|each| (each.seq, each)),
            );
            late.push(seq);
        }
    }
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

/// `3-5,9-9` as ranges.
fn ranges(text: &str) -> Vec<(u64, u64)> {
    text.split(',')
        .filter_map(|range| {
            let (from, to) = range.split_once('-')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        })
        .collect()
}

/// The folded days that some summaries change.
fn fold(archive: &Archive, agent: Kid, summaries: &[&Summary]) -> Result<Vec<Fold>, ArchiveError> {
    let mut new: BTreeMap<(&str, i64), Vec<Segment>> = BTreeMap::new();
    for summary in summaries {
        for probe in &summary.probes {
            for piece in pieces(summary, probe) {
                new.entry((&probe.name, day_of(piece.interval.from))).or_default().push(piece);
            }
        }
    }
    let mut all = Vec::new();
    for ((probe, day), mut pieces) in new {
        for folded in archive.folded_days(agent, probe, (day, day), Depth::Hours)? {
            pieces.extend(
                compaction::decode(folded.hours.as_deref().unwrap_or_default()).map_err(damaged)?,
            );
        }
        all.push(Fold::of(probe, day, pieces)?);
    }
    Ok(all)
}

fn damaged(fault: NotPieces) -> ArchiveError {
    ArchiveError::Damaged(format!("a folded day: {fault}"))
}

impl Fold {
    /// A probe's day, of all that came of it.
    fn of(probe: &str, day: i64, pieces: Vec<Segment>) -> Result<Self, ArchiveError> {
        let hours = compaction::merge(pieces, HOUR);
        let whole = compaction::merge(hours.clone(), DAY);
        let written = |pieces: &[Segment]| compaction::encode(pieces).map_err(damaged);
        Ok(Self { probe: probe.to_owned(), day, whole: written(&whole)?, hours: written(&hours)? })
    }
}

/// The months of an agent's outages that some summaries change. A later summary knows more of an
/// outage than an earlier one.
fn outages(
    archive: &Archive,
    agent: Kid,
    summaries: &[&Summary],
) -> Result<Vec<(String, Vec<OutageSaid>)>, ArchiveError> {
    let mut sorted: Vec<&Summary> =
        summaries.iter().copied().filter(|summary| !summary.outages.is_empty()).collect();
    sorted.sort_by_key(|summary| (summary.to, summary.seq));
    let said: Vec<OutageSaid> = sorted.into_iter().flat_map(OutageSaid::of).collect();
    let months: BTreeSet<String> = said.iter().map(|each| month_of(each.from)).collect();
    let mut all = Vec::new();
    for month in months {
        let id = format!("{agent}/{month}");
        let mut kept: Vec<OutageSaid> = archive.record(Kind::Outages, &id)?.unwrap_or_default();
        let mut places = Places::of(&kept);
        for new in said.iter().filter(|each| month_of(each.from) == month) {
            new.clone().enter(&mut kept, &mut places);
        }
        all.push((id, kept));
    }
    Ok(all)
}

/// The months, in UTC, in which an agent's links had no carrier, as far as some summaries change
/// them; and the days of which that is too much.
fn without_carrier(
    archive: &Archive,
    agent: Kid,
    summaries: &[&Summary],
) -> Result<(Months, Vec<Finding>), ArchiveError> {
    let (mut months, mut found) = (BTreeMap::new(), Vec::new());
    for summary in summaries.iter().filter(|summary| !summary.carrier_down().is_empty()) {
        let id = format!("{agent}/{}", month_of(summary.from));
        if !months.contains_key(&id) {
            let kept = archive.record::<KeptCarrier>(Kind::Carrier, &id)?;
            months.insert(id.clone(), kept.map(KeptCarrier::read).unwrap_or_default());
        }
        if months.get_mut(&id).is_some_and(|down| down.add(summary)) {
            let day: String = summary.from.to_string().chars().take(10).collect();
            let detail = format!(
                "agent {agent} tells of more than {STRETCHES} times at which its links had no \
                    carrier on {day}: none of them counts"
            );
            let (kind, subject) = (FindingKind::Quarantined, format!("{agent}/carrier/{day}"));
            found.push(Finding { kind, subject, site: Some(summary.site.clone()), detail });
        }
    }
    Ok((months.into_iter().filter(|(_, down)| *down != CarrierDown::default()).collect(), found))
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

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn ranges_that_were_written_are_read() {
        assert_eq!(ranges("3-5,9-9"), [(3, 5), (9, 9)]);
        assert!(ranges("").is_empty());
    }
}
