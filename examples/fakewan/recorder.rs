//! Writes the log from a thread of its own, so that the network never waits for a disk.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::log::Line;

/// Where the lines go.
pub struct Recorder {
    text: String,
    chunks: Option<Sender<String>>,
    writer: Option<JoinHandle<std::io::Result<()>>>,
}

const CHUNK: usize = 256 << 10;

impl Recorder {
    /// Writes to a file, or, without one, forgets what it is given.
    pub fn new(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self { text: String::new(), chunks: None, writer: None });
        };
        let mut file =
            File::create(path).map_err(|fault| format!("{}: {fault}", path.display()))?;
        let (chunks, incoming) = channel::<String>();
        let writer = std::thread::spawn(move || {
            incoming.iter().try_for_each(|chunk| file.write_all(chunk.as_bytes()))
        });
        Ok(Self {
            text: String::with_capacity(CHUNK * 2),
            chunks: Some(chunks),
            writer: Some(writer),
        })
    }

    /// Adds a packet.
    pub fn line(&mut self, line: &Line) {
        if self.chunks.is_some() {
            line.write(&mut self.text);
            if self.text.len() > CHUNK {
                self.hand_over();
            }
        }
    }

    /// Adds a remark.
    pub fn remark(&mut self, text: &str) {
        if self.chunks.is_some() {
            self.text.push_str("# ");
            self.text.push_str(text);
            self.text.push('\n');
        }
    }

    /// Gives what there is to the writer.
    pub fn hand_over(&mut self) {
        if let (Some(chunks), false) = (&self.chunks, self.text.is_empty()) {
            let full = std::mem::replace(&mut self.text, String::with_capacity(CHUNK * 2));
            // A writer that failed says so at the end.
            _ = chunks.send(full);
        }
    }

    /// Writes what is left, and says whether all of it was written.
    pub fn finish(mut self) -> Result<(), String> {
        self.hand_over();
        self.chunks = None;
        match self.writer.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(fault))) => Err(format!("the log is not whole: {fault}")),
            Some(Err(_)) => Err("the log is not whole: its writer ended".to_owned()),
        }
    }
}
