use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn tcp(circuit: &Circuit, target: IpAddr) -> Result<Socket, Fault> {
    open(circuit, target, Type::STREAM, Protocol::TCP)
}

fn kind(result: Result<Socket, Fault>) -> String {
    result.unwrap_err().reason().to_string()
}

#[test]
fn an_interface_that_does_not_exist_is_named_and_not_replaced() {
    for name in ["nosuch0", "a-name-longer-than-any-interface-can-have"] {
        let circuit = Circuit { interface: Some(name.to_owned()), ..Circuit::default() };
        assert_eq!(kind(tcp(&circuit, LOOPBACK)), "not-sent/interface", "{name}");
    }
}

#[test]
fn a_source_of_another_family_or_another_host_is_refused() {
    let source =
        |source: &str| Circuit { source: Some(source.parse().unwrap()), ..Circuit::default() };
    assert_eq!(kind(tcp(&source("::1"), LOOPBACK)), "not-sent/source");
    assert_eq!(kind(tcp(&source("192.0.2.77"), LOOPBACK)), "not-sent/source");
}

#[test]
fn the_options_are_on_the_socket_before_its_first_packet() {
    let circuit = Circuit {
        interface: Some("lo".to_owned()),
        source: Some(LOOPBACK),
        dscp: Some(46),
        ttl: Some(7),
        fragment: Fragment::Never,
        mark: None,
    };
    let socket = tcp(&circuit, LOOPBACK).unwrap();
    assert_eq!(socket.device().unwrap(), Some(b"lo".to_vec()));
    assert_eq!((socket.tos_v4().unwrap(), socket.ttl_v4().unwrap()), (46 << 2, 7));
    assert_eq!(socket.local_addr().unwrap().as_socket().unwrap().ip(), LOOPBACK);

    let circuit = Circuit { source: Some(Ipv6Addr::LOCALHOST.into()), ..circuit };
    let socket = tcp(&circuit, Ipv6Addr::LOCALHOST.into()).unwrap();
    assert_eq!((socket.tclass_v6().unwrap(), socket.unicast_hops_v6().unwrap()), (46 << 2, 7));
}

#[test]
fn a_target_on_this_host_has_a_route_and_no_packet_is_needed_to_know() {
    assert_eq!(source_towards(LOOPBACK), Some(LOOPBACK));
}
