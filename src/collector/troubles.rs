//! What the rounds could not do, and go on without: a service that takes too long to judge, an
//! agent of which nothing can be folded, a summary that is left out, a clock that was wrong. Each
//! is a finding of its own and stops nothing else; what was not done is tried again later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::operations::key;
use crate::evidence::key::Kid;

/// What could not be done is tried again after so long.
const AGAIN: Duration = Duration::from_secs(3600);

/// Something that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// As it is found.
    pub finding: Finding,
    /// When it was last seen.
    pub at: Wall,
}

impl Trouble {
    /// Whether it is too early to try again. A time that has not come was written by a clock that
    /// was wrong, and holds nobody up.
    #[must_use]
    pub fn waits(&self, now: Wall) -> bool {
        self.at <= now && now < self.at + AGAIN
    }
}

/// The identifier of the trouble with a service in a period.
#[must_use]
pub fn of_service(contract: &str, service: &str, period: &str) -> String {
    key(&["service", contract, service, period])
}

/// The identifier of the trouble with an agent.
#[must_use]
pub fn of_agent(agent: Kid) -> String {
    key(&["agent", &agent.to_string()])
}

/// The identifier of what is over, and told for a while.
fn of_past(subject: &str) -> String {
    key(&["past", subject])
}

/// Every trouble, by its identifier.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive) -> Result<BTreeMap<String, Trouble>, ArchiveError> {
    let all = archive.sound_records::<Trouble>(Kind::Trouble, Page::default())?;
    Ok(all.into_iter().map(|record| (record.id, record.body)).collect())
}

/// Enters a trouble.
///
/// # Errors
/// When the database fails.
pub fn put(archive: &Archive, id: &str, finding: Finding, now: Wall) -> Result<(), ArchiveError> {
    tracing::warn!(kind = finding.kind.word(), subject = finding.subject, "{}", finding.detail);
    archive.put_record(Kind::Trouble, id, &Trouble { finding, at: now }, now)
}

/// Enters what is over, to be told for a while.
///
/// # Errors
/// When the database fails.
pub fn put_past(archive: &Archive, finding: Finding, now: Wall) -> Result<(), ArchiveError> {
    put(archive, &of_past(&finding.subject.clone()), finding, now)
}

/// Takes a trouble away.
///
/// # Errors
/// When the database fails.
pub fn clear(archive: &Archive, id: &str) -> Result<(), ArchiveError> {
    archive.drop_record(Kind::Trouble, id).map(drop)
}

/// That the collector's clock is behind, where it is.
///
/// # Errors
/// When the database fails.
pub fn clock_is_behind(archive: &Archive, now: Wall) -> Result<Option<Finding>, ArchiveError> {
    let Some(until) = archive.clock_is_behind(now)? else { return Ok(None) };
    let detail = format!(
        "the collector's clock says {now}, and agents shipped what they measured until later, \
         which was received until {until}: nothing is folded, judged or looked for until the \
         clock is right; set it"
    );
    Ok(Some(Finding {
        kind: FindingKind::ClockBehind,
        subject: "collector".to_owned(),
        site: None,
        detail,
    }))
}
