use super::*;
use crate::store::intervals::{RowId, Series};

/// The begin of an hour.
const BEGIN: Wall = Wall::from_secs(1_780_002_000);

fn series(probe: &str) -> Series {
    Series {
        probe: probe.to_owned(),
        service: None,
        kind: "icmp".to_owned(),
        target: "192.0.2.1".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    }
}

fn minute(number: u64, first_ms: u32, outcomes: &str, carrier: u32) -> Interval {
    let reasons = if carrier > 0 {
        BTreeMap::from([(Reason::CARRIER.to_string(), carrier)])
    } else {
        BTreeMap::new()
    };
    bare(Interval {
        from: BEGIN + Duration::from_secs(number * 60),
        millis: 60_000,
        first_ms,
        period_ms: 1000,
        outcomes: outcomes.parse().unwrap(),
        reasons,
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: None,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    })
}

/// Each send with the instant at which it was due.
fn sends(all: &[Interval]) -> Vec<(Wall, Outcome)> {
    all.iter().flat_map(Interval::sends).collect()
}

fn two_hours(store: &Store) {
    for probe in ["p", "q"] {
        let id = store.series(&series(probe)).unwrap();
        for number in (0..130).filter(|number| *number != 70) {
            let (first, outcomes, carrier) = match number {
                20 => (400, "10a5l45a", 0),
                21.. if number < 40 => (401, "60a", 0),
                50 => (400, "30n30a", 30),
                51 => (400, "30n30a", 10),
                _ => (400, "60a", 0),
            };
            store.append(id, &minute(number, first, outcomes, carrier)).unwrap();
        }
    }
}

#[test]
fn sheets_hold_every_send_of_their_hours_and_the_rest_is_read_from_the_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
    two_hours(&store);
    let (from, to) = (BEGIN - HOUR, BEGIN + 4 * HOUR);
    let wanted = BTreeSet::from(["p"]);
    let plain = store.intervals("p", from, to).unwrap();
    let before = store.outcomes(&wanted, from, to).unwrap().remove("p").unwrap();
    assert_eq!(store.write_sheets(BEGIN + 4 * HOUR, 100).unwrap(), 2);
    let after = store.outcomes(&wanted, from, to).unwrap().remove("p").unwrap();
    assert_eq!(sends(&after), sends(&plain));
    assert_eq!(sends(&before), sends(&plain));
    // A boundary where the sends fell out of step, where the carrier was missing in part, and
    // where a minute is missing.
    let begins: Vec<i64> =
        after.iter().map(|each| each.from.nanos_since(BEGIN) / 60_000_000_000).collect();
    assert_eq!(begins, [0, 21, 40, 51, 60, 71, 120]);
    assert_eq!(after[2].reasons.values().sum::<u32>(), 30);
    assert_eq!(after[3].reasons.values().sum::<u32>(), 10);
    // Once the minutes are gone, the sheets are still there.
    store.db.execute("DELETE FROM block", []).unwrap();
    let alone = store.outcomes(&wanted, from, to).unwrap().remove("p").unwrap();
    assert_eq!(
        sends(&alone),
        sends(&plain).into_iter().filter(|(at, _)| *at < BEGIN + 2 * HOUR).collect::<Vec<_>>()
    );
    assert_eq!(store.forget_sheets(BEGIN + HOUR).unwrap(), 1);
}

#[test]
fn sheets_are_the_same_from_minutes_from_hours_and_from_days() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
    two_hours(&store);
    let id = store.series(&series("p")).unwrap();
    (130..60 * 30).for_each(|number| store.append(id, &minute(number, 400, "60a", 0)).unwrap());
    store.set_summarised(RowId(i64::MAX - 1)).unwrap();
    let (from, to, now) = (BEGIN - HOUR, BEGIN + 29 * HOUR, BEGIN + 40 * HOUR);
    let wanted = BTreeSet::from(["p", "q"]);
    let known = |store: &Store| {
        let all = store.outcomes(&wanted, from, to).unwrap();
        all.into_iter().map(|(probe, all)| (probe, sends(&all))).collect::<BTreeMap<_, _>>()
    };
    let plain = known(&store);
    // What is rolled up may be told some milliseconds beside where it was.
    let is_plain = |from: &str| {
        for (probe, sends) in known(&store) {
            assert_eq!(sends.len(), plain[&probe].len(), "{probe} {from}");
            for ((due, outcome), (at, of)) in sends.iter().zip(&plain[&probe]) {
                assert!(
                    outcome == of && due.nanos_since(*at).abs() <= 10_000_000,
                    "{probe} {from}: {due}, {at}"
                );
            }
        }
    };
    assert_eq!(plain["p"].len(), 129 * 60 + (29 * 60 - 130) * 60);
    let never = Wall::from_nanos(i64::MAX);
    while store.roll_up_minutes(never).unwrap().is_some() {}
    is_plain("from hours");
    assert!(store.roll_up_hours(never).unwrap().is_some());
    is_plain("from a day and hours");
    while store.write_sheets(now, 3).unwrap() > 0 {
        is_plain("from some sheets");
    }
    store.sheet_grows_stale(BEGIN + 2 * HOUR).unwrap();
    store.sheet_grows_stale(BEGIN + 3 * HOUR).unwrap();
    is_plain("with sheets that grew stale");
}

#[test]
fn a_sheet_to_whose_hour_something_is_added_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
    two_hours(&store);
    let now = BEGIN + 4 * HOUR;
    store.write_sheets(now, 100).unwrap();
    let id = store.series(&series("p")).unwrap();
    store.append(id, &minute(70, 400, "60l", 0)).unwrap();
    let wanted = BTreeSet::from(["p"]);
    let plain = sends(&store.intervals("p", BEGIN, now).unwrap());
    assert_eq!(sends(&store.outcomes(&wanted, BEGIN, now).unwrap()["p"]), plain);
    store.write_sheets(now, 100).unwrap();
    let stale: i64 = store
        .db
        .query_row("SELECT count(*) FROM sheet WHERE body IS NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!((stale, sends(&store.outcomes(&wanted, BEGIN, now).unwrap()["p"])), (0, plain));
}
