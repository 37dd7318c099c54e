//! Judging a period of many services of per-second outcomes, from an edge database as the agent
//! keeps it: minutes of the last months, and the sheets of all thirteen. It reads the database anew
//! each time, as a command does.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use wanproof::agent::review::{Judged, review_all};
use wanproof::base::time::Wall;
use wanproof::measure::interval::Interval;
use wanproof::sla::calendar::{Period, Zone};
use wanproof::sla::{Contract, Facts, contract};
use wanproof::store::Store;
use wanproof::store::intervals::Series;

use crate::tools::{heading, note, row};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Services, each with one probe a second
    #[arg(long, default_value_t = 50)]
    services: usize,
    /// For how many days minutes are kept
    #[arg(long, default_value_t = 90)]
    minutes: u32,
    /// How often each is measured; the median is shown
    #[arg(long, default_value_t = 9)]
    runs: usize,
}

const DAY: Duration = Duration::from_secs(86_400);
/// The last month of every database, and the one that is judged.
const LAST: &str = "2026-06";

/// Measures and prints.
pub fn run(args: &Args) {
    heading(&["judged, per-second outcomes", "database", "bytes", "median ms", "slowest ms"]);
    let directory = tempfile::tempdir().expect("a directory");
    for months in [1_u64, 13] {
        let place = directory.path().join(format!("{months}"));
        note(&format!("a database of {months} months"));
        fill(&place, args, months);
        let bytes = std::fs::metadata(place.join("agent.db")).map_or(0, |file| file.len());
        let terms: &[(&str, &str)] = &[
            ("month", "period = \"month\""),
            ("quarter", "period = \"quarter\""),
            ("365 days", "rolling = \"365d\""),
        ];
        for (name, every) in terms.iter().take(if months == 1 { 1 } else { 3 }) {
            let judged = judged(args.services, every);
            let mut took: Vec<Duration> =
                (0..args.runs.max(1)).map(|_| once(&place, &judged)).collect();
            took.sort_unstable();
            let ms = |took: Duration| format!("{:.1}", took.as_secs_f64() * 1000.0);
            row(&[
                &format!("{name} of {} services", args.services),
                &format!("{months} months"),
                &bytes.to_string(),
                &ms(took[took.len() / 2]),
                &ms(took[took.len() - 1]),
            ]);
        }
    }
}

fn once(place: &std::path::Path, judged: &Judged) -> Duration {
    let period: Period = LAST.parse().expect("a period");
    let begun = Instant::now();
    let store = Store::read(place).expect("a database");
    let reports = review_all(&store, judged, period, &Facts::default()).expect("judged");
    let took = begun.elapsed();
    assert_eq!(reports.len(), judged.services.len());
    for verdict in reports.iter().flat_map(|report| &report.objectives) {
        // A verdict of nothing would be quick too.
        assert_eq!(verdict.coverage, "100.000000", "{verdict:?}");
        assert!(verdict.downtime_s.as_deref().is_some_and(|seconds| seconds != "0"), "{verdict:?}");
    }
    took
}

/// Minutes for the last days, and the sheets of all of it.
fn fill(place: &std::path::Path, args: &Args, months: u64) {
    let zone = Zone::get("UTC").expect("a zone");
    let last: Period = LAST.parse().expect("a month");
    let end = zone.midnight(last.last().plus(1));
    // A day around the period is read too.
    let first = (1..months).fold(last, |month, _| month.before(1)).first(1);
    let begin = zone.midnight(first) - DAY;
    let detailed = begin.max(end - args.minutes * DAY);
    let (mut store, _) = Store::open(place, begin).expect("a database");
    let ids: Vec<_> = (0..args.services)
        .map(|service| store.series(&series(service)).expect("a series"))
        .collect();
    let minutes =
        u64::try_from((end + DAY).nanos_since(detailed) / 60_000_000_000).expect("forwards");
    for day in 0..minutes.div_ceil(1440) {
        let done: Result<(), wanproof::store::StoreError> = store.together(|store| {
            for minute in day * 1440..minutes.min((day + 1) * 1440) {
                let set: Vec<_> = ids
                    .iter()
                    .enumerate()
                    .map(|(service, id)| (*id, interval(detailed, minute, service)))
                    .collect();
                store.append_set(
                    &set.iter().map(|(id, interval)| (*id, interval)).collect::<Vec<_>>(),
                )?;
            }
            store.write_sheets(detailed + DAY * u32::try_from(day + 1).expect("few days"), 1000)?;
            Ok(())
        });
        done.expect("written");
    }
    drop(store);
    // The hours before them have sheets alone; those of the kept minutes are laid there again, from
    // the latest.
    let db = rusqlite::Connection::open(place.join("agent.db")).expect("the database");
    let hours = detailed.nanos_since(begin) / 3_600_000_000_000;
    let kept: i64 =
        db.query_row("SELECT count(*) FROM sheet", [], |row| row.get(0)).expect("counted");
    let mut from = 0;
    while from < hours {
        let (at, most) = (detailed.nanos() / 3_600_000_000_000 - from, kept.min(hours - from));
        db.execute(
            "INSERT INTO sheet SELECT ?1 - row_number() OVER (ORDER BY hour), body FROM
             (SELECT hour, body FROM sheet ORDER BY hour DESC LIMIT ?2)",
            [at, most],
        )
        .expect("laid");
        from += most;
    }
}

fn series(service: usize) -> Series {
    Series {
        probe: format!("p{service}"),
        service: Some(format!("s{service}")),
        kind: "icmp".to_owned(),
        target: "192.0.2.1".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    }
}

/// Mostly answered; every some hundred minutes one is lost, and every some thousand there is an
/// outage.
fn interval(begin: Wall, minute: u64, service: usize) -> Interval {
    let dice =
        (minute * 1_000_003 + service as u64 * 7919).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let outcomes = match dice {
        dice if dice % 3001 == 0 => "10a45l5a",
        dice if dice % 211 == 0 => "30a1l29a",
        _ => "60a",
    };
    Interval {
        from: begin + Duration::from_secs(minute * 60),
        millis: 60_000,
        first_ms: u32::try_from(service * 17 % 1000).expect("below 1000"),
        period_ms: 1000,
        outcomes: outcomes.parse().expect("outcomes"),
        reasons: Default::default(),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 60,
        rtt: None,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: Default::default(),
    }
}

fn judged(services: usize, every: &str) -> Judged {
    let contract = terms(services, every);
    let services = contract.services.iter().map(|service| service.id.clone()).collect();
    Judged::alone(contract, services)
}

fn terms(services: usize, every: &str) -> Contract {
    let mut text = String::from(
        r#"schema = "wanproof.contract/1"
[agreement]
id = "T"
version = 1
level = "service"
provider = { name = "Example Carrier", contact = "noc@carrier.example" }
customer = { name = "ACME Ltd", contact = "network@acme.example" }
signed = "2020-01-01"
effective_from = "2020-01-01T00:00:00Z"
renewal = "month_to_month"
timezone = "UTC"
currency = "GBP"
measured_by = "joint"
[claim]
mode = "automatic"
rounding = "half_up"
settled = "next_invoice"
"#,
    );
    let mut probes = Vec::new();
    for service in 0..services {
        probes.push(format!("\"p{service}\""));
        let _ = write!(
            text,
            "[[service]]\nid = \"s{service}\"\nsite = \"leeds-01\"\nmrc = \"400.00\"\nprobes = \
                [\"p{service}\"]\n\
             in_service_from = \"2020-01-01T00:00:00Z\"\nsla_from = \"acceptance\"\n"
        );
    }
    let _ = write!(
        text,
        "[[objective]]\nid = \"avail\"\nmetric = \"availability\"\nunit = \"percent\"\nop \
            = \">=\"\ntarget = \"99.9\"\n\
         [objective.measure]\nprobes = [{}]\nlate_is = \"failed\"\nmin_coverage = \"95\"\n\
         [objective.outage]\ndefinition = \"misses\"\nmisses = 3\nanswers = 3\ncarrier_loss_is \
            = \"down\"\n\
         unknown_is = \"unknown\"\nsides = [\"provider\", \"unknown\"]\n\
         [objective.aggregate]\n{every}\ndenominator = \"actual\"\n\
         [objective.remedy]\ndriver = \"downtime\"\nbase = \"mrc\"\nrequires_ticket = false\n\
         tiers = [{{ over = \"600\", credit = \"5%\" }}]\n",
        probes.join(", ")
    );
    contract::parse(&text, "t.toml").expect("a contract")
}
