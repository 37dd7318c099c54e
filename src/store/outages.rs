//! Outages: opened and closed as they happen.

use rusqlite::{Row, params};
use serde::Serialize;

use crate::base::time::Wall;
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
    evidence: &'a serde_json::Value,
}

impl<'a> From<&'a Outage> for Shown<'a> {
    fn from(outage: &'a Outage) -> Self {
        Self {
            service: outage.service.as_deref(),
            probe: &outage.probe,
            from: outage.from,
            to: outage.to,
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of an outage are far below 2^53")]
            seconds: outage.to.map(|to| (to.nanos_since(outage.from) / 1_000_000) as f64 / 1000.0),
            definition: &outage.definition,
            side: &outage.side,
            evidence: &outage.evidence,
        }
    }
}

/// The number of an outage in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutageId(i64);

const COLUMNS: &str = "id, service, probe, definition, from_ns, to_ns, side, evidence";

impl Store {
    /// Enters an outage.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open_outage(&self, outage: &Outage) -> Result<OutageId, StoreError> {
        self.db.execute(
            "INSERT INTO outage (service, probe, definition, from_ns, to_ns, side, evidence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                outage.service,
                outage.probe,
                outage.definition,
                outage.from.nanos(),
                outage.to.map(Wall::nanos),
                outage.side,
                outage.evidence.to_string()
            ],
        )?;
        Ok(OutageId(self.db.last_insert_rowid()))
    }

    /// Enters its end.
    ///
    /// # Errors
    /// When the database fails.
    pub fn close_outage(&self, id: OutageId, to: Wall) -> Result<(), StoreError> {
        self.db.execute("UPDATE outage SET to_ns = ?2 WHERE id = ?1", params![id.0, to.nanos()])?;
        Ok(())
    }

    /// Replaces what is known of whose side failed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn attribute_outage(&self, id: OutageId, side: &str, evidence: &serde_json::Value) -> Result<(), StoreError> {
        self.db.execute(
            "UPDATE outage SET side = ?2, evidence = ?3 WHERE id = ?1",
            params![id.0, side, evidence.to_string()],
        )?;
        Ok(())
    }

    /// The outages that touch `from..to`, oldest first.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn outages(&self, from: Wall, to: Wall) -> Result<Vec<(OutageId, Outage)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outage WHERE from_ns < ?2 AND (to_ns IS NULL OR to_ns > ?1) ORDER BY from_ns, id"
        );
        let mut wanted = self.db.prepare_cached(&sql)?;
        let mut rows = wanted.query(params![from.nanos(), to.nanos()])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
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

fn read(row: &Row<'_>) -> Result<(OutageId, Outage), StoreError> {
    let id: i64 = row.get(0)?;
    let evidence: String = row.get(7)?;
    let outage = Outage {
        service: row.get(1)?,
        probe: row.get(2)?,
        definition: row.get(3)?,
        from: Wall::from_nanos(row.get(4)?),
        to: row.get::<_, Option<i64>>(5)?.map(Wall::from_nanos),
        side: row.get(6)?,
        evidence: serde_json::from_str(&evidence)
            .map_err(|_| StoreError::Damaged(format!("outage {id}: its evidence cannot be read")))?,
    };
    Ok((OutageId(id), outage))
}
