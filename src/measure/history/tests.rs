use proptest::prelude::*;

use super::*;
use crate::measure::histogram::Histogram;

const BEGIN: Wall = Wall::from_secs(1_780_012_800);

fn at(minutes: u64) -> Wall {
    BEGIN + Duration::from_secs(60 * minutes)
}

/// An interval that may be longer than a minute.
struct One {
    from: Wall,
    minutes: u32,
    outcomes: Outcomes,
    rtt: Packed,
}

fn one(from: Wall, minutes: u32, rtt_us: u64) -> One {
    let mut rtt = Histogram::new();
    rtt.record_us(rtt_us);
    One { from, minutes, outcomes: "1a1l".parse().unwrap(), rtt: rtt.pack().unwrap() }
}

fn history(step: Step, to: Wall, all: &[One]) -> Vec<Bucket> {
    let mut history = History::new(BEGIN, to, step);
    for each in all {
        let part = Part {
            from: each.from,
            millis: each.minutes * 60_000,
            outcomes: &each.outcomes,
            rtt: Some((&each.rtt, 1_000_000)),
            ipdv: None,
        };
        history.add(part).unwrap();
    }
    history.buckets()
}

/// Where each begins, in minutes, how long it is, in minutes, and how many sends it has.
fn shape(buckets: &[Bucket]) -> Vec<(i64, u64, u64)> {
    let minutes = |from: Wall| from.nanos_since(BEGIN) / 60_000_000_000;
    buckets
        .iter()
        .map(|bucket| (minutes(bucket.from), bucket.length.as_secs() / 60, bucket.due()))
        .collect()
}

#[test]
fn buckets_are_cut_at_multiples_of_the_step_and_what_nobody_saw_is_an_empty_one() {
    let all = history(
        Step::FiveMinutes,
        at(17),
        &[one(at(1), 1, 10), one(at(4), 1, 20), one(at(12), 1, 30)],
    );
    assert_eq!(shape(&all), [(0, 5, 4), (5, 5, 0), (10, 5, 2), (15, 5, 0)]);
    assert_eq!(all.iter().map(Bucket::is_hole).collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(all[0].rtt.recorded().collect::<Vec<_>>(), [(10, 1), (20, 1)]);
    assert_eq!((all[0].mean_us(), all[1].mean_us()), (Some(1000.0), None));
    assert_eq!((all[0].sent(), all[0].failed()), (4, 2));
}

#[test]
fn where_only_hours_are_kept_the_bucket_is_an_hour_whatever_came_first() {
    let hour = || one(at(60), 60, 10);
    let expected = [(0, 1, 0); 0].into_iter().chain([
        (0, 15, 2),
        (15, 15, 0),
        (30, 15, 0),
        (45, 15, 0),
        (60, 60, 4),
    ]);
    let expected: Vec<_> = expected.collect();
    for all in [
        [one(at(3), 1, 5), hour(), one(at(70), 1, 20)],
        [one(at(3), 1, 5), one(at(70), 1, 20), hour()],
        [one(at(70), 1, 20), hour(), one(at(3), 1, 5)],
    ] {
        assert_eq!(shape(&history(Step::Quarter, at(120), &all)), expected);
    }
}

#[test]
fn an_hour_that_reaches_into_the_time_asked_for_is_shown_whole() {
    let mut history = History::new(at(30), at(61), Step::Minute);
    let whole = one(at(0), 60, 10);
    let part = Part {
        from: whole.from,
        millis: 3_600_000,
        outcomes: &whole.outcomes,
        rtt: None,
        ipdv: None,
    };
    history.add(part).unwrap();
    assert_eq!(shape(&history.buckets()), [(0, 60, 2), (60, 1, 0)]);
}

#[test]
fn a_label_that_a_slewed_clock_moved_stays_in_its_bucket() {
    let early = BEGIN - Duration::from_millis(4);
    let all = history(
        Step::Minute,
        at(2),
        &[one(early, 1, 10), one(at(1) + Duration::from_millis(7), 1, 10)],
    );
    assert_eq!(shape(&all), [(0, 1, 2), (1, 1, 2)]);
}

#[test]
fn the_step_is_the_finest_that_gives_at_most_200_buckets() {
    let of = |minutes| Step::auto(BEGIN, at(minutes)).word();
    let day = 1440;
    assert_eq!(
        [of(30), of(200), of(201), of(day), of(2 * day), of(8 * day), of(31 * day), of(400 * day)],
        ["1m", "1m", "5m", "15m", "15m", "1h", "6h", "1d"]
    );
    // A span that does not begin at a multiple touches one bucket more.
    assert_eq!(Step::Minute.buckets(at(0) + Duration::from_secs(30), at(200)), 200);
    assert_eq!(
        Step::auto(at(0) + Duration::from_secs(30), at(200) + Duration::from_secs(1)).word(),
        "5m"
    );
    assert_eq!("15m".parse(), Ok(Step::Quarter));
    assert_eq!("2m".parse::<Step>(), Err(NotAStep));
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_counted_twice_in_any_order(
        all in prop::collection::vec((0u64..3000, 0usize..3, 1u64..100_000), 1..30),
        step in 0usize..6,
    ) {
        let all: Vec<One> = all
            .into_iter()
            .map(|(minute, length, rtt)| {
                let length = [1u32, 60, 1440][length];
                one(at(minute / u64::from(length) * u64::from(length)), length, rtt)
            })
            .collect();
        let buckets = history(Step::ALL[step], at(3000), &all);
        prop_assert!(buckets.windows(2).all(|two| two[0].to() == two[1].from));
        let whole = merged(&buckets).unwrap();
        prop_assert_eq!(whole.due(), 2 * all.len() as u64);
        prop_assert_eq!(whole.rtt.count(), all.len() as u64);
        prop_assert_eq!(whole.rtt_sum_ns, 1_000_000 * all.len() as u128);
    }
}
