//! The logs of the life cycles: only added to, and only by what the life cycles allow.

use rusqlite::{OptionalExtension, params};

use crate::base::time::Wall;
use crate::sla::lifecycle::{CurrentState, CycleWord, Entry, Refused, Subject, follow};
use crate::sla::reader::Word;
use crate::store::{Store, StoreError};

/// Why an entry was not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// The life cycles refuse it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whose life cycle it belongs to.
    pub subject: Subject,
    /// What happened.
    pub entry: Entry,
    /// The evidence itself, where it is to be kept here.
    pub paper: Option<String>,
}

impl Store {
    /// Adds an entry, and gives where its subject stands then. Nobody else adds one in between.
    ///
    /// # Errors
    /// When the life cycles refuse it, or the database fails; then nothing is stored.
    pub fn record(&mut self, step: &Step) -> Result<CurrentState, NotRecorded> {
        self.together(|store| {
            let stored = store.life(Some(&step.subject.contract))?;
            let standing = follow(&stored, &step.subject, step.entry.clone())?;
            let (of, entry) = (&step.subject, &step.entry);
            store
                .db
                .execute(
                    "INSERT INTO life (cycle, contract, service, period, item, action, at_ns, \
                        recorded_ns, who, evidence,
                     paper) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    params![
                        of.cycle.word(),
                        of.contract,
                        of.service,
                        of.period,
                        of.item,
                        entry.action,
                        entry.at.nanos(),
                        entry.recorded.nanos(),
                        entry.who,
                        entry.evidence,
                        step.paper
                    ],
                )
                .map_err(StoreError::from)?;
            Ok(standing)
        })
    }

    /// Every entry, or those under one agreement, in the order of recording.
    ///
    /// # Errors
    /// When the database fails, or a row cannot be read.
    pub fn life(&self, contract: Option<&str>) -> Result<Vec<(Subject, Entry)>, StoreError> {
        if !self.has_life()? {
            return Ok(Vec::new());
        }
        let mut wanted = self.db.prepare_cached(
            "SELECT id, cycle, contract, service, period, item, action, at_ns, recorded_ns, who, \
                evidence FROM life
             WHERE ?1 IS NULL OR contract = ?1 ORDER BY id",
        )?;
        let mut rows = wanted.query([contract])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, cycle): (i64, String) = (row.get(0)?, row.get(1)?);
            let cycle = CycleWord::ALL.iter().copied().find(|each| each.word() == cycle);
            let cycle = cycle.ok_or_else(|| {
                StoreError::Damaged(format!("life {id}: there is no such life cycle"))
            })?;
            let subject = Subject {
                cycle,
                contract: row.get(2)?,
                service: row.get(3)?,
                period: row.get(4)?,
                item: row.get(5)?,
            };
            let entry = Entry {
                action: row.get(6)?,
                at: Wall::from_nanos(row.get(7)?),
                recorded: Wall::from_nanos(row.get(8)?),
                who: row.get(9)?,
                evidence: row.get(10)?,
                said: None,
            };
            all.push((subject, entry));
        }
        Ok(all)
    }

    /// A database that an earlier version wrote, and none has opened for writing since, has none.
    fn has_life(&self) -> Result<bool, StoreError> {
        let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'life'";
        Ok(self.db.prepare_cached(there)?.query_row([], |_| Ok(())).optional()?.is_some())
    }

    /// The kept evidence of this digest.
    ///
    /// # Errors
    /// When the database fails.
    pub fn paper(&self, digest: &str) -> Result<Option<String>, StoreError> {
        let mut wanted = self.db.prepare_cached(
            "SELECT paper FROM life WHERE evidence = ?1 AND paper IS NOT NULL LIMIT 1",
        )?;
        let mut rows = wanted.query([digest])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::from_secs(1_780_000_000);

    fn step(subject: &Subject, action: &str, second: i64) -> Step {
        let at = Wall::from_secs(NOW.secs() + second);
        let entry = Entry {
            action: action.to_owned(),
            at,
            recorded: at,
            who: "noc".to_owned(),
            evidence: None,
            said: None,
        };
        Step { subject: subject.clone(), entry, paper: None }
    }

    #[test]
    fn what_the_life_cycle_refuses_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path(), NOW).unwrap();
        let claim = Subject::claim("A", "s", "2026-06");
        assert_eq!(store.record(&step(&claim, "become_claimable", 0)).unwrap().state, "claimable");
        let refused = store.record(&step(&claim, "credit_note", 1)).unwrap_err().to_string();
        assert!(refused.starts_with("\"credit_note\" is no action of a claim"), "{refused}");
        let refused = store.record(&step(&claim, "reconcile", 1)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "a claim that is claimable cannot reconcile: it can submit, lapse, waive, credit"
        );
        assert_eq!(store.record(&step(&claim, "submit", 2)).unwrap().state, "submitted");
        let log = store.life(Some("A")).unwrap();
        assert_eq!(
            log.iter().map(|(_, entry)| entry.action.as_str()).collect::<Vec<_>>(),
            ["become_claimable", "submit"]
        );
        assert!(store.life(Some("B")).unwrap().is_empty());
    }

    #[test]
    fn the_log_is_only_added_to_and_its_papers_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path(), NOW).unwrap();
        let mut first = step(&Subject::period("A", "s", "2026-06", "avail"), "judge", 0);
        first.entry.evidence = Some("d1".to_owned());
        first.paper = Some("{}".to_owned());
        store.record(&first).unwrap();
        for sql in ["UPDATE life SET who = 'x'", "DELETE FROM life"] {
            let error = store.db.execute(sql, []).unwrap_err().to_string();
            assert!(error.contains("only added to"), "{error}");
        }
        assert_eq!(
            (store.paper("d1").unwrap().as_deref(), store.paper("d2").unwrap()),
            (Some("{}"), None)
        );
    }

    #[test]
    fn an_entry_is_added_while_an_agent_has_the_database() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Store::add(dir.path()), Err(StoreError::NoDatabase(_))));
        let (agent, _) = Store::open(dir.path(), NOW).unwrap();
        let mut beside = Store::add(dir.path()).unwrap();
        beside.record(&step(&Subject::agreement("A"), "activate", 0)).unwrap();
        assert_eq!(agent.life(None).unwrap().len(), 1);
        drop((agent, beside));
        Store::add(dir.path())
            .unwrap()
            .record(&step(&Subject::agreement("A"), "suspend", 1))
            .unwrap();
    }
}
