//! Outages as they happen, by the contracts' own definitions, and the state of each probe.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::agent::recorder::OutageKey;
use crate::agent::terms::{Standard, Terms};
use crate::base::time::{Now, Wall};
use crate::config::agent::AgentConfig;
use crate::measure::event::ProbeId;
use crate::measure::ledger::{CarrierLoss, Told};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Probe;
use crate::sla::outage::{Carrier, Detector, Edge, Rule, State};
use crate::store::held::SET_LATER;
use crate::store::outages::Outage;
use crate::store::{Store, StoreError};

/// What the judge has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An outage began: at the first failed send.
    Opened(OutageKey, Outage),
    /// It ended: at the first good send after it.
    Closed(OutageKey, Outage, Wall),
    /// A probe is now in this state; it is told by its place.
    State(usize, &'static str),
}

/// The watch over all services.
#[derive(Debug)]
pub struct Judge {
    watches: Vec<Watching>,
    /// By their places, some of which may be free.
    probes: Vec<Option<Watched>>,
    next: u64,
}

/// One definition of an outage, at work.
#[derive(Debug)]
struct Watching {
    standard: Arc<Standard>,
    /// Each with its probe's place, in their order: one is looked for at every outcome.
    detectors: Box<[(usize, Detector)]>,
    /// The outage that lasts; apart, since most watches have none.
    open: Option<Box<(OutageKey, Outage)>>,
}

/// A probe, and the watches that it feeds.
#[derive(Debug)]
struct Watched {
    probe: Arc<Probe>,
    watches: Box<[usize]>,
    /// Tells its state where no watch does; apart, since most probes feed one.
    own: Option<Box<Detector>>,
    state: State,
}

/// What a judge recalls at a start.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Both clocks, the wall clock as labels go.
    pub now: Now,
    /// The kernel's boot id: what is held of this boot is recalled.
    pub boot: &'a str,
    /// Whether what has labels is recalled too.
    pub labels: Labels,
}

/// Whether labels of before and those of now are by one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// They are.
    Known,
    /// Those of now are provisional.
    Provisional,
}

/// How far back the last intervals are read again at a start, so that what was down still is.
const RECALL: Duration = Duration::from_secs(900);

impl Judge {
    /// The watch over what `terms` say, for probes that have these places; what the database last knew is recalled, so that an
    /// outage goes on over a restart of the agent, or ends where it was no more seen.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(
        config: &AgentConfig,
        terms: &Terms,
        places: &[ProbeId],
        store: &Store,
        past: &Past<'_>,
    ) -> Result<Self, StoreError> {
        let mut judge = Self::blank(config, terms, places);
        judge.recall(store, past)?;
        Ok(judge)
    }

    /// One who has seen nothing yet.
    fn blank(config: &AgentConfig, terms: &Terms, places: &[ProbeId]) -> Self {
        let place = |at: usize| places[at].0 as usize;
        let watches = terms.watches.iter().map(|watch| {
            let standard = Arc::clone(&watch.standard);
            let mut detectors: Box<[_]> =
                watch.probes.iter().map(|&at| (place(at), Detector::new(&standard.rule))).collect();
            detectors.sort_by_key(|(place, _)| *place);
            Watching { standard, detectors, open: None }
        });
        let mut feeds = vec![Vec::new(); config.probes.len()];
        for (watch, of) in terms.watches.iter().enumerate() {
            of.probes.iter().for_each(|&at| feeds[at].push(watch));
        }
        let mut probes: Vec<Option<Watched>> = Vec::new();
        probes.resize_with(ProbeId::rows(places), || None);
        for (at, (probe, watches)) in config.probes.iter().zip(feeds).enumerate() {
            let own = watches.is_empty().then(|| Box::new(Detector::new(&Rule::builtin())));
            let (probe, watches) = (Arc::clone(probe), watches.into());
            probes[place(at)] = Some(Watched { probe, watches, own, state: State::Unknown });
        }
        Self { watches: watches.collect(), probes, next: 0 }
    }

    fn probe(&self, at: usize) -> Option<&Watched> {
        self.probes.get(at)?.as_ref()
    }

    fn probe_mut(&mut self, at: usize) -> Option<&mut Watched> {
        self.probes.get_mut(at)?.as_mut()
    }

    /// Goes on by other terms. Where a probe and the rule that it is judged by are as before, so is what is known of them,
    /// and an outage lasts; one that nobody would see the end of ends now.
    pub fn reconfigure(
        &mut self,
        config: &AgentConfig,
        terms: &Terms,
        places: &[ProbeId],
        now: Wall,
    ) -> Vec<(usize, News)> {
        let old = std::mem::replace(self, Self::blank(config, terms, places));
        self.next = old.next;
        let known = old.probes;
        for (probe, before) in self.probes.iter_mut().zip(&known) {
            if let (Some(probe), Some(before)) = (probe, before)
                && probe.probe.name == before.probe.name
            {
                probe.state = before.state;
                if let (Some(own), Some(before)) = (&mut probe.own, &before.own) {
                    own.clone_from(before);
                }
            }
        }
        let mut news = Vec::new();
        for before in old.watches {
            let same = |watch: &usize| {
                let standard = &self.watches[*watch].standard;
                standard.service == before.standard.service && standard.definition == before.standard.definition
            };
            let shared = before.detectors.iter().filter_map(|&(at, _)| self.probe(at)).flat_map(|probe| &probe.watches);
            let watch = shared.copied().filter(same).min();
            let lasts = watch.map(|watch| &mut self.watches[watch]).and_then(|watch| {
                if watch.standard.rule == before.standard.rule {
                    for (at, detector) in before.detectors {
                        if let Some(new) = watch.detector_mut(at) {
                            *new = detector;
                        }
                    }
                }
                watch.is_down().then_some(watch)
            });
            match (lasts, before.open) {
                (Some(watch), open) => watch.open = open,
                (None, Some(open)) => {
                    let (key, mut outage) = *open;
                    let of = |own: &Option<Watched>| own.as_ref().is_some_and(|own| own.probe.name == outage.probe);
                    let at = known.iter().position(of).unwrap_or(usize::MAX);
                    outage.evidence["end"] = json!("not observed: another configuration was taken");
                    let to = now.max(outage.from);
                    news.push((at, News::Closed(key, outage, to)));
                }
                (None, None) => {}
            }
        }
        for at in 0..self.probes.len() {
            let state = self.state(at);
            if let Some(probe) = self.probe_mut(at).filter(|probe| probe.state != state) {
                probe.state = state;
                news.push((at, News::State(at, state.word())));
            }
        }
        news
    }

    /// Feeds the last stored outcomes to the detectors, and takes up the outages that were open.
    fn recall(&mut self, store: &Store, past: &Past<'_>) -> Result<(), StoreError> {
        let now = past.now.wall;
        let open = store.open_outages()?;
        let from = open.iter().map(|(_, outage)| outage.from).min().unwrap_or(now).min(now - RECALL);
        let held = store.held_intervals(past.boot, past.now, from)?;
        for at in 0..self.probes.len() {
            let Some(probe) = self.probe(at) else { continue };
            let mut intervals = match past.labels {
                Labels::Known => store.intervals(&probe.probe.name, from, now)?,
                Labels::Provisional => Vec::new(),
            };
            intervals.extend(held.get(&probe.probe.name).into_iter().flatten().cloned());
            for interval in intervals {
                let carrier = interval.reasons.contains_key(&Reason::CARRIER.to_string());
                for (due, outcome) in interval.sends() {
                    let carrier = if carrier && outcome == Outcome::NotSent { Carrier::Down } else { Carrier::Up };
                    self.feed(at, due, outcome, carrier);
                }
            }
        }
        for (id, outage) in open {
            let same = |watch: &&mut Watching| {
                watch.standard.service == outage.service
                    && watch.standard.definition == outage.definition
                    && watch.detectors.iter().any(|&(at, _)| name_of(&self.probes, at) == outage.probe)
            };
            let watch = self.watches.iter_mut().find(same);
            match watch {
                Some(watch) if watch.is_down() => {
                    let key = OutageKey::Stored(id);
                    watch.open = Some(Box::new((key, outage)));
                }
                // Nobody saw its end: it is given the end of what was seen of it.
                _ => {
                    let last = held.get(&outage.probe).and_then(|all| all.last()).cloned();
                    let last = last.map_or_else(|| store.last_interval(&outage.probe), |last| Ok(Some(last)))?;
                    let seen = last.map_or(outage.from, |interval| interval.to());
                    store.close_outage(id, seen.max(outage.from))?;
                    let mut evidence = outage.evidence;
                    evidence["end"] = json!("not observed: the agent was not running");
                    store.attribute_outage(id, &outage.side, &evidence)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one outcome; for each probe they come in the order of the sends.
    pub fn take(&mut self, told: &Told) -> Vec<News> {
        let at = told.probe.0 as usize;
        let carrier = if told.carrier == CarrierLoss::Yes { Carrier::Down } else { Carrier::Up };
        let mut news = Vec::new();
        for (watch, edge) in self.feed(at, told.due, told.outcome, carrier) {
            let watching = &mut self.watches[watch];
            match edge {
                Edge::Down { from } if watching.open.is_none() && watching.is_down() => {
                    let key = OutageKey::New(self.next);
                    self.next += 1;
                    let outage = Outage {
                        service: watching.standard.service.clone(),
                        probe: name_of(&self.probes, at).to_owned(),
                        definition: watching.standard.definition.clone(),
                        from,
                        to: None,
                        side: "unknown".to_owned(),
                        evidence: json!({}),
                    };
                    watching.open = Some(Box::new((key, outage.clone())));
                    news.push(News::Opened(key, outage));
                }
                Edge::Up { at } if !watching.is_down() => {
                    if let Some((key, outage)) = watching.open.take().map(|open| *open) {
                        news.push(News::Closed(key, outage, at));
                    }
                }
                _ => {}
            }
        }
        let state = self.state(at);
        if let Some(probe) = self.probe_mut(at).filter(|probe| probe.state != state) {
            probe.state = state;
            news.push(News::State(at, state.word()));
        }
        news
    }

    /// What it knows happened so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        for watching in &mut self.watches {
            watching.detectors.iter_mut().for_each(|(_, detector)| detector.shift(by_ns));
            if let Some((_, outage)) = watching.open.as_deref_mut() {
                outage.from = outage.from.shifted(by_ns);
                outage.evidence["clock"] = json!(SET_LATER);
            }
        }
        for own in self.probes.iter_mut().flatten().filter_map(|probe| probe.own.as_mut()) {
            own.shift(by_ns);
        }
    }

    /// Takes whose side an open outage is thought to lie on, and why.
    pub fn attributed(&mut self, key: OutageKey, side: &str, evidence: &serde_json::Value) {
        let open = self.watches.iter_mut().filter_map(|watch| watch.open.as_deref_mut());
        for (_, outage) in open.filter(|(of, _)| *of == key) {
            side.clone_into(&mut outage.side);
            outage.evidence.clone_from(evidence);
        }
    }

    /// Gives an outcome to every detector of a probe; what changed is told with the watch that it changed for.
    fn feed(&mut self, at: usize, due: Wall, outcome: Outcome, carrier: Carrier) -> Vec<(usize, Edge)> {
        let Self { watches, probes, .. } = self;
        let Some(probe) = probes.get_mut(at).and_then(Option::as_mut) else { return Vec::new() };
        if let Some(own) = &mut probe.own {
            own.push(due, outcome, carrier, probe.probe.period);
        }
        let mut edges = Vec::new();
        for &watch in &probe.watches {
            if let Some(detector) = watches[watch].detector_mut(at) {
                edges.extend(
                    detector.push(due, outcome, carrier, probe.probe.period).into_iter().map(|edge| (watch, edge)),
                );
            }
        }
        edges
    }

    /// A probe is in the state that the contract's definition gives it, the worst of several; else in its own.
    fn state(&self, at: usize) -> State {
        let Some(probe) = self.probe(at) else { return State::Unknown };
        let mut states =
            probe.watches.iter().filter_map(|&watch| self.watches[watch].detector(at)).map(Detector::state);
        let own = || probe.own.as_deref().map_or(State::Unknown, Detector::state);
        let first = states.next().unwrap_or_else(own);
        states.fold(first, |worst, state| if state == State::Down { state } else { worst })
    }
}

fn name_of(probes: &[Option<Watched>], at: usize) -> &str {
    probes.get(at).and_then(Option::as_ref).map_or("", |own| &own.probe.name)
}

impl Watching {
    fn detector(&self, at: usize) -> Option<&Detector> {
        let found = self.detectors.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        Some(&self.detectors[found].1)
    }

    fn detector_mut(&mut self, at: usize) -> Option<&mut Detector> {
        let found = self.detectors.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        Some(&mut self.detectors[found].1)
    }

    /// A service that several probes measure is down while one of them sees it down and none sees it up, as in a verdict.
    fn is_down(&self) -> bool {
        let sees = |state| self.detectors.iter().any(|(_, detector)| detector.state() == state);
        sees(State::Down) && !sees(State::Up)
    }
}
