//! The labels of agents.

use std::collections::BTreeMap;

use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::key::Kid;

/// Labels of an agent: what an operator sorts by, such as `region = north`.
pub type Labels = BTreeMap<String, String>;

/// The labels of an agent.
///
/// # Errors
/// When the database fails.
pub fn labels(archive: &Archive, agent: Kid) -> Result<Labels, ArchiveError> {
    Ok(archive.record(Kind::Labels, &agent.to_string())?.unwrap_or_default())
}

/// The labels of every agent that has any.
///
/// # Errors
/// When the database fails.
pub fn all_labels(archive: &Archive) -> Result<BTreeMap<String, Labels>, ArchiveError> {
    let all = archive.records::<Labels>(Kind::Labels, Page::default())?;
    Ok(all.into_iter().map(|record| (record.id, record.body)).collect())
}
