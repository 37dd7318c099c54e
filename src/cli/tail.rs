//! `wanproof tail`: outages, the journal and the life cycles as they come, a line each, from the
//! database alone.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::source::{self, Source};
use crate::cli::{Exit, Failure, print};
use crate::config::agent::Places;
use crate::store::following::Mark;
use crate::store::{FILE, FileId, Store, StoreError};

mod follower;

use follower::{Follower, Look, SETTLED, Told, line};

/// From one look at the database to the next, in milliseconds.
const PAUSE: u16 = 250;
/// So many looks there are from one look for the agent to the next.
const AGENT_EVERY: u32 = 8;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Only what concerns this service, and what concerns the agent as a whole
    #[arg(long, allow_hyphen_values = true, value_name = "SERVICE")]
    service: Option<String>,
    /// So many lines of the past come first
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: usize,
    /// A JSON object a line instead
    #[arg(long)]
    json: bool,
}

/// Runs it, until it is ended or nobody reads what it says any more.
///
/// # Errors
/// When there is no database to begin with, or standard output cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let places = args.source.found()?.places;
    let store = source::read(&places.data_dir)?;
    if let Some(service) = &args.service {
        check(&store, service)?;
    }
    let mut tail = Tail {
        out: if args.json { Out::Json } else { Out::Lines },
        follower: Follower::new(args.service.clone()),
        agent: Agent::Runs,
        open: None,
    };
    tail.begin(store, args.lines, &places)?;
    for turn in 1.. {
        if !is_read_after(PAUSE) {
            return Ok(Exit::Done);
        }
        tail.look(&places.data_dir)?;
        if turn % AGENT_EVERY == 0 {
            tail.agent(&places)?;
        }
    }
    Ok(Exit::Done)
}

/// A service that nobody measures here is a typing error.
fn check(store: &Store, service: &str) -> Result<(), Failure> {
    let mut known: Vec<String> =
        store.all_series()?.into_values().filter_map(|series| series.service).collect();
    known.extend(store.life(None)?.into_iter().map(|(subject, _)| subject.service));
    known.retain(|known| !known.is_empty());
    known.sort_unstable();
    known.dedup();
    if known.is_empty() || known.iter().any(|known| known == service) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(Failure::Usage(format!("no service {service:?} was measured here; known: {known}")))
}

/// Waits so many milliseconds; whether somebody still reads what is written. A pipe whose reader
/// went away says so here, long before the next line.
fn is_read_after(millis: u16) -> bool {
    let out = io::stdout();
    let mut asked = [PollFd::new(std::os::fd::AsFd::as_fd(&out), PollFlags::empty())];
    match poll(&mut asked, PollTimeout::from(millis)) {
        Ok(0) | Err(_) => true,
        Ok(_) => !asked[0].revents().is_some_and(|told| {
            told.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL)
        }),
    }
}

#[derive(Clone, Copy, Debug)]
enum Out {
    Lines,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agent {
    Runs,
    IsGone,
}

/// A database that is open, and what was seen of it.
#[derive(Debug)]
struct Open {
    store: Store,
    file: Option<FileId>,
    mark: Option<Mark>,
}

#[derive(Debug)]
struct Tail {
    out: Out,
    follower: Follower,
    agent: Agent,
    open: Option<Open>,
}

impl Tail {
    fn begin(&mut self, store: Store, last: usize, places: &Places) -> Result<(), Failure> {
        let mut open = Open { file: store.file(), store, mark: None };
        let told = self.follower.begin(looked(&mut open, &self.follower)?, last);
        self.open = Some(open);
        told.iter().try_for_each(|told| self.tell(told))?;
        if told.is_empty() && matches!(self.out, Out::Lines) {
            print::note("nothing to tell so far; what happens comes here, until Ctrl-C");
        }
        self.agent(places)
    }

    /// Tells what was written since the last look, in whatever file there is now.
    fn look(&mut self, dir: &Path) -> Result<(), Failure> {
        let there = FileId::of(&dir.join(FILE));
        if self.open.as_ref().is_some_and(|open| open.file != there) {
            self.open = None;
            self.follower.reopened();
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            // The agent that sets one aside makes another.
            None => match Store::read(dir) {
                Ok(store) => Open { file: store.file(), store, mark: None },
                Err(_) => return Ok(()),
            },
        };
        if open.store.mark().ok() == open.mark && open.mark.is_some() {
            self.open = Some(open);
            return Ok(());
        }
        // What cannot be read now is looked at anew.
        let Ok(look) = looked(&mut open, &self.follower) else { return Ok(()) };
        self.open = Some(open);
        let told = self.follower.take(look);
        self.follower.forget(settled());
        told.iter().try_for_each(|told| self.tell(told))
    }

    fn tell(&self, told: &Told) -> Result<(), Failure> {
        match self.out {
            Out::Lines => print::line(told.line()),
            Out::Json => print::json(&told.json()),
        }
    }

    /// Tells when the agent has gone, or came back.
    fn agent(&mut self, places: &Places) -> Result<(), Failure> {
        let runs = UnixStream::connect(&places.status_socket).is_ok();
        let agent = if runs { Agent::Runs } else { Agent::IsGone };
        if std::mem::replace(&mut self.agent, agent) == agent {
            return Ok(());
        }
        let now = SystemClock.now().wall;
        let last = self.open.as_ref().and_then(|open| open.store.newest().ok().flatten());
        if matches!(self.out, Out::Json) {
            let until = last.filter(|_| !runs);
            let told =
                json!({"what": "agent", "at": now, "running": runs, "observed_until": until});
            return print::json(&told);
        }
        let words = match last {
            _ if runs => "it runs again".to_owned(),
            Some(last) => {
                format!("NOT RUNNING: the last that it recorded is of {}", print::instant(last))
            }
            None => "NOT RUNNING, and it has recorded nothing".to_owned(),
        };
        print::line(line(now, "agent", &words))
    }
}

fn settled() -> Wall {
    SystemClock.now().wall - SETTLED
}

/// What there is now. What is committed while it is read is seen with the next look.
fn looked(open: &mut Open, follower: &Follower) -> Result<Look, StoreError> {
    let store = &open.store;
    open.mark = Some(store.mark()?);
    let series = store.all_series()?.into_values();
    Ok(Look {
        journal: store.journal_after(follower.journal())?,
        outages: store.outages(settled(), Wall::from_nanos(i64::MAX))?,
        life: store.life(None)?,
        owners: series.map(|series| (series.probe, series.service)).collect(),
    })
}
