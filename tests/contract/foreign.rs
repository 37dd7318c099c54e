//! Files that others made: what would be swallowed in silence is refused with its place, what is
//! likely a mistake is told, and nothing makes judging hang.

use std::process::Command;

use super::support::{
    CLAIM, Terms, availability, delay, judge, june, remedy, restore, service, value, verdict,
};
use wanproof::sla::{contract, facts, judge_facts};

/// What is wrong with facts, judged by a contract.
fn faults(terms: &Terms, text: &str) -> Vec<String> {
    let told = |faults: Vec<wanproof::sla::Fault>| faults.iter().map(ToString::to_string).collect();
    match facts::parse(text, "f.json") {
        Err(faults) => told(faults),
        Ok(case) => judge_facts(&terms.parse(), &case).err().map(told).unwrap_or_default(),
    }
}

fn broken(terms: &Terms) -> Vec<String> {
    contract::parse(&terms.text(), "t.toml")
        .expect_err("it is broken")
        .iter()
        .map(ToString::to_string)
        .collect()
}

const ONCE: &str = r#"per_unit = { unit = "1", rounding = "exact", credit = "10%" }"#;

#[test]
fn keys_that_are_given_twice_are_refused_with_their_place() {
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    let text = r#"{"period": "2026-06", "period": "2026-07", "service": "s",
        "events": [{"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z", "to": "2026-06-01T00:00:01Z"}]}"#;
    assert_eq!(
        faults(&terms, text),
        [
            "f.json: period: is there twice: keep the one that is meant",
            "f.json: events[0].to: is there twice: keep the one that is meant"
        ]
    );
    assert!(faults(&terms, &format!("\u{feff}{}", june(&[]))).is_empty());
}

#[test]
fn a_value_outside_what_its_unit_allows_is_refused() {
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    assert_eq!(
        faults(&terms, &value("avail", "100.1")),
        ["f.json: values.avail: 100.1 is not from 0 to 100, as a value in percent is"]
    );
    assert!(faults(&terms, &value("avail", "100")).is_empty());
}

#[test]
fn a_count_for_an_objective_that_has_none_is_refused() {
    let rest =
        format!("{}{}", delay("60", "", ""), restore("3600", "each", &remedy("count", ONCE)));
    let of =
        |id: &str| format!(r#"{{"period": "2026-06", "service": "s", "counts": {{"{id}": 3}}}}"#);
    let what = |id: &str| {
        vec![format!(
            "f.json: counts.{id}: objective {id:?} has no count: neither its metric nor its \
                driver is \"count\""
        )]
    };
    assert_eq!(faults(&Terms::new("1000.00", rest.clone()), &of("delay")), what("delay"));
    let counted = Terms::new("1000.00", delay("60", "", &remedy("count", ONCE)));
    assert!(faults(&counted, &of("delay")).is_empty());
}

#[test]
fn an_earlier_period_is_told_once_and_lies_before_the_one_that_is_judged() {
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    let previous = |periods: &[&str]| {
        let all: Vec<String> =
            periods.iter().map(|period| format!("{{\"period\": \"{period}\"}}")).collect();
        format!(r#"{{"period": "2026-06", "service": "s", "previous": [{}]}}"#, all.join(","))
    };
    assert!(faults(&terms, &previous(&["2026-05", "2026-04", "2026-Q1"])).is_empty());
    assert_eq!(
        faults(&terms, &previous(&["2026-05", "2026-05", "2026-07", "2026-Q2", "2026-06"])),
        [
            "f.json: previous[1].period: 2026-05 is there twice: tell of it once",
            "f.json: previous[2].period: 2026-07 is not before the period that is judged, 2026-06",
            "f.json: previous[3].period: 2026-Q2 is not before the period that is judged, 2026-06",
            "f.json: previous[4].period: 2026-06 is the period that is judged, not an earlier one",
        ]
    );
}

#[test]
fn times_from_1900_to_the_end_of_2200_are_taken() {
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    let of = |to: &str| {
        format!(
            r#"{{"period": "2200-12", "service": "s", "events": [{{"from": "2200-12-31T22:00:00Z", "to": "{to}"}}]}}"#
        )
    };
    let report = judge(&terms.parse(), &of("2200-12-31T23:00:00Z"));
    // 31 days: the last of them has an end.
    assert_eq!(verdict(&report, "avail").exact.as_deref(), Some("99.865591"));
    assert_eq!(
        faults(&terms, &of("2201-01-01T00:00:00Z")),
        ["f.json: events[0].to: \"2201-01-01T00:00:00Z\" is not from 1900-01-01 to 2200-12-31"]
    );
}

#[test]
fn amounts_may_have_sixty_digits_and_old_contracts_their_currency() {
    let digits = "9".repeat(58) + ".99";
    let long = format!("9{digits}");
    let charged = |mrc: &str| {
        format!(r#"{{"period": "2026-06", "service": "s", "charges": {{"mrc": "{mrc}"}}}}"#)
    };
    let terms = Terms { currency: "DEM", ..Terms::new("1000.00", availability("99.9", "", "")) };
    assert!(faults(&terms, &charged(&digits)).is_empty());
    assert_eq!(
        faults(&terms, &charged(&long)),
        ["f.json: charges.mrc: \"99999999999999999999…\" is too long: a number may have 60 digits"]
    );
}

#[test]
fn a_bad_end_is_told_once() {
    let terms = Terms::new("1000.00", availability("99.9", "", ""));
    let text = r#"{"period": "2026-06", "service": "s", "events": [
        {"from": "yesterday", "to": "2026-06-01T00:00:00Z"}, {"from": "2026-06-01T00:00:00Z", "to": "soon"}, {"from": "2026-06-03T00:00:00Z"}]}"#;
    assert_eq!(
        faults(&terms, text),
        [
            "f.json: events[0].from: \"yesterday\" is not a time: expected RFC 3339, such as \
                2026-06-03T01:00:00Z",
            "f.json: events[1].to: \"soon\" is not a time: expected RFC 3339, such as \
                2026-06-03T01:00:00Z",
            "f.json: events[2].to: missing: without as_of every event has ended, and needs it",
        ]
    );
    // Nor does one that lasts beget a fault where as_of is there, but cannot be read.
    let text = r#"{"period": "2026-06", "service": "s", "as_of": "now", "events": [{"from": "2026-06-03T00:00:00Z"}]}"#;
    assert_eq!(faults(&terms, text).len(), 1);
}

#[test]
fn a_number_with_a_unit_says_where_the_unit_stands_and_begets_no_other_fault() {
    let tiers = r#"tiers = [ { over = "0", upto = "4h", credit = "5%" }, { over = "4h", credit = "10%" } ]"#;
    let terms = Terms::new("1000.00", availability("99.9", "", &remedy("downtime", tiers)));
    let what =
        "\"4h\" is a length of time, and here stands a plain number; in seconds it is \"14400\"";
    assert_eq!(
        broken(&terms),
        [
            format!("t.toml: objective \"avail\": remedy.tiers[1].upto: {what}"),
            format!("t.toml: objective \"avail\": remedy.tiers[2].over: {what}"),
        ]
    );
    let claim = CLAIM.replace("automatic", "on_request")
        + "within = \"30 days\"\nunit = \"days\"\ncounted_from = \"period_end\"\n";
    assert_eq!(
        broken(&Terms::new("1000.00", format!("{claim}{}", availability("99.9", "", "")))),
        ["t.toml: claim.within: \"30 days\" is a number with a unit, and here stands a plain \
                number: write \"30\""]
    );
}

/// What may be a mistake in a contract.
fn doubts(terms: &Terms) -> Vec<String> {
    let written = contract::Written::read(&terms.text(), "t.toml").expect("TOML");
    contract::warnings(&written, &[]).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_likely_a_mistake_is_told_with_its_place() {
    let of = |rest: String| doubts(&Terms::new("1000.00", rest));
    let mixed = r#"tiers = [ { over = "0", upto = "600", credit = "5%" }, { over = "600", credit = "10" } ]"#;
    let cap = "[[cap]]\nper = \"month\"\nlimit = \"100\"\n";
    assert_eq!(
        of(format!("{}{cap}", availability("99.9", "", &remedy("downtime", mixed)))),
        [
            "t.toml: objective \"avail\": remedy: the credit \"10\" is 10 GBP, among others in \
                percent: is it 10%?",
            "t.toml: cap 1: limit: \"100\" is 100 GBP, among others in percent: is it 100%?",
        ]
    );
    let amounts = r#"tiers = [ { over = "0", upto = "600", credit = "5.00" }, { over = "600", credit = "10.00" } ]"#;
    assert!(
        of(format!("{}{cap}", availability("99.9", "", &remedy("downtime", amounts)))).is_empty()
    );
    assert_eq!(
        of(availability("0.999", "", "").replace(">=", "<=")),
        [
            "t.toml: objective \"avail\": op: \"<=\" asks for little availability: \">=\" is what \
                contracts promise",
            "t.toml: objective \"avail\": target: 0.999 percent is next to nothing: \"99.9\", or \
                unit = \"ratio\"",
        ]
    );
    // A loss of at most half a percent is what many promise.
    let loss = delay("0.5", "", "").replace("\"rtt\"", "\"loss\"").replace("\"ms\"", "\"percent\"");
    assert!(of(loss).is_empty());
    let tickets = availability(
        "99.9",
        "",
        &remedy("downtime", ONCE).replace("requires_ticket = false", "requires_ticket = true"),
    );
    assert_eq!(
        of(tickets),
        ["t.toml: claim.ticket_within: objective \"avail\" requires tickets, and none can be \
                late: say ticket_within"]
    );
}

#[test]
fn a_zone_without_summer_time_beside_one_that_has_it_is_told() {
    let of = |timezone| {
        doubts(&Terms { timezone, ..Terms::new("1000.00", availability("99.9", "", "")) })
    };
    assert_eq!(
        of("EST"),
        ["t.toml: agreement.timezone: \"EST\" has no summer time all year: where the clocks \
                change, say \"America/New_York\" or the like"]
    );
    assert_eq!((of("Etc/GMT-1").len(), of("UTC").len(), of("Europe/London").len()), (1, 0, 0));
}

#[test]
fn a_count_that_pays_though_the_target_is_met_is_told() {
    let count = |form: &str| {
        let objective = "[[objective]]\nid = \"visits\"\nmetric = \"count\"\nunit = \"count\"\nop \
            = \"<=\"\ntarget = \"2\"\n\
                         [objective.aggregate]\nperiod = \"month\"\n";
        doubts(&Terms::new("1000.00", format!("{objective}{}", remedy("count", form))))
    };
    assert_eq!(
        count(ONCE),
        ["t.toml: objective \"visits\": remedy.driver: driver \"count\" pays though the target \
                is met: let what it pays for begin above the target"]
    );
    assert!(count(r#"tiers = [ { over = "2", credit = "10%" } ]"#).is_empty());
    assert_eq!(count(r#"tiers = [ { from = "2", credit = "10%" } ]"#).len(), 1);
    assert!(count(r#"escalation = [ "5%" ]"#).is_empty());
}

#[test]
fn a_warning_leaves_the_exit_code_and_strict_makes_it_a_fault() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("t.toml");
    std::fs::write(
        &path,
        Terms { timezone: "EST", ..Terms::new("1000.00", availability("99.9", "", "")) }.text(),
    )
    .unwrap();
    let check = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
        let output = command
            .args(["contract", "check"])
            .args(more)
            .arg(&path)
            .output()
            .expect("wanproof runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    let (code, err, _) = check(&[]);
    assert_eq!(code, Some(0));
    assert!(err.starts_with("warning: ") && err.contains("\"EST\" has no summer time"), "{err}");
    let (code, err, _) = check(&["--strict"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("\"EST\" has no summer time"), "{err}");
    let (_, _, out) = check(&["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(json[0]["warnings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn every_verdict_and_the_program_name_the_time_zone_data() {
    let report = Terms::new("1000.00", availability("99.9", "", "")).judge(&june(&[]));
    let json = serde_json::to_value(&report).expect("JSON");
    let tzdata = wanproof::sla::calendar::TZDATA;
    assert_eq!(json["tzdata"], tzdata);
    let output = Command::new(env!("CARGO_BIN_EXE_wanproof"))
        .arg("--version")
        .output()
        .expect("wanproof runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim_end(),
        format!("wanproof {} (tzdata {tzdata})", env!("CARGO_PKG_VERSION"))
    );
}

// ---- Bounds

/// A graph so many deep, in which each service has as many members as its level is wide, each of
/// those the whole next level.
fn graph(deep: usize, wide: usize) -> String {
    let of = |level: usize| {
        let all = (0..wide).map(|at| format!("\"l{level}-{at}\"")).collect::<Vec<_>>().join(", ");
        if level < deep { format!("members = [{all}]") } else { String::new() }
    };
    let mut text = service("1000.00", &of(0));
    for level in 0..deep {
        for at in 0..wide {
            let one = service("0", &of(level + 1))
                .replace("id = \"s\"", &format!("id = \"l{level}-{at}\""));
            text.push_str(&one);
        }
    }
    text
}

#[test]
fn members_are_walked_once_each_however_they_hang_together() {
    // Twice for each level would be two to the power of 300.
    for (deep, wide) in [(300, 2), (999, 1)] {
        let terms =
            Terms::new("1000.00", format!("{}{}", graph(deep, wide), availability("99.9", "", "")));
        let last = deep - 1;
        let event = |at: usize| {
            format!(
                r#"{{"service": "l{last}-{at}", "from": "2026-06-10T00:00:00Z", "to": "2026-06-10T01:00:00Z"}}"#
            )
        };
        let all = (0..wide).map(event).collect::<Vec<_>>().join(",");
        let report =
            terms.judge(&format!(r#"{{"period": "2026-06", "service": "s", "events": [{all}]}}"#));
        assert_eq!(verdict(&report, "avail").downtime_s.as_deref(), Some("3600"));
    }
}

#[test]
fn a_graph_of_more_than_a_thousand_services_is_refused() {
    let terms =
        Terms::new("1000.00", format!("{}{}", graph(1000, 1), availability("99.9", "", "")));
    assert_eq!(
        broken(&terms),
        ["t.toml: service \"s\": members: it and those that it hangs together with are 1001: \
                at most 1000 may be"]
    );
    // Many small ones are no large one.
    let pairs: String = (0..600)
        .map(|at| {
            let pair = service("1000.00", &format!("members = [\"m{at}\"]")) + &service("0", "");
            pair.replacen("id = \"s\"", &format!("id = \"p{at}\""), 1).replacen(
                "id = \"s\"",
                &format!("id = \"m{at}\""),
                1,
            )
        })
        .collect();
    let rest = format!("{pairs}{}{}", service("1000.00", ""), availability("99.9", "", ""));
    assert_eq!(Terms::new("1000.00", rest).parse().services.len(), 1201);
}

#[test]
fn what_is_too_much_to_be_judged_is_refused_before_it_is_begun() {
    let one = |at: usize| {
        availability("99.9", "", "").replace("id = \"avail\"", &format!("id = \"a{at}\""))
    };
    let objectives: String = (0..300).map(one).collect();
    let event = r#"{"from": "2026-06-10T00:00:00Z", "to": "2026-06-10T01:00:00Z"}"#;
    let text = format!(
        r#"{{"period": "2026-06", "service": "s", "events": [{}]}}"#,
        vec![event; 100_000].join(",")
    );
    let found = faults(&Terms::new("1000.00", objectives), &text);
    assert!(found.len() == 1 && found[0].contains("too much to be judged at once"), "{found:?}");
    // Windows over three hundred years, many times.
    let exclusions: String = (0..300)
        .map(|at| {
            format!(
                "[[exclusion]]\nid = \"m{at}\"\nkind = \"other\"\nremoves = \"downtime\"\n\
                 window = {{ days = [\"Sun\"], from = \"00:00\", to = \"06:00\" }}\n"
            )
        })
        .collect();
    let long = |at: usize| {
        format!(
            r#"{{"exclusion": "m{at}", "from": "1900-01-01T00:00:00Z", "to": "2200-12-31T00:00:00Z"}}"#
        )
    };
    let excluded = (0..300).map(long).collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"period": "2026-06", "service": "s", "excluded": [{excluded}]}}"#);
    let found = faults(
        &Terms::new("1000.00", format!("{exclusions}{}", availability("99.9", "", ""))),
        &text,
    );
    assert!(found.len() == 1 && found[0].contains("windows and hours on"), "{found:?}");
}

#[test]
fn a_hundred_thousand_events_and_as_many_exclusions_and_duties_come_to_an_end() {
    let at = |seconds: usize| {
        let june: wanproof::base::time::Wall = "2026-05-31T23:00:00Z".parse().expect("an instant");
        june.shifted(i64::try_from(seconds).expect("a month") * 1_000_000_000)
    };
    const MANY: usize = 100_000;
    let stretches = |length: usize, more: &str| {
        let one = |number: usize| {
            format!(
                r#"{{"from": "{}", "to": "{}"{more}}}"#,
                at(number * 20),
                at(number * 20 + length)
            )
        };
        (0..MANY).map(one).collect::<Vec<_>>().join(",")
    };
    let done = |event: usize| {
        format!(r#"{{"duty": "tell", "event": {event}, "done": "2026-06-01T00:00:00Z"}}"#)
    };
    let text = format!(
        r#"{{"period": "2026-06", "service": "s", "events": [{}], "excluded": [{}], "duties": [{}]}}"#,
        stretches(10, ""),
        stretches(4, ", \"exclusion\": \"m\""),
        (0..MANY).map(done).collect::<Vec<_>>().join(",")
    );
    let qualify =
        "[objective.qualify]\nlonger_than = \"5s\"\nwithin = \"1h\"\nsplit_at = \"day\"\n";
    let rest = format!(
        "[[exclusion]]\nid = \"m\"\nkind = \"other\"\nremoves = \"downtime\"\nat_most = \"2000h\"\n\
         window = \
            {{ days = [\"Mon\", \"Tue\", \"Wed\", \"Thu\", \"Fri\", \"Sat\", \"Sun\"], from = \"00:00\", to = \"24:00\" }}\n\
         [[duty]]\nid = \"tell\"\nparty = \"provider\"\nwhat = \"tell\"\nwithin = \"4h\"\nafter \
            = \"event_end\"\n{}",
        availability("99.9", "", &format!("{qualify}{}", remedy("event", ONCE)))
    );
    let report = Terms::new("1000.00", rest).judge(&text);
    assert_eq!(verdict(&report, "avail").downtime_s.as_deref(), Some("600000"));
    assert_eq!(report.duties.len(), MANY);
    // What is told of them is bounded all the same.
    assert!(verdict(&report, "avail").steps.len() < 80);
}
