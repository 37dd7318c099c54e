//! The public keys that an agent signed with: whose the summaries of this database are, and with
//! what the next one is signed. And those that its collector signs and signed with.

use serde::{Deserialize, Serialize};

use crate::evidence::key::{Kid, PublicKey};
use crate::store::{Store, StoreError};

/// A key that the agent signs or signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The key.
    pub jwk: PublicKey,
    /// The summary that named it as next, compact; [`None`] for the first one, and where that is
    /// not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_by: Option<String>,
}

/// An agent, and the keys that it signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The agent: its first key's identifier.
    pub agent: Kid,
    /// Its keys, in order; the last one signs.
    pub keys: Vec<Signer>,
}

impl Identity {
    /// The key that signs now.
    #[must_use]
    pub fn in_use(&self) -> Option<&PublicKey> {
        self.keys.last().map(|signer| &signer.jwk)
    }

    /// The summaries that named its keys: they show whose the later ones are, and are kept for
    /// good.
    pub fn namings(&self) -> impl Iterator<Item = &String> {
        self.keys.iter().filter_map(|signer| signer.named_by.as_ref())
    }
}

/// The collector's keys, as far as they are known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectorKeys {
    /// The one that was pinned; what the collector says is by it.
    pub present: Option<PublicKey>,
    /// The one that it announced by that.
    pub next: Option<PublicKey>,
    /// Those that were pinned before, of which each announced the one after it: their receipts stay
    /// good.
    pub former: Vec<PublicKey>,
}

/// The present key lies by itself.
#[derive(Default, Serialize, Deserialize)]
struct OtherKeys {
    next: Option<PublicKey>,
    former: Vec<PublicKey>,
}

impl CollectorKeys {
    /// A key that is pinned by itself: whoever was believed before is believed no more.
    #[must_use]
    pub fn of(key: PublicKey) -> Self {
        Self { present: Some(key), ..Self::default() }
    }

    /// Goes over to the key that was announced.
    pub fn follow(&mut self) {
        if let Some(next) = self.next.take() {
            self.former.retain(|key| *key != next);
            self.former.extend(self.present.replace(next));
        }
    }

    /// All that may be believed.
    pub fn all(&self) -> impl Iterator<Item = &PublicKey> {
        self.present.iter().chain(&self.next).chain(&self.former)
    }
}

impl Store {
    /// The collector's keys.
    ///
    /// # Errors
    /// When the database fails.
    pub fn collector_keys(&self) -> Result<CollectorKeys, StoreError> {
        let damaged = |_| StoreError::Damaged("the collector's keys cannot be read".to_owned());
        let present = self.meta("collector_key")?.map(|jwk| PublicKey::from_jwk(&jwk));
        let present = present.transpose().map_err(|_| damaged(()))?;
        let others =
            self.meta("collector_keys")?.map(|text| serde_json::from_str::<OtherKeys>(&text));
        let OtherKeys { next, former } =
            others.transpose().map_err(|_| damaged(()))?.unwrap_or_default();
        Ok(CollectorKeys { present, next, former })
    }

    /// Keeps the collector's keys; within one transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keep_collector_keys(&self, keys: &CollectorKeys) -> Result<(), StoreError> {
        if let Some(present) = &keys.present {
            self.set_meta("collector_key", &present.to_jwk())?;
        }
        let others = OtherKeys { next: keys.next, former: keys.former.clone() };
        self.set_meta("collector_keys", &serde_json::to_string(&others).expect("keys are JSON"))
    }

    /// Whose summaries are made here; [`None`] before [`Self::begin_identity`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        let (Some(agent), Some(keys)) = (self.meta("agent")?, self.meta("keys")?) else {
            return Ok(None);
        };
        let damaged =
            |what: &str| StoreError::Damaged(format!("the agent's {what} cannot be read"));
        let agent = agent.parse().map_err(|_| damaged("identifier"))?;
        let keys = serde_json::from_str(&keys).map_err(|_| damaged("keys"))?;
        Ok(Some(Identity { agent, keys }))
    }

    /// From now on summaries are this agent's, signed with this key.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_identity(&self, agent: Kid, key: PublicKey) -> Result<(), StoreError> {
        self.set_meta("agent", &agent.to_string())?;
        self.set_keys(&[Signer { jwk: key, named_by: None }])
    }

    /// The agent's next key signs from now on; within one transaction with the summary that names
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rotate(&self, next: PublicKey, named_by: &str) -> Result<(), StoreError> {
        let mut keys = self.identity()?.map(|identity| identity.keys).unwrap_or_default();
        keys.push(Signer { jwk: next, named_by: Some(named_by.to_owned()) });
        self.set_keys(&keys)
    }

    fn set_keys(&self, keys: &[Signer]) -> Result<(), StoreError> {
        self.set_meta("keys", &serde_json::to_string(keys).expect("keys are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;
    use crate::evidence::key::SecretKey;

    #[test]
    fn a_collector_that_changed_its_key_as_announced_is_believed_by_both_and_another_by_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Wall::from_secs(1)).unwrap();
        assert_eq!(store.collector_keys().unwrap(), CollectorKeys::default());
        let [one, two, three] = [1, 2, 3].map(|seed| *SecretKey::from_seed(&[seed; 32]).public());
        let mut keys = CollectorKeys { next: Some(two), ..CollectorKeys::of(one) };
        assert_eq!(keys.all().collect::<Vec<_>>(), [&one, &two]);
        keys.follow();
        keys.follow();
        assert_eq!(keys, CollectorKeys { present: Some(two), next: None, former: vec![one] });
        store.keep_collector_keys(&keys).unwrap();
        assert_eq!(Store::read(dir.path()).unwrap().collector_keys().unwrap(), keys);
        assert_eq!(CollectorKeys::of(three).all().collect::<Vec<_>>(), [&three]);
    }

    #[test]
    fn the_identity_is_the_first_keys_and_the_last_key_signs() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Wall::from_secs(1)).unwrap();
        assert_eq!(store.identity().unwrap(), None);
        let (one, two) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        store.begin_identity(one.kid(), *one.public()).unwrap();
        store.rotate(*two.public(), "a.b.c").unwrap();
        let identity = Store::read(dir.path()).unwrap().identity().unwrap().unwrap();
        assert_eq!((identity.agent, identity.in_use()), (one.kid(), Some(two.public())));
        assert_eq!(identity.namings().collect::<Vec<_>>(), ["a.b.c"]);
    }
}
