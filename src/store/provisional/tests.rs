use super::*;
use crate::base::time::Mono;
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::provisional::Sent;
use crate::store::intervals::Series;
use crate::store::journal::Noted;
use crate::store::outages::Outage;

const BOOTED: Wall = Wall::from_secs(100);
const SECOND: Duration = Duration::from_secs(1);

fn at(mono: u64) -> Mono {
    Mono::from_nanos(mono * 1_000_000_000)
}

fn stretch(begun: u64, letters: &str) -> Provisional {
    let sent = |letter| {
        let outcome = Outcome::from_letter(letter).unwrap();
        let mut sent = Sent::new(outcome, outcome.has_rtt().then_some(5_000_000));
        if !outcome.has_rtt() {
            sent.reason = Some(Reason::new(outcome, "timeout"));
            (sent.duplicates, sent.reordered) = (1, 2);
        }
        sent.phases = vec![(Phase::Body, 7)];
        sent
    };
    let sends: Vec<Sent> = letters.chars().map(sent).collect();
    let ended = at(begun + sends.len() as u64);
    Provisional {
        begun: at(begun),
        ended,
        first_due: at(begun),
        period: SECOND,
        late: SECOND,
        sends,
    }
}

fn series(store: &Store) -> SeriesId {
    let series = Series {
        probe: "p".to_owned(),
        service: None,
        kind: "icmp".to_owned(),
        target: "192.0.2.1".to_owned(),
        address: None,
        period_ms: 1000,
        timeout_ms: 1000,
        cutoff_ms: 1000,
        settings: String::new(),
    };
    store.series(&series).unwrap()
}

#[test]
fn what_is_held_is_read_back_as_it_was_and_a_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), BOOTED).unwrap();
    let id = series(&store);
    let one = stretch(7, "aalutnx");
    store.hold("b", &[(id, &one)]).unwrap();
    let body: Vec<u8> = store.db.query_row("SELECT body FROM held", [], |row| row.get(0)).unwrap();
    assert_eq!(read(&body).unwrap(), [(id, one.clone())]);
    for place in 1..body.len() {
        let mut changed = body.clone();
        changed[place] ^= 0x40;
        assert!(read(&changed).map_or(true, |read| read == [(id, one.clone())]), "{place}");
    }
}

#[test]
fn minutes_and_outages_and_lines_move_to_where_they_were_once_the_clock_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), BOOTED).unwrap();
    let id = series(&store);
    let true_boot = Wall::from_secs(1_780_000_010);
    let outage = |from: i64, to: Option<i64>| Outage {
        service: None,
        probe: "p".to_owned(),
        definition: "builtin".to_owned(),
        from: Wall::from_secs(from),
        to: to.map(Wall::from_secs),
        side: "unknown".to_owned(),
        evidence: json!({}),
    };
    // Two outages from before, of which one looks as if it had been within the doubt.
    store.open_outage(&outage(1_779_000_000, Some(1_779_000_060))).unwrap();
    store.open_outage(&outage(130, Some(140))).unwrap();
    store.note(Wall::from_secs(120), Noted::Stop, "before").unwrap();
    // The clock says 1970-01-01T00:01:40 at the boot.
    let doubt = Doubt { boot: "b".to_owned(), ahead_ns: BOOTED.nanos() };
    store.begin_doubt(&doubt).unwrap();
    assert_eq!(store.doubt().unwrap(), Some(doubt));
    store.note(Wall::from_secs(105), Noted::Start, "within").unwrap();
    store.hold("b", &[(id, &stretch(30, "aaaaaaaaaa"))]).unwrap();
    store.hold("b", &[(id, &stretch(40, "lllllaaaaaaaaaaaaaaa"))]).unwrap();
    store.hold("other", &[(id, &stretch(3, "a"))]).unwrap();
    store.open_outage(&outage(140, Some(145))).unwrap();
    store.open_outage(&outage(158, None)).unwrap();
    assert!(store.held_bytes().unwrap() > 0);
    assert_eq!(store.intervals("p", Wall::default(), Wall::from_nanos(i64::MAX)).unwrap(), []);

    let anchor = Now { wall: true_boot + Duration::from_secs(60), mono: at(60) };
    let recalled = store.held_intervals("b", anchor, true_boot + Duration::from_secs(41)).unwrap();
    assert_eq!(recalled["p"].iter().map(|one| one.outcomes.len()).sum::<u64>(), 20);
    store.end_doubt(true_boot.nanos_since(BOOTED), Wall::from_secs(160)).unwrap();
    let done = store.label_held("b", anchor, Duration::from_secs(300), 100).unwrap();
    assert_eq!(done, Labelled { sets: 2, lost: 0 });
    assert_eq!(
        (store.doubt().unwrap(), store.held_boots().unwrap()),
        (None, vec!["other".to_owned()])
    );
    let all = store.intervals("p", Wall::default(), Wall::from_nanos(i64::MAX)).unwrap();
    let of = |one: &Interval| {
        (one.from.nanos_since(true_boot) / 1_000_000_000, one.outcomes.to_string())
    };
    // 1_780_000_010 is 50 seconds into its minute.
    let expected = [(30, "10a"), (40, "5l15a")].map(|(from, runs)| (from, runs.to_owned()));
    assert_eq!(all.iter().map(of).collect::<Vec<_>>(), expected);
    let spans: Vec<(i64, Option<i64>, bool)> = store
        .outages(Wall::default(), Wall::from_nanos(i64::MAX))
        .unwrap()
        .into_iter()
        .map(|(_, one)| {
            (one.from.secs(), one.to.map(Wall::secs), one.evidence["clock"] == SET_LATER)
        })
        .collect();
    let moved = |second: i64| true_boot.secs() + second - BOOTED.secs();
    assert_eq!(
        spans,
        [
            (130, Some(140), false),
            (1_779_000_000, Some(1_779_000_060), false),
            (moved(140), Some(moved(145)), true),
            (moved(158), None, true)
        ]
    );
    let lines: Vec<i64> = store.journal(9).unwrap().iter().map(|line| line.at.secs()).collect();
    assert_eq!(lines, [120, moved(105)]);
    assert_eq!(store.newest().unwrap(), Some(Wall::from_secs(moved(105)).max(all[1].from)));
}
