//! Another configuration while the agent runs: read and checked aside, then swapped in as a whole,
//! or refused as a whole.
//!
//! A probe that is exactly as before, and measures the same service, keeps its place, and with it
//! everything: its due times and what it has in the air, its open interval, its runs and states,
//! its outages. All others begin anew. Nothing here waits, but for the files, which another thread
//! reads.

use std::collections::HashSet;
use std::future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::agent::hooks::Hooks;
use crate::agent::live::Window;
use crate::agent::metrics::Metrics;
use crate::agent::outbox::Recorded;
use crate::agent::recorder::{Seat, Setup};
use crate::agent::ship_task::ShipTask;
use crate::agent::terms::Terms;
use crate::agent::{Exit, FAREWELL, Session, every, window_fault};
use crate::base::time::Now;
use crate::config::agent::{AgentConfig, load};
use crate::config::written::Faults;
use crate::measure::event::ProbeId;
use crate::measure::probe::Probe;
use crate::store::Store;
use crate::store::journal::Noted;

/// What reading a configuration gives.
pub(super) type Reading = Result<(AgentConfig, Terms), Faults>;

/// Waits for a configuration that is being read; for ever, when none is.
pub(super) async fn read(reading: &mut Option<JoinHandle<Reading>>) -> Reading {
    match reading {
        Some(reading) => reading
            .await
            .unwrap_or_else(|error| Err(Faults(vec![format!("it could not be read: {error}")]))),
        None => future::pending().await,
    }
}

impl Session {
    /// Begins to read the configuration again; only the last reading counts.
    pub(super) fn read_again(&mut self, path: PathBuf) {
        let now = self.clock_trust.at_least();
        let reading = move || {
            let config = load(&path)?;
            Terms::load(&config)?;
            // Those that the collector gave hold beside those that the configuration names.
            let kept = Store::read(&config.data_dir).and_then(|store| store.contract_files());
            let kept = kept.map_err(|error| Faults(vec![error.to_string()]))?;
            let terms = Terms::with_received(&config, &kept, now)?;
            Ok((config, terms))
        };
        self.reading = Some(tokio::task::spawn_blocking(reading));
    }

    /// Goes on by what was read; a fault keeps the old configuration, and is shown.
    pub(super) fn swap(&mut self, read: Reading) {
        let now = self.clock_trust.now();
        let taken = read.and_then(|(config, terms)| {
            let outbox = Recorded {
                recorder: self.recorder.clone(),
                contracts: Arc::clone(&self.contracts),
            };
            let shipper = ShipTask::prepare(&config, self.agent, self.key.clone(), outbox);
            let shipper = shipper.map_err(|error| Faults(vec![error.to_string()]))?;
            self.take_over(config, terms, now)?;
            // Another courier asks the collector for its contracts again.
            self.ship_task = ShipTask::start(shipper, self.ship_task.take());
            Ok(())
        });
        match taken {
            Ok(()) => {
                info!(
                    probes = self.config.probes.len(),
                    site = self.config.site,
                    "the configuration was read again"
                );
                self.recorder.note(now.wall, Noted::Reload, "the configuration was read again");
                self.live.fault(None);
            }
            Err(faults) => {
                warn!(
                    faults = faults.in_a_line(),
                    "the new configuration has faults: the old one holds"
                );
                self.recorder.note(now.wall, Noted::ReloadRefused, faults.in_a_line());
                self.live.fault(Some(faults.to_string()));
            }
        }
    }

    /// Judges by the contracts that the collector gave, where they are others than before.
    pub(super) async fn take_contracts(&mut self) {
        let Ok(kept) = self.recorder.ask(|store| store.contract_files()).await else { return };
        let now = self.clock_trust.now();
        let Ok(terms) = Terms::with_received(&self.config, &kept, self.clock_trust.at_least())
        else {
            return;
        };
        if terms.references() == self.terms.references() {
            return;
        }
        let named: Vec<String> = terms
            .references()
            .iter()
            .map(|one| format!("{} version {}", one.id, one.version))
            .collect();
        let named = named.join(", ");
        info!(contracts = named, "other contracts hold: measuring goes on by them");
        self.recorder.note(now.wall, Noted::Contracts, format!("judged by from now on: {named}"));
        if let Err(faults) = self.take_over(self.config.clone(), terms, now) {
            warn!(faults = faults.in_a_line(), "the contracts cannot be taken");
        }
    }

    fn take_over(&mut self, config: AgentConfig, terms: Terms, now: Now) -> Result<(), Faults> {
        // What may fail comes first; nothing has changed until it has succeeded.
        let fault = |fault: String| Faults(vec![fault]);
        if config.data_dir != self.config.data_dir {
            return Err(fault(
                "data_dir: it cannot be changed while the agent runs; restart it".to_owned(),
            ));
        }
        if config.status_socket != self.config.status_socket {
            let window = Window::open(&config.status_socket);
            let window =
                window.map_err(|source| fault(window_fault(&config, source).to_string()))?;
            std::mem::replace(&mut self.window, self.live.open(window)).abort();
        }
        terms.notes.iter().for_each(|note| warn!("{note}"));

        let mut events = Vec::new();
        let ledger = &self.ledger;
        // The books of those who go must be closed before another has their place.
        let places =
            self.prober.reload(terms.named().to_vec(), |place| ledger.holds(place), &mut events);
        self.book(&mut events);
        let (ends, states) = self.outages.reconfigure(&config, &terms, &places, now.wall);
        self.report(ends);
        if config.hooks != self.config.hooks {
            // Whoever was to be told by the old configuration still is.
            let before = std::mem::replace(&mut self.hooks, Hooks::start(&config.hooks));
            tokio::task::spawn_local(before.end(FAREWELL));
        }
        if terms.references() != self.terms.references() {
            // By other contracts the services stand otherwise: the next summary says so, and not
            // only the next hour's.
            self.judged = None;
        }
        self.terms = terms;
        self.config = config;
        self.ledger.cut_every(every(&self.config));
        self.seat(places, now);
        self.report(states);
        self.hand_over();
        Ok(())
    }

    /// Gives the configuration's probes their places. For those that are new everything begins now,
    /// for those that are gone it ends.
    pub(super) fn seat(&mut self, places: Vec<ProbeId>, now: Now) {
        let before: HashSet<ProbeId> = std::mem::take(&mut self.places).into_iter().collect();
        let new: Vec<ProbeId> =
            places.iter().copied().filter(|place| !before.contains(place)).collect();
        let kept: HashSet<ProbeId> = places.iter().copied().collect();
        for &gone in before.difference(&kept) {
            self.ledger.remove(gone, now);
            self.exits[gone.0 as usize] = None;
        }
        let Self { config, terms, live, recorder, .. } = self;
        live.show(&config.site, terms.named(), &places);
        self.outages.watch(&config.probes, &places, &new);
        let seat = |((probe, named), &place): ((&Arc<Probe>, &Arc<Probe>), &ProbeId)| Seat {
            place,
            probe: Arc::clone(probe),
            named: Arc::clone(named),
        };
        recorder.configure(Setup {
            site: config.site.clone(),
            every: every(config),
            keep: config.keep,
            probes: config.probes.iter().zip(terms.named()).zip(&places).map(seat).collect(),
            contracts: terms.contracts.iter().map(|contract| contract.file.clone()).collect(),
        });
        let mut counted = &new;
        if self.metrics.as_ref().map(Metrics::listen) != config.metrics {
            let shown =
                config.metrics.map(|listen| Metrics::start(listen, live.clone(), recorder.clone()));
            if let Some(before) = std::mem::replace(&mut self.metrics, shown) {
                tokio::task::spawn_local(before.end());
            }
            counted = &places;
        }
        if let Some(metrics) = &self.metrics {
            metrics.begin(counted);
        }
        let rows = ProbeId::rows(&places).max(self.exits.len());
        self.exits.resize_with(rows, || None);
        let new: HashSet<ProbeId> = new.into_iter().collect();
        for (probe, &place) in config.probes.iter().zip(&places) {
            let at = place.0 as usize;
            let interface = self.exits[at].take().and_then(|exit| exit.interface);
            self.exits[at] = Some(Exit { probe: Arc::clone(probe), interface });
            if new.contains(&place) {
                self.moved.insert(at);
                self.ledger.add(place, probe.period, now.at(self.prober.begun()));
            }
        }
        self.liveness.expect(&config.probes, now.mono);
        self.places = places;
    }
}
