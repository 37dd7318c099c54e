//! What the kernel itself says when a queue is full.

#![expect(clippy::print_stderr, reason = "a test that does not run says why")]

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::*;
use crate::net::icmp::Token;

fn port(order: Order, family: Family) -> Option<KernelPort> {
    match Kernel::with(order).port(family, &Circuit::default(), 1400) {
        Ok(port) => Some(port),
        Err(OpenError::Permission) => {
            eprintln!("skipped: {order:?}: this user may not have such a socket");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn echo(send: u32) -> Echo {
    let to = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Echo { token: Token { lane: 5, send }, to, seq: 0, size: 1000, timeout: Duration::from_secs(1) }
}

#[test]
fn a_receive_queue_that_overflowed_is_told_once() {
    let all = [Order::Datagram, Order::Raw]
        .map(|order| [(order, Family::V4), (order, Family::V6)])
        .concat();
    for (order, family) in all {
        let Some(mut port) = port(order, family) else { continue };
        let echo = |send| match family {
            Family::V4 => echo(send),
            Family::V6 => Echo { to: IpAddr::V6(Ipv6Addr::LOCALHOST), ..echo(send) },
        };
        port.socket.set_recv_buffer_size(20_000).unwrap();
        let batch: Vec<_> = (0..100).map(echo).collect();
        let mut faults = Vec::new();
        port.send(&batch, &mut faults);
        assert_eq!(faults, []);
        let mut arrivals = Vec::new();
        while port.drain(&mut arrivals) == Drained::More {}
        let replies = arrivals.iter().filter(|each| matches!(each, Arrival::Reply { .. })).count();
        assert!(replies < 100, "{order:?} {family:?}: all fitted into the queue");
        let told = arrivals.iter().filter(|each| matches!(each, Arrival::Overflow)).count();
        assert_eq!((told, &faults[..]), (1, &[][..]), "{order:?} {family:?}: {replies} replies");
        port.send(&[echo(201)], &mut faults);
        arrivals.clear();
        port.drain(&mut arrivals);
        assert!(!arrivals.contains(&Arrival::Overflow), "{order:?} {family:?}: it is told once");
    }
}

#[test]
fn a_dscp_is_on_the_wire() {
    use std::io::Read as _;
    const LANE: u32 = 0x00d5_c946;
    let circuit = Circuit { dscp: Some(46), ..Circuit::default() };
    let Ok(spy) =
        Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(socket2::Protocol::ICMPV4))
    else {
        eprintln!("skipped: this user may not look at packets");
        return;
    };
    // The other tests' packets do not fill its queue: it takes the requests of this lane alone.
    // Classic BPF: the word at 36, behind an IPv4 header, ICMP's and half a record.
    let of = socket2::SockFilter::new;
    let its_lane =
        [of(0x20, 0, 0, 36), of(0x15, 0, 1, LANE), of(0x06, 0, 0, u32::MAX), of(0x06, 0, 0, 0)];
    spy.attach_filter(&its_lane).unwrap();
    spy.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut port = Kernel::default().port(Family::V4, &circuit, 1400).unwrap();
    let request = Echo { token: Token { lane: LANE, send: 3 }, ..echo(3) };
    port.send(&[request], &mut Vec::new());
    let mut buffer = [0; 2000];
    loop {
        let length = (&spy).read(&mut buffer).unwrap();
        let packet = packet::behind_ipv4_header(&buffer[..length]).unwrap();
        if packet.first() == Some(&8) {
            break;
        }
    }
    assert_eq!(buffer[1], 46 << 2);
}
