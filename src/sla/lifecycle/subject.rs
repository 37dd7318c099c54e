//! Whose life cycle a stored entry belongs to, and whether an entry may follow those that are
//! stored: for whoever keeps the logs of many things in one place.

use std::fmt;

use crate::sla::lifecycle::{
    Agreement, AgreementAction, Claim, ClaimState, Cycle, Entry, Log, ObjectivePeriod, Refused,
    Service, TerminationRight, Version, VersionAction, VersionState,
};
use crate::sla::reader::{Word, words};

words! {
    /// Which life cycle.
    CycleWord {
        /// Of a contract's version.
        Version = "version",
        /// Of an agreement.
        Agreement = "agreement",
        /// Of a service.
        Service = "service",
        /// Of an objective in a period.
        Period = "period",
        /// Of a claim.
        Claim = "claim",
        /// Of a right to terminate.
        Right = "right",
    }
}

/// Whose life cycle it is. What does not apply is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Which life cycle.
    pub cycle: CycleWord,
    /// The agreement's id.
    pub contract: String,
    /// The service.
    pub service: String,
    /// The period by its name.
    pub period: String,
    /// The version's number, the objective or the right.
    pub item: String,
}

impl Subject {
    fn new(cycle: CycleWord, contract: &str, service: &str, period: &str, item: &str) -> Self {
        let [contract, service, period, item] =
            [contract, service, period, item].map(str::to_owned);
        Self { cycle, contract, service, period, item }
    }

    /// A version of a contract.
    #[must_use]
    pub fn version(contract: &str, version: u32) -> Self {
        Self::new(CycleWord::Version, contract, "", "", &version.to_string())
    }

    /// An agreement.
    #[must_use]
    pub fn agreement(contract: &str) -> Self {
        Self::new(CycleWord::Agreement, contract, "", "", "")
    }

    /// A service.
    #[must_use]
    pub fn service(contract: &str, service: &str) -> Self {
        Self::new(CycleWord::Service, contract, service, "", "")
    }

    /// An objective in a period.
    #[must_use]
    pub fn period(contract: &str, service: &str, period: &str, objective: &str) -> Self {
        Self::new(CycleWord::Period, contract, service, period, objective)
    }

    /// The claim for a service in a period.
    #[must_use]
    pub fn claim(contract: &str, service: &str, period: &str) -> Self {
        Self::new(CycleWord::Claim, contract, service, period, "")
    }

    /// A right to terminate.
    #[must_use]
    pub fn right(contract: &str, service: &str, right: &str) -> Self {
        Self::new(CycleWord::Right, contract, service, "", right)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cycle, contract, service, period, item } = self;
        write!(f, "{cycle} {contract}")?;
        for part in [service, period, item].into_iter().filter(|part| !part.is_empty()) {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

/// Where a thing stands by its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentState {
    /// The state's word.
    pub state: &'static str,
    /// The words of what may be done next.
    pub allowed: Vec<&'static str>,
    /// How often it was worked out again: of an objective in a period, its revision.
    pub revisions: usize,
}

impl CycleWord {
    /// Replays a log.
    ///
    /// # Errors
    /// At the first entry that may not follow those before it.
    pub fn replay(self, entries: impl IntoIterator<Item = Entry>) -> Result<CurrentState, Refused> {
        match self {
            Self::Version => standing::<Version>(entries),
            Self::Agreement => standing::<Agreement>(entries),
            Self::Service => standing::<Service>(entries),
            Self::Period => standing::<ObjectivePeriod>(entries),
            Self::Claim => standing::<Claim>(entries),
            Self::Right => standing::<TerminationRight>(entries),
        }
    }
}

fn standing<C: Cycle>(entries: impl IntoIterator<Item = Entry>) -> Result<CurrentState, Refused> {
    let log = Log::<C>::replay(entries)?;
    let allowed = log.allowed().into_iter().map(Word::word).collect();
    let revisions = log.entries().iter().filter(|entry| entry.action == "revise").count();
    Ok(CurrentState { state: log.state().word(), allowed, revisions })
}

/// Whether an entry may follow what is stored, and where its subject stands then. `stored` are all
/// entries of the subject's agreement, in the order of recording.
///
/// # Errors
/// When its own life cycle refuses it; when it would bring a second version into force at once;
/// when it would close an agreement under which a claim is not final.
pub fn follow(
    stored: &[(Subject, Entry)],
    subject: &Subject,
    entry: Entry,
) -> Result<CurrentState, Refused> {
    guard(stored, subject, &entry)?;
    let own = stored.iter().filter(|(of, _)| of == subject).map(|(_, entry)| entry.clone());
    subject.cycle.replay(own.chain([entry]))
}

fn guard(stored: &[(Subject, Entry)], subject: &Subject, entry: &Entry) -> Result<(), Refused> {
    let under = |cycle: CycleWord| {
        let mut all: Vec<&Subject> = stored
            .iter()
            .map(|(of, _)| of)
            .filter(|of| of.cycle == cycle && of.contract == subject.contract)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let state = |of: &Subject| {
        let own = stored.iter().filter(|(other, _)| other == of).map(|(_, entry)| entry.clone());
        of.cycle.replay(own).map(|standing| standing.state)
    };
    if subject.cycle == CycleWord::Version && entry.action == VersionAction::TakeEffect.word() {
        for other in under(CycleWord::Version).into_iter().filter(|other| *other != subject) {
            if state(other)? == VersionState::InForce.word() {
                return Err(Refused::Rule(format!(
                    "version {} of {} is in force, and only one can be: supersede or end it first",
                    other.item, other.contract
                )));
            }
        }
    }
    if subject.cycle == CycleWord::Agreement && entry.action == AgreementAction::Close.word() {
        let mut open = Vec::new();
        for claim in under(CycleWord::Claim) {
            let now = state(claim)?;
            if !ClaimState::ALL.iter().any(|state| state.word() == now && state.is_final()) {
                open.push(format!("{} {} is {now}", claim.service, claim.period));
            }
        }
        if !open.is_empty() {
            let what = format!(
                "an agreement is closed only when every claim is final: {}",
                open.join(", ")
            );
            return Err(Refused::Rule(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;

    fn entry(action: &str, second: i64) -> Entry {
        let at = Wall::from_secs(second);
        Entry {
            action: action.to_owned(),
            at,
            recorded: at,
            who: "noc".to_owned(),
            evidence: None,
            said: None,
        }
    }

    /// Follows each, as far as none is refused.
    fn all(steps: &[(Subject, &str)]) -> Result<Vec<&'static str>, Refused> {
        let mut stored = Vec::new();
        let mut states = Vec::new();
        for ((subject, action), second) in steps.iter().zip(0..) {
            let entry = entry(action, second);
            states.push(follow(&stored, subject, entry.clone())?.state);
            stored.push((subject.clone(), entry));
        }
        Ok(states)
    }

    #[test]
    fn only_one_version_is_in_force_at_once() {
        let [one, two, other] =
            [("A", 1), ("A", 2), ("B", 1)].map(|(id, version)| Subject::version(id, version));
        let mut steps = Vec::new();
        for version in [&one, &two, &other] {
            steps.extend(["propose", "sign"].map(|action| (version.clone(), action)));
        }
        steps.push((one.clone(), "take_effect"));
        // Another agreement's version is its own matter.
        steps.push((other, "take_effect"));
        let early = [steps.clone(), vec![(two.clone(), "take_effect")]].concat();
        assert_eq!(
            all(&early).unwrap_err().to_string(),
            "version 1 of A is in force, and only one can be: supersede or end it first"
        );
        steps.extend([(one, "supersede"), (two, "take_effect")]);
        assert_eq!(all(&steps).unwrap().last(), Some(&"in_force"));
    }

    #[test]
    fn an_agreement_with_an_open_claim_is_not_closed() {
        let (agreement, claim) = (Subject::agreement("A"), Subject::claim("A", "s", "2026-06"));
        let steps = |more: &[(Subject, &'static str)]| {
            let begin = ["activate", "expire"].map(|action| (agreement.clone(), action));
            [begin.as_slice(), &[(claim.clone(), "become_claimable")], more].concat()
        };
        let close = (agreement.clone(), "close");
        assert_eq!(
            all(&steps(std::slice::from_ref(&close))).unwrap_err().to_string(),
            "an agreement is closed only when every claim is final: s 2026-06 is claimable"
        );
        assert_eq!(
            all(&steps(&[(claim.clone(), "lapse"), close])).unwrap().last(),
            Some(&"closed")
        );
    }

    #[test]
    fn a_recomputation_is_a_new_revision() {
        let period = Subject::period("A", "s", "2026-06", "avail");
        let entries = ["judge", "freeze", "revise", "revise"]
            .into_iter()
            .zip(0..)
            .map(|(action, at)| entry(action, at));
        let standing = period.cycle.replay(entries).unwrap();
        assert_eq!((standing.state, standing.revisions), ("frozen", 2));
        assert_eq!(period.to_string(), "period A s 2026-06 avail");
    }
}
