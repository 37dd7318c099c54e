//! What must hold for any bytes from strangers: each fuzz target looks for counter-examples of one,
//! and `tests/strangers.rs` tries all of them for a while.

pub mod body;
pub mod bundle;
pub mod contract;
pub mod facts;
pub mod histogram;
pub mod jws;
pub mod packet;
pub mod summary;
