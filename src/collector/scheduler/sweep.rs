//! What the clock alone changes: periods that ended since they were judged, services of which
//! nothing came.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::time::Wall;
use crate::collector::Collector;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::fault::Fault;
use crate::collector::marks::{Ended, mark};
use crate::collector::operations::agreements::{Agreed, Book};
use crate::collector::operations::{lapses, months};
use crate::collector::scheduler::Rounds;
use crate::collector::verdicts::{SETTLED, id_of};
use crate::sla::calendar::{Every, Period, Stretch};
use crate::sla::span::Span;
use crate::sla::terms::Service;

impl Rounds {
    /// What the clock alone changes: periods that ended since they were judged, services that
    /// nothing was judged of yet.
    pub(super) async fn sweep(&self, collector: &Arc<Collector>, now: Wall) -> Result<(), Fault> {
        let book = collector.book().await?;
        let cases = collector.read(move |archive| Ok(stale(archive, &book, now)?)).await?;
        let write = move |archive: &Archive| {
            let mut all = cases.iter();
            all.try_for_each(|(contract, service, month)| {
                mark(archive, contract, service, month, now)
            })?;
            months::look(archive, now)?;
            lapses::lapse(archive, now)
        };
        collector.change(write).await
    }
}

/// The services, with their contract and month, of this month and the one before, whose verdict the
/// clock has overtaken, or that have none.
fn stale(
    archive: &Archive,
    book: &Book,
    now: Wall,
) -> Result<BTreeSet<(String, String, String)>, ArchiveError> {
    let mut stale = BTreeSet::new();
    for (agreed, contract) in book.in_force(now) {
        let zone = &contract.agreement.timezone;
        let this = Every::Month.holding(zone.day(now));
        for month in [this.before(1), this] {
            let span = Stretch::holding(Every::Month, month.last(), zone).span;
            for service in &contract.services {
                if is_stale(archive, agreed, service, (month, span), now)? {
                    stale.insert((agreed.kept.id.clone(), service.id.clone(), month.to_string()));
                }
            }
        }
    }
    Ok(stale)
}

fn is_stale(
    archive: &Archive,
    agreed: &Agreed,
    service: &Service,
    (month, span): (Period, Span),
    now: Wall,
) -> Result<bool, ArchiveError> {
    let id = id_of(month, &agreed.kept.id, &service.id);
    Ok(match archive.sound_record::<Ended>(Kind::Verdict, &id)? {
        None => {
            let agreed_from = agreed.in_force.map_or(Wall::default(), |(from, _)| from);
            service.in_service_from < span.to && agreed.holds(span.from.max(agreed_from))
        }
        // One of an earlier version of this program does not say what it rests on.
        Some(kept) => (now >= span.to + SETTLED && !kept.ended) || !rests(archive, &id)?,
    })
}

/// Whether it is kept what a verdict rests on.
fn rests(archive: &Archive, id: &str) -> Result<bool, ArchiveError> {
    Ok(archive.record::<serde::de::IgnoredAny>(Kind::Grounds, id)?.is_some())
}
