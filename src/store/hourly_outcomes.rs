//! Sheets: the outcomes of an hour that is over, of all probes, exactly as their minutes hold them
//! but without anything else. Judging a month of outcomes reads some hundred sheets instead of tens
//! of thousands of minutes of each probe.
//!
//! A sheet is text: `=` and a probe's name, then a line for each stretch of its time that goes on
//! without a boundary: where it begins and how long it is (milliseconds, the first counted from the
//! hour), the first send, the period, how many sends were not made for want of a carrier, and the
//! outcomes. Stretches are joined at whole minutes only, so that the minutes can be told apart
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::rollup::cut;
use crate::store::{Store, StoreError};

mod line;

use line::{line, read};

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
/// An hour is over for its sheet once its last minutes have surely been written.
const AFTER: Duration = Duration::from_secs(900);
/// The last hour, counted since 1970, before which hours without a sheet hold nothing.
const DONE: &str = "sheets";

impl Store {
    /// Writes the sheets of hours that are over, at most so many; gives how many. Within one
    /// transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn write_sheets(&self, now: Wall, most: usize) -> Result<usize, StoreError> {
        let Some((first, last)) = self.extent()? else { return Ok(0) };
        let over = (now - AFTER).min(last).millis().div_euclid(HOUR_MS);
        let begun = first.millis().div_euclid(HOUR_MS);
        let mut hour = self.sheets_done()?.unwrap_or(begun).max(begun);
        let mut written = 0;
        let probes = self.probes()?;
        while hour < over && written < most {
            self.write_sheet(hour, &probes)?;
            hour += 1;
            written += 1;
        }
        if written > 0 {
            self.set_meta(DONE, &hour.to_string())?;
        }
        // Those that grew stale, when a clock was set back.
        let mut stale = self
            .db
            .prepare_cached("SELECT hour FROM sheet WHERE body IS NULL ORDER BY hour LIMIT ?1")?;
        let left = i64::try_from(most.saturating_sub(written)).unwrap_or(0);
        let stale = stale.query_map([left], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        for hour in stale.iter().filter(|hour| **hour < over) {
            self.write_sheet(*hour, &probes)?;
        }
        Ok(written)
    }

    fn write_sheet(&self, hour: i64, probes: &[String]) -> Result<(), StoreError> {
        let from = Wall::from_millis(hour * HOUR_MS);
        let mut body = String::new();
        let names: Vec<&str> = probes.iter().map(String::as_str).collect();
        for (probe, found) in self.intervals_of(&names, from, from + HOUR)? {
            let joined = joined(begun_in(found, from, from + HOUR));
            if !joined.is_empty() {
                let _ = writeln!(body, "={probe}");
                joined.iter().for_each(|interval| line(&mut body, from, interval));
            }
        }
        let mut put = self.db.prepare_cached(
            "INSERT INTO sheet (hour, body) VALUES (?1, ?2) ON CONFLICT (hour) DO UPDATE SET body \
                = excluded.body",
        )?;
        put.execute(params![hour, body])?;
        self.write_figures(hour)
    }

    /// An interval was written that begins then: a sheet of that hour does not hold it.
    pub(in crate::store) fn sheet_grows_stale(&self, at: Wall) -> Result<(), StoreError> {
        let hour = at.millis().div_euclid(HOUR_MS);
        self.forget_figures(hour)?;
        if self
            .db
            .prepare_cached("UPDATE sheet SET body = NULL WHERE hour = ?1")?
            .execute([hour])?
            == 0
            && self.sheets_done()?.is_some_and(|done| hour < done)
        {
            self.db
                .prepare_cached("INSERT INTO sheet (hour, body) VALUES (?1, NULL)")?
                .execute([hour])?;
        }
        Ok(())
    }

    /// Deletes the sheets of hours that ended by then.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_sheets(&self, before: Wall) -> Result<usize, StoreError> {
        Ok(self
            .db
            .execute("DELETE FROM sheet WHERE hour < ?1", [before.millis().div_euclid(HOUR_MS)])?)
    }

    /// Deletes the sheets of the oldest day that has any; gives where it ends.
    pub(in crate::store) fn forget_oldest_sheets(&self) -> Result<Option<Wall>, StoreError> {
        let oldest: Option<i64> =
            self.db.query_row("SELECT min(hour) FROM sheet", [], |row| row.get(0))?;
        let Some(hour) = oldest else { return Ok(None) };
        let until = Wall::from_millis((hour.div_euclid(24) + 1).saturating_mul(24 * HOUR_MS));
        self.forget_sheets(until)?;
        Ok(Some(until))
    }

    fn sheets_done(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.meta(DONE)?.and_then(|hour| hour.parse().ok()))
    }

    /// What became of the sends of some probes in `from..to`, in the order of time: intervals that
    /// hold the outcomes and the loss of carrier alone, and may be as long as an hour. Those at the
    /// ends may reach over them.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn outcomes(
        &self,
        probes: &BTreeSet<&str>,
        from: Wall,
        to: Wall,
    ) -> Result<BTreeMap<String, Vec<Interval>>, StoreError> {
        let mut all: BTreeMap<String, Vec<Interval>> =
            probes.iter().map(|probe| ((*probe).to_owned(), Vec::new())).collect();
        if self.has_table("sheet")? {
            let mut next = from;
            let (first, last) =
                (from.millis().div_euclid(HOUR_MS), to.millis().div_euclid(HOUR_MS));
            let mut sheets = self.db.prepare_cached(
                "SELECT hour, body FROM sheet WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour",
            )?;
            let mut rows = sheets.query([first, last])?;
            while let Some(row) = rows.next()? {
                let hour: i64 = row.get(0)?;
                // One that grew stale is read from the minutes.
                let Some(body) = row.get_ref(1)?.as_str_or_null().map_err(rusqlite::Error::from)?
                else {
                    continue;
                };
                let begins = Wall::from_millis(hour.saturating_mul(HOUR_MS));
                self.minutes(probes, next, begins, &mut all)?;
                read(body, begins, &mut all).ok_or_else(|| damaged(hour))?;
                next = begins + HOUR;
            }
            self.minutes(probes, next, to, &mut all)?;
        } else {
            self.minutes(probes, from, to, &mut all)?;
        }
        Ok(all)
    }

    /// The outcomes of minutes that begin in a stretch without sheets; nothing where all of it was
    /// looked at, and is empty.
    fn minutes(
        &self,
        probes: &BTreeSet<&str>,
        from: Wall,
        to: Wall,
        all: &mut BTreeMap<String, Vec<Interval>>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let names: Vec<&str> = probes.iter().copied().collect();
        for (probe, found) in self.intervals_of(&names, from, to)? {
            let into = all.entry(probe).or_default();
            // One that reaches into the stretch from a sheet's hour is in that sheet.
            let known = into.last().map_or(Wall::from_nanos(i64::MIN), Interval::to);
            let parts = found.into_iter().flat_map(|interval| cut(interval, HOUR));
            let within = parts.filter(|interval| {
                interval.from >= known && interval.from < to && interval.to() > from
            });
            into.extend(joined(within));
        }
        Ok(())
    }

    /// Whether there is such a table: a database that is only read may be an older program's.
    pub(in crate::store) fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        Ok(self.db.prepare_cached(there)?.query_row([name], |_| Ok(())).optional()?.is_some())
    }
}

fn damaged(hour: i64) -> StoreError {
    StoreError::Damaged(format!("sheet {hour}: its outcomes cannot be read"))
}

/// Of intervals, which may be as long as a day, the parts that begin in an hour.
fn begun_in(all: Vec<Interval>, from: Wall, to: Wall) -> impl Iterator<Item = Interval> {
    let parts = all.into_iter().flat_map(|interval| cut(interval, HOUR));
    parts.filter(move |part| part.from >= from && part.from < to)
}

/// Joins intervals wherever one goes on at a whole minute where the one before ends, its sends in
/// step to the millisecond; what is no outcome is left out.
fn joined(all: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut joined: Vec<Interval> = Vec::new();
    for next in all {
        match joined.last_mut() {
            Some(last) if goes_on(last, &next) => {
                if last.outcomes.is_empty() && !next.outcomes.is_empty() {
                    last.first_ms = millis(last.from, next.due(0));
                }
                last.millis = millis(last.from, next.to());
                next.outcomes
                    .runs()
                    .for_each(|(count, outcome)| last.outcomes.push_run(count, outcome));
                if let Some(more) = next.reasons.get(&Reason::CARRIER.to_string()) {
                    *last.reasons.entry(Reason::CARRIER.to_string()).or_default() += more;
                }
            }
            _ => joined.push(bare(next)),
        }
    }
    joined
}

fn millis(from: Wall, to: Wall) -> u32 {
    u32::try_from(to.nanos_since(from) / 1_000_000).unwrap_or(u32::MAX)
}

/// An interval without anything but its outcomes and what tells loss of carrier.
fn bare(mut interval: Interval) -> Interval {
    let carrier = Reason::CARRIER.to_string();
    interval.reasons.retain(|reason, _| *reason == carrier);
    Interval {
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: None,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
        ..interval
    }
}

fn goes_on(last: &Interval, next: &Interval) -> bool {
    let in_step = last.outcomes.is_empty()
        || next.outcomes.is_empty()
        || next.due(0) == last.due(last.outcomes.len());
    next.from == last.to()
        && next.from.millis() % MINUTE_MS == 0
        && last.period_ms == next.period_ms
        && in_step
        && next.to().nanos_since(last.from) <= HOUR_MS * 1_000_000
        && one_carrier(last, next)
}

/// Whether the counts of sends that were not made for want of a carrier may be added, and still say
/// the same of each.
fn one_carrier(last: &Interval, next: &Interval) -> bool {
    let all_or_none = |interval: &Interval| {
        let unsent = interval.outcomes.count(Outcome::NotSent);
        let lost = interval.reasons.get(&Reason::CARRIER.to_string()).copied().map_or(0, u64::from);
        (unsent > 0).then_some(match lost {
            0 => Some(false),
            lost if lost >= unsent => Some(true),
            _ => None,
        })
    };
    match (all_or_none(last), all_or_none(next)) {
        (Some(last), Some(next)) => last.is_some() && last == next,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
