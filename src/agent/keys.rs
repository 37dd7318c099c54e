//! Which key the agent signs with: the one that its database says, found among the files and
//! credentials; and how it changes to the next one, with no moment at which a crash loses either.
//!
//! The next key lies ready beside the present one. The summary that names it, and the change
//! itself, are one transaction of the database; only then does its file take the present one's
//! place. Whatever is found at a start, the database says which of the two is in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info, warn};

use crate::base::time::Wall;
use crate::evidence::key::{Kid, SecretKey};
use crate::store::journal::Noted;
use crate::store::keyfile::{self, AGENT, AGENT_NEXT, KeyFault, Origin};
use crate::store::keys::Identity;
use crate::store::outbox::new_chain;
use crate::store::{Store, StoreError};

/// The key in use, for whoever else signs with it; it changes with a rotation.
#[derive(Clone, Debug)]
pub struct InUse(Arc<Mutex<SecretKey>>);

impl From<SecretKey> for InUse {
    fn from(key: SecretKey) -> Self {
        Self(Arc::new(Mutex::new(key)))
    }
}

impl InUse {
    /// The key.
    #[must_use]
    pub fn get(&self) -> SecretKey {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, key: SecretKey) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The agent, the key that it signs with, and where the next one would be.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The agent: the identifier of its first key.
    pub agent: Kid,
    key: SecretKey,
    /// Those that were used before; none of them is used again.
    former: Vec<Kid>,
    /// Where the key files are; without it the key never changes.
    dir: Option<PathBuf>,
    shared: InUse,
    /// What was last wrong with the next key, so that it is told once.
    told: Option<String>,
}

impl Keys {
    /// A key that never changes.
    #[must_use]
    pub fn fixed(key: SecretKey) -> Self {
        let (agent, shared) = (key.kid(), key.clone().into());
        Self { agent, key, former: Vec::new(), dir: None, shared, told: None }
    }

    /// The key of a data directory: systemd's credential, else the file, made now if there is none.
    /// Where the database was written by another agent's key, a new agent begins, and a new chain
    /// with it.
    ///
    /// # Errors
    /// When a key cannot be read or made, or the database fails.
    pub fn open(dir: &Path, store: &mut Store, now: Wall) -> Result<Self, KeysFault> {
        let file = dir.join(AGENT);
        let known = store.identity()?;
        let in_use = known.as_ref().and_then(|known| known.in_use().map(|key| key.kid()));
        if let Some(next) = read_next(dir)?.filter(|next| Some(next.kid()) == in_use) {
            // The change was made, but its file had not taken its place yet.
            let key = settle(dir, next);
            return Ok(Self::of(dir, key, known.as_ref()));
        }
        // After a change the credential may still be the former one: then the file beside the
        // database has the key in use.
        let credential = keyfile::credential(AGENT)?;
        let fits =
            credential.as_ref().is_none_or(|key| in_use.is_none_or(|in_use| in_use == key.kid()));
        let own = match credential {
            Some(key) if fits => key,
            Some(other) => {
                keyfile::load(&file).ok().filter(|key| Some(key.kid()) == in_use).unwrap_or(other)
            }
            None => {
                let (key, origin) = keyfile::load_or_create(&file)?;
                if origin == Origin::Made {
                    info!(kid = %key.kid(), "a key was made for this device");
                }
                key
            }
        };
        if Some(own.kid()) == in_use {
            return Ok(Self::of(dir, own, known.as_ref()));
        }
        let agent = keyfile::agent_named(&file).unwrap_or_else(|| own.kid());
        store.together(|store| {
            if let Some(known) = &known {
                let detail = format!(
                    "the key is {}, but {} signed before: this is agent {agent} from now on, and \
                        a new chain begins",
                    own.kid(),
                    in_use.unwrap_or(known.agent)
                );
                warn!("{detail}");
                store.note(now, Noted::IdentityChanged, &detail)?;
                store.begin_chain(new_chain()?)?;
            }
            store.begin_identity(agent, *own.public())
        })?;
        Ok(Self::of(dir, own, store.identity()?.as_ref()))
    }

    fn of(dir: &Path, key: SecretKey, known: Option<&Identity>) -> Self {
        let former = known
            .into_iter()
            .flat_map(|known| &known.keys)
            .map(|signer| signer.jwk.kid())
            .collect();
        let agent = known.map_or_else(|| key.kid(), |known| known.agent);
        Self {
            agent,
            shared: key.clone().into(),
            key,
            former,
            dir: Some(dir.to_owned()),
            told: None,
        }
    }

    /// The key that signs now.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The key in use, as it will be after each change too.
    #[must_use]
    pub fn shared(&self) -> InUse {
        self.shared.clone()
    }

    /// The next key, where one lies ready.
    pub fn lies_ready(&mut self) -> Option<SecretKey> {
        let found =
            read_next(self.dir.as_deref()?).map_err(|fault| fault.to_string()).and_then(|next| {
                match next {
                    Some(next)
                        if next.kid() != self.key.kid() && self.former.contains(&next.kid()) =>
                    {
                        Err(format!(
                            "{} was this agent's key before, and is not used again",
                            next.kid()
                        ))
                    }
                    next => Ok(next.filter(|next| next.kid() != self.key.kid())),
                }
            });
        match found {
            Ok(next) => {
                self.told = None;
                next
            }
            Err(what) => {
                if self.told.as_ref() != Some(&what) {
                    error!("the key is not changed: {what}");
                    self.told = Some(what);
                }
                None
            }
        }
    }

    /// Signs with another key from now on; to be kept only when the transaction that says so was
    /// committed.
    pub fn change_to(&mut self, next: SecretKey) {
        self.key = next;
    }

    /// Takes what was changed in a transaction, now that it was committed.
    pub fn committed(&mut self, changed: Self) {
        if changed.key.kid() != self.key.kid() {
            info!(kid = %changed.key.kid(), former = %self.key.kid(), "the key was changed; the \
                former one signs nothing more");
            if let Some(dir) = &changed.dir {
                settle(dir, changed.key.clone());
            }
            self.former.push(changed.key.kid());
            self.shared.set(changed.key.clone());
            self.key = changed.key;
        }
        self.told = changed.told;
    }
}

/// The next key: a credential, else a file.
fn read_next(dir: &Path) -> Result<Option<SecretKey>, KeyFault> {
    if let Some(key) = keyfile::credential(AGENT_NEXT)? {
        return Ok(Some(key));
    }
    match keyfile::load(&dir.join(AGENT_NEXT)) {
        Ok(key) => Ok(Some(key)),
        Err(KeyFault::Missing(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Puts the file of a key that is in use now into its place. When that fails it is tried again at
/// the next start, and until then the key is found where it is.
fn settle(dir: &Path, key: SecretKey) -> SecretKey {
    let (next, present) = (dir.join(AGENT_NEXT), dir.join(AGENT));
    if keyfile::load(&next).is_ok_and(|file| file.kid() == key.kid())
        && let Err(fault) = keyfile::succeed(&next, &present)
    {
        error!(%fault, "the changed key stays under its name of before");
    }
    key
}

#[cfg(test)]
mod tests;
