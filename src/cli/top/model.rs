//! What there is to be shown.

use crate::base::time::Wall;
use crate::cli::top::history::{Loss, Minute};
use crate::draw::Band;
use crate::measure::history::Bucket;
use crate::measure::outcome::Outcomes;

/// A probe as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The service that it measures.
    pub service: Option<String>,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// Its last RTT, in microseconds.
    pub last_us: Option<f64>,
    /// Why its last send was not answered.
    pub reason: Option<String>,
    /// The last outcomes, oldest first.
    pub recent: Outcomes,
    /// Percentiles of the last hour's RTTs, in microseconds.
    pub p50_us: Option<u64>,
    /// The 95th.
    pub p95_us: Option<u64>,
    /// The loss of the last whole minute.
    pub minute: Loss,
    /// The loss of the last hour.
    pub hour: Loss,
    /// The mean difference of neighbouring RTTs of the last hour, in microseconds.
    pub jitter_us: Option<f64>,
    /// What is left of the downtime that the contract allows.
    pub budget: Option<Budget>,
}

/// What is left of the downtime that a contract allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// In words.
    pub words: String,
    /// In seconds; negative once it is exceeded.
    pub seconds: i64,
}

/// One probe, looked at closely.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "top"),
    expect(dead_code, reason = "only the full screen shows all of it")
)]
pub struct Detail {
    /// Its name.
    pub name: String,
    /// Whom it asks.
    pub target: String,
    /// Its last hour, by the minute, in the order of time.
    pub buckets: Vec<Bucket>,
    /// The outages of that hour.
    pub bands: Vec<Band>,
    /// What of it is later than this is still to come.
    pub until: Wall,
    /// Its minutes, the last one first.
    pub minutes: Vec<Minute>,
    /// Its outages of the last 30 days in words, the last one first.
    pub outages: Vec<String>,
}

/// All that is known at one time.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "top"),
    expect(dead_code, reason = "only the full screen shows all of it")
)]
pub struct Frame {
    /// When.
    pub now: Wall,
    /// The site.
    pub site: String,
    /// The program that measures.
    pub software: String,
    /// Whether an agent runs.
    pub running: bool,
    /// Until when the data of one that does not goes.
    pub observed_until: Option<Wall>,
    /// How the clock is kept.
    pub clock: String,
    /// The probes, in the order of the configuration.
    pub rows: Vec<Row>,
    /// Outages under way, in words.
    pub outages: Vec<String>,
    /// What must be done until when, the most urgent first.
    pub deadlines: Vec<String>,
    /// What waits to be shipped, in words.
    pub outbox: String,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// The probe that was opened.
    pub detail: Option<Detail>,
}
