//! Rolls up and deletes what is too old or too much.

use std::time::Duration;

use tracing::warn;

use crate::base::time::Wall;
use crate::config::agent::{Keep, Term};
use crate::store::journal::Noted;
use crate::store::retention::{Limits, Step, Why};

use super::{Database, TIDY, Work};

/// Sheets that are written at once: one an hour where all goes well, more after a while without.
const SHEETS: usize = 6;

/// So many steps are taken then; after each, what is to be written has its turn.
const STEPS: usize = 64;

const DAY: Duration = Duration::from_secs(86_400);

impl Database {
    pub(super) fn tidy_if_due(&mut self) {
        let now = self.mono();
        if now - self.tidied >= TIDY && !self.store.is_salvaging() && !self.failing {
            self.tidied = now;
            self.tidy();
        }
    }

    /// Writes what is told of whole hours for those that are over, and forgets those that are too
    /// old.
    fn write_hours(&mut self, now: Wall, hours: Term) {
        let written = self.store.together(|store| {
            if let Term::For(length) = hours {
                // Whole days, as hours are rolled up to days: what a sheet has no other does.
                store.forget_sheets((now - length).floor(DAY))?;
            }
            store.write_sheets(now, SHEETS)
        });
        if let Err(error) = written {
            warn!(%error, "the sheets of hours that are over could not be written; it is tried \
                again");
        }
    }

    /// Rolls up and deletes what is too old, and then the oldest of what is too much, a step at a
    /// time.
    fn tidy(&mut self) {
        let now = self.clock.now().wall;
        let since = |term| match term {
            Term::For(length) => Some(now - length),
            Term::Forever => None,
        };
        let Keep { minutes, hours, days, max_bytes, .. } = self.keep;
        self.write_hours(now, hours);
        let limits = Limits {
            minutes: since(minutes),
            hours: since(hours),
            days: since(days),
            bytes: max_bytes,
        };
        let mut pressed = None;
        for _ in 0..STEPS {
            let step = self.store.together(|store| store.tidy(&limits));
            match step {
                Ok(None) => break,
                Ok(Some(
                    Step::Minutes(until, Why::Room)
                    | Step::Hours(until, Why::Room)
                    | Step::Days(until, Why::Room),
                )) => {
                    pressed = Some(format!(
                        "the oldest detail is rolled up before its time, now up to {until}"
                    ));
                }
                Ok(Some(Step::Summary(dropped))) => {
                    pressed = Some(format!("summary {} is dropped unshipped", dropped.from_seq));
                }
                Ok(Some(_)) => {}
                Err(error) if error.is_damage() => {
                    self.set_aside(&error.to_string());
                    return;
                }
                Err(error) => {
                    warn!(%error, "old data could not be deleted; it is tried again");
                    return;
                }
            }
        }
        let Some(what) = pressed else { return };
        // At the limit something goes every hour: it is told again after a day without.
        let mono = self.mono();
        if self.pressed.replace(mono).is_none_or(|last| mono - last > DAY) {
            warn!("the database is at its limit: {what}");
            self.at_once(Work::Note(
                now,
                Noted::StoreFull,
                format!("the database is at its limit: {what}"),
            ));
        }
    }
}
