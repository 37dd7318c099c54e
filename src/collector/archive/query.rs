//! Queries that ask of one agent, or of all.

use crate::collector::archive::value::Value;
use crate::evidence::key::Kid;

/// A query about one agent or all of them; `column` holds the agent.
pub(super) fn asking(only: Option<Kid>, select: &str, column: &str, rest: &str) -> String {
    match only {
        Some(_) => format!("{select} WHERE {column} = ?1 {rest}"),
        None => format!("{select} {rest}"),
    }
}

/// Its parameter, where it has one.
pub(super) fn about(only: &Option<Kid>) -> Vec<Value<'_>> {
    only.iter().map(Value::from).collect()
}
