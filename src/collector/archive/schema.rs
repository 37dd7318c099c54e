//! The tables, for either database, and the steps from one version of them to the next.
//!
//! A step is never changed once it is published: what comes later is another step. On PostgreSQL
//! the steps are taken under an advisory lock, in one transaction, so that any number of replicas
//! may start together, and one of them takes them.
//!
//! Every table that grows with what agents ship has the agent first in its key, so that a
//! distributed engine can place its rows by it (docs/operations.md), and a time in nanoseconds by
//! which PostgreSQL keeps it in parts of a month: [`PARTED`].

use crate::collector::archive::db::Db;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};

/// A step, in the SQL of each.
struct Step {
    sqlite: &'static str,
    postgres: &'static str,
}

/// The tables that PostgreSQL keeps in parts of a month each, and the column that says which: the
/// table's DDL says `PARTITION BY RANGE (column)`, its keys hold the column, and a `…_rest
/// PARTITION OF … DEFAULT` has what lies in no month's part.
pub(super) const PARTED: &[(&str, &str)] = &[("summary", "from_ns")];

/// The version that this program knows: so many steps were taken.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// The advisory lock that whoever takes the steps holds.
const LOCK: i64 = 0x7761_6e70_726f_6f66;

const STEPS: &[Step] = &[
    Step {
        sqlite: "
            CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

            -- An agent is the thumbprint of its first key; state is pending, approved or revoked.
            CREATE TABLE agent (
                agent BLOB PRIMARY KEY, site TEXT NOT NULL, state TEXT NOT NULL, enrolled_ns \
            INTEGER NOT NULL
            ) WITHOUT ROWID;

            -- The keys of agents. One that was replaced signs nothing after the summary that \
            named its successor.
            CREATE TABLE agent_key (
                kid BLOB PRIMARY KEY, agent BLOB NOT NULL, x BLOB NOT NULL, place INTEGER NOT \
            NULL, last_chain BLOB,
                last_seq INTEGER
            ) WITHOUT ROWID;

            CREATE TABLE token (digest BLOB PRIMARY KEY, agent BLOB NOT NULL, used_ns INTEGER NOT \
            NULL) WITHOUT ROWID;

            CREATE TABLE chain (
                agent BLOB NOT NULL, chain BLOB NOT NULL, last_seq INTEGER NOT NULL, received_ns \
            INTEGER NOT NULL,
                follows_chain BLOB, follows_seq INTEGER, follows_digest BLOB, PRIMARY KEY (agent, \
            chain)
            ) WITHOUT ROWID;

            CREATE TABLE summary (
                agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT \
            NULL, prev BLOB,
                from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL,
                jws TEXT NOT NULL, receipt TEXT NOT NULL
            );
            CREATE UNIQUE INDEX summary_number ON summary (agent, chain, seq);

            -- What is missing, and what the agent said that it dropped; both ends included.
            CREATE TABLE gap (
                agent BLOB NOT NULL, chain BLOB NOT NULL, from_seq INTEGER NOT NULL, to_seq \
            INTEGER NOT NULL,
                PRIMARY KEY (agent, chain, from_seq)
            ) WITHOUT ROWID;
            CREATE TABLE dropped (
                agent BLOB NOT NULL, chain BLOB NOT NULL, from_seq INTEGER NOT NULL, to_seq \
            INTEGER NOT NULL,
                PRIMARY KEY (agent, chain, from_seq, to_seq)
            ) WITHOUT ROWID;

            -- What did not fit into its chain: evidence of a fault.
            CREATE TABLE conflict (
                agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT \
            NULL,
                received_ns INTEGER NOT NULL, why TEXT NOT NULL, jws TEXT NOT NULL
            );
            CREATE UNIQUE INDEX conflict_number ON conflict (agent, chain, seq, digest);",
        postgres: "
            CREATE TABLE agent (
                agent BYTEA PRIMARY KEY, site TEXT NOT NULL, state TEXT NOT NULL, enrolled_ns \
            BIGINT NOT NULL
            );
            CREATE TABLE agent_key (
                kid BYTEA PRIMARY KEY, agent BYTEA NOT NULL, x BYTEA NOT NULL, place BIGINT NOT \
            NULL, last_chain BYTEA,
                last_seq BIGINT
            );
            CREATE INDEX agent_key_agent ON agent_key (agent);
            CREATE TABLE token (digest BYTEA PRIMARY KEY, agent BYTEA NOT NULL, used_ns BIGINT \
            NOT NULL);
            CREATE TABLE chain (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, last_seq BIGINT NOT NULL, received_ns \
            BIGINT NOT NULL,
                follows_chain BYTEA, follows_seq BIGINT, follows_digest BYTEA, PRIMARY KEY \
            (agent, chain)
            );
            CREATE TABLE summary (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, seq BIGINT NOT NULL, digest BYTEA NOT \
            NULL, prev BYTEA,
                from_ns BIGINT NOT NULL, to_ns BIGINT NOT NULL, received_ns BIGINT NOT NULL,
                jws BYTEA NOT NULL, receipt TEXT NOT NULL, PRIMARY KEY (agent, chain, seq, from_ns)
            ) PARTITION BY RANGE (from_ns);
            CREATE TABLE summary_rest PARTITION OF summary DEFAULT;
            -- It is compressed before it is stored.
            ALTER TABLE summary ALTER COLUMN jws SET STORAGE EXTERNAL;
            CREATE TABLE gap (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, from_seq BIGINT NOT NULL, to_seq \
            BIGINT NOT NULL,
                PRIMARY KEY (agent, chain, from_seq)
            );
            CREATE TABLE dropped (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, from_seq BIGINT NOT NULL, to_seq \
            BIGINT NOT NULL,
                PRIMARY KEY (agent, chain, from_seq, to_seq)
            );
            CREATE TABLE conflict (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, seq BIGINT NOT NULL, digest BYTEA NOT \
            NULL,
                received_ns BIGINT NOT NULL, why TEXT NOT NULL, jws BYTEA NOT NULL,
                PRIMARY KEY (agent, chain, seq, digest)
            );",
    },
    // What the next summary of a chain is checked against lies beside its number, so that it costs
    // the same however much is stored; span_ns is how long its summaries' spans are.
    Step {
        sqlite: "
            ALTER TABLE chain ADD COLUMN last_digest BLOB;
            ALTER TABLE chain ADD COLUMN span_ns INTEGER NOT NULL DEFAULT 0;
            UPDATE chain SET (last_digest, span_ns) = (
                SELECT s.digest, s.to_ns - s.from_ns FROM summary s
                WHERE s.agent = chain.agent AND s.chain = chain.chain AND s.seq = chain.last_seq
            );
            CREATE INDEX agent_key_agent ON agent_key (agent);
            -- Bytes now, compressed or not.
            UPDATE summary SET jws = CAST(jws AS BLOB);
            UPDATE conflict SET jws = CAST(jws AS BLOB);",
        postgres: "
            ALTER TABLE chain ADD COLUMN last_digest BYTEA;
            ALTER TABLE chain ADD COLUMN span_ns BIGINT NOT NULL DEFAULT 0;",
    },
    // What the collector writes down itself: records and logs of JSON, and the folded days of each
    // agent's probes.
    Step {
        sqlite: "
            CREATE TABLE record (
                kind TEXT NOT NULL, id TEXT NOT NULL, changed_ns INTEGER NOT NULL, body TEXT NOT \
            NULL, PRIMARY KEY (kind, id)
            ) WITHOUT ROWID;
            CREATE TABLE entry (
                kind TEXT NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL, recorded_ns INTEGER NOT \
            NULL, body TEXT NOT NULL,
                PRIMARY KEY (kind, id, n)
            ) WITHOUT ROWID;
            CREATE TABLE lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until_ns INTEGER NOT \
            NULL) WITHOUT ROWID;
            CREATE TABLE folded (
                agent BLOB NOT NULL, chain BLOB NOT NULL, next_seq INTEGER NOT NULL, missing TEXT \
            NOT NULL,
                missing_count INTEGER NOT NULL, PRIMARY KEY (agent, chain)
            ) WITHOUT ROWID;
            CREATE TABLE folded_day (
                agent BLOB NOT NULL, chain BLOB NOT NULL, day INTEGER NOT NULL, from_seq INTEGER \
            NOT NULL,
                to_seq INTEGER NOT NULL, PRIMARY KEY (agent, chain, day)
            ) WITHOUT ROWID;
            CREATE TABLE fold (
                agent BLOB NOT NULL, probe TEXT NOT NULL, day INTEGER NOT NULL, whole BLOB NOT \
            NULL, hours BLOB NOT NULL
            );
            CREATE UNIQUE INDEX fold_day ON fold (agent, probe, day);",
        postgres: "
            CREATE TABLE record (
                kind TEXT NOT NULL, id TEXT COLLATE \"C\" NOT NULL, changed_ns BIGINT NOT NULL, \
            body TEXT NOT NULL,
                PRIMARY KEY (kind, id)
            );
            CREATE TABLE entry (
                kind TEXT NOT NULL, id TEXT COLLATE \"C\" NOT NULL, n BIGINT NOT NULL, \
            recorded_ns BIGINT NOT NULL,
                body TEXT NOT NULL, PRIMARY KEY (kind, id, n)
            );
            CREATE TABLE lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until_ns BIGINT NOT \
            NULL);
            CREATE TABLE folded (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, next_seq BIGINT NOT NULL, missing \
            TEXT NOT NULL,
                missing_count BIGINT NOT NULL, PRIMARY KEY (agent, chain)
            );
            CREATE TABLE folded_day (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, day BIGINT NOT NULL, from_seq BIGINT \
            NOT NULL,
                to_seq BIGINT NOT NULL, PRIMARY KEY (agent, chain, day)
            );
            CREATE TABLE fold (
                agent BYTEA NOT NULL, probe TEXT NOT NULL, day BIGINT NOT NULL, whole BYTEA NOT \
            NULL, hours BYTEA NOT NULL,
                PRIMARY KEY (agent, probe, day)
            );",
    },
    // Where each agent is and was: what is recorded later holds from its instant on. The site that
    // it has now is where it was put when it was let in; what a revoked one said from an instant on
    // is left out. Who was let in before whom has a number.
    Step {
        sqlite: "
            CREATE TABLE agent_site (
                agent BLOB NOT NULL, n INTEGER NOT NULL, site TEXT NOT NULL, from_ns INTEGER NOT \
            NULL,
                recorded_ns INTEGER NOT NULL, who TEXT NOT NULL, PRIMARY KEY (agent, n)
            ) WITHOUT ROWID;
            INSERT INTO agent_site (agent, n, site, from_ns, recorded_ns, who)
                SELECT agent, 0, site, enrolled_ns, enrolled_ns, 'enrolment' FROM agent;
            ALTER TABLE agent ADD COLUMN until_ns INTEGER;
            ALTER TABLE agent ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
            UPDATE agent SET place = (SELECT count(*) FROM agent b WHERE b.enrolled_ns < \
            agent.enrolled_ns);",
        postgres: "
            CREATE TABLE agent_site (
                agent BYTEA NOT NULL, n BIGINT NOT NULL, site TEXT NOT NULL, from_ns BIGINT NOT \
            NULL,
                recorded_ns BIGINT NOT NULL, who TEXT NOT NULL, PRIMARY KEY (agent, n)
            );
            INSERT INTO agent_site (agent, n, site, from_ns, recorded_ns, who)
                SELECT agent, 0, site, enrolled_ns, enrolled_ns, 'enrolment' FROM agent;
            ALTER TABLE agent ADD COLUMN until_ns BIGINT;
            ALTER TABLE agent ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
            UPDATE agent SET place = (SELECT count(*) FROM agent b WHERE b.enrolled_ns < \
            agent.enrolled_ns);",
    },
    // The requests to read that were granted, so that all replicas know them.
    Step {
        sqlite: "
            CREATE TABLE granted (agent BLOB NOT NULL, jti BLOB NOT NULL, exp INTEGER NOT NULL, \
            PRIMARY KEY (agent, jti)) WITHOUT ROWID;
            CREATE INDEX granted_exp ON granted (exp);",
        postgres: "
            CREATE TABLE granted (agent BYTEA NOT NULL, jti BYTEA NOT NULL, exp BIGINT NOT NULL, \
            PRIMARY KEY (agent, jti));
            CREATE INDEX granted_exp ON granted (exp);",
    },
    // What operators did, written in the transaction of what they did. And where an agent that
    // waits asked from, and when it did so last: by that those who ask too much, or not any more,
    // go.
    Step {
        sqlite: "
            CREATE TABLE audit (
                n INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, who TEXT NOT NULL, \
            via TEXT NOT NULL,
                action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
            );
            ALTER TABLE agent ADD COLUMN asked_from TEXT;
            ALTER TABLE agent ADD COLUMN asked_ns INTEGER;
            UPDATE agent SET asked_ns = enrolled_ns;
            CREATE INDEX agent_pending ON agent (asked_from, asked_ns) WHERE state = 'pending';",
        postgres: "
            CREATE TABLE audit (
                n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at_ns BIGINT NOT NULL, who \
            TEXT NOT NULL,
                via TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
            );
            ALTER TABLE agent ADD COLUMN asked_from TEXT;
            ALTER TABLE agent ADD COLUMN asked_ns BIGINT;
            UPDATE agent SET asked_ns = enrolled_ns;
            CREATE INDEX agent_pending ON agent (asked_from, asked_ns) WHERE state = 'pending';",
    },
    // Numbers that came into a gap, for the rounds to look at: what is missing is asked of the
    // gaps, never written down number by number; turn counts how often a chain was folded. And what
    // is left out of the rounds.
    Step {
        sqlite: "
            CREATE TABLE late (
                agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY \
            (agent, chain, seq)
            ) WITHOUT ROWID;
            CREATE TABLE quarantine (
                agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, why TEXT NOT \
            NULL, since_ns INTEGER NOT NULL,
                PRIMARY KEY (agent, chain, seq)
            ) WITHOUT ROWID;
            ALTER TABLE folded ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;",
        postgres: "
            CREATE TABLE late (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY \
            (agent, chain, seq)
            );
            CREATE TABLE quarantine (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, seq BIGINT NOT NULL, why TEXT NOT \
            NULL, since_ns BIGINT NOT NULL,
                PRIMARY KEY (agent, chain, seq)
            );
            ALTER TABLE folded ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;",
    },
    // Summaries that came too late to count, which are not folded.
    Step {
        sqlite: "
            CREATE TABLE held (
                agent BLOB NOT NULL, chain BLOB NOT NULL, seq INTEGER NOT NULL, from_ns INTEGER \
            NOT NULL, to_ns INTEGER NOT NULL,
                received_ns INTEGER NOT NULL, boot TEXT NOT NULL, why TEXT NOT NULL, PRIMARY KEY \
            (agent, chain, seq)
            ) WITHOUT ROWID;",
        postgres: "
            CREATE TABLE held (
                agent BYTEA NOT NULL, chain BYTEA NOT NULL, seq BIGINT NOT NULL, from_ns BIGINT \
            NOT NULL, to_ns BIGINT NOT NULL,
                received_ns BIGINT NOT NULL, boot TEXT NOT NULL, why TEXT NOT NULL, PRIMARY KEY \
            (agent, chain, seq)
            );",
    },
    // When each chain was heard of first, and how far it has told: what late summaries may go on
    // from.
    Step {
        sqlite: "
            ALTER TABLE chain ADD COLUMN first_ns INTEGER;
            UPDATE chain SET first_ns = COALESCE((
                SELECT s.received_ns FROM summary s WHERE s.agent = chain.agent AND s.chain = \
            chain.chain ORDER BY s.seq LIMIT 1
            ), received_ns);
            ALTER TABLE folded ADD COLUMN told_ns INTEGER;
            ALTER TABLE folded ADD COLUMN since_ns INTEGER;
            ALTER TABLE folded ADD COLUMN by_late INTEGER NOT NULL DEFAULT 0;
            UPDATE folded SET (told_ns, since_ns) = (
                SELECT s.to_ns, s.received_ns FROM summary s
                WHERE s.agent = folded.agent AND s.chain = folded.chain AND s.seq = \
            folded.next_seq - 1
            );",
        postgres: "
            ALTER TABLE chain ADD COLUMN first_ns BIGINT;
            UPDATE chain SET first_ns = COALESCE((
                SELECT s.received_ns FROM summary s WHERE s.agent = chain.agent AND s.chain = \
            chain.chain ORDER BY s.seq LIMIT 1
            ), received_ns);
            ALTER TABLE folded ADD COLUMN told_ns BIGINT;
            ALTER TABLE folded ADD COLUMN since_ns BIGINT;
            ALTER TABLE folded ADD COLUMN by_late BIGINT NOT NULL DEFAULT 0;
            UPDATE folded SET (told_ns, since_ns) = (
                SELECT s.to_ns, s.received_ns FROM summary s
                WHERE s.agent = folded.agent AND s.chain = folded.chain AND s.seq = \
            folded.next_seq - 1
            );",
    },
];

/// How many steps were taken; 0 where there is no database of ours.
pub(super) fn version(db: &Db) -> Result<i64, ArchiveError> {
    match db {
        Db::Sqlite(db) => Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?),
        Db::Postgres(_) => {
            let there = "SELECT count(*) FROM information_schema.tables
                         WHERE table_schema = current_schema() AND table_name = 'meta'";
            if db.one(there, args![], |row| row.get::<i64>(0))? != Some(1) {
                return Ok(0);
            }
            let version =
                db.one("SELECT value FROM meta WHERE key = 'schema'", args![], |row| {
                    row.get::<String>(0)
                })?;
            version.map_or(Ok(0), |version| {
                version
                    .parse()
                    .map_err(|_| ArchiveError::Damaged(format!("its schema is {version:?}")))
            })
        }
    }
}

/// Keeps every other replica from changing the tables until the transaction ends.
pub(super) fn lock(db: &Db) -> Result<(), ArchiveError> {
    match db {
        Db::Sqlite(_) => Ok(()),
        Db::Postgres(db) => db.batch(&format!("SELECT pg_advisory_xact_lock({LOCK})")),
    }
}

/// Makes the tables of a version in a new file of SQLite's; of this program's, where none is said.
pub(super) fn make(db: &rusqlite::Connection, version: Option<i64>) -> Result<(), ArchiveError> {
    let found = version.unwrap_or(VERSION);
    let steps = usize::try_from(found)
        .ok()
        .and_then(|count| STEPS.get(..count))
        .ok_or(ArchiveError::Later { found })?;
    for step in steps {
        db.execute_batch(step.sqlite)?;
    }
    Ok(db.pragma_update(None, "user_version", found)?)
}

/// Takes the steps that were not taken yet, in one transaction.
pub(super) fn prepare(archive: &mut Archive) -> Result<(), ArchiveError> {
    archive.write(|archive| {
        let db = &archive.db;
        if let Db::Postgres(_) = db {
            // Whoever waits here finds everything done. The lock ends with the transaction.
            lock(db)?;
            db.batch(
                "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
            )?;
        }
        let found = version(db)?;
        let taken = usize::try_from(found).ok().filter(|&taken| taken <= STEPS.len());
        let taken = taken.ok_or(ArchiveError::Later { found })?;
        for step in &STEPS[taken..] {
            db.batch(match db {
                Db::Sqlite(_) => step.sqlite,
                Db::Postgres(_) => step.postgres,
            })?;
        }
        if taken == STEPS.len() {
            return Ok(());
        }
        match db {
            Db::Sqlite(db) => Ok(db.pragma_update(None, "user_version", VERSION)?),
            Db::Postgres(_) => {
                let sql = "INSERT INTO meta (key, value) VALUES ('schema', ?1)
                           ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                db.execute(sql, args![&VERSION.to_string()]).map(drop)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;
    use crate::config::collector::Database;
    use crate::evidence::key::SecretKey;

    #[test]
    fn agents_of_a_database_of_before_are_at_their_sites_since_they_were_let_in() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("c.db");
        let db = rusqlite::Connection::open(&path).unwrap();
        STEPS[..3].iter().for_each(|step| db.execute_batch(step.sqlite).unwrap());
        db.pragma_update(None, "user_version", 3).unwrap();
        let kid = |seed: u8| SecretKey::from_seed(&[seed; 32]).kid();
        for (seed, site, enrolled) in [(1, "york", 20), (2, "leeds", 10)] {
            let sql = "INSERT INTO agent (agent, site, state, enrolled_ns) VALUES (?1, ?2, \
                'approved', ?3)";
            db.execute(sql, (kid(seed).bytes(), site, Wall::from_secs(enrolled).nanos())).unwrap();
        }
        drop(db);
        let register = Archive::open(&Database::Sqlite(path)).unwrap().register().unwrap();
        let of = |seed| register.get(kid(seed)).unwrap();
        assert_eq!((of(1).place, of(2).place), (1, 0), "in the order of their enrolment");
        assert_eq!(
            (of(1).site_at(Wall::from_secs(21)), of(2).site_at(Wall::from_secs(11))),
            (Some("york"), Some("leeds"))
        );
        assert_eq!(
            (of(1).stays.len(), of(1).stays[0].recorded, of(1).until),
            (1, Wall::from_secs(20), None)
        );
    }
}
