//! A disk that is full: what is measured meanwhile is written once there is room again.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use wanproof::base::time::Wall;
use wanproof::store::salvage::scrub;
use wanproof::store::{FILE, Found, Store};

use super::kit;
use super::kit::edge::Edge;
use super::kit::notify::Notified;
use super::kit::process::{PATIENCE, Running};
use super::kit::wan::Wan;
use super::{BEGIN, EVER, SECOND, everything, plan, sends, verified};

/// Makes the directory that is the first argument a small disk of its own, in memory, and becomes
/// the others.
const MOUNT: &str = r#"mount -t tmpfs -o size=4m,mode=700 small "$0" || exit 77; exec "$@""#;

/// Runs the test of this name again in a mount namespace with a small disk of its own, in memory;
/// its directory, where this is that run.
fn on_a_small_disk(test: &str) -> Option<PathBuf> {
    const DISK: &str = "WANPROOF_SMALL_DISK";
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let namespace: &[&str] =
        if nix::unistd::geteuid().is_root() { &["-m"] } else { &["-U", "-r", "-m"] };
    let mut again = Command::new("unshare");
    again.args(namespace).args(["--propagation", "private", "sh", "-c", MOUNT]).arg(dir.path());
    again
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DISK, dir.path());
    let told = again.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
    if told.status.code() == Some(77) || text.contains("unshare failed") {
        kit::wan::skip(&text);
    } else {
        assert!(told.status.success() && text.contains("1 passed"), "{text}");
        print!("{text}");
    }
    None
}

/// Fills a disk but for so many pages of memory.
fn fill(path: &Path, but_for: u64) {
    let filler = std::fs::File::create(path).unwrap();
    let page = vec![1; 4096];
    let mut at = 0;
    while filler.write_all_at(&page, at).is_ok() {
        at += 4096;
    }
    filler.set_len(at - but_for * 4096).unwrap();
}

#[test]
fn a_disk_that_is_full_at_any_write_costs_one_line_of_the_journal_and_no_outcome() {
    const NAME: &str =
        "disk::a_disk_that_is_full_at_any_write_costs_one_line_of_the_journal_and_no_outcome";
    /// More than a cycle of five minutes and its summary take.
    const MOST: u64 = 40;
    let Some(disk) = on_a_small_disk(NAME) else { return };
    let mut edge = Edge::start(&disk, plan(8, SECOND));
    (0..6).for_each(|_| edge.minute());
    let events = |edge: &Edge| {
        let journal = edge.ask(|store| store.journal(1000));
        journal.iter().filter(|line| line.kind == "disk").count()
    };
    let (mut full, mut fits) = (0, 0);
    for but_for in 0..MOST {
        // Every write needs room again once the log is short.
        let db = rusqlite::Connection::open(disk.join(FILE)).unwrap();
        let busy: i64 =
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        drop(db);
        assert_eq!(busy, 0, "nobody reads");
        let before = events(&edge);
        fill(&disk.join("filler"), but_for);
        (0..5).for_each(|_| edge.minute());
        std::fs::remove_file(disk.join("filler")).unwrap();
        (0..2).for_each(|_| edge.minute());
        match events(&edge) - before {
            0 => fits += 1,
            1 => full += 1,
            more => panic!("{more} events, with room for {but_for} pages"),
        }
        if fits == 2 {
            break;
        }
    }
    println!("the disk was full at {full} places of a cycle");
    assert!(full > 5 && fits > 0, "full {full} times, and {fits} times there was room");
    edge.end();
    let (store, found) = Store::open(&disk, BEGIN).unwrap();
    assert!(matches!(found, Found::Sound), "{found:?}");
    assert_eq!(scrub(&disk).map_err(|error| error.to_string()), Ok(()));
    let all = everything(&store);
    let minutes = 6 + (full + fits) * 7;
    for (probe, sends) in sends(&all) {
        assert!(
            sends.is_sorted_by(|(a, _), (b, _)| b.nanos_since(*a) == 1_000_000_000),
            "{probe} has a gap"
        );
        assert_eq!(sends.len(), (minutes - 1) * 60, "{probe}: all but the open minute");
        assert!(sends.iter().all(|(_, of)| "al".contains(*of)), "{probe}: everything was measured");
    }
    let (mut next, mut prev) = (0, None);
    for entry in store.summaries().unwrap() {
        let summary = verified(&store.summary_jws(&entry).unwrap());
        assert_eq!((summary.seq, summary.prev), (next, prev));
        (next, prev) = (next + 1, Some(entry.digest));
    }
    let least = u64::try_from(minutes / 5 - 1).unwrap();
    assert!(next >= least, "{next} summaries of {minutes} minutes");
}

/// As [`MOUNT`], and copies the agent's data to a directory beside it at the end; the disk is gone
/// with its last process.
const KEEP: &str = r#"mount -t tmpfs -o size=4m,mode=700 small "$0" || exit 77; "$@" & agent=$!; trap 'kill $agent' TERM
wait $agent || wait $agent; status=$?; cp -r "$0/data" "$0.kept" && exit $status"#;

#[test]
fn an_agent_whose_disk_is_full_goes_on_probing_and_writes_all_of_it_when_there_is_room() {
    let Some(wan) = Wan::start("seed = 1\n[[address]]\nat = \"10.99.1.1\"\ndelay = \"2ms\"\n")
    else {
        return;
    };
    let disk = wan.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let config = format!(
        "site = \"leeds-01\"\ndata_dir = {:?}\n[collector]\nurl = \"http://127.0.0.1:9\"\nevery \
            = \"1s\"\n[store]\ncommit = \"1s\"\n\
         [[probe]]\nname = \"p\"\nkind = \"icmp\"\ntarget = \"10.99.1.1\"\nperiod \
            = \"100ms\"\ntimeout = \"500ms\"\n",
        disk.join("data")
    );
    std::fs::write(wan.path("agent.toml"), config).unwrap();
    let notified = Notified::at(wan.path("notify"));
    let mut command = wan.command("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", KEEP]).arg(&disk);
    command
        .arg(env!("CARGO_BIN_EXE_wanproof"))
        .args(["run", "--config"])
        .arg(wan.path("agent.toml"));
    let mut agent = Running::start(notified.tell(&mut command));
    notified.wait(|| {
        agent.wait();
        agent.told()
    });
    // Its disk as it sees it.
    let seen = PathBuf::from(format!("/proc/{}/root{}", agent.pid(), disk.display()));
    let sent = || wan.truth().echoes("10.99.1.1").len();
    let sends_on = || {
        let (before, begun) = (sent(), Instant::now());
        while sent() < before + 20 {
            assert!(begun.elapsed() < PATIENCE, "it does not probe");
            std::thread::sleep(SECOND / 20);
        }
    };
    sends_on();
    fill(&seen.join("filler"), 0);
    agent.says("the database cannot be written");
    sends_on();
    std::fs::remove_file(seen.join("filler")).unwrap();
    agent.says("the database can be written again");
    sends_on();
    assert!(agent.terminate().success(), "{}", agent.told());
    let (store, found) = Store::open(&wan.path("disk.kept"), BEGIN).unwrap();
    assert!(matches!(found, Found::Sound), "{found:?}");
    let journal = store.journal(100).unwrap();
    assert_eq!(journal.iter().filter(|line| line.kind == "disk").count(), 1, "{journal:?}");
    let all = store.intervals("p", EVER.0, EVER.1).unwrap();
    let due: Vec<Wall> =
        all.iter().flat_map(|one| one.sends().map(|(due, _)| due).collect::<Vec<_>>()).collect();
    // A slewed clock, or a millisecond that is rounded, makes no gap.
    let gap =
        due.windows(2).find(|pair| (pair[1].nanos_since(pair[0]) - 100_000_000).abs() > 10_000_000);
    assert!(due.len() > 40 && gap.is_none(), "{} sends, {gap:?}", due.len());
}
