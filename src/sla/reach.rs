//! How far back and ahead judging a period looks: for whoever fetches the measurements.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::time::Wall;
use crate::sla::calendar::{Day, Every, Period, Stretch};
use crate::sla::judge::InForce;
use crate::sla::span::Span;
use crate::sla::terms::{Condition, Contract, Form};

/// Around the time judged, so that a detector has its state where it begins, and sees how what
/// began at its end went on: an outage is known only after as many failures as the contract asks
/// for.
pub const AROUND: Duration = Duration::from_secs(86_400);

/// All the time that judging a period may look at. `recorded` are outages that are known already:
/// one that reaches over an end is needed whole, since it belongs whole to the period in which it
/// begins.
#[must_use]
pub fn needed(
    contract: &Contract,
    period: Period,
    recorded: impl IntoIterator<Item = Span>,
) -> Span {
    let contract = contract.of(period).unwrap_or(contract);
    let zone = &contract.agreement.timezone;
    let rolling =
        contract.objectives.iter().filter_map(|objective| match objective.aggregate.every {
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
                take(
                    Stretch::holding(period.every(), asked.first, zone)
                        .span
                        .and(Span::new(BEGIN, asked.span.to)),
                );
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

/// The same by all the versions that judge the period; nothing where there is none.
#[must_use]
pub fn by_versions<'a>(
    versions: impl IntoIterator<Item = &'a InForce>,
    period: Period,
    recorded: &[Span],
) -> Span {
    let all = versions
        .into_iter()
        .map(|version| needed(&version.contract, period, recorded.iter().copied()));
    let all = all.reduce(|one, other| Span::new(one.from.min(other.from), one.to.max(other.to)));
    all.unwrap_or_else(|| Span::new(Wall::default(), Wall::default()))
}

/// The earlier periods whose verdicts judging a period looks at, the earliest first: for credits
/// that rise with the breached periods in a row, for caps, and for rights that accrue over several
/// periods.
#[must_use]
pub fn earlier(contract: &Contract, service: &str, period: Period) -> Vec<Period> {
    let contract = contract.of(period).unwrap_or(contract);
    let zone = &contract.agreement.timezone;
    let rolling =
        contract.objectives_of(service).filter_map(|objective| match objective.aggregate.every {
            Every::Rolling(days) => Some(days),
            _ => None,
        });
    let asked = period.every(rolling.max().unwrap_or(1));
    let mut all: BTreeSet<(Day, Period)> = BTreeSet::new();
    let mut take = |every: Every, count: usize| {
        let days = if let Every::Rolling(days) = every { days } else { 1 };
        let name = if matches!(every, Every::Rolling(_)) && !matches!(asked, Every::Rolling(_)) {
            // The history of rolling periods goes by the reports in which they stand.
            period
        } else {
            every.holding(period.last())
        };
        let before =
            std::iter::successors(Some(name.before(days)), |earlier| Some(earlier.before(days)));
        all.extend(before.take(count.min(MOST)).map(|earlier| (earlier.last(), earlier)));
    };
    for objective in contract.objectives_of(service) {
        if let Some(Form::Escalation(credits)) =
            objective.remedy.as_ref().map(|remedy| &remedy.form)
        {
            take(objective.aggregate.every, credits.len().saturating_sub(1));
        }
        for condition in contract.terminations.iter().flat_map(|termination| &termination.any) {
            match condition {
                Condition::Consecutive { objective: of, consecutive } if *of == objective.id => {
                    take(objective.aggregate.every, *consecutive as usize);
                }
                Condition::Times { objective: of, of_periods, .. } if *of == objective.id => {
                    take(objective.aggregate.every, *of_periods as usize);
                }
                _ => {}
            }
        }
    }
    for cap in &contract.caps {
        let (Some(own), Some(of_cap)) = (asked.months(), cap.per.every().months()) else {
            continue;
        };
        if of_cap > own {
            let first = Stretch::holding(cap.per.every(), period.last(), zone).first;
            let before =
                std::iter::successors(Some(period.before(1)), |earlier| Some(earlier.before(1)));
            // At the calendar's beginning the period before is the same again.
            let before = before.take(MOST);
            all.extend(
                before
                    .take_while(|earlier| earlier.last() >= first)
                    .map(|earlier| (earlier.last(), earlier)),
            );
        }
    }
    all.into_iter().map(|(_, earlier)| earlier).collect()
}

/// The instants strictly inside a span at which time that some figure is taken from may begin or
/// end, as far as the contract alone says: the bounds of periods, of service hours, and of what is
/// in force. What goes over none of them may stand for the minutes that it was made of.
#[must_use]
pub fn boundaries(contract: &Contract, span: Span) -> BTreeSet<Wall> {
    let mut all: BTreeSet<Wall> = BTreeSet::new();
    for era in &contract.eras {
        all.extend(era.contract.iter().flat_map(|contract| boundaries(contract, span)));
    }
    let (agreement, zone) = (&contract.agreement, &contract.agreement.timezone);
    all.extend(contract.services.iter().map(|service| service.in_service_from));
    all.insert(agreement.effective_from);
    all.extend(agreement.effective_to);
    let (mut day, last) = (zone.day(span.from), zone.day(span.to));
    while day <= last {
        for aggregate in contract
            .objectives
            .iter()
            .filter(|objective| objective.samples())
            .map(|objective| &objective.aggregate)
        {
            let begins = match aggregate.every {
                Every::Rolling(_) => true,
                every => every.holding(day).first(1) == day,
            };
            all.extend(begins.then(|| zone.midnight(day)));
            let hours = aggregate.hours.iter().flat_map(|hours| [hours.from, hours.to]);
            all.extend(hours.map(|minutes| zone.at(day, minutes)));
        }
        let next = day.plus(1);
        if next == day {
            break;
        }
        day = next;
    }
    // Where the clocks change, hours begin and end at other instants too.
    let hours = contract.objectives.iter().filter(|objective| objective.samples());
    for hours in hours.filter_map(|objective| objective.aggregate.hours.as_ref()) {
        all.extend(hours.within(&span.into(), zone).iter().flat_map(|open| [open.from, open.to]));
    }
    all.retain(|at| span.from < *at && *at < span.to);
    all
}

/// So many periods are looked at one before the other, whatever a contract says.
const MOST: usize = 60;

/// Before everything.
const BEGIN: Wall = Wall::from_nanos(i64::MIN);
