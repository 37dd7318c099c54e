//! The life cycles' logs as people move and read them: shared by `claim` and `contract`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::given::{TIME, instant};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};
use crate::evidence::digest::Digest;
use crate::sla::lifecycle::{CurrentState, Entry, Subject};
use crate::store::lifecycle_log::{NotRecorded, Step};
use crate::store::{Store, StoreError};

/// What is written with a step.
#[derive(Clone, Debug, clap::Args)]
pub struct Written {
    /// When it happened, such as 2026-06-03T01:00:00Z [default: now]
    #[arg(long, value_name = TIME, value_parser = instant)]
    at: Option<Wall>,
    /// Who did it [default: the user that runs this]
    #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
    who: Option<String>,
    /// A file that proves it: its SHA-256 is kept
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
}

impl Written {
    /// When it happened.
    ///
    /// # Errors
    /// When that is no time, or has not come yet.
    pub fn at(&self, now: Wall) -> Result<Wall, Failure> {
        let at = self.at.unwrap_or(now);
        if at > now {
            return Err(Failure::Usage(format!("--at {at}: that is yet to come; it is {now} now")));
        }
        Ok(at)
    }

    fn entry(&self, action: &str, now: Wall) -> Result<Entry, Failure> {
        let evidence = match &self.evidence {
            None => None,
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| {
                    Failure::Usage(format!("{}: cannot be read: {error}", path.display()))
                })?;
                Some(Digest::of(&bytes).hex())
            }
        };
        let user =
            || ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
        let who = self
            .who
            .clone()
            .or_else(user)
            .ok_or_else(|| Failure::Usage("say who did it, with --who".to_owned()))?;
        Ok(Entry {
            action: action.to_owned(),
            at: self.at(now)?,
            recorded: now,
            who,
            evidence,
            said: None,
        })
    }
}

/// The present second, which is as exact as people are.
#[must_use]
pub fn now() -> Wall {
    Wall::from_secs(SystemClock.now().wall.secs())
}

/// The agent's database, for adding to its logs.
///
/// # Errors
/// When it is not there or cannot be written.
pub fn adding(source: &Source) -> Result<Store, Failure> {
    Ok(Store::add(&source.data_dir()?)?)
}

/// Adds a step that somebody took, and tells where its subject stands then.
///
/// # Errors
/// When the life cycle refuses it, with the reason, or it cannot be written.
pub fn take(
    store: &mut Store,
    subject: &Subject,
    action: &str,
    written: &Written,
    json: bool,
) -> Result<Exit, Failure> {
    let entry = written.entry(action, now())?;
    let step = Step { subject: subject.clone(), entry: entry.clone(), paper: None };
    let standing = record(store, &step)?;
    if json {
        print::json(&shown(subject, &standing, &[entry]))?;
    } else {
        let next = if standing.allowed.is_empty() {
            "it has come to its end".to_owned()
        } else {
            format!("it can {} next", standing.allowed.join(", "))
        };
        print::line(format_args!("{subject} is {} now; {next}", standing.state.replace('_', " ")))?;
    }
    Ok(Exit::Done)
}

/// Adds a step.
///
/// # Errors
/// When the life cycle refuses it, with the reason, or it cannot be written.
pub fn record(store: &mut Store, step: &Step) -> Result<CurrentState, Failure> {
    store.record(step).map_err(|error| match error {
        NotRecorded::Refused(refused) => {
            Failure::Usage(format!("{}: refused: {refused}", step.subject))
        }
        NotRecorded::Store(error) => error.into(),
    })
}

/// Prints the logs of some subjects, each with its state.
///
/// # Errors
/// When they cannot be read.
pub fn print_logs(
    store: &Store,
    wanted: impl Fn(&Subject) -> bool,
    json: bool,
) -> Result<Exit, Failure> {
    let all = store.life(None)?;
    let mut subjects: Vec<&Subject> =
        all.iter().map(|(of, _)| of).filter(|of| wanted(of)).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let mut values = Vec::new();
    let mut text = String::new();
    for subject in subjects {
        let log: Vec<Entry> =
            all.iter().filter(|(of, _)| of == subject).map(|(_, entry)| entry.clone()).collect();
        let standing = subject.cycle.replay(log.iter().cloned());
        let standing =
            standing.map_err(|refused| StoreError::Damaged(format!("{subject}: {refused}")))?;
        values.push(shown(subject, &standing, &log));
        text.push_str(&format!("{subject}: {}\n", standing.state.replace('_', " ")));
        for entry in &log {
            let Entry { action, at, recorded, who, evidence, said: _ } = entry;
            let late =
                if recorded == at { String::new() } else { format!(", recorded {recorded}") };
            let evidence = evidence
                .as_ref()
                .map_or(String::new(), |digest| format!(", evidence sha256 {digest}"));
            print::wrap(
                &mut text,
                "  ",
                "    ",
                &format!("{at} {} by {who}{late}{evidence}", action.replace('_', " ")),
            );
        }
    }
    if json {
        print::json(&values)?;
    } else if text.is_empty() {
        print::line("no step was recorded yet")?;
    } else {
        print::line(text.trim_end())?;
    }
    Ok(Exit::Done)
}

fn shown(subject: &Subject, standing: &CurrentState, log: &[Entry]) -> Value {
    let part = |text: &String| if text.is_empty() { Value::Null } else { json!(text) };
    json!({
        "cycle": subject.cycle.to_string(),
        "contract": subject.contract,
        "service": part(&subject.service),
        "period": part(&subject.period),
        "item": part(&subject.item),
        "state": standing.state,
        "allowed": standing.allowed,
        "revisions": standing.revisions,
        "log": log,
    })
}
