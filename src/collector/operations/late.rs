//! Evidence that came too late to count: which it is, and that somebody accepts it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::late::HeldRange;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::lateness::{self, Acceptance};
use crate::collector::operations::{Actor, DeskError, check_texts};
use crate::evidence::bundle::Numbers;
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;

/// Summaries that came too late to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LateView {
    /// Whose.
    #[schema(value_type = String)]
    pub agent: Kid,
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The first number.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
    /// Where the time that they tell of begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Wall,
    /// Where it ends.
    #[schema(value_type = String, format = DateTime)]
    pub to: Wall,
    /// When the last of them was received.
    #[schema(value_type = String, format = DateTime)]
    pub received: Wall,
    /// Why they do not count.
    pub why: String,
}

impl From<HeldRange> for LateView {
    fn from(of: HeldRange) -> Self {
        let Numbers { agent, chain, from_seq, to_seq } = of.numbers;
        let (from, to) = (of.span.from, of.span.to);
        Self {
            agent,
            chain,
            from_seq,
            to_seq,
            from,
            to,
            received: of.received,
            why: of.why.words().to_owned(),
        }
    }
}

/// Which late summaries are accepted, and why.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Whose.
    #[schema(value_type = String)]
    pub agent: Kid,
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The first number.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
    /// Why they count: what speaks for it that nobody made them up.
    #[schema(min_length = 1, max_length = 1000)]
    pub why: String,
}

/// All that came too late to count, by agent and chain.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive) -> Result<Vec<LateView>, ArchiveError> {
    Ok(archive.all_held()?.into_iter().map(LateView::from).collect())
}

/// Accepts late summaries, so that they count; what they touch is judged anew. Says how many there
/// were. Who did, why and when, is written down in the same transaction, and stands in every bundle
/// that rests on them.
///
/// # Errors
/// When none of these is late, or no reason is given.
pub fn accept(archive: &Archive, what: &Accept, actor: &Actor) -> Result<u64, DeskError> {
    check_texts(&[("why", Some(&what.why), 1000)])?;
    if what.why.trim().is_empty() {
        return Err(DeskError::Invalid(vec![
            "why: say what speaks for it, such as \"the branch was offline\"".to_owned(),
        ]));
    }
    let Accept { agent, chain, from_seq, to_seq, .. } = *what;
    if from_seq > to_seq {
        return Err(DeskError::Invalid(vec![format!(
            "{from_seq} to {to_seq} are no numbers in order"
        )]));
    }
    archive.lock(agent.bytes())?;
    let count = archive.release_held(&Numbers { agent, chain, from_seq, to_seq })?;
    if count == 0 {
        return Err(DeskError::NotFound(format!(
            "none of the numbers {from_seq} to {to_seq} of chain {chain} of agent {agent} is \
             late: `wanproof collector findings` names those that are"
        )));
    }
    let entry = Acceptance {
        from_seq,
        to_seq,
        who: actor.who.clone(),
        why: what.why.clone(),
        at: actor.now,
    };
    archive.append(Kind::Acceptance, &lateness::id_of((agent, chain)), &entry, actor.now)?;
    let numbers = json!({"chain": chain, "from_seq": from_seq, "to_seq": to_seq, "why": what.why});
    actor.did(archive, "late.accept", &agent.to_string(), numbers)?;
    Ok(count)
}
