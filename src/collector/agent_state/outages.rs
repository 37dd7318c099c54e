//! What agents said of their outages, and of the carriers of their links.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::evidence::key::Kid;
use crate::evidence::summary::Summary;
use crate::evidence::told::{CarrierDown, OutageSaid, Places, STRETCHES};
use crate::sla::span::{Span, Spans};

/// The outages that an agent told of and that touch a span; of one whose end nobody told, as it
/// stood at `as_of`.
///
/// # Errors
/// When the database fails.
pub fn outages_of(
    archive: &Archive,
    agent: Kid,
    span: Span,
    as_of: Wall,
) -> Result<Vec<OutageSaid>, ArchiveError> {
    let all = archive.records::<Vec<OutageSaid>>(Kind::Outages, Page::of(&format!("{agent}/")))?;
    let touches = |said: &OutageSaid| !said.span(as_of).and(span).is_empty();
    Ok(all.into_iter().flat_map(|record| record.body).filter(touches).collect())
}

/// When an agent's links had no carrier, as far as that touches a span.
///
/// # Errors
/// When the database fails.
pub fn carrier_down(archive: &Archive, agent: Kid, span: Span) -> Result<Spans, ArchiveError> {
    let all = archive.records::<KeptCarrier>(Kind::Carrier, Page::of(&format!("{agent}/")))?;
    let months = (month_of(span.from), month_of(span.to));
    let near = all.into_iter().filter(|record| {
        let month = record.id.rsplit('/').next().unwrap_or_default();
        month >= months.0.as_str() && month <= months.1.as_str()
    });
    Ok(near.fold(Spans::none(), |all, record| all.or(&record.body.read().spans())))
}

/// The UTC month of an instant: `2026-11`.
pub(super) fn month_of(at: Wall) -> String {
    at.to_string().chars().take(7).collect()
}

/// When an agent's links had no carrier, by the record of each month.
pub(super) type Months = Vec<(String, CarrierDown)>;

/// When there was no carrier, as it is kept.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptCarrier {
    ByDay(CarrierDown),
    /// By an earlier version of this program.
    Stretches(Vec<(Wall, Wall)>),
}

impl KeptCarrier {
    fn read(self) -> CarrierDown {
        match self {
            Self::ByDay(down) => down,
            Self::Stretches(all) => CarrierDown::of_stretches(all),
        }
    }
}

/// The months of an agent's outages that some summaries change. A later summary knows more of an
/// outage than an earlier one.
pub(super) fn outages(
    archive: &Archive,
    agent: Kid,
    summaries: &[&Summary],
) -> Result<Vec<(String, Vec<OutageSaid>)>, ArchiveError> {
    let mut sorted: Vec<&Summary> =
        summaries.iter().copied().filter(|summary| !summary.outages.is_empty()).collect();
    sorted.sort_by_key(|summary| (summary.to, summary.seq));
    let said: Vec<OutageSaid> = sorted.into_iter().flat_map(OutageSaid::of).collect();
    let months: BTreeSet<String> = said.iter().map(|each| month_of(each.from)).collect();
    let mut all = Vec::new();
    for month in months {
        let id = format!("{agent}/{month}");
        let mut kept: Vec<OutageSaid> = archive.record(Kind::Outages, &id)?.unwrap_or_default();
        let mut places = Places::of(&kept);
        for new in said.iter().filter(|each| month_of(each.from) == month) {
            new.clone().enter(&mut kept, &mut places);
        }
        all.push((id, kept));
    }
    Ok(all)
}

/// The months, in UTC, in which an agent's links had no carrier, as far as some summaries change
/// them; and the days of which that is too much.
pub(super) fn without_carrier(
    archive: &Archive,
    agent: Kid,
    summaries: &[&Summary],
) -> Result<(Months, Vec<Finding>), ArchiveError> {
    let (mut months, mut found) = (BTreeMap::new(), Vec::new());
    for summary in summaries.iter().filter(|summary| !summary.carrier_down().is_empty()) {
        let id = format!("{agent}/{}", month_of(summary.from));
        if !months.contains_key(&id) {
            let kept = archive.record::<KeptCarrier>(Kind::Carrier, &id)?;
            months.insert(id.clone(), kept.map(KeptCarrier::read).unwrap_or_default());
        }
        if months.get_mut(&id).is_some_and(|down| down.add(summary)) {
            let day: String = summary.from.to_string().chars().take(10).collect();
            let detail = format!(
                "agent {agent} tells of more than {STRETCHES} times at which its links had no \
                    carrier on {day}: none of them counts"
            );
            let (kind, subject) = (FindingKind::Quarantined, format!("{agent}/carrier/{day}"));
            found.push(Finding { kind, subject, site: Some(summary.site.clone()), detail });
        }
    }
    Ok((months.into_iter().filter(|(_, down)| *down != CarrierDown::default()).collect(), found))
}
