//! The agents as an operator sees them: who is let in, who fell silent, what is missing.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::summaries::AgentRow;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::labels::{self, Labels};
use crate::evidence::chain::ChainId;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::register::{Enrolled, Stay};

/// The span of a summary where none was received yet.
const SPAN: Duration = Duration::from_secs(300);
/// A summary takes so long from its span's end until it is here.
const GRACE: Duration = Duration::from_secs(60);

/// An agent, as `wanproof collector agents --json` and the API give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgentView {
    /// The agent.
    #[schema(value_type = String)]
    pub agent: Kid,
    /// The site that it is at now.
    pub site: String,
    /// Where it is and was, in order of time: the sites that it may speak for, each for its time.
    pub sites: Vec<StayView>,
    /// From when on all that it said is left out, of one that was revoked so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub left_out_from: Option<Wall>,
    /// `pending`, `approved` or `revoked`.
    pub state: &'static str,
    /// When it first asked to be enrolled.
    #[schema(value_type = String, format = DateTime)]
    pub enrolled: Wall,
    /// Where it last asked to be enrolled from: an address of IPv4, or a network of IPv6
    /// (`2001:db8::/64`).
    pub asked_from: Option<String>,
    /// The last summary that was received.
    pub last: Option<LastView>,
    /// What is missing: the first hundred gaps.
    pub gaps: Vec<GapView>,
    /// How many gaps there are.
    pub gap_count: u64,
    /// How many numbers are missing; of one gap at most 2^32 are counted.
    pub missing: u64,
    /// How many summaries did not fit into their chain.
    pub conflicts: u64,
    /// Whether it should have been heard of.
    pub silent: bool,
    /// Its public keys, the first one first, as JWK.
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<PublicKey>,
    /// What an operator sorts it by.
    pub labels: Labels,
}

/// A time that an agent is or was at a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StayView {
    /// The site.
    pub site: String,
    /// Since when; null at the first one, which counts for what was measured before the enrolment
    /// too.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Wall>,
    /// Until when; null where it is now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Wall>,
}

impl StayView {
    fn of(stay: &Stay) -> Self {
        let (from, to) = stay.ends();
        Self { site: stay.site.clone(), from, to }
    }
}

/// The last summary that was received of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastView {
    /// Its chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// When it was received.
    #[schema(value_type = String, format = DateTime)]
    pub received: Wall,
}

/// Numbers that are missing, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GapView {
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The first that is missing.
    pub from_seq: u64,
    /// The last that is missing.
    pub to_seq: u64,
    /// Whether the agent said that its outbox had to drop them; then they will not come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

/// What an operator sees of an agent at a time; it is silent when it missed so many summaries.
#[must_use]
pub fn view(row: AgentRow, silent_after: u32, now: Wall) -> AgentView {
    let (heard, span) = match &row.last {
        Some(last) => (last.received, row.span.max(Duration::from_secs(1))),
        None => (row.enrolled, SPAN),
    };
    let silent = row.may_ship() && now > heard + span.saturating_mul(silent_after) + GRACE;
    AgentView {
        agent: row.agent,
        site: row.site,
        sites: Vec::new(),
        left_out_from: None,
        state: row.standing.word(),
        enrolled: row.enrolled,
        asked_from: row.asked_from,
        last: row.last.map(|last| LastView {
            chain: last.chain,
            seq: last.seq,
            received: last.received,
        }),
        gap_count: row.missing.gaps,
        missing: row.missing.numbers,
        gaps: row
            .missing
            .first
            .into_iter()
            .map(|(chain, gap, dropped)| GapView {
                chain,
                from_seq: gap.from_seq,
                to_seq: gap.to_seq,
                dropped,
            })
            .collect(),
        conflicts: row.conflicts,
        silent,
        keys: row.keys,
        labels: Labels::new(),
    }
}

/// One agent as an operator sees it.
///
/// # Errors
/// When the database fails.
pub fn one(
    archive: &Archive,
    agent: Kid,
    silent_after: u32,
    now: Wall,
) -> Result<Option<AgentView>, ArchiveError> {
    let Some(row) = archive.agent(agent)? else { return Ok(None) };
    let labels = labels::labels(archive, agent)?;
    Ok(Some(placed(view(row, silent_after, now), labels, archive.enrolled(agent)?.as_ref())))
}

/// Every agent as an operator sees it, by site.
///
/// # Errors
/// When the database fails.
pub fn all(
    archive: &Archive,
    silent_after: u32,
    now: Wall,
) -> Result<Vec<AgentView>, ArchiveError> {
    views(archive, archive.agents()?, silent_after, now)
}

/// As [`all`], so many of those after one, where it is among them.
///
/// # Errors
/// When the database fails.
pub fn some(
    archive: &Archive,
    (after, at_most): (Option<&str>, usize),
    silent_after: u32,
    now: Wall,
) -> Result<Vec<AgentView>, ArchiveError> {
    views(archive, archive.some_agents(after, at_most)?, silent_after, now)
}

fn views(
    archive: &Archive,
    rows: Vec<AgentRow>,
    silent_after: u32,
    now: Wall,
) -> Result<Vec<AgentView>, ArchiveError> {
    let (mut labels, register) = (labels::all_labels(archive)?, archive.register()?);
    let views = rows.into_iter().map(|row| {
        let labels = labels.remove(&row.agent.to_string()).unwrap_or_default();
        let enrolled = register.get(row.agent);
        placed(view(row, silent_after, now), labels, enrolled)
    });
    Ok(views.collect())
}

/// With what an operator said of it.
fn placed(view: AgentView, labels: Labels, enrolled: Option<&Enrolled>) -> AgentView {
    let sites = enrolled.map(|enrolled| enrolled.stays.iter().map(StayView::of).collect());
    let left_out_from = enrolled.and_then(|enrolled| enrolled.until);
    AgentView { labels, sites: sites.unwrap_or_default(), left_out_from, ..view }
}
