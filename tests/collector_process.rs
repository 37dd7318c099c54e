//! The collector as a process: started, asked, told to read its configuration again, killed and ended.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "wire/foreign.rs"]
#[expect(dead_code, reason = "forgeries are in the collector's own test")]
mod foreign;
#[path = "common/process.rs"]
mod process;

use std::path::Path;
use std::process::{Command, Output};

use foreign::Foreign;
use nix::sys::signal::Signal;
use process::Running;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use wanproof::config::collector::{CollectorConfig, Enrolment};

fn wanproof(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command.args(args);
    command
}

/// A collector with its files in a directory of its own.
struct Desk {
    at: tempfile::TempDir,
}

impl Desk {
    fn new(more: &str) -> Self {
        let desk = Self { at: tempfile::tempdir().unwrap() };
        desk.configure("127.0.0.1:0", more);
        desk
    }

    fn configure(&self, listen: &str, more: &str) {
        let text = format!(
            "listen = \"{listen}\"\ndatabase = \"sqlite:data/collector.db\"\ndata_dir = \"data\"\nkey_file = \"collector.key\"\n{more}"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> String {
        self.at.path().join("collector.toml").display().to_string()
    }

    /// Starts it, and gives where it listens.
    fn serve(&self) -> (Running, String) {
        let mut running = Running::start(&mut wanproof(&["collector", "serve", "--config", &self.config()]));
        let said = running.says("the collector is listening");
        let address = said.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        (running, address.to_owned())
    }

    fn ask(&self, args: &[&str]) -> Output {
        let config = self.config();
        wanproof(&[&["collector"], args, &["--config", &config]].concat()).output().unwrap()
    }

    fn agents(&self) -> Value {
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
    let answer = http.post(format!("{url}/v1/enrol")).body(agent.enrolment(token)).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

async fn ship(http: &Client, url: &str, body: String) -> Vec<Value> {
    let request = http.post(format!("{url}/v1/summaries")).header("content-type", "application/x-ndjson");
    let text = request.body(body).send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
    assert_eq!(ship(&http, &url, other.clone()).await[0]["error"]["type"], "urn:wanproof:chain-conflict");
    let aside = desk.at.path().join("aside").display().to_string();
    let shown = desk.ask(&["conflicts", "--json", "--export", &aside]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["seq"]), (1, &json!(2)), "{shown}");
    assert_eq!((&shown[0]["agent"], &shown[0]["digest"]), (&json!(agent.kid), &json!(foreign::digest(&other))));
    let file = Path::new(&aside).join(&agent.kid).join(&agent.chain).join(format!("2.{}.jws", foreign::digest(&other)));
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
    let args = ["verify", "--key", &path("agent.jwk"), "--key", &path("collector.jwk"), &out, "--json"];
    let verified = wanproof(&args).output().unwrap();
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((verified.status.code(), &answer["checked"]["receipts"]), (Some(0), &json!(6)), "{answer}");
    // Beside what was kept aside it is plain that the agent's key signed two.
    let both = ["verify", "--key", &path("agent.jwk"), "--key", &path("collector.jwk"), &out, &aside, "--json"];
    let said = String::from_utf8(wanproof(&both).output().unwrap().stdout).unwrap();
    assert!(said.contains("number 2 of chain") && said.contains("is there twice, and differs"), "{said}");
}

#[tokio::test]
async fn an_operator_approves_and_revokes_while_it_runs() {
    let desk = Desk::new("[enrolment]\nmode = \"operator\"\n[admin]\ntoken_file = \"admin\"\n");
    std::fs::write(desk.at.path().join("admin"), "let me in\n").unwrap();
    let (mut running, address) = desk.serve();
    let (http, url) = (client(None), format!("http://{address}"));
    let agent = Foreign::new();
    assert_eq!(enrol(&http, &url, &agent, None).await["state"], "pending");
    let all = agent.summaries(2);
    assert_eq!(ship(&http, &url, all[0].clone()).await[0]["error"]["type"], "urn:wanproof:pending");
    assert!(desk.ask(&["approve", &agent.kid]).status.success());
    assert_eq!(enrol(&http, &url, &agent, None).await["state"], "approved");
    assert!(ship(&http, &url, all[0].clone()).await[0]["receipt"].is_string());
    let fleet = |token: &str| http.get(format!("{url}/v1/agents")).bearer_auth(token).send();
    assert_eq!(fleet("let me out").await.unwrap().status(), 401);
    let shown: Value = serde_json::from_slice(&fleet("let me in").await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(shown[0]["state"], "approved");
    let revoke = http.post(format!("{url}/v1/agents/{}/revoke", agent.kid));
    assert_eq!(revoke.try_clone().unwrap().bearer_auth("let me out").send().await.unwrap().status(), 401);
    assert_eq!(revoke.bearer_auth("let me in").send().await.unwrap().status(), 204);
    assert_eq!(ship(&http, &url, all[1].clone()).await[0]["error"]["type"], "urn:wanproof:revoked");
    // The key that is to follow is announced by the present one.
    let present: Value = serde_json::from_slice(&desk.ask(&["key", "--json"]).stdout).unwrap();
    let next: Value = serde_json::from_slice(&desk.ask(&["key", "--next", "--json"]).stdout).unwrap();
    assert_ne!(next["kid"], present["kid"]);
    running.signal(Signal::SIGHUP);
    running.says("the configuration was read again");
    let announced = http.get(format!("{url}/v1/keys")).send().await.unwrap().text().await.unwrap();
    let (header, said) = foreign::verify(&announced, &present);
    assert_eq!((header.token_type(), &said["jwk"]["kid"]), (Some("wanproof-keys+jws"), &present["kid"]));
    assert_eq!((&said["collector"], &said["next"]["kid"]), (&present["kid"], &next["kid"]));
    let again = desk.ask(&["approve", &agent.kid]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert!(running.terminate().success());
}

#[tokio::test]
async fn tls_is_spoken_and_the_configuration_is_read_again() {
    let desk = Desk::new("");
    let put = |name: &str, text: &str| std::fs::write(desk.at.path().join(name), text).unwrap();
    let certify = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        put("cert.pem", &made.cert.pem());
        put("key.pem", &made.signing_key.serialize_pem());
        made.cert.pem()
    };
    let first = certify();
    put("tokens", "once\n");
    let rest = |mode: &str| format!("[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[enrolment]\n{mode}\n");
    desk.configure("127.0.0.1:0", &rest("mode = \"token\"\ntoken_file = \"tokens\""));
    let (mut running, address) = desk.serve();
    let url = format!("https://{address}");
    let (one, two) = (Foreign::new(), Foreign::new());
    let http = client(Some(&first));
    assert_eq!(enrol(&http, &url, &one, Some("once")).await["state"], "approved");
    assert!(ship(&http, &url, one.summary(0, None)).await[0]["receipt"].is_string());
    assert!(client(None).get(format!("{url}/healthz")).send().await.is_err(), "nobody vouches for it");
    assert!(client(None).get(format!("http://{address}/healthz")).send().await.is_err(), "nothing in the clear");
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
fn what_cannot_work_is_refused_before_anything_is_made() {
    let desk = Desk::new("");
    desk.configure("0.0.0.0:8443", "[enrolment]\nmode = \"token\"\n");
    let output = desk.ask(&["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("without [tls] everything would be sent in the clear") && said.contains("token_file is missing"),
        "{said}"
    );
    assert!(!desk.at.path().join("data").exists());
    desk.configure("127.0.0.1:0", "");
    let output = desk.ask(&["agents"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("has `wanproof collector serve` run"));
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
        std::fs::write(at.path().join(name), "x").unwrap();
    }
    let text = include_str!("../config/collector.toml");
    let config = CollectorConfig::parse(text, "collector.toml", at.path()).unwrap();
    assert_eq!(config.enrolment, Enrolment::Token(at.path().join("tokens")));
}
