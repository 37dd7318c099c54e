//! What became of a probe: six outcomes, run-length encoded, and the reasons behind them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Why a probe was settled as it was: `lost/timeout`, `refused/host-unreachable`,
/// `not-sent/no-route`, … .
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// The outcome that it explains.
    pub outcome: Outcome,
    /// The kind, in lower case with hyphens.
    pub kind: Cow<'static, str>,
}

impl Reason {
    /// A reason by outcome and kind.
    #[must_use]
    pub const fn new(outcome: Outcome, kind: &'static str) -> Self {
        Self { outcome, kind: Cow::Borrowed(kind) }
    }

    /// Nothing came in the whole waiting time.
    pub const TIMEOUT: Self = Self::new(Outcome::Lost, "timeout");
    /// The next hop on the link never said its hardware address: the packet came no further than
    /// this host.
    pub const NEXT_HOP: Self = Self::new(Outcome::Lost, "next-hop");
    /// The interface has no carrier.
    pub const CARRIER: Self = Self::new(Outcome::NotSent, "carrier");
    /// The name did not resolve.
    pub const NAME: Self = Self::new(Outcome::NotSent, "name");
    /// It was answered after the cut-off. A late answer is settled without a reason; this one is of
    /// outages to which it counts.
    pub const CUTOFF: Self = Self::new(Outcome::Late, "cutoff");

    /// Whether it is the word of an ICMP error, which any router on the way may have sent.
    #[must_use]
    pub fn is_by_icmp(&self) -> bool {
        self.outcome == Outcome::Refused && ICMP_KINDS.contains(&&*self.kind)
    }

    /// Whether it is what only the target says, or who answers in its place: a status, a
    /// certificate, a reset, a DNS code.
    #[must_use]
    pub fn is_by_target(&self) -> bool {
        self.outcome == Outcome::Refused && !self.is_by_icmp() && self.kind != "connection-error"
    }

    /// Whether this is how a link without a carrier may look: nothing was sent, since the route,
    /// the interface, its address or the name servers were not there.
    #[must_use]
    pub fn may_be_carrier(&self) -> bool {
        self.outcome == Outcome::NotSent
            && matches!(&*self.kind, "no-route" | "link-down" | "source" | "interface" | "name")
    }
}

/// What ICMP errors say (RFC 792, RFC 4443), as `refused/…`.
pub const ICMP_KINDS: [&str; 16] = [
    "net-unreachable",
    "host-unreachable",
    "protocol-unreachable",
    "port-unreachable",
    "fragmentation-needed",
    "source-route-failed",
    "prohibited",
    "net-unreachable-for-tos",
    "host-unreachable-for-tos",
    "unreachable",
    "ttl-exceeded",
    "reassembly-exceeded",
    "parameter-problem",
    "beyond-scope",
    "packet-too-big",
    "too-big",
];

/// A text is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no reason: an outcome's word and a kind, such as lost/timeout")]
pub struct NotAReason(pub String);

impl FromStr for Reason {
    type Err = NotAReason;
    fn from_str(text: &str) -> Result<Self, NotAReason> {
        let (word, kind) = text.split_once('/').ok_or_else(|| NotAReason(text.to_owned()))?;
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.word() == word);
        Ok(Self {
            outcome: outcome.ok_or_else(|| NotAReason(text.to_owned()))?,
            kind: kind.to_owned().into(),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.outcome.word(), self.kind)
    }
}

/// Outcomes in the order of their sends, run-length encoded: `57a2l1a` is 60 outcomes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Outcomes {
    /// Neighbours always differ, and no count is zero.
    runs: Vec<(u32, Outcome)>,
}

/// A text is not run-length encoded outcomes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a run of outcomes: {what}")]
pub struct NotOutcomes {
    /// The text, at most its first 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Outcomes {
    /// Appends one outcome.
    pub fn push(&mut self, outcome: Outcome) {
        self.push_run(1, outcome);
    }

    /// Appends `count` equal outcomes.
    pub fn push_run(&mut self, count: u32, outcome: Outcome) {
        if count == 0 {
            return;
        }
        match self.runs.last_mut() {
            Some((last, of)) if *of == outcome => *last = last.saturating_add(count),
            _ => self.runs.push((count, outcome)),
        }
    }

    /// The runs, in order: how many, of what.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (u32, Outcome)> + '_ {
        self.runs.iter().copied()
    }

    /// Every outcome by itself, in order.
    pub fn iter(&self) -> impl Iterator<Item = Outcome> + '_ {
        self.runs.iter().flat_map(|&(count, outcome)| std::iter::repeat_n(outcome, count as usize))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|&(count, _)| u64::from(count)).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many there are of one kind.
    #[must_use]
    pub fn count(&self, of: Outcome) -> u64 {
        self.runs
            .iter()
            .filter(|&&(_, outcome)| outcome == of)
            .map(|&(count, _)| u64::from(count))
            .sum()
    }

    /// How many are answered or late; each has a value in the RTT histogram.
    #[must_use]
    pub fn with_rtt(&self) -> u64 {
        self.count(Outcome::Answered) + self.count(Outcome::Late)
    }
}

impl FromIterator<Outcome> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut all = Self::default();
        outcomes.into_iter().for_each(|outcome| all.push(outcome));
        all.runs.shrink_to_fit();
        all
    }
}

impl Extend<Outcome> for Outcomes {
    fn extend<I: IntoIterator<Item = Outcome>>(&mut self, outcomes: I) {
        outcomes.into_iter().for_each(|outcome| self.push(outcome));
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.runs.iter().try_for_each(|(count, outcome)| write!(f, "{count}{}", outcome.letter()))
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for Outcomes {
    type Err = NotOutcomes;

    /// Accepts counts from 1 without leading zeros, and the six letters; neighbouring runs of one
    /// letter are joined.
    fn from_str(text: &str) -> Result<Self, NotOutcomes> {
        let fault = |what| NotOutcomes { text: text.chars().take(40).collect(), what };
        let mut all = Self::default();
        let mut total: u64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letter =
                rest[digits..].chars().next().ok_or_else(|| fault("it ends in a number"))?;
            if digits == 0 || rest.starts_with('0') {
                return Err(fault("each run is a count from 1 and a letter"));
            }
            let count: u32 = rest[..digits].parse().map_err(|_| fault("a count is too large"))?;
            let outcome =
                Outcome::from_letter(letter).ok_or_else(|| fault("the letters are a t l u n x"))?;
            total += u64::from(count);
            if total > u64::from(u32::MAX) {
                return Err(fault("a count is too large"));
            }
            all.push_run(count, outcome);
            rest = &rest[digits + letter.len_utf8()..];
        }
        Ok(all)
    }
}

impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn outcomes_are_written_as_runs_and_counted() {
        let all: Outcomes = "57a2l1a".parse().unwrap();
        assert_eq!((all.len(), all.count(Outcome::Lost), all.with_rtt()), (60, 2, 58));
        assert_eq!(all.to_string(), "57a2l1a");
        assert_eq!("".parse::<Outcomes>().unwrap(), Outcomes::default());
    }

    #[test]
    fn what_is_no_run_of_outcomes_is_refused() {
        for text in [
            "a",
            "0a",
            "01a",
            "5",
            "5z",
            "5a3",
            "4294967295a1l",
            "99999999999a",
            "3 a",
            "-1a",
            "1é",
        ] {
            assert!(text.parse::<Outcomes>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_sequence_survives_its_encoding(letters in "[atlunx]{0,200}") {
            let all: Outcomes = letters.chars().filter_map(Outcome::from_letter).collect();
            let back: Outcomes = all.to_string().parse().unwrap();
            prop_assert_eq!(&back, &all);
            prop_assert_eq!(back.iter().map(Outcome::letter).collect::<String>(), letters);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Outcomes>();
        }
    }
}
