use super::*;

const NOW: Wall = Wall::from_secs(1_700_000_000);

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), NOW).unwrap();
        Self { dir, store }
    }

    fn open(&mut self) -> Keys {
        Keys::open(self.dir.path(), &mut self.store, NOW).unwrap()
    }

    fn file(&self, name: &str) -> Option<Kid> {
        keyfile::load(&self.dir.path().join(name)).ok().map(|key| key.kid())
    }

    /// Lays the next key ready, as `identity --rotate` does.
    fn prepare(&self, agent: Kid) -> SecretKey {
        let next = keyfile::generate().unwrap();
        keyfile::save_next(&self.dir.path().join(AGENT), &next, agent).unwrap();
        next
    }
}

#[test]
fn a_key_is_made_once_and_is_the_agents_identity() {
    let mut fixture = Fixture::new();
    let keys = fixture.open();
    assert_eq!((keys.agent, fixture.file(AGENT)), (keys.key().kid(), Some(keys.agent)));
    assert_eq!(fixture.open().agent, keys.agent);
    assert_eq!(fixture.store.identity().unwrap().unwrap().in_use(), Some(keys.key().public()));
}

#[test]
fn wherever_a_change_is_interrupted_the_database_says_which_key_signs() {
    let mut fixture = Fixture::new();
    let mut keys = fixture.open();
    let (agent, first) = (keys.agent, keys.key().kid());
    assert!(keys.lies_ready().is_none());
    let next = fixture.prepare(agent);
    // Ready, and not named yet: the present key signs, after a restart too.
    assert_eq!(keys.lies_ready().map(|key| key.kid()), Some(next.kid()));
    assert_eq!(fixture.open().key().kid(), first);
    // Rolled back: nothing has changed.
    let mut changed = keys.clone();
    changed.change_to(next.clone());
    assert_eq!((keys.key().kid(), keys.shared().get().kid()), (first, first));
    // Committed, and killed before the file took its place.
    fixture.store.rotate(*next.public(), "naming").unwrap();
    let again = fixture.open();
    assert_eq!((again.agent, again.key().kid()), (agent, next.kid()));
    assert_eq!((fixture.file(AGENT), fixture.file(AGENT_NEXT)), (Some(next.kid()), None));
    // And once more, to the end this time.
    let mut keys = again;
    let third = fixture.prepare(agent);
    let mut changed = keys.clone();
    changed.change_to(third.clone());
    fixture.store.rotate(*third.public(), "naming").unwrap();
    let shared = keys.shared();
    keys.committed(changed);
    assert_eq!(
        (keys.key().kid(), shared.get().kid(), keys.agent),
        (third.kid(), third.kid(), agent)
    );
    assert_eq!((fixture.file(AGENT), fixture.file(AGENT_NEXT)), (Some(third.kid()), None));
    assert_eq!(fixture.open().key().kid(), third.kid());
}

#[test]
fn a_former_key_is_not_used_again() {
    let mut fixture = Fixture::new();
    let mut keys = fixture.open();
    let first = keys.key().clone();
    let next = fixture.prepare(keys.agent);
    fixture.store.rotate(*next.public(), "naming").unwrap();
    keys = fixture.open();
    keyfile::save_next(&fixture.dir.path().join(AGENT), &first, keys.agent).unwrap();
    assert!(keys.lies_ready().is_none());
}

#[test]
fn a_lost_database_does_not_lose_the_identity_of_a_changed_key() {
    let mut fixture = Fixture::new();
    let agent = fixture.open().agent;
    let next = fixture.prepare(agent);
    fixture.store.rotate(*next.public(), "naming").unwrap();
    fixture.open();
    let Fixture { dir, store } = fixture;
    drop(store);
    std::fs::remove_file(dir.path().join(crate::store::FILE)).unwrap();
    let (store, _) = Store::open(dir.path(), NOW).unwrap();
    let mut fixture = Fixture { dir, store };
    let keys = fixture.open();
    assert_eq!((keys.agent, keys.key().kid()), (agent, next.kid()));
}

#[test]
fn a_key_that_was_exchanged_begins_a_new_agent_and_a_new_chain() {
    let mut fixture = Fixture::new();
    let first = fixture.open();
    let chain = new_chain().unwrap();
    fixture.store.begin_chain(chain).unwrap();
    std::fs::remove_file(fixture.dir.path().join(AGENT)).unwrap();
    let second = fixture.open();
    assert_ne!(first.agent, second.agent);
    assert_ne!(fixture.store.head().unwrap().unwrap().chain, chain);
    assert_eq!(fixture.store.journal(10).unwrap()[0].kind, "identity-changed");
}
