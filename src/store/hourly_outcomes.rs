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

fn line(body: &mut String, hour: Wall, interval: &Interval) {
    let Interval { from, millis, first_ms, period_ms, outcomes, .. } = interval;
    let carrier = interval.reasons.get(&Reason::CARRIER.to_string()).copied().unwrap_or(0);
    let begins = from.nanos_since(hour) / 1_000_000;
    let _ = writeln!(body, "{begins} {millis} {first_ms} {period_ms} {carrier} {outcomes}");
}

/// Reads the wanted probes of a sheet; nothing where it is not what was written.
fn read(body: &str, hour: Wall, all: &mut BTreeMap<String, Vec<Interval>>) -> Option<()> {
    let mut rest = body;
    while let Some(part) = rest.strip_prefix('=') {
        let (name, after) = part.split_once('\n')?;
        // No outcome and no number holds a `=`.
        let end = after.find("\n=").map_or(after.len(), |at| at + 1);
        let (lines, next) = after.split_at(end);
        if let Some(into) = all.get_mut(name) {
            for line in lines.lines() {
                into.push(interval(line, hour)?);
            }
        }
        rest = next;
    }
    rest.is_empty().then_some(())
}

fn interval(line: &str, hour: Wall) -> Option<Interval> {
    let mut parts = line.splitn(6, ' ');
    let begins: i64 = parts.next()?.parse().ok()?;
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (millis, first_ms, period_ms, carrier) = (number()?, number()?, number()?, number()?);
    let outcomes = parts.next()?.parse().ok()?;
    let reasons = if carrier > 0 {
        BTreeMap::from([(Reason::CARRIER.to_string(), carrier)])
    } else {
        BTreeMap::new()
    };
    let from = hour.shifted(begins.checked_mul(1_000_000)?);
    Some(bare(Interval {
        from,
        millis,
        first_ms,
        period_ms,
        outcomes,
        reasons,
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: None,
        ipdv: None,
        rfc3550_max_ns: None,
        phases: BTreeMap::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::intervals::{RowId, Series};

    /// The begin of an hour.
    const BEGIN: Wall = Wall::from_secs(1_780_002_000);

    fn series(probe: &str) -> Series {
        Series {
            probe: probe.to_owned(),
            service: None,
            kind: "icmp".to_owned(),
            target: "192.0.2.1".to_owned(),
            address: None,
            period_ms: 1000,
            timeout_ms: 1000,
            cutoff_ms: 1000,
            settings: String::new(),
        }
    }

    fn minute(number: u64, first_ms: u32, outcomes: &str, carrier: u32) -> Interval {
        let reasons = if carrier > 0 {
            BTreeMap::from([(Reason::CARRIER.to_string(), carrier)])
        } else {
            BTreeMap::new()
        };
        bare(Interval {
            from: BEGIN + Duration::from_secs(number * 60),
            millis: 60_000,
            first_ms,
            period_ms: 1000,
            outcomes: outcomes.parse().unwrap(),
            reasons,
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt: None,
            ipdv: None,
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        })
    }

    /// Each send with the instant at which it was due.
    fn sends(all: &[Interval]) -> Vec<(Wall, Outcome)> {
        all.iter().flat_map(Interval::sends).collect()
    }

    fn two_hours(store: &Store) {
        for probe in ["p", "q"] {
            let id = store.series(&series(probe)).unwrap();
            for number in (0..130).filter(|number| *number != 70) {
                let (first, outcomes, carrier) = match number {
                    20 => (400, "10a5l45a", 0),
                    21.. if number < 40 => (401, "60a", 0),
                    50 => (400, "30n30a", 30),
                    51 => (400, "30n30a", 10),
                    _ => (400, "60a", 0),
                };
                store.append(id, &minute(number, first, outcomes, carrier)).unwrap();
            }
        }
    }

    #[test]
    fn sheets_hold_every_send_of_their_hours_and_the_rest_is_read_from_the_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
        two_hours(&store);
        let (from, to) = (BEGIN - HOUR, BEGIN + 4 * HOUR);
        let wanted = BTreeSet::from(["p"]);
        let plain = store.intervals("p", from, to).unwrap();
        let before = store.outcomes(&wanted, from, to).unwrap().remove("p").unwrap();
        assert_eq!(store.write_sheets(BEGIN + 4 * HOUR, 100).unwrap(), 2);
        let after = store.outcomes(&wanted, from, to).unwrap().remove("p").unwrap();
        assert_eq!(sends(&after), sends(&plain));
        assert_eq!(sends(&before), sends(&plain));
        // A boundary where the sends fell out of step, where the carrier was missing in part, and
        // where a minute is missing.
        let begins: Vec<i64> =
            after.iter().map(|each| each.from.nanos_since(BEGIN) / 60_000_000_000).collect();
        assert_eq!(begins, [0, 21, 40, 51, 60, 71, 120]);
        assert_eq!(after[2].reasons.values().sum::<u32>(), 30);
        assert_eq!(after[3].reasons.values().sum::<u32>(), 10);
        // Once the minutes are gone, the sheets are still there.
        store.db.execute("DELETE FROM block", []).unwrap();
        let alone = store.outcomes(&wanted, from, to).unwrap().remove("p").unwrap();
        assert_eq!(
            sends(&alone),
            sends(&plain).into_iter().filter(|(at, _)| *at < BEGIN + 2 * HOUR).collect::<Vec<_>>()
        );
        assert_eq!(store.forget_sheets(BEGIN + HOUR).unwrap(), 1);
    }

    #[test]
    fn sheets_are_the_same_from_minutes_from_hours_and_from_days() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
        two_hours(&store);
        let id = store.series(&series("p")).unwrap();
        (130..60 * 30).for_each(|number| store.append(id, &minute(number, 400, "60a", 0)).unwrap());
        store.set_summarised(RowId(i64::MAX - 1)).unwrap();
        let (from, to, now) = (BEGIN - HOUR, BEGIN + 29 * HOUR, BEGIN + 40 * HOUR);
        let wanted = BTreeSet::from(["p", "q"]);
        let known = |store: &Store| {
            let all = store.outcomes(&wanted, from, to).unwrap();
            all.into_iter().map(|(probe, all)| (probe, sends(&all))).collect::<BTreeMap<_, _>>()
        };
        let plain = known(&store);
        // What is rolled up may be told some milliseconds beside where it was.
        let is_plain = |from: &str| {
            for (probe, sends) in known(&store) {
                assert_eq!(sends.len(), plain[&probe].len(), "{probe} {from}");
                for ((due, outcome), (at, of)) in sends.iter().zip(&plain[&probe]) {
                    assert!(
                        outcome == of && due.nanos_since(*at).abs() <= 10_000_000,
                        "{probe} {from}: {due}, {at}"
                    );
                }
            }
        };
        assert_eq!(plain["p"].len(), 129 * 60 + (29 * 60 - 130) * 60);
        let never = Wall::from_nanos(i64::MAX);
        while store.roll_up_minutes(never).unwrap().is_some() {}
        is_plain("from hours");
        assert!(store.roll_up_hours(never).unwrap().is_some());
        is_plain("from a day and hours");
        while store.write_sheets(now, 3).unwrap() > 0 {
            is_plain("from some sheets");
        }
        store.sheet_grows_stale(BEGIN + 2 * HOUR).unwrap();
        store.sheet_grows_stale(BEGIN + 3 * HOUR).unwrap();
        is_plain("with sheets that grew stale");
    }

    #[test]
    fn a_sheet_to_whose_hour_something_is_added_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
        two_hours(&store);
        let now = BEGIN + 4 * HOUR;
        store.write_sheets(now, 100).unwrap();
        let id = store.series(&series("p")).unwrap();
        store.append(id, &minute(70, 400, "60l", 0)).unwrap();
        let wanted = BTreeSet::from(["p"]);
        let plain = sends(&store.intervals("p", BEGIN, now).unwrap());
        assert_eq!(sends(&store.outcomes(&wanted, BEGIN, now).unwrap()["p"]), plain);
        store.write_sheets(now, 100).unwrap();
        let stale: i64 = store
            .db
            .query_row("SELECT count(*) FROM sheet WHERE body IS NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!((stale, sends(&store.outcomes(&wanted, BEGIN, now).unwrap()["p"])), (0, plain));
    }
}
