//! Readiness as systemd learns of it: a datagram `READY=1` to the socket that NOTIFY_SOCKET names.

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
        let mut buffer = [0; 4096];
        loop {
            let Ok(length) = self.socket.recv(&mut buffer) else { panic!("never ready: {}", explain()) };
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
                return;
            }
        }
    }
}
