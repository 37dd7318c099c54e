//! The last hour of a probe, minute by minute, and its figures. A minute comes in and an old one
//! goes; nothing is merged anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::time::Wall;
use crate::measure::interval::{Interval, Spread};
use crate::measure::outcome::{Outcome, Outcomes};

/// How far back a history goes.
pub const HOUR: Duration = Duration::from_secs(3600);

/// How many sends were not answered, of those whose fate is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Lost or refused.
    pub lost: u64,
    /// These, and those that were answered, in time or late.
    pub known: u64,
}

impl Loss {
    /// Of some outcomes.
    #[must_use]
    pub fn of(outcomes: &Outcomes) -> Self {
        let lost = outcomes.count(Outcome::Lost) + outcomes.count(Outcome::Refused);
        Self { lost, known: lost + outcomes.with_rtt() }
    }

    /// In ten-thousandths; [`None`] where nothing is known.
    #[must_use]
    pub fn parts(self) -> Option<u64> {
        (self.lost * 10_000).checked_div(self.known)
    }

    /// In percent, in at most four characters: `0`, `<0.1`, `1.2`, `100`; `-` where nothing is
    /// known.
    #[must_use]
    pub fn percent(self) -> String {
        match self.parts() {
            None => "-".to_owned(),
            Some(_) if self.lost == 0 => "0".to_owned(),
            Some(0..10) => "<0.1".to_owned(),
            Some(parts @ 10..1000) => format!("{}.{}", parts / 100, parts % 100 / 10),
            Some(parts) => (parts / 100).to_string(),
        }
    }
}

/// Values in microseconds, and how many there are of each.
#[derive(Clone, Debug, Default)]
struct Counts {
    each: BTreeMap<u64, u64>,
    all: u64,
    sum_ns: u64,
}

impl Counts {
    fn add(&mut self, minute: &Values) {
        for &(value, count) in &minute.each {
            *self.each.entry(value).or_default() += count;
            self.all += count;
        }
        self.sum_ns = self.sum_ns.saturating_add(minute.sum_ns);
    }

    fn take(&mut self, minute: &Values) {
        for &(value, count) in &minute.each {
            if let Some(of) = self.each.get_mut(&value) {
                *of = of.saturating_sub(count);
                if *of == 0 {
                    self.each.remove(&value);
                }
            }
            self.all = self.all.saturating_sub(count);
        }
        self.sum_ns = self.sum_ns.saturating_sub(minute.sum_ns);
    }

    /// The value at a percentile.
    fn at(&self, percent: u64) -> Option<u64> {
        at(self.each.iter().map(|(value, count)| (*value, *count)), self.all, percent)
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn mean_us(&self) -> Option<f64> {
        (self.all > 0).then(|| self.sum_ns as f64 / (self.all as f64 * 1000.0))
    }
}

fn at(values: impl Iterator<Item = (u64, u64)>, all: u64, percent: u64) -> Option<u64> {
    let wanted = (all * percent).div_ceil(100).max(1);
    let mut seen = 0;
    let mut values = values;
    values
        .find(|(_, count)| {
            seen += count;
            seen >= wanted
        })
        .map(|(value, _)| value)
}

/// The values of a minute.
#[derive(Clone, Debug, Default)]
struct Values {
    each: Vec<(u64, u64)>,
    sum_ns: u64,
}

impl Values {
    /// Those of a spread; none where it cannot be read.
    fn of(spread: Option<&Spread>) -> Self {
        let read = spread.and_then(|spread| Some((spread.histogram.unpack().ok()?, spread.sum_ns)));
        read.map_or_else(Self::default, |(histogram, sum_ns)| Self {
            each: histogram.recorded().collect(),
            sum_ns,
        })
    }

    fn all(&self) -> u64 {
        self.each.iter().map(|(_, count)| count).sum()
    }

    fn at(&self, percent: u64) -> Option<u64> {
        at(self.each.iter().copied(), self.all(), percent)
    }
}

#[derive(Clone, Debug)]
struct Kept {
    from: Wall,
    to: Wall,
    outcomes: Outcomes,
    rtt: Values,
    ipdv: Values,
}

/// A minute as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minute {
    /// When it began.
    pub from: Wall,
    /// What became of its sends.
    pub outcomes: Outcomes,
    /// The percentiles 50 and 95 of its RTTs, and the highest, in microseconds.
    pub rtt_us: Option<[u64; 3]>,
}

/// The last hour of a probe.
#[derive(Clone, Debug, Default)]
pub struct History {
    minutes: VecDeque<Kept>,
    rtt: Counts,
    ipdv: Counts,
}

impl History {
    /// Takes an interval; one that is older than the last is put where it belongs.
    pub fn add(&mut self, interval: Interval) {
        let kept = Kept {
            from: interval.from,
            to: interval.to(),
            rtt: Values::of(interval.rtt.as_ref()),
            ipdv: Values::of(interval.ipdv.as_ref()),
            outcomes: interval.outcomes,
        };
        self.rtt.add(&kept.rtt);
        self.ipdv.add(&kept.ipdv);
        let place = self.minutes.partition_point(|other| other.from <= kept.from);
        self.minutes.insert(place, kept);
    }

    /// Forgets what ended an hour before an instant.
    pub fn forget(&mut self, now: Wall) {
        let since = now - HOUR;
        while self.minutes.front().is_some_and(|oldest| oldest.to <= since)
            && let Some(oldest) = self.minutes.pop_front()
        {
            self.rtt.take(&oldest.rtt);
            self.ipdv.take(&oldest.ipdv);
        }
    }

    /// A percentile of the RTTs, in microseconds.
    #[must_use]
    pub fn rtt_us(&self, percent: u64) -> Option<u64> {
        self.rtt.at(percent)
    }

    /// The mean difference of neighbouring RTTs, in microseconds.
    #[must_use]
    pub fn jitter_us(&self) -> Option<f64> {
        self.ipdv.mean_us()
    }

    /// The loss.
    #[must_use]
    pub fn loss(&self) -> Loss {
        self.minutes.iter().map(|kept| Loss::of(&kept.outcomes)).fold(
            Loss::default(),
            |all, one| Loss { lost: all.lost + one.lost, known: all.known + one.known },
        )
    }

    /// The outcomes of the last minute.
    #[must_use]
    pub fn last(&self) -> Option<&Outcomes> {
        self.minutes.back().map(|kept| &kept.outcomes)
    }

    /// The last so many outcomes, oldest first.
    #[must_use]
    pub fn recent(&self, most: usize) -> Outcomes {
        let mut last: Vec<Outcome> = Vec::new();
        for kept in self.minutes.iter().rev() {
            let all: Vec<Outcome> = kept.outcomes.iter().collect();
            last.extend(all.into_iter().rev().take(most - last.len()));
        }
        last.into_iter().rev().collect()
    }

    /// The minutes, the last one first.
    pub fn minutes(&self) -> impl Iterator<Item = Minute> + '_ {
        self.minutes.iter().rev().map(|kept| Minute {
            from: kept.from,
            outcomes: kept.outcomes.clone(),
            rtt_us: kept
                .rtt
                .at(50)
                .zip(kept.rtt.at(95))
                .zip(kept.rtt.at(100))
                .map(|((p50, p95), max)| [p50, p95, max]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram::Histogram;

    fn minute(at: i64, outcomes: &str, rtt_us: &[u64]) -> Interval {
        let mut histogram = Histogram::new();
        rtt_us.iter().for_each(|&us| _ = histogram.record_us(us));
        let sum_ns = rtt_us.iter().sum::<u64>() * 1000;
        Interval {
            from: Wall::from_secs(1_700_000_040 + 60 * at),
            millis: 60_000,
            first_ms: 0,
            period_ms: 1000,
            outcomes: outcomes.parse().unwrap(),
            reasons: BTreeMap::new(),
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt: histogram.pack().map(|histogram| Spread { histogram, sum_ns }),
            ipdv: None,
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        }
    }

    #[test]
    fn an_hour_s_figures_are_those_of_its_minutes_and_of_no_older_one() {
        let mut history = History::default();
        history.add(minute(0, "2l", &[]));
        history.add(minute(2, "2a1u", &[300, 400]));
        history.add(minute(1, "2a", &[100, 200]));
        assert_eq!((history.rtt_us(50), history.rtt_us(95)), (Some(200), Some(400)));
        assert_eq!(history.loss(), Loss { lost: 3, known: 7 });
        assert_eq!(history.recent(2).to_string(), "1a1u");
        assert_eq!(history.recent(4).to_string(), "3a1u");
        let minutes: Vec<Minute> = history.minutes().collect();
        assert_eq!(minutes[1].rtt_us, Some([100, 200, 200]));
        // The first ends an hour before this.
        history.forget(Wall::from_secs(1_700_000_040 + 60) + HOUR);
        assert_eq!(history.loss(), Loss { lost: 1, known: 5 });
        history.forget(Wall::from_secs(1_700_000_040 + 120) + HOUR);
        assert_eq!((history.rtt_us(50), history.rtt_us(100)), (Some(300), Some(400)));
        history.forget(Wall::from_secs(1_800_000_000));
        assert_eq!(
            (history.rtt_us(50), history.loss().parts(), history.last()),
            (None, None, None)
        );
    }

    #[test]
    fn loss_is_four_characters_at_most_and_never_none_where_there_was_some() {
        let of = |lost, known| Loss { lost, known }.percent();
        assert_eq!(
            [of(0, 0), of(0, 9), of(1, 100_000), of(1, 1000), of(13, 1000), of(1, 3), of(5, 5)],
            ["-", "0", "<0.1", "0.1", "1.3", "33", "100"]
        );
    }
}
