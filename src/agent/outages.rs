//! The one who knows the outages: each from its first failed send to its end, with its side and
//! what is seen of it.
//!
//! The [`detector`] finds its beginning and its end, the [`diagnosis`] whose side failed. Nobody
//! else speaks to these two: what comes out is news, complete, in the order in which it is to be
//! written and told.

use std::sync::Arc;

use tracing::{info, warn};

use crate::agent::clock_trust::Labels;
use crate::agent::live::Live;
use crate::agent::terms::Terms;
use crate::base::time::{Now, Wall};
use crate::config::agent::AgentConfig;
use crate::measure::carrier::Carrier;
use crate::measure::event::{Event, ProbeId};
use crate::measure::ledger::SettledSend;
use crate::measure::probe::Probe;
use crate::store::outages::Outage;
use crate::store::provisional::NOT_SET;

mod detector;
mod diagnosis;
mod key;

pub use detector::{OutageDetector, Past, Renew};
pub use diagnosis::Attribution;
pub use key::OutageKey;

use detector::Change;
use diagnosis::Diagnosis;

/// What is to be written and told of an outage or of a probe.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An outage began: at its first failed send.
    Opened(OutageKey, Outage),
    /// Of an outage that is known something else is thought now.
    Attributed(Attribution),
    /// It ended: at the first good send after it, which its `to` says too.
    Closed(OutageKey, Outage, Wall),
    /// The probe at this place is now in this state.
    State(usize, &'static str),
}

/// All outages, and the state of each probe.
#[derive(Debug)]
pub struct Outages {
    detector: OutageDetector,
    diagnosis: Diagnosis,
}

impl Outages {
    /// Goes on with what the detector recalls. The sockets that outages of these probes are traced
    /// by are opened.
    #[must_use]
    pub fn new(detector: OutageDetector, probes: &[Arc<Probe>], live: Live) -> Self {
        let mut diagnosis = Diagnosis::new(live);
        diagnosis.open_ways(probes);
        Self { detector, diagnosis }
    }

    /// Takes one outcome, by clocks of which labels are worth so much; for each probe outcomes come
    /// in the order of the sends. `interface` is the one that the probe leaves by, where it is
    /// known.
    pub fn take<'a>(
        &mut self,
        told: &SettledSend,
        labels: Labels,
        interface: impl Fn() -> Option<&'a str>,
    ) -> Vec<News> {
        self.diagnosis.take(told);
        let mut news = Vec::new();
        for change in self.detector.take(told) {
            match change {
                Change::Opened(key, outage) => {
                    news.push(News::Opened(key, self.opened(key, outage, labels, interface())));
                }
                Change::Closed(key, outage, to) => self.closed((key, outage, to), &mut news),
                Change::State(probe, state) => news.push(News::State(probe, state)),
            }
        }
        news
    }

    /// An outage with all that is seen of it at its beginning.
    fn opened(
        &mut self,
        key: OutageKey,
        mut outage: Outage,
        labels: Labels,
        interface: Option<&str>,
    ) -> Outage {
        let (service, reason) =
            (outage.service.as_deref().unwrap_or("-"), outage.reasons().first());
        warn!(
            service,
            probe = outage.probe,
            from = %outage.from,
            by = outage.definition,
            reason,
            "outage"
        );
        if labels == Labels::Provisional {
            outage.evidence["clock"] = NOT_SET.into();
        }
        self.diagnosis.opened(key, &mut outage, interface);
        let evidence = std::mem::take(&mut outage.evidence);
        outage.evidence = self.detector.attributed(key, &outage.side, evidence);
        outage
    }

    /// Whoever reads an outage's end finds all that is known of it by then.
    fn closed(&mut self, (key, mut outage, to): (OutageKey, Outage, Wall), news: &mut Vec<News>) {
        let (service, reason) =
            (outage.service.as_deref().unwrap_or("-"), outage.reasons().first());
        info!(
            service,
            probe = outage.probe,
            from = %outage.from,
            %to,
            by = outage.definition,
            reason,
            "outage over"
        );
        outage.to = Some(to);
        if let Some(found) = self.diagnosis.closed(key, &outage) {
            (outage.side, outage.evidence) = (found.side.clone(), found.evidence.clone());
            news.push(self.attributed(found));
        }
        news.push(News::Closed(key, outage, to));
    }

    /// Keeps whose side an outage is thought to lie on.
    fn attributed(&mut self, mut found: Attribution) -> News {
        found.evidence = self.detector.attributed(found.key, &found.side, found.evidence);
        News::Attributed(found)
    }

    fn all_attributed(&mut self, found: Vec<Attribution>) -> Vec<News> {
        found.into_iter().map(|found| self.attributed(found)).collect()
    }

    /// Takes what the prober says: ICMP errors tell who refused.
    pub fn hear(&mut self, event: &Event) {
        self.diagnosis.hear(event);
    }

    /// Takes a change of an interface's carrier.
    pub fn carrier(&mut self, interface: &str, carrier: Carrier, at: Wall) {
        self.diagnosis.carrier(interface, carrier, at);
    }

    /// To be called now and then: looks at the processors, at these interfaces, and at the next
    /// hops of young outages.
    pub fn tick<'a>(
        &mut self,
        now: Now,
        interfaces: impl IntoIterator<Item = &'a str>,
    ) -> Vec<News> {
        let found = self.diagnosis.tick(now, interfaces);
        self.all_attributed(found)
    }

    /// Waits for a trace; it may be dropped while it waits.
    pub async fn next(&mut self) -> Vec<News> {
        let found = self.diagnosis.next().await;
        self.all_attributed(found)
    }

    /// Open outages of which is not written yet why their sends failed up to now; which of them is
    /// said by `renew`.
    pub fn reasons_anew(&mut self, renew: Renew) -> Vec<News> {
        let anew = self.detector.reasons_anew(renew).into_iter();
        anew.map(|(key, outage)| News::Attributed(Attribution::of(key, outage))).collect()
    }

    /// What is known happened so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        self.detector.shift(by_ns);
        self.diagnosis.shift(by_ns);
    }

    /// Goes on by other terms; gives the outages that end with the former ones, and the states of
    /// probes that are others now.
    pub fn reconfigure(
        &mut self,
        config: &AgentConfig,
        terms: &Terms,
        places: &[ProbeId],
        now: Wall,
    ) -> (Vec<News>, Vec<News>) {
        let (mut ends, mut states) = (Vec::new(), Vec::new());
        for change in self.detector.reconfigure(config, terms, places, now) {
            match change {
                Change::Closed(key, outage, to) => {
                    ends.push(News::Attributed(Attribution::of(key, outage.clone())));
                    self.closed((key, outage, to), &mut ends);
                }
                Change::State(probe, state) => states.push(News::State(probe, state)),
                Change::Opened(..) => {}
            }
        }
        (ends, states)
    }

    /// Goes on with these probes at these places, of which some are new.
    pub fn watch(&mut self, probes: &[Arc<Probe>], places: &[ProbeId], new: &[ProbeId]) {
        self.diagnosis.watch(probes, places, new);
    }
}
