//! A contract as it comes out once its parents are put in: every term as it was written, and which
//! contract it is from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sla::contract::{END, SECTIONS, Written, ancestry};
use crate::sla::reader::{Faults, Node};

/// One of the top-level tables or arrays. It is one contract's whole, so that every term in it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its name.
    pub section: &'static str,
    /// The id of the contract that it is from.
    pub from: String,
    /// What that contract's file is called.
    pub file: String,
    /// The ids of contracts of higher levels whose own it replaces.
    pub replaces: Vec<String>,
    /// Its terms.
    pub terms: Vec<Term>,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// Which element of the section it belongs to, by its id or else its number; absent in a
    /// section that is one table.
    pub of: Option<String>,
    /// Its key, with those of the tables that it is in: `outage.misses`.
    pub key: String,
    /// Its value as TOML.
    pub value: String,
}

/// Every section that the contract has or inherits, in the order of the format's page. Parents are
/// looked for as [`resolve`](super::resolve) does.
#[must_use]
pub fn shown(own: &Written, others: &[Written]) -> Vec<Section> {
    let faults = Faults::default();
    let line = ancestry(own, others, END, &faults).line;
    let name = |written: &Written| written.id().unwrap_or_default().to_owned();
    let of_section = |section: &'static str| {
        let mut holders =
            line.iter().copied().filter(|written| written.table.contains_key(section));
        let holder = holders.next()?;
        Some(Section {
            section,
            from: name(holder),
            file: holder.file.clone(),
            // Every contract has an agreement of its own.
            replaces: if section == "agreement" { Vec::new() } else { holders.map(name).collect() },
            terms: terms(holder.table.get(section)?),
        })
    };
    SECTIONS.into_iter().filter_map(of_section).collect()
}

fn terms(section: &Node) -> Vec<Term> {
    let mut all = Vec::new();
    match section {
        Node::Table(table) => flatten(None, "", table, &mut all),
        Node::List(list) => {
            for (number, element) in (1..).zip(list) {
                let Node::Table(table) = element else { continue };
                let of = match table.get("id") {
                    Some(Node::Text(id)) => id.clone(),
                    _ => i32::to_string(&number),
                };
                flatten(Some(&of), "", table, &mut all);
            }
        }
        _ => {}
    }
    all
}

/// A table's own terms, then those of the tables in it; party tables and the like, which hold a
/// line, stay in one.
fn flatten(of: Option<&str>, path: &str, table: &BTreeMap<String, Node>, all: &mut Vec<Term>) {
    let key = |key: &String| if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
    let is_large =
        |name: &str| ["measure", "outage", "qualify", "aggregate", "remedy"].contains(&name);
    for (name, node) in table.iter().filter(|(name, _)| !is_large(name) && *name != "id") {
        all.push(Term { of: of.map(str::to_owned), key: key(name), value: node.to_string() });
    }
    for (name, node) in table.iter().filter(|(name, _)| is_large(name)) {
        match node {
            Node::Table(inner) => flatten(of, &key(name), inner, all),
            other => all.push(Term {
                of: of.map(str::to_owned),
                key: key(name),
                value: other.to_string(),
            }),
        }
    }
}
