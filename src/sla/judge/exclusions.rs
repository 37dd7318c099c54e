//! Which of the time that is claimed as excluded really is: announced early enough, inside its
//! window, and no more of it in a period than agreed.

use std::collections::BTreeMap;

use crate::base::time::nanos_of;
use crate::sla::calendar::{Every, Stretch, Zone};
use crate::sla::facts::Excluded;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Contract, Exclusion, Removes};
use crate::sla::words;

/// The excluded time that holds.
#[derive(Clone, Debug, Default)]
pub(super) struct ExcludedTime {
    /// All of it: it takes downtime away.
    pub(super) downtime: Spans,
    /// What is taken from the period too.
    pub(super) period: Spans,
    /// By exclusion: what it removes, what holds of it, and in words what does not.
    pub(super) each: Vec<(String, Removes, Spans, Vec<String>)>,
}

/// What is claimed by one exclusion, as far as notice and window allow it.
#[derive(Clone, Debug)]
pub(super) struct Claimed<'a> {
    exclusion: &'a Exclusion,
    spans: Spans,
    notes: Vec<String>,
}

/// What is claimed by each exclusion of a contract; those of which nothing is claimed are left out.
pub(super) fn claimed<'a>(
    contract: &'a Contract,
    facts: &[Excluded],
    zone: &Zone,
) -> Vec<Claimed<'a>> {
    let mut by_id: BTreeMap<&str, Vec<&Excluded>> = BTreeMap::new();
    for each in facts {
        by_id.entry(&each.exclusion).or_default().push(each);
    }
    let mut all = Vec::new();
    for exclusion in &contract.exclusions {
        let Some(claims) = by_id.remove(exclusion.id.as_str()) else { continue };
        let mut notes = Vec::new();
        let announced = claims.into_iter().filter(|each| in_time(exclusion, each, &mut notes));
        let mut spans: Spans = announced.map(|each| each.span).collect();
        if let Some(window) = &exclusion.window {
            let before = spans.nanos();
            spans = spans.and(&window.within(&spans, zone));
            if spans.nanos() < before {
                notes.push(format!(
                    "{} lie outside its window",
                    words::seconds(before - spans.nanos())
                ));
            }
        }
        all.push(Claimed { exclusion, spans, notes });
    }
    all
}

/// Works out the excluded time. `hours` are those that count at all; `stretch` is the period
/// judged, whose kind says over what `at_most` is counted.
pub(super) fn excluded(
    claimed: &[Claimed<'_>],
    hours: Option<&Spans>,
    stretch: &Stretch,
    zone: &Zone,
) -> ExcludedTime {
    let mut all = ExcludedTime::default();
    for Claimed { exclusion, spans, notes } in claimed {
        let (mut spans, mut notes) = (spans.clone(), notes.clone());
        if let Some(hours) = hours {
            spans = spans.and(hours);
        }
        if let Some(most) = exclusion.at_most {
            let limited = limited(&spans, i128::from(nanos_of(most)), stretch, zone);
            if limited.nanos() < spans.nanos() {
                notes.push(format!(
                    "{} are beyond at_most",
                    words::seconds(spans.nanos() - limited.nanos())
                ));
            }
            spans = limited;
        }
        all.each.push((exclusion.id.clone(), exclusion.removes, spans, notes));
    }
    let of = |which: fn(Removes) -> bool| {
        let those = all.each.iter().filter(|(_, removes, ..)| which(*removes));
        those.flat_map(|(_, _, spans, _)| spans.iter()).collect::<Spans>()
    };
    (all.downtime, all.period) =
        (of(|_| true), of(|removes| removes == Removes::DowntimeAndPeriod));
    all
}

fn in_time(exclusion: &Exclusion, claimed: &Excluded, notes: &mut Vec<String>) -> bool {
    let Some(notice) = exclusion.notice else { return true };
    let latest = claimed.span.from - notice;
    let in_time = claimed.notified.is_some_and(|told| told <= latest);
    if !in_time {
        let told = claimed
            .notified
            .map_or("was not announced".to_owned(), |told| format!("was announced at {told}"));
        notes
            .push(format!("that from {} {told}, and needed notice by {latest}", claimed.span.from));
    }
    in_time
}

/// The earliest of it in each period, up to a limit. Rolling periods are not laid end to end; of
/// them only the one that is judged is limited.
fn limited(spans: &Spans, most: i128, stretch: &Stretch, zone: &Zone) -> Spans {
    if let Every::Rolling(_) = stretch.every {
        let inside = spans.within(stretch.span);
        return spans.minus(&Spans::from(stretch.span)).or(&inside.earliest(most));
    }
    // One walk over all of it, cut where a period ends; what is left of the limit begins anew with
    // each.
    let mut kept: Vec<Span> = Vec::new();
    let mut period: Option<Span> = None;
    let mut left = most;
    for mut span in spans.iter() {
        while !span.is_empty() {
            let open = match period.filter(|open| open.holds(span.from)) {
                Some(open) => open,
                None => {
                    left = most;
                    *period.insert(Stretch::holding(stretch.every, zone.day(span.from), zone).span)
                }
            };
            // At the calendar's end there is no next period.
            let end = if open.to > span.from { open.to.min(span.to) } else { span.to };
            let inside = Span::new(span.from, end);
            let taken = inside.nanos().min(left);
            kept.push(Span::new(
                inside.from,
                inside.from.shifted(i64::try_from(taken).unwrap_or(i64::MAX)),
            ));
            left -= taken;
            span.from = end;
        }
    }
    kept.into_iter().collect()
}
