//! The collector's bounds, as a client that keeps to none of them meets them on a real socket.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod kit;
use kit::foreign;
use kit::process;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use foreign::Foreign;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use wanproof::collector::{self, Collector};
use wanproof::config::collector::CollectorConfig;

/// A collector that lets everybody in.
struct Desk {
    to: SocketAddr,
    collector: Arc<Collector>,
    stop: Option<oneshot::Sender<()>>,
    at: tempfile::TempDir,
}

impl Desk {
    async fn open(limits: &str) -> Self {
        Self::start(tempfile::tempdir().unwrap(), limits).await
    }

    async fn start(at: tempfile::TempDir, limits: &str) -> Self {
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:c.db\"\ndata_dir = \".\"\nenrolment = \
                {{ mode = \"open\" }}\n{limits}\n"
        );
        let collector =
            Collector::open(CollectorConfig::parse(&text, "c.toml", at.path()).unwrap()).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopping = async move { stopped.await.unwrap_or_default() };
        tokio::spawn(collector::serve(listener, Arc::clone(&collector), stopping));
        Self { to, collector, stop: Some(stop), at }
    }

    /// A connection from 127.0.0.`host`.
    async fn connect(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
        socket.connect(self.to).await.unwrap()
    }

    async fn agent(&self, host: u8) -> Foreign {
        let agent = Foreign::new();
        let said = ask(
            &mut self.connect(host).await,
            &post("/v1/enrol", "application/jose", &[], agent.enrolment(None)),
        )
        .await
        .unwrap();
        assert_eq!(said.status, 200, "{}", said.body);
        agent
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

struct Said {
    status: u16,
    body: String,
}

impl Said {
    /// The type of the problem, without its URN.
    fn problem(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        problem["type"].as_str().unwrap().trim_start_matches("urn:wanproof:").to_owned()
    }
}

fn post(path: &str, of: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: c\r\ncontent-type: {of}\r\ncontent-length: \
            {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Asks, and reads the answer; nothing when the connection was closed.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Option<Said> {
    stream.write_all(request).await.ok()?;
    let mut read = Vec::new();
    let head = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(read[..head].to_vec()).unwrap().to_ascii_lowercase();
    let length = text
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    while read.len() < head + 4 + length.unwrap_or(0) {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            break;
        }
    }
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Said { status, body: String::from_utf8(read[head + 4..].to_vec()).unwrap() })
}

async fn closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.read(&mut byte).await, Ok(0) | Err(_))
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: c\r\n\r\n";

#[tokio::test]
async fn a_request_of_more_than_256_lines_is_refused_with_the_rest_unread() {
    let desk = Desk::open("").await;
    let agent = desk.agent(1).await;
    let mut line = desk.connect(1).await;
    let ship = |body: Vec<u8>, encoding: &str| {
        let encoding = format!("content-encoding: {encoding}");
        post("/v1/summaries", "application/x-ndjson", &[&encoding], body)
    };
    // A thousand bytes that become 33 million empty lines.
    let empty = zstd::bulk::compress(&vec![b'\n'; 32 << 20], 19).unwrap();
    assert!(empty.len() < 4096);
    let small = "x\n".repeat(257);
    for (body, encoding) in [
        (empty, "zstd"),
        (zstd::bulk::compress(small.as_bytes(), 3).unwrap(), "zstd"),
        (small.into_bytes(), "identity"),
        ([agent.summary(0, None).into_bytes(), vec![b'\n'; 257]].concat(), "identity"),
    ] {
        let said = ask(&mut line, &ship(body, encoding)).await.unwrap();
        assert_eq!((said.status, said.problem().as_str()), (413, "too-large"));
    }
    let said = ask(&mut line, &ship("x\n".repeat(256).into_bytes(), "identity")).await.unwrap();
    assert_eq!((said.status, said.body.lines().count()), (200, 256));
    // Of what was refused as a whole nothing was stored.
    let said =
        ask(&mut line, &ship(agent.summary(0, None).into_bytes(), "identity")).await.unwrap();
    assert!(said.status == 200 && said.body.contains("receipt"), "{}", said.body);
}

#[tokio::test]
async fn a_line_that_is_no_summary_is_answered_briefly_however_long_it_is() {
    let desk = Desk::open("").await;
    let agent = desk.agent(1).await;
    let word = "w".repeat(500_000);
    let payload = json!({"v": 1, "agent": agent.agent, "clock": {"state": word}});
    let signed = agent.sign("wanproof-summary+jws", &payload);
    let mut line = desk.connect(1).await;
    let said =
        ask(&mut line, &post("/v1/summaries", "application/jose", &[], &signed)).await.unwrap();
    assert!(
        said.status == 200 && said.body.contains("malformed") && said.body.len() < 1000,
        "{}",
        said.body.len()
    );
    // Longer than any summary: each line by itself, with its own digest.
    let long = "x".repeat(5 << 20);
    let body = zstd::stream::encode_all(format!("{long}\ny\n").as_bytes(), 3).unwrap();
    let request = post("/v1/summaries", "application/x-ndjson", &["content-encoding: zstd"], body);
    let said = ask(&mut line, &request).await.unwrap();
    let lines: Vec<Value> =
        said.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["digest"], foreign::digest(&long));
    assert_eq!(lines[0]["error"]["status"], 413);
    assert_eq!(lines[1]["error"]["status"], 400);
}

#[tokio::test]
async fn an_agent_has_only_so_many_bytes_stored_in_a_day_and_others_have_their_own() {
    let desk = Desk::open("limits = { bytes_per_agent = \"1MiB\" }").await;
    let (loud, quiet) = (desk.agent(1).await, desk.agent(2).await);
    // Half a megabyte that cannot be made smaller.
    let noise = || {
        let digits = || {
            std::iter::repeat_with(|| rand::random_range('a'..='z')).take(4000).collect::<String>()
        };
        std::iter::repeat_with(digits).take(180).collect::<Vec<_>>()
    };
    let large = |seq: u64, prev: Option<&str>| {
        let mut payload = loud.payload(seq, prev);
        payload["outages"] = json!([{"service": null, "probe": "hq", "from": payload["from"], "to": null, "definition": "d",
            "side": "unknown", "evidence": {"noise": noise()}}]);
        loud.sign("wanproof-summary+jws", &payload)
    };
    let first = large(0, None);
    let second = large(1, Some(&foreign::digest(&first)));
    let third = large(2, Some(&foreign::digest(&second)));
    let mut line = desk.connect(1).await;
    let ship = |jws: &str| post("/v1/summaries", "application/jose", &[], jws);
    for jws in [&first, &second] {
        let said = ask(&mut line, &ship(jws)).await.unwrap();
        assert!(said.status == 200 && said.body.contains("receipt"), "{}", said.body);
    }
    let said = ask(&mut line, &ship(&third)).await.unwrap();
    assert_eq!((said.status, said.problem().as_str()), (429, "busy"));
    assert!(said.body.contains("bytes_per_agent"), "{}", said.body);
    // What is stored is receipted again: nothing of it is stored twice.
    let said = ask(&mut line, &ship(&first)).await.unwrap();
    assert!(said.status == 200 && said.body.contains("receipt"), "{}", said.body);
    let said = ask(&mut desk.connect(2).await, &ship(&quiet.summary(0, None))).await.unwrap();
    assert!(said.status == 200 && said.body.contains("receipt"), "{}", said.body);
}

#[tokio::test]
async fn an_agent_changes_its_key_so_often_in_a_day_and_others_have_their_own() {
    let desk = Desk::open("limits = { per_agent = \"1000/m\" }").await;
    let (mut agent, other) = (desk.agent(1).await, desk.agent(2).await);
    let mut line = desk.connect(1).await;
    let ship = |jws: &str| post("/v1/summaries", "application/jose", &[], jws);
    // A summary that names a next key, and the agent that has it.
    let naming = |agent: &Foreign, seq: u64, prev: Option<&str>| {
        let next = Foreign::new();
        let consent = json!({"v": 1, "agent": agent.agent, "jwk": next.public(), "chain": agent.chain, "seq": seq});
        let mut payload = agent.payload(seq, prev);
        payload["next_key"] = json!(next.sign("wanproof-rotation+jws", &consent));
        let signed = agent.sign("wanproof-summary+jws", &payload);
        (signed, Foreign { jwk: next.jwk, kid: next.kid, ..agent.clone() })
    };
    let mut prev: Option<String> = None;
    for seq in 0..16 {
        let (signed, next) = naming(&agent, seq, prev.as_deref());
        // The same again is no other change.
        for _ in 0..2 {
            let said = ask(&mut line, &ship(&signed)).await.unwrap();
            assert!(said.status == 200 && said.body.contains("receipt"), "{seq}: {}", said.body);
        }
        (agent, prev) = (next, Some(foreign::digest(&signed)));
    }
    let (signed, _) = naming(&agent, 16, prev.as_deref());
    let said = ask(&mut line, &ship(&signed)).await.unwrap();
    assert_eq!((said.status, said.problem().as_str()), (429, "busy"));
    assert!(said.body.contains("changed its key"), "{}", said.body);
    let said = ask(&mut line, &ship(&agent.summary(16, prev.as_deref()))).await.unwrap();
    assert!(
        said.status == 200 && said.body.contains("receipt"),
        "what changes no key is taken: {}",
        said.body
    );
    let (signed, _) = naming(&other, 0, None);
    let said = ask(&mut desk.connect(2).await, &ship(&signed)).await.unwrap();
    assert!(said.status == 200 && said.body.contains("receipt"), "{}", said.body);
}

#[tokio::test]
async fn what_a_header_says_twice_is_refused() {
    let desk = Desk::open("").await;
    let mut line = desk.connect(1).await;
    for path in ["/v1/contracts", "/v1/agents"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: c\r\nauthorization: Bearer one\r\nauthorization: Bearer \
                two\r\n\r\n"
        );
        let said = ask(&mut line, request.as_bytes()).await.unwrap();
        assert_eq!((said.status, said.problem().as_str()), (400, "malformed"), "{path}");
    }
    let twice =
        post("/v1/summaries", "application/jose", &["content-type: application/x-ndjson"], "x");
    assert_eq!(ask(&mut line, &twice).await.unwrap().status, 400);
}

#[tokio::test]
async fn the_head_of_a_request_is_bounded() {
    let desk = Desk::open("").await;
    let head = |length: usize| {
        format!("GET /healthz HTTP/1.1\r\nhost: c\r\nx: {}\r\n\r\n", "a".repeat(length))
    };
    let said = ask(&mut desk.connect(1).await, head(8 * 1024).as_bytes()).await.unwrap();
    assert_eq!(said.status, 200);
    let mut line = desk.connect(1).await;
    // It is refused as soon as it is too long, not when it ends: it never does.
    let said = ask(&mut line, &head(20 * 1024).as_bytes()[..18 * 1024]).await.unwrap();
    assert_eq!(said.status, 431);
    assert!(closed(&mut line).await);
}

#[tokio::test]
async fn the_longest_idle_connection_of_an_address_makes_room_for_its_next() {
    let desk =
        Desk::open("limits = { connections = \"64\", connections_per_address = \"16\" }").await;
    let mut other = desk.connect(2).await;
    assert_eq!(ask(&mut other, HEALTH).await.unwrap().status, 200);
    let mut all = Vec::new();
    for _ in 0..40 {
        let mut line = desk.connect(3).await;
        assert_eq!(
            ask(&mut line, HEALTH).await.unwrap().status,
            200,
            "the newest is always served"
        );
        all.push(line);
    }
    assert!(closed(&mut all[0]).await && closed(&mut all[23]).await);
    assert!(ask(&mut all[24], HEALTH).await.is_some(), "16 stay");
    assert!(ask(&mut other, HEALTH).await.is_some(), "no other address is touched");
}

#[tokio::test]
async fn whoever_was_authenticated_gets_in_when_strangers_hold_every_place_of_theirs() {
    let desk =
        Desk::open("limits = { connections = \"16\", connections_per_address = \"16\" }").await;
    let agent = desk.agent(1).await;
    let mut first = desk.connect(1).await;
    let said =
        ask(&mut first, &post("/v1/summaries", "application/jose", &[], agent.summary(0, None)))
            .await
            .unwrap();
    assert!(said.body.contains("receipt"), "{}", said.body);
    drop(first);
    // Twelve strangers whose bodies do not come to their end: none of them is idle.
    let mut stalled = Vec::new();
    for host in 10..22 {
        let mut line = desk.connect(host).await;
        line.write_all(
            b"POST /v1/summaries HTTP/1.1\r\nhost: c\r\ncontent-type: \
            application/jose\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n",
        )
        .await
        .unwrap();
        // It says so when it begins to wait for the body.
        let mut begun = [0; 12];
        line.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"HTTP/1.1 100");
        stalled.push(line);
    }
    let mut known = desk.connect(1).await;
    assert_eq!(ask(&mut known, HEALTH).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_to_read_is_good_once_however_often_the_collector_is_started() {
    let desk = Desk::open("").await;
    let agent = desk.agent(1).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = agent.sign(
        "wanproof-request+jws",
        &json!({"v": 1, "agent": agent.agent, "aud": desk.collector.key().kid().to_string(), "method": "GET",
            "path": "/v1/contracts", "iat": now, "exp": now + 60, "jti": "once"}),
    );
    let request =
        format!("GET /v1/contracts HTTP/1.1\r\nhost: c\r\nauthorization: Bearer {token}\r\n\r\n");
    assert_eq!(ask(&mut desk.connect(1).await, request.as_bytes()).await.unwrap().status, 200);
    assert_eq!(ask(&mut desk.connect(1).await, request.as_bytes()).await.unwrap().status, 401);
    // Another replica, or the same one started again: both know only what is in the database.
    let at = tempfile::tempdir().unwrap();
    for file in ["c.db", "c.db-wal", "collector.key"] {
        copy_if_there(&desk.at.path().join(file), &at.path().join(file));
    }
    let again = Desk::start(at, "").await;
    assert_eq!(ask(&mut again.connect(1).await, request.as_bytes()).await.unwrap().status, 401);
}

#[test]
fn a_collector_that_root_starts_keeps_no_capability_and_leaves_no_core() {
    let at = tempfile::tempdir().unwrap();
    let config = at.path().join("c.toml");
    std::fs::write(
        &config,
        "listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:c.db\"\ndata_dir = \".\"\n",
    )
    .unwrap();
    let program = env!("CARGO_BIN_EXE_wanproof");
    let mut running = process::Running::start(
        std::process::Command::new(program).args(["collector", "serve", "--config"]).arg(&config),
    );
    running.says("the collector is listening");
    let of =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", running.pid())).unwrap();
    let core = of("limits")
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap()
        .to_owned();
    assert!(core.split_whitespace().skip(4).take(2).all(|limit| limit == "0"), "{core}");
    for thread in std::fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            let line = status.lines().find(|line| line.starts_with(set)).unwrap();
            assert!(line.ends_with("\t0000000000000000"), "{line}");
        }
    }
    running.terminate();
}

fn copy_if_there(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).unwrap();
    }
}
