//! Alerts: each finding is told once to each who is told, and so is its end. What was told is in the database, so that a restart
//! tells nothing twice; one that ends before it lasted a while is never told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::desk::key;
use crate::collector::missing::{Finding, FindingKind};

pub mod rule;
pub mod tell;

pub use rule::{Change, step};

/// The log of what has ended.
const ENDED: &str = "ended";

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
        Self { kind, subject, site, detail, since: now, ended: None, told: Vec::new(), told_end: Vec::new() }
    }

    /// Its identifier while it lasts.
    #[must_use]
    pub fn id(&self) -> String {
        key(&[self.kind.word(), &self.subject])
    }
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

/// Writes what changed.
///
/// # Errors
/// When the database fails.
pub fn keep(archive: &Archive, changes: &[Change], now: Wall) -> Result<(), ArchiveError> {
    for change in changes {
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
