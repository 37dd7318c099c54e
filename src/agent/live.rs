//! What is measured now: the last answer and the state of each probe, told over a local socket to
//! whoever asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::agent::clock_trust::Labels;
use crate::base::time::Wall;
use crate::measure::event::{Event, ProbeId};
use crate::measure::ledger::FinishedInterval;
use crate::measure::outcome::{Outcome, Outcomes, Reason};
use crate::measure::probe::Probe;

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

/// What is known of a probe now.
#[derive(Debug)]
struct Row {
    probe: Arc<Probe>,
    state: &'static str,
    address: Option<IpAddr>,
    last_rtt_ns: Option<u64>,
    /// The outcomes of its last closed interval.
    outcomes: Outcomes,
    limited: u32,
    certificate_until: Option<Wall>,
    /// What most probes have nothing of.
    trouble: Option<Box<Trouble>>,
}

/// Why sends were not answered.
#[derive(Debug, Default)]
struct Trouble {
    /// The last one.
    last: Option<Reason>,
    /// Those of the last closed interval.
    reasons: BTreeMap<String, u32>,
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

impl Row {
    fn new(probe: &Arc<Probe>) -> Self {
        Self {
            probe: Arc::clone(probe),
            state: "unknown",
            address: None,
            last_rtt_ns: None,
            outcomes: Outcomes::default(),
            limited: 0,
            certificate_until: None,
            trouble: None,
        }
    }

    /// Takes why its last send was not answered, if it was not.
    fn failed(&mut self, reason: Option<&Reason>) {
        match &mut self.trouble {
            None if reason.is_none() => {}
            trouble => trouble.get_or_insert_default().last = reason.cloned(),
        }
    }

    /// Takes why sends of its last closed interval were not answered.
    fn closed(&mut self, reasons: &BTreeMap<String, u32>) {
        match &mut self.trouble {
            None if reasons.is_empty() => {}
            Some(trouble) if reasons.is_empty() && trouble.last.is_none() => self.trouble = None,
            trouble => trouble.get_or_insert_default().reasons.clone_from(reasons),
        }
    }

    fn live(&self, place: usize) -> LiveProbe {
        #[expect(clippy::cast_precision_loss, reason = "an RTT in nanoseconds is far below 2^53")]
        let us = |rtt: u64| rtt as f64 / 1000.0;
        LiveProbe {
            place,
            name: self.probe.name.clone(),
            kind: self.probe.kind().to_owned(),
            service: self.probe.service.clone(),
            state: self.state.to_owned(),
            address: self.address,
            last_rtt_us: self.last_rtt_ns.map(us),
            reason: self
                .trouble
                .as_ref()
                .and_then(|trouble| trouble.last.as_ref())
                .map(ToString::to_string),
            outcomes: self.outcomes.to_string(),
            reasons: self
                .trouble
                .as_ref()
                .map(|trouble| trouble.reasons.clone())
                .unwrap_or_default(),
            coverage: coverage(&self.outcomes),
            limited: self.limited,
            certificate_until: self.certificate_until,
        }
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

/// The socket at which the running agent can be asked; its file goes with it.
#[derive(Debug)]
pub struct Window {
    listener: UnixListener,
    path: PathBuf,
}

impl Window {
    /// Opens it; what a dead agent left there is replaced. Its mode lets the agent's user and group
    /// in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers everyone who comes with a snapshot, a line of JSON, for ever.
    pub async fn serve(&self, live: &Live) {
        loop {
            match self.listener.accept().await {
                Ok((mut guest, _)) => {
                    let text =
                        serde_json::to_string(&live.snapshot()).expect("a snapshot is JSON") + "\n";
                    // A guest who does not read costs a task for a second, and nothing else.
                    tokio::task::spawn_local(async move {
                        let told = tokio::time::timeout(
                            std::time::Duration::from_secs(1),
                            guest.write_all(text.as_bytes()),
                        );
                        if !matches!(told.await, Ok(Ok(()))) {
                            debug!("a status guest left early");
                        }
                    });
                }
                Err(error) => {
                    debug!(%error, "a status guest could not be let in");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!(%error, "the status socket was gone already");
        }
    }
}
