//! Programs that a test starts: their lines are waited for, and they are gone when the test is.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a test waits for anything before it fails: far longer than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs; dropping it kills it.
pub struct Running {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far, on both outputs.
    pub said: Vec<String>,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts a program; its standard input stays open until it is dropped.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is a pipe")),
            Box::new(child.stderr.take().expect("it is a pipe")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Self { name, child, lines, said: Vec::new(), stdin }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line, and gives it; [`None`] when its outputs end before.
    pub fn line(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if wanted(&line) {
                        return Some(line);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} did not say it; it said\n{}", self.name, self.told())
                }
            }
        }
    }

    /// Waits for a line that holds a text.
    pub fn says(&mut self, text: &str) -> String {
        let line = self.line(|line| line.contains(text));
        line.unwrap_or_else(|| {
            panic!("{} ended without saying {text:?}; it said\n{}", self.name, self.told())
        })
    }

    /// What it has said so far.
    pub fn told(&self) -> String {
        self.said.join("\n")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid().try_into().expect("a process identifier is positive");
        kill(Pid::from_raw(pid), signal).expect("it was not waited for yet, so it is there");
    }

    /// Asks it to end (SIGTERM), and waits until it did.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it ended.
    pub fn wait(&mut self) -> ExitStatus {
        while self.line(|_| false).is_some() {}
        // Its outputs are closed, so it has ended or is about to.
        self.child.wait().expect("it is a child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin.take();
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
