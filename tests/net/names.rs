//! Names, and the tasks that resolve them.

use std::net::IpAddr;

use hickory_resolver::proto::op::ResponseCode;
use wanproof::measure::probe::{Dns, Family, Http, Probe, Test};
use wanproof::net::icmp::kernel::Order;
use wanproof::net::requests::Requester;
use wanproof::net::resolve::{Failure, Resolution, Resolver};

use crate::dns::{NameServer, Says, addresses, nobody};
use crate::servers::{ok, redirect};
use crate::wire::{V4, between};
use crate::{SHORT, http, probe, servers, told, unsent};

fn known(address: &str) -> Resolution {
    Resolution::Known(address.parse().unwrap())
}

fn says(list: &[&str], ttl: u32) -> Says {
    Says::Addresses { addresses: addresses(list), ttl }
}

#[tokio::test]
async fn a_literal_address_and_localhost_need_no_server() {
    let (nobody, _held) = nobody();
    let resolver = Resolver::of_server(nobody);
    assert_eq!(resolver.current("192.0.2.1", Family::Any), known("192.0.2.1"));
    assert_eq!(resolver.current("2001:db8::1", Family::V6), known("2001:db8::1"));
    assert_eq!(resolver.current("192.0.2.1", Family::V6), Resolution::Failed(Failure::NoAddress));
    assert_eq!(resolver.watch("localhost", Family::V4).settled().await, known("127.0.0.1"));
    assert_eq!(resolver.watch("a.localhost.", Family::V6).settled().await, known("::1"));
    assert_eq!(resolver.once("localhost", Family::Any).await, known("127.0.0.1"));
}

#[tokio::test]
async fn a_look_up_is_under_way_at_once_and_the_caller_never_waits() {
    let server = NameServer::start(says(&["192.0.2.1", "192.0.2.2"], 60)).await;
    let resolver = Resolver::of_server(server.address);
    assert_eq!(resolver.current("www.example.net", Family::V4), Resolution::Pending);
    let mut watch = resolver.watch("www.example.net", Family::V4);
    assert_eq!(watch.settled().await, known("192.0.2.1"));
    assert_eq!(resolver.current("www.example.net", Family::V4), known("192.0.2.1"));
    assert!(watch.lookup_ns().is_some_and(|took| took > 0));
    assert_eq!(watch.lookup_ns(), None, "each look-up is told once");
}

#[tokio::test]
async fn of_any_family_the_one_that_exists_is_taken_and_one_asked_for_is_never_replaced() {
    let server = NameServer::start(says(&["2001:db8::1"], 60)).await;
    let resolver = Resolver::of_server(server.address);
    assert_eq!(
        resolver.watch("www.example.net", Family::Any).settled().await,
        known("2001:db8::1")
    );
    let v4 = resolver.watch("www.example.net", Family::V4).settled().await;
    assert_eq!(v4, Resolution::Failed(Failure::NoAddress));
    server.now_says(says(&["2001:db8::1", "192.0.2.3"], 60));
    assert_eq!(resolver.once("www.example.com", Family::Any).await, known("192.0.2.3"));
}

#[tokio::test]
async fn what_is_denied_what_fails_and_what_is_no_name_are_told_apart() {
    let server = NameServer::start(Says::Code(ResponseCode::NXDomain)).await;
    let resolver = Resolver::of_server(server.address);
    let failed = async |name: &str| resolver.once(name, Family::V4).await;
    assert_eq!(failed("no.example.net").await, Resolution::Failed(Failure::NoSuchName));
    server.now_says(Says::Code(ResponseCode::ServFail));
    assert_eq!(failed("broken.example.net").await, Resolution::Failed(Failure::ServerFailed));
    assert_eq!(failed("not..a.name").await, Resolution::Failed(Failure::NotAName));
    let (nobody, _held) = nobody();
    let unheard = Resolver::of_server(nobody).once("www.example.net", Family::V4).await;
    assert_eq!(unheard, Resolution::Failed(Failure::NoAnswer));
}

#[tokio::test]
async fn a_failure_is_looked_up_again_and_the_watch_tells_of_the_address() {
    let server = NameServer::start(Says::Code(ResponseCode::ServFail)).await;
    let resolver = Resolver::of_server(server.address);
    let mut watch = resolver.watch("www.example.net", Family::V4);
    assert_eq!(watch.changed().await, Resolution::Failed(Failure::ServerFailed));
    server.now_says(says(&["192.0.2.1"], 60));
    assert_eq!(watch.changed().await, known("192.0.2.1"));
}

#[test]
fn a_probe_whose_name_is_not_known_waits_for_it_and_then_says_so() {
    between(async |_lab| {
        let server = NameServer::start(says(&[V4], 60)).await;
        let tcp = |host: &str| Probe {
            family: Family::V4,
            ..probe(Test::Tcp { host: host.to_owned(), port: 8080 })
        };
        let resolver = Resolver::of_server(server.address);
        let seen = Requester::new(tcp("www.example.net").into(), &resolver).attempt().await;
        assert_eq!(told(&seen), "a");
        server.now_says(Says::Code(ResponseCode::NXDomain));
        let seen = Requester::new(tcp("no.example.net").into(), &resolver).attempt().await;
        assert_eq!(told(&seen), "not-sent/name");
        assert_eq!(seen.address, None);
    });
}

/// What becomes of a probe of each kind to this host name or address, by a resolver.
async fn of_each_kind(host: &str, resolver: &Resolver) -> Vec<String> {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let page = format!("http://{bracketed}:8080/");
    let http =
        Http { host: host.to_owned(), url: page, ..http("http://192.0.2.1:8080/".to_owned()) };
    let mut all = Vec::new();
    for test in [Test::Tcp { host: host.to_owned(), port: 8080 }, Test::Http(Box::new(http))] {
        let probe = Probe { timeout: SHORT * 5, cutoff: SHORT * 5, ..probe(test) };
        all.push(told(&Requester::new(probe.into(), resolver).attempt().await));
    }
    for order in [Order::Datagram, Order::Raw] {
        let test = Test::Icmp { target: host.to_owned(), size: 56 };
        all.extend(unsent::settled(order, resolver.clone(), probe(test), 1).await);
    }
    all
}

#[test]
fn a_name_that_leads_to_no_other_host_is_not_asked_by_any_kind_of_probe() {
    between(async |lab| {
        // Whoever took this host for the target would be answered: everything listens here.
        let _listening = std::net::TcpListener::bind(("::", 8080)).unwrap();
        for (address, reason) in [
            ("0.0.0.0", "unspecified"),
            ("::", "unspecified"),
            ("127.0.0.1", "loopback"),
            ("::1", "loopback"),
            ("10.7.0.1", "own"),
            ("fd07::9", "own"),
            ("10.7.0.255", "broadcast"),
            ("255.255.255.255", "broadcast"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
        ] {
            let server = NameServer::start(says(&[address], 60)).await;
            let resolver = Resolver::of_server(server.address);
            let expected = format!("not-sent/address-{reason}");
            for said in of_each_kind("www.example.net", &resolver).await {
                assert_eq!(said, expected, "a name that says {address}");
            }
            // A literal that came to be such an address after it was checked; loopback is asked for
            // by who writes it.
            let expected = if reason == "loopback" { "a" } else { &expected };
            for said in of_each_kind(address, &resolver).await {
                assert!(
                    said == expected || reason == "loopback" && said != "not-sent/address-loopback",
                    "{address}: {said}"
                );
            }
            let dns = Dns {
                server: (address.parse::<IpAddr>().unwrap(), 53).into(),
                query: "a.example".to_owned(),
                record: "A".to_owned(),
            };
            let dns = Probe { timeout: SHORT, cutoff: SHORT, ..probe(Test::Dns(Box::new(dns))) };
            let said = told(&Requester::new(dns.into(), &resolver).attempt().await);
            assert!(said == expected || reason == "loopback", "{address}: {said}");
        }
        // Of several, those that lead elsewhere count.
        let server = NameServer::start(says(&["0.0.0.0", "10.7.0.1", V4], 60)).await;
        for said in of_each_kind("www.example.net", &Resolver::of_server(server.address)).await {
            assert_eq!(said, "a");
        }
        drop(lab);
    });
}

#[test]
fn a_redirect_leads_to_this_host_only_from_this_host() {
    between(async |lab| {
        let here = servers::plain(|_| ok("here")).await;
        let port = here.address.port();
        let own = std::net::TcpListener::bind(("10.7.0.1", 8081)).unwrap();
        own.set_nonblocking(true).unwrap();
        servers::plain_at(tokio::net::TcpListener::from_std(own).unwrap(), |_| ok("here"));
        let server = NameServer::start(says(&["0.0.0.0"], 60)).await;
        let resolver = Resolver::of_server(server.address);
        for (to, reason) in [
            (format!("http://0.0.0.0:{port}/"), "unspecified"),
            (format!("http://[::]:{port}/"), "unspecified"),
            (format!("http://127.0.0.1:{port}/"), "loopback"),
            (format!("http://localhost:{port}/"), "loopback"),
            ("http://10.7.0.1:8081/".to_owned(), "own"),
            ("http://www.example.net/".to_owned(), "unspecified"),
            ("http://224.0.0.1/".to_owned(), "multicast"),
            ("http://10.7.0.255/".to_owned(), "broadcast"),
        ] {
            let told_by = |url: String| {
                let test = Test::Http(Box::new(Http { follow_redirects: 3, ..http(url) }));
                let requester = Requester::new(probe(test).into(), &resolver);
                async move { told(&requester.attempt().await) }
            };
            lab.redirects(&to);
            assert_eq!(
                told_by(format!("http://{V4}:8080/")).await,
                format!("not-sent/address-{reason}"),
                "{to}"
            );
            // From loopback, which its probe asks for itself, it may go on to loopback.
            let target = to.clone();
            let first = servers::plain(move |_| redirect(&target)).await;
            let expected = if reason == "loopback" {
                "a".to_owned()
            } else {
                format!("not-sent/address-{reason}")
            };
            assert_eq!(told_by(first.url("/")).await, expected, "{to}");
        }
    });
}

#[tokio::test]
async fn a_resolver_that_is_gone_asks_nobody_any_more() {
    let server = NameServer::start(Says::Nothing).await;
    let resolver = Resolver::of_server(server.address);
    let mut watch = resolver.watch("www.example.net", Family::V4);
    server.asked(1).await;
    drop(resolver);
    assert_eq!(watch.settled().await, Resolution::Failed(Failure::NoAnswer));
}
