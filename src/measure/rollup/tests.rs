use super::*;
use crate::base::time::Wall;
use proptest::prelude::*;

fn all_of(all: impl IntoIterator<Item = Interval>) -> Result<Vec<Interval>, NotAHistogram> {
    join(all, |_, _| true)
}

const START: i64 = 1_700_000_040_000;

fn minute(number: i64, letters: &str) -> Interval {
    let outcomes: Outcomes = letters.chars().filter_map(Outcome::from_letter).collect();
    let mut rtt = Histogram::new();
    (0..outcomes.with_rtt()).for_each(|at| {
        rtt.record_us(20_000 + at * 7);
    });
    let sum_ns = 20_000_000 * outcomes.with_rtt();
    Interval {
        from: Wall::from_millis(START + number * 60_000),
        millis: 60_000,
        first_ms: 412,
        period_ms: 60_000 / u32::try_from(letters.len().max(1)).unwrap(),
        reasons: [("lost/timeout".to_owned(), 1)].into(),
        duplicates: 1,
        reordered: 2,
        kernel_stamped: 3,
        rtt: rtt.pack().map(|histogram| Spread { histogram, sum_ns }),
        ipdv: None,
        rfc3550_max_ns: Some(u64::try_from(number).unwrap()),
        phases: rtt.pack().map(|packed| (Phase::Body, packed)).into_iter().collect(),
        outcomes,
    }
}

#[test]
fn minutes_that_go_on_are_one_with_every_outcome_and_every_value() {
    let joined = all_of((0..60).map(|number| minute(number, "aaalatuaaa"))).unwrap();
    let [hour] = joined.as_slice() else { panic!("{joined:?}") };
    assert_eq!((hour.from, hour.millis, hour.first_ms), (Wall::from_millis(START), 3_600_000, 412));
    assert_eq!(hour.outcomes.to_string(), format!("3a1l1a1t1u{}3a", "6a1l1a1t1u".repeat(59)));
    let rtt = hour.rtt.as_ref().unwrap();
    assert_eq!((rtt.histogram.unpack().unwrap().count(), rtt.sum_ns), (480, 480 * 20_000_000));
    assert_eq!(hour.phases[&Phase::Body].unpack().unwrap().count(), 480);
    assert_eq!((hour.reasons["lost/timeout"], hour.duplicates, hour.reordered), (60, 60, 120));
    assert_eq!((hour.kernel_stamped, hour.rfc3550_max_ns), (180, Some(59)));
}

#[test]
fn what_nobody_observed_what_is_out_of_step_and_another_period_stay_apart() {
    let missing = all_of([minute(0, "aaaa"), minute(2, "aaaa")]).unwrap();
    assert_eq!(missing.len(), 2);
    let mut late = minute(1, "aaaa");
    late.first_ms += 11;
    assert_eq!(all_of([minute(0, "aaaa"), late.clone()]).unwrap().len(), 2);
    late.first_ms -= 1;
    assert_eq!(all_of([minute(0, "aaaa"), late]).unwrap().len(), 1);
    assert_eq!(all_of([minute(0, "aaaa"), minute(1, "aaa")]).unwrap().len(), 2);
}

#[test]
fn carriers_that_are_counted_are_not_mixed() {
    let with = |number, lost| {
        let mut one = minute(number, "nnaa");
        one.reasons =
            if lost == 0 { BTreeMap::new() } else { [(Reason::CARRIER.to_string(), lost)].into() };
        one
    };
    assert_eq!(all_of([with(0, 2), with(1, 2)]).unwrap().len(), 1);
    assert_eq!(all_of([with(0, 0), with(1, 0)]).unwrap().len(), 1);
    assert_eq!(all_of([with(0, 2), with(1, 0)]).unwrap().len(), 2);
    assert_eq!(all_of([with(0, 1), with(1, 1)]).unwrap().len(), 2);
    assert_eq!(all_of([with(0, 1), minute(1, "aaaa")]).unwrap().len(), 1);
}

#[test]
fn sends_that_are_rarer_than_minutes_keep_their_times() {
    let rare = |number, letters: &str, first_ms| {
        let mut one = minute(number, "a");
        one.outcomes = letters.chars().filter_map(Outcome::from_letter).collect();
        (one.period_ms, one.first_ms) = (120_000, first_ms);
        one
    };
    let joined =
        all_of([rare(0, "", 0), rare(1, "a", 5_000), rare(2, "", 0), rare(3, "l", 5_000)]).unwrap();
    let [all] = joined.as_slice() else { panic!("{joined:?}") };
    let due: Vec<_> = all.sends().map(|(due, outcome)| (due.millis() - START, outcome)).collect();
    assert_eq!(due, [(65_000, Outcome::Answered), (185_000, Outcome::Lost)]);
}

#[test]
fn an_hour_that_is_cut_has_every_send_in_its_part() {
    let tenth = |number: i64| if number % 7 == 0 { "nnaalaaaan" } else { "aaaalaaaat" };
    let hours = all_of((0..150).map(|number| {
        let mut one = minute(number, tenth(number));
        one.reasons = if number % 7 == 0 {
            [(Reason::CARRIER.to_string(), 3)].into()
        } else {
            BTreeMap::new()
        };
        one
    }))
    .unwrap();
    let [whole] = hours.as_slice() else { panic!("{hours:?}") };
    let hour = Duration::from_secs(3600);
    let parts = cut(whole.clone(), hour);
    assert!(
        parts.len() > 2 && parts.iter().all(|part| part.from.floor(hour) + hour >= part.to()),
        "{parts:?}"
    );
    let sends: Vec<_> = parts.iter().flat_map(|part| part.sends().collect::<Vec<_>>()).collect();
    assert_eq!(sends, whole.sends().collect::<Vec<_>>());
    assert!(
        parts.iter().all(|part| part.sends().all(|(due, _)| due >= part.from && due < part.to()))
    );
    for part in &parts {
        let lost = part.reasons.get(&Reason::CARRIER.to_string()).copied().map_or(0, u64::from);
        assert_eq!(lost, part.outcomes.count(Outcome::NotSent));
    }
    let alone = minute(3, "aaaa");
    assert_eq!(cut(alone.clone(), hour), [alone]);
}

proptest! {
    #[test]
    fn every_send_keeps_its_outcome_and_its_time(
        minutes in prop::collection::vec((0i64..3, "[atlunx]{4}", 0u32..2), 1..30),
    ) {
        let (mut at, mut all) = (0, Vec::new());
        for (gap, letters, amiss) in minutes {
            at += 1 + i64::from(gap == 2);
            let mut one = minute(at, &letters);
            one.first_ms += amiss * 5;
            all.push(one);
        }
        let sends = |all: &[Interval]| {
            all.iter().flat_map(|one| one.sends().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let joined = all_of(all.clone()).unwrap();
        let (before, after) = (sends(&all), sends(&joined));
        prop_assert_eq!(before.len(), after.len());
        for ((due, outcome), (joined_due, joined_outcome)) in before.iter().zip(&after) {
            prop_assert_eq!(outcome, joined_outcome);
            prop_assert!(due.nanos_since(*joined_due).unsigned_abs() <= 10_000_000);
        }
        let values = |all: &[Interval]| -> u64 {
            all.iter()
                .filter_map(|one| one.rtt.as_ref())
                .map(|rtt| rtt.histogram.unpack().unwrap().count())
                .sum()
        };
        prop_assert_eq!(values(&all), values(&joined));
    }
}
