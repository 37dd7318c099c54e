//! Outages as they happen, by the contracts' own definitions, and the state of each probe.

use std::sync::Arc;

use serde_json::json;

use crate::agent::terms::Terms;
use crate::base::time::Wall;
use crate::config::agent::AgentConfig;
use crate::measure::carrier::Carrier;
use crate::measure::event::ProbeId;
use crate::measure::ledger::{CarrierLoss, SettledSend};
use crate::measure::probe::Probe;
use crate::sla::outage::{Detector, Edge, Rule, State};
use crate::store::outages::Outage;
use crate::store::provisional::SET_LATER;
use crate::store::{Store, StoreError};

use super::key::OutageKey;

pub use recall::Past;
use watch::{Failing, Open, Seen, Watcher, Watching};

mod recall;
mod reconfigure;
mod watch;

/// What the detector has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An outage began: at the first failed send.
    Opened(OutageKey, Outage),
    /// It ended: at the first good send after it.
    Closed(OutageKey, Outage, Wall),
    /// A probe is now in this state; it is told by its place.
    State(usize, &'static str),
}

/// The watch over all services.
#[derive(Debug)]
pub struct OutageDetector {
    watches: Vec<Watching>,
    /// By their places, some of which may be free.
    probes: Vec<Option<Watched>>,
    next: u64,
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

/// When the evidence of an open outage is to say its reasons anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// When another reason is the most frequent one.
    IfFirstChanged,
    /// When anything was counted.
    IfAnyChanged,
}

impl OutageDetector {
    /// The watch over what `terms` say, for probes that have these places; what the database last
    /// knew is recalled, so that an outage goes on over a restart of the agent, or ends where it
    /// was no more seen.
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
        let mut detector = Self::blank(config, terms, places);
        detector.recall(store, past)?;
        Ok(detector)
    }

    /// One who has seen nothing yet.
    fn blank(config: &AgentConfig, terms: &Terms, places: &[ProbeId]) -> Self {
        let place = |at: usize| places[at].0 as usize;
        let watches = terms.watches.iter().map(|watch| {
            let standard = Arc::clone(&watch.standard);
            let watcher = |&at: &usize| Watcher {
                place: place(at),
                detector: Detector::new(&standard.rule),
                failing: None,
            };
            let mut detectors: Box<[_]> = watch.probes.iter().map(watcher).collect();
            detectors.sort_by_key(|watcher| watcher.place);
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

    /// The state of a probe, where it is another than was told last.
    fn changed_state(&mut self, at: usize) -> Option<Change> {
        let state = self.state(at);
        let probe = self.probe_mut(at).filter(|probe| probe.state != state)?;
        probe.state = state;
        Some(Change::State(at, state.word()))
    }

    /// Takes one outcome; for each probe they come in the order of the sends.
    pub fn take(&mut self, told: &SettledSend) -> Vec<Change> {
        let at = told.probe.0 as usize;
        let carrier = if told.carrier == CarrierLoss::Yes { Carrier::Down } else { Carrier::Up };
        let mut changes = Vec::new();
        let seen =
            Seen { due: told.due, outcome: told.outcome, carrier, reason: told.reason.as_ref() };
        for (watch, edge) in self.feed(at, &seen) {
            let watching = &mut self.watches[watch];
            match edge {
                Edge::Down { from } if watching.open.is_none() && watching.is_down() => {
                    let key = OutageKey::New(self.next);
                    self.next += 1;
                    let failing =
                        watching.watcher_mut(at).and_then(|watcher| watcher.failing.take());
                    let outage = Outage {
                        service: watching.standard.service.clone(),
                        probe: name_of(&self.probes, at).to_owned(),
                        definition: watching.standard.definition.clone(),
                        from,
                        to: None,
                        side: "unknown".to_owned(),
                        evidence: json!({}),
                    };
                    let reasons = failing.map(|failing| failing.reasons).unwrap_or_default();
                    let mut open = Box::new(Open { key, outage, reasons });
                    open.enter_reasons();
                    changes.push(Change::Opened(key, open.outage.clone()));
                    watching.open = Some(open);
                }
                Edge::Up { at } if !watching.is_down() => {
                    if let Some((key, outage)) = watching.open.take().map(|open| open.over()) {
                        changes.push(Change::Closed(key, outage, at));
                    }
                }
                _ => {}
            }
        }
        changes.extend(self.changed_state(at));
        changes
    }

    /// What it knows happened so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        for watching in &mut self.watches {
            for Watcher { detector, failing, .. } in &mut watching.detectors {
                detector.shift(by_ns);
                // What failed belongs to where the outage would begin by the true clock.
                *failing = failing.take().and_then(|of| {
                    Some(Box::new(Failing { since: detector.failing_since()?, ..*of }))
                });
            }
            if let Some(Open { outage, .. }) = watching.open.as_deref_mut() {
                outage.from = outage.from.shifted(by_ns);
                outage.evidence["clock"] = json!(SET_LATER);
            }
        }
        for own in self.probes.iter_mut().flatten().filter_map(|probe| probe.own.as_mut()) {
            own.shift(by_ns);
        }
    }

    /// Takes whose side an outage is thought to lie on, and why; gives the evidence with why its
    /// sends failed up to now.
    #[must_use]
    pub fn attributed(
        &mut self,
        key: OutageKey,
        side: &str,
        evidence: serde_json::Value,
    ) -> serde_json::Value {
        let mut open = self.watches.iter_mut().filter_map(|watch| watch.open.as_deref_mut());
        // Of one that is over the evidence has all.
        let Some(open) = open.find(|open| open.key == key) else { return evidence };
        side.clone_into(&mut open.outage.side);
        open.outage.evidence = evidence;
        open.enter_reasons();
        open.outage.evidence.clone()
    }

    /// Open outages of which the evidence does not say yet why their sends failed up to now: those
    /// of which another reason became the most frequent one, or where every count matters. From
    /// now on it does.
    pub fn reasons_anew(&mut self, renew: Renew) -> Vec<(OutageKey, Outage)> {
        let mut news = Vec::new();
        for open in self.watches.iter_mut().filter_map(|watch| watch.open.as_deref_mut()) {
            let said = open.outage.reasons();
            let says = match renew {
                Renew::IfFirstChanged => said.first() == open.reasons.first(),
                Renew::IfAnyChanged => said.ranked() == open.reasons.ranked(),
            };
            if !says {
                open.enter_reasons();
                news.push((open.key, open.outage.clone()));
            }
        }
        news
    }

    /// Gives an outcome to every detector of a probe; what changed is told with the watch that it
    /// changed for.
    fn feed(&mut self, at: usize, seen: &Seen<'_>) -> Vec<(usize, Edge)> {
        let Self { watches, probes, .. } = self;
        let Some(probe) = probes.get_mut(at).and_then(Option::as_mut) else { return Vec::new() };
        let Seen { due, outcome, carrier, .. } = *seen;
        if let Some(own) = &mut probe.own {
            own.push(due, outcome, carrier, probe.probe.period);
        }
        let mut edges = Vec::new();
        for &watch in &probe.watches {
            let watching = &mut watches[watch];
            let reason = seen.reason_by(&watching.standard.rule);
            if let (Some(reason), Some(open)) = (reason, &mut watching.open)
                && open.outage.probe == probe.probe.name
            {
                open.reasons.add(reason);
            }
            if let Some(watcher) = watching.watcher_mut(at) {
                edges.extend(
                    watcher
                        .push(seen, reason, probe.probe.period)
                        .into_iter()
                        .map(|edge| (watch, edge)),
                );
            }
        }
        edges
    }

    /// A probe is in the state that the contract's definition gives it, the worst of several; else
    /// in its own.
    fn state(&self, at: usize) -> State {
        let Some(probe) = self.probe(at) else { return State::Unknown };
        let mut states = probe
            .watches
            .iter()
            .filter_map(|&watch| self.watches[watch].detector(at))
            .map(Detector::state);
        let own = || probe.own.as_deref().map_or(State::Unknown, Detector::state);
        let first = states.next().unwrap_or_else(own);
        states.fold(first, |worst, state| if state == State::Down { state } else { worst })
    }
}

fn name_of(probes: &[Option<Watched>], at: usize) -> &str {
    probes.get(at).and_then(Option::as_ref).map_or("", |own| &own.probe.name)
}

#[cfg(test)]
mod tests;
