//! Ends minutes: hands finished intervals to the writer, and asks for summaries of them.

use std::time::Duration;

use tracing::warn;

use crate::agent::outages::Renew;
use crate::agent::review::Judged;
use crate::agent::summariser::SpanState;
use crate::base::time::{Now, Wall};
use crate::evidence::summary::{Clock as ClockPart, ClockStep, LagPart, OwnLag};
use crate::measure::lag::Lag;
use crate::net::clock::health;
use crate::store::journal::Noted;

use super::labels::clock_state;
use super::{Session, every};

/// How often a summary says how the services stand.
const HOUR: Duration = Duration::from_secs(3600);

/// Clock steps that are kept for the next summaries.
const STEPS: usize = 100;

/// How late the agent was with sends and with replies, as a summary says it.
fn own_lag(late: [Lag; 2]) -> Option<OwnLag> {
    let micros = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    let [send, receive] =
        late.map(|lag| Some(LagPart { mean: micros(lag.mean()?), max: micros(lag.worst()) }));
    (send.is_some() || receive.is_some()).then_some(OwnLag { send, receive })
}

impl Session {
    /// Ends the minutes up to a reading of the clocks.
    pub(super) fn end_minutes(&mut self, reading: Now) {
        let before = self.clock_trust.read(reading).wall;
        if let Some(end) = self.clock_trust.look(reading, || health().discipline) {
            self.rely_on_clock(reading, before, end);
        }
        let now = self.clock_trust.read(reading);
        if let Some(step) = self.ledger.advance(now) {
            warn!(by_ms = step.by_ns / 1_000_000, "the clock was stepped");
            self.recorder.note(
                step.at,
                Noted::ClockStep,
                format!("by {} ms", step.by_ns / 1_000_000),
            );
            self.steps.push(ClockStep { at: step.at, by_us: step.by_ns / 1000 });
            self.steps.drain(..self.steps.len().saturating_sub(STEPS));
            self.summarised = self.summarised.min(step.at);
        }
        self.hand_over();
    }

    pub(super) fn hand_over(&mut self) {
        let finished = self.ledger.finished();
        if !finished.is_empty() {
            // Beside a minute that is written anyway.
            self.write_reasons(Renew::IfFirstChanged);
        }
        for set in finished {
            set.iter().for_each(|closed| self.live.closed(closed));
            let held: Vec<u64> = set
                .iter()
                .filter_map(|closed| Some(closed.provisional.as_ref()?.weight()))
                .collect();
            if held.is_empty() {
                self.label_held();
            }
            self.clock_trust.holds(held.iter().sum());
            self.recorder.siblings(set);
        }
        if self.clock_trust.is_doubted() || self.anchor.is_some() {
            return;
        }
        let complete = self.ledger.complete_until();
        let every = every(&self.config);
        if complete.floor(every) > self.summarised.floor(every) {
            self.summarise(complete);
        }
    }

    /// Has what is held labelled, all of which was handed over.
    pub(super) fn label_held(&mut self) {
        if let Some((anchor, why)) = self.anchor.take() {
            self.label(self.boot.clone(), anchor, why);
        }
    }

    pub(super) fn summarise(&mut self, until: Wall) {
        let health = health();
        let judged = self.hourly(until);
        let state = clock_state(health.discipline);
        self.recorder.summarise(SpanState {
            until,
            clock: ClockPart {
                state,
                max_error_us: health.max_error_us,
                steps: self.steps.clone(),
            },
            contracts: self.terms.references(),
            link: self.links.cut(),
            judged,
            own_lag_us: own_lag(std::mem::take(&mut self.late)),
        });
        self.summarised = until;
        if let Some(ship_task) = &self.ship_task {
            ship_task.wake.notify_one();
        }
    }

    /// The contracts, once an hour: how the services stand is said in the first summary of each.
    fn hourly(&mut self, until: Wall) -> Vec<Judged> {
        let hour = until.floor(HOUR);
        if self.judged.replace(hour) == Some(hour) { Vec::new() } else { self.terms.judged() }
    }
}
