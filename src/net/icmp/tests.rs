//! Both engines, held to the same facts on loopback; and what a raw socket may be told by others.

#![expect(clippy::print_stderr, reason = "a test that does not run says why")]

use std::collections::HashSet;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::kernel::{Kernel, Order};
use super::packet::{HEADER, RECORD, checksum};
use super::portable::Portable;
use super::*;
use crate::base::time::{Clock, SystemClock};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Every engine, and every kind of socket that this user may have.
fn engines() -> Vec<(String, Box<dyn Engine>)> {
    let mut all: Vec<(String, Box<dyn Engine>)> =
        vec![("portable".to_owned(), Box::new(Portable::default()))];
    for order in [Order::Datagram, Order::Raw] {
        all.push((format!("kernel, {order:?}"), Box::new(Kernel::with(order))));
    }
    all
}

/// Opens a port; [`None`], having said why, where this user may not have it.
fn open(name: &str, engine: &dyn Engine, to: IpAddr, circuit: &Circuit) -> Option<Box<dyn Port>> {
    match engine.open(Family::of(to), circuit, 2000) {
        Ok(port) => Some(port),
        Err(OpenError::Permission) => {
            eprintln!("skipped: {name}, {to}: this user may not have such a socket");
            None
        }
        Err(error) => panic!("{name}, {to}: {error}"),
    }
}

fn echo(to: IpAddr, send: u32, size: u16) -> Echo {
    let seq = u16::try_from(send).unwrap();
    Echo { token: Token { lane: 77, send }, to, seq, size, timeout: Duration::from_secs(20) }
}

/// Reads until `enough` says so, or twenty seconds have passed, which fails the test that then
/// looks at what came.
async fn read(port: &mut dyn Port, enough: impl Fn(&[Arrival]) -> bool) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for _ in 0..10_000 {
        port.drain(&mut arrivals);
        if enough(&arrivals) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    arrivals
}

fn replies(arrivals: &[Arrival]) -> Vec<u32> {
    let send = |arrival: &Arrival| match arrival {
        Arrival::Reply { token, .. } => Some(token.send),
        _ => None,
    };
    arrivals.iter().filter_map(send).collect()
}

#[tokio::test]
async fn every_request_is_answered_under_its_own_token() {
    for (name, engine) in engines() {
        for to in [V4, V6] {
            let Some(mut port) = open(&name, &*engine, to, &Circuit::default()) else { continue };
            let batch: Vec<_> = (0..40)
                .map(|send| echo(to, send, 24 + u16::try_from(send).unwrap() * 33))
                .collect();
            let mut faults = Vec::new();
            port.send(&batch, &mut faults);
            assert_eq!(faults, [], "{name}, {to}");
            let arrivals = read(&mut *port, |arrivals| replies(arrivals).len() >= 40).await;
            let came = replies(&arrivals);
            assert_eq!(
                (came.len(), came.iter().collect::<HashSet<_>>().len()),
                (40, 40),
                "{name}, {to}"
            );
            for arrival in &arrivals {
                if let Arrival::Reply { token, bytes, from, ttl, .. } = arrival {
                    assert_eq!((token.lane, *from), (77, to), "{name}");
                    let sent = 24 + token.send * 33 + 8;
                    assert!(*bytes == sent || name == "portable", "{name}: {bytes} of {sent}");
                    assert!(ttl.is_none_or(|ttl| ttl == 64), "{name}: {ttl:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_kernel_stamps_both_ends_between_the_readings_around_them() {
    for (name, engine) in engines().into_iter().skip(1) {
        for to in [V4, V6] {
            let Some(mut port) = open(&name, &*engine, to, &Circuit::default()) else { continue };
            assert_eq!(port.means().stamps, Stamps::Kernel);
            let before = SystemClock.now().wall;
            port.send(&[echo(to, 5, 56)], &mut Vec::new());
            let arrivals = read(&mut *port, |arrivals| arrivals.len() == 2).await;
            let after = SystemClock.now().wall;
            let [
                Arrival::Departed { token, at: tx },
                Arrival::Reply { heard: Heard::At(Some(rx)), .. },
            ] = arrivals[..]
            else {
                panic!("{name}, {to}: {arrivals:?}");
            };
            assert_eq!(token, Token { lane: 77, send: 5 });
            assert!(
                before <= tx && tx <= rx && rx <= after,
                "{name}, {to}: {before} {tx} {rx} {after}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_by_its_place_and_harms_no_neighbour() {
    for (name, engine) in engines().into_iter().skip(1) {
        let Some(mut port) = open(&name, &*engine, V4, &Circuit::default()) else { continue };
        let mut batch: Vec<_> = (0..10).map(|send| echo(V4, send, 56)).collect();
        // A broadcast address needs SO_BROADCAST; an IPv6 address is of another family.
        batch[3].to = Ipv4Addr::new(127, 255, 255, 255).into();
        batch[9].to = V6;
        let mut faults = Vec::new();
        port.send(&batch, &mut faults);
        assert_eq!(
            faults.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
            [3, 9],
            "{name}: {faults:?}"
        );
        assert_eq!(faults[0].1, Unsent::Filtered, "{name}");
        let arrivals = read(&mut *port, |arrivals| replies(arrivals).len() >= 8).await;
        assert_eq!(replies(&arrivals).len(), 8, "{name}");
    }
}

#[tokio::test]
async fn a_circuit_that_is_not_here_is_named() {
    let interface = Circuit { interface: Some("nosuch0".to_owned()), ..Circuit::default() };
    let source = Circuit { source: Some("192.0.2.77".parse().unwrap()), ..Circuit::default() };
    for (name, engine) in engines() {
        if open(&name, &*engine, V4, &Circuit::default()).is_none() {
            continue;
        }
        for (circuit, reason) in [(&interface, "not-sent/interface"), (&source, "not-sent/source")]
        {
            let error = engine.open(Family::V4, circuit, 56).unwrap_err();
            assert_eq!(error.reason().to_string(), reason, "{name}: {error}");
        }
    }
    let marked = Circuit { dscp: Some(46), ..Circuit::default() };
    let error = Portable::default().open(Family::V4, &marked, 56).unwrap_err();
    assert_eq!(error.reason().to_string(), "not-sent/unsupported");
}

/// A raw socket that sends any ICMP message to ourselves; [`None`], having said why, where this
/// user may not have one.
fn forger() -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
    socket.inspect_err(|error| eprintln!("skipped: no forged replies, {error}")).ok()
}

#[tokio::test]
async fn forged_truncated_and_oversized_replies_never_count() {
    let Some(forger) = forger() else { return };
    let engine = Kernel::with(Order::Raw);
    let Some(mut port) = open("raw", &engine, V4, &Circuit::default()) else { return };
    let spy = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    spy.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let ours = Echo { token: Token { lane: 0xfeed_beef, send: 1 }, ..echo(V4, 1, 56) };
    port.send(&[ours], &mut Vec::new());
    let genuine = read(&mut *port, |arrivals| !replies(arrivals).is_empty()).await;
    assert_eq!(replies(&genuine), [1]);
    // The reply as anybody on the path sees it.
    let seen = loop {
        let mut buffer = [0; 200];
        let length = (&spy).read(&mut buffer).unwrap();
        let packet = packet::behind_ipv4_header(&buffer[..length]).unwrap();
        if packet.first() == Some(&0)
            && packet.get(HEADER + 8..HEADER + 12) == Some(&[0xfe, 0xed, 0xbe, 0xef])
        {
            break packet.to_vec();
        }
    };
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = seen.clone();
        change(&mut packet);
        packet[2..4].fill(0);
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        forger.send_to(&packet, &SocketAddr::new(V4, 0).into()).unwrap();
    };
    forge(&|packet| packet[HEADER] ^= 1);
    forge(&|packet| packet[HEADER + 8] ^= 1);
    forge(&|packet| packet[HEADER + 15] ^= 1);
    forge(&|packet| packet[HEADER + RECORD - 1] ^= 1);
    forge(&|packet| packet.truncate(HEADER + RECORD - 1));
    forge(&|packet| packet.truncate(HEADER));
    forge(&|packet| packet[4] ^= 0xff);
    forge(&|packet| packet[0] = 14);
    forge(&|packet| {
        packet.truncate(HEADER);
        packet.resize(30_000, 7);
    });
    // What is longer than any reply may be is cut off, so that nobody can say whether its checksum
    // is right.
    forge(&|packet| packet.resize(20_000, 7));
    // The last one is genuine but for its length; it shows that the others were read.
    forge(&|packet| packet.resize(100, 7));
    let arrivals = read(&mut *port, |arrivals| !replies(arrivals).is_empty()).await;
    assert_eq!(replies(&arrivals), [1], "{arrivals:?}");
}
