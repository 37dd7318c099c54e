//! Figures: the histograms of an hour that is over, its minutes merged, beside the minutes
//! themselves. Judging a month of latencies merges some hundred hours of each probe instead of tens
//! of thousands of minutes, and holds no more in memory. Whoever needs to tell the minutes of an
//! hour apart reads those.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rusqlite::params;
use tracing::warn;

use crate::base::time::Wall;
use crate::measure::interval::Interval;
use crate::measure::rollup::join;
use crate::sla::contract::{self, Written};
use crate::store::tier::Tier;
use crate::store::{Store, StoreError, block};

const HOUR: Duration = Tier::Hours.length();

impl Store {
    /// Writes the figures of an hour that is over from its minutes, where a contract that is kept
    /// asks for any.
    pub(in crate::store) fn write_figures(&self, hour: i64) -> Result<(), StoreError> {
        self.forget_figures(hour)?;
        // Of what is rolled up there are hours and days already.
        let rolled = "SELECT EXISTS (SELECT 1 FROM hour WHERE id = ?1) OR EXISTS (SELECT 1 FROM \
            day WHERE id = ?2)";
        if self
            .db
            .prepare_cached(rolled)?
            .query_row([hour, hour.div_euclid(24)], |row| row.get(0))?
            || !self.figures_are_asked_for()?
        {
            return Ok(());
        }
        let start_ms = hour.saturating_mul(Tier::Hours.millis());
        let from = Wall::from_millis(start_ms);
        let mut minutes: BTreeMap<i64, Vec<Interval>> = BTreeMap::new();
        for (series, mut interval) in self.minutes_begun(from, from + HOUR)? {
            // No contract asks for a phase of a request.
            interval.phases.clear();
            minutes.entry(series).or_default().push(interval);
        }
        let mut merged = Vec::new();
        for (series, intervals) in minutes {
            let one = join(intervals, |_, _| true)
                .map_err(|error| StoreError::Damaged(error.to_string()))?;
            merged.extend(one.into_iter().map(|interval| (series, interval)));
        }
        if merged.is_empty() {
            return Ok(());
        }
        let body =
            block::write(start_ms, merged.iter().map(|(series, interval)| (*series, interval)))
                .map_err(StoreError::Unpacked)?;
        self.db
            .prepare_cached("INSERT INTO figure (hour, body) VALUES (?1, ?2)")?
            .execute(params![hour, body])?;
        Ok(())
    }

    /// What was merged of an hour holds no more.
    pub(in crate::store) fn forget_figures(&self, hour: i64) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM figure WHERE hour = ?1")?.execute([hour])?;
        Ok(())
    }

    fn figures_are_asked_for(&self) -> Result<bool, StoreError> {
        let kept = self.contract_files()?;
        let written: Vec<Written> =
            kept.iter().filter_map(|file| Written::read(&file.toml, &file.id).ok()).collect();
        let mut contracts = written.iter().filter_map(|own| contract::resolve(own, &written).ok());
        Ok(contracts
            .any(|contract| contract.objectives.iter().any(|objective| objective.samples())))
    }

    /// The intervals of some probes that touch `from..to`, in the order of time, for figures: hours
    /// where they were merged, and else as they are stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn figures(
        &self,
        probes: &BTreeSet<&str>,
        from: Wall,
        to: Wall,
    ) -> Result<BTreeMap<String, Vec<Interval>>, StoreError> {
        let series = self.all_series()?;
        let names: BTreeMap<i64, &str> =
            series.iter().map(|(id, series)| (id.0, series.probe.as_str())).collect();
        let mut all: BTreeMap<String, Vec<Interval>> =
            probes.iter().map(|probe| ((*probe).to_owned(), Vec::new())).collect();
        let (first, last) = (
            from.millis().div_euclid(Tier::Hours.millis()),
            to.millis().div_euclid(Tier::Hours.millis()),
        );
        let mut next = from;
        if self.has_table("figure")? {
            let mut hours = self.db.prepare_cached(
                "SELECT hour, body FROM figure WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour",
            )?;
            let mut rows = hours.query([first, last])?;
            while let Some(row) = rows.next()? {
                let hour: i64 = row.get(0)?;
                let begins = Wall::from_millis(hour.saturating_mul(Tier::Hours.millis()));
                let wanted = |id| names.get(&id).is_some_and(|probe| probes.contains(probe));
                let read = block::read(
                    begins.millis(),
                    row.get_ref(1)?.as_blob().unwrap_or_default(),
                    wanted,
                );
                // What is damaged here is in the minutes still.
                let Ok(read) = read else {
                    warn!(hour = %begins, "a merged hour is damaged, and its minutes are read \
                        instead");
                    continue;
                };
                self.stored_figures(probes, (next, begins), from, &mut all)?;
                for (id, interval) in
                    read.into_iter().filter(|(_, each)| each.from < to && each.to() > from)
                {
                    if let Some(into) = names.get(&id).and_then(|probe| all.get_mut(*probe)) {
                        into.push(interval);
                    }
                }
                next = begins + HOUR;
            }
        }
        self.stored_figures(probes, (next, to), from, &mut all)?;
        all.values_mut().for_each(|intervals| intervals.sort_by_key(|interval| interval.from));
        Ok(all)
    }

    /// What begins in a stretch without merged hours; at `first`, also what reaches into it.
    fn stored_figures(
        &self,
        probes: &BTreeSet<&str>,
        (from, to): (Wall, Wall),
        first: Wall,
        all: &mut BTreeMap<String, Vec<Interval>>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let names: Vec<&str> = probes.iter().copied().collect();
        for (probe, found) in self.intervals_of(&names, from, to)? {
            let begun = found
                .into_iter()
                .filter(|interval| interval.from < to && (interval.from >= from || from == first));
            all.entry(probe).or_default().extend(begun);
        }
        Ok(())
    }
}
