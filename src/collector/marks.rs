//! What has to be judged: services, each in a month. Whoever finds that something new came for one
//! marks it, in the transaction that stores it; whoever goes round judges it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::key;
use crate::collector::verdicts::{Judgement, id_of};
use crate::sla::calendar::{Every, Period};

/// So many months after one whose verdict changed are judged again.
const LATER: usize = 12;

/// A service in a period that has to be judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) contract: String,
    pub(super) service: String,
    pub(super) period: String,
    /// When this was said; said again, it is another.
    pub(super) marked: Wall,
    /// What was done that makes it judged again although it may be frozen; then that is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Whether somebody asked for a new revision of it. Left out where nobody did: so an earlier
    /// version of this program wrote it, and what is done with is found by how it is written.
    #[serde(default, skip_serializing_if = "Mark::is_nothing")]
    pub(super) asked: Mark,
}

/// Whether a new revision was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// No: what is frozen stays.
    #[default]
    Nothing,
    /// Yes.
    Revision,
}

impl Mark {
    fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// Says that a service in a period has to be judged again, by whoever goes round next.
///
/// # Errors
/// When the database fails.
pub fn mark(
    archive: &Archive,
    contract: &str,
    service: &str,
    period: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    let id = key(&[contract, service, period]);
    // Why it was said before is not forgotten.
    let (why, asked) = archive
        .record::<Case>(Kind::Dirty, &id)?
        .map_or((None, Mark::Nothing), |case| (case.why, case.asked));
    put_case(archive, (contract, service, period), (why, asked), now)
}

/// As [`mark`], for what a hand changed: where the verdict is frozen, it stays, and is told of.
///
/// # Errors
/// When the database fails.
pub fn mark_because(
    archive: &Archive,
    of: (&str, &str, &str),
    why: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    put_case(archive, of, (Some(why.to_owned()), Mark::Nothing), now)
}

/// Says that a service in a period is to be judged again although its verdict is frozen: a new
/// revision.
///
/// # Errors
/// When the database fails.
pub fn revise(
    archive: &Archive,
    contract: &str,
    service: &str,
    period: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    put_case(archive, (contract, service, period), (None, Mark::Revision), now)
}

fn put_case(
    archive: &Archive,
    of: (&str, &str, &str),
    (why, asked): (Option<String>, Mark),
    now: Wall,
) -> Result<(), ArchiveError> {
    let (contract, service, period) = of;
    let id = key(&[contract, service, period]);
    let of = |part: &str| part.to_owned();
    let case = Case {
        contract: of(contract),
        service: of(service),
        period: of(period),
        marked: now,
        why,
        asked,
    };
    archive.put_record(Kind::Dirty, &id, &case, now)
}

/// Says that a service has to be judged again in every month of the last thirteen that it was
/// judged in, and in this one.
///
/// # Errors
/// When the database fails.
pub fn mark_all(
    archive: &Archive,
    contract: &str,
    service: &str,
    now: Wall,
) -> Result<(), ArchiveError> {
    let Some(utc) = crate::sla::calendar::Zone::get("UTC") else { return Ok(()) };
    let mut month = Every::Month.holding(utc.day(now + Duration::from_secs(86_400)));
    for number in 0..14 {
        let judged = archive
            .record::<serde_json::Value>(Kind::Verdict, &id_of(month, contract, service))?
            .is_some();
        if number < 2 || judged {
            mark(archive, contract, service, &month.to_string(), now)?;
        }
        month = month.before(1);
    }
    Ok(())
}

/// A verdict, as far as it is looked at to see whether the clock alone changes it.
#[derive(Deserialize)]
pub(super) struct Ended {
    pub(super) ended: bool,
}

/// What a month's verdict says may change those of the months after it: caps, rising credits and
/// rights look back.
pub(super) fn mark_later(
    archive: &Archive,
    judged: &Judgement,
    now: Wall,
) -> Result<(), ArchiveError> {
    let Ok(mut month) = judged.period.parse::<Period>() else { return Ok(()) };
    for _ in 0..LATER {
        month = month.every(1).holding(month.last().plus(1));
        let id = id_of(month, &judged.contract, &judged.service);
        if archive.sound_record::<Ended>(Kind::Verdict, &id)?.is_some() {
            mark(archive, &judged.contract, &judged.service, &month.to_string(), now)?;
        }
    }
    Ok(())
}
