//! The documents keep up with the source: every file and item that docs/architecture.md and
//! CONTRIBUTING.md name exists, and every relative link leads to a file.
//!
//! A file is named by its path in backticks. Names in backticks right after it, with nothing but
//! commas and "and" between them, are items of that file: functions where the first letter is in
//! lower case, types and constants where it is in upper case.

use std::path::{Path, PathBuf};

/// A text in backticks that begins with one of these folders is the path of a file.
const FOLDERS: [&str; 9] =
    ["src", "tests", "benches", "fuzz", "examples", "config", "systemd", "docs", ".ci"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A page without its fenced blocks.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect::<Vec<_>>().join("\n")
}

fn is_path(text: &str) -> bool {
    text.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder))
        && !text.contains([' ', '*', '<'])
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The files that a page names, each with the items of it that it names.
fn named(page: &str) -> Vec<(String, Vec<String>)> {
    let page = prose(page);
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    let mut goes_on = false;
    for (place, part) in page.split('`').enumerate() {
        if place % 2 == 0 {
            goes_on &= part.split_whitespace().all(|word| matches!(word, "," | "and"));
        } else if is_path(part) {
            all.push((part.to_owned(), Vec::new()));
            goes_on = true;
        } else {
            match all.last_mut() {
                Some((_, items)) if goes_on && is_name(part) => items.push(part.to_owned()),
                _ => goes_on = false,
            }
        }
    }
    all
}

/// Whether a source text defines an item.
fn defines(text: &str, item: &str) -> bool {
    let is_whole =
        |at: usize| !text[at..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let by = |keyword: &str| {
        let head = format!("{keyword} {item}");
        text.match_indices(&head).any(|(at, _)| is_whole(at + head.len()))
    };
    match item.starts_with(|c: char| c.is_ascii_uppercase()) {
        // What the macro `words!` defines stands there without a keyword.
        true => {
            ["struct", "enum", "trait", "const"].into_iter().any(by)
                || text.lines().any(|line| line.trim() == format!("{item} {{"))
        }
        false => by("fn"),
    }
}

/// What of the files and items that a page names does not exist.
fn absent(named: &[(String, Vec<String>)]) -> Vec<String> {
    let mut absent = Vec::new();
    for (path, items) in named {
        let at = root().join(path);
        if !at.exists() {
            absent.push(format!("there is no {path}"));
        } else if !items.is_empty() {
            let text = read(path);
            absent.extend(
                items
                    .iter()
                    .filter(|item| !defines(&text, item))
                    .map(|item| format!("{path}: no {item}")),
            );
        }
    }
    absent
}

/// The Markdown files of the project, by their paths in it.
fn pages() -> Vec<PathBuf> {
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries
            .map(|entry| {
                entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path()
            })
            .collect()
    };
    let all = [listed(root()), listed(&root().join("docs"))].concat();
    all.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

/// The relative targets of a page's links, without what follows a `#`.
fn links(page: &str) -> Vec<String> {
    let page = prose(page);
    let targets = page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|target| !target.is_empty() && !target.contains(':')).map(str::to_owned).collect()
}

#[test]
fn every_file_and_item_that_the_guides_name_exists() {
    for (page, at_least) in [("docs/architecture.md", 60), ("CONTRIBUTING.md", 15)] {
        let named = named(&read(page));
        let items: usize = named.iter().map(|(_, items)| items.len()).sum();
        assert!(items >= at_least, "{page} names {items} items only");
        let absent = absent(&named);
        assert!(absent.is_empty(), "{page}:\n{}", absent.join("\n"));
    }
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let (mut seen, mut dead) = (0, Vec::new());
    for page in pages() {
        let text = std::fs::read_to_string(&page)
            .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        for link in links(&text) {
            seen += 1;
            if !page.parent().unwrap_or(root()).join(&link).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(seen > 20, "{seen} links");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn what_does_not_exist_would_be_found() {
    let page = "`src/lib.rs` `SOFTWARE`, `nothing` calls `other`; `src/none.rs`\n`read` and \
        `src/sla/`.\n```\n`src/x`\n```\n";
    let named = named(page);
    let of = |path: &str, items: &[&str]| {
        (path.to_owned(), items.iter().map(|&item| item.to_owned()).collect())
    };
    assert_eq!(
        named,
        [
            of("src/lib.rs", &["SOFTWARE", "nothing"]),
            of("src/none.rs", &["read"]),
            of("src/sla/", &[])
        ]
    );
    assert_eq!(absent(&named), ["src/lib.rs: no nothing", "there is no src/none.rs"]);
    assert!(defines("pub fn take<T>(", "take") && !defines("pub fn take_all(", "take"));
    assert!(
        defines("enum Test {", "Test")
            && defines("    Metric {", "Metric")
            && !defines("Metric::Rtt", "Metric")
    );
    assert_eq!(links("[a](docs/a.md#b) [c](https://x.example/) [d](#e)\n"), ["docs/a.md"]);
}
