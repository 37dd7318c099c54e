//! What became of a probe: six outcomes, run-length encoded, and the reasons behind them.

mod outcomes;
mod reason;

pub use outcomes::{NotOutcomes, Outcomes};
pub use reason::{ICMP_KINDS, NotAReason, Reason};

/// What became of one probe packet or request; settled exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// `a`: answered before the cut-off.
    Answered,
    /// `t`: answered after the cut-off, while still waited for.
    Late,
    /// `l`: nothing came in the whole waiting time (RFC 7680's loss, with the waiting time as its
    /// threshold).
    Lost,
    /// `u`: an answer that refuses: an ICMP error, a reset, a TLS or HTTP failure.
    Refused,
    /// `n`: not sent: no route, link down, socket error, name not resolved.
    NotSent,
    /// `x`: not observed: the agent was off, suspended, overrun, or its clock unset.
    NotObserved,
}

impl Outcome {
    /// Every outcome, in the order of the letters `a t l u n x`.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::Late, Self::Lost, Self::Refused, Self::NotSent, Self::NotObserved];

    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Answered => 'a',
            Self::Late => 't',
            Self::Lost => 'l',
            Self::Refused => 'u',
            Self::NotSent => 'n',
            Self::NotObserved => 'x',
        }
    }

    /// The outcome of a letter.
    #[must_use]
    pub const fn from_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'a' => Self::Answered,
            't' => Self::Late,
            'l' => Self::Lost,
            'u' => Self::Refused,
            'n' => Self::NotSent,
            'x' => Self::NotObserved,
            _ => return None,
        })
    }

    /// Its word, as `reasons` on the wire begins.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::NotSent => "not-sent",
            Self::NotObserved => "not-observed",
        }
    }

    /// Whether an answer came, in time or late: these have an RTT.
    #[must_use]
    pub const fn has_rtt(self) -> bool {
        matches!(self, Self::Answered | Self::Late)
    }
}

#[cfg(test)]
mod tests;
