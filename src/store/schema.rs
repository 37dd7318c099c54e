//! The schema and its migrations.
//!
//! What all probes saw over one stretch is one row, only ever appended, so that a commit touches
//! few pages: on flash, every page counts.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

mod convert;

/// Each element brings the database from its place to the next; they are never changed, only added
/// to.
const MIGRATIONS: [&str; 8] = [
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    -- A probe with one set of settings and one address.
    CREATE TABLE series (
        id         INTEGER PRIMARY KEY,
        probe      TEXT NOT NULL,
        service    TEXT,
        kind       TEXT NOT NULL,
        target     TEXT NOT NULL,
        address    TEXT,
        period_ms  INTEGER NOT NULL,
        timeout_ms INTEGER NOT NULL,
        cutoff_ms  INTEGER NOT NULL,
        settings   TEXT NOT NULL
    );
    CREATE INDEX series_by_probe ON series (probe);

    CREATE TABLE interval (
        id             INTEGER PRIMARY KEY,
        series         INTEGER NOT NULL REFERENCES series (id),
        start_ms       INTEGER NOT NULL,
        millis         INTEGER NOT NULL,
        first_ms       INTEGER NOT NULL,
        outcomes       TEXT NOT NULL,
        reasons        TEXT,
        duplicates     INTEGER NOT NULL,
        reordered      INTEGER NOT NULL,
        kernel_stamped INTEGER NOT NULL,
        rtt            BLOB,
        rtt_sum_ns     INTEGER,
        ipdv           BLOB,
        ipdv_sum_ns    INTEGER,
        rfc3550_max_ns INTEGER,
        phases         TEXT
    );
    CREATE INDEX interval_by_start ON interval (start_ms);

    CREATE TABLE outage (
        id         INTEGER PRIMARY KEY,
        service    TEXT,
        probe      TEXT NOT NULL,
        definition TEXT NOT NULL,
        from_ns    INTEGER NOT NULL,
        to_ns      INTEGER,
        side       TEXT NOT NULL,
        evidence   TEXT NOT NULL
    );
    CREATE INDEX outage_by_from ON outage (from_ns);

    -- What happened to the agent itself: starts, clock steps, refusals, damage.
    CREATE TABLE event (
        id     INTEGER PRIMARY KEY,
        at_ns  INTEGER NOT NULL,
        kind   TEXT NOT NULL,
        detail TEXT NOT NULL
    );

    CREATE TABLE summary (
        id       INTEGER PRIMARY KEY,
        chain    TEXT NOT NULL,
        seq      INTEGER NOT NULL,
        from_ns  INTEGER NOT NULL,
        to_ns    INTEGER NOT NULL,
        digest   TEXT NOT NULL,
        bytes    INTEGER NOT NULL,
        state    TEXT NOT NULL,
        jws      BLOB NOT NULL,
        problem  TEXT,
        receipt  TEXT,
        received TEXT,
        UNIQUE (chain, seq)
    );
    CREATE INDEX summary_waiting ON summary (id) WHERE state = 'waiting';

    CREATE TABLE contract (
        id      TEXT NOT NULL,
        version INTEGER NOT NULL,
        sha256  TEXT NOT NULL,
        toml    TEXT NOT NULL,
        source  TEXT NOT NULL,
        PRIMARY KEY (id, version, sha256)
    ) WITHOUT ROWID;
",
    LIFE,
    SHEETS,
    BLOCKS,
    AGAIN,
    FIGURES,
    HELD,
    ANSWERS,
];

/// The logs of the life cycles. What does not apply to a subject is empty; `paper` is the evidence
/// itself where it is small and ours, such as a verdict.
const LIFE: &str = "
    CREATE TABLE life (
        id          INTEGER PRIMARY KEY,
        cycle       TEXT NOT NULL,
        contract    TEXT NOT NULL,
        service     TEXT NOT NULL,
        period      TEXT NOT NULL,
        item        TEXT NOT NULL,
        action      TEXT NOT NULL,
        at_ns       INTEGER NOT NULL,
        recorded_ns INTEGER NOT NULL,
        who         TEXT NOT NULL,
        evidence    TEXT,
        paper       TEXT
    );
    CREATE INDEX life_by_contract ON life (contract);
    CREATE TRIGGER life_is_not_changed BEFORE UPDATE ON life
        BEGIN SELECT RAISE(ABORT, 'the log of a life cycle is only added to'); END;
    CREATE TRIGGER life_is_not_deleted BEFORE DELETE ON life
        BEGIN SELECT RAISE(ABORT, 'the log of a life cycle is only added to'); END;
";

/// See sheets.rs; `hour` counts since 1970, and a body that is absent has grown stale.
const SHEETS: &str = "CREATE TABLE sheet (hour INTEGER PRIMARY KEY, body TEXT)";
/// Intervals in blocks, and what was added with them.
const BLOCKS: &str = "
    -- What all probes saw over one stretch, at most a minute; numbered in the order of writing. \
    `body` is of block.rs.
    CREATE TABLE block (
        id       INTEGER PRIMARY KEY,
        start_ms INTEGER NOT NULL,
        body     BLOB NOT NULL
    );
    CREATE INDEX block_by_start ON block (start_ms);

    -- Minutes rolled up, numbered by the hour and by the day since 1970; of the same form.
    CREATE TABLE hour (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE day (id INTEGER PRIMARY KEY, body BLOB NOT NULL);

    -- The blocks that a summary signs, where its own body holds only what they do not.
    ALTER TABLE summary ADD COLUMN first_block INTEGER;
    ALTER TABLE summary ADD COLUMN last_block INTEGER;
    -- Bytes that are kept for its sake: its own, and its part of the blocks.
    ALTER TABLE summary ADD COLUMN weight INTEGER;
    -- What it says was dropped, so that it is said again where this one must be dropped too.
    ALTER TABLE summary ADD COLUMN told TEXT;

    -- Checksums of what no body protects.
    ALTER TABLE meta ADD COLUMN sum INTEGER;
    ALTER TABLE series ADD COLUMN sum INTEGER;
    ALTER TABLE outage ADD COLUMN sum INTEGER;
    ALTER TABLE summary ADD COLUMN sum INTEGER;
";

/// The probes once more: a page that is damaged must not leave all minutes without a name.
const AGAIN: &str = "
    CREATE TABLE series_again (
        id         INTEGER PRIMARY KEY,
        probe      TEXT NOT NULL,
        service    TEXT,
        kind       TEXT NOT NULL,
        target     TEXT NOT NULL,
        address    TEXT,
        period_ms  INTEGER NOT NULL,
        timeout_ms INTEGER NOT NULL,
        cutoff_ms  INTEGER NOT NULL,
        settings   TEXT NOT NULL,
        sum        INTEGER
    );
    INSERT INTO series_again SELECT * FROM series;
";

/// See figures.rs; `hour` counts since 1970, and the body is of block.rs.
const FIGURES: &str = "CREATE TABLE figure (hour INTEGER PRIMARY KEY, body BLOB NOT NULL)";

/// What was measured before the clock was set, by the boot; `body` is of held.rs.
const HELD: &str =
    "CREATE TABLE held (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, body BLOB NOT NULL)";

/// What became of each summary, beside it.
const ANSWERS: &str = "
    -- A row of its own, so that what was signed is not written again when its receipt comes. Of \
    what was answered before there was
    -- this table, the answer stands in the summary's own row.
    CREATE TABLE answer (
        id       INTEGER PRIMARY KEY,
        state    TEXT NOT NULL,
        problem  TEXT,
        receipt  TEXT,
        received TEXT
    );
    CREATE TABLE waiting (id INTEGER PRIMARY KEY);
    INSERT INTO waiting SELECT id FROM summary WHERE state = 'waiting';
    DROP INDEX summary_waiting;
    CREATE TRIGGER summary_takes_its_answer AFTER DELETE ON summary BEGIN
        DELETE FROM answer WHERE id = old.id;
        DELETE FROM waiting WHERE id = old.id;
    END;
    -- Summaries as they stand.
    CREATE VIEW outbox AS SELECT
        summary.id, chain, seq, from_ns, to_ns, digest, bytes, sum, jws, first_block, last_block, \
    weight, told,
        iif(answer.id IS NULL, summary.state, answer.state) AS state,
        iif(answer.id IS NULL, summary.problem, answer.problem) AS problem,
        iif(answer.id IS NULL, summary.receipt, answer.receipt) AS receipt,
        iif(answer.id IS NULL, summary.received, answer.received) AS received
        FROM summary LEFT JOIN answer ON answer.id = summary.id;
";

/// The bytes of a page. Small ones suit what is written here: a minute's commit touches a few, and
/// each that it touches is written twice, to the log and to its place.
pub const PAGE: u32 = 1024;
/// Pages in the log before they are taken to their places, until a limit is known that has room for
/// more.
const CHECKPOINT: u32 = 700;

/// Sets the connection up for the one writer, and migrates.
pub fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    // The page size and the vacuum mode can only be chosen before the first table is made.
    db.pragma_update(None, "page_size", PAGE)?;
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on the disk when it returns, so that a receipt or a signed number never
    // outlives its row.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", "ON")?;
    db.pragma_update(None, "cache_size", -2048)?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    db.pragma_update(None, "journal_size_limit", 1_048_576)?;
    let found = check(db)?;
    for (number, migration) in
        MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0))
    {
        let work = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        work.execute_batch(migration)?;
        if number == 3 {
            convert::intervals(&work)?;
        }
        work.pragma_update(None, "user_version", i64::try_from(number + 1).unwrap_or(i64::MAX))?;
        work.commit()?;
    }
    Ok(())
}

/// The schema's number; an error where it is higher than this program knows.
pub fn check(db: &Connection) -> Result<i64, StoreError> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = known();
    match found {
        0.. if found <= known => Ok(found),
        // No version will be so far ahead of this one.
        0.. if found <= known + 1000 => Err(StoreError::Newer { found, known }),
        _ => Err(StoreError::Damaged(format!("its schema's number is {found}"))),
    }
}

/// The number of the schema that this program writes.
pub fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("few migrations")
}

#[cfg(test)]
mod tests;
