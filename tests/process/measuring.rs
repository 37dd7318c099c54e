//! What the agent tells of its own measuring and of the paths: when it was itself late, a way back
//! that changes its length, the routers that refuse, the load of the line.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::process::Command;
use std::time::{Duration, Instant};

use kit::notify::Notified;
use kit::process::{PATIENCE, Running};
use kit::summaries::{array, chained, exported, told};
use kit::wan::{Wan, installed, skip};
use nix::sys::signal::Signal;
use serde_json::Value;

struct Site {
    wan: Wan,
    agent: Running,
}

/// An agent at ten probes a second to each target, with a collector that is not there.
fn begun(network: &str, targets: &[(&str, &str)]) -> Option<Site> {
    let wan = Wan::start(network)?;
    let mut config = "site = 'leeds-01'\ndata_dir = 'data'\n[collector]\nurl = \
        'http://127.0.0.1:9'\nevery = '1s'\n\
                      [store]\ncommit = '1s'\n[defaults]\nkind = 'icmp'\nperiod = \
        '100ms'\ntimeout = '500ms'\n"
        .to_owned();
    for (name, target) in targets {
        config += &format!("[[probe]]\nname = '{name}'\ntarget = '{target}'\n");
    }
    std::fs::write(wan.path("agent.toml"), config).unwrap();
    let notified = Notified::at(wan.path("notify"));
    let mut agent = Running::start(notified.tell(&mut wanproof(&wan, "run")));
    notified.wait(|| {
        agent.wait();
        agent.told()
    });
    Some(Site { wan, agent })
}

fn wanproof(wan: &Wan, words: &str) -> Command {
    let mut command = wan.command(env!("CARGO_BIN_EXE_wanproof"));
    command.current_dir(wan.dir.path()).args(words.split(' ')).args(["--config", "agent.toml"]);
    command
}

impl Site {
    /// What a command says in JSON, once it is as wanted.
    fn says(&self, words: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let output = wanproof(&self.wan, words).output().unwrap();
            assert!(
                output.status.success(),
                "{words}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            if wanted(&said) {
                return said;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{words}: it stays {said}; the agent said\n{}",
                self.agent.told()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_up(&self) {
        self.says("status --json", |status| {
            array(&status["probes"]).iter().all(|probe| probe["state"] == "up")
        });
    }
}

#[test]
fn an_interval_in_which_the_agent_itself_stood_still_says_so_and_its_lag_is_signed() {
    let Some(mut site) =
        begun("[[address]]\nat = '10.99.1.1'\ndelay = '5ms'\n", &[("hq", "10.99.1.1")])
    else {
        return;
    };
    site.is_up();
    site.agent.signal(Signal::SIGSTOP);
    // The length of the standstill is what is tested; nothing happens in it that could be waited
    // for.
    std::thread::sleep(Duration::from_millis(1500));
    site.agent.signal(Signal::SIGCONT);
    let limited = |status: &Value| status["probes"][0]["limited"].as_u64() > Some(0);
    site.says("status --json", limited);
    // An interval later it is on time again.
    site.says("status --json", |status| !limited(status));
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
    let export = wanproof(&site.wan, "outbox --export kept").output().unwrap();
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let identity = site.says("identity --json", |_| true);
    let summaries = chained(&exported(&site.wan.path("kept")), &identity);
    let hq = told(&summaries, "hq");
    assert!(!hq.outcomes.contains(['l', 'n', 'u']), "{}", hq.outcomes);
    let missed = hq.outcomes.matches('x').count() as u64;
    assert!((10..=20).contains(&missed), "{}", hq.outcomes);
    // Kernel stamps do not wait for the agent: the sends that it missed are all that it limited.
    assert_eq!(hq.kernel_stamped, hq.outcomes.matches('a').count() as u64);
    assert_eq!(hq.reasons["own/limited"], missed, "{:?}", hq.reasons);
    let worst = summaries
        .iter()
        .filter_map(|summary| summary.body["own_lag_us"]["send"]["max"].as_u64())
        .max();
    assert!(worst > Some(1_000_000), "{worst:?}");
    let receive = summaries
        .iter()
        .filter_map(|summary| summary.body["own_lag_us"]["receive"]["mean"].as_u64());
    assert!(receive.count() > 0, "how long replies lay unread is told, too");
}

#[test]
fn replies_that_come_with_another_ttl_are_an_event_in_the_journal() {
    let network = "[[address]]\nat = '10.99.1.1'\nreply_ttl = 57\n";
    let Some(mut site) = installed("nft").then(|| begun(network, &[("hq", "10.99.1.1")])).flatten()
    else {
        return;
    };
    site.is_up();
    let rules = "add table ip t; add chain ip t in { type filter hook prerouting priority -150; }; \
                 add rule ip t in ip protocol icmp ip ttl set 49";
    let set = site.wan.output("nft", &[rules]);
    if !set.status.success() {
        return skip(&format!("no packet filter here: {}", String::from_utf8_lossy(&set.stderr)));
    }
    let journal = site.says("journal --json --kind reply-ttl", |all| !array(all).is_empty());
    assert_eq!(journal[0]["detail"], "hq: replies come with TTL 49, 57 before", "{journal}");
    let plain = wanproof(&site.wan, "journal --kind reply-ttl").output().unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    assert!(plain.ends_with("Z  reply-ttl  hq: replies come with TTL 49, 57 before\n"), "{plain}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}

#[test]
fn a_router_that_refuses_is_named_in_the_journal_and_in_the_outage_with_the_load_of_the_line() {
    let network = r#"
        [[address]]
        at = "10.99.1.1"
        path = ["10.98.0.1", "192.0.2.1"]
        since = "first_packet"
        windows = [{ from = "3s", to = "600s", refuse = "host-unreachable" }]
        [[address]]
        at = "10.99.1.2"
    "#;
    let targets = [("hq", "10.99.1.1"), ("dc", "10.99.1.2")];
    let Some(mut site) = begun(network, &targets) else { return };
    let outages = site.says("outages --json", |all| !all[0]["evidence"]["trace"].is_null());
    assert_eq!(array(&outages).len(), 1, "{outages}");
    let evidence = &outages[0]["evidence"];
    assert_eq!(
        evidence["refused_by"],
        serde_json::json!(["192.0.2.1 host-unreachable"]),
        "{outages}"
    );
    let traffic = &evidence["traffic"];
    assert_eq!(
        (&traffic["interface"], &traffic["tx_packets_lost"]),
        (&"wan0".into(), &0.into()),
        "{outages}"
    );
    assert!(
        traffic["rx_bits_per_second"].as_u64() > Some(0),
        "the other probe's replies came by it: {outages}"
    );
    let journal = site.says("journal --json --kind refused", |all| !array(all).is_empty());
    let line = journal[0]["detail"].as_str().unwrap();
    assert!(line.starts_with("hq: host-unreachable, says 192.0.2.1 ("), "{line}");
    assert!(site.agent.terminate().success(), "{}", site.agent.told());
}
