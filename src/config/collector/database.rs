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

impl Encryption {
    /// What libpq's `sslmode` asks for, with the file of the authority that `sslrootcert` names.
    fn read(mode: &str, file: Option<PathBuf>) -> Result<Self, String> {
        match (mode, file) {
            ("disable", None) => Ok(Self::Never),
            ("allow", None) => Ok(Self::Allowed),
            ("prefer", None) => Ok(Self::Offered),
            ("require", None) => Ok(Self::Required),
            ("require" | "verify-ca", Some(file)) => Ok(Self::Vouched(file)),
            ("verify-ca", None) => {
                Err("sslmode=verify-ca needs the authority that vouches for the server: \
                        sslrootcert=FILE"
                    .to_owned())
            }
            ("verify-full", file) => Ok(Self::Named(file)),
            ("disable" | "allow" | "prefer", Some(_)) => {
                Err("sslrootcert vouches for nothing unless sslmode=verify-full, verify-ca or \
                        require is there"
                    .to_owned())
            }
            (other, _) => Err(format!(
                "sslmode={other} is not right: expected disable, allow, prefer, require, \
                        verify-ca or verify-full"
            )),
        }
    }
}

impl Identity {
    /// What libpq's `sslcert` and `sslkey` name.
    fn read(
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        encryption: &Encryption,
    ) -> Result<Option<Self>, String> {
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) if *encryption == Encryption::Never => {
                Err("sslcert and sslkey are shown to nobody where sslmode=disable".to_owned())
            }
            (Some(cert), Some(key)) => Ok(Some(Self { cert, key })),
            (Some(_), None) => Err("sslcert is there without sslkey, its private key".to_owned()),
            (None, Some(_)) => Err("sslkey is there without sslcert, its certificate".to_owned()),
        }
    }
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
        let encryption = Encryption::read(mode.as_deref().unwrap_or("prefer"), file)?;
        let identity = Identity::read(cert, own_key, &encryption)?;
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
mod tests;
