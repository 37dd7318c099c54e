//! The main job, whole: agent and collector as processes in the fake WAN, held against the truth of
//! every packet.

use crate::kit;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kit::log::{Kind, Line, Truth, What};
use kit::notify::Notified;
use kit::process::{PATIENCE, Running};
use kit::summaries::{Told, array, chained, exported, thumbprint, told, verified};
use kit::wan::Wan;
use serde_json::Value;
use wanproof::base::time::Wall;

const NETWORK: &str = r#"
    seed = 2026
    [[address]]                                      # loss, jitter, duplicates
    at = ["10.99.1.1", "fd99:1::1"]
    delay = "12ms"
    jitter = "3ms"
    shape = "normal"
    loss = 0.05
    duplicate = 0.05
    [[address]]                                      # an outage of three seconds
    at = ["10.99.1.2", "fd99:1::2"]
    delay = "8ms"
    since = "first_packet"
    outages = [{ from = "4s", to = "7s" }]
    [[address]]
    at = "10.99.1.3"
    delay = "5ms"
    refuse = "host-unreachable"
    [[address]]                                      # after the cut-off
    at = "10.99.1.4"
    delay = "300ms"
    jitter = "20ms"
    [[address]]
    at = ["10.99.1.9", "fd99:1::9"]
    delay = "15ms"
    http = 80
"#;

/// Name, address, milliseconds from one to the next.
const PINGED: [(&str, &str, u64); 6] = [
    ("lossy-v4", "10.99.1.1", 100),
    ("lossy-v6", "fd99:1::1", 100),
    ("outage-v4", "10.99.1.2", 100),
    ("outage-v6", "fd99:1::2", 100),
    ("refused", "10.99.1.3", 200),
    ("late", "10.99.1.4", 200),
];

/// Agent and collector, with their files.
struct Site {
    wan: Wan,
    started: AtomicU32,
    _alone: MutexGuard<'static, ()>,
}

/// The network spins on a core of its own, so that its truth is exact; two of them would take two
/// cores.
static ALONE: Mutex<()> = Mutex::new(());

impl Site {
    fn new() -> Option<Self> {
        let site = Self {
            _alone: ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
            wan: Wan::start_with(NETWORK, &["--spin"])?,
            started: AtomicU32::new(0),
        };
        let write = |name: &str, text: String| {
            std::fs::write(site.wan.path(name), text).expect("the directory is ours")
        };
        let dir = |name: &str| site.wan.path(name).display().to_string();
        let mut agent = format!(
            r#"
            site = "leeds-01"
            data_dir = "{}"
            contracts = ["contract.toml"]
            [collector]
            url = "http://127.0.0.1:8443"
            every = "2s"
            [store]
            commit = "1s"
            [defaults]
            timeout = "1s"
            "#,
            dir("agent")
        );
        for (name, target, period) in PINGED {
            agent +=
                &format!("[[probe]]\nname = \"{name}\"\nkind = \"icmp\"\ntarget = \"{target}\"\n");
            agent += &format!("period = \"{period}ms\"\ncutoff = \"200ms\"\n");
        }
        agent += "[[probe]]\nname = \"no-route\"\nkind = \"icmp\"\ntarget = \"10.77.1.1\"\nperiod \
            = \"200ms\"\n";
        for (name, host) in [("http-v4", "10.99.1.9"), ("http-v6", "[fd99:1::9]")] {
            agent += &format!(
                "[[probe]]\nname = \"{name}\"\nkind = \"http\"\nurl = \"http://{host}/\"\n"
            );
            agent += "period = \"200ms\"\nexpect_body = \"ok\"\n";
        }
        write("agent.toml", agent);
        write("contract.toml", CONTRACT.to_owned());
        write(
            "collector.toml",
            format!(
                "listen = \"127.0.0.1:8443\"\ndatabase = \"sqlite:{0}/collector.db\"\ndata_dir \
                    = \"{0}\"\n\
                 key_file = \"{0}/collector.key\"\n[enrolment]\nmode = \"open\"\n",
                dir("collector")
            ),
        );
        std::fs::create_dir(site.wan.path("collector")).expect("the directory is ours");
        Some(site)
    }

    fn wanproof(&self, words: &str) -> Command {
        let mut command = self.wan.command(env!("CARGO_BIN_EXE_wanproof"));
        command.current_dir(self.wan.dir.path()).args(words.split(' '));
        command
    }

    /// Starts a program and waits until it is ready.
    fn start(&self, words: &str) -> Running {
        let notified = Notified::at(
            self.wan.path(&format!("notify.{}", self.started.fetch_add(1, Ordering::Relaxed))),
        );
        let mut running = Running::start(notified.tell(&mut self.wanproof(words)));
        notified.wait(|| {
            running.signal(nix::sys::signal::Signal::SIGKILL);
            running.wait();
            running.told()
        });
        running
    }

    fn json(&self, words: &str) -> Value {
        let output = self.wanproof(words).output().expect("it is built");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{words}: {fault}"))
    }

    fn until_the_outages(&self, did: &str) {
        until(&format!("the outages {did}"), || {
            let outages = self.json("outages --json --config agent.toml");
            let of = |probe: &str| {
                array(&outages)
                    .iter()
                    .find(|one| one["probe"] == probe)
                    .map(|one| one["to"].is_null())
            };
            ["outage-v4", "outage-v6"]
                .iter()
                .all(|probe| of(probe).is_some_and(|lasts| did == "began" || !lasts))
        });
    }

    fn said(&self) -> Said {
        let exporting = self
            .wanproof("outbox --export kept --config agent.toml")
            .output()
            .expect("it is built");
        assert!(exporting.status.success(), "{}", String::from_utf8_lossy(&exporting.stderr));
        Said {
            outbox: self.json("outbox --json --config agent.toml"),
            outages: self.json("outages --json --config agent.toml"),
            identity: self.json("identity --json --config agent.toml"),
            kept: exported(&self.wan.path("kept")),
            histories: PINGED
                .map(|(name, ..)| {
                    self.json(&format!("history {name} --by 1m --json --config agent.toml"))
                })
                .into(),
        }
    }

    /// How many summaries of the outbox are in a state.
    fn summaries(&self, state: &str) -> usize {
        array(&self.json("outbox --json --config agent.toml"))
            .iter()
            .filter(|one| one["state"] == state)
            .count()
    }
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it did not come about that {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_agent_and_collector_say_is_the_truth_though_the_collector_was_away() {
    if !cfg!(feature = "collector") {
        return kit::wan::skip("the router's build has no collector");
    }
    let Some(site) = Site::new() else { return };
    let mut collector = site.start("collector serve --config collector.toml");
    let mut agent = site.start("run --config agent.toml");
    site.until_the_outages("began");
    until("a summary was accepted", || site.summaries("accepted") > 0);
    assert!(collector.terminate().success(), "{}", collector.told());
    until("a summary waits for the collector", || site.summaries("waiting") > 0);
    let accepted = site.summaries("accepted");
    collector = site.start("collector serve --config collector.toml");
    until("summaries are accepted again", || site.summaries("accepted") > accepted);
    site.until_the_outages("ended");
    assert!(agent.terminate().success(), "{}", agent.told());

    let exporting = site
        .wanproof("collector export stored --config collector.toml")
        .output()
        .expect("it is built");
    assert!(exporting.status.success(), "{}", String::from_utf8_lossy(&exporting.stderr));
    assert!(collector.terminate().success(), "{}", collector.told());
    let said = site.said();
    let stored = exported(&site.wan.path("stored"));
    let collector_key = std::fs::read(site.wan.path("collector/collector.key"))
        .expect("the collector made its key");
    let collector_key = serde_json::from_slice(&collector_key).expect("a key is a JWK");
    every_accepted_summary_is_stored_once(&said.outbox, &said.kept, &stored);
    receipts_hold(&said.kept, &stored, &said.identity, &collector_key);
    said.is_true(&site.wan.end());
}

#[test]
fn an_agent_whose_collector_is_not_there_tells_the_truth_all_the_same() {
    let Some(site) = Site::new() else { return };
    let mut agent = site.start("run --config agent.toml");
    site.until_the_outages("began");
    site.until_the_outages("ended");
    assert!(agent.terminate().success(), "{}", agent.told());
    let said = site.said();
    assert!(array(&said.outbox).iter().all(|one| one["state"] == "waiting"), "{}", said.outbox);
    said.is_true(&site.wan.end());
}

/// What the agent says afterwards.
struct Said {
    outbox: Value,
    outages: Value,
    identity: Value,
    kept: Files,
    histories: Vec<Value>,
}

impl Said {
    fn is_true(&self, truth: &Truth) {
        let summaries = chained(&self.kept, &self.identity);
        for ((name, target, period), history) in PINGED.into_iter().zip(&self.histories) {
            let told = told(&summaries, name);
            history_is_true(name, history, &told, truth, target);
            outcomes_are_true(name, &told, truth, target);
            rtts_are_true(name, &told, truth, target);
            if name.starts_with("outage") {
                outage_is_true(name, &self.outages, truth, target, period);
            }
        }
        let unsent = told(&summaries, "no-route");
        let outcomes = unsent.outcomes;
        assert!(!outcomes.is_empty() && outcomes.chars().all(|letter| letter == 'n'), "{outcomes}");
        assert_eq!(
            unsent.reasons,
            BTreeMap::from([("not-sent/no-route".to_owned(), outcomes.len() as u64)])
        );
        for (name, target) in [("http-v4", "10.99.1.9"), ("http-v6", "fd99:1::9")] {
            http_is_true(name, &told(&summaries, name), truth, target);
        }
    }
}

/// Only the last summary may wait still, for the next start.
fn every_accepted_summary_is_stored_once(outbox: &Value, kept: &Files, stored: &Files) {
    let outbox = array(outbox);
    let waiting = outbox.iter().filter(|one| one["state"] == "waiting").count();
    assert!(outbox.iter().all(|one| one["state"] != "refused") && waiting <= 1, "{outbox:?}");
    let jws = |files: &Files| {
        files
            .iter()
            .filter(|((_, _, kind), _)| kind == "jws")
            .map(|(at, jws)| (at.clone(), jws.clone()))
            .collect::<Files>()
    };
    let (mut kept, stored) = (jws(kept), jws(stored));
    assert_eq!(kept.len(), outbox.len());
    assert!(stored.len() >= 3, "three spans at least have passed: {outbox:?}");
    while kept.len() > stored.len() && kept.len() > outbox.len() - waiting {
        kept.pop_last();
    }
    assert_eq!(kept, stored);
}

type Files = BTreeMap<(String, u64, String), String>;

fn receipts_hold(kept: &Files, stored: &Files, identity: &Value, collector: &Value) {
    for ((chain, number, kind), jws) in stored.iter().filter(|((_, _, kind), _)| kind != "jws") {
        let receipt = verified(jws, collector, "wanproof-receipt+jws");
        let summary = &stored[&(chain.clone(), *number, "jws".to_owned())];
        assert_eq!(receipt["digest"], kit::summaries::digest(summary));
        assert_eq!(
            (&receipt["chain"], &receipt["seq"]),
            (&Value::from(chain.as_str()), &Value::from(*number))
        );
        assert_eq!(receipt["agent"], thumbprint(identity));
        assert_eq!(receipt["collector"], thumbprint(collector));
        assert_eq!(
            kept.get(&(chain.clone(), *number, kind.clone())),
            Some(jws),
            "the agent keeps the same receipt"
        );
    }
    let count =
        |receipts: bool| stored.keys().filter(|(_, _, kind)| (kind != "jws") == receipts).count();
    assert_eq!(count(true), count(false));
}

/// The probe's own echo requests; a traceroute's have small TTLs.
fn probed<'a>(truth: &'a Truth, target: &str) -> Vec<&'a Line> {
    truth.echoes(target).into_iter().filter(|line| line.ttl == 64).collect()
}

/// Whether outcomes are those of the packets, one by one; what was not observed was sent, whatever
/// became of it, or was not.
fn agree(told: &[u8], truth: &[u8]) -> bool {
    match (told.split_first(), truth.split_first()) {
        (None, None) => true,
        (Some((b'x', rest)), None) => agree(rest, truth),
        (Some((b'x', rest)), Some((_, others))) => agree(rest, truth) || agree(rest, others),
        (Some((one, rest)), Some((other, others))) => one == other && agree(rest, others),
        _ => false,
    }
}

fn outcomes_are_true(name: &str, told: &Told, truth: &Truth, target: &str) {
    let expected: String = probed(truth, target).iter().map(|line| letter(line)).collect();
    // Where this host stood still, the agent says so of what was due; that is rare, or there is
    // nothing to compare.
    let unobserved = told.outcomes.matches('x').count();
    assert!(unobserved * 10 <= told.outcomes.len(), "{name}: {}", told.outcomes);
    assert!(
        agree(told.outcomes.as_bytes(), expected.as_bytes()),
        "{name}:\n{}\n{expected}",
        told.outcomes
    );
    assert_eq!(told.duplicates, truth.count(target, What::Duplicate) as u64, "{name}");
    let lost = told.outcomes.matches('l').count() as u64;
    assert_eq!(
        told.reasons.get("lost/timeout").copied().unwrap_or(0),
        lost,
        "{name}: {:?}",
        told.reasons
    );
    let refused = told.outcomes.matches('u').count() as u64;
    assert_eq!(
        told.reasons.get("refused/host-unreachable").copied().unwrap_or(0),
        refused,
        "{name}: {:?}",
        told.reasons
    );
}

/// What the network did to a packet, as a letter.
fn letter(line: &Line) -> char {
    match (line.what, line.held) {
        (What::Answered, Some(held)) if held > 200_000_000 => 't',
        (What::Answered, _) => 'a',
        (What::Lost | What::Outage, _) => 'l',
        (What::Refused, _) => 'u',
        _ => '?',
    }
}

/// Whether each minute has the outcomes and the RTTs of its packets.
fn history_is_true(name: &str, history: &Value, told: &Told, truth: &Truth, target: &str) {
    let lines = probed(truth, target);
    let all = array(&history["buckets"]);
    let count = |bucket: &Value, letter: char| {
        bucket["outcomes"][letter.to_string()].as_u64().expect("each letter has a number")
    };
    for letter in "atlunx".chars() {
        let counted: u64 = all.iter().map(|bucket| count(bucket, letter)).sum();
        assert_eq!(counted, told.outcomes.matches(letter).count() as u64, "{name}: {letter}");
    }
    if told.outcomes.contains('x') {
        // What this host missed has no packet by which the others could be told apart.
        return;
    }
    let mut lines = lines.into_iter().peekable();
    for bucket in all {
        let from: Wall = bucket["from"].as_str().expect("a time").parse().expect("RFC 3339");
        let due = "atlu".chars().map(|letter| count(bucket, letter)).sum::<u64>();
        let own: Vec<&Line> = (0..due).filter_map(|_| lines.next()).collect();
        // A packet is some milliseconds after it was due.
        let slack = Duration::from_millis(50);
        let (first, end) = (from - slack, from + Duration::from_secs(60) + slack);
        let within = |line: &&Line| (first..end).contains(&Wall::from_nanos(line.wall));
        assert!(own.iter().all(within), "{name}: {bucket}");
        for each in "atlu".chars() {
            let true_count = own.iter().filter(|line| letter(line) == each).count() as u64;
            assert_eq!(count(bucket, each), true_count, "{name}: {each} of {bucket}");
        }
        let answered: Vec<&&Line> = own.iter().filter(|line| line.what == What::Answered).collect();
        assert_eq!(bucket["rtt_us"].is_null(), answered.is_empty(), "{name}: {bucket}");
        let held = |line: &&&Line| line.held.unwrap_or(0);
        let took = |line: &&&Line| held(line) + line.unread.unwrap_or(0) + line.took.unwrap_or(0);
        let mut least: Vec<u64> = answered.iter().map(held).collect();
        let mut most: Vec<u64> = answered.iter().map(took).collect();
        least.sort_unstable();
        most.sort_unstable();
        for (figure, percent) in [("min", 1), ("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)] {
            if let Some(measured) = bucket["rtt_us"][figure].as_u64() {
                let place = (least.len() * percent).div_ceil(100) - 1;
                let place = if percent == 1 { 0 } else { place };
                let within = least[place].saturating_sub(1_000_000)..=most[place] + 1_000_000;
                assert!(
                    within.contains(&(measured * 1000)),
                    "{name}: {figure} of {bucket}: {within:?}"
                );
            }
        }
    }
    assert!(lines.next().is_none(), "{name}: a packet is in no bucket");
}

fn rtts_are_true(name: &str, told: &Told, truth: &Truth, target: &str) {
    let answered = probed(truth, target);
    let answered: Vec<&Line> =
        answered.into_iter().filter(|line| line.what == What::Answered).collect();
    let least = answered.iter().filter_map(|line| line.held).collect();
    // A request lay unread for so long at most, and its reply was on its way up the kernel for so
    // long.
    let most =
        answered.iter().filter_map(|line| Some(line.held? + line.unread? + line.took?)).collect();
    percentiles_are_within_a_millisecond(name, told, least, most);
}

fn percentiles_are_within_a_millisecond(
    name: &str,
    told: &Told,
    mut least: Vec<u64>,
    mut most: Vec<u64>,
) {
    assert_eq!(told.rtt_us.len(), least.len() as u64, "{name}");
    least.sort_unstable();
    most.sort_unstable();
    for percent in [50_u8, 95, 99].into_iter().filter(|_| !least.is_empty()) {
        let measured = told.rtt_us.value_at_quantile(f64::from(percent) / 100.0) * 1000;
        let place = (least.len() * usize::from(percent)).div_ceil(100) - 1;
        let within = least[place].saturating_sub(1_000_000)..=most[place] + 1_000_000;
        assert!(
            within.contains(&measured),
            "{name}: p{percent} is {measured} ns, the truth {within:?}"
        );
    }
}

fn outage_is_true(name: &str, outages: &Value, truth: &Truth, target: &str, period: u64) {
    let lines = probed(truth, target);
    let first = lines.iter().find(|line| line.what == What::Outage).expect("there was an outage");
    let after = lines.iter().find(|line| line.what == What::Answered && line.number > first.number);
    let after = after.expect("the outage ended");
    let told: Vec<&Value> = array(outages).iter().filter(|one| one["probe"] == name).collect();
    assert_eq!(told.len(), 1, "{outages}");
    for (edge, wall) in [("from", first.wall), ("to", after.wall)] {
        let at: Wall =
            told[0][edge].as_str().expect("it is a time").parse().expect("it is RFC 3339");
        let off = at.nanos_since(Wall::from_nanos(wall)).unsigned_abs();
        assert!(off <= period * 1_000_000, "{name}: {edge} is {off} ns off: {}", told[0]);
    }
}

/// From the SYN's arrival to the last byte of the answer handed on, for each connection.
fn http_is_true(name: &str, told: &Told, truth: &Truth, target: &str) {
    assert!(
        !told.outcomes.is_empty() && told.outcomes.chars().all(|letter| letter == 'a'),
        "{name}: {}",
        told.outcomes
    );
    let address: IpAddr = target.parse().expect("it is an address");
    let mut connections = BTreeMap::<u16, (u64, u64, u64)>::new();
    let mut lines: Vec<&Line> = truth.lines.iter().filter(|line| line.to == address).collect();
    lines.sort_by_key(|line| line.number);
    for line in lines {
        let own = line.unread.unwrap_or(0) + line.took.unwrap_or(0) + line.lag.unwrap_or(0);
        match line.kind {
            Kind::Tcp if line.note.text() == "S" => {
                _ = connections.insert(line.id, (line.mono, line.mono, own))
            }
            Kind::Tcp | Kind::TcpBack => {
                let client = if line.kind == Kind::Tcp { line.id } else { line.seq };
                let connection = connections.get_mut(&client).expect("it began with a SYN");
                connection.2 += own;
                if line.kind == Kind::TcpBack && line.size > 0 {
                    connection.1 = line.mono + line.held.unwrap_or(0);
                }
            }
            _ => {}
        }
    }
    let least = connections.values().map(|(from, to, _)| to - from).collect();
    let most = connections.values().map(|(from, to, own)| to - from + own).collect();
    percentiles_are_within_a_millisecond(name, told, least, most);
}

const CONTRACT: &str = r#"
schema = "wanproof.contract/1"
[agreement]
id = "ACME-TEST"
version = 1
level = "service"
provider = { name = "Example Carrier", contact = "noc@carrier.example" }
customer = { name = "ACME Ltd", contact = "network@acme.example" }
signed = "2026-01-15"
effective_from = "2026-02-01T00:00:00Z"
renewal = "month_to_month"
timezone = "UTC"
currency = "GBP"
measured_by = "customer"
[[service]]
id = "ckt-0042"
site = "leeds-01"
mrc = "4000.00"
probes = ["outage-v4"]
in_service_from = "2026-02-10T00:00:00Z"
sla_from = "acceptance"
members = []
[[objective]]
id = "avail"
metric = "availability"
unit = "percent"
op = ">="
target = "99.9"
[objective.measure]
probes = ["outage-v4"]
late_is = "failed"
min_coverage = "95"
[objective.outage]
definition = "misses"
misses = 3
answers = 3
carrier_loss_is = "down"
unknown_is = "unknown"
sides = ["provider", "unknown"]
[objective.aggregate]
period = "month"
denominator = "actual"
"#;
