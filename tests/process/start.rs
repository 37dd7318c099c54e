//! How an agent starts where a router may: without any network, with a clock that is decades or a year off, on a directory that
//! it may not write, twice. It measures from the beginning, or says what is wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::process::{PATIENCE, Running};
use common::summaries::{array, letters};
use common::wan::skip;
use serde_json::Value;

/// A probe that is answered where there is loopback, and another whose name nobody knows.
const CONFIGURATION: &str = "site = \"leeds-01\"\ndata_dir = \"data\"\n[collector]\nurl = \"http://127.0.0.1:9\"\n\
    every = \"1s\"\n[store]\ncommit = \"1s\"\n[defaults]\nperiod = \"100ms\"\ntimeout = \"5s\"\n\
    [[probe]]\nname = \"near\"\nkind = \"icmp\"\ntarget = \"127.0.0.1\"\n\
    [[probe]]\nname = \"named\"\nkind = \"icmp\"\ntarget = \"hq.example.net\"\n";

/// A host without any network, whose clock is the test's.
struct Host {
    dir: tempfile::TempDir,
    faketime: Option<PathBuf>,
}

impl Host {
    /// [`None`] where nobody may make a namespace, after saying so.
    fn new() -> Option<Self> {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets the wall clock: `@date time`, or an offset from the machine's.
    fn set_clock(&self, wall: &str) {
        std::fs::write(self.path("clock.next"), wall).unwrap();
        std::fs::rename(self.path("clock.next"), self.path("clock")).unwrap();
    }

    /// A command without network but loopback, if `lo` is up.
    fn command(&self, lo: Lo, words: &str) -> Command {
        let mut command = Command::new("unshare");
        let up = if lo == Lo::Up { "ip link set lo up && " } else { "" };
        let program = env!("CARGO_BIN_EXE_wanproof");
        command.args(["-Urn", "sh", "-c", &format!("PATH=$PATH:/usr/sbin:/sbin; {up}exec \"$@\"")]);
        command.arg("sh").arg("env");
        if let Some(library) = &self.faketime {
            // The monotonic clocks stay the machine's.
            command.arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.path("clock").display()));
            command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]);
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
        let row = array(&status["probes"]).iter().find(|row| row["name"] == probe).cloned().unwrap_or_default();
        letters(row["outcomes"].as_str().unwrap_or_default())
    }

    fn beginnings(&self) -> Vec<String> {
        let outbox = self.json("outbox --json --config agent.toml");
        array(&outbox).iter().map(|one| one["from"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lo {
    Up,
    Down,
}

/// Debian's faketime, wherever it lies.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.is_file())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
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

#[test]
fn with_a_clock_that_is_wrong_it_measures_at_once_and_goes_on_when_it_is_set() {
    for wrong in ["@1970-01-01 00:00:10", "-365d"] {
        let Some(host) = Host::at(wrong) else { return };
        let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
        agent.says("measuring");
        until("it is answered", || all(&host.last("near"), 'a'));
        until("a summary is made", || !host.beginnings().is_empty());
        host.set_clock("+0");
        agent.says("the clock was stepped");
        let before = host.beginnings().len();
        until("it goes on", || host.beginnings().len() > before + 1 && all(&host.last("near"), 'a'));
        assert!(agent.terminate().success(), "{}", agent.told());
        let outages = host.json("outages --json --since 36500d --config agent.toml");
        assert!(array(&outages).iter().all(|one| one["probe"] != "near"), "{wrong}: {outages}");
        let journal = host.asked("journal --since 36500d --config agent.toml");
        let journal = String::from_utf8_lossy(&journal.stdout).into_owned();
        assert!(journal.contains("clock-step"), "{wrong}: {journal}");
    }
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
        std::fs::write(host.path("other.toml"), CONFIGURATION.replace("\"data\"", &format!("\"{dir}\""))).unwrap();
    };
    elsewhere("no/such/data");
    fails("its parent directory is missing", &host.asked("run --config other.toml"));
    elsewhere("ro/data");
    std::fs::create_dir(host.path("ro")).unwrap();
    for (made, told) in
        [("", "data_dir must be a directory that this user may write"), ("mkdir -m 700 ro/data;", "writable")]
    {
        let script = format!("mount -t tmpfs none ro && {made} mount -o remount,ro ro && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.current_dir(host.dir.path()).args(["-Urmn", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_wanproof")]);
        fails(told, &command.args(["run", "--config", "other.toml"]).output().unwrap());
    }
    let mut agent = Running::start(&mut host.command(Lo::Up, "run --config agent.toml"));
    agent.says("measuring");
    fails("another wanproof agent runs", &host.asked("run --config agent.toml"));
    assert!(agent.terminate().success(), "{}", agent.told());
    assert!(Path::new(&host.path("data/agent.db")).exists());
}
