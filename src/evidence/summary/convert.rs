//! Between what was measured and what is shipped of it.

use std::collections::BTreeMap;

use crate::evidence::summary::{IntervalPart, LinkPart, Phases, ProbePart, Summary};
use crate::measure::carrier::Carrier;
use crate::measure::histogram::{NotAHistogram, Packed};
use crate::measure::interval::{Interval, Phase, Spread};
use crate::sla::span::{Span, Spans};

impl Phases {
    /// Each part by its name.
    pub(super) fn all(&self) -> [(&'static str, Option<&Packed>); 5] {
        Phase::ALL.map(|phase| (phase.word(), self.get(phase)))
    }

    /// The histogram of one part.
    #[must_use]
    pub const fn get(&self, phase: Phase) -> Option<&Packed> {
        match phase {
            Phase::Resolve => self.resolve.as_ref(),
            Phase::Connect => self.connect.as_ref(),
            Phase::Tls => self.tls.as_ref(),
            Phase::FirstByte => self.first_byte.as_ref(),
            Phase::Body => self.body.as_ref(),
        }
    }
}

impl From<BTreeMap<Phase, Packed>> for Phases {
    fn from(mut phases: BTreeMap<Phase, Packed>) -> Self {
        let mut get = |phase| phases.remove(&phase);
        Self {
            resolve: get(Phase::Resolve),
            connect: get(Phase::Connect),
            tls: get(Phase::Tls),
            first_byte: get(Phase::FirstByte),
            body: get(Phase::Body),
        }
    }
}

impl From<Interval> for IntervalPart {
    /// The period of the interval goes into its probe's part.
    fn from(interval: Interval) -> Self {
        let Interval {
            from,
            millis,
            first_ms,
            period_ms: _,
            duplicates,
            reordered,
            kernel_stamped,
            ..
        } = interval;
        let split = |spread: Option<Spread>| {
            spread.map(|Spread { histogram, sum_ns }| (histogram, sum_ns)).unzip()
        };
        let ((rtt_us, rtt_sum_ns), (ipdv_us, ipdv_sum_ns)) =
            (split(interval.rtt), split(interval.ipdv));
        Self {
            from,
            millis,
            first_ms,
            outcomes: interval.outcomes,
            reasons: interval.reasons,
            duplicates,
            reordered,
            kernel_stamped,
            rtt_us,
            rtt_sum_ns,
            ipdv_us,
            ipdv_sum_ns,
            rfc3550_max_ns: interval.rfc3550_max_ns,
            phases_us: if interval.phases.is_empty() { None } else { Some(interval.phases.into()) },
        }
    }
}

impl ProbePart {
    /// What this probe saw, as the rest of the program knows it. A sum that is absent is derived
    /// from its histogram.
    ///
    /// # Errors
    /// When a histogram cannot be read; not for a summary that was checked.
    pub fn intervals(&self) -> impl Iterator<Item = Result<Interval, NotAHistogram>> + '_ {
        self.intervals.iter().map(|part| part.to_interval(self.period_ms))
    }
}

impl IntervalPart {
    fn to_interval(&self, period_ms: u32) -> Result<Interval, NotAHistogram> {
        let phases = self.phases_us.as_ref();
        let phase = |phase| Some((phase, phases?.get(phase)?.clone()));
        Ok(Interval {
            from: self.from,
            millis: self.millis,
            first_ms: self.first_ms,
            period_ms,
            outcomes: self.outcomes.clone(),
            reasons: self.reasons.clone(),
            duplicates: self.duplicates,
            reordered: self.reordered,
            kernel_stamped: self.kernel_stamped,
            rtt: spread(self.rtt_us.as_ref(), self.rtt_sum_ns)?,
            ipdv: spread(self.ipdv_us.as_ref(), self.ipdv_sum_ns)?,
            rfc3550_max_ns: self.rfc3550_max_ns,
            phases: Phase::ALL.into_iter().filter_map(phase).collect(),
        })
    }
}

/// A histogram with its sum, said or derived from the middle of each bucket, as HdrHistogram
/// derives a mean.
fn spread(packed: Option<&Packed>, sum_ns: Option<u64>) -> Result<Option<Spread>, NotAHistogram> {
    let Some(packed) = packed else { return Ok(None) };
    let sum_ns = match sum_ns {
        Some(sum) => sum,
        None => {
            let figures = packed.figures()?;
            u64::try_from((figures.lowest_us + figures.highest_us) * 500).unwrap_or(u64::MAX)
        }
    };
    Ok(Some(Spread { histogram: packed.clone(), sum_ns }))
}

impl Summary {
    /// When there was no carrier, by what the summary says of its links: where it names several,
    /// while none had one. A send that was not made then is loss of carrier.
    #[must_use]
    pub fn carrier_down(&self) -> Spans {
        let down =
            self.link.iter().map(|link| without_carrier(link, Span::new(self.from, self.to)));
        down.reduce(|a, b| a.and(&b)).unwrap_or_default()
    }
}

/// `carrier` is how it was at the span's end; before the first change it was the opposite of what
/// it changed to.
fn without_carrier(link: &LinkPart, span: Span) -> Spans {
    let mut down = Vec::new();
    let mut since = match link.changes.first().map_or(link.carrier, |first| first.carrier) {
        Carrier::Down => link.changes.is_empty().then_some(span.from),
        Carrier::Up => (!link.changes.is_empty()).then_some(span.from),
        Carrier::Unknown => None,
    };
    for change in &link.changes {
        match change.carrier {
            Carrier::Down => since = since.or(Some(change.at)),
            Carrier::Up | Carrier::Unknown => {
                down.extend(since.take().map(|from| Span::new(from, change.at)))
            }
        }
    }
    down.extend(since.map(|from| Span::new(from, span.to)));
    down.into_iter().map(|each| each.and(span)).collect()
}
