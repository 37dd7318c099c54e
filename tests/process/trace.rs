//! `wanproof trace` through four routers in network namespaces, which lose and keep silent by
//! script.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::process::{Command, Output};

use kit::wan::{installed, skip};
use serde_json::Value;

const ROUTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/trace/routers.sh");
const ADDRESSES: [&str; 5] = ["10.9.1.2", "10.9.2.2", "10.9.3.2", "10.9.4.2", "10.9.5.2"];
const ADDRESSES_V6: [&str; 5] = ["fd09:1::2", "fd09:2::2", "fd09:3::2", "fd09:4::2", "fd09:5::2"];

/// Runs a trace on a host before the routers; [`None`] where nobody may make them, which is said.
fn trace(script: &[(&str, &str)], words: &str) -> Option<Output> {
    if !["ip", "nft", "unshare"].into_iter().all(installed) {
        return None;
    }
    let mut command = Command::new("unshare");
    let root = nix::unistd::geteuid().is_root();
    command.args(if root { &[][..] } else { &["--user", "--map-root-user"] });
    command.args(["--net", "--mount", "sh", ROUTERS]).envs(script.iter().copied());
    command.arg(env!("CARGO_BIN_EXE_wanproof")).arg("trace").args(words.split(' '));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.stdout.is_empty() && said.contains("not permitted") {
        skip(&format!("network namespaces cannot be made here: {said}"));
        return None;
    }
    Some(output)
}

struct Traced {
    hops: Vec<Value>,
    last: Value,
}

fn traced(script: &[(&str, &str)], words: &str) -> Option<Traced> {
    let output = trace(script, &format!("--json {words}"))?;
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    let last = lines.pop().unwrap_or_else(|| panic!("{words}: {said}"));
    Some(Traced { hops: lines, last })
}

impl Traced {
    fn hosts(&self) -> Vec<&str> {
        self.hops.iter().map(|hop| hop["hosts"][0]["address"].as_str().unwrap_or("*")).collect()
    }

    /// What was lost and what was limited, of each hop.
    fn silences(&self) -> Vec<(u64, u64)> {
        let of = |hop: &Value, what: &str| hop[what].as_u64().unwrap();
        self.hops.iter().map(|hop| (of(hop, "lost"), of(hop, "limited"))).collect()
    }
}

#[test]
fn by_each_protocol_the_same_routers_are_found_in_either_version() {
    for way in ["", " --udp", " --tcp", " --tcp --port 22"] {
        for (to, expected) in [("10.9.5.2", ADDRESSES), ("fd09:5::2", ADDRESSES_V6)] {
            let Some(all) = traced(&[], &format!("-c 3 -i 10ms {to}{way}")) else { return };
            assert_eq!(all.hosts(), expected, "{to}{way}");
            assert_eq!((&all.last["reached"], &all.last["address"]), (&true.into(), &to.into()));
            for hop in &all.hops {
                let host = &hop["hosts"][0];
                assert_eq!((&host["sent"], &host["answered"]), (&3.into(), &3.into()), "{hop}");
                let rtt = &host["rtt_us"];
                assert!(rtt["min"].as_u64() <= rtt["p50"].as_u64(), "{hop}");
                assert!(rtt["p50"].as_u64() <= rtt["max"].as_u64(), "{hop}");
            }
        }
    }
}

#[test]
fn a_router_that_answers_seldom_is_told_apart_from_a_link_that_loses() {
    for to in ["10.9.5.2", "fd09:5::2"] {
        let Some(limited) = traced(&[("LIMIT", "2")], &format!("-c 4 -i 10ms {to}")) else {
            return;
        };
        assert_eq!(limited.silences(), [(0, 0), (0, 2), (0, 0), (0, 0), (0, 0)], "{to}");
        // Of two packets that r3 forwards in a round one is lost: of the one hop, or of the other.
        let lossy = traced(&[("LOSS", "2")], &format!("-c 4 -i 10ms {to}")).unwrap();
        let silences = lossy.silences();
        assert_eq!(silences[..3], [(0, 0); 3], "{to} {silences:?}");
        let behind: u64 = lossy.hops[3..]
            .iter()
            .map(|hop| 4 - hop["hosts"][0]["answered"].as_u64().unwrap_or(0))
            .sum();
        assert!(behind >= 3, "{to} {:?}", lossy.hops);
    }
}

#[test]
fn a_way_that_ends_says_where_and_by_what() {
    let Some(output) = trace(&[("PROHIBIT", "1")], "-c 2 -i 10ms 10.9.5.2") else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT REACHED: the last hop says prohibited"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let last = text.lines().rev().nth(1).unwrap();
    assert!(last.trim_start().starts_with("4  10.9.3.2") || last.contains("10.9.3.2"), "{text}");
}
