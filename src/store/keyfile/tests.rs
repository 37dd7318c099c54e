use super::file::MODE;
use super::*;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_missing_key_is_made_for_its_owner_alone_and_found_again() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("agent.key");
    assert!(matches!(load(&path), Err(KeyFault::Missing(_))));
    let (key, origin) = load_or_create(&path).unwrap();
    assert_eq!(origin, Origin::Made);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
    let (again, origin) = load_or_create(&path).unwrap();
    assert_eq!((again.kid(), origin), (key.kid(), Origin::Found));
    assert_eq!(fs::read_dir(at.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("agent.key");
    load_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let fault = load(&path).unwrap_err().to_string();
        assert!(fault.contains("chmod 600"), "{fault}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    load(&path).unwrap();
}

#[test]
fn a_key_is_never_overwritten() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("agent.key");
    let first = generate().unwrap();
    save(&path, &first).unwrap();
    assert!(save(&path, &generate().unwrap()).is_err());
    assert_eq!(load(&path).unwrap().kid(), first.kid());
    assert_eq!(create(&path, Owner::Whoever).unwrap().0.kid(), first.kid());
}

#[test]
fn a_key_is_replaced_only_by_its_successor() {
    let at = tempfile::tempdir().unwrap();
    let (path, next) = (at.path().join(AGENT), at.path().join(AGENT_NEXT));
    let (first, second) = (generate().unwrap(), generate().unwrap());
    save(&path, &first).unwrap();
    assert!(succeed(&next, &path).is_err());
    assert_eq!(
        load(&path).unwrap().kid(),
        first.kid(),
        "a successor that is not there replaces nothing"
    );
    save_next(&path, &second, first.kid()).unwrap();
    assert!(save_next(&path, &generate().unwrap(), first.kid()).is_err(), "one waits already");
    assert_eq!((agent_named(&path), agent_named(&next)), (None, Some(first.kid())));
    succeed(&next, &path).unwrap();
    assert_eq!((load(&path).unwrap().kid(), agent_named(&path)), (second.kid(), Some(first.kid())));
    assert_eq!(fs::read_dir(at.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_key_is_refused_and_left_as_it_is() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("agent.key");
    for text in ["", "{}", "secret", &generate().unwrap().public().to_jwk()] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyFault::NotAKey { .. })), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(matches!(load(at.path()), Err(KeyFault::NotAFile(_) | KeyFault::Exposed { .. })));
    assert!(load_or_create(&at.path().join("no/such/agent.key")).is_err());
}

#[test]
fn a_credential_is_taken_from_its_directory_whatever_its_mode() {
    let at = tempfile::tempdir().unwrap();
    let key = generate().unwrap();
    fs::write(at.path().join("agent.key"), key.to_jwk()).unwrap();
    assert_eq!(credential_in(at.path(), "agent.key").unwrap().unwrap().kid(), key.kid());
    assert!(credential_in(at.path(), "other").unwrap().is_none());
    fs::write(at.path().join("bad"), "x").unwrap();
    assert!(credential_in(at.path(), "bad").is_err());
}

#[test]
fn a_key_that_root_makes_beside_anothers_is_that_users() {
    let dir = tempfile::tempdir().unwrap();
    let (present, next) = (dir.path().join("collector.key"), dir.path().join("collector.key.next"));
    // Where there is none yet, it is whoever's who makes it.
    let own = load_or_create_like(&present, &dir.path().join("none")).unwrap();
    assert_eq!(own.1, Origin::Made);
    let user =
        if nix::unistd::geteuid().is_root() { 65_534 } else { nix::unistd::geteuid().as_raw() };
    std::os::unix::fs::chown(&present, Some(user), None).unwrap();
    let made = load_or_create_like(&next, &present).unwrap();
    assert_eq!((fs::metadata(&next).unwrap().uid(), made.1), (user, Origin::Made));
    assert_eq!(load_or_create_like(&next, &present).unwrap().0.kid(), made.0.kid());
}
