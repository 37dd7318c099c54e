//! The evidence over an agent's life: killed at any moment, its key changed, its contracts given by
//! the collector. Whatever happens, there is one chain without a gap, and a third person can verify
//! it.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use crate::kit;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kit::process::{PATIENCE, Running};
use kit::summaries::{array, exported, verified};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// An agent and a collector with their files, and something that answers on loopback.
struct Site {
    dir: tempfile::TempDir,
    /// Gone with the test.
    collector: Option<Running>,
}

impl Site {
    fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap(), collector: None };
        std::fs::create_dir(site.path("contracts")).unwrap();
        site.write(
            "collector.toml",
            "listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:central/collector.db\"\ndata_dir \
                = \"central\"\n\
             key_file = \"central.key\"\ncontracts_dir = \"contracts\"\n[enrolment]\nmode \
                = \"open\"\n",
        );
        site
    }

    /// With a collector that runs, and an agent that is configured to measure what answers.
    fn running() -> Self {
        let mut site = Self::new();
        let mut collector = Running::start(&mut site.command(&[
            "collector",
            "serve",
            "--config",
            "collector.toml",
        ]));
        let said = collector.says("the collector is listening");
        let address =
            said.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        site.collector = Some(collector);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        site.write(
            "agent.toml",
            &format!(
                "site = \"leeds-01\"\ndata_dir = \"data\"\n[collector]\nurl \
                    = \"http://{address}\"\nevery = \"1s\"\n\
                 [store]\ncommit = \"1s\"\n[[probe]]\nname = \"hq\"\nkind = \"tcp\"\ntarget \
                    = \"{target}\"\nperiod = \"100ms\"\n"
            ),
        );
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
        command.current_dir(self.dir.path()).args(args);
        command
    }

    fn ask(&self, words: &str) -> Output {
        self.command(&words.split(' ').collect::<Vec<_>>()).output().unwrap()
    }

    fn done(&self, words: &str) -> String {
        let output = self.ask(words);
        let (said, told) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words}: {said}{told}");
        said.into_owned()
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.done(words)).unwrap()
    }

    fn agent(&self) -> Running {
        let mut agent = Running::start(&mut self.command(&["run", "--config", "agent.toml"]));
        agent.says("measuring");
        agent
    }

    /// How many summaries there are, and how many of them were accepted; none before there is a
    /// database.
    fn counts(&self) -> (usize, usize) {
        let output = self.ask("outbox --json --data data");
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (array(&all).len(), array(&all).iter().filter(|one| one["state"] == "accepted").count())
    }

    /// The agent as the collector shows it.
    fn shown(&self) -> Value {
        self.json("collector agents --json --config collector.toml")[0].clone()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "it did not come about that {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The payloads of what the agent keeps, by number, of the one chain that there is; each
    /// follows the one before.
    fn payloads(&self) -> Vec<Value> {
        let _ = std::fs::remove_dir_all(self.path("kept"));
        self.done("outbox --export kept --data data");
        let keys: Vec<Value> = array(&self.shown()["keys"]).to_vec();
        let mut all: Vec<Value> = Vec::new();
        let mut prev = Value::Null;
        let mut chains = std::collections::BTreeSet::new();
        for ((chain, number, _), jws) in
            exported(&self.path("kept")).iter().filter(|((_, _, kind), _)| kind == "jws")
        {
            let header = jws.split('.').next().unwrap();
            let header =
                base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, header).unwrap();
            let kid = serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone();
            let key = keys.iter().find(|key| key["kid"] == kid).unwrap();
            let body = verified(jws, key, "wanproof-summary+jws");
            assert_eq!(
                (&body["seq"], *number),
                (&json!(all.len()), all.len() as u64),
                "numbers rise by one, from 0"
            );
            assert_eq!(body["prev"], prev, "number {number} follows the one before");
            prev = json!(kit::summaries::digest(jws));
            chains.insert(chain.clone());
            all.push(body);
        }
        assert_eq!(chains.len(), 1, "{chains:?}");
        all
    }
}

/// Signed, stored, shipped, receipted: wherever it is killed, the next start goes on from what is
/// on the disk.
#[test]
fn an_agent_that_is_killed_again_and_again_leaves_one_chain_without_a_gap() {
    let site = Site::running();
    for round in 0..6 {
        let agent = site.agent();
        let before = site.counts();
        match round % 3 {
            // As soon as one more is on the disk: it is about to be shipped, or under way.
            0 => site.until("there is another summary", |site| site.counts().0 > before.0),
            // As soon as one more receipt is.
            1 => site.until("another summary was accepted", |site| site.counts().1 > before.1),
            // As soon as the collector has one more: the agent may not know it yet.
            _ => {
                let last = |site: &Site| site.shown()["last"]["seq"].as_u64();
                let before = last(&site);
                site.until("the collector has another summary", |site| last(site) > before);
            }
        }
        agent.signal(Signal::SIGKILL);
        drop(agent);
    }
    let mut agent = site.agent();
    site.until("all but the latest were accepted", |site| {
        let (all, accepted) = site.counts();
        accepted > 6 && accepted + 1 >= all
    });
    assert!(agent.terminate().success(), "{}", agent.told());
    let all = site.payloads();
    assert!(all.len() >= 6);
    let shown = site.shown();
    assert_eq!((&shown["gaps"], &shown["conflicts"]), (&json!([]), &json!(0)), "{shown}");
    assert!(
        array(&site.json("outbox --json --data data")).iter().all(|one| one["state"] != "refused")
    );
    let verdict = site.json("verify --json --data data kept");
    assert_eq!(
        (&verdict["ok"], &verdict["checked"]["chains"]),
        (&json!(true), &json!(1)),
        "{verdict}"
    );
}

#[test]
fn a_key_is_changed_by_a_summary_that_both_sign_and_the_chain_goes_on() {
    let site = Site::running();
    // Nothing was signed yet, so nothing is to follow.
    assert_eq!(
        site.ask("identity --rotate --config agent.toml").status.code(),
        Some(3),
        "there is no key at all"
    );
    let mut agent = site.agent();
    site.until("a summary was accepted", |site| site.counts().1 > 0);
    let first = site.json("identity --json --config agent.toml");
    assert_eq!(first["agent"], first["kid"]);
    let said = site.done("identity --rotate --config agent.toml");
    assert!(said.contains("next key"), "{said}");
    site.until("the next key is in use", |site| {
        site.json("identity --json --config agent.toml")["kid"] != first["kid"]
    });
    let second = site.json("identity --json --config agent.toml");
    assert_eq!((&second["agent"], &second["next"]), (&first["kid"], &Value::Null));
    site.until("the key file is the next one's", |site| !site.path("data/agent.key.next").exists());
    let file: Value =
        serde_json::from_slice(&std::fs::read(site.path("data/agent.key")).unwrap()).unwrap();
    assert_eq!(file["x"], second["x"]);
    let of_second = |site: &Site| {
        site.payloads().iter().rposition(|body| body["next_key"].is_string()).map(|at| at + 1)
    };
    site.until("something was signed with it", |site| {
        of_second(site).is_some_and(|at| at < site.counts().1)
    });
    // It goes on with it after a restart, and changes once more.
    assert!(agent.terminate().success(), "{}", agent.told());
    agent = site.agent();
    site.done("identity --rotate --config agent.toml");
    assert_eq!(site.json("status --json --config agent.toml")["agent"], first["kid"]);
    site.until("the third key is in use", |site| {
        let shown = site.json("identity --json --config agent.toml");
        shown["kid"] != second["kid"] && shown["agent"] == first["kid"]
    });
    let all = site.counts().0;
    site.until("the collector takes what it signs", |site| site.counts().1 > all);
    assert!(agent.terminate().success(), "{}", agent.told());
    let bodies = site.payloads();
    assert!(bodies.iter().all(|body| body["agent"] == first["kid"]));
    assert_eq!(bodies.iter().filter(|body| body["next_key"].is_string()).count(), 2);
    let shown = site.shown();
    assert_eq!((array(&shown["keys"]).len(), &shown["conflicts"]), (3, &json!(0)), "{shown}");
    // By the first key alone a third person follows the others.
    site.write("first.jwk", &first.to_string());
    site.write("central.jwk", &site.done("collector key --json --config collector.toml"));
    let verdict = site.json("verify --json --key first.jwk --key central.jwk kept");
    assert_eq!(verdict["ok"], json!(true), "{verdict}");
    let own = site.json("verify --json --config agent.toml kept");
    assert_eq!(own["ok"], json!(true), "{own}");
}

#[test]
fn a_key_may_be_a_credential_and_others_must_not_read_its_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::running();
    std::fs::create_dir(site.path("credentials")).unwrap();
    let key = wanproof::store::keyfile::generate().unwrap();
    site.write("credentials/agent.key", &key.to_jwk());
    let run = || {
        let mut command = site.command(&["run", "--config", "agent.toml"]);
        command.env("CREDENTIALS_DIRECTORY", site.path("credentials"));
        let mut agent = Running::start(&mut command);
        agent.says("measuring");
        agent
    };
    let mut agent = run();
    site.until("a summary was accepted", |site| site.counts().1 > 0);
    assert!(!site.path("data/agent.key").exists(), "no other key is made beside it");
    // Whoever cannot read the credential still sees the public key.
    assert_eq!(site.json("identity --json --config agent.toml")["kid"], json!(key.kid()));
    let refused = site.ask("identity --rotate --config agent.toml");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        refused.status.code() == Some(2) && said.contains("the credential agent.key.next"),
        "{said}"
    );
    // The next one as a credential too: it is named, and the former credential does no harm.
    let next = wanproof::store::keyfile::generate().unwrap();
    site.write("credentials/agent.key.next", &next.to_jwk());
    site.until("the next key is in use", |site| {
        site.json("identity --json --config agent.toml")["kid"] == json!(next.kid())
    });
    assert!(agent.terminate().success());
    let all = site.counts().0;
    let mut agent = run();
    site.until("it goes on with the next key", |site| site.counts().1 > all);
    assert!(agent.terminate().success());
    assert!(site.payloads().iter().all(|body| body["agent"] == json!(key.kid())));
    assert_eq!(site.shown()["conflicts"], json!(0));

    site.write(
        "open.toml",
        &std::fs::read_to_string(site.path("agent.toml")).unwrap().replace("\"data\"", "\"open\""),
    );
    std::fs::create_dir(site.path("open")).unwrap();
    site.write("open/agent.key", &key.to_jwk());
    std::fs::set_permissions(site.path("open/agent.key"), std::fs::Permissions::from_mode(0o640))
        .unwrap();
    let refused = site.ask("run --config open.toml");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(3) && said.contains("chmod 600"), "{said}");
}

fn contract(id: &str, version: u32, site: &str, probe: &str, from: &str) -> String {
    include_str!("../../src/cli/quickstart/contract.toml")
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("id", _)) if line.contains("QUICKSTART") => format!("id = \"{id}\"\n"),
            Some(("version", _)) => format!("version = {version}\n"),
            Some(("site", _)) => format!("site = \"{site}\"\n"),
            Some(("effective_from" | "in_service_from", _)) => {
                format!("{} = \"{from}\"\n", line.split(" = ").next().unwrap())
            }
            Some(("probes", _)) => format!("probes = [\"{probe}\"]\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn an_agent_judges_by_the_contracts_of_its_site_that_the_collector_gives() {
    let site = Site::running();
    let put = |name: &str, text: &str| site.write(&format!("contracts/{name}"), text);
    put("one.toml", &contract("ONE", 1, "leeds-01", "hq", "2026-01-01T00:00:00Z"));
    put("elsewhere.toml", &contract("TWO", 1, "london-01", "hq", "2026-01-01T00:00:00Z"));
    let mut agent = site.agent();
    agent.says("other contracts hold");
    let referred = |site: &Site| {
        let all = site.payloads();
        let named = |one: &Value| format!("{} {}", one["id"].as_str().unwrap(), one["version"]);
        all.last()
            .map(|body| array(&body["contracts"]).iter().map(named).collect::<Vec<_>>())
            .unwrap_or_default()
    };
    site.until("a summary names it", |site| site.counts().1 > 0 && referred(site) == ["ONE 1"]);
    let verdicts = site.json("status --json --config agent.toml")["verdicts"].clone();
    assert!(array(&verdicts).iter().any(|one| one["contract"] == "ONE"), "{verdicts}");
    // Another version, one that holds later, another text of a version that is kept, and one that
    // no agent can use.
    put("two.toml", &contract("ONE", 2, "leeds-01", "hq", "2026-02-01T00:00:00Z"));
    put("three.toml", &contract("ONE", 3, "leeds-01", "hq", "2200-01-01T00:00:00Z"));
    put("one.toml", &contract("ONE", 1, "leeds-01", "hq", "2026-01-02T00:00:00Z"));
    put(
        "broken.toml",
        "[agreement]\nid = \"BROKEN\"\nversion = 1\n[[service]]\nsite = \"leeds-01\"\n",
    );
    agent.signal(Signal::SIGHUP);
    agent.says("the configuration was read again");
    agent.says("versions do not change");
    agent.says("other contracts hold");
    let broken = agent.says("contract BROKEN version 1 from the collector is not judged by");
    assert!(broken.contains("schema: missing"), "{broken}");
    site.until("a summary names the second version", |site| referred(site) == ["ONE 2"]);
    // Its summaries say how its services stand, by the version in force.
    let said = |site: &Site, period: &str| {
        let all = site.payloads();
        // They go into the first summary of an hour, and into the first one after the contracts
        // changed.
        let said = all
            .iter()
            .rev()
            .map(|body| array(&body["verdicts"]))
            .find(|verdicts| !verdicts.is_empty());
        let last = said.map(<[Value]>::to_vec).unwrap_or_default();
        let mut said: Vec<(String, u64)> = last
            .iter()
            .filter(|one| one["contract"] == "ONE" && one["period"] == period)
            .map(|one| {
                (one["objective"].as_str().unwrap().to_owned(), one["version"].as_u64().unwrap())
            })
            .collect();
        said.sort();
        said
    };
    let by = |versions: &[u64]| -> Vec<(String, u64)> {
        let table: toml::Table = contract("ONE", 2, "", "", "").parse().unwrap();
        let ids = array_of(&table, "objective").iter().map(|each| each["id"].as_str().unwrap());
        let mut all: Vec<_> =
            ids.flat_map(|id| versions.iter().map(|version| (id.to_owned(), *version))).collect();
        all.sort();
        all
    };
    let from = wanproof::base::time::Clock::now(&wanproof::base::time::SystemClock).wall;
    let from = from.floor(Duration::from_secs(1)).to_string();
    let month = &from[..7];
    site.until("a summary says so by the second version", |site| said(site, month) == by(&[2]));
    // One that comes into force within the month judges its part of it, and the one before it the
    // other.
    put("four.toml", &contract("ONE", 4, "leeds-01", "hq", &from));
    agent.signal(Signal::SIGHUP);
    site.until("a summary says so by both versions", |site| said(site, month) == by(&[2, 4]));
    assert_eq!(referred(&site), ["ONE 4"]);
    let shown = site.json("status --json --config agent.toml")["verdicts"].clone();
    let versions: std::collections::BTreeSet<u64> = array(&shown)
        .iter()
        .filter(|one| one["period"] == month)
        .map(|one| one["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [2, 4].into(), "{shown}");
    // They are kept for good: without the collector it judges by them still.
    site.collector.as_ref().unwrap().signal(Signal::SIGKILL);
    assert!(agent.terminate().success());
    agent = site.agent();
    let before = site.payloads().len();
    site.until("it made another summary", |site| {
        site.payloads().len() > before && referred(site) == ["ONE 4"]
    });
    assert!(agent.terminate().success());
}

/// The bundle of an agent and that of its collector, by the commands, checked by a third person.
#[test]
fn agent_and_collector_both_make_a_bundle_that_the_other_side_can_check() {
    let mut site = Site::running();
    site.write("contracts/one.toml", &contract("ONE", 1, "leeds-01", "hq", "2026-01-01T00:00:00Z"));
    let mut agent = site.agent();
    agent.says("other contracts hold");
    let accepted = site.counts().1;
    site.until("two summaries more were accepted", |site| site.counts().1 > accepted + 1);
    site.done("identity --rotate --config agent.toml");
    let first = site.json("identity --json --config agent.toml");
    site.until("the next key is in use", |site| {
        site.json("identity --json --config agent.toml")["kid"] != first["kid"]
    });
    let accepted = site.counts().1;
    site.until("two summaries more were accepted", |site| site.counts().1 > accepted + 1);
    assert!(agent.terminate().success());
    // Whatever the last one's way to the collector was, both have the same in the end.
    agent = site.agent();
    site.until("all were accepted", |site| site.counts().0 == site.counts().1);
    agent.signal(Signal::SIGKILL);
    drop(agent);
    site.write("first.jwk", &first.to_string());
    site.write("central.jwk", &site.done("collector key --json --config collector.toml"));
    let period =
        &wanproof::base::time::Clock::now(&wanproof::base::time::SystemClock).wall.to_string()[..7];
    let service = service_of(&site.path("contracts/one.toml"));
    let claim = format!("--contract ONE --service {service} --period {period}");
    let facts = json!({"period": period, "service": service});
    site.write("facts.json", &facts.to_string());
    // The collector's bundle is of the verdict that it reached itself, with its own facts.
    let report = format!("collector report --json --config collector.toml {claim}");
    site.until("the collector judged it", |site| site.ask(&report).status.success());
    site.collector.take();
    let makers = [
        (
            "claim bundle --config agent.toml",
            " --facts facts.json",
            "--service: \"nothing\" is no service",
        ),
        ("collector bundle --config collector.toml", "", "\"nothing\" of \"ONE\" was not judged"),
    ];
    for (maker, facts, unknown) in makers {
        site.done(&format!("{maker} {claim}{facts} --out one.zip"));
        site.done(&format!("{maker} {claim}{facts} --out two.zip"));
        let bytes = std::fs::read(site.path("one.zip")).unwrap();
        assert!(
            bytes == std::fs::read(site.path("two.zip")).unwrap(),
            "{maker}: the same inputs give the same bytes"
        );
        let verdict = site.json("verify --json --key first.jwk --key central.jwk one.zip");
        assert_eq!(verdict["ok"], json!(true), "{maker}: {verdict}");
        let other = claim.replace(&service, "nothing");
        let wrong = site.ask(&format!("{maker} {other} --out one.zip"));
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(wrong.status.code() == Some(2) && said.contains(unknown), "{maker}: {said}");
        let untrusted = site.ask("verify --json one.zip");
        assert_eq!(untrusted.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&untrusted.stdout).contains("untrusted-key"));
    }
}

fn array_of<'a>(table: &'a toml::Table, section: &str) -> &'a Vec<toml::Value> {
    table[section].as_array().unwrap()
}

fn service_of(contract: &Path) -> String {
    let table: toml::Table = std::fs::read_to_string(contract).unwrap().parse().unwrap();
    table["service"][0]["id"].as_str().unwrap().to_owned()
}
