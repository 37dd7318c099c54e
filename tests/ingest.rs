//! The collector under load: replicas that are killed, clients that stall, more than can be stored.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod kit;
use kit::fleet::agent;
use kit::fleet::line;
use kit::fleet::replicas;
use kit::fleet::script;
use kit::postgres;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use agent::Agent;
use hyper::StatusCode;
use hyper::body::Bytes;
use line::Line;
use replicas::Plan;
use script::{Script, Site};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use wanproof::collector::{self, Central};
use wanproof::evidence::enrol;

#[tokio::test]
async fn what_was_receipted_is_there_once_whichever_replicas_are_killed() {
    let Some(database) = postgres::database() else { return };
    let wanproof = Path::new(env!("CARGO_BIN_EXE_wanproof"));
    let plan = Plan { agents: 24, each: 15, time: None, kill_every: 40 };
    let outcome = replicas::run(wanproof, &database, &plan).await.unwrap();
    assert_eq!((outcome.receipted, outcome.lost, outcome.twice), (360, 0, 0), "{outcome:?}");
    assert_eq!(
        outcome.stored, 360,
        "every agent shipped to its end, so nothing else is there: {outcome:?}"
    );
    assert!(outcome.kills >= 3, "{outcome:?}");
}

/// A collector on loopback, with agents that were let in.
async fn central(at: &Path, sites: u64) -> (Central, SocketAddr, Vec<Agent>) {
    let central = collector::on_loopback(at).await.unwrap();
    let to = central.url.trim_start_matches("http://").parse().unwrap();
    let mut line = Line::open(to).await.unwrap();
    let tokens: Vec<String> = (0..sites).map(|site| format!("token-{site}")).collect();
    std::fs::write(at.join("tokens"), tokens.join("\n")).unwrap();
    let agents: Vec<Agent> = (0..sites).map(|site| Agent::new(Site(site), 0, 7)).collect();
    for (agent, token) in agents.iter().zip(&tokens) {
        let said =
            line.enrol(enrol::sign(&agent.site.name(), Some(token), &agent.key)).await.unwrap();
        assert_eq!(said.status, StatusCode::OK, "{:?}", said.body);
    }
    (central, to, agents)
}

fn body(agent: &mut Agent, script: &Script) -> Bytes {
    Bytes::from(zstd::bulk::compress(agent.next(script).jws.as_bytes(), 3).unwrap())
}

#[tokio::test]
async fn a_client_that_stalls_costs_a_connection_and_nothing_else() {
    let at = tempfile::tempdir().unwrap();
    let (central, to, mut agents) = central(at.path(), 1).await;
    // Each says that it sends as much as is allowed, sends a good part of it, and stalls: all the
    // room there is, and more. Others stall in the middle of a header, or say nothing.
    let mut stalled = Vec::new();
    let head = "POST /v1/summaries HTTP/1.1\r\nhost: x\r\ncontent-type: \
        application/jose\r\ncontent-length: 4194304\r\n\r\n";
    for number in 0..90 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(&head.as_bytes()[..40]).await.unwrap(),
            _ => {
                stream.write_all(head.as_bytes()).await.unwrap();
                let mut part = vec![b'x'; 3 * 1024 * 1024];
                part[0] = b'e';
                // The collector stops reading when there is no room; whoever stalls waits.
                let _ =
                    tokio::time::timeout(Duration::from_millis(200), stream.write_all(&part)).await;
            }
        }
        stalled.push(stream);
    }
    let script = Script::new();
    let mut line = Line::open(to).await.unwrap();
    for _ in 0..10 {
        let said = line.ship(body(&mut agents[0], &script)).await.unwrap();
        assert_eq!(said.status, StatusCode::OK, "{:?}", said.body);
        assert!(String::from_utf8_lossy(&said.body).contains("\"receipt\":"), "{:?}", said.body);
    }
    drop(stalled);
    central.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_stored_in_time_is_told_to_come_again() {
    let at = tempfile::tempdir().unwrap();
    let (central, to, mut agents) = central(at.path(), 4).await;
    let script = Script::new();
    let bodies: Vec<Bytes> = agents.iter_mut().map(|agent| body(agent, &script)).collect();
    // Another process writes, and goes on writing: nothing can be stored.
    let other = rusqlite::Connection::open(at.path().join("collector.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut asking = JoinSet::new();
    for number in 0..1000 {
        let body = bodies[number % bodies.len()].clone();
        let mut line = Line::open(to).await.unwrap();
        asking.spawn(async move { line.ship(body).await });
    }
    // More than may wait are told at once, while those that wait do so.
    let mut told = 0;
    let mut answers = Vec::new();
    while let Some(asked) = asking.join_next().await {
        let said = asked.unwrap().unwrap();
        if said.status == StatusCode::SERVICE_UNAVAILABLE {
            told += 1;
            assert!(said.retry_after.is_some_and(|seconds| seconds > 0), "{:?}", said.body);
            assert!(
                String::from_utf8_lossy(&said.body).contains("urn:wanproof:busy"),
                "{:?}",
                said.body
            );
            // Once somebody was told, the other process comes to its end.
            if told == 1 {
                other.execute_batch("ROLLBACK").unwrap();
            }
        } else {
            assert!(told > 0, "nothing could be stored yet: {:?}", said.body);
            answers.push(said);
        }
    }
    assert!(told > 0 && answers.iter().all(|said| said.status == StatusCode::OK));
    let mut line = Line::open(to).await.unwrap();
    for (body, agent) in bodies.into_iter().zip(&mut agents) {
        let said = line.ship(body).await.unwrap();
        assert_eq!(said.status, StatusCode::OK, "{:?}", said.body);
        let said = line.ship(self::body(agent, &script)).await.unwrap();
        assert_eq!(said.status, StatusCode::OK, "it goes on: {:?}", said.body);
    }
    central.stop().await.unwrap();
}
