//! The tables of the life cycles: states, actions, and which leads where.

use crate::sla::lifecycle::Cycle;
use crate::sla::reader::words;

/// A life cycle as a table.
macro_rules! cycle {
    ($(#[$about:meta])* $name:ident, $called:literal, $state:ident begins $begins:ident, $action:ident:
     $($from:ident $by:ident $to:ident),+ $(,)? $(; by the clock alone: $($own:ident),+)?) => {
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
            const CLOCKS_OWN: &'static [$action] = &[$($($action::$own),+)?];
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
    /// An agreement. It is closed only when every claim under it is final: see
    /// [`may_close`](super::may_close).
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
        /// Its day had not passed: the clock that let it lapse was ahead.
        Reinstate = "reinstate",
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
    Lapsed Reinstate Detected;
    by the clock alone: Reinstate
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
        /// Its day had not passed: the clock that let it lapse was ahead.
        Reinstate = "reinstate",
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
    Lapsed Reinstate Accrued;
    by the clock alone: Reinstate
}
