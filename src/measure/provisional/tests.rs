use super::*;
use crate::base::time::Now;
use crate::base::time::Wall;
use crate::measure::event::{Event, ProbeId};
use crate::measure::interval::Interval;
use crate::measure::ledger::FinishedInterval;
use crate::measure::ledger::Ledger;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What a book says of these sends, one a second, that begins at `start`; with or without
/// labels.
fn book(start: Now, sends: &[Sent], held: bool) -> Vec<FinishedInterval> {
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
    fn what_is_labelled_later_is_what_a_right_clock_would_have_given(
        sends in sends(),
        wrong in 0i64..60_000,
        true_ms in 0i64..60_000,
    ) {
        let mono = Mono::from_nanos(77_000_000_000);
        let wrong = Now { wall: Wall::from_millis(wrong), mono };
        let right = Now { wall: Wall::from_millis(1_780_000_000_000 + true_ms), mono };
        let held = book(wrong, &sends, true);
        let labelled: Vec<Interval> = held
            .iter()
            .flat_map(|closed| closed.provisional.as_ref().unwrap().label(right, MINUTE))
            .collect();
        let expected: Vec<Interval> =
            book(right, &sends, false).into_iter().map(|closed| closed.interval).collect();
        // Each lies within a minute, and one begins where another ends.
        for pair in labelled.windows(2) {
            prop_assert_eq!(pair[0].to(), pair[1].from);
        }
        for interval in &labelled {
            prop_assert!(interval.from.floor(MINUTE) + MINUTE >= interval.to(), "{:?}", interval);
        }
        // Every send is due when it would have been, with the same end, and every figure but
        // those of neighbours adds up.
        let sends = |all: &[Interval]| {
            all.iter().flat_map(|one| one.sends().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        prop_assert_eq!(sends(&labelled), sends(&expected));
        let count = |all: &[Interval]| {
            let mut minutes: BTreeMap<Wall, (u64, u32, u32, BTreeMap<String, u32>)> =
                BTreeMap::new();
            for one in all {
                let minute = minutes.entry(one.from.floor(MINUTE)).or_default();
                minute.0 += one.rtt.as_ref().map_or(0, |rtt| rtt.sum_ns);
                minute.1 += one.kernel_stamped;
                minute.2 += one.duplicates;
                one.reasons.iter().for_each(|(reason, count)| {
                    *minute.3.entry(reason.clone()).or_default() += count
                });
            }
            minutes
        };
        prop_assert_eq!(count(&labelled), count(&expected));
    }
}
