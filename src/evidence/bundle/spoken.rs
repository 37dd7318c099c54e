//! What counts of some summaries, by the register of the collector that they were shipped to:
//! `register.json`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::evidence::digest::Digest;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::Kid;
use crate::evidence::receipt;
use crate::evidence::register::{self, Counting, Rank, Register};
use crate::evidence::summary::{IntervalPart, OutagePart, Summary};
use crate::sla::judge::InForce;
use crate::sla::span::{Span, Spans};

/// When each summary arrived, by its receipt.
pub(super) type Received = BTreeMap<Digest, Wall>;

/// When each summary arrived, by receipts that were verified or will be.
pub(super) fn received<'a>(receipts: impl Iterator<Item = &'a str>) -> Received {
    let arrived = |jws: &str| receipt::arrived(jws.trim_end_matches('\n'));
    let mut all = Received::new();
    for (digest, at) in receipts.filter_map(arrived) {
        // Of several the last one counts: it proves the least.
        all.entry(digest).and_modify(|known| *known = at.max(*known)).or_insert(at);
    }
    all
}

/// The part of a register that has to do with a service: the agents that ever were at one of its
/// sites.
pub(super) fn part(register: &Register, versions: &[InForce], service: &str) -> Register {
    let places = register::places(versions, service);
    let sites: BTreeSet<&str> = places.iter().map(|place| place.service.site.as_str()).collect();
    register.of_sites(&sites)
}

/// Whose a summary says that it is, and by which key it says that it is signed, before it was
/// verified.
pub(super) fn author(jws: &str) -> Option<(Kid, Kid)> {
    #[derive(serde::Deserialize)]
    struct Only {
        agent: Kid,
    }
    let jws = jws::parse(jws.trim_end_matches('\n').as_bytes(), Typ::Summary).ok()?;
    let Only { agent } = serde_json::from_slice(jws.unverified_payload()).ok()?;
    Some((agent, jws.kid()))
}

/// By rank, the parts that tell of one probe: the summary's place, and the part's in it.
type Ranked = BTreeMap<Rank, Vec<(usize, usize)>>;

/// The summaries with nothing left in them but what counts for a service and its members, and binds
/// where several agents measured it by a probe of one name. Of a revoked agent, what came since it
/// is left out does not count either.
pub(super) fn spoken(
    register: &Register,
    versions: &[InForce],
    service: &str,
    received: &Received,
    mut summaries: Vec<(Digest, Summary)>,
) -> Vec<Summary> {
    let counting = Counting::new(register, &register::places(versions, service));
    let mut ranks: BTreeMap<Kid, Option<Rank>> = BTreeMap::new();
    // By a probe's name and a site.
    let mut groups: BTreeMap<(String, String), Ranked> = BTreeMap::new();
    for (at, (digest, summary)) in summaries.iter_mut().enumerate() {
        let until = register.get(summary.agent).and_then(|enrolled| enrolled.until);
        let late = until
            .is_some_and(|until| received.get(digest).is_none_or(|received| *received >= until));
        let rank = ranks
            .entry(summary.agent)
            .or_insert_with(|| counting.rank(summary.agent))
            .filter(|_| !late);
        let Some(rank) = rank else {
            summary.probes.clear();
            summary.outages.clear();
            continue;
        };
        for (part, probe) in summary.probes.iter().enumerate() {
            let group = groups.entry((probe.name.clone(), summary.site.clone())).or_default();
            group.entry(rank).or_default().push((at, part));
        }
    }
    for ranks in groups.into_values() {
        let mut covered = Covered::default();
        for parts in ranks.into_values() {
            let mut kept: Vec<Span> = Vec::new();
            for (at, part) in parts {
                keep(&counting, &mut summaries[at].1, part, &covered, &mut kept);
            }
            kept.into_iter().for_each(|span| covered.add(span));
        }
    }
    let mut binding: BTreeMap<Kid, Vec<Span>> = BTreeMap::new();
    for (_, summary) in &mut summaries {
        summary.probes.retain(|probe| !probe.intervals.is_empty());
        let spans = summary.probes.iter().flat_map(|probe| &probe.intervals).map(span_of);
        binding.entry(summary.agent).or_default().extend(spans);
    }
    let binding: BTreeMap<Kid, Spans> =
        binding.into_iter().map(|(agent, spans)| (agent, spans.into_iter().collect())).collect();
    for (_, summary) in &mut summaries {
        let (agent, site) = (summary.agent, summary.site.clone());
        let outages = std::mem::take(&mut summary.outages);
        let counts = |outage| clipped(&counting, (agent, &site), &binding[&agent], outage);
        summary.outages = outages.into_iter().filter_map(counts).collect();
    }
    summaries.into_iter().map(|(_, summary)| summary).collect()
}

/// A set of instants that grows while it is asked: both cost a search.
#[derive(Debug, Default)]
struct Covered(BTreeMap<Wall, Wall>);

impl Covered {
    fn touches(&self, span: Span) -> bool {
        let before = self.0.range(..span.to).next_back();
        !span.is_empty() && before.is_some_and(|(_, to)| *to > span.from)
    }

    fn add(&mut self, mut span: Span) {
        if span.is_empty() {
            return;
        }
        while let Some((&from, &to)) =
            self.0.range(..=span.to).next_back().filter(|(_, to)| **to >= span.from)
        {
            self.0.remove(&from);
            span = Span::new(span.from.min(from), span.to.max(to));
        }
        self.0.insert(span.from, span.to);
    }
}

/// Keeps of a probe's part what counts and what no other witness binds for.
fn keep(
    counting: &Counting<'_>,
    summary: &mut Summary,
    part: usize,
    covered: &Covered,
    kept: &mut Vec<Span>,
) {
    let Summary { agent, site, probes, .. } = summary;
    let part = &mut probes[part];
    let told = (part.name.as_str(), part.service.as_deref());
    part.intervals.retain(|interval| {
        let span = span_of(interval);
        counting.covers(*agent, site, told, span) && !covered.touches(span)
    });
    kept.extend(part.intervals.iter().map(span_of));
}

/// An outage, as far as its agent may speak for its service, where what it measured binds.
fn clipped(
    counting: &Counting<'_>,
    (agent, site): (Kid, &str),
    binding: &Spans,
    mut outage: OutagePart,
) -> Option<OutagePart> {
    let lasted = Span::new(outage.from, outage.to.unwrap_or(Wall::from_nanos(i64::MAX)));
    let speaks = counting.hull(agent, site, outage.service.as_deref()?, lasted)?;
    if !binding.touches(speaks) {
        return None;
    }
    outage.from = speaks.from;
    outage.to =
        Some(speaks.to).filter(|to| outage.to.is_some() || *to < Wall::from_nanos(i64::MAX));
    Some(outage)
}

fn span_of(interval: &IntervalPart) -> Span {
    let length = std::time::Duration::from_millis(u64::from(interval.millis));
    Span::new(interval.from, interval.from + length)
}
