//! Servers as they are found in the field: old, odd, half closed, self-signed.

use std::sync::Arc;

use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use wanproof::measure::interval::Phase;
use wanproof::measure::probe::{Attempt, Http, Probe, Test, Tls, Version};
use wanproof::net::requests::Requester;
use wanproof::net::resolve::Resolver;

use crate::servers::{self, Authority, Then, ok, redirect};
use crate::{attempt, http, probe, told};

fn of(http: Http) -> Probe {
    probe(Test::Http(Box::new(http)))
}

async fn get(url: String) -> Attempt {
    attempt(&of(http(url))).await
}

fn says(text: &str) -> Then {
    Then::Say(text.to_owned())
}

#[tokio::test]
async fn folded_lines_and_white_space_before_a_colon_are_read_as_other_clients_do() {
    for head in
        ["X-Folded: one\r\n two\r\nContent-Length: 2\r\n", "Server : odd\r\nContent-Length : 2\r\n"]
    {
        let server =
            servers::plain(move |_| says(&format!("HTTP/1.1 200 OK\r\n{head}\r\nok"))).await;
        let seen = get(server.url("/")).await;
        assert_eq!((told(&seen).as_str(), seen.bytes), ("a", Some(2)), "{head}");
    }
}

#[tokio::test]
async fn a_redirect_in_raw_utf_8_is_followed_to_what_it_encodes() {
    let server = servers::plain(|line| match line.split(' ').nth(1) {
        Some("/caf%C3%A9?x=%C3%BC") => ok("here"),
        _ => redirect("/café?x=ü"),
    })
    .await;
    let wanted =
        Http { follow_redirects: 1, expect_body: Some("here".to_owned()), ..http(server.url("/")) };
    assert_eq!(told(&attempt(&of(wanted)).await), "a");
}

#[tokio::test]
async fn a_header_of_256_kib_is_read_by_either_version() {
    let lines = |count: usize| {
        (0..count).map(|at| format!("x-{at:04}: {}\r\n", "v".repeat(200))).collect::<String>()
    };
    let large = lines(1300);
    assert!(large.len() >= 256 * 1024);
    let server = servers::plain(move |_| {
        says(&format!("HTTP/1.1 200 OK\r\n{large}Content-Length: 2\r\n\r\nok"))
    })
    .await;
    assert_eq!(told(&get(server.url("/")).await), "a");

    let server = h2_server(|_, mut respond| {
        let mut response = hyper::Response::new(());
        for at in 0..1300 {
            let name =
                hyper::header::HeaderName::from_bytes(format!("x-{at:04}").as_bytes()).unwrap();
            response.headers_mut().insert(name, "v".repeat(200).parse().unwrap());
        }
        let mut body = respond.send_response(response, false).unwrap();
        body.send_data(Bytes::from_static(b"ok"), true).unwrap();
    })
    .await;
    assert_eq!(told(&get(format!("https://{server}/")).await), "a");

    let endless = lines(2040).repeat(4);
    let server = servers::plain(move |_| says(&format!("HTTP/1.1 200 OK\r\n{endless}\r\n"))).await;
    assert_eq!(told(&get(server.url("/")).await), "refused/http-header-size");
}

/// A server of HTTP/2 over TLS, which offers HTTP/1.1 too and then answers `200` by it.
async fn h2_server(
    answer: impl Fn(hyper::Request<h2::RecvStream>, h2::server::SendResponse<Bytes>)
    + Send
    + Sync
    + 'static,
) -> std::net::SocketAddr {
    let acceptor = Authority::new("ours").acceptor("localhost", 2041, &["h2", "http/1.1"]);
    let answer = Arc::new(answer);
    servers::accepting(move |stream| {
        let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                let _ = stream.shutdown().await;
                return;
            }
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                answer(request, respond);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_requires_http_1_1_is_asked_so_and_from_then_on_at_once() {
    let server =
        h2_server(|_, mut respond| respond.send_reset(h2::Reason::HTTP_1_1_REQUIRED)).await;
    let wanted = of(http(format!("https://{server}/")));
    let requester = Requester::new(Arc::new(wanted), &Resolver::system());
    let first = requester.attempt().await;
    assert_eq!(told(&first), "a");
    // The second connection is the only one of the second attempt.
    let second = requester.attempt().await;
    assert_eq!(told(&second), "a");
    let phases: Vec<Phase> = second.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Body]);

    let forced = Http { version: Version::Http2, ..http(format!("https://{server}/")) };
    assert_eq!(told(&attempt(&of(forced)).await), "refused/http-version");
}

#[tokio::test]
async fn a_reset_by_http_2_is_told_by_its_number() {
    let server =
        h2_server(|_, mut respond| respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM)).await;
    assert_eq!(told(&get(format!("https://{server}/")).await), "refused/http2-error-11");
}

#[tokio::test]
async fn the_version_that_is_asked_for_is_spoken_and_no_other() {
    let server = h2_server(|_, mut respond| {
        respond
            .send_response(hyper::Response::builder().status(204).body(()).unwrap(), true)
            .unwrap();
    })
    .await;
    let with = async |version, expect_status: u16| {
        let wanted = Http {
            version,
            expect_status: vec![expect_status],
            ..http(format!("https://{server}/"))
        };
        told(&attempt(&of(wanted)).await)
    };
    assert_eq!(with(Version::Any, 204).await, "a");
    assert_eq!(with(Version::Http2, 204).await, "a");
    assert_eq!(with(Version::Http1, 200).await, "a");

    let only_old =
        servers::tls(Authority::new("ours").acceptor("localhost", 2041, &["http/1.1"]), |_| ok(""))
            .await;
    let forced = Http { version: Version::Http2, ..http(only_old.https("127.0.0.1", "/")) };
    assert_eq!(told(&attempt(&of(forced)).await), "refused/http-version");
}

/// Answers with this text over TLS, and closes the connection without TLS's close_notify.
async fn closes_without_notice(acceptor: TlsAcceptor, text: &'static str) -> std::net::SocketAddr {
    servers::accepting(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            let _ = stream.get_mut().0.shutdown().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_body_without_close_notify_is_whole_only_if_its_length_was_told() {
    let acceptor = Authority::new("ours").acceptor("localhost", 2041, &["http/1.1"]);
    for (text, wanted) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "a"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "a"),
        ("HTTP/1.1 200 OK\r\n\r\nbody", "refused/tls-truncated"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", "refused/closed"),
    ] {
        let server = closes_without_notice(acceptor.clone(), text).await;
        assert_eq!(told(&get(format!("https://{server}/")).await), wanted, "{text}");
    }
}

/// A self-signed certificate for `localhost`, an authority's own too, and an acceptor that shows
/// it.
fn self_signed(is_ca: bool, until: i32) -> (String, TlsAcceptor) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    if is_ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    params.not_after = rcgen::date_time_ymd(until, 12, 31);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], key.into())
    .unwrap();
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_itself_the_ca_is_trusted_while_valid_and_for_its_name() {
    for is_ca in [true, false] {
        let (pem, acceptor) = self_signed(is_ca, 9999);
        let server = servers::tls(acceptor, |_| ok("")).await;
        let with = async |host: &str, pem: &str| {
            let tls = Tls::Checked { roots: Some(pem.to_owned()) };
            told(&attempt(&of(Http { tls, ..http(server.https(host, "/")) })).await)
        };
        assert_eq!(with("localhost", &pem).await, "a", "is_ca: {is_ca}");
        assert_eq!(with("127.0.0.1", &pem).await, "refused/certificate-name", "is_ca: {is_ca}");
        let (other, _) = self_signed(is_ca, 2041);
        assert!(
            with("localhost", &other).await.starts_with("refused/certificate"),
            "is_ca: {is_ca}"
        );
    }
    let (pem, acceptor) = self_signed(true, 2020);
    let server = servers::tls(acceptor, |_| ok("")).await;
    let tls = Tls::Checked { roots: Some(pem) };
    let seen = attempt(&of(Http { tls, ..http(server.https("localhost", "/")) })).await;
    assert_eq!(told(&seen), "refused/certificate-expired");
}

#[tokio::test]
async fn a_collector_with_a_self_signed_certificate_is_asked_when_that_is_its_ca() {
    let (pem, acceptor) = self_signed(true, 2041);
    let server = servers::tls(acceptor, |_| ok("keys")).await;
    let url = server.https("localhost", "/v1/keys");
    let asked = |pem: &str| {
        wanproof::net::web::client_trusting(&url, pem).unwrap().build().unwrap().get(&url).send()
    };
    let answer = asked(&pem).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "keys");
    let (other, _) = self_signed(true, 2041);
    assert!(asked(&other).await.is_err());
}
