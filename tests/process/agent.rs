//! The agent as its user meets it on a bad day: no collector, a full outbox, a refused summary, a
//! name that does not resolve, an interface that is not there, a broken configuration, a second
//! agent, a killed one. Whatever it is, it has its outcome or its message, and the agent goes on
//! measuring.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kit::notify::Notified;
use kit::process::{PATIENCE, Running};
use kit::summaries::{array, chained, digest, exported, letters, told};
use kit::wan::Wan;
use nix::sys::signal::Signal;
use serde_json::Value;

const NETWORK: &str = "seed = 1\n[[address]]\nat = \"10.99.1.1\"\ndelay = \"2ms\"\n";

/// An agent's configuration: `more` follows its store.
fn configuration(every: &str, outbox: &str, more: &str) -> String {
    format!(
        "site = \"leeds-01\"\ndata_dir = \"data\"\n[collector]\nurl \
            = \"http://127.0.0.1:8443\"\nevery = \"{every}\"\n\
         [store]\ncommit = \"1s\"\noutbox_bytes = \"{outbox}\"\n{more}"
    )
}

fn probe(name: &str, target: &str, more: &str) -> String {
    format!(
        "[[probe]]\nname = \"{name}\"\nkind = \"icmp\"\ntarget = \"{target}\"\nperiod \
            = \"100ms\"\ntimeout = \"500ms\"\n{more}\n"
    )
}

/// A host in the fake WAN.
struct Host {
    wan: Wan,
}

impl Host {
    fn new(agent: &str) -> Option<Self> {
        let host = Self { wan: Wan::start(NETWORK)? };
        host.configure(agent);
        Some(host)
    }

    fn configure(&self, agent: &str) {
        std::fs::write(self.wan.path("agent.toml"), agent).unwrap();
    }

    fn wanproof(&self, words: &str) -> Command {
        let mut command = self.wan.command(env!("CARGO_BIN_EXE_wanproof"));
        command.current_dir(self.wan.dir.path()).args(words.split(' '));
        command
    }

    fn agent(&self) -> Running {
        // A socket's name stays when the one before is gone.
        let _ = std::fs::remove_file(self.wan.path("notify"));
        let notified = Notified::at(self.wan.path("notify"));
        let mut agent =
            Running::start(notified.tell(&mut self.wanproof("run --config agent.toml")));
        notified.wait(|| {
            agent.signal(Signal::SIGKILL);
            agent.wait();
            agent.told()
        });
        agent
    }

    fn asked(&self, words: &str) -> Output {
        self.wanproof(words).output().unwrap()
    }

    fn json(&self, words: &str) -> Value {
        let output = self.asked(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{words}: {fault}"))
    }

    fn status(&self) -> Value {
        self.json("status --json --config agent.toml")
    }

    /// Every letter of a probe's last closed interval.
    fn outcomes(&self, name: &str) -> String {
        let status = self.status();
        let probe = array(&status["probes"])
            .iter()
            .find(|probe| probe["name"] == name)
            .cloned()
            .unwrap_or_default();
        letters(probe["outcomes"].as_str().unwrap_or_default())
    }
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
fn with_a_bad_name_a_missing_interface_no_collector_and_a_full_outbox_it_goes_on_measuring() {
    let probes = [
        probe("good", "10.99.1.1", ""),
        probe("nameless", "hq.example.net", ""),
        probe("elsewhere", "10.99.1.1", "interface = \"wan77\""),
    ];
    let Some(host) = Host::new(&configuration("1s", "6KiB", &probes.concat())) else { return };
    let mut agent = host.agent();
    agent.says("the outbox is full");
    for told in
        ["a name has no address", "there is no interface \"wan77\" on this host", "shipping waits"]
    {
        assert!(agent.told().contains(told), "{told}: {}", agent.told());
    }
    until("each probe has its outcome", || {
        all(&host.outcomes("good"), 'a')
            && all(&host.outcomes("nameless"), 'n')
            && all(&host.outcomes("elsewhere"), 'n')
    });
    let status = host.status();
    assert_eq!(
        (&status["running"], &status["outbox"]["refused"]),
        (&true.into(), &0.into()),
        "{status}"
    );
    assert!(status["outbox"]["bytes"].as_u64().is_some_and(|bytes| bytes <= 6 * 1024), "{status}");
    assert!(agent.terminate().success(), "{}", agent.told());

    assert!(host.asked("outbox --export kept --config agent.toml").status.success());
    let kept = exported(&host.wan.path("kept"));
    let bodies: Vec<Value> = kept.values().map(|jws| payload(jws)).collect();
    let dropped = bodies.iter().flat_map(|body| array(&body["dropped"]));
    let dropped: Vec<_> =
        dropped.map(|gap| (gap["from_seq"].as_u64(), gap["to_seq"].as_u64())).collect();
    assert!(!dropped.is_empty(), "a summary says what was dropped: {bodies:?}");
    assert!(dropped.iter().all(|(from, to)| from <= to), "{dropped:?}");
    let reasons = |name: &str| {
        let probes = bodies
            .iter()
            .flat_map(|body| array(&body["probes"]).iter().filter(|probe| probe["name"] == name));
        probes
            .flat_map(|probe| array(&probe["intervals"]))
            .filter_map(|one| one["reasons"].as_object())
            .flat_map(|all| all.keys().cloned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(reasons("good"), [].into());
    assert_eq!(reasons("nameless"), ["not-sent/name".to_owned()].into());
    assert_eq!(reasons("elsewhere"), ["not-sent/interface".to_owned()].into());
}

/// A payload, unverified: who signed it is tested elsewhere.
fn payload(jws: &str) -> Value {
    use base64::Engine as _;
    let part = jws.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_refused_summary_is_told_and_the_next_ones_are_shipped_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(answer));
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(
        "1s",
        "1MiB",
        "[[probe]]\nname = \"closed\"\nkind = \"tcp\"\ntarget = \"127.0.0.1:9\"\nperiod \
            = \"100ms\"\n",
    );
    std::fs::write(dir.path().join("agent.toml"), config.replace("http://127.0.0.1:8443", &url))
        .unwrap();
    let mut agent = Running::start(wanproof(dir.path(), "run --config agent.toml"));
    agent.says("measuring");
    let ask = |words: &str| -> Value {
        let output = wanproof(dir.path(), words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    until("two summaries were refused", || {
        ask("status --json --config agent.toml")["outbox"]["refused"].as_u64() >= Some(2)
    });
    let outbox = ask("outbox --json --config agent.toml");
    assert_eq!(array(&outbox)[0]["state"], "refused");
    assert_eq!(array(&outbox)[0]["problem"], "malformed: not today");
    assert_eq!(ask("status --json --config agent.toml")["probes"][0]["state"], "down");
    assert!(agent.terminate().success(), "{}", agent.told());
}

/// A collector that enrols everybody and refuses every summary.
fn answer(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            } else if line.ends_with("http/1.1") {
                path = line.split(' ').nth(1).unwrap().to_owned();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let said = if path.ends_with("/v1/enrol") {
            // Any Ed25519 key will do (RFC 8032, section 7.1, test 1).
            r#"{"state":"approved","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#.to_owned()
        } else if !path.ends_with("/v1/summaries") {
            if stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
            continue;
        } else {
            let lines = zstd::decode_all(body.as_slice()).unwrap();
            let lines = String::from_utf8(lines).unwrap();
            let problem = r#"{"type":"urn:wanproof:malformed","status":400,"title":"no","detail":"not today"}"#;
            lines
                .lines()
                .map(|line| format!("{{\"digest\":\"{}\",\"error\":{problem}}}\n", digest(line)))
                .collect()
        };
        let kind =
            if path.ends_with("/v1/enrol") { "application/json" } else { "application/x-ndjson" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            said.len()
        );
        if stream.write_all((head + &said).as_bytes()).is_err() {
            return;
        }
    }
}

fn wanproof<'a>(dir: &Path, words: &str) -> &'a mut Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.current_dir(dir).args(words.split(' '));
    Box::leak(Box::new(command))
}

#[test]
fn every_command_answers_while_the_agent_runs_after_it_was_killed_and_on_a_copy_of_its_directory() {
    let Some(host) = Host::new(&configuration("1s", "1MiB", &probe("good", "10.99.1.1", "")))
    else {
        return;
    };
    let mut agent = host.agent();
    until("two summaries wait", || {
        array(&host.json("outbox --json --config agent.toml")).len() >= 2
    });
    let second = host.asked("run --config agent.toml");
    assert_eq!(second.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another wanproof agent runs"),
        "{second:?}"
    );
    assert_eq!(
        host.status()["probes"][0]["state"],
        "up",
        "the second agent took nothing from the first"
    );
    ask_everything(&host, "--config agent.toml", true);
    agent.signal(Signal::SIGKILL);
    agent.wait();
    ask_everything(&host, "--config agent.toml", false);
    let copy = host.wan.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(host.wan.path("data"))
        .unwrap()
        .flatten()
        .filter(|file| file.file_type().unwrap().is_file())
    {
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    ask_everything(&host, "--data copy", false);
    let mut again = host.agent();
    until("it measures again", || host.outcomes("good").contains('a'));
    assert!(again.terminate().success(), "{}", again.told());
}

fn ask_everything(host: &Host, from: &str, running: bool) {
    let status = host.json(&format!("status --json {from}"));
    assert_eq!(
        (&status["running"], &status["site"]),
        (&running.into(), &"leeds-01".into()),
        "{status}"
    );
    assert_eq!(status["probes"][0]["name"], "good");
    assert!(status["outbox"]["waiting"].as_u64() >= Some(2), "{status}");
    assert_eq!(host.json(&format!("outages --json {from}")), Value::Array(Vec::new()));
    let histogram = host.json(&format!("histogram good --json {from}"));
    assert!(
        histogram["count"].as_u64() > Some(0) && histogram["rtt_us"]["p50"].as_u64() >= Some(2000),
        "{histogram}"
    );
    assert!(
        array(&host.json(&format!("outbox --json {from}")))
            .iter()
            .all(|one| one["state"] == "waiting")
    );
    assert_eq!(host.json(&format!("identity --json {from}"))["kid"], status["agent"]);
    assert_eq!(host.json(&format!("report --json {from}"))["reports"], Value::Array(Vec::new()));
    for words in ["status", "outages", "histogram good", "outbox", "identity", "report"] {
        let output = host.asked(&format!("{words} {from}"));
        assert!(output.status.success() && !output.stdout.is_empty(), "{words}: {output:?}");
        let widest =
            String::from_utf8_lossy(&output.stdout).lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80) || words == "identity", "{words} is {widest:?} columns wide");
    }
}

#[test]
fn a_broken_configuration_is_refused_on_a_reload_and_the_old_one_holds() {
    let good = configuration("1s", "1MiB", &probe("good", "10.99.1.1", ""));
    let Some(host) = Host::new(&good) else { return };
    let mut agent = host.agent();
    // Two faults are one line of the log, and keep nobody from asking what is measured by the
    // configuration that holds.
    host.configure(&good.replace("100ms", "100 miles").replace("leeds-01", "leeds 01"));
    agent.signal(Signal::SIGHUP);
    let line = agent.says("the old one holds");
    assert!(line.contains("100 miles") && line.contains("site: expected"), "{line}");
    until("status tells of the fault", || {
        host.status()["fault"].as_str().is_some_and(|fault| fault.contains("100 miles"))
    });
    until("it goes on measuring", || all(&host.outcomes("good"), 'a'));
    for words in ["status", "outages", "journal", "histogram good", "outbox", "identity"] {
        let output = host.asked(&format!("{words} --config agent.toml"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("agent.toml has faults, see wanproof check"),
            "{words}: {output:?}"
        );
    }
    assert_eq!(
        host.asked("report --config agent.toml").status.code(),
        Some(2),
        "by which contracts is not known"
    );
    let journal = host.json("journal --json --config agent.toml");
    let refused = array(&journal)
        .iter()
        .find(|line| line["kind"] == "reload-refused")
        .cloned()
        .unwrap_or_default();
    assert!(refused["detail"].as_str().is_some_and(|detail| !detail.contains('\n')), "{journal}");
    host.configure("[[probe]\n");
    let output = host.asked("outages --config agent.toml");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--data DIR"), "{output:?}");
    host.configure(&format!("{good}{}", probe("another", "10.99.1.1", "")));
    agent.signal(Signal::SIGHUP);
    until("the new probe is measured too", || all(&host.outcomes("another"), 'a'));
    assert_eq!(host.status()["fault"], Value::Null);
    assert!(agent.terminate().success(), "{}", agent.told());
}

#[test]
fn a_hundred_reloads_cost_a_probe_that_did_not_change_no_outcome() {
    let good = configuration("1s", "64MiB", &probe("kept", "10.99.1.1", ""));
    let Some(host) = Host::new(&good) else { return };
    let mut agent = host.agent();
    until("it measures", || all(&host.outcomes("kept"), 'a'));
    for round in 0..100 {
        // Beside it one comes, changes, or goes.
        let other = probe("other", "127.0.0.1", &format!("cutoff = \"{}ms\"", 100 + round));
        host.configure(&if round % 3 == 2 { good.clone() } else { format!("{good}{other}") });
        agent.signal(Signal::SIGHUP);
        agent.says("the configuration was read again");
    }
    until("the one that came last is measured", || host.outcomes("other").contains('a'));
    assert!(agent.terminate().success(), "{}", agent.told());
    assert!(host.asked("outbox --export kept --config agent.toml").status.success());
    let kept = exported(&host.wan.path("kept"));
    let summaries = chained(&kept, &host.json("identity --json --config agent.toml"));
    let kept = told(&summaries, "kept");
    // The network saw each of them once, and it saw no other.
    let sent = host.wan.truth().echoes("10.99.1.1").len();
    assert!(
        all(&kept.outcomes, 'a') && kept.outcomes.len() == sent,
        "{sent} were sent: {}",
        kept.outcomes
    );
    assert_eq!(kept.reasons, [].into());
    assert!(told(&summaries, "other").outcomes.contains('a'));
}
