//! The contract as data: its terms, its calendar, and its verdicts.
//!
//! Measure → qualify → aggregate → compare → remedy → combine and cap, then claim. Exact arithmetic only; nothing here
//! reads a clock, a file or a socket.

pub mod calendar;
pub mod currency;
pub mod fault;
pub mod span;

pub use fault::Fault;
