//! What was measured of a service, read as coarsely as it can be: days where a day is taken whole,
//! hours where it is not, minutes where an hour is not. Only what an agent may speak for counts; of
//! several that measure by a probe of one name, one binds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::collector::agent_state::{self, outages};
use crate::collector::archive::folds::Depth;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::compaction::{self, Attribution, Segment};
use crate::collector::removed_months;
use crate::collector::verdicts::{Evaluator, Fleet, Histograms};
use crate::evidence::key::Kid;
use crate::evidence::register::{self, Place, Rank};
use crate::evidence::told::{day_of, span_of as span_of_days};
use crate::measure::histogram::Histogram;
use crate::measure::interval::Interval;
use crate::measure::outcome::{Outcome, Reason};
use crate::sla::judge::InForce;
use crate::sla::observed::{Seen, is_cut};
use crate::sla::span::{Span, Spans};

/// A service whose outcomes change more often than this in what is read of it is not judged: each
/// change takes memory, and no line that anybody pays for does so. A probe each second of which
/// every other one is lost makes 2.7 million in a month.
const MOST_RUNS: usize = 8_000_000;
/// Nor one of which so many bytes are in memory at once: a year of ten probes takes some 40 MB, a
/// month of a group of 1,000 some 60.
const MOST_BYTES: usize = 96 * 1024 * 1024;
/// What an allocation takes beside what is asked for, and a shared one before what is in it.
const ALLOCATED: usize = 16;

/// What one probe of one agent measured.
#[derive(Debug)]
struct Source {
    agent: Kid,
    probe: String,
    rank: Rank,
    /// The service that the probe named last, for what was folded before that was kept with it.
    service: Option<String>,
    /// What counts and binds.
    pieces: Vec<Measured>,
    /// What counts, and another witness's binds.
    beside: Vec<Measured>,
}

/// An interval, shared with the judge, and what its summary said that it is about.
#[derive(Debug)]
struct Measured {
    told: Option<Arc<Attribution>>,
    interval: Arc<Interval>,
}

impl Measured {
    /// With the one reason that a verdict looks at.
    fn of(Segment { told, mut interval, .. }: Segment) -> Self {
        // Most have none: they need no text to look for.
        if !interval.reasons.is_empty() {
            let carrier = interval.reasons.remove_entry(&Reason::CARRIER.to_string());
            interval.reasons = carrier.into_iter().collect();
        }
        Self { told, interval: Arc::new(interval) }
    }

    /// How many bytes it takes in memory, at most.
    fn weight(&self) -> usize {
        let Interval { outcomes, reasons, rtt, ipdv, .. } = &*self.interval;
        let histograms = [rtt, ipdv].into_iter().flatten().map(|spread| &spread.histogram);
        // A map's node has room for eleven.
        let reason = ALLOCATED + 11 * size_of::<(String, u32)>() + 2 * ALLOCATED;
        size_of::<Self>()
            + 2 * ALLOCATED
            + size_of::<Interval>()
            + ALLOCATED
            + outcomes.runs().len() * size_of::<(u32, Outcome)>()
            + reasons.len() * reason
            + histograms.map(|each| ALLOCATED + each.base64_at_most()).sum::<usize>()
    }
}

/// How much of a service is in memory.
#[derive(Debug, Default)]
struct Load {
    runs: usize,
    bytes: usize,
}

impl Load {
    /// Adds what was read.
    ///
    /// # Errors
    /// When it is too much.
    fn add(&mut self, pieces: &[Measured]) -> Result<(), ArchiveError> {
        let Self { runs, bytes } = Self::of(pieces);
        (self.runs, self.bytes) = (self.runs + runs, self.bytes + bytes);
        let what = match self {
            Self { runs: ..=MOST_RUNS, bytes: ..=MOST_BYTES } => return Ok(()),
            Self { bytes: ..=MOST_BYTES, .. } => format!("{MOST_RUNS} changes of outcome"),
            _ => format!("{MOST_BYTES} bytes of intervals that stand apart"),
        };
        Err(ArchiveError::TooMuch(format!("the service has more than {what} to judge")))
    }

    /// Takes away what is let go.
    fn take(&mut self, pieces: &[Measured]) {
        let Self { runs, bytes } = Self::of(pieces);
        (self.runs, self.bytes) = (self.runs - runs, self.bytes - bytes);
    }

    fn of(pieces: &[Measured]) -> Self {
        Self {
            runs: pieces.iter().map(|piece| piece.interval.outcomes.runs().len()).sum(),
            bytes: pieces.iter().map(Measured::weight).sum(),
        }
    }
}

/// What the probes of a service and its members measured.
#[derive(Debug)]
pub struct Sources<'a> {
    fleet: &'a Fleet,
    places: Vec<Place<'a>>,
    /// By probe, and for each the witness that binds first.
    all: Vec<Source>,
    load: Load,
    effort: &'a Effort<'a>,
    carrier_down: BTreeMap<Kid, Spans>,
    /// Of the single minutes that had to be read, so many summaries were let go.
    pub gone: u64,
}

impl<'a> Sources<'a> {
    /// Reads some UTC days, both included.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read(
        evaluator: &Evaluator<'a>,
        versions: &'a [InForce],
        service: &str,
        days: (i64, i64),
        effort: &'a Effort<'a>,
    ) -> Result<Self, ArchiveError> {
        let places = register::places(versions, service);
        let (mut all, mut carrier_down, mut load) = (Vec::new(), BTreeMap::new(), Load::default());
        for (agent, probe) in probes(evaluator.fleet, &places) {
            let Some(rank) = evaluator.fleet.register().rank(&places, agent) else { continue };
            let mut pieces = Vec::new();
            for day in evaluator.archive.folded_days(agent, &probe, days, Depth::Days)? {
                let own = decoded(&day.whole)?;
                load.add(&own)?;
                if effort.is_spent() {
                    break;
                }
                pieces.extend(own);
            }
            if let Entry::Vacant(entry) = carrier_down.entry(agent) {
                entry.insert(outages::carrier_down(evaluator.archive, agent, span_of_days(days))?);
            }
            let service =
                evaluator.fleet.get(agent).and_then(|said| said.probes.get(&probe)?.clone());
            all.push(Source { agent, probe, rank, service, pieces, beside: Vec::new() });
        }
        all.sort_by(|one, two| (&one.probe, one.rank).cmp(&(&two.probe, two.rank)));
        let mut sources =
            Self { fleet: evaluator.fleet, places, all, load, effort, carrier_down, gone: 0 };
        sources.settle(evaluator.archive, &BTreeSet::new())?;
        Ok(sources)
    }

    /// Finds out what counts, and of that what binds; reads finer whatever a boundary cuts.
    ///
    /// # Errors
    /// When the database fails.
    pub fn settle(
        &mut self,
        archive: &Archive,
        boundaries: &BTreeSet<Wall>,
    ) -> Result<(), ArchiveError> {
        let mut of = String::new();
        // By site: members of a service at two sites may have probes of one name.
        let mut covered: BTreeMap<String, Spans> = BTreeMap::new();
        for source in &mut self.all {
            if of != source.probe {
                covered.clear();
                of.clone_from(&source.probe);
            }
            source.pieces.append(&mut source.beside);
            source.pieces.sort_by_key(|piece| piece.interval.from);
            let counts = source.counts(self.fleet, &self.places);
            let edges = counts
                .values()
                .chain(covered.values())
                .flat_map(Spans::iter)
                .flat_map(|span| [span.from, span.to]);
            self.gone += source.refine(
                archive,
                &edges.chain(boundaries.iter().copied()).collect(),
                (&mut self.load, self.effort),
            )?;
            let counts = source.counts(self.fleet, &self.places);
            source.keep(&mut self.load, |piece| {
                counts.get(&piece.told).is_some_and(|spans| covers(spans, span_of(piece)))
            });
            let enrolled = self.fleet.register().get(source.agent);
            let site = |piece: &Measured| match &piece.told {
                Some(told) => told.site.clone(),
                None => enrolled
                    .and_then(|own| own.site_at(piece.interval.from))
                    .unwrap_or_default()
                    .to_owned(),
            };
            let taken = |piece: &Measured| {
                covered.get(&site(piece)).is_some_and(|spans| spans.touches(span_of(piece)))
            };
            let pieces = std::mem::take(&mut source.pieces);
            (source.beside, source.pieces) = pieces.into_iter().partition(taken);
            let mut new: BTreeMap<String, Vec<Span>> = BTreeMap::new();
            for piece in &source.pieces {
                new.entry(site(piece)).or_default().push(span_of(piece));
            }
            for (site, spans) in new {
                let spans = spans.into_iter().collect();
                let all = covered.entry(site).or_default();
                *all = all.or(&spans);
            }
        }
        Ok(())
    }

    /// How much may still be done.
    pub const fn effort(&self) -> &'a Effort<'a> {
        self.effort
    }

    /// The agents that measured: the one that binds comes first.
    pub fn agents(&self) -> Vec<Kid> {
        let own =
            self.all.iter().filter(|source| !source.pieces.is_empty() || !source.beside.is_empty());
        let ranked: BTreeSet<(Rank, Kid)> = own.map(|source| (source.rank, source.agent)).collect();
        ranked.into_iter().map(|(_, agent)| agent).collect()
    }

    /// The agents whose figures bind for any time, in that order.
    pub fn binding(&self) -> Vec<Kid> {
        let own = self.all.iter().filter(|source| !source.pieces.is_empty());
        let ranked: BTreeSet<(Rank, Kid)> = own.map(|source| (source.rank, source.agent)).collect();
        ranked.into_iter().map(|(_, agent)| agent).collect()
    }

    /// The agents that measured what another's figures bind for.
    pub fn beside(&self) -> Vec<Kid> {
        let own = self.all.iter().filter(|source| !source.beside.is_empty());
        let ranked: BTreeSet<(Rank, Kid)> = own.map(|source| (source.rank, source.agent)).collect();
        ranked.into_iter().map(|(_, agent)| agent).collect()
    }

    /// Until when any of it goes.
    pub fn heard(&self) -> Option<Wall> {
        let all = self.all.iter().flat_map(|source| source.pieces.iter().chain(&source.beside));
        all.map(|piece| piece.interval.to()).max()
    }

    /// The probes that name a service themselves.
    pub fn naming(&self, service: &str) -> BTreeSet<String> {
        let names = |source: &&Source| {
            let told = |piece: &Measured| match &piece.told {
                Some(told) => told.service.as_deref() == Some(service),
                None => source.service.as_deref() == Some(service),
            };
            source.pieces.iter().chain(&source.beside).any(told)
        };
        self.all.iter().filter(names).map(|source| source.probe.clone()).collect()
    }

    /// Whether anything that an agent measured binds within a span.
    pub fn binds(&self, agent: Kid, span: Span) -> bool {
        let own = self
            .all
            .iter()
            .filter(|source| source.agent == agent)
            .flat_map(|source| &source.pieces);
        own.into_iter().any(|piece| !span_of(piece).and(span).is_empty())
    }

    /// When what an agent says of a service's outages counts.
    pub fn speaks(&self, agent: Kid, probe: &str, told: (Option<&str>, &str)) -> Spans {
        let (site, service) = told;
        let told = register::Assertion { agent, probe, site, service: Some(service) };
        let own: Vec<Place<'_>> =
            self.places.iter().filter(|place| place.service.id == service).copied().collect();
        self.fleet.register().counts(&own, told)
    }

    /// What binds, by probe.
    pub fn binding_seen(&self) -> BTreeMap<String, Seen> {
        seen(self.all.iter().map(|source| (source, vec![&source.pieces])), &self.carrier_down)
    }

    /// What one witness measured, by probe.
    pub fn seen_by(&self, agent: Kid) -> BTreeMap<String, Seen> {
        let own = self.all.iter().filter(|source| source.agent == agent);
        seen(own.map(|source| (source, vec![&source.pieces, &source.beside])), &self.carrier_down)
    }

    /// The RTTs of each probe that bind within a span, merged.
    pub fn histograms(&self, span: Span) -> Histograms {
        let mut merged: BTreeMap<&str, Histogram> = BTreeMap::new();
        for source in &self.all {
            let intervals = source.pieces.iter().map(|piece| &piece.interval);
            for interval in intervals.filter(|each| span.holds(each.from) && each.to() <= span.to) {
                let rtt = interval.rtt.as_ref();
                if let Some(read) = rtt.and_then(|rtt| rtt.histogram.unpack().ok()) {
                    match merged.get_mut(source.probe.as_str()) {
                        Some(all) => all.merge(&read),
                        None => {
                            merged.insert(&source.probe, read);
                        }
                    }
                }
            }
        }
        let packed =
            merged.into_iter().filter_map(|(name, all)| Some((name.to_owned(), all.pack()?)));
        packed.map(|(name, packed)| (name, packed.to_base64())).collect()
    }

    /// Whether a boundary cuts anything.
    pub fn has_cut(&self, boundaries: &BTreeSet<Wall>) -> bool {
        self.all.iter().any(|source| source.has_cut(boundaries))
    }
}

impl Source {
    /// When what it says counts, by what it says that it is about.
    fn counts(
        &self,
        fleet: &Fleet,
        places: &[Place<'_>],
    ) -> BTreeMap<Option<Arc<Attribution>>, Spans> {
        let mut all = BTreeMap::new();
        for piece in &self.pieces {
            if all.contains_key(&piece.told) {
                continue;
            }
            let (site, service) = match &piece.told {
                Some(told) => (Some(told.site.as_str()), told.service.as_deref()),
                None => (None, self.service.as_deref()),
            };
            let told = register::Assertion { agent: self.agent, probe: &self.probe, site, service };
            all.insert(piece.told.clone(), fleet.register().counts(places, told));
        }
        all
    }

    /// Keeps some of its pieces.
    fn keep(&mut self, load: &mut Load, mut keep: impl FnMut(&Measured) -> bool) {
        self.pieces.retain(|piece| {
            let kept = keep(piece);
            if !kept {
                load.take(std::slice::from_ref(piece));
            }
            kept
        });
    }

    fn has_cut(&self, boundaries: &BTreeSet<Wall>) -> bool {
        self.pieces.iter().chain(&self.beside).any(|piece| is_cut(&piece.interval, boundaries))
    }

    /// Reads finer whatever has a boundary strictly inside; says how many of the summaries that it
    /// needed were let go.
    fn refine(
        &mut self,
        archive: &Archive,
        boundaries: &BTreeSet<Wall>,
        (load, effort): (&mut Load, &Effort<'_>),
    ) -> Result<u64, ArchiveError> {
        let mut gone = 0;
        let cut: BTreeSet<i64> = self
            .pieces
            .iter()
            .filter(|piece| is_cut(&piece.interval, boundaries))
            .map(|piece| day_of(piece.interval.from))
            .collect();
        self.keep(load, |piece| !cut.contains(&day_of(piece.interval.from)));
        for &day in &cut {
            if effort.is_spent() {
                break;
            }
            for folded in archive.folded_days(self.agent, &self.probe, (day, day), Depth::Hours)? {
                let hours = decoded(folded.hours.as_deref().unwrap_or_default())?;
                let (cut, whole): (Vec<Measured>, Vec<Measured>) =
                    hours.into_iter().partition(|piece| is_cut(&piece.interval, boundaries));
                load.add(&whole)?;
                self.pieces.extend(whole);
                if !cut.is_empty() {
                    gone += removed_months::missing_of(archive, &[self.agent], (day, day))?;
                }
                for piece in cut {
                    let minutes =
                        agent_state::minutes(archive, self.agent, &self.probe, span_of(&piece))?;
                    let minutes: Vec<Measured> = minutes.into_iter().map(Measured::of).collect();
                    load.add(&minutes)?;
                    self.pieces.extend(minutes);
                }
            }
        }
        if !cut.is_empty() {
            self.pieces.sort_by_key(|piece| piece.interval.from);
        }
        Ok(gone)
    }
}

fn seen<'a>(
    sources: impl Iterator<Item = (&'a Source, Vec<&'a Vec<Measured>>)>,
    carrier_down: &BTreeMap<Kid, Spans>,
) -> BTreeMap<String, Seen> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for (source, pieces) in sources {
        let seen = all.entry(source.probe.clone()).or_default();
        seen.intervals.extend(
            pieces.iter().flat_map(|pieces| pieces.iter()).map(|piece| Arc::clone(&piece.interval)),
        );
        if let Some(down) = carrier_down.get(&source.agent).filter(|down| !down.is_empty()) {
            let own: Spans = pieces.into_iter().flatten().map(span_of).collect();
            seen.carrier_down = seen.carrier_down.or(&down.and(&own));
        }
    }
    for seen in all.values_mut() {
        seen.intervals.sort_by_key(|interval| interval.from);
    }
    all
}

/// The first day of which anything was measured of a service.
///
/// # Errors
/// When the database fails.
pub fn begun(
    evaluator: &Evaluator<'_>,
    versions: &[InForce],
    service: &str,
) -> Result<Option<i64>, ArchiveError> {
    let mut first: Option<i64> = None;
    for (agent, probe) in probes(evaluator.fleet, &register::places(versions, service)) {
        let day = evaluator.archive.first_folded_day(agent, &probe)?;
        first = [first, day].into_iter().flatten().min();
    }
    Ok(first)
}

/// The probes by which agents may speak for any of these places.
fn probes(fleet: &Fleet, places: &[Place<'_>]) -> BTreeSet<(Kid, String)> {
    let all = places.iter().flat_map(|place| fleet.probes_of(place.service));
    all.map(|(agent, probe)| (agent, probe.to_owned())).collect()
}

fn span_of(piece: &Measured) -> Span {
    Span::new(piece.interval.from, piece.interval.to())
}

/// Whether a stretch lies in some others whole.
fn covers(spans: &Spans, span: Span) -> bool {
    if span.is_empty() { spans.holds(span.from) } else { spans.covers(span) }
}

/// The intervals of a folded day.
fn decoded(bytes: &[u8]) -> Result<Vec<Measured>, ArchiveError> {
    Ok(compaction::decode_as(bytes, Measured::of)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_read_of_a_service_however_little_each_interval_says() {
        let interval = Interval {
            from: Wall::default(),
            millis: 1,
            first_ms: 0,
            period_ms: 1000,
            outcomes: "".parse().unwrap(),
            reasons: BTreeMap::new(),
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt: None,
            ipdv: None,
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        };
        let one = || Measured { told: None, interval: Arc::new(interval.clone()) };
        let day: Vec<Measured> = std::iter::repeat_with(one).take(3_400).collect();
        let mut load = Load::default();
        let days = (0..).take_while(|_| load.add(&day).is_ok()).count();
        assert!(days > 31, "a month of one probe that has an interval each 25 seconds");
        assert!(days * 3_400 * size_of::<Interval>() <= MOST_BYTES);
        load.take(&day);
        assert!(load.add(&[]).is_ok(), "what is let go makes room");
    }
}
