//! How much a day takes in the database, and how many days fit: for `status` from what was written,
//! for `check` by what the probes will write.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::print;
use crate::config::agent::{AgentConfig, Keep, Term};
use crate::measure::probe::{Probe, Test};
use crate::store::retention::{Rates, log_room, shares};

/// What is to be expected of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes that a day of measuring takes.
    pub a_day: u64,
    /// Days that minutes are kept; no number where they are kept for good and there is room for ten
    /// years.
    pub minutes: Option<u64>,
    /// Days that hours are kept, those of the minutes included.
    pub hours: Option<u64>,
    /// Days that days are kept.
    pub days: Option<u64>,
}

/// What a day of one probe's minutes takes beside its histograms' values, and what each value
/// takes, in bytes; measured by `benches/run flash`.
const INTERVAL: f64 = 34.0;
const VALUE: f64 = 0.9;
/// An hour of a probe is about as large as so many of its minutes, and a day as so many: values
/// fall into the same slots.
const HOUR: u64 = 8;
const DAY: u64 = 22;
/// Nobody is told of more days than these.
const LONG: u64 = 3650;
/// What a minute costs beside what is measured: half a page, and its part of a summary with its
/// receipt.
const MINUTE: u64 = 900;

/// By what the configuration's probes will write.
#[must_use]
pub fn planned(config: &AgentConfig) -> Estimate {
    let minute: f64 = config.probes.iter().map(|probe| per_minute(probe)).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some kilobytes")]
    let minute = minute as u64;
    let rates = Rates {
        minutes: (minute + MINUTE) * 1440,
        hours: Some(minute * HOUR * 24),
        day: Some(minute * DAY),
    };
    estimate(&config.keep, rates)
}

fn per_minute(probe: &Probe) -> f64 {
    let values = 60.0 / probe.period.as_secs_f64().max(0.001);
    // RTTs and their differences; of HTTP each part too.
    let histograms = if matches!(probe.test, Test::Http(_)) { 6.0 } else { 2.0 };
    // Very many values share their slots.
    INTERVAL + histograms * VALUE * values.min(2000.0)
}

/// By what was written.
#[must_use]
pub fn measured(keep: &Keep, rates: Rates) -> Estimate {
    let minute = rates.minutes / 1440;
    let hours = rates.hours.unwrap_or(minute * HOUR * 24);
    estimate(
        keep,
        Rates { hours: Some(hours), day: Some(rates.day.unwrap_or(minute * DAY)), ..rates },
    )
}

fn estimate(keep: &Keep, rates: Rates) -> Estimate {
    let (hours_room, days_room) = shares(keep.max_bytes);
    let room = keep.max_bytes - log_room(keep.max_bytes);
    let (minutes, hours, day) =
        (rates.minutes.max(1), rates.hours.unwrap_or(0).max(1), rates.day.unwrap_or(0).max(1));
    let fits = |term: Term, room: u64, a_day: u64| match term {
        Term::For(length) => (room / a_day).min(length.as_secs() / 86_400),
        Term::Forever => room / a_day,
    };
    let days = fits(keep.days, days_room, day);
    // Hours are made of the minutes that are too old, and days of the hours.
    let hours_beyond = fits(keep.hours, hours_room, hours);
    let left = room
        .saturating_sub((days * day).min(days_room))
        .saturating_sub((hours_beyond * hours).min(hours_room));
    let minutes_kept = fits(keep.minutes, left, minutes);
    let told = |days: u64| (days < LONG).then_some(days);
    let hours_kept = match keep.hours {
        Term::For(length) => {
            (minutes_kept + hours_beyond).min(length.as_secs() / 86_400).max(minutes_kept)
        }
        Term::Forever => minutes_kept + hours_beyond,
    };
    Estimate {
        a_day: rates.minutes,
        minutes: told(minutes_kept),
        hours: told(hours_kept),
        days: told(hours_kept.max(days)),
    }
}

impl Estimate {
    /// Its members in JSON; null is more than ten years.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { a_day, minutes, hours, days } = self;
        json!({
            "bytes_a_day": a_day,
            "days_kept": {"minutes": minutes, "hours": hours, "days": days},
        })
    }

    /// In words, each line short.
    #[must_use]
    pub fn words(&self) -> [String; 2] {
        let days = |days: Option<u64>| match days {
            None => "> 10 years".to_owned(),
            Some(0) => "less than a day".to_owned(),
            Some(1) => "1 day".to_owned(),
            Some(days) => format!("{days} days"),
        };
        let (minutes, hours) = (days(self.minutes), days(self.hours));
        [
            format!("about {} a day; by its limits it keeps", print::bytes(self.a_day)),
            format!("minutes for {minutes}, hours for {hours}, days for {}", days(self.days)),
        ]
    }

    /// What may not be what somebody wanted.
    #[must_use]
    pub fn note(&self, keep: &Keep) -> Option<String> {
        let wanted = match keep.minutes {
            Term::For(length) => length.as_secs() / Duration::from_secs(86_400).as_secs(),
            Term::Forever => LONG,
        };
        let kept = self.minutes.unwrap_or(LONG);
        (kept < wanted).then(|| {
            format!(
                "max_bytes has room for about {kept} days of minutes, though keep_minutes asks \
                    for more; older ones become hours"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn days_are_what_fits_and_no_more_than_is_asked_for() {
        let keep = Keep { max_bytes: 256 * MB, ..Keep::default() };
        let rates = Rates { minutes: 5 * MB, hours: Some(MB / 2), day: Some(MB / 10) };
        let found = measured(&keep, rates);
        // 252 MiB beside the log, of which a quarter holds hours and a tenth days.
        assert_eq!((found.minutes, found.hours, found.days), (Some(32), Some(158), Some(252)));
        assert!(found.note(&keep).unwrap().contains("32 days"));
        let small = measured(
            &keep,
            Rates { minutes: MB / 10, hours: Some(MB / 100), day: Some(MB / 1000) },
        );
        assert_eq!((small.minutes, small.hours, small.days), (Some(90), Some(400), None));
        assert_eq!(small.note(&keep), None);
    }

    #[test]
    fn every_line_is_short() {
        let none = Estimate { a_day: 4_400_000, minutes: None, hours: None, days: None };
        assert!(none.words().iter().all(|line| line.chars().count() <= 72), "{:?}", none.words());
    }
}
