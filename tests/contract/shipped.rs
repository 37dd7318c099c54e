//! The examples that are shipped, and the code itself.

use std::path::{Path, PathBuf};

use wanproof::sla::contract::{Written, resolve};

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

#[test]
fn every_example_contract_is_right() {
    let all: Vec<Written> = files("config/contracts", "toml")
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            Written::read(&text, &path.display().to_string())
                .unwrap_or_else(|faults| panic!("{faults:#?}"))
        })
        .collect();
    assert!(all.len() >= 6, "{} examples", all.len());
    for written in &all {
        let contract = resolve(written, &all).unwrap_or_else(|faults| panic!("{faults:#?}"));
        assert!(
            contract.objectives.iter().any(|objective| objective.remedy.is_some()),
            "{}",
            written.file()
        );
    }
}

#[test]
fn no_float_is_in_the_contract_engine() {
    let sources = files("src/sla", "rs")
        .into_iter()
        .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sla.rs")]);
    for path in sources.chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("src/base/decimal.rs")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            let bad = ["f32", "f64", "percentile_us", "as_secs_f", "as_millis_f"]
                .iter()
                .any(|word| line.contains(word));
            assert!(!bad, "{}:{number}: {line}", path.display());
        }
    }
}
