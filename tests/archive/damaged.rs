//! A damaged SQLite database: whichever page is destroyed, what can be read of it is brought over,
//! what is missing is a gap, and the damaged file stays as it was.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};
use wanproof::collector::archive::Archive;
use wanproof::collector::archive::ledger::Kind;
use wanproof::collector::archive::salvage;
use wanproof::config::collector::Database;

use super::{Agent, accept, at, collector, write};

const AGENTS: u8 = 2;
const EACH: u64 = 30;

/// A database with summaries of some agents, records and logs.
fn filled(path: &Path) {
    let mut archive = Archive::open(&Database::Sqlite(path.to_owned())).unwrap();
    write(&mut archive, |archive| archive.belong_to(collector().kid()));
    for seed in 1..=AGENTS {
        let agent = Agent::enrolled(seed, &mut archive);
        let mut all = Vec::new();
        for seq in 0..EACH {
            let prev = all.last().map(|before: &wanproof::collector::archive::accept::Verified| {
                before.subject.digest
            });
            // Some lie within a page, some need several.
            let word = format!("{seed}{seq}").repeat(if seq % 8 == 0 { 3000 } else { 200 });
            all.push(agent.summary(seq, prev, &word));
        }
        // Number 20 never came.
        all.remove(20);
        accept(&mut archive, &all);
    }
    write(&mut archive, |archive| {
        for number in 0..200 {
            let id = format!("{number:04}");
            archive.put_record(Kind::Verdict, &id, &"a verdict".repeat(20), at(1))?;
            archive.append(Kind::Period, "p", &number, at(1))?;
        }
        Ok(())
    });
    drop(archive);
    // All in one file.
    let db = Connection::open(path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

/// What is stored of each agent: number, bytes and receipt; and what is said to be missing.
type Stored = BTreeMap<(Vec<u8>, i64), (Vec<u8>, String)>;

/// The ranges of numbers that are missing of each agent.
type Missing = BTreeMap<Vec<u8>, Vec<(i64, i64)>>;

fn stored(path: &Path) -> (Stored, Missing) {
    let db = Connection::open(path).unwrap();
    let mut wanted = db.prepare("SELECT agent, seq, jws, receipt FROM summary").unwrap();
    let rows = wanted
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))))
        .unwrap();
    let all = rows.map(Result::unwrap).collect();
    let mut gaps = Missing::new();
    let mut wanted =
        db.prepare("SELECT agent, from_seq, to_seq FROM gap ORDER BY agent, from_seq").unwrap();
    let rows = wanted.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    for row in rows {
        let (agent, from, to) = row.unwrap();
        gaps.entry(agent).or_default().push((from, to));
    }
    (all, gaps)
}

/// Every summary of an agent that is known is stored with its bytes and its receipt, or lies in a
/// gap, and not both.
fn check(path: &Path, before: &Stored, page: usize) -> usize {
    let (after, gaps) = stored(path);
    let none = Vec::new();
    for (number, was) in before {
        match after.get(number) {
            Some(is) => assert_eq!(is, was, "page {page}"),
            None => {
                let all = gaps.get(&number.0).unwrap_or(&none);
                // An agent of which nothing at all is left has no chain, and so no gap.
                let known = after.keys().any(|(agent, _)| *agent == number.0) || !all.is_empty();
                let missing = all.iter().any(|(from, to)| (*from..=*to).contains(&number.1));
                assert!(
                    missing || !known,
                    "page {page}: {} of {:?} is neither here nor missing",
                    number.1,
                    number.0
                );
            }
        }
    }
    for (agent, seq) in after.keys() {
        let missing =
            gaps.get(agent).unwrap_or(&none).iter().any(|(from, to)| (from..=to).contains(&seq));
        assert!(!missing, "page {page}: {seq} is stored and said to be missing");
    }
    after.len()
}

#[test]
fn whichever_page_is_destroyed_what_can_be_read_is_brought_over_and_the_rest_is_missing_by_name() {
    let at_first = tempfile::tempdir().unwrap();
    let whole = at_first.path().join("whole.db");
    filled(&whole);
    let (before, _) = stored(&whole);
    assert_eq!(before.len(), usize::from(AGENTS) * usize::try_from(EACH - 1).unwrap());
    let bytes = std::fs::read(&whole).unwrap();
    let (mut damaged, mut kept) = (0, 0);
    for page in 0..bytes.len() / 4096 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.db");
        let mut hurt = bytes.clone();
        hurt[page * 4096..][..4096].fill(0xA5);
        std::fs::write(&path, &hurt).unwrap();
        let Some(salvaged) = salvage::mend(&path, Some(&collector()), at(5000)).unwrap() else {
            continue;
        };
        damaged += 1;
        kept += check(&path, &before, page);
        assert_eq!(
            std::fs::read(path.with_file_name(&salvaged.aside)).unwrap(),
            hurt,
            "page {page}: set aside as it was"
        );
        assert!(salvage::file_of(&salvaged, &path).is_some());
        let archive = Archive::open(&Database::Sqlite(path.clone())).unwrap();
        assert_eq!(salvage::last(&archive).unwrap(), Some(salvaged));
        // It is sound now.
        drop(archive);
        assert_eq!(
            salvage::mend(&path, Some(&collector()), at(6000)).unwrap(),
            None,
            "page {page}"
        );
    }
    assert!(damaged > 15, "{damaged} pages were found to be damaged");
    // A page has few summaries.
    let lost = damaged * before.len() - kept;
    assert!(lost <= damaged * 12, "{lost} summaries were lost by {damaged} pages");
}

#[test]
fn a_salvage_that_was_broken_off_is_begun_again_or_comes_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    filled(&path);
    let (before, _) = stored(&path);
    let mut hurt = std::fs::read(&path).unwrap();
    let leaf = hurt.len() / 2 / 4096 * 4096;
    hurt[leaf..][..4096].fill(0xA5);
    std::fs::write(&path, &hurt).unwrap();
    // One that was killed while it filled the new database.
    std::fs::write(dir.path().join("c.db.salvaging"), b"half of it").unwrap();
    let done = salvage::mend(&path, Some(&collector()), at(5000)).unwrap().unwrap();
    let count = check(&path, &before, 0);
    // One that was killed after the damaged file was set aside, before the new one had its name.
    std::fs::rename(&path, dir.path().join("c.db.salvaged")).unwrap();
    assert_eq!(salvage::mend(&path, Some(&collector()), at(6000)).unwrap().unwrap(), done);
    assert_eq!(check(&path, &before, 0), count);
    // One that was killed just before that.
    std::fs::rename(&path, dir.path().join("c.db.salvaged")).unwrap();
    std::fs::rename(dir.path().join(&done.aside), &path).unwrap();
    salvage::mend(&path, Some(&collector()), at(7000)).unwrap().unwrap();
    assert_eq!(check(&path, &before, 0), count);
}

#[test]
fn what_is_no_database_any_more_is_set_aside_and_nothing_is_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    std::fs::write(&path, vec![7; 40_000]).unwrap();
    let done = salvage::mend(&path, Some(&collector()), at(5000)).unwrap().unwrap();
    assert_eq!(std::fs::read(dir.path().join(&done.aside)).unwrap(), vec![7; 40_000]);
    let (all, gaps) = stored(&path);
    assert_eq!((all.len(), gaps.len()), (0, 0));
    assert!(done.torn.iter().any(|table| table == "agent"), "{done:?}");
}

#[test]
fn a_damaged_receipt_is_signed_again_and_a_summary_with_other_bytes_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    filled(&path);
    let (before, _) = stored(&path);
    let db = Connection::open(&path).unwrap();
    db.execute("UPDATE summary SET receipt = 'x' || substr(receipt, 2) WHERE seq = 3", []).unwrap();
    db.execute("UPDATE summary SET jws = ?1 WHERE seq = 5", params![b"another".as_slice()])
        .unwrap();
    drop(db);
    // Something else is destroyed, so that it is found.
    let mut hurt = std::fs::read(&path).unwrap();
    let last = hurt.len() - 4096;
    hurt[last..].fill(0xA5);
    for page in (1..hurt.len() / 4096).rev() {
        hurt[page * 4096..][..4096].fill(0xA5);
        std::fs::write(&path, &hurt).unwrap();
        if wanproof::store::damaged::find(&path).unwrap().is_some() {
            break;
        }
    }
    salvage::mend(&path, Some(&collector()), at(5000)).unwrap().unwrap();
    let (after, _) = stored(&path);
    for ((agent, seq), is) in &after {
        assert_ne!(*seq, 5);
        assert_eq!(Some(is), before.get(&(agent.clone(), *seq)));
    }
    assert!(after.keys().any(|(_, seq)| *seq == 3));
}
