//! Drafts of tickets and claims, and deadlines counted down.

use wanproof::sla::deadline::DeadlineKind;
use wanproof::sla::letter::{self, NoLetter};
use wanproof::sla::report::Report;
use wanproof::sla::{Contract, Facts, contract, facts};

const PAGE: &str = include_str!("../testdata/contracts/page.toml");
const FACTS: &str = include_str!("../testdata/contracts/page.facts.json");

fn page(facts: &str) -> (Contract, Report, Facts) {
    let contract = contract::parse(PAGE, "c.toml").expect("a contract");
    let case = facts::parse(facts, "f.json").expect("facts");
    let report = wanproof::sla::judge_facts(&contract, &case).expect("facts that fit");
    (contract, report, case.facts)
}

#[test]
fn a_claims_letter_names_circuit_clause_money_deadline_and_each_outage_by_both_clocks() {
    let (contract, report, facts) = page(FACTS);
    let draft = letter::claim(&contract, &report, &facts).unwrap();
    assert_eq!(draft.to, "Example Carrier <noc@carrier.example>");
    assert_eq!(
        draft.subject,
        "Claim of 400.00 GBP: agreement ACME-MPLS-2026 version 3, circuit ckt-0042, 2026-06"
    );
    for part in [
        "we claim a credit of 400.00 GBP for circuit ckt-0042 at site leeds-01 in 2026-06.",
        "Clause: objective \"avail\", availability >= 99.9 percent each month",
        "Promised >= 99.9 percent, actual 99.46 percent: breached.",
        "  1. from 2026-06-03T01:00:00Z to 2026-06-03T01:12:30Z\n     by our clock 12 min (750 \
            s), which counts whole\n",
        // From the ticket's opening to the restoration, which was before its closing, less what
        // waited for the customer: none of it lies before the restoration.
        "     by your ticket T-1, opened 2026-06-03T01:05:00Z (300 s after the beginning), closed \
            2026-06-03T02:00:00Z: 450 s\n",
        "  2. from 2026-06-09T01:00:00Z to 2026-06-09T04:40:00Z\n     by our clock 3 h 40 min \
            (13200 s), which counts whole\n     no ticket",
        "to be claimed within 30 days of the period end, and settled by next invoice. The last \
         day to claim it is 2026-07-30 (in 28 days).",
    ] {
        assert!(draft.text.contains(part), "{part}\nin\n{}", draft.text);
    }
    // What was excluded whole is no outage that is claimed for.
    assert!(!draft.text.contains("2026-06-21"), "{}", draft.text);
}

#[test]
fn the_providers_own_log_stands_beside_our_clock_where_it_differs() {
    let (contract, report, mut facts) = page(FACTS);
    facts.events[1].from = "2026-06-09T01:30:00Z".parse().unwrap();
    let draft = letter::claim(&contract, &report, &facts).unwrap();
    let theirs =
        "by your log from 2026-06-09T01:30:00Z to 2026-06-09T04:40:00Z: 3 h 10 min (11400 s)";
    assert!(draft.text.contains(theirs), "{}", draft.text);
}

#[test]
fn a_ticket_is_for_the_first_outage_that_has_none() {
    let (contract, report, _) = page(FACTS);
    let draft = letter::ticket(&contract, &report).unwrap();
    assert_eq!(draft.subject, "Outage of circuit ckt-0042: was down from 2026-06-09T01:00:00Z");
    for part in [
        "Ended:   2026-06-09T04:40:00Z, after 3 h 40 min (13200 s) by our clock",
        "Down is: from the first of 3 failed probes in a row until the first of 3 answered in a \
            row",
        "by 2026-06-12T01:00:00Z (20 days ago)",
    ] {
        assert!(draft.text.contains(part), "{part}\nin\n{}", draft.text);
    }
}

#[test]
fn nothing_is_claimed_where_nothing_is_due() {
    let quiet = r#"{"period": "2026-06", "service": "ckt-0042"}"#;
    let (contract, report, facts) = page(quiet);
    assert!(matches!(letter::claim(&contract, &report, &facts), Err(NoLetter::NoCredit { .. })));
    assert!(matches!(letter::ticket(&contract, &report), Err(NoLetter::NoOutage { .. })));
    let other = contract::parse(&PAGE.replace("version = 3", "version = 4"), "c.toml").unwrap();
    let told = letter::claim(&other, &report, &facts).unwrap_err().to_string();
    assert_eq!(
        told,
        "the report is of ACME-MPLS-2026 version 3, and the contract is ACME-MPLS-2026 version 4"
    );
}

#[test]
fn every_deadline_of_a_report_is_counted_down_the_earliest_first() {
    let (_, report, _) = page(FACTS);
    let now = report.as_of.unwrap();
    let told: Vec<String> = report
        .deadlines
        .iter()
        .map(|each| format!("{} {} {} {:?}", each.kind, each.by, each.left(now), each.kept))
        .collect();
    assert_eq!(
        told,
        [
            "duty 2026-06-03T05:00:00Z 29 days ago Some(true)",
            "ticket 2026-06-06T01:00:00Z 26 days ago Some(true)",
            "duty 2026-06-09T05:00:00Z 23 days ago None",
            "duty 2026-06-21T06:00:00Z 11 days ago None",
            "claim 2026-07-30 in 28 days None",
        ]
    );
    // A local date ends with its local day: British summer time is an hour ahead of UTC.
    let claim = report.deadlines.iter().find(|each| each.kind == DeadlineKind::Claim).unwrap();
    assert_eq!(claim.ends.to_string(), "2026-07-30T23:00:00Z");
}

#[test]
fn a_running_period_says_what_is_left_of_the_downtime_that_the_target_allows() {
    let running = FACTS.replace("2026-07-02T09:00:00Z", "2026-06-05T00:00:00Z");
    let (_, report, _) = page(&running);
    let budget = report.objectives[0].budget.clone().unwrap();
    assert_eq!((budget.allowed_s.as_str(), budget.left_s.as_str()), ("2592", "1842"));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["objectives"][0]["budget"]["left_s"], "1842");
    // Once it has ended nothing is left or not.
    assert_eq!(page(FACTS).1.objectives[0].budget, None);
}
