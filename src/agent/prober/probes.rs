//! Who is probed: probes are taken in, spread over their periods, replaced on a reload and let go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::{Event, ProbeId};
use crate::measure::flight::Patience;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Family as Wanted, Probe, Test};
use crate::net::icmp::{self, Family};
use crate::net::requests::Requester;
use crate::net::resolve::Resolution;

use super::hops::Stamped;
use super::lane::{Kind, Lane, PLACES, Request};
use super::unsent::settle;
use super::{LONGEST, Pace, Prober, id};

/// The time between the first sends to two targets, for somebody who watches.
const CLOSE: Duration = Duration::from_millis(10);

impl Prober {
    /// Probes these from now on. A probe that is exactly as before keeps its [`ProbeId`], its
    /// numbers, its due times and what it has in the air; what any other had in the air is settled
    /// as not observed. Gives the [`ProbeId`] of each probe, in their order; those of probes that
    /// are gone are given out again, unless they are still `taken`.
    pub fn reload(
        &mut self,
        probes: Vec<Arc<Probe>>,
        taken: impl Fn(ProbeId) -> bool,
        events: &mut Vec<Event>,
    ) -> Vec<ProbeId> {
        let now = self.now();
        let mut gone: HashMap<&str, ProbeId> = HashMap::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            gone.extend(lane.as_ref().map(|lane| (lane.probe.name.as_str(), id(index))));
        }
        let mut kept: Vec<Option<ProbeId>> = Vec::with_capacity(probes.len());
        for probe in &probes {
            let same = gone.get(&*probe.name).copied();
            let same = same.filter(|&id| self.lane(id).is_some_and(|lane| lane.probe == *probe));
            if same.is_some() {
                gone.remove(&*probe.name);
            }
            kept.push(same);
        }
        let mut gone: Vec<ProbeId> = gone.into_values().collect();
        gone.sort();
        gone.into_iter().for_each(|id| self.remove(id, events));
        let mut others = Vec::new();
        for (probe, kept) in probes.into_iter().zip(&kept) {
            match kept.and_then(|id| self.lanes[id.0 as usize].as_mut()) {
                Some(lane) => lane.probe = probe,
                None => others.push(probe),
            }
        }
        let new = self.add_all(others, taken);
        let mut added = new.iter().copied();
        let ids = kept
            .into_iter()
            .map(|kept| kept.or_else(|| added.next()).expect("who was not kept was added"));
        let ids = ids.collect();
        self.open_known(now.mono);
        self.begin(&new);
        self.wake = now.mono;
        ids
    }

    pub(super) fn lane(&self, probe: ProbeId) -> Option<&Lane> {
        self.lanes.get(probe.0 as usize)?.as_ref()
    }

    /// Takes probes in, in their order, at places that are not `taken`.
    pub(super) fn add_all(
        &mut self,
        probes: Vec<Arc<Probe>>,
        taken: impl Fn(ProbeId) -> bool,
    ) -> Vec<ProbeId> {
        let eighths = self.eighths(&probes);
        probes
            .into_iter()
            .zip(eighths)
            .map(|(probe, eighth)| self.add(probe, eighth, &taken))
            .collect()
    }

    /// At which eighth of the sequence numbers each of these begins: ICMP errors may quote no more
    /// than the sequence number, so probes of one target share them as little as can be.
    fn eighths(&self, probes: &[Arc<Probe>]) -> Vec<u16> {
        let mut targets: HashMap<&str, [u32; 8]> = HashMap::new();
        for lane in self.lanes.iter().flatten() {
            if let (Test::Icmp { target, .. }, Kind::Echo { seq_base, .. }) =
                (&lane.probe.test, &lane.kind)
            {
                targets.entry(target).or_default()[usize::from(seq_base >> 13)] += 1;
            }
        }
        let eighths = probes.iter().map(|probe| {
            let Test::Icmp { target, .. } = &probe.test else { return 0 };
            let used = targets.entry(target).or_default();
            let eighth =
                (0..8).min_by_key(|&eighth| used[usize::from(eighth)]).expect("there are eight");
            used[usize::from(eighth)] += 1;
            eighth
        });
        eighths.collect()
    }

    fn add(&mut self, probe: Arc<Probe>, eighth: u16, taken: impl Fn(ProbeId) -> bool) -> ProbeId {
        let free = self.free.iter().position(|&index| !taken(id(index)));
        let index = free.map(|at| self.free.swap_remove(at)).unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        });
        let place = id(index);
        let watch = self.world.resolver.watch(&probe.host(), probe.family);
        let (kind, timeout) = match &probe.test {
            Test::Icmp { size, .. } => {
                let size = (*size).max(u16::try_from(icmp::packet::RECORD).expect("24"));
                (Kind::Echo { watch, size, seq_base: eighth << 13 }, probe.timeout)
            }
            Test::Http(_) | Test::Tcp { .. } | Test::Dns(_) => {
                let requester = Arc::new(Requester::new(Arc::clone(&probe), &self.world.resolver));
                // The task settles it; this is for one that fails to. While its name is looked up
                // for the first time a request may take twice its timeout.
                let request = Request { requester, watch, certificate: None };
                (Kind::Request(Box::new(request)), probe.timeout * 2 + LONGEST)
            }
        };
        self.flight.add(place, Patience { timeout, cutoff: probe.cutoff });
        self.shortest = self.shortest.min(probe.period);
        self.born = self.born.wrapping_add(1);
        let wire = (self.born << 24) | (place.0 & PLACES);
        self.lanes[index] = Some(Lane {
            probe,
            wire,
            kind,
            address: None,
            ttl: None,
            outlet: None,
            way: None,
            stamped: Stamped::Unknown,
            ident: 0,
            silent: 0,
            trouble: true,
        });
        place
    }

    /// Lets probes that were taken in begin.
    pub(super) fn begin(&mut self, places: &[ProbeId]) {
        let now = self.now();
        let count = u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
        let mut first = now.mono;
        for &place in places {
            let Some(lane) = self.lanes.get(place.0 as usize).and_then(Option::as_ref) else {
                continue;
            };
            let period = lane.probe.period;
            match self.world.pace {
                Pace::Thrifty => self.schedule.add(place, &lane.probe.name, period, now),
                // Who watches wants to see something at once; the targets follow one another
                // closely.
                Pace::Prompt => self.schedule.add_at(place, period, first),
            }
            first = first + (period / count).min(CLOSE);
        }
        (self.begun, self.wake) = (now.mono, now.mono);
    }

    pub(super) fn remove(&mut self, probe: ProbeId, events: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(probe.0 as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(probe.0 as usize);
        let reason = Reason::new(Outcome::NotObserved, "removed");
        self.held.retain(|turn| {
            let stays = turn.probe != probe;
            if !stays {
                settle(*turn, reason.clone(), events);
            }
            stays
        });
        self.outlets.moved(probe, lane.address.flatten(), None);
        self.hops.forget(probe);
        self.flight.remove(probe, &reason, events);
        self.schedule.remove(probe);
    }

    /// Opens the ports that probes of known addresses need; for a name of any family, IPv4's.
    pub(super) fn open_known(&mut self, now: Mono) {
        for lane in self.lanes.iter().flatten() {
            let Kind::Echo { watch, size, .. } = &lane.kind else { continue };
            let family = match (watch.current(), lane.probe.family) {
                (Resolution::Known(address), _) => Family::of(address),
                (_, Wanted::V6) => Family::V6,
                (_, Wanted::V4 | Wanted::Any) => Family::V4,
            };
            self.outlets.find(family, &lane.probe.circuit, (*size, 0), (&*self.world.engine, now));
        }
    }
}
