//! Another configuration: what is known of probes and rules that stay is kept.

use serde_json::json;

use crate::agent::outages::key::OutageKey;
use crate::agent::terms::Terms;
use crate::base::time::Wall;
use crate::config::agent::AgentConfig;
use crate::measure::event::ProbeId;
use crate::store::outages::Outage;

use super::watch::Watching;
use super::{Change, OutageDetector, Watched};

impl OutageDetector {
    /// Goes on by other terms. Where a probe and the rule that it is judged by are as before, so is
    /// what is known of them, and an outage lasts; one that nobody would see the end of ends now.
    pub fn reconfigure(
        &mut self,
        config: &AgentConfig,
        terms: &Terms,
        places: &[ProbeId],
        now: Wall,
    ) -> Vec<Change> {
        let old = std::mem::replace(self, Self::blank(config, terms, places));
        self.next = old.next;
        self.go_on_with_probes(&old.probes);
        let mut changes = Vec::new();
        for before in old.watches {
            if let Some((key, mut outage)) = self.go_on_with_watch(before) {
                outage.evidence["end"] = json!("not observed: another configuration was taken");
                let to = now.max(outage.from);
                changes.push(Change::Closed(key, outage, to));
            }
        }
        changes.extend((0..self.probes.len()).filter_map(|at| self.changed_state(at)));
        changes
    }

    /// Takes over what was known of the probes that had the same places.
    fn go_on_with_probes(&mut self, known: &[Option<Watched>]) {
        for (probe, before) in self.probes.iter_mut().zip(known) {
            if let (Some(probe), Some(before)) = (probe, before)
                && probe.probe.name == before.probe.name
            {
                probe.state = before.state;
                if let (Some(own), Some(before)) = (&mut probe.own, &before.own) {
                    own.clone_from(before);
                }
            }
        }
    }

    /// Takes over what a former watch knew; gives its outage where that lasts no more.
    fn go_on_with_watch(&mut self, before: Watching) -> Option<(OutageKey, Outage)> {
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
        match lasts {
            Some(watch) => {
                watch.open = before.open;
                None
            }
            None => before.open.map(|open| open.over()),
        }
    }
}
