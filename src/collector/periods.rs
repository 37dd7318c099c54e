//! The months of a contract, and the logs of what was judged in them.

use std::collections::BTreeSet;

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::sla::calendar::{Every, Period};
use crate::sla::lifecycle::{Entry, Log, ObjectivePeriod, PeriodState};
use crate::sla::reach::AROUND;
use crate::sla::span::Span;

/// Whether a month has begun somewhere on earth, or is about to: what is marked for a later one was
/// marked by a clock that was wrong.
pub(super) fn has_begun(month: Period, now: Wall) -> bool {
    let utc = crate::sla::calendar::Zone::get("UTC");
    utc.is_some_and(|utc| month.first(1) <= utc.day(now).plus(3))
}

/// The months of a contract that what was measured in a span says something of: those that it
/// touches, and the one that ended so shortly before that an outage over its end is still told of;
/// none after the calendar's end.
pub(super) fn months(contract: &crate::sla::Contract, span: Span) -> BTreeSet<Period> {
    let zone = &contract.agreement.timezone;
    let (mut month, last) = (
        Every::Month.holding(zone.day(span.from - AROUND)),
        Every::Month.holding(zone.day(span.to.shifted(-1))),
    );
    let mut all: BTreeSet<Period> = [month].into();
    while month.last() < last.last() {
        month = Every::Month.holding(month.last().plus(1));
        if !all.insert(month) {
            break;
        }
    }
    all
}

/// The same of some spans, each no longer than an hour.
pub(super) fn months_in(
    contract: &crate::sla::Contract,
    spans: &BTreeSet<Span>,
) -> BTreeSet<Period> {
    let zone = &contract.agreement.timezone;
    let ends = spans
        .iter()
        .flat_map(|span| [span.from - AROUND, span.from, span.to.shifted(-1).max(span.from)]);
    ends.map(|at| Every::Month.holding(zone.day(at))).collect()
}

/// Whether late data is no longer taken for a verdict.
///
/// # Errors
/// When the database fails.
pub(super) fn is_frozen(archive: &Archive, id: &str) -> Result<bool, ArchiveError> {
    Ok(matches!(period_log(archive, id)?.state(), PeriodState::Frozen | PeriodState::Final))
}

/// The log of a verdict's period.
///
/// # Errors
/// When the database fails.
pub fn period_log(archive: &Archive, id: &str) -> Result<Log<ObjectivePeriod>, ArchiveError> {
    let entries: Vec<Entry> = archive.log(Kind::Period, id)?;
    Log::replay(entries)
        .map_err(|refused| ArchiveError::Damaged(format!("the log of {id}: {refused}")))
}
