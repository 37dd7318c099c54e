//! What an operator's hand changes of what an agent may speak for: it was moved, or revoked from an instant on. The change itself
//! is made at once; what it touches is judged anew by whoever goes round, who finds here what to do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page, Record};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::desk::key;
use crate::evidence::key::Kid;

/// A change of what an agent may speak for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// The agent.
    pub agent: Kid,
    /// From when on it changes what the agent may speak for.
    pub from: Wall,
    /// The sites whose services it touches.
    pub sites: BTreeSet<String>,
    /// Whether what came from then on is to be left out of what was folded.
    pub leaves_out: LeavesOut,
    /// What was done, for people: `agent … was revoked from … on`.
    pub why: String,
}

/// Whether a change leaves out what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavesOut {
    /// It only says where the agent was.
    Nothing,
    /// What the agent said from the instant on is left out.
    WhatCame,
}

/// Says that a change is to be carried out.
///
/// # Errors
/// When the database fails.
pub fn note(archive: &Archive, amendment: &Amendment, now: Wall) -> Result<(), ArchiveError> {
    archive.put_record(Kind::Amendment, &key(&[&amendment.agent.to_string(), &now.to_string()]), amendment, now)
}

/// What is to be carried out.
///
/// # Errors
/// When the database fails.
pub fn waiting(archive: &Archive) -> Result<Vec<Record<Amendment>>, ArchiveError> {
    archive.records(Kind::Amendment, Page::default())
}
