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
    command
        .args(["contract", "replay"])
        .args(arguments)
        .args(["--data", "data"])
        .current_dir(directory);
    let output = command.output().expect("wanproof runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Ten minutes of 10 June 2026, of which the fourth is down for 30 s and the eighth for 5 s.
fn history(directory: &std::path::Path) {
    stretch(directory, "2026-06-10T10:00:00Z", |minute| match minute {
        3 => "10a30l20a",
        7 => "20a5l35a",
        _ => "60a",
    });
}

/// Ten minutes with these outcomes each.
fn stretch(directory: &std::path::Path, from: &str, outcomes: impl Fn(u64) -> &'static str) {
    let begin: Wall = from.parse().expect("an instant");
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
        let interval = Interval {
            from: begin + Duration::from_secs(minute * 60),
            millis: 60_000,
            first_ms: 0,
            period_ms: 1000,
            outcomes: outcomes(minute).parse().expect("outcomes"),
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
        (
            avail["downtime_s"].as_str().unwrap().to_owned(),
            json["reports"][0]["credit"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(judged("strict.toml"), ("35".to_owned(), "35.00".to_owned()));
    assert_eq!(judged("lenient.toml"), ("30".to_owned(), "30.00".to_owned()));
    // The text names the minutes.
    let (_, out, _) = replay(directory.path(), &["strict.toml", "--period", "2026-06"]);
    assert!(out.contains("down from 2026-06-10T10:03:10Z to 2026-06-10T10:03:40Z: 30 s"), "{out}");
    let (code, _, _) =
        replay(directory.path(), &["strict.toml", "--period", "2026-06", "--exit-code"]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_contract_of_which_nothing_was_measured_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    history(directory.path());
    let elsewhere =
        Terms::new("1000.00", availability("99.9", "", "")).text().replace("leeds-01", "york-01");
    std::fs::write(directory.path().join("c.toml"), elsewhere).unwrap();
    let (code, _, err) = replay(directory.path(), &["c.toml"]);
    assert_eq!(code, Some(2));
    assert!(
        err.starts_with("nothing stored here measures a service of contract \"T\" (s)"),
        "{err}"
    );
}

/// Ten minutes, of which the middle eight are down.
fn bad(directory: &std::path::Path, day: &str) {
    stretch(directory, &format!("{day}T10:00:00Z"), |minute| {
        if (1..9).contains(&minute) { "60l" } else { "60a" }
    });
}

fn reports(directory: &std::path::Path, period: &str) -> serde_json::Value {
    let (code, out, err) = replay(directory, &["c.toml", "--period", period, "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    json["reports"][0].clone()
}

#[test]
fn earlier_periods_that_a_verdict_needs_are_judged_from_what_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    // 480 s down in each of these months, of 259 s or so that are allowed; nothing in April.
    for day in ["2026-03-10", "2026-05-10", "2026-06-10", "2026-07-10"] {
        bad(directory.path(), day);
    }
    let terms = format!(
        "{}{}",
        availability("99.99", "", &remedy("breach", r#"escalation = ["10%", "20%", "40%"]"#)),
        "[[cap]]\nper = \"year\"\nlimit = \"650.00\"\n\
         [[termination]]\nid = \"chronic\"\nby = \"customer\"\nexercise_within_days = 30\n\
         any = [{ breached = \"avail\", consecutive = 3 }]\n"
    );
    std::fs::write(directory.path().join("c.toml"), Terms::new("1000.00", terms).text()).unwrap();
    let stood = |period: &str| {
        let report = reports(directory.path(), period);
        let rights = report["terminations"].as_array().map(Vec::len).unwrap_or_default();
        (report["credit"].as_str().unwrap_or_default().to_owned(), rights)
    };
    assert_eq!(stood("2026-03"), ("100.00".to_owned(), 0));
    assert_eq!(stood("2026-04"), ("0.00".to_owned(), 0));
    // Not in a row with March.
    assert_eq!(stood("2026-05"), ("100.00".to_owned(), 0));
    assert_eq!(stood("2026-06"), ("200.00".to_owned(), 0));
    // 400.00 by themselves; 250.00 are left of the year's.
    assert_eq!(stood("2026-07"), ("250.00".to_owned(), 1));
    // What a facts file says of an earlier period holds instead of what is stored of it.
    std::fs::write(
        directory.path().join("f.json"),
        r#"{"period": "2026-07", "service": "s", "previous": [{"period": "2026-06", "breached": [], "credit": "0"}]}"#,
    )
    .unwrap();
    let (_, out, _) = replay(directory.path(), &["c.toml", "--facts", "f.json", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&json["reports"][0]["credit"], &json["reports"][0]["terminations"]),
        (&"100.00".into(), &serde_json::json!([]))
    );
}

#[test]
fn stored_history_is_judged_by_the_version_in_force_then() {
    let directory = tempfile::tempdir().unwrap();
    for day in ["2026-05-10", "2026-06-10", "2026-06-20"] {
        bad(directory.path(), day);
    }
    let per_second = |credit: &str| {
        remedy(
            "downtime",
            &format!("per_unit = {{ unit = \"480\", rounding = \"down\", credit = \"{credit}\" }}"),
        )
    };
    let one = Terms::new("1000.00", availability("99.99", "", &per_second("1%"))).text();
    let two = Terms::new("1000.00", availability("99.99", "", &per_second("5%")))
        .text()
        .replace("version = 1", "version = 2");
    let two = two.replacen("2020-01-01T00:00:00Z", "2026-06-15T00:00:00Z", 1);
    let at = |file: &str| directory.path().join(file);
    let agent = "site = \"leeds-01\"\ndata_dir = \"data\"\ncontracts = \
        [\"c.toml\"]\n[[probe]]\nname = \"p\"\nkind = \"icmp\"\n\
                 target = \"127.0.0.1\"\nperiod = \"1s\"\n";
    std::fs::write(at("agent.toml"), agent).unwrap();
    std::fs::write(at("c.toml"), &two).unwrap();
    // The agent keeps each version that it judged by.
    let (store, _) = Store::open(&at("data"), "2026-06-20T00:00:00Z".parse().unwrap()).unwrap();
    let sha256 = wanproof::evidence::digest::Digest::of(one.as_bytes()).hex();
    let file = wanproof::store::contracts::ContractFile {
        id: "T".to_owned(),
        version: 1,
        sha256,
        toml: one,
        source: wanproof::store::contracts::FILE.to_owned(),
    };
    store.keep_contract(&file).unwrap();
    drop(store);
    let report = |period: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
        command
            .args(["report", "--config", "agent.toml", "--json", "--period", period])
            .current_dir(directory.path());
        let output = command.output().expect("wanproof runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        json["reports"][0].clone()
    };
    let may = report("2026-05");
    assert_eq!((&may["version"], &may["credit"]), (&1.into(), &"10.00".into()), "{may:#}");
    let june = report("2026-06");
    assert_eq!((&june["version"], &june["credit"]), (&2.into(), &"60.00".into()), "{june:#}");
    assert_eq!(june["objectives"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&june["objectives"][0]["version"], &june["objectives"][0]["credit"]),
        (&1.into(), &"10.00".into())
    );
    // People are told too which verdict is by which version.
    let said = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
        command.args([
            "report",
            "--config",
            "agent.toml",
            "--period",
            "2026-06",
            "--format",
            format,
        ]);
        let output = command.current_dir(directory.path()).output().expect("wanproof runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(said("text").contains("\navail (version 1)\n  - "), "{}", said("text"));
    assert!(said("html").contains("<td>avail (version 1)<td"), "{}", said("html"));
    let csv = said("csv");
    let versions: Vec<&str> =
        csv.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(versions, ["1", "2"], "{csv}");
}

#[test]
fn an_outage_without_an_end_counts_until_it_was_last_observed() {
    let directory = tempfile::tempdir().unwrap();
    stretch(
        directory.path(),
        "2026-06-10T10:00:00Z",
        |minute| if minute < 5 { "60a" } else { "60l" },
    );
    let text = Terms::new("1000.00", availability("99.9", "", "")).text();
    std::fs::write(directory.path().join("c.toml"), text).unwrap();
    // The month is long over; nothing is known of it but ten minutes.
    let downtime = reports(directory.path(), "2026-06")["objectives"][0]["downtime_s"].clone();
    assert_eq!(downtime, "300");
}
