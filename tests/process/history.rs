//! `history` as a user meets it, on databases whose truth is known.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use wanproof::base::time::Wall;
use wanproof::measure::histogram::Histogram;
use wanproof::measure::interval::{Interval, Spread};
use wanproof::store::Store;
use wanproof::store::contracts::{COLLECTOR, ContractFile};
use wanproof::store::intervals::Series;
use wanproof::store::outages::Outage;

const BEGIN: Wall = Wall::from_secs(1_780_012_800);
const MINUTE: Duration = Duration::from_secs(60);

fn series(probe: &str) -> Series {
    Series {
        probe: probe.to_owned(),
        service: Some("ckt-0042".to_owned()),
        kind: "icmp".to_owned(),
        target: "192.0.2.1".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    }
}

fn spread(us: u64, count: u64) -> Option<Spread> {
    let mut all = Histogram::new();
    (0..count).for_each(|_| _ = all.record_us(us));
    Some(Spread { histogram: all.pack()?, sum_ns: us * 1000 * count })
}

/// A minute with 57 answers of some microseconds, one of them late, and three that were lost.
fn minute(number: u32, us: u64) -> Interval {
    Interval {
        from: BEGIN + MINUTE * number,
        millis: 60_000,
        first_ms: 0,
        period_ms: 1000,
        outcomes: "56a1t3l".parse().unwrap(),
        reasons: BTreeMap::from([("lost/timeout".to_owned(), 3)]),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 57,
        rtt: spread(us, 57),
        ipdv: spread(100, 56),
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    }
}

/// Six hours of two probes; the third hour is not there.
fn six_hours(dir: &Path) -> Store {
    let (store, _) = Store::open(dir, BEGIN).unwrap();
    let ids = ["hq", "-branch"].map(|probe| store.series(&series(probe)).unwrap());
    for number in (0..360).filter(|number| !(120..180).contains(number)) {
        let us = if number < 300 { 20_000 } else { 30_000 };
        let (one, other) = (minute(number, us), minute(number, 5_000));
        store.append_set(&[(ids[0], &one), (ids[1], &other)]).unwrap();
    }
    let outage = Outage {
        service: Some("ckt-0042".to_owned()),
        probe: "hq".to_owned(),
        definition: "builtin".to_owned(),
        from: BEGIN + MINUTE * 60,
        to: Some(BEGIN + MINUTE * 75),
        side: "provider".to_owned(),
        evidence: json!({}),
    };
    store.open_outage(&outage).unwrap();
    let also = Outage { definition: "ACME/1#availability".to_owned(), ..outage };
    store.open_outage(&also).unwrap();
    store
}

const SPAN: &str = "--since 2026-05-29 --until 2026-05-29T06:00:00Z";

fn wanproof(dir: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.current_dir(dir).args(words.split_whitespace()).output().unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn history(dir: &Path, words: &str) -> Value {
    let text = told(&wanproof(dir, &format!("history hq --data . --json {SPAN} {words}")));
    serde_json::from_str(&text).unwrap()
}

fn buckets(history: &Value) -> &[Value] {
    history["buckets"].as_array().unwrap()
}

#[test]
fn its_json_is_as_documented_and_what_was_not_observed_is_a_bucket_without_sends() {
    let dir = tempfile::tempdir().unwrap();
    drop(six_hours(dir.path()));
    let hours = history(dir.path(), "--by 1h");
    assert_eq!(
        (&hours["probe"], &hours["from"], &hours["to"], &hours["by_seconds"]),
        (
            &json!("hq"),
            &json!("2026-05-29T00:00:00Z"),
            &json!("2026-05-29T06:00:00Z"),
            &json!(3600)
        )
    );
    let first = json!({
        "from": "2026-05-29T00:00:00Z",
        "seconds": 3600,
        "outcomes": {"a": 3360, "t": 60, "l": 180, "u": 0, "n": 0, "x": 0},
        "rtt_us": {
            "min": 20_000 / 16 * 16, "p50": 20_015, "p90": 20_015, "p95": 20_015, "p99": 20_015,
            "max": 20_015, "mean": 20_000.0,
        },
        "ipdv_us": {"mean": 100.0, "p95": 100},
    });
    assert_eq!(buckets(&hours)[0], first);
    let hole = json!({
        "from": "2026-05-29T02:00:00Z",
        "seconds": 3600,
        "outcomes": {"a": 0, "t": 0, "l": 0, "u": 0, "n": 0, "x": 0},
        "rtt_us": null,
        "ipdv_us": null,
    });
    assert_eq!(buckets(&hours)[2], hole);
    assert_eq!(buckets(&hours).len(), 6);
    // Two definitions say it, and it is one.
    let outage = json!([{
        "from": "2026-05-29T01:00:00Z", "to": "2026-05-29T01:15:00Z", "side": "provider",
    }]);
    assert_eq!(hours["outages"], outage);
    assert_eq!(history(dir.path(), "")["by_seconds"], 300);
}

#[test]
fn rolled_up_or_merged_beside_its_minutes_an_hour_has_the_same_figures() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = six_hours(dir.path());
    let minutes = history(dir.path(), "--by 1h");
    let file = ContractFile {
        id: "ACME-MPLS-2026".to_owned(),
        version: 3,
        sha256: "0".repeat(64),
        toml: include_str!("../testdata/contracts/page.toml").to_owned(),
        source: COLLECTOR.to_owned(),
    };
    store.receive_contract(&file).unwrap();
    store.together(|store| store.write_sheets(BEGIN + MINUTE * 400, 100)).unwrap();
    let merged = rusqlite::Connection::open(dir.path().join("agent.db")).unwrap();
    let count = |table: &str| -> i64 {
        merged.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert!(count("figure") >= 4, "{}", count("figure"));
    assert_eq!(history(dir.path(), "--by 1h"), minutes);
    // As if a minute beside them were read too.
    merged.execute("DELETE FROM block WHERE start_ms < ?1", [BEGIN.millis() + 3_600_000]).unwrap();
    assert_eq!(history(dir.path(), "--by 1h"), minutes);
    assert_eq!(history(dir.path(), "--by 1m")["buckets"][0]["rtt_us"], Value::Null);
    drop(store);

    let dir = tempfile::tempdir().unwrap();
    let mut store = six_hours(dir.path());
    let last = store.unsummarised().unwrap().pop().unwrap().0;
    store.set_summarised(last).unwrap();
    let rolled = store.together(|store| store.roll_up_minutes(BEGIN + MINUTE * 60)).unwrap();
    assert!(rolled.is_some());
    assert_eq!(history(dir.path(), "--by 1h"), minutes);
    // No finer where only hours are kept, and it says so.
    let output = wanproof(dir.path(), &format!("history hq --data . --json {SPAN} --by 15m"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("hq: up to 2026-05-29 01:00:00Z there are only hours, so it is no finer"),
        "{said}"
    );
    let finer: Value = serde_json::from_str(&told(&output)).unwrap();
    assert_eq!(buckets(&finer)[0], buckets(&minutes)[0]);
    assert_eq!(buckets(&finer).len(), 1 + 20);
    assert_eq!(buckets(&finer)[1]["seconds"], 900);
}

#[test]
fn its_csv_has_the_same_figures_and_a_heading() {
    let dir = tempfile::tempdir().unwrap();
    drop(six_hours(dir.path()));
    let csv =
        told(&wanproof(dir.path(), &format!("history -branch hq --data . --csv {SPAN} --by 1h")));
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 12);
    assert_eq!(
        lines[0],
        "probe,from,seconds,a,t,l,u,n,x,rtt_us_min,rtt_us_p50,rtt_us_p90,rtt_us_p95,rtt_us_p99,\
         rtt_us_max,rtt_us_mean,ipdv_us_mean,ipdv_us_p95"
    );
    assert_eq!(
        lines[1],
        "'-branch,2026-05-29T00:00:00Z,3600,3360,60,180,0,0,0,5000,5003,5003,5003,5003,5003,5000,\
         100,100"
    );
    assert_eq!(lines[9], "hq,2026-05-29T02:00:00Z,3600,0,0,0,0,0,0,,,,,,,,,");
    let columns = |line: &&str| line.split(',').count();
    assert!(lines.iter().all(|line| columns(line) == 18), "{csv}");
}

#[test]
fn on_a_pipe_it_is_ascii_without_colours_and_the_first_line_answers() {
    let dir = tempfile::tempdir().unwrap();
    drop(six_hours(dir.path()));
    let screen =
        |words: &str| told(&wanproof(dir.path(), &format!("history hq --data . {SPAN}{words}")));
    let plain = screen("");
    assert!(plain.is_ascii() && !plain.contains('\x1b'), "{plain}");
    assert!(plain.lines().all(|line| line.len() <= 80), "{plain}");
    let first: String = plain.lines().take(2).collect();
    assert_eq!(
        first,
        "hq: slower in the last 45m: p50 30 ms, 20 ms before, +50%; 900 of 18000 lost  (5.00%), 300 late"
    );
    let coloured = screen(" --color always");
    assert!(coloured.contains("\x1b[31m"), "{coloured:?}");
    let mut bare = String::new();
    for part in coloured.split('\x1b') {
        bare.push_str(
            part.split_once('m')
                .filter(|(code, _)| code.starts_with('['))
                .map_or(part, |(_, rest)| rest),
        );
    }
    assert_eq!(bare, plain, "colour only repeats what is there without it");
    assert_eq!(screen(" --color never"), plain);
    let against = screen(" --against 1h");
    assert!(against.contains("answers  17100  "), "{against}");
}

#[test]
fn bad_input_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    drop(six_hours(dir.path()));
    for (words, said) in [
        ("history nobody", "no probe \"nobody\" was measured here; known: -branch, hq"),
        ("history hq --by 2m", "expected 1m, 5m, 15m, 1h, 6h, 1d, or auto"),
        ("history hq --since 2026-06-01 --until 2026-05-01", "there is no time between them"),
        ("history hq --since 365d --by 1m", "name a longer step"),
        ("history hq --since yesterday", "expected how long ago"),
    ] {
        let output = wanproof(dir.path(), &format!("{words} --data ."));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(said), "{words}: {error}");
    }
    // Long after its end it is all a hole.
    let later =
        told(&wanproof(dir.path(), "history hq --data . --since 2026-07-01 --until 2026-07-02"));
    assert!(later.starts_with("hq: nothing was observed in that time"), "{later}");
}

#[test]
fn shells_and_people_get_what_the_commands_are_and_a_command_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(six_hours(dir.path()));
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef wanproof"), ("fish", "complete -c wanproof")]
    {
        let text = told(&wanproof(dir.path(), &format!("completions {shell}")));
        assert!(text.contains(part) && text.contains("history"), "{text}");
    }
    told(&wanproof(dir.path(), "man pages/of/it"));
    let page =
        |name: &str| std::fs::read_to_string(dir.path().join("pages/of/it").join(name)).unwrap();
    assert!(
        page("wanproof.1").contains("history") && page("wanproof-history.1").contains("against")
    );

    // Each time is a line of JSON; who reads two has seen it again.
    let mut watching = Command::new(env!("CARGO_BIN_EXE_wanproof"))
        .current_dir(dir.path())
        .args(["outages", "--data", ".", "--since", "2026-05-01", "--json", "--watch", "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(watching.stdout.take().unwrap()).lines();
    let [one, other] = [(); 2].map(|()| lines.next().unwrap().unwrap());
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert!(one.starts_with('[') && one == other, "{one}");
    let failed = wanproof(dir.path(), "status --data nowhere --watch");
    assert_eq!(failed.status.code(), Some(3), "it does not go on where it never began");
}
