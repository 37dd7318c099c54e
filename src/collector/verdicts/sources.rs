//! What was measured of a service, read as coarsely as it can be: days where a day is taken whole, hours where it is not, minutes
//! where an hour is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::collector::archive::folds::Depth;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::folding::{self, DAY, Piece};
use crate::collector::statement;
use crate::collector::verdicts::{Bench, seen};
use crate::evidence::key::Kid;
use crate::measure::interval::Interval;
use crate::sla::judge::InForce;
use crate::sla::observed::Observed;
use crate::sla::span::Span;
use crate::sla::terms::Side;

/// What one probe measured.
#[derive(Debug)]
struct Source {
    agent: Kid,
    probe: String,
    pieces: Vec<Piece>,
}

/// What the probes of a service and its members measured.
#[derive(Debug)]
pub struct Sources {
    all: Vec<Source>,
    /// Until when any of the agents has said anything.
    pub heard: Option<Wall>,
}

impl Sources {
    /// Reads the days of a span.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read(bench: &Bench<'_>, versions: &[InForce], service: &str, span: Span) -> Result<Self, ArchiveError> {
        let wanted = probes(bench, versions, service);
        let days = (day_of(span.from), day_of(span.to));
        let mut all = Vec::new();
        for (agent, probe) in wanted {
            let mut pieces = Vec::new();
            for day in bench.archive.folded_days(agent, &probe, days, Depth::Days)? {
                pieces.extend(decoded(&day.whole)?);
            }
            all.push(Source { agent, probe, pieces });
        }
        let agents: BTreeSet<Kid> = all.iter().map(|source| source.agent).collect();
        let heard = agents.iter().filter_map(|agent| Some(bench.fleet.get(*agent)?.heard)).max();
        Ok(Self { all, heard })
    }

    /// The agents that measured, in order.
    pub fn agents(&self) -> Vec<Kid> {
        self.all.iter().map(|source| source.agent).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// As a judge takes it.
    pub fn observed(&self, sides: Vec<(Span, Side)>) -> Observed {
        let mut probes: BTreeMap<&str, Vec<Interval>> = BTreeMap::new();
        for source in &self.all {
            let intervals = source.pieces.iter().map(|piece| piece.interval.clone());
            probes.entry(&source.probe).or_default().extend(intervals);
        }
        let mut observed = Observed { sides, ..Observed::default() };
        for (name, mut intervals) in probes {
            intervals.sort_by_key(|interval| interval.from);
            observed.probes.insert(name.to_owned(), seen(intervals));
        }
        observed
    }

    /// Reads finer whatever has a seam strictly inside; false where nothing has.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refine(&mut self, archive: &Archive, seams: &BTreeSet<Wall>) -> Result<bool, ArchiveError> {
        let mut refined = false;
        for source in &mut self.all {
            let cut: BTreeSet<i64> = source
                .pieces
                .iter()
                .filter(|piece| is_cut(piece, seams))
                .map(|piece| day_of(piece.interval.from))
                .collect();
            if cut.is_empty() {
                continue;
            }
            refined = true;
            source.pieces.retain(|piece| !cut.contains(&day_of(piece.interval.from)));
            for &day in &cut {
                for folded in archive.folded_days(source.agent, &source.probe, (day, day), Depth::Hours)? {
                    let hours = decoded(folded.hours.as_deref().unwrap_or_default())?;
                    let (cut, whole): (Vec<Piece>, Vec<Piece>) =
                        hours.into_iter().partition(|piece| is_cut(piece, seams));
                    source.pieces.extend(whole);
                    for piece in cut {
                        let span = Span::new(piece.interval.from, piece.interval.to());
                        let minutes = statement::minutes(archive, source.agent, &source.probe, span)?;
                        source.pieces.extend(minutes);
                    }
                }
            }
            source.pieces.sort_by_key(|piece| piece.interval.from);
        }
        Ok(refined)
    }
}

/// The first day of which anything was measured of a service.
///
/// # Errors
/// When the database fails.
pub fn begun(bench: &Bench<'_>, versions: &[InForce], service: &str) -> Result<Option<i64>, ArchiveError> {
    let mut first: Option<i64> = None;
    for (agent, probe) in probes(bench, versions, service) {
        let day = bench.archive.first_folded_day(agent, &probe)?;
        first = [first, day].into_iter().flatten().min();
    }
    Ok(first)
}

/// The probes of a service and its members, by any of the versions.
fn probes(bench: &Bench<'_>, versions: &[InForce], service: &str) -> BTreeSet<(Kid, String)> {
    let mut wanted: BTreeSet<(Kid, String)> = BTreeSet::new();
    for contract in versions.iter().map(|version| &version.contract) {
        let members = contract.members_of(service).unwrap_or_default();
        for each in contract.service(service).into_iter().chain(members) {
            wanted.extend(bench.fleet.probes_of(each).map(|(agent, probe)| (agent, probe.to_owned())));
        }
    }
    wanted
}

/// Whether a seam lies strictly inside of a piece.
fn is_cut(piece: &Piece, seams: &BTreeSet<Wall>) -> bool {
    let (from, to) = (piece.interval.from, piece.interval.to());
    // What is no longer than a minute is not merged.
    piece.interval.millis > 60_000
        && seams
            .range((std::ops::Bound::Excluded(from), std::ops::Bound::Excluded(to.max(from.shifted(1)))))
            .next()
            .is_some()
}

/// The UTC day of an instant, counted from 1970-01-01.
pub fn day_of(at: Wall) -> i64 {
    at.secs().div_euclid(DAY.as_secs().cast_signed())
}

/// Pieces of a folded day.
pub fn decoded(bytes: &[u8]) -> Result<Vec<Piece>, ArchiveError> {
    folding::decode(bytes).map_err(|fault| ArchiveError::Damaged(format!("a folded day: {fault}")))
}
