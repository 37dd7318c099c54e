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
mod tests {
    use super::*;
    use crate::measure::event::{ProbeId, Settled};
    use crate::measure::outcome::Reason;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos((1_000 + seconds) * 1_000_000_000)
    }

    fn lines(changes: &mut Changes, seconds: u64) -> Vec<(&'static str, String)> {
        let lines = changes.lines(at(seconds), |probe| format!("p{probe}"));
        lines.into_iter().map(|(kind, told)| (kind.word(), told)).collect()
    }

    fn hops(probe: u32, before: u8, now: u8) -> Event {
        Event::Hops { probe: ProbeId(probe), before, now }
    }

    fn refused(probe: u32, from: [u8; 4]) -> Event {
        Event::Settled(Settled {
            probe: ProbeId(probe),
            send: 0,
            outcome: Outcome::Refused,
            rtt_ns: None,
            stamp: None,
            reason: Some(Reason::new(Outcome::Refused, "host-unreachable")),
            seq: Some(0),
            ttl: None,
            bytes: None,
            from: Some(from.into()),
            phases: Vec::new(),
        })
    }

    #[test]
    fn a_path_that_flaps_is_one_line_a_minute() {
        let mut changes = Changes::default();
        changes.take(&hops(1, 58, 57));
        let first = lines(&mut changes, 0);
        assert_eq!(first, [("reply-ttl", "p1: replies come with TTL 57, 58 before".to_owned())]);
        for _ in 0..100 {
            changes.take(&hops(1, 57, 58));
            changes.take(&hops(1, 58, 57));
        }
        assert_eq!(lines(&mut changes, 59), []);
        let next = lines(&mut changes, 60);
        assert_eq!(
            next,
            [("reply-ttl", "p1: replies come with TTL 57, 57 before (200 changes)".to_owned())]
        );
        assert_eq!(lines(&mut changes, 600), []);
    }

    #[test]
    fn the_first_address_and_certificate_are_no_change_but_a_name_without_an_address_is_told() {
        let address = |probe, last: Option<u8>| Event::Address {
            probe: ProbeId(probe),
            address: last.map(|last| IpAddr::from([192, 0, 2, last])),
        };
        let mut changes = Changes::default();
        let until = |secs| Event::Certificate { probe: ProbeId(0), until: Wall::from_secs(secs) };
        changes.take(&address(0, Some(1)));
        changes.take(&address(1, None));
        changes.take(&until(1_700_000_000));
        assert_eq!(
            lines(&mut changes, 0),
            [("address", "p1 has no address: its name does not resolve".to_owned())]
        );
        changes.take(&address(0, Some(2)));
        changes.take(&address(1, Some(3)));
        changes.take(&until(1_800_000_000));
        assert_eq!(
            lines(&mut changes, 60),
            [
                (
                    "address",
                    "p0 has the address 192.0.2.2; p1 has the address 192.0.2.3".to_owned()
                ),
                (
                    "certificate",
                    "p0: the server has another, valid until 2027-01-15T08:00:00Z".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_router_that_goes_on_refusing_is_told_once_an_hour_and_another_at_once() {
        let mut changes = Changes::default();
        let mut told = Vec::new();
        for minute in 0..61 {
            changes.take(&refused(0, [10, 0, 0, 1]));
            changes.take(&refused(0, [10, 0, 0, 1]));
            if minute == 7 {
                changes.take(&refused(0, [10, 0, 0, 2]));
            }
            told.extend(
                lines(&mut changes, minute * 60).into_iter().map(|(_, line)| (minute, line)),
            );
        }
        let says = |router: &str, count: u32| {
            format!("p0: host-unreachable, says {router} ({count} times)")
        };
        assert_eq!(
            told,
            [(0, says("10.0.0.1", 2)), (7, says("10.0.0.2", 1)), (60, says("10.0.0.1", 2))]
        );
    }

    #[test]
    fn an_outage_is_told_once_when_it_begins_and_ends_whoever_else_judges_the_probe() {
        let outage = |definition: &str, to: Option<i64>| Outage {
            service: None,
            probe: "portal".to_owned(),
            definition: definition.to_owned(),
            from: Wall::from_secs(1_700_000_000),
            to: to.map(|millis| Wall::from_nanos(1_700_000_000_000_000_000 + millis * 1_000_000)),
            side: "unknown".to_owned(),
            evidence: serde_json::json!({"reasons": {"lost/timeout": 1, "refused/status-503": 12}}),
        };
        let mut changes = Changes::default();
        changes.outage(&outage("a/1#x", None));
        changes.outage(&outage("b/1#x", None));
        assert_eq!(
            lines(&mut changes, 0),
            [("outage", "portal: down, refused/status-503 and lost/timeout".to_owned())]
        );
        changes.outage(&outage("a/1#x", Some(423_450)));
        changes.outage(&Outage { evidence: serde_json::json!({}), ..outage("b/1#x", None) });
        assert_eq!(lines(&mut changes, 59), []);
        assert_eq!(
            lines(&mut changes, 60),
            [(
                "outage",
                "portal: down; portal: up again after 423.5 s, refused/status-503 and lost/timeout"
                    .to_owned()
            )]
        );
        let unseen = serde_json::json!({"end": "not observed: another configuration was taken"});
        changes.outage(&Outage { evidence: unseen, ..outage("a/1#x", Some(1000)) });
        changes.hurry();
        assert_eq!(
            lines(&mut changes, 61),
            [(
                "outage",
                "portal: down for 1.0 s, then not observed: another configuration was taken"
                    .to_owned()
            )]
        );
    }

    #[test]
    fn when_all_paths_change_at_once_some_are_named_and_the_others_counted() {
        let mut changes = Changes::default();
        (0..1000).for_each(|probe| changes.take(&hops(probe, 64, 63)));
        let told = lines(&mut changes, 0);
        assert_eq!(told.len(), 1);
        assert!(told[0].1.ends_with("; and 980 more") && told[0].1.len() < 2000, "{}", told[0].1);
    }
}
