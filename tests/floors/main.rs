//! The floor plan of `src/lib.rs`, kept by reading the source: what a file may import, and what the
//! rules may not touch.

mod circles;
mod typed;

use std::path::{Path, PathBuf};

/// The rooms, each with its floor; a file imports from its own room and from lower floors only.
const FLOORS: [(&str, u8); 11] = [
    ("base", 1),
    ("measure", 2),
    ("sla", 3),
    ("draw", 3),
    ("evidence", 4),
    ("net", 5),
    ("store", 5),
    ("config", 5),
    ("agent", 6),
    ("collector", 6),
    ("cli", 7),
];

/// What the rules (measure, sla, draw, evidence) have no part in: sockets, files, clocks, sleep, async.
const IMPURE: [&str; 22] = [
    "async",
    "await",
    "tokio",
    "socket2",
    "surge_ping",
    "reqwest",
    "hyper",
    "axum",
    "rusqlite",
    "nix",
    "Instant",
    "SystemTime",
    "SystemClock",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "sleep",
    "File",
    "OpenOptions",
    "getrandom",
    "std::fs",
    "std::thread",
];

/// A source file, without comments, texts and tests.
struct Source {
    path: PathBuf,
    /// Its module path: `agent`, `shipper` for `agent/shipper.rs`.
    module: Vec<String>,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        &self.module[0]
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file is text");
                let inside =
                    path.strip_prefix(&root).expect("it was found below src").with_extension("");
                let module =
                    inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                let code = code_of(&text);
                found.push(Source {
                    path: inside,
                    module,
                    code: code.split("#[cfg(test)]\nmod ").next().unwrap_or("").to_owned(),
                });
            }
        }
    }
    assert!(found.len() > 20, "the source was not found: only {} files", found.len());
    found.retain(|source| !matches!(source.room(), "main" | "lib"));
    found
}

/// A source text with its comments and literals of text blanked.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            let hashes = rest[1..].chars().take_while(|&c| c == '#').count();
            let close = format!("\"{}", "#".repeat(hashes));
            match rest[1 + hashes..].strip_prefix('"').and_then(|body| body.find(&close)) {
                Some(end) => 1 + hashes + 1 + end + close.len(),
                None => 0,
            }
        } else if first == '"' {
            end_of_text(rest, '"')
        } else if first == '\''
            && (rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\''))
        {
            end_of_text(rest, '\'')
        } else {
            0
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

fn end_of_text(rest: &str, close: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == close => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The first names of what a path or a group of paths begins with: of `{a::b, c}`, `a` and `c`.
fn heads(after: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|&c| c.is_alphanumeric() || c == '_')
            .collect::<String>()
    };
    let Some(group) = after.strip_prefix('{') else { return vec![name(after)] };
    let mut depth = 0;
    let mut heads = vec![name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

/// The rooms that a file imports from.
fn imports(source: &Source) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        rooms.extend(heads(&source.code[at + "crate::".len()..]));
    }
    for (at, _) in source.code.match_indices("super::") {
        if source.code[..at].ends_with("super::") {
            continue;
        }
        let mut rest = &source.code[at..];
        let mut left = source.module.len();
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, left) = (after, left.saturating_sub(1));
        }
        if left == 0 {
            rooms.extend(heads(rest));
        }
    }
    rooms
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn a_file_imports_from_its_own_room_and_from_lower_floors_only() {
    let mut faults = Vec::new();
    for source in sources() {
        let own = floor(source.room())
            .unwrap_or_else(|| panic!("src/{}: a room without a floor", source.room()));
        for room in imports(&source) {
            let above = floor(&room).is_some_and(|floor| floor >= own);
            if room != source.room() && above {
                faults.push(format!(
                    "{}.rs imports from {room}, which is not below it",
                    source.path.display()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_rules_touch_no_socket_file_or_clock_and_do_not_wait() {
    let mut faults = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| ["measure", "sla", "draw", "evidence"].contains(&source.room()))
    {
        for impure in IMPURE {
            let found = if impure.contains(':') {
                source.code.contains(impure)
            } else {
                words(&source.code).any(|word| word == impure)
            };
            if found {
                faults.push(format!("{}.rs names {impure}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_contract_is_judged_and_a_picture_drawn_without_floats() {
    let sources = sources();
    let mut judging = sources.iter().filter(|source| {
        ["sla", "draw"].contains(&source.room()) || source.path == Path::new("base/decimal")
    });
    let fault =
        judging.find(|source| words(&source.code).any(|word| matches!(word, "f32" | "f64")));
    assert!(
        fault.is_none(),
        "{}.rs has a float",
        fault.map_or(String::new(), |source| source.path.display().to_string())
    );
}

#[test]
fn a_forbidden_import_would_be_found() {
    let source = |module: &[&str], code: &str| Source {
        path: PathBuf::new(),
        module: module.iter().map(|&part| part.to_owned()).collect(),
        code: code_of(code),
    };
    for (code, expected) in [
        ("use crate::store::Outbox;", vec!["store"]),
        ("use crate::{base::time::Mono, net::{icmp, http}, cli};", vec!["base", "net", "cli"]),
        ("fn f() { crate::agent::run() }", vec!["agent"]),
        ("use super::super::net::icmp;", vec!["net"]),
        ("use super::chain::Link;", vec![]),
        (
            "// use crate::net;\nlet x = \"crate::net\"; let y = r#\"crate::net\"#; let z = '\"'; \
                /* crate::cli */",
            vec![],
        ),
        ("let quote = '\\''; use crate::net;", vec!["net"]),
    ] {
        assert_eq!(imports(&source(&["evidence", "jws"], code)), expected, "{code}");
    }
    assert_eq!(imports(&source(&["measure"], "use super::net::icmp;")), ["net"]);
}
