//! What was measured of a service: from each probe's intervals to its known and its down time, and
//! to the figures of an objective. Runs of equal outcomes are taken whole, histograms are merged,
//! means are exact sums by counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::base::decimal::Exact;
use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::measure::carrier::Carrier;
use crate::measure::histogram::Histogram;
use crate::measure::interval::{Interval, Spread};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::rollup::parts;
use crate::sla::mos;
use crate::sla::outage::{Class, Detector, Edge, Rule, Run};
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{
    CarrierLoss, Contract, Definition, Late, Measure, Metric, Objective, Side, Statistic, Unit,
};

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Each probe's intervals, by the probe's name.
    pub probes: BTreeMap<String, Seen>,
    /// Outages that were recorded, and whose side failed.
    pub sides: Vec<(Span, Side)>,
}

/// What was measured by one probe.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its intervals, in order. They may be longer than a minute where nothing but outcomes is
    /// asked of them.
    pub intervals: Vec<Arc<Interval>>,
    /// When its interface had no carrier. Where this says nothing, an `n` is loss of carrier as far
    /// as the interval counts `not-sent/carrier`.
    pub carrier_down: Spans,
    /// What figures are taken from, where that is not the intervals: the same with minutes merged
    /// to hours, say. Of one that touches what may be left out, the minutes must be here.
    pub merged: Option<Vec<Arc<Interval>>>,
}

impl Seen {
    fn for_figures(&self) -> &[Arc<Interval>] {
        self.merged.as_deref().unwrap_or(&self.intervals)
    }
}

/// A service's time: when it was down, when it was up, and between them nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) down: Spans,
    pub(super) up: Spans,
}

impl Timeline {
    /// Several probes of one service: it is up while any sees it up, and down while one sees it
    /// down and none sees it up.
    fn of_probes(all: &[Self]) -> Self {
        let up: Spans = all.iter().flat_map(|each| each.up.iter()).collect();
        let down: Spans = all.iter().flat_map(|each| each.down.iter()).collect();
        Self { down: down.minus(&up), up }
    }

    /// Services that back each other up: all of them are down, or one of them is up.
    fn of_members(all: &[Self]) -> Self {
        let up = all.iter().flat_map(|each| each.up.iter()).collect();
        let down =
            all.iter().map(|each| each.down.clone()).reduce(|a, b| a.and(&b)).unwrap_or_default();
        Self { down, up }
    }

    /// When anything is known.
    pub(super) fn known(&self) -> Spans {
        self.up.or(&self.down)
    }
}

/// A service's time by one rule, from the probes named; a service with members is down only while
/// all of them are.
pub(super) fn timeline(
    observed: &Observed,
    contract: &Contract,
    service: &str,
    probes: &[String],
    rule: &Rule,
    effort: &Effort<'_>,
) -> Timeline {
    let mut known: BTreeMap<&str, Timeline> = BTreeMap::new();
    let mut stretches = 0;
    // Members come before what they are members of; each is looked at once.
    for each in contract.members_of(service).unwrap_or_default() {
        let own: Vec<Timeline> = each
            .probes
            .iter()
            .filter(|name| probes.contains(name))
            .filter_map(|name| observed.probes.get(name))
            .filter(|seen| !seen.intervals.is_empty())
            .map(|seen| {
                let timeline = one_probe(seen, rule, (effort, stretches));
                stretches += timeline.up.len() + timeline.down.len();
                timeline
            })
            .collect();
        let own = (!own.is_empty()).then(|| Timeline::of_probes(&own));
        let timeline = if each.members.is_empty() {
            own.unwrap_or_default()
        } else {
            let members =
                each.members.iter().map(|id| known.get(id.as_str()).cloned().unwrap_or_default());
            Timeline::of_members(&members.chain(own).collect::<Vec<_>>())
        };
        known.insert(&each.id, timeline);
    }
    known.remove(service).unwrap_or_default()
}

/// One probe's time by a rule; of the service's other probes there are so many stretches already.
fn one_probe(seen: &Seen, rule: &Rule, (effort, others): (&Effort<'_>, usize)) -> Timeline {
    let mut detector = Detector::new(rule);
    let mut known: Vec<Span> = Vec::new();
    let mut down: Vec<Span> = Vec::new();
    let mut since: Option<Wall> = None;
    let mut last: Option<Run> = None;
    let mut take =
        |run: Run, next: Option<Wall>, since: &mut Option<Wall>, down: &mut Vec<Span>| {
            if run.class != Class::Unknown {
                // A small hole up to the next outcome is no time that nobody saw; a large one is.
                let reach = next
                    .filter(|next| next.nanos_since(run.to()) <= run.step / 2)
                    .unwrap_or(run.to());
                let span = Span::new(run.from, reach.max(run.from));
                match known.last_mut() {
                    Some(last) if last.to == span.from => last.to = span.to,
                    _ => known.push(span),
                }
            }
            for edge in detector.push_run(run) {
                follow(edge, since, down);
            }
            effort.allows_list_of(others + known.len() + down.len())
        };
    runs(seen, rule, effort, |run| match &mut last {
        Some(open) if open.class == run.class && open.step == run.step && open.to() == run.from => {
            open.count += run.count;
            true
        }
        _ => {
            let next = Some(run.from);
            last.replace(run).is_none_or(|done| take(done, next, &mut since, &mut down))
        }
    });
    if let Some(done) = last {
        let _ = take(done, None, &mut since, &mut down);
        for edge in detector.finish() {
            follow(edge, &mut since, &mut down);
        }
        if let Some(from) = since {
            down.push(Span::new(from, done.to()));
        }
    }
    let down: Spans = down.into_iter().collect();
    Timeline { up: known.into_iter().collect::<Spans>().minus(&down), down }
}

fn follow(edge: Edge, since: &mut Option<Wall>, down: &mut Vec<Span>) {
    match edge {
        Edge::Down { from } => *since = Some(from),
        Edge::Up { at } => {
            if let Some(from) = since.take() {
                down.push(Span::new(from, at));
            }
        }
    }
}

/// Tells a probe's outcomes as runs of one class, in order, as long as more is wanted.
fn runs(seen: &Seen, rule: &Rule, effort: &Effort<'_>, mut tell: impl FnMut(Run) -> bool) {
    for interval in &seen.intervals {
        let unsent = interval.outcomes.count(Outcome::NotSent);
        if !effort.allows(unsent.saturating_add(interval.outcomes.runs().count() as u64)) {
            return;
        }
        let step = i64::from(interval.period_ms.max(1)) * 1_000_000;
        let mut index = 0u64;
        let mut carrier_left: Option<u32> = None;
        for (count, outcome) in interval.outcomes.runs() {
            let from = interval.due(index);
            index += u64::from(count);
            if outcome != Outcome::NotSent {
                let class = rule.class(outcome, Carrier::Up);
                if !tell(Run { from, count: u64::from(count), step, class }) {
                    return;
                }
                continue;
            }
            // Each one that is not sent is told apart by itself; there are few of them.
            let counted =
                || interval.reasons.get(&Reason::CARRIER.to_string()).copied().unwrap_or(0);
            let mut left = carrier_left.unwrap_or_else(counted);
            for number in 0..i64::from(count) {
                let due = from.shifted(step * number);
                let carrier = if left > 0 || seen.carrier_down.holds(due) {
                    Carrier::Down
                } else {
                    Carrier::Up
                };
                left = left.saturating_sub(1);
                let class = rule.class(outcome, carrier);
                if !tell(Run { from: due, count: 1, step, class }) {
                    return;
                }
            }
            carrier_left = Some(left);
        }
    }
}

/// An interval's length where nothing was merged.
const MINUTE_MS: u32 = 60_000;

/// Whether a boundary lies strictly inside of an interval that was merged of minutes: then it may
/// not stand for them.
#[must_use]
pub fn is_cut(interval: &Interval, boundaries: &BTreeSet<Wall>) -> bool {
    let (from, to) = (interval.from, interval.to().max(interval.from.shifted(1)));
    interval.millis > MINUTE_MS
        && boundaries.range((Bound::Excluded(from), Bound::Excluded(to))).next().is_some()
}

/// The figure of an objective other than availability, from the intervals that lie in a stretch of
/// time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// In the objective's unit.
    pub(super) exact: Exact,
    /// How it came about.
    pub(super) step: String,
}

/// Works out the figure from the samples that lie within `base` whole, and outside of `down`.
pub(super) fn figure(
    observed: &Observed,
    contract: &Contract,
    service: &str,
    objective: &Objective,
    (base, down): (&Spans, &Spans),
    effort: &Effort<'_>,
) -> Option<Figure> {
    let measure = objective.measure.as_ref()?;
    let mut samples = Samples::default();
    for service in contract.members_of(service)? {
        for name in service.probes.iter().filter(|name| measure.probes.contains(name)) {
            for interval in observed.probes.get(name).map(Seen::for_figures).unwrap_or_default() {
                // A histogram is unpacked and merged for each.
                if !effort.allows(64) {
                    return None;
                }
                let within = |part: &Interval| {
                    let span = Span::new(part.from, part.to());
                    base.covers(span) && !down.touches(span)
                };
                if within(interval) {
                    samples.add(interval, measure.late_is, objective.metric);
                } else if matches!(objective.metric, Metric::Loss | Metric::Delivery)
                    && interval.millis > MINUTE_MS
                {
                    // Outcomes are exact at whatever length: of what was rolled up, each minute
                    // counts by itself.
                    let minute = Duration::from_millis(u64::from(MINUTE_MS));
                    parts(interval, minute).filter(|part| within(part)).for_each(|part| {
                        samples.add(&part, measure.late_is, objective.metric);
                    });
                }
            }
        }
    }
    samples.figure(objective.metric, measure, objective.unit)
}

/// What many intervals hold together.
#[derive(Default)]
struct Samples {
    good: u64,
    failed: u64,
    rtt: Sum,
    ipdv: Sum,
    rfc3550_ns: Option<u64>,
}

/// A merged histogram with its exact sum.
#[derive(Default)]
struct Sum {
    histogram: Option<Histogram>,
    count: u64,
    nanos: u128,
}

impl Sum {
    /// Adds a spread without its `late` highest values, which are the late ones: every late answer
    /// took longer than the cut-off, and every other one did not.
    fn add(&mut self, spread: &Spread, late: u64) {
        let Ok(read) = spread.histogram.unpack() else { return };
        let kept = read.count().saturating_sub(late);
        let mut sum = u128::from(spread.sum_ns);
        let mut taken = Histogram::new();
        if late == 0 {
            taken = read;
        } else {
            let mut room = kept;
            for (value, count) in read.recorded() {
                let inside = count.min(room);
                (0..inside).for_each(|_| {
                    taken.record_us(value);
                });
                room -= inside;
                sum = sum.saturating_sub(u128::from(value) * 1000 * u128::from(count - inside));
            }
        }
        self.count += kept;
        self.nanos += sum;
        match &mut self.histogram {
            Some(all) => all.merge(&taken),
            None => self.histogram = Some(taken),
        }
    }

    fn mean_ms(&self) -> Option<Exact> {
        let nanos = i128::try_from(self.nanos).ok()?;
        Exact::ratio(nanos, i128::from(self.count) * 1_000_000)
    }

    fn value_us(&self, thousandths: u64) -> Option<u64> {
        self.histogram
            .as_ref()
            .filter(|all| all.count() > 0)
            .map(|all| all.value_at_us(thousandths, 1000))
    }
}

/// Microseconds as milliseconds.
fn ms_of_us(micros: u64) -> Option<Exact> {
    Exact::ratio(i128::from(micros), 1000)
}

impl Samples {
    fn add(&mut self, interval: &Interval, late_is: Late, metric: Metric) {
        let late = interval.outcomes.count(Outcome::Late);
        let (late_good, late_failed) = if late_is == Late::Good { (late, 0) } else { (0, late) };
        self.good += interval.outcomes.count(Outcome::Answered) + late_good;
        self.failed += interval.outcomes.count(Outcome::Lost)
            + interval.outcomes.count(Outcome::Refused)
            + late_failed;
        if matches!(metric, Metric::Rtt | Metric::Mos | Metric::Jitter)
            && let Some(rtt) = &interval.rtt
        {
            self.rtt.add(rtt, late_failed);
        }
        if matches!(metric, Metric::Mos | Metric::Jitter)
            && let Some(ipdv) = &interval.ipdv
        {
            self.ipdv.add(ipdv, 0);
        }
        self.rfc3550_ns = self.rfc3550_ns.max(interval.rfc3550_max_ns);
    }

    /// Lost in percent of what is known.
    fn loss(&self) -> Option<Exact> {
        Exact::ratio(i128::from(self.failed) * 100, i128::from(self.good) + i128::from(self.failed))
    }

    fn figure(&self, metric: Metric, measure: &Measure, unit: Unit) -> Option<Figure> {
        let in_unit = |percent: Exact| match unit {
            Unit::Ratio => percent.over(&Exact::hundred()).unwrap_or(percent),
            _ => percent,
        };
        let in_time = |ms: Exact| match unit {
            Unit::S => ms.over(&Exact::from(1000)).unwrap_or(ms),
            _ => ms,
        };
        let sent = self.good + self.failed;
        let lost = || format!("{} of {sent} probes failed", self.failed);
        let of = |name: &str, count: u64| format!("{name} of {count} samples");
        Some(match (metric, measure.statistic) {
            (Metric::Loss, _) => Figure { exact: in_unit(self.loss()?), step: lost() },
            (Metric::Delivery, _) => {
                let delivered = &Exact::hundred() - &self.loss()?;
                Figure {
                    exact: in_unit(delivered),
                    step: format!("{}; delivery is 100 less loss", lost()),
                }
            }
            (Metric::Mos, _) => {
                let (latency, jitter, loss) = (
                    self.rtt.mean_ms()?,
                    self.ipdv.mean_ms().unwrap_or_else(Exact::zero),
                    self.loss()?,
                );
                let step = format!(
                    "simplified E-model from a mean RTT of {latency} ms, a mean |IPDV| of \
                        {jitter} ms and {loss} % loss"
                );
                Figure { exact: mos::score(&latency, &jitter, &loss), step }
            }
            (Metric::Rtt, Some(Statistic::ShareOver)) => {
                let over = measure.over?;
                let above = self
                    .rtt
                    .histogram
                    .as_ref()?
                    .count_above_us(u64::try_from(over.as_micros()).ok()?);
                let share = Exact::ratio(i128::from(above) * 100, i128::from(self.rtt.count))?;
                let step =
                    format!("{above} of {} RTTs are above {} ms", self.rtt.count, over.as_millis());
                Figure { exact: in_unit(share), step }
            }
            (_, Some(statistic)) => {
                let exact = self.statistic(statistic)?;
                let count = if statistic.is_of_jitter() { self.ipdv.count } else { self.rtt.count };
                Figure { exact: in_time(exact), step: of(&statistic.to_string(), count) }
            }
            _ => return None,
        })
    }

    /// In milliseconds.
    fn statistic(&self, statistic: Statistic) -> Option<Exact> {
        let pdv = |thousandths| {
            let lowest = self.rtt.histogram.as_ref()?.min_us();
            ms_of_us(self.rtt.value_us(thousandths)?.saturating_sub(lowest))
        };
        match statistic {
            Statistic::Mean => self.rtt.mean_ms(),
            Statistic::P50 => ms_of_us(self.rtt.value_us(500)?),
            Statistic::P90 => ms_of_us(self.rtt.value_us(900)?),
            Statistic::P95 => ms_of_us(self.rtt.value_us(950)?),
            Statistic::P99 => ms_of_us(self.rtt.value_us(990)?),
            Statistic::P999 => ms_of_us(self.rtt.value_us(999)?),
            Statistic::Max => ms_of_us(self.rtt.value_us(1000)?),
            Statistic::ShareOver => None,
            Statistic::IpdvMean => self.ipdv.mean_ms(),
            Statistic::IpdvP95 => ms_of_us(self.ipdv.value_us(950)?),
            Statistic::IpdvP99 => ms_of_us(self.ipdv.value_us(990)?),
            Statistic::PdvP95 => pdv(950),
            Statistic::PdvP99 => pdv(990),
            Statistic::Rfc3550Max => Exact::ratio(i128::from(self.rfc3550_ns?), 1_000_000),
        }
    }
}

/// The rule by which a value objective's own time is known: late answers are known, and loss of
/// carrier is not.
pub(super) fn knowing() -> Rule {
    Rule {
        definition: Definition::Ticket,
        late_is: Late::Good,
        carrier_loss_is: CarrierLoss::Unknown,
    }
}

#[cfg(test)]
mod tests;
