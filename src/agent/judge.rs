//! Outages as they happen, by the contracts' own definitions, and the state of each probe.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use crate::agent::recorder::OutageKey;
use crate::agent::terms::Terms;
use crate::base::time::Wall;
use crate::config::agent::AgentConfig;
use crate::measure::event::ProbeId;
use crate::measure::ledger::{CarrierLoss, Told};
use crate::measure::outcome::{Outcome, Reason};
use crate::sla::outage::{Carrier, Detector, Edge, Rule, State};
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
    /// By their places.
    probes: HashMap<usize, Watched>,
    next: u64,
}

/// One definition of an outage, at work.
#[derive(Debug)]
struct Watching {
    service: Option<String>,
    definition: String,
    /// By the probe's place.
    detectors: HashMap<usize, Detector>,
    /// The outage that lasts.
    open: Option<(OutageKey, Outage)>,
}

/// A probe, and the watches that it feeds.
#[derive(Debug)]
struct Watched {
    name: String,
    period: Duration,
    watches: Vec<usize>,
    /// Tells its state where no watch does.
    own: Detector,
    state: State,
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
        now: Wall,
    ) -> Result<Self, StoreError> {
        let mut judge = Self::blank(config, terms, places);
        judge.recall(store, now)?;
        Ok(judge)
    }

    /// One who has seen nothing yet.
    fn blank(config: &AgentConfig, terms: &Terms, places: &[ProbeId]) -> Self {
        let place = |at: usize| places[at].0 as usize;
        let watches = terms.watches.iter().map(|watch| Watching {
            service: watch.service.clone(),
            definition: watch.definition.clone(),
            detectors: watch.probes.iter().map(|&at| (place(at), Detector::new(&watch.rule))).collect(),
            open: None,
        });
        let feeds =
            |at: usize| (0..terms.watches.len()).filter(move |&watch| terms.watches[watch].probes.contains(&at));
        let probes = config.probes.iter().enumerate().map(|(at, probe)| {
            let watched = Watched {
                name: probe.name.clone(),
                period: probe.period,
                watches: feeds(at).collect(),
                own: Detector::new(&Rule::builtin()),
                state: State::Unknown,
            };
            (place(at), watched)
        });
        Self { watches: watches.collect(), probes: probes.collect(), next: 0 }
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
        for (at, probe) in &mut self.probes {
            if let Some(before) = known.get(at).filter(|before| before.name == probe.name) {
                (probe.own, probe.state) = (before.own.clone(), before.state);
            }
        }
        let mut news = Vec::new();
        for before in old.watches {
            let same = |watch: &&mut Watching| {
                let shared = || watch.detectors.keys().any(|at| before.detectors.contains_key(at));
                watch.service == before.service && watch.definition == before.definition && shared()
            };
            let watch = self.watches.iter_mut().find(same);
            let lasts = watch.and_then(|watch| {
                for (at, detector) in before.detectors {
                    if let Some(new) = watch.detectors.get_mut(&at).filter(|new| new.rule() == detector.rule()) {
                        *new = detector;
                    }
                }
                watch.is_down().then_some(watch)
            });
            match (lasts, before.open) {
                (Some(watch), open) => watch.open = open,
                (None, Some((key, mut outage))) => {
                    let at =
                        known.iter().find(|(_, probe)| probe.name == outage.probe).map_or(usize::MAX, |(&at, _)| at);
                    outage.evidence["end"] = json!("not observed: another configuration was taken");
                    let to = now.max(outage.from);
                    news.push((at, News::Closed(key, outage, to)));
                }
                (None, None) => {}
            }
        }
        let states: Vec<(usize, State)> = self.probes.keys().map(|&at| (at, self.state(at))).collect();
        for (at, state) in states {
            if let Some(probe) = self.probes.get_mut(&at).filter(|probe| probe.state != state) {
                probe.state = state;
                news.push((at, News::State(at, state.word())));
            }
        }
        news
    }

    /// Feeds the last stored outcomes to the detectors, and takes up the outages that were open.
    fn recall(&mut self, store: &Store, now: Wall) -> Result<(), StoreError> {
        let open = store.open_outages()?;
        let from = open.iter().map(|(_, outage)| outage.from).min().unwrap_or(now).min(now - RECALL);
        let places: Vec<usize> = self.probes.keys().copied().collect();
        for at in places {
            for interval in store.intervals(&self.probes[&at].name, from, now)? {
                let carrier = interval.reasons.contains_key(&Reason::CARRIER.to_string());
                for (due, outcome) in interval.sends() {
                    let carrier = if carrier && outcome == Outcome::NotSent { Carrier::Down } else { Carrier::Up };
                    self.feed(at, due, outcome, carrier);
                }
            }
        }
        for (id, outage) in open {
            let same = |watch: &&mut Watching| {
                watch.service == outage.service
                    && watch.definition == outage.definition
                    && watch.detectors.keys().any(|at| self.probes[at].name == outage.probe)
            };
            let watch = self.watches.iter_mut().find(same);
            match watch {
                Some(watch) if watch.is_down() => {
                    let key = OutageKey::Stored(id);
                    watch.open = Some((key, outage));
                }
                // Nobody saw its end: it is given the end of what was seen of it.
                _ => {
                    let seen = store.last_interval(&outage.probe)?.map_or(outage.from, |interval| interval.to());
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
        if !self.probes.contains_key(&at) {
            return Vec::new();
        }
        let carrier = if told.carrier == CarrierLoss::Yes { Carrier::Down } else { Carrier::Up };
        let mut news = Vec::new();
        for (watch, edge) in self.feed(at, told.due, told.outcome, carrier) {
            let watching = &mut self.watches[watch];
            match edge {
                Edge::Down { from } if watching.open.is_none() && watching.is_down() => {
                    let key = OutageKey::New(self.next);
                    self.next += 1;
                    let outage = Outage {
                        service: watching.service.clone(),
                        probe: self.probes[&at].name.clone(),
                        definition: watching.definition.clone(),
                        from,
                        to: None,
                        side: "unknown".to_owned(),
                        evidence: json!({}),
                    };
                    watching.open = Some((key, outage.clone()));
                    news.push(News::Opened(key, outage));
                }
                Edge::Up { at } if !watching.is_down() => {
                    if let Some((key, outage)) = watching.open.take() {
                        news.push(News::Closed(key, outage, at));
                    }
                }
                _ => {}
            }
        }
        let state = self.state(at);
        if let Some(probe) = self.probes.get_mut(&at).filter(|probe| probe.state != state) {
            probe.state = state;
            news.push(News::State(at, state.word()));
        }
        news
    }

    /// Takes whose side an open outage is thought to lie on, and why.
    pub fn attributed(&mut self, key: OutageKey, side: &str, evidence: &serde_json::Value) {
        let open = self.watches.iter_mut().filter_map(|watch| watch.open.as_mut());
        for (_, outage) in open.filter(|(of, _)| *of == key) {
            side.clone_into(&mut outage.side);
            outage.evidence.clone_from(evidence);
        }
    }

    /// Gives an outcome to every detector of a probe; what changed is told with the watch that it changed for.
    fn feed(&mut self, at: usize, due: Wall, outcome: Outcome, carrier: Carrier) -> Vec<(usize, Edge)> {
        let Self { watches, probes, .. } = self;
        let Some(probe) = probes.get_mut(&at) else { return Vec::new() };
        probe.own.push(due, outcome, carrier, probe.period);
        let mut edges = Vec::new();
        for &watch in &probe.watches {
            if let Some(detector) = watches[watch].detectors.get_mut(&at) {
                edges.extend(detector.push(due, outcome, carrier, probe.period).into_iter().map(|edge| (watch, edge)));
            }
        }
        edges
    }

    /// A probe is in the state that the contract's definition gives it, the worst of several; else in its own.
    fn state(&self, at: usize) -> State {
        let Some(probe) = self.probes.get(&at) else { return State::Unknown };
        let mut states =
            probe.watches.iter().filter_map(|&watch| self.watches[watch].detectors.get(&at)).map(Detector::state);
        let first = states.next().unwrap_or_else(|| probe.own.state());
        states.fold(first, |worst, state| if state == State::Down { state } else { worst })
    }
}

impl Watching {
    /// A service that several probes measure is down while one of them sees it down and none sees it up, as in a verdict.
    fn is_down(&self) -> bool {
        let sees = |state| self.detectors.values().any(|detector| detector.state() == state);
        sees(State::Down) && !sees(State::Up)
    }
}
