//! What a probe saw before the wall clock was set: each send by itself, on the monotonic clock
//! alone, so that it can be cut at the true minutes once they are known. An interval could not: its
//! histogram does not say which send a value is of.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::{Mono, Now};
use crate::measure::event::{Event, ProbeId, Settled, Stamp};
use crate::measure::interval::{Interval, Phase};
use crate::measure::ledger::Ledger;
use crate::measure::outcome::{Outcome, Reason};

/// What one probe saw over a stretch that no wall clock labels yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisional {
    /// Where the stretch begins.
    pub begun: Mono,
    /// Where it ends.
    pub ended: Mono,
    /// When the first send was due; the others were due a period apart.
    pub first_due: Mono,
    /// From one send to the next.
    pub period: Duration,
    /// How late this program was at worst meanwhile.
    pub late: Duration,
    /// The sends, in order.
    pub sends: Vec<Sent>,
}

/// One send, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What became of it.
    pub outcome: Outcome,
    /// Its RTT in nanoseconds, where it has one.
    pub rtt_ns: Option<u64>,
    /// Whose stamps its RTT is the difference of.
    pub stamp: Stamp,
    /// Why it is not answered.
    pub reason: Option<Reason>,
    /// The parts of an HTTP exchange, in nanoseconds.
    pub phases: Vec<(Phase, u64)>,
    /// Answers beyond the first.
    pub duplicates: u32,
    /// Answers that came after the answer to a later send.
    pub reordered: u32,
}

impl Sent {
    /// One of which nothing is to be said but what became of it.
    #[must_use]
    pub const fn new(outcome: Outcome, rtt_ns: Option<u64>) -> Self {
        let phases = Vec::new();
        Self {
            outcome,
            rtt_ns,
            stamp: Stamp::User,
            reason: None,
            phases,
            duplicates: 0,
            reordered: 0,
        }
    }
}

/// What an interval that is being filled remembers of single sends, by their places in it, while no
/// label is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    sends: BTreeMap<usize, Marks>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks {
    kernel_stamped: bool,
    reason: Option<Reason>,
    phases: Vec<(Phase, u64)>,
    duplicates: u32,
    reordered: u32,
}

impl Trace {
    pub(super) fn settled(&mut self, index: usize, settled: &Settled) {
        let kernel_stamped = settled.outcome.has_rtt() && settled.stamp == Some(Stamp::Kernel);
        if kernel_stamped || settled.reason.is_some() || !settled.phases.is_empty() {
            let marks = self.sends.entry(index).or_default();
            marks.kernel_stamped = kernel_stamped;
            marks.reason.clone_from(&settled.reason);
            marks.phases.clone_from(&settled.phases);
        }
    }

    pub(super) fn duplicate(&mut self, index: usize) {
        let marks = self.sends.entry(index).or_default();
        marks.duplicates = marks.duplicates.saturating_add(1);
    }

    pub(super) fn reordered(&mut self, index: usize) {
        let marks = self.sends.entry(index).or_default();
        marks.reordered = marks.reordered.saturating_add(1);
    }

    /// The send at this place.
    pub(super) fn sent(&self, index: usize, outcome: Outcome, rtt_ns: Option<u64>) -> Sent {
        let mut sent = Sent::new(outcome, rtt_ns);
        if let Some(marks) = self.sends.get(&index) {
            sent.stamp = if marks.kernel_stamped { Stamp::Kernel } else { Stamp::User };
            sent.reason.clone_from(&marks.reason);
            sent.phases.clone_from(&marks.phases);
            (sent.duplicates, sent.reordered) = (marks.duplicates, marks.reordered);
        }
        sent
    }
}

impl Provisional {
    /// The intervals that it would have been, had the wall clock been right: `anchor` is a reading
    /// of both clocks when it is. They are cut at the ends of UTC minutes, or at the multiples of
    /// `every` where that is shorter.
    #[must_use]
    pub fn label(&self, anchor: Now, every: Duration) -> Vec<Interval> {
        const PROBE: ProbeId = ProbeId(0);
        let at = |mono| anchor.at(mono);
        let mut ledger = Ledger::new([self.period], every, at(self.begun));
        let mut told = Vec::new();
        let mut due = self.first_due;
        for (send, sent) in (0..).zip(&self.sends) {
            let settled = Settled {
                probe: PROBE,
                send,
                outcome: sent.outcome,
                rtt_ns: sent.rtt_ns,
                stamp: sent.rtt_ns.map(|_| sent.stamp),
                reason: sent.reason.clone(),
                seq: None,
                ttl: None,
                bytes: None,
                from: None,
                phases: sent.phases.clone(),
            };
            let lag = Event::Lag { send: self.late, receive: None };
            for event in [Event::Due { probe: PROBE, send, at: due }, lag, Event::Settled(settled)]
            {
                ledger.apply(&event, &mut told);
            }
            (0..sent.duplicates)
                .for_each(|_| ledger.apply(&Event::Duplicate { probe: PROBE, send }, &mut told));
            (0..sent.reordered)
                .for_each(|_| ledger.apply(&Event::Reordered { probe: PROBE, send }, &mut told));
            told.clear();
            due = due + self.period;
        }
        ledger.close(at(self.ended));
        ledger.finished().into_iter().flatten().map(|closed| closed.interval).collect()
    }

    /// About how many bytes it takes at rest.
    #[must_use]
    pub fn weight(&self) -> u64 {
        24 + 6 * self.sends.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;
    use crate::measure::ledger::Closed;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// What a book says of these sends, one a second, that begins at `start`; with or without
    /// labels.
    fn book(start: Now, sends: &[Sent], held: bool) -> Vec<Closed> {
        let mut ledger = Ledger::new([SECOND], MINUTE, start);
        if held {
            ledger.hold();
        }
        let mut now = start;
        for (send, sent) in (0..).zip(sends) {
            let probe = ProbeId(0);
            let settled = Settled {
                probe,
                send,
                outcome: sent.outcome,
                rtt_ns: sent.rtt_ns,
                stamp: Some(sent.stamp),
                reason: sent.reason.clone(),
                seq: None,
                ttl: None,
                bytes: None,
                from: None,
                phases: sent.phases.clone(),
            };
            ledger.apply(&Event::Due { probe, send, at: now.mono + SECOND / 4 }, &mut Vec::new());
            ledger.apply(&Event::Settled(settled), &mut Vec::new());
            for _ in 0..sent.duplicates {
                ledger.apply(&Event::Duplicate { probe, send }, &mut Vec::new());
            }
            now = Now { wall: now.wall + SECOND, mono: now.mono + SECOND };
            ledger.advance(now);
        }
        ledger.close(now);
        ledger.finished().into_iter().flatten().collect()
    }

    fn sends() -> impl Strategy<Value = Vec<Sent>> {
        let one = ("[atlunx]", 1u64..3_000_000_000, any::<bool>(), 0u32..3).prop_map(
            |(letter, rtt, kernel, duplicates)| {
                let outcome = letter.chars().next().and_then(Outcome::from_letter).unwrap();
                let mut sent = Sent::new(outcome, outcome.has_rtt().then_some(rtt));
                if kernel && outcome.has_rtt() {
                    sent.stamp = Stamp::Kernel;
                }
                if !outcome.has_rtt() {
                    sent.reason = Some(Reason::new(outcome, "some-kind"));
                }
                if outcome == Outcome::Answered {
                    sent.phases = vec![(Phase::Connect, rtt / 2), (Phase::Body, rtt / 3)];
                    sent.duplicates = duplicates;
                }
                sent
            },
        );
        prop::collection::vec(one, 1..150)
    }

    proptest! {
        /// The wrong clock's minutes lie anywhere in the true ones; what was measured does not
        /// depend on where.
        #[test]
        fn what_is_labelled_later_is_what_a_right_clock_would_have_given(sends in sends(), wrong in 0i64..60_000, true_ms in 0i64..60_000) {
            let mono = Mono::from_nanos(77_000_000_000);
            let wrong = Now { wall: Wall::from_millis(wrong), mono };
            let right = Now { wall: Wall::from_millis(1_780_000_000_000 + true_ms), mono };
            let held = book(wrong, &sends, true);
            let labelled: Vec<Interval> =
                held.iter().flat_map(|closed| closed.unlabelled.as_ref().unwrap().label(right, MINUTE)).collect();
            let expected: Vec<Interval> = book(right, &sends, false).into_iter().map(|closed| closed.interval).collect();
            // Each lies within a minute, and one begins where another ends.
            for pair in labelled.windows(2) {
                prop_assert_eq!(pair[0].to(), pair[1].from);
            }
            for interval in &labelled {
                prop_assert!(
                    interval.from.floor(MINUTE) + MINUTE >= interval.to(), "{:?}", interval
                );
            }
            // Every send is due when it would have been, with the same end, and every figure but
            // those of neighbours adds up.
            let sends = |all: &[Interval]| all.iter().flat_map(|one| one.sends().collect::<Vec<_>>()).collect::<Vec<_>>();
            prop_assert_eq!(sends(&labelled), sends(&expected));
            let count = |all: &[Interval]| {
                let mut minutes: BTreeMap<Wall, (u64, u32, u32, BTreeMap<String, u32>)> = BTreeMap::new();
                for one in all {
                    let minute = minutes.entry(one.from.floor(MINUTE)).or_default();
                    minute.0 += one.rtt.as_ref().map_or(0, |rtt| rtt.sum_ns);
                    minute.1 += one.kernel_stamped;
                    minute.2 += one.duplicates;
                    one.reasons.iter().for_each(|(reason, count)| *minute.3.entry(reason.clone()).or_default() += count);
                }
                minutes
            };
            prop_assert_eq!(count(&labelled), count(&expected));
        }
    }
}
