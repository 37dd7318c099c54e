//! Agent and collector, killed at random moments: what was committed is there, every summary
//! reaches the collector once, and no outage is told of a network that had none.
//!
//! Some kills in every run of the tests; `benches/run kill` makes it three hundred (`KILLS=300`).

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use kit::notify::Notified;
use kit::process::{PATIENCE, Running};
use kit::summaries::{array, chained, exported, told};
use kit::wan::Wan;
use nix::sys::signal::Signal;
use serde_json::Value;
use wanproof::base::time::Wall;
use wanproof::store::Store;

/// A network that never fails.
const NETWORK: &str =
    "seed = 7\n[[address]]\nat = [\"10.99.1.1\", \"10.99.1.2\"]\ndelay = \"2ms\"\n";
const PROBES: [(&str, &str); 2] = [("one", "10.99.1.1"), ("two", "10.99.1.2")];
const KILLS: u32 = 10;
/// How long agent and collector live together at most between two kills, in milliseconds.
const LIFE: u64 = 1200;

/// What an agent had on its disk when it was dead.
#[derive(Default)]
struct Committed {
    /// Each interval by its probe and beginning, with its outcomes.
    intervals: BTreeMap<(String, Wall), String>,
    /// Each summary by its chain and number, with its digest.
    summaries: BTreeMap<(String, u64), String>,
    /// Those of which it has a receipt.
    accepted: BTreeSet<(String, u64)>,
}

struct Site {
    wan: Wan,
}

impl Site {
    fn new() -> Option<Self> {
        let site = Self { wan: Wan::start(NETWORK)? };
        let mut agent = "site = \"leeds-01\"\ndata_dir = \"agent\"\n[collector]\nurl \
            = \"http://127.0.0.1:8443\"\n\
                         every = \"1s\"\n[store]\ncommit = \"1s\"\n[defaults]\nperiod \
            = \"100ms\"\ntimeout = \"5s\"\n"
            .to_owned();
        for (name, target) in PROBES {
            agent +=
                &format!("[[probe]]\nname = \"{name}\"\nkind = \"icmp\"\ntarget = \"{target}\"\n");
        }
        std::fs::write(site.wan.path("agent.toml"), agent).unwrap();
        let dir = site.wan.path("collector");
        std::fs::create_dir(&dir).unwrap();
        let collector = format!(
            "listen = \"127.0.0.1:8443\"\ndatabase = \"sqlite:{0}/collector.db\"\ndata_dir \
                = \"{0}\"\n\
             key_file = \"{0}/collector.key\"\n[enrolment]\nmode = \"open\"\n[limits]\nper_agent \
                = \"6000/m\"\n",
            dir.display()
        );
        std::fs::write(site.wan.path("collector.toml"), collector).unwrap();
        Some(site)
    }

    fn wanproof(&self, words: &str) -> Command {
        let mut command = self.wan.command(env!("CARGO_BIN_EXE_wanproof"));
        command.current_dir(self.wan.dir.path()).args(words.split(' '));
        command
    }

    fn start(&self, words: &str) -> Running {
        Running::start(&mut self.wanproof(words))
    }

    /// Starts a program and waits until it is ready.
    fn ready(&self, words: &str) -> Running {
        let _ = std::fs::remove_file(self.wan.path("notify"));
        let notified = Notified::at(self.wan.path("notify"));
        let mut running = Running::start(notified.tell(&mut self.wanproof(words)));
        notified.wait(|| {
            running.signal(Signal::SIGKILL);
            running.wait();
            running.told()
        });
        running
    }

    fn json(&self, words: &str) -> Value {
        let output = self.wanproof(words).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{words}: {fault}"))
    }

    /// What lies on the agent's disk, whose process is dead; [`None`] before it ever made its
    /// database.
    fn committed(&self) -> Option<Committed> {
        if !self.wan.path("agent/agent.db").exists() {
            return None;
        }
        let store = Store::read(&self.wan.path("agent")).ok()?;
        let mut committed = Committed::default();
        let always = (Wall::from_secs(0), Wall::from_nanos(i64::MAX));
        for (name, _) in PROBES {
            for interval in store.intervals(name, always.0, always.1).unwrap() {
                let known = committed
                    .intervals
                    .insert((name.to_owned(), interval.from), interval.outcomes.to_string());
                assert_eq!(known, None, "{name} has two intervals that begin at {}", interval.from);
            }
        }
        for entry in store.summaries().unwrap() {
            let at = (entry.chain.to_string(), entry.seq);
            if entry.receipt.is_some() {
                committed.accepted.insert(at.clone());
            }
            let known = committed.summaries.insert(at, entry.digest.to_string());
            assert_eq!(known, None, "a number was given twice");
        }
        Some(committed)
    }
}

impl Committed {
    /// Everything of it is in `later` too, as it was.
    fn is_kept_in(&self, later: &Self) {
        for (at, outcomes) in &self.intervals {
            assert_eq!(
                later.intervals.get(at),
                Some(outcomes),
                "the interval {at:?} was committed"
            );
        }
        for (at, digest) in &self.summaries {
            assert_eq!(later.summaries.get(at), Some(digest), "the summary {at:?} was committed");
        }
        assert!(self.accepted.is_subset(&later.accepted), "a receipt was committed");
    }
}

#[test]
fn whoever_is_killed_nothing_committed_is_lost_nothing_is_there_twice_and_no_outage_is_told() {
    let kills =
        std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().expect("KILLS is a number"));
    let Some(site) = Site::new() else { return };
    let (agent_runs, collector_serves) =
        ("run --config agent.toml", "collector serve --config collector.toml");
    // The key of each is made once.
    let mut agent = site.ready(agent_runs);
    let mut collector = site.ready(collector_serves);
    let mut before = Committed::default();
    let mut killed = [0_u32; 2];
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(rand::random_range(0..LIFE)));
        if kill % 3 == 2 {
            collector.signal(Signal::SIGKILL);
            collector.wait();
            killed[1] += 1;
            collector = site.start(collector_serves);
        } else {
            agent.signal(Signal::SIGKILL);
            agent.wait();
            killed[0] += 1;
            let now = site.committed().expect("there was a database before the first kill");
            before.is_kept_in(&now);
            before = now;
            agent = site.start(agent_runs);
        }
    }
    // One that was started just now hears of no end yet.
    if killed[0] > 0 {
        agent.says("measuring");
    }
    if killed[1] > 0 {
        collector.says("the collector is listening");
    }
    let begun = Instant::now();
    let waiting = || site.json("outbox --json --config agent.toml");
    while array(&waiting()).iter().filter(|one| one["state"] == "waiting").count() > 1 {
        assert!(
            begun.elapsed() < PATIENCE,
            "the outbox does not drain: {}\n{}",
            agent.told(),
            collector.told()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(agent.terminate().success(), "{}", agent.told());
    let now = site.committed().unwrap();
    before.is_kept_in(&now);

    let outages = site.json("outages --json --config agent.toml");
    assert_eq!(array(&outages), [] as [Value; 0], "the network never failed");
    let exporting =
        site.wanproof("collector export stored --config collector.toml").output().unwrap();
    assert!(exporting.status.success(), "{}", String::from_utf8_lossy(&exporting.stderr));
    let agents = site.json("collector agents --json --config collector.toml");
    assert_eq!((array(&agents).len(), &agents[0]["conflicts"]), (1, &Value::from(0)), "{agents}");
    assert_eq!(agents[0]["gaps"], Value::Array(Vec::new()), "{agents}");
    assert!(collector.terminate().success(), "{}", collector.told());

    // One chain, whose numbers rise by one from 0, each once, signed and chained; what has a
    // receipt is there.
    let stored = exported(&site.wan.path("stored"));
    let summaries = chained(&stored, &site.json("identity --json --config agent.toml"));
    let there: BTreeMap<(String, u64), String> = stored
        .iter()
        .filter(|((_, _, kind), _)| kind == "jws")
        .map(|((chain, seq, _), jws)| ((chain.clone(), *seq), kit::summaries::digest(jws)))
        .collect();
    assert!(
        now.accepted.iter().all(|at| there.contains_key(at)),
        "a summary that was receipted is not stored"
    );
    assert!(
        there.iter().all(|(at, digest)| now.summaries.get(at) == Some(digest)),
        "another summary is stored"
    );
    assert!(now.summaries.len() - there.len() <= 1, "only the last may wait still");

    let truth = site.wan.end();
    let mut letters = 0;
    for (name, target) in PROBES {
        let told = told(&summaries, name);
        assert!(
            told.outcomes.chars().all(|letter| "ax".contains(letter)),
            "{name}: {}",
            told.outcomes
        );
        let answered = told.outcomes.matches('a').count();
        let sent = truth.echoes(target).len();
        assert!(0 < answered && answered <= sent, "{name}: {answered} were answered of {sent}");
        letters += told.outcomes.len();
        does_not_overlap(name, &now);
    }
    println!(
        "killed: agent {} times, collector {} times; {} summaries, each once at the collector; \
         {letters} outcomes in {} intervals; no outage",
        killed[0],
        killed[1],
        there.len(),
        now.intervals.len()
    );
}

/// No send is told twice: an interval begins where the one before ended, or later.
fn does_not_overlap(name: &str, committed: &Committed) {
    let of = committed.intervals.iter().filter(|((probe, _), _)| probe == name);
    let mut ended = Wall::from_secs(0);
    for ((_, from), outcomes) in of {
        assert!(
            *from >= ended,
            "{name}: the interval of {from} begins before the one before has ended"
        );
        let sends = u64::try_from(kit::summaries::letters(outcomes).len()).unwrap();
        // Sends are 100 ms apart; the last one's period may reach into the next interval.
        ended = *from + Duration::from_millis(100 * sends.saturating_sub(1));
    }
}
