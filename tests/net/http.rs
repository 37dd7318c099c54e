//! HTTP requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use wanproof::agent::prober::{Pace, Prober, World};
use wanproof::measure::event::Event;
use wanproof::measure::interval::Phase;
use wanproof::measure::probe::{Attempt, Http, Probe, Test, Tls};

use crate::servers::{self, Authority, Then, ok, redirect, status};
use crate::{LONG, SHORT, attempt, http, probe, told};

fn of(http: Http) -> Probe {
    probe(Test::Http(Box::new(http)))
}

async fn get(url: String) -> Attempt {
    attempt(&of(http(url))).await
}

fn phases(attempt: &Attempt) -> Vec<Phase> {
    attempt.phases.iter().map(|(phase, _)| *phase).collect()
}

#[tokio::test]
async fn a_good_answer_has_its_phases_which_fill_the_rtt() {
    let server = servers::plain(|_| ok("all is well")).await;
    let seen = get(server.url("/health?x=1")).await;
    assert_eq!(told(&seen), "a");
    assert_eq!((seen.bytes, seen.address), (Some(11), Some(server.address.ip())));
    assert_eq!(phases(&seen), [Phase::Connect, Phase::FirstByte, Phase::Body]);
    let sum: u64 = seen.phases.iter().map(|(_, took)| took).sum();
    assert!(sum <= seen.rtt_ns.unwrap(), "{seen:?}");

    let head = server.heads().remove(0).to_ascii_lowercase();
    assert!(head.starts_with("get /health?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", server.address)), "{head}");
    assert!(
        head.contains(&format!("user-agent: wanproof/{}\r\n", env!("CARGO_PKG_VERSION"))),
        "{head}"
    );
}

#[tokio::test]
async fn a_method_a_chunked_body_and_one_that_ends_with_the_connection_are_spoken() {
    let server = servers::plain(|first| match first.split(' ').next() {
        Some("HEAD") => Then::Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned()),
        Some("POST") => Then::Say(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        _ => Then::Say("HTTP/1.0 200 OK\r\n\r\nabcd".to_owned()),
    })
    .await;
    for (method, bytes) in [("HEAD", 0), ("POST", 3), ("GET", 4)] {
        let seen = attempt(&of(Http { method: method.to_owned(), ..http(server.url("/")) })).await;
        assert_eq!((told(&seen).as_str(), seen.bytes), ("a", Some(bytes)), "{method}");
    }
}

#[tokio::test]
async fn a_status_is_good_by_its_class_or_by_the_list() {
    let server =
        servers::plain(|first| status(first.split(['/', ' ']).nth(2).unwrap().parse().unwrap()))
            .await;
    let with = async |path: &str, expect_status: Vec<u16>| {
        told(&attempt(&of(Http { expect_status, ..http(server.url(path)) })).await)
    };
    assert_eq!(with("/204", vec![]).await, "a");
    assert_eq!(with("/304", vec![]).await, "a", "a redirect is good where none is followed");
    assert_eq!(with("/503", vec![]).await, "refused/status-503");
    assert_eq!(with("/503", vec![200, 503]).await, "a");
    assert_eq!(with("/204", vec![200]).await, "refused/status-204");
}

#[tokio::test]
async fn a_body_is_held_against_its_text_and_its_limit() {
    let server = servers::plain(|_| ok("all is well")).await;
    let with = async |change: fn(&mut Http)| {
        let mut http = http(server.url("/"));
        change(&mut http);
        told(&attempt(&of(http)).await)
    };
    assert_eq!(with(|http| http.expect_body = Some("is w".to_owned())).await, "a");
    assert_eq!(with(|http| http.expect_body = Some("broken".to_owned())).await, "refused/body");
    assert_eq!(with(|http| http.max_body = 11).await, "a");
    assert_eq!(with(|http| http.max_body = 10).await, "refused/body-size");
}

#[tokio::test]
async fn what_is_incomplete_at_the_timeout_is_lost_however_far_it_came() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    for (said, reached) in
        [("", vec![Phase::Connect]), (head, vec![Phase::Connect, Phase::FirstByte])]
    {
        let server = servers::plain(move |_| Then::SayAndHold(said.to_owned())).await;
        let seen = attempt(&Probe { timeout: SHORT, ..of(http(server.url("/"))) }).await;
        assert_eq!(told(&seen), "lost/timeout");
        assert_eq!(phases(&seen), reached);
    }
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_timeout() {
    let address = servers::accepting(|mut stream| async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n").await;
        let mut drip = tokio::time::interval(Duration::from_millis(5));
        while tokio::io::AsyncWriteExt::write_all(&mut stream, b".").await.is_ok() {
            drip.tick().await;
        }
    })
    .await;
    let seen = attempt(&Probe { timeout: SHORT, ..of(http(format!("http://{address}/"))) }).await;
    assert_eq!(told(&seen), "lost/timeout");
    assert!(seen.bytes.is_some_and(|bytes| bytes > 0));
}

#[tokio::test]
async fn a_reset_a_close_and_nonsense_are_refused_each_by_its_name() {
    let (closed, _held) = servers::closed();
    assert_eq!(told(&get(format!("http://{closed}/")).await), "refused/connection");
    for (says, told_as) in [
        (Then::SayAndReset(String::new()), "refused/reset"),
        (Then::Say(String::new()), "refused/closed"),
        (
            Then::Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_owned()),
            "refused/closed",
        ),
        (Then::Say("SSH-2.0-nothing\r\n\r\n".to_owned()), "refused/http-malformed"),
    ] {
        let server = servers::plain(move |_| says.clone()).await;
        assert_eq!(told(&get(server.url("/")).await), told_as);
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_sent() {
    let seen = get("http://not..a.name/".to_owned()).await;
    assert_eq!(told(&seen), "not-sent/name");
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_was_said() {
    let last = servers::plain(|_| ok("here")).await;
    let onwards = format!("http://localhost:{}/end", last.address.port());
    let first = servers::plain(move |line| match line.split(' ').nth(1) {
        Some("/a") => redirect("b"),
        Some("/b") => redirect(&onwards),
        _ => redirect("gopher://elsewhere/"),
    })
    .await;
    let with = async |path: &str, follow_redirects| {
        let wanted = Http {
            follow_redirects,
            expect_body: Some("here".to_owned()),
            ..http(first.url(path))
        };
        attempt(&of(wanted)).await
    };
    let seen = with("/a", 2).await;
    assert_eq!(told(&seen), "a");
    assert_eq!(phases(&seen), [Phase::Connect, Phase::FirstByte, Phase::Body, Phase::Resolve]);
    assert!(last.heads()[0].starts_with("GET /end "));
    assert_eq!(told(&with("/a", 1).await), "refused/redirects");
    assert_eq!(told(&with("/c", 1).await), "refused/redirect");
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_authority_given_and_its_end_is_told() {
    let authority = Authority::new("ours");
    let server =
        servers::tls(authority.acceptor("localhost", 2041, &["http/1.1"]), |_| ok("secret")).await;
    let with =
        async |host: &str, tls| attempt(&of(Http { tls, ..http(server.https(host, "/")) })).await;
    let roots = |pem: String| Tls::Checked { roots: Some(pem) };
    let seen = with("localhost", roots(authority.pem())).await;
    assert_eq!(told(&seen), "a");
    assert_eq!(
        phases(&seen)[..2],
        [Phase::Resolve, Phase::Connect],
        "localhost was looked up for the first time"
    );
    assert_eq!(phases(&seen)[2..], [Phase::Tls, Phase::FirstByte, Phase::Body]);
    assert_eq!(seen.certificate_until, Some("2041-12-31T00:00:00Z".parse().unwrap()));

    assert_eq!(
        told(&with("localhost", roots(Authority::new("another").pem())).await),
        "refused/certificate-issuer"
    );
    assert_eq!(told(&with("127.0.0.1", roots(authority.pem())).await), "refused/certificate-name");
    assert_eq!(told(&with("127.0.0.1", Tls::Unchecked).await), "a");
    assert_eq!(
        told(&with("localhost", roots("no certificate".to_owned())).await),
        "not-sent/tls-settings"
    );
}

#[tokio::test]
async fn the_end_of_a_certificate_is_an_event_once_and_again_when_it_is_another() {
    let authority = Authority::new("ours");
    let acceptors = [2041, 2042].map(|until| authority.acceptor("localhost", until, &["http/1.1"]));
    // One connection after the other; from the fourth on another certificate is shown.
    let served = Arc::new(tokio::sync::Mutex::new(0));
    let address = servers::accepting(move |stream| {
        let (acceptors, served) = (acceptors.clone(), Arc::clone(&served));
        async move {
            let mut served = served.lock().await;
            *served += 1;
            let acceptor = &acceptors[usize::from(*served > 3)];
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        }
    })
    .await;
    let url = format!("https://localhost:{}/", address.port());
    let tls = Tls::Checked { roots: Some(authority.pem()) };
    let probe = Probe { period: Duration::from_millis(20), ..of(Http { tls, ..http(url) }) };
    let mut prober = Prober::new(vec![probe.into()], World::system(Pace::Prompt));
    let (mut events, mut answered) = (Vec::new(), 0);
    while answered < 8 {
        let known = events.len();
        tokio::time::timeout(LONG, prober.next(&mut events)).await.expect("the server answers");
        let good =
            |event: &&Event| matches!(event, Event::Settled(settled) if settled.outcome.has_rtt());
        answered += events[known..].iter().filter(good).count();
    }
    let told: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Certificate { until, .. } => Some(until.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["2041-12-31T00:00:00Z", "2042-12-31T00:00:00Z"]);
}

#[tokio::test]
async fn an_expired_certificate_and_a_server_without_tls_are_refused() {
    let authority = Authority::new("ours");
    let roots = || Tls::Checked { roots: Some(authority.pem()) };
    let expired = servers::tls(authority.acceptor("localhost", 2020, &[]), |_| ok("")).await;
    let seen = attempt(&of(Http { tls: roots(), ..http(expired.https("localhost", "/")) })).await;
    assert_eq!(told(&seen), "refused/certificate-expired");

    let plain = servers::plain(|_| ok("")).await;
    let speaks_first = servers::accepting(|mut stream| async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example.net\r\n").await;
        let _ = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
    })
    .await;
    assert_eq!(told(&get(format!("https://{speaks_first}/")).await), "refused/tls-not-spoken");
    let seen = attempt(&Probe { timeout: SHORT, ..of(http(plain.https("127.0.0.1", "/"))) }).await;
    assert_eq!(told(&seen), "lost/timeout", "it waits for the end of a head that is none");
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_takes_it() {
    let acceptor = Authority::new("ours").acceptor("localhost", 2041, &["h2", "http/1.1"]);
    let address = servers::accepting(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answer = hyper::service::service_fn(
                |request: hyper::Request<hyper::body::Incoming>| async move {
                    let said = format!(
                        "{:?} {} {:?}",
                        request.version(),
                        request.uri(),
                        request.headers()["user-agent"]
                    );
                    Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(said))))
                },
            );
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        }
    })
    .await;
    let expect = format!("HTTP/2.0 https://{address}/x?y \"wanproof/");
    let seen =
        attempt(&of(Http { expect_body: Some(expect), ..http(format!("https://{address}/x?y")) }))
            .await;
    assert_eq!(told(&seen), "a", "{seen:?}");
    assert_eq!(phases(&seen), [Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Body]);
}
