//! What each term of the format does, by facts.

use super::support::{
    CLAIM, Terms, availability, delay, judge, june, month, remedy, restore, service, stands, value,
    verdict,
};
use wanproof::sla::report::{Outcome, Report};

const PER_HOUR: &str = r#"per_unit = { unit = "3600", rounding = "exact", credit = "1%" }"#;
const ONCE: &str = r#"per_unit = { unit = "1", rounding = "exact", credit = "10%" }"#;

fn downtime(report: &Report) -> String {
    verdict(report, "avail").downtime_s.clone().unwrap_or_default()
}

fn exact(report: &Report, id: &str) -> String {
    verdict(report, id).exact.clone().unwrap_or_default()
}

fn with_event(event: &str) -> String {
    format!("{{\"period\": \"2026-06\", \"service\": \"s\", \"events\": [{event}]}}")
}

#[test]
fn outages_that_overlap_or_touch_are_one() {
    let facts = june(&[
        ("2026-06-03T00:00:00Z", "2026-06-03T00:10:00Z"),
        ("2026-06-03T00:05:00Z", "2026-06-03T00:20:00Z"),
        ("2026-06-03T00:20:00Z", "2026-06-03T00:30:00Z"),
    ]);
    let report =
        Terms::new("1000.00", availability("99.9", "", &remedy("event", ONCE))).judge(&facts);
    assert_eq!(downtime(&report), "1800");
    assert!(verdict(&report, "avail").steps.contains(&"one outage qualifies: 1800 s".to_owned()));
}

#[test]
fn only_the_sides_that_count_count_and_silence_means_the_provider() {
    let event = |side: &str| {
        with_event(&format!(
            "{{\"from\": \"2026-06-03T00:00:00Z\", \"to\": \"2026-06-03T01:00:00Z\" {side}}}"
        ))
    };
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    let down = |side: &str| downtime(&terms.judge(&event(side)));
    assert_eq!(down(""), "3600");
    assert_eq!(down(r#", "side": "unknown""#), "3600");
    assert_eq!(down(r#", "side": "customer""#), "0");
    assert_eq!(down(r#", "side": "third_party""#), "0");
}

#[test]
fn only_events_of_the_objectives_severity_count() {
    let facts = with_event(
        r#"{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z", "severity": "degraded"},
           {"from": "2026-06-04T00:00:00Z", "to": "2026-06-04T00:30:00Z"}"#,
    );
    let objective = availability("99.9", "", "");
    let of = |severity: &str| {
        let text =
            objective.replace("unit = \"percent\"", &format!("unit = \"percent\"\n{severity}"));
        downtime(&Terms::new("1000.00", text).judge(&facts))
    };
    assert_eq!(of("severity = \"total\""), "1800");
    assert_eq!(of("severity = \"degraded\""), "3600");
    assert_eq!(of(""), "5400");
}

#[test]
fn exclusions_need_their_notice_their_window_and_end_at_their_limit() {
    let exclusion = |more: &str| {
        format!(
            "[[exclusion]]\nid = \"maint\"\nkind = \"scheduled_maintenance\"\nremoves \
                = \"downtime\"\n{more}\n"
        )
    };
    let judged = |more: &str, notified: &str| {
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s",
                "events": [{{"from": "2026-06-07T00:00:00Z", "to": "2026-06-07T04:00:00Z"}}],
                "excluded": [{{"exclusion": "maint", "from": "2026-06-07T00:00:00Z", "to": "2026-06-07T04:00:00Z" {notified}}}]}}"#
        );
        let report =
            Terms::new("1000.00", format!("{}{}", exclusion(more), availability("99.9", "", "")))
                .judge(&facts);
        (downtime(&report), verdict(&report, "avail").excluded_s.clone().unwrap_or_default())
    };
    let of = |down: &str, excluded: &str| (down.to_owned(), excluded.to_owned());
    assert_eq!(judged("", ""), of("0", "14400"));
    // Notice: exactly as much as agreed is enough, a second less is not, and none is none.
    assert_eq!(
        judged("notice = \"48h\"", r#", "notified": "2026-06-05T00:00:00Z""#),
        of("0", "14400")
    );
    assert_eq!(
        judged("notice = \"48h\"", r#", "notified": "2026-06-05T00:00:01Z""#),
        of("14400", "0")
    );
    assert_eq!(judged("notice = \"48h\"", ""), of("14400", "0"));
    // The window is local: 00:00 to 03:00 on a Sunday in June is 23:00 to 02:00 UTC.
    let window = r#"window = { days = ["Sun"], from = "00:00", to = "03:00" }"#;
    assert_eq!(judged(window, ""), of("7200", "7200"));
    assert_eq!(judged("at_most = \"1h\"", ""), of("10800", "3600"));
}

#[test]
fn at_most_takes_the_earliest_excluded_time_of_the_period() {
    let facts = r#"{"period": "2026-06", "service": "s",
        "events": [{"from": "2026-06-07T00:00:00Z", "to": "2026-06-07T01:00:00Z"}, {"from": "2026-06-14T00:00:00Z", "to": "2026-06-14T01:00:00Z"}],
        "excluded": [{"exclusion": "m", "from": "2026-06-14T00:00:00Z", "to": "2026-06-14T01:00:00Z"},
                     {"exclusion": "m", "from": "2026-06-07T00:00:00Z", "to": "2026-06-07T01:00:00Z"}]}"#;
    let exclusion =
        "[[exclusion]]\nid = \"m\"\nkind = \"other\"\nremoves = \"downtime\"\nat_most = \"90m\"\n";
    let days = remedy("days", ONCE);
    let report = Terms::new("1000.00", format!("{exclusion}{}", availability("99.9", "", &days)))
        .judge(facts);
    // The first hour is excluded whole, of the second the first half.
    assert_eq!((downtime(&report).as_str(), report.credit.as_str()), ("1800", "100.00"));
}

#[test]
fn an_exclusion_may_take_from_the_period_too() {
    let facts = r#"{"period": "2026-06", "service": "s",
        "events": [{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z"}],
        "excluded": [{"exclusion": "m", "from": "2026-06-10T00:00:00Z", "to": "2026-06-20T00:00:00Z"}]}"#;
    let judged = |removes: &str| {
        let exclusion = format!(
            "[[exclusion]]\nid = \"m\"\nkind = \"force_majeure\"\nremoves = \"{removes}\"\n"
        );
        exact(
            &Terms::new("1000.00", format!("{exclusion}{}", availability("99.9", "", "")))
                .judge(facts),
            "avail",
        )
    };
    assert_eq!(judged("downtime"), "99.861111"); // 1 − 3600 / 2592000
    assert_eq!(judged("downtime_and_period"), "99.791666"); // 1 − 3600 / 1728000
}

#[test]
fn what_an_exclusion_leaves_of_one_outage_is_one_outage() {
    let facts = r#"{"period": "2026-06", "service": "s",
        "events": [{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z"}],
        "excluded": [{"exclusion": "m", "from": "2026-06-03T00:00:40Z", "to": "2026-06-03T00:59:20Z"}]}"#;
    let exclusion = "[[exclusion]]\nid = \"m\"\nkind = \"power\"\nremoves = \"downtime\"\n";
    let qualify = "[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"none\"\n";
    // 40 s before and 40 s after are one outage of 80 s.
    let report = Terms::new("1000.00", format!("{exclusion}{}", availability("99.9", "", qualify)))
        .judge(facts);
    assert_eq!(downtime(&report), "80");
}

#[test]
fn only_time_inside_the_hours_counts() {
    let hours =
        r#"hours = { days = ["Mon", "Tue", "Wed", "Thu", "Fri"], from = "08:00", to = "18:00" }"#;
    // Wednesday 3 June 06:00 to 08:30 UTC is 07:00 to 09:30 local: 90 minutes inside. The Saturday
    // does not count.
    let facts = june(&[
        ("2026-06-03T06:00:00Z", "2026-06-03T08:30:00Z"),
        ("2026-06-06T08:00:00Z", "2026-06-06T12:00:00Z"),
    ]);
    let report = Terms::new("1000.00", availability("99.9", hours, "")).judge(&facts);
    // 22 weekdays of ten hours.
    assert_eq!(
        (downtime(&report).as_str(), exact(&report, "avail").as_str()),
        ("5400", "99.318181")
    );
}

#[test]
fn an_outage_over_night_outside_of_hours_is_one_outage() {
    let hours =
        r#"hours = { days = ["Mon", "Tue", "Wed", "Thu", "Fri"], from = "08:00", to = "18:00" }"#;
    // Local 17:59:30 on Wednesday to 08:00:40 on Thursday: 30 s and 40 s.
    let facts = june(&[("2026-06-03T16:59:30Z", "2026-06-04T07:00:40Z")]);
    let qualify = |split: &str| {
        format!("[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"{split}\"\n")
    };
    let down = |split: &str| {
        downtime(&Terms::new("1000.00", availability("99.9", hours, &qualify(split))).judge(&facts))
    };
    assert_eq!((down("none").as_str(), down("day").as_str()), ("70", "0"));
}

#[test]
fn an_outage_qualifies_only_when_strictly_longer() {
    let qualify = "[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"none\"\n";
    let terms = Terms::new("1000.00", availability("99.9", "", qualify));
    let down = |to: &str| downtime(&terms.judge(&june(&[("2026-06-03T00:00:00Z", to)])));
    assert_eq!(
        (down("2026-06-03T00:01:00Z").as_str(), down("2026-06-03T00:01:01Z").as_str()),
        ("0", "61")
    );
}

#[test]
fn within_a_window_downtime_may_be_in_several_pieces() {
    let qualify =
        "[objective.qualify]\nlonger_than = \"60s\"\nwithin = \"15m\"\nsplit_at = \"none\"\n";
    let terms = Terms::new("1000.00", availability("99.9", "", qualify));
    let down = |events: &[(&str, &str)]| downtime(&terms.judge(&june(events)));
    // Exactly the least is enough here.
    assert_eq!(down(&[("2026-06-03T00:00:00Z", "2026-06-03T00:01:00Z")]), "60");
    assert_eq!(down(&[("2026-06-03T00:00:00Z", "2026-06-03T00:00:59Z")]), "0");
    // 30 s and 30 s, fifteen minutes from the first's beginning to the second's end.
    let pair = [
        ("2026-06-03T00:00:00Z", "2026-06-03T00:00:30Z"),
        ("2026-06-03T00:14:30Z", "2026-06-03T00:15:00Z"),
    ];
    assert_eq!(down(&pair), "60");
    let apart = [
        ("2026-06-03T00:00:00Z", "2026-06-03T00:00:30Z"),
        ("2026-06-03T00:14:31Z", "2026-06-03T00:15:01Z"),
    ];
    assert_eq!(down(&apart), "0");
    // A third far away does not count with them.
    let three = [pair[0], pair[1], ("2026-06-09T00:00:00Z", "2026-06-09T00:00:30Z")];
    assert_eq!(down(&three), "60");
}

#[test]
fn a_deductible_is_subtracted_or_waived() {
    let qualify = |is: &str| {
        format!("[objective.qualify]\nfirst = \"10m\"\nfirst_is = \"{is}\"\nsplit_at = \"none\"\n")
    };
    let facts = june(&[
        ("2026-06-03T00:00:00Z", "2026-06-03T00:05:00Z"),
        ("2026-06-04T00:00:00Z", "2026-06-04T00:10:00Z"),
        ("2026-06-05T00:00:00Z", "2026-06-05T00:30:00Z"),
    ]);
    let down = |is: &str| {
        downtime(&Terms::new("1000.00", availability("99.9", "", &qualify(is))).judge(&facts))
    };
    assert_eq!((down("subtracted").as_str(), down("waived").as_str()), ("1200", "1800"));
}

#[test]
fn a_deductible_does_not_move_the_day_on_which_an_outage_begins() {
    let qualify =
        "[objective.qualify]\nfirst = \"10m\"\nfirst_is = \"subtracted\"\nsplit_at = \"none\"\n";
    // Local 23:55 on 31 May; what is left of it begins in June.
    let facts = june(&[("2026-05-31T22:55:00Z", "2026-06-01T00:00:00Z")]);
    let terms = Terms::new(
        "1000.00",
        availability("99.9", "", &format!("{qualify}{}", remedy("days", ONCE))),
    );
    let report = terms.judge(&facts);
    assert_eq!((downtime(&report).as_str(), report.credit.as_str()), ("3300", "0.00"));
}

#[test]
fn an_outage_is_qualified_whole_and_cut_at_the_periods_ends_afterwards() {
    let qualify = "[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"none\"\n";
    // 40 s on each side of local midnight, 1 July.
    let events = [("2026-06-30T22:59:20Z", "2026-06-30T23:00:40Z")];
    let days = format!("{qualify}{}", remedy("days", ONCE));
    let terms = Terms::new("1000.00", availability("99.9", "", &days));
    let (june, july) =
        (terms.judge(&month("2026-06", &events)), terms.judge(&month("2026-07", &events)));
    assert_eq!((downtime(&june).as_str(), june.credit.as_str()), ("40", "100.00"));
    // It belongs whole to the month in which it begins.
    assert_eq!((downtime(&july).as_str(), july.credit.as_str()), ("40", "0.00"));
    let whole = Terms::new(
        "1000.00",
        availability("99.9", "", &remedy("event", r#"tiers = [ { from = "80", credit = "5%" } ]"#)),
    );
    assert_eq!(whole.judge(&month("2026-06", &events)).credit, "50.00");
}

#[test]
fn each_outage_by_itself_and_the_credits_add_up() {
    let tiers = r#"tiers = [ { over = "600", upto = "3600", credit = "5%" }, { over = "3600", credit = "10%" } ]"#;
    let facts = june(&[
        ("2026-06-03T00:00:00Z", "2026-06-03T00:10:00Z"),
        ("2026-06-04T00:00:00Z", "2026-06-04T00:30:00Z"),
        ("2026-06-05T00:00:00Z", "2026-06-05T02:00:00Z"),
    ]);
    assert_eq!(
        Terms::new("1000.00", availability("99.9", "", &remedy("event", tiers)))
            .judge(&facts)
            .credit,
        "150.00"
    );
}

#[test]
fn months_have_their_real_length_in_the_zone() {
    // An hour down in the March with summer time: 743 hours; in October 745.
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    let of = |period: &str, from: &str, to: &str| {
        exact(&terms.judge(&month(period, &[(from, to)])), "avail")
    };
    assert_eq!(of("2026-03", "2026-03-10T00:00:00Z", "2026-03-10T01:00:00Z"), "99.865410");
    assert_eq!(of("2026-10", "2026-10-10T00:00:00Z", "2026-10-10T01:00:00Z"), "99.865771");
}

#[test]
fn the_period_begins_where_the_service_does() {
    // In service from 21 June: ten days are judged.
    let facts = june(&[
        ("2026-06-15T00:00:00Z", "2026-06-15T10:00:00Z"),
        ("2026-06-25T00:00:00Z", "2026-06-25T01:00:00Z"),
    ]);
    let begun = |from: &str, sla: &str| {
        let service =
            service("1000.00", "").replace("2020-01-01T00:00:00Z", from).replace("acceptance", sla);
        Terms::new("1000.00", format!("{service}{}", availability("99.9", "", ""))).judge(&facts)
    };
    let report = begun("2026-06-20T23:00:00Z", "acceptance");
    assert_eq!(
        (downtime(&report).as_str(), exact(&report, "avail").as_str()),
        ("3600", "99.583333")
    );
    // From the first full month on, June is wholly before it.
    let report = begun("2026-06-20T23:00:00Z", "first_full_month");
    assert_eq!(stands(&report, "avail"), (Outcome::NotDetermined, None, "0.00".to_owned()));
    // A service that begins with the month has it full.
    let report = begun("2026-05-31T23:00:00Z", "first_full_month");
    assert_eq!(verdict(&report, "avail").result, Outcome::Breached);
}

#[test]
fn after_its_end_an_agreement_judges_only_when_it_was_renewed() {
    let judged = |renewal: &'static str| {
        let mut terms =
            Terms::new("1000.00", availability("99.9", "", &remedy("downtime", PER_HOUR)));
        terms.agreement = renewal;
        stands(&terms.judge(&june(&[("2026-06-03T00:00:00Z", "2026-06-03T01:00:00Z")])), "avail")
    };
    let ended = "effective_to = \"2026-05-01T00:00:00Z\"\nrenewal = \"none\"";
    assert_eq!(judged(ended), (Outcome::NotDetermined, None, "0.00".to_owned()));
    let renewed = "effective_to = \"2026-05-01T00:00:00Z\"\nrenewal = \"month_to_month\"";
    assert_eq!(judged(renewed).0, Outcome::Breached);
}

#[test]
fn unknown_time_lowers_coverage_unless_the_contract_says_what_it_is() {
    let facts = r#"{"period": "2026-06", "service": "s", "unknown": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-13T00:00:00Z"}]}"#;
    let judged = |is: &str| {
        let text = availability("99.9", "", "")
            .replace("unknown_is = \"unknown\"", &format!("unknown_is = \"{is}\""));
        let report = Terms::new("1000.00", text).judge(facts);
        let avail = verdict(&report, "avail").clone();
        (avail.result, avail.coverage, avail.downtime_s.unwrap_or_default())
    };
    assert_eq!(judged("unknown"), (Outcome::NotDetermined, "90.000000".to_owned(), "0".to_owned()));
    assert_eq!(judged("up"), (Outcome::Met, "100.000000".to_owned(), "0".to_owned()));
    assert_eq!(judged("down"), (Outcome::Breached, "100.000000".to_owned(), "259200".to_owned()));
}

#[test]
fn a_known_outage_wins_over_unknown_time_and_a_certain_breach_over_coverage() {
    let facts = r#"{"period": "2026-06", "service": "s", "events": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-11T00:00:00Z"}],
        "unknown": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-13T00:00:00Z"}]}"#;
    let report = Terms::new("1000.00", availability("99.9", "", "")).judge(facts);
    let avail = verdict(&report, "avail");
    assert_eq!((avail.result, avail.coverage.as_str()), (Outcome::Breached, "93.333333"));
}

#[test]
fn a_value_with_too_little_coverage_determines_nothing() {
    let facts = r#"{"period": "2026-06", "service": "s", "values": {"delay": "99"}, "unknown": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-20T00:00:00Z"}]}"#;
    let report = Terms::new("1000.00", delay("60", "", &remedy("breach", ONCE))).judge(facts);
    assert_eq!(
        stands(&report, "delay"),
        (Outcome::NotDetermined, Some("99".to_owned()), "0.00".to_owned())
    );
}

#[test]
fn a_given_availability_wins_over_the_events_but_not_in_their_drivers() {
    let facts = r#"{"period": "2026-06", "service": "s", "values": {"avail": "99.95"}, "events": [{"from": "2026-06-10T00:00:00Z", "to": "2026-06-10T02:00:00Z"}]}"#;
    let report =
        Terms::new("1000.00", availability("99.9", "", &remedy("downtime", PER_HOUR))).judge(facts);
    assert_eq!(
        stands(&report, "avail"),
        (Outcome::Met, Some("99.95".to_owned()), "20.00".to_owned())
    );
    assert_eq!(downtime(&report), "7200");
}

#[test]
fn a_ratio_is_judged_as_a_ratio() {
    let text = availability(
        "0.999",
        "",
        &remedy("shortfall", r#"per_unit = { unit = "0.001", rounding = "up", credit = "1%" }"#),
    );
    let text = text.replace("unit = \"percent\"", "unit = \"ratio\"");
    let report = Terms::new("1000.00", text)
        .judge(&june(&[("2026-06-10T00:00:00Z", "2026-06-10T02:00:00Z")]));
    // 1 − 7200 / 2592000 is short by 0.001777…
    assert_eq!(
        stands(&report, "avail"),
        (Outcome::Breached, Some("0.997222".to_owned()), "20.00".to_owned())
    );
}

#[test]
fn an_outage_by_ticket_runs_from_its_opening_less_the_customers_time() {
    let text = availability("99.9", "", &remedy("days", ONCE))
        .replace("definition = \"misses\"", "definition = \"ticket\"")
        .replace("carrier_loss_is = \"down\"", "");
    let (_, rest) = text.split_once("[objective.measure]").unwrap();
    let (_, outage) = rest.split_once("[objective.outage]").unwrap();
    let head = text.split("[objective.measure]").next().unwrap();
    let terms = Terms::new("1000.00", format!("{head}[objective.outage]{outage}"));
    let facts = with_event(
        r#"{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T03:00:00Z", "ticket": {"id": "T-1", "opened": "2026-06-03T00:30:00Z",
            "closed": "2026-06-03T04:00:00Z", "waiting_for_customer": [{"from": "2026-06-03T01:00:00Z", "to": "2026-06-03T01:30:00Z"}]}},
           {"from": "2026-06-04T00:00:00Z", "to": "2026-06-04T03:00:00Z"}"#,
    );
    // 00:30 to 03:00 less half an hour; without a ticket there is no outage.
    let report = terms.judge(&facts);
    assert_eq!((downtime(&report).as_str(), report.credit.as_str()), ("7200", "100.00"));
}

#[test]
fn a_protected_service_is_down_only_while_all_its_members_are() {
    let other = |id: &str| {
        service("0.00", "")
            .replace("id = \"s\"", &format!("id = \"{id}\""))
            .replace("[\"p\"]", "[]")
    };
    let services =
        format!("{}{}{}", service("1000.00", "members = [\"a\", \"b\"]"), other("a"), other("b"));
    let objective = availability("99.9", "", "")
        .replace("unit = \"percent\"", "unit = \"percent\"\nservice = [\"s\"]");
    let facts = with_event(
        r#"{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T02:00:00Z", "service": "a"},
           {"from": "2026-06-03T01:00:00Z", "to": "2026-06-03T03:00:00Z", "service": "b"},
           {"from": "2026-06-09T01:00:00Z", "to": "2026-06-09T03:00:00Z", "service": "b"},
           {"from": "2026-06-12T01:00:00Z", "to": "2026-06-12T01:10:00Z"}"#,
    );
    let report = Terms::new("1000.00", format!("{services}{objective}")).judge(&facts);
    // One hour both, and ten minutes of the service itself.
    assert_eq!(downtime(&report), "4200");
}

#[test]
fn a_time_to_restore_runs_from_the_ticket_less_the_customers_time() {
    let facts = with_event(
        r#"{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T05:00:00Z", "ticket": {"id": "T-1", "opened": "2026-06-03T00:30:00Z",
            "closed": "2026-06-03T04:30:00Z", "waiting_for_customer": [{"from": "2026-06-03T01:00:00Z", "to": "2026-06-03T02:00:00Z"}]}}"#,
    );
    let report = Terms::new("1000.00", restore("14400", "max", "")).judge(&facts);
    assert_eq!(
        stands(&report, "mttr"),
        (Outcome::Met, Some("10800".to_owned()), "0.00".to_owned())
    );
}

#[test]
fn a_time_to_restore_loses_nothing_to_exclusions_unless_the_event_is_excluded_whole() {
    let exclusion = "[[exclusion]]\nid = \"m\"\nkind = \"other\"\nremoves = \"downtime\"\n";
    let judged = |to: &str| {
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s", "events": [{{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T05:00:00Z"}}],
            "excluded": [{{"exclusion": "m", "from": "2026-06-03T00:00:00Z", "to": "{to}"}}]}}"#
        );
        let report = Terms::new("1000.00", format!("{exclusion}{}", restore("14400", "max", "")))
            .judge(&facts);
        (verdict(&report, "mttr").result, exact(&report, "mttr"))
    };
    assert_eq!(judged("2026-06-03T04:59:59Z"), (Outcome::Breached, "18000".to_owned()));
    assert_eq!(judged("2026-06-03T05:00:00Z"), (Outcome::Met, "0".to_owned()));
}

#[test]
fn times_are_met_at_nothing_when_nothing_happened() {
    let report = Terms::new("1000.00", restore("14400", "mean", "")).judge(&june(&[]));
    assert_eq!(stands(&report, "mttr"), (Outcome::Met, Some("0".to_owned()), "0.00".to_owned()));
}

#[test]
fn a_time_to_notify_without_a_notice_determines_nothing() {
    let text = restore(
        "900",
        "each",
        &remedy("count", r#"per_unit = { unit = "1", rounding = "exact", credit = "5.00" }"#),
    );
    let text = text.replace("time_to_restore", "time_to_notify");
    let judged = |second: &str| {
        let facts = with_event(&format!(
            r#"{{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T05:00:00Z", "notified": "2026-06-03T00:20:00Z"}},
               {{"from": "2026-06-04T00:00:00Z", "to": "2026-06-04T05:00:00Z" {second}}}"#
        ));
        let report = Terms::new("1000.00", text.clone()).judge(&facts);
        (verdict(&report, "mttr").result, report.credit)
    };
    assert_eq!(judged(""), (Outcome::NotDetermined, "0.00".to_owned()));
    assert_eq!(
        judged(r#", "notified": "2026-06-04T00:10:00Z""#),
        (Outcome::Breached, "5.00".to_owned())
    );
}

#[test]
fn a_count_is_the_fact_of_that_name() {
    let text = |op: &str| {
        format!(
            "[[objective]]\nid = \"visits\"\nmetric = \"count\"\nunit = \"count\"\nop \
                = \"{op}\"\ntarget = 2\n[objective.aggregate]\nperiod = \"month\"\n{}",
            remedy(
                "count",
                r#"tiers = [ { over = "2", upto = "4", credit = "10.00" }, { over = "4", credit = "20.00" } ]"#
            )
        )
    };
    let judged = |counts: &str| {
        let facts = format!(r#"{{"period": "2026-06", "service": "s", "counts": {{{counts}}}}}"#);
        stands(&Terms::new("1000.00", text("<=")).judge(&facts), "visits")
    };
    assert_eq!(
        judged(r#""visits": 3"#),
        (Outcome::Breached, Some("3".to_owned()), "10.00".to_owned())
    );
    assert_eq!(judged(r#""visits": "2""#), (Outcome::Met, Some("2".to_owned()), "0.00".to_owned()));
    assert_eq!(judged(""), (Outcome::NotDetermined, None, "0.00".to_owned()));
}

#[test]
fn an_objective_with_another_period_is_judged_on_its_own() {
    let text = format!(
        "{}{}",
        availability("99.9", "", ""),
        availability("99.95", "period = \"quarter\"", "").replace("\"avail\"", "\"quarterly\"")
    );
    let events = [
        ("2026-04-10T00:00:00Z", "2026-04-10T02:00:00Z"),
        ("2026-06-10T00:00:00Z", "2026-06-10T00:10:00Z"),
    ];
    let report = Terms::new("1000.00", text).judge(&june(&events));
    let quarterly = verdict(&report, "quarterly");
    assert_eq!(quarterly.period.map(|period| period.to_string()).as_deref(), Some("2026-Q2"));
    assert_eq!(
        (quarterly.downtime_s.as_deref(), quarterly.result),
        (Some("7800"), Outcome::Breached)
    );
    assert_eq!((downtime(&report).as_str(), verdict(&report, "avail").period), ("600", None));
}

#[test]
fn a_rolling_period_ends_with_its_day() {
    let text = availability("99.9", "rolling = \"30d\"", "");
    let events = [
        ("2026-05-31T10:00:00Z", "2026-05-31T12:00:00Z"),
        ("2026-06-01T10:00:00Z", "2026-06-01T10:30:00Z"),
    ];
    let report = Terms::new("1000.00", text).judge(&month("2026-06-30", &events));
    // From 1 June, local, to the end of 30 June.
    assert_eq!(
        (downtime(&report).as_str(), exact(&report, "avail").as_str()),
        ("1800", "99.930555")
    );
}

#[test]
fn blocks_earn_once_begun_and_the_last_repeats() {
    let blocks =
        r#"blocks = [ { size = "7200", credit = "10%" }, { size = "3600", credit = "5%" } ]"#;
    let terms = Terms::new("1000.00", availability("99.9", "", &remedy("downtime", blocks)));
    let credit = |to: &str| terms.judge(&june(&[("2026-06-03T00:00:00Z", to)])).credit;
    assert_eq!(credit("2026-06-03T00:00:01Z"), "100.00");
    assert_eq!(credit("2026-06-03T02:00:00Z"), "100.00");
    assert_eq!(credit("2026-06-03T02:00:01Z"), "150.00");
    assert_eq!(credit("2026-06-03T04:00:00Z"), "200.00");
}

#[test]
fn escalation_counts_breached_periods_in_a_row_and_its_last_step_repeats() {
    let form = remedy("breach", r#"escalation = ["2.5%", "5%", "10%"]"#);
    let terms = Terms::new("1000.00", availability("99.9", "", &form));
    let judged = |previous: &[&str]| {
        let previous: Vec<String> = previous
            .iter()
            .map(|period| format!(r#"{{"period": "{period}", "breached": ["avail"]}}"#))
            .collect();
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s", "values": {{"avail": "99"}}, "previous": [{}]}}"#,
            previous.join(",")
        );
        terms.judge(&facts).credit
    };
    assert_eq!(judged(&[]), "25.00");
    assert_eq!(judged(&["2026-05"]), "50.00");
    assert_eq!(judged(&["2026-04", "2026-05"]), "100.00");
    assert_eq!(judged(&["2026-03", "2026-04", "2026-05", "2026-02"]), "100.00");
    assert_eq!(judged(&["2026-04"]), "25.00");
}

#[test]
fn a_hole_between_tiers_earns_nothing_where_it_is_allowed() {
    let tiers = r#"tiers = [ { over = "600", upto = "1200", credit = "5%" }, { over = "1800", credit = "10%" } ]
gaps = "no_credit""#;
    let terms = Terms::new("1000.00", availability("99.9", "", &remedy("downtime", tiers)));
    let credit = |to: &str| terms.judge(&june(&[("2026-06-03T00:00:00Z", to)])).credit;
    assert_eq!(
        ["2026-06-03T00:20:00Z", "2026-06-03T00:25:00Z", "2026-06-03T00:31:00Z"].map(credit),
        ["50.00", "0.00", "100.00"]
    );
}

#[test]
fn tiers_by_the_actual_earn_at_nothing_only_where_they_say_so() {
    let tiers = r#"tiers = [ { from = "0", below = "95", credit = "50%" }, { from = "95", below = "99.9", credit = "10%" } ]"#;
    let terms = Terms::new("1000.00", availability("99.9", "", &remedy("actual", tiers)));
    let credit = |actual| terms.judge(&value("avail", actual)).credit;
    assert_eq!(["0", "95", "99.9", "100"].map(credit), ["500.00", "100.00", "0.00", "0.00"]);
    let delay = Terms::new(
        "1000.00",
        delay("60", "", &remedy("actual", r#"tiers = [ { over = "0", credit = "5%" } ]"#)),
    );
    assert_eq!(delay.judge(&value("delay", "0")).credit, "0.00");
}

#[test]
fn remedies_use_the_rounded_actual() {
    let form =
        remedy("shortfall", r#"per_unit = { unit = "0.1", rounding = "up", credit = "1%" }"#);
    let terms =
        Terms::new("1000.00", availability("99.9", "decimals = 1\nrounding = \"half_up\"", &form));
    // 99.749 becomes 99.7, which is short by two tenths.
    assert_eq!(terms.judge(&value("avail", "99.749")).credit, "20.00");
    // 99.85 becomes 99.9 and is met.
    assert_eq!(stands(&terms.judge(&value("avail", "99.85")), "avail").0, Outcome::Met);
}

#[test]
fn the_base_may_be_usage_or_the_greater_of_both() {
    let charged = |base: &str, charges: &str| {
        let form = remedy("breach", ONCE).replace("\"mrc\"", &format!("\"{base}\""));
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s", "values": {{"avail": "99"}}, "charges": {{{charges}}}}}"#
        );
        Terms::new("1000.00", availability("99.9", "", &form)).judge(&facts).credit
    };
    assert_eq!(charged("mrc", r#""mrc": "2000.00", "usage": "500.00""#), "200.00");
    assert_eq!(charged("usage", r#""usage": "500.00""#), "50.00");
    assert_eq!(charged("usage", ""), "0.00");
    assert_eq!(charged("greater_of_mrc_and_usage", r#""usage": "500.00""#), "100.00");
    assert_eq!(charged("greater_of_mrc_and_usage", r#""usage": "1500.00""#), "150.00");
}

#[test]
fn the_first_that_earns_anything_wins() {
    let credit = |share: &str| {
        remedy(
            "breach",
            &format!("per_unit = {{ unit = \"1\", rounding = \"exact\", credit = \"{share}\" }}"),
        )
    };
    let rest = format!(
        "{}{}[[combine]]\nobjectives = [\"avail\", \"delay\"]\nrule = \"first\"\n",
        availability("99.9", "", &credit("5%")),
        delay("60", "", &credit("20%"))
    );
    let judged = |avail: &str| {
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s", "values": {{"avail": "{avail}", "delay": "90"}}}}"#
        );
        Terms::new("1000.00", rest.clone()).judge(&facts).credit
    };
    assert_eq!((judged("99").as_str(), judged("100").as_str()), ("50.00", "200.00"));
}

#[test]
fn caps_apply_from_the_shortest_span_less_what_was_paid_in_it() {
    let form = remedy("breach", r#"per_unit = { unit = "1", rounding = "exact", credit = "80%" }"#);
    let caps =
        "[[cap]]\nper = \"year\"\nlimit = \"1500.00\"\n[[cap]]\nper = \"month\"\nlimit = \"50%\"\n";
    let terms = Terms::new("1000.00", format!("{}{caps}", availability("99.9", "", &form)));
    let judged = |previous: &str| {
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s", "values": {{"avail": "99"}}, "previous": [{previous}]}}"#
        );
        terms.judge(&facts).credit
    };
    assert_eq!(judged(""), "500.00");
    assert_eq!(judged(r#"{"period": "2026-05", "credit": "1200.00"}"#), "300.00");
    assert_eq!(judged(r#"{"period": "2025-12", "credit": "1200.00"}"#), "500.00");
    assert_eq!(judged(r#"{"period": "2026-05", "credit": "1600.00"}"#), "0.00");
}

#[test]
fn money_is_rounded_once_at_the_end_to_the_currencys_minor_unit() {
    let third =
        remedy("breach", r#"per_unit = { unit = "1", rounding = "exact", credit = "1/3" }"#);
    let judged = |currency: &'static str, rounding: &str| {
        let claim = CLAIM.replace("half_up", rounding);
        let rest =
            format!("{claim}{}{}", availability("99.9", "", &third), delay("60", "", &third));
        let mut terms = Terms::new("100.00", rest);
        terms.currency = currency;
        let facts =
            r#"{"period": "2026-06", "service": "s", "values": {"avail": "99", "delay": "90"}}"#;
        let report = terms.judge(facts);
        (verdict(&report, "avail").credit.clone(), report.credit)
    };
    let of = |each: &str, all: &str| (each.to_owned(), all.to_owned());
    // Two thirds of 100 are 66.666…, not twice 33.33.
    assert_eq!(judged("GBP", "half_up"), of("33.33", "66.67"));
    assert_eq!(judged("GBP", "down"), of("33.33", "66.66"));
    assert_eq!(judged("JPY", "half_up"), of("33", "67"));
    assert_eq!(judged("BHD", "half_even"), of("33.333", "66.667"));
}

#[test]
fn a_rounded_credit_below_the_minimum_is_not_paid() {
    let form = |share: &str| {
        remedy(
            "breach",
            &format!("per_unit = {{ unit = \"1\", rounding = \"exact\", credit = \"{share}\" }}"),
        )
    };
    let judged = |share: &str| {
        let rest = format!("{CLAIM}minimum = \"1.00\"\n{}", availability("99.9", "", &form(share)));
        let report = Terms::new("1000.00", rest).judge(&value("avail", "99"));
        (verdict(&report, "avail").credit.clone(), report.credit)
    };
    assert_eq!(judged("0.0994%"), ("0.99".to_owned(), "0.00".to_owned()));
    assert_eq!(judged("0.0995%"), ("1.00".to_owned(), "1.00".to_owned()));
}

const ON_REQUEST: &str = r#"[claim]
mode = "on_request"
ticket_within = "72h"
within = 5
unit = "business_days"
counted_from = "COUNTED"
rounding = "half_up"
settled = "next_invoice"
"#;

fn claimed(counted: &str, agreement: &'static str, more: &str, requires: bool) -> Report {
    let form = remedy("event", ONCE)
        .replace("requires_ticket = false", &format!("requires_ticket = {requires}"));
    let form = form.replace(ONCE, r#"tiers = [ { over = "0", credit = "10%" } ]"#);
    let mut terms = Terms::new(
        "1000.00",
        format!("{}{}", ON_REQUEST.replace("COUNTED", counted), availability("99.9", "", &form)),
    );
    terms.agreement = agreement;
    let facts = format!(
        r#"{{"period": "2026-12", "service": "s", {more} "events": [
        {{"from": "2026-12-22T10:00:00Z", "to": "2026-12-22T14:00:00Z", "ticket": {{"id": "T-1", "opened": "2026-12-22T10:30:00Z", "closed": "2026-12-23T10:00:00Z"}}}},
        {{"from": "2026-12-10T10:00:00Z", "to": "2026-12-10T14:00:00Z"}}]}}"#
    );
    judge(&terms.parse(), &facts)
}

#[test]
fn a_claims_time_is_counted_from_the_earliest_that_matters() {
    let by = |counted: &str| {
        claimed(counted, "holidays = [\"2026-12-25\"]", "", false).claim.by.map(|by| by.to_string())
    };
    // 31 December is a Thursday; five business days later is 7 January.
    assert_eq!(by("period_end").as_deref(), Some("2027-01-07"));
    assert_eq!(by("event_start").as_deref(), Some("2026-12-17"));
    assert_eq!(by("restored").as_deref(), Some("2026-12-17"));
    // Only the second has a ticket; 25 December is a holiday.
    assert_eq!(by("ticket_closed").as_deref(), Some("2026-12-31"));
}

#[test]
fn a_claim_lapses_after_its_day_and_still_shows_its_credit() {
    let at = |as_of: &str| {
        let report = claimed("period_end", "", &format!("\"as_of\": \"{as_of}\","), false);
        (report.claim.lapsed, report.credit)
    };
    assert_eq!(at("2027-01-07T23:59:59Z"), (false, "200.00".to_owned()));
    assert_eq!(at("2027-01-08T00:00:00Z"), (true, "200.00".to_owned()));
}

#[test]
fn an_outage_without_a_ticket_in_time_earns_nothing_by_event_but_counts() {
    let report = claimed("period_end", "", "", true);
    assert_eq!((downtime(&report).as_str(), report.credit.as_str()), ("28800", "100.00"));
}

#[test]
fn other_drivers_earn_when_any_outage_has_a_ticket() {
    let form =
        remedy("downtime", PER_HOUR).replace("requires_ticket = false", "requires_ticket = true");
    let terms = Terms::new("1000.00", availability("99.9", "", &form));
    let ticket = r#", "ticket": {"id": "T", "opened": "2026-06-03T00:10:00Z"}"#;
    let judged = |ticket: &str| {
        terms
            .judge(&with_event(&format!(
                r#"{{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z" {ticket}}}, {{"from": "2026-06-09T00:00:00Z", "to": "2026-06-09T01:00:00Z"}}"#
            )))
            .credit
    };
    assert_eq!((judged("").as_str(), judged(ticket).as_str()), ("0.00", "20.00"));
}

#[test]
fn no_claim_runs_where_nothing_is_due() {
    let report = Terms::new(
        "1000.00",
        format!(
            "{}{}",
            ON_REQUEST.replace("COUNTED", "period_end"),
            availability("90", "", &remedy("breach", ONCE))
        ),
    )
    .judge(&june(&[]));
    assert_eq!((report.claim.by, report.claim.ticket_by, report.claim.lapsed), (None, None, false));
}

fn running(as_of: &str, events: &str, rest: &str) -> Report {
    let facts = format!(
        r#"{{"period": "2026-06", "service": "s", "as_of": "{as_of}", "events": [{events}]}}"#
    );
    Terms::new("1000.00", rest.to_owned()).judge(&facts)
}

#[test]
fn a_running_period_tells_what_is_certain() {
    let rest = availability("99.9", "", &remedy("downtime", PER_HOUR));
    let provisional = |report: &Report| {
        let avail = verdict(report, "avail");
        (avail.result, avail.provisional)
    };
    // 99.9 % of June allows 2592 s.
    let hour = r#"{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z"}"#;
    let report = running("2026-06-04T00:00:00Z", hour, &rest);
    assert_eq!(
        (provisional(&report), report.credit.as_str()),
        ((Outcome::Breached, true), "10.00")
    );
    assert_eq!(
        provisional(&running("2026-06-04T00:00:00Z", "", &rest)),
        (Outcome::NotDetermined, true)
    );
    // With 2591 s left nothing can go wrong any more; with as many as are allowed neither.
    assert_eq!(provisional(&running("2026-06-30T22:16:48Z", "", &rest)), (Outcome::Met, true));
    assert_eq!(
        provisional(&running("2026-06-30T22:16:47Z", "", &rest)),
        (Outcome::NotDetermined, true)
    );
    // At its end it is no longer provisional.
    assert_eq!(provisional(&running("2026-06-30T23:00:00Z", "", &rest)), (Outcome::Met, false));
}

#[test]
fn events_are_cut_where_a_period_stands() {
    let lasts = r#"{"from": "2026-06-03T00:00:00Z"}, {"from": "2026-06-20T00:00:00Z", "to": "2026-06-21T00:00:00Z"}"#;
    let report = running("2026-06-03T00:30:00Z", lasts, &availability("99.9", "", ""));
    assert_eq!(downtime(&report), "1800");
}

#[test]
fn an_outage_that_lasts_cannot_prove_a_restoration() {
    let lasts = r#"{"from": "2026-06-03T00:00:00Z"}"#;
    let of =
        |as_of: &str| verdict(&running(as_of, lasts, &restore("14400", "each", "")), "mttr").result;
    assert_eq!(of("2026-06-03T04:00:00Z"), Outcome::NotDetermined);
    assert_eq!(of("2026-06-03T04:00:01Z"), Outcome::Breached);
    let mean =
        |as_of: &str| verdict(&running(as_of, lasts, &restore("14400", "mean", "")), "mttr").result;
    assert_eq!(mean("2026-06-03T05:00:00Z"), Outcome::NotDetermined);
    assert_eq!(mean("2026-07-03T05:00:00Z"), Outcome::Breached);
}

fn termination(any: &str) -> String {
    format!(
        "[[termination]]\nid = \"chronic\"\nby = \"customer\"\nany = [ {any} \
            ]\nexercise_within_days = 30\n{}",
        availability("99.9", "", "")
    )
}

fn rights(report: &Report) -> Vec<(String, String)> {
    report
        .terminations
        .iter()
        .map(|right| (right.accrued.to_string(), right.exercise_by.to_string()))
        .collect()
}

fn right(accrued: &str, by: &str) -> Vec<(String, String)> {
    vec![(accrued.to_owned(), by.to_owned())]
}

#[test]
fn several_long_outages_within_days_give_a_right() {
    let any = r#"{ events = 3, longer_than = "30m", within_days = 30 }"#;
    let terms = Terms::new("1000.00", termination(any));
    let judged = |first: &str, previous: &str| {
        let facts = format!(
            r#"{{"period": "2026-03", "service": "s", "previous": [{{"period": "2026-02", "events": [{previous}]}}], "events": [
            {{"from": "{first}T00:00:00Z", "to": "{first}T00:31:00Z"}},
            {{"from": "2026-03-20T00:00:00Z", "to": "2026-03-20T00:31:00Z", "side": "unknown"}},
            {{"from": "2026-03-22T00:00:00Z", "to": "2026-03-22T00:31:00Z", "side": "customer"}},
            {{"from": "2026-03-25T00:00:00Z", "to": "2026-03-25T00:30:00Z"}},
            {{"from": "2026-03-30T00:00:00Z", "to": "2026-03-30T00:31:00Z"}}]}}"#
        );
        rights(&terms.judge(&facts))
    };
    // 1 to 30 March are 29 days apart.
    assert_eq!(judged("2026-03-01", ""), right("2026-03-30", "2026-04-29"));
    assert_eq!(judged("2026-02-28", ""), []);
    // One of an earlier period counts too.
    let before = r#"{"from": "2026-02-25T00:00:00Z", "to": "2026-02-25T01:00:00Z"}"#;
    assert_eq!(judged("2026-03-01", before), right("2026-03-20", "2026-04-19"));
}

#[test]
fn downtime_over_a_limit_gives_a_right_on_the_day_on_which_it_is_passed() {
    let terms =
        Terms::new("1000.00", termination(r#"{ downtime_over = "24h", period = "month" }"#));
    let of = |to: &str| {
        let events =
            [("2026-06-03T00:00:00Z", "2026-06-03T12:00:00Z"), ("2026-06-10T00:00:00Z", to)];
        rights(&terms.judge(&june(&events)))
    };
    assert_eq!(of("2026-06-10T12:00:00Z"), []);
    assert_eq!(of("2026-06-10T12:00:01Z"), right("2026-06-10", "2026-07-10"));
}

#[test]
fn breaches_in_a_row_give_a_right_on_the_periods_last_day_once() {
    let judged = |any: &str, previous: &[&str]| {
        let previous: Vec<String> = previous
            .iter()
            .map(|period| format!(r#"{{"period": "{period}", "breached": ["avail"]}}"#))
            .collect();
        let facts = format!(
            r#"{{"period": "2026-06", "service": "s", "values": {{"avail": "99"}}, "previous": [{}]}}"#,
            previous.join(",")
        );
        rights(&Terms::new("1000.00", termination(any)).judge(&facts))
    };
    let three = r#"{ breached = "avail", consecutive = 3 }"#;
    assert_eq!(judged(three, &["2026-04", "2026-05"]), right("2026-06-30", "2026-07-30"));
    assert_eq!(judged(three, &["2026-03", "2026-05"]), []);
    // It accrued a month before.
    assert_eq!(judged(three, &["2026-03", "2026-04", "2026-05"]), []);
    let times = r#"{ breached = "avail", times = 3, of_periods = 6 }"#;
    assert_eq!(judged(times, &["2026-01", "2026-03"]), right("2026-06-30", "2026-07-30"));
    assert_eq!(judged(times, &["2025-12", "2026-03"]), []);
}

#[test]
fn duties_are_due_after_what_the_contract_says() {
    let duty = |id: &str, after: &str| {
        format!(
            "[[duty]]\nid = \"{id}\"\nparty = \"provider\"\nwhat = \"report\"\nwithin \
                = \"24h\"\nafter = \"{after}\"\n"
        )
    };
    let rest = format!(
        "{}{}{}",
        duty("end", "event_end"),
        duty("month", "period_end"),
        availability("99.9", "", "")
    );
    let facts = r#"{"period": "2026-06", "service": "s", "events": [{"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z"}],
        "duties": [{"duty": "end", "event": 0, "done": "2026-06-04T01:00:01Z"}, {"duty": "month", "done": "2026-07-01T23:00:00Z"}]}"#;
    let report = Terms::new("1000.00", rest).judge(facts);
    let states: Vec<(String, Option<bool>)> =
        report.duties.iter().map(|duty| (duty.due.to_string(), duty.kept)).collect();
    // The month ends at 23:00 UTC.
    assert_eq!(
        states,
        [
            ("2026-06-04T01:00:00Z".to_owned(), Some(false)),
            ("2026-07-01T23:00:00Z".to_owned(), Some(true))
        ]
    );
}

#[test]
fn delivery_is_what_loss_leaves() {
    let text = delay("99.5", "", "")
        .replace("metric = \"rtt\"", "metric = \"delivery\"")
        .replace("unit = \"ms\"\nop = \"<=\"", "unit = \"percent\"\nop = \">=\"");
    assert_eq!(
        stands(&Terms::new("1000.00", text).judge(&value("delay", "99.4")), "delay").0,
        Outcome::Breached
    );
}

#[test]
fn a_target_that_must_be_exceeded_is_missed_when_it_is_only_reached() {
    let text = delay("60", "", &remedy("shortfall", ONCE)).replace("op = \"<=\"", "op = \"<\"");
    // Missed by nothing, which earns nothing.
    assert_eq!(
        stands(&Terms::new("1000.00", text).judge(&value("delay", "60")), "delay"),
        (Outcome::Breached, Some("60".to_owned()), "0.00".to_owned())
    );
}

#[test]
fn a_known_key_that_does_not_apply_is_accepted() {
    let page = include_str!("../testdata/contracts/page.toml");
    let with = |find: &str, put: &str| {
        assert!(page.contains(find), "{find}");
        wanproof::sla::contract::parse(&page.replacen(find, put, 1), "c.toml").map(|_| ())
    };
    // A sliding window's terms beside misses; a claim's clock where credits come by themselves; a
    // probe of nobody where tickets decide; another condition's key.
    assert_eq!(with("misses = 3 ", "dt = \"1s\"\nn = 10\ninterval = \"60s\"\nmisses = 3 "), Ok(()));
    assert_eq!(with("mode = \"on_request\"", "mode = \"automatic\""), Ok(()));
    assert_eq!(
        with(
            "{ breached = \"avail\", consecutive = 3 }",
            "{ breached = \"avail\", consecutive = 3, period = \"month\" }"
        ),
        Ok(())
    );
    assert_eq!(
        with(
            "statistic = \"mean\"\nonly_while",
            "over = \"10ms\"\nstatistic = \"mean\"\nonly_while"
        ),
        Ok(())
    );
    assert_eq!(
        with(
            "[objective.aggregate]\nperiod = \"month\"\n[objective.remedy]",
            "[objective.qualify]\nlonger_than = \"60s\"\n[objective.outage]\ndefinition \
                = \"mef\"\n[objective.aggregate]\nperiod = \"month\"\ndenominator \
                = \"fixed\"\n[objective.remedy]"
        ),
        Ok(())
    );
}

#[test]
fn a_time_to_restore_may_pay_for_each_event_by_its_length() {
    let tiers = r#"tiers = [ { over = "14400", upto = "28800", credit = "10%" }, { over = "28800", credit = "25%" } ]"#;
    let facts = june(&[
        ("2026-06-03T00:00:00Z", "2026-06-03T01:00:00Z"),
        ("2026-06-04T00:00:00Z", "2026-06-04T05:00:00Z"),
        ("2026-06-05T00:00:00Z", "2026-06-05T09:00:00Z"),
    ]);
    let report =
        Terms::new("1000.00", restore("14400", "each", &remedy("event", tiers))).judge(&facts);
    assert_eq!(report.credit, "350.00");
}

#[test]
fn a_ticket_definition_needs_no_probes() {
    let text = "[[objective]]\nid = \"avail\"\nmetric = \"availability\"\nunit = \"percent\"\nop \
        = \">=\"\ntarget = \"99.9\"\n[objective.outage]\ndefinition = \"ticket\"\nunknown_is \
        = \"unknown\"\nsides = [\"provider\"]\n[objective.aggregate]\nperiod \
        = \"month\"\ndenominator = \"actual\"\n";
    let report = Terms::new("1000.00", text).judge(&june(&[]));
    assert_eq!(
        stands(&report, "avail"),
        (Outcome::Met, Some("100.000000".to_owned()), "0.00".to_owned())
    );
}
