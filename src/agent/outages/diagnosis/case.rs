//! An outage that is looked into.

use serde_json::{Value, json};

use crate::agent::outages::key::OutageKey;
use crate::base::time::Wall;
use crate::evidence::side::Seen;
use crate::sla::reader::Word;
use crate::sla::terms::Side;
use crate::store::outages::Outage;

/// Whose side an outage is thought to lie on, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// Which outage.
    pub key: OutageKey,
    /// `provider`, `customer` or `unknown`.
    pub side: String,
    /// All that was seen of it so far.
    pub evidence: Value,
}

impl Attribution {
    /// What an outage says itself.
    pub fn of(key: OutageKey, outage: Outage) -> Self {
        Self { key, side: outage.side, evidence: outage.evidence }
    }
}

/// An outage that is looked into.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) outage: Outage,
    /// What was seen of it, without the sends, which are counted anew each time; [`None`] when this
    /// run did not see it begin.
    pub(super) seen: Option<(usize, Option<String>, Seen)>,
    /// Traces that it waits for.
    pub(super) waits: u8,
    /// When the next hop was last looked at.
    pub(super) looked: Wall,
}

impl Case {
    /// From its beginning to its end, if it has one.
    pub(super) fn span(&self) -> (Wall, Wall) {
        (self.outage.from, self.outage.to.unwrap_or(Wall::from_nanos(i64::MAX)))
    }

    pub(super) fn enter(&mut self, name: &str, value: Value) {
        match &mut self.outage.evidence {
            Value::Object(known) => _ = known.insert(name.to_owned(), value),
            other => *other = json!({ name: value }),
        }
    }

    pub(super) fn attribution(&self, key: OutageKey) -> Attribution {
        Attribution { key, side: self.outage.side.clone(), evidence: self.outage.evidence.clone() }
    }
}

pub(super) fn word(side: Side) -> &'static str {
    side.word()
}
