//! Contracts' files: a contract's parents are looked for by id among the files that are named, then beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::bounded;
use crate::sla::contract::Written;

/// The parents of a contract, and theirs, that are not among the known but lie in its file's directory, each with its
/// text. What is no contract there is left alone.
#[must_use]
pub fn parents_beside(path: &Path, own: &Written, known: &[Written]) -> Vec<(Written, String)> {
    let mut met = BTreeSet::new();
    let mut found: Vec<(Written, String)> = Vec::new();
    let mut around: Option<Vec<(Written, String)>> = None;
    let mut next = own.parent().map(str::to_owned);
    while let Some(id) = next.take_if(|id| met.insert(id.clone())) {
        let is = |written: &Written| written.id() == Some(id.as_str());
        if let Some(parent) = known.iter().chain(found.iter().map(|(written, _)| written)).find(|written| is(written)) {
            next = parent.parent().map(str::to_owned);
            continue;
        }
        let around = around.get_or_insert_with(|| directory_of(path));
        let mut those: Vec<_> = around.iter().filter(|(written, _)| is(written)).cloned().collect();
        next = those.first().and_then(|(written, _)| written.parent()).map(str::to_owned);
        found.append(&mut those);
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
    paths.retain(|found| found.extension().is_some_and(|extension| extension == "toml") && found != path);
    paths.sort();
    let read = |path: PathBuf| {
        let text = bounded::read_text(&path).ok()?;
        Some((Written::read(&text, &path.display().to_string()).ok()?, text))
    };
    paths.into_iter().filter_map(read).collect()
}
