//! What was measured, judged: outages by every definition, figures from histograms, coverage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::support::{Terms, availability, delay, remedy, service, verdict};
use wanproof::base::decimal::Exact;
use wanproof::base::time::Wall;
use wanproof::measure::carrier::Carrier;
use wanproof::measure::histogram::Histogram;
use wanproof::measure::interval::{Interval, Spread};
use wanproof::measure::outcome::Outcome as Probe;
use wanproof::sla::facts::Facts;
use wanproof::sla::observed::Seen;
use wanproof::sla::outage::{Detector, Edge, Rule, State};
use wanproof::sla::report::{Outcome, Report};
use wanproof::sla::span::Span;
use wanproof::sla::terms::{CarrierLoss, Definition, Late, Side};
use wanproof::sla::{Observed, judge};

fn at(text: &str) -> Wall {
    text.parse().expect("an instant")
}

/// A minute of one probe a second, these outcomes first and answers after them.
fn minute(from: Wall, outcomes: &str, rtts_us: &[u64]) -> Interval {
    let mut all: wanproof::measure::outcome::Outcomes = outcomes.parse().expect("outcomes");
    let missing = 60 - u32::try_from(all.len()).expect("few");
    all.push_run(missing, Probe::Answered);
    let rtt = (!rtts_us.is_empty()).then(|| {
        let mut histogram = Histogram::new();
        rtts_us.iter().for_each(|&rtt| {
            histogram.record_us(rtt);
        });
        let sum_ns = rtts_us.iter().sum::<u64>() * 1000;
        Spread { histogram: histogram.pack().expect("not empty"), sum_ns }
    });
    interval(from, 60_000, 0, 1000, all, rtt)
}

fn interval(
    from: Wall,
    millis: u32,
    first_ms: u32,
    period_ms: u32,
    outcomes: wanproof::measure::outcome::Outcomes,
    rtt: Option<Spread>,
) -> Interval {
    Interval {
        from,
        millis,
        first_ms,
        period_ms,
        outcomes,
        reasons: BTreeMap::new(),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    }
}

/// All of June, local, answered each second, but for the minutes given.
fn june(minutes: &[(&str, &str)]) -> Vec<Interval> {
    let (begin, end) = (at("2026-05-31T23:00:00Z"), at("2026-06-30T23:00:00Z"));
    let mut all = Vec::new();
    let mut from = begin;
    while from < end {
        let special = minutes.iter().find(|(minute, _)| at(minute) == from);
        all.push(minute(from, special.map_or("", |(_, outcomes)| outcomes), &[]));
        from = from + Duration::from_secs(60);
    }
    all
}

fn seen(intervals: Vec<Interval>) -> Seen {
    let intervals = intervals.into_iter().map(Arc::new).collect();
    Seen { intervals, ..Seen::default() }
}

fn observed(intervals: Vec<Interval>) -> Observed {
    Observed { probes: BTreeMap::from([("p".to_owned(), seen(intervals))]), sides: Vec::new() }
}

fn judged(objective: &str, observed: &Observed, facts: &Facts) -> Report {
    let contract = Terms::new("1000.00", objective.to_owned()).parse();
    judge(&contract, "s", "2026-06".parse().expect("a period"), observed, facts).expect("judged")
}

fn avail(report: &Report) -> (Outcome, &str, &str) {
    let avail = verdict(report, "avail");
    (avail.result, avail.downtime_s.as_deref().unwrap_or_default(), &avail.coverage)
}

#[test]
fn an_outage_runs_from_the_first_failed_to_the_first_good_probe() {
    // 100 s: from second 20 of one minute to the end of the next.
    let data =
        observed(june(&[("2026-06-10T10:00:00Z", "20a40l"), ("2026-06-10T10:01:00Z", "60u")]));
    let report = judged(
        &availability(
            "99.9",
            "",
            &remedy("days", r#"per_unit = { unit = "1", rounding = "up", credit = "5.00" }"#),
        ),
        &data,
        &Facts::default(),
    );
    assert_eq!(avail(&report), (Outcome::Met, "100", "100.000000"));
    assert_eq!(report.credit, "5.00");
}

#[test]
fn two_failures_are_no_outage_where_three_are_agreed() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "20a2l5a2l5a2u")]));
    assert_eq!(avail(&judged(&availability("99.9", "", ""), &data, &Facts::default())).1, "0");
}

#[test]
fn an_outage_ends_only_with_as_many_answers_in_a_row_as_agreed() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "10a3l2a1l2a1l")]));
    assert_eq!(avail(&judged(&availability("99.9", "", ""), &data, &Facts::default())).1, "9");
}

#[test]
fn late_answers_are_what_the_contract_says() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "60t")]));
    let objective = availability("99.9", "", "");
    assert_eq!(avail(&judged(&objective, &data, &Facts::default())).1, "60");
    let good = objective.replace("late_is = \"failed\"", "late_is = \"good\"");
    assert_eq!(avail(&judged(&good, &data, &Facts::default())).1, "0");
}

#[test]
fn loss_of_carrier_is_what_the_contract_says_and_other_unsent_probes_are_unknown() {
    let mut minutes = june(&[("2026-06-10T10:00:00Z", "60n")]);
    let objective = availability("99.9", "", "");
    let unknown = "99.997685"; // 60 of 2592000 s
    assert_eq!(
        avail(&judged(&objective, &observed(minutes.clone()), &Facts::default())),
        (Outcome::Met, "0", unknown)
    );
    // The interval counts why.
    let at_ten =
        minutes.iter_mut().find(|minute| minute.from == at("2026-06-10T10:00:00Z")).unwrap();
    at_ten.reasons.insert("not-sent/carrier".to_owned(), 60);
    assert_eq!(
        avail(&judged(&objective, &observed(minutes.clone()), &Facts::default())),
        (Outcome::Met, "60", "100.000000")
    );
    let lenient = objective.replace("carrier_loss_is = \"down\"", "carrier_loss_is = \"unknown\"");
    assert_eq!(
        avail(&judged(&lenient, &observed(minutes), &Facts::default())),
        (Outcome::Met, "0", unknown)
    );
    // The link's own record does as well.
    let mut data = observed(june(&[("2026-06-10T10:00:00Z", "60n")]));
    let down = Span::new(at("2026-06-10T10:00:30Z"), at("2026-06-10T10:01:00Z"));
    data.probes.get_mut("p").unwrap().carrier_down = down.into();
    assert_eq!(avail(&judged(&objective, &data, &Facts::default())).1, "30");
}

#[test]
fn what_was_not_observed_proves_no_outage_and_lowers_coverage() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "60x")]));
    assert_eq!(
        avail(&judged(&availability("99.9", "", ""), &data, &Facts::default())),
        (Outcome::Met, "0", "99.997685")
    );
    // Time that no interval covers is the same.
    let mut minutes = june(&[]);
    minutes.retain(|minute| minute.from != at("2026-06-10T10:00:00Z"));
    let (_, down, coverage) = (0, "0", "99.997685");
    assert_eq!(
        avail(&judged(&availability("99.9", "", ""), &observed(minutes), &Facts::default())),
        (Outcome::Met, down, coverage)
    );
}

#[test]
fn few_unknown_probes_within_an_outage_do_not_end_it() {
    let objective = availability("99.9", "", "");
    let within = observed(june(&[("2026-06-10T10:00:00Z", "10a5l2x5l")]));
    assert_eq!(
        avail(&judged(&objective, &within, &Facts::default())),
        (Outcome::Met, "12", "100.000000")
    );
    // As many as would end it, and nobody knows whether it lasted.
    let without = observed(june(&[("2026-06-10T10:00:00Z", "10a5l3x5l")]));
    assert_eq!(
        avail(&judged(&objective, &without, &Facts::default())),
        (Outcome::Met, "10", "99.999884")
    );
}

#[test]
fn unknown_time_may_be_agreed_to_be_downtime() {
    let objective =
        availability("99.9", "", "").replace("unknown_is = \"unknown\"", "unknown_is = \"down\"");
    let data = observed(june(&[("2026-06-10T10:00:00Z", "10a20x20l")]));
    let report = judged(&objective, &data, &Facts::default());
    assert_eq!(avail(&report), (Outcome::Met, "40", "100.000000"));
    assert!(verdict(&report, "avail").steps.contains(&"one outage qualifies: 40 s".to_owned()));
}

#[test]
fn an_interval_is_down_when_its_loss_is_above_the_threshold() {
    let define = |definition: &str| {
        availability("99.9", "", "").replace("definition = \"misses\"", definition)
    };
    let data = observed(june(&[
        ("2026-06-10T10:00:00Z", "12l"),
        ("2026-06-10T10:05:00Z", "13l"),
        ("2026-06-10T10:10:00Z", "60l"),
    ]));
    let ratio = define("definition = \"loss_ratio\"\ninterval = \"60s\"\nthreshold = \"0.2\"");
    // 12 of 60 are not above a fifth.
    assert_eq!(avail(&judged(&ratio, &data, &Facts::default())).1, "120");
    let total = define("definition = \"total_loss\"\ninterval = \"60s\"");
    assert_eq!(avail(&judged(&total, &data, &Facts::default())).1, "60");
    let mef = define("definition = \"mef\"\ndt = \"1s\"\nn = 13\nthreshold = \"0.5\"");
    assert_eq!(avail(&judged(&mef, &data, &Facts::default())).1, "73");
}

#[test]
fn the_state_of_the_sliding_window_is_carried_over_the_periods_bound() {
    let mef = availability("99.9", "", "").replace(
        "definition = \"misses\"",
        "definition = \"mef\"\ndt = \"1s\"\nn = 10\nthreshold = \"0.5\"",
    );
    // Down since the last ten seconds of May; five good seconds do not end it.
    let mut all = vec![minute(at("2026-05-31T22:59:00Z"), "50a10l", &[])];
    all.extend(june(&[("2026-05-31T23:00:00Z", "5a5l")]));
    assert_eq!(avail(&judged(&mef, &observed(all), &Facts::default())).1, "10");
}

#[test]
fn several_probes_of_a_service_must_all_be_down() {
    let mut data = observed(june(&[("2026-06-10T10:00:00Z", "60l")]));
    data.probes.insert("q".to_owned(), seen(june(&[("2026-06-10T10:00:00Z", "30a30l")])));
    let objective =
        availability("99.9", "", "").replace("probes = [\"p\"]", "probes = [\"p\", \"q\"]");
    let services = service("1000.00", "").replace("probes = [\"p\"]", "probes = [\"p\", \"q\"]");
    assert_eq!(avail(&judged(&format!("{services}{objective}"), &data, &Facts::default())).1, "30");
    // One that sees nothing does not contradict.
    data.probes.insert("q".to_owned(), seen(june(&[("2026-06-10T10:00:00Z", "60x")])));
    assert_eq!(avail(&judged(&format!("{services}{objective}"), &data, &Facts::default())).1, "60");
}

#[test]
fn a_measured_outage_has_the_side_that_was_recorded_or_that_the_facts_say() {
    let mut data = observed(june(&[("2026-06-10T10:00:00Z", "60l")]));
    let outage = Span::new(at("2026-06-10T10:00:00Z"), at("2026-06-10T10:01:00Z"));
    data.sides = vec![(outage, Side::Customer)];
    let objective = availability("99.9", "", "");
    assert_eq!(avail(&judged(&objective, &data, &Facts::default())).1, "0");
    let said = r#"{"period": "2026-06", "service": "s", "events": [{"from": "2026-06-10T09:59:00Z", "to": "2026-06-10T10:02:00Z", "side": "provider"}]}"#;
    let facts = wanproof::sla::facts::parse(said, "f.json").unwrap().facts;
    assert_eq!(avail(&judged(&objective, &data, &facts)).1, "60");
}

#[test]
fn a_measured_outage_has_the_tickets_of_the_events_that_it_overlaps() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "60l"), ("2026-06-11T10:00:00Z", "60l")]));
    let form = remedy("event", r#"tiers = [ { over = "0", credit = "10%" } ]"#)
        .replace("requires_ticket = false", "requires_ticket = true");
    let said = r#"{"period": "2026-06", "service": "s", "events": [{"from": "2026-06-10T10:00:30Z", "to": "2026-06-10T10:02:00Z",
        "ticket": {"id": "T-1", "opened": "2026-06-10T10:05:00Z"}}]}"#;
    let facts = wanproof::sla::facts::parse(said, "f.json").unwrap().facts;
    assert_eq!(judged(&availability("99.9", "", &form), &data, &facts).credit, "100.00");
}

#[test]
fn exclusions_hold_for_measured_outages_too() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "60l")]));
    let exclusion = "[[exclusion]]\nid = \"m\"\nkind = \"other\"\nremoves = \"downtime\"\n";
    let said = r#"{"period": "2026-06", "service": "s", "excluded": [{"exclusion": "m", "from": "2026-06-10T10:00:00Z", "to": "2026-06-10T10:00:45Z"}]}"#;
    let facts = wanproof::sla::facts::parse(said, "f.json").unwrap().facts;
    assert_eq!(
        avail(&judged(&format!("{exclusion}{}", availability("99.9", "", "")), &data, &facts)).1,
        "15"
    );
}

#[test]
fn a_mean_is_the_exact_sum_by_the_count_and_percentiles_come_from_merged_histograms() {
    // Ten RTTs of 10 ms in one minute, one of 100 ms in another: percentiles of averages would say
    // otherwise.
    let mut minutes = june(&[]);
    minutes[10] = minute(minutes[10].from, "", &[10_000; 10]);
    minutes[11] = minute(minutes[11].from, "", &[100_000]);
    let data = observed(minutes);
    let of = |statistic: &str, unit: &str, more: &str| {
        let text = delay("60", "", "")
            .replace("statistic = \"mean\"", &format!("statistic = \"{statistic}\"{more}"));
        let text = text.replace("unit = \"ms\"", &format!("unit = \"{unit}\""));
        verdict(&judged(&text, &data, &Facts::default()), "delay").exact.clone().unwrap_or_default()
    };
    assert_eq!(of("mean", "ms", ""), "18.181818");
    assert_eq!(of("p50", "ms", ""), "10.007");
    assert_eq!(of("p90", "ms", ""), "10.007");
    assert_eq!(of("p99", "ms", ""), "100.031");
    assert_eq!(of("max", "ms", ""), "100.031");
    assert_eq!(of("share_over", "percent", "\nover = \"50ms\""), "9.090909");
}

#[test]
fn late_answers_that_count_as_failed_leave_the_delay_too() {
    let mut minutes = june(&[]);
    let late = minute(minutes[10].from, "59a1t", &[10_000, 10_000, 10_000, 900_000]);
    minutes[10] = late;
    let data = observed(minutes);
    let text = delay("60", "", "").replace("late_is = \"good\"", "late_is = \"failed\"");
    let max = text.replace("statistic = \"mean\"", "statistic = \"max\"");
    assert_eq!(
        verdict(&judged(&max, &data, &Facts::default()), "delay").exact.as_deref(),
        Some("10.007")
    );
}

#[test]
fn intervals_that_touch_downtime_are_left_out_whole() {
    let mut minutes = june(&[]);
    minutes[10] = minute(minutes[10].from, "55a5l", &[900_000]);
    minutes[11] = minute(minutes[11].from, "5l", &[900_000]);
    minutes[12] = minute(minutes[12].from, "", &[10_000]);
    let data = observed(minutes);
    let both = |only: &str| {
        let delay = delay("60", "", "").replace("only_while_available = false", only);
        let report =
            judged(&format!("{}{delay}", availability("99.9", "", "")), &data, &Facts::default());
        verdict(&report, "delay").exact.clone().unwrap_or_default()
    };
    assert_eq!(both("only_while_available = true"), "10");
    assert_eq!(both("only_while_available = false"), "603.333333");
}

#[test]
fn loss_is_failed_by_known() {
    let data = observed(june(&[("2026-06-10T10:00:00Z", "10l10u10x10n10t")]));
    let loss = delay("1", "", "")
        .replace("\"rtt\"", "\"loss\"")
        .replace("unit = \"ms\"", "unit = \"percent\"");
    let report = judged(&loss, &data, &Facts::default());
    let verdict = verdict(&report, "delay");
    // 20 of 2591980 known.
    assert_eq!(
        (verdict.exact.as_deref(), verdict.coverage.as_str()),
        (Some("0.000771"), "99.999228")
    );
}

#[test]
fn a_period_in_which_little_was_measured_is_not_determined() {
    let mut minutes = june(&[]);
    minutes.truncate(60);
    let report = judged(&availability("99.9", "", ""), &observed(minutes), &Facts::default());
    assert_eq!(avail(&report), (Outcome::NotDetermined, "0", "0.138888"));
    assert_eq!(
        avail(&judged(&availability("99.9", "", ""), &Observed::default(), &Facts::default())).0,
        Outcome::NotDetermined
    );
}

#[test]
fn a_running_period_counts_what_is_to_come_as_known() {
    let mut minutes = june(&[]);
    minutes.truncate(1440);
    let facts = Facts { as_of: Some(at("2026-06-01T23:00:00Z")), ..Facts::default() };
    let report = judged(&availability("99.9", "", ""), &observed(minutes), &facts);
    let verdict = verdict(&report, "avail");
    assert_eq!(
        (verdict.result, verdict.provisional, verdict.coverage.as_str()),
        (Outcome::NotDetermined, true, "100.000000")
    );
}

#[test]
fn long_runs_and_single_probes_find_the_same_outages() {
    let rule = Rule::builtin();
    let letters = "aaallaalllaaxlllxxaalllxxxxaaalllnnnllltttlaalllll";
    let second = Duration::from_secs(1);
    let mut single = Detector::new(&rule);
    let mut edges = Vec::new();
    for (index, letter) in (0i64..).zip(letters.chars()) {
        let outcome = Probe::from_letter(letter).unwrap();
        edges.extend(single.push(Wall::from_secs(index), outcome, Carrier::Up, second));
    }
    let outcomes: wanproof::measure::outcome::Outcomes =
        letters.chars().filter_map(Probe::from_letter).collect();
    let mut runs = Detector::new(&rule);
    let mut by_runs = Vec::new();
    let mut index = 0;
    for (count, outcome) in outcomes.runs() {
        let class = rule.class(outcome, Carrier::Up);
        let run = wanproof::sla::outage::Run {
            from: Wall::from_secs(index),
            count: u64::from(count),
            step: 1_000_000_000,
            class,
        };
        by_runs.extend(runs.push_run(run));
        index += i64::from(count);
    }
    assert_eq!(edges, by_runs);
    assert_eq!(edges[0], Edge::Down { from: Wall::from_secs(7) });
}

#[test]
fn a_state_is_unknown_before_anything_was_seen_and_once_nothing_is_seen_any_more() {
    let second = Duration::from_secs(1);
    let mut detector = Detector::new(&Rule::builtin());
    let mut states = vec![detector.state()];
    for (index, outcome) in [
        Probe::NotObserved,
        Probe::Answered,
        Probe::NotSent,
        Probe::NotSent,
        Probe::NotSent,
        Probe::Lost,
        Probe::Lost,
        Probe::Lost,
    ]
    .into_iter()
    .enumerate()
    {
        detector.push(Wall::from_secs(i64::try_from(index).unwrap()), outcome, Carrier::Up, second);
        states.push(detector.state());
    }
    use State::{Down, Unknown, Up};
    assert_eq!(states, [Unknown, Unknown, Up, Up, Up, Unknown, Unknown, Unknown, Down]);
}

#[test]
fn missing_sends_are_unknown() {
    let second = Duration::from_secs(1);
    let mut detector = Detector::new(&Rule::builtin());
    let mut edges = Vec::new();
    for (at, outcome) in [
        (0, Probe::Lost),
        (1, Probe::Lost),
        (2, Probe::Lost),
        (10, Probe::Lost),
        (11, Probe::Answered),
    ] {
        edges.extend(detector.push(Wall::from_secs(at), outcome, Carrier::Up, second));
    }
    // Nobody knows what was from second 3 on.
    assert_eq!(
        edges,
        [Edge::Down { from: Wall::from_secs(0) }, Edge::Up { at: Wall::from_secs(3) }]
    );
}

#[test]
fn probes_rarer_than_the_interval_speak_for_the_time_up_to_the_next() {
    let rule = Rule {
        definition: Definition::LossRatio {
            interval: Duration::from_secs(60),
            threshold: Exact::parse("0.5").unwrap(),
        },
        late_is: Late::Failed,
        carrier_loss_is: CarrierLoss::Down,
    };
    let mut detector = Detector::new(&rule);
    let five = Duration::from_secs(300);
    let mut edges = Vec::new();
    for (at, outcome) in
        [(10, Probe::Answered), (310, Probe::Lost), (610, Probe::Lost), (910, Probe::Answered)]
    {
        edges.extend(detector.push(Wall::from_secs(at), outcome, Carrier::Up, five));
    }
    edges.extend(detector.finish());
    assert_eq!(
        edges,
        [Edge::Down { from: Wall::from_secs(300) }, Edge::Up { at: Wall::from_secs(900) }]
    );
}

#[test]
fn a_probe_is_matched_to_its_service_by_name_and_site() {
    let contract = Terms::new("1000.00", availability("99.9", "", "")).parse();
    assert_eq!(contract.service_of("p", "leeds-01").map(|service| service.id.as_str()), Some("s"));
    assert!(
        contract.service_of("p", "york-01").is_none()
            && contract.service_of("q", "leeds-01").is_none()
    );
    let rules = wanproof::sla::outage::rules(&contract, "s");
    assert_eq!(
        (rules.len(), rules[0].objective.as_str(), rules[0].probes.as_slice()),
        (1, "avail", ["p".to_owned()].as_slice())
    );
}

/// A definition as a row of steps: so many seconds each, bad above this loss, down after so many,
/// up after so many.
struct Steps {
    seconds: usize,
    threshold: &'static str,
    down_after: usize,
    up_after: usize,
}

/// The seconds at which a row of outcomes is down, reckoned slowly and simply.
fn slow(letters: &[char], steps: &Steps) -> Vec<bool> {
    // What is unknown is no failure, and an interval is judged by what is known of it.
    let failed = |letter: &&char| matches!(letter, 't' | 'l' | 'u');
    let known = |letter: &&char| !matches!(letter, 'n' | 'x');
    let threshold = Exact::parse(steps.threshold).expect("a decimal");
    let loss = |chunk: &[char]| {
        let count = |which: &dyn Fn(&&char) -> bool| {
            i64::try_from(chunk.iter().filter(which).count()).expect("few")
        };
        Exact::ratio(count(&failed), count(&known))
    };
    let bad: Vec<bool> = letters
        .chunks(steps.seconds)
        .map(|chunk| loss(chunk).is_some_and(|loss| loss > threshold))
        .collect();
    let mut down = Vec::new();
    let mut is_down = false;
    for at in 0..bad.len() {
        let begins = |count: usize, is: bool| {
            at + count <= bad.len() && bad[at..at + count].iter().all(|step| *step == is)
        };
        if (!is_down && begins(steps.down_after, true))
            || (is_down && begins(steps.up_after, false))
        {
            is_down = !is_down;
        }
        down.push(is_down);
    }
    (0..letters.len()).map(|second| down[second / steps.seconds]).collect()
}

/// The seconds at which edges say that it is down.
fn between(edges: &[Edge], seconds: usize) -> Vec<bool> {
    let mut down = false;
    (0..i64::try_from(seconds).expect("few"))
        .map(|second| {
            for edge in edges {
                match edge {
                    Edge::Down { from } if *from == Wall::from_secs(second) => down = true,
                    Edge::Up { at } if *at == Wall::from_secs(second) => down = false,
                    _ => {}
                }
            }
            down
        })
        .collect()
}

proptest::proptest! {
    #[test]
    fn every_definition_finds_what_a_slow_reckoning_finds_by_single_probes_and_by_runs(
        letters in "([aaat]{1,9}|[llu]{1,9}|[nx]{1,4}|[alx]{1,6}){1,20}",
        which in 0usize..4,
        n in 1usize..6,
        m in 1usize..6,
    ) {
        let second = Duration::from_secs(1);
        let (count, answers) = (u32::try_from(n).unwrap(), u32::try_from(m).unwrap());
        let half = || Exact::parse("0.5").unwrap();
        let (definition, steps) = match which {
            0 => (Definition::Misses { misses: count, answers }, Steps { seconds: 1, threshold: "0.5", down_after: n, up_after: m }),
            1 => (Definition::Mef { dt: second, n: count, threshold: half() }, Steps { seconds: 1, threshold: "0.5", down_after: n, up_after: n }),
            2 => (Definition::Mef { dt: second * 2, n: count, threshold: half() }, Steps { seconds: 2, threshold: "0.5", down_after: n, up_after: n }),
            _ => (Definition::LossRatio { interval: second * 5, threshold: half() }, Steps { seconds: 5, threshold: "0.5", down_after: 1, up_after: 1 }),
        };
        let rule = Rule { definition, late_is: Late::Failed, carrier_loss_is: CarrierLoss::Down };
        let letters: Vec<char> = letters.chars().collect();
        let (mut single, mut runs) = (Detector::new(&rule), Detector::new(&rule));
        let (mut by_single, mut by_runs) = (Vec::new(), Vec::new());
        for (at, letter) in (0i64..).zip(&letters) {
            by_single.extend(single.push(Wall::from_secs(at), Probe::from_letter(*letter).unwrap(), Carrier::Up, second));
        }
        by_single.extend(single.finish());
        let all: wanproof::measure::outcome::Outcomes = letters.iter().filter_map(|letter| Probe::from_letter(*letter)).collect();
        let mut from = 0;
        for (count, outcome) in all.runs() {
            let class = rule.class(outcome, Carrier::Up);
            by_runs.extend(runs.push_run(wanproof::sla::outage::Run { from: Wall::from_secs(from), count: u64::from(count), step: 1_000_000_000, class }));
            from += i64::from(count);
        }
        by_runs.extend(runs.finish());
        proptest::prop_assert_eq!(&by_single, &by_runs);
        proptest::prop_assert_eq!(between(&by_single, letters.len()), slow(&letters, &steps));
    }
}
