//! Contracts and facts with what must come of them, by a few paths and values each:
//! `cases/NAME.toml`, `.json`, `.want`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/contracts/cases")
}

/// What `contract evaluate --json` prints.
fn evaluated(contract: &Path, facts: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.args(["contract", "evaluate", "--json", "--facts"]).arg(facts).arg(contract);
    let output = command.output().expect("wanproof runs");
    assert!(output.status.success(), "{contract:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A value by its path: `objectives.0.credit`.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| match key.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[key],
    })
}

#[test]
fn every_case_comes_to_what_it_must() {
    let mut told = 0;
    for entry in cases().read_dir().expect("the cases") {
        let want = entry.expect("a file").path();
        if want.extension().is_none_or(|extension| extension != "want") {
            continue;
        }
        let report = evaluated(&want.with_extension("toml"), &want.with_extension("json"));
        let text = std::fs::read_to_string(&want).expect("what must come of it");
        let wanted: Value = serde_json::from_str(&text).expect("JSON");
        for (path, value) in wanted.as_object().expect("paths and values") {
            assert_eq!(at(&report, path), value, "{path} in {}\n{report:#}", want.display());
        }
        told += 1;
    }
    assert!(told >= 8, "only {told} cases were found");
}

#[test]
fn a_period_is_judged_by_the_parents_version_that_was_in_force_when_it_began() {
    let place = cases().join("parent-of-a-later-time");
    let report = evaluated(&place.join("child.toml"), &place.join("facts.json"));
    assert_eq!(report["credit"], "30.00", "{report:#}");
}
