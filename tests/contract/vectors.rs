//! The sixteen vectors of the format's page, word for word.

use super::support::{
    Terms, availability, delay, june, month, remedy, restore, stands, value, verdict,
};
use wanproof::base::decimal::{Exact, Rounding};
use wanproof::base::time::Wall;
use wanproof::measure::carrier::Carrier;
use wanproof::measure::outcome::Outcome as Probe;
use wanproof::sla::mos;
use wanproof::sla::outage::{Detector, Edge, Rule};
use wanproof::sla::report::{Outcome, Report};
use wanproof::sla::terms::{CarrierLoss, Definition, Late};

fn exact(text: &str) -> Exact {
    Exact::parse(text).expect("a decimal")
}

fn exacts(texts: &[&str]) -> Vec<Exact> {
    texts.iter().map(|text| exact(text)).collect()
}

#[test]
fn vector_1_the_day_rule() {
    // MRC 1500.00, June. Driver `days`, 1/30 per day.
    // Outages: 3rd 45 s; 7th 300 s and 1800 s; 15th 23:59:30 for 80 s (local; June is UTC+1).
    let facts = june(&[
        ("2026-06-03T09:00:00Z", "2026-06-03T09:00:45Z"),
        ("2026-06-07T09:00:00Z", "2026-06-07T09:05:00Z"),
        ("2026-06-07T12:00:00Z", "2026-06-07T12:30:00Z"),
        ("2026-06-15T22:59:30Z", "2026-06-15T23:00:50Z"),
    ]);
    let terms = |qualify: &str| {
        let form = remedy("days", r#"per_unit = { unit = "1", rounding = "up", credit = "1/30" }"#);
        Terms::new("1500.00", availability("99.99", "", &format!("{qualify}\n{form}")))
            .judge(&facts)
    };
    let shown = |report: &Report| {
        let avail = verdict(report, "avail");
        (avail.downtime_s.clone(), avail.exact.clone(), report.credit.clone())
    };
    let of = |s: &str, exact: &str, credit: &str| {
        (Some(s.to_owned()), Some(exact.to_owned()), credit.to_owned())
    };
    // Without [qualify]: 2225 s, 99.914158 %.
    assert_eq!(shown(&terms("")), of("2225", "99.914158", "150.00"));
    // Longer than 60 s, split at day: 2100 s, 99.918981 %, credit 50.00; not split: 2180 s, 100.00.
    let qualify =
        |split: &str| format!("[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"{split}\"");
    assert_eq!(shown(&terms(&qualify("day"))), of("2100", "99.918981", "50.00"));
    let whole = shown(&terms(&qualify("none")));
    assert_eq!((whole.0.as_deref(), whole.2.as_str()), (Some("2180"), "100.00"));
}

#[test]
fn vector_2_a_day_for_each_cumulative_hour_or_part() {
    let terms = |credit: &str| {
        let form =
            format!("per_unit = {{ unit = \"3600\", rounding = \"up\", credit = \"{credit}\" }}");
        let cap = "[[cap]]\nper = \"month\"\nlimit = \"100%\"\n";
        Terms::new(
            "3100.00",
            availability("99.9", "", &format!("{}{cap}", remedy("downtime", &form))),
        )
    };
    // 31 days; 20 + 75 + 40 min → three days: 300.00 with `1/days`, 310.00 with `1/30`.
    let facts = month(
        "2026-07",
        &[
            ("2026-07-02T00:00:00Z", "2026-07-02T00:20:00Z"),
            ("2026-07-03T00:00:00Z", "2026-07-03T01:15:00Z"),
            ("2026-07-04T00:00:00Z", "2026-07-04T00:40:00Z"),
        ],
    );
    assert_eq!(terms("1/days").judge(&facts).credit, "300.00");
    assert_eq!(terms("1/30").judge(&facts).credit, "310.00");
    // 40 h → 40 days, capped at 100 % of a month: 3100.00.
    let long = month("2026-07", &[("2026-07-02T00:00:00Z", "2026-07-03T16:00:00Z")]);
    let report = terms("1/days").judge(&long);
    assert_eq!(
        (verdict(&report, "avail").credit.as_str(), report.credit.as_str()),
        ("4000.00", "3100.00")
    );
}

#[test]
fn vector_3_cumulative_tiers() {
    let form = r#"tiers = [
        { from = "300", below = "3600", credit = "5%" }, { from = "3600", below = "10800", credit = "15%" },
        { from = "10800", below = "21600", credit = "35%" }, { from = "21600", credit = "50%" } ]"#;
    let terms = Terms::new("2000.00", availability("99.9", "", &remedy("downtime", form)));
    let credit = |to: &str| terms.judge(&june(&[("2026-06-03T00:00:00Z", to)])).credit;
    // 59 min 30 s → 100.00; 60 min → 300.00; 4 min 59 s → 0.
    assert_eq!(credit("2026-06-03T00:59:30Z"), "100.00");
    assert_eq!(credit("2026-06-03T01:00:00Z"), "300.00");
    assert_eq!(credit("2026-06-03T00:04:59Z"), "0.00");
}

#[test]
fn vector_4_relative_excess() {
    let form = r#"tiers = [ { over = "10", upto = "20", credit = "10%" }, { over = "20", upto = "30", credit = "20%" } ]"#;
    let terms = Terms::new("1000.00", delay("60", "", &remedy("excess_percent", form)));
    // Target 60 ms: 74 → 23.33 % over: 20 %. 63 → breached, no credit.
    let credit = |actual| stands(&terms.judge(&value("delay", actual)), "delay");
    assert_eq!(credit("74"), (Outcome::Breached, Some("74".to_owned()), "200.00".to_owned()));
    assert_eq!(credit("63"), (Outcome::Breached, Some("63".to_owned()), "0.00".to_owned()));
}

#[test]
fn vector_5_the_denominator() {
    // 44 min down in a 31-day month against 99.9: fixed 43,200 → 99.898148, breached; actual →
    // 99.901433, met.
    let facts = month("2026-07", &[("2026-07-02T00:00:00Z", "2026-07-02T00:44:00Z")]);
    let judged = |aggregate: &str| {
        let (outcome, exact, _) = stands(
            &Terms::new("1000.00", availability("99.9", aggregate, "")).judge(&facts),
            "avail",
        );
        (outcome, exact.unwrap_or_default())
    };
    assert_eq!(
        judged("denominator = \"fixed\"\nfixed_minutes = 43200"),
        (Outcome::Breached, "99.898148".to_owned())
    );
    assert_eq!(judged("denominator = \"actual\""), (Outcome::Met, "99.901433".to_owned()));
}

#[test]
fn vector_6_time_to_restore() {
    // 30, 90, 300 min against 4 h: `mean`, 140 min, meets it; `each`: breached, count 1.
    let facts = june(&[
        ("2026-06-03T00:00:00Z", "2026-06-03T00:30:00Z"),
        ("2026-06-04T00:00:00Z", "2026-06-04T01:30:00Z"),
        ("2026-06-05T00:00:00Z", "2026-06-05T05:00:00Z"),
    ]);
    let judged = |statistic: &str| {
        let form =
            remedy("count", r#"per_unit = { unit = "1", rounding = "exact", credit = "25.00" }"#);
        let report = Terms::new("1000.00", restore("14400", statistic, &form)).judge(&facts);
        let mttr = verdict(&report, "mttr").clone();
        (mttr.result, mttr.actual.unwrap_or_default(), mttr.count, mttr.credit)
    };
    assert_eq!(judged("mean"), (Outcome::Met, "8400".to_owned(), Some(1), "25.00".to_owned()));
    assert_eq!(
        judged("each"),
        (Outcome::Breached, "18000".to_owned(), Some(1), "25.00".to_owned())
    );
}

#[test]
fn vector_7_shortfall() {
    let form = r#"tiers = [ { over = "0", upto = "1", credit = "5%" }, { over = "1", below = "5", credit = "10%" },
                            { from = "5", credit = "15%" } ]"#;
    let terms = Terms::new("1000.00", availability("99.9", "", &remedy("shortfall", form)));
    // Target 99.9: 98.9 → 5 %; 98.899 → 10 %; 94.9 → 15 %.
    let credit = |actual| terms.judge(&value("avail", actual)).credit;
    assert_eq!(
        ["98.9", "98.899", "94.9", "99.9"].map(credit),
        ["50.00", "100.00", "150.00", "0.00"]
    );
}

#[test]
fn vector_8_per_part_exactly() {
    let form = r#"per_unit = { unit = "0.1", rounding = "up", credit = "1%" }"#;
    let terms = Terms::new("1000.00", availability("99.9", "", &remedy("shortfall", form)));
    // 1 % for each 0.1 point or part: 99.7 against 99.9 → 2 % (binary floats give 3); 99.73 → 2 %.
    let credit = |actual| terms.judge(&value("avail", actual)).credit;
    assert_eq!(["99.7", "99.73"].map(credit), ["20.00", "20.00"]);
}

#[test]
fn vector_9_excess_downtime() {
    // 99.99 % of 30 days allows 259.2 s; 3 h 30 min down: per hour 3 %: down 9 %, up 12 %, exact
    // 10.284 %.
    let facts = june(&[("2026-06-03T00:00:00Z", "2026-06-03T03:30:00Z")]);
    let credit = |rounding: &str| {
        let form =
            format!("per_unit = {{ unit = \"3600\", rounding = \"{rounding}\", credit = \"3%\" }}");
        Terms::new("100000.00", availability("99.99", "", &remedy("excess_downtime", &form)))
            .judge(&facts)
            .credit
    };
    assert_eq!(["down", "up", "exact"].map(credit), ["9000.00", "12000.00", "10284.00"]);
}

#[test]
fn vector_10_combination_and_cap() {
    // MRC 1000: in one month 15 % (availability) and 10 % (time to restore): max 150.00, sum
    // 250.00.
    let facts = june(&[("2026-06-03T00:00:00Z", "2026-06-03T05:00:00Z")]);
    let judged = |share: &str, more: &str| {
        let credit = |share: &str| {
            remedy(
                "breach",
                &format!(
                    "per_unit = {{ unit = \"1\", rounding = \"exact\", credit = \"{share}\" }}"
                ),
            )
        };
        let rest = format!(
            "{}{}{more}",
            availability("99.9", "", &credit(share)),
            restore("14400", "max", &credit("10%"))
        );
        Terms::new("1000.00", rest).judge(&facts).credit
    };
    let combine = |rule: &str| {
        format!("[[combine]]\nobjectives = [\"avail\", \"mttr\"]\nrule = \"{rule}\"\n")
    };
    assert_eq!(judged("15%", &combine("max")), "150.00");
    assert_eq!(judged("15%", &combine("sum")), "250.00");
    assert_eq!(judged("15%", ""), "250.00");
    // 120 % capped at 100 % 1000.00.
    assert_eq!(judged("110%", "[[cap]]\nper = \"month\"\nlimit = \"100%\"\n"), "1000.00");
}

#[test]
fn vector_11_mef() {
    // n = 4, `x` = loss above the threshold: `..xxxx...x.xx.......` → available
    // `11000000000001111111` (9 of 20).
    let rule = Rule {
        definition: Definition::Mef {
            dt: std::time::Duration::from_secs(1),
            n: 4,
            threshold: exact("0.5"),
        },
        late_is: Late::Failed,
        carrier_loss_is: CarrierLoss::Down,
    };
    let mut detector = Detector::new(&rule);
    let mut edges = Vec::new();
    for (second, letter) in (0i64..).zip("..xxxx...x.xx.......".chars()) {
        let outcome = if letter == 'x' { Probe::Lost } else { Probe::Answered };
        edges.extend(detector.push(
            Wall::from_secs(second),
            outcome,
            Carrier::Up,
            std::time::Duration::from_secs(1),
        ));
    }
    edges.extend(detector.finish());
    let mut available = String::new();
    let mut up = true;
    for second in 0..20 {
        for edge in &edges {
            match edge {
                Edge::Down { from } if *from == Wall::from_secs(second) => up = false,
                Edge::Up { at } if *at == Wall::from_secs(second) => up = true,
                _ => {}
            }
        }
        available.push(if up { '1' } else { '0' });
    }
    assert_eq!(available, "11000000000001111111");
    assert_eq!(available.matches('1').count(), 9);
}

#[test]
fn vector_12_jitter() {
    // RTTs 20, 22, 19, 25, 25 ms at equal spacing.
    let rtts = exacts(&["20", "22", "19", "25", "25"]);
    // RFC 3550 J = 0.125, 0.304688, 0.660645, 0.619354.
    let jitter: Vec<String> =
        mos::rfc3550(&rtts).iter().map(|j| j.fixed(6, Rounding::HalfUp)).collect();
    assert_eq!(jitter, ["0.125000", "0.304688", "0.660645", "0.619354"]);
    // Mean |IPDV| 2.75; PDV above the minimum 1, 3, 0, 6, 6.
    let ipdv = mos::ipdv(&rtts);
    let mean = ipdv.iter().cloned().sum::<Exact>().over(&Exact::from(ipdv.len() as u64));
    assert_eq!(mean, Some(exact("2.75")));
    assert_eq!(mos::pdv(&rtts), exacts(&["1", "3", "0", "6", "6"]));
}

#[test]
fn vector_13_mos() {
    // (20, 2, 0) → R 92.35, 4.3922; (100, 10, 1) → 87.45, 4.2716; (250, 30, 3) → 65.7, 3.3894;
    // (400, 50, 10) → 29.2, 1.5763; (1000, 0, 20) → 1.
    for (latency, jitter, loss, r, score) in [
        ("20", "2", "0", "92.35", "4.3922"),
        ("100", "10", "1", "87.45", "4.2716"),
        ("250", "30", "3", "65.7", "3.3894"),
        ("400", "50", "10", "29.2", "1.5763"),
        ("1000", "0", "20", "0", "1.0000"),
    ] {
        let (latency, jitter, loss) = (exact(latency), exact(jitter), exact(loss));
        assert_eq!(mos::rating(&latency, &jitter, &loss), exact(r));
        assert_eq!(mos::score(&latency, &jitter, &loss).fixed(4, Rounding::HalfUp), score);
    }
}

#[test]
fn vector_14_rounding_before_comparing() {
    // Decimals 2, half up: 55.004 → 55.00; 55.005 → 55.01.
    let terms = Terms::new("1000.00", delay("55", "decimals = 2\nrounding = \"half_up\"", ""));
    let judged = |actual| {
        let report = terms.judge(&value("delay", actual));
        let delay = verdict(&report, "delay").clone();
        (delay.actual.unwrap_or_default(), delay.exact.unwrap_or_default(), delay.result)
    };
    assert_eq!(judged("55.004"), ("55.00".to_owned(), "55.004".to_owned(), Outcome::Met));
    assert_eq!(judged("55.005"), ("55.01".to_owned(), "55.005".to_owned(), Outcome::Breached));
}

#[test]
fn vector_15_a_claim_in_two_steps() {
    // Ticket within 72 h, claim within 30 days of the ticket's closing: fault 3 March 10:00; ticket
    // 6 March 10:00:00 is in time, 10:00:01 is not. Closed 7 March → claim by 6 April.
    let claim = r#"[claim]
mode = "on_request"
ticket_within = "72h"
within = 30
unit = "days"
counted_from = "ticket_closed"
rounding = "half_up"
settled = "next_invoice"
"#;
    let form = remedy("breach", r#"per_unit = { unit = "1", rounding = "exact", credit = "10%" }"#);
    let terms = Terms::new("1000.00", format!("{claim}{}", availability("99.9", "", &form)));
    let judged = |opened: &str| {
        let facts = format!(
            r#"{{"period": "2026-03", "service": "s", "events": [{{"from": "2026-03-03T10:00:00Z", "to": "2026-03-03T13:00:00Z",
                "ticket": {{"id": "T-1", "opened": "{opened}", "closed": "2026-03-07T12:00:00Z"}}}}]}}"#
        );
        let report = terms.judge(&facts);
        (
            report.claim.by.map(|by| by.to_string()),
            report.claim.ticket_by.map(|by| by.to_string()),
            report.claim.lapsed,
            report.credit,
        )
    };
    let of = |lapsed| {
        (
            Some("2026-04-06".to_owned()),
            Some("2026-03-06T10:00:00Z".to_owned()),
            lapsed,
            "100.00".to_owned(),
        )
    };
    assert_eq!(judged("2026-03-06T10:00:00Z"), of(false));
    assert_eq!(judged("2026-03-06T10:00:01Z"), of(true));
}

#[test]
fn vector_16_the_example_of_the_page() {
    let contract = wanproof::sla::contract::parse(
        include_str!("../testdata/contracts/page.toml"),
        "page.toml",
    )
    .unwrap();
    let report =
        super::support::judge(&contract, include_str!("../testdata/contracts/page.facts.json"));
    let mut printed = serde_json::to_value(&report).unwrap();
    let mut expected: serde_json::Value =
        serde_json::from_str(include_str!("../testdata/contracts/page.report.json")).unwrap();
    // The page was printed before verdicts named the time zone data.
    let tzdata = printed.as_object_mut().unwrap().remove("tzdata");
    assert_eq!(tzdata, Some(wanproof::sla::calendar::TZDATA.into()));
    for value in [&mut printed, &mut expected] {
        for objective in value["objectives"].as_array_mut().unwrap() {
            let steps = objective.as_object_mut().unwrap().remove("steps").unwrap();
            assert!(!steps.as_array().unwrap().is_empty());
        }
    }
    assert_eq!(printed, expected);
    assert!(
        verdict(&report, "avail")
            .steps
            .contains(&"two outages qualify: 750 s and 13200 s".to_owned())
    );
}
