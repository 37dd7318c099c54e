//! What may never happen, whatever the facts.

use proptest::prelude::*;

use super::support::{Terms, availability, judge, remedy, restore, verdict};
use wanproof::base::decimal::Exact;
use wanproof::base::time::Wall;
use wanproof::sla::contract;
use wanproof::sla::report::{Outcome, Report};
use wanproof::sla::{Contract, facts};

/// Seconds from the beginning of June, and a length.
type Event = (i64, i64);

fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((-90_000i64..2_600_000, 1i64..40_000), 0..12)
}

fn told(events: &[Event], more: &str) -> String {
    let june: Wall = "2026-05-31T23:00:00Z".parse().expect("an instant");
    let at = |seconds: i64| june.shifted(seconds * 1_000_000_000);
    let events: Vec<String> = events
        .iter()
        .map(|&(from, length)| {
            format!("{{\"from\": \"{}\", \"to\": \"{}\"}}", at(from), at(from + length))
        })
        .collect();
    format!(
        "{{\"period\": \"2026-06\", \"service\": \"s\", \"events\": [{}] {more}}}",
        events.join(",")
    )
}

fn money(text: &str) -> Exact {
    Exact::parse(text).expect("money")
}

const TIERS: &str = r#"tiers = [ { over = "0", upto = "600", credit = "2%" }, { over = "600", upto = "7200", credit = "10%" },
    { over = "7200", upto = "43200", credit = "50%" }, { over = "43200", credit = "120%" } ]"#;
const BLOCKS: &str =
    r#"blocks = [ { size = "7200", credit = "10%" }, { size = "3600", credit = "5%" } ]"#;
const PER_UNIT: &str = r#"per_unit = { unit = "3600", rounding = "up", credit = "1/days" }"#;
const SPLIT: &str = "[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"day\"\n";
const WHOLE: &str =
    "[objective.qualify]\nlonger_than = \"60s\"\nwithin = \"15m\"\nsplit_at = \"none\"\n";

fn any_contract() -> impl Strategy<Value = Contract> {
    let forms = prop::sample::select(vec![TIERS, BLOCKS, PER_UNIT]);
    let drivers = prop::sample::select(vec!["downtime", "excess_downtime", "event", "days"]);
    let qualify = prop::sample::select(vec!["", SPLIT, WHOLE]);
    (forms, drivers, qualify).prop_map(|(form, driver, qualify)| {
        let rest = format!(
            "{}{}[[cap]]\nper = \"month\"\nlimit = \"100%\"\n",
            availability("99.9", "", &format!("{qualify}{}", remedy(driver, form))),
            restore(
                "14400",
                "each",
                &remedy(
                    "count",
                    "per_unit = { unit = \"1\", rounding = \"exact\", credit = \"25%\" }"
                )
            )
        );
        Terms::new("1000.00", rest).parse()
    })
}

fn shown(report: &Report) -> serde_json::Value {
    serde_json::to_value(report).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_credit_is_never_negative_and_never_above_the_cap(contract in any_contract(), events in events()) {
        let report = judge(&contract, &told(&events, ""));
        let credit = money(&report.credit);
        prop_assert!(!credit.is_negative() && credit <= Exact::from(1000), "{}", report.credit);
        for verdict in &report.objectives {
            prop_assert!(!money(&verdict.credit).is_negative());
        }
    }

    #[test]
    fn the_order_of_events_does_not_matter(contract in any_contract(), (events, shuffled) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))) {
        prop_assert_eq!(
            shown(&judge(&contract, &told(&events, ""))),
            shown(&judge(&contract, &told(&shuffled, "")))
        );
    }

    #[test]
    fn an_event_told_in_two_pieces_or_twice_changes_nothing(contract in any_contract(), events in events(), at in any::<prop::sample::Index>(), share in 1i64..100) {
        prop_assume!(!events.is_empty());
        let whole = shown(&judge(&contract, &told(&events, "")));
        let mut pieces = events.clone();
        let (from, length) = pieces.remove(at.index(events.len()));
        let first = length * share / 100;
        pieces.extend([(from, first), (from + first, length - first)]);
        prop_assert_eq!(&shown(&judge(&contract, &told(&pieces, ""))), &whole);
        let twice: Vec<Event> = events.iter().chain(&events).copied().collect();
        prop_assert_eq!(&shown(&judge(&contract, &told(&twice, ""))), &whole);
    }

    #[test]
    fn outages_that_overlap_are_not_counted_twice(events in events()) {
        let contract = Terms::new("1000.00", availability("99.9", "", "")).parse();
        let report = judge(&contract, &told(&events, ""));
        let mut seconds = vec![false; 2_592_000];
        for &(from, length) in &events {
            let inside = usize::try_from(from.max(0)).unwrap()..usize::try_from((from + length).clamp(0, 2_592_000)).unwrap();
            seconds.get_mut(inside).unwrap_or_default().fill(true);
        }
        let down = seconds.iter().filter(|down| **down).count();
        prop_assert_eq!(verdict(&report, "avail").downtime_s.clone(), Some(down.to_string()));
    }

    #[test]
    fn more_downtime_never_pays_less(form in prop::sample::select(vec![TIERS, BLOCKS, PER_UNIT]), driver in prop::sample::select(vec!["downtime", "excess_downtime"]), events in events(), more in (-90_000i64..2_600_000, 1i64..40_000)) {
        let contract = Terms::new("1000.00", availability("99.9", "", &remedy(driver, form))).parse();
        let before = money(&judge(&contract, &told(&events, "")).credit);
        let with: Vec<Event> = events.iter().copied().chain([more]).collect();
        prop_assert!(money(&judge(&contract, &told(&with, "")).credit) >= before);
    }

    #[test]
    fn what_is_certain_while_a_period_runs_stays_so_to_its_end(events in events(), at in 0i64..2_592_000) {
        let contract = Terms::new("1000.00", availability("99.5", "", "[objective.qualify]\nlonger_than = \"60s\"\nsplit_at = \"day\"\n")).parse();
        let june: Wall = "2026-05-31T23:00:00Z".parse().unwrap();
        let early = judge(&contract, &told(&events, &format!(", \"as_of\": \"{}\"", june.shifted(at * 1_000_000_000))));
        let early = verdict(&early, "avail").result;
        let late = judge(&contract, &told(&events, ""));
        prop_assert!(early == Outcome::NotDetermined || early == verdict(&late, "avail").result);
    }

    #[test]
    fn the_months_downtime_is_that_of_its_two_halves(events in events(), at in 1i64..2_591_999) {
        // Facts are told in two files of the same month; merged, they are the whole.
        let contract = Terms::new("1000.00", availability("99.9", "", "")).parse();
        let down = |events: &[Event]| {
            let report = judge(&contract, &told(events, ""));
            money(verdict(&report, "avail").downtime_s.as_deref().unwrap_or("0"))
        };
        let cut = |low: i64, high: i64| -> Vec<Event> {
            events.iter().map(|&(from, length)| (from.max(low), (from + length).min(high))).filter(|(from, to)| from < to).map(|(from, to)| (from, to - from)).collect()
        };
        let (first, second) = (cut(i64::MIN, at), cut(at, i64::MAX));
        prop_assert_eq!(&down(&first) + &down(&second), down(&events));
        let merged: Vec<Event> = first.into_iter().chain(second).collect();
        prop_assert_eq!(down(&merged), down(&events));
    }

    #[test]
    fn any_text_is_no_contract_and_no_facts_without_a_panic(text in "\\PC{0,200}") {
        let _ = contract::parse(&text, "t.toml");
        let _ = facts::parse(&text, "f.json");
    }

    #[test]
    fn a_contract_with_lines_lost_or_doubled_is_read_or_refused_without_a_panic(lines in prop::collection::vec(0usize..140, 1..6), doubled in any::<bool>()) {
        let page: Vec<&str> = include_str!("../testdata/contracts/page.toml").lines().collect();
        let mut text = String::new();
        for (number, line) in page.iter().enumerate() {
            let hit = lines.contains(&number);
            for _ in 0..(if !hit { 1 } else if doubled { 2 } else { 0 }) {
                text.push_str(line);
                text.push('\n');
            }
        }
        if let Ok(contract) = contract::parse(&text, "t.toml")
            && let Ok(case) = facts::parse(include_str!("../testdata/contracts/page.facts.json"), "f.json")
        {
            let _ = wanproof::sla::judge_facts(&contract, &case);
        }
    }
}

/// What the first step comes to, second by second, as a slow and simple reckoning has it. Seconds
/// count from the local beginning of June; `low` is the first one looked at.
struct Reckoning {
    low: i64,
    counted: Vec<bool>,
    hours: Vec<bool>,
    excluded: Vec<bool>,
}

const JUNE: i64 = 2_592_000;

impl Reckoning {
    fn seconds(&self) -> impl Iterator<Item = (usize, i64)> + use<> {
        let low = self.low;
        (0..self.counted.len()).zip(low..)
    }

    /// The earliest `most` excluded seconds inside the hours, in each month by itself.
    fn limit(&mut self, most: i64) {
        let mut left = [most; 3];
        for (at, second) in self.seconds() {
            let month = usize::from(second >= 0) + usize::from(second >= JUNE);
            let holds = self.excluded[at] && self.hours[at] && left[month] > 0;
            left[month] -= i64::from(holds);
            self.excluded[at] = holds;
        }
    }

    fn downtime(&self, split: bool, longer_than: i64, first: Option<(i64, bool)>) -> usize {
        let mut outages: Vec<Vec<i64>> = Vec::new();
        let mut open = false;
        let mut day = None;
        for (at, second) in self.seconds() {
            if !self.counted[at] {
                open = false;
                continue;
            }
            if !open {
                outages.push(Vec::new());
                open = true;
                day = None;
            }
            if self.hours[at] && !self.excluded[at] {
                let today = second.div_euclid(86_400);
                if split && day.is_some_and(|day| day != today) {
                    outages.push(Vec::new());
                }
                day = Some(today);
                outages.last_mut().expect("one is open").push(second);
            }
        }
        outages.retain(|outage| i64::try_from(outage.len()).expect("short") > longer_than);
        if let Some((length, waived)) = first {
            let length = usize::try_from(length).expect("not negative");
            for outage in &mut outages {
                let skipped = if waived {
                    if outage.len() > length { 0 } else { outage.len() }
                } else {
                    length.min(outage.len())
                };
                outage.drain(..skipped);
            }
        }
        outages.into_iter().flatten().filter(|second| (0..JUNE).contains(second)).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_first_step_is_what_a_slow_reckoning_says(
        events in prop::collection::vec((-90_000i64..JUNE, 1i64..90_000), 0..10),
        excluded in prop::collection::vec((-90_000i64..JUNE, 1i64..90_000), 0..5),
        hours in any::<bool>(),
        split in any::<bool>(),
        longer_than in 0i64..20_000,
        first in prop::option::of((0i64..20_000, any::<bool>())),
        most in prop::option::of(0i64..100_000),
    ) {
        let june: Wall = "2026-05-31T23:00:00Z".parse().unwrap();
        let at = |seconds: i64| june.shifted(seconds * 1_000_000_000);
        let exclusion = format!(
            "[[exclusion]]\nid = \"m\"\nkind = \"other\"\nremoves = \"downtime\"\n{}",
            most.map_or(String::new(), |most| format!("at_most = \"{most}s\"\n"))
        );
        let first_told = first.map_or(String::new(), |(length, waived)| {
            format!("first = \"{length}s\"\nfirst_is = \"{}\"\n", if waived { "waived" } else { "subtracted" })
        });
        let qualify = format!(
            "[objective.qualify]\nlonger_than = \"{longer_than}s\"\n{first_told}split_at \
                = \"{}\"\n",
            if split { "day" } else { "none" }
        );
        let aggregate = if hours { "hours = { days = [\"Mon\", \"Tue\", \"Wed\", \"Thu\", \"Fri\"], from = \"08:00\", to = \"18:00\" }" } else { "" };
        let contract = Terms::new("1000.00", format!("{exclusion}{}", availability("99.9", aggregate, &qualify))).parse();
        let spans: Vec<String> = excluded
            .iter()
            .map(|&(from, length)| format!("{{\"exclusion\": \"m\", \"from\": \"{}\", \"to\": \"{}\"}}", at(from), at(from + length)))
            .collect();
        let report = judge(&contract, &told(&events, &format!(", \"excluded\": [{}]", spans.join(","))));

        let low = -100_000i64;
        let length = usize::try_from(JUNE - low + 200_000).unwrap();
        let mark = |spans: &[Event]| {
            let mut marks = vec![false; length];
            for &(from, long) in spans {
                marks[usize::try_from(from - low).unwrap()..usize::try_from(from + long - low).unwrap()].fill(true);
            }
            marks
        };
        // 1 June 2026 is a Monday.
        let open = |second: i64| !hours || (second.div_euclid(86_400).rem_euclid(7) < 5 && (28_800..64_800).contains(&second.rem_euclid(86_400)));
        let hours = (0..length).zip(low..).map(|(_, second)| open(second)).collect();
        let mut reckoning = Reckoning { low, counted: mark(&events), hours, excluded: mark(&excluded) };
        reckoning.limit(most.unwrap_or(i64::MAX));
        let down = reckoning.downtime(split, longer_than, first);
        prop_assert_eq!(verdict(&report, "avail").downtime_s.clone(), Some(down.to_string()));
    }
}
