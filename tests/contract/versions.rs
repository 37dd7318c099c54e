//! A contract whose version changes within a period: each minute by the version in force then, each
//! outage by the one in force when it began.

use super::support::{Terms, availability, delay, june, month, remedy, stands, verdict};
use wanproof::sla::judge::{InForce, judge_by};
use wanproof::sla::report::{Outcome, Report, Verdict};
use wanproof::sla::{Contract, contract, facts};

const TWO_FROM: &str = "effective_from = \"2026-06-15T00:00:00Z\"";

fn per_hour(credit: &str) -> String {
    remedy(
        "downtime",
        &format!("per_unit = {{ unit = \"3600\", rounding = \"exact\", credit = \"{credit}\" }}"),
    )
}

/// Version 1, and version 2 that holds from 15 June 00:00 UTC on.
fn versions(one: &str, two: &str) -> Vec<InForce> {
    let two = Terms { agreement: TWO_FROM, ..Terms::new("1000.00", two) }
        .text()
        .replace("version = 1", "version = 2");
    let two: Contract =
        contract::parse(&two, "two.toml").unwrap_or_else(|faults| panic!("{faults:#?}"));
    InForce::by_their_terms(vec![two, Terms::new("1000.00", one).parse()])
}

fn judged(versions: &[InForce], facts: &str) -> Report {
    let case = facts::parse(facts, "facts.json").unwrap_or_else(|faults| panic!("{faults:#?}"));
    judge_by(versions, &case.service, case.period, None, &case.facts)
        .unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn of_version(report: &Report, version: Option<u32>) -> &Verdict {
    report.objectives.iter().find(|verdict| verdict.version == version).expect("a verdict by it")
}

#[test]
fn an_outage_belongs_whole_to_the_version_in_force_when_it_began_and_each_minute_to_one() {
    let both = versions(
        &availability("99.9", "", &per_hour("1%")),
        &availability("99.9", "", &per_hour("10%")),
    );
    let report = judged(
        &both,
        &june(&[
            ("2026-06-03T00:00:00Z", "2026-06-03T01:00:00Z"),
            ("2026-06-14T23:30:00Z", "2026-06-15T00:30:00Z"),
            ("2026-06-20T00:00:00Z", "2026-06-20T02:00:00Z"),
        ]),
    );
    assert_eq!((report.version, report.objectives.len(), report.credit.as_str()), (2, 2, "220.00"));
    let stood = |version| {
        let one = of_version(&report, version);
        (
            one.downtime_s.as_deref().unwrap_or(""),
            one.exact.as_deref().unwrap_or(""),
            one.credit.as_str(),
        )
    };
    // 7,200 s of the 1,215,000 s until 00:30, and 7,200 s of the 1,377,000 s after it.
    assert_eq!(stood(Some(1)), ("7200", "99.407407", "20.00"));
    assert_eq!(stood(None), ("7200", "99.477124", "200.00"));
    let told = "version 1 is in force in a part of the period, and judges 2026-05-31T23:00:00Z to \
        2026-06-15T00:30:00Z";
    assert!(of_version(&report, Some(1)).steps.contains(&told.to_owned()), "{report:#?}");
    let json = serde_json::to_value(&report).expect("it can be written");
    assert_eq!(
        (&json["objectives"][0]["version"], json["objectives"][1].get("version")),
        (&1.into(), None)
    );
}

#[test]
fn what_a_versions_part_earned_counts_as_paid_where_the_next_ones_cap_is_applied() {
    let cap = "[[cap]]\nper = \"month\"\nlimit = \"100.00\"\n";
    let both = versions(
        &availability("99.9", "", &per_hour("1%")),
        &availability("99.9", "", &format!("{}{cap}", per_hour("10%"))),
    );
    let events = [
        ("2026-06-03T00:00:00Z", "2026-06-03T02:00:00Z"),
        ("2026-06-20T00:00:00Z", "2026-06-20T02:00:00Z"),
    ];
    let report = judged(&both, &june(&events));
    assert_eq!(report.credit, "100.00");
    let paid = of_version(&report, None)
        .steps
        .iter()
        .any(|step| step.contains("less 20.00 GBP paid before: 80.00 GBP"));
    assert!(paid, "{report:#?}");
}

#[test]
fn a_period_that_one_version_holds_throughout_is_judged_as_by_that_alone() {
    let (one, two) =
        (availability("99.9", "", &per_hour("1%")), availability("99.9", "", &per_hour("10%")));
    let both = versions(&one, &two);
    let in_may = [("2026-05-03T00:00:00Z", "2026-05-03T02:00:00Z")];
    let in_july = [("2026-07-03T00:00:00Z", "2026-07-03T02:00:00Z")];
    for (period, events, version, credit) in
        [("2026-05", in_may, 1, "20.00"), ("2026-07", in_july, 2, "200.00")]
    {
        let report = judged(&both, &month(period, &events));
        assert_eq!((report.version, report.credit.as_str()), (version, credit));
        let alone = InForce::alone(both[version as usize - 1].contract.clone());
        assert_eq!(report, judged(&[alone], &month(period, &events)));
    }
    // Before any version there is nothing to judge by.
    let report = judged(&both, &month("2019-05", &[]));
    assert_eq!(verdict(&report, "avail").result, Outcome::NotDetermined);
}

#[test]
fn a_version_with_the_same_terms_changes_neither_downtime_nor_credit() {
    let terms = availability("99.9", "", &per_hour("1%"));
    let events = [
        ("2026-06-01T00:00:00Z", "2026-06-02T07:00:00Z"),
        ("2026-06-14T22:00:00Z", "2026-06-15T03:00:00Z"),
        ("2026-06-29T22:00:00Z", "2026-06-30T03:00:00Z"),
    ];
    let report = judged(&versions(&terms, &terms), &june(&events));
    assert_eq!(
        report.credit,
        judged(&[InForce::alone(Terms::new("1000.00", terms).parse())], &june(&events)).credit
    );
}

#[test]
fn a_fact_may_name_what_only_one_of_the_versions_has() {
    let both = versions(
        &availability("99.9", "", ""),
        &format!("{}{}", availability("99.9", "", ""), delay("60", "", "")),
    );
    let facts = r#"{"period": "2026-06", "service": "s", "values": {"delay": "61"}}"#;
    assert_eq!(stands(&judged(&both, facts), "delay").0, Outcome::Breached);
    let case =
        facts::parse(&facts.replace("delay", "dely"), "facts.json").expect("it has the form");
    let faults =
        judge_by(&both, "s", case.period, None, &case.facts).expect_err("nothing is called so");
    assert!(
        faults[0].to_string().contains("\"dely\" is no objective of contract \"T\""),
        "{faults:?}"
    );
}

#[test]
fn versions_in_two_currencies_are_not_added_up() {
    let terms = availability("99.9", "", "");
    let mut both = versions(&terms, &terms);
    both[0].contract = Terms { currency: "EUR", ..Terms::new("1000.00", terms) }.parse();
    let case = facts::parse(&june(&[]), "facts.json").expect("it has the form");
    let faults =
        judge_by(&both, "s", case.period, None, &case.facts).expect_err("they do not add up");
    assert!(
        faults[0].to_string().contains("version 1 reckons in EUR, version 2 in GBP"),
        "{faults:?}"
    );
}

#[test]
fn of_versions_by_their_terms_each_is_in_force_until_a_higher_one_begins() {
    let at = |version: u32, from: &str| {
        let text = Terms::new("1000.00", availability("99.9", "", "")).text();
        let text = text.replace("version = 1", &format!("version = {version}"));
        contract::parse(&text.replace("2020-01-01T00:00:00Z", from), "t.toml").expect("a contract")
    };
    // Version 2 was to begin after version 3, which took its place before.
    let all = InForce::by_their_terms(vec![
        at(3, "2026-03-01T00:00:00Z"),
        at(1, "2026-01-01T00:00:00Z"),
        at(2, "2026-04-01T00:00:00Z"),
    ]);
    let shown: Vec<(u32, String, bool)> = all
        .iter()
        .map(|each| {
            (each.contract.agreement.version, each.span.from.to_string(), each.span.is_empty())
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, "2026-01-01T00:00:00Z".to_owned(), false),
            (3, "2026-03-01T00:00:00Z".to_owned(), false),
            (2, "2026-04-01T00:00:00Z".to_owned(), true),
        ]
    );
    assert_eq!(all[0].span.to.to_string(), "2026-03-01T00:00:00Z");
}
