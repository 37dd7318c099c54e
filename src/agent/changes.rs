//! What changed on the paths, for the journal: the address behind a target, the TTL that replies
//! come with, the routers that refuse, the certificate of a server; and outages, with why.
//!
//! A path may change with every packet (paths of equal cost, a flapping route), and with it that of
//! every probe. Hence changes are gathered and told at most once a minute, a line for each kind,
//! which names at most [`NAMED`] probes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::measure::event::Event;
use crate::measure::outcome::Outcome;
use crate::store::journal::Noted;
use crate::store::outages::Outage;

/// Changes are told no more often than this.
const EVERY: Duration = Duration::from_secs(60);
/// A router that goes on refusing is told again after this.
const AGAIN: Duration = Duration::from_secs(3600);
/// Probes that one line names.
const NAMED: usize = 20;
/// Refusals that are told apart, of which there are as many as an hour brings; and outages of one
/// minute.
const MOST: usize = 1024;

/// What changed since it was told last.
#[derive(Debug, Default)]
pub struct Changes {
    told: Option<Mono>,
    addresses: BTreeMap<u32, Option<IpAddr>>,
    hops: BTreeMap<u32, Hops>,
    refusals: BTreeMap<Refusal, u32>,
    outages: BTreeSet<String>,
    certificates: BTreeMap<u32, Wall>,
    /// Whose addresses and certificates are known; the first of each is no change.
    addressed: BTreeSet<u32>,
    certified: BTreeSet<u32>,
    /// When each refusal was told.
    refused: HashMap<Refusal, Mono>,
}

#[derive(Clone, Copy, Debug)]
struct Hops {
    before: u8,
    now: u8,
    changes: u32,
}

/// A probe, what it was refused with, and by whom.
type Refusal = (u32, String, IpAddr);

impl Changes {
    /// Takes what the prober says.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Address { probe, address } => {
                let first = self.addressed.insert(probe.0);
                if !first || address.is_none() {
                    self.addresses.insert(probe.0, *address);
                }
            }
            Event::Hops { probe, before, now } => match self.hops.entry(probe.0) {
                Entry::Vacant(place) => {
                    _ = place.insert(Hops { before: *before, now: *now, changes: 1 })
                }
                Entry::Occupied(mut place) => {
                    let hops = place.get_mut();
                    (hops.now, hops.changes) = (*now, hops.changes.saturating_add(1));
                }
            },
            Event::Certificate { probe, until } => {
                let first = self.certified.insert(probe.0);
                self.certificates.extend((!first).then_some((probe.0, *until)));
            }
            // An ICMP error: only echo requests have a sequence number.
            Event::Settled(settled)
                if settled.outcome == Outcome::Refused && settled.seq.is_some() =>
            {
                if let (Some(reason), Some(from)) = (&settled.reason, settled.from) {
                    let refusal = (settled.probe.0, reason.kind.clone().into_owned(), from);
                    if self.refusals.len() < MOST || self.refusals.contains_key(&refusal) {
                        *self.refusals.entry(refusal).or_default() += 1;
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes an outage that began, or ended.
    pub fn outage(&mut self, outage: &Outage) {
        let probe = &outage.probe;
        let length = |to: Wall| {
            let tenths = (to.nanos_since(outage.from).max(0) + 50_000_000) / 100_000_000;
            format!("{}.{} s", tenths / 10, tenths % 10)
        };
        let what = match (outage.to, outage.evidence.get("end").and_then(|end| end.as_str())) {
            (None, _) => "down".to_owned(),
            (Some(to), None) => format!("up again after {}", length(to)),
            (Some(to), Some(end)) => format!("down for {}, then {end}", length(to)),
        };
        let why = outage.reasons().words().map_or(String::new(), |words| format!(", {words}"));
        // Several definitions tell of one failure.
        if self.outages.len() < MOST {
            self.outages.insert(format!("{probe}: {what}{why}"));
        }
    }

    /// What is to be told now: the kind of each line and its words. `name` gives a probe's name.
    pub fn lines(&mut self, now: Mono, name: impl Fn(u32) -> String) -> Vec<(Noted, String)> {
        if self.told.is_some_and(|told| now - told < EVERY) || self.is_empty() {
            return Vec::new();
        }
        self.told = Some(now);
        self.refused.retain(|_, told| now - *told < AGAIN);
        let addresses =
            std::mem::take(&mut self.addresses).into_iter().map(|(probe, address)| match address {
                Some(address) => format!("{} has the address {address}", name(probe)),
                None => format!("{} has no address: its name does not resolve", name(probe)),
            });
        let hops = std::mem::take(&mut self.hops).into_iter().map(
            |(probe, Hops { before, now, changes })| {
                let often =
                    if changes > 1 { format!(" ({changes} changes)") } else { String::new() };
                format!("{}: replies come with TTL {now}, {before} before{often}", name(probe))
            },
        );
        let certificates = std::mem::take(&mut self.certificates).into_iter();
        let certificates = certificates.map(|(probe, until)| {
            format!("{}: the server has another, valid until {until}", name(probe))
        });
        let refusals =
            std::mem::take(&mut self.refusals).into_iter().filter_map(|(refusal, count)| {
                let (probe, kind, from) = &refusal;
                let line = format!("{}: {kind}, says {from} ({count} times)", name(*probe));
                let room = self.refused.len() < MOST;
                match self.refused.entry(refusal) {
                    std::collections::hash_map::Entry::Occupied(_) => None,
                    std::collections::hash_map::Entry::Vacant(place) => {
                        if room {
                            place.insert(now);
                        }
                        Some(line)
                    }
                }
            });
        let all = [
            (Noted::Address, addresses.collect::<Vec<_>>()),
            (Noted::ReplyTtl, hops.collect()),
            (Noted::Certificate, certificates.collect()),
            (Noted::Refused, refusals.collect()),
            (Noted::Outage, std::mem::take(&mut self.outages).into_iter().collect()),
        ];
        all.into_iter()
            .filter(|(_, told)| !told.is_empty())
            .map(|(kind, told)| (kind, line(&told)))
            .collect()
    }

    /// Has what has not been told yet told the next time, however soon that is.
    pub fn hurry(&mut self) {
        self.told = None;
    }

    fn is_empty(&self) -> bool {
        self.addresses.is_empty()
            && self.hops.is_empty()
            && self.refusals.is_empty()
            && self.certificates.is_empty()
            && self.outages.is_empty()
    }
}

fn line(told: &[String]) -> String {
    let more = told.len().saturating_sub(NAMED);
    let mut line = told[..told.len() - more].join("; ");
    if more > 0 {
        line.push_str(&format!("; and {more} more"));
    }
    line
}

#[cfg(test)]
mod tests;
