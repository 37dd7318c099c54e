//! What is laid beside a verdict: that of another witness by what it measured alone, and the
//! agents' own.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::collector::agent_state::VerdictSaid;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::verdicts::archived::Archived;
use crate::collector::verdicts::sources::Sources;
use crate::collector::verdicts::{Differs, Fleet};
use crate::evidence::key::Kid;
use crate::evidence::told;
use crate::sla;
use crate::sla::evaluate::{EvaluationRequest, Measurements};
use crate::sla::judge::InForce;
use crate::sla::observed::Seen;
use crate::sla::reader::Word;
use crate::sla::report::{Outcome, Report, Verdict};
use crate::sla::span::Span;
use crate::sla::terms::Side;

/// Another witness than the one that binds, by all that it measured and by nothing else.
struct Witness<'s, 'a> {
    agent: Kid,
    archive: &'a Archive,
    sources: &'s mut Sources<'a>,
    /// What it told of outages.
    sides: Vec<(Span, Side)>,
}

impl Measurements for Witness<'_, '_> {
    type Error = ArchiveError;

    fn outages(&mut self, _service: &str, _span: Span) -> Result<Vec<(Span, Side)>, ArchiveError> {
        Ok(self.sides.clone())
    }

    fn naming(&mut self, service: &str, _span: Span) -> Result<BTreeSet<String>, ArchiveError> {
        Ok(self.sources.naming(service))
    }

    fn observe(
        &mut self,
        _asked: &EvaluationRequest<'_>,
        _span: Span,
    ) -> Result<BTreeMap<String, Seen>, ArchiveError> {
        Ok(self.sources.seen_by(self.agent))
    }

    fn refine(
        &mut self,
        _of: (&[InForce], &str),
        boundaries: &BTreeSet<Wall>,
        seen: &mut BTreeMap<String, Seen>,
    ) -> Result<(), ArchiveError> {
        if self.sources.has_cut(boundaries) {
            seen.clear();
            self.sources.settle(self.archive, boundaries)?;
            *seen = self.sources.seen_by(self.agent);
        }
        Ok(())
    }
}

/// Where another witness than the one that binds comes to another result.
pub(super) fn beside(
    archived: &mut Archived<'_, '_>,
    asked: &EvaluationRequest<'_>,
    ours: &Report,
) -> Result<Vec<Differs>, ArchiveError> {
    let mut all = Vec::new();
    for agent in archived.sources.beside() {
        let effort = archived.sources.effort();
        if effort.is_spent() {
            break;
        }
        let sides = told::in_order(archived.told_by(agent)?);
        let archive = archived.archive();
        let mut witness = Witness { agent, archive, sources: &mut archived.sources, sides };
        let evaluated = sla::evaluate(&mut witness, asked, effort)?.pop();
        let Some(Ok(theirs)) = evaluated.map(|each| each.report) else { continue };
        for own in &ours.objectives {
            let same = |each: &&Verdict| {
                (&each.id, each.version, each.period) == (&own.id, own.version, own.period)
            };
            let says = theirs.objectives.iter().find(same);
            all.extend(says.and_then(|says| contradiction(agent, own, says.result.word())));
        }
    }
    Ok(all)
}

/// Where the agents' own verdicts are not ours.
pub(super) fn differs(fleet: &Fleet, agents: &[Kid], ours: &Report) -> Vec<Differs> {
    // Of what is left out, nothing is laid beside.
    let heard = |agent: &&Kid| {
        fleet.register().get(**agent).is_some_and(|enrolled| enrolled.until.is_none())
    };
    let said = agents.iter().filter(heard).flat_map(|agent| {
        let state = fleet.get(*agent);
        state.into_iter().flat_map(|state| &state.verdicts).map(|said| (*agent, said))
    });
    said.filter_map(|(agent, said)| {
        let VerdictSaid { contract, version, service, objective, period, result } = said;
        let by = |own: &Verdict| u64::from(own.version.unwrap_or(ours.version)) == *version;
        let own = ours.objectives.iter().find(|each| each.id == *objective && by(each))?;
        let asked = own.period.unwrap_or(ours.period).to_string();
        let same = *contract == ours.contract && *service == ours.service && *period == asked;
        same.then(|| contradiction(agent, own, result)).flatten()
    })
    .collect()
}

/// Where somebody else's result is a finding: it is certain of what we are not. One that is not
/// certain knows less, or a minute less, and contradicts nobody.
fn contradiction(agent: Kid, ours: &Verdict, agent_says: &str) -> Option<Differs> {
    let we_say = ours.result.word();
    contradicts(agent_says, we_say).then(|| Differs {
        agent,
        objective: ours.id.clone(),
        agent_says: agent_says.to_owned(),
        we_say: we_say.to_owned(),
    })
}

fn contradicts(agent_says: &str, we_say: &str) -> bool {
    agent_says != we_say && agent_says != Outcome::NotDetermined.word()
}

#[cfg(test)]
mod tests {
    use super::contradicts;

    #[test]
    fn an_agent_that_is_certain_of_what_we_are_not_is_a_finding_and_one_that_knows_less_is_none() {
        assert!(contradicts("met", "breached"));
        assert!(contradicts("breached", "not_determined"));
        assert!(!contradicts("not_determined", "breached"));
        assert!(!contradicts("met", "met"));
    }
}
