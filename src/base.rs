//! The words that every other room uses: instants on the two clocks, exact numbers, names, files of a known greatest length, and how
//! much work may be done.

pub mod bounded;
pub mod decimal;
pub mod effort;
pub mod text;
pub mod time;
