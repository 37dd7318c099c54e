//! What systemd is told: datagrams to the socket that NOTIFY_SOCKET names, `READY=1` and
//! `WATCHDOG=1` among them.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use super::process::PATIENCE;

/// Where a program says that it is ready.
pub struct Notified {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notified {
    /// At a path that is not there yet.
    pub fn at(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).expect("the path is free");
        socket.set_read_timeout(Some(PATIENCE)).expect("patience is not zero");
        Self { socket, path }
    }

    /// Tells a command where.
    pub fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("NOTIFY_SOCKET", &self.path)
    }

    /// Waits until the program is ready; `explain` says what it said when it never is.
    pub fn wait(&self, explain: impl FnOnce() -> String) {
        self.wait_for("READY=1", explain);
    }

    /// Waits until the program says this.
    pub fn wait_for(&self, state: &str, explain: impl FnOnce() -> String) {
        let mut buffer = [0; 4096];
        loop {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                panic!("never {state}: {}", explain())
            };
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == state) {
                return;
            }
        }
    }

    /// Takes all that was said so far, and gives how often this was.
    pub fn said(&self, state: &str) -> usize {
        let mut buffer = [0; 4096];
        let mut count = 0;
        self.socket.set_nonblocking(true).expect("a socket can be");
        while let Ok(length) = self.socket.recv(&mut buffer) {
            count += String::from_utf8_lossy(&buffer[..length])
                .lines()
                .filter(|line| *line == state)
                .count();
        }
        self.socket.set_nonblocking(false).expect("a socket can be");
        count
    }
}
