//! The operators' API: held against its own description by schemathesis, and used as an operator
//! uses it; and alerts as those get them who are told.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod delivery;
mod health;
#[path = "../kit/mod.rs"]
mod kit;
mod mail;
mod operators;

use kit::foreign;
use kit::postgres;
use kit::secret;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreign::{Foreign, SUMMARY, digest};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use wanproof::collector::{self, Collector};
use wanproof::config::collector::CollectorConfig;

const CONTRACT: &str = include_str!("../fleet/contract.toml");
const PATIENCE: Duration = Duration::from_secs(90);

/// The contract of the line that the foreign agent measures.
fn contract() -> String {
    let own = CONTRACT
        .replace("pune-01", "leeds-01")
        .replace("ckt-1", "ckt-0042")
        .replace("\"hq\"", "\"hq-icmp\"");
    own.replace("Asia/Kolkata", "Europe/London")
}

/// A collector on loopback with an operator's token.
struct Desk {
    url: String,
    http: reqwest::Client,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    at: Arc<tempfile::TempDir>,
}

impl Desk {
    async fn open(more: &str) -> Self {
        Self::open_at(&Arc::new(tempfile::tempdir().unwrap()), "sqlite:c.db", more).await
    }

    /// One whose files lie there: the same again, or another replica.
    async fn open_at(at: &Arc<tempfile::TempDir>, database: &str, more: &str) -> Self {
        let at = Arc::clone(at);
        secret::write(at.path().join("admin"), "# the operator\nlet me in, I work here\n");
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndatabase = \"{database}\"\ndata_dir \
                = \".\"\n[enrolment]\nmode = \"open\"\n\
             [admin]\ntoken_file = \"admin\"\n[limits]\nper_agent = \"600/s\"\n{more}"
        );
        let mut config = CollectorConfig::parse(&text, "collector.toml", at.path()).unwrap();
        // What is shipped here is of a fixed day, however long ago that is: lateness is not what is
        // asked.
        config.evidence.late_after = Duration::from_secs(4_000 * 86_400);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Collector::open(config).unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let stopping = async move {
            let _ = stopped.wait_for(|&stop| stop).await;
        };
        let serving = tokio::spawn(collector::serve(listener, Arc::clone(&collector), stopping));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        Self { url, http, stop, serving, at }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<(&str, String)>,
    ) -> Response {
        let mut request =
            self.http.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        if let Some((of, body)) = body {
            request = request.header("content-type", of).body(body);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, "let me in, I work here", None).await;
        assert_eq!(answer.status(), 200, "{path}");
        json_of(answer).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .ask(
                Method::POST,
                path,
                "let me in, I work here",
                Some(("application/json", body.to_string())),
            )
            .await;
        (answer.status().as_u16(), json_of(answer).await)
    }

    async fn import(&self, text: String) -> (u16, Value) {
        let answer = self
            .ask(
                Method::POST,
                "/v1/agreements",
                "let me in, I work here",
                Some(("application/toml", text)),
            )
            .await;
        (answer.status().as_u16(), json_of(answer).await)
    }

    /// Brings the contract into force.
    async fn agree(&self) {
        assert_eq!(self.import(contract()).await.0, 201);
        for (action, at) in [("propose", 1), ("sign", 2), ("take_effect", 3)] {
            let step = json!({"at": format!("2026-02-01T00:00:0{at}Z")});
            assert_eq!(self.post(&format!("/v1/agreements/FLEET/1/{action}"), &step).await.0, 200);
        }
    }

    async fn enrol(&self) -> Foreign {
        let agent = Foreign::new();
        let answer = self
            .http
            .post(format!("{}/v1/enrol", self.url))
            .body(agent.enrolment(None))
            .send()
            .await
            .unwrap();
        assert_eq!(json_of(answer).await["state"], "approved");
        agent
    }

    async fn ship(&self, jws: &str) {
        let request = self
            .http
            .post(format!("{}/v1/summaries", self.url))
            .header("content-type", "application/jose");
        let text = request.body(jws.to_owned()).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("receipt"), "{text}");
    }

    /// Asks again until the answer is as wanted.
    async fn wait(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(Method::GET, path, "let me in, I work here", None).await;
            let answer = json_of(answer).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{path} stays {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn close(self) {
        self.stop.send(true).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

async fn json_of(answer: Response) -> Value {
    let bytes = answer.bytes().await.unwrap();
    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() }
}

#[tokio::test]
async fn an_operator_sees_the_fleet_and_moves_what_is_his_to_move() {
    let desk = Desk::open("").await;
    desk.agree().await;
    let agent = desk.enrol().await;
    let all = agent.summaries(10);
    for jws in &all {
        desk.ship(jws).await;
    }
    let verdict = "/v1/verdicts/2026-11/FLEET/ckt-0042";
    let judged = desk
        .wait(verdict, |answer| {
            answer["as_of"] == "2026-11-23T10:10:00Z" || answer["ended"] == true
        })
        .await;
    let objectives = judged["report"]["objectives"].as_array().unwrap();
    let loss = objectives.iter().find(|each| each["id"] == "loss").unwrap();
    assert_eq!(loss["exact"], "3.333333", "two of sixty in each minute: {judged}");
    let summary = desk.get("/v1/summary?by=provider&period=2026-11").await;
    assert_eq!(
        (&summary[0]["name"], &summary[0]["services"]),
        (&json!("Example Carrier"), &json!(1))
    );
    assert_eq!(summary[0]["rtt_us"]["hq-icmp"]["count"], 580);

    // The agent says nothing of contracts, so it judges by none.
    let differences = desk.get("/v1/differences").await;
    assert_eq!(
        (&differences[0]["agent"], &differences[0]["differences"][0]["what"]),
        (&json!(agent.kid), &json!("missing"))
    );
    let findings = desk.get("/v1/findings").await;
    assert!(
        findings.as_array().unwrap().iter().any(|each| each["kind"] == "contract-outdated"),
        "{findings}"
    );

    // Labels and sites.
    let change = json!({"labels": {"region": "north", "tier": "2"}}).to_string();
    let path = format!("/v1/agents/{}", agent.kid);
    let answer = desk
        .ask(Method::PATCH, &path, "let me in, I work here", Some(("application/json", change)))
        .await;
    assert_eq!(answer.status(), 204);
    assert_eq!(desk.get(&path).await["labels"], json!({"region": "north", "tier": "2"}));
    assert_eq!(desk.get("/v1/sites").await[0]["labels"]["region"], "north");

    // Page by page.
    let second = desk.enrol().await;
    let first = desk.ask(Method::GET, "/v1/agents?limit=1", "let me in, I work here", None).await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    let first = json_of(first).await;
    let next = link.strip_prefix('<').unwrap().split('>').next().unwrap();
    let rest = desk.get(next).await;
    let mut both =
        [&first[0]["agent"], &rest[0]["agent"]].map(|kid| kid.as_str().unwrap().to_owned());
    let mut expected = [agent.kid.clone(), second.kid.clone()];
    both.sort();
    expected.sort();
    assert_eq!(both, expected);

    // Tokens: one that only reads, kept as its digest only.
    let (status, made) =
        desk.post("/v1/tokens", &json!({"name": "grafana", "scope": "read"})).await;
    let token = made["token"].as_str().unwrap();
    assert_eq!(status, 201);
    assert_eq!(desk.ask(Method::GET, "/v1/agents", token, None).await.status(), 200);
    let approve = format!("/v1/agents/{}/approve", agent.kid);
    let refused = desk.ask(Method::POST, &approve, token, None).await;
    assert_eq!(
        (refused.status().as_u16(), json_of(refused).await["type"].clone()),
        (403, json!("urn:wanproof:forbidden"))
    );
    assert_eq!(desk.ask(Method::GET, "/v1/agents", "let me out", None).await.status(), 401);
    let database = std::fs::read(desk.at.path().join("c.db")).unwrap();
    let wal = std::fs::read(desk.at.path().join("c.db-wal")).unwrap_or_default();
    let there = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token.as_bytes());
    assert!(!there(&database) && !there(&wal), "the token itself is nowhere");
    let page = desk.ask(Method::GET, "/metrics", token, None).await.text().await.unwrap();
    assert!(page.contains("wanproof_collector_agents{state=\"approved\"} 2"), "{page}");
    assert!(page.contains("wanproof_collector_folded_summaries_total 10"), "{page}");
    assert_eq!(
        desk.ask(Method::DELETE, "/v1/tokens/grafana", "let me in, I work here", None)
            .await
            .status(),
        204
    );
    assert_eq!(desk.ask(Method::GET, "/v1/agents", token, None).await.status(), 401);

    // What has faults is told with all of them.
    let (status, faults) =
        desk.import(contract().replace("99.99", "abc").replace("version = 1", "version = 0")).await;
    assert_eq!(status, 422);
    assert!(faults["detail"].as_str().unwrap().lines().count() >= 2, "{faults}");
    desk.close().await;
}

/// A program of PyPI in a place of its own; or why there is none.
fn schemathesis() -> Result<PathBuf, String> {
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let program = at.join("bin/schemathesis");
    let works = || {
        Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(program);
    }
    let run = |command: &mut Command| {
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&at))?;
    run(Command::new(at.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "schemathesis==4.*",
    ]))?;
    if works() { Ok(program) } else { Err("it does not run".to_owned()) }
}

#[tokio::test]
async fn the_running_server_is_as_its_description_says() {
    let program = match tokio::task::spawn_blocking(schemathesis).await.unwrap() {
        Ok(program) => program,
        Err(why) => {
            println!("skipped: there is no schemathesis: {why}");
            return;
        }
    };
    let desk = Desk::open("").await;
    desk.agree().await;
    let agent = desk.enrol().await;
    for jws in agent.summaries(3) {
        desk.ship(&jws).await;
    }
    desk.wait("/v1/verdicts/2026-11/FLEET/ckt-0042", |answer| answer["service"] == "ckt-0042")
        .await;
    let mut command = Command::new(program);
    command
        .current_dir(desk.at.path())
        .args([
            "run",
            &format!("{}/v1/openapi.json", desk.url),
            "--header",
            "Authorization: Bearer let me in, I work here",
        ])
        // A name that fits the description need not be anybody's, so what it is answered may be
        // that there is none.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "1"])
        .args(["--generation-database", "none", "--suppress-health-check", "all", "--no-color"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(desk.ask(Method::GET, "/readyz", "", None).await.status(), 200);
    desk.close().await;
}

/// Reads requests of a webhook, and answers each with 200.
async fn webhook(listener: TcpListener, told: mpsc::UnboundedSender<Value>) {
    while let Ok((stream, _)) = listener.accept().await {
        let told = told.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = count.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let _ = told.send(serde_json::from_slice(&body).unwrap());
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        });
    }
}

#[tokio::test]
async fn who_listens_is_told_once_that_something_is_wrong_and_once_that_it_is_over() {
    let (hook, post) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let more = format!(
        "[alerts]\nhold = \"0s\"\nwebhook = \"http://{}/hook\"\n[alerts.mail]\nserver \
            = \"{}\"\nsecurity = \"none\"\n\
         from = \"wanproof@example.net\"\nto = [\"noc@example.net\"]\n",
        hook.local_addr().unwrap(),
        post.local_addr().unwrap()
    );
    let (hooked, mut by_hook) = mpsc::unbounded_channel();
    let (mailed, mut by_mail) = mpsc::unbounded_channel();
    tokio::spawn(webhook(hook, hooked));
    tokio::spawn(mail::server(post, mail::Speaks::Clear, mailed));
    let desk = Desk::open(&more).await;
    let agent = desk.enrol().await;
    let with_clock = |seq: u64, prev: Option<&str>, state: &str| {
        let mut payload = agent.payload(seq, prev);
        payload["clock"]["state"] = json!(state);
        agent.sign(SUMMARY, &payload)
    };
    let first = with_clock(0, None, "unsynchronised");
    desk.ship(&first).await;
    let wait = |what: &'static str| async move { panic!("nobody was told of {what}") };
    let told = tokio::select! { told = by_hook.recv() => told.unwrap(), () = tokio::time::sleep(PATIENCE) => wait("its beginning").await };
    assert_eq!(
        (&told["event"], &told["kind"], &told["site"]),
        (&json!("began"), &json!("clock-unsynchronised"), &json!("leeds-01"))
    );
    assert_eq!((&told["subject"], &told["ended"]), (&json!(agent.kid), &json!(null)));
    let mail = tokio::time::timeout(PATIENCE, by_mail.recv()).await.unwrap().unwrap().taken;
    assert!(mail.contains("RCPT TO:<noc@example.net>"), "{mail}");
    assert!(mail.contains("Subject: [wanproof] clock-unsynchronised at leeds-01 began"), "{mail}");

    // The same again is nothing new.
    let second = with_clock(1, Some(&digest(&first)), "unsynchronised");
    desk.ship(&second).await;
    desk.wait("/v1/agents", |answer| answer[0]["last"]["seq"] == 1).await;
    let third = with_clock(2, Some(&digest(&second)), "synchronised");
    desk.ship(&third).await;
    let told = tokio::time::timeout(PATIENCE, by_hook.recv()).await.unwrap().unwrap();
    assert_eq!((&told["event"], &told["kind"]), (&json!("ended"), &json!("clock-unsynchronised")));
    assert!(told["ended"].is_string());
    let mail = tokio::time::timeout(PATIENCE, by_mail.recv()).await.unwrap().unwrap().taken;
    assert!(mail.contains("Subject: [wanproof] clock-unsynchronised at leeds-01 ended"), "{mail}");
    let ended =
        desk.wait("/v1/alerts?ended=true", |answer| !answer.as_array().unwrap().is_empty()).await;
    assert_eq!(
        (
            ended[0]["told"].as_array().unwrap().len(),
            ended[0]["told_end"].as_array().unwrap().len()
        ),
        (2, 2)
    );
    assert_eq!(desk.get("/v1/alerts").await, json!([]));
    assert!(by_hook.try_recv().is_err() && by_mail.try_recv().is_err(), "nothing was told twice");
    desk.close().await;
}

/// What a mail server got at the first visit of a collector that is to tell by mail.
async fn first_visit(speaks: mail::Speaks, security: &str, more: &str) -> mail::Visit {
    let post = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = tempfile::tempdir().unwrap();
    secret::write(files.path().join("password"), "let me mail\n");
    std::fs::write(files.path().join("ca.pem"), mail::authority()).unwrap();
    let more = more.replace("FILES", &files.path().display().to_string());
    let more = format!(
        "[alerts]\nhold = \"0s\"\n[alerts.mail]\nserver = \"localhost:{}\"\nsecurity \
            = \"{security}\"\n\
         from = \"wanproof@example.net\"\nto = [\"noc@example.net\"]\nuser = \"wanproof\"\n\
         password_file = \"{}/password\"\n{more}",
        post.local_addr().unwrap().port(),
        files.path().display()
    );
    let (told, mut visits) = mpsc::unbounded_channel();
    tokio::spawn(mail::server(post, speaks, told));
    let desk = Desk::open(&more).await;
    let agent = desk.enrol().await;
    let mut payload = agent.payload(0, None);
    payload["clock"]["state"] = json!("unsynchronised");
    desk.ship(&agent.sign(SUMMARY, &payload)).await;
    let visit = tokio::time::timeout(PATIENCE, visits.recv()).await.unwrap().unwrap();
    desk.close().await;
    visit
}

#[tokio::test]
async fn mail_goes_encrypted_to_a_server_that_somebody_vouches_for_and_to_no_other() {
    use mail::Speaks;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = "ca = \"FILES/ca.pem\"\n";
    for (speaks, security) in [(Speaks::Tls, "tls"), (Speaks::StartTls, "starttls")] {
        let visit = first_visit(speaks, security, ca).await;
        assert!(
            visit.taken.contains("Subject: [wanproof] clock-unsynchronised at leeds-01 began"),
            "{visit:?}"
        );
        // The user and the password, as PLAIN has them: RFC 4616.
        assert!(visit.encrypted.contains("AUTH PLAIN AHdhbnByb29mAGxldCBtZSBtYWls"), "{visit:?}");
        assert!(!visit.clear.contains("AUTH") && !visit.clear.contains("MAIL"), "{visit:?}");
        // This host's authorities know nothing of it.
        let visit = first_visit(speaks, security, "").await;
        assert_eq!((visit.taken.as_str(), visit.encrypted.as_str()), ("", ""), "{visit:?}");
    }
    let visit = first_visit(Speaks::Clear, "starttls", ca).await;
    assert!(visit.clear.contains("EHLO") && visit.taken.is_empty(), "{visit:?}");
    assert!(!visit.clear.contains("AUTH") && !visit.clear.contains("MAIL"), "{visit:?}");
}

#[tokio::test]
async fn a_device_is_moved_and_revoked_from_an_instant_on() {
    let desk = Desk::open("").await;
    let agent = desk.enrol().await;
    let path = format!("/v1/agents/{}", agent.kid);
    let at = "2026-11-20T10:05:00Z";
    let patch = async |body: Value| {
        let body = Some(("application/json", body.to_string()));
        desk.ask(Method::PATCH, &path, "let me in, I work here", body).await.status().as_u16()
    };
    assert_eq!(patch(json!({"from": at})).await, 422, "where is it?");
    assert_eq!(
        patch(json!({"site": "york-01", "from": "2190-01-01T00:00:00Z"})).await,
        422,
        "it lies ahead"
    );
    assert_eq!(patch(json!({"site": "york-01", "from": at})).await, 204);
    let shown = desk.get(&path).await;
    let stays = json!([{"site": "leeds-01", "from": null, "to": at}, {"site": "york-01", "from": at, "to": null}]);
    assert_eq!(
        (&shown["site"], &shown["sites"], &shown["left_out_from"]),
        (&json!("york-01"), &stays, &Value::Null)
    );
    assert_eq!(desk.get("/v1/sites").await[0]["site"], "york-01");

    let revoke = format!("{path}/revoke");
    let post = async |of: &str, body: &str| {
        desk.ask(Method::POST, &revoke, "let me in, I work here", Some((of, body.to_owned())))
            .await
            .status()
            .as_u16()
    };
    assert_eq!(post("text/plain", "now").await, 415);
    assert_eq!(post("application/json", "{\"since\":\"2190-01-01T00:00:00Z\"}").await, 422);
    assert_eq!(desk.get(&path).await["state"], "approved", "nothing of it was done");
    assert_eq!(desk.ask(Method::POST, &revoke, "let me in, I work here", None).await.status(), 204);
    assert_eq!(
        post("application/json", &json!({"since": at}).to_string()).await,
        204,
        "and what it said, later"
    );
    let shown = desk.get(&path).await;
    assert_eq!((&shown["state"], &shown["left_out_from"]), (&json!("revoked"), &json!(at)));
}
