//! What a month's report of a fleet costs: read from the verdicts that are kept, and with every
//! verdict worked out anew from folded outcomes. `benches/run fleet` starts it.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on may panic")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wanproof::base::time::Wall;
use wanproof::collector::agent_state::{AgentState, Ever};
use wanproof::collector::api::report;
use wanproof::collector::archive::accept::{Arrival, Verified};
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::archive::ledger::Kind;
use wanproof::collector::archive::{Archive, ArchiveError, packed};
use wanproof::collector::compaction::{self, DAY, HOUR, Segment};
use wanproof::collector::operations::agreements::{self, Book, Step};
use wanproof::collector::operations::{Actor, DeskError};
use wanproof::collector::verdicts::groups::By;
use wanproof::collector::verdicts::{Evaluator, Fleet, id_of};
use wanproof::config::collector::Database;
use wanproof::evidence::chain::ChainId;
use wanproof::evidence::digest::Digest;
use wanproof::evidence::jws::{self, Typ};
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::receipt::Subject;
use wanproof::measure::histogram::Histogram;
use wanproof::measure::interval::{Interval, Spread};
use wanproof::measure::outcome::Outcomes;
use wanproof::sla::calendar::Period;

/// Different lines; each site's line is one of them.
const LINES: u64 = 4;

/// A line's minute: now and then a probe lost, and an outage of some minutes every ten days.
fn minute(line: u64, number: u64, from: Wall) -> Interval {
    let outcomes = match number % 14_400 {
        600..605 if number > 1000 * line => "60l",
        _ if number.is_multiple_of(11 + line) => "20a1l39a",
        _ => "60a",
    };
    let outcomes: Outcomes = outcomes.parse().unwrap();
    let (mut rtt, mut sum_ns) = (Histogram::new(), 0);
    for n in 0..outcomes.with_rtt() {
        let micros = 12_000 + 3_000 * line + (number * 37 + n * 101) % 4_000;
        rtt.record_us(micros);
        sum_ns += micros * 1000;
    }
    Interval {
        from: from + Duration::from_secs(60 * number),
        millis: 60_000,
        first_ms: 250,
        period_ms: 1000,
        outcomes,
        reasons: BTreeMap::new(),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: rtt.pack().map(|histogram| Spread { histogram, sum_ns }),
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    }
}

/// A line's month of folded days.
fn month(line: u64, from: Wall) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
    (0..30)
        .map(|day| {
            let minutes = (day * 1440..(day + 1) * 1440).map(|number| Segment {
                settings: "".into(),
                told: None,
                interval: minute(line, number, from),
            });
            let hours = compaction::merge(minutes.collect(), HOUR);
            let whole = compaction::merge(hours.clone(), DAY);
            let number = (from + DAY * u32::try_from(day).unwrap()).secs() / 86_400;
            (number, compaction::encode(&whole).unwrap(), compaction::encode(&hours).unwrap())
        })
        .collect()
}

/// The summaries of the hours in which an outage begins or ends: there a verdict looks at minutes.
/// Each with its UTC day.
fn edges(line: u64, from: Wall) -> Vec<(i64, Wall, String)> {
    let key = agent(0);
    let hours = (0..3).map(|number| number * 14_400 + 600).filter(|number| *number > 1000 * line);
    let starts = hours.flat_map(|hour| (0..12).map(move |part| hour + part * 5));
    starts
        .map(|start| {
            let intervals: Vec<Value> = (start..start + 5).map(|number| written(&minute(line, number, from))).collect();
            let begin = from + Duration::from_secs(60 * start);
            let payload = json!({
                "v": 1, "agent": key.kid(), "site": "site", "chain": "07".repeat(16), "seq": start, "prev": null, "from": begin,
                "to": begin + Duration::from_secs(300), "boot": "b", "software": "wanproof", "clock": {"state": "synchronised"},
                "contracts": [], "probes": [{"name": "hq", "kind": "icmp", "target": "t", "period_ms": 1000, "timeout_ms": 2000,
                    "cutoff_ms": 1000, "settings": "", "intervals": intervals}], "link": [], "outages": [], "verdicts": []
            });
            let jws = jws::sign(Typ::Summary, payload.to_string().as_bytes(), &key);
            (begin.secs().div_euclid(86_400), begin, jws)
        })
        .collect()
}

fn written(interval: &Interval) -> Value {
    json!({
        "from": interval.from, "seconds": 60, "first_ms": 250, "outcomes": interval.outcomes.to_string(), "reasons": {},
        "duplicates": 0, "reordered": 0, "kernel_stamped": 0,
        "rtt_us": interval.rtt.as_ref().map(|rtt| rtt.histogram.to_base64()),
        "rtt_sum_ns": interval.rtt.as_ref().map(|rtt| rtt.sum_ns),
    })
}

/// Stores such summaries as an agent's.
fn store(
    archive: &Archive,
    key: &SecretKey,
    edges: &[(i64, Wall, String)],
    now: Wall,
) -> Result<(), ArchiveError> {
    let chain = ChainId::from_bytes([7; 16]);
    let mut prev = None;
    let mut arrivals = Vec::new();
    for (seq, (day, begin, jws)) in (0u64..).zip(edges) {
        let digest = Digest::of(jws.as_bytes());
        let subject = Subject { agent: key.kid(), chain, seq, digest };
        let verified = Verified {
            subject,
            kid: key.kid(),
            prev: prev.replace(digest),
            from: *begin,
            to: *begin + Duration::from_secs(300),
            follows: None,
            dropped: Vec::new(),
            next_key: None,
            packed: packed::pack(jws),
        };
        arrivals.push(Arrival::new(verified, now, key));
        archive.put_folded_day((key.kid(), chain), *day, (seq, seq))?;
    }
    archive.accept_all(&arrivals).map(drop)
}

fn agent(number: usize) -> SecretKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&seed)
}

fn contract(sites: usize) -> String {
    let head = include_str!("../tests/fleet/contract.toml").replace("Asia/Kolkata", "UTC");
    let (agreement, rest) = head.split_once("[[service]]").unwrap();
    let (_, rest) = rest.split_once("[[exclusion]]").unwrap();
    let service = |number: usize| {
        format!(
            "[[service]]\nid = \"ckt-{number}\"\nsite = \"site-{number}\"\nmrc \
                = \"4000.00\"\nprobes = [\"hq\"]\n\
             in_service_from = \"2026-02-10T00:00:00Z\"\nsla_from = \"acceptance\"\n"
        )
    };
    let services: String = (0..sites).map(service).collect();
    // Availability, mean delay and loss: what most contracts promise.
    let kept =
        |part: &&str| !part.contains("id = \"delay-p99\"") && !part.contains("id = \"jitter\"");
    let parts: Vec<&str> = rest.split("[[objective]]").filter(kept).collect();
    let last = rest.split("[claim]").nth(1).unwrap();
    let mut text = parts.join("[[objective]]");
    if !text.contains("[claim]") {
        text = format!("{text}[claim]{last}");
    }
    format!("{agreement}{services}[[exclusion]]{text}")
}

fn main() {
    let at = tempfile::tempdir().unwrap();
    let from: Wall = "2026-11-01T00:00:00Z".parse().unwrap();
    let now: Wall = "2026-12-02T09:00:00Z".parse().unwrap();
    let lines: Vec<_> = (0..LINES).map(|line| (month(line, from), edges(line, from))).collect();
    println!(
        "| sites | all verdicts anew, s | ms a site | report by provider, s | by service, s |"
    );
    println!("|---|---|---|---|---|");
    for sites in [250, 500, 1000] {
        let database = Database::Sqlite(at.path().join(format!("{sites}.db")));
        let mut archive = Archive::open(&database).unwrap();
        let actor = Actor { who: "bench".to_owned(), via: Via::Command, now };
        let book = archive
            .write(|archive| {
                agreements::import(archive, None, &contract(sites), &actor)?;
                for action in ["propose", "sign", "take_effect"] {
                    let step =
                        Step { at: Some("2026-02-01T00:00:00Z".parse().unwrap()), ..Step::now() };
                    agreements::act(archive, ("FLEET", 1), action, &step, &actor)?;
                }
                for number in 0..sites {
                    let statement = AgentState {
                        site: format!("site-{number}"),
                        software: "wanproof".to_owned(),
                        heard: from + DAY * 30,
                        place: None,
                        clock: "synchronised".to_owned(),
                        contracts: Vec::new(),
                        probes: [("hq".to_owned(), None)].into(),
                        verdicts: Vec::new(),
                        ever: Ever::default(),
                    };
                    let key = agent(number);
                    archive.add_agent(key.public(), &statement.site, AgentStatus::Approved, now)?;
                    archive.put_record(Kind::Agent, &key.kid().to_string(), &statement, now)?;
                    let (days, edges) = &lines[number % lines.len()];
                    for (day, whole, hours) in days {
                        archive.put_fold(key.kid(), "hq", *day, whole, hours)?;
                    }
                    store(archive, &key, edges, now)?;
                }
                Ok::<Book, DeskError>(Book::load(archive, None)?)
            })
            .unwrap();
        let fleet = Fleet::load(&archive).unwrap();
        let evaluator = Evaluator { archive: &archive, book: &book, fleet: &fleet };
        let period: Period = "2026-11".parse().unwrap();
        let began = Instant::now();
        let judged: Vec<_> = (0..sites)
            .map(|number| {
                evaluator.judge("FLEET", &format!("ckt-{number}"), period, now).unwrap().unwrap()
            })
            .collect();
        let anew = began.elapsed().as_secs_f64();
        assert!(judged.iter().all(|judged| judged.faults.is_empty()
            && judged.report.as_ref().is_some_and(|report| report.objectives[0].actual.is_some())));
        archive
            .write(|archive| {
                for judged in &judged {
                    let id = id_of(period, "FLEET", &judged.service);
                    archive.put_record(Kind::Verdict, &id, judged, now)?;
                    archive.put_record(Kind::Histograms, &id, &judged.histograms, now)?;
                }
                Ok::<(), DeskError>(())
            })
            .unwrap();
        let timed = |by: By| {
            let began = Instant::now();
            let groups = report(&archive, Some(&"2026-11".to_owned()), by).unwrap();
            assert_eq!(groups.iter().map(|group| group.services as usize).sum::<usize>(), sites);
            began.elapsed().as_secs_f64()
        };
        let (provider, service) = (timed(By::Provider), timed(By::Service));
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let each = anew * 1000.0 / sites as f64;
        println!("| {sites} | {anew:.2} | {each:.2} | {provider:.3} | {service:.3} |");
    }
}
