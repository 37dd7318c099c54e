//! Judging what somebody else's file may hold at most: many events, exclusions, duties and members.
//! Each is read, checked and judged as `contract evaluate` does.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use wanproof::base::time::Wall;
use wanproof::sla::{contract, facts, judge_facts};

use crate::tools::{heading, row};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many events, exclusions or duties
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    /// How often each is measured; the median is shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// A contract and facts.
struct Files {
    contract: String,
    facts: String,
}

/// Measures and prints.
pub fn run(args: &Args) {
    heading(&["judged from files", "bytes", "median ms", "slowest ms"]);
    let many = args.many;
    let dense = "[objective.qualify]\nlonger_than = \"10s\"\nwithin = \"1d\"\nsplit_at = \"day\"\n";
    let rows: [(String, Files); 8] = [
        (format!("{many} events"), files(1, "", &events(many), "")),
        (
            format!("{many} events, qualified within a day"),
            Files { contract: terms(1, dense), ..files(1, "", &events(many), "") },
        ),
        (
            format!("{many} events, as many exclusions"),
            files(1, "", &events(many), &claimed(many, |_| 0)),
        ),
        (
            format!("{many} exclusions of the contract"),
            files(many, "", &events(100), &claimed(many, |at| at)),
        ),
        (
            format!("{many} windows"),
            files(
                1,
                "window = { days = [\"Sun\"], from = \"00:00\", to = \"06:00\" }\n",
                &events(100),
                &claimed(many, |_| 0),
            ),
        ),
        (format!("{many} duties done"), files(1, "", &events(many), &done(many))),
        ("a chain of 1000 members".to_owned(), members(1000, 1)),
        ("diamonds, 333 deep".to_owned(), members(333, 2)),
    ];
    for (name, files) in rows {
        let mut took: Vec<Duration> = (0..args.runs.max(1)).map(|_| once(&files)).collect();
        took.sort_unstable();
        let ms = |took: Duration| format!("{:.0}", took.as_secs_f64() * 1000.0);
        let bytes = (files.contract.len() + files.facts.len()).to_string();
        row(&[&name, &bytes, &ms(took[took.len() / 2]), &ms(took[took.len() - 1])]);
    }
}

fn once(files: &Files) -> Duration {
    let begun = Instant::now();
    let contract = contract::parse(&files.contract, "contract").expect("a contract");
    let case = facts::parse(&files.facts, "facts").expect("facts");
    let report = judge_facts(&contract, &case).expect("judged");
    let printed = serde_json::to_string(&report).expect("JSON");
    let took = begun.elapsed();
    assert!(printed.len() > 500);
    took
}

const HEAD: &str = r#"schema = "wanproof.contract/1"
[agreement]
id = "MANY"
version = 1
level = "service"
provider = { name = "P", contact = "p@p.example" }
customer = { name = "C", contact = "c@c.example" }
signed = "2020-01-01"
effective_from = "2020-01-01T00:00:00Z"
renewal = "none"
timezone = "Europe/London"
currency = "GBP"
measured_by = "joint"
[claim]
mode = "automatic"
ticket_within = "72h"
rounding = "half_up"
settled = "next_invoice"
[[duty]]
id = "tell"
party = "provider"
what = "tell"
within = "4h"
after = "event_start"
[[termination]]
id = "chronic"
by = "customer"
any = [ { events = 3, longer_than = "5s", within_days = 30 } ]
exercise_within_days = 30
"#;

fn service(id: &str, members: &str) -> String {
    format!(
        "[[service]]\nid = \"{id}\"\nsite = \"x\"\nmrc = \"1000.00\"\nprobes = \
            [\"p\"]\nin_service_from = \"2020-01-01T00:00:00Z\"\n\
         sla_from = \"acceptance\"\nmembers = [{members}]\n"
    )
}

fn objective(qualify: &str) -> String {
    format!(
        "[[objective]]\nid = \"avail\"\nmetric = \"availability\"\nunit = \"percent\"\nop \
            = \">=\"\ntarget = \"99.9\"\n\
         [objective.measure]\nprobes = [\"p\"]\nlate_is = \"failed\"\nmin_coverage = \"0\"\n\
         [objective.outage]\ndefinition = \"misses\"\nmisses = 3\nanswers = 3\ncarrier_loss_is \
            = \"down\"\nunknown_is = \"unknown\"\n\
         sides = [\"provider\", \"unknown\"]\n{qualify}\
         [objective.aggregate]\nperiod = \"month\"\ndenominator = \"actual\"\n\
         [objective.remedy]\ndriver = \"event\"\nbase = \"mrc\"\nrequires_ticket = false\n\
         per_unit = {{ unit = \"3600\", rounding = \"up\", credit = \"1/30\" }}\n"
    )
}

fn exclusions(many: usize, window: &str) -> String {
    let mut text = String::new();
    for at in 0..many {
        let _ = write!(
            text,
            "[[exclusion]]\nid = \"m{at}\"\nkind = \"other\"\n{window}at_most = \"200h\"\nremoves \
                = \"downtime_and_period\"\n"
        );
    }
    text
}

fn terms(many: usize, qualify: &str) -> String {
    format!("{HEAD}{}{}{}", service("s", ""), exclusions(many, ""), objective(qualify))
}

fn files(many: usize, window: &str, events: &str, more: &str) -> Files {
    Files {
        contract: format!(
            "{HEAD}{}{}{}",
            service("s", ""),
            exclusions(many, window),
            objective("")
        ),
        facts: format!(
            "{{\"period\": \"2026-06\", \"service\": \"s\", \"events\": [{events}] {more}}}"
        ),
    }
}

/// An instant of June.
fn at(seconds: f64) -> Wall {
    let june: Wall = "2026-06-01T00:00:00Z".parse().expect("an instant");
    june + Duration::from_secs_f64(seconds)
}

/// So many stretches in June, each of which is as long as the time to the next.
fn stretches(many: usize, more: impl Fn(usize) -> String) -> String {
    let step = 2_400_000.0 / f64::from(u32::try_from(many).expect("not that many"));
    let mut text = String::new();
    let mut from = 0.0;
    for number in 0..many {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"from\": \"{}\", \"to\": \"{}\"{}}}",
            at(from),
            at(from + step / 2.0),
            more(number)
        );
        from += step;
    }
    text
}

fn events(many: usize) -> String {
    stretches(many, |number| match number % 3 {
        0 => format!(
            ", \"ticket\": {{\"id\": \"T-{number}\", \"opened\": \"2026-06-02T00:00:00Z\"}}"
        ),
        _ => String::new(),
    })
}

fn claimed(many: usize, exclusion: impl Fn(usize) -> usize) -> String {
    format!(
        ", \"excluded\": [{}]",
        stretches(many, |number| format!(", \"exclusion\": \"m{}\"", exclusion(number)))
    )
}

fn done(many: usize) -> String {
    let one = |event| {
        format!("{{\"duty\": \"tell\", \"event\": {event}, \"done\": \"2026-06-03T00:00:00Z\"}}")
    };
    format!(", \"duties\": [{}]", (0..many).map(one).collect::<Vec<_>>().join(","))
}

/// A graph so many deep, in which each service has as many members as its level is wide, each of
/// those the whole next level.
fn members(deep: usize, wide: usize) -> Files {
    let name = |level: usize, at: usize| format!("l{level}-{at}");
    let level = |level: usize| {
        (0..wide).map(|at| format!("\"{}\"", name(level, at))).collect::<Vec<_>>().join(", ")
    };
    let mut services = service("s", &level(0));
    for depth in 0..deep.saturating_sub(1) {
        let below = if depth + 2 < deep { level(depth + 1) } else { String::new() };
        (0..wide).for_each(|at| services.push_str(&service(&name(depth, at), &below)));
    }
    let deepest = deep.saturating_sub(2);
    let more = |number: usize| format!(", \"service\": \"{}\"", name(deepest, number % wide));
    Files {
        contract: format!("{HEAD}{services}{}{}", exclusions(1, ""), objective("")),
        facts: format!(
            "{{\"period\": \"2026-06\", \"service\": \"s\", \"events\": [{}]}}",
            stretches(1000, more)
        ),
    }
}
