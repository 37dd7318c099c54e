//! Whoever is asked to end ends, whatever holds up one of its threads: a file that is never read to
//! its end stands for a disk, a network's file system or a bug that does not return. What a clean
//! end keeps is kept where the rest still works.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{O_NONBLOCK, SYS_epoll_pwait, SYS_epoll_pwait2};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;
use wanproof::collector::archive::Archive;
use wanproof::config::collector::Database;

use crate::collector::Desk;
use crate::kit::notify::Notified;
use crate::kit::process::{PATIENCE, Running};
use crate::kit::wan::skip;
use crate::start::{Host, Lo, until};

/// A file without an end takes the place of what is there, if anything is.
fn endless(path: &Path) {
    let _ = std::fs::remove_file(path);
    mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap();
}

/// Waits until somebody reads such a file; while what is given is there, it does not end.
fn read(path: &Path) -> File {
    let begun = Instant::now();
    loop {
        // Without a reader it cannot be opened so.
        if let Ok(file) = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path) {
            return file;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody read {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn measuring() -> Option<(Host, Running)> {
    let host = Host::new()?;
    let notified = Notified::at(host.path("notify"));
    let agent = Running::start(notified.tell(&mut host.command(Lo::Up, "run --config agent.toml")));
    notified.wait(|| agent.told());
    Some((host, agent))
}

#[test]
fn an_agent_ends_and_writes_all_it_has_while_a_configuration_is_read_that_never_ends() {
    let Some((host, mut agent)) = measuring() else { return };
    let configuration = host.path("agent.toml");
    endless(&configuration);
    agent.signal(Signal::SIGHUP);
    let _open = read(&configuration);
    let summaries = || {
        let output = host.command(Lo::Down, "outbox --json --data data").output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().map_or(0, Vec::len)
    };
    until("something was summarised", || summaries() > 0);
    assert!(agent.terminate().success(), "{}", agent.told());
    let journal = host.command(Lo::Down, "journal --json --data data").output().unwrap();
    let journal = String::from_utf8(journal.stdout).unwrap();
    assert!(journal.contains("\"stop\""), "{journal}");
}

#[test]
fn a_collector_ends_and_lets_its_lease_go_while_a_contract_is_read_that_never_ends() {
    let desk = Desk::new("contracts_dir = \"contracts\"\n");
    let contracts = desk.at.path().join("contracts");
    std::fs::create_dir(&contracts).unwrap();
    let (mut collector, _) = desk.serve();
    let contract = contracts.join("one.toml");
    endless(&contract);
    let _open = read(&contract);
    assert!(collector.terminate().success(), "{}", collector.told());
    assert!(collector.told().contains("the last round was broken off"), "{}", collector.told());
    let archive =
        Archive::open_existing(&Database::Sqlite(desk.at.path().join("data/collector.db")))
            .unwrap();
    assert_eq!(archive.leased("rounds").unwrap(), None);
}

#[test]
fn a_collector_goes_on_while_a_configuration_is_read_that_never_ends() {
    let desk = Desk::new("");
    let (mut collector, _) = desk.serve();
    let configuration = desk.at.path().join("collector.toml");
    let good = std::fs::read(&configuration).unwrap();
    endless(&configuration);
    collector.signal(Signal::SIGHUP);
    let _open = read(&configuration);
    std::fs::remove_file(&configuration).unwrap();
    std::fs::write(&configuration, good).unwrap();
    collector.signal(Signal::SIGHUP);
    collector.says("the configuration was read again");
    assert!(collector.terminate().success(), "{}", collector.told());
}

/// The system calls by which a thread waits for events.
const WAITS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    nix::libc::SYS_epoll_wait,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
];

/// Ends a program whose first thread, on which everything waits, is held as a debugger does it.
fn ends_though_held(mut program: Running) {
    let first = Pid::from_raw(program.pid().try_into().unwrap());
    match ptrace::seize(first, ptrace::Options::empty()) {
        Err(Errno::EPERM) => return skip("no thread can be held here: ptrace is not permitted"),
        seized => seized.unwrap(),
    }
    // While it waits for events: elsewhere it may hold what every thread needs to say a word.
    let begun = Instant::now();
    loop {
        ptrace::interrupt(first).unwrap();
        waitpid(first, Some(WaitPidFlag::__WALL)).unwrap();
        let call = std::fs::read_to_string(format!("/proc/{first}/syscall")).unwrap();
        let call = call.split_whitespace().next().and_then(|number| number.parse::<i64>().ok());
        if call.is_some_and(|call| WAITS.contains(&call)) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it never waits: {call:?}");
        ptrace::cont(first, None).unwrap();
    }
    assert_eq!(program.terminate().code(), Some(3), "{}", program.told());
    assert!(program.told().contains("something holds it up"), "{}", program.told());
}

#[test]
fn an_agent_whose_only_loop_stands_still_ends_all_the_same() {
    if let Some((_host, agent)) = measuring() {
        ends_though_held(agent);
    }
}

#[test]
fn a_collector_whose_only_loop_stands_still_ends_all_the_same() {
    let desk = Desk::new("");
    let notified = Notified::at(desk.at.path().join("notify"));
    let collector = Running::start(notified.tell(&mut desk.command()));
    notified.wait(|| collector.told());
    ends_though_held(collector);
}
