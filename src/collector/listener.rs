//! The listener: accepts connections, speaks TLS where it is configured, serves HTTP within bounds,
//! and closes connections that stall. A slow client costs a connection, which is closed when others
//! need its place (`connections.rs`), and nothing else.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::collector::caller::Caller;
use crate::collector::connections::{Connections, Peer};
use crate::config::collector::Tls;

/// A handshake is given so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection on which nothing came for so long is closed.
const IDLE: Duration = Duration::from_secs(75);
/// A request's head is at most so long; of a connection by HTTP/1.1 nothing more lies in memory
/// unread.
const HEAD: u32 = 16 * 1024;
/// So many requests of one HTTP/2 connection at once, …
const STREAMS: u32 = 32;
/// … and what of their bodies may lie in memory unread.
const WINDOW: u32 = 64 * 1024;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read, or holds something else.
    #[error("{path}: {what}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The certificate and the key do not go together, or cannot be used.
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// TLS as the files say.
///
/// # Errors
/// When a file cannot be read or they do not go together.
pub fn tls(files: &Tls) -> Result<Arc<ServerConfig>, TlsFault> {
    let fault =
        |path: &Path, what: String| TlsFault::File { path: path.display().to_string(), what };
    let cert = |error: rustls::pki_types::pem::Error| fault(&files.cert, error.to_string());
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .map_err(cert)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(cert)?;
    if chain.is_empty() {
        return Err(fault(&files.cert, "there is no PEM certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fault(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What is served, and to whom.
pub struct Listener {
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// TLS as it is spoken at the time of each connection.
    pub tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// What answers.
    pub router: Router,
}

impl Listener {
    /// Serves until `stop` is done; then lets the requests that are under way end.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let mut open = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = open.join_next() => {}
                next = listener.accept() => match next {
                    // Where there is no place, and nobody makes room, it is closed at once.
                    Ok((stream, from)) => if let Some(peer) = self.connections.admit(from.ip()) {
                        open.spawn(self.attend(stream, from, peer, stopped.clone()));
                    },
                    Err(error) => {
                        // No descriptors left, for one: those that are open will end.
                        tracing::warn!("no connection can be accepted, and it is tried again: \
                            {error}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                },
            }
        }
        drop(listener);
        let _ = stopping.send(true);
        while open.join_next().await.is_some() {}
    }

    /// Serves a connection until it ends, or its place is needed for another.
    fn attend(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        peer: Arc<Peer>,
        stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (tls, router) = (self.tls.borrow().clone(), self.router.clone());
        async move {
            let serve = async {
                let _ = stream.set_nodelay(true);
                let Some(stream) = opened(stream, from, tls).await else { return };
                converse(stream, router, &peer, stopped).await;
            };
            tokio::select! {
                () = serve => {}
                () = peer.asked_to_close() => {
                    tracing::debug!(%from, "an idle connection made room for another");
                }
            }
        }
    }
}

/// A connection after its handshake.
async fn opened(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) -> Option<Stream> {
    let Some(config) = tls else { return Some(Stream::Plain(stream)) };
    match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%from, "no TLS handshake: {error}");
            None
        }
        Err(_) => None,
    }
}

/// Answers the requests of a connection.
async fn converse(
    stream: Stream,
    router: Router,
    peer: &Arc<Peer>,
    mut stopped: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router);
    let answer = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Caller::new(Arc::clone(peer)));
        service.call(request)
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    // A head that is not whole after that is never waited for; it begins with the end of the answer
    // before.
    http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(HEAD as usize);
    http.http2()
        .max_header_list_size(HEAD)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(WINDOW as usize);
    let mut conversation =
        std::pin::pin!(http.serve_connection(TokioIo::new(Connection::new(stream)), answer));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = async { stopped.wait_for(|&stopped| stopped).await.map_or((), drop) } => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!("a connection ended: {error}");
    }
}

/// A connection that is closed when nothing comes.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    idle: Pin<Box<Sleep>>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(stream: Stream) -> Self {
        Self { stream, idle: Box::pin(tokio::time::sleep(IDLE)) }
    }

    fn moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + IDLE);
    }

    fn stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, to),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, to),
        };
        if read.is_ready() {
            self.moved();
            return read;
        }
        self.stalled(cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        if written.is_ready() {
            self.moved();
            return written;
        }
        self.stalled(cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
