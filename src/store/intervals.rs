//! Intervals: appended a minute at a time, read by probe and time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rusqlite::{OptionalExtension, Row, params};

use crate::base::time::Wall;
use crate::measure::histogram::Packed;
use crate::measure::interval::{Interval, Phase, Spread};
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
pub struct SeriesId(i64);

/// The number of a stored interval; they rise in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub(in crate::store) i64);

const COLUMNS: &str = "i.id, i.series, i.start_ms, i.millis, i.first_ms, s.period_ms, i.outcomes, i.reasons, i.duplicates, \
    i.reordered, i.kernel_stamped, i.rtt, i.rtt_sum_ns, i.ipdv, i.ipdv_sum_ns, i.rfc3550_max_ns, i.phases";

/// No interval is longer than a minute, so one that touches a span begins at most this long before it.
const LONGEST_MS: i64 = 60_000;

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
                "SELECT id FROM series WHERE probe = ?1 AND service IS ?2 AND kind = ?3 AND target = ?4 AND address IS ?5
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
        self.db.execute(
            "INSERT INTO series (probe, service, kind, target, address, period_ms, timeout_ms, cutoff_ms, settings)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
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
        )?;
        Ok(SeriesId(self.db.last_insert_rowid()))
    }

    /// Appends an interval.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, series: SeriesId, interval: &Interval) -> Result<(), StoreError> {
        let reasons = (!interval.reasons.is_empty()).then(|| json(&interval.reasons));
        let phases = (!interval.phases.is_empty()).then(|| json(&interval.phases));
        let bytes = |spread: &Option<Spread>| spread.as_ref().map(|spread| spread.histogram.bytes().to_vec());
        let sum =
            |spread: &Option<Spread>| spread.as_ref().map(|spread| i64::try_from(spread.sum_ns).unwrap_or(i64::MAX));
        self.db
            .prepare_cached(
                "INSERT INTO interval (series, start_ms, millis, first_ms, outcomes, reasons, duplicates, reordered,
                 kernel_stamped, rtt, rtt_sum_ns, ipdv, ipdv_sum_ns, rfc3550_max_ns, phases)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                series.0,
                interval.from.millis(),
                interval.millis,
                interval.first_ms,
                interval.outcomes.to_string(),
                reasons,
                interval.duplicates,
                interval.reordered,
                interval.kernel_stamped,
                bytes(&interval.rtt),
                sum(&interval.rtt),
                bytes(&interval.ipdv),
                sum(&interval.ipdv),
                interval.rfc3550_max_ns.map(|nanos| i64::try_from(nanos).unwrap_or(i64::MAX)),
                phases,
            ])?;
        self.sheet_grows_stale(interval.from)
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
        let mut all = self.db.prepare_cached(
            "SELECT id, probe, service, kind, target, address, period_ms, timeout_ms, cutoff_ms, settings FROM series",
        )?;
        let rows = all.query_map([], |row| {
            let address: Option<String> = row.get(5)?;
            let series = Series {
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
            Ok((SeriesId(row.get(0)?), series))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The intervals of a probe that touch `from..to`, in the order of time.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn intervals(&self, probe: &str, from: Wall, to: Wall) -> Result<Vec<Interval>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM interval i JOIN series s ON s.id = i.series
             WHERE i.start_ms > ?2 AND i.start_ms < ?3 AND i.start_ms + i.millis > ?4 AND s.probe = ?1
             ORDER BY i.start_ms, i.id"
        );
        let mut wanted = self.db.prepare_cached(&sql)?;
        let from_ms = from.millis();
        let mut rows = wanted.query(params![probe, from_ms.saturating_sub(LONGEST_MS), to.millis(), from_ms])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?.2);
        }
        Ok(all)
    }

    /// The last interval of a probe.
    ///
    /// # Errors
    /// When the database fails, or the row cannot be read.
    pub fn last_interval(&self, probe: &str) -> Result<Option<Interval>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM interval i JOIN series s ON s.id = i.series
             WHERE s.probe = ?1 ORDER BY i.id DESC LIMIT 1"
        );
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query([probe])?;
        match rows.next()? {
            Some(row) => Ok(Some(read(row)?.2)),
            None => Ok(None),
        }
    }

    /// When the first and the last interval of any probe begin.
    ///
    /// # Errors
    /// When the database fails.
    pub fn extent(&self) -> Result<Option<(Wall, Wall)>, StoreError> {
        let (first, last) = self.db.query_row("SELECT min(start_ms), max(start_ms) FROM interval", [], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        Ok(first.zip(last).map(|(first, last)| (Wall::from_millis(first), Wall::from_millis(last))))
    }

    /// The intervals that no summary holds yet, in the order of writing.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn unsummarised(&self) -> Result<Vec<(RowId, SeriesId, Interval)>, StoreError> {
        let after: i64 = self.meta("summarised")?.and_then(|id| id.parse().ok()).unwrap_or(0);
        let sql =
            format!("SELECT {COLUMNS} FROM interval i JOIN series s ON s.id = i.series WHERE i.id > ?1 ORDER BY i.id");
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query([after])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    /// Remembers that all intervals up to this one are in a summary.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_summarised(&self, up_to: RowId) -> Result<(), StoreError> {
        self.set_meta("summarised", &up_to.0.to_string())
    }

    /// Deletes the intervals that begin before `before` and are in a summary; gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_intervals(&self, before: Wall) -> Result<usize, StoreError> {
        let after: i64 = self.meta("summarised")?.and_then(|id| id.parse().ok()).unwrap_or(i64::MAX);
        Ok(self.db.execute("DELETE FROM interval WHERE start_ms < ?1 AND id <= ?2", params![before.millis(), after])?)
    }

    /// Deletes the oldest `count` intervals, whatever they are in; gives the begin of the newest of them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_oldest(&self, count: u32) -> Result<Option<Wall>, StoreError> {
        let newest: Option<i64> = self
            .db
            .query_row(
                "SELECT max(start_ms) FROM (SELECT start_ms FROM interval ORDER BY id LIMIT ?1)",
                [count],
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        self.db.execute("DELETE FROM interval WHERE id IN (SELECT id FROM interval ORDER BY id LIMIT ?1)", [count])?;
        Ok(newest.map(Wall::from_millis))
    }
}

fn json<K: serde::Serialize + Ord, V: serde::Serialize>(map: &BTreeMap<K, V>) -> String {
    serde_json::to_string(map).expect("maps with text keys are JSON")
}

fn read(row: &Row<'_>) -> Result<(RowId, SeriesId, Interval), StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("interval {}: {what}", row.get::<_, i64>(0).unwrap_or(-1)));
    let spread = |histogram: usize, sum: usize| -> Result<Option<Spread>, StoreError> {
        let bytes: Option<Vec<u8>> = row.get(histogram)?;
        let sum: Option<i64> = row.get(sum)?;
        Ok(bytes.map(|bytes| Spread {
            histogram: Packed::from_bytes(bytes),
            sum_ns: u64::try_from(sum.unwrap_or(0)).unwrap_or(0),
        }))
    };
    let reasons: Option<String> = row.get(7)?;
    let phases: Option<String> = row.get(16)?;
    let interval = Interval {
        from: Wall::from_millis(row.get(2)?),
        millis: row.get(3)?,
        first_ms: row.get(4)?,
        period_ms: row.get(5)?,
        outcomes: row.get::<_, String>(6)?.parse().map_err(|_| damaged("its outcomes cannot be read"))?,
        reasons: match reasons {
            Some(text) => serde_json::from_str(&text).map_err(|_| damaged("its reasons cannot be read"))?,
            None => BTreeMap::new(),
        },
        duplicates: row.get(8)?,
        reordered: row.get(9)?,
        kernel_stamped: row.get(10)?,
        rtt: spread(11, 12)?,
        ipdv: spread(13, 14)?,
        rfc3550_max_ns: row.get::<_, Option<i64>>(15)?.and_then(|nanos| u64::try_from(nanos).ok()),
        phases: match phases {
            Some(text) => serde_json::from_str::<BTreeMap<Phase, Packed>>(&text)
                .map_err(|_| damaged("its phases cannot be read"))?,
            None => BTreeMap::new(),
        },
    };
    Ok((RowId(row.get(0)?), SeriesId(row.get(1)?), interval))
}
