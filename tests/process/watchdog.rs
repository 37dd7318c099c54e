//! The watchdog of systemd: fed while sends are really settled, and not because something else of
//! the agent lives.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;
use crate::start::{Host, Lo, until};

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kit::notify::Notified;
use kit::process::{PATIENCE, Running};
use kit::wan::skip;
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

const SECOND: Duration = Duration::from_secs(1);

/// Starts an agent that is told to feed a watchdog, and waits until it does.
fn fed(host: &Host, notified: &Notified) -> Running {
    let mut command = host.command(Lo::Up, "run --config agent.toml");
    let agent = Running::start(notified.tell(command.env("WATCHDOG_USEC", "300000")));
    notified.wait(|| agent.told());
    (0..3).for_each(|_| notified.wait_for("WATCHDOG=1", || agent.told()));
    agent
}

/// The state of each thread of a program, by its identifier: proc_pid_stat(5).
fn states(program: &Running) -> Vec<(i32, char)> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap().flatten();
    // One that has just ended has no state to read.
    let state = |stat: String| stat.rsplit(") ").next()?.chars().next();
    threads
        .filter_map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
            Some((thread.file_name().to_str()?.parse().ok()?, state(stat)?))
        })
        .collect()
}

fn stop(agent: &Running) {
    agent.signal(Signal::SIGSTOP);
    until("it stands still", || states(agent).iter().all(|(_, state)| *state == 'T'));
}

#[test]
fn the_watchdog_is_fed_while_it_measures_and_not_while_it_is_kept_from_it() {
    let Some(host) = Host::new() else { return };
    let notified = Notified::at(host.path("notify"));
    let mut agent = fed(&host, &notified);
    stop(&agent);
    notified.said("WATCHDOG=1");
    std::thread::sleep(SECOND);
    assert_eq!(notified.said("WATCHDOG=1"), 0);
    agent.signal(Signal::SIGCONT);
    (0..3).for_each(|_| notified.wait_for("WATCHDOG=1", String::new));
    assert!(agent.terminate().success(), "{}", agent.told());
}

#[test]
fn the_watchdog_is_not_fed_by_threads_that_live_while_the_one_that_probes_does_not() {
    let Some(host) = Host::new() else { return };
    let notified = Notified::at(host.path("notify"));
    let mut agent = fed(&host, &notified);
    let probing = Pid::from_raw(agent.pid().try_into().unwrap());
    // As a debugger does: this one thread is held, and no other.
    match ptrace::seize(probing, ptrace::Options::empty()) {
        Err(Errno::EPERM) => return skip("no thread can be held here: ptrace is not permitted"),
        seized => seized.unwrap(),
    }
    ptrace::interrupt(probing).unwrap();
    waitpid(probing, Some(WaitPidFlag::__WALL)).unwrap();
    let held = states(&agent);
    assert!(held.len() > 1, "the writer's is one more: {held:?}");
    for (thread, state) in held {
        assert_eq!(state == 't', thread == probing.as_raw(), "{thread}: {state}");
        assert!("tSRD".contains(state), "{thread}: {state}");
    }
    notified.said("WATCHDOG=1");
    std::thread::sleep(SECOND);
    assert_eq!(notified.said("WATCHDOG=1"), 0);
    ptrace::detach(probing, None).unwrap();
    (0..3).for_each(|_| notified.wait_for("WATCHDOG=1", String::new));
    assert!(agent.terminate().success(), "{}", agent.told());
}

/// Nobody answers, so that a send is settled only by a second in which it was really waited for.
const UNANSWERED: &str = "site = \"leeds-01\"\ndata_dir = \"data\"\n[[probe]]\nname \
    = \"void\"\nkind = \"icmp\"\n\
    target = \"127.0.0.1\"\nperiod = \"200ms\"\ntimeout = \"1s\"\n";

#[test]
fn the_watchdog_is_not_fed_by_an_agent_that_works_but_is_kept_from_observing() {
    let Some(host) = Host::new() else { return };
    std::fs::write(host.path("agent.toml"), UNANSWERED).unwrap();
    let notified = Notified::at(host.path("notify"));
    let setting = "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all";
    let mut command = host.command_after(setting, Lo::Up, "run --config agent.toml");
    let mut agent = Running::start(notified.tell(command.env("WATCHDOG_USEC", "300000")));
    notified.wait(|| agent.told());
    // Lost is settled too.
    (0..12).for_each(|_| notified.wait_for("WATCHDOG=1", || agent.told()));
    // A second stands still, then its loop turns, again and again: whatever it had sent is not
    // observed.
    let begun = Instant::now();
    let mut unfed = 0;
    while unfed < 3 {
        assert!(begun.elapsed() < PATIENCE, "it was fed all the time");
        stop(&agent);
        notified.said("WATCHDOG=1");
        std::thread::sleep(SECOND);
        agent.signal(Signal::SIGCONT);
        let mut told = String::new();
        UnixStream::connect(host.path("data/agent.sock"))
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert!(told.contains("\"void\""), "{told}");
        // What it feeds it would feed now: it is overdue.
        std::thread::sleep(SECOND / 10);
        unfed = if notified.said("WATCHDOG=1") == 0 { unfed + 1 } else { 0 };
    }
    (0..3).for_each(|_| notified.wait_for("WATCHDOG=1", String::new));
    assert!(agent.terminate().success(), "{}", agent.told());
}
