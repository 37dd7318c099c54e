//! One month, judged from the agent's database, from the collector's and from the bundle: the same
//! report, byte by byte.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use wanproof::agent::review;
use wanproof::base::time::Wall;
use wanproof::collector::operations::facts::{self, Source};
use wanproof::evidence::digest::Digest;
use wanproof::measure::interval::Interval;
use wanproof::sla::Report;
use wanproof::sla::calendar::Period;
use wanproof::store::Store;
use wanproof::store::contracts::{ContractFile, FILE};
use wanproof::store::intervals::Series;
use wanproof::store::outages::Outage;

use super::bundles::{bundled, checked, member_text, present};
use super::{CONTRACT, Desk, Place, line, minute, november, start, supersede};

/// When the second version takes effect: within a minute, within an hour.
const CHANGES: &str = "2026-12-15T06:07:30Z";

/// November's last day as ever, then hours of three days of December: its first, the one on which
/// the version changes, and its last. There are outages on each, the second across the change.
fn months() -> Vec<Interval> {
    let begin =
        |at: &str| at.parse::<Wall>().unwrap().nanos_since(start()).unsigned_abs() / 60_000_000_000;
    let mut all: Vec<Interval> = line();
    for (day, seen, down) in [
        ("2026-12-01T00:00:00Z", 0..480, 200..=215),
        ("2026-12-15T00:00:00Z", 290..700, 360..=380),
        ("2026-12-31T00:00:00Z", 1_000..1_440, 1_100..=1_130),
    ] {
        for number in seen {
            let outcomes = match number {
                number if down.contains(&number) => "60l",
                number if number % 11 == 0 => "20a1l39a",
                600 => "10a5n45a",
                _ => "60a",
            };
            all.push(minute(i64::try_from(begin(day) + number).unwrap(), outcomes));
        }
    }
    all
}

/// What the agent saw of the outages, and whose side it says that they lie on.
fn outages() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("2026-11-29T23:40:00.412Z", "2026-11-29T23:45:00.412Z", "provider"),
        ("2026-12-01T03:20:00.412Z", "2026-12-01T03:36:00.412Z", "provider"),
        ("2026-12-15T06:00:00.412Z", "2026-12-15T06:21:00.412Z", "unknown"),
        ("2026-12-31T18:20:00.412Z", "2026-12-31T18:51:00.412Z", "customer"),
    ]
}

/// The versions: a year's cap counts what earlier months were paid.
fn versions() -> [String; 2] {
    let capped = CONTRACT
        .replace("[claim]", "[[cap]]\nper = \"year\"\nlimit = \"500.00\"\n\n[claim]")
        .replace("99.99", "99.999");
    let second = capped
        .replace("version = 1", "version = 2\nsupersedes = 1")
        .replace("99.999", "99.9")
        .replace("2026-02-01T00:00:00Z", CHANGES);
    [capped, second]
}

/// The same at the site, in the agent's own database.
fn edge(at: &std::path::Path, months: &[Interval]) -> Store {
    let (store, _) = Store::open(at, start()).unwrap();
    let series = Series {
        probe: "hq".to_owned(),
        service: Some("ckt-1".to_owned()),
        kind: "icmp".to_owned(),
        target: "t".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 2000,
        cutoff_ms: 1000,
        settings: "s".to_owned(),
    };
    let id = store.series(&series).unwrap();
    months.iter().for_each(|interval| store.append(id, interval).unwrap());
    for (from, to, side) in outages() {
        let outage = Outage {
            service: Some("ckt-1".to_owned()),
            probe: "hq".to_owned(),
            definition: "FLEET/1#avail".to_owned(),
            from: from.parse().unwrap(),
            to: None,
            side: side.to_owned(),
            evidence: json!({}),
        };
        let id = store.open_outage(&outage).unwrap();
        store.close_outage(id, to.parse().unwrap()).unwrap();
    }
    for (version, toml) in (1..).zip(versions()) {
        let sha256 = Digest::of(toml.as_bytes()).hex();
        let (id, source) = ("FLEET".to_owned(), FILE.to_owned());
        store.keep_contract(&ContractFile { id, version, sha256, toml, source }).unwrap();
    }
    store
}

fn written(report: &impl Serialize) -> String {
    serde_json::to_string_pretty(report).unwrap() + "\n"
}

pub fn one_month_is_judged_to_the_same_bytes_at_the_edge_in_the_archive_and_from_the_bundle(
    place: &Place,
) {
    let (months, december): (Vec<Interval>, Period) = (months(), "2026-12".parse().unwrap());
    let [first, second] = versions();
    let mut desk = Desk::open_with(place, &first);
    let sha256 = Digest::of(first.as_bytes()).hex();
    desk.agent.contracts = json!([{"id": "FLEET", "version": 1, "sha256": sha256}]);
    desk.now = "2027-01-02T09:00:00Z".parse().unwrap();
    supersede(&mut desk, &second, CHANGES);
    let given = json!({
        "events": [{"from": "2026-12-01T03:20:00Z", "to": "2026-12-01T03:30:00Z",
            "ticket": {"id": "T-1", "opened": "2026-12-01T03:25:00Z", "closed": "2026-12-01T04:00:00Z"}}],
        "excluded": [{"exclusion": "maint", "from": "2026-12-31T17:17:30Z", "to": "2026-12-31T18:03:00Z"}],
    });
    let (book, facts) = (desk.book(), given.as_object().unwrap().clone());
    desk.desk(|archive, actor| {
        facts::import(archive, &book, ("FLEET", "ckt-1", Source::Customer), facts, actor)
    })
    .unwrap();
    let told = outages().into_iter().map(|(from, to, side)| {
        json!({"service": "ckt-1", "probe": "hq", "from": from, "to": to, "side": side,
            "definition": "FLEET/1#avail", "evidence": {}})
    });
    let summaries = desk.agent.summaries(&months, &told.collect(), &json!([]));
    desk.store(&summaries);
    desk.fold();
    let paid = desk.judge(november()).report.unwrap().credit;
    let judged = desk.judge(december);
    assert_eq!(judged.faults, Vec::<String>::new());
    let archived = judged.report.as_ref().unwrap();

    // It is the month that it is meant to be.
    assert_eq!((paid.as_str(), archived.credit.as_str()), ("400.00", "100.00"));
    let text = written(archived);
    for part in [
        "less 400.00 INR paid before",
        "version 1 is in force in a part of the period",
        "version 2 is in force in a part of the period",
        "\"id\": \"delay-p99\"",
        "\"excluded_s\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(judged.outages.len(), 5, "{:?}", judged.outages);

    let bytes = bundled(&desk, &present(&desk, "2026-12")).unwrap();
    assert_eq!(member_text(&bytes, "verdict.json"), text, "from the bundle");
    let verdict = checked(&desk, &bytes);
    assert!(verdict.ok, "{:#?}", verdict.findings);

    let directory = tempfile::tempdir().unwrap();
    let store = edge(directory.path(), &months);
    let facts: Value = serde_json::from_str(&judged.grounds.facts).unwrap();
    let mut alone = facts.as_object().unwrap().clone();
    assert!(alone.remove("previous").is_some(), "the collector knew November");
    let case = facts::case(&Value::Object(alone).to_string()).unwrap();
    let by_edge = || -> Report {
        let contracts = review::stored(&store, desk.now, &mut Vec::new()).unwrap();
        review::review(&store, &contracts[0], "ckt-1", december, &case.facts).unwrap()
    };
    assert_eq!(written(&by_edge()), text, "at the edge, by minutes");
    store.write_sheets(desk.now, 10_000).unwrap();
    assert_eq!(written(&by_edge()), text, "at the edge, by hours where they will do");
    let merged = store.figures(&["hq"].into(), start(), start() + Duration::from_secs(86_400));
    assert!(merged.unwrap()["hq"].iter().any(|each| each.millis > 60_000), "some are hours");
}
