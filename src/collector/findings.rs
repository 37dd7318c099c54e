//! What is missing or wrong now: all that the rules look at is read from the database.

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError, salvage};
use crate::collector::findings::finding::Finding;
use crate::collector::findings::look::Look;
use crate::collector::operations::agreements::Book;
use crate::collector::operations::{claims, duties, late, rights};
use crate::collector::troubles::clock_is_behind;
use crate::collector::verdicts::{Fleet, Judgement};
use crate::collector::{alerts, amend, fleet, left_behind};
use crate::config::collector::{CollectorConfig, Database};
use crate::sla::calendar::Every;

mod agents;
pub mod finding;
mod foreign;
mod look;
mod rules;
mod troubles;

/// What is missing or wrong, by what the database says now.
///
/// # Errors
/// When the database fails.
pub fn all(
    archive: &Archive,
    config: &CollectorConfig,
    now: Wall,
) -> Result<Vec<Finding>, ArchiveError> {
    let book = Book::load(archive, config.contracts_dir.as_deref())?;
    let agents = fleet::all(archive, config.alerts.silent_after, now)?;
    let fleet = Fleet::load(archive)?;
    let verdicts = recent(archive, now)?;
    let claims = claims::all(archive, Page::default(), now)?;
    let rights = rights::all(archive, Page::default(), now)?;
    let duties = duties::of(&verdicts, now);
    let salvaged = match &config.database {
        // It is over once the damaged file was moved away.
        Database::Sqlite(path) => {
            salvage::last(archive)?.filter(|last| salvage::file_of(last, path).is_some())
        }
        Database::Postgres(_) => None,
    };
    let listening = alerts::delivery::listening(&config.alerts).into_iter();
    let receivers: Result<Vec<_>, ArchiveError> =
        listening.map(|whom| Ok((whom, alerts::receiver(archive, whom)?))).collect();
    let undermined = amend::undermined(archive)?;
    let mut found = rules::find(&Look {
        agents: &agents,
        fleet: &fleet,
        book: &book,
        verdicts: &verdicts,
        claims: &claims,
        rights: &rights,
        duties: &duties,
        receivers: &receivers?,
        salvaged: salvaged.as_ref(),
        undermined: &undermined,
        left_behind: &left_behind::all(archive, &agents)?,
        late: &late::all(archive)?,
        near_days: i64::from(config.alerts.claim_days),
        now,
    });
    found.extend(troubles::findings(archive, &agents, &fleet, now)?);
    found.extend(clock_is_behind(archive, now)?);
    found.sort_by(|one, two| (one.kind, &one.subject).cmp(&(two.kind, &two.subject)));
    found.dedup_by(|one, two| (one.kind, &one.subject) == (two.kind, &two.subject));
    Ok(found)
}

/// The verdicts of this month and the one before, in UTC, and of the one after where it has begun
/// somewhere.
fn recent(archive: &Archive, now: Wall) -> Result<Vec<Judgement>, ArchiveError> {
    let Some(utc) = crate::sla::calendar::Zone::get("UTC") else { return Ok(Vec::new()) };
    let this = Every::Month.holding(utc.day(now));
    let next = Every::Month.holding(this.last().plus(1));
    let mut all = Vec::new();
    for month in [this.before(1), this, next] {
        let prefix = format!("{month}/");
        let own = archive.sound_records::<Judgement>(Kind::Verdict, Page::of(&prefix))?;
        all.extend(own.into_iter().map(|record| record.body));
    }
    Ok(all)
}
