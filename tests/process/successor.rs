//! A collector that goes over to another key: agents that heard of it follow, and those that did
//! not believe nobody.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::collector::{Desk, wanproof};
use crate::kit::process::{PATIENCE, Running};
use crate::kit::summaries::array;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wanproof::base::time::{Clock as _, SystemClock};

const OPEN: &str = "[enrolment]\nmode = \"open\"\n";

/// A branch, of which nothing matters but that it ships.
struct Branch {
    dir: tempfile::TempDir,
}

impl Branch {
    fn new(site: &str, collector: &str, more: &str) -> Self {
        let branch = Self { dir: tempfile::tempdir().unwrap() };
        branch.configure(site, collector, more);
        branch
    }

    fn configure(&self, site: &str, collector: &str, more: &str) {
        let text = format!(
            "site = \"{site}\"\ndata_dir = \"data\"\n[collector]\nurl \
                = \"http://{collector}\"\nevery = \"1s\"\n{more}\
             [store]\ncommit = \"1s\"\n[[probe]]\nname = \"shut\"\nkind = \"tcp\"\ntarget \
                = \"127.0.0.1:1\"\n"
        );
        std::fs::write(self.path("agent.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &str) -> Command {
        let mut command = wanproof(&words.split(' ').collect::<Vec<_>>());
        command.current_dir(self.dir.path());
        command
    }

    fn run(&self) -> Running {
        Running::start(&mut self.command("run --config agent.toml"))
    }

    fn json(&self, words: &str) -> Value {
        let output = self.command(words).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|fault| panic!("{words}: {fault}: {output:?}"))
    }

    fn last_accepted(&self) -> Option<u64> {
        self.json("status --json --config agent.toml")["outbox"]["last_accepted"]["seq"].as_u64()
    }
}

/// A loopback address that nobody else uses, so that it can be listened at again.
fn own_address() -> String {
    let process = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((format!("127.{}.{}.21", process[2], process[3]), 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it did not come about that {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn verify(files: &Path, keys: &[&Path]) -> Option<i32> {
    let mut command = wanproof(&["verify", "--json"]);
    keys.iter().for_each(|key| _ = command.arg("--key").arg(key));
    command.arg(files).output().unwrap().status.code()
}

#[test]
fn agents_follow_a_collector_to_the_key_that_it_announced_and_to_no_other() {
    let (desk, address) = (Desk::new(OPEN), own_address());
    desk.configure(&address, OPEN);
    let said = |args: &[&str], code: i32| {
        let output = desk.ask(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (mut collector, _) = desk.serve();
    let (hears, deaf) =
        (Branch::new("leeds-01", &address, ""), Branch::new("pune-01", &address, ""));
    let (mut one, mut other) = (hears.run(), deaf.run());
    one.says("the collector's key is pinned");
    other.says("the collector's key is pinned");
    until("both are receipted", || {
        hears.last_accepted().is_some() && deaf.last_accepted().is_some()
    });
    assert!(other.terminate().success(), "{}", other.told());

    std::fs::write(hears.path("old.jwk"), said(&["key", "--json"], 0).0).unwrap();
    assert!(said(&["key", "--change"], 2).1.contains("there is no next key"));
    std::fs::write(hears.path("new.jwk"), said(&["key", "--next", "--json"], 0).0).unwrap();
    collector.signal(Signal::SIGHUP);
    collector.says("the configuration was read again");
    let (_, why) = said(&["key", "--change"], 3);
    assert!(why.contains("2 of the agents were not heard of") && why.contains("pune-01"), "{why}");
    // At a reload an agent asks at once what it asks every hour.
    one.signal(Signal::SIGHUP);
    one.says("the collector announced its next key");

    assert!(collector.terminate().success());
    // A day lets those be left behind that were not heard of since; everybody was, since 2020.
    said(&["key", "--change", "--not-heard-since", "2020-01-01"], 3);
    said(&["key", "--change", "--not-heard-since", "tomorrow"], 2);
    let day = (SystemClock.now().wall + Duration::from_secs(2 * 86_400)).to_string();
    let (_, told) = said(&["key", "--change", "--not-heard-since", &day[..10]], 0);
    assert!(
        told.contains("2 agents have not heard of the new key") && told.contains("pune-01"),
        "{told}"
    );
    let left_behind = || {
        let found: Value = serde_json::from_str(&said(&["findings", "--json"], 0).0).unwrap();
        let left = array(&found).iter().filter(|each| each["kind"] == "left-behind");
        left.map(|each| each["site"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(left_behind().len(), 2);
    let audit: Value = serde_json::from_str(&said(&["audit", "--json"], 0).0).unwrap();
    let last = array(&audit).last().unwrap();
    assert_eq!(
        (&last["action"], &last["via"]),
        (&json!("collector.key"), &json!("command")),
        "{audit}"
    );
    assert_eq!(last["detail"]["left_behind"], 2);
    assert!(
        said(&["key", "--change", "--anyway"], 2).1.contains("there is no next key"),
        "it has followed"
    );
    let (mut collector, _) = desk.serve();
    one.says("the collector changed its key, as it had announced");
    let then = hears.last_accepted();
    until("it ships on", || hears.last_accepted() > then);
    assert_eq!(left_behind(), ["pune-01"], "the other was heard of again");
    let mut other = deaf.run();
    other.says("is trusted here");
    assert!(other.terminate().success(), "{}", other.told());
    assert!(one.terminate().success(), "{}", one.told());

    // The receipts of both keys are good, by what the agent knows, and only by both.
    let out = hears.path("out");
    assert!(
        hears.command("outbox --export out --config agent.toml").output().unwrap().status.success()
    );
    assert_eq!(
        hears.command("verify out --json --config agent.toml").output().unwrap().status.code(),
        Some(0)
    );
    std::fs::write(
        hears.path("agent.jwk"),
        hears.json("identity --json --config agent.toml").to_string(),
    )
    .unwrap();
    let [agent, old, new] = ["agent.jwk", "old.jwk", "new.jwk"].map(|name| hears.path(name));
    assert_eq!(verify(&out, &[&agent, &old, &new]), Some(0));
    assert_eq!((verify(&out, &[&agent, &old]), verify(&out, &[&agent, &new])), (Some(1), Some(1)));
    let journal = hears.json("journal --json --config agent.toml");
    let noted: Vec<_> =
        array(&journal).iter().filter(|line| line["kind"] == "collector-key").cloned().collect();
    assert_eq!(noted.len(), 2, "{journal}");
    assert!(noted[1]["detail"].as_str().unwrap().ends_with("as announced"), "{journal}");

    // One that did not hear of it is told by hand.
    std::fs::copy(new, deaf.path("collector.jwk")).unwrap();
    deaf.configure("pune-01", &address, "key = \"collector.jwk\"\n");
    let then = deaf.last_accepted();
    let mut other = deaf.run();
    other.says("the collector's key is pinned");
    until("it ships on too", || deaf.last_accepted() > then);
    assert_eq!(left_behind(), [""; 0]);
    assert!(other.terminate().success(), "{}", other.told());
    assert!(collector.terminate().success());
}
