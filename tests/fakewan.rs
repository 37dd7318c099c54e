//! The fake WAN does what its scenario says and logs what it did, seen through iputils ping and
//! fping.

mod kit;

use std::collections::BTreeMap;

use kit::fate::{Fate, Proto};
use kit::log::{Kind, What};
use kit::scenario::Scenario;
use kit::wan::{Wan, installed};

#[test]
fn every_packet_meets_the_fate_that_its_seed_and_number_give() {
    let text = r#"
        seed = 42
        [[address]]
        at = ["10.99.1.1", "fd99:1::1"]
        delay = "3ms"
        jitter = "1ms"
        shape = "exponential"
        loss = 0.3
        lose = ["5", "20-24"]
        duplicate = 0.2
        duplicate_after = "2ms"
        reorder = 0.2
        reorder_by = "7ms"
    "#;
    let Some(wan) = installed("ping").then(|| Wan::start(text)).flatten() else { return };
    let told: BTreeMap<_, _> = ["10.99.1.1", "fd99:1::1"]
        .map(|target| {
            (target, wan.told("ping", &["-n", "-c", "100", "-i", "0.002", "-W", "1", target]))
        })
        .into();
    let truth = wan.end();
    let scenario = Scenario::parse(text).unwrap();
    for (target, told) in told {
        let echoes = truth.echoes(target);
        assert_eq!(echoes.len(), 100);
        for (number, line) in (0..).zip(&echoes) {
            let fate = scenario.rules[0].fate(42, line.to, Proto::Echo, number, 0);
            let (what, planned) = match fate {
                Fate::Answered { after, .. } => (What::Answered, Some(after)),
                _ => (What::Lost, None),
            };
            assert_eq!(
                (line.what, line.planned),
                (what, planned),
                "{line:?} has the fate {fate:?}"
            );
            assert!(line.held >= line.planned, "{line:?} was answered before its time");
            if number == 5 || (20..25).contains(&number) {
                assert_eq!(fate, Fate::Lost);
            }
        }
        let (answered, lost) =
            (truth.count(target, What::Answered), truth.count(target, What::Lost));
        let duplicates = truth.count(target, What::Duplicate);
        assert!(answered > 40 && lost > 20 && duplicates > 5, "{answered} {lost} {duplicates}");
        assert!(told.contains(&format!("{answered} received, +{duplicates} duplicates")), "{told}");
    }
}

#[test]
fn nothing_answers_during_an_outage_and_all_outside_it() {
    let text = r#"
        [[address]]
        at = ["10.99.1.1", "fd99:1::1"]
        since = "first_packet"
        outages = [{ from = "300ms", to = "700ms" }]
    "#;
    let Some(wan) = installed("ping").then(|| Wan::start(text)).flatten() else { return };
    for target in ["10.99.1.1", "fd99:1::1"] {
        wan.output("ping", &["-n", "-c", "60", "-i", "0.02", "-W", "1", target]);
    }
    let truth = wan.end();
    for target in ["10.99.1.1", "fd99:1::1"] {
        let echoes = truth.echoes(target);
        for line in &echoes {
            let down = (300_000_000..700_000_000).contains(&(line.mono - echoes[0].mono));
            assert_eq!(line.what, if down { What::Outage } else { What::Answered }, "{line:?}");
        }
        assert!(echoes.iter().any(|line| line.what == What::Outage));
    }
}

#[test]
fn a_tool_measures_the_truth_or_a_little_more_but_never_less() {
    let text = "[[address]]\nat = '10.99.1.0/24'\ndelay = '20ms'\njitter = '5ms'";
    let Some(wan) = installed("ping").then(|| Wan::start(text)).flatten() else { return };
    let told = wan.told("ping", &["-n", "-c", "20", "-i", "0.01", "10.99.1.7"]);
    let truth = wan.end();
    let mut seen = 0;
    for line in told.lines().filter_map(|line| line.split_once("icmp_seq=")) {
        let (seq, rest) = line.1.split_once(' ').unwrap();
        let (_, time) = rest.split_once("time=").unwrap();
        let measured: f64 = time.split(' ').next().unwrap().parse().unwrap();
        let echoes = truth.echoes("10.99.1.7");
        let line = echoes.iter().find(|line| line.seq.to_string() == seq).unwrap();
        let held = u32::try_from(line.held.unwrap()).unwrap();
        // Three digits are printed.
        assert!(
            measured >= f64::from(held) / 1e6 - 0.1,
            "ping says {measured} ms, the truth is {line:?}"
        );
        seen += 1;
    }
    assert_eq!(seen, 20, "{told}");
}

#[test]
fn a_network_whose_core_was_taken_away_marks_every_packet_that_it_delayed() {
    let text = "[[address]]\nat = '10.99.1.1'\ndelay = '3ms'\n";
    let spinning = ["--spin", "--late-over", "20ms"];
    let Some(wan) = installed("ping").then(|| Wan::start_with(text, &spinning)).flatten() else {
        return;
    };
    let mut ping = wan.run("ping", &["-n", "-i", "0.01", "-c", "100", "-W", "5", "10.99.1.1"]);
    ping.says("icmp_seq=30 ");
    let network =
        nix::unistd::Pid::from_raw(wan.ready["pid"].as_i64().unwrap().try_into().unwrap());
    nix::sys::signal::kill(network, nix::sys::signal::Signal::SIGSTOP).unwrap();
    // The length of the standstill is what is tested; nothing happens in it that could be waited
    // for.
    std::thread::sleep(std::time::Duration::from_millis(200));
    nix::sys::signal::kill(network, nix::sys::signal::Signal::SIGCONT).unwrap();
    assert!(ping.wait().success(), "{}", ping.told());
    let truth = wan.end();
    let echoes = truth.echoes("10.99.1.1");
    assert_eq!(echoes.len(), 100);
    let late = echoes.iter().filter(|line| line.late).count();
    assert!(late >= 10, "{late} of some twenty packets of the standstill are marked");
    for line in ping.said.iter().filter_map(|line| line.split_once("icmp_seq=")) {
        let (seq, rest) = line.1.split_once(' ').unwrap();
        let (_, time) = rest.split_once("time=").unwrap();
        let measured: f64 = time.split(' ').next().unwrap().parse().unwrap();
        let line = echoes.iter().find(|line| line.seq.to_string() == seq).unwrap();
        let held = f64::from(u32::try_from(line.held.unwrap()).unwrap()) / 1e6;
        // The standstill is twice as long as what is left to the tool's own delays.
        assert!(
            line.late || measured - held < 100.0,
            "ping says {measured} ms, the truth is {line:?}, not marked"
        );
    }
}

#[test]
fn what_a_spinning_network_rehearses_is_dropped_by_the_kernel_and_heard_by_nobody() {
    let text = "[[address]]\nat = ['10.99.1.1', 'fd99:1::1']\ndelay = '3ms'\n";
    let Some(wan) = installed("ping").then(|| Wan::start_with(text, &["--spin"])).flatten() else {
        return;
    };
    for target in ["10.99.1.1", "fd99:1::1"] {
        let told = wan.told("ping", &["-n", "-c", "50", "-i", "0.01", target]);
        assert!(told.contains("50 packets transmitted, 50 received, 0% packet loss"), "{told}");
    }
    let counters = wan.told("cat", &["/proc/net/netstat", "/proc/net/snmp6"]);
    let mut v4 =
        counters.lines().filter(|line| line.starts_with("IpExt:")).map(str::split_whitespace);
    let (names, values) = (v4.next().unwrap(), v4.next().unwrap());
    let (_, v4) = names.zip(values).find(|(name, _)| *name == "InTruncatedPkts").unwrap();
    let v6 = counters.lines().find_map(|line| line.strip_prefix("Ip6InTruncatedPkts")).unwrap();
    for truncated in [v4, v6] {
        let truncated: u32 = truncated.trim().parse().unwrap();
        assert!((1..=50).contains(&truncated), "one before each reply at most: {counters}");
    }
}

#[test]
fn routers_on_the_path_say_that_the_ttl_is_used_up_and_the_last_hop_answers() {
    let text = r#"
        [[address]]
        at = "10.99.1.1"
        delay = "9ms"
        path = ["10.98.0.1", "10.98.0.2"]
        [[address]]
        at = "fd99:1::1"
        path = ["fd98::1", "fd98::2"]
    "#;
    let Some(wan) = installed("ping").then(|| Wan::start(text)).flatten() else { return };
    for (target, routers) in
        [("10.99.1.1", ["10.98.0.1", "10.98.0.2"]), ("fd99:1::1", ["fd98::1", "fd98::2"])]
    {
        for (ttl, router) in ["1", "2"].iter().zip(routers) {
            let told = wan.told("ping", &["-n", "-c", "1", "-W", "1", "-t", ttl, target]);
            assert!(told.contains(&format!("From {router}")), "{told}");
        }
        let told = wan.told("ping", &["-n", "-c", "1", "-t", "3", target]);
        assert!(told.contains("ttl=62") && told.contains("1 received"), "{told}");
    }
    let truth = wan.end();
    assert_eq!(truth.count("10.99.1.1", What::Expired), 2);
    // A third of the way takes a third of the time.
    assert_eq!(truth.echoes("10.99.1.1")[0].planned, Some(3_000_000));
}

#[test]
fn a_refused_packet_is_answered_by_the_stated_error() {
    let text = r#"
        [[address]]
        at = ["10.99.1.1", "fd99:1::1"]
        refuse = "host-unreachable"
        [[address]]
        at = ["10.99.1.2", "fd99:1::2"]
        refuse = "admin-prohibited"
        [[address]]
        at = ["10.99.1.3", "fd99:1::3"]
        path_mtu = 1400
    "#;
    let Some(wan) = installed("ping").then(|| Wan::start(text)).flatten() else { return };
    for (target, error) in [
        ("10.99.1.1", "Destination Host Unreachable"),
        ("fd99:1::1", "Destination unreachable: Address unreachable"),
        ("10.99.1.2", "Packet filtered"),
        ("fd99:1::2", "Destination unreachable: Administratively prohibited"),
    ] {
        let told = wan.told("ping", &["-n", "-c", "1", "-W", "1", target]);
        assert!(told.contains(error), "{told}");
    }
    let told =
        wan.told("ping", &["-n", "-c", "1", "-W", "1", "-M", "do", "-s", "2000", "10.99.1.3"]);
    assert!(told.contains("mtu = 1400") || told.contains("mtu=1400"), "{told}");
    assert_eq!(wan.end().count("10.99.1.1", What::Refused), 1);
}

#[test]
fn the_largest_payload_is_answered_and_what_has_no_entry_has_no_route() {
    let text = "[[address]]\nat = ['10.99.1.0/24', 'fd99:1::/64']\nloss = 1\n[[address]]\nat = \
        ['10.99.1.1', 'fd99:1::1']";
    let Some(wan) = installed("ping").then(|| Wan::start(text)).flatten() else { return };
    for target in ["10.99.1.1", "fd99:1::1"] {
        let told = wan.told("ping", &["-n", "-c", "1", "-W", "5", "-s", "65000", target]);
        assert!(told.contains("65008 bytes"), "{told}");
    }
    assert!(wan.told("ping", &["-n", "-c", "1", "-W", "1", "10.99.1.2"]).contains("0 received"));
    let told =
        String::from_utf8(wan.output("ping", &["-n", "-c", "1", "10.77.1.1"]).stderr).unwrap();
    assert!(told.contains("unreachable"), "{told}");
    wan.end();
}

#[test]
fn many_targets_are_answered_and_each_is_in_the_log() {
    let Some(wan) = installed("fping")
        .then(|| Wan::start("[[address]]\nat = '10.99.4.0/24'\ndelay = '5ms'"))
        .flatten()
    else {
        return;
    };
    let told = wan.output(
        "fping",
        &["-q", "-c", "5", "-p", "20", "-i", "1", "-t", "5000", "-g", "10.99.4.1", "10.99.4.200"],
    );
    let told = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.matches("= 5/5/0%").count(), 200, "{told}");
    let truth = wan.end();
    assert_eq!(truth.lines.iter().filter(|line| line.what == What::Answered).count(), 1000);
}

#[test]
fn a_real_http_server_stands_behind_impaired_addresses() {
    let text = "[[address]]\nat = ['10.99.1.0/24', 'fd99:1::/64']\ndelay = '20ms'\nhttp = 80";
    let Some(wan) = Wan::start(text) else { return };
    for target in ["10.99.1.9", "fd99:1::9"] {
        let ask = |port: u16, path: &str| {
            let script = format!(
                "exec 3<>/dev/tcp/{target}/{port} && printf 'GET {path} HTTP/1.1\\r\\nHost: \
                    x\\r\\n\\r\\n' >&3 && cat <&3"
            );
            let output = wan.output("bash", &["-c", &script]);
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        assert!(ask(80, "/").ends_with("\r\n\r\nok"), "{}", ask(80, "/"));
        assert!(ask(80, "/status/503").starts_with("HTTP/1.1 503"));
        assert_eq!(ask(80, "/bytes/100000").matches('x').count(), 100_000);
        assert!(ask(81, "/").contains("refused"), "{}", ask(81, "/"));
    }
    let truth = wan.end();
    let opened: Vec<_> =
        truth.of("10.99.1.9", &[Kind::Tcp]).filter(|line| line.note.text() == "S").collect();
    assert!(opened.iter().all(|line| line.planned == Some(20_000_000)), "{opened:?}");
}

#[test]
fn an_ordinary_user_may_have_a_network_in_a_user_namespace() {
    let text = "[[address]]\nat = '10.99.1.1'";
    let Some(wan) =
        installed("ping").then(|| Wan::start_with(text, &["--user-namespace"])).flatten()
    else {
        return;
    };
    assert!(wan.told("ping", &["-n", "-c", "1", "10.99.1.1"]).contains("1 received"));
    assert_eq!(wan.end().count("10.99.1.1", What::Answered), 1);
}

#[test]
fn a_wrong_scenario_is_refused_with_its_place() {
    for (text, fault) in [
        ("[[address]]\nat = '10.99.1.300'", "\"10.99.1.300\" is not an address or prefix"),
        (
            "[[address]]\nat = '10.99.1.1'\nloss = 2",
            "10.99.1.1/32: loss, duplicate and reorder are shares",
        ),
        ("[[address]]\nat = '10.99.1.1'\npath = ['fd98::1']", "all of the address's family"),
        (
            "[[address]]\nat = '10.99.1.1'\noutages = [{ from = '2s', to = '1s' }]",
            "a window ends after it begins",
        ),
        ("[[address]]\nat = '10.99.1.1'\nlos = 1", "unknown field `los`"),
    ] {
        let told = Scenario::parse(text).unwrap_err();
        assert!(told.contains(fault), "{text}: {told}");
    }
}
