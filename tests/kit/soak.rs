//! An hour's traffic in a minute: an agent that probes sixty times as often and closes an interval
//! each second, on a network that loses, repeats, delays, refuses and fails; and how much memory it
//! holds meanwhile.

use std::time::{Duration, Instant};

use wanproof::base::time::Wall;
use wanproof::store::Store;

use super::notify::Notified;
use super::process::Running;
use super::wan::Wan;

/// Of every ten targets: six are well, the others lose, answer late, refuse, and fail for a while
/// again and again.
fn network() -> String {
    let outages =
        (0..60).map(|at| format!("{{ from = '{}s', to = '{}s' }}", 3 + at * 10, 5 + at * 10));
    format!(
        "seed = 9\n[[address]]\nat = '10.99.1.0/24'\ndelay = '20ms'\njitter = '5ms'\nduplicate = \
            0.02\nreorder = 0.02\n\
         [[address]]\nat = '10.99.2.0/24'\ndelay = '20ms'\nloss = 0.1\n\
         [[address]]\nat = '10.99.3.0/24'\ndelay = '250ms'\njitter = '200ms'\n\
         [[address]]\nat = '10.99.4.0/24'\npath = ['10.98.0.1']\nrefuse = 'host-unreachable'\n\
         [[address]]\nat = '10.99.5.0/24'\npath = ['10.98.0.1']\noutages = [{}]\n",
        outages.collect::<Vec<_>>().join(", ")
    )
}

/// What the agent held at one moment, in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// After how many seconds.
    pub second: u64,
    /// Memory of its own (anonymous).
    pub memory: u64,
    /// Its database, of which it keeps pages in that memory, up to 2 MiB.
    pub database: u64,
}

/// What a soak saw.
#[derive(Debug)]
pub struct Soak {
    /// What the agent held, at each second.
    pub held: Vec<Held>,
    /// How many probes it sent, by the network's log.
    pub probes: usize,
    /// How many intervals it wrote.
    pub intervals: usize,
}

/// Runs the agent, which `agent` makes a command of for its configuration, for so many seconds,
/// each of which is a minute's traffic; [`None`] where there is no network.
pub fn soak(
    targets: usize,
    seconds: u64,
    agent: impl FnOnce(&Wan, &str) -> std::process::Command,
) -> Option<Soak> {
    let wan = Wan::start(&network())?;
    let mut config = format!(
        "site = 'soak'\ndata_dir = {:?}\n[collector]\nurl = 'http://127.0.0.1:9'\nevery = '1s'\n\
         [store]\ncommit = '1s'\noutbox_bytes = '1MiB'\n[defaults]\nperiod = '17ms'\ntimeout = \
            '400ms'\nkind = 'icmp'\n",
        wan.path("data"),
    );
    for number in 0..targets {
        let network = [1, 1, 1, 1, 1, 1, 2, 3, 4, 5][number % 10];
        config +=
            &format!("[[probe]]\nname = 'p{number}'\ntarget = '10.99.{network}.{}'\n", 1 + number);
    }
    let path = wan.path("agent.toml").display().to_string();
    std::fs::write(&path, config).expect("the directory is ours");
    let notified = Notified::at(wan.path("notify"));
    let mut running = Running::start(notified.tell(&mut agent(&wan, &path)));
    notified.wait(|| {
        running.wait();
        running.told()
    });
    let begun = Instant::now();
    let mut held = Vec::new();
    for second in 1..=seconds {
        // The traffic's own time, which nothing can stand in for.
        std::thread::sleep(
            (begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()),
        );
        let (memory, database) = (anonymous_kib(running.pid()), database_kib(&wan));
        held.push(Held { second, memory, database });
    }
    assert!(running.terminate().success(), "{}", running.told());
    let store = Store::read(&wan.path("data")).expect("the agent made it");
    let names = store.probes().expect("it has probes");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ever = (Wall::from_nanos(0), Wall::from_nanos(i64::MAX));
    let intervals = store
        .intervals_of(&names, ever.0, ever.1)
        .expect("it has intervals")
        .values()
        .map(Vec::len)
        .sum();
    let truth = wan.end();
    let probes = truth.lines.iter().filter(|line| line.ttl == 64).count();
    Some(Soak { held, probes, intervals })
}

/// How large the database is, what is still in its log included.
fn database_kib(wan: &Wan) -> u64 {
    let store = rusqlite::Connection::open(wan.path("data/agent.db")).expect("the agent made it");
    store.busy_timeout(super::process::PATIENCE).expect("it can wait");
    let pages: i64 = store
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .expect("a database has pages");
    let bytes: i64 =
        store.pragma_query_value(None, "page_size", |row| row.get(0)).expect("pages have a size");
    u64::try_from(pages * bytes / 1024).expect("a size is positive")
}

/// Memory that is a process's own, in KiB (proc_pid_status(5)).
fn anonymous_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).expect("the kernel counts it")
}
