//! docs/threat-model.md keeps to its rule: each row of its tables of promises names a test, and
//! each test that it names is there.

use std::collections::BTreeSet;
use std::path::Path;

/// The heading from which on the page says what is not promised.
const NOT_PROMISED: &str = "## What is not promised";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(dir: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
    {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", dir.display())).path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all.push(
                std::fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            );
        }
    }
}

/// The names of all functions of the tests and of the modules' own tests.
fn functions() -> BTreeSet<String> {
    let mut all = Vec::new();
    for dir in ["src", "tests", "fuzz/properties"] {
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut all);
    }
    let names = all.iter().flat_map(|text| text.split("fn ").skip(1));
    names
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .collect()
}

/// The rows of tables of promises, without their heads.
fn rows(page: &str) -> Vec<&str> {
    let promised = page.split(NOT_PROMISED).next().unwrap_or_default();
    let lines: Vec<&str> = promised.lines().collect();
    let heads = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with('|') && !line.starts_with("|---") && !heads(*at));
    rows.map(|(_, line)| *line).collect()
}

/// The texts in backticks of a row's last cell.
fn tests_of(row: &str) -> Vec<&str> {
    let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
    last.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_promise_of_the_threat_model_names_a_test_that_is_there() {
    let (page, functions) = (read("docs/threat-model.md"), functions());
    assert!(page.contains(NOT_PROMISED));
    let rows = rows(&page);
    assert!(rows.len() > 50, "{} promises", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let tests = tests_of(row);
        if tests.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(
            tests
                .into_iter()
                .filter(|test| !functions.contains(*test))
                .map(|test| format!("there is no {test}: {row}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
