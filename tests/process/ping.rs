//! `wanproof ping` against the fake WAN: what it says is what happened.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use kit::log::What;
use kit::process::Running;
use kit::wan::{Wan, installed};
use nix::sys::signal::Signal;
use serde_json::Value;

const WANPROOF: &str = env!("CARGO_BIN_EXE_wanproof");

/// Which kind of socket the namespace lets everybody have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sockets {
    Datagram,
    Raw,
}

/// A fake WAN whose namespace offers one kind of ICMP socket first.
fn wan(scenario: &str, sockets: Sockets) -> Option<Wan> {
    let wan = Wan::start(scenario)?;
    let range = match sockets {
        Sockets::Datagram => "0 2147483647",
        Sockets::Raw => "1 0",
    };
    let script = format!("echo {range} > /proc/sys/net/ipv4/ping_group_range");
    let set = wan.output("sh", &["-c", &script]);
    if !set.status.success() && sockets == Sockets::Datagram {
        // A user namespace maps a single group.
        wan.output("sh", &["-c", "echo 0 0 > /proc/sys/net/ipv4/ping_group_range"]);
    }
    Some(wan)
}

/// What `wanproof ping --json` says: replies by target and sequence number, and the summary of each
/// target.
struct Said {
    replies: BTreeMap<(String, u64), Value>,
    summaries: BTreeMap<String, Value>,
}

impl Said {
    fn by(wan: &Wan, arguments: &[&str]) -> Self {
        let output =
            wan.command(WANPROOF).args(["ping", "--json"]).args(arguments).output().unwrap();
        let said = Self::of(&String::from_utf8(output.stdout).unwrap());
        assert!(!said.summaries.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn of(text: &str) -> Self {
        let mut said = Self { replies: BTreeMap::new(), summaries: BTreeMap::new() };
        for line in text.lines() {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
            let target = value["target"].as_str().unwrap().to_owned();
            if value.get("sent").is_some() {
                said.summaries.insert(target, value);
            } else {
                // What was not sent has no sequence number; it comes in order all the same.
                let seq = value["seq"].as_u64().unwrap_or(1 << 20 | said.replies.len() as u64);
                assert!(
                    said.replies.insert((target, seq), value).is_none(),
                    "settled twice: {line}"
                );
            }
        }
        said
    }

    fn of_target(&self, target: &str) -> Vec<&Value> {
        self.replies.iter().filter(|((of, _), _)| of == target).map(|(_, reply)| reply).collect()
    }
}

fn what_is_said_is_the_truth(sockets: Sockets) {
    let text = r#"
        seed = 7
        [[address]]
        at = ["10.99.1.1", "fd99:1::1"]
        delay = "3ms"
        jitter = "1ms"
        loss = 0.1
        duplicate = 0.1
        duplicate_after = "2ms"
        reorder = 0.1
        reorder_by = "13ms"
        reply_ttl = 57
        [[address]]
        at = ["10.99.2.1", "fd99:2::1"]
        delay = "40ms"
    "#;
    let Some(wan) = wan(text, sockets) else { return };
    let targets = ["10.99.1.1", "fd99:1::1", "10.99.2.1", "fd99:2::1"];
    let mut arguments = vec!["-c", "200", "-i", "5ms", "-W", "500ms"];
    arguments.extend(targets);
    let said = Said::by(&wan, &arguments);
    let plain = wan.told(WANPROOF, &["ping", "-c", "1", "-q", "10.99.2.1"]);
    let kind = if sockets == Sockets::Datagram { "datagram" } else { "raw" };
    assert!(plain.contains(&format!("IPv4: {kind} ICMP socket, kernel stamps")), "{plain}");
    let truth = wan.end();
    for target in targets {
        let mut echoes = truth.echoes(target);
        echoes.truncate(200);
        let replies = said.of_target(target);
        assert_eq!((echoes.len(), replies.len()), (200, 200), "{target}");
        for (line, reply) in echoes.iter().zip(&replies) {
            assert_eq!(u64::from(line.seq), reply["seq"], "{line:?}");
            let outcome = if line.what == What::Answered { "a" } else { "l" };
            assert_eq!(reply["outcome"], outcome, "{line:?} {reply}");
            if line.what == What::Answered {
                assert_eq!(
                    (&reply["stamp"], &reply["bytes"]),
                    (&"kernel".into(), &64.into()),
                    "{reply}"
                );
                let ttl = if target.ends_with("1.1") || target.ends_with("1::1") { 57 } else { 64 };
                assert_eq!(reply["ttl"], ttl, "{reply}");
                let (rtt_us, held_ns) = (reply["rtt_us"].as_f64().unwrap(), line.held.unwrap());
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                let held_us = held_ns as f64 / 1000.0;
                assert!(
                    rtt_us >= held_us - 0.1,
                    "{reply} was measured before it was answered: {line:?}"
                );
            }
        }
        let summary = &said.summaries[target];
        let count =
            |what| truth.of(target, &[line_kind(target)]).filter(|line| line.what == what).count();
        assert_eq!(summary["duplicates"], count(What::Duplicate), "{summary}");
        // RFC 4737: an answer is reordered when one to a later send came before it.
        let mut arrivals: Vec<_> =
            echoes.iter().filter_map(|line| Some((line.mono + line.held?, line.seq))).collect();
        arrivals.sort();
        let mut furthest = 0;
        let late = arrivals.iter().filter(|(_, seq)| {
            furthest = furthest.max(*seq);
            *seq < furthest
        });
        assert_eq!(summary["reordered"], late.count(), "{summary}");
    }
}

fn line_kind(target: &str) -> kit::log::Kind {
    match target.parse().unwrap() {
        IpAddr::V4(_) => kit::log::Kind::Icmp4,
        IpAddr::V6(_) => kit::log::Kind::Icmp6,
    }
}

#[test]
fn what_a_datagram_socket_tells_is_the_truth() {
    what_is_said_is_the_truth(Sockets::Datagram);
}

#[test]
fn what_a_raw_socket_tells_is_the_truth() {
    what_is_said_is_the_truth(Sockets::Raw);
}

fn errors_are_matched(sockets: Sockets) {
    let text = r#"
        [[address]]
        at = ["10.99.1.1", "fd99:1::1"]
        refuse = "host-unreachable"
        path = []
        [[address]]
        at = ["10.99.2.1"]
        path = ["10.98.0.1", "10.98.0.2"]
        path_mtu = 1000
        [[address]]
        at = ["fd99:2::1"]
        path = ["fd98::1", "fd98::2"]
        path_mtu = 1300
        [[address]]
        at = ["10.99.3.1", "fd99:3::1"]
        delay = "30ms"
    "#;
    let Some(wan) = wan(text, sockets) else { return };
    let said = Said::by(
        &wan,
        &["-c", "5", "-i", "10ms", "10.99.1.1", "10.99.3.1", "fd99:1::1", "fd99:3::1"],
    );
    for target in ["10.99.1.1", "fd99:1::1"] {
        assert_eq!(said.summaries[target]["outcomes"], "5u", "{sockets:?} {target}");
        let reply = &said.of_target(target)[0];
        assert_eq!(reply["reason"], "refused/host-unreachable", "{reply}");
    }
    for target in ["10.99.3.1", "fd99:3::1"] {
        assert_eq!(
            said.summaries[target]["outcomes"], "5a",
            "another's error is not held against {target}"
        );
    }
    for (hops, routers) in [("1", ["10.98.0.1", "fd98::1"]), ("2", ["10.98.0.2", "fd98::2"])] {
        let said = Said::by(&wan, &["-c", "2", "-i", "10ms", "-t", hops, "10.99.2.1", "fd99:2::1"]);
        for (target, router) in ["10.99.2.1", "fd99:2::1"].iter().zip(routers) {
            let reply = &said.of_target(target)[0];
            assert_eq!(
                (&reply["outcome"], &reply["reason"]),
                (&"u".into(), &"refused/ttl-exceeded".into()),
                "{reply}"
            );
            assert_eq!(reply["from"], router, "{reply}");
        }
    }
    let said =
        Said::by(&wan, &["-c", "2", "-i", "10ms", "-M", "-s", "1400", "10.99.2.1", "fd99:2::1"]);
    let first = |target: &str| said.of_target(target)[0]["reason"].clone();
    assert_eq!(first("10.99.2.1"), "refused/fragmentation-needed");
    assert_eq!(first("fd99:2::1"), "refused/packet-too-big");
}

#[test]
fn icmp_errors_settle_the_probe_that_caused_them_on_datagram_sockets() {
    errors_are_matched(Sockets::Datagram);
}

#[test]
fn icmp_errors_settle_the_probe_that_caused_them_on_raw_sockets() {
    errors_are_matched(Sockets::Raw);
}

#[test]
fn after_a_run_of_losses_requests_carry_another_identifier() {
    for sockets in [Sockets::Datagram, Sockets::Raw] {
        let text = "[[address]]\nat = ['10.99.1.1', 'fd99:1::1']\nlose = ['0-14']\n";
        let Some(wan) = wan(text, sockets) else { return };
        let targets = ["10.99.1.1", "fd99:1::1"];
        let said =
            Said::by(&wan, &["-c", "40", "-i", "20ms", "-W", "100ms", targets[0], targets[1]]);
        let truth = wan.end();
        for target in targets {
            assert_eq!(said.summaries[target]["outcomes"], "15l25a", "{sockets:?} {target}");
            let ids: Vec<u16> = truth.echoes(target).iter().map(|line| line.id).collect();
            let moved = ids
                .iter()
                .position(|id| *id != ids[0])
                .unwrap_or_else(|| panic!("{sockets:?}: {ids:?}"));
            assert!(
                (10..=20).contains(&moved) && ids[moved..].iter().all(|id| *id == ids[moved]),
                "{sockets:?}: {ids:?}"
            );
        }
    }
}

#[test]
fn the_circuit_is_seen_on_the_wire() {
    let text = r#"
        local = ["10.99.0.2", "10.99.0.3", "fd99::2", "fd99::3"]
        [[address]]
        at = ["10.99.1.1", "fd99:1::1"]
    "#;
    let Some(wan) = Wan::start(text) else { return };
    let device = wan.ready["device"].as_str().unwrap().to_owned();
    for (target, source) in [("10.99.1.1", "10.99.0.3"), ("fd99:1::1", "fd99::3")] {
        let said = Said::by(
            &wan,
            &[
                "-c", "1", "-I", &device, "-S", source, "-t", "33", "-s", "200", "-Q", "ef", "-m",
                "16", target,
            ],
        );
        assert_eq!(said.summaries[target]["outcomes"], "1a");
        assert_eq!(said.of_target(target)[0]["bytes"], 208);
        let said = Said::by(&wan, &["-c", "1", "-I", "lo", target]);
        assert_ne!(
            said.summaries[target]["outcomes"], "1a",
            "bound to another interface it cannot get there"
        );
    }
    let truth = wan.end();
    for (target, source) in [("10.99.1.1", "10.99.0.3"), ("fd99:1::1", "fd99::3")] {
        let echoes = truth.echoes(target);
        assert_eq!(echoes.len(), 1);
        assert_eq!(
            (echoes[0].from.to_string(), echoes[0].ttl, echoes[0].size),
            (source.to_owned(), 33, 200)
        );
    }
}

#[test]
fn what_cannot_be_sent_is_no_loss_and_ends_nothing() {
    let Some(wan) = Wan::start("[[address]]\nat = \"10.99.1.1\"\n") else { return };
    let output = wan
        .command(WANPROOF)
        .args(["ping", "--json", "-c", "2", "-i", "20ms", "10.99.1.1", "192.0.2.1"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"reason\":\"not-sent/no-route\""), "{text}");
    assert!(text.contains("\"outcomes\":\"2n\"") && text.contains("\"outcomes\":\"2a\""), "{text}");
    let output = wan.output(WANPROOF, &["ping", "-c", "1", "-I", "nosuch0", "10.99.1.1"]);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        out.contains("not-sent: interface") && err.contains("no interface \"nosuch0\""),
        "{out}{err}"
    );
    let output = wan.output(WANPROOF, &["ping", "-c", "1", "nosuch.invalid", "10.99.1.1"]);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        out.contains("10.99.1.1: 1 sent, 1 answered") && err.contains("nosuch.invalid: "),
        "{out}{err}"
    );
}

#[test]
fn an_interrupt_prints_the_figures() {
    let Some(wan) = Wan::start("[[address]]\nat = \"10.99.1.1\"\n") else { return };
    let mut ping: Running = wan.run(WANPROOF, &["ping", "-i", "20ms", "10.99.1.1"]);
    ping.says("seq 2");
    ping.signal(Signal::SIGINT);
    ping.says("% lost");
    assert!(ping.wait().success(), "{}", ping.told());
}

#[test]
fn who_may_not_ping_is_told_the_two_remedies() {
    let Some(wan) = installed("setpriv")
        .then(|| wan("[[address]]\nat = \"10.99.1.1\"\n", Sockets::Raw))
        .flatten()
    else {
        return;
    };
    let nobody = [
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    let run =
        |command: &mut Command| command.args(["ping", "-c", "1", "10.99.1.1"]).output().unwrap();
    let output = run(wan.command("setpriv").args(nobody).arg(WANPROOF));
    let err = String::from_utf8_lossy(&output.stderr);
    if err.contains("setpriv:") {
        return kit::wan::skip("another user cannot be taken on here");
    }
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("sysctl -w net.ipv4.ping_group_range=\"65534 65534\""), "{err}");
    assert!(err.contains(&format!("setcap cap_net_raw+ep {WANPROOF}")), "{err}");
}

#[test]
fn a_link_without_a_carrier_is_told_apart_from_a_dead_path() {
    let script = format!(
        "mount -t sysfs none /sys || exit 77; ip link add wan0 type veth peer name far0 && ip \
         addr add 10.99.0.1/24 dev wan0 && ip link set wan0 up && ip link set far0 up && \
         {WANPROOF} ping --json -q -c 1 -W 100ms 10.99.0.9; ip link set far0 down; {WANPROOF} \
         ping --json -c 2 -i 10ms 10.99.0.9; {WANPROOF} ping --json -c 2 -i 10ms -I wan0 \
         10.99.0.9; exit 0"
    );
    let mut unshare = Command::new("unshare");
    let output = unshare
        .args(["-r", "-n", "-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return kit::wan::skip(&format!("no namespace with links of its own could be made: {err}"));
    }
    let summaries: Vec<&str> = out.lines().filter(|line| line.contains("\"sent\"")).collect();
    assert_eq!(summaries.len(), 3, "{out}{err}");
    assert!(summaries[0].contains("\"outcomes\":\"1l\""), "{out}");
    assert!(
        summaries[1].contains("\"outcomes\":\"2n\"")
            && summaries[2].contains("\"outcomes\":\"2n\""),
        "{out}"
    );
    assert_eq!(out.matches("\"reason\":\"not-sent/carrier\"").count(), 4, "{out}");
}

#[test]
fn what_a_full_queue_does_not_take_is_not_sent_and_never_lost() {
    for range in ["0 0", "1 0"] {
        // A line of a kilobyte a second whose queue holds two packets; nobody answers at its end.
        let script = format!(
            "ip link set lo up && ip link add wan0 type veth peer name far0 && ip addr add \
             10.99.0.1/24 dev wan0 && ip link set wan0 up && ip link set far0 up && ip neigh add \
             10.99.0.9 lladdr 02:00:00:00:00:09 dev wan0 && tc qdisc add dev wan0 root tbf rate \
             8kbit burst 1600 limit 2500 || exit 77; echo {range} > \
             /proc/sys/net/ipv4/ping_group_range; {WANPROOF} ping --json -c 12 -i 10ms -s 1000 -W \
             200ms 10.99.0.9; exit 0"
        );
        let output =
            Command::new("unshare").args(["-r", "-n", "sh", "-c", &script]).output().unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return kit::wan::skip(&format!("no namespace with a slow line could be made: {err}"));
        }
        let said = Said::of(&out);
        let letters = |wanted: &str| {
            said.of_target("10.99.0.9").iter().filter(|reply| reply["outcome"] == wanted).count()
        };
        // One goes at once, two wait in the queue; another may find its room again. Of those that
        // wait none left.
        assert!((1..=4).contains(&letters("l")), "{range}: {out}{err}");
        assert_eq!(letters("l") + letters("n"), 12, "{range}: {out}");
        let because =
            |reason: &str| out.matches(&format!("\"reason\":\"not-sent/{reason}\"")).count();
        assert_eq!(because("buffer") + because("held-back"), letters("n"), "{range}: {out}");
        assert!(because("held-back") <= 3, "{range}: {out}");
        assert_eq!(
            said.summaries["10.99.0.9"]["loss_percent"], 100.0,
            "{range}: of what was sent, all was lost"
        );
        assert_eq!(said.summaries["10.99.0.9"]["sent"], letters("l"), "{range}: {out}");
    }
}

#[test]
fn dscp_and_mark_are_what_a_packet_filter_sees() {
    let Some(wan) = installed("nft")
        .then(|| Wan::start("[[address]]\nat = [\"10.99.1.1\", \"fd99:1::1\"]\n"))
        .flatten()
    else {
        return;
    };
    let rules = "add table inet t; add chain inet t out { type filter hook output priority 0; }; \
                 add rule inet t out ip dscp af41 drop; add rule inet t out ip6 dscp af41 drop; \
                 add rule inet t out meta mark 77 drop";
    let set = wan.output("nft", &[rules]);
    if !set.status.success() {
        return kit::wan::skip(&format!(
            "no packet filter here: {}",
            String::from_utf8_lossy(&set.stderr)
        ));
    }
    for target in ["10.99.1.1", "fd99:1::1"] {
        for (options, outcomes) in [
            (["-Q", "ef"], "2a"),
            (["-Q", "af41"], "2n"),
            (["-m", "76"], "2a"),
            (["-m", "77"], "2n"),
        ] {
            let mut arguments = vec!["-c", "2", "-i", "10ms", target];
            arguments.extend(options);
            let said = Said::by(&wan, &arguments);
            let said_outcomes = &said.summaries[target]["outcomes"];
            if target.contains(':') && outcomes == "2n" && said_outcomes == "2l" {
                // Linux does not tell an ICMPv6 datagram socket what its packet filter drops
                // (icmpv6_push_pending_frames).
                continue;
            }
            assert_eq!(said_outcomes, outcomes, "{target} {options:?}");
            if outcomes == "2n" {
                assert_eq!(said.of_target(target)[0]["reason"], "not-sent/filtered");
            }
        }
    }
}

#[test]
fn an_interface_that_goes_and_comes_again_is_used_again() {
    let as_root = nix::unistd::geteuid().is_root();
    let namespaces: &[&str] = if as_root { &["-n", "-m"] } else { &["-r", "-n", "-m"] };
    let script = format!(
        "unshare -n sleep 600 & echo far $!; exec {WANPROOF} ping --json -i 20ms -I wan0 10.99.0.2"
    );
    let mut ping =
        Running::start(Command::new("unshare").args(namespaces).args(["sh", "-c", &script]));
    let Some(far) = ping.line(|line| line.starts_with("far ")) else {
        return kit::wan::skip(&format!("no namespace could be made: {}", ping.told()));
    };
    let far = far.trim_start_matches("far ").to_owned();
    let near = ping.pid().to_string();
    let enter = |pid: &str, script: &str| {
        let mut command = Command::new("nsenter");
        if !as_root {
            command.args(["-U", "--preserve-credentials"]);
        }
        let done = command.args(["-t", pid, "-n", "sh", "-c", script]).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    };
    // The far end is another namespace once `unshare` has made it.
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    while namespace(&far) == namespace(&near) {
        std::thread::yield_now();
    }
    let make = || {
        enter(
            &near,
            &format!("ip link add wan0 type veth peer name far0 && ip link set far0 netns {far}"),
        );
        enter(&far, "ip addr add 10.99.0.2/24 dev far0 && ip link set far0 up");
        enter(&near, "ip addr add 10.99.0.1/24 dev wan0 && ip link set wan0 up");
    };
    ping.says("not-sent/interface");
    make();
    ping.says("\"outcome\":\"a\"");
    enter(&near, "ip link del wan0");
    ping.says("\"outcome\":\"n\"");
    make();
    ping.says("\"outcome\":\"a\"");
    ping.signal(Signal::SIGINT);
    ping.says("\"sent\":");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(far.parse().unwrap()), Signal::SIGKILL)
        .unwrap();
}

#[test]
fn a_stopped_process_calls_nothing_lost_and_sends_nothing_in_a_burst() {
    let Some(wan) = Wan::start("[[address]]\nat = \"10.99.1.1\"\ndelay = \"30ms\"\n") else {
        return;
    };
    let mut ping = wan.run(WANPROOF, &["ping", "--json", "-i", "50ms", "-W", "1s", "10.99.1.1"]);
    ping.says("\"seq\":5");
    ping.signal(Signal::SIGSTOP);
    // The length of the standstill is what is tested; nothing happens in it that could be waited
    // for.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    ping.signal(Signal::SIGCONT);
    ping.says("not-observed/late");
    ping.says("\"outcome\":\"a\"");
    ping.says("\"outcome\":\"a\"");
    ping.signal(Signal::SIGINT);
    let summary: Value = serde_json::from_str(&ping.says("\"sent\":")).unwrap();
    let outcomes = summary["outcomes"].as_str().unwrap();
    assert!(!outcomes.contains(['l', 'n', 'u', 't']), "{outcomes}");
    assert!(outcomes.contains('x'), "{outcomes}");
    ping.wait();
    let truth = wan.end();
    let arrived: Vec<u64> = truth.echoes("10.99.1.1").iter().map(|line| line.mono).collect();
    let burst = arrived.windows(4).any(|four| four[3] - four[0] < 50_000_000);
    assert!(!burst, "four requests within one period: {arrived:?}");
}
