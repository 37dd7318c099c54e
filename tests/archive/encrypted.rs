//! The way to PostgreSQL, in the clear or encrypted, to whom it is meant for or not at all: a real server that speaks TLS.

use std::net::{SocketAddr, TcpListener};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use wanproof::collector::archive::Archive;
use wanproof::config::collector::{Address, Database};

use crate::postgres::{Server, ask};

/// The name in the server's certificate.
const NAME: &str = "db.example.net";

/// An authority of the test's own.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A loopback address that nobody else uses, with a port that is free there.
fn place(last: u8) -> SocketAddr {
    let process = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((format!("127.{}.{}.{last}", process[2], process[3]), 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A server with a database, and how it is reached by TCP.
struct Reached {
    server: Server,
    at: SocketAddr,
    by_socket: String,
    name: String,
    files: tempfile::TempDir,
}

impl Reached {
    fn new(at: SocketAddr, tls: Option<(&str, &str)>, more: &str) -> Option<Self> {
        let server = Server::start_at(at, tls, more)?;
        let by_socket = server.database();
        let name = by_socket.trim_start_matches("postgres:///").split('?').next().unwrap().to_owned();
        Some(Self { server, at, by_socket, name, files: tempfile::tempdir().unwrap() })
    }

    /// A file beside which nothing is looked for.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Opens the database by TCP, under a host's name, and says whether the way was encrypted; or why it was not opened.
    fn open(&self, host: &str, options: &str) -> Result<bool, String> {
        let (name, at) = (&self.name, self.at);
        let url = format!(
            "postgres:///{name}?host={host}&hostaddr={}&port={}&user=wanproof&password=secret&{options}",
            at.ip(),
            at.port()
        );
        let archive = Archive::open(&Database::Postgres(Address::new(url))).map_err(|error| error.to_string())?;
        archive.ping().unwrap();
        let sql = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid)
                   WHERE application_name = 'wanproof' AND client_addr IS NOT NULL";
        let encrypted = ask(&self.by_socket, sql);
        drop(archive);
        self.server.disconnect(&self.by_socket);
        Ok(encrypted == "t")
    }
}

#[test]
fn the_way_to_a_server_is_encrypted_and_the_server_is_who_it_should_be() {
    let (ours, other) = (authority("ours"), authority("another"));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let Some(server) = Reached::new(place(11), Some((&certificate.pem(), &key.serialize_pem())), "") else { return };
    let (ours, other) = (server.file("ours.pem", &ours.pem()), server.file("other.pem", &other.pem()));

    assert_eq!(server.open(NAME, ""), Ok(true), "what it offers is taken");
    assert_eq!(server.open(NAME, "sslmode=disable"), Ok(false));
    assert_eq!(server.open(NAME, "sslmode=require"), Ok(true));
    // The password's proof is bound to this server's certificate, so that nobody can stand in between.
    assert_eq!(server.open(NAME, "sslmode=require&channel_binding=require"), Ok(true));
    assert_eq!(server.open("another.example.net", &format!("sslmode=verify-ca&sslrootcert={ours}")), Ok(true));
    assert_eq!(server.open(NAME, &format!("sslmode=verify-full&sslrootcert={ours}")), Ok(true));

    let refused = |host: &str, options: &str, why: &str| {
        let said = server.open(host, options).unwrap_err();
        assert!(said.contains(why) && !said.contains("secret"), "{options}: {said}");
    };
    refused(NAME, &format!("sslmode=require&sslrootcert={other}"), "UnknownIssuer");
    refused(NAME, &format!("sslmode=verify-ca&sslrootcert={other}"), "UnknownIssuer");
    refused(NAME, &format!("sslmode=verify-full&sslrootcert={other}"), "UnknownIssuer");
    refused(NAME, "sslmode=verify-full", "UnknownIssuer");
    refused("another.example.net", &format!("sslmode=verify-full&sslrootcert={ours}"), "not valid for name");
    refused(NAME, &format!("sslmode=verify-full&sslrootcert={ours}.gone"), "cannot be read");
    refused(NAME, "sslmode=verify-ca", "needs the authority");
}

#[test]
fn what_has_to_be_encrypted_does_not_go_to_a_server_that_cannot() {
    let Some(server) = Reached::new(place(12), None, "") else { return };
    assert_eq!(server.open(NAME, ""), Ok(false), "it offers nothing");
    let said = server.open(NAME, "sslmode=require").unwrap_err();
    assert!(said.contains("server does not support TLS"), "{said}");
    // A socket's peer is this host: as for libpq, nothing is encrypted there.
    let by_socket = Database::Postgres(Address::new(format!("{}&sslmode=require", server.by_socket)));
    Archive::open(&by_socket).unwrap().ping().unwrap();
}

#[test]
fn where_encryption_is_only_preferred_a_server_that_speaks_an_old_one_is_asked_in_the_clear() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    let old = "-c ssl_min_protocol_version=TLSv1 -c ssl_max_protocol_version=TLSv1";
    let Some(server) = Reached::new(place(13), Some((&certificate.pem(), &key.serialize_pem())), old) else { return };
    assert_eq!(server.open(NAME, ""), Ok(false));
    let said = server.open(NAME, "sslmode=require").unwrap_err();
    assert!(said.contains("TLS handshake"), "{said}");
}
