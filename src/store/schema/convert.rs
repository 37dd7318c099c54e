//! From schemas up to 3, which had a row for each interval, to blocks.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use crate::base::time::Wall;
use crate::measure::histogram::Packed;
use crate::measure::interval::{Interval, Phase, Spread};
use crate::store::{StoreError, block};

const COLUMNS: &str = "i.id, i.series, i.start_ms, i.millis, i.first_ms, s.period_ms, i.outcomes, \
    i.reasons, i.duplicates, i.reordered, i.kernel_stamped, i.rtt, i.rtt_sum_ns, i.ipdv, \
    i.ipdv_sum_ns, i.rfc3550_max_ns, i.phases";

/// Makes blocks of all intervals, in the order of writing, and drops their table. A block has the
/// number of its last interval, so that what was summarised before still is.
pub fn intervals(db: &Connection) -> Result<(), StoreError> {
    let summarised: i64 = db.query_row(
        "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'summarised'",
        [],
        |row| row.get(0),
    )?;
    let sql =
        format!("SELECT {COLUMNS} FROM interval i JOIN series s ON s.id = i.series ORDER BY i.id");
    let mut all = db.prepare(&sql)?;
    let mut rows = all.query([])?;
    let mut open: Vec<(i64, block::Row)> = Vec::new();
    while let Some(row) = rows.next()? {
        let next: (i64, block::Row) = (row.get(0)?, (row.get(1)?, read(row)?));
        let minute = |(id, (_, interval)): &(i64, block::Row)| {
            (*id > summarised, interval.from.millis() / 60_000)
        };
        if open.last().is_some_and(|last| minute(last) != minute(&next)) {
            shut(db, &open)?;
            open.clear();
        }
        open.push(next);
    }
    shut(db, &open)?;
    drop(rows);
    drop(all);
    Ok(db.execute_batch("DROP TABLE interval")?)
}

fn shut(db: &Connection, open: &[(i64, block::Row)]) -> Result<(), StoreError> {
    let Some((id, _)) = open.last() else { return Ok(()) };
    let start_ms = open.iter().map(|(_, (_, interval))| interval.from.millis()).min().unwrap_or(0);
    let body =
        block::write(start_ms, open.iter().map(|(_, (series, interval))| (*series, interval)))
            .map_err(StoreError::Unpacked)?;
    db.execute(
        "INSERT INTO block (id, start_ms, body) VALUES (?1, ?2, ?3)",
        params![id, start_ms, body],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Interval, StoreError> {
    let damaged = |what: &str| {
        StoreError::Damaged(format!("interval {}: {what}", row.get::<_, i64>(0).unwrap_or(-1)))
    };
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
    Ok(Interval {
        from: Wall::from_millis(row.get(2)?),
        millis: row.get(3)?,
        first_ms: row.get(4)?,
        period_ms: row.get(5)?,
        outcomes: row
            .get::<_, String>(6)?
            .parse()
            .map_err(|_| damaged("its outcomes cannot be read"))?,
        reasons: match reasons {
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| damaged("its reasons cannot be read"))?
            }
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
    })
}

#[cfg(test)]
mod tests;
