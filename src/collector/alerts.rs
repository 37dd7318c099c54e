//! Alerts: each finding is told once to each who is told, and so is its end. What was told is in
//! the database, so that a restart tells nothing twice; one that ends before it lasted a while is
//! never told.
//!
//! Looking and telling are apart: a round writes what began and ended ([`look`]); for each receiver
//! a task of its own reads what is due to it, tells it and writes that down ([`delivery`]). What is
//! due is in the database alone: it is each receiver's queue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::operations::key;

pub mod channel;
pub mod delivery;
pub mod heartbeat;
pub mod rule;

pub use rule::{Change, Event, Setting};

/// The log of what has ended.
const ENDED: &str = "ended";
/// So many that have ended wait for a receiver that cannot be told.
const WAITING: usize = 1000;

/// A finding, since when it lasts, and who was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// What kind of thing.
    pub kind: FindingKind,
    /// What it is about.
    pub subject: String,
    /// The site, where it is about one.
    pub site: Option<String>,
    /// What it is, for people; as it was found last.
    pub detail: String,
    /// Since when it was found.
    #[schema(value_type = String, format = DateTime)]
    pub since: Wall,
    /// When it was not found any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Wall>,
    /// Who was told that it began: `webhook`, `mail`.
    pub told: Vec<String>,
    /// Who was told that it ended.
    pub told_end: Vec<String>,
}

impl Alert {
    /// The beginning of one.
    #[must_use]
    pub fn begin(finding: &Finding, now: Wall) -> Self {
        let Finding { kind, subject, site, detail } = finding.clone();
        Self {
            kind,
            subject,
            site,
            detail,
            since: now,
            ended: None,
            told: Vec::new(),
            told_end: Vec::new(),
        }
    }

    /// What it is about: one that is found again after it ended has the same.
    #[must_use]
    pub fn topic(&self) -> String {
        key(&[self.kind.word(), &self.subject])
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> String {
        key(&[self.kind.word(), &self.subject, &self.since.to_string()])
    }
}

/// How it stands with one who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Since when nothing could be told.
    pub failing_since: Option<Wall>,
    /// Why.
    pub why: String,
    /// So many alerts were put away untold since something could be told.
    pub dropped: u64,
}

/// How it stands with a receiver.
///
/// # Errors
/// When the database fails.
pub fn receiver(archive: &Archive, whom: &str) -> Result<Receiver, ArchiveError> {
    Ok(archive.record(Kind::Receiver, whom)?.unwrap_or_default())
}

/// Writes how it stands with a receiver.
///
/// # Errors
/// When the database fails.
pub fn put_receiver(
    archive: &Archive,
    whom: &str,
    receiver: &Receiver,
    now: Wall,
) -> Result<(), ArchiveError> {
    archive.put_record(Kind::Receiver, whom, receiver, now)
}

/// The alerts that last, or whose end was not told everybody yet.
///
/// # Errors
/// When the database fails.
pub fn open(archive: &Archive, page: Page<'_>) -> Result<Vec<Alert>, ArchiveError> {
    Ok(archive.records::<Alert>(Kind::Alert, page)?.into_iter().map(|record| record.body).collect())
}

/// The alerts that have ended, oldest first.
///
/// # Errors
/// When the database fails.
pub fn ended(archive: &Archive) -> Result<Vec<Alert>, ArchiveError> {
    archive.log(Kind::Alert, ENDED)
}

/// What a round found is compared with what was written, and what began and ended is written.
///
/// # Errors
/// When the database fails.
pub fn look(archive: &Archive, found: &[Finding], set: &Setting) -> Result<(), ArchiveError> {
    // Those who tell write too: what is decided upon is read under the lock.
    archive.lock(LOCK)?;
    let before = open(archive, Page::default())?;
    keep(archive, &rule::step(&before, found, set), set.now)?;
    let (changes, lost) = rule::overflow(&open(archive, Page::default())?, WAITING, set);
    keep(archive, &changes, set.now)?;
    put_away(archive, &lost, set.now)?;
    keep(archive, &rule::settle(&open(archive, Page::default())?, set), set.now)
}

/// Writes that one thing began, where it was not looked for others; false where that was written
/// before.
///
/// # Errors
/// When the database fails.
pub fn begin(archive: &Archive, finding: &Finding, now: Wall) -> Result<bool, ArchiveError> {
    archive.lock(LOCK)?;
    let alert = Alert::begin(finding, now);
    let topic = alert.topic();
    let lasts = open(archive, Page::default())?
        .iter()
        .any(|open| open.ended.is_none() && open.topic() == topic);
    if !lasts {
        keep(archive, &[Change::Put(alert)], now)?;
    }
    Ok(!lasts)
}

/// Whether [`look`] would write anything.
#[must_use]
pub fn changes(open: &[Alert], found: &[Finding], set: &Setting) -> bool {
    !rule::step(open, found, set).is_empty()
        || !rule::settle(open, set).is_empty()
        || !rule::overflow(open, WAITING, set).0.is_empty()
}

/// Writes down that a receiver was told.
///
/// # Errors
/// When the database fails.
pub fn was_told(
    archive: &Archive,
    message: &rule::Message,
    whom: &str,
    set: &Setting,
) -> Result<(), ArchiveError> {
    archive.lock(LOCK)?;
    for alert in &message.alerts {
        // What a round or another receiver wrote meanwhile stays.
        let kept = match archive.record::<Alert>(Kind::Alert, &alert.id())? {
            Some(kept) => Some(kept),
            None => archive
                .record(Kind::Alert, &alert.topic())?
                .filter(|kept: &Alert| kept.since == alert.since),
        };
        if let Some(alert) = kept {
            keep(archive, &[rule::told(alert, message.event, whom, set)], set.now)?;
        }
    }
    if receiver(archive, whom)? != Receiver::default() {
        put_receiver(archive, whom, &Receiver::default(), set.now)?;
    }
    Ok(())
}

/// What keeps a round and those who tell from writing at once, where replicas share a database.
const LOCK: &[u8] = b"alerts";

fn put_away(
    archive: &Archive,
    lost: &BTreeMap<&'static str, u64>,
    now: Wall,
) -> Result<(), ArchiveError> {
    for (whom, lost) in lost {
        tracing::warn!(
            who = whom,
            lost,
            "alerts that have ended are put away untold: too many wait for it"
        );
        let before = receiver(archive, whom)?;
        let after = Receiver { dropped: before.dropped.saturating_add(*lost), ..before };
        put_receiver(archive, whom, &after, now)?;
    }
    Ok(())
}

/// Writes what changed.
fn keep(archive: &Archive, changes: &[Change], now: Wall) -> Result<(), ArchiveError> {
    for change in changes {
        let (Change::Put(alert) | Change::Forget(alert) | Change::Close(alert)) = change;
        // Databases of before have them without the time of their beginning.
        archive.drop_record(Kind::Alert, &alert.topic())?;
        match change {
            Change::Put(alert) => archive.put_record(Kind::Alert, &alert.id(), alert, now)?,
            Change::Forget(alert) => {
                archive.drop_record(Kind::Alert, &alert.id())?;
            }
            Change::Close(alert) => {
                archive.drop_record(Kind::Alert, &alert.id())?;
                archive.append(Kind::Alert, ENDED, alert, now)?;
            }
        }
    }
    Ok(())
}
