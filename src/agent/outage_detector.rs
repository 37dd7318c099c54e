//! Outages as they happen, by the contracts' own definitions, and the state of each probe.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::agent::recorder::OutageKey;
use crate::agent::terms::{Standard, Terms};
use crate::base::time::{Now, Wall};
use crate::config::agent::AgentConfig;
use crate::measure::event::ProbeId;
use crate::measure::ledger::{CarrierLoss, SettledSend};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Probe;
use crate::measure::reasons::Reasons;
use crate::sla::outage::{Carrier, Class, Detector, Edge, Rule, State};
use crate::store::outages::Outage;
use crate::store::provisional::SET_LATER;
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
pub struct OutageDetector {
    watches: Vec<Watching>,
    /// By their places, some of which may be free.
    probes: Vec<Option<Watched>>,
    next: u64,
}

/// One definition of an outage, at work.
#[derive(Debug)]
struct Watching {
    standard: Arc<Standard>,
    /// Ordered by their probes' places: one is looked for at every outcome.
    detectors: Box<[Watcher]>,
    /// The outage that lasts; apart, since most watches have none.
    open: Option<Box<Open>>,
}

/// A definition's look at one probe.
#[derive(Debug)]
struct Watcher {
    /// The probe's place.
    place: usize,
    detector: Detector,
    /// What would be an outage if it went on; apart, since most probes do not fail.
    failing: Option<Box<Failing>>,
}

/// Why sends failed since the instant that an outage would begin at.
#[derive(Debug)]
struct Failing {
    since: Wall,
    reasons: Reasons,
}

/// An outage that lasts, and why its probe's sends were not answered since it began.
#[derive(Debug)]
struct Open {
    key: OutageKey,
    outage: Outage,
    reasons: Reasons,
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

/// When the evidence of an open outage is to say its reasons anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// When another reason is the most frequent one.
    Change,
    /// When anything was counted.
    Count,
}

/// How far back the last intervals are read again at a start, so that what was down still is.
const RECALL: Duration = Duration::from_secs(900);

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
        let mut judge = Self::blank(config, terms, places);
        judge.recall(store, past)?;
        Ok(judge)
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

    /// Goes on by other terms. Where a probe and the rule that it is judged by are as before, so is
    /// what is known of them, and an outage lasts; one that nobody would see the end of ends now.
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
                standard.service == before.standard.service
                    && standard.definition == before.standard.definition
            };
            let shared = before
                .detectors
                .iter()
                .filter_map(|of| self.probe(of.place))
                .flat_map(|probe| &probe.watches);
            let watch = shared.copied().filter(same).min();
            let lasts = watch.map(|watch| &mut self.watches[watch]).and_then(|watch| {
                if watch.standard.rule == before.standard.rule {
                    for known in before.detectors {
                        if let Some(new) = watch.watcher_mut(known.place) {
                            *new = known;
                        }
                    }
                }
                watch.is_down().then_some(watch)
            });
            match (lasts, before.open) {
                (Some(watch), open) => watch.open = open,
                (None, Some(open)) => {
                    let (key, mut outage) = open.over();
                    let of = |own: &Option<Watched>| {
                        own.as_ref().is_some_and(|own| own.probe.name == outage.probe)
                    };
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
        let from =
            open.iter().map(|(_, outage)| outage.from).min().unwrap_or(now).min(now - RECALL);
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
                    let carrier = if carrier && outcome == Outcome::NotSent {
                        Carrier::Down
                    } else {
                        Carrier::Up
                    };
                    // An interval does not say which of its sends had which reason.
                    self.feed(at, &Seen { due, outcome, carrier, reason: None });
                }
            }
        }
        for (id, outage) in open {
            let same = |watch: &&mut Watching| {
                watch.standard.service == outage.service
                    && watch.standard.definition == outage.definition
                    && watch
                        .detectors
                        .iter()
                        .any(|of| name_of(&self.probes, of.place) == outage.probe)
            };
            let watch = self.watches.iter_mut().find(same);
            match watch {
                Some(watch) if watch.is_down() => {
                    let (key, reasons) = (OutageKey::Stored(id), outage.reasons());
                    watch.open = Some(Box::new(Open { key, outage, reasons }));
                }
                // Nobody saw its end: it is given the end of what was seen of it.
                _ => {
                    let last = held.get(&outage.probe).and_then(|all| all.last()).cloned();
                    let last = last.map_or_else(
                        || store.last_interval(&outage.probe),
                        |last| Ok(Some(last)),
                    )?;
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
    pub fn take(&mut self, told: &SettledSend) -> Vec<News> {
        let at = told.probe.0 as usize;
        let carrier = if told.carrier == CarrierLoss::Yes { Carrier::Down } else { Carrier::Up };
        let mut news = Vec::new();
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
                    news.push(News::Opened(key, open.outage.clone()));
                    watching.open = Some(open);
                }
                Edge::Up { at } if !watching.is_down() => {
                    if let Some((key, outage)) = watching.open.take().map(|open| open.over()) {
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
    /// of which another reason became the most frequent one, or where `every` count matters. From
    /// now on it does.
    pub fn reasons_anew(&mut self, every: Every) -> Vec<(OutageKey, Outage)> {
        let mut news = Vec::new();
        for open in self.watches.iter_mut().filter_map(|watch| watch.open.as_deref_mut()) {
            let said = open.outage.reasons();
            let says = match every {
                Every::Change => said.first() == open.reasons.first(),
                Every::Count => said.ranked() == open.reasons.ranked(),
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

/// An outcome, as detectors take it.
struct Seen<'a> {
    due: Wall,
    outcome: Outcome,
    carrier: Carrier,
    reason: Option<&'a Reason>,
}

impl<'a> Seen<'a> {
    /// Why it does not count as an answer by a rule; [`None`] where it does, where nobody observed
    /// it, or where that is not known.
    fn reason_by(&self, rule: &Rule) -> Option<&'a Reason> {
        const LATE: &Reason = &Reason::CUTOFF;
        match self.outcome {
            Outcome::Answered | Outcome::NotObserved => None,
            Outcome::Late => {
                (rule.class(self.outcome, self.carrier) == Class::Failed).then_some(LATE)
            }
            Outcome::Lost | Outcome::Refused | Outcome::NotSent => self.reason,
        }
    }
}

impl Watcher {
    fn push(&mut self, seen: &Seen<'_>, reason: Option<&Reason>, period: Duration) -> Vec<Edge> {
        let edges = self.detector.push(seen.due, seen.outcome, seen.carrier, period);
        let begun = edges.iter().find_map(|edge| match edge {
            Edge::Down { from } => Some(*from),
            Edge::Up { .. } => None,
        });
        let since = begun.or_else(|| self.detector.failing_since());
        if self.failing.as_ref().is_some_and(|failing| Some(failing.since) != since) {
            self.failing = None;
        }
        if let (Some(since), Some(reason)) = (since, reason) {
            let new = || Box::new(Failing { since, reasons: Reasons::default() });
            self.failing.get_or_insert_with(new).reasons.add(reason);
        }
        edges
    }
}

impl Open {
    fn enter_reasons(&mut self) {
        if !self.reasons.is_empty() {
            self.outage.evidence["reasons"] = self.reasons.json();
        }
    }

    /// What is told of it once it is over.
    fn over(mut self) -> (OutageKey, Outage) {
        self.enter_reasons();
        (self.key, self.outage)
    }
}

impl Watching {
    fn detector(&self, at: usize) -> Option<&Detector> {
        let found = self.detectors.binary_search_by_key(&at, |watcher| watcher.place).ok()?;
        Some(&self.detectors[found].detector)
    }

    fn watcher_mut(&mut self, at: usize) -> Option<&mut Watcher> {
        let found = self.detectors.binary_search_by_key(&at, |watcher| watcher.place).ok()?;
        Some(&mut self.detectors[found])
    }

    /// A service that several probes measure is down while one of them sees it down and none sees
    /// it up, as in a verdict.
    fn is_down(&self) -> bool {
        let sees = |state| self.detectors.iter().any(|watcher| watcher.detector.state() == state);
        sees(State::Down) && !sees(State::Up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::decimal::Exact;
    use crate::sla::terms::{CarrierLoss as Loss, Definition, Late};
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule() -> impl Strategy<Value = Rule> {
        let tenth = || Exact::ratio(3, 10).unwrap();
        let definition = prop_oneof![
            (1u32..5, 1u32..5).prop_map(|(misses, answers)| Definition::Misses { misses, answers }),
            (2u32..8).prop_map(move |secs| Definition::LossRatio {
                interval: SECOND * secs,
                threshold: tenth()
            }),
            (2u32..8, 1u32..4).prop_map(move |(secs, n)| Definition::Mef {
                dt: SECOND * secs,
                n,
                threshold: tenth()
            }),
            (2u32..8).prop_map(|secs| Definition::TotalLoss { interval: SECOND * secs }),
        ];
        (definition, any::<bool>(), any::<bool>()).prop_map(|(definition, late, carrier)| Rule {
            definition,
            late_is: if late { Late::Failed } else { Late::Good },
            carrier_loss_is: if carrier { Loss::Down } else { Loss::Unknown },
        })
    }

    proptest! {
        /// Whatever the definition: from the first failed send on, none forgotten and none of
        /// before it counted.
        #[test]
        fn an_outage_begins_with_the_reasons_of_its_own_sends(
            rule in rule(),
            sends in proptest::collection::vec((0..Outcome::ALL.len(), 0..3usize), 1..120),
        ) {
            let kinds = ["timeout", "status-503", "no-route"];
            let mut watcher = Watcher { place: 0, detector: Detector::new(&rule), failing: None };
            let mut all: Vec<(Wall, Option<Reason>)> = Vec::new();
            for ((outcome, kind), second) in sends.into_iter().zip(1_800_000_000..) {
                let (outcome, due) = (Outcome::ALL[outcome], Wall::from_secs(second));
                let reason = Reason::new(outcome, kinds[kind]);
                let seen = Seen { due, outcome, carrier: Carrier::Up, reason: (!outcome.has_rtt()).then_some(&reason) };
                let counted = seen.reason_by(&rule).cloned();
                all.push((due, counted.clone()));
                let edges = watcher.push(&seen, counted.as_ref(), SECOND);
                for edge in edges {
                    let Edge::Down { from } = edge else { continue };
                    let mut expected = Reasons::default();
                    let since = all.iter().filter(|(due, _)| *due >= from);
                    since.filter_map(|(_, reason)| reason.as_ref()).for_each(|reason| expected.add(reason));
                    let known = watcher.failing.as_ref().map(|failing| failing.reasons.ranked()).unwrap_or_default();
                    prop_assert_eq!(known, expected.ranked());
                }
                if watcher.detector.state() == State::Up && matches!(rule.definition, Definition::Misses { .. })
                    && rule.class(outcome, Carrier::Up) == Class::Good {
                    prop_assert!(
                        watcher.failing.is_none(), "a probe that is answered holds no memory"
                    );
                }
            }
        }
    }
}
