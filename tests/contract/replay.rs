//! `wanproof contract replay`: stored history, judged by whichever contract is asked.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::support::{Terms, availability, remedy};
use wanproof::base::time::Wall;
use wanproof::measure::interval::Interval;
use wanproof::store::Store;
use wanproof::store::intervals::Series;

fn replay(directory: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_wanproof");
    let mut command = Command::new(program);
    command.args(["contract", "replay"]).args(arguments).args(["--data", "data"]).current_dir(directory);
    let output = command.output().expect("wanproof runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Ten minutes of 10 June 2026, of which the fourth is down for 30 s and the eighth for 5 s.
fn history(directory: &std::path::Path) {
    let begin: Wall = "2026-06-10T10:00:00Z".parse().expect("an instant");
    let (store, _) = Store::open(&directory.join("data"), begin).expect("a database");
    store.set_site("leeds-01").expect("a site");
    let series = Series {
        probe: "p".to_owned(),
        service: None,
        kind: "icmp".to_owned(),
        target: "10.99.1.1".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    };
    let id = store.series(&series).expect("a series");
    for minute in 0..10u64 {
        let outcomes = match minute {
            3 => "10a30l20a",
            7 => "20a5l35a",
            _ => "60a",
        };
        let interval = Interval {
            from: begin + Duration::from_secs(minute * 60),
            millis: 60_000,
            first_ms: 0,
            period_ms: 1000,
            outcomes: outcomes.parse().expect("outcomes"),
            reasons: BTreeMap::new(),
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt: None,
            ipdv: None,
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        };
        store.append(id, &interval).expect("stored");
    }
}

#[test]
fn stored_history_is_judged_by_whichever_contract_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    history(directory.path());
    let form = remedy("event", r#"per_unit = { unit = "1", rounding = "exact", credit = "1.00" }"#);
    // Nearly nothing is covered of the month, so only a certain breach earns anything.
    let strict = Terms::new("1000.00", availability("99.9999", "", &form)).text();
    let lenient = strict.replace("misses = 3", "misses = 10");
    for (name, text) in [("strict.toml", &strict), ("lenient.toml", &lenient)] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let judged = |file: &str| {
        let (code, out, err) = replay(directory.path(), &[file, "--period", "2026-06", "--json"]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let avail = &json["reports"][0]["objectives"][0];
        (avail["downtime_s"].as_str().unwrap().to_owned(), json["reports"][0]["credit"].as_str().unwrap().to_owned())
    };
    assert_eq!(judged("strict.toml"), ("35".to_owned(), "35.00".to_owned()));
    assert_eq!(judged("lenient.toml"), ("30".to_owned(), "30.00".to_owned()));
    // The text names the minutes.
    let (_, out, _) = replay(directory.path(), &["strict.toml", "--period", "2026-06"]);
    assert!(out.contains("down from 2026-06-10T10:03:10Z to 2026-06-10T10:03:40Z: 30 s"), "{out}");
    let (code, _, _) = replay(directory.path(), &["strict.toml", "--period", "2026-06", "--exit-code"]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_contract_of_which_nothing_was_measured_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    history(directory.path());
    let elsewhere = Terms::new("1000.00", availability("99.9", "", "")).text().replace("leeds-01", "york-01");
    std::fs::write(directory.path().join("c.toml"), elsewhere).unwrap();
    let (code, _, err) = replay(directory.path(), &["c.toml"]);
    assert_eq!(code, Some(2));
    assert!(err.starts_with("nothing stored here measures a service of contract \"T\" (s)"), "{err}");
}
