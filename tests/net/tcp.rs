//! TCP connections.

use wanproof::measure::probe::{Circuit, Family, Probe, Test};

use crate::{SHORT, attempt, probe, servers, told};

fn tcp(host: &str, port: u16) -> Probe {
    probe(Test::Tcp { host: host.to_owned(), port })
}

#[tokio::test]
async fn a_connection_that_is_taken_is_answered_and_closed() {
    let (told_closed, mut closed) = tokio::sync::mpsc::unbounded_channel();
    let address = servers::accepting(move |mut stream| {
        let told_closed = told_closed.clone();
        async move {
            let ended = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
            told_closed.send(ended.unwrap_err().kind()).unwrap();
        }
    })
    .await;
    let seen = attempt(&tcp("127.0.0.1", address.port())).await;
    assert_eq!(told(&seen), "a");
    assert_eq!(seen.address, Some(address.ip()));
    assert_eq!(closed.recv().await, Some(std::io::ErrorKind::UnexpectedEof), "not a reset");
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let (address, _held) = servers::closed();
    assert_eq!(told(&attempt(&tcp("127.0.0.1", address.port())).await), "refused/connection");
}

#[tokio::test]
async fn an_answer_after_the_cut_off_is_late() {
    let address = servers::accepting(|_| async {}).await;
    let probe =
        Probe { cutoff: std::time::Duration::from_nanos(1), ..tcp("localhost", address.port()) };
    let seen = attempt(&Probe { family: Family::V4, ..probe }).await;
    assert_eq!(told(&seen), "t");
}

#[tokio::test]
async fn a_connection_that_nobody_takes_is_lost_at_the_timeout() {
    // A full queue of a listener that never accepts drops what comes next.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let probe = Probe { timeout: SHORT, ..tcp("127.0.0.1", address.port()) };
    let _filling = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(told(&attempt(&probe).await), "lost/timeout");
}

#[tokio::test]
async fn what_this_host_cannot_send_is_not_sent_and_says_why() {
    let address = servers::accepting(|_| async {}).await;
    let by = |circuit| Probe { circuit, ..tcp("127.0.0.1", address.port()) };
    let interface = Circuit { interface: Some("nosuch0".to_owned()), ..Circuit::default() };
    assert_eq!(told(&attempt(&by(interface)).await), "not-sent/interface");
    let source =
        |source: &str| Circuit { source: Some(source.parse().unwrap()), ..Circuit::default() };
    assert_eq!(told(&attempt(&by(source("192.0.2.77"))).await), "not-sent/source");
    assert_eq!(told(&attempt(&by(source("::1"))).await), "not-sent/source");
    let v6 = Probe { family: Family::V6, ..by(Circuit::default()) };
    assert_eq!(
        told(&attempt(&v6).await),
        "not-sent/name",
        "a family is never replaced by the other"
    );
}
