//! What summaries tell of outages, put together, and how far judging by it has to look: the same for a collector, which keeps it by
//! agent, and for a bundle, which has the summaries themselves. In which order they come changes nothing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::summary::{Side as SummarySide, Summary};
use crate::sla::calendar::Period;
use crate::sla::judge::InForce;
use crate::sla::reach::needed;
use crate::sla::span::Span;
use crate::sla::terms::Side;

/// So many outages of an agent are kept of a month.
pub const OUTAGES: usize = 20_000;
/// A day, in nanoseconds.
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// An outage that an agent told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageSaid {
    /// The site that the summary names; absent of what was taken before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The probe that showed it.
    pub probe: String,
    /// By which definition.
    pub definition: String,
    /// When it began.
    pub from: Wall,
    /// When it ended.
    pub to: Option<Wall>,
    /// Whose side it lies on.
    pub side: SummarySide,
    /// Where the span of the summary ends that knows most of it.
    #[serde(default)]
    pub told: Wall,
}

impl OutageSaid {
    /// The outages that a summary tells of.
    pub fn of(summary: &Summary) -> impl Iterator<Item = Self> + '_ {
        summary.outages.iter().map(|part| Self {
            site: Some(summary.site.clone()),
            service: part.service.clone(),
            probe: part.probe.clone(),
            definition: part.definition.clone(),
            from: part.from,
            to: part.to,
            side: part.side,
            told: summary.to,
        })
    }

    /// When it was; of one whose end nobody told, until `as_of`.
    #[must_use]
    pub fn span(&self, as_of: Wall) -> Span {
        Span::new(self.from, self.to.unwrap_or(as_of))
    }

    /// Its side, as a judge takes it.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self.side {
            SummarySide::Provider => Side::Provider,
            SummarySide::Customer => Side::Customer,
            SummarySide::Unknown => Side::Unknown,
        }
    }

    /// Enters it among those that were told before, of which `places` says where they are; there are [`OUTAGES`] at most. A later
    /// summary knows more than an earlier one, but an end that was told is not taken back.
    pub fn enter(self, known: &mut Vec<Self>, places: &mut Places) {
        let of = places.0.entry(Places::key(&self)).or_default();
        let same = |at: &&usize| known[**at].site.is_none() || known[**at].site == self.site;
        match of.iter().find(same).copied() {
            Some(at) if self.told >= known[at].told => known[at] = Self { to: self.to.or(known[at].to), ..self },
            Some(at) => known[at].to = known[at].to.or(self.to),
            None if known.len() >= OUTAGES => {}
            None => {
                of.push(known.len());
                known.push(self);
            }
        }
    }
}

/// Where among some outages those of one probe, definition and beginning are.
#[derive(Debug, Default)]
pub struct Places(HashMap<(Option<String>, String, String, Wall), Vec<usize>>);

impl Places {
    /// Of those that are known.
    #[must_use]
    pub fn of(known: &[OutageSaid]) -> Self {
        let mut all = Self::default();
        for (at, each) in known.iter().enumerate() {
            all.0.entry(Self::key(each)).or_default().push(at);
        }
        all
    }

    fn key(said: &OutageSaid) -> (Option<String>, String, String, Wall) {
        (said.service.clone(), said.probe.clone(), said.definition.clone(), said.from)
    }
}

/// Stretches with their sides in an order that is always the same: of two that have as much in common with what was measured,
/// always the same one counts.
#[must_use]
pub fn in_order(mut sides: Vec<(Span, Side)>) -> Vec<(Span, Side)> {
    sides.sort_unstable();
    sides.dedup();
    sides
}

/// All the time that judging a period looks at, by the versions that judge it, and by what was told of outages.
#[must_use]
pub fn reach(versions: &[InForce], period: Period, outages: &[(Span, Side)]) -> Span {
    let told = || outages.iter().map(|(span, _)| *span);
    let all = versions.iter().map(|version| needed(&version.contract, period, told()));
    let all = all.reduce(|one, other| Span::new(one.from.min(other.from), one.to.max(other.to)));
    all.unwrap_or_else(|| Span::new(Wall::default(), Wall::default()))
}

/// The UTC day of an instant, counted from 1970-01-01.
#[must_use]
pub fn day_of(at: Wall) -> i64 {
    at.nanos().div_euclid(DAY_NS)
}

/// The UTC days that a span touches, both included: what was measured is taken by whole days, wherever it is judged.
#[must_use]
pub fn days(span: Span) -> (i64, i64) {
    (day_of(span.from), day_of(span.to))
}

/// All the time of some UTC days, both included.
#[must_use]
pub fn span_of(days: (i64, i64)) -> Span {
    let begin = |day: i64| Wall::from_nanos(day.saturating_mul(DAY_NS));
    Span::new(begin(days.0), begin(days.1.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(from: i64, to: Option<i64>, side: SummarySide, told: i64) -> OutageSaid {
        OutageSaid {
            site: None,
            service: Some("s".to_owned()),
            probe: "p".to_owned(),
            definition: "d".to_owned(),
            from: Wall::from_secs(from),
            to: to.map(Wall::from_secs),
            side,
            told: Wall::from_secs(told),
        }
    }

    #[test]
    fn a_later_summary_knows_more_and_an_end_that_was_told_stays() {
        let (mut known, mut places) = (Vec::new(), Places::default());
        said(10, Some(50), SummarySide::Unknown, 60).enter(&mut known, &mut places);
        said(10, None, SummarySide::Customer, 30).enter(&mut known, &mut places);
        assert_eq!(known, [said(10, Some(50), SummarySide::Unknown, 60)], "an earlier one came late");
        said(10, None, SummarySide::Provider, 90).enter(&mut known, &mut places);
        assert_eq!(known, [said(10, Some(50), SummarySide::Provider, 90)]);
        assert_eq!(known[0].span(Wall::from_secs(99)), Span::new(Wall::from_secs(10), Wall::from_secs(50)));
    }

    proptest! {
        #[test]
        fn in_which_order_summaries_come_changes_nothing_of_what_is_known(order in Just((0..8i64).collect::<Vec<_>>()).prop_shuffle()) {
            let all: Vec<OutageSaid> = (0..8)
                .map(|at| said(at % 2, (at > 4).then_some(40), if at % 3 == 0 { SummarySide::Provider } else { SummarySide::Unknown }, at))
                .collect();
            let known = |order: &[i64]| {
                let (mut known, mut places) = (Vec::new(), Places::default());
                order.iter().for_each(|&at| all[usize::try_from(at).unwrap()].clone().enter(&mut known, &mut places));
                in_order(known.iter().map(|each| (each.span(Wall::from_secs(99)), each.side())).collect())
            };
            prop_assert_eq!(known(&order), known(&[0, 1, 2, 3, 4, 5, 6, 7]));
        }
    }
}
