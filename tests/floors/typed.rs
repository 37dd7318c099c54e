//! Whoever reads a verdict reads it as a type: a key that is renamed does not compile then, rather
//! than mean that no money is due.

use std::path::Path;

/// Keys that a report and what is kept of it have, and nothing else has.
const KEYS: [&str; 24] = [
    "accrued",
    "actual",
    "allowed_s",
    "breached",
    "coverage",
    "credit",
    "currency",
    "downtime_s",
    "duties",
    "exact",
    "excluded_s",
    "exercise_by",
    "lapsed",
    "left_s",
    "objectives",
    "provisional",
    "report",
    "result",
    "steps",
    "target",
    "terminations",
    "ticket_by",
    "verdict",
    "verdicts",
];

/// How a key is looked up in JSON that has no type.
fn lookups(key: &str) -> [String; 5] {
    [
        format!("[\"{key}\"]"),
        format!(".get(\"{key}\")"),
        format!(".remove(\"{key}\")"),
        format!("/{key}\")"),
        format!("/{key}/"),
    ]
}

/// The lines of a source that look a verdict's key up in a value without a type. A list of one
/// word looks like one, and follows no name: `&["credit"]`.
fn untyped(text: &str) -> Vec<(usize, &str)> {
    let finds = |line: &&str| {
        let code = line.split("//").next().unwrap_or("");
        KEYS.iter().flat_map(|key| lookups(key)).any(|lookup| {
            let indexes = lookup.starts_with('[');
            let path = lookup.starts_with('/');
            code.match_indices(&lookup).any(|(at, _)| match (indexes, path) {
                (true, _) => code[..at].ends_with(|before: char| {
                    before.is_alphanumeric() || matches!(before, '_' | ')' | ']' | '?')
                }),
                (_, true) => code.contains(".pointer("),
                _ => true,
            })
        })
    };
    (1..).zip(text.lines()).filter(|(_, line)| finds(line)).collect()
}

fn walk(folder: &Path, said: &mut String) {
    for entry in std::fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        // What a contract says of credits is read by the reader of contracts.
        if path.is_dir() && !path.ends_with("sla/contract") {
            walk(&path, said);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file is text");
            for (number, line) in untyped(&text) {
                *said += &format!("{}:{number}: {}\n", path.display(), line.trim());
            }
        }
    }
}

#[test]
fn no_verdict_is_read_but_as_a_type() {
    let mut said = String::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut said);
    assert!(said.is_empty(), "read it as sla::report or sla::printed:\n{said}");
}

#[test]
fn a_lookup_in_a_verdict_would_be_found() {
    let found = |line: &str| !untyped(line).is_empty();
    for line in [
        "let due = report[\"credit\"].as_str().unwrap_or(\"0\");",
        "for each in shown()[\"objectives\"].as_array() {",
        "let left = budget.get(\"left_s\");",
        "report.pointer(\"/claim/ticket_by\")",
    ] {
        assert!(found(line), "{line}");
    }
    for line in [
        "reconcile(&[\"credit\"]);",
        "// report[\"credit\"] was read here",
        "table.get(\"credit\", need(), credit)",
        "Kept { credit, .. }",
    ] {
        assert!(!found(line), "{line}");
    }
}
