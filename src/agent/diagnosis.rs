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
use std::future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::agent::live::Live;
use crate::agent::recorder::OutageKey;
use crate::base::time::{Clock, Now, SystemClock, Wall};
use crate::evidence::side::{Asked, NextHop, Seen};
use crate::evidence::summary::{Carrier, Side};
use crate::measure::event::{Event, ProbeId, Settled};
use crate::measure::ledger::SettledSend;
use crate::measure::outcome::Outcome;
use crate::measure::probe::{Circuit, Family as Wanted, Probe, Role, Test};
use crate::net::hop::{self, FirstHop};
use crate::net::icmp::Family;
use crate::net::link;
use crate::net::trace::{Trace, Tracer};
use crate::store::outages::Outage;
use crate::store::provisional::SET_LATER;

mod load;
mod refusals;
mod runs;

use load::Load;
use refusals::Refusals;
use runs::Runs;

/// Traces that may wait for their turn; when a whole site fails, one tells as much as a hundred.
const MOST_ERRANDS: usize = 32;
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
    errands: VecDeque<Errand>,
    cases: HashMap<OutageKey, Case>,
    /// Interfaces that were seen without a carrier, and until when.
    without_carrier: HashMap<String, Wall>,
    load: Load,
}

/// Whose side an outage is thought to lie on, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// Which outage.
    pub key: OutageKey,
    /// `provider`, `customer` or `unknown`.
    pub side: String,
    /// All that was seen of it so far.
    pub evidence: Value,
}

/// A probe, as far as it matters here.
#[derive(Debug)]
struct Subject {
    probe: Arc<Probe>,
    runs: Runs,
    refusals: Refusals,
}

/// A way out that traces are made by.
#[derive(Debug)]
struct Way {
    family: Family,
    circuit: Circuit,
    /// [`None`] while a trace is under way, and once no probe goes by it any more.
    tracer: Option<Tracer>,
}

/// An outage that is looked into.
#[derive(Debug)]
struct Case {
    outage: Outage,
    /// What was seen of it, without the sends, which are counted anew each time; [`None`] when this
    /// run did not see it begin.
    seen: Option<(usize, Option<String>, Seen)>,
    /// Traces that it waits for.
    waits: u8,
    /// When the next hop was last looked at.
    looked: Wall,
}

/// A trace that is to be made.
#[derive(Clone, Debug)]
struct Errand {
    key: OutageKey,
    way: usize,
    to: IpAddr,
    moment: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Beginning,
    End,
}

/// The trace that is being made, and for whom.
#[derive(Debug)]
struct UnderWay {
    since: Wall,
    errands: Vec<Errand>,
}

#[derive(Debug)]
struct Done {
    way: usize,
    tracer: Tracer,
    trace: Trace,
}

impl Errand {
    /// Whether one trace will do for both.
    fn is_like(&self, other: &Self) -> bool {
        (self.way, self.to) == (other.way, other.to)
    }
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
            errands: VecDeque::new(),
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

    /// Opens what these probes' outages are traced by, and closes what no probe needs any more.
    pub fn open_ways(&mut self, probes: &[Arc<Probe>]) {
        let wanted = ways(probes);
        let busy = self.under_way.as_ref().and_then(|trace| Some(trace.errands.first()?.way));
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
            && subject.asked() == Asked::Echo
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

    /// Looks at the next hop of an outage's probe; whether it was found silent, for the first time.
    fn look_at_hop(&mut self, key: OutageKey) -> bool {
        let Self { cases, subjects, live, .. } = self;
        let Some(case) = cases.get_mut(&key) else { return false };
        let Some((at, _, seen)) = &mut case.seen else { return false };
        let (Some(Some(Subject { probe, .. })), Some(to)) = (subjects.get(*at), live.address(*at))
        else {
            return false;
        };
        if seen.silent_hop.is_some() {
            return false;
        }
        if let FirstHop::Silent(hop) =
            hop::first_hop(&probe.circuit, to, hop::protocol(&probe.test, to))
        {
            seen.silent_hop = Some(NextHop { address: hop.address, interface: hop.interface });
        }
        seen.silent_hop.is_some()
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
        let waiting = self.errands.len();
        self.errands.retain(|errand| errand.key != key);
        let given_up = waiting - self.errands.len();
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

    /// At its end: judges an outage anew that was thought to be the path's, if the target's own
    /// word overturns that.
    fn hear_target_out(&mut self, key: OutageKey) {
        self.count(key);
        let told =
            |case: &Case| case.seen.as_ref().is_some_and(|(_, _, seen)| seen.is_target_s_word());
        if self.cases.get(&key).is_some_and(told) {
            self.judge(key);
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
                    let errands =
                        self.under_way.take().map_or_else(Vec::new, |trace| trace.errands);
                    errands.iter().for_each(|errand| self.done(errand.key));
                    self.begin();
                }
                None => future::pending().await,
            }
        }
    }

    fn traced(&mut self, done: Done) -> Vec<Attribution> {
        self.ways[done.way].tracer = Some(done.tracer);
        let mut news = Vec::new();
        for Errand { key, moment, .. } in
            self.under_way.take().map_or_else(Vec::new, |trace| trace.errands)
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

    /// The probe of this name, and its place.
    fn subject(&self, name: &str) -> Option<(usize, &Subject)> {
        let mut all = self.subjects.iter().enumerate();
        all.find_map(|(at, subject)| {
            Some((at, subject.as_ref().filter(|subject| subject.probe.name == name)?))
        })
    }

    /// Counts what became of its probe's sends, and of those of other probes of the same target,
    /// from the outage's beginning to its end.
    fn count(&mut self, key: OutageKey) {
        let Self { subjects, cases, live, .. } = self;
        let Some(case) = cases.get_mut(&key) else { return };
        let (from, until) = case.span();
        let Some((at, _, seen)) = &mut case.seen else { return };
        let Some(Some(own)) = subjects.get(*at) else { return };
        seen.sends = own.runs.tally(from, until);
        let target = live.address(*at);
        let others =
            subjects.iter().enumerate().filter_map(|(place, other)| Some((place, other.as_ref()?)));
        let others = others.filter(|(place, other)| {
            place != at
                && target.is_some()
                && live.address(*place) == target
                && other.asks_the_same_way(own)
        });
        let tallies =
            others.map(|(_, other)| (other.probe.name.clone(), other.runs.tally(from, until)));
        seen.same_target = tallies.collect();
    }

    /// Judges by what is seen now, from the outage's beginning to its end.
    fn judge(&mut self, key: OutageKey) {
        self.count(key);
        let Self { subjects, cases, without_carrier, .. } = self;
        let Some(case) = cases.get_mut(&key) else { return };
        let (from, until) = case.span();
        let Some((at, interface, seen)) = &mut case.seen else { return };
        let Some(Some(Subject { runs, refusals, .. })) = subjects.get(*at) else { return };
        for (by, kind) in refusals.since(from) {
            if !seen.refused_by.iter().any(|(known, said)| *known == by && said == kind) {
                seen.refused_by.push((by, kind.to_owned()));
            }
        }
        seen.carrier = match interface.as_deref() {
            _ if seen.carrier == Carrier::Down || runs.without_carrier(from, until) => {
                Carrier::Down
            }
            Some(name) if without_carrier.get(name).is_some_and(|lost| *lost >= from) => {
                Carrier::Down
            }
            // At an outage's end the carrier is that of afterwards.
            Some(name) if case.outage.to.is_none() => link::carrier(name),
            _ => seen.carrier,
        };
        let counts = |other: &&Subject| {
            let bound = other.probe.circuit.interface.as_deref();
            other.probe.role == Role::Reference
                && other.probe.name != case.outage.probe
                && bound.is_none_or(|bound| interface.as_deref().is_none_or(|own| own == bound))
        };
        let references = subjects.iter().flatten().filter(counts);
        seen.references = references
            .map(|other| (other.probe.name.clone(), other.runs.tally(from, until)))
            .collect();
        let side = word(seen.finding().side);
        let evidence = seen.evidence();
        side.clone_into(&mut case.outage.side);
        for (name, value) in evidence {
            case.enter(&name, value);
        }
    }

    /// Has the way to a probe's present address traced, unless it is this host.
    fn send(&mut self, key: OutageKey, at: usize, moment: Moment) {
        let Some(to) = self.live.address(at).filter(|to| !to.is_loopback() && !to.is_unspecified())
        else {
            return;
        };
        let Some(Some(Subject { probe, .. })) = self.subjects.get(at) else { return };
        let circuit = circuit(probe);
        let matches = |way: &Way| way.family == Family::of(to) && way.circuit == circuit;
        let Some(way) = self.ways.iter().position(matches) else { return };
        let Some(case) = self.cases.get_mut(&key) else { return };
        let errand = Errand { key, way, to, moment };
        let from = if moment == Moment::End { case.outage.to } else { None };
        let from = from.unwrap_or(case.outage.from);
        match &mut self.under_way {
            // Whoever failed a moment before has it made already.
            Some(trace)
                if trace.since >= from
                    && trace.errands.iter().any(|other| other.is_like(&errand)) =>
            {
                case.waits += 1;
                trace.errands.push(errand);
            }
            _ if self.errands.len() < MOST_ERRANDS => {
                case.waits += 1;
                self.errands.push_back(errand);
                self.begin();
            }
            _ => {}
        }
    }

    /// Begins the next trace, unless one is under way; all who want the same share it.
    fn begin(&mut self) {
        while self.under_way.is_none()
            && let Some(first) = self.errands.pop_front()
        {
            let (mut errands, others): (Vec<_>, Vec<_>) =
                self.errands.drain(..).partition(|errand| errand.is_like(&first));
            self.errands = others.into();
            let (way, to) = (first.way, first.to);
            errands.push(first);
            self.ways[way].ready();
            match self.ways[way].tracer.take() {
                Some(mut tracer) => {
                    self.under_way = Some(UnderWay { since: SystemClock.now().wall, errands });
                    self.running.spawn_local(async move {
                        let trace = tracer.trace(to).await;
                        Done { way, tracer, trace }
                    });
                }
                None => errands.iter().for_each(|errand| self.done(errand.key)),
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

    fn forget(&mut self, key: OutageKey) {
        if self.cases.get(&key).is_some_and(|case| case.outage.to.is_some() && case.waits == 0) {
            self.cases.remove(&key);
        }
    }
}

impl Case {
    /// From its beginning to its end, if it has one.
    fn span(&self) -> (Wall, Wall) {
        (self.outage.from, self.outage.to.unwrap_or(Wall::from_nanos(i64::MAX)))
    }

    fn enter(&mut self, name: &str, value: Value) {
        match &mut self.outage.evidence {
            Value::Object(known) => _ = known.insert(name.to_owned(), value),
            other => *other = json!({ name: value }),
        }
    }

    fn attribution(&self, key: OutageKey) -> Attribution {
        Attribution { key, side: self.outage.side.clone(), evidence: self.outage.evidence.clone() }
    }
}

const fn word(side: Side) -> &'static str {
    match side {
        Side::Provider => "provider",
        Side::Customer => "customer",
        Side::Unknown => "unknown",
    }
}

impl Subject {
    fn new(probe: &Arc<Probe>) -> Self {
        Self {
            probe: Arc::clone(probe),
            runs: Runs::new(probe.period),
            refusals: Refusals::default(),
        }
    }

    /// Whether its answers prove the way of another one's packets: the same circuit, and no smaller
    /// ones where both are echoes.
    fn asks_the_same_way(&self, other: &Self) -> bool {
        let size = |of: &Self| match of.probe.test {
            Test::Icmp { size, .. } => Some(size),
            Test::Http(_) | Test::Tcp { .. } | Test::Dns(_) => None,
        };
        let as_large = size(self).zip(size(other)).is_none_or(|(own, other)| own >= other);
        as_large && circuit(&self.probe) == circuit(&other.probe)
    }

    fn asked(&self) -> Asked {
        if matches!(self.probe.test, Test::Icmp { .. }) { Asked::Echo } else { Asked::Service }
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
fn circuit(probe: &Probe) -> Circuit {
    Circuit { ttl: None, ..probe.circuit.clone() }
}

/// The circuits and families that outages may be looked into by.
fn ways(probes: &[Arc<Probe>]) -> Vec<(Family, Circuit)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_a_run_before_is_told_at_its_end_with_what_the_judge_counted_since() {
        let reasons = json!({"refused/status-503": 421});
        let outage = Outage {
            service: None,
            probe: "portal".to_owned(),
            definition: "builtin".to_owned(),
            from: Wall::from_secs(1_700_000_000),
            to: Some(Wall::from_secs(1_700_000_421)),
            side: "customer".to_owned(),
            evidence: json!({"why": "known before", "reasons": reasons}),
        };
        let mut diagnosis = Diagnosis::new(Live::new("agent".to_owned()));
        let key = OutageKey::New(7);
        let told = diagnosis.closed(key, &outage).unwrap();
        assert_eq!(told, Attribution { key, side: outage.side, evidence: outage.evidence });
    }
}
