//! The way to PostgreSQL, in the clear or encrypted, to whom it is meant for or not at all: a real
//! server that speaks TLS.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
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
    let listener =
        TcpListener::bind((format!("127.{}.{}.{last}", process[2], process[3]), 0)).unwrap();
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
        Some(Self::of(Server::start_at(at, tls, more)?, at))
    }

    fn of(server: Server, at: SocketAddr) -> Self {
        let by_socket = server.database();
        let name =
            by_socket.trim_start_matches("postgres:///").split('?').next().unwrap().to_owned();
        Self { server, at, by_socket, name, files: tempfile::tempdir().unwrap() }
    }

    /// A file of its owner's beside which nothing is looked for.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// Opens the database by TCP, under a host's name, and says whether the way was encrypted; or
    /// why it was not opened.
    fn open(&self, host: &str, options: &str) -> Result<bool, String> {
        let (name, at) = (&self.name, self.at);
        let url = format!(
            "postgres:///{name}?host={host}&hostaddr={}&port={}&user=wanproof&password=secret&{options}",
            at.ip(),
            at.port()
        );
        let archive = Archive::open(&Database::Postgres(Address::new(url)))
            .map_err(|error| error.to_string())?;
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
    let certificate =
        CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let Some(server) =
        Reached::new(place(11), Some((&certificate.pem(), &key.serialize_pem())), "")
    else {
        return;
    };
    let (ours, other) =
        (server.file("ours.pem", &ours.pem()), server.file("other.pem", &other.pem()));

    assert_eq!(server.open(NAME, ""), Ok(true), "what it offers is taken");
    assert_eq!(server.open(NAME, "sslmode=disable"), Ok(false));
    assert_eq!(server.open(NAME, "sslmode=require"), Ok(true));
    // The password's proof is bound to this server's certificate, so that nobody can stand in
    // between.
    assert_eq!(server.open(NAME, "sslmode=require&channel_binding=require"), Ok(true));
    assert_eq!(
        server.open("another.example.net", &format!("sslmode=verify-ca&sslrootcert={ours}")),
        Ok(true)
    );
    assert_eq!(server.open(NAME, &format!("sslmode=verify-full&sslrootcert={ours}")), Ok(true));

    let refused = |host: &str, options: &str, why: &str| {
        let said = server.open(host, options).unwrap_err();
        assert!(said.contains(why) && !said.contains("secret"), "{options}: {said}");
    };
    refused(NAME, &format!("sslmode=require&sslrootcert={other}"), "UnknownIssuer");
    refused(NAME, &format!("sslmode=verify-ca&sslrootcert={other}"), "UnknownIssuer");
    refused(NAME, &format!("sslmode=verify-full&sslrootcert={other}"), "UnknownIssuer");
    refused(NAME, "sslmode=verify-full", "UnknownIssuer");
    refused(
        "another.example.net",
        &format!("sslmode=verify-full&sslrootcert={ours}"),
        "not valid for name",
    );
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
    let by_socket =
        Database::Postgres(Address::new(format!("{}&sslmode=require", server.by_socket)));
    Archive::open(&by_socket).unwrap().ping().unwrap();
}

#[test]
fn where_encryption_is_only_preferred_a_server_that_speaks_an_old_one_is_asked_in_the_clear() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    let old = "-c ssl_min_protocol_version=TLSv1 -c ssl_max_protocol_version=TLSv1";
    let Some(server) =
        Reached::new(place(13), Some((&certificate.pem(), &key.serialize_pem())), old)
    else {
        return;
    };
    assert_eq!(server.open(NAME, ""), Ok(false));
    let said = server.open(NAME, "sslmode=require").unwrap_err();
    assert!(said.contains("TLS handshake"), "{said}");
}

/// A certificate for a user of the database, and its key.
fn of_user(name: &str, by: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_server_that_wants_to_know_who_comes_is_shown_the_collectors_certificate() {
    let (ours, other) = (authority("ours"), authority("another"));
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let tls = (certificate.pem(), key.serialize_pem());
    let rule = "hostssl all all 127.0.0.0/8 scram-sha-256 clientcert=verify-full";
    let at = place(14);
    let server = Server::start_by(
        at,
        Some((&tls.0, &tls.1)),
        rule,
        &[("root.crt", &ours.pem())],
        "-c ssl_ca_file=root.crt",
    );
    let Some(server) = server.map(|server| Reached::of(server, at)) else { return };
    let ca = server.file("ca.pem", &ours.pem());
    let shown = |name: &str, (cert, key): &(String, String)| {
        let (cert, key) =
            (server.file(&format!("{name}.pem"), cert), server.file(&format!("{name}.key"), key));
        format!("sslmode=verify-full&sslrootcert={ca}&sslcert={cert}&sslkey={key}")
    };
    let right = of_user("wanproof", &ours);
    assert_eq!(server.open(NAME, &shown("right", &right)), Ok(true));
    let require = shown("right", &right)
        .replace(&format!("sslmode=verify-full&sslrootcert={ca}"), "sslmode=require");
    assert_eq!(server.open(NAME, &require), Ok(true));

    let refused = |options: &str, why: &str| {
        let said = server.open(NAME, options).unwrap_err();
        assert!(said.contains(why) && !said.contains("secret"), "{options}: {said}");
    };
    refused(
        &format!("sslmode=verify-full&sslrootcert={ca}"),
        "requires a valid client certificate",
    );
    refused(&shown("someone", &of_user("someone", &ours)), "authentication failed");
    refused(&shown("other", &of_user("wanproof", &other)), "");
    refused(
        &shown("mixed", &(right.0.clone(), of_user("wanproof", &ours).1)),
        "cannot be used together",
    );
    refused(&shown("empty", &(String::new(), right.1.clone())), "holds none");
    let open_to_all = shown("open", &right);
    let file = server.files.path().join("open.key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&open_to_all, "others can read it: chmod 600 it");
}

#[test]
fn where_encryption_is_allowed_it_is_used_when_the_server_wants_it() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls = (certificate.pem(), key.serialize_pem());
    let Some(server) = Reached::new(place(15), Some((&tls.0, &tls.1)), "") else { return };
    assert_eq!(server.open(NAME, "sslmode=allow"), Ok(false));
    let at = place(16);
    let rule = "hostssl all all 127.0.0.0/8 scram-sha-256";
    let server = Server::start_by(at, Some((&tls.0, &tls.1)), rule, &[], "")
        .map(|server| Reached::of(server, at));
    let Some(server) = server else { return };
    assert_eq!(server.open(NAME, "sslmode=allow"), Ok(true));
    assert!(server.open(NAME, "sslmode=disable").is_err());
    // What is wrong otherwise is said as it is.
    let Some(server) = Reached::new(place(17), None, "") else { return };
    let said = server.open(NAME, "sslmode=allow&user=nobody").unwrap_err();
    assert!(said.contains("password authentication failed"), "{said}");
}
