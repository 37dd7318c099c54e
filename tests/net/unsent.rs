//! What this host could not send is no loss of the path's: routes that are gone or forbid, next
//! hops that say nothing, its own packet filter; by every kind of probe and socket, on both
//! protocols. And what is no answer: a broken checksum.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use wanproof::agent::prober::{Pace, Prober, World};
use wanproof::base::time::SystemClock;
use wanproof::measure::event::{Event, Settled};
use wanproof::measure::probe::{Circuit, Probe, Test};
use wanproof::net::icmp::kernel::{Kernel, Order};
use wanproof::net::resolve::Resolver;

use crate::wire::{V4, V6, between, ip, kinds, skipped};
use crate::{attempt, probe, told};

const ORDERS: [Order; 2] = [Order::Datagram, Order::Raw];
/// Longer than the kernel asks for a hardware address.
const PATIENT: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_millis(700);

fn by(interface: &str) -> Circuit {
    Circuit { interface: Some(interface.to_owned()), ..Circuit::default() }
}

fn mark() -> Circuit {
    Circuit { mark: Some(16), ..Circuit::default() }
}

/// What became of so many echo requests, one after the other, by an agent's prober.
async fn echoes(
    order: Order,
    target: &str,
    circuit: &Circuit,
    (sends, timeout): (u64, Duration),
) -> Vec<String> {
    let test = Test::Icmp { target: target.to_owned(), size: 56 };
    let period = Duration::from_millis(200);
    let probe = Probe { period, timeout, cutoff: timeout, circuit: circuit.clone(), ..probe(test) };
    settled(order, Resolver::system(), probe, sends).await
}

/// What became of so many sends of a probe, by an agent's prober.
pub async fn settled(order: Order, resolver: Resolver, probe: Probe, sends: u64) -> Vec<String> {
    let engine = Box::new(Kernel::with(order));
    let world = World { engine, resolver, clock: Box::new(SystemClock), pace: Pace::Prompt };
    let mut prober = Prober::new(vec![Arc::new(probe)], world);
    prober.limit(sends);
    let mut events = Vec::new();
    while !prober.is_done() {
        prober.next(&mut events).await;
    }
    let word = |settled: Settled| match settled.reason {
        Some(reason) => reason.to_string(),
        None => settled.outcome.letter().to_string(),
    };
    let settled = events.into_iter().filter_map(|event| match event {
        Event::Settled(settled) => Some(word(settled)),
        _ => None,
    });
    settled.collect()
}

/// What becomes of each kind of probe to a target, all at one time: both kinds of ICMP socket, TCP,
/// HTTP and DNS.
async fn all(target: &str, circuit: &Circuit, timeout: Duration) -> Vec<(String, String)> {
    let echo = async |order: Order| {
        let each = echoes(order, target, circuit, (2, timeout)).await;
        assert_eq!(each.len(), 2, "{each:?}");
        each.into_iter()
            .map(|said| (format!("{order:?} to {target} by {circuit}"), said))
            .collect::<Vec<_>>()
    };
    let request = async |test: Test| {
        let probe = Probe { circuit: circuit.clone(), timeout, cutoff: timeout, ..probe(test) };
        (format!("{} by {circuit}", probe.target()), told(&attempt(&probe).await))
    };
    let [tcp, http, dns] = kinds(target);
    let [datagram, raw] = ORDERS;
    let (datagram, raw, tcp, http, dns) =
        tokio::join!(echo(datagram), echo(raw), request(tcp), request(http), request(dns));
    datagram.into_iter().chain(raw).chain([tcp, http, dns]).collect()
}

async fn is_always(target: &str, circuit: &Circuit, timeout: Duration, expected: &str) {
    for (what, said) in all(target, circuit, timeout).await {
        assert_eq!(said, expected, "{what}");
    }
}

#[test]
fn what_is_bound_to_an_interface_without_a_route_is_not_sent() {
    between(async |lab| {
        for circuit in [by("wan1"), mark()] {
            is_always(V4, &circuit, SOON * 4, "a").await;
        }
        ip(
            "route del default via 10.8.0.2 dev wan1 metric 200\nroute del fd09::/64 via fd08::2 \
                dev wan1 metric 2000\n",
            0,
        );
        lab.arrived();
        for (target, timeout) in [(V4, SOON), (V4, PATIENT), (V6, SOON)] {
            is_always(target, &by("wan1"), timeout, "not-sent/no-route").await;
        }
        assert_eq!(lab.arrived(), [], "nothing came to the other end");
        // By the default route, and by the mark's table, all goes on.
        for circuit in [Circuit::default(), mark()] {
            is_always(V4, &circuit, SOON * 4, "a").await;
        }
    });
}

#[test]
fn a_neighbour_that_takes_what_has_no_route_is_a_way_out() {
    between(async |lab| {
        ip(
            "route del default via 10.8.0.2 dev wan1 metric 200\nneighbour add 10.9.0.1 lladdr \
                02:00:00:00:00:0b dev wan1\n",
            0,
        );
        is_always(V4, &by("wan1"), SOON * 4, "a").await;
        drop(lab);
    });
}

#[test]
fn a_route_that_refuses_by_its_type_or_by_a_rule_is_not_sent() {
    between(async |lab| {
        let source = Circuit { source: Some("10.7.0.9".parse().unwrap()), ..Circuit::default() };
        let source6 = Circuit { source: Some("fd07::9".parse().unwrap()), ..Circuit::default() };
        let cases = [
            (
                "route add blackhole 10.9.0.1",
                "route del blackhole 10.9.0.1",
                V4,
                Circuit::default(),
            ),
            ("route add prohibit 10.9.0.1", "route del prohibit 10.9.0.1", V4, Circuit::default()),
            (
                "route add unreachable 10.9.0.1",
                "route del unreachable 10.9.0.1",
                V4,
                Circuit::default(),
            ),
            ("route add throw 10.9.0.1", "route del throw 10.9.0.1", V4, by("wan1")),
            ("route add blackhole 10.9.0.1", "route del blackhole 10.9.0.1", V4, by("wan1")),
            ("route add prohibit 10.9.0.1", "route del prohibit 10.9.0.1", V4, by("wan0")),
            ("route add unreachable 10.9.0.1", "route del unreachable 10.9.0.1", V4, by("wan1")),
            (
                "rule add fwmark 16 priority 9 prohibit",
                "rule del fwmark 16 priority 9 prohibit",
                V4,
                mark(),
            ),
            (
                "rule add fwmark 16 priority 9 blackhole",
                "rule del fwmark 16 priority 9 blackhole",
                V4,
                mark(),
            ),
            (
                "rule add from 10.7.0.9 priority 9 unreachable",
                "rule del priority 9",
                V4,
                source.clone(),
            ),
            ("rule add from 10.7.0.9 priority 9 prohibit", "rule del priority 9", V4, source),
            (
                "-6 route add blackhole fd09::1",
                "-6 route del blackhole fd09::1",
                V6,
                Circuit::default(),
            ),
            (
                "-6 route add prohibit fd09::1",
                "-6 route del prohibit fd09::1",
                V6,
                Circuit::default(),
            ),
            (
                "-6 route add unreachable fd09::1",
                "-6 route del unreachable fd09::1",
                V6,
                Circuit::default(),
            ),
            ("-6 rule add fwmark 16 priority 9 prohibit", "-6 rule del priority 9", V6, mark()),
            (
                "-6 rule add from fd07::9 priority 9 blackhole",
                "-6 rule del priority 9",
                V6,
                source6,
            ),
        ];
        for (begin, end, target, circuit) in cases {
            ip(begin, 0);
            lab.arrived();
            for (what, said) in all(target, &circuit, SOON).await {
                assert!(said.starts_with("not-sent/"), "{begin}: {what}: {said}");
            }
            assert_eq!(lab.arrived(), [], "{begin}");
            ip(end, 0);
        }
        is_always(V4, &mark(), SOON * 4, "a").await;
    });
}

#[test]
fn a_next_hop_that_says_no_hardware_address_is_silence_on_the_link_by_every_socket() {
    between(async |lab| {
        // Targets on the link itself, at which nobody is.
        for target in ["10.7.0.88", "fd07::88"] {
            is_always(target, &Circuit::default(), PATIENT, "lost/next-hop").await;
        }
        is_always("10.7.0.88", &by("wan0"), SOON, "lost/next-hop").await;
        // A gateway at which nobody is.
        ip(
            "route add 10.9.7.0/24 via 10.7.0.77 dev wan0\nroute add fd97::/64 via fd07::77 dev \
                wan0\n",
            0,
        );
        for target in ["10.9.7.1", "fd97::1"] {
            for circuit in [Circuit::default(), by("wan0")] {
                is_always(target, &circuit, PATIENT, "lost/next-hop").await;
            }
        }
        // A router beyond it that says the same is a router's word.
        for order in ORDERS {
            // Linux refuses five at once, then one a second.
            let said = echoes(order, "10.9.9.9", &Circuit::default(), (1, PATIENT)).await;
            assert_eq!(said, ["refused/host-unreachable"], "{order:?}");
        }
        drop(lab);
    });
}

/// Loads rules into this thread's network namespace; says when that cannot be done.
fn nft(rules: &str) -> bool {
    match Command::new("nft").arg(rules).output() {
        Ok(done) if done.status.success() => true,
        Ok(done) => {
            skipped(&format!("no packet filter here: {}", String::from_utf8_lossy(&done.stderr)));
            false
        }
        Err(error) => {
            skipped(&format!("nft cannot be run ({error})"));
            false
        }
    }
}

#[test]
fn what_this_host_s_own_filter_stops_is_not_sent() {
    between(async |lab| {
        for (verdict, hook) in [("drop", "output"), ("reject", "output"), ("drop", "postrouting")] {
            for target in [V4, V6] {
                // The first answers show that what leaves is stamped.
                for order in ORDERS {
                    let begun = echoes(order, target, &Circuit::default(), (1, SOON * 4)).await;
                    assert_eq!(begun, ["a"], "{order:?} {target}");
                }
                let (chain, protocols) =
                    (format!("type filter hook {hook} priority 0;"), "{ icmp, icmpv6 }");
                let rules = format!(
                    "add table inet t; add chain inet t o {{ {chain} }}; add rule inet t o meta \
                     l4proto {protocols} icmp type echo-request {verdict}; add rule inet t o \
                     icmpv6 type echo-request {verdict}"
                );
                for order in ORDERS {
                    let test = filtered_while_probing(order, target, &rules).await;
                    let Some(said) = test else { return };
                    assert!(
                        said.iter().all(|said| said.starts_with("not-sent/")),
                        "{hook} {verdict} {order:?} {target}: {said:?}"
                    );
                }
            }
        }
        drop(lab);
    });
}

/// What becomes of echo requests after a filter was set, by a prober that was answered before.
async fn filtered_while_probing(order: Order, target: &str, rules: &str) -> Option<Vec<String>> {
    let test = Test::Icmp { target: target.to_owned(), size: 56 };
    let period = Duration::from_millis(200);
    let probe = Probe { period, timeout: SOON, cutoff: SOON, ..probe(test) };
    let engine = Box::new(Kernel::with(order));
    let world = World {
        engine,
        resolver: Resolver::system(),
        clock: Box::new(SystemClock),
        pace: Pace::Prompt,
    };
    let mut prober = Prober::new(vec![Arc::new(probe)], world);
    let (mut events, mut said, mut first) = (Vec::new(), Vec::new(), None);
    while said.len() < 3 {
        prober.next(&mut events).await;
        for event in events.drain(..) {
            let Event::Settled(settled) = event else { continue };
            match first {
                None if settled.outcome.has_rtt() => {
                    if !nft(rules) {
                        return None;
                    }
                    first = Some(settled.send + 1);
                }
                // What was sent meanwhile may be either.
                Some(first) if settled.send > first => {
                    said.push(settled.reason.map_or("a".to_owned(), |r| r.to_string()))
                }
                _ => {}
            }
        }
    }
    assert!(nft("delete table inet t"));
    Some(said)
}

#[test]
fn an_echo_reply_with_a_broken_checksum_is_no_answer_by_any_socket() {
    between(async |lab| {
        let rules = "add table inet t; add chain inet t i \
            { type filter hook prerouting priority -150; }; add rule inet t i icmp type \
            echo-reply icmp checksum set 0xbeef; add rule inet t i icmpv6 type echo-reply icmpv6 \
            checksum set 0xbeef";
        if !nft(rules) {
            return;
        }
        for order in ORDERS {
            for target in [V4, V6] {
                for said in echoes(order, target, &Circuit::default(), (3, SOON)).await {
                    assert!(said == "lost/timeout", "{order:?} {target}: {said}");
                }
            }
        }
        drop(lab);
    });
}
