//! What summaries tell of outages, put together, and how far judging by it has to look: the same
//! for a collector, which keeps it by agent, and for a bundle, which has the summaries themselves.
//! In which order they come changes nothing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::summary::Summary;
use crate::sla::as_text::word;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::Side;

/// So many outages of an agent are kept of a month.
pub const OUTAGES: usize = 20_000;
/// So many stretches without a carrier are kept of a UTC day: one each 17 seconds. Of a day of
/// which an agent tells more, none counts.
pub const STRETCHES: usize = 5_000;
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
    #[serde(with = "word")]
    pub side: Side,
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

    /// Enters it among those that were told before, of which `places` says where they are; there
    /// are [`OUTAGES`] at most. A later summary knows more than an earlier one, but an end that was
    /// told is not taken back.
    pub fn enter(self, known: &mut Vec<Self>, places: &mut Places) {
        let of = places.0.entry(Places::key(&self)).or_default();
        let same = |at: &&usize| known[**at].site.is_none() || known[**at].site == self.site;
        match of.iter().find(same).copied() {
            Some(at) if self.told >= known[at].told => {
                known[at] = Self { to: self.to.or(known[at].to), ..self }
            }
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

/// When an agent's links had no carrier, by UTC day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierDown {
    days: Vec<CarrierDay>,
}

/// The same of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CarrierDay {
    /// Which, counted from 1970-01-01.
    day: i64,
    /// How many stretches were told that begin or end within their summary: counted, not looked at,
    /// so that nothing depends on the order in which they come.
    told: usize,
    /// When there was none, in order; nothing of a day of which too much was told.
    stretches: Vec<(Wall, Wall)>,
}

impl CarrierDay {
    const fn is_too_much(&self) -> bool {
        self.told > STRETCHES
    }
}

impl CarrierDown {
    /// As an earlier version of this program kept it.
    #[must_use]
    pub fn of_stretches(all: Vec<(Wall, Wall)>) -> Self {
        let mut down = Self::default();
        for (from, to) in all {
            down.day(day_of(from)).stretches.push((from, to));
        }
        down
    }

    /// Adds what a summary says, once; it is within one day, as every span is. True when by that it
    /// became too much for that day.
    pub fn add(&mut self, summary: &Summary) -> bool {
        let (new, span) = (summary.carrier_down(), Span::new(summary.from, summary.to));
        if new.is_empty() {
            return false;
        }
        let day = self.day(day_of(summary.from));
        let was = day.is_too_much();
        day.told = day.told.saturating_add(new.iter().filter(|stretch| *stretch != span).count());
        if !day.is_too_much() {
            let known: Spans =
                day.stretches.iter().map(|&(from, to)| Span::new(from, to)).collect();
            day.stretches = known.or(&new).iter().map(|span| (span.from, span.to)).collect();
            if day.stretches.len() > STRETCHES {
                day.told = usize::MAX;
            }
        }
        if day.is_too_much() {
            day.stretches.clear();
        }
        day.is_too_much() && !was
    }

    /// The stretches that count.
    #[must_use]
    pub fn spans(&self) -> Spans {
        self.days
            .iter()
            .flat_map(|day| &day.stretches)
            .map(|&(from, to)| Span::new(from, to))
            .collect()
    }

    fn day(&mut self, day: i64) -> &mut CarrierDay {
        let at = self.days.binary_search_by_key(&day, |each| each.day).unwrap_or_else(|at| {
            self.days.insert(at, CarrierDay { day, told: 0, stretches: Vec::new() });
            at
        });
        &mut self.days[at]
    }
}

/// Stretches with their sides in an order that is always the same: of two that have as much in
/// common with what was measured, always the same one counts.
#[must_use]
pub fn in_order(mut sides: Vec<(Span, Side)>) -> Vec<(Span, Side)> {
    sides.sort_unstable();
    sides.dedup();
    sides
}

/// The UTC day of an instant, counted from 1970-01-01.
#[must_use]
pub fn day_of(at: Wall) -> i64 {
    at.nanos().div_euclid(DAY_NS)
}

/// The UTC days that a span touches, both included: what was measured is taken by whole days,
/// wherever it is judged.
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

    fn said(from: i64, to: Option<i64>, side: Side, told: i64) -> OutageSaid {
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
        said(10, Some(50), Side::Unknown, 60).enter(&mut known, &mut places);
        said(10, None, Side::Customer, 30).enter(&mut known, &mut places);
        assert_eq!(known, [said(10, Some(50), Side::Unknown, 60)], "an earlier one came late");
        said(10, None, Side::Provider, 90).enter(&mut known, &mut places);
        assert_eq!(known, [said(10, Some(50), Side::Provider, 90)]);
        assert_eq!(
            known[0].span(Wall::from_secs(99)),
            Span::new(Wall::from_secs(10), Wall::from_secs(50))
        );
    }

    /// A summary of a minute, in which there was no carrier so many times.
    fn flapping(minute: i64, times: i64) -> Summary {
        let (from, to) = (Wall::from_secs(60 * minute), Wall::from_secs(60 * minute + 60));
        let change = |n: i64| {
            let at = from + std::time::Duration::from_millis(10 * n.unsigned_abs() + 5);
            serde_json::json!({"at": at, "carrier": if n % 2 == 0 { "down" } else { "up" }})
        };
        let changes: Vec<_> = (0..2 * times).map(change).collect();
        serde_json::from_value(serde_json::json!({
            "v": 1, "agent": crate::evidence::key::SecretKey::from_seed(&[1; 32]).kid(), "site": "s",
            "chain": "0d8f6a0c6e0b4c0f9b0f2f6f0a6d1c77", "seq": minute, "from": from, "to": to, "boot": "b", "software": "w",
            "clock": {"state": "unknown"}, "contracts": [], "probes": [], "outages": [], "verdicts": [],
            "link": [{"interface": "wan0", "carrier": "up", "changes": changes, "rx_bytes": 0, "tx_bytes": 0}]
        }))
        .unwrap()
    }

    #[test]
    fn stretches_that_an_earlier_version_kept_go_on_counting() {
        let kept: Vec<(Wall, Wall)> =
            flapping(3, 5).carrier_down().iter().map(|span| (span.from, span.to)).collect();
        let mut down = CarrierDown::of_stretches(kept);
        assert_eq!(down.spans(), flapping(3, 5).carrier_down());
        assert!(!down.add(&flapping(4, 5)));
        assert_eq!(down.spans(), flapping(3, 5).carrier_down().or(&flapping(4, 5).carrier_down()));
    }

    proptest! {
        #[test]
        fn a_day_of_which_too_many_stretches_are_told_counts_for_nothing_in_whatever_order_they_come(
            order in Just((0..5i64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            // Three of one day and two of the next: that many are too many of the first only.
            let mut down = CarrierDown::default();
            let too_much = order.iter().filter(|&&at| down.add(&flapping(1437 + at, 2000))).count();
            let second = flapping(1440, 2000).carrier_down().or(&flapping(1441, 2000).carrier_down());
            prop_assert_eq!((too_much, down.spans()), (1, second));
        }

        #[test]
        fn in_which_order_summaries_come_changes_nothing_of_what_is_known(order in Just((0..8i64).collect::<Vec<_>>()).prop_shuffle()) {
            let all: Vec<OutageSaid> = (0..8)
                .map(|at| said(at % 2, (at > 4).then_some(40), if at % 3 == 0 { Side::Provider } else { Side::Unknown }, at))
                .collect();
            let known = |order: &[i64]| {
                let (mut known, mut places) = (Vec::new(), Places::default());
                order.iter().for_each(|&at| all[usize::try_from(at).unwrap()].clone().enter(&mut known, &mut places));
                in_order(known.iter().map(|each| (each.span(Wall::from_secs(99)), each.side)).collect())
            };
            prop_assert_eq!(known(&order), known(&[0, 1, 2, 3, 4, 5, 6, 7]));
        }
    }
}
