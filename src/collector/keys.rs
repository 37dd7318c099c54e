//! The collector's own keys: the present one, to which the database belongs, and the one that is to
//! follow.

use std::path::PathBuf;

use crate::base::time::{Clock, SystemClock};
use crate::collector::StartError;
use crate::collector::archive::{Archive, ArchiveError, salvage};
use crate::config::collector::{CollectorConfig, Database};
use crate::evidence::key::{PublicKey, SecretKey};
use crate::store::keyfile::{self, KeyFault};

/// The systemd credential that is taken instead of the key file.
pub const CREDENTIAL: &str = "collector.key";

/// Where the key lies that is to follow a collector's present one.
#[must_use]
pub fn next_key_file(config: &CollectorConfig) -> PathBuf {
    let mut name = config.key_file.clone().into_os_string();
    name.push(".next");
    name.into()
}

pub(super) fn next_key(config: &CollectorConfig) -> Result<Option<PublicKey>, KeyFault> {
    match keyfile::load(&next_key_file(config)) {
        Ok(next) => Ok(Some(*next.public())),
        Err(KeyFault::Missing(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The database and the key that it belongs to. Where the database has a key, no other is made.
pub(super) fn open_both(config: &CollectorConfig) -> Result<(Archive, SecretKey), StartError> {
    let key = match keyfile::credential(CREDENTIAL)? {
        Some(key) => Some(key),
        None => match keyfile::load(&config.key_file) {
            Ok(key) => Some(key),
            Err(KeyFault::Missing(_)) => None,
            Err(fault) => return Err(fault.into()),
        },
    };
    if let Database::Sqlite(path) = &config.database {
        salvage::mend(path, key.as_ref(), SystemClock.now().wall)?;
    }
    let mut archive = Archive::open(&config.database)?;
    let key = match (key, archive.collector()?) {
        (Some(key), _) => key,
        (None, Some(expected)) => return Err(ArchiveError::NoKey { expected }.into()),
        (None, None) => keyfile::load_or_create(&config.key_file)?.0,
    };
    let kid = key.kid();
    archive.write(|archive| archive.belong_to(kid))?;
    Ok((archive, key))
}
