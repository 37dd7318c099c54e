//! How far back and ahead judging a period looks: for whoever fetches the measurements.

use std::time::Duration;

use crate::base::time::Wall;
use crate::sla::calendar::{Every, Period, Stretch};
use crate::sla::span::Span;
use crate::sla::terms::{Condition, Contract};

/// Around the time judged, so that a detector has its state where it begins, and sees how what began at its end went on: an
/// outage is known only after as many failures as the contract asks for.
const AROUND: Duration = Duration::from_secs(86_400);

/// All the time that judging a period may look at. `recorded` are outages that are known already: one that reaches over an
/// end is needed whole, since it belongs whole to the period in which it begins.
#[must_use]
pub fn needed(contract: &Contract, period: Period, recorded: impl IntoIterator<Item = Span>) -> Span {
    let zone = &contract.agreement.timezone;
    let rolling = contract.objectives.iter().filter_map(|objective| match objective.aggregate.every {
        Every::Rolling(days) => Some(days),
        _ => None,
    });
    let asked = Stretch::holding(period.every(rolling.max().unwrap_or(1)), period.last(), zone);
    let mut span = asked.span;
    let mut take = |other: Span| span = Span::new(span.from.min(other.from), span.to.max(other.to));
    for objective in &contract.objectives {
        take(Stretch::holding(objective.aggregate.every, period.last(), zone).span);
    }
    for condition in contract.terminations.iter().flat_map(|termination| &termination.any) {
        match condition {
            Condition::Events { within_days, .. } => {
                take(zone.days(asked.first.plus(1 - i64::from(*within_days)), asked.first));
            }
            Condition::DowntimeOver { period, .. } => {
                take(Stretch::holding(period.every(), asked.first, zone).span.and(Span::new(BEGIN, asked.span.to)));
            }
            Condition::Consecutive { .. } | Condition::Times { .. } => {}
        }
    }
    let mut reach = Span::new(span.from - AROUND, span.to + AROUND);
    for outage in recorded {
        if outage.from < span.to && span.from < outage.to {
            let with = Span::new(outage.from - AROUND, outage.to + AROUND);
            reach = Span::new(reach.from.min(with.from), reach.to.max(with.to));
        }
    }
    reach
}

/// Before everything.
const BEGIN: Wall = Wall::from_nanos(i64::MIN);
