//! Circles of imports between files: files of which each, over the others, imports from itself.
//!
//! A file imports from another where it names an item of it: in a `use`, or by a path in its code.
//! Only to declare a module, or to name it in a `use`, is no import; to use what is in it is one.
//! What a file re-exports is its own. A module and its children are one whole: a child may take what
//! its parents define, and that counts as no import either.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// Where each file imports from, and the names that it takes there.
type Imports = BTreeMap<String, Taken>;
type Taken = BTreeMap<String, BTreeSet<String>>;

/// The pieces of a source text that paths and `use` lines are made of.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The path that begins at `at`, and the place after it.
fn path_at(tokens: &[String], mut at: usize) -> (Vec<String>, usize) {
    let mut path = vec![tokens[at].clone()];
    at += 1;
    while tokens.get(at).is_some_and(|token| token == "::")
        && tokens.get(at + 1).is_some_and(|token| is_name(token))
    {
        path.push(tokens[at + 1].clone());
        at += 2;
    }
    (path, at)
}

/// Reads a tree of a `use` from `at` on: each path with the name that it gets in this file.
fn tree(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    leaves: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("::") => at += 1,
            Some("{") => {
                at += 1;
                while tokens[at] != "}" {
                    at = tree(tokens, at, &path, leaves);
                    at += usize::from(tokens[at] == ",");
                }
                return at + 1;
            }
            Some("*") => {
                path.push("*".to_owned());
                leaves.push((path, "*".to_owned()));
                return at + 1;
            }
            Some("as") => {
                leaves.push((path, tokens[at + 1].clone()));
                return at + 2;
            }
            Some("self") if !path.is_empty() => at += 1,
            Some(name) if is_name(name) => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                leaves.push((path, name));
                return at;
            }
        }
    }
}

/// The modules of the package, each by its path.
struct Modules(BTreeSet<Vec<String>>);

impl Modules {
    /// A path as seen in `module`, from the package's root; none for a path into another package.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let up = path.iter().take_while(|name| *name == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            "self" => (module, &path[1..]),
            "super" => (&module[..module.len().saturating_sub(up)], &path[up..]),
            first => {
                let child = [module, &[first.to_owned()]].concat();
                (self.0.contains(&child).then_some(module)?, path)
            }
        };
        Some([base, rest].concat())
    }

    /// The file that a path leads to and the name that is taken from it; none for a mere module.
    fn item(&self, path: &[String]) -> Option<(String, String)> {
        let depth = (1..=path.len()).rev().find(|&depth| self.0.contains(&path[..depth]))?;
        Some((path[..depth].join("/"), path.get(depth)?.clone()))
    }
}

/// Where one file imports from.
fn imports_of(source: &Source, modules: &Modules) -> Taken {
    let tokens = tokens(&source.code);
    let mut local: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            let mut leaves = Vec::new();
            at = tree(&tokens, at + 1, &[], &mut leaves);
            for (path, name) in leaves {
                if let Some(path) = modules.absolute(&source.module, &path) {
                    local.insert(name, path.clone());
                    paths.push(path);
                }
            }
        } else if is_name(&tokens[at]) {
            at = path_at(&tokens, at).1;
        } else {
            at += 1;
        }
    }
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            at = tree(&tokens, at + 1, &[], &mut Vec::new());
        } else if is_name(&tokens[at]) {
            let (path, after) = path_at(&tokens, at);
            if path.len() > 1 {
                paths.extend(match local.get(&path[0]) {
                    Some(bound) => Some([bound, &path[1..]].concat()),
                    None => modules.absolute(&source.module, &path),
                });
            }
            at = after;
        } else {
            at += 1;
        }
    }
    let own = source.module.join("/");
    let is_above = |file: &str| own.strip_prefix(file).is_some_and(|rest| rest.starts_with('/'));
    let mut from = Taken::new();
    for (file, name) in paths.iter().filter_map(|path| modules.item(path)) {
        if file != own && !is_above(&file) {
            from.entry(file).or_default().insert(name);
        }
    }
    from
}

fn imports(sources: &[Source]) -> Imports {
    let modules = Modules(sources.iter().map(|source| source.module.clone()).collect());
    sources.iter().map(|source| (source.module.join("/"), imports_of(source, &modules))).collect()
}

/// The files that a file's imports lead to, over any number of files.
fn reached<'a>(imports: &'a Imports, file: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![file];
    while let Some((_, from)) = open.pop().and_then(|next| imports.get_key_value(next)) {
        open.extend(from.keys().map(String::as_str).filter(|next| reached.insert(*next)));
    }
    reached
}

/// The circles, each as its files.
fn circles(imports: &Imports) -> BTreeSet<BTreeSet<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (file.as_str(), reached(imports, file))).collect();
    reached
        .iter()
        .filter(|(file, others)| others.contains(*file))
        .map(|(file, others)| {
            others.iter().copied().filter(|other| reached[other].contains(file)).collect()
        })
        .collect()
}

#[test]
fn no_file_imports_from_itself_over_others() {
    let sources = sources();
    let imports = imports(&sources);
    let mut said = String::new();
    for circle in circles(&imports) {
        said += &format!("\na circle of {} files\n", circle.len());
        for file in &circle {
            for (other, names) in &imports[*file] {
                if circle.contains(other.as_str()) {
                    said += &format!("  {file}.rs takes {names:?} from {other}.rs\n");
                }
            }
        }
    }
    assert!(said.is_empty(), "{said}");
}

#[test]
fn a_circle_would_be_found() {
    let source = |path: &str, code: &str| Source {
        path: path.into(),
        module: path.split('/').map(str::to_owned).collect(),
        code: super::code_of(code),
    };
    let circles_of = |codes: [&str; 3]| {
        let sources = [source("a", codes[0]), source("a/b", codes[1]), source("c", codes[2])];
        let imports = imports(&sources);
        circles(&imports)
            .into_iter()
            .map(|circle| circle.into_iter().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    for (codes, expected) in [
        (["mod b; use b::B;", "use super::A;", "use crate::a::{A, b::B};"], ""),
        (["mod b; fn f() { b::g() }", "use crate::c::C;", "use super::a::f;"], "a a/b c"),
        (["mod b; use b::B;", "use crate::c::C;", "use crate::a;"], ""),
        (["use crate::c::C;", "", "use crate::{a::{self, b}, base}; type X = a::A;"], "a c"),
        (["use crate::c::C;", "", "use crate::{a::{self, b}, base}; type X = b::B;"], ""),
        (["", "use crate::c;\nfn f() -> c::C", "use crate::a::b as d; fn f() { d::g() }"], "a/b c"),
        (["", "use super::super::c::*;", "use crate::a::b::{B, C as D};"], "a/b c"),
        (["", "// use crate::c::C;", "use crate::a::b::B;"], ""),
        (["use crate::c::C;", "use super::A;", "use crate::a::b::B;"], ""),
    ] {
        assert_eq!(circles_of(codes).join(", "), expected, "{codes:?}");
    }
}
