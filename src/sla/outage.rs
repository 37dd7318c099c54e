//! Outages from outcomes: when a service is down by a contract's definition. The same code tells of
//! an outage as it happens and judges a year of history.
//!
//! A probe's outcomes are good, failed or unknown. Every definition becomes a row of good and bad
//! steps (single probes for `misses`, intervals for the others), and a service goes down with the
//! first of so many bad steps in a row and up with the first of so many that are not bad.
//!
//! **What is unknown proves nothing.** An unknown outcome (`x`; `n` while the carrier is up; time
//! that no interval covers) never begins or prolongs an outage, so that nobody is charged for what
//! nobody saw. One that lies within an outage does not end it either, as long as fewer than the
//! needed answers in a row are unknown: then the outage cannot have ended, whatever became of
//! those. Whether unknown time counts as downtime all the same is the contract's `unknown_is`.

use std::time::Duration;

use crate::base::decimal::Exact;
use crate::base::time::{Wall, nanos_of};
use crate::measure::carrier::Carrier;
use crate::measure::outcome::Outcome;
use crate::sla::terms::{CarrierLoss, Contract, Definition, Late, Objective};

/// How one objective recognises outages in outcomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The definition; one by ticket never finds any.
    pub definition: Definition,
    /// What a late answer is.
    pub late_is: Late,
    /// What loss of carrier is.
    pub carrier_loss_is: CarrierLoss,
}

impl Rule {
    /// For probes that no contract judges: three failures and three answers in a row; late is good,
    /// and a line without carrier is down.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            definition: Definition::Misses { misses: 3, answers: 3 },
            late_is: Late::Good,
            carrier_loss_is: CarrierLoss::Down,
        }
    }

    /// The rule of an objective; absent where it does not look at outcomes for outages.
    #[must_use]
    pub fn of(objective: &Objective) -> Option<Self> {
        let (outage, measure) = (objective.outage.as_ref()?, objective.measure.as_ref()?);
        objective.detects().then(|| Self {
            definition: outage.definition.clone(),
            late_is: measure.late_is,
            carrier_loss_is: outage.carrier_loss_is,
        })
    }

    /// What an outcome is by this rule.
    #[must_use]
    pub fn class(&self, outcome: Outcome, carrier: Carrier) -> Class {
        Reading { late_is: self.late_is, carrier_loss_is: self.carrier_loss_is }
            .class(outcome, carrier)
    }
}

/// What of a rule an outcome is read by.
#[derive(Clone, Copy, Debug)]
struct Reading {
    late_is: Late,
    carrier_loss_is: CarrierLoss,
}

impl Reading {
    fn class(self, outcome: Outcome, carrier: Carrier) -> Class {
        match outcome {
            Outcome::Answered => Class::Good,
            Outcome::Late if self.late_is == Late::Good => Class::Good,
            Outcome::Late | Outcome::Lost | Outcome::Refused => Class::Failed,
            Outcome::NotSent
                if carrier == Carrier::Down && self.carrier_loss_is == CarrierLoss::Down =>
            {
                Class::Failed
            }
            Outcome::NotSent | Outcome::NotObserved => Class::Unknown,
        }
    }
}

/// One rule that a contract applies to a service: what live detection runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The objective.
    pub objective: String,
    /// The probes of the service that it looks at.
    pub probes: Vec<String>,
    /// The rule.
    pub rule: Rule,
}

/// The rules that a contract applies to a service's outcomes, one for each objective that has one.
#[must_use]
pub fn rules(contract: &Contract, service: &str) -> Vec<Applied> {
    let own =
        contract.service(service).map(|service| service.probes.as_slice()).unwrap_or_default();
    contract
        .objectives_of(service)
        .filter_map(|objective| {
            let rule = Rule::of(objective)?;
            let probes = objective.measure.iter().flat_map(|measure| &measure.probes);
            let probes: Vec<String> = probes.filter(|name| own.contains(name)).cloned().collect();
            (!probes.is_empty()).then(|| Applied { objective: objective.id.clone(), probes, rule })
        })
        .collect()
}

/// What an outcome is by a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The service answered.
    Good,
    /// It did not.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// So many outcomes of one class, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the first was due.
    pub from: Wall,
    /// How many; not zero.
    pub count: u64,
    /// From one to the next, in nanoseconds.
    pub step: i64,
    /// What they are.
    pub class: Class,
}

impl Run {
    /// When outcome number `index` was due.
    fn due(&self, index: u64) -> Wall {
        self.from.shifted(self.step.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// Up to when the last of them speaks for.
    #[must_use]
    pub fn to(&self) -> Wall {
        self.due(self.count)
    }
}

/// An edge of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Down since this instant.
    Down {
        /// When the first failed probe (or interval) was due.
        from: Wall,
    },
    /// Up again since this instant.
    Up {
        /// When the first probe (or interval) that is not bad was due.
        at: Wall,
    },
}

/// Whether a service is up, by what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is up.
    Up,
    /// It is down.
    Down,
    /// Nothing is known yet, or not any more.
    Unknown,
}

impl State {
    /// Its word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Finds one probe's outages by a rule, outcome by outcome or run by run, in the order in which
/// they were due. It is small, since a router holds one for each probe and touches all of them
/// every second.
#[derive(Clone, Debug)]
pub struct Detector {
    reading: Reading,
    steps: Steps,
    hysteresis: Hysteresis,
    /// Up to when the last outcome speaks for, and how long it did: zero while there was none.
    told: (Wall, i64),
    /// How many of the last outcomes in a row were unknown; absent while nothing else was seen yet.
    blind: Option<u32>,
}

/// What the row consists of that goes bad and good.
#[derive(Clone, Debug)]
enum Steps {
    /// Single outcomes.
    Outcomes,
    /// Intervals, and the one that is open.
    Intervals(Box<Intervals>),
    /// Nothing: the definition does not look at outcomes.
    None,
}

/// Intervals that are judged one after the other.
#[derive(Clone, Debug)]
struct Intervals {
    /// In nanoseconds.
    length: i64,
    threshold: Threshold,
    /// The one that is being filled.
    open: Option<Open>,
}

/// When an interval is bad.
#[derive(Clone, Debug)]
enum Threshold {
    /// Its loss is above this ratio.
    Above(Exact),
    /// Nothing was answered.
    Nothing,
}

/// An interval that is still being filled.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Where it begins, in nanoseconds since the epoch.
    from: i64,
    good: u64,
    failed: u64,
    unknown: u64,
    /// What the last outcome before it was; it speaks for the interval when none is due in it.
    carried: Class,
}

impl Open {
    fn empty(from: i64, carried: Class) -> Self {
        Self { from, good: 0, failed: 0, unknown: 0, carried }
    }

    fn add(&mut self, class: Class, count: u64) {
        match class {
            Class::Good => self.good += count,
            Class::Failed => self.failed += count,
            Class::Unknown => self.unknown += count,
        }
    }
}

/// Down with the first of `down_after` bad steps in a row, up with the first of `up_after` others.
#[derive(Clone, Copy, Debug)]
struct Hysteresis {
    down_after: u32,
    up_after: u32,
    /// How many steps in a row speak against the state, and when the first of them was, if there is
    /// one.
    against: u32,
    since: Wall,
    down: bool,
}

impl Hysteresis {
    fn push(&mut self, from: Wall, count: u64, bad: bool) -> Option<Edge> {
        if count == 0 {
            return None;
        }
        if bad == self.down {
            self.against = 0;
            return None;
        }
        if self.against == 0 {
            self.since = from;
        }
        self.against = added(self.against, count);
        if self.against < if self.down { self.up_after } else { self.down_after } {
            return None;
        }
        self.against = 0;
        self.down = bad;
        Some(if bad { Edge::Down { from: self.since } } else { Edge::Up { at: self.since } })
    }
}

/// So many more in a row, held at the end of the range: no rule asks for more.
fn added(row: u32, count: u64) -> u32 {
    row.saturating_add(u32::try_from(count).unwrap_or(u32::MAX))
}

impl Detector {
    /// A detector that has seen nothing; the service counts as up until it is shown to be down.
    #[must_use]
    pub fn new(rule: &Rule) -> Self {
        let intervals = |length: Duration, threshold| {
            Steps::Intervals(Box::new(Intervals {
                length: nanos_of(length).max(1),
                threshold,
                open: None,
            }))
        };
        let (steps, down_after, up_after) = match &rule.definition {
            Definition::Misses { misses, answers } => (Steps::Outcomes, *misses, *answers),
            Definition::LossRatio { interval, threshold } => {
                (intervals(*interval, Threshold::Above(threshold.clone())), 1, 1)
            }
            Definition::Mef { dt, n, threshold } => {
                (intervals(*dt, Threshold::Above(threshold.clone())), *n, *n)
            }
            Definition::TotalLoss { interval } => (intervals(*interval, Threshold::Nothing), 1, 1),
            Definition::Ticket => (Steps::None, 1, 1),
        };
        let (down_after, up_after) = (down_after.max(1), up_after.max(1));
        let hysteresis =
            Hysteresis { down_after, up_after, against: 0, since: Wall::default(), down: false };
        let reading = Reading { late_is: rule.late_is, carrier_loss_is: rule.carrier_loss_is };
        Self { reading, steps, hysteresis, told: (Wall::default(), 0), blind: None }
    }

    /// What is known now. It is unknown before anything was seen, and once as many outcomes in a
    /// row as would end an outage are unknown, until something is shown.
    #[must_use]
    pub fn state(&self) -> State {
        if self.hysteresis.down {
            State::Down
        } else if self.blind.is_none_or(|blind| blind >= self.hysteresis.up_after) {
            State::Unknown
        } else {
            State::Up
        }
    }

    /// Takes the next outcome; `period` is the time to the next due one. Outcomes come in the order
    /// in which they were due; where some are missing in between, that time is unknown.
    pub fn push(
        &mut self,
        due: Wall,
        outcome: Outcome,
        carrier: Carrier,
        period: Duration,
    ) -> Vec<Edge> {
        let class = self.reading.class(outcome, carrier);
        self.push_run(Run { from: due, count: 1, step: nanos_of(period).max(1), class })
    }

    /// Takes the next outcomes, all of one class.
    pub fn push_run(&mut self, run: Run) -> Vec<Edge> {
        let mut edges = Vec::new();
        let (to, step) = self.told;
        // A send is due within half a period of where the last one pointed, else those in between
        // are missing.
        let missing = missing_between(to, run.from, step);
        if missing > 0 {
            self.take(Run { from: to, count: missing, step, class: Class::Unknown }, &mut edges);
        }
        self.take(run, &mut edges);
        self.told = (run.to(), run.step);
        edges
    }

    fn take(&mut self, run: Run, edges: &mut Vec<Edge>) {
        if run.count == 0 {
            return;
        }
        self.blind = match run.class {
            Class::Unknown => self.blind.map(|blind| added(blind, run.count)),
            // A failure alone does not tell whether it was up before.
            Class::Failed => {
                self.blind.map(|blind| if blind < self.hysteresis.up_after { 0 } else { blind })
            }
            Class::Good => Some(0),
        };
        match &mut self.steps {
            Steps::None => {}
            Steps::Outcomes => {
                edges.extend(self.hysteresis.push(run.from, run.count, run.class == Class::Failed))
            }
            Steps::Intervals(intervals) => intervals.fill(&mut self.hysteresis, run, edges),
        }
    }

    /// The instant that an outage would begin at if the next steps show one; [`None`] while nothing
    /// speaks for one, or while one lasts.
    #[must_use]
    pub fn failing_since(&self) -> Option<Wall> {
        let Hysteresis { against, since, down, .. } = self.hysteresis;
        match &self.steps {
            _ if down => None,
            _ if against > 0 => Some(since),
            Steps::Intervals(intervals) => intervals.open.map(|open| Wall::from_nanos(open.from)),
            Steps::Outcomes | Steps::None => None,
        }
    }

    /// What it knows happened so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        self.told.0 = self.told.0.shifted(by_ns);
        self.hysteresis.since = self.hysteresis.since.shifted(by_ns);
        if let Steps::Intervals(intervals) = &mut self.steps {
            let length = intervals.length;
            if let Some(open) = &mut intervals.open {
                open.from =
                    open.from.saturating_add(by_ns).div_euclid(length).saturating_mul(length);
            }
        }
    }

    /// Closes the interval that is open, when nothing more will come.
    pub fn finish(&mut self) -> Vec<Edge> {
        let mut edges = Vec::new();
        if let Steps::Intervals(intervals) = &mut self.steps
            && let Some(last) = intervals.open.take()
        {
            edges.extend(self.hysteresis.push(
                Wall::from_nanos(last.from),
                1,
                intervals.threshold.is_bad(last),
            ));
        }
        edges
    }
}

/// How many sends are missing between where the last outcome pointed and where the next was due.
fn missing_between(to: Wall, from: Wall, step: i64) -> u64 {
    let gap = from.nanos_since(to);
    if gap <= 0 || step <= 0 {
        return 0;
    }
    u64::try_from(gap / step + i64::from(gap % step > step / 2)).unwrap_or(0)
}

impl Threshold {
    /// Whether an interval is bad, by those of its outcomes that are known; one of which nothing is
    /// known is not.
    fn is_bad(&self, mut open: Open) -> bool {
        if open.good + open.failed + open.unknown == 0 {
            open.add(open.carried, 1);
        }
        match self {
            Self::Nothing => open.failed > 0 && open.good == 0,
            Self::Above(threshold) => {
                let known = i128::from(open.failed) + i128::from(open.good);
                Exact::ratio(i128::from(open.failed), known).is_some_and(|loss| loss > *threshold)
            }
        }
    }
}

impl Intervals {
    /// Fills intervals with a run of outcomes; those that the run fills alone are taken together.
    fn fill(&mut self, hysteresis: &mut Hysteresis, run: Run, edges: &mut Vec<Edge>) {
        let Self { length, threshold, open } = self;
        let length = *length;
        let floor = |at: Wall| at.nanos().div_euclid(length).saturating_mul(length);
        let mut close = |done: Open, count: u64| {
            edges.extend(hysteresis.push(
                Wall::from_nanos(done.from),
                count,
                threshold.is_bad(done),
            ));
        };
        let first = floor(run.from);
        if open.is_some_and(|open| open.from < first)
            && let Some(done) = open.take()
        {
            close(done, 1);
        }
        // The interval that the run's first outcome lies in, which others may share.
        let mut current = open.take().unwrap_or_else(|| Open::empty(first, run.class));
        current.add(run.class, before(run, first.saturating_add(length)));
        // The interval up to whose beginning the run speaks; those between are filled by the run
        // alone.
        let last = floor(run.to().shifted(-1));
        if last <= first {
            *open = Some(current);
            return;
        }
        close(current, 1);
        if let Ok(between @ 1..) = u64::try_from((last - first) / length - 1) {
            close(Open::empty(first + length, run.class), between);
        }
        let mut next = Open::empty(last, run.class);
        next.add(run.class, run.count - before(run, last));
        *open = Some(next);
    }
}

/// How many of a run's outcomes were due before an instant.
fn before(run: Run, at: i64) -> u64 {
    let ahead = at.saturating_sub(run.from.nanos());
    if ahead <= 0 {
        return 0;
    }
    let count = (ahead - 1) / run.step.max(1) + 1;
    u64::try_from(count).unwrap_or(0).min(run.count)
}
