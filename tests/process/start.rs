//! How an agent starts where a router may: without any network, with a clock that is decades or a
//! year off until somebody sets it, on a directory that it may not write, twice. It measures from
//! the beginning, or says what is wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kit::process::{PATIENCE, Running};
use kit::summaries::{array, chained, exported, letters};
use kit::wan::skip;
use nix::sys::signal::Signal;
use serde_json::Value;
use wanproof::base::time::{Clock as _, SystemClock, Wall};
use wanproof::measure::interval::Interval;
use wanproof::measure::outcome::Outcome;
use wanproof::store::Store;

const SECOND: Duration = Duration::from_secs(1);

/// A probe that is answered where there is loopback, another that is refused there, and one whose
/// name nobody knows.
const CONFIGURATION: &str = "site = \"leeds-01\"\ndata_dir = \"data\"\n[collector]\nurl \
    = \"http://127.0.0.1:9\"\n\
    every = \"1s\"\n[store]\ncommit = \"1s\"\n[defaults]\nperiod = \"100ms\"\ntimeout = \"5s\"\n\
    [[probe]]\nname = \"near\"\nkind = \"icmp\"\ntarget = \"127.0.0.1\"\n\
    [[probe]]\nname = \"shut\"\nkind = \"tcp\"\ntarget = \"127.0.0.1:1\"\n\
    [[probe]]\nname = \"named\"\nkind = \"icmp\"\ntarget = \"hq.example.net\"\n";

/// A host without any network, whose clock is the test's.
pub struct Host {
    dir: tempfile::TempDir,
    faketime: Option<PathBuf>,
}

impl Host {
    /// [`None`] where nobody may make a namespace, after saying so.
    pub fn new() -> Option<Self> {
        let may = Command::new("unshare").args(["-Urn", "true"]).output();
        if !may.is_ok_and(|output| output.status.success()) {
            skip("no network namespace can be made here");
            return None;
        }
        let host = Self { dir: tempfile::tempdir().unwrap(), faketime: None };
        std::fs::write(host.path("agent.toml"), CONFIGURATION).unwrap();
        Some(host)
    }

    /// As [`Self::new`], with another wall clock than the machine's.
    fn at(wall: &str) -> Option<Self> {
        let mut host = Self::new()?;
        host.faketime = faketime();
        if host.faketime.is_none() {
            skip("libfaketime is not installed (tests/run installs it)");
            return None;
        }
        host.set_clock(wall);
        Some(host)
    }

    /// A file of the host's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets the wall clock: `@date time`, or an offset from the machine's.
    fn set_clock(&self, wall: &str) {
        std::fs::write(self.path("clock.next"), wall).unwrap();
        std::fs::rename(self.path("clock.next"), self.path("clock")).unwrap();
    }

    /// A command without network but loopback, if `lo` is up.
    pub fn command(&self, lo: Lo, words: &str) -> Command {
        self.command_after("true", lo, words)
    }

    /// One before which the shell sets something of the host.
    pub fn command_after(&self, setting: &str, lo: Lo, words: &str) -> Command {
        let mut command = Command::new("unshare");
        let up = if lo == Lo::Up { "ip link set lo up && " } else { "" };
        let program = env!("CARGO_BIN_EXE_wanproof");
        command.args([
            "-Urn",
            "sh",
            "-c",
            &format!("PATH=$PATH:/usr/sbin:/sbin; {setting} && {up}exec \"$@\""),
        ]);
        command.arg("sh").arg("env");
        if let Some(library) = &self.faketime {
            // The monotonic clocks stay the machine's.
            command.arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.path("clock").display()));
            command.args([
                "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
                "DONT_FAKE_MONOTONIC=1",
            ]);
        }
        command.current_dir(self.dir.path()).arg(program).args(words.split(' '));
        command
    }

    fn asked(&self, words: &str) -> Output {
        self.command(Lo::Down, words).output().unwrap()
    }

    fn json(&self, words: &str) -> Value {
        let output = self.asked(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{words}: {fault}"))
    }

    /// The letters of a probe's last closed interval.
    fn last(&self, probe: &str) -> String {
        let status = self.json("status --json --config agent.toml");
        let row = array(&status["probes"])
            .iter()
            .find(|row| row["name"] == probe)
            .cloned()
            .unwrap_or_default();
        letters(row["outcomes"].as_str().unwrap_or_default())
    }

    fn beginnings(&self) -> Vec<String> {
        let outbox = self.json("outbox --json --config agent.toml");
        array(&outbox)
            .iter()
            .map(|one| one["from"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// Whether the host's loopback is up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lo {
    Up,
    Down,
}

/// Debian's faketime, wherever it lies.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.is_file())
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it did not come about that {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn all(letters: &str, of: char) -> bool {
    !letters.is_empty() && letters.chars().all(|letter| letter == of)
}

#[test]
fn without_any_network_it_measures_at_once_and_says_that_nothing_could_be_sent() {
    let Some(host) = Host::new() else { return };
    let mut agent = Running::start(&mut host.command(Lo::Down, "run --config agent.toml"));
    agent.says("measuring");
    until("nothing can be sent", || all(&host.last("near"), 'n') && all(&host.last("named"), 'n'));
    assert!(agent.terminate().success(), "{}", agent.told());
}

/// The kernel's name for this boot.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

/// Sends, each with when it was due.
type Sends = Vec<(Wall, Outcome)>;

/// Every send of a probe that a database has under a label, and what it holds without, by the
/// machine's own clock.
fn sends(host: &Host, probe: &str) -> (Sends, Sends) {
    let store = Store::read(&host.path("data")).unwrap();
    let all = |intervals: &[Interval]| {
        intervals.iter().flat_map(|one| one.sends().collect::<Vec<_>>()).collect()
    };
    let labelled =
        store.intervals(probe, Wall::from_nanos(i64::MIN), Wall::from_nanos(i64::MAX)).unwrap();
    let held =
        store.held_intervals(&boot(), SystemClock.now(), Wall::from_nanos(i64::MIN)).unwrap();
    (all(&labelled), held.get(probe).map_or_else(Vec::new, |held| all(held)))
}

/// Every summary that was made.
fn summaries(host: &Host) -> Vec<Value> {
    let to = tempfile::tempdir().unwrap();
    let words = format!("outbox --export {} --config agent.toml", to.path().display());
    assert!(host.asked(&words).status.success());
    let key = host.json("identity --json --config agent.toml");
    chained(&exported(to.path()), &key).into_iter().map(|summary| summary.body).collect()
}

#[test]
fn what_was_measured_before_the_clock_was_set_has_its_true_times_once_it_is() {
    for wrong in ["@1970-01-01 00:00:10", "@2025-11-25 10:00:00"] {
        let Some(host) = Host::at(wrong) else { return };
        let begun = SystemClock.now().wall;
        let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
        agent.says("measuring");
        until("it is answered", || all(&host.last("near"), 'a'));
        assert_eq!(host.json("status --json --config agent.toml")["clock"]["set"], false);
        // Killed while it does not know what time it is, it goes on with what it held.
        let is_down = |host: &Host| {
            sends(host, "shut").1.iter().filter(|(_, one)| *one == Outcome::Refused).count() > 10
        };
        until("an outage is held", || is_down(&host));
        agent.signal(Signal::SIGKILL);
        agent.wait();
        let killed = SystemClock.now().wall;
        let (labelled, held) = sends(&host, "near");
        assert!(labelled.is_empty() && !held.is_empty(), "{wrong}: {labelled:?}");
        let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
        agent.says("measuring");
        until("more is held", || sends(&host, "near").1.len() > held.len() + 10);
        assert_eq!(
            host.beginnings(),
            Vec::<String>::new(),
            "nothing is signed before it has its time"
        );

        host.set_clock("+0");
        agent.says("the clock was set");
        until("it goes on", || {
            sends(&host, "near").0.iter().any(|(due, _)| *due > SystemClock.now().wall - SECOND * 3)
        });
        until("it is summarised", || host.beginnings().len() > 1);
        assert!(agent.terminate().success(), "{}", agent.told());
        let ended = SystemClock.now().wall;
        let (labelled, left) = sends(&host, "near");
        assert_eq!(left, [], "{wrong}: nothing is held any more");
        assert!(
            labelled.iter().all(|(due, _)| *due >= begun && *due <= ended),
            "{wrong}: {labelled:?}"
        );
        assert!(labelled.is_sorted_by_key(|(due, _)| *due), "{wrong}: {labelled:?}");
        for (due, outcome) in held {
            // Two readings of the clocks are not the same to the last microsecond, and labels are
            // of a millisecond.
            let close = |(of, what): &&(Wall, Outcome)| {
                of.nanos_since(due).abs() <= 2_000_000 && *what == outcome
            };
            assert_eq!(
                labelled.iter().filter(close).count(),
                1,
                "{wrong}: {due} {outcome:?} in {labelled:?}"
            );
        }
        let signed: u64 = summaries(&host)
            .iter()
            .inspect(|one| {
                let at = |name: &str| one[name].as_str().unwrap().parse::<Wall>().unwrap();
                assert!(
                    at("from") >= begun - SECOND && at("to") <= ended + SECOND,
                    "{wrong}: {one}"
                );
            })
            .flat_map(|one| array(&one["probes"]).to_vec())
            .filter(|one| one["name"] == "near")
            .flat_map(|one| array(&one["intervals"]).to_vec())
            .map(|one| letters(one["outcomes"].as_str().unwrap()).len() as u64)
            .sum();
        assert_eq!(signed, labelled.len() as u64, "{wrong}: each is signed once");
        let outages = host.json("outages --json --since 36500d --config agent.toml");
        // Where the kill did not let too much be seen it ended, and another lasts.
        let at = |outage: &Value, edge: &str| {
            outage[edge].as_str().map(|at| at.parse::<Wall>().unwrap())
        };
        let (Some(first), Some(last)) = (array(&outages).first(), array(&outages).last()) else {
            panic!("{outages}")
        };
        let from = at(first, "from").unwrap();
        assert!(begun <= from && from < killed && at(last, "to").is_none(), "{wrong}: {outages}");
        for outage in array(&outages) {
            let (from, to) = (at(outage, "from").unwrap(), at(outage, "to").unwrap_or(ended));
            assert!(begun <= from && from < to && to <= ended, "{wrong}: {outages}");
            let told = (&outage["probe"], &outage["evidence"]["clock"]);
            assert_eq!(told, (&"shut".into(), &"set later".into()), "{wrong}: {outages}");
        }
        let journal = host.json("journal --json --since 36500d --config agent.toml");
        let of = |kind: &str| array(&journal).iter().filter(|line| line["kind"] == kind).count();
        assert_eq!(
            (of("clock-unset"), of("clock-set"), of("clock-step")),
            (1, 1, 0),
            "{wrong}: {journal}"
        );
        let at = |line: &Value| line["at"].as_str().unwrap().parse::<Wall>().unwrap();
        assert!(
            array(&journal).iter().all(|line| at(line) >= begun - SECOND),
            "{wrong}: {journal}"
        );
    }
}

#[test]
fn of_a_boot_whose_clock_was_never_set_all_is_kept_under_the_time_since_it_and_says_so() {
    let Some(host) = Host::at("@1970-01-01 10:00:00") else { return };
    let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
    agent.says("measuring");
    until("an outage is held", || sends(&host, "shut").1.len() > 10);
    assert!(agent.terminate().success(), "{}", agent.told());
    let held = sends(&host, "near").1.len();
    // As if the host had been started anew.
    let db = rusqlite::Connection::open(host.path("data/agent.db")).unwrap();
    db.execute_batch(&format!(
        "UPDATE held SET boot = 'another'; UPDATE meta SET value = replace(value, '{}', \
            'another'), sum = NULL WHERE key = 'doubt'",
        boot()
    ))
    .unwrap();
    drop(db);
    host.set_clock("+0");
    let begun = SystemClock.now().wall;
    let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
    agent.says("measuring");
    until("a summary of now is made", || {
        host.beginnings().iter().any(|from| !from.starts_with("1970"))
    });
    assert!(agent.terminate().success(), "{}", agent.told());
    let (labelled, _) = sends(&host, "near");
    let early: Vec<_> = labelled.iter().filter(|(due, _)| *due < begun - SECOND).collect();
    let uptime = SystemClock.now().mono.nanos();
    assert_eq!(early.len(), held, "all is kept");
    assert!(early.iter().all(|(due, _)| due.nanos().unsigned_abs() < uptime), "{early:?}");
    for summary in summaries(&host) {
        let of_another = summary["from"].as_str().unwrap().starts_with("1970");
        assert_eq!(summary["boot"] == "another", of_another, "{summary}");
        assert!(!of_another || summary["clock"]["state"] == "unsynchronised", "{summary}");
    }
    let journal = host.json("journal --json --since 36500d --config agent.toml");
    assert!(array(&journal).iter().any(|line| line["kind"] == "clock-guessed"), "{journal}");
}

#[test]
fn once_it_measures_it_has_no_capability_left_and_neither_has_any_of_its_threads() {
    let Some(host) = Host::new() else { return };
    // So that a ping needs none: where it did, the agent would keep the one that it takes, and say
    // so.
    let setting = "echo '0 0' > /proc/sys/net/ipv4/ping_group_range";
    let mut agent =
        Running::start(&mut host.command_after(setting, Lo::Up, "run --config agent.toml"));
    agent.says("measuring");
    until("it is answered", || all(&host.last("near"), 'a'));
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().flatten() {
        // One that has just ended has no state to read.
        let Ok(status) = std::fs::read_to_string(thread.path().join("status")) else { continue };
        let sets = status.lines().filter_map(|line| line.strip_prefix("Cap")?.split_once(':'));
        let sets: Vec<(&str, &str)> = sets.map(|(set, bits)| (set, bits.trim())).collect();
        assert_eq!(
            sets.iter().map(|(set, _)| *set).collect::<Vec<_>>(),
            ["Inh", "Prm", "Eff", "Bnd", "Amb"],
            "{status}"
        );
        assert!(sets.iter().all(|(_, bits)| u64::from_str_radix(bits, 16) == Ok(0)), "{status}");
        threads += 1;
    }
    assert!(threads > 1, "the writer's is one more");
    assert!(agent.terminate().success(), "{}", agent.told());
}

#[test]
fn where_it_cannot_write_or_another_runs_it_says_so_and_ends() {
    let Some(host) = Host::new() else { return };
    let fails = |told: &str, output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    };
    let elsewhere = |dir: &str| {
        std::fs::write(
            host.path("other.toml"),
            CONFIGURATION.replace("\"data\"", &format!("\"{dir}\"")),
        )
        .unwrap();
    };
    elsewhere("no/such/data");
    fails("its parent directory is missing", &host.asked("run --config other.toml"));
    elsewhere("ro/data");
    std::fs::create_dir(host.path("ro")).unwrap();
    for (made, told) in [
        ("", "data_dir must be a directory that this user may write"),
        ("mkdir -m 700 ro/data;", "writable"),
    ] {
        let script =
            format!("mount -t tmpfs none ro && {made} mount -o remount,ro ro && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.current_dir(host.dir.path()).args([
            "-Urmn",
            "sh",
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_wanproof"),
        ]);
        fails(told, &command.args(["run", "--config", "other.toml"]).output().unwrap());
    }
    let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
    agent.says("measuring");
    fails("another wanproof agent runs", &host.asked("run --config agent.toml"));
    assert!(agent.terminate().success(), "{}", agent.told());
    assert!(Path::new(&host.path("data/agent.db")).exists());
}
