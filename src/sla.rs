//! The contract as data: its terms, its calendar, and its verdicts.
//!
//! Measure → qualify → aggregate → compare → remedy → combine and cap, then claim. Exact arithmetic
//! only; nothing here reads a clock, a file or a socket.

pub mod as_text;
pub mod calendar;
pub mod contract;
pub mod currency;
pub mod deadline;
pub mod evaluate;
pub mod facts;
pub mod fault;
pub mod judge;
pub mod letter;
pub mod lifecycle;
pub mod mos;
pub mod observed;
pub mod outage;
pub mod printed;
pub mod reach;
pub mod reader;
pub mod report;
pub mod span;
pub mod terms;
pub mod words;

pub use evaluate::evaluate;
pub use facts::{Case, Facts};
pub use fault::Fault;
pub use judge::{judge, judge_facts};
pub use observed::Observed;
pub use report::Report;
pub use terms::Contract;
