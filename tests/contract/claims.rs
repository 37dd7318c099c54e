//! `wanproof claim` and the lives of contracts, as a user calls them, on stored history.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::support::{Terms, availability, remedy};
use wanproof::base::time::{Clock, SystemClock, Wall};
use wanproof::measure::interval::Interval;
use wanproof::sla::calendar::{Every, Zone};
use wanproof::store::Store;
use wanproof::store::contracts::ContractFile;
use wanproof::store::intervals::Series;

fn wanproof(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    let output = command.args(arguments).current_dir(directory).output().expect("wanproof runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A database with an outage of an hour on the second day of the month before this one, of which
/// all else is unknown, and a contract that pays for each outage.
struct Edge {
    directory: tempfile::TempDir,
    /// The month before this one.
    period: String,
    /// Where the outage began.
    began: Wall,
}

fn edge(within_days: u32) -> Edge {
    let directory = tempfile::tempdir().expect("a directory");
    let zone = Zone::get("UTC").expect("a zone");
    let month = Every::Month.holding(zone.day(SystemClock.now().wall)).before(1);
    let began = zone.midnight(month.first(1).plus(1));
    let (store, _) = Store::open(&directory.path().join("data"), began).expect("a database");
    store.set_site("leeds-01").expect("a site");
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
    let id = store.series(&series).expect("a series");
    for minute in 0..65u64 {
        let interval = Interval {
            from: began + Duration::from_secs(minute * 60),
            millis: 60_000,
            first_ms: 0,
            period_ms: 1000,
            outcomes: if minute < 60 { "60l" } else { "60a" }.parse().expect("outcomes"),
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
    let form =
        remedy("event", r#"per_unit = { unit = "3600", rounding = "exact", credit = "10.00" }"#);
    let claim = format!(
        "[claim]\nmode = \"on_request\"\nwithin = {within_days}\nunit = \"days\"\ncounted_from \
            = \"period_end\"\n\
         rounding = \"half_up\"\nsettled = \"next_invoice\"\n"
    );
    let objective = availability("99.9999", "", &form);
    let text =
        Terms { timezone: "UTC", ..Terms::new("1000.00", format!("{claim}{objective}")) }.text();
    std::fs::write(directory.path().join("t.toml"), &text).expect("a contract");
    let file = ContractFile {
        id: "T".to_owned(),
        version: 1,
        sha256: "00".to_owned(),
        toml: text,
        source: "file".to_owned(),
    };
    store.keep_contract(&file).expect("kept");
    Edge { directory, period: month.to_string(), began }
}

impl Edge {
    fn claim(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let all: Vec<&str> =
            ["claim"].iter().chain(arguments).copied().chain(["--data", "data"]).collect();
        wanproof(self.directory.path(), &all)
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let (code, out, err) = self.claim(&[arguments, &["--json"]].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        serde_json::from_str(&out).expect("JSON")
    }

    fn step(&self, action: &str) -> (Option<i32>, String, String) {
        self.claim(&["move", action, "--period", &self.period, "--who", "Ada"])
    }
}

#[test]
fn what_is_due_is_listed_with_its_days_left_and_drafted() {
    let edge = edge(390);
    let list = edge.json(&["list"]);
    assert_eq!(
        (list[0]["state"].as_str(), list[0]["credit"].as_str()),
        (Some("claimable"), Some("10.00"))
    );
    let deadlines = list[0]["deadlines"].as_array().unwrap();
    assert!(
        deadlines.iter().any(|each| each["left"].as_str().unwrap().starts_with("in 3")),
        "{list}"
    );
    let (_, out, _) = edge.claim(&["list"]);
    assert!(out.contains("claimable") && out.contains("(in 3"), "{out}");
    let (code, letter, err) = edge.claim(&["letter", "--period", &edge.period]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(letter.contains("by our clock 1 h 0 min (3600 s)"), "{letter}");
    assert!(letter.lines().all(|line| line.chars().count() <= 80), "{letter}");
    let (code, ticket, _) = edge.claim(&["ticket", "--period", &edge.period]);
    assert_eq!(code, Some(0));
    assert!(ticket.contains(&format!("Began:   {}", edge.began)), "{ticket}");
    // Nothing was measured this month.
    let (code, _, err) = edge.claim(&["letter"]);
    assert_eq!(code, Some(3));
    assert!(err.contains("there is nothing to claim"), "{err}");
}

#[test]
fn status_and_report_count_the_deadlines_down() {
    let edge = edge(390);
    let (code, out, err) = wanproof(edge.directory.path(), &["status", "--data", "data"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("deadlines\n") && out.contains("claim 10.00 GBP for s in"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (_, out, _) =
        wanproof(edge.directory.path(), &["report", "--data", "data", "--period", &edge.period]);
    assert!(out.lines().any(|line| line.starts_with("by 20") && line.contains("(in 3")), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
}

#[test]
fn a_report_is_one_page_that_needs_nothing_from_elsewhere() {
    let edge = edge(390);
    let page = |arguments: &[&str]| {
        let all = [
            &["report", "--data", "data", "--format", "html", "--period", &edge.period],
            arguments,
        ]
        .concat();
        let (code, out, err) = wanproof(edge.directory.path(), &all);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        out
    };
    let one = page(&[]);
    for part in [
        "<!doctype html>".to_owned(),
        format!("<h1>Service s in {}</h1>", edge.period),
        "Missed: <strong>avail</strong>.".to_owned(),
        "Credit due: <strong>10.00 GBP</strong>. It is to be claimed by 20".to_owned(),
        format!("claim 10.00 GBP for s in {}<td>in 3", edge.period),
        // Sixty minutes of sixty lost, and five of sixty answered.
        "<tr><td>p<td class=\"n\">1h5m<td class=\"n\">300<td class=\"n\">0<td class=\"n\">3600"
            .to_owned(),
        "</body></html>".to_owned(),
    ] {
        assert!(one.contains(&part), "{part:?} in {one}");
    }
    for foreign in ["http", "<script", "src=", "<link", "@import"] {
        assert!(!one.contains(foreign), "{foreign:?} in {one}");
    }
    // Hatches are on the page itself.
    assert_eq!(one.matches("url(").count(), one.matches("url(#").count(), "{one}");
    // The graph stands above the tables, and says in words what it shows.
    let (graph, table) = (one.find("<svg class=\"smoke\""), one.find("<h2>Verdicts</h2>"));
    assert!(graph.is_some() && graph < table, "{one}");
    assert!(one.contains("Lost or refused were 3600 of 3900, late 0."), "{one}");
    assert_eq!(one.matches("<html").count(), 1);
    // What a contract calls itself is no markup, and of several reports there is an overview.
    let text = std::fs::read_to_string(edge.directory.path().join("t.toml")).unwrap();
    let second = text
        .replace("id = \"T\"", "id = \"<T2>\"")
        .replace("Example Carrier", "Example <Carrier> & \\\"Sons\\\"");
    std::fs::write(edge.directory.path().join("two.toml"), &second).unwrap();
    let config = "site = \"leeds-01\"\ndata_dir = \"data\"\ncontracts = \
        [\"t.toml\", \"two.toml\"]\n[[probe]]\nname = \"p\"\n\
                  kind = \"icmp\"\ntarget = \"192.0.2.1\"\nperiod = \"1s\"\n";
    std::fs::write(edge.directory.path().join("agent.toml"), config).unwrap();
    let arguments =
        ["report", "--config", "agent.toml", "--format", "html", "--period", &edge.period];
    let (code, out, err) = wanproof(edge.directory.path(), &arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("Example &lt;Carrier&gt; &amp; &quot;Sons&quot; (provider)"), "{out}");
    assert!(out.contains("<h1>All services</h1>") && !out.contains("<T2>"), "{out}");
    for number in [1, 2] {
        assert!(out.contains(&format!("<a href=\"#r{number}\">s</a>")), "{out}");
        assert!(out.contains(&format!("<section id=\"r{number}\">\n<h1>Service s in")), "{out}");
    }
}

#[test]
fn a_claim_moves_as_its_life_cycle_allows_and_its_log_says_who_when_and_by_what() {
    let edge = edge(390);
    std::fs::write(edge.directory.path().join("mail.txt"), "sent").unwrap();
    let (code, out, err) = edge.claim(&[
        "move",
        "submit",
        "--period",
        &edge.period,
        "--who",
        "Ada",
        "--evidence",
        "mail.txt",
    ]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("is submitted now; it can acknowledge, accept,"), "{out}");
    let (code, _, err) = edge.step("reconcile");
    assert_eq!(code, Some(2));
    assert!(
        err.contains("refused: a claim that is submitted cannot reconcile: it can acknowledge"),
        "{err}"
    );
    let (code, _, err) = edge.step("pay");
    assert_eq!(code, Some(2));
    assert!(
        err.contains("\"pay\" is no action of a claim: expected one of become_claimable, submit"),
        "{err}"
    );
    for action in ["acknowledge", "accept_partly", "credit", "reconcile"] {
        assert_eq!(edge.step(action).0, Some(0), "{action}");
    }
    let log = edge.json(&["log"]);
    let entries = log[0]["log"].as_array().unwrap();
    let actions: Vec<&str> =
        entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["become_claimable", "submit", "acknowledge", "accept_partly", "credit", "reconcile"]
    );
    // What the agent saw has the verdict as its evidence; what Ada did, the file that she named.
    assert!(entries[0]["who"].as_str().unwrap().starts_with("wanproof"), "{log}");
    let sent = wanproof::evidence::digest::Digest::of(b"sent").hex();
    assert_eq!(
        (entries[1]["who"].as_str(), entries[1]["evidence"].as_str()),
        (Some("Ada"), Some(sent.as_str()))
    );
    assert_eq!(log[0]["state"], "reconciled");
    assert_eq!(edge.json(&["list"])[0]["state"], "reconciled");
}

#[test]
fn a_claim_whose_day_has_passed_is_not_submitted_any_more() {
    let edge = edge(0);
    let (code, _, err) = edge.step("submit");
    assert_eq!(code, Some(2));
    assert!(err.contains("refused: the last day to claim it was"), "{err}");
    assert_eq!(edge.step("lapse").0, Some(0));
}

#[test]
fn a_version_comes_into_force_only_when_the_one_before_it_has_gone() {
    let edge = edge(390);
    let step = |version: &str, action: &str| {
        let arguments = [
            "contract",
            "move",
            "version",
            action,
            "--contract",
            "T",
            "--contract-version",
            version,
        ];
        wanproof(
            edge.directory.path(),
            &[&arguments[..], &["--who", "Ada", "--data", "data"]].concat(),
        )
    };
    for version in ["1", "2"] {
        for action in ["propose", "counter", "sign"] {
            assert_eq!(step(version, action).0, Some(0), "{version} {action}");
        }
    }
    assert_eq!(step("1", "take_effect").0, Some(0));
    let (code, _, err) = step("2", "take_effect");
    assert_eq!(code, Some(2));
    assert!(err.contains("version 1 of T is in force, and only one can be"), "{err}");
    assert_eq!(step("1", "supersede").0, Some(0));
    assert_eq!(step("2", "take_effect").0, Some(0));
    let (_, out, _) = wanproof(edge.directory.path(), &["contract", "log", "--data", "data"]);
    assert!(
        out.contains("version T 1: superseded") && out.contains("version T 2: in force"),
        "{out}"
    );
    let (code, _, err) = wanproof(
        edge.directory.path(),
        &["contract", "move", "version", "sign", "--contract", "T"],
    );
    assert_eq!(code, Some(2));
    assert!(err.contains("--contract-version"), "{err}");
}
