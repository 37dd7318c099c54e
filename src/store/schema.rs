//! The schema and its migrations.
//!
//! Rows of intervals are only ever appended, in the order of time, so that a commit touches few pages: on flash, every page
//! counts.

use rusqlite::Connection;

use crate::store::StoreError;

/// Each element brings the database from its place to the next; they are never changed, only added to.
const MIGRATIONS: [&str; 3] = [
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
];

/// The logs of the life cycles. What does not apply to a subject is empty; `paper` is the evidence itself where it is
/// small and ours, such as a verdict.
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

/// Sets the connection up for the one writer, and migrates.
pub fn prepare(db: &Connection) -> Result<(), StoreError> {
    // The page size and the vacuum mode can only be chosen before the first table is made.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on the disk when it returns, so that a receipt or a signed number never outlives its row.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", "ON")?;
    db.pragma_update(None, "cache_size", -2048)?;
    db.pragma_update(None, "journal_size_limit", 1_048_576)?;
    let found = check(db)?;
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        db.execute_batch(&format!("BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {}; COMMIT", number + 1))?;
    }
    Ok(())
}

/// The schema's number; an error where it is higher than this program knows.
pub fn check(db: &Connection) -> Result<i64, StoreError> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known() { Err(StoreError::Newer { found, known: known() }) } else { Ok(found) }
}

/// The number of the schema that this program writes.
pub fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("few migrations")
}
