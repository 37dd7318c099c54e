//! Why sends were not answered: how many by which reason.

use std::str::FromStr as _;

use serde_json::{Map, Value};

use crate::measure::outcome::Reason;

/// So many reasons are told apart; the sends of all others are counted together. A server chooses
/// the status that it answers with, and must not be able to choose how much of this is kept.
pub const MOST: usize = 16;
/// What all others together are called.
pub const OTHER: &str = "other";

/// How many sends were not answered for which reason. What has none holds no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// In the order in which each was first seen.
    known: Vec<(Reason, u64)>,
    other: u64,
}

impl Reasons {
    /// Counts one more send.
    pub fn add(&mut self, reason: &Reason) {
        self.count(reason, 1);
    }

    /// Counts so many more sends.
    pub fn count(&mut self, reason: &Reason, sends: u64) {
        match self.known.iter().position(|(known, _)| known == reason) {
            Some(place) => self.known[place].1 += sends,
            None if self.known.len() < MOST => self.known.push((reason.clone(), sends)),
            None => self.other += sends,
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.other == 0
    }

    /// Each reason with its sends, the most frequent first, of several as frequent the first by
    /// name; [`OTHER`] comes last.
    #[must_use]
    pub fn ranked(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> =
            self.known.iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
        all.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
        all.extend((self.other > 0).then(|| (OTHER.to_owned(), self.other)));
        all
    }

    /// The most frequent one.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.ranked().into_iter().next().map(|(reason, _)| reason)
    }

    /// The two most frequent ones, and how many more there are; [`None`] where there is none.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let all: Vec<String> = self.ranked().into_iter().map(|(reason, _)| reason).collect();
        match all.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [one, two] => Some(format!("{one} and {two}")),
            [one, two, more @ ..] => Some(format!("{one}, {two} and {} more", more.len())),
        }
    }

    /// As a JSON object: the sends by reason.
    #[must_use]
    pub fn json(&self) -> Value {
        Value::Object(
            self.ranked()
                .into_iter()
                .map(|(reason, count)| (reason, count.into()))
                .collect::<Map<_, _>>(),
        )
    }

    /// Reads what [`Self::json`] wrote; of anything else nothing is known.
    #[must_use]
    pub fn of_json(value: &Value) -> Self {
        let mut all = Self::default();
        for (reason, count) in value.as_object().into_iter().flatten() {
            let count = count.as_u64().unwrap_or(0);
            match Reason::from_str(reason) {
                Ok(reason) => all.count(&reason, count),
                Err(_) => all.other += count,
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::outcome::Outcome;
    use proptest::prelude::*;

    fn reason() -> impl Strategy<Value = Reason> {
        (0..Outcome::ALL.len(), "[a-z][a-z0-9-]{0,3}").prop_map(|(outcome, kind)| Reason {
            outcome: Outcome::ALL[outcome],
            kind: kind.into(),
        })
    }

    #[test]
    fn the_most_frequent_reason_comes_first_and_of_two_as_frequent_the_first_by_name() {
        let mut all = Reasons::default();
        assert_eq!((all.first(), all.words(), all.json()), (None, None, serde_json::json!({})));
        let status = Reason { outcome: Outcome::Refused, kind: "status-503".into() };
        let mut words = Vec::new();
        for reason in [&Reason::TIMEOUT, &status, &status, &Reason::NEXT_HOP] {
            all.add(reason);
            words.extend(all.words());
        }
        let both = [
            "lost/timeout",
            "lost/timeout and refused/status-503",
            "refused/status-503 and lost/timeout",
        ];
        assert_eq!(words[..3], both.map(str::to_owned));
        assert_eq!(words[3], "refused/status-503, lost/next-hop and 1 more");
        assert_eq!(
            all.json(),
            serde_json::json!({"refused/status-503": 2, "lost/next-hop": 1, "lost/timeout": 1})
        );
    }

    proptest! {
        #[test]
        fn every_send_is_counted_once_and_no_more_reasons_than_some_are_kept(
            sends in proptest::collection::vec(reason(), 0..200),
        ) {
            let mut all = Reasons::default();
            sends.iter().for_each(|reason| all.add(reason));
            let ranked = all.ranked();
            prop_assert_eq!(ranked.iter().map(|(_, count)| count).sum::<u64>(), sends.len() as u64);
            prop_assert!(ranked.len() <= MOST + 1, "{:?}", ranked);
            for (reason, count) in ranked.iter().filter(|(reason, _)| reason != OTHER) {
                prop_assert_eq!(
                    sends.iter().filter(|one| one.to_string() == *reason).count() as u64, *count
                );
            }
            // Its JSON holds all of it, whatever order an object has.
            let back = Reasons::of_json(&all.json());
            prop_assert_eq!(back.ranked(), ranked);
        }
    }
}
