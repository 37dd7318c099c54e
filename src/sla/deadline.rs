//! Deadlines: until when a ticket must be opened, a credit claimed, a right exercised, a duty done;
//! and how long that is.

use serde::Serialize;

use crate::base::time::Wall;
use crate::sla::as_text::word;
use crate::sla::reader::words;

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
    #[serde(serialize_with = "word::serialize")]
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
