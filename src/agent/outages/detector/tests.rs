use super::*;
use crate::base::decimal::Exact;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::reasons::Reasons;
use crate::sla::outage::Class;
use crate::sla::terms::{CarrierLoss as Loss, Definition, Late};
use proptest::prelude::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn rule() -> impl Strategy<Value = Rule> {
    let tenth = || Exact::ratio(3, 10).unwrap();
    let definition = prop_oneof![
        (1u32..5, 1u32..5).prop_map(|(misses, answers)| Definition::Misses { misses, answers }),
        (2u32..8).prop_map(move |secs| Definition::LossRatio {
            interval: SECOND * secs,
            threshold: tenth()
        }),
        (2u32..8, 1u32..4).prop_map(move |(secs, n)| Definition::Mef {
            dt: SECOND * secs,
            n,
            threshold: tenth()
        }),
        (2u32..8).prop_map(|secs| Definition::TotalLoss { interval: SECOND * secs }),
    ];
    (definition, any::<bool>(), any::<bool>()).prop_map(|(definition, late, carrier)| Rule {
        definition,
        late_is: if late { Late::Failed } else { Late::Good },
        carrier_loss_is: if carrier { Loss::Down } else { Loss::Unknown },
    })
}

proptest! {
    /// Whatever the definition: from the first failed send on, none forgotten and none of
    /// before it counted.
    #[test]
    fn an_outage_begins_with_the_reasons_of_its_own_sends(
        rule in rule(),
        sends in proptest::collection::vec((0..Outcome::ALL.len(), 0..3usize), 1..120),
    ) {
        let kinds = ["timeout", "status-503", "no-route"];
        let mut watcher = Watcher { place: 0, detector: Detector::new(&rule), failing: None };
        let mut all: Vec<(Wall, Option<Reason>)> = Vec::new();
        for ((outcome, kind), second) in sends.into_iter().zip(1_800_000_000..) {
            let (outcome, due) = (Outcome::ALL[outcome], Wall::from_secs(second));
            let reason = Reason::new(outcome, kinds[kind]);
            let seen = Seen {
                due,
                outcome,
                carrier: Carrier::Up,
                reason: (!outcome.has_rtt()).then_some(&reason),
            };
            let counted = seen.reason_by(&rule).cloned();
            all.push((due, counted.clone()));
            let edges = watcher.push(&seen, counted.as_ref(), SECOND);
            for edge in edges {
                let Edge::Down { from } = edge else { continue };
                let mut expected = Reasons::default();
                let since = all.iter().filter(|(due, _)| *due >= from);
                since
                    .filter_map(|(_, reason)| reason.as_ref())
                    .for_each(|reason| expected.add(reason));
                let known = watcher
                    .failing
                    .as_ref()
                    .map(|failing| failing.reasons.ranked())
                    .unwrap_or_default();
                prop_assert_eq!(known, expected.ranked());
            }
            if watcher.detector.state() == State::Up
                && matches!(rule.definition, Definition::Misses { .. })
                && rule.class(outcome, Carrier::Up) == Class::Good
            {
                prop_assert!(watcher.failing.is_none(), "a probe that is answered holds no memory");
            }
        }
    }
}
