//! `wanproof tail` beside an agent: what it tells while the line fails, while the agent is killed,
//! and when the database is another one.

use crate::kit;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use kit::notify::Notified;
use kit::process::Running;
use kit::wan::Wan;
use nix::sys::signal::Signal;
use serde_json::Value;

const NETWORK: &str = r#"
    [[address]]
    at = "10.99.1.1"
    since = "first_packet"
    outages = [{ from = "1s", to = "3s" }]
"#;

const AGENT: &str = r#"
    site = "leeds-01"
    data_dir = "data"
    [store]
    commit = "1s"
    [[probe]]
    name = "hq"
    service = "ckt-0042"
    kind = "icmp"
    target = "10.99.1.1"
    period = "100ms"
    timeout = "300ms"
"#;

fn wanproof(wan: &Wan, words: &str) -> Command {
    let mut command = wan.command(env!("CARGO_BIN_EXE_wanproof"));
    command.current_dir(wan.dir.path()).args(words.split(' '));
    command
}

fn agent(wan: &Wan) -> Running {
    let _ = std::fs::remove_file(wan.path("notify"));
    let notified = Notified::at(wan.path("notify"));
    let mut agent = Running::start(notified.tell(&mut wanproof(wan, "run --config agent.toml")));
    notified.wait(|| {
        agent.wait();
        agent.told()
    });
    agent
}

/// The next line that is of a kind, as its JSON.
fn next(tail: &mut Running, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_default();
    let line = tail.line(|line| read(line)["what"] == what && holds(&read(line)));
    read(&line.unwrap_or_else(|| panic!("it ended; it said\n{}", tail.told())))
}

#[test]
fn what_happens_is_told_as_it_comes_and_so_is_that_the_agent_died() {
    let Some(wan) = Wan::start(NETWORK) else { return };
    std::fs::write(wan.path("agent.toml"), AGENT).unwrap();
    let mut running = agent(&wan);
    let mut tail = Running::start(&mut wanproof(&wan, "tail --json --config agent.toml"));
    let mut lines =
        Running::start(&mut wanproof(&wan, "tail --service ckt-0042 --config agent.toml"));
    assert_eq!(next(&mut tail, "journal", |_| true)["kind"], "start");
    let began = next(&mut tail, "outage", |told| told["event"] == "began");
    assert_eq!(
        (&began["outage"]["probe"], &began["outage"]["to"]),
        (&"hq".into(), &Value::Null),
        "{began}"
    );
    let ended = next(&mut tail, "outage", |told| told["event"] == "ended");
    assert_eq!(began["outage"]["from"], ended["outage"]["from"]);
    lines.says("outage      hq: down");
    lines.says("outage      hq: up again after");

    running.signal(Signal::SIGKILL);
    running.wait();
    let gone = next(&mut tail, "agent", |_| true);
    assert_eq!(gone["running"], false, "{gone}");
    assert!(gone["observed_until"].is_string(), "{gone}");
    lines.says("agent       NOT RUNNING: the last that it recorded is of");

    // Its database is gone, and it begins another.
    for name in ["data/agent.db", "data/agent.db-wal", "data/agent.db-shm"] {
        let _ = std::fs::remove_file(wan.path(name));
    }
    let mut running = agent(&wan);
    assert_eq!(next(&mut tail, "journal", |_| true)["kind"], "start");
    assert_eq!(next(&mut tail, "agent", |_| true)["running"], true);
    running.terminate();
    assert_eq!(next(&mut tail, "journal", |told| told["kind"] == "stop")["what"], "journal");
    assert_eq!(tail.said.iter().filter(|line| line.contains("\"began\"")).count(), 1);
}

#[test]
fn it_ends_quietly_when_nobody_reads_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let now = wanproof::base::time::Wall::from_secs(1_700_000_000);
    let (store, _) = wanproof::store::Store::open(dir.path(), now).unwrap();
    store.note(now, wanproof::store::journal::Noted::Start, "wanproof").unwrap();
    let mut tail = Command::new(env!("CARGO_BIN_EXE_wanproof"))
        .args(["tail", "--data"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(tail.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.ends_with("start       wanproof\n"), "{line:?}");
    drop(reader);
    let output = tail.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
