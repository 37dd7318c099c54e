//! What was rolled up to hours and to days is judged as its minutes were.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::{Terms, availability};
use wanproof::agent::review::{self, Judged};
use wanproof::base::time::Wall;
use wanproof::measure::histogram::Histogram;
use wanproof::measure::interval::{Interval, Spread};
use wanproof::sla::contract;
use wanproof::sla::facts::Facts;
use wanproof::store::Store;
use wanproof::store::contracts::{ContractFile, FILE};
use wanproof::store::intervals::Series;
use wanproof::store::outages::Outage;

/// Two days by UTC; June begins in Kolkata at 18:30 of the first.
const BEGIN: &str = "2026-05-31T00:00:00Z";
const MINUTES: u64 = 2 * 1440;
/// The first minute of June, and those that the outage of 3 min 20 s touches.
const JUNE: u64 = 18 * 60 + 30;
const DOWN: std::ops::RangeInclusive<u64> = 1440 + 610..=1440 + 613;

/// A probe every ten seconds. What is not June's, what the outage touches and what lies outside of
/// service hours took longer than anything else, so that a figure that takes in any of it, or
/// leaves out more, shows it.
fn minute(number: u64) -> Interval {
    let begin: Wall = BEGIN.parse().expect("an instant");
    // Monday, 1 June, 08:00 to 18:00 in Kolkata.
    let in_hours = (1440 + 150..1440 + 750).contains(&number);
    let outcomes = match number {
        number if number == *DOWN.start() => "2a4l",
        number if number == *DOWN.end() => "4l2a",
        number if DOWN.contains(&number) => "6l",
        number if number % 97 == 0 => "3a1l2a",
        _ => "6a",
    };
    let base = match number {
        number if number < JUNE => 900_000,
        number if DOWN.contains(&number) => 700_000,
        _ if !in_hours => 40_000,
        _ => 20_000,
    };
    let (mut rtt, mut sum_ns) = (Histogram::new(), 0);
    let outcomes: wanproof::measure::outcome::Outcomes = outcomes.parse().expect("outcomes");
    for at in 0..outcomes.with_rtt() {
        let micros = base + number % 61 * 100 + at * 10;
        rtt.record_us(micros);
        sum_ns += micros * 1000;
    }
    let spread = rtt.pack().map(|histogram| Spread { histogram, sum_ns });
    Interval {
        from: begin + Duration::from_secs(60 * number),
        millis: 60_000,
        first_ms: 0,
        period_ms: 10_000,
        outcomes,
        reasons: BTreeMap::new(),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: spread.clone(),
        ipdv: spread,
        rfc3550_max_ns: Some(base * 10 + number % 61),
        phases: BTreeMap::new(),
    }
}

fn sampled(id: &str, metric: &str, unit: &str, measure: &str, aggregate: &str) -> String {
    format!(
        "[[objective]]\nid = \"{id}\"\nmetric = \"{metric}\"\nunit = \"{unit}\"\nop \
            = \"<=\"\ntarget = \"50\"\n[objective.measure]\n\
         probes = [\"p\"]\nlate_is = \"good\"\nmin_coverage \
            = \"0\"\n{measure}\n[objective.aggregate]\nperiod = \"month\"\n{aggregate}\n"
    )
}

#[test]
fn every_figure_of_a_month_is_the_same_from_minutes_from_hours_and_from_days() {
    const AVAILABLE: &str = "only_while_available = true";
    const HOURS: &str = "hours = { days = [\"Mon\"], from = \"08:00\", to = \"18:00\" }";
    let objectives = [
        availability("99.9", "", ""),
        sampled("mean", "rtt", "ms", &format!("statistic = \"mean\"\n{AVAILABLE}"), ""),
        sampled("highest", "rtt", "ms", &format!("statistic = \"max\"\n{AVAILABLE}"), HOURS),
        sampled("p95", "rtt", "ms", &format!("statistic = \"p95\"\n{AVAILABLE}"), HOURS),
        sampled("jitter", "jitter", "ms", &format!("statistic = \"rfc3550_max\"\n{AVAILABLE}"), ""),
        sampled("loss", "loss", "percent", AVAILABLE, HOURS),
        sampled("lost-in-all", "loss", "percent", "only_while_available = false", ""),
    ];
    let terms = Terms { timezone: "Asia/Kolkata", ..Terms::new("1000.00", objectives.concat()) };
    let text = terms.text();
    let other = text.replace("misses = 3", "misses = 1").replace("answers = 3", "answers = 1");
    let contract = contract::parse(&text, "t.toml").unwrap_or_else(|faults| panic!("{faults:#?}"));
    let directory = tempfile::tempdir().unwrap();
    let begin: Wall = BEGIN.parse().unwrap();
    let (store, _) = Store::open(directory.path(), begin).unwrap();
    let series = Series {
        probe: "p".to_owned(),
        service: Some("s".to_owned()),
        kind: "icmp".to_owned(),
        target: "192.0.2.1".to_owned(),
        address: None,
        period_ms: 10_000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    };
    let id = store.series(&series).unwrap();
    (0..MINUTES).for_each(|number| store.append(id, &minute(number)).unwrap());
    store
        .keep_contract(&ContractFile {
            id: "T".to_owned(),
            version: 1,
            sha256: "00".to_owned(),
            toml: text,
            source: FILE.to_owned(),
        })
        .unwrap();
    // As the agent saw it: from the first failure to the first answer.
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let outage = Outage {
        service: Some("s".to_owned()),
        probe: "p".to_owned(),
        definition: "T/1#avail".to_owned(),
        from: at(DOWN.start() * 60 + 20),
        to: None,
        side: "provider".to_owned(),
        evidence: serde_json::json!({}),
    };
    let outage = store.open_outage(&outage).unwrap();
    store.close_outage(outage, at(DOWN.end() * 60 + 40)).unwrap();

    let judged = Judged::alone(contract, vec!["s".to_owned()]);
    let facts = Facts { as_of: Some("2026-07-01T00:00:00Z".parse().unwrap()), ..Facts::default() };
    let figures = || -> Vec<String> {
        let reports =
            review::review_all(&store, &judged, "2026-06".parse().unwrap(), &facts).unwrap();
        let all = reports[0].objectives.iter();
        all.map(|each| {
            format!("{} {:?} {:?} {}", each.id, each.exact, each.downtime_s, each.coverage)
        })
        .collect()
    };
    let by_minutes = figures();
    assert!(by_minutes[0].contains("Some(\"200\")"), "{by_minutes:#?}");
    // Nothing of May, of the outage or of the night is in any of them.
    assert!(by_minutes[2].starts_with("highest Some(\"26.0"), "{by_minutes:#?}");
    // Hours that are merged beside their minutes say the same, and to a contract with another
    // definition too.
    let replayed = || -> Vec<String> {
        let other = contract::parse(&other, "t.toml").unwrap();
        let judged = Judged::alone(other, vec!["s".to_owned()]);
        let reports =
            review::review_all(&store, &judged, "2026-06".parse().unwrap(), &facts).unwrap();
        reports[0]
            .objectives
            .iter()
            .map(|each| format!("{} {:?} {:?}", each.id, each.exact, each.downtime_s))
            .collect()
    };
    let by_other = replayed();
    assert_ne!(
        by_other[1].split(' ').nth(1),
        by_minutes[1].split(' ').nth(1),
        "lone losses are outages by it"
    );
    let merged = || store.figures(&["p"].into(), begin, at(MINUTES * 60)).unwrap()["p"].len();
    assert_eq!(merged(), 2 * 1440);
    store.write_sheets(at(MINUTES * 60 + 7200), 100).unwrap();
    // The last hour may have something to come.
    assert_eq!(merged(), 47 + 60);
    assert_eq!((figures(), replayed()), (by_minutes.clone(), by_other));
    // One that is damaged is in the minutes still.
    let db = rusqlite::Connection::open(directory.path().join("agent.db")).unwrap();
    assert_eq!(db.execute("UPDATE figure SET body = x'0102'", []).unwrap(), 47);
    drop(db);
    assert_eq!((figures(), merged()), (by_minutes.clone(), 2 * 1440));
    let last = store.unsummarised().unwrap().pop().unwrap().0;
    store.set_summarised(last).unwrap();
    let never = Wall::from_nanos(i64::MAX);
    while store.roll_up_minutes(never).unwrap().is_some() {}
    assert_eq!(figures(), by_minutes);
    assert_eq!(
        merged(),
        store.intervals("p", begin, at(MINUTES * 60)).unwrap().len(),
        "each is there once"
    );
    let count = || store.intervals("p", begin, at(MINUTES * 60)).unwrap().len();
    // An hour more where June begins, two where service hours do, and the outage's minutes with
    // what lies around them.
    assert_eq!(count(), 48 + 1 + 2 * 2 + 5);
    while store.roll_up_hours(never).unwrap().is_some() {}
    assert_eq!(figures(), by_minutes);
    assert_eq!(count(), 2 + 1 + 2 * 2 + 5);
}
