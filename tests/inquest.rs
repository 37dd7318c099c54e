//! Whose side failed, as `wanproof outages --json` says it: real outages in the fake WAN.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::notify::Notified;
use common::process::{PATIENCE, Running};
use common::summaries::array;
use common::wan::Wan;
use serde_json::Value;

/// A line with a gateway before it, which `gateway` says more of; it fails for eight seconds behind its second router.
fn network(gateway: &str) -> String {
    format!(
        r#"
        [[address]]
        at = "10.99.0.1"
        {gateway}
        [[address]]
        at = "10.99.1.1"
        path = ["10.98.0.1", "192.0.2.1"]
        since = "first_packet"
        outages = [{{ from = "1s", to = "9s", down_hop = 3 }}]
        "#
    )
}

const AGENT: &str = r#"
    site = "leeds-01"
    data_dir = "data"
    [defaults]
    kind = "icmp"
    period = "100ms"
    timeout = "500ms"
    [[probe]]
    name = "hq"
    target = "10.99.1.1"
    [[probe]]
    name = "gateway"
    target = "10.99.0.1"
    role = "reference"
    [[probe]]
    name = "elsewhere"
    target = "127.0.0.1"
    role = "reference"
    interface = "lo"
"#;

struct Site {
    wan: Wan,
    agent: Running,
}

impl Site {
    fn start(network: &str) -> Option<Self> {
        let wan = Wan::start(network)?;
        std::fs::write(wan.path("agent.toml"), AGENT).unwrap();
        let notified = Notified::at(wan.path("notify"));
        let mut agent = Running::start(notified.tell(&mut wanproof(&wan, "run --config agent.toml")));
        notified.wait(|| {
            agent.wait();
            agent.told()
        });
        Some(Self { wan, agent })
    }

    /// What a command says, once it is as wanted.
    fn says(&self, words: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let output = wanproof(&self.wan, words).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            if wanted(&said) {
                return said;
            }
            assert!(begun.elapsed() < PATIENCE, "it stays {said}; the agent said\n{}", self.agent.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The only outage there is, once it is as wanted.
    fn outage(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let outages = self.says("outages --json --config agent.toml", |all| wanted(&all[0]));
        assert_eq!(array(&outages).len(), 1, "a reference's failure is no outage: {outages}");
        assert_eq!(outages[0]["probe"], "hq", "{outages}");
        outages[0].clone()
    }
}

fn wanproof(wan: &Wan, words: &str) -> Command {
    let mut command = wan.command(env!("CARGO_BIN_EXE_wanproof"));
    command.current_dir(wan.dir.path()).args(words.split(' '));
    command
}

fn who(trace: &Value) -> Vec<&str> {
    array(trace).iter().filter_map(|line| line.as_str()?.split(' ').nth(1)).collect()
}

#[test]
fn behind_a_gateway_that_answers_it_is_the_provider_s_and_traces_show_where() {
    let Some(mut site) = Site::start(&network("")) else { return };
    let outage = site.outage(|outage| outage["side"] != "unknown" && !outage["side"].is_null());
    assert_eq!(outage["side"], "provider", "{outage}");
    let outage = site.outage(|outage| !outage["evidence"]["trace_after"].is_null());
    assert_eq!(outage["side"], "provider", "{outage}");
    let evidence = &outage["evidence"];
    assert_eq!((&evidence["gateway"], &evidence["carrier"]), (&"answered".into(), &"up".into()), "{outage}");
    let names: Vec<&String> = evidence["references"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["gateway"], "the one on another interface does not count");
    let before = who(&evidence["trace"]);
    assert_eq!(before[..2], ["10.98.0.1", "192.0.2.1"], "{outage}");
    assert!(!before.contains(&"10.99.1.1"), "{outage}");
    assert_eq!(who(&evidence["trace_after"]), ["10.98.0.1", "192.0.2.1", "10.99.1.1"], "{outage}");
    let sends = |what: &str| evidence["sends"][what].as_u64();
    assert_eq!((sends("answered"), sends("not_sent")), (Some(0), Some(0)), "{outage}");
    assert!((1..=81).contains(&sends("failed").unwrap()), "no more than were due during the outage: {outage}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn where_the_gateway_fails_too_it_is_the_customer_s() {
    let gateway = "since = \"first_packet\"\noutages = [{ from = \"500ms\", to = \"11s\" }]";
    let Some(mut site) = Site::start(&network(gateway)) else { return };
    let outage = site.outage(|outage| !outage["evidence"]["trace_after"].is_null());
    assert_eq!(outage["side"], "customer", "{outage}");
    assert_eq!(outage["evidence"]["gateway"], "silent", "{outage}");
    assert!(!outage["evidence"]["trace"].is_null(), "{outage}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn without_a_carrier_nobody_can_tell() {
    let Some(mut site) = Site::start("[[address]]\nat = ['10.99.0.1', '10.99.1.1']") else { return };
    site.says("status --json --config agent.toml", |status| {
        ["hq", "gateway"]
            .iter()
            .zip(array(&status["probes"]))
            .all(|(name, one)| one["name"] == *name && one["state"] == "up")
    });
    let down = site.wan.output("ip", &["link", "set", "wan0", "down"]);
    assert!(down.status.success(), "{down:?}");
    let outage = site.outage(|outage| !outage["evidence"]["trace"].is_null());
    assert_eq!((&outage["side"], &outage["evidence"]["carrier"]), (&"unknown".into(), &"down".into()), "{outage}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}
