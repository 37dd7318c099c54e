//! An interval while it is filled, and how it is finished.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::measure::histogram::{Packed, Recorded, Values};
use crate::measure::interval::{Interval, Phase, Spread};
use crate::measure::jitter::Jitter;
use crate::measure::lag;
use crate::measure::outcome::{Outcomes, Reason};
use crate::measure::provisional::{Provisional, SendMarks};

use super::slot::Slot;
use super::stretch::{Labels, MINUTE, Stretch};

/// An interval that has begun. It is small, since there is one for each probe.
#[derive(Debug)]
pub(super) struct OpenInterval {
    pub(super) span: u64,
    pub(super) from: Wall,
    pub(super) begun: Mono,
    /// The number of the first send, where there is one.
    pub(super) first_send: u64,
    pub(super) first_due: Mono,
    pub(super) slots: Vec<Slot>,
    pub(super) unsettled: u32,
    pub(super) kernel_stamped: u32,
    pub(super) extra: Option<Box<Extra>>,
}

/// What most intervals have nothing of.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) reasons: Vec<(Reason, u32)>,
    pub(super) phases: Vec<(Phase, u64)>,
    pub(super) duplicates: u32,
    pub(super) reordered: u32,
    /// What is known of single sends, while labels are provisional.
    pub(super) marks: Option<SendMarks>,
}

impl Extra {
    /// The histogram of each phase that was seen.
    fn phases(&self, scratch: &mut Values, clamped: &mut u32) -> BTreeMap<Phase, Packed> {
        let mut phases = BTreeMap::new();
        for phase in Phase::ALL {
            let values =
                self.phases.iter().filter(|&&(of, _)| of == phase).map(|&(_, nanos)| nanos);
            if let Some(all) = spread(values, scratch, clamped) {
                phases.insert(phase, all.histogram);
            }
        }
        phases
    }

    /// Counts one more send that was not answered for this reason; gives the place of the reason,
    /// which stays.
    pub(super) fn count(&mut self, reason: &Reason) -> usize {
        let known = self.reasons.iter().position(|(known, _)| known == reason);
        let place = known.unwrap_or_else(|| {
            self.reasons.push((reason.clone(), 0));
            self.reasons.len() - 1
        });
        self.reasons[place].1 += 1;
        place
    }
}

/// An interval that has ended, and may wait for its last sends.
#[derive(Debug)]
pub(super) struct EndedInterval {
    pub(super) open: OpenInterval,
    pub(super) at: Mono,
    pub(super) address: Option<IpAddr>,
}

impl OpenInterval {
    pub(super) fn new(stretch: Stretch, from: Wall, begun: Mono) -> Self {
        let mut open = Self {
            span: stretch.number,
            from,
            begun,
            first_send: 0,
            first_due: begun,
            slots: Vec::new(),
            unsettled: 0,
            kernel_stamped: 0,
            extra: None,
        };
        if stretch.labels == Labels::Provisional {
            open.extra().marks = Some(SendMarks::default());
        }
        open
    }

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(super) fn marks(&mut self) -> Option<&mut SendMarks> {
        self.extra.as_mut()?.marks.as_mut()
    }

    /// How many sends say as much of this host as of the network, `late` being how late this
    /// program was.
    pub(super) fn limited(&self, late: Duration) -> u32 {
        let reasons = self.extra.iter().flat_map(|extra| &extra.reasons);
        let missed: u32 =
            reasons.filter(|(reason, _)| lag::is_own(reason)).map(|(_, count)| count).sum();
        let rtts = self.slots.iter().filter(|slot| slot.rtt_ns().is_some()).count();
        let own = u32::try_from(rtts).unwrap_or(u32::MAX).saturating_sub(self.kernel_stamped);
        missed + if late >= lag::LIMIT { own } else { 0 }
    }
}

impl EndedInterval {
    /// The finished interval, send by send, where its labels are provisional.
    pub(super) fn provisional(&self, period: Duration, late: Duration) -> Option<Box<Provisional>> {
        let open = &self.open;
        let marks = open.extra.as_ref()?.marks.as_ref()?;
        let sent = |(index, slot): (usize, &Slot)| {
            marks.sent(index, slot.outcome().expect("all are settled"), slot.rtt_ns())
        };
        Some(Box::new(Provisional {
            begun: open.begun,
            ended: self.at,
            first_due: open.first_due,
            period,
            late,
            sends: open.slots.iter().enumerate().map(sent).collect(),
        }))
    }

    /// `late` is how late this program was at worst meanwhile.
    pub(super) fn finish(
        &self,
        period: Duration,
        late: Duration,
        scratch: &mut Values,
    ) -> Interval {
        let open = &self.open;
        let nothing = Extra::default();
        let extra = open.extra.as_deref().unwrap_or(&nothing);
        let mut clamped = 0;
        let rtts = || open.slots.iter().filter_map(|slot| slot.rtt_ns());
        let rtt = spread(rtts(), scratch, &mut clamped);
        let neighbours = || {
            open.slots
                .windows(2)
                .filter_map(|pair| Some(pair[0].rtt_ns()?.abs_diff(pair[1].rtt_ns()?)))
        };
        let ipdv = spread(neighbours(), scratch, &mut clamped);
        let mut jitter = Jitter::default();
        let rfc3550_max_ns = neighbours().map(|difference| jitter.add(difference)).max();
        let phases = extra.phases(scratch, &mut clamped);
        let mut reasons: BTreeMap<String, u32> =
            extra.reasons.iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
        if clamped > 0 {
            reasons.insert("rtt/clamped".to_owned(), clamped);
        }
        let limited = open.limited(late);
        if limited > 0 {
            reasons.insert(lag::LIMITED.to_owned(), limited);
        }
        // By the wall clock's label an interval ends with its minute at the latest, even when the
        // clock was slewed.
        let room =
            u64::try_from((open.from.floor(MINUTE) + MINUTE).nanos_since(open.from) / 1_000_000)
                .unwrap_or(0);
        Interval {
            from: open.from,
            millis: u32::try_from(round_ms(self.at - open.begun).min(room))
                .expect("at most a minute"),
            first_ms: u32::try_from(round_ms(open.first_due - open.begun)).unwrap_or(0),
            period_ms: u32::try_from(period.as_millis()).unwrap_or(u32::MAX),
            outcomes: open
                .slots
                .iter()
                .map(|slot| slot.outcome().expect("all are settled"))
                .collect::<Outcomes>(),
            reasons,
            duplicates: extra.duplicates,
            reordered: extra.reordered,
            kernel_stamped: open.kernel_stamped,
            rtt,
            ipdv,
            rfc3550_max_ns,
            phases,
        }
    }
}

pub(super) fn round_ms(length: Duration) -> u64 {
    u64::try_from((length.as_nanos() + 500_000) / 1_000_000).unwrap_or(u64::MAX)
}

pub(super) fn spread(
    values: impl Iterator<Item = u64>,
    scratch: &mut Values,
    clamped: &mut u32,
) -> Option<Spread> {
    let mut sum_ns = 0u64;
    for value in values {
        sum_ns = sum_ns.saturating_add(value);
        if scratch.record_ns(value) == Recorded::Clamped {
            *clamped += 1;
        }
    }
    scratch.pack().map(|histogram| Spread { histogram, sum_ns })
}
