//! Those who are told, as they are: slow, dead, many at once; and the dead man's switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::foreign::{Foreign, SUMMARY};
use super::{Desk, PATIENCE, mail, postgres, webhook};

/// A receiver that accepts whoever comes, and never answers; it counts who came, and who gave up.
#[derive(Clone, Default)]
struct Slow {
    came: Arc<AtomicUsize>,
    gave_up: Arc<AtomicUsize>,
}

impl Slow {
    async fn begin() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let slow = Self::default();
        let own = slow.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move {
                    own.came.fetch_add(1, Ordering::SeqCst);
                    let mut part = [0; 4096];
                    while stream.read(&mut part).await.is_ok_and(|read| read > 0) {}
                    own.gave_up.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        (slow, url)
    }

    fn counts(&self) -> (usize, usize) {
        (self.came.load(Ordering::SeqCst), self.gave_up.load(Ordering::SeqCst))
    }
}

/// A webhook that takes everything: its URL, and what it was told.
async fn quick() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (told, all) = mpsc::unbounded_channel();
    tokio::spawn(webhook(listener, told));
    (url, all)
}

async fn next<T>(all: &mut mpsc::UnboundedReceiver<T>, what: &str) -> T {
    tokio::time::timeout(PATIENCE, all.recv())
        .await
        .unwrap_or_else(|_| panic!("nobody was told of {what}"))
        .unwrap()
}

/// A summary of an agent whose clock is in a state.
fn with_clock(agent: &Foreign, state: &str) -> String {
    let mut payload = agent.payload(0, None);
    payload["clock"]["state"] = json!(state);
    agent.sign(SUMMARY, &payload)
}

/// As many agents, each with a clock that nobody keeps; waits until all of that was found.
async fn unsynchronised(desk: &Desk, count: usize) {
    for _ in 0..count {
        let agent = desk.enrol().await;
        desk.ship(&with_clock(&agent, "unsynchronised")).await;
    }
    let is = |alert: &&Value| alert["kind"] == "clock-unsynchronised";
    desk.wait("/v1/alerts?limit=1000", |answer| {
        answer.as_array().unwrap().iter().filter(is).count() == count
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_neither_another_one_nor_the_rounds() {
    let (slow, hook) = Slow::begin().await;
    let post = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = format!(
        "[alerts]\nhold = \"0s\"\nwebhook = \"{hook}\"\n[alerts.mail]\nserver = \"{}\"\nsecurity \
            = \"none\"\n\
         from = \"wanproof@example.net\"\nto = [\"noc@example.net\"]\n",
        post.local_addr().unwrap()
    );
    let (mailed, mut by_mail) = mpsc::unbounded_channel();
    tokio::spawn(mail::server(post, mail::Speaks::Clear, mailed));
    let desk = Desk::open(&more).await;
    let agent = desk.enrol().await;
    desk.ship(&with_clock(&agent, "unsynchronised")).await;
    let began = next(&mut by_mail, "what began").await.taken;
    assert!(began.contains("clock-unsynchronised at leeds-01 began"), "{began}");
    // While the webhook has the first message and does not answer, rounds find what is new, and the
    // mail tells it.
    let another = desk.enrol().await;
    desk.ship(&with_clock(&another, "unsynchronised")).await;
    let began = next(&mut by_mail, "what began later").await.taken;
    assert!(began.contains(&another.kid), "{began}");
    assert_eq!(slow.counts(), (1, 0), "the webhook was asked once, and is still waited for");
    // And it is tried again, and said that it fails.
    let failing = |answer: &Value| {
        answer.as_array().unwrap().iter().any(|of| of["kind"] == "receiver-failing")
    };
    desk.wait("/v1/findings", failing).await;
    let failing = next(&mut by_mail, "the failing receiver").await.taken;
    assert!(failing.contains("alerts cannot be told to webhook since"), "{failing}");
    desk.close().await;
}

#[tokio::test]
async fn many_of_one_kind_are_one_message_and_a_restart_loses_none_of_it_and_tells_nothing_twice() {
    let desk = Desk::open("[alerts]\nhold = \"0s\"\n").await;
    unsynchronised(&desk, 12).await;
    let at = Arc::clone(&desk.at);
    desk.close().await;
    // What was found before the receiver was there, and before the restart, is told when it is.
    let (url, mut told) = quick().await;
    let more = format!("[alerts]\nhold = \"0s\"\nwebhook = \"{url}\"\n");
    let desk = Desk::open_at(&at, "sqlite:c.db", &more).await;
    let message = next(&mut told, "all of it").await;
    let first = &message["findings"][0];
    assert_eq!(
        (&message["event"], &message["kind"]),
        (&json!("began"), &json!("clock-unsynchronised"))
    );
    assert_eq!(
        (&message["count"], message["findings"].as_array().unwrap().len()),
        (&json!(12), 10)
    );
    assert_eq!((&message["subject"], &message["site"]), (&first["subject"], &json!("leeds-01")));
    assert!(message["detail"].as_str().unwrap().ends_with("; and 11 more"), "{message}");
    desk.wait("/v1/alerts", |answer| {
        answer.as_array().unwrap().iter().all(|alert| alert["told"] == json!(["webhook"]))
    })
    .await;
    desk.close().await;
    let desk = Desk::open_at(&at, "sqlite:c.db", &more).await;
    // Something new comes through; nothing old came before it.
    let agent = desk.enrol().await;
    desk.ship(&with_clock(&agent, "unsynchronised")).await;
    let message = next(&mut told, "what is new").await;
    assert_eq!((&message["subject"], &message["count"]), (&json!(agent.kid), &json!(1)));
    desk.close().await;
}

#[tokio::test]
async fn of_two_replicas_one_tells() {
    let Some(database) = postgres::database() else { return };
    let (url, mut told) = quick().await;
    let more = format!("[alerts]\nhold = \"0s\"\nwebhook = \"{url}\"\n");
    let at = Arc::new(tempfile::tempdir().unwrap());
    let (one, two) =
        (Desk::open_at(&at, &database, &more).await, Desk::open_at(&at, &database, &more).await);
    let mut kids = Vec::new();
    for _ in 0..3 {
        let agent = one.enrol().await;
        two.ship(&with_clock(&agent, "unsynchronised")).await;
        kids.push(json!(agent.kid));
    }
    let mut subjects = Vec::new();
    while subjects.len() < 3 {
        subjects.push(next(&mut told, "each").await["subject"].clone());
    }
    let all_told = |answer: &Value| {
        answer.as_array().unwrap().iter().all(|of| of["told"] == json!(["webhook"]))
    };
    one.wait("/v1/alerts", all_told).await;
    // The one who told goes; the other goes on with what is new, and with nothing else.
    one.close().await;
    let agent = two.enrol().await;
    two.ship(&with_clock(&agent, "unsynchronised")).await;
    kids.push(json!(agent.kid));
    subjects.push(next(&mut told, "what is new").await["subject"].clone());
    kids.sort_by_key(Value::to_string);
    subjects.sort_by_key(Value::to_string);
    assert_eq!(subjects, kids, "each was told once");
    two.close().await;
}

#[tokio::test]
async fn the_heartbeat_comes_for_as_long_as_rounds_go_on_and_the_database_can_be_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ping/secret", listener.local_addr().unwrap());
    let (beat, mut beats) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            let _ = stream.read_line(&mut line).await;
            let _ = beat.send(line);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    });
    let desk =
        Desk::open(&format!("[alerts]\nheartbeat = \"{url}\"\nheartbeat_every = \"1s\"\n")).await;
    assert_eq!(next(&mut beats, "the first").await, "GET /ping/secret HTTP/1.1\r\n");
    next(&mut beats, "the next").await;
    // Somebody keeps the database from being written.
    let db = rusqlite::Connection::open(desk.at.path().join("c.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let is = async |status: u16| {
        while desk.ask(reqwest::Method::GET, "/readyz", "", None).await.status() != status {}
    };
    tokio::time::timeout(PATIENCE, is(503)).await.unwrap();
    while beats.try_recv().is_ok() {}
    tokio::time::timeout(PATIENCE, is(503)).await.unwrap();
    assert!(beats.try_recv().is_err(), "no beat while nothing can be written");
    db.execute_batch("ROLLBACK").unwrap();
    tokio::time::timeout(PATIENCE, is(200)).await.unwrap();
    next(&mut beats, "the one afterwards").await;
    desk.close().await;
}
