use super::*;
use crate::evidence::chain::{Dropped, MOST_DROPPED};
use crate::evidence::chain::{Follows, Head};
use crate::evidence::summary::Signed;

const NOW: Wall = Wall::from_secs(1_700_000_000);

const AA: ChainId = ChainId::from_bytes([0xaa; 16]);
const BB: ChainId = ChainId::from_bytes([0xbb; 16]);

fn with(count: u64) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), NOW).unwrap();
    store.begin_chain(AA).unwrap();
    (0..count).for_each(|seq| keep(&store, AA, seq));
    (dir, store)
}

fn digest(seq: u64) -> Digest {
    Digest::of(format!("jws {seq}").as_bytes())
}

fn keep(store: &Store, chain: ChainId, seq: u64) {
    let signed = Signed { chain, seq, digest: digest(seq), jws: format!("jws {seq}") };
    store.keep_summary(&signed, NOW, NOW, None).unwrap();
}

#[test]
fn numbers_rise_by_one_and_the_oldest_is_shipped_first() {
    let (_dir, store) = with(3);
    let head = store.head().unwrap().unwrap();
    assert_eq!((head.next, head.prev), (3, Some(digest(2))));
    let waiting = store.waiting(2, 1 << 20).unwrap();
    assert_eq!(waiting.iter().map(|(_, jws)| jws.as_str()).collect::<Vec<_>>(), ["jws 0", "jws 1"]);
    assert_eq!(store.waiting(9, 1).unwrap().len(), 1, "one at least");
    let again = Signed { chain: AA, seq: 1, digest: digest(1), jws: String::new() };
    assert!(store.keep_summary(&again, NOW, NOW, None).is_err());
}

#[test]
fn a_receipt_and_a_refusal_are_kept_and_counted() {
    let (_dir, store) = with(3);
    store.accepted((AA, 0, digest(0)), "receipt", "2026-01-01T00:00:00Z").unwrap();
    store.refused((AA, 1, digest(1)), "malformed: so").unwrap();
    store.refused((AA, 0, digest(0)), "too late").unwrap();
    let tally = store.tally().unwrap();
    assert_eq!((tally.waiting, tally.refused), (1, 1));
    assert_eq!(tally.last_accepted, Some((AA, 0, "2026-01-01T00:00:00Z".to_owned())));
    assert_eq!(store.summary_jws(&store.summaries().unwrap()[1]).unwrap(), "jws 1");
}

/// The bytes of the log after some work that was begun with an empty one.
fn logged(store: &Store, work: impl FnOnce()) -> u64 {
    store
        .db
        .execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    work();
    std::fs::metadata(store.path().with_extension("db-wal")).unwrap().len()
}

#[test]
fn a_receipt_is_written_without_what_was_signed_being_written_again() {
    let (_dir, store) = with(0);
    // Digests do not compress.
    let jws: String = (0..1500).map(|n| digest(n).to_string()).collect();
    let keep = || {
        store
            .keep_summary(&Signed { chain: AA, seq: 0, digest: digest(0), jws }, NOW, NOW, None)
            .unwrap()
    };
    let summary = logged(&store, keep);
    let receipt =
        logged(&store, || store.accepted((AA, 0, digest(0)), &"r".repeat(700), "t").unwrap());
    assert!(
        receipt * 5 < summary,
        "{summary} bytes are written for a summary, and {receipt} for its receipt"
    );
}

#[test]
fn answers_are_brought_over_from_a_damaged_database_and_one_that_is_lost_is_asked_for_again() {
    for whole in [true, false] {
        let (_dir, mut store) = with(3);
        store.accepted((AA, 0, digest(0)), "receipt", "2026-01-01T00:00:00Z").unwrap();
        store.refused((AA, 1, digest(1)), "malformed: so").unwrap();
        if !whole {
            store.db.execute_batch("DROP VIEW outbox; DROP TABLE answer").unwrap();
        }
        store.set_aside(NOW, "a page is damaged").unwrap();
        while store.is_salvaging() {
            store.salvage().unwrap();
        }
        let states: Vec<State> =
            store.summaries().unwrap().iter().map(|entry| entry.state).collect();
        let waits = store.waiting(9, 1 << 20).unwrap().len();
        match whole {
            true => assert_eq!(
                (states, waits),
                (vec![State::Accepted, State::Refused, State::Waiting], 1)
            ),
            false => assert_eq!((states, waits), (vec![State::Waiting; 3], 3)),
        }
    }
}

#[test]
fn a_full_outbox_drops_the_oldest_waiting_last_and_says_which() {
    let (_dir, store) = with(6);
    store.accepted((AA, 0, digest(0)), "receipt", "2026-01-01T00:00:00Z").unwrap();
    let bytes = store.tally().unwrap().bytes;
    assert_eq!(store.fit_outbox(bytes).unwrap(), [], "the answered one made room");
    assert_eq!(store.summaries().unwrap().len(), 5);
    let dropped = store.fit_outbox(bytes / 2).unwrap();
    assert_eq!(dropped, [Dropped { chain: AA, from_seq: 1, to_seq: 3 }]);
    store.fit_outbox(0).unwrap();
    assert_eq!(store.dropped().unwrap(), [Dropped { chain: AA, from_seq: 1, to_seq: 5 }]);
    store.told_dropped().unwrap();
    assert_eq!(store.dropped().unwrap(), []);
    assert_eq!(store.head().unwrap().unwrap().next, 6, "a number is never reused");
}

#[test]
fn what_a_dropped_summary_said_was_dropped_is_said_again() {
    let (_dir, store) = with(2);
    assert!(store.drop_oldest_waiting().unwrap().is_some());
    keep(&store, AA, 2);
    store.told_dropped().unwrap();
    // Number 2 says that 0 was dropped; now 1 and 2 are dropped too.
    store.fit_outbox(0).unwrap();
    assert_eq!(store.dropped().unwrap(), [Dropped { chain: AA, from_seq: 0, to_seq: 2 }]);
}

#[test]
fn what_is_too_much_for_one_summary_is_told_by_the_next_ones() {
    let (_dir, store) = with(0);
    // Every other number, so that no two of them are one range.
    let all: Vec<Dropped> =
        (0..150).map(|n| Dropped { chain: BB, from_seq: 2 * n, to_seq: 2 * n }).collect();
    store.remember_dropped(&all).unwrap();
    let mut told = Vec::new();
    for seq in 0..3 {
        let one = store.dropped_to_tell().unwrap();
        assert!(one.len() <= MOST_DROPPED);
        keep(&store, AA, seq);
        store.told_dropped().unwrap();
        told.extend(one);
    }
    assert_eq!((told, store.dropped().unwrap()), (all.clone(), Vec::new()));
    // The first one is dropped itself, with what it told.
    store.drop_oldest_waiting().unwrap();
    let mut again = all[..MOST_DROPPED].to_vec();
    again.push(Dropped { chain: AA, from_seq: 0, to_seq: 0 });
    assert_eq!(store.dropped().unwrap(), again);
}

#[test]
fn a_new_chain_says_what_it_follows() {
    let (_dir, store) = with(2);
    store.begin_chain(BB).unwrap();
    let head = store.head().unwrap().unwrap();
    let follows = Some(Follows { chain: AA, seq: 1, digest: digest(1) });
    assert_eq!(head, Head::new(BB, follows));
    keep(&store, BB, 0);
}
