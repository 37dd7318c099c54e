//! Names, and the tasks that resolve them.

use hickory_resolver::proto::op::ResponseCode;
use wanproof::measure::probe::{Family, Probe, Test};
use wanproof::net::requests::Requester;
use wanproof::net::resolve::{Failure, Resolution, Resolver};

use crate::dns::{NameServer, Says, addresses, nobody};
use crate::{probe, servers, told};

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
    let server = NameServer::start(says(&["127.0.0.1", "127.0.0.2"], 60)).await;
    let resolver = Resolver::of_server(server.address);
    assert_eq!(resolver.current("www.example.net", Family::V4), Resolution::Pending);
    let mut watch = resolver.watch("www.example.net", Family::V4);
    assert_eq!(watch.settled().await, known("127.0.0.1"));
    assert_eq!(resolver.current("www.example.net", Family::V4), known("127.0.0.1"));
    assert!(watch.lookup_ns().is_some_and(|took| took > 0));
    assert_eq!(watch.lookup_ns(), None, "each look-up is told once");
}

#[tokio::test]
async fn of_any_family_the_one_that_exists_is_taken_and_one_asked_for_is_never_replaced() {
    let server = NameServer::start(says(&["::1"], 60)).await;
    let resolver = Resolver::of_server(server.address);
    assert_eq!(resolver.watch("www.example.net", Family::Any).settled().await, known("::1"));
    let v4 = resolver.watch("www.example.net", Family::V4).settled().await;
    assert_eq!(v4, Resolution::Failed(Failure::NoAddress));
    server.now_says(says(&["::1", "127.0.0.3"], 60));
    assert_eq!(resolver.once("www.example.com", Family::Any).await, known("127.0.0.3"));
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
    server.now_says(says(&["127.0.0.1"], 60));
    assert_eq!(watch.changed().await, known("127.0.0.1"));
}

#[tokio::test]
async fn a_probe_whose_name_is_not_known_waits_for_it_and_then_says_so() {
    let target = servers::plain(|_| servers::ok("")).await;
    let server = NameServer::start(says(&["127.0.0.1"], 60)).await;
    let tcp = |host: &str| Probe {
        family: Family::V4,
        ..probe(Test::Tcp { host: host.to_owned(), port: target.address.port() })
    };
    let resolver = Resolver::of_server(server.address);
    let seen = Requester::new(tcp("www.example.net").into(), &resolver).attempt().await;
    assert_eq!(told(&seen), "a");
    server.now_says(Says::Code(ResponseCode::NXDomain));
    let seen = Requester::new(tcp("no.example.net").into(), &resolver).attempt().await;
    assert_eq!(told(&seen), "not-sent/name");
    assert_eq!(seen.address, None);
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
