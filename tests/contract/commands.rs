//! `wanproof contract`, as a user calls it.

use std::path::Path;
use std::process::{Command, Output};

const PAGE: &str = include_str!("../testdata/contracts/page.toml");
const FACTS: &str = include_str!("../testdata/contracts/page.facts.json");

fn wanproof(directory: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_wanproof");
    Command::new(program)
        .arg("contract")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("wanproof runs")
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    directory
}

#[test]
fn the_pages_example_is_printed_key_by_key() {
    let directory = directory(&[("c.toml", PAGE), ("f.json", FACTS)]);
    let (code, out, err) =
        told(&wanproof(directory.path(), &["evaluate", "c.toml", "--facts", "f.json", "--json"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("../testdata/contracts/page.report.json")).unwrap();
    let printed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&printed["credit"], &printed["claim"], &printed["duties"]),
        (&expected["credit"], &expected["claim"], &expected["duties"])
    );
    // The order of the keys is the page's.
    let order = [
        "\"contract\"",
        "\"version\"",
        "\"service\"",
        "\"period\"",
        "\"objectives\"",
        "\"id\"",
        "\"result\"",
        "\"actual\"",
        "\"exact\"",
        "\"target\"",
        "\"coverage\"",
        "\"downtime_s\"",
        "\"excluded_s\"",
        "\"credit\"",
        "\"steps\"",
    ];
    let places: Vec<usize> =
        order.iter().map(|key| out.find(key).unwrap_or_else(|| panic!("{key} in {out}"))).collect();
    assert!(places.is_sorted(), "{out}");
}

#[test]
fn a_breach_is_an_exit_code_only_where_it_is_asked_for() {
    let directory = directory(&[("c.toml", PAGE), ("f.json", FACTS)]);
    let code = |arguments: &[&str]| told(&wanproof(directory.path(), arguments)).0;
    assert_eq!(code(&["evaluate", "c.toml", "--facts", "f.json"]), Some(0));
    assert_eq!(code(&["evaluate", "c.toml", "--facts", "f.json", "--exit-code"]), Some(1));
}

#[test]
fn the_text_names_who_measures_and_shows_the_arithmetic() {
    let directory = directory(&[("c.toml", PAGE), ("f.json", FACTS)]);
    let (code, out, _) =
        told(&wanproof(directory.path(), &["evaluate", "c.toml", "--facts", "f.json"]));
    assert_eq!(code, Some(0));
    for line in [
        "the figures of the provider bind",
        "two outages qualify: 750 s and 13200 s",
        "credit 400.00 GBP",
        "by 2026-07-30 (in 28 days): claim 400.00 GBP for ckt-0042 in 2026-06",
    ] {
        assert!(out.contains(line), "{line:?} in {out}");
    }
}

#[test]
fn wrong_files_are_told_together_and_nothing_is_judged() {
    let contract = PAGE
        .replace("target = \"99.9\"", "target = 99.9")
        .replace("rule = \"max\"", "rule = \"most\"");
    let directory =
        directory(&[("c.toml", &contract), ("f.json", &FACTS.replace("2026-06\"", "June\""))]);
    let (code, out, err) =
        told(&wanproof(directory.path(), &["evaluate", "c.toml", "--facts", "f.json", "--json"]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(lines[0].starts_with("c.toml: objective \"avail\": target: "), "{err}");
    assert!(lines[1].starts_with("c.toml: combine 1: rule: "), "{err}");
    assert!(lines[2].starts_with("f.json: period: "), "{err}");
}

#[test]
fn facts_that_do_not_fit_the_contract_are_wrong() {
    let directory =
        directory(&[("c.toml", PAGE), ("f.json", &FACTS.replace("\"maint\"", "\"storm\""))]);
    let (code, _, err) =
        told(&wanproof(directory.path(), &["evaluate", "c.toml", "--facts", "f.json"]));
    assert_eq!(
        (code, err.trim()),
        (
            Some(2),
            "f.json: excluded[0].exclusion: \"storm\" is no exclusion of \
                contract \"ACME-MPLS-2026\""
        )
    );
}

#[test]
fn a_file_that_is_not_there_is_wrong_usage() {
    let directory = directory(&[("c.toml", PAGE)]);
    assert_eq!(told(&wanproof(directory.path(), &["check", "d.toml"])).0, Some(2));
    assert_eq!(
        told(&wanproof(directory.path(), &["evaluate", "c.toml", "--facts", "f.json"])).0,
        Some(2)
    );
}

/// The page as two contracts: a service, and its parent with everything else.
fn family() -> (String, String) {
    let (agreement, rest) = PAGE.split_once("[[service]]").expect("a service");
    let (service, tables) = rest.split_once("[[exclusion]]").expect("an exclusion");
    let child = format!("{agreement}[[service]]{service}");
    let parent = agreement
        .replace("id = \"ACME-MPLS-2026\"", "id = \"ACME-MSA\"")
        .replace("level = \"service\" ", "level = \"customer\" ")
        .replace("parent = \"ACME-MSA\"", "#");
    (child, format!("{parent}[[exclusion]]{tables}"))
}

#[test]
fn a_parent_is_found_beside_the_contract_or_named() {
    let (child, parent) = family();
    let beside = directory(&[
        ("c.toml", &child),
        ("master.toml", &parent),
        ("f.json", FACTS),
        ("other.toml", "x = ["),
    ]);
    let judged = |directory: &Path, arguments: &[&str]| told(&wanproof(directory, arguments));
    let (code, out, err) =
        judged(beside.path(), &["evaluate", "c.toml", "--facts", "f.json", "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\"credit\":\"400.00\""), "{out}");
    // Named from elsewhere.
    let elsewhere = directory(&[("p.toml", &parent)]);
    let alone = directory(&[("c.toml", &child), ("f.json", FACTS)]);
    let path = elsewhere.path().join("p.toml").display().to_string();
    assert_eq!(
        judged(alone.path(), &["evaluate", "c.toml", &path, "--facts", "f.json"]).0,
        Some(0)
    );
    // Not found at all.
    let (code, _, err) = judged(alone.path(), &["check", "c.toml"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("its parent \"ACME-MSA\" was not found"), "{err}");
}

#[test]
fn what_a_contract_comes_to_names_where_each_table_is_from() {
    let (child, parent) = family();
    let directory = directory(&[("c.toml", &child), ("p.toml", &parent)]);
    let (code, out, _) = told(&wanproof(directory.path(), &["show", "c.toml"]));
    assert_eq!(code, Some(0));
    assert!(
        out.contains("service (from ACME-MPLS-2026,") && out.contains("claim (from ACME-MSA,"),
        "{out}"
    );
    assert!(out.contains("    outage.misses = 3\n"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
}

#[test]
fn several_contracts_are_checked_at_once() {
    let broken = PAGE.replace("target = \"99.9\"", "target = \"999\"");
    let directory = directory(&[("a.toml", PAGE), ("b.toml", &broken), ("d.toml", "schema = ")]);
    let (code, out, _) = told(&wanproof(directory.path(), &["check", "a.toml", "--json"]));
    assert_eq!(code, Some(0));
    let checked: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&checked[0]["id"], &checked[0]["version"]), (&"ACME-MPLS-2026".into(), &3.into()));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/contracts");
    let (code, out, _) =
        told(&wanproof(&examples, &["check", "pinnacle-ipvpn.toml", "acme-mpls.toml"]));
    assert_eq!((code, out.matches("is right;").count()), (Some(0), 2));
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (code, out, err) =
        told(&wanproof(directory.path(), &["check", "a.toml", "b.toml", "d.toml"]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("b.toml: objective") && err.contains("d.toml: line 1"), "{err}");
}
