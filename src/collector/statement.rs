//! What agents said of themselves, taken from their summaries: the state of their clocks, the contracts that they judge by, their own
//! verdicts, whose side their outages lie on; and the intervals, folded by day.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::folds::{Depth, Progress};
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::desk::key;
use crate::collector::folding::{self, DAY, HOUR, NotPieces, Piece, Told};
use crate::collector::verdicts::day_of;
use crate::evidence::base64url;
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;
use crate::evidence::register::Enrolled;
use crate::evidence::summary::{ClockState, ProbePart, Side, Summary};
use crate::sla::span::Span;

pub mod anew;

/// So many summaries of a chain are folded at once.
const AT_ONCE: u64 = 64;
/// So many names of services, or of sites, are kept of what an agent says.
const NAMES: usize = 256;

/// What an agent said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The site that it says it is at.
    pub site: String,
    /// Which program it runs.
    pub software: String,
    /// Until when its last summary goes.
    pub heard: Wall,
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
        let times = all.entry(name.to_owned()).or_insert(Self { from: summary.from, to: summary.to, summaries: 0 });
        times.from = times.from.min(summary.from);
        times.to = times.to.max(summary.to);
        times.summaries += 1;
    }
}

impl Ever {
    /// Adds what a summary says, of an agent that was enrolled so.
    fn add(&mut self, summary: &Summary, enrolled: &Enrolled) {
        let span = Span::new(summary.from, summary.to.max(summary.from.shifted(1)));
        // What goes over the instant at which it was moved counts in part, and is nothing to tell of.
        if !enrolled.at(&summary.site).touches(span) {
            Times::add(&mut self.elsewhere, &summary.site, summary);
        }
        let probes = summary.probes.iter().filter_map(|probe| Some((probe.service.as_deref()?, &probe.name)));
        let mut services: BTreeSet<&str> = summary.outages.iter().filter_map(|each| each.service.as_deref()).collect();
        for (service, probe) in probes {
            services.insert(service);
            if self.named.len() < NAMES || self.named.contains_key(service) {
                self.named.entry(service.to_owned()).or_default().insert(probe.clone());
            }
        }
        for service in services {
            Times::add(&mut self.services, service, summary);
        }
    }
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

/// An outage that an agent told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageSaid {
    /// The site that the summary names; absent of what was taken before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The probe that showed it.
    pub probe: String,
    /// By which definition.
    pub definition: String,
    /// When it began.
    pub from: Wall,
    /// When it ended.
    pub to: Option<Wall>,
    /// `provider`, `customer` or `unknown`.
    pub side: String,
}

impl Statement {
    /// What every agent said last.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all(archive: &Archive) -> Result<Vec<(Kid, Self)>, ArchiveError> {
        let all = archive.records::<Self>(Kind::Agent, Page::default())?;
        Ok(all.into_iter().filter_map(|record| Some((record.id.parse().ok()?, record.body))).collect())
    }

    /// What an agent says in a summary; what it said before is kept where this says nothing of it.
    fn of(summary: &Summary, before: Option<Self>) -> Self {
        let state = match summary.clock.state {
            ClockState::Synchronised => "synchronised",
            ClockState::Unsynchronised => "unsynchronised",
            ClockState::Unknown => "unknown",
        };
        // A span is split among several summaries where there is much to say: the probes of one are not all there are.
        let mut probes = before.as_ref().map(|before| before.probes.clone()).unwrap_or_default();
        probes.extend(summary.probes.iter().map(|probe| (probe.name.clone(), probe.service.clone())));
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
            clock: state.to_owned(),
            contracts: summary.contracts.iter().map(|of| (of.id.clone(), of.version, of.sha256.clone())).collect(),
            probes,
            verdicts,
            ever,
        }
    }
}

impl OutageSaid {
    /// The outages that a summary tells of.
    fn of(summary: &Summary) -> impl Iterator<Item = Self> + '_ {
        summary.outages.iter().map(|part| Self {
            site: Some(summary.site.clone()),
            service: part.service.clone(),
            probe: part.probe.clone(),
            definition: part.definition.clone(),
            from: part.from,
            to: part.to,
            side: match part.side {
                Side::Provider => "provider",
                Side::Customer => "customer",
                Side::Unknown => "unknown",
            }
            .to_owned(),
        })
    }

    /// Enters it among those that were told before.
    fn enter(self, kept: &mut Vec<Self>) {
        let same = |old: &&mut Self| {
            let site = old.site.is_none() || old.site == self.site;
            let own = (&old.service, &old.probe, &old.definition, old.from);
            site && own == (&self.service, &self.probe, &self.definition, self.from)
        };
        match kept.iter_mut().find(same) {
            // An end that was told is not taken back by a late summary.
            Some(old) if old.to.is_some() && self.to.is_none() => {}
            Some(old) => *old = self,
            None => kept.push(self),
        }
    }

    /// The outages of an agent that touch a span.
    ///
    /// # Errors
    /// When the database fails.
    pub fn between(archive: &Archive, agent: Kid, from: Wall, to: Wall) -> Result<Vec<Self>, ArchiveError> {
        let all = archive.records::<Vec<Self>>(Kind::Outages, Page::of(&format!("{agent}/")))?;
        let touches = |said: &Self| said.from < to && said.to.is_none_or(|end| end > from);
        let months = (month_of(from), month_of(to));
        let near = all.into_iter().filter(|record| {
            let month = record.id.rsplit('/').next().unwrap_or_default();
            month >= months.0.as_str() && month <= months.1.as_str()
        });
        Ok(near.flat_map(|record| record.body).filter(touches).collect())
    }
}

/// The UTC month of an instant: `2026-11`.
fn month_of(at: Wall) -> String {
    at.to_string().chars().take(7).collect()
}

/// The payload of a summary that was verified when it was stored.
fn read(jws: &str) -> Result<Summary, ArchiveError> {
    let damaged = |what: &dyn std::fmt::Display| ArchiveError::Damaged(format!("a summary: {what}"));
    let payload = jws.split('.').nth(1).unwrap_or_default();
    let payload = base64url::decode(payload.as_bytes()).map_err(|fault| damaged(&fault))?;
    serde_json::from_slice(&payload).map_err(|fault| damaged(&fault))
}

fn pieces<'a>(summary: &'a Summary, probe: &'a ProbePart) -> impl Iterator<Item = Piece> + 'a {
    // Each histogram was read when the summary was checked.
    let intervals = probe.intervals().filter_map(Result::ok);
    let told = Told { site: summary.site.clone(), service: probe.service.clone() };
    intervals.map(move |interval| Piece { settings: probe.settings.clone(), told: Some(told.clone()), interval })
}

/// The intervals of a probe that lie within a span, as its agent's summaries hold them.
///
/// # Errors
/// When the database fails.
pub fn minutes(archive: &Archive, agent: Kid, probe: &str, span: Span) -> Result<Vec<Piece>, ArchiveError> {
    let mut all = Vec::new();
    for jws in archive.summaries_at(agent, day_of(span.from), span.from, span.to)? {
        let summary = read(&jws)?;
        let parts = summary.probes.iter().filter(|part| part.name == probe);
        let own = parts.flat_map(|part| pieces(&summary, part));
        all.extend(own.filter(|piece| piece.interval.from >= span.from && piece.interval.to() <= span.to));
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

/// What came of an agent since it was looked at last, ready to be written.
#[derive(Debug)]
pub struct News {
    /// Whose.
    pub agent: Kid,
    /// What it says now.
    pub statement: Statement,
    /// The spans of its summaries, from the first beginning to the last end.
    pub span: Span,
    /// How many summaries were folded.
    pub count: u64,
    moves: Vec<(Progress, u64, String, u64)>,
    folds: Vec<Fold>,
    /// For each chain and UTC day, the first and the last number that has something in it.
    days: BTreeMap<(ChainId, i64), (u64, u64)>,
    outages: Vec<(String, Vec<OutageSaid>)>,
}

impl News {
    /// Whether there is more of this agent than was taken at once.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.moves.iter().any(|(was, next, ..)| *next <= was.last)
    }
}

/// Reads and folds what came of an agent: `chains` are all of its chains in which there is something new.
///
/// # Errors
/// When the database fails.
pub fn gather(archive: &Archive, chains: &[Progress]) -> Result<Option<News>, ArchiveError> {
    let Some(agent) = chains.first().map(|chain| chain.agent) else { return Ok(None) };
    let (mut summaries, mut moves) = (Vec::new(), Vec::new());
    let enrolled = archive.enrolled(agent)?.unwrap_or_default();
    let until = enrolled.until.unwrap_or(Wall::from_nanos(i64::MAX));
    for chain in chains {
        let upto = chain.last.min(chain.next.saturating_add(AT_ONCE - 1));
        // What was missing when this chain was looked at last comes late, if it comes; then what is new.
        let mut looked = ranges(&chain.missing);
        if chain.next <= upto {
            looked.push((chain.next, upto));
        }
        let mut missing = Vec::new();
        for (from, to) in looked {
            let read_here = archive.summaries_in((agent, chain.chain), from, to)?;
            missing.extend(holes((from, to), read_here.iter().map(|(seq, ..)| *seq)));
            // What a revoked agent said after the instant is looked at, and left out.
            for (.., jws) in read_here.into_iter().filter(|(_, received, _)| *received < until) {
                summaries.push(read(&jws)?);
            }
        }
        let next = upto.saturating_add(1).max(chain.next);
        let count = missing.iter().map(|(from, to)| to - from + 1).sum();
        let missing = missing.iter().map(|(from, to)| format!("{from}-{to}")).collect::<Vec<_>>().join(",");
        moves.push((chain.clone(), next, missing, count));
    }
    let before: Option<Statement> = archive.record(Kind::Agent, &agent.to_string())?;
    let latest = summaries.iter().max_by_key(|summary| (summary.to, summary.seq)).cloned();
    let (mut statement, span) = match (latest, before) {
        (Some(latest), before) => {
            let from = summaries.iter().map(|summary| summary.from).min().unwrap_or(latest.from);
            let span = Span::new(from, latest.to);
            // A late summary says nothing of how its agent is now.
            match before.filter(|before| before.heard > latest.to) {
                Some(before) => (before, span),
                None => (statement_of(&summaries, archive.record(Kind::Agent, &agent.to_string())?), span),
            }
        }
        (None, Some(before)) => (before.clone(), Span::new(before.heard, before.heard)),
        (None, None) => return Ok(Some(nothing(agent, moves))),
    };
    for summary in &summaries {
        statement.ever.add(summary, &enrolled);
        // A late summary may tell of a probe that is no more.
        for probe in &summary.probes {
            statement.probes.entry(probe.name.clone()).or_insert_with(|| probe.service.clone());
        }
    }
    let folds = fold(archive, agent, &summaries)?;
    let outages = outages(archive, agent, &summaries)?;
    let mut days: BTreeMap<(ChainId, i64), (u64, u64)> = BTreeMap::new();
    for summary in &summaries {
        let starts = summary.probes.iter().flat_map(|probe| &probe.intervals).map(|interval| day_of(interval.from));
        for day in starts.collect::<BTreeSet<_>>() {
            let seqs = days.entry((summary.chain, day)).or_insert((summary.seq, summary.seq));
            *seqs = (seqs.0.min(summary.seq), seqs.1.max(summary.seq));
        }
    }
    Ok(Some(News { agent, statement, span, count: summaries.len() as u64, moves, folds, days, outages }))
}

/// What several summaries say, the last of them last.
fn statement_of(summaries: &[Summary], before: Option<Statement>) -> Statement {
    let mut sorted: Vec<&Summary> = summaries.iter().collect();
    sorted.sort_by_key(|summary| (summary.to, summary.seq));
    let mut statement = before;
    for summary in sorted {
        statement = Some(Statement::of(summary, statement));
    }
    statement.expect("there is at least one summary")
}

fn nothing(agent: Kid, moves: Vec<(Progress, u64, String, u64)>) -> News {
    let statement = Statement {
        site: String::new(),
        software: String::new(),
        heard: Wall::default(),
        clock: "unknown".to_owned(),
        contracts: Vec::new(),
        probes: BTreeMap::new(),
        verdicts: Vec::new(),
        ever: Ever::default(),
    };
    let span = Span::new(Wall::default(), Wall::default());
    News { agent, statement, span, count: 0, moves, folds: Vec::new(), days: BTreeMap::new(), outages: Vec::new() }
}

/// The numbers of a range that are not among some, which come in rising order; both ends included.
fn holes(range: (u64, u64), there: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let (mut next, end) = range;
    let mut all = Vec::new();
    for seq in there {
        if seq > next {
            all.push((next, seq - 1));
        }
        next = seq + 1;
    }
    if next <= end {
        all.push((next, end));
    }
    all
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
fn fold(archive: &Archive, agent: Kid, summaries: &[Summary]) -> Result<Vec<Fold>, ArchiveError> {
    let mut new: BTreeMap<(&str, i64), Vec<Piece>> = BTreeMap::new();
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
            pieces.extend(folding::decode(folded.hours.as_deref().unwrap_or_default()).map_err(damaged)?);
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
    fn of(probe: &str, day: i64, pieces: Vec<Piece>) -> Result<Self, ArchiveError> {
        let hours = folding::merge(pieces, HOUR);
        let whole = folding::merge(hours.clone(), DAY);
        let written = |pieces: &[Piece]| folding::encode(pieces).map_err(damaged);
        Ok(Self { probe: probe.to_owned(), day, whole: written(&whole)?, hours: written(&hours)? })
    }
}

/// The months of an agent's outages that some summaries change. A later summary knows more of an outage than an earlier one.
fn outages(
    archive: &Archive,
    agent: Kid,
    summaries: &[Summary],
) -> Result<Vec<(String, Vec<OutageSaid>)>, ArchiveError> {
    let mut sorted: Vec<&Summary> = summaries.iter().filter(|summary| !summary.outages.is_empty()).collect();
    sorted.sort_by_key(|summary| (summary.to, summary.seq));
    let said: Vec<OutageSaid> = sorted.into_iter().flat_map(OutageSaid::of).collect();
    let months: BTreeSet<String> = said.iter().map(|each| month_of(each.from)).collect();
    let mut all = Vec::new();
    for month in months {
        let id = format!("{agent}/{month}");
        let mut kept: Vec<OutageSaid> = archive.record(Kind::Outages, &id)?.unwrap_or_default();
        for new in said.iter().filter(|each| month_of(each.from) == month) {
            new.clone().enter(&mut kept);
        }
        all.push((id, kept));
    }
    Ok(all)
}

/// Writes what was gathered, in one transaction; false when another replica was faster, and then nothing is written.
///
/// # Errors
/// When the database fails.
pub fn write(archive: &Archive, news: &News, now: Wall) -> Result<bool, ArchiveError> {
    for (at, (was, next, missing, count)) in news.moves.iter().enumerate() {
        // The first of them locks the agent's others out: whoever folds takes all of its chains, in the same order.
        match archive.set_folded(was, *next, missing, *count)? {
            true => {}
            false if at == 0 => return Ok(false),
            false => return Err(ArchiveError::Damaged("two replicas fold one agent at once".to_owned())),
        }
    }
    for Fold { probe, day, whole, hours } in &news.folds {
        archive.put_fold(news.agent, probe, *day, whole, hours)?;
    }
    for ((chain, day), seqs) in &news.days {
        archive.put_folded_day((news.agent, *chain), *day, *seqs)?;
    }
    if news.count > 0 {
        archive.put_record(Kind::Agent, &key(&[&news.agent.to_string()]), &news.statement, now)?;
    }
    for (id, outages) in &news.outages {
        archive.put_record(Kind::Outages, id, outages, now)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{holes, ranges};

    #[test]
    fn holes_are_what_was_not_read_and_survive_being_written() {
        assert_eq!(holes((3, 9), [].into_iter()), [(3, 9)]);
        assert_eq!(holes((3, 9), [3, 4, 7].into_iter()), [(5, 6), (8, 9)]);
        assert!(holes((3, 9), 3..=9).is_empty());
        assert_eq!(ranges("3-5,9-9"), [(3, 5), (9, 9)]);
        assert!(ranges("").is_empty());
    }
}
