//! Copies of an agent's data: every command that reads says the same of one as of the original, or
//! that it cannot.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use wanproof::base::time::{Clock, SystemClock, Wall};
use wanproof::measure::interval::Interval;
use wanproof::store::Store;
use wanproof::store::intervals::Series;
use wanproof::store::journal::Noted;
use wanproof::store::keyfile;
use wanproof::store::outages::Outage;

use crate::kit::wan::skip;

const MINUTE: Duration = Duration::from_secs(60);

/// An agent that measured for ten minutes three days ago, was down for the last five, and died: its
/// writer is still open, so that all or the newest of it is in the log.
fn agent(dir: &Path) -> (Store, Wall) {
    let now = SystemClock.now().wall;
    let begin = (now - Duration::from_secs(3 * 86_400)).floor(MINUTE);
    let (store, _) = Store::open(dir, begin).unwrap();
    store.set_site("leeds-01").unwrap();
    let series = Series {
        probe: "hq".to_owned(),
        service: Some("ckt-1".to_owned()),
        kind: "icmp".to_owned(),
        target: "192.0.2.1".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    };
    let id = store.series(&series).unwrap();
    for minute in 0..10 {
        let interval = Interval {
            from: begin + MINUTE * minute,
            millis: 60_000,
            first_ms: 0,
            period_ms: 1000,
            outcomes: if minute < 5 { "60a" } else { "60l" }.parse().unwrap(),
            reasons: BTreeMap::new(),
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt: None,
            ipdv: None,
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        };
        store.append(id, &interval).unwrap();
    }
    let outage = Outage {
        service: Some("ckt-1".to_owned()),
        probe: "hq".to_owned(),
        definition: "builtin".to_owned(),
        from: begin + MINUTE * 5,
        to: None,
        side: "unknown".to_owned(),
        evidence: serde_json::json!({}),
    };
    store.open_outage(&outage).unwrap();
    store.note(begin, Noted::Start, "it began").unwrap();
    let key = keyfile::generate().unwrap();
    keyfile::save(&dir.join(keyfile::AGENT), &key).unwrap();
    store.begin_identity(key.kid(), *key.public()).unwrap();
    (store, begin)
}

/// Every command that reads an agent's data, as JSON where it has any.
const READING: [&str; 11] = [
    "status --json",
    "outages --json",
    "outages",
    "journal --json",
    "histogram hq --since 30d --json",
    "outbox --json",
    "identity --json",
    "report --json",
    "claim list --json",
    "claim log --json",
    "contract log --json",
];

fn wanproof(words: &str, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.args(words.split(' ')).arg("--data").arg(data);
    command
}

/// Runs a command where a directory is on a medium that cannot be written; [`None`] where none can
/// be made so.
fn read_only(words: &str, data: &Path, temporary: &str) -> Option<Output> {
    let script =
        "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" || exit 77; exec \"$@\"";
    let inner = wanproof(words, data);
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script])
        .arg(data)
        .arg(inner.get_program())
        .args(inner.get_args());
    let output = command.env("TMPDIR", temporary).output().ok()?;
    (output.status.code() != Some(77) && nix::unistd::geteuid().is_root()).then_some(output)
}

fn copied(from: &Path, to: &Path, files: &[&str]) {
    std::fs::create_dir(to).unwrap();
    for file in files {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What is told, but for when it was asked, and how much room it takes: a log is not in the file
/// yet.
fn lasting(told: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(told) {
        Ok(mut told) if told.is_object() => {
            for key in ["store", "from", "to"] {
                told[key].take();
            }
            told.to_string()
        }
        _ => told.to_owned(),
    }
}

#[test]
fn a_copy_is_read_whole_or_refused_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let (original, whole, half) =
        (dir.path().join("data"), dir.path().join("whole"), dir.path().join("half"));
    let (_writer, _) = agent(&original);
    copied(&original, &whole, &["agent.db", "agent.db-wal", "agent.key"]);
    copied(&original, &half, &["agent.db", "agent.key"]);
    let temporary = dir.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    for words in READING {
        let expected = told(&wanproof(words, &original).output().unwrap());
        assert_eq!(expected.0, Some(0), "{words}: {expected:?}");
        let Some(output) = read_only(words, &whole, temporary.to_str().unwrap()) else {
            return skip("no read-only mount can be made here; run the tests as root");
        };
        let (code, out, error) = told(&output);
        assert_eq!(
            (code, lasting(&out), &error),
            (Some(0), lasting(&expected.1), &expected.2),
            "{words}"
        );
        // Without its log, and where there is no room for both, it says so.
        for output in [
            read_only(words, &half, temporary.to_str().unwrap()),
            read_only(words, &whole, "/proc"),
        ] {
            let (code, out, error) = told(&output.unwrap());
            assert_eq!((code, out.as_str()), (Some(3), ""), "{words}: {error}");
            assert!(error.contains("agent.db-wal"), "{words}: {error}");
            assert!(!error.contains("earlier version"), "{words}: {error}");
        }
        assert_eq!(
            std::fs::read_dir(&temporary).unwrap().count(),
            0,
            "{words}: what was made for it is gone"
        );
        // On a medium that can be written it is the same.
        let (code, _, error) = told(&wanproof(words, &half).output().unwrap());
        assert!(code == Some(3) && error.contains("agent.db-wal"), "{words}: {error}");
    }
}

#[test]
fn an_outage_without_an_end_lasts_until_it_was_last_observed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (writer, begin) = agent(&data);
    drop(writer);
    let said = |words: &str| told(&wanproof(words, &data).output().unwrap());
    let (_, out, error) = said("outages --json");
    let outages: serde_json::Value = serde_json::from_str(&out).unwrap();
    let end = serde_json::to_value(begin + MINUTE * 10).unwrap();
    assert_eq!(
        (&outages[0]["to"], &outages[0]["seconds"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(outages[0]["observed_until"], end, "{out} {error}");
    let (_, out, _) = said("outages");
    assert!(out.contains("5m, end not seen") && out.contains("no agent runs here"), "{out}");
    let (_, out, _) = said("status --json");
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(status["running"] == false && !status["observed_until"].is_null(), "{status}");
    let (_, out, _) = said("status");
    assert!(out.contains("the last that it recorded is of"), "{out}");
    let (_, _, error) = said("report");
    assert!(error.contains("an outage without an end counts up to"), "{error}");
}
