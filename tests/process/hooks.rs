//! The hooks as their owner meets them: a real server, a real script, and a probe of a port that is
//! shut and opened.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use kit::process::{PATIENCE, Running};
use kit::summaries::array;
use nix::sys::signal::Signal;
use serde_json::Value;

/// A webhook that answers with these statuses in turn, and then with 204; gives what was posted.
fn webhook(statuses: &'static [u16]) -> (String, Receiver<(u16, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?key=sesame", listener.local_addr().unwrap());
    let (sender, posted) = channel();
    std::thread::spawn(move || {
        let statuses = statuses.iter().copied().chain(std::iter::repeat(204));
        for (stream, status) in listener.incoming().map_while(Result::ok).zip(statuses) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut head, mut line) = (0, String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = told.trim().parse().unwrap();
                }
                head += &line;
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            assert!(head.starts_with("POST /hook?key=sesame HTTP/1.1\r\n"), "{head}");
            assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
            let answer =
                format!("HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            (&stream).write_all(answer.as_bytes()).unwrap();
            if sender.send((status, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, posted)
}

fn wanproof(dir: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.current_dir(dir).args(words.split(' '));
    command
}

/// An agent that probes a port which nobody else has.
fn agent(dir: &Path, address: &std::net::SocketAddr, hooks: &str) -> Running {
    let probe = format!(
        "[[probe]]\nname = \"hq\"\nkind = \"tcp\"\ntarget = \"{address}\"\nperiod \
            = \"50ms\"\ntimeout = \"500ms\"\n"
    );
    // So many probes a second fill the usual room before the usual term is over, which `check`
    // notes.
    let store = "[store]\nkeep_minutes = \"30d\"\n";
    let text =
        format!("site = \"leeds-01\"\ndata_dir = \"data\"\n{store}[hooks]\n{hooks}\n{probe}");
    std::fs::write(dir.join("agent.toml"), text).unwrap();
    let checked = wanproof(dir, "check --config agent.toml").output().unwrap();
    assert!(
        checked.status.success() && !String::from_utf8_lossy(&checked.stdout).contains("note:"),
        "{checked:?}"
    );
    Running::start(&mut wanproof(dir, "run --config agent.toml"))
}

/// A port that is shut: its address is used by no other test.
fn shut(address: &str) -> std::net::SocketAddr {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn a_webhook_and_a_script_are_told_when_an_outage_begins_and_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\ncat >> told\necho >> told.ends\n";
    std::fs::write(dir.path().join("script"), script).unwrap();
    let (url, posted) = webhook(&[503]);
    let address = shut("127.31.7.1");
    let hooks = format!("webhook = \"{url}\"\ncommand = [\"/bin/sh\", \"script\"]");
    let mut agent = agent(dir.path(), &address, &hooks);
    let body = |wanted: u16| {
        let (status, body) = posted.recv_timeout(PATIENCE).unwrap();
        assert_eq!(status, wanted);
        body
    };
    let first = body(503);
    assert_eq!(body(204), first, "what is not taken is told again");
    let opened = TcpListener::bind(address).unwrap();
    let (began, ended) = (serde_json::from_str::<Value>(&first).unwrap(), body(204));
    let ended: Value = serde_json::from_str(&ended).unwrap();
    for told in [&began, &ended] {
        assert_eq!(
            (&told["probe"], &told["definition"]),
            (&"hq".into(), &"builtin".into()),
            "{told}"
        );
        assert!(told["evidence"]["why"].is_string(), "{told}");
    }
    assert!(began["to"].is_null() && began["seconds"].is_null(), "{began}");
    assert!(ended["to"].is_string() && ended["seconds"].as_f64() > Some(0.0), "{ended}");
    let ends = dir.path().join("told.ends");
    let begun = Instant::now();
    while std::fs::read_to_string(&ends).unwrap_or_default().lines().count() < 2 {
        assert!(begun.elapsed() < PATIENCE, "the script was not told: {}", agent.told());
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = std::fs::read_to_string(dir.path().join("told")).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told, [began, ended.clone()]);
    assert!(agent.terminate().success(), "{}", agent.told());
    drop(opened);
    let listed = wanproof(dir.path(), "outages --json --config agent.toml").output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(array(&listed), [ended], "the hooks are told what `outages --json` shows");
    assert!(!agent.told().contains("sesame"), "a webhook's secret is not logged: {}", agent.told());
}

#[test]
fn a_webhook_that_never_answers_and_a_command_that_fails_are_logged_once_and_delay_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let address = shut("127.31.7.2");
    let hooks = format!("webhook = \"{url}\"\ncommand = [\"/bin/sh\", \"-c\", \"exit 3\"]");
    let mut agent = agent(dir.path(), &address, &hooks);
    agent.says("exit status: 3");
    let opened = TcpListener::bind(address).unwrap();
    agent.says("outage over");
    drop(opened);
    // The port is shut again: a second outage, of which the webhook has no time to be told.
    agent.says("outage");
    agent.signal(Signal::SIGTERM);
    agent.says("not all hooks were told");
    assert!(agent.wait().success(), "{}", agent.told());
    assert_eq!(agent.told().matches("exit status: 3").count(), 1, "{}", agent.told());
    let listed = wanproof(dir.path(), "outages --json --config agent.toml").output().unwrap();
    assert_eq!(array(&serde_json::from_slice(&listed.stdout).unwrap()).len(), 2);
    let shown = wanproof(dir.path(), "histogram hq --json --config agent.toml").output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
}
