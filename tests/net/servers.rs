//! Servers on loopback that do exactly what a test tells them to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a server does once it has read a request's head.
#[derive(Clone, Debug)]
pub enum Then {
    /// Sends this and closes.
    Say(String),
    /// Sends this and keeps the connection, silent.
    SayAndHold(String),
    /// Sends this and resets the connection.
    SayAndReset(String),
}

/// A good response with this body.
pub fn ok(body: &str) -> Then {
    Then::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

pub fn status(status: u16) -> Then {
    Then::Say(format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n"))
}

pub fn redirect(to: &str) -> Then {
    Then::Say(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
}

pub struct Server {
    pub address: SocketAddr,
    /// The heads of the requests that came.
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    pub fn https(&self, host: &str, rest: &str) -> String {
        format!("https://{host}:{}{rest}", self.address.port())
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Plain HTTP; `says` is asked with the first line of each request.
pub async fn plain(says: impl Fn(&str) -> Then + Send + Sync + 'static) -> Server {
    plain_at(TcpListener::bind("127.0.0.1:0").await.unwrap(), says)
}

pub fn plain_at(
    listener: TcpListener,
    says: impl Fn(&str) -> Then + Send + Sync + 'static,
) -> Server {
    let server = Server { address: listener.local_addr().unwrap(), heads: Arc::default() };
    let (heads, says) = (Arc::clone(&server.heads), Arc::new(says));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&heads), Arc::clone(&says), |stream| {
                stream.set_zero_linger()
            }));
        }
    });
    server
}

/// HTTP/1.1 over TLS with this acceptor.
pub async fn tls(
    acceptor: TlsAcceptor,
    says: impl Fn(&str) -> Then + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), heads: Arc::default() };
    let (heads, says) = (Arc::clone(&server.heads), Arc::new(says));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, heads, says) = (acceptor.clone(), Arc::clone(&heads), Arc::clone(&says));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, heads, says, |stream| stream.get_ref().0.set_zero_linger()).await;
                }
            });
        }
    });
    server
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    heads: Arc<Mutex<Vec<String>>>,
    says: Arc<impl Fn(&str) -> Then>,
    linger: impl Fn(&S) -> std::io::Result<()>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let first = head.lines().next().unwrap_or_default().to_owned();
    heads.lock().unwrap().push(head);
    match says(&first) {
        Then::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Then::SayAndHold(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Then::SayAndReset(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            linger(&stream).unwrap();
        }
    }
}

/// Accepts connections, hands them over, and does nothing else.
pub async fn accepting<F>(then: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(then(stream));
        }
    });
    address
}

/// A port at which nobody listens. It stays bound, so that nobody else gets it.
pub fn closed() -> (SocketAddr, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

/// A certificate authority of a test.
pub struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: rcgen::CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// An acceptor with a certificate for `name` that ends with the year `until`, offering these
    /// protocols.
    pub fn acceptor(&self, name: &str, until: i32, protocols: &[&str]) -> TlsAcceptor {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
