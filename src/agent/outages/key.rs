//! Which outage is meant.

use crate::store::outages::OutageId;

/// An outage's number between those who find outages and the writer of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutageKey {
    /// It began in this run.
    New(u64),
    /// It was open in the database when this run began.
    Stored(OutageId),
}
