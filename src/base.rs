//! The words that every other room uses: instants on the two clocks, exact numbers.

pub mod decimal;
pub mod time;
