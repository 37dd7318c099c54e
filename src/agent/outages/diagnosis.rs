//! Looks into each outage: what the references did meanwhile, the carrier, this host's processors,
//! and a trace towards the target, when it begins and when it ends. The rule that makes a side of
//! it is [`crate::evidence::side`]'s.
//!
//! The side is judged when the outage begins, so that whoever is told at once is told something;
//! again when the trace is back, and when the next hop is found silent within its first minute; and
//! at the outage's end where it is still unknown, since a slow reference may have been heard by
//! then, or where the target's own word overturns that it was the path. Sends count from the
//! outage's beginning to its end, no further.
//!
//! A reference counts for a probe unless it is bound to an interface that the probe does not leave
//! by.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::agent::live::Live;
use crate::base::time::{Clock, Now, SystemClock, Wall};
use crate::evidence::side::{ProbeSubject, Seen};
use crate::measure::carrier::Carrier;
use crate::measure::event::{Event, ProbeId, Settled};
use crate::measure::ledger::SettledSend;
use crate::measure::outcome::Outcome;
use crate::measure::probe::Probe;
use crate::net::link;
use crate::sla::terms::Side;
use crate::store::outages::Outage;
use crate::store::provisional::SET_LATER;

use super::key::OutageKey;

mod case;
mod judging;
mod load;
mod refusals;
mod runs;
mod subject;
mod tracing;

pub use case::Attribution;

use case::{Case, word};
use load::Load;
use subject::Subject;
use tracing::{Done, Moment, TraceRequest, UnderWay, Way, circuit};

/// How often, and for how long after an outage began, the next hop is looked at: a neighbour that
/// was known is only found silent after half a minute, and later it may be silent for another
/// reason.
const HOP_LOOKS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The one who looks into outages.
#[derive(Debug)]
pub struct Diagnosis {
    /// By the probe's place.
    subjects: Vec<Option<Subject>>,
    live: Live,
    ways: Vec<Way>,
    /// At most one trace.
    running: JoinSet<Done>,
    under_way: Option<UnderWay>,
    requests: VecDeque<TraceRequest>,
    cases: HashMap<OutageKey, Case>,
    /// Interfaces that were seen without a carrier, and until when.
    without_carrier: HashMap<String, Wall>,
    load: Load,
}

impl Diagnosis {
    /// For no probes yet.
    #[must_use]
    pub fn new(live: Live) -> Self {
        Self {
            subjects: Vec::new(),
            live,
            ways: Vec::new(),
            running: JoinSet::new(),
            under_way: None,
            requests: VecDeque::new(),
            cases: HashMap::new(),
            without_carrier: HashMap::new(),
            load: Load::default(),
        }
    }

    /// Goes on with these probes at these places, of which some are new; the sockets that traces
    /// are made with are opened now.
    pub fn watch(&mut self, probes: &[Arc<Probe>], places: &[ProbeId], new: &[ProbeId]) {
        let mut before = std::mem::take(&mut self.subjects);
        self.subjects.resize_with(ProbeId::rows(places), || None);
        for (probe, place) in probes.iter().zip(places) {
            let at = place.0 as usize;
            let known = before.get_mut(at).and_then(Option::take).filter(|_| !new.contains(place));
            let known = known.map(|known| Subject { probe: Arc::clone(probe), ..known });
            self.subjects[at] = Some(known.unwrap_or_else(|| Subject::new(probe)));
        }
        self.open_ways(probes);
    }

    /// Takes one outcome; for each probe they come in the order of the sends.
    pub fn take(&mut self, told: &SettledSend) {
        if let Some(Some(subject)) = self.subjects.get_mut(told.probe.0 as usize) {
            subject.runs.push(told);
        }
    }

    /// Takes what the prober says: ICMP errors are remembered with the router that sent each.
    pub fn hear(&mut self, event: &Event) {
        if let Event::Settled(Settled {
            probe,
            outcome: Outcome::Refused,
            reason: Some(reason),
            from,
            ..
        }) = event
            && let (Some(Some(subject)), Some(from)) =
                (self.subjects.get_mut(probe.0 as usize), *from)
            && subject.asked() == ProbeSubject::Echo
        {
            subject.refusals.heard(from, &reason.kind, SystemClock.now().wall);
        }
    }

    /// Takes a change of an interface's carrier.
    pub fn carrier(&mut self, interface: &str, carrier: Carrier, at: Wall) {
        if carrier == Carrier::Down {
            self.without_carrier.insert(interface.to_owned(), Wall::from_nanos(i64::MAX));
        } else if let Some(until) = self.without_carrier.get_mut(interface) {
            *until = at.min(*until);
        }
    }

    /// What it knows happened so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        for subject in self.subjects.iter_mut().flatten() {
            subject.runs.shift(by_ns);
            subject.refusals.shift(by_ns);
        }
        for case in self.cases.values_mut() {
            case.outage.from = case.outage.from.shifted(by_ns);
            case.outage.to = case.outage.to.map(|to| to.shifted(by_ns));
            case.looked = case.looked.shifted(by_ns);
            case.enter("clock", json!(SET_LATER));
        }
        // A carrier that is still missing has no end yet.
        for until in self.without_carrier.values_mut().filter(|until| until.nanos() != i64::MAX) {
            *until = until.shifted(by_ns);
        }
        if let Some(trace) = &mut self.under_way {
            trace.since = trace.since.shifted(by_ns);
        }
    }

    /// To be called now and then: reads how busy the processors and these interfaces are, and looks
    /// at the next hops of outages that began lately and of which nobody can tell yet whose they
    /// are. Gives what is thought of those that changed.
    pub fn tick<'a>(
        &mut self,
        now: Now,
        interfaces: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Attribution> {
        self.load.look(now.mono, interfaces);
        let (every, at_most) = HOP_LOOKS;
        let undecided = |case: &Case| {
            let young = case.outage.to.is_none() && now.wall < case.outage.from + at_most;
            young && now.wall >= case.looked + every && case.outage.side == word(Side::Unknown)
        };
        let all: Vec<OutageKey> =
            self.cases.iter().filter(|(_, case)| undecided(case)).map(|(key, _)| *key).collect();
        let mut news = Vec::new();
        for key in all {
            if let Some(case) = self.cases.get_mut(&key) {
                case.looked = now.wall;
            }
            if self.look_at_hop(key) {
                self.judge(key);
                news.extend(self.cases.get(&key).map(|case| case.attribution(key)));
            }
        }
        news
    }

    /// An outage began, of a probe that leaves by this interface: what is seen now is entered in
    /// it, and a trace is begun.
    pub fn opened(&mut self, key: OutageKey, outage: &mut Outage, interface: Option<&str>) {
        let Some((at, subject)) = self.subject(&outage.probe) else { return };
        let address = self.live.address(at);
        let interface = interface
            .map(str::to_owned)
            .or_else(|| link::interface_towards(&circuit(&subject.probe), address?));
        let seen = Seen {
            asked: subject.asked(),
            sends: [].into_iter().collect(),
            carrier: Carrier::Unknown,
            silent_hop: None,
            references: Vec::new(),
            same_target: Vec::new(),
            cpu_percent: self.load.cpu_percent(),
            traffic: interface.as_deref().and_then(|name| self.load.carried(name)),
            refused_by: Vec::new(),
            traced: None,
        };
        let looked = outage.from;
        self.cases.insert(
            key,
            Case { outage: outage.clone(), seen: Some((at, interface, seen)), waits: 0, looked },
        );
        self.look_at_hop(key);
        self.judge(key);
        self.send(key, at, Moment::Beginning);
        if let Some(case) = self.cases.get(&key) {
            outage.clone_from(&case.outage);
        }
    }

    /// An outage ended; its `to` is there. Gives what is thought of it now, where that is another
    /// than before.
    pub fn closed(&mut self, key: OutageKey, outage: &Outage) -> Option<Attribution> {
        let begun_before = !self.cases.contains_key(&key);
        let unseen = || Case { outage: outage.clone(), seen: None, waits: 0, looked: outage.from };
        let case = self.cases.entry(key).or_insert_with(unseen);
        case.outage.to = outage.to;
        let before = case.outage.clone();
        // What the judge knows of it.
        for name in ["end", "reasons"] {
            if let Some(known) = outage.evidence.get(name) {
                case.enter(name, known.clone());
            }
        }
        let thought = case.outage.side.clone();
        if thought == word(Side::Unknown) {
            self.judge(key);
        } else if thought == word(Side::Provider) {
            self.hear_target_out(key);
        }
        // A trace that was not begun yet would no more show the outage.
        let waiting = self.requests.len();
        self.requests.retain(|request| request.key != key);
        let given_up = waiting - self.requests.len();
        let case = self.cases.get_mut(&key)?;
        case.waits -= u8::try_from(given_up).unwrap_or(case.waits).min(case.waits);
        // Of one that began in a run before, the database has the reasons of then.
        let changed = (begun_before || case.outage != before).then(|| case.attribution(key));
        if let Some((at, _)) = self.subject(&outage.probe) {
            self.send(key, at, Moment::End);
        }
        self.forget(key);
        changed
    }

    /// The probe of this name, and its place.
    fn subject(&self, name: &str) -> Option<(usize, &Subject)> {
        let mut all = self.subjects.iter().enumerate();
        all.find_map(|(at, subject)| {
            Some((at, subject.as_ref().filter(|subject| subject.probe.name == name)?))
        })
    }
}

#[cfg(test)]
mod tests;
