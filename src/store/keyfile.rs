//! Private keys on disk: one JSON file, a private JWK (RFC 8037, section 2), that only its owner
//! may read; or a systemd credential of the same content.
//!
//! A key is never overwritten, but by the one that succeeds it. It is written whole to a new file
//! of mode 0600 beside its place, synced, and linked into that place only if nothing is there, so
//! that a crash leaves a key or none, and two starts at once agree on one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::evidence::key::{Kid, NotAKey, SecretKey};

mod file;

pub use file::succeed;

use file::{Owner, put};

/// A key file is never larger.
const LIMIT: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// There is no such file.
    #[error("{0}: there is no key here")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("{path}: the key cannot be {what}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error(
        "{path}: others can read or change this private key (mode {mode:04o}), so it may no \
         longer be only yours: if nobody had access, `chmod 600` it, else replace it",
        path = .path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user, who could exchange it.
    #[error("{path}: this private key belongs to user {owner}, not to the one who runs this: \
        `chown` it", path = .path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It is not a regular file.
    #[error("{0}: this is not a regular file, so it is not taken as a private key")]
    NotAFile(PathBuf),
    /// It does not hold a private key.
    #[error("{path}: this is not a private key: {source}", path = .path.display())]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: NotAKey,
    },
    /// The system gave no random bytes.
    #[error("no key can be made: the system gives no random bytes: {0}")]
    Random(String),
}

impl KeyFault {
    fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}

/// The name of the agent's key: a file in its data directory, or a systemd credential.
pub const AGENT: &str = "agent.key";
/// The name of the key that is to follow it, likewise.
pub const AGENT_NEXT: &str = "agent.key.next";

/// Whether a key was there or was made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// It was made now.
    Made,
}

/// Reads the key of a file.
///
/// # Errors
/// When it is missing, when its group or others can read or change it, when it belongs to another
/// user than this one or root, or when it holds no private key.
pub fn load(path: &Path) -> Result<SecretKey, KeyFault> {
    // A FIFO would block here, were it opened to wait.
    let mut file =
        match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyFault::Missing(path.to_owned()));
            }
            Err(error) => return Err(KeyFault::io(path, "opened")(error)),
        };
    // Of the opened file, not of the path: it cannot be exchanged in between.
    let about = file.metadata().map_err(KeyFault::io(path, "examined"))?;
    if !about.is_file() {
        return Err(KeyFault::NotAFile(path.to_owned()));
    }
    if about.mode() & 0o077 != 0 {
        return Err(KeyFault::Exposed { path: path.to_owned(), mode: about.mode() & 0o7777 });
    }
    let me = nix::unistd::geteuid().as_raw();
    if me != 0 && about.uid() != me && about.uid() != 0 {
        return Err(KeyFault::Foreign { path: path.to_owned(), owner: about.uid() });
    }
    read(&mut file, path)
}

fn read(file: &mut File, path: &Path) -> Result<SecretKey, KeyFault> {
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text).map_err(KeyFault::io(path, "read"))?;
    SecretKey::from_jwk(&text).map_err(|source| KeyFault::NotAKey { path: path.to_owned(), source })
}

/// Reads the key of a file, or makes one there when it is missing.
///
/// # Errors
/// As [`load`]; and when the file cannot be written, its directory missing for one.
pub fn load_or_create(path: &Path) -> Result<(SecretKey, Origin), KeyFault> {
    match load(path) {
        Ok(key) => Ok((key, Origin::Found)),
        Err(KeyFault::Missing(_)) => create(path, Owner::Whoever),
        Err(fault) => Err(fault),
    }
}

/// As [`load_or_create`], for the user of another key where that lies in a file: root may do it for
/// him.
///
/// # Errors
/// As there.
pub fn load_or_create_like(path: &Path, other: &Path) -> Result<(SecretKey, Origin), KeyFault> {
    match load(path) {
        Err(KeyFault::Missing(_)) => create(path, Owner::like(other)?),
        loaded => loaded.map(|key| (key, Origin::Found)),
    }
}

/// A new random key, kept nowhere.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> Result<SecretKey, KeyFault> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| KeyFault::Random(error.to_string()))?;
    Ok(SecretKey::from_seed(&seed))
}

/// Makes a key at a place where none is; when another process was first, that one's key is taken.
fn create(path: &Path, owner: Owner) -> Result<(SecretKey, Origin), KeyFault> {
    let key = generate()?;
    match put(path, &key.to_jwk(), owner) {
        Ok(()) => Ok((key, Origin::Made)),
        Err(KeyFault::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            load(path).map(|key| (key, Origin::Found))
        }
        Err(fault) => Err(fault),
    }
}

/// Writes a key to a place where nothing is.
///
/// # Errors
/// When something is there already, or it cannot be written.
pub fn save(path: &Path, key: &SecretKey) -> Result<(), KeyFault> {
    put(path, &key.to_jwk(), Owner::Whoever)
}

/// Writes the key that is to follow the one in `present`, beside it and for the same user, though
/// root may do it for him. The file also names the agent, whose identifier is that of its first
/// key, so that key and identity stay together.
///
/// # Errors
/// When one waits there already, or it cannot be written.
pub fn save_next(present: &Path, next: &SecretKey, agent: Kid) -> Result<(), KeyFault> {
    let mut jwk: serde_json::Value = serde_json::from_str(&next.to_jwk()).expect("a JWK is JSON");
    jwk["agent"] = agent.to_string().into();
    put(&present.with_file_name(AGENT_NEXT), &jwk.to_string(), Owner::like(present)?)
}

/// Which agent's key a file says that it holds; [`None`] for an agent's first key, and for what
/// cannot be read.
#[must_use]
pub fn agent_named(path: &Path) -> Option<Kid> {
    #[derive(serde::Deserialize)]
    struct Named {
        agent: Kid,
    }
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok().map(|Named { agent }| agent)
}

/// Reads the key that systemd hands to this service as the credential `name` (`LoadCredential=` or
/// `LoadCredentialEncrypted=`; systemd.exec(5)); [`None`] when this is no service or it has no such
/// credential.
///
/// systemd keeps credentials in a directory that only the service's user can enter and nobody can
/// write to, so the modes of the files in it (0440 for some versions) are not looked at.
///
/// # Errors
/// When it is there but is no private key.
pub fn credential(name: &str) -> Result<Option<SecretKey>, KeyFault> {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(directory) => credential_in(Path::new(&directory), name),
        None => Ok(None),
    }
}

fn credential_in(directory: &Path, name: &str) -> Result<Option<SecretKey>, KeyFault> {
    let path = directory.join(name);
    match File::open(&path) {
        Ok(mut file) => read(&mut file, &path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyFault::io(&path, "opened")(error)),
    }
}

#[cfg(test)]
mod tests;
