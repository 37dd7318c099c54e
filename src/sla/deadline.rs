//! Deadlines: until when a ticket must be opened, a credit claimed, a right exercised, a duty done;
//! and how long that is.

use serde::{Serialize, Serializer};

use crate::base::time::Wall;
use crate::sla::calendar::{Day, Zone};
use crate::sla::reader::{Word, words};
use crate::sla::report::{Report, TicketDue};

words! {
    /// What must be done by then.
    DeadlineKind {
        /// A ticket must be opened.
        Ticket = "ticket",
        /// A credit must be claimed.
        Claim = "claim",
        /// A right to terminate must be exercised.
        Exercise = "exercise",
        /// A duty must be done.
        Duty = "duty",
    }
}

/// Until when something must be done. Its JSON is what `status` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deadline {
    /// What.
    #[serde(serialize_with = "worded")]
    pub kind: DeadlineKind,
    /// Which right or duty; the service for a ticket or a claim.
    pub id: String,
    /// In words, with who must.
    pub what: String,
    /// As the contract counts it: a local date, or an instant.
    pub by: String,
    /// The first instant that is too late after a date; the last that is not after an instant.
    pub ends: Wall,
    /// Whether it was met, as far as the facts say; absent while nothing is known.
    pub kept: Option<bool>,
}

impl Deadline {
    /// Whether it has passed.
    #[must_use]
    pub fn is_past(&self, now: Wall) -> bool {
        now > self.ends
    }

    /// How long it is away, in words: `in 12 days`, `in 3 h 20 min`, `12 days ago`.
    #[must_use]
    pub fn left(&self, now: Wall) -> String {
        left(self.ends, now)
    }
}

/// How long an instant is away, in words: in days from two days on, else in hours and minutes.
#[must_use]
pub fn left(ends: Wall, now: Wall) -> String {
    const MINUTE: i128 = 60_000_000_000;
    let nanos = i128::from(ends.nanos()) - i128::from(now.nanos());
    let minutes = nanos.abs() / MINUTE;
    let length = match minutes {
        2880.. => format!("{} days", minutes / 1440),
        60.. => format!("{} h {} min", minutes / 60, minutes % 60),
        1.. => format!("{minutes} min"),
        _ => "less than a minute".to_owned(),
    };
    if nanos < 0 { format!("{length} ago") } else { format!("in {length}") }
}

/// All deadlines that a report names, the earliest first.
#[must_use]
pub fn of(report: &Report, zone: &Zone) -> Vec<Deadline> {
    let after = |day: Day| zone.midnight(day.plus(1));
    let mut all = Vec::new();
    let service = &report.service;
    if let Some(TicketDue { by, kept }) = report.ticket {
        all.push(Deadline {
            kind: DeadlineKind::Ticket,
            id: service.clone(),
            what: format!("open a ticket for the first outage of {service} in {}", report.period),
            by: by.to_string(),
            ends: by,
            kept,
        });
    }
    if let Some(by) = report.claim.by {
        all.push(Deadline {
            kind: DeadlineKind::Claim,
            id: service.clone(),
            what: format!(
                "claim {} {} for {service} in {}",
                report.credit, report.currency, report.period
            ),
            by: by.to_string(),
            ends: after(by),
            kept: None,
        });
    }
    for right in &report.terminations {
        all.push(Deadline {
            kind: DeadlineKind::Exercise,
            id: right.id.clone(),
            what: format!("the {} may terminate {service}: {}", right.by, right.why),
            by: right.exercise_by.to_string(),
            ends: after(right.exercise_by),
            kept: None,
        });
    }
    for duty in &report.duties {
        all.push(Deadline {
            kind: DeadlineKind::Duty,
            id: duty.id.clone(),
            what: format!("the {} must {}", duty.party, duty.what),
            by: duty.due.to_string(),
            ends: duty.due,
            kept: duty.kept,
        });
    }
    all.sort_by_key(|deadline| deadline.ends);
    all
}

fn worded<T: Word, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(value.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_counted_down_in_days_then_in_hours_and_minutes() {
        let ends = Wall::from_secs(1_000_000);
        let at = |before: i64| left(ends, Wall::from_secs(1_000_000 - before));
        assert_eq!(
            [
                at(12 * 86_400 + 5),
                at(172_800),
                at(172_799),
                at(12_000),
                at(61),
                at(5),
                at(-30),
                at(-86_400),
                at(-259_200)
            ],
            [
                "in 12 days",
                "in 2 days",
                "in 47 h 59 min",
                "in 3 h 20 min",
                "in 1 min",
                "in less than a minute",
                "less than a minute ago",
                "24 h 0 min ago",
                "3 days ago"
            ]
        );
    }
}
