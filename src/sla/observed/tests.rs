use super::*;
use crate::base::effort::Spent;

/// A probe whose sends are lost and not observed in turn.
fn alternating(sends: usize) -> Seen {
    let interval = Interval {
        from: Wall::default(),
        millis: 60_000,
        first_ms: 0,
        period_ms: 10,
        outcomes: "1l1x".repeat(sends / 2).parse().unwrap(),
        reasons: BTreeMap::new(),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: None,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    };
    Seen { intervals: vec![Arc::new(interval)], ..Seen::default() }
}

#[test]
fn what_is_known_in_more_stretches_than_a_judge_may_hold_is_given_up() {
    let (seen, rule) = (alternating(100), knowing());
    let enough = Effort::unlimited().with_lists_of(50);
    let timeline = one_probe(&seen, &rule, (&enough, 0));
    assert_eq!((timeline.known().len(), enough.spent()), (50, None));
    for (longest, others) in [(49, 0), (50, 1)] {
        let effort = Effort::unlimited().with_lists_of(longest);
        let timeline = one_probe(&seen, &rule, (&effort, others));
        assert_eq!(effort.spent(), Some(Spent::TooLong));
        assert!(timeline.known().len() <= longest + 1, "no more is gathered than may be");
    }
}
