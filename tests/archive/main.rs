//! The collector's database, each behaviour on SQLite and on PostgreSQL.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod damaged;
mod encrypted;
#[path = "../kit/mod.rs"]
mod kit;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use kit::postgres;
use serde_json::json;
use wanproof::base::time::Wall;
use wanproof::collector::archive::accept::{Accepted, Arrival, Verified};
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::archive::{Archive, ArchiveError, packed};
use wanproof::collector::operations::pending::{self, RejectWanted};
use wanproof::collector::operations::{Actor, DeskError};
use wanproof::config::collector::{Address, Database};
use wanproof::evidence::chain::{ChainId, Dropped, Follows};
use wanproof::evidence::digest::Digest;
use wanproof::evidence::key::{Kid, SecretKey};
use wanproof::evidence::problem::Kind;
use wanproof::evidence::receipt::Subject;

/// A database that is there as long as the place.
struct Place {
    database: Database,
    _at: tempfile::TempDir,
}

impl Place {
    fn sqlite() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        Some(Self { database: Database::Sqlite(at.path().join("c.db")), _at: at })
    }

    fn postgres() -> Option<Self> {
        let database = Database::Postgres(Address::new(postgres::database()?));
        Some(Self { database, _at: tempfile::tempdir().unwrap() })
    }

    fn open(&self) -> Archive {
        Archive::open(&self.database).unwrap()
    }
}

/// Each of these runs on both.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[test] fn $name() { if let Some(place) = super::Place::sqlite() { super::$name(&place) } })* }
        mod on_postgres { $(#[test] fn $name() { if let Some(place) = super::Place::postgres() { super::$name(&place) } })* }
    };
}

on_both! {
    the_tables_are_made_once_however_many_start_together
    a_database_of_a_later_version_is_left_alone
    there_is_nothing_to_read_where_no_collector_was
    what_fails_is_undone_whole_and_in_part
    it_belongs_to_one_key
    a_summary_is_stored_once_with_its_first_receipt
    a_request_to_read_is_granted_once_whichever_replica_is_asked
    a_summary_comes_out_as_it_went_in
    what_does_not_fit_into_its_chain_is_refused_and_kept_aside
    a_wrong_link_is_refused_whatever_else_comes_with_it
    gaps_are_named_and_filled_by_late_ones
    what_the_agent_dropped_is_told_apart
    what_was_dropped_piece_by_piece_is_one_range_in_whatever_order_it_is_told
    of_what_an_agent_says_that_it_dropped_so_much_is_kept
    gaps_are_counted_and_the_first_hundred_given
    a_group_is_decided_upon_in_order
    a_later_chain_says_what_it_follows
    who_may_not_sign_is_refused_by_what_the_database_says_now
    a_key_is_replaced_by_the_summary_that_names_the_next
    a_token_is_used_once
    who_waits_is_counted_by_network_and_forgotten_without_a_trace
    whoever_waits_and_fits_a_pattern_is_turned_away_and_that_is_written_down
    what_operators_do_is_kept_in_its_order_and_only_with_what_it_tells_of
    agents_are_shown_by_site_with_what_came_of_them
    replicas_that_store_the_same_at_once_give_one_receipt
    odd_times_and_large_numbers_are_kept
}

/// An agent that makes summaries whose content is nobody's matter here.
struct Agent {
    key: SecretKey,
    chain: ChainId,
}

fn a_request_to_read_is_granted_once_whichever_replica_is_asked(place: &Place) {
    let (mut one, mut other) = (place.open(), place.open());
    let (first, second) =
        (SecretKey::from_seed(&[1; 32]).kid(), SecretKey::from_seed(&[2; 32]).kid());
    let grant = |replica: &mut Archive, agent: Kid, jti: &str, now: i64| {
        replica.write(|archive| archive.grant(agent, jti, 1060, Wall::from_secs(now))).unwrap()
    };
    assert!(grant(&mut one, first, "a", 1000));
    assert!(!grant(&mut other, first, "a", 1001));
    assert!(grant(&mut other, first, "b", 1001) && grant(&mut other, second, "a", 1001));
    assert!(!grant(&mut one, first, "b", 1059) && !grant(&mut one, second, "a", 1059));
    // Long after its end, when no replica's clock takes it any more, it is forgotten.
    assert!(grant(&mut one, first, "c", 1660 + 1) && grant(&mut one, first, "a", 1661));
}

fn collector() -> SecretKey {
    SecretKey::from_seed(&[99; 32])
}

impl Agent {
    fn new(seed: u8) -> Self {
        Self { key: SecretKey::from_seed(&[seed; 32]), chain: ChainId::from_bytes([seed; 16]) }
    }

    fn enrolled(seed: u8, archive: &mut Archive) -> Self {
        let agent = Self::new(seed);
        let site = format!("site-{seed}");
        write(archive, |archive| {
            archive.add_agent(agent.key.public(), &site, AgentStatus::Approved, at(5))
        });
        agent
    }

    fn kid(&self) -> Kid {
        self.key.kid()
    }

    /// A summary of a minute; `word` makes it another with the same number.
    fn summary(&self, seq: u64, prev: Option<Digest>, word: &str) -> Verified {
        let jws = format!("eyJ.{}-{}-{word}.sig", self.chain, seq);
        let digest = Digest::of(jws.as_bytes());
        Verified {
            subject: Subject { agent: self.kid(), chain: self.chain, seq, digest },
            kid: self.kid(),
            prev,
            from: at(60 * i64::try_from(seq % 1_000_000).unwrap()),
            to: at(60 * i64::try_from(seq % 1_000_000 + 1).unwrap()),
            follows: None,
            dropped: Vec::new(),
            next_key: None,
            packed: packed::pack(&jws),
        }
    }

    /// The first summaries of its chain.
    fn summaries(&self, count: u64) -> Vec<Verified> {
        let mut all: Vec<Verified> = Vec::new();
        for seq in 0..count {
            all.push(self.summary(seq, all.last().map(|before| before.subject.digest), ""));
        }
        all
    }
}

/// Seconds after the first of November 2026.
fn at(secs: i64) -> Wall {
    Wall::from_secs(1_793_491_200 + secs)
}

fn write<T>(archive: &mut Archive, act: impl FnOnce(&Archive) -> Result<T, ArchiveError>) -> T {
    archive.write(act).unwrap()
}

fn accept_at(archive: &mut Archive, summaries: &[Verified], now: Wall) -> Vec<Accepted> {
    let arrivals: Vec<Arrival> =
        summaries.iter().map(|summary| Arrival::new(summary.clone(), now, &collector())).collect();
    archive.make_parts(summaries.iter().map(|summary| summary.from), at(0)).unwrap();
    write(archive, |archive| archive.accept_all(&arrivals))
}

fn accept(archive: &mut Archive, summaries: &[Verified]) -> Vec<Accepted> {
    accept_at(archive, summaries, at(1000))
}

fn accept_one(archive: &mut Archive, summary: &Verified) -> Accepted {
    accept(archive, std::slice::from_ref(summary)).remove(0)
}

fn refused(said: &Accepted) -> Option<Kind> {
    match said {
        Accepted::Refused(problem) => problem.kind(),
        _ => None,
    }
}

fn is_new(said: &Accepted) -> bool {
    matches!(said, Accepted::New(_))
}

/// What is missing of an agent, as it is said: first, last, whether it was told.
fn missing(archive: &Archive, agent: Kid) -> Vec<(u64, u64, bool)> {
    let rows = archive.agents().unwrap();
    let row = rows.iter().find(|row| row.agent == agent).unwrap();
    row.missing.first.iter().map(|(_, gap, told)| (gap.from_seq, gap.to_seq, *told)).collect()
}

/// What is stored, as (agent, number, text, receipt).
fn stored(archive: &Archive) -> Vec<(Kid, u64, String, String)> {
    let mut all = Vec::new();
    let take = |each: wanproof::collector::archive::summaries::Stored| {
        all.push((each.subject.agent, each.subject.seq, each.jws, each.receipt));
        Ok::<(), ArchiveError>(())
    };
    archive.each_summary(take).unwrap();
    all
}

fn the_tables_are_made_once_however_many_start_together(place: &Place) {
    let together = Arc::new(Barrier::new(8));
    let open = |_| {
        let (database, together) = (place.database.clone(), Arc::clone(&together));
        std::thread::spawn(move || {
            together.wait();
            Archive::open(&database).map(|archive| archive.collector())
        })
    };
    let opened: Vec<_> = (0..8).map(open).collect();
    for each in opened {
        assert_eq!(each.join().unwrap().unwrap().unwrap(), None);
    }
    let mut archive = Archive::open_existing(&place.database).unwrap();
    let agent = Agent::enrolled(1, &mut archive);
    assert!(is_new(&accept_one(&mut archive, &agent.summary(0, None, ""))));
    drop(archive);
    assert_eq!(stored(&place.open()).len(), 1, "what is there stays when it is opened again");
}

fn a_database_of_a_later_version_is_left_alone(place: &Place) {
    drop(place.open());
    match &place.database {
        Database::Sqlite(path) => rusqlite::Connection::open(path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap(),
        Database::Postgres(address) => {
            postgres::ask(address.expose(), "UPDATE meta SET value = '99' WHERE key = 'schema'");
        }
    }
    for opened in [Archive::open(&place.database), Archive::open_existing(&place.database)] {
        assert!(matches!(opened, Err(ArchiveError::Later { found: 99 })), "{opened:?}");
    }
}

fn there_is_nothing_to_read_where_no_collector_was(place: &Place) {
    let opened = Archive::open_existing(&place.database);
    assert!(matches!(opened, Err(ArchiveError::NoDatabase(_))), "{opened:?}");
}

fn what_fails_is_undone_whole_and_in_part(place: &Place) {
    let mut archive = place.open();
    let (one, two) = (Agent::new(1), Agent::new(2));
    let add = |agent: &Agent, archive: &Archive| {
        archive.add_agent(agent.key.public(), "x", AgentStatus::Approved, at(0))
    };
    write(&mut archive, |archive| {
        archive.part(|archive| add(&one, archive))?;
        let twice = archive.part(|archive| {
            add(&two, archive)?;
            add(&one, archive)
        });
        assert!(twice.is_err(), "there is one of each");
        archive.ping()
    });
    assert!(archive.key(one.kid()).unwrap().is_some() && archive.key(two.kid()).unwrap().is_none());
    let whole = archive.write(|archive| {
        add(&two, archive)?;
        add(&one, archive)
    });
    assert!(whole.is_err() && archive.key(two.kid()).unwrap().is_none());
    write(&mut archive, |archive| add(&two, archive));
}

fn it_belongs_to_one_key(place: &Place) {
    let mut archive = place.open();
    let (one, two) = (Agent::new(1).kid(), Agent::new(2).kid());
    assert_eq!(archive.collector().unwrap(), None);
    write(&mut archive, |archive| archive.belong_to(one));
    write(&mut archive, |archive| archive.belong_to(one));
    let other = archive.write(|archive| archive.belong_to(two));
    assert!(
        matches!(other, Err(ArchiveError::OtherKey { expected, found }) if (expected, found) == (one, two))
    );
    assert_eq!(archive.collector().unwrap(), Some(one));
}

fn a_summary_is_stored_once_with_its_first_receipt(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(3);
    let first = accept(&mut archive, &all);
    assert!(first.iter().all(is_new), "{first:?}");
    let again = accept_at(&mut archive, &all, at(5000));
    for (first, again) in first.iter().zip(&again) {
        let (Accepted::New(first), Accepted::Again(again)) = (first, again) else {
            panic!("{first:?} {again:?}")
        };
        assert_eq!(first, again, "the receipt is the first one, whenever it is asked for again");
    }
    assert!(all.iter().all(|summary| archive.has(&summary.subject).unwrap()));
    let other = agent.summary(2, all[2].prev, "other").subject;
    assert!(
        !archive.has(&other).unwrap() && !archive.has(&agent.summary(3, None, "").subject).unwrap()
    );
    assert_eq!(stored(&archive).len(), 3);
}

fn a_summary_comes_out_as_it_went_in(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let part = |bytes: &[u8]| wanproof::evidence::base64url::encode(bytes);
    let jws = [
        part(br#"{"alg":"EdDSA"}"#),
        part("{\"v\":1} \u{e4}".repeat(3000).as_bytes()),
        part(&[7; 64]),
    ]
    .join(".");
    let summary = Verified { packed: packed::pack(&jws), ..agent.summary(0, None, "") };
    assert!(summary.packed.len() < jws.len() / 10);
    let said = accept_one(&mut archive, &summary).said().unwrap();
    assert_eq!(stored(&archive), [(agent.kid(), 0, jws, said)]);
}

fn what_does_not_fit_into_its_chain_is_refused_and_kept_aside(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(6);
    accept(&mut archive, &[all[0].clone(), all[1].clone(), all[4].clone()]);
    let cases = [
        ("another with this number", agent.summary(1, all[1].prev, "other")),
        ("not after the last", agent.summary(5, Some(Digest::of(b"x")), "")),
        ("after none, where one is", agent.summary(5, None, "none")),
        ("not after the one before it", agent.summary(2, Some(Digest::of(b"x")), "")),
        ("not the one that its successor names", agent.summary(3, all[3].prev, "other")),
    ];
    for (count, (what, summary)) in cases.iter().enumerate() {
        let said = accept_one(&mut archive, summary);
        assert_eq!(refused(&said), Some(Kind::ChainConflict), "{what}: {said:?}");
        accept_one(&mut archive, summary);
        assert_eq!(
            archive.agents().unwrap()[0].conflicts,
            count as u64 + 1,
            "{what}, and once only"
        );
    }
    for each in [&all[2], &all[3], &all[5]] {
        assert!(is_new(&accept_one(&mut archive, each)), "what was refused holds no number");
    }
}

fn a_wrong_link_is_refused_whatever_else_comes_with_it(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let first = agent.summary(0, None, "");
    assert!(is_new(&accept_one(&mut archive, &first)));
    let wrong = agent.summary(1, Some(Digest::of(b"another")), "");
    let said = accept(&mut archive, &[agent.summary(6, None, ""), wrong.clone()]);
    let refused = matches!(&said[1], Accepted::Refused(problem) if problem.kind() == Some(Kind::ChainConflict));
    assert!(is_new(&said[0]) && refused, "{said:?}");
    let right = agent.summary(1, Some(first.subject.digest), "");
    assert!(is_new(&accept_one(&mut archive, &right)));
}

fn gaps_are_named_and_filled_by_late_ones(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(12);
    accept_one(&mut archive, &all[3]);
    assert_eq!(missing(&archive, agent.kid()), [(0, 2, false)], "a chain begins at 0");
    accept_one(&mut archive, &all[11]);
    accept_one(&mut archive, &all[6]);
    assert_eq!(missing(&archive, agent.kid()), [(0, 2, false), (4, 5, false), (7, 10, false)]);
    // In one group: the ends, the middle and the last of it.
    accept(&mut archive, &[all[7].clone(), all[10].clone(), all[1].clone()]);
    assert_eq!(
        missing(&archive, agent.kid()),
        [(0, 0, false), (2, 2, false), (4, 5, false), (8, 9, false)]
    );
    accept(&mut archive, &all);
    assert_eq!(missing(&archive, agent.kid()), []);
    assert_eq!(stored(&archive).len(), 12);
}

fn what_the_agent_dropped_is_told_apart(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(7);
    let dropped = vec![Dropped { chain: agent.chain, from_seq: 1, to_seq: 2 }];
    let teller = Verified { dropped, ..all[3].clone() };
    accept(&mut archive, &[all[0].clone(), teller, all[6].clone()]);
    assert_eq!(missing(&archive, agent.kid()), [(1, 2, true), (4, 5, false)]);
}

fn what_was_dropped_piece_by_piece_is_one_range_in_whatever_order_it_is_told(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(12);
    // 1 to 6 were dropped one by one, each told by another summary; 3 and 4 are told last, which
    // joins both sides.
    let tells = |teller: usize, seqs: &[u64]| {
        let range = |&seq: &u64| Dropped { chain: agent.chain, from_seq: seq, to_seq: seq };
        Verified { dropped: seqs.iter().map(range).collect(), ..all[teller].clone() }
    };
    accept_one(&mut archive, &tells(10, &[6, 2]));
    accept_one(&mut archive, &tells(9, &[1, 5]));
    assert_eq!(archive.count_dropped(agent.kid()).unwrap(), 2);
    accept_one(&mut archive, &all[0]);
    assert_eq!(missing(&archive, agent.kid()), [(1, 8, false)]);
    accept(&mut archive, &[tells(8, &[4]), tells(7, &[3]), tells(11, &[4, 3])]);
    assert_eq!(archive.count_dropped(agent.kid()).unwrap(), 1);
    assert_eq!(missing(&archive, agent.kid()), [(1, 6, true)]);
}

fn of_what_an_agent_says_that_it_dropped_so_much_is_kept(place: &Place) {
    let mut archive = place.open();
    let (loud, other) = (Agent::enrolled(1, &mut archive), Agent::enrolled(2, &mut archive));
    let dropped = |number: u64| {
        let chain = ChainId::from_bytes((u128::from(number) + 1000).to_be_bytes());
        (0..64).map(|n| Dropped { chain, from_seq: 2 * n, to_seq: 2 * n }).collect()
    };
    let all: Vec<Verified> = loud
        .summaries(100)
        .into_iter()
        .map(|each| Verified { dropped: dropped(each.subject.seq), ..each })
        .collect();
    for some in all.chunks(25) {
        assert!(accept(&mut archive, some).iter().all(is_new));
    }
    assert_eq!(archive.count_dropped(loud.kid()).unwrap(), 4096);
    let last = Verified { dropped: dropped(0), ..other.summary(0, None, "") };
    accept_one(&mut archive, &last);
    assert_eq!(archive.count_dropped(other.kid()).unwrap(), 64, "others have their own");
}

fn gaps_are_counted_and_the_first_hundred_given(place: &Place) {
    let mut archive = place.open();
    let (agent, other) = (Agent::enrolled(1, &mut archive), Agent::enrolled(2, &mut archive));
    let holes: Vec<Verified> =
        (0..150).map(|n| agent.summary(3 * n + 2, Some(Digest::of(b"?")), "")).collect();
    accept(&mut archive, &holes);
    accept_one(&mut archive, &other.summary(1, Some(Digest::of(b"?")), ""));
    let rows = archive.agents().unwrap();
    let of = |agent: &Agent| &rows.iter().find(|row| row.agent == agent.kid()).unwrap().missing;
    assert_eq!((of(&agent).gaps, of(&agent).numbers), (150, 300));
    let first: Vec<(u64, u64, bool)> = (0..100).map(|n| (3 * n, 3 * n + 1, false)).collect();
    assert_eq!(missing(&archive, agent.kid()), first);
    assert_eq!((of(&other).gaps, of(&other).numbers, of(&other).first.len()), (1, 1, 1));
    assert_eq!(archive.agent(agent.kid()).unwrap().unwrap().missing, *of(&agent));
}

fn a_group_is_decided_upon_in_order(place: &Place) {
    let mut archive = place.open();
    let (one, two) = (Agent::enrolled(1, &mut archive), Agent::enrolled(2, &mut archive));
    let (of_one, of_two) = (one.summaries(4), two.summaries(2));
    let said = accept(
        &mut archive,
        &[
            of_one[0].clone(),
            of_two[0].clone(),
            of_one[1].clone(),
            of_one[1].clone(),
            one.summary(1, of_one[1].prev, "other"),
            one.summary(2, Some(of_two[0].subject.digest), "other"),
            of_one[3].clone(),
            of_one[2].clone(),
            of_two[1].clone(),
        ],
    );
    let words: Vec<&str> = said
        .iter()
        .map(|said| match said {
            Accepted::New(_) => "new",
            Accepted::Again(_) => "again",
            Accepted::Refused(_) => "refused",
        })
        .collect();
    assert_eq!(words, ["new", "new", "new", "again", "refused", "refused", "new", "new", "new"]);
    assert_eq!(said[2].clone().said(), said[3].clone().said());
    assert_eq!(missing(&archive, one.kid()), []);
    assert_eq!(stored(&archive).len(), 6);
}

fn a_later_chain_says_what_it_follows(place: &Place) {
    let mut archive = place.open();
    let mut agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(2);
    accept(&mut archive, &all);
    let follows = Follows { chain: agent.chain, seq: 1, digest: all[1].subject.digest };
    agent.chain = ChainId::from_bytes([77; 16]);
    let first = Verified { follows: Some(follows), ..agent.summary(0, None, "") };
    assert!(accept_at(&mut archive, &[first], at(2000)).iter().all(is_new));
    let last = archive.agents().unwrap()[0].last.unwrap();
    assert_eq!((last.chain, last.seq, last.received), (agent.chain, 0, at(2000)));
}

fn who_may_not_sign_is_refused_by_what_the_database_says_now(place: &Place) {
    let mut archive = place.open();
    let (agent, stranger, waiting) =
        (Agent::enrolled(1, &mut archive), Agent::new(2), Agent::new(3));
    write(&mut archive, |archive| {
        archive.add_agent(waiting.key.public(), "x", AgentStatus::Pending, at(0))
    });
    assert_eq!(archive.pending(None).unwrap(), 1);
    let of_another = Verified { kid: agent.kid(), ..waiting.summary(0, None, "") };
    let said = accept(
        &mut archive,
        &[
            stranger.summary(0, None, ""),
            waiting.summary(0, None, ""),
            of_another,
            agent.summary(0, None, ""),
        ],
    );
    let kinds: Vec<Option<Kind>> = said.iter().map(refused).collect();
    assert_eq!(
        kinds,
        [Some(Kind::UnknownAgent), Some(Kind::Pending), Some(Kind::BadSignature), None]
    );
    assert!(
        write(&mut archive, |archive| archive.set_standing(waiting.kid(), AgentStatus::Approved))
    );
    assert!(is_new(&accept_one(&mut archive, &waiting.summary(0, None, ""))));
    assert!(write(&mut archive, |archive| archive.set_standing(agent.kid(), AgentStatus::Revoked)));
    for summary in agent.summaries(2) {
        assert_eq!(refused(&accept_one(&mut archive, &summary)), Some(Kind::Revoked));
    }
    assert!(
        !write(&mut archive, |archive| archive.set_standing(agent.kid(), AgentStatus::Approved)),
        "it is for good"
    );
    assert!(write(&mut archive, |archive| archive.set_standing(agent.kid(), AgentStatus::Revoked)));
    assert!(
        !write(&mut archive, |archive| archive.set_standing(stranger.kid(), AgentStatus::Approved))
    );
}

fn a_key_is_replaced_by_the_summary_that_names_the_next(place: &Place) {
    let mut archive = place.open();
    let (agent, other) = (Agent::enrolled(1, &mut archive), Agent::enrolled(2, &mut archive));
    let next = SecretKey::from_seed(&[11; 32]);
    let all = agent.summaries(4);
    let naming = |summary: &Verified, key: &SecretKey| Verified {
        next_key: Some(*key.public()),
        ..summary.clone()
    };
    let by_next = |summary: &Verified| Verified { kid: next.kid(), ..summary.clone() };
    let said = accept_one(&mut archive, &naming(&all[0], &other.key));
    assert_eq!(refused(&said), Some(Kind::Malformed), "it is another's");
    // All in one group, and by the group's own order.
    let said = accept(
        &mut archive,
        &[naming(&all[0], &next), all[1].clone(), by_next(&all[1]), by_next(&all[3])],
    );
    assert!(
        is_new(&said[0])
            && refused(&said[1]) == Some(Kind::UnknownAgent)
            && is_new(&said[2])
            && is_new(&said[3])
    );
    assert!(matches!(accept_one(&mut archive, &naming(&all[0], &next)), Accepted::Again(_)));
    assert_eq!(
        refused(&accept_one(&mut archive, &all[2])),
        Some(Kind::UnknownAgent),
        "it signs nothing any more"
    );
    assert!(is_new(&accept_one(&mut archive, &by_next(&all[2]))));
    assert_eq!(archive.keys_of(agent.kid()).unwrap(), [*agent.key.public(), *next.public()]);
    assert_eq!(archive.key(agent.kid()).unwrap().unwrap().last, Some((agent.chain, 0)));
    assert_eq!(archive.key(next.kid()).unwrap().unwrap().agent, agent.kid());
}

fn a_token_is_used_once(place: &Place) {
    let mut archive = place.open();
    let (token, user) = (Digest::of(b"token"), Agent::new(1).kid());
    assert_eq!(archive.token_user(&token).unwrap(), None);
    write(&mut archive, |archive| archive.use_token(&token, user, at(0)));
    assert_eq!(archive.token_user(&token).unwrap(), Some(user));
    assert!(
        archive.write(|archive| archive.use_token(&token, Agent::new(2).kid(), at(0))).is_err()
    );
    assert_eq!(archive.token_user(&token).unwrap(), Some(user));
}

fn who_waits_is_counted_by_network_and_forgotten_without_a_trace(place: &Place) {
    let mut archive = place.open();
    let all: Vec<Agent> = (1..=4).map(Agent::new).collect();
    for (agent, second) in all.iter().zip(1..) {
        let from = if second < 4 { "192.0.2.1" } else { "2001:db8::" };
        write(&mut archive, |archive| {
            archive.add_agent(agent.key.public(), "x", AgentStatus::Pending, at(0))?;
            archive.asked(agent.kid(), from, at(second))
        });
    }
    assert_eq!(archive.pending(Some("192.0.2.1")).unwrap(), 3);
    assert_eq!((archive.pending(None).unwrap(), archive.pending(Some("::")).unwrap()), (4, 0));
    assert_eq!(archive.longest_waiting(None).unwrap(), Some(all[0].kid()));
    assert_eq!(archive.longest_waiting(Some("2001:db8::")).unwrap(), Some(all[3].kid()));
    assert_eq!(archive.given_up(at(3)).unwrap(), [all[0].kid(), all[1].kid()]);
    write(&mut archive, |archive| archive.set_standing(all[1].kid(), AgentStatus::Approved));
    assert!(write(&mut archive, |archive| archive.forget_pending(all[0].kid())));
    assert!(
        !write(&mut archive, |archive| archive.forget_pending(all[1].kid())),
        "it does not wait"
    );
    assert_eq!(
        (archive.key(all[0].kid()).unwrap(), archive.agent(all[0].kid()).unwrap()),
        (None, None)
    );
    assert_eq!(
        archive.agent(all[1].kid()).unwrap().unwrap().asked_from.as_deref(),
        Some("192.0.2.1")
    );
    // As if it had never asked: it may ask again.
    write(&mut archive, |archive| {
        archive.add_agent(all[0].key.public(), "y", AgentStatus::Pending, at(9))
    });
    let waiting: Vec<Kid> = archive.waiting().unwrap().iter().map(|each| each.agent).collect();
    assert_eq!(waiting, [all[2].kid(), all[3].kid(), all[0].kid()], "by when they asked last");
}

fn whoever_waits_and_fits_a_pattern_is_turned_away_and_that_is_written_down(place: &Place) {
    let mut archive = place.open();
    let all: Vec<Agent> = (1..=4).map(Agent::new).collect();
    for (agent, (site, from)) in all.iter().zip([
        ("x-1", "192.0.2.1"),
        ("x-2", "198.51.100.7"),
        ("leeds", "192.0.2.1"),
        ("x-3", "192.0.2.9"),
    ]) {
        write(&mut archive, |archive| {
            archive.add_agent(agent.key.public(), site, AgentStatus::Pending, at(0))?;
            archive.asked(agent.kid(), from, at(1))
        });
    }
    write(&mut archive, |archive| archive.set_standing(all[3].kid(), AgentStatus::Approved));
    let actor = Actor { who: "anna".to_owned(), via: Via::Command, now: at(2) };
    let fitting = |site: &str, from: Option<&str>, dry_run| RejectWanted {
        site: Some(site.to_owned()),
        from: from.map(str::to_owned),
        dry_run: Some(dry_run),
    };
    let reject = |archive: &mut Archive, wanted: &RejectWanted| {
        archive.write(|archive| pending::reject(archive, wanted, &actor)).unwrap().agents
    };
    assert_eq!(reject(&mut archive, &fitting("x-?", Some("192.0.2.*"), true)), [all[0].kid()]);
    assert_eq!(
        (archive.waiting().unwrap().len(), archive.audit(None, 9).unwrap().len()),
        (3, 0),
        "only asked"
    );
    assert_eq!(reject(&mut archive, &fitting("x-?", Some("192.0.2.*"), false)), [all[0].kid()]);
    let waiting: Vec<Kid> = archive.waiting().unwrap().iter().map(|each| each.agent).collect();
    assert_eq!(waiting, [all[1].kid(), all[2].kid()]);
    assert_eq!(
        archive.agent(all[3].kid()).unwrap().unwrap().standing,
        AgentStatus::Approved,
        "it waits no more"
    );
    let written = archive.audit(None, 9).unwrap();
    assert_eq!(
        (written.len(), written[0].action.as_str(), &written[0].detail["count"]),
        (1, "agent.reject", &json!(1))
    );
    let nobody =
        archive.write(|archive| pending::reject(archive, &RejectWanted::default(), &actor));
    assert!(matches!(nobody, Err(DeskError::Invalid(_))), "everybody has to be said");
}

fn what_operators_do_is_kept_in_its_order_and_only_with_what_it_tells_of(place: &Place) {
    let mut archive = place.open();
    let actor = |second| Actor { who: "anna".to_owned(), via: Via::Command, now: at(second) };
    for number in 0..3 {
        write(&mut archive, |archive| {
            actor(number).did(archive, "x.do", &format!("s{number}"), json!({"n": number}))
        });
    }
    // What is undone was not done.
    let undone: Result<(), ArchiveError> = archive.write(|archive| {
        actor(9).did(archive, "x.do", "undone", json!(null))?;
        Err(ArchiveError::Damaged("a test".to_owned()))
    });
    assert!(undone.is_err());
    let all = archive.audit(None, 10).unwrap();
    let subjects: Vec<&str> = all.iter().map(|each| each.subject.as_str()).collect();
    assert_eq!(subjects, ["s2", "s1", "s0"], "the last first");
    assert_eq!((all[2].at, all[2].who.as_str(), all[2].via), (at(0), "anna", Via::Command));
    assert_eq!(all[1].detail["n"], 1);
    assert_eq!(archive.audit(Some(all[1].n), 10).unwrap(), all[2..]);
    assert_eq!(archive.audit(None, 1).unwrap().len(), 1);
}

fn agents_are_shown_by_site_with_what_came_of_them(place: &Place) {
    let mut archive = place.open();
    let (late, early) = (Agent::enrolled(7, &mut archive), Agent::enrolled(3, &mut archive));
    accept_at(&mut archive, &late.summaries(3), at(4000));
    let rows = archive.agents().unwrap();
    let sites: Vec<&str> = rows.iter().map(|row| row.site.as_str()).collect();
    assert_eq!(sites, ["site-3", "site-7"]);
    assert_eq!((rows[0].agent, rows[0].last, rows[0].span), (early.kid(), None, Duration::ZERO));
    assert_eq!((rows[1].enrolled, rows[1].standing), (at(5), AgentStatus::Approved));
    let last = rows[1].last.unwrap();
    assert_eq!((last.chain, last.seq, last.received), (late.chain, 2, at(4000)));
    assert_eq!(rows[1].span, Duration::from_secs(60));
    assert_eq!(rows[1].keys, [*late.key.public()]);
    // One short span, as at a stop, is not how long they are; many are.
    let mut before = late.summaries(3).pop().unwrap();
    for seq in 3..60 {
        let whole = late.summary(seq, Some(before.subject.digest), "");
        before = Verified { to: whole.from + Duration::from_secs(10), ..whole };
        accept_one(&mut archive, &before);
        let span = archive.agents().unwrap()[1].span;
        assert!(
            if seq == 3 { span > Duration::from_secs(50) } else { span >= Duration::from_secs(10) },
            "{seq} {span:?}"
        );
    }
    assert_eq!(archive.agents().unwrap()[1].span, Duration::from_secs(10));
}

fn replicas_that_store_the_same_at_once_give_one_receipt(place: &Place) {
    let mut archive = place.open();
    let agents: Vec<Agent> = (1..=5).map(|seed| Agent::enrolled(seed, &mut archive)).collect();
    let all: Vec<Vec<Verified>> = agents.iter().map(|agent| agent.summaries(20)).collect();
    let together = Arc::new(Barrier::new(4));
    let replica = |number: usize| {
        let (database, together, mut all) =
            (place.database.clone(), Arc::clone(&together), all.clone());
        std::thread::spawn(move || {
            let mut archive = Archive::open(&database).unwrap();
            // Each comes to the agents in another order.
            let agents = all.len();
            all.rotate_left(number % agents);
            together.wait();
            let now = at(1000 + i64::try_from(number).unwrap());
            let mut receipts = std::collections::BTreeMap::new();
            for seq in 0..20 {
                let group: Vec<Verified> =
                    all.iter().map(|summaries| summaries[seq].clone()).collect();
                for (summary, said) in group.iter().zip(accept_at(&mut archive, &group, now)) {
                    receipts
                        .insert((summary.subject.agent, summary.subject.seq), said.said().unwrap());
                }
            }
            receipts
        })
    };
    let replicas: Vec<_> = (0..4).map(replica).collect();
    let mut receipts: Vec<_> =
        replicas.into_iter().map(|replica| replica.join().unwrap()).collect();
    let first = receipts.pop().unwrap();
    assert!(receipts.iter().all(|other| *other == first), "whoever asked got the same receipts");
    let kept: std::collections::BTreeMap<_, _> = stored(&archive)
        .into_iter()
        .map(|(agent, seq, _, receipt)| ((agent, seq), receipt))
        .collect();
    assert_eq!(kept, first);
    assert!(agents.iter().all(|agent| missing(&archive, agent.kid()).is_empty()));
}

fn odd_times_and_large_numbers_are_kept(place: &Place) {
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let times = [
        Wall::from_secs(0),
        Wall::from_secs(-5),
        Wall::from_secs(7_000_000_000),
        at(0),
        at(-86_400 * 400),
    ];
    let mut before = None;
    for (seq, time) in times.into_iter().enumerate() {
        let summary = Verified {
            from: time,
            to: time + Duration::from_secs(60),
            ..agent.summary(seq as u64, before, "")
        };
        assert!(is_new(&accept_one(&mut archive, &summary)), "{time}");
        before = Some(summary.subject.digest);
    }
    let far = agent.summary((1 << 53) - 1, None, "");
    assert!(is_new(&accept_one(&mut archive, &far)));
    assert_eq!(missing(&archive, agent.kid()), [(5, (1 << 53) - 2, false)]);
    assert_eq!(stored(&archive).len(), 6);
}

/// PostgreSQL keeps a month in a part of its own, and takes what lay with the rest into it.
#[test]
fn a_months_summaries_lie_in_its_part_on_postgresql() {
    let Some(place) = Place::postgres() else { return };
    let mut archive = place.open();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(3);
    let Database::Postgres(address) = &place.database else { unreachable!("it is on PostgreSQL") };
    let rows_in =
        |part: &str| postgres::ask(address.expose(), &format!("SELECT count(*) FROM {part}"));
    assert_eq!(archive.parts_of("summary").unwrap(), ["summary_rest"]);
    // Without asking for a part: it lies with the rest.
    let arrival = Arrival::new(all[0].clone(), at(0), &collector());
    write(&mut archive, |archive| archive.accept(arrival));
    let two = Agent::enrolled(2, &mut archive);
    let december = Verified { from: at(31 * 86_400), ..two.summary(0, None, "") };
    let ahead = Verified {
        from: at(400 * 86_400),
        ..Agent::enrolled(3, &mut archive).summary(0, None, "")
    };
    accept(&mut archive, &[all[1].clone(), december, ahead]);
    assert_eq!(
        archive.parts_of("summary").unwrap(),
        ["summary_2026_11", "summary_2026_12", "summary_rest"]
    );
    assert_eq!(stored(&archive).len(), 4);
    assert_eq!(rows_in("summary_2026_11"), "2");
    assert_eq!(rows_in("summary_2026_12"), "1");
    assert_eq!(rows_in("summary_rest"), "1", "what is far ahead is by a wrong clock");
    assert!(
        matches!(accept_one(&mut archive, &all[0]), Accepted::Again(_)),
        "it is found where it lies now"
    );
    // Another replica, which knows of no part yet.
    let mut other = place.open();
    assert!(is_new(&accept_one(&mut other, &all[2])));
    assert_eq!(rows_in("summary_2026_11"), "3");
}

#[test]
fn a_lost_connection_to_postgresql_is_made_again() {
    let Some(server) = postgres::Server::start("off") else { return };
    let url = server.database();
    let database = Database::Postgres(Address::new(url.clone()));
    let mut archive = Archive::open(&database).unwrap();
    let agent = Agent::enrolled(1, &mut archive);
    let all = agent.summaries(2);
    accept_one(&mut archive, &all[0]);
    server.disconnect(&url);
    assert!(archive.ping().is_err(), "a read fails once");
    assert!(archive.is_lost());
    assert!(
        is_new(&accept_one(&mut archive, &all[1])),
        "and a transaction begins on another connection"
    );
    assert_eq!(stored(&archive).len(), 2);
}

#[test]
fn a_server_that_cannot_be_reached_is_said_without_its_password() {
    let database = Database::Postgres(Address::new(
        "postgres://u:secret@127.0.0.1:1/d?connect_timeout=5".to_owned(),
    ));
    let fault = Archive::open(&database).unwrap_err().to_string();
    assert!(fault.contains("Connection refused") && fault.contains("127.0.0.1:1"), "{fault}");
    assert!(!fault.contains("secret"), "{fault}");
}

/// For `cargo test --release --test archive -- --ignored --nocapture five_thousand`: what `GET
/// /v1/agents` costs, on either database.
#[test]
#[ignore = "a measurement, which is printed and not asserted"]
fn five_thousand_agents_are_read_by_so_many_queries_as_one() {
    for (name, place) in [("SQLite", Place::sqlite()), ("PostgreSQL", Place::postgres())] {
        let Some(place) = place else { continue };
        let mut archive = place.open();
        let all: Vec<Agent> = (0..5_000u32)
            .map(|number| {
                let digest = Digest::of(&number.to_le_bytes());
                let chain = <[u8; 16]>::try_from(&digest.bytes()[..16]).unwrap();
                Agent {
                    key: SecretKey::from_seed(digest.bytes()),
                    chain: ChainId::from_bytes(chain),
                }
            })
            .collect();
        write(&mut archive, |archive| {
            all.iter().try_for_each(|agent| {
                archive.add_agent(agent.key.public(), "x", AgentStatus::Approved, at(0))
            })
        });
        for part in all.chunks(500) {
            let summaries: Vec<Verified> = part
                .iter()
                .flat_map(|agent| [agent.summary(0, None, ""), agent.summary(9, None, "")])
                .collect();
            accept(&mut archive, &summaries);
        }
        for _ in 0..3 {
            let began = std::time::Instant::now();
            let views = wanproof::collector::fleet::all(&archive, 3, at(2000)).unwrap();
            let read = began.elapsed();
            let page = serde_json::to_string(&views[..1000]).unwrap();
            let (all, whole) = (views.len(), began.elapsed());
            println!(
                "{name}: {all} agents, each with a gap: read in {read:?}, with a page of 1000 ({} \
                    KiB) in {whole:?}",
                page.len() / 1024
            );
        }
    }
}
