//! Whose side failed, as `wanproof outages --json` says it: real outages in the fake WAN.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::process::Command;
use std::time::{Duration, Instant};

use kit::notify::Notified;
use kit::process::{PATIENCE, Running};
use kit::summaries::array;
use kit::wan::Wan;
use serde_json::Value;

/// A line with a gateway before it, which `gateway` says more of; it fails for eight seconds behind
/// its second router.
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
        Self::with(network, AGENT)
    }

    fn with(network: &str, agent: &str) -> Option<Self> {
        Self::within(Wan::start(network)?, agent)
    }

    fn within(wan: Wan, agent: &str) -> Option<Self> {
        std::fs::write(wan.path("agent.toml"), agent).unwrap();
        let notified = Notified::at(wan.path("notify"));
        let mut agent =
            Running::start(notified.tell(&mut wanproof(&wan, "run --config agent.toml")));
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
            assert!(
                begun.elapsed() < PATIENCE,
                "it stays {said}; the agent said\n{}",
                self.agent.told()
            );
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
    assert_eq!(
        (&evidence["gateway"], &evidence["carrier"]),
        (&"answered".into(), &"up".into()),
        "{outage}"
    );
    let names: Vec<&String> = evidence["references"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["gateway"], "the one on another interface does not count");
    let before = who(&evidence["trace"]);
    assert_eq!(before[..2], ["10.98.0.1", "192.0.2.1"], "{outage}");
    assert!(!before.contains(&"10.99.1.1"), "{outage}");
    assert_eq!(who(&evidence["trace_after"]), ["10.98.0.1", "192.0.2.1", "10.99.1.1"], "{outage}");
    let sends = |what: &str| evidence["sends"][what].as_u64();
    assert_eq!((sends("answered"), sends("not_sent")), (Some(0), Some(0)), "{outage}");
    assert!(
        (1..=81).contains(&sends("failed").unwrap()),
        "no more than were due during the outage: {outage}"
    );
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
    let Some(mut site) = Site::start("[[address]]\nat = ['10.99.0.1', '10.99.1.1']") else {
        return;
    };
    site.says("status --json --config agent.toml", |status| {
        ["hq", "gateway"]
            .iter()
            .zip(array(&status["probes"]))
            .all(|(name, one)| one["name"] == *name && one["state"] == "up")
    });
    let down = site.wan.output("ip", &["link", "set", "wan0", "down"]);
    assert!(down.status.success(), "{down:?}");
    let outage = site.outage(|outage| !outage["evidence"]["trace"].is_null());
    assert_eq!(
        (&outage["side"], &outage["evidence"]["carrier"]),
        (&"unknown".into(), &"down".into()),
        "{outage}"
    );
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn when_all_fails_at_once_one_trace_is_made_after_the_other_and_shared_by_who_wants_the_same() {
    let network = r#"
        [[address]]
        at = ["10.99.1.1", "10.99.1.2"]
        path = ["10.98.0.1"]
        since = "first_packet"
        outages = [{ from = "500ms", to = "600s", down_hop = 2 }]
    "#;
    let mut agent =
        "site = 'leeds-01'\ndata_dir = 'data'\n[defaults]\nkind = 'icmp'\ntimeout = '500ms'\n"
            .to_owned();
    for (name, target) in
        [("a1", "10.99.1.1"), ("b1", "10.99.1.2"), ("a2", "10.99.1.1"), ("b2", "10.99.1.2")]
    {
        agent += &format!("[[probe]]\nname = '{name}'\ntarget = '{target}'\nperiod = '100ms'\n");
    }
    let Some(mut site) = Site::with(network, &agent) else { return };
    let outages = site.says("outages --json --config agent.toml", |all| {
        let all = array(all);
        all.len() == 4 && all.iter().all(|one| !one["evidence"]["trace"].is_null())
    });
    let trace = |name: &str| {
        let own = array(&outages).iter().find(|one| one["probe"] == name);
        own.map(|one| one["evidence"]["trace"].clone()).unwrap()
    };
    assert_eq!((trace("a1"), trace("b1")), (trace("a2"), trace("b2")), "{outages}");
    assert_eq!(who(&trace("a1"))[0], "10.98.0.1", "{outages}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
    let truth = site.wan.truth();
    let [a, b] = ["10.99.1.1", "10.99.1.2"].map(|target| {
        let packets =
            truth.echoes(target).into_iter().filter(|line| line.ttl < 64).map(|line| line.mono);
        let packets: Vec<u64> = packets.collect();
        assert!((2..=60).contains(&packets.len()), "{} packets to {target}", packets.len());
        (*packets.iter().min().unwrap(), *packets.iter().max().unwrap())
    });
    assert!(a.1 < b.0 || b.1 < a.0, "the traces were made at one time: {a:?} {b:?}");
}

/// A gateway that answers, and a target that refuses from its first packet on, before which a
/// router lets no trace pass.
fn refusing(rules: &str) -> String {
    format!(
        r#"
        [[address]]
        at = "10.99.0.1"
        [[address]]
        at = "10.99.1.1"
        {rules}
        "#
    )
}

fn agent(probes: &str) -> String {
    format!(
        "site = 'leeds-01'\ndata_dir = 'data'\n[defaults]\nkind = 'icmp'\nperiod = \
            '200ms'\ntimeout = '1s'\n\
         [[probe]]\nname = 'gateway'\ntarget = '10.99.0.1'\nrole = 'reference'\n{probes}"
    )
}

fn by_name<'a>(outages: &'a Value, name: &str) -> &'a Value {
    let found = array(outages).iter().find(|one| one["probe"] == name);
    found.unwrap_or_else(|| panic!("no outage of {name}: {outages}"))
}

/// The outage of each of these probes, once each was judged with its trace, if one is made at all.
fn judged(site: &Site, names: &[&str]) -> Value {
    site.says("outages --json --config agent.toml", |all| {
        names.iter().all(|name| {
            array(all)
                .iter()
                .any(|one| one["probe"] == *name && !one["evidence"]["trace"].is_null())
        })
    })
}

#[test]
fn what_the_target_itself_refuses_is_nobody_s_path() {
    // Echoes to the target and its traces are lost: nothing but its refusals says that packets come
    // through.
    let network = refusing("http = 80");
    let probes = "[[probe]]\nname = 'status'\nkind = 'http'\nurl = 'http://10.99.1.1/status/503'\n\
                  [[probe]]\nname = 'body'\nkind = 'http'\nurl = 'http://10.99.1.1/'\nexpect_body \
        = 'nowhere'\n\
                  [[probe]]\nname = 'reset'\nkind = 'tcp'\ntarget = '10.99.1.1:81'\n\
                  [[probe]]\nname = 'tls'\nkind = 'http'\nurl = 'https://10.99.1.1:80/'\n";
    let Some(mut site) = Site::with(&network, &agent(probes)) else { return };
    let filter = "add table ip t; add chain ip t o { type filter hook prerouting priority 0; }; \
                  add rule ip t o ip saddr 10.99.1.1 icmp type echo-reply drop";
    let set = site.wan.output("nft", &[filter]);
    if !set.status.success() {
        return kit::wan::skip(&format!(
            "no packet filter here: {}",
            String::from_utf8_lossy(&set.stderr)
        ));
    }
    let names = ["status", "body", "reset", "tls"];
    let outages = judged(&site, &names);
    for name in names {
        let outage = by_name(&outages, name);
        assert_eq!(outage["side"], "unknown", "{outage}");
        assert_eq!(outage["evidence"]["gateway"], "answered", "{outage}");
        assert!(outage["evidence"]["sends"]["refused_by_target"].as_u64() > Some(0), "{outage}");
    }
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn the_target_s_own_firewall_is_the_target_s_word_and_a_router_s_is_not() {
    let network = r#"
        [[address]]
        at = "10.99.0.1"
        [[address]]
        at = "10.99.1.1"
        refuse = "admin-prohibited"
        [[address]]
        at = "10.99.1.2"
        path = ["192.0.2.1"]
        refuse = "admin-prohibited"
    "#;
    let probes = "[[probe]]\nname = 'own'\ntarget = '10.99.1.1'\n[[probe]]\nname = \
        'router'\ntarget = '10.99.1.2'\n";
    let Some(mut site) = Site::with(network, &agent(probes)) else { return };
    let outages = judged(&site, &["own", "router"]);
    let said = |name: &str| {
        (
            by_name(&outages, name)["side"].clone(),
            by_name(&outages, name)["evidence"]["refused_by"][0].clone(),
        )
    };
    assert_eq!(said("own"), ("unknown".into(), "10.99.1.1 prohibited".into()), "{outages}");
    assert_eq!(said("router"), ("provider".into(), "192.0.2.1 prohibited".into()), "{outages}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn another_probe_of_the_same_target_that_is_answered_proves_the_path() {
    let Some(mut site) = Site::with(
        &refusing("http = 80"),
        &agent(
            "[[probe]]\nname = 'hq'\ntarget = '10.99.1.1'\n[[probe]]\nname = 'web'\nkind = \
                'tcp'\ntarget = '10.99.1.1:80'\n",
        ),
    ) else {
        return;
    };
    site.says("status --json --config agent.toml", |status| {
        array(&status["probes"]).iter().all(|one| one["state"] == "up")
    });
    let filter = "add table ip t; add chain ip t o { type filter hook prerouting priority 0; }; \
                  add rule ip t o ip saddr 10.99.1.1 icmp type echo-reply drop";
    let set = site.wan.output("nft", &[filter]);
    if !set.status.success() {
        return kit::wan::skip(&format!(
            "no packet filter here: {}",
            String::from_utf8_lossy(&set.stderr)
        ));
    }
    let outages = judged(&site, &["hq"]);
    let outage = by_name(&outages, "hq");
    assert_eq!(outage["side"], "unknown", "{outage}");
    assert!(outage["evidence"]["same_target"]["web"]["answered"].as_u64() > Some(0), "{outage}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn a_gateway_that_was_never_there_is_the_customer_s_with_or_without_a_reference() {
    let network = "[[address]]\nat = ['10.99.0.1', '10.99.1.1']\n";
    for reference in ["", "[[probe]]\nname = 'lan'\ntarget = '10.99.0.1'\nrole = 'reference'\n"] {
        let text = format!(
            "site = 'leeds-01'\ndata_dir = 'data'\n[collector]\nurl = 'http://127.0.0.1:9'\nevery \
                = '1s'\n\
             [defaults]\nkind = 'icmp'\nperiod = '200ms'\ntimeout = '1s'\n\
             [[probe]]\nname = 'hq'\ntarget = '10.77.1.1'\n[[probe]]\nname = 'bound'\ntarget = \
                '10.66.1.1'\ninterface = 'eth9'\n{reference}"
        );
        let Some(wan) = Wan::start(network) else { return };
        // A second line, at whose other end nobody is; its gateway would have a public address.
        for line in [
            "link add eth9 type veth peer name far9",
            "link set eth9 up",
            "link set far9 up",
            "address add 192.0.2.1/24 dev eth9",
            "route add 10.77.0.0/16 via 192.0.2.77 dev eth9",
        ] {
            let done = wan.output("ip", &line.split(' ').collect::<Vec<_>>());
            assert!(done.status.success(), "ip {line}: {done:?}");
        }
        let Some(mut site) = Site::within(wan, &text) else { return };
        let outages = judged(&site, &["hq"]);
        let outage = by_name(&outages, "hq");
        assert_eq!(outage["side"], "customer", "{outage}");
        let hop = serde_json::json!({"address": "192.0.2.77", "interface": "eth9"});
        assert_eq!(outage["evidence"]["silent_next_hop"], hop, "{outage}");
        // No route leads out by the interface: what is not sent is no outage, but time of which
        // nothing is known.
        assert_eq!(array(&outages).len(), 1, "{outages}");
        site.says("status --json --config agent.toml", |status| {
            let bound = array(&status["probes"]).iter().find(|one| one["name"] == "bound");
            bound.is_some_and(|one| {
                one["outcomes"].as_str().is_some_and(|all| all.ends_with('n') && !all.contains('l'))
            })
        });
        assert!(site.agent.terminate().success(), "{}", site.agent.told());
    }
}
