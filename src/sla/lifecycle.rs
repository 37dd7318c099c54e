//! The life cycles: of a version, an agreement, a service, an objective in a period, a claim, and a right to terminate.
//!
//! Each is a small state machine of its own. What happens is an entry of an append-only log, with the time of the event, the
//! time of recording, who, and the digest of its evidence; replaying the log gives the state. Nothing here stores a log or
//! reads a clock: [`Log::append`] says whether an entry may follow, and what the state is then.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::sla::reader::{Word, words};

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

    /// Where an action leads; absent where it leads nowhere.
    #[must_use]
    fn next(from: Self::State, by: Self::Action) -> Option<Self::State> {
        Self::TRANSITIONS.iter().find(|(state, action, _)| *state == from && *action == by).map(|(_, _, to)| *to)
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
    /// It was recorded before what is recorded already, or before it happened.
    #[error("the entry was recorded at {recorded}, which is before {before}: a log is only added to")]
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

    /// What may be done next.
    #[must_use]
    pub fn allowed(&self) -> Vec<C::Action> {
        let from_here = C::TRANSITIONS.iter().filter(|(state, _, _)| *state == self.state);
        from_here.map(|(_, action, _)| *action).collect()
    }

    /// Adds an entry, and gives the state that it leads to.
    ///
    /// # Errors
    /// When its action is not known or leads nowhere from here, when nobody did it, or when it was recorded before what is
    /// there or before it happened. The log is then as it was.
    pub fn append(&mut self, entry: Entry) -> Result<C::State, Refused> {
        let Some(action) = C::Action::ALL.iter().copied().find(|action| action.word() == entry.action) else {
            let known = C::Action::ALL.iter().map(|action| action.word()).collect::<Vec<_>>().join(", ");
            return Err(Refused::Unknown { cycle: C::NAME, action: entry.action, known });
        };
        if entry.who.trim().is_empty() {
            return Err(Refused::Nobody { cycle: C::NAME });
        }
        let before = self.entries.last().map_or(entry.at, |last| last.recorded.max(entry.at));
        if entry.recorded < before {
            return Err(Refused::OutOfOrder { recorded: entry.recorded, before });
        }
        let Some(next) = C::next(self.state, action) else {
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
            let action = C::Action::ALL.iter().copied().find(|action| action.word() == entry.action);
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

/// A life cycle as a table.
macro_rules! cycle {
    ($(#[$about:meta])* $name:ident, $called:literal, $state:ident begins $begins:ident, $action:ident:
     $($from:ident $by:ident $to:ident),+ $(,)?) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;
        impl Cycle for $name {
            type State = $state;
            type Action = $action;
            const NAME: &'static str = $called;
            const BEGINS: $state = $state::$begins;
            const TRANSITIONS: &'static [($state, $action, $state)] =
                &[$(($state::$from, $action::$by, $state::$to)),+];
        }
    };
}

words! {
    /// How a version of a contract stands.
    VersionState {
        /// Being written.
        Draft = "draft",
        /// Put to the other party.
        Proposed = "proposed",
        /// Answered with changes.
        Countered = "countered",
        /// Signed by both; it does not change any more.
        Signed = "signed",
        /// What is judged by.
        InForce = "in_force",
        /// Replaced by a later one.
        Superseded = "superseded",
        /// At its end.
        Ended = "ended",
        /// Taken back by who proposed it.
        Withdrawn = "withdrawn",
        /// Not accepted.
        Rejected = "rejected",
        /// Never valid.
        Void = "void",
    }
}
words! {
    /// What is done with a version.
    VersionAction {
        /// Put it to the other party.
        Propose = "propose",
        /// Answer with changes.
        Counter = "counter",
        /// Sign it.
        Sign = "sign",
        /// Take effect.
        TakeEffect = "take_effect",
        /// Be replaced.
        Supersede = "supersede",
        /// End.
        End = "end",
        /// Take it back.
        Withdraw = "withdraw",
        /// Refuse it.
        Reject = "reject",
        /// Declare it void.
        Void = "void",
    }
}
cycle! {
    /// A version of a contract.
    Version, "version", VersionState begins Draft, VersionAction:
    Draft Propose Proposed, Draft Withdraw Withdrawn,
    Proposed Counter Countered, Proposed Sign Signed, Proposed Withdraw Withdrawn, Proposed Reject Rejected,
    Countered Propose Proposed, Countered Sign Signed, Countered Withdraw Withdrawn, Countered Reject Rejected,
    Signed TakeEffect InForce, Signed Supersede Superseded, Signed Void Void,
    InForce Supersede Superseded, InForce End Ended, InForce Void Void,
}

words! {
    /// How an agreement stands.
    AgreementState {
        /// Not agreed yet.
        Negotiating = "negotiating",
        /// Running.
        Active = "active",
        /// Paused.
        Suspended = "suspended",
        /// About to end.
        NoticeGiven = "notice_given",
        /// Ended by a party.
        Terminated = "terminated",
        /// Ended by itself.
        Expired = "expired",
        /// Going on after its end.
        Holdover = "holdover",
        /// Every claim is final.
        Closed = "closed",
    }
}
words! {
    /// What is done with an agreement.
    AgreementAction {
        /// Begin.
        Activate = "activate",
        /// Pause.
        Suspend = "suspend",
        /// Go on.
        Resume = "resume",
        /// Give notice.
        GiveNotice = "give_notice",
        /// Take the notice back.
        WithdrawNotice = "withdraw_notice",
        /// End by a party.
        Terminate = "terminate",
        /// End by itself.
        Expire = "expire",
        /// Go on after its end.
        HoldOver = "hold_over",
        /// Close, once every claim is final.
        Close = "close",
    }
}
cycle! {
    /// An agreement. It is closed only when every claim under it is final: see [`may_close`].
    Agreement, "agreement", AgreementState begins Negotiating, AgreementAction:
    Negotiating Activate Active,
    Active Suspend Suspended, Active GiveNotice NoticeGiven, Active Expire Expired, Active HoldOver Holdover,
    Suspended Resume Active, Suspended GiveNotice NoticeGiven, Suspended Expire Expired,
    NoticeGiven Terminate Terminated, NoticeGiven WithdrawNotice Active, NoticeGiven Expire Expired,
    Holdover GiveNotice NoticeGiven, Holdover Activate Active, Holdover Expire Expired,
    Terminated Close Closed, Expired Close Closed,
}

words! {
    /// How a service stands.
    ServiceState {
        /// Bought.
        Ordered = "ordered",
        /// Handed over.
        Delivered = "delivered",
        /// Taken.
        Accepted = "accepted",
        /// Judged.
        InService = "in_service",
        /// Not judged for a time.
        OutOfScope = "out_of_scope",
        /// Gone.
        Ceased = "ceased",
    }
}
words! {
    /// What is done with a service.
    ServiceAction {
        /// Hand it over.
        Deliver = "deliver",
        /// Take it.
        Accept = "accept",
        /// Hand it back.
        Refuse = "refuse",
        /// Put it into service.
        Begin = "begin",
        /// Leave it out.
        LeaveOut = "leave_out",
        /// Take it in again.
        TakeIn = "take_in",
        /// End it.
        Cease = "cease",
    }
}
cycle! {
    /// A service.
    Service, "service", ServiceState begins Ordered, ServiceAction:
    Ordered Deliver Delivered, Ordered Cease Ceased,
    Delivered Accept Accepted, Delivered Refuse Ordered, Delivered Cease Ceased,
    Accepted Begin InService, Accepted Cease Ceased,
    InService LeaveOut OutOfScope, InService Cease Ceased,
    OutOfScope TakeIn InService, OutOfScope Cease Ceased,
}

words! {
    /// How an objective in a period stands.
    PeriodState {
        /// Begun.
        Open = "open",
        /// Judged so far.
        Provisional = "provisional",
        /// Late data is no longer taken.
        Frozen = "frozen",
        /// Settled.
        Final = "final",
        /// Contested.
        Disputed = "disputed",
    }
}
words! {
    /// What is done with an objective in a period.
    PeriodAction {
        /// Judge what is known.
        Judge = "judge",
        /// Take no more data.
        Freeze = "freeze",
        /// Settle.
        Settle = "settle",
        /// Contest.
        Dispute = "dispute",
        /// Work it out again: a new revision; the old one stays.
        Revise = "revise",
    }
}
cycle! {
    /// An objective in a period.
    ObjectivePeriod, "period", PeriodState begins Open, PeriodAction:
    Open Judge Provisional,
    Provisional Judge Provisional, Provisional Freeze Frozen, Provisional Dispute Disputed,
    Frozen Settle Final, Frozen Dispute Disputed, Frozen Revise Frozen,
    Disputed Revise Frozen, Disputed Settle Final,
    Final Dispute Disputed,
}

words! {
    /// How a claim stands.
    ClaimState {
        /// Seen.
        Detected = "detected",
        /// It may be asked for.
        Claimable = "claimable",
        /// Asked for.
        Submitted = "submitted",
        /// Received.
        Acknowledged = "acknowledged",
        /// Granted.
        Accepted = "accepted",
        /// Granted in part.
        PartlyAccepted = "partly_accepted",
        /// Refused.
        Rejected = "rejected",
        /// Paid.
        Credited = "credited",
        /// Found on the invoice.
        Reconciled = "reconciled",
        /// Contested.
        Disputed = "disputed",
        /// Too late.
        Lapsed = "lapsed",
        /// Given up.
        Waived = "waived",
    }
}
words! {
    /// What is done with a claim.
    ClaimAction {
        /// The period has ended, and the credit may be asked for.
        BecomeClaimable = "become_claimable",
        /// Ask for it.
        Submit = "submit",
        /// Say that it was received.
        Acknowledge = "acknowledge",
        /// Grant it.
        Accept = "accept",
        /// Grant a part of it.
        AcceptPartly = "accept_partly",
        /// Refuse it.
        Reject = "reject",
        /// Pay it.
        Credit = "credit",
        /// Find it on the invoice.
        Reconcile = "reconcile",
        /// Contest it.
        Dispute = "dispute",
        /// Let its day pass.
        Lapse = "lapse",
        /// Give it up.
        Waive = "waive",
    }
}
cycle! {
    /// A claim.
    Claim, "claim", ClaimState begins Detected, ClaimAction:
    Detected BecomeClaimable Claimable, Detected Waive Waived, Detected Lapse Lapsed,
    Claimable Submit Submitted, Claimable Lapse Lapsed, Claimable Waive Waived, Claimable Credit Credited,
    Submitted Acknowledge Acknowledged, Submitted Accept Accepted, Submitted AcceptPartly PartlyAccepted,
    Submitted Reject Rejected, Submitted Waive Waived,
    Acknowledged Accept Accepted, Acknowledged AcceptPartly PartlyAccepted, Acknowledged Reject Rejected,
    Acknowledged Waive Waived,
    Accepted Credit Credited, Accepted Dispute Disputed,
    PartlyAccepted Credit Credited, PartlyAccepted Dispute Disputed,
    Rejected Dispute Disputed, Rejected Waive Waived,
    Disputed Accept Accepted, Disputed AcceptPartly PartlyAccepted, Disputed Reject Rejected, Disputed Waive Waived,
    Credited Reconcile Reconciled, Credited Dispute Disputed,
}

words! {
    /// How a right to terminate stands.
    RightState {
        /// Nothing speaks for it.
        Dormant = "dormant",
        /// Some of what it needs has happened.
        Accruing = "accruing",
        /// It may be exercised.
        Accrued = "accrued",
        /// It was.
        Exercised = "exercised",
        /// Too late.
        Lapsed = "lapsed",
        /// Given up.
        Waived = "waived",
    }
}
words! {
    /// What is done with a right to terminate.
    RightAction {
        /// Something of what it needs happens.
        Count = "count",
        /// What had happened is too long ago.
        Fade = "fade",
        /// All that it needs has happened.
        Accrue = "accrue",
        /// Exercise it.
        Exercise = "exercise",
        /// Let its day pass.
        Lapse = "lapse",
        /// Give it up.
        Waive = "waive",
    }
}
cycle! {
    /// A right to terminate.
    TerminationRight, "right", RightState begins Dormant, RightAction:
    Dormant Count Accruing, Dormant Accrue Accrued,
    Accruing Count Accruing, Accruing Fade Dormant, Accruing Accrue Accrued,
    Accrued Exercise Exercised, Accrued Lapse Lapsed, Accrued Waive Waived,
    Lapsed Count Accruing, Lapsed Accrue Accrued, Waived Count Accruing, Waived Accrue Accrued,
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
            Some(InForce { version: *version, from, to: ends.into_iter().find_map(|state| log.since(state)) })
        })
        .collect();
    all.sort_by_key(|each| (each.from, each.version));
    all
}

/// The version that an event belongs to: the one in force when it began. Where a log says that two were, it is the later:
/// one version is in force at any instant.
#[must_use]
pub fn version_at(logs: &[(u32, Log<Version>)], began: Wall) -> Option<u32> {
    let held = in_force(logs).into_iter().filter(|each| each.from <= began && each.to.is_none_or(|to| began < to));
    held.map(|each| each.version).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(action: &str, second: i64) -> Entry {
        let at = Wall::from_secs(second);
        Entry { action: action.to_owned(), at, recorded: at, who: "noc".to_owned(), evidence: None }
    }

    fn come<C: Cycle>(actions: &[&str]) -> Result<C::State, Refused> {
        Log::<C>::replay(actions.iter().zip(0..).map(|(action, second)| entry(action, second))).map(|log| log.state())
    }

    #[test]
    fn a_version_goes_to_and_fro_until_it_is_signed_and_then_does_not_change() {
        assert_eq!(
            come::<Version>(&["propose", "counter", "propose", "sign", "take_effect", "supersede"]),
            Ok(VersionState::Superseded)
        );
        let refused = come::<Version>(&["propose", "sign", "counter"]).unwrap_err();
        assert_eq!(refused.to_string(), "a version that is signed cannot counter: it can take_effect, supersede, void");
        assert_eq!(
            come::<Version>(&["propose", "reject", "sign"]).unwrap_err().to_string(),
            "a version that is rejected cannot sign: it has come to its end"
        );
    }

    #[test]
    fn a_claim_runs_from_its_detection_to_the_invoice() {
        let way =
            ["become_claimable", "submit", "acknowledge", "reject", "dispute", "accept_partly", "credit", "reconcile"];
        assert_eq!(come::<Claim>(&way), Ok(ClaimState::Reconciled));
        assert_eq!(come::<Claim>(&["become_claimable", "lapse"]), Ok(ClaimState::Lapsed));
        assert!(matches!(come::<Claim>(&["submit"]), Err(Refused::Nowhere { .. })));
        assert!(matches!(come::<Claim>(&["pay"]), Err(Refused::Unknown { .. })));
    }

    #[test]
    fn the_other_cycles_go_their_ways() {
        assert_eq!(
            come::<Agreement>(&["activate", "suspend", "resume", "hold_over", "give_notice", "terminate", "close"]),
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
    fn a_log_is_only_added_to_and_always_by_somebody() {
        let mut log = Log::<Claim>::default();
        log.append(entry("become_claimable", 10)).unwrap();
        assert!(matches!(log.append(entry("submit", 9)), Err(Refused::OutOfOrder { .. })));
        let early = Entry { recorded: Wall::from_secs(11), ..entry("submit", 12) };
        assert!(matches!(log.append(early), Err(Refused::OutOfOrder { .. })));
        // What happened long ago may be recorded late.
        let late = Entry { recorded: Wall::from_secs(20), ..entry("submit", 5) };
        assert!(matches!(log.append(Entry { who: " ".to_owned(), ..late.clone() }), Err(Refused::Nobody { .. })));
        assert_eq!(log.append(late), Ok(ClaimState::Submitted));
        assert_eq!((log.entries().len(), log.since(ClaimState::Submitted)), (2, Some(Wall::from_secs(5))));
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
            Log::<Claim>::replay(actions.iter().zip(0..).map(|(action, at)| entry(action, at))).unwrap()
        };
        assert!(may_close([&log(&["become_claimable", "lapse"])]));
        assert!(!may_close([&log(&["become_claimable", "lapse"]), &log(&["become_claimable", "submit"])]));
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
