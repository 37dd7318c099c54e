//! The door: connections accepted, TLS spoken where it is configured, and whoever stalls shown out. A slow client costs a
//! connection, of which there is a fixed number, and nothing else.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::collector::Tls;

/// So many connections at once.
const CONNECTIONS: usize = 4096;
/// A handshake is given so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection on which nothing came for so long is closed.
const IDLE: Duration = Duration::from_secs(75);

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
    let fault = |path: &Path, what: String| TlsFault::File { path: path.display().to_string(), what };
    let cert = |error: rustls::pki_types::pem::Error| fault(&files.cert, error.to_string());
    let chain =
        CertificateDer::pem_file_iter(&files.cert).map_err(cert)?.collect::<Result<Vec<_>, _>>().map_err(cert)?;
    if chain.is_empty() {
        return Err(fault(&files.cert, "there is no PEM certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Accepts connections.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
}

impl Door {
    /// A door that speaks what `tls` says at the time of each connection.
    #[must_use]
    pub fn new(listener: TcpListener, tls: watch::Receiver<Option<Arc<ServerConfig>>>) -> Self {
        Self { listener, tls, places: Arc::new(Semaphore::new(CONNECTIONS)), handshakes: JoinSet::new() }
    }

    async fn accept_next(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (stream, from, place) = tokio::select! {
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Some(connection)) => return connection,
                    _ => continue,
                },
                next = async {
                    let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
                    let (stream, from) = self.listener.accept().await?;
                    io::Result::Ok((stream, from, place))
                } => match next {
                    Ok(next) => next,
                    Err(error) => {
                        // No descriptors left, for one: those that are open will end.
                        tracing::warn!("no connection can be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                },
            };
            let _ = stream.set_nodelay(true);
            let Some(config) = self.tls.borrow().clone() else {
                return (Connection::new(Stream::Plain(stream), place), from);
            };
            self.handshakes.spawn(async move {
                match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
                    Ok(Ok(stream)) => Some((Connection::new(Stream::Tls(Box::new(stream)), place), from)),
                    Ok(Err(error)) => {
                        tracing::debug!(%from, "no TLS handshake: {error}");
                        None
                    }
                    Err(_) => None,
                }
            });
        }
    }
}

impl axum::serve::Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        self.accept_next().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that keeps its place until it is closed, and is closed when nothing comes.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(stream: Stream, place: OwnedSemaphorePermit) -> Self {
        Self { stream, idle: Box::pin(tokio::time::sleep(IDLE)), _place: place }
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
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
