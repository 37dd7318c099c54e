//! Everything that is looked at to find what is missing or wrong.

use crate::base::time::Wall;
use crate::collector::alerts::Receiver;
use crate::collector::amend::Undermined;
use crate::collector::archive::salvage::Salvaged;
use crate::collector::fleet::AgentView;
use crate::collector::left_behind::LeftBehind;
use crate::collector::operations::agreements::Book;
use crate::collector::operations::claims::ClaimView;
use crate::collector::operations::duties::DutyView;
use crate::collector::operations::late::LateView;
use crate::collector::operations::rights::RightView;
use crate::collector::verdicts::{Fleet, Judgement};

/// Everything that is looked at.
#[derive(Debug)]
pub struct Look<'a> {
    /// The agents.
    pub agents: &'a [AgentView],
    /// What they said last.
    pub fleet: &'a Fleet,
    /// The contracts.
    pub book: &'a Book,
    /// The verdicts of the running period and of the one before.
    pub verdicts: &'a [Judgement],
    /// The claims.
    pub claims: &'a [ClaimView],
    /// The rights to terminate.
    pub rights: &'a [RightView],
    /// The duties.
    pub duties: &'a [DutyView],
    /// Who is told of alerts, and how it stands with them.
    pub receivers: &'a [(&'static str, Receiver)],
    /// What came of a damaged database, for as long as that is kept.
    pub salvaged: Option<&'a Salvaged>,
    /// Frozen verdicts that rest on what does not count any more.
    pub undermined: &'a [Undermined],
    /// The agents that a change of the collector's key went on without.
    pub left_behind: &'a [LeftBehind],
    /// What came too late to count.
    pub late: &'a [LateView],
    /// So many days before its last one a claim's deadline is near.
    pub near_days: i64,
    /// Now.
    pub now: Wall,
}
