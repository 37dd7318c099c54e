//! Something that is missing or wrong: what kind of thing, what it is about, and what it is, for
//! people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of thing was found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// An agent missed summaries.
    Silent,
    /// Numbers of a chain did not come, and the agent did not say that it dropped them.
    Gap,
    /// The agent said that it had to drop numbers of a chain.
    Dropped,
    /// Summaries did not fit into their chain.
    ChainConflict,
    /// Summaries came too late to count.
    LateEvidence,
    /// An agent's clock is not synchronised.
    ClockUnsynchronised,
    /// An agent does not judge by the contracts in force.
    ContractOutdated,
    /// An agent's own verdict is not ours.
    VerdictDiffers,
    /// A contract or its facts cannot be judged by.
    NotJudged,
    /// A claim's last day is near.
    ClaimDeadline,
    /// A right to terminate may be exercised.
    RightAccrued,
    /// A duty was not done by when it was due.
    DutyOverdue,
    /// A change of the collector's key went on without an agent.
    LeftBehind,
    /// One who is to be told of alerts cannot be told.
    ReceiverFailing,
    /// The collector's own database was damaged.
    DatabaseSalvaged,
    /// An agent says that it is at a site where it was not put.
    ForeignSite,
    /// An agent measures for a service that no contract has at its site.
    ForeignService,
    /// Another agent that measures the same comes to another result than the one whose figures
    /// bind.
    WitnessDiffers,
    /// A frozen verdict rests on what does not count any more.
    FrozenVerdict,
    /// Summaries are left out of what is judged, since they cannot be worked with.
    Quarantined,
    /// A clock was ahead of what another says.
    ClockAhead,
    /// The collector's own clock is behind what it received, and rounds wait; or it was, and what
    /// it left out counts again.
    ClockBehind,
}

impl FindingKind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Gap => "gap",
            Self::Dropped => "dropped",
            Self::ChainConflict => "chain-conflict",
            Self::LateEvidence => "late-evidence",
            Self::ClockUnsynchronised => "clock-unsynchronised",
            Self::ContractOutdated => "contract-outdated",
            Self::VerdictDiffers => "verdict-differs",
            Self::NotJudged => "not-judged",
            Self::ClaimDeadline => "claim-deadline",
            Self::RightAccrued => "right-accrued",
            Self::DutyOverdue => "duty-overdue",
            Self::LeftBehind => "left-behind",
            Self::ReceiverFailing => "receiver-failing",
            Self::DatabaseSalvaged => "database-salvaged",
            Self::ForeignSite => "foreign-site",
            Self::ForeignService => "foreign-service",
            Self::WitnessDiffers => "witness-differs",
            Self::FrozenVerdict => "frozen-verdict",
            Self::Quarantined => "quarantined",
            Self::ClockAhead => "clock-ahead",
            Self::ClockBehind => "clock-behind",
        }
    }
}

/// Something that is missing or wrong now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// What it is about: an agent, a chain, a service, a claim. The same finding has the same
    /// subject for as long as it lasts.
    pub subject: String,
    /// The site, where it is about one.
    pub site: Option<String>,
    /// What it is, for people.
    pub detail: String,
}
