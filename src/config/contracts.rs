//! Contracts' files: a contract's parents are looked for by id among the files that are named, then
//! beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::bounded;
use crate::sla::contract::Written;

/// The parents of a contract, and theirs, that are not among the known but lie in its file's
/// directory, each with its text. What is no contract there is left alone.
#[must_use]
pub fn parents_beside(path: &Path, own: &Written, known: &[Written]) -> Vec<(Written, String)> {
    let mut met = BTreeSet::new();
    let mut found: Vec<(Written, String)> = Vec::new();
    let mut around: Option<Vec<(Written, String)>> = None;
    // Several versions of a parent may each name another one above it.
    let mut open: Vec<String> = own.parent().map(str::to_owned).into_iter().collect();
    while let Some(id) = open.pop() {
        if !met.insert(id.clone()) {
            continue;
        }
        let is = |written: &&Written| written.id() == Some(id.as_str());
        let above = |written: &Written| written.parent().map(str::to_owned);
        let named: Vec<&Written> = known.iter().filter(is).collect();
        if !named.is_empty() {
            open.extend(named.into_iter().filter_map(above));
            continue;
        }
        let around = around.get_or_insert_with(|| directory_of(path));
        let those = around.iter().filter(|(written, _)| is(&written)).cloned();
        for (written, text) in those {
            open.extend(above(&written));
            found.push((written, text));
        }
    }
    found
}

fn directory_of(path: &Path) -> Vec<(Written, String)> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|found| {
        found.extension().is_some_and(|extension| extension == "toml") && found != path
    });
    // What is no file, a pipe say, could keep whoever reads it waiting.
    paths.retain(|found| found.metadata().is_ok_and(|found| found.is_file()));
    paths.sort();
    let read = |path: PathBuf| {
        let text = bounded::read_text(&path).ok()?;
        Some((Written::read(&text, &path.display().to_string()).ok()?, text))
    };
    paths.into_iter().filter_map(read).collect()
}
