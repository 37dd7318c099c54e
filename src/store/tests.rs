use super::*;
use crate::base::time::Wall;

const NOW: Wall = Wall::from_secs(1_700_000_000);

#[test]
fn a_second_agent_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_first, _) = Store::open(dir.path(), NOW).unwrap();
    assert!(matches!(Store::open(dir.path(), NOW), Err(StoreError::InUse(_))));
    Store::read(dir.path()).unwrap();
}

#[test]
fn what_says_nothing_of_the_file_does_not_have_it_set_aside() {
    let short = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
    for error in [
        StoreError::Random("no entropy".to_owned()),
        StoreError::Unpacked(short()),
        StoreError::NotNext(7),
    ] {
        assert!(!error.is_damage(), "{error}");
    }
    assert!(StoreError::Damaged("a row".to_owned()).is_damage());
}

#[test]
fn a_damaged_database_is_set_aside_and_a_new_one_begun() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), vec![7u8; 8192]).unwrap();
    let (store, found) = Store::open(dir.path(), NOW).unwrap();
    let Found::Damaged { aside, .. } = found else { panic!("{found:?}") };
    assert_eq!(std::fs::read(aside).unwrap(), vec![7u8; 8192]);
    assert!(store.bytes().unwrap() > 0);
}

#[test]
fn only_the_directory_itself_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(&dir.path().join("a/b"), NOW).unwrap_err();
    assert!(error.to_string().contains("its parent directory is missing"), "{error}");
    Store::open(&dir.path().join("a"), NOW).unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(dir.path().join("a").metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_without_a_database_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("--data DIR"), "{error}");
}

#[test]
fn work_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), NOW).unwrap();
    let failed: Result<(), StoreError> = store.together(|store| {
        store.set_meta("k", "v")?;
        Err(StoreError::Damaged("so".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!(store.meta("k").unwrap(), None);
}
