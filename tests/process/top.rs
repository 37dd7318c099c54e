//! `wanproof top` on a real terminal, by keys and screens; and `--plain`, on the files of an agent
//! that does not run.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kit::edge::{Edge, Plan};
use kit::process::PATIENCE;
use kit::wan::installed;
use wanproof::base::time::{Clock as _, SystemClock};
use wanproof::config::agent::Keep;

const WANPROOF: &str = env!("CARGO_BIN_EXE_wanproof");

/// The data of an agent that measured for some minutes until now.
fn data(dir: &Path, probes: u32) {
    let plan = Plan {
        probes,
        period: Duration::from_secs(1),
        every: Duration::from_secs(300),
        keep: Keep::default(),
        from: SystemClock.now().wall.floor(Duration::from_secs(60)) - Duration::from_secs(300),
    };
    let mut edge = Edge::start(dir, plan);
    (0..4).for_each(|_| edge.minute());
    edge.end();
}

fn top(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(WANPROOF);
    command.arg("top").arg("--data").arg(dir).args(more).output().unwrap()
}

#[test]
fn in_a_pipe_it_prints_once_what_a_dead_agent_left() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), 3);
    for more in [&["--plain"][..], &[]] {
        let output = top(dir.path(), more);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.starts_with("NOT RUNNING, recorded until "), "{text}");
        assert!(text.contains("site-02-icmp") && text.contains("40a"), "{text}");
        assert!(text.contains("outages   none under way"), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 80));
    }
}

/// A terminal of 80 columns and 24 rows with a shell in it.
struct Terminal<'a> {
    dir: &'a Path,
}

impl<'a> Terminal<'a> {
    /// [`None`] where there is no tmux, which it says.
    fn open(dir: &'a Path) -> Option<Self> {
        if !installed("tmux") {
            return None;
        }
        let terminal = Self { dir };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh"]);
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.dir.join("tmux")).args(words).current_dir(self.dir);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn types(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// The screen, once it is as wanted.
    fn shows(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if wanted(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "it stays\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        let _ = command.arg("-S").arg(self.dir.join("tmux")).arg("kill-server").output();
    }
}

#[test]
fn on_a_terminal_keys_do_what_is_written_and_the_terminal_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    data(&dir.path().join("data"), 40);
    let Some(terminal) = Terminal::open(dir.path()) else { return };
    let run = format!("{WANPROOF} top --data data");
    terminal.types(&["set -m; stty -a > before", "Enter"]);
    terminal.types(&[&run, "Enter"]);
    let screen = terminal.shows(|screen| screen.contains("site-00-icmp"));
    assert!(screen.starts_with("NOT RUNNING, recorded until "), "{screen}");
    assert!(screen.contains("q leave") && screen.contains("..."), "{screen}");
    terminal.types(&["End"]);
    terminal.shows(|screen| screen.contains("site-39-icmp") && !screen.contains("site-00-icmp"));
    terminal.types(&["/", "site-07"]);
    terminal.shows(|screen| screen.contains("site-07-icmp") && !screen.contains("site-39-icmp"));
    terminal.types(&["Enter", "Enter"]);
    terminal.shows(|screen| screen.contains("OUTAGES of 30 days") && screen.contains("192.0.2.8"));
    terminal.types(&["?"]);
    terminal.shows(|screen| screen.contains("stop until fg"));
    terminal.types(&["x"]);
    // Stopped and continued: the terminal is the shell's in between.
    terminal.types(&["C-z"]);
    terminal.shows(|screen| screen.contains("Stopped"));
    terminal.types(&["stty -a > between; cmp before between && echo same", "Enter"]);
    terminal.shows(|screen| screen.contains("\nsame"));
    terminal.types(&["fg", "Enter"]);
    terminal.shows(|screen| screen.contains("q leave"));
    // What is typed before it has left is its own.
    terminal.types(&["q"]);
    terminal.shows(|screen| !screen.contains("q leave"));
    terminal.types(&["stty -a > after; cmp before after && echo left it", "Enter"]);
    terminal.shows(|screen| screen.contains("\nleft it"));
    // Ended by another: the shell that waits for it says what to end.
    let quiet = format!("clear; sh -c 'echo $$ > pid; exec {run}'");
    terminal.types(&[&quiet, "Enter"]);
    terminal.shows(|screen| screen.contains("q leave"));
    let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    terminal.shows(|screen| !screen.contains("q leave"));
    terminal.types(&["stty -a > after; cmp before after && echo ended well", "Enter"]);
    terminal.shows(|screen| screen.contains("\nended well"));
}
