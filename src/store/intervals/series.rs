//! Series: what the intervals of a probe at one address have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rusqlite::{OptionalExtension, params};

use crate::store::bytes::sum;
use crate::store::{Store, StoreError};

/// A probe with one set of settings and one address: what its intervals have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// The probe's name.
    pub probe: String,
    /// The service that it measures.
    pub service: Option<String>,
    /// `icmp`, `http`, `tcp` or `dns`.
    pub kind: String,
    /// The target as it was written.
    pub target: String,
    /// The address behind it.
    pub address: Option<IpAddr>,
    /// From one due send to the next, in milliseconds.
    pub period_ms: u32,
    /// How long an answer is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// From when on an answer is late, in milliseconds.
    pub cutoff_ms: u32,
    /// The digest of the checked settings.
    pub settings: String,
}

/// The number of a series in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub(in crate::store) i64);

impl SeriesId {
    pub(in crate::store) const fn new(id: i64) -> Self {
        Self(id)
    }

    pub(in crate::store) const fn number(self) -> i64 {
        self.0
    }
}

impl Series {
    fn sum(&self, id: i64) -> u32 {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        let numbers =
            [self.period_ms, self.timeout_ms, self.cutoff_ms].map(u32::to_le_bytes).concat();
        sum([
            &id.to_le_bytes(),
            self.probe.as_bytes(),
            self.service.as_deref().unwrap_or_default().as_bytes(),
            self.kind.as_bytes(),
            self.target.as_bytes(),
            address.as_bytes(),
            &numbers,
            self.settings.as_bytes(),
        ])
    }
}

impl Store {
    /// The number of a series; it is entered if it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub fn series(&self, series: &Series) -> Result<SeriesId, StoreError> {
        let address = series.address.map(|address| address.to_string());
        let known = self
            .db
            .prepare_cached(
                "SELECT id FROM series WHERE probe = ?1 AND service IS ?2 AND kind = ?3 AND \
                    target = ?4 AND address IS ?5
                 AND period_ms = ?6 AND timeout_ms = ?7 AND cutoff_ms = ?8 AND settings = ?9",
            )?
            .query_row(
                params![
                    series.probe,
                    series.service,
                    series.kind,
                    series.target,
                    address,
                    series.period_ms,
                    series.timeout_ms,
                    series.cutoff_ms,
                    series.settings
                ],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(id) = known {
            return Ok(SeriesId(id));
        }
        // Above all that a damaged database had: its minutes may still name those that could not be
        // read.
        let next = "SELECT max(coalesce(max(id), 0), ?1) + 1 FROM series";
        let id: i64 = self.db.prepare_cached(next)?.query_row([self.base], |row| row.get(0))?;
        self.db
            .prepare_cached(
                "INSERT INTO series (id, probe, service, kind, target, address, period_ms, \
                    timeout_ms, cutoff_ms, settings, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                id,
                series.probe,
                series.service,
                series.kind,
                series.target,
                address,
                series.period_ms,
                series.timeout_ms,
                series.cutoff_ms,
                series.settings,
                series.sum(id)
            ])?;
        self.write_series_again(id)?;
        Ok(SeriesId(id))
    }

    /// The names of all probes that have intervals, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub fn probes(&self) -> Result<Vec<String>, StoreError> {
        let mut all = self.db.prepare("SELECT DISTINCT probe FROM series ORDER BY probe")?;
        let names = all.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(names)
    }

    /// Every series.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all_series(&self) -> Result<BTreeMap<SeriesId, Series>, StoreError> {
        let mut all = BTreeMap::new();
        self.each_series(|_| true, |id, series| drop(all.insert(id, series)))?;
        Ok(all)
    }

    /// Some series.
    ///
    /// # Errors
    /// When the database fails.
    pub fn series_of(
        &self,
        wanted: &BTreeSet<SeriesId>,
    ) -> Result<BTreeMap<SeriesId, Series>, StoreError> {
        let mut all = BTreeMap::new();
        self.each_series(|id| wanted.contains(&id), |id, series| drop(all.insert(id, series)))?;
        Ok(all)
    }

    /// Gives those series that are `wanted` to `take`, so that they need not be in memory together.
    ///
    /// # Errors
    /// When the database fails, or one cannot be read.
    pub fn each_series(
        &self,
        wanted: impl Fn(SeriesId) -> bool,
        mut take: impl FnMut(SeriesId, Series),
    ) -> Result<(), StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT id, probe, service, kind, target, address, period_ms, timeout_ms, cutoff_ms, \
                settings, sum FROM series",
        )?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if !wanted(SeriesId(id)) {
                continue;
            }
            let address: Option<String> = row.get(5)?;
            let one = Series {
                probe: row.get(1)?,
                service: row.get(2)?,
                kind: row.get(3)?,
                target: row.get(4)?,
                address: address.and_then(|address| address.parse().ok()),
                period_ms: row.get(6)?,
                timeout_ms: row.get(7)?,
                cutoff_ms: row.get(8)?,
                settings: row.get(9)?,
            };
            let sum: Option<u32> = row.get(10)?;
            if sum.is_some_and(|sum| sum != one.sum(id)) {
                return Err(StoreError::Damaged(format!("series {id} is not what was written")));
            }
            take(SeriesId(id), one);
        }
        Ok(())
    }
}
