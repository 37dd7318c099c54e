//! Outages: opened and closed as they happen.

use rusqlite::{Row, params};
use serde::Serialize;

use crate::base::time::Wall;
use crate::measure::reasons::Reasons;
use crate::sla::reader::Word;
use crate::sla::terms::Side;
use crate::store::bytes::sum;
use crate::store::{Store, StoreError};

/// An outage, by one definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// The service that was down; [`None`] for a probe that no contract judges.
    pub service: Option<String>,
    /// The probe that showed it.
    pub probe: String,
    /// By which definition: `CONTRACT/VERSION#OBJECTIVE`, or `builtin`.
    pub definition: String,
    /// When the first failed send was due.
    pub from: Wall,
    /// When the first good send after it was due; [`None`] while it lasts.
    pub to: Option<Wall>,
    /// Whose side failed: `provider`, `customer` or `unknown`.
    pub side: String,
    /// What was seen around it.
    pub evidence: serde_json::Value,
}

impl Outage {
    /// Whose side failed, as the rules take it.
    #[must_use]
    pub fn side(&self) -> Side {
        Side::ALL.iter().copied().find(|side| side.word() == self.side).unwrap_or(Side::Unknown)
    }

    /// Why its probe's sends were not answered since it began, as far as its evidence says: what is
    /// of an earlier version does not.
    #[must_use]
    pub fn reasons(&self) -> Reasons {
        Reasons::of_json(&self.evidence["reasons"])
    }
}

/// An outage as JSON shows it; `to` and `seconds` are null while it lasts.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    service: Option<&'a str>,
    probe: &'a str,
    from: Wall,
    to: Option<Wall>,
    seconds: Option<f64>,
    definition: &'a str,
    side: &'a str,
    /// The most frequent of the reasons in its evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    evidence: &'a serde_json::Value,
    /// Up to when it was observed, where its end was not seen and nobody observes it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_until: Option<Wall>,
}

impl Shown<'_> {
    /// Nobody observes it any more; it was observed until then.
    #[must_use]
    pub fn until(self, observed: Option<Wall>) -> Self {
        Self { observed_until: observed.filter(|_| self.to.is_none()), ..self }
    }
}

impl<'a> From<&'a Outage> for Shown<'a> {
    fn from(outage: &'a Outage) -> Self {
        Self {
            service: outage.service.as_deref(),
            probe: &outage.probe,
            from: outage.from,
            to: outage.to,
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of an outage are far below 2^53"
            )]
            seconds: outage.to.map(|to| (to.nanos_since(outage.from) / 1_000_000) as f64 / 1000.0),
            definition: &outage.definition,
            side: &outage.side,
            reason: outage.reasons().first(),
            evidence: &outage.evidence,
            observed_until: None,
        }
    }
}

/// The number of an outage in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutageId(i64);

pub(in crate::store) const COLUMNS: &str =
    "id, service, probe, definition, from_ns, to_ns, side, evidence, sum";

/// The checksum of an outage's row.
fn sum_of(outage: &Outage, evidence: &str) -> u32 {
    sum([
        outage.service.as_deref().unwrap_or_default().as_bytes(),
        outage.probe.as_bytes(),
        outage.definition.as_bytes(),
        &outage.from.nanos().to_le_bytes(),
        &outage.to.map_or(i64::MIN, Wall::nanos).to_le_bytes(),
        outage.side.as_bytes(),
        evidence.as_bytes(),
    ])
}

impl Store {
    /// Enters an outage.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open_outage(&self, outage: &Outage) -> Result<OutageId, StoreError> {
        let evidence = outage.evidence.to_string();
        self.db.execute(
            "INSERT INTO outage (service, probe, definition, from_ns, to_ns, side, evidence, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                outage.service,
                outage.probe,
                outage.definition,
                outage.from.nanos(),
                outage.to.map(Wall::nanos),
                outage.side,
                evidence,
                sum_of(outage, &evidence)
            ],
        )?;
        Ok(OutageId(self.db.last_insert_rowid()))
    }

    /// Enters its end.
    ///
    /// # Errors
    /// When the database fails.
    pub fn close_outage(&self, id: OutageId, to: Wall) -> Result<(), StoreError> {
        self.change_outage(id, |outage| outage.to = Some(to))
    }

    /// Replaces what is known of whose side failed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn attribute_outage(
        &self,
        id: OutageId,
        side: &str,
        evidence: &serde_json::Value,
    ) -> Result<(), StoreError> {
        self.change_outage(id, |outage| {
            side.clone_into(&mut outage.side);
            outage.evidence.clone_from(evidence);
        })
    }

    fn change_outage(
        &self,
        id: OutageId,
        change: impl FnOnce(&mut Outage),
    ) -> Result<(), StoreError> {
        let mut wanted =
            self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM outage WHERE id = ?1"))?;
        let mut rows = wanted.query([id.0])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let (_, mut outage) = read(row)?;
        drop(rows);
        change(&mut outage);
        let evidence = outage.evidence.to_string();
        self.db.execute(
            "UPDATE outage SET from_ns = ?6, to_ns = ?2, side = ?3, evidence = ?4, sum = ?5 WHERE \
                id = ?1",
            params![
                id.0,
                outage.to.map(Wall::nanos),
                outage.side,
                evidence,
                sum_of(&outage, &evidence),
                outage.from.nanos()
            ],
        )?;
        Ok(())
    }

    /// Moves all outages from this number on that began by `until`, and the ends that they had by
    /// then; their evidence is changed too.
    pub(in crate::store) fn move_outages(
        &self,
        first: i64,
        by_ns: i64,
        until: Wall,
        change: impl Fn(&mut serde_json::Value),
    ) -> Result<(), StoreError> {
        let mut wanted =
            self.db.prepare("SELECT id FROM outage WHERE id >= ?1 AND from_ns <= ?2")?;
        let all: Vec<i64> = wanted
            .query_map(params![first, until.nanos()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in all {
            self.change_outage(OutageId(id), |outage| {
                outage.from = outage.from.shifted(by_ns);
                outage.to = outage.to.map(|to| if to <= until { to.shifted(by_ns) } else { to });
                change(&mut outage.evidence);
            })?;
        }
        Ok(())
    }

    /// Deletes the outages that ended before an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_outages(&self, before: Wall) -> Result<usize, StoreError> {
        Ok(self.db.execute("DELETE FROM outage WHERE to_ns < ?1", [before.nanos()])?)
    }

    /// The outages that touch `from..to`, oldest first.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn outages(&self, from: Wall, to: Wall) -> Result<Vec<(OutageId, Outage)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outage WHERE from_ns < ?2 AND (to_ns IS NULL OR to_ns > ?1) \
                ORDER BY from_ns, id"
        );
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query(params![from.nanos(), to.nanos()])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    /// Up to when a probe was observed: the end of the last interval that is stored of it, or the
    /// newest thing that is.
    ///
    /// # Errors
    /// When the database fails.
    pub fn observed_until(&self, probe: &str) -> Result<Option<Wall>, StoreError> {
        match self.last_interval(probe)? {
            Some(last) => Ok(Some(last.to())),
            None => self.newest(),
        }
    }

    /// The outages that have no end yet, oldest first.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn open_outages(&self) -> Result<Vec<(OutageId, Outage)>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM outage WHERE to_ns IS NULL ORDER BY from_ns, id");
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

pub(in crate::store) fn read(row: &Row<'_>) -> Result<(OutageId, Outage), StoreError> {
    let id: i64 = row.get(0)?;
    let evidence: String = row.get(7)?;
    let outage = Outage {
        service: row.get(1)?,
        probe: row.get(2)?,
        definition: row.get(3)?,
        from: Wall::from_nanos(row.get(4)?),
        to: row.get::<_, Option<i64>>(5)?.map(Wall::from_nanos),
        side: row.get(6)?,
        evidence: serde_json::from_str(&evidence).map_err(|_| {
            StoreError::Damaged(format!("outage {id}: its evidence cannot be read"))
        })?,
    };
    let damaged =
        row.get::<_, Option<u32>>(8)?.is_some_and(|sum| sum != sum_of(&outage, &evidence));
    if damaged {
        Err(StoreError::Damaged(format!("outage {id} is not what was written")))
    } else {
        Ok((OutageId(id), outage))
    }
}
