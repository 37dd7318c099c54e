//! Which of the time that is claimed as excluded really is: announced early enough, inside its window, and no more of it
//! in a period than agreed.

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
    /// By exclusion: what holds of it, and in words what does not.
    pub(super) each: Vec<(String, Spans, Vec<String>)>,
}

/// Works out the excluded time. `hours` are those that count at all; `stretch` is the period judged, whose kind says over
/// what `at_most` is counted.
pub(super) fn excluded(
    contract: &Contract,
    claimed: &[Excluded],
    hours: Option<&Spans>,
    stretch: &Stretch,
    zone: &Zone,
) -> ExcludedTime {
    let mut all = ExcludedTime::default();
    for exclusion in &contract.exclusions {
        let mut notes = Vec::new();
        let announced = claimed.iter().filter(|each| each.exclusion == exclusion.id);
        let announced: Vec<Span> =
            announced.filter(|each| in_time(exclusion, each, &mut notes)).map(|each| each.span).collect();
        let mut spans: Spans = announced.into_iter().collect();
        let before = spans.nanos();
        if let Some(window) = &exclusion.window {
            spans = spans.hull().map_or_else(Spans::none, |hull| spans.and(&window.within(hull, zone)));
        }
        if spans.nanos() < before {
            notes.push(format!("{} lie outside its window", words::seconds(before - spans.nanos())));
        }
        if let Some(hours) = hours {
            spans = spans.and(hours);
        }
        if let Some(most) = exclusion.at_most {
            let limited = limited(&spans, i128::from(nanos_of(most)), stretch, zone);
            if limited.nanos() < spans.nanos() {
                notes.push(format!("{} are beyond at_most", words::seconds(spans.nanos() - limited.nanos())));
            }
            spans = limited;
        }
        all.downtime = all.downtime.or(&spans);
        if exclusion.removes == Removes::DowntimeAndPeriod {
            all.period = all.period.or(&spans);
        }
        all.each.push((exclusion.id.clone(), spans, notes));
    }
    all
}

fn in_time(exclusion: &Exclusion, claimed: &Excluded, notes: &mut Vec<String>) -> bool {
    let Some(notice) = exclusion.notice else { return true };
    let latest = claimed.span.from - notice;
    let in_time = claimed.notified.is_some_and(|told| told <= latest);
    if !in_time {
        let told = claimed.notified.map_or("was not announced".to_owned(), |told| format!("was announced at {told}"));
        notes.push(format!("that from {} {told}, and needed notice by {latest}", claimed.span.from));
    }
    in_time
}

/// The earliest of it in each period, up to a limit. Rolling periods are not laid end to end; of them only the one that is
/// judged is limited.
fn limited(spans: &Spans, most: i128, stretch: &Stretch, zone: &Zone) -> Spans {
    if let Every::Rolling(_) = stretch.every {
        let inside = spans.within(stretch.span);
        return spans.minus(&Spans::from(stretch.span)).or(&inside.earliest(most));
    }
    let mut left = spans.clone();
    let mut kept = Spans::none();
    while let Some(hull) = left.hull() {
        let period = Stretch::holding(stretch.every, zone.day(hull.from), zone).span;
        kept = kept.or(&left.within(period).earliest(most));
        let rest = left.minus(&Spans::from(period));
        if rest.nanos() == left.nanos() {
            break;
        }
        left = rest;
    }
    kept
}
