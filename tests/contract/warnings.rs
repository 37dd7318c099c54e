//! What `wanproof check` warns of: what may be a mistake, though the configuration is sound. With
//! `--strict` it is a fault.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use wanproof::base::time::{Clock as _, SystemClock};
use wanproof::measure::interval::Interval;
use wanproof::sla::calendar::{Every, Zone};
use wanproof::store::intervals::Series;
use wanproof::store::{Store, StoreError};

use super::support::{Terms, availability};

struct Site(tempfile::TempDir);

impl Site {
    /// An agent whose only probe is sent so often, with a contract in this zone of this objective.
    fn new(period: &str, timezone: &'static str, objective: &str) -> Self {
        let at = tempfile::tempdir().unwrap();
        let agent = format!(
            "site = \"leeds-01\"\ndata_dir = \"data\"\ncontracts = [\"t.toml\"]\n[[probe]]\nname \
                = \"p\"\nkind = \"icmp\"\n\
             target = \"192.0.2.1\"\nperiod = \"{period}\"\n"
        );
        std::fs::write(at.path().join("agent.toml"), agent).unwrap();
        let contract = Terms { timezone, ..Terms::new("1000.00", objective) }.text();
        std::fs::write(at.path().join("t.toml"), contract).unwrap();
        Self(at)
    }

    fn check(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
        let output = command
            .current_dir(self.0.path())
            .args(["check", "--config", "agent.toml"])
            .args(more)
            .output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn warnings(&self) -> Vec<String> {
        let (code, out, err) = self.check(&["--json"]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let said: Value = serde_json::from_str(&out).unwrap();
        said["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| each.as_str().unwrap().to_owned())
            .collect()
    }

    /// Stores an answered hour at the beginning of each of so many months before this one.
    fn measure(&self, months: usize) {
        let zone = Zone::get("UTC").unwrap();
        let now = SystemClock.now().wall;
        let (mut store, _) = Store::open(&self.0.path().join("data"), now).unwrap();
        let series = Series {
            probe: "p".to_owned(),
            service: Some("s".to_owned()),
            kind: "icmp".to_owned(),
            target: "192.0.2.1".to_owned(),
            address: None,
            period_ms: 1000,
            timeout_ms: 1000,
            cutoff_ms: 1000,
            settings: String::new(),
        };
        let id = store.series(&series).unwrap();
        // In one transaction, which costs one wait for the disk.
        let all = |store: &mut Store| {
            let mut month = Every::Month.holding(zone.day(now));
            for _ in 0..months {
                month = month.before(1);
                for minute in 0..60u64 {
                    let interval = Interval {
                        from: zone.midnight(month.first(1)) + Duration::from_secs(minute * 60),
                        millis: 60_000,
                        first_ms: 0,
                        period_ms: 1000,
                        outcomes: "60a".parse().unwrap(),
                        reasons: BTreeMap::new(),
                        duplicates: 0,
                        reordered: 0,
                        kernel_stamped: 0,
                        rtt: None,
                        ipdv: None,
                        rfc3550_max_ns: None,
                        phases: BTreeMap::new(),
                    };
                    store.append(id, &interval)?;
                }
            }
            Ok::<(), StoreError>(())
        };
        store.together(all).unwrap();
    }
}

#[test]
fn a_coverage_below_its_minimum_in_each_of_three_months_is_warned_of_and_not_that_of_an_agent_that_began_since()
 {
    let plain = || Site::new("1s", "UTC", &availability("99.9", "", ""));
    let site = plain();
    assert_eq!(site.warnings(), Vec::<String>::new(), "nothing is stored");
    site.measure(3);
    let warnings = site.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with(
            "objective \"avail\" of T for s needs 95 % of the time known, and had 0.1"
        ),
        "{warnings:?}"
    );
    assert!(
        warnings[0].ends_with(": until more is measured, it is not determined"),
        "{warnings:?}"
    );
    let newer = plain();
    newer.measure(2);
    assert_eq!(newer.warnings(), Vec::<String>::new());
}

#[test]
fn a_probe_that_is_sent_less_often_than_the_outages_that_count_last_is_warned_of() {
    let qualified = availability(
        "99.9",
        "",
        "[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"none\"\n",
    );
    let said = "probe \"p\" is sent every 30s, and objective \"avail\" of T counts outages longer \
        than 1m, of which it sees those of 1m30s for sure: shorten its period";
    assert_eq!(Site::new("30s", "UTC", &qualified).warnings(), [said]);
    assert_eq!(Site::new("20s", "UTC", &qualified).warnings(), Vec::<String>::new());
    let interval = availability("99.9", "", "").replace(
        "definition = \"misses\"\nmisses = 3\nanswers = 3",
        "definition = \"total_loss\"\ninterval = \"30s\"",
    );
    let said = "probe \"p\" is sent every 1m, and objective \"avail\" of T looks at intervals of \
        30s, in most of which nothing is sent: shorten its period";
    assert_eq!(Site::new("1m", "UTC", &interval).warnings(), [said]);
    assert_eq!(Site::new("30s", "UTC", &interval).warnings(), Vec::<String>::new());
}

#[test]
fn what_is_warned_of_ends_with_0_and_strictly_with_2() {
    let site = Site::new("1s", "EST", &availability("99.9", "", ""));
    let (code, out, err) = site.check(&[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("  warning: contract T: agreement.timezone: \"EST\" has no summer time"),
        "{out}"
    );
    let (code, out, err) = site.check(&["--strict"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("contract T: agreement.timezone: \"EST\" has no summer time"), "{err}");
    let (code, out, _) = site.check(&["--strict", "--json"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &said["ok"], said["faults"].as_array().unwrap().len()),
        (Some(2), &Value::Bool(false), 1)
    );
    let sound = Site::new("1s", "UTC", &availability("99.9", "", ""));
    assert_eq!(sound.check(&["--strict"]).0, Some(0));
}
