//! Tells others of outages at once: a webhook and a command get each outage as `wanproof outages
//! --json` shows it, when it begins (its `to` is null) and when it ends.
//!
//! Each hook has a queue of its own, and what does not fit into it is dropped: nobody who does not
//! listen delays probing, or the other hook. A webhook that does not answer well is tried again a
//! few times; a command runs once.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::config::agent as config;
use crate::net::web;
use crate::store::outages::{Outage, Shown};

/// Outages that may wait for one hook.
const ROOM: usize = 64;
/// How long a webhook may take for its answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it is waited before a webhook is tried again; after the last it is given up.
const AGAIN: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long a command may run.
const LIMIT: Duration = Duration::from_secs(30);

/// Those who are told of outages.
#[derive(Debug)]
pub struct Hooks {
    lines: Vec<Line>,
}

/// The way to one of them.
#[derive(Debug)]
struct Line {
    name: &'static str,
    queue: mpsc::Sender<Arc<str>>,
    task: JoinHandle<()>,
    /// Whether the last outage found no room.
    full: bool,
}

/// One who is told.
#[derive(Debug)]
enum Hook {
    Web { client: reqwest::Client, url: String },
    Run { words: Vec<String>, limit: Duration },
}

/// Why one was not told, and whether trying again may help.
#[derive(Debug, PartialEq, Eq)]
enum Untold {
    ForNow(String),
    ForGood(String),
}

impl Hooks {
    /// Makes ready to tell those whom the configuration names. It needs a `LocalSet`.
    #[must_use]
    pub fn start(hooks: &config::Hooks) -> Self {
        let mut lines = Vec::new();
        if let Some(url) = &hooks.webhook {
            match web::client(url).timeout(ANSWER).build() {
                Ok(client) => {
                    lines.push(Line::to("webhook", Hook::Web { client, url: url.clone() }))
                }
                Err(fault) => error!(
                    fault = web::told(&fault),
                    "the webhook is told nothing: TLS cannot be set up"
                ),
            }
        }
        if !hooks.command.is_empty() {
            lines.push(Line::to(
                "command",
                Hook::Run { words: hooks.command.clone(), limit: LIMIT },
            ));
        }
        Self { lines }
    }

    /// Tells all of an outage; returns at once.
    pub fn tell(&mut self, outage: &Outage) {
        if self.lines.is_empty() {
            return;
        }
        let json: Arc<str> =
            serde_json::to_string(&Shown::from(outage)).expect("an outage is JSON").into();
        for line in &mut self.lines {
            match line.queue.try_send(Arc::clone(&json)) {
                Ok(()) => line.full = false,
                Err(TrySendError::Full(_)) if std::mem::replace(&mut line.full, true) => {}
                Err(TrySendError::Full(_)) => {
                    warn!(
                        hook = line.name,
                        "{ROOM} outages wait to be told already: it is not told of more for now"
                    );
                }
                Err(TrySendError::Closed(_)) => error!(
                    hook = line.name,
                    "the hook is told no more: its task failed, which is worth a report; restart \
                        the agent"
                ),
            }
        }
    }

    /// Waits until all were told what waits, but no longer than this.
    pub async fn end(self, at_most: Duration) {
        let (queues, mut tasks): (Vec<_>, Vec<_>) =
            self.lines.into_iter().map(|line| (line.queue, line.task)).unzip();
        drop(queues);
        let all = async {
            for task in &mut tasks {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(at_most, all).await.is_err() {
            warn!("not all hooks were told of the last outages");
            tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

impl Line {
    fn to(name: &'static str, hook: Hook) -> Self {
        let (queue, inbox) = mpsc::channel(ROOM);
        Self { name, queue, task: tokio::task::spawn_local(serve(name, hook, inbox)), full: false }
    }
}

/// Tells one what comes in, until nothing more can come; a change for the worse or the better is
/// logged once.
async fn serve(name: &'static str, hook: Hook, mut inbox: mpsc::Receiver<Arc<str>>) {
    let mut fault: Option<String> = None;
    while let Some(json) = inbox.recv().await {
        match hook.insist(&json).await {
            Ok(()) => {
                if fault.take().is_some() {
                    info!(hook = name, "the hook works again");
                }
            }
            Err(what) => {
                if fault.as_ref() != Some(&what) {
                    warn!(hook = name, "the hook was not told of an outage: {what}");
                }
                fault = Some(what);
            }
        }
    }
}

impl Hook {
    async fn insist(&self, json: &str) -> Result<(), String> {
        for wait in AGAIN {
            match self.tell(json).await {
                Ok(()) => return Ok(()),
                Err(Untold::ForGood(what)) => return Err(what),
                Err(Untold::ForNow(_)) => tokio::time::sleep(wait).await,
            }
        }
        self.tell(json).await.map_err(|(Untold::ForNow(what) | Untold::ForGood(what))| what)
    }

    async fn tell(&self, json: &str) -> Result<(), Untold> {
        match self {
            Self::Web { client, url } => {
                let request =
                    client.post(url).header(reqwest::header::CONTENT_TYPE, "application/json");
                // A webhook's URL is often its secret.
                let failed =
                    |error: reqwest::Error| Untold::ForNow(web::told(&error.without_url()));
                let status = request.body(json.to_owned()).send().await.map_err(failed)?.status();
                let what = format!("it answered {status}");
                match status.as_u16() {
                    200..=299 => Ok(()),
                    408 | 429 | 500.. => Err(Untold::ForNow(what)),
                    _ => Err(Untold::ForGood(what)),
                }
            }
            Self::Run { words, limit } => run(words, json, *limit).await.map_err(Untold::ForGood),
        }
    }
}

/// Runs a command in a process group of its own, so that what it started is ended with it when it
/// takes too long.
async fn run(words: &[String], json: &str, limit: Duration) -> Result<(), String> {
    let [program, rest @ ..] = words else { return Ok(()) };
    let mut command = Command::new(program);
    command
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let stdin = child.stdin.take();
    let ran = async {
        if let Some(mut stdin) = stdin {
            // Whether it reads is its own affair; how it ends is what counts.
            let _ = stdin.write_all(format!("{json}\n").as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, ran).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program} ended with {status}")),
        Ok(Err(error)) => Err(format!("{program} cannot be waited for: {error}")),
        Err(_) => {
            kill(&mut child).await;
            Err(format!("{program} was killed: it took more than {} s", limit.as_secs()))
        }
    }
}

async fn kill(child: &mut Child) {
    // It was not waited for yet, so the group is still its own.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    if let Some(Err(error)) = group.map(|group| killpg(group, Signal::SIGKILL)) {
        warn!(%error, "a hook's command cannot be killed");
        return;
    }
    let _ = child.wait().await;
}

#[cfg(test)]
mod tests;
