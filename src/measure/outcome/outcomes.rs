//! The outcomes of many sends, in order, as runs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Outcome;

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
