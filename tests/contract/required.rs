//! Every key of the format, taken away, doubled in kind, or joined by a stranger: what the page
//! does not call optional is refused by its name, and nothing else is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wanproof::sla::{contract, facts};

const FULL: &str = include_str!("../testdata/contracts/full.toml");
/// Of each key of that contract, what is told when it is absent: read off the format's page.
const REQUIRED: &str = include_str!("../testdata/contracts/full.required");
const FACTS: &str = include_str!("../testdata/contracts/full.facts.json");
const FACTS_REQUIRED: &str = include_str!("../testdata/contracts/full.facts.required");

/// A key of a document.
#[derive(Clone, Debug)]
struct Key {
    /// As faults call it.
    place: String,
    /// The table that has it, as a JSON pointer.
    table: String,
    name: String,
}

impl Key {
    fn of<'a>(&self, document: &'a mut Value) -> &'a mut serde_json::Map<String, Value> {
        document.pointer_mut(&self.table).and_then(Value::as_object_mut).expect("a table is there")
    }
}

/// A document, and how its faults name places.
#[derive(Clone, Copy)]
enum Form {
    /// Elements of a section are called by their ids, all others are counted from 1.
    Contract,
    /// Elements are counted from 0.
    Facts,
}

impl Form {
    fn read(self, text: &str) -> Value {
        match self {
            Self::Contract => {
                serde_json::to_value(text.parse::<toml::Table>().expect("TOML")).expect("tables")
            }
            Self::Facts => serde_json::from_str(text).expect("JSON"),
        }
    }

    /// The faults of a document.
    fn faults(self, document: &Value) -> Vec<String> {
        let faults = match self {
            Self::Contract => {
                contract::parse(&toml::to_string(document).expect("TOML"), "c.toml").err()
            }
            Self::Facts => facts::parse(&document.to_string(), "f.json").err(),
        };
        faults.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Contract => "c.toml",
            Self::Facts => "f.json",
        }
    }

    /// All keys of a document, at whatever depth.
    fn keys(self, document: &Value) -> Vec<Key> {
        let mut all = Vec::new();
        self.walk(document, "", ("", ""), &mut all);
        all
    }

    fn walk(self, value: &Value, pointer: &str, (object, path): (&str, &str), all: &mut Vec<Key>) {
        let Some(table) = value.as_object() else { return };
        for (name, value) in table {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let place = if object.is_empty() { path.clone() } else { format!("{object}: {path}") };
            all.push(Key { place, table: pointer.to_owned(), name: name.clone() });
            let pointer = format!("{pointer}/{name}");
            self.walk(value, &pointer, (object, &path), all);
            for (number, element) in value.as_array().into_iter().flatten().enumerate() {
                let pointer = format!("{pointer}/{number}");
                match self {
                    Self::Contract if object.is_empty() && path == *name => {
                        let id = element["id"]
                            .as_str()
                            .map_or((number + 1).to_string(), |id| format!("{id:?}"));
                        self.walk(element, &pointer, (&format!("{name} {id}"), ""), all);
                    }
                    Self::Contract => {
                        self.walk(
                            element,
                            &pointer,
                            (object, &format!("{path}[{}]", number + 1)),
                            all,
                        );
                    }
                    Self::Facts => {
                        self.walk(element, &pointer, (object, &format!("{path}[{number}]")), all)
                    }
                }
            }
        }
    }

    /// What is told of each key when it is absent.
    fn absences(self, text: &str) -> Vec<String> {
        let whole = self.read(text);
        assert_eq!(self.faults(&whole), Vec::<String>::new());
        let mut told: Vec<String> = self
            .keys(&whole)
            .iter()
            .map(|key| {
                let mut without = whole.clone();
                key.of(&mut without).remove(&key.name);
                let faults = self.faults(&without);
                let what =
                    if faults.is_empty() { "may be absent".to_owned() } else { faults.join(" | ") };
                format!("{} -> {what}", key.place)
            })
            .collect();
        told.sort();
        told
    }
}

/// Fails with the first line that is another.
fn same(told: &[String], expected: &str) {
    for (told, expected) in told.iter().zip(expected.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.lines().count());
}

#[test]
fn every_term_that_a_contract_needs_is_refused_by_name_when_it_is_absent() {
    same(&Form::Contract.absences(FULL), REQUIRED);
    // The words of the format are all in the contract that they were taken from.
    let page =
        include_str!("../testdata/contracts/page.toml").parse::<toml::Table>().expect("TOML");
    let names = |value: &Value| -> std::collections::BTreeSet<String> {
        Form::Contract.keys(value).into_iter().map(|key| key.name).collect()
    };
    let missing: Vec<String> = names(&serde_json::to_value(page).expect("tables"))
        .difference(&names(&Form::Contract.read(FULL)))
        .cloned()
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_fact_that_is_needed_is_refused_by_name_when_it_is_absent() {
    same(&Form::Facts.absences(FACTS), FACTS_REQUIRED);
}

#[test]
fn all_terms_that_are_absent_are_told_at_once() {
    // Those whose absence changes what else is needed are left where they are.
    const DECIDE: [&str; 7] =
        ["id", "metric", "definition", "mode", "denominator", "statistic", "credit"];
    let mut document = Form::Contract.read(FULL);
    let alone: BTreeMap<&str, &str> =
        REQUIRED.lines().filter_map(|line| line.split_once(" -> ")).collect();
    let mut expected = Vec::new();
    for key in Form::Contract.keys(&document) {
        let told = alone[key.place.as_str()];
        let inner = document.pointer(&format!("{}/{}", key.table, key.name));
        let is_table = |value: &Value| value.is_object();
        let has_tables = inner.is_some_and(|value| {
            is_table(value) || value.as_array().is_some_and(|all| all.iter().any(is_table))
        });
        if inner.is_some()
            && !has_tables
            && !DECIDE.contains(&key.name.as_str())
            && !key.table.starts_with("/termination/0/any")
            && told.contains(": missing: ")
        {
            key.of(&mut document).remove(&key.name);
            expected.push(told.to_owned());
        }
    }
    assert!(expected.len() > 100, "{}", expected.len());
    expected.sort();
    let mut told = Form::Contract.faults(&document);
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_stranger_is_told_in_every_table() {
    for (form, text) in [(Form::Contract, FULL), (Form::Facts, FACTS)] {
        let whole = form.read(text);
        let keys = form.keys(&whole);
        let mut tables: BTreeMap<&str, &Key> = BTreeMap::new();
        keys.iter().for_each(|key| _ = tables.entry(&key.table).or_insert(key));
        // These hold whatever objectives there are.
        tables.retain(|table, _| !["/values", "/counts"].contains(table));
        assert!(tables.len() > 8, "{tables:?}");
        for (table, key) in tables {
            let mut with = whole.clone();
            key.of(&mut with).insert("zzzzzzzz".to_owned(), json!(1));
            let before = key.place.strip_suffix(&key.name).expect("a place ends with its key");
            assert_eq!(
                form.faults(&with),
                [format!("{}: {before}zzzzzzzz: unknown key", form.file())],
                "{table}"
            );
        }
    }
}

#[test]
fn a_floating_point_number_is_told_wherever_it_stands() {
    for (form, text) in [(Form::Contract, FULL), (Form::Facts, FACTS)] {
        let whole = form.read(text);
        for key in form.keys(&whole) {
            let mut with = whole.clone();
            key.of(&mut with).insert(key.name.clone(), json!(1.5));
            let told = form.faults(&with);
            let place = format!("{}: {}", form.file(), key.place);
            // An element whose id is no text is counted.
            let told_here =
                told.iter().any(|told| told.starts_with(&place) && told.contains("1.5"));
            assert!(told_here || (key.name == "id" && !told.is_empty()), "{place}: {told:?}");
        }
    }
}

#[test]
fn a_date_that_is_none_is_told_wherever_it_stands() {
    for (form, text) in [(Form::Contract, FULL), (Form::Facts, FACTS)] {
        let whole = form.read(text);
        let mut seen = 0;
        for key in form.keys(&whole) {
            let mut with = whole.clone();
            let value =
                with.pointer_mut(&format!("{}/{}", key.table, key.name)).expect("it is there");
            let (value, place) = match value {
                Value::Array(all) if key.name == "holidays" => {
                    (&mut all[0], format!("{}[1]", key.place))
                }
                value => (value, key.place.clone()),
            };
            let is_date =
                value.as_str().is_some_and(|text| text.len() >= 10 && text.starts_with("20"));
            if !is_date {
                continue;
            }
            let none = format!("2026-02-30{}", &value.as_str().expect("a text")[10..]);
            *value = json!(none);
            let told = form.faults(&with);
            let expected = format!("{}: {place}: {none:?} is not a ", form.file());
            assert!(told.len() == 1 && told[0].starts_with(&expected), "{expected}: {told:?}");
            seen += 1;
        }
        assert!(seen >= 6, "{seen}");
    }
}
