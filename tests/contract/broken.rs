//! Broken contracts and facts: each fault told exactly, all at once.

use wanproof::sla::contract::{Written, parse, resolve, shown};
use wanproof::sla::facts;

const PAGE: &str = include_str!("../testdata/contracts/page.toml");
const BROKEN: &str = include_str!("../testdata/contracts/broken.toml");
const FACTS: &str = include_str!("../testdata/contracts/page.facts.json");
const BROKEN_FACTS: &str = include_str!("../testdata/contracts/broken-facts.toml");

/// One case of a table: the page with edits, and the faults that are then told.
struct Case {
    name: String,
    edits: Vec<(String, String)>,
    faults: Vec<String>,
}

fn cases(table: &str) -> Vec<Case> {
    let table: toml::Table = table.parse().expect("the table of cases is TOML");
    let text = |value: &toml::Value| value.as_str().expect("a text").to_owned();
    let cases = table["case"].as_array().expect("cases");
    cases
        .iter()
        .map(|case| Case {
            name: text(&case["name"]),
            edits: case["edits"]
                .as_array()
                .expect("edits")
                .iter()
                .map(|edit| (text(&edit["find"]), text(&edit["put"])))
                .collect(),
            faults: case["faults"].as_array().expect("faults").iter().map(text).collect(),
        })
        .collect()
}

fn edited(text: &str, case: &Case) -> String {
    case.edits.iter().fold(text.to_owned(), |text, (find, put)| {
        assert!(text.contains(find), "{}: nothing to edit at {find:?}", case.name);
        text.replacen(find, put, 1)
    })
}

#[test]
fn the_page_itself_is_right() {
    assert_eq!(parse(PAGE, "c.toml").map(|contract| contract.version()), Ok(3));
}

#[test]
fn every_broken_contract_is_told_exactly_what_is_wrong() {
    for case in cases(BROKEN) {
        let faults = parse(&edited(PAGE, &case), "c.toml").expect_err(&case.name);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, case.faults, "{}", case.name);
    }
}

#[test]
fn broken_facts_are_told_exactly_what_is_wrong() {
    let contract = parse(PAGE, "c.toml").unwrap();
    for case in cases(BROKEN_FACTS) {
        let read = facts::parse(&edited(FACTS, &case), "f.json");
        let faults = read
            .and_then(|facts| wanproof::sla::judge_facts(&contract, &facts))
            .expect_err(&case.name);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, case.faults, "{}", case.name);
    }
}

#[test]
fn a_lower_contract_inherits_whole_tables_and_arrays() {
    let (agreement, rest) = PAGE.split_once("[[service]]").unwrap();
    let (service, tables) = rest.split_once("[[exclusion]]").unwrap();
    // The child has its service only; all else is its parent's.
    let child = format!("{}[[service]]{service}", agreement.replace("ACME-MSA", "MSA"));
    let parent_agreement = agreement
        .replace("id = \"ACME-MPLS-2026\"", "id = \"MSA\"")
        .replace("level = \"service\" ", "level = \"customer\" ")
        .replace("parent = \"ACME-MSA\"", "# no parent")
        .replace("currency = \"GBP\"", "currency = \"EUR\"");
    let parent = format!("{parent_agreement}[[exclusion]]{tables}");
    let (child, parent) = (
        Written::read(&child, "child.toml").unwrap(),
        Written::read(&parent, "parent.toml").unwrap(),
    );
    let contract = resolve(&child, std::slice::from_ref(&parent)).unwrap();
    assert_eq!((contract.objectives.len(), contract.agreement.currency.code.as_str()), (2, "GBP"));
    let sections = shown(&child, std::slice::from_ref(&parent));
    let of = |name: &str| sections.iter().find(|section| section.section == name).unwrap();
    assert_eq!((of("service").from.as_str(), of("claim").from.as_str()), ("ACME-MPLS-2026", "MSA"));
    assert_eq!(of("claim").file, "parent.toml");
    let term = |section: &str, element: &str, key: &str| {
        let terms = &of(section).terms;
        terms
            .iter()
            .find(|term| term.of.as_deref() == Some(element) && term.key == key)
            .map(|term| term.value.clone())
    };
    assert_eq!(term("objective", "avail", "outage.misses").as_deref(), Some("3"));
    assert_eq!(term("objective", "delay", "remedy.driver").as_deref(), Some("\"excess_percent\""));
    // An own section replaces the parent's whole.
    let own = format!("{agreement}[[cap]]\nper = \"year\"\nlimit = \"900.00\"\n")
        .replace("ACME-MSA", "MSA");
    let sections = shown(&Written::read(&own, "own.toml").unwrap(), std::slice::from_ref(&parent));
    let cap = sections.iter().find(|section| section.section == "cap").unwrap();
    assert_eq!(
        (cap.from.as_str(), cap.replaces.as_slice()),
        ("ACME-MPLS-2026", ["MSA".to_owned()].as_slice())
    );
    assert_eq!(
        cap.terms.iter().map(|term| term.value.as_str()).collect::<Vec<_>>(),
        ["\"900.00\"", "\"year\""]
    );
    // A template above the services may stand alone.
    assert!(resolve(&parent, &[]).is_ok());
    // Without its parent the child lacks what is required.
    let told: Vec<String> =
        resolve(&child, &[]).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["child.toml: objective: missing: a contract that judges services needs it, and its \
                parent \"MSA\" was not found"]
    );
}

#[test]
fn a_parent_that_is_not_found_is_no_fault_where_nothing_is_missing() {
    assert!(PAGE.contains("parent = \"ACME-MSA\""));
    assert!(parse(PAGE, "c.toml").is_ok());
}

#[test]
fn a_parents_faults_are_told_with_its_own_file() {
    let child = PAGE.split("[[exclusion]]").next().unwrap();
    let child = Written::read(child, "child.toml").unwrap();
    let parent = PAGE
        .replace("id = \"ACME-MPLS-2026\"", "id = \"ACME-MSA\"")
        .replace("rule = \"max\"", "rule = \"most\"");
    let parent = Written::read(&parent, "parent.toml").unwrap();
    let mut told: Vec<String> =
        resolve(&child, &[parent]).unwrap_err().iter().map(ToString::to_string).collect();
    told.sort();
    let expected = [
        "parent.toml: agreement.level: \"ACME-MSA\" is of level service, and must be of a higher \
            one than service",
        "parent.toml: agreement.parent: \"ACME-MSA\" is a parent of itself",
        "parent.toml: combine 1: rule: \"most\" is not one of sum, max, first",
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_a_terminal_would_obey_or_turn_around_is_in_no_text_of_a_contract() {
    let texts =
        ["id = \"ACME", "provider = { name = \"", "contact = \"", "site = \"", "probes = [\""];
    for at in texts {
        for (written, said) in [
            ("\\u0000", "U+0000"),
            ("\\u001B[2J", "U+001B"),
            ("\\r\\n", "U+000D"),
            ("\\u202E", "U+202E"),
        ] {
            let put = PAGE.replacen(at, &format!("{at}{written}"), 1);
            assert_ne!(put, PAGE, "{at}");
            let told = parse(&put, "c.toml").expect_err(at);
            assert!(
                told.iter().any(|fault| fault.to_string().contains(said)),
                "{at}{written}: {told:?}"
            );
        }
        let put = PAGE.replacen(at, &format!("{at}{}", "x".repeat(201)), 1);
        assert!(parse(&put, "c.toml").is_err(), "{at} of 201 characters and more");
    }
}
