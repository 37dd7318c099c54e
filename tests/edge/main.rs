//! The edge database on its bad days: pages that are flipped, zeroed or cut off, weeks without a
//! collector, budgets that press. Time is moved by hand.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

mod disk;
#[path = "../kit/mod.rs"]
mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use kit::edge::{Edge, Plan};
use wanproof::base::time::Wall;
use wanproof::config::agent::{Keep, Term};
use wanproof::evidence::digest::Digest;
use wanproof::evidence::summary::{self, Summary};
use wanproof::evidence::{jws, key::SecretKey};
use wanproof::measure::interval::Interval;
use wanproof::store::outages::Outage;
use wanproof::store::salvage::scrub;
use wanproof::store::{FILE, Found, Store};

const BEGIN: Wall = Wall::from_secs(1_790_000_000 / 86_400 * 86_400);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const EVER: (Wall, Wall) = (Wall::from_nanos(0), Wall::from_nanos(i64::MAX));

fn plan(probes: u32, period: Duration) -> Plan {
    let keep = Keep { minutes: Term::Forever, hours: Term::Forever, ..Keep::default() };
    Plan { probes, period, every: 5 * MINUTE, keep, from: BEGIN }
}

/// In memory where that is to be had: these tests write what an agent does in days.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn everything(store: &Store) -> BTreeMap<String, Vec<Interval>> {
    let probes = store.probes().unwrap();
    let names: Vec<&str> = probes.iter().map(String::as_str).collect();
    store.intervals_of(&names, EVER.0, EVER.1).unwrap()
}

/// Every send of every probe, with what became of it.
fn sends(all: &BTreeMap<String, Vec<Interval>>) -> BTreeMap<&str, Vec<(Wall, char)>> {
    let each = |intervals: &Vec<Interval>| {
        intervals
            .iter()
            .flat_map(|one| one.sends().map(|(due, of)| (due, of.letter())).collect::<Vec<_>>())
            .collect()
    };
    all.iter().map(|(probe, intervals)| (probe.as_str(), each(intervals))).collect()
}

fn values(all: &BTreeMap<String, Vec<Interval>>) -> (u64, u64) {
    let spreads = all.values().flatten().filter_map(|one| one.rtt.as_ref());
    spreads.fold((0, 0), |(count, sum), rtt| {
        (count + rtt.histogram.unpack().unwrap().count(), sum + rtt.sum_ns)
    })
}

/// A summary that the store gives back, its signature and digest verified.
fn verified(jws: &str) -> Summary {
    let parsed = jws::parse(jws.as_bytes(), jws::Typ::Summary).unwrap();
    let payload = parsed.verify(SecretKey::from_seed(&[7; 32]).public()).unwrap();
    summary::read(&payload).unwrap()
}

#[test]
fn minutes_become_hours_and_days_and_no_outcome_and_no_value_is_lost() {
    let dir = directory();
    let mut edge = Edge::start(dir.path(), plan(3, 10 * SECOND));
    (0..26 * 60).for_each(|_| edge.minute());
    edge.end();
    let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
    let before = everything(&store);
    while let Some((entry, _)) = store.waiting(1, 1).unwrap().pop() {
        store
            .accepted((entry.chain, entry.seq, entry.digest), "receipt", "2026-11-25T10:05:02Z")
            .unwrap();
    }
    let mut hours = 0;
    while store.roll_up_minutes(BEGIN + 25 * HOUR).unwrap().is_some() {
        hours += 1;
    }
    assert_eq!(hours, 25);
    let rolled = everything(&store);
    assert_eq!(sends(&before), sends(&rolled));
    assert_eq!(values(&before), values(&rolled));
    assert!(
        rolled.values().all(|of| of.len() <= 25 + 61),
        "an hour is one interval where nothing happened to it"
    );
    assert_eq!(store.roll_up_hours(BEGIN + 25 * HOUR).unwrap(), Some(BEGIN + 24 * HOUR));
    assert_eq!(store.roll_up_hours(BEGIN + 25 * HOUR).unwrap(), None, "its day is not over");
    let days = everything(&store);
    assert_eq!(sends(&before), sends(&days));
    assert_eq!(values(&before), values(&days));
    assert_eq!(
        store.summaries().unwrap().len(),
        11,
        "those of the last hour, whose minutes are there"
    );
    assert_eq!(scrub(dir.path()).map_err(|error| error.to_string()), Ok(()));
    // What was rolled up is read as what touches the time that is asked for.
    let probe = store.probes().unwrap().remove(0);
    let part = store.intervals(&probe, BEGIN + 3 * HOUR, BEGIN + 4 * HOUR).unwrap();
    assert_eq!(part.iter().map(|one| one.millis).collect::<Vec<_>>(), [86_400_000]);
    assert_eq!(store.forget_day(BEGIN + 23 * HOUR).unwrap(), None);
    assert_eq!(store.forget_day(BEGIN + 24 * HOUR).unwrap(), Some(BEGIN + 24 * HOUR));
}

#[test]
fn a_summary_at_rest_is_the_very_one_that_was_signed_and_costs_little() {
    let dir = directory();
    let mut edge = Edge::start(dir.path(), plan(20, SECOND));
    (0..16).for_each(|_| edge.minute());
    let waiting = edge.ask(|store| store.waiting(100, 1 << 24));
    assert_eq!(waiting.len(), 3);
    let mut before = None;
    for (entry, jws) in &waiting {
        let summary = verified(jws);
        assert_eq!((summary.seq, summary.prev, summary.probes.len()), (entry.seq, before, 20));
        assert_eq!(Digest::of(jws.as_bytes()), entry.digest);
        before = Some(entry.digest);
    }
    let (jws, rest) = (waiting[1].1.len(), edge.ask(|store| store.bytes()));
    assert!(jws > 20_000 && rest < 200_000, "{jws} bytes of a summary, {rest} of the database");
    edge.end();
}

#[test]
fn days_without_a_collector_stay_within_the_limits_and_drain_in_order_with_nothing_twice() {
    const LIMIT: u64 = 32 * 1024;
    let dir = directory();
    let mut plan = plan(3, 10 * SECOND);
    plan.keep.outbox_bytes = LIMIT;
    let mut edge = Edge::start(dir.path(), plan);
    for minute in 0..1440 {
        edge.minute();
        if minute % 60 == 59 {
            let bytes = edge.ask(|store| store.tally()).bytes;
            assert!(bytes <= LIMIT, "{bytes} bytes wait");
        }
    }
    // The collector is back: what waits is taken, oldest first.
    let mut taken: Vec<Summary> = Vec::new();
    loop {
        let batch = edge.ask(|store| store.waiting(64, 1 << 17));
        if batch.is_empty() {
            break;
        }
        for (entry, jws) in batch {
            taken.push(verified(&jws));
            edge.ask(move |store| {
                store.accepted((entry.chain, entry.seq, entry.digest), "r", "2026-11-25T10:05:02Z")
            });
        }
    }
    (0..6).for_each(|_| edge.minute());
    for (_, jws) in edge.ask(|store| store.waiting(64, 1 << 20)) {
        taken.push(verified(&jws));
    }
    edge.end();
    let numbers: Vec<u64> = taken.iter().map(|summary| summary.seq).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order and nothing twice: {numbers:?}");
    let told = taken.iter().flat_map(|summary| &summary.dropped);
    let dropped: BTreeSet<u64> = told.flat_map(|gap| gap.from_seq..=gap.to_seq).collect();
    let missing: BTreeSet<u64> =
        (0..=*numbers.last().unwrap()).filter(|seq| !numbers.contains(seq)).collect();
    assert!(
        !missing.is_empty() && missing == dropped,
        "{missing:?} is missing, {dropped:?} was told"
    );
    assert!(missing.iter().all(|seq| *seq < numbers[0]), "the oldest went");
}

#[test]
fn a_database_at_its_limit_stays_there_and_detail_goes_before_what_waits() {
    const LIMIT: u64 = 512 << 10;
    let dir = directory();
    let mut plan = plan(10, SECOND);
    (plan.keep.max_bytes, plan.keep.outbox_bytes) = (LIMIT, LIMIT / 2);
    let mut edge = Edge::start(dir.path(), plan);
    let mut most = 0;
    for minute in 0..480 {
        edge.minute();
        most = most.max(edge.ask(|store| store.bytes()));
        // A collector that answers once an hour.
        if minute % 60 == 59 {
            edge.ask(|store| {
                for (entry, _) in store.waiting(11, 1 << 24)? {
                    store.accepted(
                        (entry.chain, entry.seq, entry.digest),
                        "r",
                        "2026-11-25T10:05:02Z",
                    )?;
                }
                Ok(())
            });
        }
    }
    assert!(most <= LIMIT, "{most} bytes");
    let (journal, dropped) = edge.ask(|store| Ok((store.journal(100)?, store.dropped()?)));
    assert!(
        journal.iter().any(|line| line.kind == "store-full" && line.detail.contains("rolled up")),
        "{journal:?}"
    );
    let all = edge.ask(|store| Ok(everything(store)));
    let (hours, minutes): (Vec<_>, Vec<_>) =
        all["site-00-icmp"].iter().partition(|one| one.millis > 60_000);
    assert!(
        !hours.is_empty() && minutes.len() > 60,
        "{} hours, {} minutes",
        hours.len(),
        minutes.len()
    );
    assert_eq!(all["site-00-icmp"].iter().map(|one| one.outcomes.len()).sum::<u64>() / 60, 479);
    assert_eq!(dropped, [], "nothing that waited had to go");
    edge.end();
}

/// A database with everything in it: minutes, an hour, summaries that wait and that were answered,
/// outages. Gives all minutes as they were before some were rolled up: pages that are free may
/// still hold these.
fn template(dir: &Path) -> BTreeMap<String, Vec<Interval>> {
    let mut edge = Edge::start(dir, plan(8, SECOND));
    (0..101).for_each(|_| edge.minute());
    let minutes = edge.ask(|store| {
        let minutes = everything(store);
        store.set_site("leeds-01")?;
        for (entry, _) in store.waiting(15, 1 << 24)? {
            store.accepted(
                (entry.chain, entry.seq, entry.digest),
                &"r".repeat(430),
                "2026-11-25T10:05:02Z",
            )?;
        }
        store.roll_up_minutes(BEGIN + HOUR)?;
        for number in 0..40 {
            let from = BEGIN + MINUTE * number;
            let evidence =
                serde_json::json!({"trace": ["192.0.2.1", "*", "192.0.2.9", "*", "192.0.2.33"]});
            store.open_outage(&Outage {
                service: Some("ckt-0001".to_owned()),
                probe: "site-01-icmp".to_owned(),
                definition: "builtin".to_owned(),
                from,
                to: Some(from + SECOND * 7),
                side: "provider".to_owned(),
                evidence,
            })?;
        }
        Ok(minutes)
    });
    edge.end();
    minutes
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Byte,
    Flipped,
    Zeroed,
    CutOff,
}

/// Damages one page of a file.
fn damage(path: &Path, page: u64, of: u64, how: Damage) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(of).unwrap()];
    file.read_exact_at(&mut bytes, page * of).unwrap();
    match how {
        Damage::CutOff => return file.set_len(page * of).unwrap(),
        Damage::Byte => bytes[usize::try_from(page * 131 % of).unwrap()] ^= 0x55,
        Damage::Flipped => bytes.iter_mut().for_each(|byte| *byte ^= 0xff),
        Damage::Zeroed => bytes.fill(0),
    }
    file.write_all_at(&bytes, page * of).unwrap();
}

/// The pages that hold something, counted from 0.
fn used_pages(path: &Path) -> Vec<u64> {
    let db = rusqlite::Connection::open(path).unwrap();
    let mut pages = db.prepare("SELECT pageno - 1 FROM dbstat ORDER BY pageno").unwrap();
    let used = pages.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    used.map(|page| u64::try_from(page.unwrap()).unwrap()).collect()
}

/// How many blocks lie wholly in a database's first `pages` pages, where all that leads to them
/// does too.
fn blocks_below(path: &Path, pages: u64) -> usize {
    let db = rusqlite::Connection::open(path).unwrap();
    let count = "SELECT coalesce(sum(ncell), 0) FROM dbstat AS leaf WHERE name = 'block' AND \
        pagetype = 'leaf' AND pageno <= ?1
        AND NOT EXISTS (SELECT 1 FROM dbstat WHERE name = 'block' AND pagetype = 'overflow' AND \
        path LIKE leaf.path || '%')
        AND NOT EXISTS (SELECT 1 FROM dbstat WHERE name IN ('block', 'sqlite_schema')
            AND (pagetype = 'internal' OR name <> 'block') AND pageno > ?1)";
    let cells: i64 =
        db.query_row(count, [i64::try_from(pages).unwrap()], |row| row.get(0)).unwrap();
    usize::try_from(cells).unwrap()
}

#[test]
fn a_page_that_is_damaged_anywhere_is_found_and_the_rest_is_read_and_written_on() {
    const PAGE: u64 = 1024;
    // `benches/run damage` tries more of them.
    let places: usize = std::env::var("PLACES").map_or(40, |places| places.parse().unwrap());
    let whole = directory();
    let minutes = template(whole.path());
    let (all, outages) = {
        let (store, _) = Store::open(whole.path(), BEGIN).unwrap();
        (everything(&store), store.outages(EVER.0, EVER.1).unwrap())
    };
    let pages = std::fs::metadata(whole.path().join(FILE)).unwrap().len() / PAGE;
    let used = used_pages(&whole.path().join(FILE));
    let rows: usize = all.values().map(Vec::len).sum();
    let (mut found, mut poor, mut salvaged_of_cut) = (0, Vec::new(), 0);
    for place in 0..places {
        let page = used[place * used.len() / places];
        let how = [Damage::Byte, Damage::Flipped, Damage::Zeroed, Damage::CutOff]
            [(place + place / 4) % 4];
        let told = format!("page {page} of {pages}, {how:?}");
        println!("{told}");
        let dir = directory();
        std::fs::copy(whole.path().join(FILE), dir.path().join(FILE)).unwrap();
        damage(&dir.path().join(FILE), page, PAGE, how);
        let now = BEGIN + 4 * HOUR;
        let (mut store, opened) =
            Store::open(dir.path(), now).unwrap_or_else(|error| panic!("{told}: {error}"));
        let mut damaged = matches!(opened, Found::Damaged { .. });
        // As the agent does beside its work.
        if let Err(error) = scrub(dir.path()) {
            assert!(error.is_damage() && !damaged, "{told}: {error}");
            store
                .set_aside(now, &error.to_string())
                .unwrap_or_else(|error| panic!("{told}: {error}"));
            damaged = true;
        }
        // What is measured meanwhile is written at once.
        let series = store.all_series().unwrap();
        if let Some((id, _)) = series.first_key_value() {
            let mut next = all["site-00-icmp"].last().unwrap().clone();
            next.from = now;
            store.append(*id, &next).unwrap();
        }
        while store.is_salvaging() {
            store.salvage().unwrap_or_else(|error| panic!("{told}: {error}"));
        }
        assert_eq!(scrub(dir.path()).map_err(|error| error.to_string()), Ok(()), "{told}");
        // A byte may lie where a page has nothing.
        assert!(damaged || matches!(how, Damage::Byte), "{told}: it was not found");
        if damaged {
            found += 1;
            assert!(
                store.journal(1).unwrap().iter().any(|line| line.kind == "database-damaged"),
                "{told}"
            );
            let aside = std::fs::read_dir(dir.path()).unwrap().flatten();
            let dated =
                |name: &str| name.starts_with("agent.db.damaged-2026") && !name.ends_with("-wal");
            assert!(
                aside.map(|file| file.file_name()).any(|name| dated(&name.to_string_lossy())),
                "{told}"
            );
        }
        // Whatever is read is what was written.
        let (mut kept, known) = (0, everything(&store));
        for (probe, intervals) in &known {
            for one in intervals.iter().filter(|one| one.from < now) {
                assert!(
                    all[probe].contains(one) || minutes[probe].contains(one),
                    "{told}: {probe} {one:?}"
                );
                kept += 1;
            }
        }
        for (id, outage) in store.outages(EVER.0, EVER.1).unwrap() {
            assert!(outages.contains(&(id, outage.clone())), "{told}: {outage:?}");
        }
        for entry in store.summaries().unwrap() {
            verified(&store.summary_jws(&entry).unwrap_or_else(|error| panic!("{told}: {error}")));
        }
        if matches!(how, Damage::CutOff) {
            let least = 8 * blocks_below(&whole.path().join(FILE), page);
            assert!(kept >= least, "{told}: {kept} were salvaged, {least} are there");
            salvaged_of_cut += kept;
        } else if kept * 100 < rows * 95 {
            poor.push(format!("{told}: {kept} of {rows}"));
        }
    }
    println!("{found} of {places} places were damage; less than 95 % was salvaged of {poor:#?}");
    assert!(found > places * 3 / 4, "only {found} were found");
    assert!(salvaged_of_cut > rows, "{salvaged_of_cut} of files that were cut off");
    assert!(poor.len() <= places / 25, "{poor:#?}");
}

#[test]
fn a_reader_never_holds_up_the_writer() {
    let dir = directory();
    let mut edge = Edge::start(dir.path(), plan(5, SECOND));
    (0..10).for_each(|_| edge.minute());
    // A reader in the midst of its work: its snapshot stays as it is, and the writer goes on.
    let reader = Store::read(dir.path()).unwrap();
    let before = everything(&reader);
    (0..10).for_each(|_| edge.minute());
    let written = edge.ask(|store| Ok(everything(store)));
    assert!(
        written.values().map(Vec::len).sum::<usize>()
            > before.values().map(Vec::len).sum::<usize>()
    );
    edge.end();
}
