//! Why a probe is not answered, wherever somebody looks: the commands, the log, the hook and the
//! metrics of a real agent.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kit::process::{PATIENCE, Running};
use kit::summaries::array;
use kit::wan::Wan;
use serde_json::Value;

/// A web server that answers 503 until it is told to be well, and 200 from then on.
fn portal() -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.31.9.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let well = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&well);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let status = if told.load(Ordering::Relaxed) { "200 OK" } else { "503 Not Now" };
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            // A guest that went away asks again.
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    (url, well)
}

fn wanproof(dir: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.current_dir(dir).args(words.split(' '));
    command
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command says as JSON, once it is as wanted.
fn json(dir: &Path, words: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let output = wanproof(dir, words).output().unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        let said = serde_json::from_slice(&output.stdout).unwrap();
        if wanted(&said) {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "{words}: it stays {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The last number of a line of metrics.
fn value(page: &str, sample: &str) -> u64 {
    let found = page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{sample} is not in\n{page}"))
}

#[test]
fn the_reason_of_an_outage_stands_wherever_somebody_looks() {
    const REASON: &str = "refused/status-503";
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (url, well) = portal();
    let config = format!(
        "site = \"leeds-01\"\ndata_dir = \"data\"\n[store]\nkeep_minutes \
            = \"30d\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
         [hooks]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> told\"]\n\
         [[probe]]\nname = \"portal\"\nkind = \"http\"\nurl = \"{url}\"\nperiod \
            = \"50ms\"\ntimeout = \"5s\"\n"
    );
    std::fs::write(dir.join("agent.toml"), config).unwrap();
    let mut agent = Running::start(
        wanproof(dir, "run --config agent.toml").env("RUST_LOG", "info,wanproof::agent=debug"),
    );
    let at = agent.says("metrics are at");
    let address = at.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned();

    // The log: each send, and the outage.
    let send = agent.says("settled");
    for part in
        ["DEBUG", "probe=\"portal\"", "outcome=\"refused\"", "reason=\"refused/status-503\""]
    {
        assert!(send.contains(part), "{part} is not in {send}");
    }
    let began = agent.line(|line| line.contains("WARN") && line.contains("outage")).unwrap();
    assert!(began.contains(&format!("reason=\"{REASON}\"")), "{began}");
    well.store(true, Ordering::Relaxed);
    let over = agent.says("outage over");
    assert!(over.contains(&format!("reason=\"{REASON}\"")), "{over}");
    let answered = agent.line(|line| line.contains("outcome=\"answered\"")).unwrap();
    assert!(answered.contains("rtt_us=") && !answered.contains("reason"), "{answered}");

    // The outages, as JSON and as people read them.
    let outages = json(dir, "outages --json --config agent.toml", |all| all[0]["to"].is_string());
    let outage = &outages[0];
    assert_eq!(
        (&outage["reason"], &outage["probe"]),
        (&REASON.into(), &"portal".into()),
        "{outage}"
    );
    let failed = outage["evidence"]["sends"]["failed"].as_u64().unwrap();
    assert_eq!(
        outage["evidence"]["reasons"],
        serde_json::json!({REASON: failed}),
        "every failed send counts: {outage}"
    );
    let shown = text(&wanproof(dir, "outages --config agent.toml").output().unwrap());
    assert!(shown.contains(REASON), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");

    // The journal.
    let journal =
        json(dir, "journal --kind outage --json --config agent.toml", |all| !array(all).is_empty());
    let detail = journal[0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("portal: ") && detail.contains(REASON), "{detail}");

    // The metrics.
    let page = metrics(&address);
    let refused =
        value(&page, "wanproof_probe_outcomes_total{probe=\"portal\",outcome=\"refused\"} ");
    assert_eq!(
        value(
            &page,
            "wanproof_probe_reasons_total{probe=\"portal\",reason=\"refused/status-503\"} "
        ),
        refused
    );

    assert!(agent.terminate().success(), "{}", agent.told());
    // What is told once a minute is told at the end, too.
    let journal = json(dir, "journal --kind outage --json --config agent.toml", |_| true);
    let last = array(&journal).last().unwrap()["detail"].as_str().unwrap();
    assert!(last.contains("portal: up again after ") && last.contains(REASON), "{journal}");
    // The hook was told the same, of a beginning that had its first reasons and of the end.
    let told = std::fs::read_to_string(dir.join("told")).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told[0]["to"].is_null() && told[0]["reason"] == REASON, "{told:?}");
    assert_eq!((told[0]["evidence"]["reasons"][REASON].as_u64(), &told[1]), (Some(3), outage));
}

#[test]
fn what_lasts_when_the_agent_stops_is_stored_with_every_send_and_none_was_logged_unasked() {
    const REASON: &str = "refused/status-503";
    let dir = tempfile::tempdir().unwrap();
    let (url, _) = portal();
    let config = format!(
        "site = 'leeds-01'\ndata_dir = 'data'\n[[probe]]\nname = 'portal'\nkind = 'http'\nurl = \
            '{url}'\nperiod = '50ms'\n"
    );
    std::fs::write(dir.path().join("agent.toml"), config).unwrap();
    let mut agent =
        Running::start(wanproof(dir.path(), "run --config agent.toml").env_remove("RUST_LOG"));
    agent.says("measuring");
    json(dir.path(), "status --json --config agent.toml", |status| {
        (&status["probes"][0]["reason"], &status["probes"][0]["state"])
            == (&REASON.into(), &"down".into())
    });
    let shown = text(&wanproof(dir.path(), "status --config agent.toml").output().unwrap());
    assert!(shown.contains("portal: last send refused/status-503"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(agent.terminate().success(), "{}", agent.told());
    assert!(!agent.told().contains("settled"), "{}", agent.told());
    let all = json(dir.path(), "outages --json --config agent.toml", |_| true);
    assert_eq!(all[0]["reason"], REASON, "{all}");
    let counted: u64 =
        array(&all).iter().filter_map(|one| one["evidence"]["reasons"][REASON].as_u64()).sum();
    assert!(counted >= 3, "{all}");
    let status = json(dir.path(), "status --json --config agent.toml", |_| true);
    let (outcomes, seen) =
        (&status["probes"][0]["outcomes"], status["probes"][0]["reasons"][REASON].as_u64());
    // Where the host was too late for a send, an outage may have ended there.
    if *outcomes == format!("{}u", seen.unwrap_or(0)) && array(&all).len() == 1 {
        assert!(Some(counted) >= seen, "the sends since it began count too: {all}\n{status}");
    }
}

#[test]
fn a_probe_without_a_route_says_so_though_it_is_no_outage() {
    let Some(wan) = Wan::start("[[address]]\nat = ['10.99.0.1']\n") else { return };
    let dropped = wan.output("ip", &["route", "flush", "default"]);
    assert!(dropped.status.success(), "{dropped:?}");
    // Its intervals are as short as its summaries' spans.
    let config = "site = 'leeds-01'\ndata_dir = 'data'\n[collector]\nurl = \
        'http://127.0.0.1:9'\nevery = '1s'\n\
                  [[probe]]\nname = 'hq'\nkind = 'icmp'\ntarget = '203.0.113.1'\nperiod = \
        '100ms'\n";
    std::fs::write(wan.path("agent.toml"), config).unwrap();
    let mut command = wan.command(env!("CARGO_BIN_EXE_wanproof"));
    let mut agent =
        Running::start(command.current_dir(wan.dir.path()).args(["run", "--config", "agent.toml"]));
    agent.says("measuring");
    let status = |wanted: &dyn Fn(&Value) -> bool| {
        json(wan.dir.path(), "status --json --config agent.toml", wanted)
    };
    let running = status(&|status| {
        let probe = &status["probes"][0];
        !probe["reason"].is_null()
            && probe["reasons"].as_object().is_some_and(|reasons| !reasons.is_empty())
    });
    let probe = &running["probes"][0];
    assert_eq!(
        (&probe["reason"], &probe["state"]),
        (&"not-sent/no-route".into(), &"unknown".into()),
        "{running}"
    );
    // Each send of an interval has its reason.
    let sends = |probe: &Value| {
        probe["reasons"]["not-sent/no-route"].as_u64().map(|count| format!("{count}n"))
    };
    assert_eq!(sends(probe).as_deref(), probe["outcomes"].as_str(), "{running}");
    let shown = text(&wanproof(wan.dir.path(), "status --config agent.toml").output().unwrap());
    let line =
        shown.lines().find(|line| line.starts_with("hq: ")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.starts_with("hq: last send not-sent/no-route; last interval "), "{shown}");
    assert!(line.ends_with(" not-sent/no-route"), "{shown}");
    assert!(agent.terminate().success(), "{}", agent.told());
    // What is stored says it when the agent is gone; its last interval may have been too short for
    // any send.
    let stored = status(&|_| true);
    assert_eq!(
        sends(&stored["probes"][0]).unwrap_or_default(),
        stored["probes"][0]["outcomes"],
        "{stored}"
    );
}
