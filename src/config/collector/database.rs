//! The collector's database: a file, or the address of a server with what has to protect the way to
//! it.

use std::path::{Path, PathBuf};

use crate::config::written::Section;

/// Where the collector keeps what it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file, for one collector.
    Sqlite(PathBuf),
    /// A server, for any number of replicas.
    Postgres(Address),
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(address) => write!(f, "{address}"),
        }
    }
}

impl Database {
    /// Whether its address holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(self, Self::Postgres(address) if address.has_password())
    }
}

/// A database's address, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    beside: PathBuf,
}

/// How the way to a server is protected: libpq's `sslmode` and `sslrootcert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It is in the clear (`disable`).
    Never,
    /// It is in the clear where the server lets it be, else encrypted; who the server is, nobody
    /// checks (`allow`).
    Allowed,
    /// It is encrypted where the server offers it; who the server is, nobody checks (`prefer`,
    /// which holds where nothing is said).
    Offered,
    /// It is encrypted, or not used; who the server is, nobody checks (`require`).
    Required,
    /// It is encrypted, and an authority of this file vouches for the server, by whatever name
    /// (`verify-ca`).
    Vouched(PathBuf),
    /// It is encrypted, and an authority, of this file or else of this host, vouches for the
    /// server's name (`verify-full`).
    Named(Option<PathBuf>),
}

/// By what the collector shows the server who it is: libpq's `sslcert` and `sslkey`, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, then those between it and the root.
    pub cert: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// What an address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The address, without what it says of encryption.
    pub url: String,
    /// How the way is protected.
    pub encryption: Encryption,
    /// Who the collector is, where it shows that by a certificate.
    pub identity: Option<Identity>,
}

impl Address {
    /// Takes `postgres://user:password@host/database?option=value`; the files that it names are as
    /// they are written.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self { url, beside: PathBuf::new() }
    }

    /// With its password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// Whether it holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        let (place, options) = self.url.split_at(self.options());
        let who = place.split_once("://").map_or(place, |(_, rest)| rest).rsplit_once('@');
        let option = |option: &str| option.trim_start_matches('?').starts_with("password=");
        who.is_some_and(|(who, _)| who.contains(':')) || options.split('&').any(option)
    }

    /// The address without what it says of encryption, and what that is.
    ///
    /// # Errors
    /// In words, when it says what is not known here.
    pub fn parts(&self) -> Result<Parts, String> {
        let (place, options) = self.url.split_at(self.options());
        let (mut kept, mut mode, mut authority) = (Vec::new(), None, None);
        let (mut cert, mut own_key) = (None, None);
        for option in options.trim_start_matches('?').split('&').filter(|option| !option.is_empty())
        {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "sslmode" => mode = Some(decoded(value)),
                "sslrootcert" => authority = Some(decoded(value)),
                "sslcert" => cert = Some(self.beside.join(decoded(value))),
                "sslkey" => own_key = Some(self.beside.join(decoded(value))),
                // Whether TLS is asked for first; the driver knows it.
                "sslnegotiation" => kept.push(option),
                key if key.starts_with("ssl") => {
                    return Err(format!(
                        "{key} is not known here: sslmode, sslrootcert, sslcert, sslkey and \
                            sslnegotiation are"
                    ));
                }
                _ => kept.push(option),
            }
        }
        let file =
            authority.filter(|authority| authority != "system").map(|path| self.beside.join(path));
        let encryption = match (mode.as_deref().unwrap_or("prefer"), file) {
            ("disable", None) => Encryption::Never,
            ("allow", None) => Encryption::Allowed,
            ("prefer", None) => Encryption::Offered,
            ("require", None) => Encryption::Required,
            ("require" | "verify-ca", Some(file)) => Encryption::Vouched(file),
            ("verify-ca", None) => {
                return Err("sslmode=verify-ca needs the authority that vouches for the server: \
                        sslrootcert=FILE"
                    .to_owned());
            }
            ("verify-full", file) => Encryption::Named(file),
            ("disable" | "allow" | "prefer", Some(_)) => {
                return Err(
                    "sslrootcert vouches for nothing unless sslmode=verify-full, verify-ca or \
                        require is there"
                        .to_owned(),
                );
            }
            (other, _) => {
                return Err(format!(
                    "sslmode={other} is not right: expected disable, allow, prefer, require, \
                        verify-ca or verify-full"
                ));
            }
        };
        let identity = match (cert, own_key) {
            (None, None) => None,
            (Some(_), Some(_)) if encryption == Encryption::Never => {
                return Err(
                    "sslcert and sslkey are shown to nobody where sslmode=disable".to_owned()
                );
            }
            (Some(cert), Some(key)) => Some(Identity { cert, key }),
            (Some(_), None) => {
                return Err("sslcert is there without sslkey, its private key".to_owned());
            }
            (None, Some(_)) => {
                return Err("sslkey is there without sslcert, its certificate".to_owned());
            }
        };
        let mut url = place.to_owned();
        for (at, option) in kept.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(option);
        }
        Ok(Parts { url, encryption, identity })
    }

    /// Where its options begin: at a question mark that is not its password's.
    fn options(&self) -> usize {
        let start = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let who = self.url[start..].find('/').map_or(self.url.len(), |slash| start + slash);
        let start = self.url[start..who].find('@').map_or(start, |at| start + at);
        self.url[start..].find('?').map_or(self.url.len(), |mark| start + mark)
    }
}

/// Without its password, and without its options, which can hold one.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("postgres", &self.url));
        let rest = rest.split('?').next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((who, place)) => match who.split_once(':') {
                Some((user, _)) => write!(f, "{scheme}://{user}:…@{place}"),
                None => write!(f, "{scheme}://{who}@{place}"),
            },
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A value of a URI, `%2F` being a slash.
fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|&letter| char::from(letter).to_digit(16));
    let (mut text, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                text.push(u8::try_from(high * 16 + low).expect("two digits of 16 are a byte"));
                at += 3;
            }
            (letter, _, _) => {
                text.push(letter);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The database that was written.
pub(super) fn read(root: &Section<'_>, written: &str, beside: &Path) -> Option<Database> {
    if let Some(path) = written.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        return Some(Database::Sqlite(beside.join(path)));
    }
    let rest =
        ["postgres://", "postgresql://"].iter().find_map(|scheme| written.strip_prefix(scheme));
    if rest.is_some_and(|rest| !rest.is_empty()) {
        let address = Address { url: written.to_owned(), beside: beside.to_owned() };
        let Parts { encryption, identity, .. } = match address.parts() {
            Ok(parts) => parts,
            Err(what) => {
                root.fault(format_args!("database: {what}"));
                return None;
            }
        };
        let mut files = Vec::new();
        if let Encryption::Vouched(file) | Encryption::Named(Some(file)) = &encryption {
            files.push(("sslrootcert", file));
        }
        if let Some(Identity { cert, key }) = &identity {
            files.extend([("sslcert", cert), ("sslkey", key)]);
        }
        let mut sound = true;
        for (key, file) in files {
            if let Err(error) = std::fs::File::open(file) {
                root.fault(format_args!(
                    "database: {key} {} cannot be read: {error}",
                    file.display()
                ));
                sound = false;
            }
        }
        if !sound {
            return None;
        }
        return Some(Database::Postgres(address));
    }
    root.fault(format_args!(
        "database = {:?} is not right: expected \"sqlite:/path/to/collector.db\" \
            or \"postgres://user@host/database\"",
        written.split([':', '@']).next().unwrap_or_default()
    ));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::collector::CollectorConfig;
    use crate::config::written::Faults;

    fn parse(text: &str, beside: &Path) -> Result<CollectorConfig, Faults> {
        CollectorConfig::parse(text, "collector.toml", beside)
    }

    #[test]
    fn a_server_takes_a_directory_for_the_key_and_its_password_is_not_told() {
        let url =
            "postgres://wanproof:se:cr@et@db.example.net:5432/wan?sslmode=require&password=secret";
        let text = format!("listen = \"127.0.0.1:0\"\ndatabase = \"{url}\"\n");
        let faults = parse(&text, Path::new("/etc")).unwrap_err().0;
        assert!(faults.len() == 1 && faults[0].contains("data_dir is missing"), "{faults:?}");
        let config = parse(&format!("{text}data_dir = \"/d\""), Path::new("/etc")).unwrap();
        let Database::Postgres(address) = &config.database else { panic!("{config:?}") };
        assert_eq!(address.expose(), url);
        assert_eq!(address.to_string(), "postgres://wanproof:…@db.example.net:5432/wan");
        assert!(!format!("{config:?}").contains("cr@et"), "{config:?}");
    }

    #[test]
    fn the_way_to_a_server_is_protected_as_libpq_would() {
        let parts = |options: &str| {
            let url = format!("postgres://u:p?@db.example.net/wan{options}");
            Address { url, beside: PathBuf::from("/etc/wanproof") }.parts()
        };
        let way = |options: &str| parts(options).unwrap().encryption;
        let (ca, system) = (PathBuf::from("/etc/wanproof/ca.pem"), None);
        assert_eq!(way(""), Encryption::Offered);
        assert_eq!(way("?sslmode=disable"), Encryption::Never);
        assert_eq!(way("?sslmode=require"), Encryption::Required);
        assert_eq!(way("?sslmode=require&sslrootcert=ca.pem"), Encryption::Vouched(ca.clone()));
        assert_eq!(way("?sslmode=verify-ca&sslrootcert=ca%2Epem"), Encryption::Vouched(ca.clone()));
        assert_eq!(way("?sslmode=verify-full&sslrootcert=ca.pem"), Encryption::Named(Some(ca)));
        assert_eq!(
            way("?sslmode=verify-full&sslrootcert=system"),
            Encryption::Named(system.clone())
        );
        assert_eq!(way("?sslmode=verify-full"), Encryption::Named(system));
        assert_eq!(way("?sslmode=allow"), Encryption::Allowed);
        let shown =
            parts("?sslcert=me.pem&sslmode=require&sslkey=/k/me.key").unwrap().identity.unwrap();
        assert_eq!(
            (shown.cert, shown.key),
            (PathBuf::from("/etc/wanproof/me.pem"), PathBuf::from("/k/me.key"))
        );
        let Parts { url, .. } =
            parts("?connect_timeout=5&sslmode=require&sslnegotiation=direct&user=w").unwrap();
        assert_eq!(
            url,
            "postgres://u:p?@db.example.net/wan?connect_timeout=5&sslnegotiation=direct&user=w"
        );
        for (options, what) in [
            ("?sslmode=perhaps", "sslmode=perhaps is not right"),
            ("?sslmode=allow&sslrootcert=ca.pem", "vouches for nothing"),
            ("?sslmode=verify-ca", "needs the authority"),
            ("?sslrootcert=ca.pem", "vouches for nothing"),
            ("?sslcert=me.pem", "sslcert is there without sslkey"),
            ("?sslkey=me.key", "sslkey is there without sslcert"),
            ("?sslmode=disable&sslcert=me.pem&sslkey=me.key", "shown to nobody"),
            ("?sslcrl=crl.pem", "sslcrl is not known here"),
        ] {
            assert!(parts(options).unwrap_err().contains(what), "{options}");
        }
        // Nothing but a socket's address has its slash there.
        let socket = Address::new(
            "postgres:///wan?host=/run/postgresql&user=a@b&sslmode=disable".to_owned(),
        );
        assert_eq!(socket.parts().unwrap().url, "postgres:///wan?host=/run/postgresql&user=a@b");
    }

    #[test]
    fn an_authority_that_cannot_be_read_is_a_fault_of_the_configuration() {
        let text = |options: &str| {
            format!(
                "listen = \"127.0.0.1:0\"\ndata_dir = \"/d\"\ndatabase \
                    = \"postgres://u@h/d?{options}\"\n"
            )
        };
        let faults = parse(&text("sslmode=verify-full&sslrootcert=no.pem"), Path::new("/nowhere"))
            .unwrap_err()
            .0;
        assert!(faults[0].contains("sslrootcert /nowhere/no.pem cannot be read"), "{faults:?}");
        let faults =
            parse(&text("sslcert=no.pem&sslkey=no.key"), Path::new("/nowhere")).unwrap_err().0;
        assert!(
            faults[0].contains("sslcert /nowhere/no.pem")
                && faults[1].contains("sslkey /nowhere/no.key"),
            "{faults:?}"
        );
        let faults = parse(&text("sslmode=sometimes"), Path::new("/nowhere")).unwrap_err().0;
        assert!(faults[0].contains("database: sslmode=sometimes is not right"), "{faults:?}");
    }
}
