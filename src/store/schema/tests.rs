use super::*;
use crate::base::time::Wall;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::store::outbox::State;
use crate::store::{FILE, Store};

#[test]
fn what_was_answered_before_answers_had_rows_of_their_own_stays_answered() {
    let dir = tempfile::tempdir().unwrap();
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    MIGRATIONS[..7].iter().for_each(|migration| db.execute_batch(migration).unwrap());
    db.pragma_update(None, "user_version", 7).unwrap();
    let chain = ChainId::from_bytes([1; 16]);
    let digest = Digest::of(b"jws");
    for (seq, state, problem, receipt) in [
        (0, "accepted", None, Some("receipt")),
        (1, "refused", Some("malformed: so"), None),
        (2, "waiting", None, None::<&str>),
    ] {
        db.execute(
            "INSERT INTO summary (chain, seq, from_ns, to_ns, digest, bytes, state, jws, \
                problem, receipt, received)
             VALUES (?1, ?2, 5, 6, ?3, 3, ?4, 'jws', ?5, ?6, ?6)",
            rusqlite::params![chain.to_string(), seq, digest.to_string(), state, problem, receipt],
        )
        .unwrap();
    }
    drop(db);
    let (store, _) = Store::open(dir.path(), Wall::from_secs(1_700_000_000)).unwrap();
    let told = || {
        let all = store.summaries().unwrap();
        all.into_iter().map(|entry| (entry.state, entry.problem, entry.receipt)).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let (accepted, waiting) =
        ((State::Accepted, None, text("receipt")), (State::Waiting, None, None));
    assert_eq!(
        told(),
        [accepted.clone(), (State::Refused, text("malformed: so"), None), waiting.clone()]
    );
    let tally = store.tally().unwrap();
    assert_eq!((tally.waiting, tally.refused), (1, 1));
    assert_eq!(tally.last_accepted, Some((chain, 0, "receipt".to_owned())));
    // A collector may accept later what it refused before.
    store.accepted((chain, 1, digest), "another", "t").unwrap();
    assert_eq!(told(), [accepted, (State::Accepted, None, text("another")), waiting]);
    // The answers go with what was answered.
    store.fit_outbox(0).unwrap();
    let left = |table: &str| {
        store
            .db
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(["summary", "answer", "waiting"].map(left), [0, 0, 0]);
}
