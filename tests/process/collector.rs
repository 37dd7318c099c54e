//! The collector as a process: started, asked, told to read its configuration again, killed and
//! ended.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use crate::kit::foreign;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::kit::notify::Notified;
use crate::kit::process::Running;
use crate::kit::secret;
use crate::kit::wan::installed;
use crate::metrics;
use foreign::Foreign;
use nix::sys::signal::Signal;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use wanproof::config::collector::{CollectorConfig, Enrolment};

/// The program.
pub fn wanproof(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.args(args);
    command
}

/// A collector with its files in a directory of its own.
pub struct Desk {
    /// The directory.
    pub at: tempfile::TempDir,
}

impl Desk {
    /// On loopback, with more of a configuration.
    pub fn new(more: &str) -> Self {
        let desk = Self { at: tempfile::tempdir().unwrap() };
        desk.configure("127.0.0.1:0", more);
        desk
    }

    /// Listens here from the next start.
    pub fn configure(&self, listen: &str, more: &str) {
        let text = format!(
            "listen = \"{listen}\"\ndatabase = \"sqlite:data/collector.db\"\ndata_dir \
                = \"data\"\nkey_file = \"collector.key\"\n{more}"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> String {
        self.at.path().join("collector.toml").display().to_string()
    }

    /// What starts it.
    pub fn command(&self) -> Command {
        wanproof(&["collector", "serve", "--config", &self.config()])
    }

    /// Starts it, and gives where it listens.
    pub fn serve(&self) -> (Running, String) {
        let mut running = Running::start(&mut self.command());
        let said = running.says("the collector is listening");
        let address = said.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        (running, address.to_owned())
    }

    /// A command of the operator.
    pub fn ask(&self, args: &[&str]) -> Output {
        let config = self.config();
        wanproof(&[&["collector"], args, &["--config", &config]].concat()).output().unwrap()
    }

    /// The agents, as JSON.
    pub fn agents(&self) -> Value {
        let output = self.ask(&["agents", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn client(root: Option<&str>) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = root.map(|pem| Certificate::from_pem(pem.as_bytes()).unwrap());
    Client::builder().tls_certs_only(roots).no_proxy().build().unwrap()
}

async fn enrol(http: &Client, url: &str, agent: &Foreign, token: Option<&str>) -> Value {
    let answer =
        http.post(format!("{url}/v1/enrol")).body(agent.enrolment(token)).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

async fn ship(http: &Client, url: &str, body: String) -> Vec<Value> {
    let request =
        http.post(format!("{url}/v1/summaries")).header("content-type", "application/x-ndjson");
    let text = request.body(body).send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_watchdog_is_fed_while_it_works() {
    let desk = Desk::new("");
    let notified = Notified::at(desk.at.path().join("notify"));
    let mut command = desk.command();
    let mut running = Running::start(notified.tell(command.env("WATCHDOG_USEC", "150000")));
    notified.wait(|| running.told());
    (0..3).for_each(|_| notified.wait_for("WATCHDOG=1", || running.told()));
    assert!(running.terminate().success());
    // Without a watchdog nothing is fed.
    notified.said("");
    let mut running = Running::start(notified.tell(&mut desk.command()));
    notified.wait(|| running.told());
    assert!(running.terminate().success());
    assert_eq!(notified.said("WATCHDOG=1"), 0);
}

#[tokio::test]
async fn what_is_receipted_survives_a_kill_and_is_exported_and_verified() {
    let desk = Desk::new("[enrolment]\nmode = \"open\"\n");
    let (running, address) = desk.serve();
    let (http, url) = (client(None), format!("http://{address}"));
    let agent = Foreign::new();
    assert_eq!(enrol(&http, &url, &agent, None).await["state"], "approved");
    let all = agent.summaries(6);
    let said = ship(&http, &url, all[..4].join("\n")).await;
    assert!(said.iter().all(|line| line["receipt"].is_string()), "{said:?}");
    assert_eq!(desk.agents()[0]["last"]["seq"], 3, "the command works while the collector runs");
    running.signal(Signal::SIGKILL);
    drop(running);

    let (mut running, address) = desk.serve();
    let url = format!("http://{address}");
    let again = ship(&http, &url, all.join("\n")).await;
    assert_eq!(again[..4], said[..], "the receipts that were given are given again");
    // Another summary of a number that is taken is kept aside, and shown.
    let mut other = agent.payload(2, Some(&foreign::digest(&all[1])));
    other["site"] = json!("elsewhere");
    let other = agent.sign(foreign::SUMMARY, &other);
    assert_eq!(
        ship(&http, &url, other.clone()).await[0]["error"]["type"],
        "urn:wanproof:chain-conflict"
    );
    let aside = desk.at.path().join("aside").display().to_string();
    let shown = desk.ask(&["conflicts", "--json", "--export", &aside]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["seq"]), (1, &json!(2)), "{shown}");
    assert_eq!(
        (&shown[0]["agent"], &shown[0]["digest"]),
        (&json!(agent.kid), &json!(foreign::digest(&other)))
    );
    let file = Path::new(&aside)
        .join(&agent.kid)
        .join(&agent.chain)
        .join(format!("2.{}.jws", foreign::digest(&other)));
    assert_eq!(std::fs::read_to_string(file).unwrap(), other);
    let words = String::from_utf8(desk.ask(&["conflicts"]).stdout).unwrap();
    assert!(words.contains("another summary has this number"), "{words}");
    assert!(running.terminate().success());

    let agents = desk.agents();
    assert_eq!((&agents[0]["agent"], &agents[0]["state"]), (&json!(agent.kid), &json!("approved")));
    assert_eq!((&agents[0]["gaps"], &agents[0]["conflicts"]), (&json!([]), &json!(1)));
    let out = desk.at.path().join("out").display().to_string();
    assert!(desk.ask(&["export", &out]).status.success());
    let beside = Path::new(&out).join(&agent.kid).join(&agent.chain);
    for (seq, jws) in all.iter().enumerate() {
        assert_eq!(std::fs::read_to_string(beside.join(format!("{seq}.jws"))).unwrap(), *jws);
    }
    let path = |name: &str| desk.at.path().join(name).display().to_string();
    std::fs::write(path("agent.jwk"), agents[0]["keys"][0].to_string()).unwrap();
    std::fs::write(path("collector.jwk"), desk.ask(&["key", "--json"]).stdout).unwrap();
    let args =
        ["verify", "--key", &path("agent.jwk"), "--key", &path("collector.jwk"), &out, "--json"];
    let verified = wanproof(&args).output().unwrap();
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        (verified.status.code(), &answer["checked"]["receipts"]),
        (Some(0), &json!(6)),
        "{answer}"
    );
    let unknown = wanproof(&["verify", &out]).output().unwrap();
    let (told, note) =
        (String::from_utf8(unknown.stdout).unwrap(), String::from_utf8(unknown.stderr).unwrap());
    assert_eq!(
        (unknown.status.code(), told.matches("untrusted-key").count()),
        (Some(1), 10),
        "{told}"
    );
    assert!(
        told.contains("and 2 more: --json tells all") && note.contains("--key FILE"),
        "{told}{note}"
    );
    // Beside what was kept aside it is plain that the agent's key signed two.
    let both = [
        "verify",
        "--key",
        &path("agent.jwk"),
        "--key",
        &path("collector.jwk"),
        &out,
        &aside,
        "--json",
    ];
    let said = String::from_utf8(wanproof(&both).output().unwrap().stdout).unwrap();
    assert!(
        said.contains("number 2 of chain") && said.contains("is there twice, and differs"),
        "{said}"
    );
}

#[tokio::test]
async fn an_operator_approves_and_revokes_while_it_runs() {
    let desk = Desk::new("[enrolment]\nmode = \"operator\"\n[admin]\ntoken_file = \"admin\"\n");
    secret::write(desk.at.path().join("admin"), "let me in, I work here\n");
    let (mut running, address) = desk.serve();
    let (http, url) = (client(None), format!("http://{address}"));
    // One identifier in 64 begins as an option does.
    let agent =
        std::iter::repeat_with(Foreign::new).find(|agent| agent.kid.starts_with('-')).unwrap();
    assert_eq!(enrol(&http, &url, &agent, None).await["state"], "pending");
    let all = agent.summaries(2);
    assert_eq!(ship(&http, &url, all[0].clone()).await[0]["error"]["type"], "urn:wanproof:pending");
    let done = |args: &[&str]| {
        let output = desk.ask(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["approve", &agent.kid]);
    assert_eq!(
        done(&["label", &agent.kid, "region=north"]),
        format!("{}: region=north\n", agent.kid)
    );
    assert_eq!(enrol(&http, &url, &agent, None).await["state"], "approved");
    assert!(ship(&http, &url, all[0].clone()).await[0]["receipt"].is_string());
    let fleet = |token: &str| http.get(format!("{url}/v1/agents")).bearer_auth(token).send();
    assert_eq!(fleet("let me out").await.unwrap().status(), 401);
    let shown: Value = serde_json::from_slice(
        &fleet("let me in, I work here").await.unwrap().bytes().await.unwrap(),
    )
    .unwrap();
    assert_eq!(shown[0]["state"], "approved");
    let moved = done(&["assign", &agent.kid, "york-01", "--from", "2026-11-20T10:05:00Z"]);
    assert!(moved.contains("is at york-01 since"), "{moved}");
    let shown: Value = serde_json::from_str(&done(&["agents", "--json"])).unwrap();
    assert_eq!(shown[0]["sites"][1]["from"], "2026-11-20T10:05:00Z");
    let revoke = http.post(format!("{url}/v1/agents/{}/revoke", agent.kid));
    assert_eq!(
        revoke.try_clone().unwrap().bearer_auth("let me out").send().await.unwrap().status(),
        401
    );
    assert_eq!(revoke.bearer_auth("let me in, I work here").send().await.unwrap().status(), 204);
    assert_eq!(ship(&http, &url, all[1].clone()).await[0]["error"]["type"], "urn:wanproof:revoked");
    assert!(
        done(&["revoke", &agent.kid, "--since", "2026-11-20T10:05:00Z"]).contains("is left out")
    );
    // The key that is to follow is announced by the present one.
    let present: Value = serde_json::from_slice(&desk.ask(&["key", "--json"]).stdout).unwrap();
    let next: Value =
        serde_json::from_slice(&desk.ask(&["key", "--next", "--json"]).stdout).unwrap();
    assert_ne!(next["kid"], present["kid"]);
    running.signal(Signal::SIGHUP);
    running.says("the configuration was read again");
    let announced = http.get(format!("{url}/v1/keys")).send().await.unwrap().text().await.unwrap();
    let (header, said) = foreign::verify(&announced, &present);
    assert_eq!(
        (header.token_type(), &said["jwk"]["kid"]),
        (Some("wanproof-keys+jws"), &present["kid"])
    );
    assert_eq!((&said["collector"], &said["next"]["kid"]), (&present["kid"], &next["kid"]));
    let again = desk.ask(&["approve", &agent.kid]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert!(running.terminate().success());
}

#[tokio::test]
async fn prometheus_scrapes_it_by_its_token_and_promtool_finds_no_fault() {
    let desk = Desk::new("[enrolment]\nmode = \"open\"\n[admin]\ntoken_file = \"admin\"\n");
    secret::write(desk.at.path().join("admin"), "let me in, I work here\n");
    let (mut running, address) = desk.serve();
    let (http, url) = (client(None), format!("http://{address}"));
    let agent = Foreign::new();
    enrol(&http, &url, &agent, None).await;
    let shipped = agent.summaries(2).join("\n");
    assert_eq!(ship(&http, &url, shipped).await.len(), 2);
    let token = desk.ask(&["tokens", "make", "prometheus"]);
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let page = |accept: &'static str| {
        let request =
            http.get(format!("{url}/metrics")).bearer_auth(&token).header("accept", accept);
        async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.text().await.unwrap()
        }
    };
    let text = page("text/plain").await;
    assert!(text.contains("wanproof_collector_summaries_total{result=\"receipt\"} 2\n"), "{text}");
    assert!(page("application/openmetrics-text").await.ends_with("# EOF\n"));
    if installed("promtool") {
        metrics::no_fault(&text);
    }
    if installed("prometheus") {
        std::fs::write(desk.at.path().join("token"), token).unwrap();
        let by = "authorization: { credentials_file: token }";
        let receipts = "wanproof_collector_summaries_total{result=%22receipt%22}==2";
        metrics::understood(
            &mut metrics::prometheus(desk.at.path(), &address, by),
            &["up==1", receipts],
        );
    }
    assert!(running.terminate().success());
}

#[tokio::test]
async fn tls_is_spoken_and_the_configuration_is_read_again() {
    let desk = Desk::new("");
    let put = |name: &str, text: &str| secret::write(desk.at.path().join(name), text);
    let certify = || {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
                .unwrap();
        put("cert.pem", &made.cert.pem());
        put("key.pem", &made.signing_key.serialize_pem());
        made.cert.pem()
    };
    let first = certify();
    put("tokens", "once\n");
    let rest = |mode: &str| {
        format!("[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[enrolment]\n{mode}\n")
    };
    desk.configure("127.0.0.1:0", &rest("mode = \"token\"\ntoken_file = \"tokens\""));
    let (mut running, address) = desk.serve();
    let url = format!("https://{address}");
    let (one, two) = (Foreign::new(), Foreign::new());
    let http = client(Some(&first));
    assert_eq!(enrol(&http, &url, &one, Some("once")).await["state"], "approved");
    assert!(ship(&http, &url, one.summary(0, None)).await[0]["receipt"].is_string());
    assert!(
        client(None).get(format!("{url}/healthz")).send().await.is_err(),
        "nobody vouches for it"
    );
    assert!(
        client(None).get(format!("http://{address}/healthz")).send().await.is_err(),
        "nothing in the clear"
    );
    assert_eq!(enrol(&http, &url, &two, Some("once")).await["type"], "urn:wanproof:bad-token");

    // A fault changes nothing.
    desk.configure("127.0.0.1:0", &rest("mode = \"ajar\""));
    running.signal(Signal::SIGHUP);
    running.says("the configuration stays as it was");
    assert_eq!(enrol(&http, &url, &two, None).await["type"], "urn:wanproof:bad-token");

    let second = certify();
    desk.configure("127.0.0.1:0", &rest("mode = \"open\""));
    running.signal(Signal::SIGHUP);
    running.says("the configuration was read again");
    let http = client(Some(&second));
    assert_eq!(enrol(&http, &url, &two, None).await["state"], "approved");
    // The client's half of the connection has to go on meanwhile, to be told goodbye.
    assert!(tokio::task::spawn_blocking(move || running.terminate()).await.unwrap().success());
}

#[test]
fn its_own_command_says_whether_it_is_ready() {
    let tls = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[enrolment]\nmode = \"open\"\n";
    let desk = Desk::new(tls);
    let made = rcgen::generate_simple_self_signed(["collector.example.net".to_owned()]).unwrap();
    secret::write(desk.at.path().join("cert.pem"), made.cert.pem());
    secret::write(desk.at.path().join("key.pem"), made.signing_key.serialize_pem());
    let (mut running, address) = desk.serve();
    desk.configure(&address, tls);
    let said = desk.ask(&["ready"]);
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(0), b"ready\n".as_slice()));
    assert!(running.terminate().success());
    let said = desk.ask(&["ready"]);
    assert_eq!(said.status.code(), Some(3), "{said:?}");
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains(&format!("https://{address}/readyz does not answer: ")), "{told}");
}

#[test]
fn its_own_command_says_why_it_is_not_ready() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let desk = Desk::new("");
    desk.configure(&collector.local_addr().unwrap().to_string(), "");
    let answering = std::thread::spawn(move || {
        let (mut asked, _) = collector.accept().unwrap();
        let mut lines = BufReader::new(asked.try_clone().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "GET /readyz HTTP/1.1");
        assert!(lines.any(|line| line.unwrap().is_empty()), "the head ends");
        let body = json!({"detail": "the disk is full"}).to_string();
        let length = body.len();
        write!(asked, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
    });
    let said = desk.ask(&["ready"]);
    answering.join().unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert_eq!(said.stdout, b"not ready: the disk is full\n");
}

#[tokio::test]
async fn a_renewed_certificate_is_spoken_without_being_told() {
    let desk = Desk::new("");
    let put = |name: &str, text: &str| secret::write(desk.at.path().join(name), text);
    let certify = || {
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .unwrap()
    };
    let first = certify();
    put("cert.pem", &first.cert.pem());
    put("key.pem", &first.signing_key.serialize_pem());
    desk.configure(
        "127.0.0.1:0",
        "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[enrolment]\nmode = \"open\"\n",
    );
    let (running, address) = desk.serve();
    let mut running = running;
    let healthy = async |pem: &str| {
        let http = client(Some(pem));
        http.get(format!("https://{address}/healthz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    };
    assert!(healthy(&first.cert.pem()).await);
    // The certificate alone does not go with the old key: it is told, and the old pair goes on.
    let second = certify();
    put("cert.pem", &second.cert.pem());
    let mut running = tokio::task::spawn_blocking(move || {
        running.says("the certificate changed, and the old one is kept");
        running
    })
    .await
    .unwrap();
    assert!(healthy(&first.cert.pem()).await);
    put("key.pem", &second.signing_key.serialize_pem());
    let running = tokio::task::spawn_blocking(move || {
        running.says("the certificate was renewed");
        running
    })
    .await
    .unwrap();
    assert!(healthy(&second.cert.pem()).await && !healthy(&first.cert.pem()).await);
    let mut running = running;
    assert!(tokio::task::spawn_blocking(move || running.terminate()).await.unwrap().success());
}

#[tokio::test]
async fn a_backup_is_made_while_it_works_and_another_collector_goes_on_from_it() {
    let desk = Desk::new("[enrolment]\nmode = \"open\"\n");
    let (mut running, address) = desk.serve();
    let (http, url) = (client(None), format!("http://{address}"));
    let agent = Foreign::new();
    assert_eq!(enrol(&http, &url, &agent, None).await["state"], "approved");
    let all = agent.summaries(50);
    let before = ship(&http, &url, all[..20].join("\n")).await;
    // It goes on shipping while the copy is made.
    let dir = desk.at.path().join("backup").display().to_string();
    let (copied, said) = tokio::join!(
        tokio::task::spawn_blocking({
            let (config, dir) = (desk.config(), dir.clone());
            move || wanproof(&["collector", "backup", &dir, "--config", &config]).output().unwrap()
        }),
        async {
            let mut said = Vec::new();
            for jws in &all[20..] {
                said.extend(ship(&http, &url, jws.clone()).await);
            }
            said
        }
    );
    let copied = copied.unwrap();
    assert!(copied.status.success(), "{copied:?}");
    assert!(said.iter().all(|line| line["receipt"].is_string()));
    assert!(running.terminate().success());
    let again = desk.ask(&["backup", &dir]);
    assert_eq!(again.status.code(), Some(3), "a backup overwrites nothing: {again:?}");

    let restored = Desk::new("[enrolment]\nmode = \"open\"\n");
    std::fs::create_dir(restored.at.path().join("data")).unwrap();
    std::fs::copy(format!("{dir}/collector.db"), restored.at.path().join("data/collector.db"))
        .unwrap();
    std::fs::copy(format!("{dir}/collector.key"), restored.at.path().join("collector.key"))
        .unwrap();
    let (mut running, address) = restored.serve();
    let url = format!("http://{address}");
    assert!(restored.agents()[0]["last"]["seq"].as_u64().unwrap() >= 19);
    assert_eq!(ship(&http, &url, all[..20].join("\n")).await, before, "the receipts are the same");
    let rest = ship(&http, &url, all[20..].join("\n")).await;
    assert!(rest.iter().all(|line| line["receipt"].is_string()));
    assert_eq!(restored.agents()[0]["last"]["seq"], 49);
    assert!(running.terminate().success());
}

#[test]
fn operators_do_by_command_what_the_api_does() {
    let desk = Desk::new("[enrolment]\nmode = \"open\"\n");
    let (mut running, _) = desk.serve();
    let done = |args: &[&str]| {
        let output = desk.ask(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(done(&["contracts"]).contains("there is no contract yet"));
    let file = desk.at.path().join("fleet.toml");
    std::fs::write(&file, include_str!("../fleet/contract.toml")).unwrap();
    let file = file.display().to_string();
    assert!(done(&["contracts", "import", &file]).contains("contracts move propose FLEET 1"));
    let early = desk.ask(&["contracts", "move", "take_effect", "FLEET", "1"]);
    let said = String::from_utf8(early.stderr).unwrap();
    assert!(
        early.status.code() == Some(3)
            && said.contains("a version that is draft cannot take_effect"),
        "{said}"
    );
    for action in ["propose", "sign"] {
        done(&["contracts", "move", action, "FLEET", "1", "--at", "2026-01-20T00:00:00Z"]);
    }
    // Not now, but when the contract says so.
    let said = done(&["contracts", "move", "take_effect", "FLEET", "1"]);
    assert_eq!(said, "FLEET version 1 is in_force from 2026-02-01 00:00:00Z\n");
    let all: Value = serde_json::from_str(&done(&["contracts", "--json"])).unwrap();
    assert_eq!(
        (&all[0]["state"], &all[0]["in_force_from"]),
        (&json!("in_force"), &json!("2026-02-01T00:00:00Z"))
    );
    std::fs::write(&file, "[agreement").unwrap();
    assert_eq!(desk.ask(&["contracts", "import", &file]).status.code(), Some(2));

    std::fs::write(
        &file,
        r#"{"events": [{"from": "2026-11-03T01:00:00Z", "to": "2026-11-03T02:00:00Z"}]}"#,
    )
    .unwrap();
    assert!(
        done(&["facts", "provider", "FLEET", "ckt-1", &file])
            .starts_with("1 events of ckt-1 are here")
    );
    assert_eq!(desk.ask(&["facts", "provider", "FLEET", "ckt-9", &file]).status.code(), Some(3));
    let token = done(&["tokens", "make", "grafana"]);
    assert!(token.trim().len() >= 43 && done(&["tokens"]).contains("grafana  read"));
    done(&["tokens", "revoke", "grafana"]);
    assert!(done(&["findings"]).contains("nothing is missing"));
    assert!(done(&["claims"]).contains("no verdict earned a credit yet"));
    let unknown =
        desk.ask(&["label", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "region=north"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
    assert!(running.terminate().success());
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_made() {
    let desk = Desk::new("");
    desk.configure("0.0.0.0:8443", "[enrolment]\nmode = \"token\"\n");
    let output = desk.ask(&["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("without [tls] everything would be sent in the clear")
            && said.contains("token_file is missing"),
        "{said}"
    );
    assert!(!desk.at.path().join("data").exists());
    desk.configure("127.0.0.1:0", "");
    let output = desk.ask(&["agents"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("has `wanproof collector serve` run")
    );
    // A key that others can read.
    use std::os::unix::fs::PermissionsExt as _;
    let key = desk.at.path().join("collector.key");
    wanproof::store::keyfile::load_or_create(&key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = desk.ask(&["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && said.contains("chmod 600"), "{said}");
}

#[test]
fn the_shipped_configuration_is_right() {
    let at = tempfile::tempdir().unwrap();
    for name in ["cert.pem", "key.pem", "tokens", "admin-token"] {
        secret::write(at.path().join(name), "sixteen characters");
    }
    let text = include_str!("../../config/collector.toml");
    let config = CollectorConfig::parse(text, "collector.toml", at.path()).unwrap();
    assert_eq!(config.enrolment, Enrolment::Token(at.path().join("tokens")));
    // As it is shipped it lacks those files, and nothing else.
    let elsewhere = tempfile::tempdir().unwrap();
    let faults = CollectorConfig::parse(text, "collector.toml", elsewhere.path()).unwrap_err();
    let faults = faults.to_string();
    assert_eq!(faults.lines().count(), 4, "{faults}");
    assert_eq!(faults.matches("cannot be read").count(), 4, "{faults}");
}
