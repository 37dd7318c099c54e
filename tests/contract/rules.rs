//! The format's rules that are easily misread, one by one: from facts, and where it can be from
//! measurement too.

use super::support::{
    Terms, availability, delay, judge, june, month, remedy, restore, service, verdict,
};
use wanproof::sla::report::{Outcome, Report};
use wanproof::sla::{Contract, contract, facts};

fn downtime(report: &Report) -> &str {
    verdict(report, "avail").downtime_s.as_deref().unwrap_or_default()
}

fn coverage(report: &Report) -> &str {
    &verdict(report, "avail").coverage
}

fn claim_by(report: &Report) -> Option<String> {
    report.claim.by.map(|by| by.to_string())
}

fn ticket_by(report: &Report) -> Option<String> {
    report.claim.ticket_by.map(|by| by.to_string())
}

/// Facts of June 2026 with these events as they are written, and what else is said.
fn facts_of(events: &str, more: &str) -> String {
    format!(r#"{{"period": "2026-06", "service": "s", "events": [{events}] {more}}}"#)
}

const PER_HOUR: &str = r#"per_unit = { unit = "3600", rounding = "up", credit = "1%" }"#;

fn on_request(counted: &str) -> String {
    format!(
        "[claim]\nmode = \"on_request\"\nticket_within = \"72h\"\nwithin = 10\nunit \
            = \"days\"\ncounted_from = \"{counted}\"\n\
         rounding = \"half_up\"\nsettled = \"next_invoice\"\n"
    )
}

fn ticketed(driver: &str) -> String {
    remedy(driver, PER_HOUR).replace("requires_ticket = false", "requires_ticket = true")
}

// ---- 1. Outages

#[test]
fn a_piece_of_a_long_outage_qualifies_by_its_own_time_in_the_window() {
    let qualify =
        "[objective.qualify]\nlonger_than = \"10m\"\nwithin = \"1h\"\nsplit_at = \"day\"\n";
    let terms =
        Terms { timezone: "UTC", ..Terms::new("3000.00", availability("99.9", "", qualify)) };
    // Five days, of which the first and the last hold five minutes each: beside them lies a full
    // hour.
    assert_eq!(
        downtime(&terms.judge(&june(&[("2026-06-10T23:55:00Z", "2026-06-14T00:05:00Z")]))),
        "259800"
    );
    // Nine minutes by themselves are too short.
    assert_eq!(
        downtime(&terms.judge(&june(&[("2026-06-10T12:00:00Z", "2026-06-10T12:09:00Z")]))),
        "0"
    );
}

#[test]
fn holidays_do_not_shorten_hours() {
    let hours = "hours = { days = [\"Mon\"], from = \"08:00\", to = \"18:00\" }";
    let mut terms = Terms::new("1000.00", availability("99.9", hours, ""));
    terms.agreement = "holidays = [\"2026-06-01\"]";
    assert_eq!(
        downtime(&terms.judge(&june(&[("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z")]))),
        "36000"
    );
}

// ---- 3. Coverage

const PAIR: &str = r#"[[service]]
id = "m1"
site = "leeds-01"
mrc = "0"
probes = ["p"]
in_service_from = "2020-01-01T00:00:00Z"
sla_from = "acceptance"
[[service]]
id = "m2"
site = "leeds-01"
mrc = "0"
probes = ["p"]
in_service_from = "2020-01-01T00:00:00Z"
sla_from = "acceptance"
"#;

#[test]
fn only_a_known_outage_of_the_service_itself_wins_over_unknown_time() {
    let pair = format!(
        "{}{PAIR}{}",
        service("1000.00", "members = [\"m1\", \"m2\"]"),
        availability("99.9", "", "")
    );
    let terms = Terms::new("1000.00", pair);
    let of = |member: &str| {
        format!(
            r#"{{"service": "{member}", "from": "2026-06-10T00:00:00Z", "to": "2026-06-13T00:00:00Z"}}"#
        )
    };
    let unknown =
        r#", "unknown": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-13T00:00:00Z"}]"#;
    let one = terms.judge(&facts_of(&of("m1"), unknown));
    assert_eq!(
        (verdict(&one, "avail").result, coverage(&one)),
        (Outcome::NotDetermined, "90.000000")
    );
    let both = terms.judge(&facts_of(&format!("{},{}", of("m1"), of("m2")), unknown));
    assert_eq!((downtime(&both), coverage(&both)), ("259200", "100.000000"));
}

#[test]
fn an_outage_of_a_side_that_does_not_count_is_known_all_the_same() {
    let event =
        r#"{"from": "2026-06-10T00:00:00Z", "to": "2026-06-13T00:00:00Z", "side": "customer"}"#;
    let unknown =
        r#", "unknown": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-13T00:00:00Z"}]"#;
    let report =
        Terms::new("1000.00", availability("99.9", "", "")).judge(&facts_of(event, unknown));
    assert_eq!((downtime(&report), coverage(&report)), ("0", "100.000000"));
}

// ---- 6. Periods

#[test]
fn a_quarters_credit_stands_in_its_last_month_and_in_the_quarters_own_verdict() {
    let rest = format!(
        "{}{}",
        on_request("period_end"),
        availability("99.9", "period = \"quarter\"", &remedy("downtime", PER_HOUR))
    );
    let terms = Terms { timezone: "UTC", ..Terms::new("3000.00", rest) };
    let judged = |period: &str| {
        terms.judge(&month(period, &[("2026-04-10T00:00:00Z", "2026-04-10T10:00:00Z")]))
    };
    for (period, credit, by) in [
        ("2026-04", "0.00", None),
        ("2026-05", "0.00", None),
        ("2026-06", "300.00", Some("2026-07-10")),
        ("2026-Q2", "300.00", Some("2026-07-10")),
    ] {
        let report = judged(period);
        let avail = verdict(&report, "avail");
        // It is judged in each of them.
        assert_eq!((avail.result, downtime(&report)), (Outcome::Breached, "36000"), "{period}");
        assert_eq!((report.credit.as_str(), avail.credit.as_str()), (credit, credit), "{period}");
        assert_eq!(
            (claim_by(&report).as_deref(), report.claim.lapsed),
            (by, by.is_some()),
            "{period}"
        );
    }
    let told =
        "what 2026-Q2 earns stands in the verdict of 2026-06, in which it ends: nothing here";
    assert!(verdict(&judged("2026-04"), "avail").steps.contains(&told.to_owned()));
    // The ticket that it needs is due in April all the same.
    let due = judged("2026-04").deadlines.into_iter().map(|due| due.by).collect::<Vec<_>>();
    assert_eq!(due, ["2026-04-13T00:00:00Z"]);
}

#[test]
fn a_months_credit_stands_in_the_quarter_only_where_it_is_its_last_month() {
    let terms = Terms::new("3000.00", availability("99.9", "", &remedy("downtime", PER_HOUR)));
    let april = [("2026-04-10T00:00:00Z", "2026-04-10T10:00:00Z")];
    assert_eq!(terms.judge(&month("2026-Q2", &april)).credit, "0.00");
    let june = [("2026-06-10T00:00:00Z", "2026-06-10T10:00:00Z")];
    assert_eq!(terms.judge(&month("2026-Q2", &june)).credit, "300.00");
}

// ---- 8. Parents

fn parent(version: u32, from: &str, agreement: &str, credit: &str) -> contract::Written {
    let form = remedy("downtime", PER_HOUR).replace("1%", credit);
    let mut terms =
        Terms { timezone: "UTC", ..Terms::new("1000.00", availability("99.9", "", &form)) }.text();
    for (old, new) in [
        ("id = \"T\"", "id = \"PAR\""),
        ("version = 1\n", &format!("version = {version}\n")),
        ("level = \"service\"", "level = \"customer\""),
        ("2020-01-01T00:00:00Z\"\n", &format!("{from}\"\n{agreement}\n")),
    ] {
        terms = terms.replacen(old, new, 1);
    }
    contract::Written::read(&terms, &format!("par-{version}.toml")).expect("TOML")
}

fn child(agreement: &str) -> contract::Written {
    let head = Terms { timezone: "UTC", ..Terms::new("3000.00", String::new()) }.text();
    let head =
        head.replace("[agreement]\n", &format!("[agreement]\nparent = \"PAR\"\n{agreement}\n"));
    let head = &head[..head.find("[claim]").expect("a claim")];
    contract::Written::read(head, "child.toml").expect("TOML")
}

fn credit_of(contract: &Contract, period: &str) -> String {
    judge(
        contract,
        &month(period, &[(&format!("{period}-10T00:00:00Z"), &format!("{period}-10T01:00:00Z"))]),
    )
    .credit
}

#[test]
fn a_parents_version_holds_for_the_periods_that_begin_while_it_is_in_force() {
    let parents = [
        parent(2, "2026-06-10T00:00:00Z", "", "10%"),
        parent(1, "2026-03-01T00:00:00Z", "", "1%"),
        parent(3, "2030-01-01T00:00:00Z", "", "50%"),
    ];
    let contract = contract::resolve(&child(""), &parents).expect("a contract");
    let credits = ["2026-01", "2026-06", "2026-07", "2029-12", "2030-01"]
        .map(|period| credit_of(&contract, period));
    // Before any was in force, the first holds; in June that which was in force when June began.
    assert_eq!(credits, ["30.00", "30.00", "300.00", "300.00", "1500.00"]);
    let named = |period: &str| -> Vec<i64> {
        let period = period.parse().expect("a period");
        contract::parents_for(&child(""), &parents, period)
            .iter()
            .filter_map(|each| each.version())
            .collect()
    };
    assert_eq!((named("2026-06"), named("2026-07"), named("2030-01")), (vec![1], vec![2], vec![3]));
}

#[test]
fn a_later_version_of_a_parent_that_is_broken_breaks_only_its_own_periods() {
    let mut broken = parent(1, "2026-03-01T00:00:00Z", "", "1%");
    broken = contract::Written::read(
        &Terms::new("1000.00", String::new())
            .text()
            .replace("id = \"T\"", "id = \"PAR\"")
            .replace("\"service\"", "\"customer\""),
        broken.file(),
    )
    .expect("TOML");
    let parents = [broken, parent(2, "2026-06-10T00:00:00Z", "", "10%")];
    let contract = contract::resolve(&child(""), &parents).expect("the latest is right");
    assert_eq!(credit_of(&contract, "2026-07"), "300.00");
    let case = facts::parse(&month("2026-05", &[]), "facts.json").expect("facts");
    let faults = wanproof::sla::judge_facts(&contract, &case).expect_err("May has no objective");
    assert!(faults[0].to_string().contains("objective: missing"), "{faults:?}");
}

#[test]
fn holidays_are_inherited_where_a_contract_has_none_of_its_own() {
    let parents = [parent(1, "2020-01-01T00:00:00Z", "holidays = [\"2026-12-25\"]", "1%")];
    let holidays = |own: &str| {
        let contract = contract::resolve(&child(own), &parents).expect("a contract");
        contract.agreement.holidays.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(holidays(""), ["2026-12-25"]);
    assert_eq!(holidays("holidays = [\"2026-05-01\"]"), ["2026-05-01"]);
    assert!(holidays("holidays = []").is_empty());
}

// ---- 9. Windows and hours over a change of the clocks

/// How much downtime an exclusion inside a window removes of an outage that is claimed whole.
fn excluded_in(window: &str, timezone: &'static str, period: &str, from: &str, to: &str) -> String {
    let exclusion = format!(
        "[[exclusion]]\nid = \"m\"\nkind = \"scheduled_maintenance\"\nwindow = \
            {{ {window} }}\nremoves = \"downtime\"\n"
    );
    let terms = Terms {
        timezone,
        ..Terms::new("1000.00", format!("{exclusion}{}", availability("99.9", "", "")))
    };
    let facts = format!(
        r#"{{"period": "{period}", "service": "s", "events": [{{"from": "{from}", "to": "{to}"}}],
            "excluded": [{{"exclusion": "m", "from": "{from}", "to": "{to}"}}]}}"#
    );
    let contract =
        contract::parse(&terms.text().replace("2020-", "2010-"), "t.toml").expect("a contract");
    verdict(&judge(&contract, &facts), "avail").excluded_s.clone().unwrap_or_default()
}

#[test]
fn a_window_is_by_the_clock_on_the_wall_when_the_clocks_go_forward_and_back() {
    let spring = |window: &str| {
        excluded_in(
            window,
            "Europe/London",
            "2026-03",
            "2026-03-28T00:00:00Z",
            "2026-03-30T00:00:00Z",
        )
    };
    let sunday =
        |from: &str, to: &str| format!("days = [\"Sun\"], from = \"{from}\", to = \"{to}\"");
    // On 29 March 2026 the clocks went from 01:00 to 02:00: from midnight to six there are five
    // hours, and between one and two none.
    assert_eq!(spring(&sunday("00:00", "06:00")), "18000");
    assert_eq!(spring(&sunday("01:00", "02:00")), "0");
    assert_eq!(spring(&sunday("01:30", "02:30")), "1800");
    assert_eq!(spring(&sunday("00:00", "01:30")), "3600");
    let autumn = |window: &str| {
        excluded_in(
            window,
            "Europe/London",
            "2026-10",
            "2026-10-24T00:00:00Z",
            "2026-10-26T12:00:00Z",
        )
    };
    // On 25 October 2026 they went from 02:00 back to 01:00: the hour between is there twice.
    assert_eq!(autumn(&sunday("00:00", "06:00")), "25200");
    assert_eq!(autumn(&sunday("01:00", "02:00")), "7200");
    // Half past one to two is there twice, with half an hour between that is not inside.
    assert_eq!(autumn(&sunday("01:30", "02:00")), "3600");
    assert_eq!(autumn(&sunday("00:30", "01:30")), "5400");
    // A window over midnight belongs to the day on which it began; 24:00 ends a day.
    assert_eq!(autumn("days = [\"Sat\"], from = \"23:00\", to = \"03:00\""), "18000");
    assert_eq!(autumn(&sunday("00:00", "24:00")), "90000");
}

#[test]
fn hours_and_windows_have_no_time_on_a_day_that_was_skipped() {
    // Samoa had no 30 December 2011, a Friday.
    let of = |day: &str| {
        let window = format!("days = [\"{day}\"], from = \"00:00\", to = \"24:00\"");
        excluded_in(
            &window,
            "Pacific/Apia",
            "2011-12",
            "2011-12-28T00:00:00Z",
            "2012-01-01T00:00:00Z",
        )
    };
    assert_eq!(
        (of("Fri"), of("Thu"), of("Sat")),
        ("0".to_owned(), "86400".to_owned(), "86400".to_owned())
    );
}

// ---- 10. Versions

#[test]
fn an_outage_that_began_before_any_version_was_in_force_is_nobodys() {
    let mut terms = Terms::new(
        "1000.00",
        format!("{}{}", availability("99.9", "", ""), restore("3600", "each", "")),
    );
    terms.agreement = "effective_from = \"2026-06-16T00:00:00Z\"";
    let report = terms.judge(&june(&[
        ("2026-06-15T22:00:00Z", "2026-06-16T06:00:00Z"),
        // What touches it is the same outage.
        ("2026-06-16T06:00:00Z", "2026-06-16T07:00:00Z"),
        ("2026-06-20T00:00:00Z", "2026-06-20T00:10:00Z"),
    ]));
    assert_eq!(downtime(&report), "600");
    assert_eq!(verdict(&report, "mttr").exact.as_deref(), Some("600"));
}

#[test]
fn unknown_time_beside_an_outage_of_the_version_before_stays_unknown_time() {
    let objective =
        availability("99.9", "", "").replace("unknown_is = \"unknown\"", "unknown_is = \"down\"");
    let mut terms = Terms::new("1000.00", objective);
    terms.agreement = "effective_from = \"2026-06-16T00:00:00Z\"";
    let event = r#"{"from": "2026-06-15T22:00:00Z", "to": "2026-06-16T06:00:00Z"}"#;
    let unknown =
        r#", "unknown": [{"from": "2026-06-16T06:00:00Z", "to": "2026-06-16T07:00:00Z"}]"#;
    assert_eq!(downtime(&terms.judge(&facts_of(event, unknown))), "3600");
}

// ---- 11. Joined events

const BY_TICKET: &str = r#"[[objective]]
id = "avail"
metric = "availability"
unit = "percent"
op = ">="
target = "99.9"
[objective.outage]
definition = "ticket"
unknown_is = "up"
sides = ["provider", "unknown"]
[objective.aggregate]
period = "month"
denominator = "actual"
"#;

/// Two events that touch, 00:00 to 02:00 and 02:00 to 06:00 on 3 June, each with a ticket.
fn touching(first: &str, second: &str) -> String {
    facts_of(
        &format!(
            r#"{{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T02:00:00Z", "notified": "2026-06-03T01:30:00Z", "ticket": {{{first}}}}},
               {{"from": "2026-06-03T02:00:00Z", "to": "2026-06-03T06:00:00Z", "notified": "2026-06-03T02:01:00Z", "ticket": {{{second}}}}}"#
        ),
        "",
    )
}

#[test]
fn joined_events_are_one_outage_by_its_tickets() {
    let (one, other) = (
        r#""opened": "2026-06-03T01:00:00Z", "closed": "2026-06-03T01:30:00Z""#,
        r#""opened": "2026-06-03T03:00:00Z", "closed": "2026-06-03T05:00:00Z""#,
    );
    let terms = Terms::new("1000.00", format!("{BY_TICKET}{}", restore("14400", "each", "")));
    // From the earliest opening to the latest closing.
    let report = terms.judge(&touching(one, other));
    assert_eq!(downtime(&report), "14400");
    assert_eq!(verdict(&report, "mttr").exact.as_deref(), Some("14400"));
    // Not closed while one of them is open: until it was restored.
    let report = terms.judge(&touching(one, r#""opened": "2026-06-03T03:00:00Z""#));
    assert_eq!(downtime(&report), "18000");
    // A ticket of one part is the other's too.
    let untold = touching(one, other).replace(
        r#", "ticket": {"opened": "2026-06-03T01:00:00Z", "closed": "2026-06-03T01:30:00Z"}"#,
        "",
    );
    assert_eq!(downtime(&terms.judge(&untold)), "7200");
}

#[test]
fn joined_events_are_notified_at_the_earliest_and_closed_when_none_is_open() {
    let notify = restore("3600", "each", "")
        .replace("time_to_restore", "time_to_notify")
        .replace("mttr", "told");
    let rest = format!(
        "{}{notify}{}",
        on_request("ticket_closed"),
        availability("99.9", "", &remedy("downtime", PER_HOUR))
    );
    let terms = Terms { timezone: "UTC", ..Terms::new("1000.00", rest) };
    let one = r#""opened": "2026-06-03T01:00:00Z", "closed": "2026-06-04T01:30:00Z""#;
    let closed = terms.judge(&touching(
        one,
        r#""opened": "2026-06-03T03:00:00Z", "closed": "2026-06-06T05:00:00Z""#,
    ));
    assert_eq!(verdict(&closed, "told").exact.as_deref(), Some("5400"));
    assert_eq!(claim_by(&closed).as_deref(), Some("2026-06-16"));
    let open = terms.judge(&touching(one, r#""opened": "2026-06-03T03:00:00Z""#));
    assert_eq!(claim_by(&open), None);
}

#[test]
fn an_outage_by_ticket_begins_for_the_claim_when_the_event_began() {
    let rest = format!("{}{BY_TICKET}{}", on_request("event_start"), remedy("downtime", PER_HOUR));
    let terms = Terms { timezone: "UTC", ..Terms::new("1000.00", rest) };
    let event = r#"{"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z", "ticket": {"opened": "2026-06-01T20:00:00Z"}}"#;
    let report = terms.judge(&facts_of(event, ""));
    assert_eq!((downtime(&report), report.credit.as_str()), ("14400", "40.00"));
    assert_eq!(ticket_by(&report).as_deref(), Some("2026-06-04T00:00:00Z"));
    assert_eq!(claim_by(&report).as_deref(), Some("2026-06-11"));
}

// ---- 12. Availability

#[test]
fn availability_is_never_below_nothing() {
    let fixed = "denominator = \"fixed\"\nfixed_minutes = 43200";
    let terms = Terms::new("1000.00", availability("99.9", fixed, ""));
    let july = month("2026-07", &[("2026-06-30T00:00:00Z", "2026-08-02T00:00:00Z")]);
    assert_eq!(verdict(&terms.judge(&july), "avail").exact.as_deref(), Some("0.000000"));
}

// ---- Events that matter

#[test]
fn where_tickets_are_required_the_clock_runs_from_those_that_have_theirs() {
    let rest =
        format!("{}{}", on_request("event_start"), availability("99.9", "", &ticketed("downtime")));
    let terms = Terms { timezone: "UTC", ..Terms::new("1000.00", rest) };
    let events = r#"{"from": "2026-06-01T00:00:00Z", "to": "2026-06-01T01:00:00Z"},
        {"from": "2026-06-20T00:00:00Z", "to": "2026-06-20T01:00:00Z", "ticket": {"opened": "2026-06-20T00:10:00Z"}}"#;
    let report = terms.judge(&facts_of(events, ""));
    assert_eq!((report.credit.as_str(), report.claim.lapsed), ("20.00", false));
    assert_eq!(claim_by(&report).as_deref(), Some("2026-06-30"));
    assert_eq!(ticket_by(&report).as_deref(), Some("2026-06-23T00:00:00Z"));
}

#[test]
fn by_event_only_those_that_earned_something_matter() {
    let form = r#"tiers = [ { over = "7200", credit = "10%" } ]"#;
    let rest = format!(
        "{}{}",
        on_request("event_start"),
        availability("99.9", "", &remedy("event", form))
    );
    let terms = Terms { timezone: "UTC", ..Terms::new("1000.00", rest) };
    let report = terms.judge(&june(&[
        ("2026-06-01T00:00:00Z", "2026-06-01T01:00:00Z"),
        ("2026-06-20T00:00:00Z", "2026-06-20T03:00:00Z"),
    ]));
    assert_eq!(
        (report.credit.as_str(), claim_by(&report).as_deref()),
        ("100.00", Some("2026-06-30"))
    );
}

#[test]
fn unknown_time_that_is_joined_to_an_event_does_not_begin_it() {
    let objective = availability("99.9", "", &remedy("downtime", PER_HOUR));
    let objective = objective.replace("unknown_is = \"unknown\"", "unknown_is = \"down\"");
    let terms = Terms {
        timezone: "UTC",
        ..Terms::new("1000.00", format!("{}{objective}", on_request("event_start")))
    };
    let event = r#"{"from": "2026-06-05T00:00:00Z", "to": "2026-06-05T01:00:00Z"}"#;
    let unknown =
        r#", "unknown": [{"from": "2026-06-03T00:00:00Z", "to": "2026-06-05T00:00:00Z"}]"#;
    let report = terms.judge(&facts_of(event, unknown));
    assert_eq!((downtime(&report), report.objectives[0].outages.len()), ("176400", 1));
    assert_eq!(claim_by(&report).as_deref(), Some("2026-06-15"));
    assert_eq!(ticket_by(&report).as_deref(), Some("2026-06-08T00:00:00Z"));
}

#[test]
fn degraded_events_matter_for_delay_and_outages_do_not() {
    let form = remedy("breach", r#"per_unit = { unit = "1", rounding = "exact", credit = "10%" }"#);
    let terms = Terms {
        timezone: "UTC",
        ..Terms::new("1000.00", format!("{}{}", on_request("event_start"), delay("50", "", &form)))
    };
    let total = r#"{"from": "2026-06-01T00:00:00Z", "to": "2026-06-01T01:00:00Z"}"#;
    let degraded =
        r#"{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z", "severity": "degraded"}"#;
    let values = r#", "values": {"delay": "60"}"#;
    // Without one of its own, a delay's claim is counted from the period's end.
    assert_eq!(claim_by(&terms.judge(&facts_of(total, values))).as_deref(), Some("2026-07-10"));
    let both = terms.judge(&facts_of(&format!("{total},{degraded}"), values));
    assert_eq!(claim_by(&both).as_deref(), Some("2026-06-13"));
}
