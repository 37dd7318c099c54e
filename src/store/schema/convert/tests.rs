use super::*;
use crate::evidence::digest::Digest;
use crate::store::intervals::SeriesId;
use crate::store::schema::MIGRATIONS;
use crate::store::{FILE, Found, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const NOW: Wall = Wall::from_secs(1_780_002_000);
const CHAIN: &str = "000102030405060708090a0b0c0d0e0f";
const JWS: &str = "eyJ.what.was-signed";

/// Writes an interval as that schema's program did.
fn insert(db: &Connection, series: i64, interval: &Interval) {
    let json = |empty: bool, text: serde_json::Result<String>| (!empty).then(|| text.unwrap());
    let bytes =
        |spread: &Option<Spread>| spread.as_ref().map(|spread| spread.histogram.bytes().to_vec());
    let sum = |spread: &Option<Spread>| {
        spread.as_ref().map(|spread| i64::try_from(spread.sum_ns).unwrap())
    };
    db.execute(
        "INSERT INTO interval (series, start_ms, millis, first_ms, outcomes, reasons, \
            duplicates, reordered,
         kernel_stamped, rtt, rtt_sum_ns, ipdv, ipdv_sum_ns, rfc3550_max_ns, phases)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            series,
            interval.from.millis(),
            interval.millis,
            interval.first_ms,
            interval.outcomes.to_string(),
            json(interval.reasons.is_empty(), serde_json::to_string(&interval.reasons)),
            interval.duplicates,
            interval.reordered,
            interval.kernel_stamped,
            bytes(&interval.rtt),
            sum(&interval.rtt),
            bytes(&interval.ipdv),
            sum(&interval.ipdv),
            interval.rfc3550_max_ns.map(|nanos| i64::try_from(nanos).unwrap()),
            json(interval.phases.is_empty(), serde_json::to_string(&interval.phases)),
        ],
    )
    .unwrap();
}

/// A database of schema 3 with two probes' minutes, and one that a clock that was set back
/// wrote after them; all but those of the last three minutes in a summary, which waits.
fn of_schema_3(path: &std::path::Path, all: &[(i64, Interval)], summarised: usize) {
    let db = Connection::open(path).unwrap();
    MIGRATIONS[..3].iter().for_each(|migration| db.execute_batch(migration).unwrap());
    db.pragma_update(None, "user_version", 3).unwrap();
    for (id, probe) in [(1, "p"), (2, "q")] {
        db.execute(
            "INSERT INTO series VALUES (?1, ?2, 'ckt', 'icmp', '192.0.2.1', '192.0.2.1', \
                1000, 2000, 1000, 'digest')",
            params![id, probe],
        )
        .unwrap();
    }
    all.iter().for_each(|(series, interval)| insert(&db, *series, interval));
    let meta = |key: &str, value: &str| {
        db.execute("INSERT INTO meta VALUES (?1, ?2)", [key, value]).unwrap();
    };
    meta("site", "leeds-01");
    meta("summarised", &summarised.to_string());
    meta("chain", CHAIN);
    meta("next_seq", "1");
    meta("prev", &Digest::of(JWS.as_bytes()).to_string());
    db.execute(
        "INSERT INTO summary (chain, seq, from_ns, to_ns, digest, bytes, state, jws) VALUES \
            (?1, 0, ?2, ?2, ?3, ?4, 'waiting', ?5)",
        params![
            CHAIN,
            NOW.nanos(),
            Digest::of(JWS.as_bytes()).to_string(),
            i64::try_from(JWS.len()).unwrap(),
            zstd::bulk::compress(JWS.as_bytes(), 6).unwrap()
        ],
    )
    .unwrap();
    db.execute(
        "INSERT INTO event (at_ns, kind, detail) VALUES (?1, 'start', 'wanproof')",
        [NOW.nanos()],
    )
    .unwrap();
    db.execute(
        "INSERT INTO outage (service, probe, definition, from_ns, to_ns, side, evidence)
         VALUES ('ckt', 'p', 'builtin', ?1, NULL, 'unknown', '{}')",
        [NOW.nanos()],
    )
    .unwrap();
    db.execute("INSERT INTO sheet (hour, body) VALUES (12, NULL)", []).unwrap();
    db.execute(
        "INSERT INTO life (cycle, contract, service, period, item, action, at_ns, \
            recorded_ns, who)
         VALUES ('claim', 'ACME', '', '2026-11', '', 'draft', 1, 1, 'me')",
        [],
    )
    .unwrap();
}

#[test]
fn a_database_of_schema_3_loses_nothing() {
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let minutes =
        prop::collection::vec((block::tests::intervals(), block::tests::intervals()), 5..20);
    let tested = runner.run(&minutes, |pairs| {
        let mut all = Vec::new();
        for (number, (p, q)) in pairs.into_iter().enumerate() {
            // The fifth was written after the clock was set back by an hour.
            let back = if number == 4 { 3600 } else { 0 };
            let from = Wall::from_secs(NOW.secs() + i64::try_from(number).unwrap() * 60 - back);
            for (series, mut interval) in [(1, p), (2, q)] {
                // As the ledger makes them; the period is the series'.
                (interval.from, interval.millis, interval.period_ms) = (from, 60_000, 1000);
                interval.rfc3550_max_ns = interval.rfc3550_max_ns.map(|nanos| nanos >> 1);
                for spread in interval.rtt.iter_mut().chain(&mut interval.ipdv) {
                    spread.sum_ns >>= 1;
                }
                all.push((series, interval));
            }
        }
        let summarised = all.len() - 6;
        let dir = tempfile::tempdir().unwrap();
        of_schema_3(&dir.path().join(FILE), &all, summarised);
        let (store, found) = Store::open(dir.path(), NOW).unwrap();
        prop_assert!(matches!(found, Found::Sound));
        let ever = (Wall::from_nanos(0), Wall::from_nanos(i64::MAX));
        for (series, probe) in [(1, "p"), (2, "q")] {
            let mut written: Vec<Interval> = all
                .iter()
                .filter(|(of, _)| *of == series)
                .map(|(_, interval)| interval.clone())
                .collect();
            written.sort_by_key(|interval| interval.from);
            prop_assert_eq!(store.intervals(probe, ever.0, ever.1).unwrap(), written);
        }
        let blocks = store.unsummarised().unwrap();
        let mut waiting = Vec::new();
        let take = |series: SeriesId, interval| waiting.push((series.number(), interval));
        store.each_interval((blocks[0].0, blocks[blocks.len() - 1].0), |_| true, take).unwrap();
        prop_assert_eq!(&waiting, &all[summarised..]);
        let (entry, jws) = store.waiting(9, 1 << 20).unwrap().pop().unwrap();
        prop_assert_eq!((entry.seq, jws.as_str()), (0, JWS));
        prop_assert_eq!(store.head().unwrap().unwrap().next, 1);
        prop_assert_eq!(store.site().unwrap(), Some("leeds-01".to_owned()));
        prop_assert_eq!(store.open_outages().unwrap().len(), 1);
        prop_assert_eq!(store.journal(9).unwrap().len(), 1);
        let rows = |table: &str| -> i64 {
            store
                .db
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                .unwrap()
        };
        prop_assert_eq!((rows("life"), rows("sheet")), (1, 1));
        prop_assert!(
            store.db.prepare("SELECT 1 FROM interval").is_err(),
            "its rows are blocks now"
        );
        drop(store);
        prop_assert!(crate::store::salvage::scrub(dir.path()).is_ok());
        Ok(())
    });
    tested.unwrap_or_else(|error| panic!("{error}"));
}
