//! A mail server (RFC 5321) that takes what it is given, in the clear or by TLS, and tells of each
//! visit.

use std::sync::{Arc, OnceLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio_rustls::TlsAcceptor;

/// How the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// In the clear; it knows of nothing else.
    Clear,
    /// In the clear, until it is asked for TLS (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// What somebody said from when they came until they went.
#[derive(Debug, Default)]
pub struct Visit {
    /// The commands that came in the clear, and those that came encrypted.
    pub clear: String,
    pub encrypted: String,
    /// The message that was taken, after whom it is for; empty where none was.
    pub taken: String,
}

fn pair() -> &'static CertifiedKey<rcgen::KeyPair> {
    static PAIR: OnceLock<CertifiedKey<rcgen::KeyPair>> = OnceLock::new();
    PAIR.get_or_init(|| generate_simple_self_signed(["localhost".to_owned()]).unwrap())
}

/// Who vouches for the server, in PEM.
pub fn authority() -> String {
    pair().cert.pem()
}

/// Lets everybody in, and tells of each who has gone.
pub async fn server(listener: TcpListener, speaks: Speaks, told: UnboundedSender<Visit>) {
    while let Ok((stream, _)) = listener.accept().await {
        let told = told.clone();
        tokio::spawn(async move {
            let mut visit = Visit::default();
            // One who breaks off is one who went.
            let _ = receive(stream, speaks, &mut visit).await;
            let _ = told.send(visit);
        });
    }
}

async fn receive(stream: TcpStream, speaks: Speaks, visit: &mut Visit) -> std::io::Result<()> {
    let key = PrivateKeyDer::try_from(pair().signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(
        config.with_single_cert(vec![pair().cert.der().clone()], key).unwrap(),
    ));
    if speaks == Speaks::Tls {
        let mut stream = BufReader::new(tls.accept(stream).await?);
        stream.write_all(HELLO).await?;
        return talk(&mut stream, Offers::Nothing, &mut visit.encrypted, &mut visit.taken)
            .await
            .map(drop);
    }
    let mut stream = BufReader::new(stream);
    stream.write_all(HELLO).await?;
    let offers = if speaks == Speaks::StartTls { Offers::Tls } else { Offers::Nothing };
    if talk(&mut stream, offers, &mut visit.clear, &mut visit.taken).await? == Then::Tls {
        let mut stream = BufReader::new(tls.accept(stream.into_inner()).await?);
        talk(&mut stream, Offers::Nothing, &mut visit.encrypted, &mut visit.taken).await?;
    }
    Ok(())
}

const HELLO: &[u8] = b"220 mail.example.net ESMTP\r\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offers {
    Tls,
    Nothing,
}

/// What comes when this conversation is over.
#[derive(PartialEq, Eq)]
enum Then {
    Nothing,
    Tls,
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    offers: Offers,
    said: &mut String,
    taken: &mut String,
) -> std::io::Result<Then> {
    let mut whom = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(Then::Nothing);
        }
        said.push_str(&line);
        let word = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "EHLO" if offers == Offers::Tls => {
                stream
                    .write_all(b"250-mail.example.net\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
                    .await?;
            }
            "EHLO" => {
                stream
                    .write_all(b"250-mail.example.net\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n")
                    .await?
            }
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").await?;
                return Ok(Then::Tls);
            }
            "AUTH" => stream.write_all(b"235 welcome\r\n").await?,
            "RCPT" => {
                whom.push_str(&line);
                stream.write_all(b"250 ok\r\n").await?;
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut message).await?;
                }
                *taken = format!("{whom}{message}");
                stream.write_all(b"250 ok\r\n").await?;
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(Then::Nothing);
            }
            _ => stream.write_all(b"250 ok\r\n").await?,
        }
    }
}
