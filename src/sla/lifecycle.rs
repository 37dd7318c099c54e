//! The life cycles: of a version, an agreement, a service, an objective in a period, a claim, and a
//! right to terminate.
//!
//! Each is a small state machine of its own. What happens is an entry of an append-only log, with
//! the time of the event, the time of recording, who, and the digest of its evidence; replaying the
//! log gives the state. Nothing here stores a log or reads a clock: [`Log::append`] says whether an
//! entry may follow, and what the state is then.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::sla::reader::Word;

mod cycles;
mod subject;
pub use cycles::*;
pub use subject::{CurrentState, CycleWord, Subject, follow};

/// Who acts where nobody did.
pub const CLOCK: &str = "the collector's clock";

/// A life cycle: its states, its actions, and which action leads from where to where.
pub trait Cycle {
    /// Its states.
    type State: Word + Eq + fmt::Debug + fmt::Display;
    /// Its actions.
    type Action: Word + Eq + fmt::Debug + fmt::Display;
    /// What it is about, for messages: `version`.
    const NAME: &'static str;
    /// Where it begins.
    const BEGINS: Self::State;
    /// Every transition: from, by, to.
    const TRANSITIONS: &'static [(Self::State, Self::Action, Self::State)];
    /// What only [`CLOCK`] does.
    const CLOCKS_OWN: &'static [Self::Action];

    /// Where an action leads; absent where it leads nowhere.
    #[must_use]
    fn next(from: Self::State, by: Self::Action) -> Option<Self::State> {
        Self::TRANSITIONS
            .iter()
            .find(|(state, action, _)| *state == from && *action == by)
            .map(|(_, _, to)| *to)
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The action's word.
    pub action: String,
    /// When it happened.
    pub at: Wall,
    /// When it was recorded; never before the entry before it.
    pub recorded: Wall,
    /// Who did it.
    pub who: String,
    /// The digest of its evidence, where there is any.
    pub evidence: Option<String>,
    /// What was said of it by whoever had it recorded, apart from what is recorded by whoever keeps
    /// the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// What somebody says of who did something and when; whoever keeps the log does not know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Wall>,
}

/// Why an entry may not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody knows such an action.
    #[error("{action:?} is no action of a {cycle}: expected one of {known}")]
    Unknown {
        /// The life cycle.
        cycle: &'static str,
        /// What was asked for.
        action: String,
        /// What there is.
        known: String,
    },
    /// It leads nowhere from here.
    #[error("a {cycle} that is {state} cannot {action}: {allowed}")]
    Nowhere {
        /// The life cycle.
        cycle: &'static str,
        /// The state that it is in.
        state: String,
        /// What was asked for.
        action: String,
        /// What may be asked for.
        allowed: String,
    },
    /// It has not happened yet.
    #[error("{action} at {at} has not come yet: record it then")]
    NotYet {
        /// What was asked for.
        action: String,
        /// When it is to happen.
        at: Wall,
    },
    /// It was recorded before what is recorded already.
    #[error(
        "the entry was recorded at {recorded}, which is before {before}, when the last one was: a \
            log is only added to"
    )]
    OutOfOrder {
        /// When it was recorded.
        recorded: Wall,
        /// What it must not be before.
        before: Wall,
    },
    /// Nobody did it.
    #[error("the entry does not say who: a {cycle} is only moved by somebody")]
    Nobody {
        /// The life cycle.
        cycle: &'static str,
    },
    /// Its own life cycle would allow it, and another's state does not.
    #[error("{0}")]
    Rule(String),
}

/// The log of one thing, and the state that it has come to.
#[derive(Clone, Debug)]
pub struct Log<C: Cycle> {
    entries: Vec<Entry>,
    state: C::State,
}

impl<C: Cycle> Default for Log<C> {
    fn default() -> Self {
        Self { entries: Vec::new(), state: C::BEGINS }
    }
}

impl<C: Cycle> Log<C> {
    /// Replays entries from the beginning.
    ///
    /// # Errors
    /// At the first entry that may not follow those before it.
    pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Result<Self, Refused> {
        let mut log = Self::default();
        for entry in entries {
            log.append(entry)?;
        }
        Ok(log)
    }

    /// An entry as it may be added now: where a clock that was ahead recorded the last one, it is
    /// recorded as of then too. Else nothing could be added until that time has come.
    #[must_use]
    pub fn in_order(&self, entry: Entry) -> Entry {
        let recorded =
            self.entries.last().map_or(entry.recorded, |last| last.recorded.max(entry.recorded));
        Entry { recorded, ..entry }
    }

    /// The state that it has come to.
    #[must_use]
    pub fn state(&self) -> C::State {
        self.state
    }

    /// What happened, in the order of recording.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What anybody may do next.
    #[must_use]
    pub fn allowed(&self) -> Vec<C::Action> {
        let from_here = C::TRANSITIONS.iter().filter(|(state, _, _)| *state == self.state);
        from_here
            .map(|(_, action, _)| *action)
            .filter(|action| !C::CLOCKS_OWN.contains(action))
            .collect()
    }

    /// Adds an entry, and gives the state that it leads to.
    ///
    /// # Errors
    /// When its action is not known, leads nowhere from here or is the clock's own, when nobody did
    /// it, or when it was recorded before what is there or before it happened. The log is then as
    /// it was.
    pub fn append(&mut self, entry: Entry) -> Result<C::State, Refused> {
        let Some(action) =
            C::Action::ALL.iter().copied().find(|action| action.word() == entry.action)
        else {
            let known =
                C::Action::ALL.iter().map(|action| action.word()).collect::<Vec<_>>().join(", ");
            return Err(Refused::Unknown { cycle: C::NAME, action: entry.action, known });
        };
        if entry.who.trim().is_empty() {
            return Err(Refused::Nobody { cycle: C::NAME });
        }
        if entry.recorded < entry.at {
            return Err(Refused::NotYet { action: entry.action, at: entry.at });
        }
        if let Some(before) =
            self.entries.last().map(|last| last.recorded).filter(|before| entry.recorded < *before)
        {
            return Err(Refused::OutOfOrder { recorded: entry.recorded, before });
        }
        let may = entry.who == CLOCK || !C::CLOCKS_OWN.contains(&action);
        let Some(next) = C::next(self.state, action).filter(|_| may) else {
            let allowed: Vec<&str> = self.allowed().into_iter().map(Word::word).collect();
            let allowed = match allowed.is_empty() {
                true => "it has come to its end".to_owned(),
                false => format!("it can {}", allowed.join(", ")),
            };
            let (state, action) = (self.state.word().to_owned(), entry.action);
            return Err(Refused::Nowhere { cycle: C::NAME, state, action, allowed });
        };
        self.entries.push(entry);
        self.state = next;
        Ok(next)
    }

    /// When it last came to a state.
    #[must_use]
    pub fn since(&self, state: C::State) -> Option<Wall> {
        let mut now = C::BEGINS;
        let mut since = None;
        for entry in &self.entries {
            let action =
                C::Action::ALL.iter().copied().find(|action| action.word() == entry.action);
            if let Some(next) = action.and_then(|action| C::next(now, action)) {
                now = next;
                if now == state {
                    since = Some(entry.at);
                }
            }
        }
        since
    }
}

impl ClaimState {
    /// Whether nothing more can come of it but a dispute.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Reconciled | Self::Rejected | Self::Lapsed | Self::Waived)
    }
}

/// Whether an agreement may be closed: every claim under it is final.
#[must_use]
pub fn may_close<'a>(claims: impl IntoIterator<Item = &'a Log<Claim>>) -> bool {
    claims.into_iter().all(|claim| claim.state().is_final())
}

/// When a version was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The version.
    pub version: u32,
    /// From when.
    pub from: Wall,
    /// Until when; absent while it is.
    pub to: Option<Wall>,
}

/// When each version was in force, by their logs.
#[must_use]
pub fn in_force(logs: &[(u32, Log<Version>)]) -> Vec<InForce> {
    let mut all: Vec<InForce> = logs
        .iter()
        .filter_map(|(version, log)| {
            let from = log.since(VersionState::InForce)?;
            let ends = [VersionState::Superseded, VersionState::Ended, VersionState::Void];
            Some(InForce {
                version: *version,
                from,
                to: ends.into_iter().find_map(|state| log.since(state)),
            })
        })
        .collect();
    all.sort_by_key(|each| (each.from, each.version));
    all
}

/// The version that an event belongs to: the one in force when it began. Where a log says that two
/// were, it is the later: one version is in force at any instant.
#[must_use]
pub fn version_at(logs: &[(u32, Log<Version>)], began: Wall) -> Option<u32> {
    let held = in_force(logs)
        .into_iter()
        .filter(|each| each.from <= began && each.to.is_none_or(|to| began < to));
    held.map(|each| each.version).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    fn come<C: Cycle>(actions: &[&str]) -> Result<C::State, Refused> {
        Log::<C>::replay(actions.iter().zip(0..).map(|(action, second)| entry(action, second)))
            .map(|log| log.state())
    }

    #[test]
    fn a_version_goes_to_and_fro_until_it_is_signed_and_then_does_not_change() {
        assert_eq!(
            come::<Version>(&["propose", "counter", "propose", "sign", "take_effect", "supersede"]),
            Ok(VersionState::Superseded)
        );
        let refused = come::<Version>(&["propose", "sign", "counter"]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a version that is signed cannot counter: it can take_effect, supersede, void"
        );
        assert_eq!(
            come::<Version>(&["propose", "reject", "sign"]).unwrap_err().to_string(),
            "a version that is rejected cannot sign: it has come to its end"
        );
    }

    #[test]
    fn a_claim_runs_from_its_detection_to_the_invoice() {
        let way = [
            "become_claimable",
            "submit",
            "acknowledge",
            "reject",
            "dispute",
            "accept_partly",
            "credit",
            "reconcile",
        ];
        assert_eq!(come::<Claim>(&way), Ok(ClaimState::Reconciled));
        assert_eq!(come::<Claim>(&["become_claimable", "lapse"]), Ok(ClaimState::Lapsed));
        assert!(matches!(come::<Claim>(&["submit"]), Err(Refused::Nowhere { .. })));
        assert!(matches!(come::<Claim>(&["pay"]), Err(Refused::Unknown { .. })));
    }

    #[test]
    fn the_other_cycles_go_their_ways() {
        assert_eq!(
            come::<Agreement>(&[
                "activate",
                "suspend",
                "resume",
                "hold_over",
                "give_notice",
                "terminate",
                "close"
            ]),
            Ok(AgreementState::Closed)
        );
        assert_eq!(
            come::<Service>(&["deliver", "accept", "begin", "leave_out", "take_in", "cease"]),
            Ok(ServiceState::Ceased)
        );
        assert_eq!(
            come::<ObjectivePeriod>(&["judge", "judge", "freeze", "dispute", "revise", "settle"]),
            Ok(PeriodState::Final)
        );
        assert_eq!(
            come::<TerminationRight>(&["count", "count", "accrue", "lapse", "accrue", "exercise"]),
            Ok(RightState::Exercised)
        );
    }

    #[test]
    fn what_a_clock_that_was_ahead_recorded_keeps_nobody_from_going_on() {
        let mut log = Log::<Claim>::default();
        log.append(entry("become_claimable", 4_000_000_000)).unwrap();
        let now = entry("submit", 10);
        assert!(log.append(now.clone()).is_err());
        assert_eq!(log.append(log.in_order(now)), Ok(ClaimState::Submitted));
        let last = &log.entries()[1];
        assert_eq!((last.at, last.recorded), (Wall::from_secs(10), Wall::from_secs(4_000_000_000)));
        assert_eq!(
            Log::<Claim>::replay(log.entries().to_vec()).unwrap().state(),
            ClaimState::Submitted
        );
        // A later one is recorded when it is.
        assert_eq!(
            log.in_order(entry("accept", 5_000_000_000)).recorded,
            Wall::from_secs(5_000_000_000)
        );
    }

    #[test]
    fn what_lapsed_by_a_clock_that_was_ahead_is_reinstated_by_the_clock_alone() {
        fn reinstated<C: Cycle>(actions: &[&str]) -> Result<C::State, Refused> {
            let mut log = Log::<C>::replay(
                actions.iter().zip(0..).map(|(action, second)| entry(action, second)),
            )
            .unwrap();
            assert!(log.allowed().iter().all(|action| action.word() != "reinstate"));
            let refused = log.append(entry("reinstate", 10)).unwrap_err();
            assert!(!refused.to_string().contains("can reinstate"), "{refused}");
            log.append(Entry { who: CLOCK.to_owned(), ..entry("reinstate", 10) })
        }
        assert_eq!(reinstated::<Claim>(&["become_claimable", "lapse"]), Ok(ClaimState::Detected));
        assert_eq!(reinstated::<TerminationRight>(&["accrue", "lapse"]), Ok(RightState::Accrued));
        assert!(reinstated::<Claim>(&["become_claimable", "submit"]).is_err());
        assert!(reinstated::<TerminationRight>(&["accrue", "waive"]).is_err());
    }

    #[test]
    fn a_log_is_only_added_to_and_always_by_somebody() {
        let mut log = Log::<Claim>::default();
        log.append(entry("become_claimable", 10)).unwrap();
        assert!(matches!(log.append(entry("submit", 9)), Err(Refused::OutOfOrder { .. })));
        let early = Entry { recorded: Wall::from_secs(11), ..entry("submit", 12) };
        assert!(matches!(log.append(early), Err(Refused::NotYet { .. })));
        // What happened long ago may be recorded late.
        let late = Entry { recorded: Wall::from_secs(20), ..entry("submit", 5) };
        assert!(matches!(
            log.append(Entry { who: " ".to_owned(), ..late.clone() }),
            Err(Refused::Nobody { .. })
        ));
        assert_eq!(log.append(late), Ok(ClaimState::Submitted));
        assert_eq!(
            (log.entries().len(), log.since(ClaimState::Submitted)),
            (2, Some(Wall::from_secs(5)))
        );
    }

    #[test]
    fn an_event_belongs_to_the_version_in_force_when_it_began() {
        let log = |entries: &[(&str, i64)]| {
            Log::<Version>::replay(entries.iter().map(|(action, at)| entry(action, *at))).unwrap()
        };
        let logs = [
            (1, log(&[("propose", 0), ("sign", 1), ("take_effect", 10), ("supersede", 100)])),
            (2, log(&[("propose", 50), ("sign", 60), ("take_effect", 100)])),
            (3, log(&[("propose", 150)])),
        ];
        let at = |second| version_at(&logs, Wall::from_secs(second));
        assert_eq!([9, 10, 99, 100, 500].map(at), [None, Some(1), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn an_agreement_is_closed_only_when_every_claim_is_final() {
        let log = |actions: &[&str]| {
            Log::<Claim>::replay(actions.iter().zip(0..).map(|(action, at)| entry(action, at)))
                .unwrap()
        };
        assert!(may_close([&log(&["become_claimable", "lapse"])]));
        assert!(!may_close([
            &log(&["become_claimable", "lapse"]),
            &log(&["become_claimable", "submit"])
        ]));
    }

    proptest! {
        #[test]
        fn replaying_a_log_gives_the_state_that_it_came_to(choices in prop::collection::vec(any::<prop::sample::Index>(), 0..30)) {
            let mut log = Log::<Claim>::default();
            for (second, choice) in (0..).zip(choices) {
                let allowed = log.allowed();
                if allowed.is_empty() {
                    break;
                }
                log.append(entry(choice.get(&allowed).word(), second)).unwrap();
            }
            let again = Log::<Claim>::replay(log.entries().to_vec()).unwrap();
            prop_assert_eq!(again.state(), log.state());
        }

        #[test]
        fn no_state_has_two_ways_by_one_action(from in 0usize..12, by in 0usize..11) {
            let (from, by) = (ClaimState::ALL[from], ClaimAction::ALL[by]);
            let ways = Claim::TRANSITIONS.iter().filter(|(state, action, _)| (*state, *action) == (from, by)).count();
            prop_assert!(ways <= 1);
        }
    }
}
