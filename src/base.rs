//! The words that every other room uses: instants on the two clocks, exact numbers, names, files of a known greatest length.

pub mod bounded;
pub mod decimal;
pub mod text;
pub mod time;
