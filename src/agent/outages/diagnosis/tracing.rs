//! Traces towards the targets of outages: one at a time, shared by all who want the same.

use std::future;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;
use tracing::{info, warn};

use crate::agent::outages::key::OutageKey;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::measure::probe::{Circuit, Family as Wanted, Probe, Test};
use crate::net::icmp::Family;
use crate::net::trace::{Trace, Tracer};

use super::Diagnosis;
use super::case::Attribution;
use super::subject::Subject;

/// Traces that may wait for their turn; when a whole site fails, one tells as much as a hundred.
const MOST_REQUESTS: usize = 32;

/// A way out that traces are made by.
#[derive(Debug)]
pub(super) struct Way {
    family: Family,
    pub(super) circuit: Circuit,
    /// [`None`] while a trace is under way, and once no probe goes by it any more.
    tracer: Option<Tracer>,
}

/// A trace that is to be made.
#[derive(Clone, Debug)]
pub(super) struct TraceRequest {
    pub(super) key: OutageKey,
    way: usize,
    pub(super) to: IpAddr,
    moment: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Beginning,
    End,
}

/// The trace that is being made, and for whom.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) since: Wall,
    pub(super) requests: Vec<TraceRequest>,
}

#[derive(Debug)]
pub(super) struct Done {
    way: usize,
    tracer: Tracer,
    pub(super) trace: Trace,
}

impl TraceRequest {
    /// Whether one trace will do for both.
    fn is_like(&self, other: &Self) -> bool {
        (self.way, self.to) == (other.way, other.to)
    }
}

impl Way {
    /// Opens its socket if it is not open.
    fn ready(&mut self) {
        if self.tracer.is_none() {
            match Tracer::open(self.family, &self.circuit) {
                Ok(tracer) => self.tracer = Some(tracer),
                Err(error) => {
                    let (family, interface) = (self.family, &self.circuit.interface);
                    info!(
                        ?family, interface, %error, "outages cannot be traced by this circuit now"
                    );
                }
            }
        }
    }
}

/// The circuit that a probe's outages are traced by: its own, with every TTL.
pub(super) fn circuit(probe: &Probe) -> Circuit {
    Circuit { ttl: None, ..probe.circuit.clone() }
}

/// The circuits and families that outages may be looked into by.
pub(super) fn ways(probes: &[Arc<Probe>]) -> Vec<(Family, Circuit)> {
    let mut wanted: Vec<(Family, Circuit)> = Vec::new();
    for probe in probes {
        let circuit = circuit(probe);
        let families = match probe.family {
            Wanted::V4 => &[Family::V4][..],
            Wanted::V6 => &[Family::V6],
            Wanted::Any => &[Family::V4, Family::V6],
        };
        let literal = match &probe.test {
            Test::Icmp { target, .. } => target.parse::<IpAddr>().ok(),
            Test::Http(_) | Test::Tcp { .. } | Test::Dns(_) => None,
        };
        let of_source = probe.circuit.source.map(Family::of);
        let one = literal.map(Family::of).or(of_source);
        for &family in families.iter().filter(|&&family| one.is_none_or(|one| one == family)) {
            if !wanted.iter().any(|(of, by)| *of == family && *by == circuit) {
                wanted.push((family, circuit.clone()));
            }
        }
    }
    wanted
}

impl Diagnosis {
    /// Opens what these probes' outages are traced by, and closes what no probe needs any more.
    pub fn open_ways(&mut self, probes: &[Arc<Probe>]) {
        let wanted = ways(probes);
        let busy = self.under_way.as_ref().and_then(|trace| Some(trace.requests.first()?.way));
        for (_, way) in self.ways.iter_mut().enumerate().filter(|(at, _)| Some(*at) != busy) {
            if !wanted
                .iter()
                .any(|(family, circuit)| *family == way.family && *circuit == way.circuit)
            {
                way.tracer = None;
            }
        }
        for (family, circuit) in wanted {
            let known =
                self.ways.iter().position(|way| way.family == family && way.circuit == circuit);
            let at = known.unwrap_or_else(|| {
                self.ways.push(Way { family, circuit, tracer: None });
                self.ways.len() - 1
            });
            if Some(at) != busy {
                self.ways[at].ready();
            }
        }
    }

    /// Waits for a trace; gives what is thought of the outages that it was made for. It may be
    /// dropped while it waits.
    pub async fn next(&mut self) -> Vec<Attribution> {
        loop {
            match self.running.join_next().await {
                Some(Ok(done)) => return self.traced(done),
                Some(Err(error)) => {
                    warn!(%error, "the path of an outage cannot be traced; its side is told \
                        without");
                    let requests =
                        self.under_way.take().map_or_else(Vec::new, |trace| trace.requests);
                    requests.iter().for_each(|request| self.done(request.key));
                    self.begin();
                }
                None => future::pending().await,
            }
        }
    }

    pub(super) fn traced(&mut self, done: Done) -> Vec<Attribution> {
        self.ways[done.way].tracer = Some(done.tracer);
        let mut news = Vec::new();
        for TraceRequest { key, moment, .. } in
            self.under_way.take().map_or_else(Vec::new, |trace| trace.requests)
        {
            let Some(case) = self.cases.get_mut(&key) else { continue };
            match (moment, &mut case.seen) {
                (Moment::Beginning, Some((_, _, seen))) => {
                    seen.traced = Some(done.trace.seen());
                    if case.outage.to.is_none() {
                        self.look_at_hop(key);
                    }
                    self.judge(key);
                }
                (Moment::Beginning, None) => {}
                (Moment::End, _) => case.enter("trace_after", json!(done.trace.lines())),
            }
            news.extend(self.cases.get(&key).map(|case| case.attribution(key)));
            self.done(key);
        }
        self.begin();
        news
    }

    /// Has the way to a probe's present address traced, unless it is this host.
    pub(super) fn send(&mut self, key: OutageKey, at: usize, moment: Moment) {
        let Some(to) = self.live.address(at).filter(|to| !to.is_loopback() && !to.is_unspecified())
        else {
            return;
        };
        let Some(Some(Subject { probe, .. })) = self.subjects.get(at) else { return };
        let circuit = circuit(probe);
        let matches = |way: &Way| way.family == Family::of(to) && way.circuit == circuit;
        let Some(way) = self.ways.iter().position(matches) else { return };
        let Some(case) = self.cases.get_mut(&key) else { return };
        let request = TraceRequest { key, way, to, moment };
        let from = if moment == Moment::End { case.outage.to } else { None };
        let from = from.unwrap_or(case.outage.from);
        match &mut self.under_way {
            // Whoever failed a moment before has it made already.
            Some(trace)
                if trace.since >= from
                    && trace.requests.iter().any(|other| other.is_like(&request)) =>
            {
                case.waits += 1;
                trace.requests.push(request);
            }
            _ if self.requests.len() < MOST_REQUESTS => {
                case.waits += 1;
                self.requests.push_back(request);
                self.begin();
            }
            _ => {}
        }
    }

    /// Begins the next trace, unless one is under way; all who want the same share it.
    fn begin(&mut self) {
        while self.under_way.is_none()
            && let Some(first) = self.requests.pop_front()
        {
            let (mut requests, others): (Vec<_>, Vec<_>) =
                self.requests.drain(..).partition(|request| request.is_like(&first));
            self.requests = others.into();
            let (way, to) = (first.way, first.to);
            requests.push(first);
            self.ways[way].ready();
            match self.ways[way].tracer.take() {
                Some(mut tracer) => {
                    self.under_way = Some(UnderWay { since: SystemClock.now().wall, requests });
                    self.running.spawn_local(async move {
                        let trace = tracer.trace(to).await;
                        Done { way, tracer, trace }
                    });
                }
                None => requests.iter().for_each(|request| self.done(request.key)),
            }
        }
    }

    /// One trace less is waited for.
    fn done(&mut self, key: OutageKey) {
        if let Some(case) = self.cases.get_mut(&key) {
            case.waits = case.waits.saturating_sub(1);
        }
        self.forget(key);
    }

    pub(super) fn forget(&mut self, key: OutageKey) {
        if self.cases.get(&key).is_some_and(|case| case.outage.to.is_some() && case.waits == 0) {
            self.cases.remove(&key);
        }
    }
}
