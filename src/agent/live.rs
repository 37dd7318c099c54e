//! What is measured now: the last answer and the state of each probe, told over a local socket to
//! whoever asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::agent::clock_trust::Labels;
use crate::base::time::Wall;
use crate::measure::event::{Event, ProbeId};
use crate::measure::ledger::FinishedInterval;
use crate::measure::outcome::{Outcome, Outcomes};
use crate::measure::probe::Probe;

mod row;
mod window;

pub use window::Window;

use row::Row;

/// What the running agent tells of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// This device's first key's thumbprint.
    pub agent: String,
    /// The site's name.
    pub site: String,
    /// Name and version of the program.
    pub software: String,
    /// How the wall clock is kept: `synchronised`, `unsynchronised` or `unknown`.
    pub clock: String,
    /// Whether it is known not to be set yet, so that what is measured waits for its labels.
    #[serde(default)]
    pub clock_unset: bool,
    /// What the last reload said, when it was refused.
    pub fault: Option<String>,
    /// The probes, in the order of the configuration.
    pub probes: Vec<LiveProbe>,
}

/// A probe, now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveProbe {
    /// Its place among the probes.
    #[serde(skip)]
    pub place: usize,
    /// Its name.
    pub name: String,
    /// `icmp`, `http`, `tcp` or `dns`.
    pub kind: String,
    /// The service that it measures.
    pub service: Option<String>,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// The address that it is sent to.
    pub address: Option<IpAddr>,
    /// The RTT of its last answer, in microseconds, to the nanosecond.
    pub last_rtt_us: Option<f64>,
    /// Why its last send was not answered; absent where it was, and where that is not known.
    #[serde(default)]
    pub reason: Option<String>,
    /// The outcomes of its last closed interval.
    pub outcomes: String,
    /// How many of them were why as they were; see [`Interval::reasons`].
    #[serde(default)]
    pub reasons: BTreeMap<String, u32>,
    /// The outcomes that were settled last, oldest first, of its interval that is open too.
    #[serde(default, skip_serializing_if = "Outcomes::is_empty")]
    pub recent: Outcomes,
    /// How much of that interval is known, in percent.
    pub coverage: Option<String>,
    /// How many of its sends say as much of this host as of the network; see [`Interval::limited`].
    #[serde(default)]
    pub limited: u32,
    /// Until when the certificate of its server is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Wall>,
}

/// The table of what is measured now.
#[derive(Clone, Debug)]
pub struct Live {
    shared: Rc<RefCell<Table>>,
}

#[derive(Debug)]
struct Table {
    /// Without its probes, which are made when it is asked for.
    snapshot: Snapshot,
    /// The places of the probes, in the order of the configuration.
    order: Vec<ProbeId>,
    /// What is known of the probe of each place.
    rows: Vec<Option<Row>>,
}

impl Table {
    fn row(&mut self, place: usize) -> Option<&mut Row> {
        self.rows.get_mut(place)?.as_mut()
    }

    fn probe(&self, place: ProbeId) -> Option<LiveProbe> {
        let place = place.0 as usize;
        self.rows.get(place)?.as_ref().map(|row| row.live(place))
    }
}

impl Live {
    /// A table without probes.
    #[must_use]
    pub fn new(agent: String) -> Self {
        let snapshot = Snapshot {
            agent,
            site: String::new(),
            software: crate::SOFTWARE.to_owned(),
            clock: "unknown".to_owned(),
            clock_unset: false,
            fault: None,
            probes: Vec::new(),
        };
        Self {
            shared: Rc::new(RefCell::new(Table { snapshot, order: Vec::new(), rows: Vec::new() })),
        }
    }

    /// Shows these probes, in their order: where the place and the name are as before, what is
    /// known of them is too.
    pub fn show(&self, site: &str, probes: &[Arc<Probe>], places: &[ProbeId]) {
        let mut table = self.shared.borrow_mut();
        let mut before = std::mem::take(&mut table.rows);
        table.rows.resize_with(ProbeId::rows(places), || None);
        for (probe, place) in probes.iter().zip(places) {
            let at = place.0 as usize;
            let known = before
                .get_mut(at)
                .and_then(Option::take)
                .filter(|known| known.probe.name == probe.name);
            let known = known.map(|known| Row { probe: Arc::clone(probe), ..known });
            table.rows[at] = Some(known.unwrap_or_else(|| Row::new(probe)));
        }
        table.order = places.to_vec();
        site.clone_into(&mut table.snapshot.site);
    }

    /// Takes what the prober says.
    pub fn apply(&self, event: &Event) {
        let mut table = self.shared.borrow_mut();
        match event {
            Event::Settled(settled) => {
                if let Some(row) = table.row(settled.probe.0 as usize) {
                    row.last_rtt_ns = settled.rtt_ns.or(row.last_rtt_ns);
                    row.failed(settled.reason.as_ref());
                    row.recent.push(settled.outcome);
                }
            }
            Event::Address { probe, address } => {
                if let Some(row) = table.row(probe.0 as usize) {
                    row.address = *address;
                }
            }
            Event::Certificate { probe, until } => {
                if let Some(row) = table.row(probe.0 as usize) {
                    row.certificate_until = Some(*until);
                }
            }
            _ => {}
        }
    }

    /// Takes a finished interval.
    pub fn closed(&self, closed: &FinishedInterval) {
        if let Some(row) = self.shared.borrow_mut().row(closed.probe.0 as usize) {
            row.outcomes.clone_from(&closed.interval.outcomes);
            row.limited = closed.interval.limited();
            row.closed(&closed.interval.reasons);
        }
    }

    /// Takes a probe's state.
    pub fn state(&self, probe: usize, state: &'static str) {
        if let Some(row) = self.shared.borrow_mut().row(probe) {
            row.state = state;
        }
    }

    /// Takes how the clock is kept, and what labels are worth.
    pub fn clock(&self, state: &str, labels: Labels) {
        let snapshot = &mut self.shared.borrow_mut().snapshot;
        state.clone_into(&mut snapshot.clock);
        snapshot.clock_unset = labels == Labels::Provisional;
    }

    /// Takes what a refused reload said, or that the last one was taken.
    pub fn fault(&self, fault: Option<String>) {
        self.shared.borrow_mut().snapshot.fault = fault;
    }

    /// The address of a probe, where it is known.
    #[must_use]
    pub fn address(&self, probe: usize) -> Option<IpAddr> {
        self.shared.borrow_mut().row(probe)?.address
    }

    /// Has a window show it from now on. It needs a `LocalSet`.
    #[must_use]
    pub fn open(&self, window: Window) -> JoinHandle<()> {
        let shown = self.clone();
        tokio::task::spawn_local(async move { window.serve(&shown).await })
    }

    /// The name of a probe.
    #[must_use]
    pub fn name(&self, probe: usize) -> Option<String> {
        self.shared.borrow_mut().row(probe).map(|row| row.probe.name.clone())
    }

    /// What is measured now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let table = self.shared.borrow();
        let probes = table.order.iter().filter_map(|&place| table.probe(place)).collect();
        Snapshot { probes, ..table.snapshot.clone() }
    }
}

/// How much of an interval is known by its outcomes, in percent with two decimals; [`None`] when
/// nothing was due in it.
#[must_use]
pub fn coverage(outcomes: &Outcomes) -> Option<String> {
    let due = outcomes.len();
    let unknown = outcomes.count(Outcome::NotSent) + outcomes.count(Outcome::NotObserved);
    let hundredths = ((due - unknown) * 10_000).checked_div(due)?;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}
