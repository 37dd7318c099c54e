//! The contracts that are handed to agents: those that concern a site, with those above them; and
//! the files of a directory.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::base::bounded;
use crate::evidence::answer::ContractText;
use crate::evidence::digest::Digest;

/// A contract file, as far as it is looked at here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filed {
    text: ContractText,
    parent: Option<String>,
    sites: BTreeSet<String>,
}

/// Of some contracts, those that concern a site, by identifier and version: every version of each
/// that names the site, and of those that they name as parents. What cannot be read is left out.
#[must_use]
pub fn concerning(texts: Vec<String>, site: &str) -> Vec<ContractText> {
    let all: Vec<Filed> = texts.into_iter().filter_map(|text| filed(text).ok()).collect();
    let mut wanted: BTreeSet<String> = all
        .iter()
        .filter(|filed| filed.sites.contains(site))
        .map(|filed| filed.text.id.clone())
        .collect();
    // Upwards, until nothing new comes; a circle ends as well.
    loop {
        let parents = all
            .iter()
            .filter(|filed| wanted.contains(&filed.text.id))
            .filter_map(|filed| filed.parent.clone());
        let more: Vec<String> = parents.filter(|parent| !wanted.contains(parent)).collect();
        if more.is_empty() {
            break;
        }
        wanted.extend(more);
    }
    let mut chosen: Vec<ContractText> = all
        .into_iter()
        .filter(|filed| wanted.contains(&filed.text.id))
        .map(|filed| filed.text)
        .collect();
    chosen.sort_by(|one, two| {
        (&one.id, one.version, &one.sha256).cmp(&(&two.id, two.version, &two.sha256))
    });
    chosen
}

/// The contracts of a directory: identifier, version and text of each.
///
/// # Errors
/// When the directory cannot be read.
pub fn all(directory: &Path) -> std::io::Result<Vec<(String, u64, String)>> {
    let filed = all_filed(directory)?.into_iter();
    Ok(filed.map(|filed| (filed.text.id, filed.text.version, filed.text.toml)).collect())
}

fn all_filed(directory: &Path) -> std::io::Result<Vec<Filed>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        match bounded::read_text(&path).map_err(|error| error.to_string()).and_then(filed) {
            Ok(filed) => all.push(filed),
            Err(what) => {
                tracing::warn!(file = %path.display(), "this contract is not handed out: {what}")
            }
        }
    }
    Ok(all)
}

fn filed(toml: String) -> Result<Filed, String> {
    let table: Table = toml.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let agreement =
        table.get("agreement").and_then(Value::as_table).ok_or("it has no [agreement]")?;
    let text = |key: &str| agreement.get(key).and_then(Value::as_str).map(str::to_owned);
    let id = text("id").ok_or("its agreement has no id")?;
    let version = agreement
        .get("version")
        .and_then(Value::as_integer)
        .and_then(|version| u64::try_from(version).ok());
    let version = version.ok_or("its agreement has no version")?;
    let services =
        table.get("service").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let sites = services
        .iter()
        .filter_map(|service| service.get("site")?.as_str().map(str::to_owned))
        .collect();
    let parent = text("parent");
    let sha256 = Digest::of(toml.as_bytes()).hex();
    Ok(Filed { text: ContractText { id, version, sha256, toml }, parent, sites })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_gets_its_contracts_and_those_above_them_and_no_others() {
        let at = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(at.path().join(name), text).unwrap();
        put(
            "a1.toml",
            "[agreement]\nid = \"A\"\nversion = 1\nparent = \"M\"\n[[service]]\nsite = \"leeds\"\n",
        );
        put(
            "a2.toml",
            "[agreement]\nid = \"A\"\nversion = 2\nparent = \"M\"\n[[service]]\nsite = \"york\"\n",
        );
        put("m.toml", "[agreement]\nid = \"M\"\nversion = 1\nparent = \"A\"\n");
        put("b.toml", "[agreement]\nid = \"B\"\nversion = 1\n[[service]]\nsite = \"london\"\n");
        put("broken.toml", "[agreement");
        put("notes.txt", "no contract");
        let names = |site: &str| {
            let texts = all(at.path()).unwrap().into_iter().map(|(.., toml)| toml).collect();
            let all = concerning(texts, site);
            all.iter()
                .map(|each| format!("{}{}", each.id, each.version))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names("leeds"), "A1 A2 M1");
        assert_eq!(names("london"), "B1");
        assert_eq!(names("paris"), "");
    }
}
