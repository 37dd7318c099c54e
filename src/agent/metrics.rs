//! What the agent shows to Prometheus: a page of metrics, by HTTP, on an address that the
//! configuration names.
//!
//! It counts from the agent's start, and for each probe from when it was configured as it is.
//! Histograms have fixed buckets, and native ones for whoever asks for protobuf; both take a
//! kilobyte or two for each probe. Exact percentiles are `wanproof histogram`'s.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::agent::live::Live;
use crate::agent::recorder::Recorder;
use crate::measure::event::{Event, ProbeId};
use crate::measure::outcome::Outcome;
use crate::measure::reasons::Reasons;
use crate::net::exposition::{Form, Spread};

mod page;

use page::Sources;

/// Guests at one time; more wait at the door.
const GUESTS: usize = 8;
/// How long one may stay.
const STAY: Duration = Duration::from_secs(10);
/// How soon an address that cannot be had is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The metrics, counted and shown.
#[derive(Debug)]
pub struct Metrics {
    listen: SocketAddr,
    book: Rc<RefCell<Book>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Book {
    /// By the probe's place.
    probes: Vec<Counts>,
    send_lag: Spread,
    receive_lag: Spread,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    /// In the order of [`Outcome::ALL`].
    outcomes: [u64; Outcome::ALL.len()],
    reasons: Reasons,
    rtt: Spread,
}

impl Metrics {
    /// Counts, and shows it at `listen`; an address that cannot be had is tried again, and the
    /// agent measures meanwhile. It needs a `LocalSet`.
    #[must_use]
    pub fn start(listen: SocketAddr, live: Live, recorder: Recorder) -> Self {
        let book = Book {
            probes: Vec::new(),
            send_lag: Spread::default(),
            receive_lag: Spread::default(),
        };
        let book = Rc::new(RefCell::new(book));
        let sources = Sources { book: Rc::clone(&book), live, recorder };
        Self { listen, book, task: tokio::task::spawn_local(serve(listen, sources)) }
    }

    /// Where it is to be shown, as it was asked for.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Begins to count for the probes of these places, which are others than before.
    pub fn begin(&self, places: &[ProbeId]) {
        let mut book = self.book.borrow_mut();
        let rows = ProbeId::rows(places).max(book.probes.len());
        book.probes.resize(rows, Counts::default());
        places.iter().for_each(|place| book.probes[place.0 as usize] = Counts::default());
    }

    /// Takes what the prober says.
    pub fn apply(&self, event: &Event) {
        let mut book = self.book.borrow_mut();
        let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        match event {
            Event::Settled(settled) => {
                let Some(counts) = book.probes.get_mut(settled.probe.0 as usize) else { return };
                let place = Outcome::ALL.iter().position(|&each| each == settled.outcome);
                counts.outcomes[place.expect("ALL has every outcome")] += 1;
                if let Some(reason) = &settled.reason {
                    counts.reasons.add(reason);
                }
                if let Some(rtt) = settled.rtt_ns {
                    counts.rtt.record_ns(rtt);
                }
            }
            Event::Lag { send, receive } => {
                book.send_lag.record_ns(nanos(*send));
                if let Some(receive) = receive {
                    book.receive_lag.record_ns(nanos(*receive));
                }
            }
            _ => {}
        }
    }

    /// Shows nothing any more; its address is free afterwards.
    pub async fn end(self) {
        self.task.abort();
        // It was aborted, which is no news.
        let _ = self.task.await;
    }
}

async fn serve(listen: SocketAddr, sources: Sources) {
    let listener = door(listen).await;
    let room = Arc::new(Semaphore::new(GUESTS));
    // Guests go when the door does.
    let mut guests = tokio::task::JoinSet::new();
    loop {
        while guests.try_join_next().is_some() {}
        let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = sources.clone();
                guests.spawn_local(async move {
                    if tokio::time::timeout(STAY, attend(stream, sources)).await.is_err() {
                        debug!("a guest of the metrics took too long");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "a guest of the metrics could not be let in");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn door(listen: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                let at = listener.local_addr().unwrap_or(listen);
                info!("metrics are at http://{at}/metrics");
                return listener;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%listen, %error, "metrics cannot be shown at this address; it is tried \
                        again");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn attend(stream: TcpStream, sources: Sources) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let sources = sources.clone();
        async move { Ok::<_, Infallible>(answer(&request, &sources).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(STAY)
        .max_buf_size(16 * 1024)
        .keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        debug!(%error, "a guest of the metrics left early");
    }
}

async fn answer(request: &Request<Incoming>, sources: &Sources) -> Response<Full<Bytes>> {
    let plain = |status, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "metrics are read by GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::wanted(&accept.collect::<Vec<_>>().join(","));
    let mut response = Response::new(Full::new(Bytes::from(sources.page(form).await)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    response
}
